//! [`CloseReason`]: the one table of how a session ends. Logs, metrics and the wire all read it.

/// Why a session, or a socket of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client left the namespace with a DISCONNECT packet.
    ClientLeft,
    /// The server took the socket out of the namespace. The official client does not come back.
    ServerLeft,
    /// The client hung up, or sent an Engine.IO close packet.
    TransportClose,
    /// The client closed its WebSocket, and got its answer.
    SocketClosed,
    /// A violation of the polling rules, a broken connection, a client that pings.
    TransportError,
    /// A bad Engine.IO packet.
    ParseError,
    /// A bad Socket.IO packet, or one that its namespace does not allow.
    BadPacket,
    /// A frame that RFC 6455 forbids.
    WebSocketProtocol,
    /// Text that is not UTF-8.
    InvalidText,
    /// A message above `maxPayload`.
    TooLarge,
    /// Control frames or fragments beyond what anyone needs, or a message that takes too long to arrive.
    Abuse,
    /// No pong in time.
    PingTimeout,
    /// No namespace was joined in time.
    ConnectTimeout,
    /// The client reads too slowly: its queue grew too large or too old.
    SlowConsumer,
    /// The application closed the connection.
    Forced,
    /// Its token has expired, and no other came in time. It may come back with a new one.
    TokenExpired,
    /// The same session came back on another connection.
    Replaced,
    /// This gateway is going away.
    Shutdown,
    /// A fault of the server.
    Broken,
}

/// Who caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody: an ordinary end.
    None,
    /// The client.
    Peer,
    /// This gateway.
    Us,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What Node's server calls it.
    pub text: &'static str,
    /// WebSocket close code; `None` closes with an empty close frame, as Node does.
    pub code: Option<u16>,
    /// Label of metrics.
    pub label: &'static str,
    /// Whose fault it is.
    pub fault: Fault,
    /// Whether the session may be recovered afterwards.
    pub recoverable: bool,
}

impl CloseReason {
    /// Its row of the table.
    pub const fn row(self) -> Row {
        use Fault::{None as Nobody, Peer, Us};
        let (text, code, label, fault, recoverable) = match self {
            Self::ClientLeft => ("client namespace disconnect", None, "client_left", Nobody, false),
            Self::ServerLeft => ("server namespace disconnect", None, "server_left", Us, false),
            Self::TransportClose => ("transport close", None, "transport_close", Nobody, true),
            Self::SocketClosed => ("transport close", None, "socket_closed", Nobody, true),
            Self::TransportError => ("transport error", None, "transport_error", Peer, true),
            Self::BadPacket => ("forced close", None, "bad_packet", Peer, true),
            Self::ParseError => ("parse error", None, "parse_error", Peer, true),
            Self::WebSocketProtocol => ("transport error", Some(1002), "websocket_protocol", Peer, true),
            Self::InvalidText => ("transport error", Some(1007), "invalid_text", Peer, true),
            Self::TooLarge => ("transport error", Some(1009), "too_large", Peer, true),
            Self::Abuse => ("transport error", Some(1008), "abuse", Peer, true),
            Self::PingTimeout => ("ping timeout", None, "ping_timeout", Peer, true),
            Self::ConnectTimeout => ("forced close", None, "connect_timeout", Peer, false),
            Self::SlowConsumer => ("transport close", Some(1013), "slow_consumer", Peer, true),
            Self::Forced => ("forced server close", None, "forced", Us, false),
            Self::TokenExpired => ("forced server close", None, "token_expired", Peer, true),
            Self::Replaced => ("transport close", None, "replaced", Nobody, false),
            Self::Shutdown => ("server shutting down", Some(1012), "shutdown", Us, true),
            Self::Broken => ("transport error", Some(1011), "broken", Us, true),
        };
        Row { text, code, label, fault, recoverable }
    }
}
