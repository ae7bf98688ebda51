//! One connection to the server under test: its WebSocket, its Socket.IO state, what it counted.
//!
//! Reading is the generator's hot path: a delivery to a viewer that only counts must cost a header and a comparison,
//! no copy, no allocation, no clock.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use mio::net::TcpStream;
use thiserror::Error;

use crate::frame::{self, FrameError};
use crate::order::Order;
use crate::sight::Sight;

/// Longest answer to the WebSocket request, bytes. Above it the connection is given up.
const MAX_RESPONSE: usize = 64 * 1024;
/// A carry buffer that is larger is given back once it is empty.
const KEEP_CARRY: usize = 4 * 1024;
/// Characters of a server's refusal that are kept.
const MAX_REASON: usize = 300;

/// Why a connection ended.
#[derive(Debug, Error)]
pub(crate) enum Loss {
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server broke WebSocket framing, or used a part of it that is not supported here.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The server did not upgrade.
    #[error("upgrade refused: {0}")]
    Upgrade(String),
    /// CONNECT_ERROR.
    #[error("CONNECT refused: {0}")]
    Connect(String),
    /// [`Client::close`] asked for it and the server agreed.
    #[error("closed as asked")]
    Asked,
    /// The server ended the connection.
    #[error("closed by the server in phase {0}")]
    Closed(&'static str),
}

/// What a connection says of itself to the server.
#[derive(Debug)]
pub(crate) enum Role {
    /// A Socket.IO client.
    SocketIo {
        /// The whole HTTP request that asks for the WebSocket.
        request: String,
        /// The CONNECT packet with its engine digit: `40…`.
        connect: String,
        /// Event sent with ack id 0 in the very moment CONNECT is answered.
        join: Option<String>,
    },
    /// A client of the limit server: one line, answered by an ack with id 0.
    Limit {
        /// The line, with its end.
        line: String,
    },
}

/// What happened to a connection that the scenario has to know.
#[derive(Debug)]
pub(crate) enum Notice {
    /// CONNECT was answered.
    Connected,
    /// The server acknowledged a request.
    Acked {
        /// The refusal, if the reply says `"ok":false`.
        refusal: Option<String>,
    },
    /// A packet of a kind that the connection [keeps](Client::kept), instead of the notices above.
    Packet {
        /// Generator's clock when it was read, nanoseconds.
        at_ns: u64,
        /// The packet as it came, without the engine's digit.
        text: Box<[u8]>,
    },
    /// The connection ended.
    Lost(Loss),
}

/// A notice with its connection.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The connection's number in the event loop.
    pub(crate) id: usize,
    /// The scenario's number for it.
    pub(crate) tag: usize,
    /// What happened.
    pub(crate) notice: Notice,
}

/// Where a connection is between dialling and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Dialing,
    Upgrading,
    Opening,
    Connecting,
    Ready,
    Closing,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Dialing => "dialing",
            Self::Upgrading => "upgrading",
            Self::Opening => "opening",
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Closing => "closing",
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    role: Role,
    phase: Phase,
    carry: Vec<u8>,
    out: Vec<u8>,
    mask: u32,
    next_ack: u64,
    /// The scenario's number for this connection.
    pub(crate) tag: usize,
    /// Deliveries since the scenario set it to 0.
    pub(crate) deliveries: u64,
    /// Bytes of those deliveries, frame headers included.
    pub(crate) bytes: u64,
    /// Checks every delivery if set; otherwise they are only counted.
    pub(crate) order: Option<Box<Order>>,
    /// Kinds of packets that are handed to the scenario as they came: `2` for events, which are not counted then, `3` for
    /// acknowledgements, `0` for CONNECT's answer.
    pub(crate) kept: &'static [u8],
    /// Generator's clock at the last read, nanoseconds.
    pub(crate) read_ns: u64,
    /// The server has ended its half: read until the end, no further edge will come.
    pub(crate) half_closed: bool,
}

impl Client {
    /// A connection whose socket is being connected.
    pub(crate) fn new(stream: TcpStream, role: Role, tag: usize) -> Self {
        Self {
            stream,
            role,
            phase: Phase::Dialing,
            carry: Vec::new(),
            out: Vec::new(),
            mask: (tag as u32).wrapping_mul(0x9e37_79b9) | 1,
            next_ack: 1,
            tag,
            deliveries: 0,
            bytes: 0,
            order: None,
            kept: b"",
            read_ns: 0,
            half_closed: false,
        }
    }

