//! [`pass`]: a request whose session lives on another gateway goes there, and its answer comes back.
//!
//! ```text
//! client ── request ──> this gateway ── the same, with a seal ──> the one that the session id names
//!        <── answer ───              <── answer ───────────────
//! ```
//! One hop, never two: what came by a hop is served where it arrives or not at all. Nothing is tried twice that may have
//! arrived, since a packet must not be heard twice. The owner checks everything again. Whatever goes wrong, the client gets
//! the answer of a session that is not there, and begins a new one.

use std::{
    cell::RefCell,
    collections::HashMap,
    error::Error,
    io,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::body::Body;
use haat_protocol::SessionId;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use super::{
    Edge,
    ask::{AskError, is_upgrade},
    http as answers, tunnel,
    upgrade::handshake,
};
use crate::{
    fleet::{
        Fleet,
        seal::{self, Broken},
    },
    hub::Passing,
    metrics,
};

/// How long a connection to another gateway may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long another gateway may take to answer, beyond what the request itself may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Connections to one gateway that a shard keeps open without a request.
const IDLE: usize = 64;
/// How long it does. The other end keeps them longer, so that none is closed just as it is used.
const IDLE_TIME: Duration = Duration::from_secs(20);
/// How long the other end does.
pub const PEER_IDLE: Duration = Duration::from_secs(60);
/// Bytes of an answer: what a session may have queued, and what it gets when it is recovered.
const MAX_ANSWER: usize = 64 << 20;
/// Bytes that the kernel takes in for a client that reads slowly. More would hide from the owner that it does.
const RECEIVE_BUFFER: u32 = 256 * 1024;
/// A gateway that vanished without a word is noticed after this time, if there is something to send.
const SILENCE: Duration = Duration::from_secs(10);
/// From this time on it is asked whether it is still there, if there is nothing to send.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Headers of a request that its owner needs.
const PASSED_ON: [HeaderName; 7] = [
    header::HOST,
    header::ORIGIN,
    header::CONTENT_TYPE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
];
/// Headers of an answer that are about the connection between the gateways, or made anew for the client's.
const KEPT_BACK: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::TE,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::DATE,
];

/// The connections of a shard to other gateways that wait for a request.
#[derive(Default)]
pub struct Relay {
    idle: RefCell<HashMap<Arc<str>, Vec<Idle>>>,
}

struct Idle {
    line: Line,
    since: Instant,
}

type Line = SendRequest<Body>;

impl Relay {
    fn take(&self, address: &str) -> Option<Line> {
        let mut idle = self.idle.borrow_mut();
        let lines = idle.get_mut(address)?;
        // The one that was used last: the others may rest until they are too old.
        std::iter::from_fn(|| lines.pop()).find(Idle::is_good).map(|idle| idle.line)
    }

    /// Keeps a connection for the next request, once this one is all done.
    fn keep(edge: &Rc<Edge>, address: Arc<str>, mut line: Line) {
        let edge = edge.clone();
        tokio::task::spawn_local(async move {
            if !matches!(timeout(ANSWER, line.ready()).await, Ok(Ok(()))) {
                return;
            }
            let mut idle = edge.relay.idle.borrow_mut();
            idle.retain(|_, lines| {
                lines.retain(Idle::is_good);
                !lines.is_empty()
            });
            let lines = idle.entry(address).or_default();
            if lines.len() < IDLE {
                lines.push(Idle { line, since: Instant::now() });
            }
        });
    }
}

impl Idle {
    fn is_good(&self) -> bool {
        self.line.is_ready() && self.since.elapsed() < IDLE_TIME
    }
}

/// Why a request was not answered by its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// No gateway has the number that the session id names.
    Unknown,
    /// It cannot be reached, or broke off.
    Unreachable,
    /// It takes too long.
    Late,
    /// It does not believe that we are of its fleet.
    Refused,
    /// Too many requests are on their way.
    Busy,
    /// There is no place for another connection.
    Full,
    /// The body is above `maxPayload`.
    TooLarge,
}

