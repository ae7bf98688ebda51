//! The listener of a shard, and the first request of a connection.
//!
//! Nearly every connection is a WebSocket handshake. It is read and answered here, with one read and one write;
//! everything else goes to hyper, with the bytes that were read. A request that names a session of another shard takes
//! its connection there.

use std::{io, net::SocketAddr, os::fd::AsRawFd, rc::Rc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use tokio::net::{TcpListener, TcpStream};

use super::{
    Door, Edge, MAX_HEAD, MAX_HEADERS,
    ask::{self, Ask, AskError},
    http::serve as serve_http,
    is_ambiguous,
    upgrade::{self, Fresh},
};
use crate::{
    hub::mailbox::{Handover, Mail},
    metrics,
};

/// Pause after an accept that failed: out of file descriptors, the next one would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The last file descriptors are not for clients: without them nobody could look at the gateway, nor could it connect to
/// Redis anew. Fewer where there are few in all.
const RESERVED: u64 = 32;

/// Accepts as long as the shard runs. A shard that drains goes on: clients that poll need connections until their turn
/// comes.
pub async fn listen(edge: Rc<Edge>, listener: TcpListener, door: Door) {
    loop {
        let error = match listener.accept().await {
            Ok((stream, peer)) if !is_of_the_last(&stream) => {
                match door {
                    Door::Clients => drop(tokio::task::spawn_local(connection(edge.clone(), stream, peer, Vec::new()))),
                    Door::Gateways => drop(tokio::task::spawn_local(gateway(edge.clone(), stream, peer))),
                }
                continue;
            }
            Ok(_) => io::Error::other("the last file descriptors are not for clients"),
            Err(error) => error,
        };
        metrics::refused("edge", "accept");
        tracing::warn!(%error, "accept failed");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Whether a connection has one of the last file descriptors. The system gives out the lowest that is free, so the number
/// tells; the limit may have been changed since the last one came.
fn is_of_the_last(stream: &TcpStream) -> bool {
    let most = rlimit::Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
    let number = u64::try_from(stream.as_raw_fd()).unwrap_or_default();
    number >= most - RESERVED.min(most / 8)
}

/// Takes over a connection that another shard accepted.
pub fn adopt(edge: &Rc<Edge>, handover: Handover) {
    let Handover { stream, peer, read, probe } = handover;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let edge = edge.clone();
    tokio::task::spawn_local(async move {
        match probe {
            None => connection(edge, stream, peer, read).await,
            Some(sid) => {
                let fresh = Fresh { stream, answer: Vec::new(), read, address: peer.ip(), raw: false };
                let _ = upgrade::probe(&edge, sid, fresh).await;
            }
        }
    });
}

async fn connection(edge: Rc<Edge>, stream: TcpStream, peer: SocketAddr, read: Vec<u8>) {
    let _connecting = match edge.doors.admission.connecting(peer.ip()) {
        Ok(connecting) => connecting,
        Err(full) => return metrics::refused("edge", full.label()),
    };
    let head = tokio::time::timeout(edge.doors.head_timeout, read_head(&stream, read));
    let (bytes, head) = match Box::pin(head).await {
        Ok(Ok(read)) => read,
        // It ended before it had asked for anything.
        Ok(Err(_)) => return,
        Err(_) => return metrics::refused("http", "timeout"),
    };
    let served = match head {
        Head::Complete { request, end } => first_request(&edge, stream, peer, bytes, request, end).await,
        Head::TooLarge(status) => {
            metrics::refused("http", "too_large");
            upgrade::refuse_with(&stream, status, "").await
        }
        Head::Other => serve_http(edge, stream, peer, bytes, Door::Clients).await,
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// A connection of another gateway. It carries requests of many clients, so it is limited by none of their limits; each of
/// them was, where it came in.
async fn gateway(edge: Rc<Edge>, stream: TcpStream, peer: SocketAddr) {
    let Ok(_place) = edge.doors.admission.gateway() else {
        metrics::refused("edge", "connections");
        return;
    };
    if let Err(error) = serve_http(edge, stream, peer, Vec::new(), Door::Gateways).await {
        tracing::debug!(%peer, %error, "connection of a gateway ended");
    }
}

/// The head of a request.
struct Request {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
}

enum Head {
    /// A request whose head ends at `end`.
    Complete { request: Box<Request>, end: usize },
    /// More than is read of a head; answered with this.
    TooLarge(StatusCode),
    /// Not a request as it is served here; hyper knows what to answer.
    Other,
}

async fn read_head(stream: &TcpStream, mut bytes: Vec<u8>) -> io::Result<(Vec<u8>, Head)> {
    loop {
        if let Some(head) = parse(&bytes) {
            return Ok((bytes, head));
        }
        stream.readable().await?;
        bytes.reserve(1024);
        match stream.try_read_buf(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// `None` if more bytes are needed.
fn parse(bytes: &[u8]) -> Option<Head> {
    if bytes.is_empty() {
        return None;
    }
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut lines);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => None,
        Ok(httparse::Status::Complete(end)) if end <= MAX_HEAD => {
            let request = convert(&request).map(Box::new);
            Some(request.map_or(Head::Other, |request| Head::Complete { request, end }))
        }
        Ok(_) if bytes.contains(&b'\n') => Some(Head::TooLarge(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)),
        Ok(_) => Some(Head::TooLarge(StatusCode::URI_TOO_LONG)),
        Err(_) => Some(Head::Other),
    }
}

fn convert(parsed: &httparse::Request<'_, '_>) -> Option<Request> {
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    let version = if parsed.version? == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    Some(Request { method: parsed.method?.parse().ok()?, uri: parsed.path?.parse().ok()?, version, headers })
}

async fn first_request(
    edge: &Rc<Edge>,
    stream: TcpStream,
    peer: SocketAddr,
    bytes: Vec<u8>,
    request: Box<Request>,
    end: usize,
) -> io::Result<()> {
    let Request { method, uri, version, headers } = *request;
    if is_ambiguous(version, &headers) {
        metrics::refused("http", "malformed");
        return upgrade::refuse_with(&stream, StatusCode::BAD_REQUEST, "").await;
    }
    let Some(endpoint) = edge.endpoint(&uri) else {
        return serve_http(edge.clone(), stream, peer, bytes, Door::Clients).await;
    };
    let raw = endpoint.raw;
    let asked = ask::read(edge, &method, &uri, &headers);
    if let Ok(Ask::Poll(sid) | Ask::Upgrade(sid)) = asked
        && sid.place().1 != edge.shard.rooms.shard
    {
        let handover = Handover { stream: stream.into_std()?, peer, read: bytes, probe: None };
        let _ = edge.shard.rooms.hub.send(sid.place().1, Mail::Connection(handover));
        return Ok(());
    }
    if !ask::is_upgrade(&headers) || matches!(asked, Ok(Ask::Far(_))) {
        return serve_http(edge.clone(), stream, peer, bytes, Door::Clients).await;
    }
    let address = edge.client(peer.ip(), &headers);
    let ask = match accept_upgrade(edge, asked, address) {
        Ok(ask) => ask,
        Err(refused) => return refused.answer(&stream).await,
    };
    let accept = match upgrade::handshake(version, &headers) {
        Ok(accept) => accept,
        Err(bad) => return upgrade::refuse_with(&stream, bad.status(), "Sec-WebSocket-Version: 13\r\n").await,
    };
    let answer = upgrade::switching(&accept, upgrade::subprotocol(&headers)).into_bytes();
    let read = bytes.get(end..).unwrap_or_default().to_vec();
    drop((bytes, headers, uri));
    upgrade::serve(edge, ask, Fresh { stream, answer, read, address, raw }).await
}

/// Why an upgrade request is refused before its handshake is looked at.
pub enum Refused {
    /// Engine.IO does.
    Ask(AskError),
    /// Its address asks too often, and may again after this time.
    Rate(Duration),
    /// The gateway drains.
    Draining,
}

impl Refused {
    async fn answer(self, stream: &TcpStream) -> io::Result<()> {
        match self {
            Self::Ask(error) => upgrade::write_all(stream, upgrade::refusal(error).as_bytes()).await,
            Self::Rate(after) => {
                let header = format!("Retry-After: {}\r\n", after.as_secs() + 1);
                upgrade::refuse_with(stream, StatusCode::TOO_MANY_REQUESTS, &header).await
            }
            Self::Draining => upgrade::refuse_with(stream, StatusCode::SERVICE_UNAVAILABLE, "").await,
        }
    }
}

/// Checks what is left to check of an upgrade request: the session that it names, or whether a new one is let in.
///
/// # Errors
/// Why it is refused; it was counted.
pub fn accept_upgrade(edge: &Edge, asked: Result<Ask, AskError>, address: std::net::IpAddr) -> Result<Ask, Refused> {
    let ask = asked.and_then(|ask| match ask {
        Ask::Upgrade(sid) if sid.place().1 == edge.shard.rooms.shard && edge.shard.by_sid(sid).is_none() => {
            Err(AskError::Session)
        }
        ask => Ok(ask),
    });
    let ask = ask.map_err(|error| {
        metrics::refused("engine", error.label());
        Refused::Ask(error)
    })?;
    if ask == Ask::OpenSocket && edge.shard.draining.get() {
        metrics::refused("edge", "draining");
        return Err(Refused::Draining);
    }
    if ask == Ask::OpenSocket {
        edge.doors.admission.handshake(address).map_err(|after| {
            metrics::refused("edge", "address_handshakes");
            Refused::Rate(after)
        })?;
    }
    Ok(ask)
}
