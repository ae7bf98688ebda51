//! WebSocket handshakes, and the switch of a polling session.
//!
//! ```text
//! client  GET …&sid=…, Upgrade       101, and nothing more
//!         2probe                      3probe; GETs of the session return from now on
//!         5                           the session is on the WebSocket, and what was queued leaves there
//! ```
//! Anything else on the new WebSocket closes it, and so does silence; the session goes on polling.

use std::{cell::RefCell, io, net::IpAddr, rc::Rc, time::Instant};

use haat_protocol::{SessionId, engine};
use http::{HeaderMap, StatusCode, Version, header};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{
    Edge,
    ask::{Ask, AskError},
};
use crate::{
    close::CloseReason,
    metrics,
    room::session::Carrier,
    shard::{Settings, conn},
    transport::{
        SessionKey,
        reader::{Lender, Message, Reader},
    },
};

/// Why a WebSocket handshake is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadHandshake {
    /// A header is missing or wrong.
    Request,
    /// Not version 13.
    Version,
}

impl BadHandshake {
    /// Its HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Request => StatusCode::BAD_REQUEST,
            Self::Version => StatusCode::UPGRADE_REQUIRED,
        }
    }
}

/// Checks the head of a handshake (RFC 6455, 4.2.1), and returns the value of `Sec-WebSocket-Accept`.
///
/// # Errors
/// What is wrong with it; it was counted.
pub fn handshake(version: Version, headers: &HeaderMap) -> Result<String, BadHandshake> {
    accept_key(version, headers).inspect_err(|_| metrics::refused("http", "handshake"))
}

fn accept_key(version: Version, headers: &HeaderMap) -> Result<String, BadHandshake> {
    // What follows are frames: a body would be taken for some.
    let body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if version < Version::HTTP_11 || body {
        return Err(BadHandshake::Request);
    }
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let upgrades =
        connection.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    if !upgrades {
        return Err(BadHandshake::Request);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(BadHandshake::Version);
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else { return Err(BadHandshake::Request) };
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key.as_bytes());
    if decoded.is_ok_and(|nonce| nonce.len() == 16) {
        Ok(derive_accept_key(key.as_bytes()))
    } else {
        Err(BadHandshake::Request)
    }
}

/// The subprotocol to answer with: the first that was offered, as Node does.
pub fn subprotocol(headers: &HeaderMap) -> Option<&str> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = offered.split(',').next()?.trim();
    let token = !first.is_empty()
        && first.bytes().all(|byte| byte.is_ascii_graphic() && !br#"()<>@,;:\"/[]?={}"#.contains(&byte));
    token.then_some(first)
}

/// The 101 answer.
pub fn switching(accept: &str, subprotocol: Option<&str>) -> String {
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
    );
    if let Some(subprotocol) = subprotocol {
        head.push_str("Sec-WebSocket-Protocol: ");
        head.push_str(subprotocol);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}

/// A WebSocket whose request was accepted.
#[derive(Debug)]
pub struct Fresh {
    /// The socket.
    pub stream: TcpStream,
    /// The 101 answer, if it is not sent yet.
    pub answer: Vec<u8>,
    /// Bytes that came behind the request.
    pub read: Vec<u8>,
    /// The client's address.
    pub address: IpAddr,
    /// Whether its path is one of raw Engine.IO.
    pub raw: bool,
}

/// Serves a WebSocket for what its request asked.
pub async fn serve(edge: &Rc<Edge>, ask: Ask, fresh: Fresh) -> io::Result<()> {
    match ask {
        Ask::OpenSocket => open(edge, fresh).await,
        Ask::Upgrade(sid) => probe(edge, sid, fresh).await,
        Ask::Open | Ask::Poll(_) | Ask::Nonsense | Ask::Far(_) => refuse(fresh).await,
    }
}

async fn open(edge: &Rc<Edge>, fresh: Fresh) -> io::Result<()> {
    let Fresh { stream, mut answer, read, address, raw } = fresh;
    let admission = match edge.doors.admission.connection(address) {
        Ok(admission) => admission,
        Err(full) => {
            metrics::refused("edge", full.label());
            return Ok(());
        }
    };
    let io = Rc::new(stream);
    let opened = edge.shard.open_socket(io.clone(), raw, address, Some(Box::new(admission)));
    let (key, open) = opened.map_err(io::Error::other)?;
    // The answer and the open packet leave in one write: that is one wake-up of the client instead of two.
    answer.extend_from_slice(open.bytes());
    if let Err(error) = write_all(&io, &answer).await {
        edge.shard.end(key, CloseReason::TransportError);
        return Err(error);
    }
    // Its task is another one: the memory of this, which is large for reading requests, is not kept by an idle viewer.
    conn::run(edge.shard.clone(), key, io, &read);
    Ok(())
}

/// A WebSocket that is closed at once with an empty close frame.
async fn refuse(fresh: Fresh) -> io::Result<()> {
    metrics::refused("engine", "bad_upgrade");
    let mut answer = fresh.answer;
    answer.extend_from_slice(&[0x88, 0]);
    write_all(&fresh.stream, &answer).await
}

