//! [`Ask`]: what a request asks of Engine.IO. Checked in the order of the official server (PROTOCOL 1.1); the first
//! check that fails decides the error.

use haat_protocol::SessionId;
use http::{HeaderMap, Method, StatusCode, Uri, header};

use super::Edge;

/// A request that may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A new session that polls.
    Open,
    /// A new session on a WebSocket.
    OpenSocket,
    /// A request of a session that polls.
    Poll(SessionId),
    /// A WebSocket for a session that polls.
    Upgrade(SessionId),
    /// A WebSocket that is closed at once: it named polling.
    Nonsense,
    /// What would be [`Poll`](Self::Poll) or [`Upgrade`](Self::Upgrade), for a session of another gateway.
    Far(SessionId),
}

impl Ask {
    /// What may be asked by way of another gateway: something about a session that lives here. What it asks of a third is not
    /// passed on again.
    ///
    /// # Errors
    /// It asks something else.
    pub fn of_this_gateway(self) -> Result<Self, AskError> {
        match self {
            Self::Poll(_) | Self::Upgrade(_) => Ok(self),
            Self::Far(_) => Err(AskError::Session),
            Self::Open | Self::OpenSocket | Self::Nonsense => Err(AskError::Request),
        }
    }
}

/// Engine.IO's errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No such transport.
    #[error("Transport unknown")]
    Transport,
    /// No such session.
    #[error("Session ID unknown")]
    Session,
    /// A handshake is a GET.
    #[error("Bad handshake method")]
    Method,
    /// Anything else that is wrong with it.
    #[error("Bad request")]
    Request,
    /// This origin may not connect.
    #[error("Forbidden")]
    Forbidden,
    /// Not Engine.IO 4.
    #[error("Unsupported protocol version")]
    Version,
}

impl AskError {
    /// Its number on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Transport => 0,
            Self::Session => 1,
            Self::Method => 2,
            Self::Request => 3,
            Self::Forbidden => 4,
            Self::Version => 5,
        }
    }

    /// Its HTTP status.
    pub fn status(self) -> StatusCode {
        if self == Self::Forbidden { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST }
    }

    /// Its body.
    pub fn body(self) -> String {
        format!(r#"{{"code":{},"message":"{self}"}}"#, self.code())
    }

    /// Its label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Transport => "transport_unknown",
            Self::Session => "session_unknown",
            Self::Method => "bad_method",
            Self::Request => "bad_request",
            Self::Forbidden => "forbidden",
            Self::Version => "unsupported_version",
        }
    }
}

/// The query parameters that Engine.IO reads. The last of a repeated one counts.
#[derive(Debug, Default)]
struct Query {
    version: Option<String>,
    transport: Option<String>,
    sid: Option<String>,
}

impl Query {
    fn parse(uri: &Uri) -> Self {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let slot = match &*name {
                "EIO" => &mut query.version,
                "transport" => &mut query.transport,
                "sid" => &mut query.sid,
                _ => continue,
            };
            *slot = Some(value.into_owned());
        }
        query.sid = query.sid.filter(|sid| !sid.is_empty());
        query
    }
}

/// Whether the request wants to become a WebSocket.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Reads a request. Whether a session exists is known to its shard alone, and is checked there.
///
/// # Errors
/// What the official server would answer.
pub fn read(edge: &Edge, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Ask, AskError> {
    let query = Query::parse(uri);
    let upgrade = is_upgrade(headers);
    let socket = match query.transport.as_deref() {
        Some("websocket") => true,
        Some("polling") if edge.shard.settings.polling => false,
        _ => return Err(AskError::Transport),
    };
    check_origin(edge, headers)?;
    let version = query.version.as_deref() == Some("4");
    let Some(sid) = query.sid else {
        return match (method == Method::GET, socket, upgrade) {
            (false, ..) => Err(AskError::Method),
            (_, true, false) => Err(AskError::Request),
            _ if !version => Err(AskError::Version),
            (_, false, true) => Ok(Ask::Nonsense),
            (_, false, false) => Ok(Ask::Open),
            (_, true, true) => Ok(Ask::OpenSocket),
        };
    };
    let sid = SessionId::parse(&sid).ok_or(AskError::Session)?;
    let (gateway, shard) = sid.place();
    let here = gateway == edge.shard.settings.gateway;
    if here && usize::from(shard) >= edge.shard.rooms.hub.shards() || !here && edge.doors.fleet.is_none() {
        return Err(AskError::Session);
    }
    match (socket, upgrade, version) {
        (true, false, _) | (.., false) => Err(AskError::Request),
        (_, true, _) if method != Method::GET => Err(AskError::Request),
        (false, true, true) => Ok(Ask::Nonsense),
        (true, true, true) | (false, false, true) if !here => Ok(Ask::Far(sid)),
        (true, true, true) => Ok(Ask::Upgrade(sid)),
        (false, false, true) => Ok(Ask::Poll(sid)),
    }
}

/// Whether pages of the request's origin may connect. A request without one is not a browser's.
///
/// # Errors
/// They may not, or it is not clear which origin it is.
pub fn check_origin(edge: &Edge, headers: &HeaderMap) -> Result<(), AskError> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = match (origins.next(), origins.next()) {
        (origin, None) => origin.map(|origin| origin.to_str().map_err(|_| AskError::Request)).transpose()?,
        _ => return Err(AskError::Request),
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if edge.doors.origins.allow(origin, host) { Ok(()) } else { Err(AskError::Forbidden) }
}