impl Failure {
    fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unreachable => "unreachable",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::Busy => "busy",
            Self::Full => "full",
            Self::TooLarge => "too_large",
        }
    }

    /// The answer, which is counted here as a refusal.
    fn answer(self, upgrade: bool) -> Response<Body> {
        let (reason, answer) = match self {
            Self::Unknown | Self::Unreachable | Self::Late | Self::Refused if upgrade => {
                metrics::refused("engine", AskError::Session.label());
                return answers::upgrade_error(AskError::Session);
            }
            Self::Unknown | Self::Unreachable | Self::Late | Self::Refused => {
                return answers::engine_error(AskError::Session);
            }
            Self::Busy => ("hops", answers::status(StatusCode::SERVICE_UNAVAILABLE)),
            Self::Full => ("address_connections", answers::too_many(Duration::from_secs(10))),
            Self::TooLarge => ("too_large", answers::status(StatusCode::PAYLOAD_TOO_LARGE)),
        };
        metrics::refused(if self == Self::TooLarge { "engine" } else { "edge" }, reason);
        answers::closing(answer)
    }
}

/// Passes a request of `client` on to the gateway that holds its session.
pub async fn pass(edge: &Rc<Edge>, sid: SessionId, request: Request<Incoming>, client: IpAddr) -> Response<Body> {
    let Some(fleet) = &edge.doors.fleet else { return answers::engine_error(AskError::Session) };
    let upgrade = is_upgrade(request.headers());
    // The owner gets a request of ours, in which not everything would be seen that is wrong with this one.
    if upgrade && let Err(bad) = handshake(request.version(), request.headers()) {
        return answers::bad_handshake(bad);
    }
    let kind = match *request.method() {
        _ if upgrade => "upgrade",
        Method::GET => "get",
        Method::POST => "post",
        _ => "other",
    };
    let hop = Hop { edge, fleet, gateway: sid.place().0, client };
    let passed = if upgrade { Box::pin(hop.upgrade(request)).await } else { Box::pin(hop.poll(request)).await };
    metrics::hop(kind, passed.as_ref().err().map_or("answered", |failure| failure.label()));
    passed.unwrap_or_else(|failure| failure.answer(upgrade))
}

struct Hop<'a> {
    edge: &'a Rc<Edge>,
    fleet: &'a Fleet,
    gateway: u32,
    client: IpAddr,
}