/// A WebSocket that wants to take over a polling session of this shard.
pub async fn probe(edge: &Rc<Edge>, sid: SessionId, fresh: Fresh) -> io::Result<()> {
    let key = edge.shard.by_sid(sid).filter(|key| begin_probe(edge, *key));
    let Some(key) = key else { return refuse(fresh).await };
    let Fresh { stream, answer, read, .. } = fresh;
    let io = Rc::new(stream);
    let attempt = async {
        write_all(&io, &answer).await?;
        let mut candidate = Candidate::new(edge, key);
        candidate.run(&io, read).await?;
        Ok::<_, io::Error>(candidate)
    };
    let outcome = Box::pin(tokio::time::timeout(edge.shard.settings.upgrade_timeout, attempt)).await;
    match outcome {
        Ok(Ok(candidate)) if candidate.upgraded && edge.shard.upgrade(key, io.clone()) => {
            let Candidate { reader, rest, end, .. } = candidate;
            conn::take_over(edge.shard.clone(), key, io, reader, rest, end);
            Ok(())
        }
        outcome => {
            // One that hangs up has changed its mind.
            let hung_up = matches!(&outcome, Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof);
            if !hung_up {
                metrics::refused("engine", "bad_probe");
            }
            set_probing(edge, key, false);
            write_all(&io, &[0x88, 0]).await
        }
    }
}

/// Says whether the session may be probed: it polls, and nobody else does so.
fn begin_probe(edge: &Edge, key: SessionKey) -> bool {
    let free = edge.shard.rooms.with(key, |session| match &mut session.carrier {
        Carrier::Polling(polling) => !std::mem::replace(&mut polling.candidate, true),
        Carrier::WebSocket(_) => false,
    });
    free == Some(true)
}

fn set_probing(edge: &Edge, key: SessionKey, probing: bool) {
    edge.shard.rooms.with(key, |session| {
        if let Carrier::Polling(polling) = &mut session.carrier {
            polling.probing = probing;
            polling.candidate = probing;
        }
    });
}

/// The new WebSocket, until it has taken over.
struct Candidate<'a> {
    edge: &'a Rc<Edge>,
    key: SessionKey,
    reader: Reader,
    /// `5` has come.
    upgraded: bool,
    /// What came in one piece with it.
    rest: Vec<Message>,
    /// How its reading ended.
    end: Result<(), CloseReason>,
}

impl<'a> Candidate<'a> {
    fn new(edge: &'a Rc<Edge>, key: SessionKey) -> Self {
        Self { edge, key, reader: Reader::default(), upgraded: false, rest: Vec::new(), end: Ok(()) }
    }

    /// Reads until the session is taken over. `Err`: it is not.
    async fn run(&mut self, io: &TcpStream, first: Vec<u8>) -> io::Result<()> {
        let Settings { max_payload, message_timeout, .. } = self.edge.shard.settings;
        let lender = RefCell::new(Lender::new(max_payload, message_timeout));
        let mut chunk = first;
        let mut probed = false;
        while !self.upgraded {
            if chunk.is_empty() {
                io.readable().await?;
                chunk = match read_some(io) {
                    Ok(bytes) if bytes.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(bytes) => bytes,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error),
                };
            }
            let mut messages = Vec::new();
            let fed = self.reader.feed(&chunk, &lender, Instant::now(), |message| {
                messages.push(Message::of(message));
                Ok(())
            });
            chunk.clear();
            let mut messages = messages.into_iter();
            while !self.upgraded
                && let Some(message) = messages.next()
            {
                match message {
                    Message::Answer(frames) => write_all(io, &frames).await?,
                    Message::Text(packet) if packet == "2probe" && !probed => {
                        probed = true;
                        write_all(io, engine::pong_probe().bytes()).await?;
                        set_probing(self.edge, self.key, true);
                        self.edge.shard.rooms.flush_session(self.key);
                    }
                    Message::Text(packet) if packet == "5" && probed => self.upgraded = true,
                    Message::Text(_) | Message::Binary(_) => return Err(io::ErrorKind::InvalidData.into()),
                }
            }
            if self.upgraded {
                // The session's own from here on.
                (self.rest, self.end) = (messages.collect(), fed);
            } else {
                fed.map_err(|reason| io::Error::other(reason.row().label))?;
            }
        }
        Ok(())
    }
}

fn read_some(io: &TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 2048];
    let count = io.try_read(&mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Writes all of it, waiting where the socket is full.
pub async fn write_all(io: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match io.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => io.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The error answer to an upgrade request, as the official server writes it: 400 whatever it is.
pub fn refusal(error: AskError) -> String {
    let message = error.to_string();
    format!(
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\nContent-Length: {}\r\n\r\n{message}",
        message.len()
    )
}

/// Writes an answer without a body, after which the connection is closed. `headers` are whole lines.
pub async fn refuse_with(io: &TcpStream, status: StatusCode, headers: &str) -> io::Result<()> {
    let reason = status.canonical_reason().unwrap_or_default();
    let answer =
        format!("HTTP/1.1 {} {reason}\r\nConnection: close\r\n{headers}Content-Length: 0\r\n\r\n", status.as_u16());
    write_all(io, answer.as_bytes()).await
}