    /// The socket, to register it.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The socket may be written: finishes dialling, sends what is queued.
    ///
    /// # Errors
    /// [`Loss`] if the connection is gone.
    pub(crate) fn writable(&mut self) -> Result<(), Loss> {
        if self.phase == Phase::Dialing {
            if let Some(error) = self.stream.take_error()? {
                return Err(error.into());
            }
            match self.stream.peer_addr() {
                Ok(_) => self.dialed()?,
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.flush()
    }

    /// Queues one text message made of the given pieces; nothing leaves before [`Client::flush`].
    pub(crate) fn push_text(&mut self, pieces: &[&[u8]]) {
        self.push(frame::TEXT, pieces);
    }

    /// Queues an event that asks for an acknowledgement; returns its number.
    pub(crate) fn push_request(&mut self, event: &str) -> u64 {
        let id = self.next_ack;
        self.next_ack += 1;
        self.push_text(&[b"42", id.to_string().as_bytes(), event.as_bytes()]);
        id
    }

    /// Queues DISCONNECT and a WebSocket close; the end comes as [`Loss::Asked`].
    pub(crate) fn close(&mut self) {
        self.push_text(&[b"41"]);
        self.push(frame::CLOSE, &[&1000_u16.to_be_bytes()]);
        self.phase = Phase::Closing;
    }

    /// Bytes that the kernel has not taken yet.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.out.len()
    }

    /// Writes what is queued, as far as the kernel takes it.
    ///
    /// # Errors
    /// [`Loss`] if the connection is gone.
    pub(crate) fn flush(&mut self) -> Result<(), Loss> {
        if self.phase == Phase::Dialing {
            return Ok(());
        }
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(taken) if taken == self.out.len() => self.out.clear(),
                Ok(taken) => drop(self.out.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A server may close TCP at once after it has seen the close frame.
                Err(_) if self.phase == Phase::Closing => {
                    self.out.clear();
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads the socket once through the shared buffer; true if there may be more.
    ///
    /// # Errors
    /// [`Loss`] if the connection is gone.
    pub(crate) fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        sight: &mut Sight,
        heard: &mut VecDeque<Heard>,
        id: usize,
        now: impl FnOnce() -> u64,
    ) -> Result<bool, Loss> {
        let held = self.carry.len();
        if held * 2 > buffer.len() {
            buffer.resize(held * 4, 0);
        }
        buffer[..held].copy_from_slice(&self.carry);
        let filled = match self.stream.read(&mut buffer[held..]) {
            Ok(0) => return Err(self.cut()),
            Ok(count) => held + count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(_) if self.phase == Phase::Closing => return Err(Loss::Asked),
            Err(error) => return Err(error.into()),
        };
        let more = filled == buffer.len() || self.half_closed;
        sight.now_ns = now();
        self.read_ns = sight.now_ns;
        let bytes = &buffer[..filled];
        let used = self.take(bytes, sight, heard, id)?;
        self.carry.clear();
        self.carry.extend_from_slice(&bytes[used..]);
        if self.carry.is_empty() && self.carry.capacity() > KEEP_CARRY {
            self.carry = Vec::new();
        }
        self.flush()?;
        Ok(more)
    }

    fn take(&mut self, bytes: &[u8], sight: &mut Sight, heard: &mut VecDeque<Heard>, id: usize) -> Result<usize, Loss> {
        let mut at = 0;
        if self.phase == Phase::Upgrading {
            match self.response(bytes)? {
                Some(end) => at = end,
                None => return Ok(0),
            }
        }
        let before = self.deliveries;
        let counts = !self.kept.contains(&b'2');
        while let Some(header) = frame::header(&bytes[at..])? {
            let end = at + header.head + header.len;
            let Some(payload) = bytes.get(at + header.head..end) else {
                break;
            };
            if counts && payload.starts_with(&sight.delivery) && header.opcode == frame::TEXT {
                self.deliveries += 1;
                self.bytes += (end - at) as u64;
                if let Some(order) = &mut self.order {
                    sight.check(order, payload);
                }
            } else {
                self.control(header.opcode, payload, sight, heard, id)?;
            }
            at = end;
        }
        if self.deliveries > before {
            sight.delivered += self.deliveries - before;
            sight.last_delivery_ns = sight.now_ns;
        }
        Ok(at)
    }

    fn control(
        &mut self,
        opcode: u8,
        payload: &[u8],
        sight: &mut Sight,
        heard: &mut VecDeque<Heard>,
        id: usize,
    ) -> Result<(), Loss> {
        match (opcode, payload) {
            // What follows the close frame is the end of the socket, which is reported then.
            (frame::CLOSE, _) if self.phase == Phase::Closing => {}
            (frame::CLOSE, _) | (frame::TEXT, b"1") => return Err(self.cut()),
            (frame::PING, _) => self.push(frame::PONG, &[payload]),
            (frame::TEXT, b"2") => self.push_text(&[b"3"]),
            (frame::TEXT, [b'0', ..]) if self.phase == Phase::Opening => self.opened(),
            (frame::TEXT, [b'4', packet @ ..]) => self.packet(packet, sight, heard, id)?,
            // Noop, pong and attachments are nobody's business here.
            _ => {}
        }
        Ok(())
    }

    fn packet(&mut self, packet: &[u8], sight: &mut Sight, heard: &mut VecDeque<Heard>, id: usize) -> Result<(), Loss> {
        let opens = packet.starts_with(b"0") && self.phase == Phase::Connecting;
        if opens {
            self.connected();
        }
        let notice = match packet {
            [kind, ..] if self.kept.contains(kind) => Notice::Packet { at_ns: sight.now_ns, text: packet.into() },
            [b'0', ..] if opens => Notice::Connected,
            [b'1', ..] if self.phase != Phase::Closing => return Err(self.cut()),
            [b'3', ack @ ..] => Notice::Acked { refusal: refusal(ack) },
            [b'4', reason @ ..] => return Err(Loss::Connect(excerpt(reason))),
            [b'2', ..] if !sight.error.is_empty() && packet.starts_with(&sight.error) => {
                sight.errors += 1;
                sight.first_error.get_or_insert_with(|| excerpt(packet));
                return Ok(());
            }
            _ => return Ok(()),
        };
        heard.push_back(Heard { id, tag: self.tag, notice });
        Ok(())
    }

    fn response(&mut self, bytes: &[u8]) -> Result<Option<usize>, Loss> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            if bytes.len() > MAX_RESPONSE {
                return Err(Loss::Upgrade("endless response head".to_owned()));
            }
            return Ok(None);
        };
        if !bytes.starts_with(b"HTTP/1.1 101") {
            return Err(Loss::Upgrade(excerpt(bytes)));
        }
        self.phase = Phase::Opening;
        Ok(Some(end + 4))
    }

    fn dialed(&mut self) -> Result<(), Loss> {
        self.stream.set_nodelay(true)?;
        match &self.role {
            Role::SocketIo { request, .. } => {
                self.out.extend_from_slice(request.as_bytes());
                self.phase = Phase::Upgrading;
            }
            Role::Limit { line } => {
                self.out.extend_from_slice(line.as_bytes());
                self.phase = Phase::Ready;
            }
        }
        Ok(())
    }

    fn opened(&mut self) {
        self.phase = Phase::Connecting;
        if let Role::SocketIo { connect, .. } = &mut self.role {
            let connect = std::mem::take(connect);
            self.push_text(&[connect.as_bytes()]);
        }
    }

    fn connected(&mut self) {
        self.phase = Phase::Ready;
        if let Role::SocketIo { join, .. } = &mut self.role
            && let Some(join) = join.take()
        {
            self.push_text(&[b"420", join.as_bytes()]);
        }
    }

    fn cut(&self) -> Loss {
        match self.phase {
            Phase::Closing => Loss::Asked,
            phase => Loss::Closed(phase.name()),
        }
    }

    fn push(&mut self, opcode: u8, pieces: &[&[u8]]) {
        // Varies, as masks must, and costs nothing.
        self.mask = self.mask.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        frame::write_masked(&mut self.out, opcode, self.mask.to_le_bytes(), pieces);
    }
}

/// What an acknowledgement says of a refusal; `None` if it is none.
pub(crate) fn refusal(ack: &[u8]) -> Option<String> {
    memchr::memmem::find(ack, br#""ok":false"#).map(|_| excerpt(ack))
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_REASON)]).trim().replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Stamp;

    fn server_text(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::write_server_header(&mut out, frame::TEXT, payload.len());
        out.extend_from_slice(payload);
        out
    }

    fn delivery(seq: u32, padding: usize) -> Vec<u8> {
        let stamp = Stamp { publisher: 0, seq, due_ns: 0 };
        let mut packet = br#"42["chat:message",{"text":""#.to_vec();
        packet.extend_from_slice(&stamp.write());
        packet.extend(std::iter::repeat_n(b'x', padding));
        packet.extend_from_slice(br#""}]"#);
        server_text(&packet)
    }

    /// A connection over a real socket pair, in the phase after CONNECT.
    fn ready(checked: bool) -> (Client, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        let role = Role::Limit { line: String::new() };
        let mut client = Client::new(TcpStream::from_std(near), role, 0);
        client.writable().unwrap();
        client.order = checked.then(|| Box::new(Order::new(0, vec![0])));
        (client, far)
    }

    #[test]
    fn deliveries_are_counted_however_the_bytes_are_cut() {
        let mut wire = Vec::new();
        for seq in 0..3 {
            wire.extend(delivery(seq, 60 * seq as usize));
            wire.extend(server_text(br#"42["viewers",{"count":1}]"#));
        }
        for checked in [false, true] {
            for cut in 0..=wire.len() {
                let (mut client, mut far) = ready(checked);
                let mut sight = Sight::new("chat:message", "");
                let mut buffer = vec![0; 64];
                let mut heard = VecDeque::new();
                let mut fed = 0;
                for piece in [&wire[..cut], &wire[cut..]] {
                    far.write_all(piece).unwrap();
                    fed += piece.len();
                    let mut seen = 0;
                    while seen < fed && client.deliveries < 3 {
                        let result = client.read(&mut buffer, &mut sight, &mut heard, 0, || 1_000);
                        if !result.unwrap() {
                            seen = fed;
                        }
                    }
                }
                while client.deliveries < 3 {
                    client.read(&mut buffer, &mut sight, &mut heard, 0, || 1_000).unwrap();
                }
                assert_eq!(sight.delivered, 3, "cut {cut}");
                if let Some(order) = &client.order {
                    assert!(order.faults(&[3]).none(), "cut {cut}");
                    assert_eq!(sight.latency.len(), 3);
                }
            }
        }
    }

    #[test]
    fn a_refusing_ack_is_told_from_an_accepting_one() {
        let (mut client, mut far) = ready(false);
        let mut sight = Sight::new("chat:message", "error:command");
        far.write_all(&server_text(br#"430[{"ok":true}]"#)).unwrap();
        far.write_all(&server_text(br#"4317[{"ok":false,"error":{"code":"banned"}}]"#)).unwrap();
        far.write_all(&server_text(br#"42["error:command",{"command":"chat:send"}]"#)).unwrap();
        let mut heard = VecDeque::new();
        let mut buffer = vec![0; 1024];
        while sight.errors == 0 {
            client.read(&mut buffer, &mut sight, &mut heard, 5, || 0).unwrap();
        }
        let seen: Vec<_> = heard
            .iter()
            .map(|heard| match &heard.notice {
                Notice::Acked { refusal } => (heard.id, refusal.is_some()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seen, [(5, false), (5, true)]);
    }

    #[test]
    fn an_engine_ping_is_answered() {
        let (mut client, mut far) = ready(false);
        let mut sight = Sight::new("chat:message", "");
        far.write_all(&server_text(b"2")).unwrap();
        let mut buffer = vec![0; 1024];
        let mut heard = VecDeque::new();
        far.set_nonblocking(true).unwrap();
        let mut reply = [0; 7];
        loop {
            client.read(&mut buffer, &mut sight, &mut heard, 0, || 0).unwrap();
            match far.read_exact(&mut reply) {
                Ok(()) => break,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(reply[..2], [0x81, 0x81]);
        assert_eq!(reply[6] ^ reply[2], b'3');
    }

    #[test]
    fn the_servers_end_is_a_loss() {
        let (mut client, far) = ready(false);
        drop(far);
        let mut sight = Sight::new("chat:message", "");
        let mut buffer = vec![0; 64];
        let mut heard = VecDeque::new();
        let loss = loop {
            match client.read(&mut buffer, &mut sight, &mut heard, 0, || 0) {
                Ok(_) => {}
                Err(loss) => break loss,
            }
        };
        assert!(matches!(loss, Loss::Closed("ready")), "{loss}");
    }
}
