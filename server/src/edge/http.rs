//! Long polling and everything that is no WebSocket, by hyper. WebSocket handshakes come here too, on connections that
//! a proxy keeps open for several clients.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use axum::{body::Body, extract::ConnectInfo};
use haat_protocol::{SessionId, payload};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::oneshot};
use tower::ServiceExt;

use super::{
    Door, Edge, MAX_HEAD, MAX_HEADERS,
    accept::{Refused, accept_upgrade},
    ask::{self, Ask, AskError},
    is_ambiguous, relay,
    rewind::Rewind,
    upgrade::{self, BadHandshake, Fresh},
};
use crate::{
    hub::mailbox::{Handover, Mail, Poll, PollAnswer},
    metrics,
};

/// Serves a connection until it ends or becomes a WebSocket. `read` was read of it already.
pub async fn serve(edge: Rc<Edge>, stream: TcpStream, peer: SocketAddr, read: Vec<u8>, door: Door) -> io::Result<()> {
    let service = service_fn(|request| {
        let edge = edge.clone();
        async move { Ok::<_, Infallible>(answer(edge, request, peer, door).await) }
    });
    let (head_timeout, max_head) = match door {
        Door::Clients => (edge.doors.head_timeout, MAX_HEAD),
        // Connections wait longer for their next request, and a head that fitted has become longer by its seal.
        Door::Gateways => (relay::PEER_IDLE, 2 * MAX_HEAD),
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(max_head)
        .serve_connection(TokioIo::new(Rewind::new(read, stream)), service)
        .with_upgrades();
    Box::pin(connection).await.map_err(|error| {
        if error.is_parse_too_large() {
            metrics::refused("http", "too_large");
        } else if error.is_parse() {
            metrics::refused("http", "malformed");
        }
        // A timeout is no refusal: most connections that it ends have had their answers, and are idle.
        io::Error::other(error)
    })
}

async fn answer(edge: Rc<Edge>, request: Request<Incoming>, peer: SocketAddr, door: Door) -> Response<Body> {
    // A target without a path is a proxy's.
    if request.uri().path().is_empty() || is_ambiguous(request.version(), request.headers()) {
        metrics::refused("http", "malformed");
        return closing(status(StatusCode::BAD_REQUEST));
    }
    let passed_on = match door {
        Door::Clients => None,
        Door::Gateways => match relay::taken(&edge, &request) {
            Ok(client) => Some(client),
            Err(_) => return closing(status(StatusCode::UNAUTHORIZED)),
        },
    };
    let raw = match edge.endpoint(request.uri()) {
        Some(endpoint) => endpoint.raw,
        None if passed_on.is_some() => return status(StatusCode::NOT_FOUND),
        None => {
            let site = edge.doors.site.clone();
            let client = SocketAddr::new(edge.client(peer.ip(), request.headers()), peer.port());
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(client));
            return site.oneshot(request).await.unwrap_or_else(|never| match never {});
        }
    };
    let address = passed_on.unwrap_or_else(|| edge.client(peer.ip(), request.headers()));
    let allowed = ask::check_origin(&edge, request.headers()).is_ok();
    let origin = request.headers().get(header::ORIGIN).filter(|_| allowed).cloned();
    let mut asked = ask::read(&edge, request.method(), request.uri(), request.headers());
    if passed_on.is_some() {
        asked = asked.and_then(Ask::of_this_gateway);
    }
    let mut response = if request.method() == Method::OPTIONS && origin.is_some() {
        preflight(&request)
    } else if let Ok(Ask::Far(sid)) = asked {
        relay::pass(&edge, sid, request, address).await
    } else if ask::is_upgrade(request.headers()) {
        websocket(&edge, request, asked, address, peer, raw)
    } else {
        match asked {
            Ok(Ask::Open) => open(&edge, raw, address),
            Ok(Ask::Poll(sid)) => poll(&edge, sid, request).await,
            Ok(_) => engine_error(AskError::Request),
            Err(error) => engine_error(error),
        }
    };
    if let Some(origin) = origin {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

pub(super) fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}

pub(super) fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn content(kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn engine_error(error: AskError) -> Response<Body> {
    metrics::refused("engine", error.label());
    let mut response = content("application/json", error.body());
    *response.status_mut() = error.status();
    response
}

/// The same for a WebSocket handshake; it was counted.
pub(super) fn upgrade_error(error: AskError) -> Response<Body> {
    let mut response = content("text/html", error.to_string());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    closing(response)
}

/// A page asks whether it may send requests from where it is.
fn preflight(request: &Request<Incoming>) -> Response<Body> {
    let mut response = status(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST"));
    if let Some(asked) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

// --- long polling ---

fn open(edge: &Rc<Edge>, raw: bool, address: IpAddr) -> Response<Body> {
    if edge.shard.draining.get() {
        metrics::refused("edge", "draining");
        return closing(status(StatusCode::SERVICE_UNAVAILABLE));
    }
    if let Err(after) = edge.doors.admission.handshake(address) {
        metrics::refused("edge", "address_handshakes");
        return too_many(after);
    }
    let admission = match edge.doors.admission.connection(address) {
        Ok(admission) => admission,
        Err(full) => {
            metrics::refused("edge", full.label());
            return too_many(Duration::from_secs(10));
        }
    };
    match edge.shard.open_polling(raw, address, Some(Box::new(admission))) {
        Ok(open) => content("text/plain; charset=UTF-8", payload::encode(std::iter::once(&open))),
        Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

pub(super) fn too_many(after: Duration) -> Response<Body> {
    let mut response = status(StatusCode::TOO_MANY_REQUESTS);
    let seconds = HeaderValue::from(after.as_secs() + 1);
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

async fn poll(edge: &Rc<Edge>, sid: SessionId, request: Request<Incoming>) -> Response<Body> {
    match *request.method() {
        Method::GET => get(edge, sid).await,
        Method::POST => post(edge, sid, request).await,
        _ => other_method(edge, sid).await,
    }
}

async fn other_method(edge: &Rc<Edge>, sid: SessionId) -> Response<Body> {
    let (answer, known) = oneshot::channel();
    ask_shard(edge, sid, Poll::Look(answer));
    if !matches!(known.await, Ok(PollAnswer::Ok)) {
        return engine_error(AskError::Session);
    }
    metrics::refused("http", "method");
    let mut response = status(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    response
}

/// Gives a request to the shard of the session, which may be another one.
fn ask_shard(edge: &Rc<Edge>, sid: SessionId, request: Poll) {
    let shard = sid.place().1;
    if shard == edge.shard.rooms.shard {
        edge.shard.poll(sid, request);
    } else {
        let _ = edge.shard.rooms.hub.send(shard, Mail::Poll(sid, request));
    }
}

/// Tells the shard if the client hangs up while its GET waits.
struct Waiting<'a> {
    edge: &'a Rc<Edge>,
    sid: SessionId,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            ask_shard(self.edge, self.sid, Poll::Aborted);
        }
    }
}

async fn get(edge: &Rc<Edge>, sid: SessionId) -> Response<Body> {
    let (answer, answered) = oneshot::channel();
    ask_shard(edge, sid, Poll::Get(answer));
    let answer = match answered.await {
        Ok(PollAnswer::Wait(body)) => {
            let mut waiting = Waiting { edge, sid, answered: false };
            let body = body.await;
            waiting.answered = true;
            body.map_or(PollAnswer::Overlap, PollAnswer::Body)
        }
        Ok(answer) => answer,
        Err(_) => PollAnswer::Unknown,
    };
    respond(answer)
}

fn respond(answer: PollAnswer) -> Response<Body> {
    match answer {
        PollAnswer::Body(body) => content("text/plain; charset=UTF-8", body),
        PollAnswer::Ok => content("text/html", "ok".to_owned()),
        // The session has ended for it, which is counted there.
        PollAnswer::Overlap | PollAnswer::Wait(_) => closing(status(StatusCode::BAD_REQUEST)),
        PollAnswer::Unknown => engine_error(AskError::Session),
        PollAnswer::WrongTransport => engine_error(AskError::Request),
    }
}

async fn post(edge: &Rc<Edge>, sid: SessionId, request: Request<Incoming>) -> Response<Body> {
    let (answer, begun) = oneshot::channel();
    ask_shard(edge, sid, Poll::PostBegin(answer));
    match begun.await {
        Ok(PollAnswer::Ok) => {}
        Ok(answer) => return respond(answer),
        Err(_) => return engine_error(AskError::Session),
    }
    let mut receiving = Receiving { edge, sid, failed: Some(false) };
    match body(edge, request).await {
        Ok(body) => {
            receiving.failed = None;
            let (answer, done) = oneshot::channel();
            ask_shard(edge, sid, Poll::PostEnd(body, answer));
            done.await.map_or_else(|_| engine_error(AskError::Session), respond)
        }
        Err(code) => {
            let too_large = code == StatusCode::PAYLOAD_TOO_LARGE;
            if too_large {
                metrics::refused("engine", "too_large");
            }
            receiving.failed = Some(too_large);
            closing(status(code))
        }
    }
}

/// Tells the shard if a POST does not come to its end, with whether it was only too long.
struct Receiving<'a> {
    edge: &'a Rc<Edge>,
    sid: SessionId,
    failed: Option<bool>,
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        if let Some(too_large) = self.failed {
            ask_shard(self.edge, self.sid, Poll::PostFailed { too_large });
        }
    }
}

async fn body(edge: &Rc<Edge>, request: Request<Incoming>) -> Result<String, StatusCode> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind == "application/octet-stream") {
        return Err(StatusCode::BAD_REQUEST);
    }
    let limit = edge.shard.settings.max_payload;
    if declared_length(request.headers()).is_some_and(|length| length > limit) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let whole = Limited::new(request.into_body(), limit).collect();
    let whole = tokio::time::timeout(edge.shard.settings.message_timeout, whole)
        .await
        .map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
    let bytes = whole.map_err(|error| {
        if error.is::<LengthLimitError>() { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST }
    })?;
    String::from_utf8(bytes.to_bytes().into()).map_err(|_| StatusCode::BAD_REQUEST)
}

/// The length of a body, if the request says it.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

// --- WebSocket on a connection that hyper reads ---

fn websocket(
    edge: &Rc<Edge>,
    mut request: Request<Incoming>,
    asked: Result<Ask, AskError>,
    address: IpAddr,
    peer: SocketAddr,
    raw: bool,
) -> Response<Body> {
    let ask = match accept_upgrade(edge, asked, address) {
        Ok(ask) => ask,
        Err(Refused::Ask(error)) => return upgrade_error(error),
        Err(Refused::Rate(after)) => return closing(too_many(after)),
        Err(Refused::Draining) => return closing(status(StatusCode::SERVICE_UNAVAILABLE)),
    };
    let accept = match upgrade::handshake(request.version(), request.headers()) {
        Ok(accept) => accept,
        Err(bad) => return bad_handshake(bad),
    };
    let mut agreed = HeaderMap::new();
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        agreed.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    let subprotocol = upgrade::subprotocol(request.headers()).and_then(|name| HeaderValue::from_str(name).ok());
    if let Some(name) = subprotocol {
        agreed.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    let response = switching(&agreed);
    let upgraded = hyper::upgrade::on(&mut request);
    let edge = edge.clone();
    tokio::task::spawn_local(async move {
        if let Ok(upgraded) = upgraded.await
            && let Err(error) = switched(&edge, ask, upgraded, address, peer, raw).await
        {
            tracing::debug!(%peer, %error, "WebSocket ended");
        }
    });
    response
}

/// The answer to a WebSocket handshake that is none.
pub(super) fn bad_handshake(bad: BadHandshake) -> Response<Body> {
    let mut response = status(bad.status());
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    closing(response)
}

/// The 101 answer, with what was agreed on.
pub(super) fn switching(agreed: &HeaderMap) -> Response<Body> {
    let mut response = status(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    for name in [header::SEC_WEBSOCKET_ACCEPT, header::SEC_WEBSOCKET_PROTOCOL] {
        if let Some(value) = agreed.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    response
}

/// The socket of a connection that hyper has read, and what was read of it.
pub(super) fn socket_of(upgraded: Upgraded) -> io::Result<(TcpStream, Vec<u8>)> {
    let parts =
        upgraded.downcast::<TokioIo<Rewind>>().map_err(|_| io::Error::other("not the socket of this server"))?;
    let (first, stream) = parts.io.into_inner().into_parts();
    Ok((stream, [&*parts.read_buf, &*first].concat()))
}

async fn switched(
    edge: &Rc<Edge>,
    ask: Ask,
    upgraded: Upgraded,
    address: IpAddr,
    peer: SocketAddr,
    raw: bool,
) -> io::Result<()> {
    let (stream, read) = socket_of(upgraded)?;
    match ask {
        Ask::Upgrade(sid) if sid.place().1 != edge.shard.rooms.shard => {
            let handover = Handover { stream: stream.into_std()?, peer, read, probe: Some(sid) };
            let _ = edge.shard.rooms.hub.send(sid.place().1, Mail::Connection(handover));
            Ok(())
        }
        ask => upgrade::serve(edge, ask, Fresh { stream, answer: Vec::new(), read, address, raw }).await,
    }
}