impl Hop<'_> {
    async fn poll(&self, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let _leave = self.fleet.hop().ok_or(Failure::Busy)?;
        let _passage = self.edge.shard.rooms.hub.pass(Passing::Poll);
        let settings = &self.edge.shard.settings;
        if answers::declared_length(request.headers()).is_some_and(|length| length > settings.max_payload) {
            return Err(Failure::TooLarge);
        }
        let address = self.find().await?;
        // A GET is answered with a ping at the latest.
        let within = match *request.method() {
            Method::GET => settings.ping_interval + settings.ping_timeout,
            _ => settings.message_timeout,
        };
        let (head, body) = request.into_parts();
        let request = self.sealed(&head, &address, Body::new(Limited::new(body, settings.max_payload)));
        let exchange = async {
            let (answer, line) = self.send(&address, request).await?;
            let answer = self.whole(answer).await?;
            Relay::keep(self.edge, address.clone(), line);
            Ok(answer)
        };
        timeout(within + ANSWER, exchange).await.unwrap_or(Err(Failure::Late))
    }

    async fn upgrade(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let place = self.edge.doors.admission.connection(self.client).map_err(|_| Failure::Full)?;
        let address = self.find().await?;
        let near = hyper::upgrade::on(&mut request);
        let (head, _) = request.into_parts();
        let mut request = self.sealed(&head, &address, Body::empty());
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let exchange = async {
            let mut line = connect(&address).await.map_err(|_| Failure::Unreachable)?;
            let mut answer = line.send_request(request).await.map_err(|_| Failure::Unreachable)?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                return self.whole(answer).await.map(answers::closing);
            }
            let far = hyper::upgrade::on(&mut answer);
            tokio::task::spawn_local(tunnel::begin(self.edge.clone(), near, far, place));
            Ok(answers::switching(answer.headers()))
        };
        timeout(ANSWER, exchange).await.unwrap_or(Err(Failure::Late))
    }

    async fn find(&self) -> Result<Arc<str>, Failure> {
        self.fleet.find(self.gateway).await.ok_or(Failure::Unknown)
    }

    /// The request as its owner gets it.
    fn sealed(&self, head: &request::Parts, address: &str, body: Body) -> Request<Body> {
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let seal = self.fleet.seal.make(self.client, &head.method, target, SystemTime::now());
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = target.parse().unwrap_or_default();
        let headers = request.headers_mut();
        for name in PASSED_ON {
            for value in head.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        // A client of HTTP/1.0 need not name one.
        if let (None, Ok(host)) = (headers.get(header::HOST), HeaderValue::from_str(address)) {
            headers.insert(header::HOST, host);
        }
        headers.insert(seal::HEADER, seal);
        request
    }

    /// Sends a request on a connection that rests, or on a new one.
    async fn send(&self, address: &str, request: Request<Body>) -> Result<(Response<Incoming>, Line), Failure> {
        let mut unsent = request;
        if let Some(mut line) = self.edge.relay.take(address) {
            match line.try_send_request(unsent).await {
                Ok(answer) => return Ok((answer, line)),
                // The other end has just closed it. A request that comes back has not been sent.
                Err(mut error) => match error.take_message() {
                    Some(request) => unsent = request,
                    None => return Err(broken(error.error())),
                },
            }
        }
        let mut line = connect(address).await.map_err(|_| Failure::Unreachable)?;
        let answer = line.send_request(unsent).await.map_err(|error| broken(&error))?;
        Ok((answer, line))
    }

    /// The owner's answer as the client gets it.
    async fn whole(&self, answer: Response<Incoming>) -> Result<Response<Body>, Failure> {
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|_| Failure::Unreachable)?;
        // No session answers so.
        if head.status == StatusCode::UNAUTHORIZED {
            self.fleet.refused(self.gateway);
            return Err(Failure::Refused);
        }
        let mut answer = Response::new(Body::from(body.to_bytes()));
        *answer.status_mut() = head.status;
        for (name, value) in head.headers.iter().filter(|(name, _)| !KEPT_BACK.contains(name)) {
            answer.headers_mut().append(name, value.clone());
        }
        // Where the owner cuts its client off, so do we.
        let closes = head.headers.get(header::CONNECTION).is_some_and(|value| value == "close");
        Ok(if closes { answers::closing(answer) } else { answer })
    }
}

/// What it means that a request came to no answer.
fn broken(error: &hyper::Error) -> Failure {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return Failure::TooLarge;
        }
        cause = error.source();
    }
    Failure::Unreachable
}

async fn connect(address: &str) -> io::Result<Line> {
    let stream = timeout(CONNECT, dial(address)).await??;
    let builder = http1::Builder::new();
    let (line, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Ends when the line is dropped, an answer that nobody waits for any more included: its owner notices.
    tokio::task::spawn_local(connection.with_upgrades());
    Ok(line)
}

async fn dial(address: &str) -> io::Result<TcpStream> {
    let mut failed = io::ErrorKind::NotFound.into();
    for address in tokio::net::lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_nodelay(true)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        let probes = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(SILENCE / 2).with_retries(2);
        SockRef::from(&socket).set_tcp_keepalive(&probes)?;
        #[cfg(target_os = "linux")]
        SockRef::from(&socket).set_tcp_user_timeout(Some(SILENCE))?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The client for whom another gateway passed a request on to us.
///
/// # Errors
/// It cannot prove that it is one of the fleet.
pub fn taken(edge: &Edge, request: &Request<Incoming>) -> Result<IpAddr, Broken> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let checked = edge.doors.fleet.as_ref().ok_or(Broken::Absent).and_then(|fleet| {
        fleet.seal.check(request.headers().get(seal::HEADER), request.method(), target, SystemTime::now())
    });
    metrics::taken(checked.err().map_or("believed", Broken::label));
    checked
}
