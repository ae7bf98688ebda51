//! The HTTP API: the commands of the sockets, streams to read, and broadcasts. It must never do what a command does not:
//! every change goes through the dispatch table.
//!
//! - [`openapi`]: its description, made of the table
//! - `guard`: who asks, and how often they may

mod guard;
pub mod openapi;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Path, Query, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::StreamExt;
use haat_adapter::Totals;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    auth::{Identity, Role, Streams},
    config::{Config, Origins},
    live::{
        Shared,
        body::{Body, is_id},
        command::Reply,
        reject::{Code, Reject, json},
        table::{self, Command},
    },
};
use guard::Guard;

/// Requests that are answered at once. One more is told to come back.
const MAX_REQUESTS: usize = 1_024;
/// Depth of a body's values.
const MAX_DEPTH: usize = 32;
/// Streams of a page.
const MAX_STREAMS: usize = 200;
/// Streams of a page that are read at once.
const AT_ONCE: usize = 16;
/// See [`MAX_STREAMS`].
const STREAMS: usize = 50;
/// Records of a page of a ledger.
const MAX_RECORDS: usize = 1_000;
/// See [`MAX_RECORDS`].
const RECORDS: usize = 100;
/// Rooms of a broadcast.
const MAX_ROOMS: usize = 64;
/// Bytes of a room's name.
const MAX_ROOM: usize = 256;
/// Characters of an event's name.
const MAX_EVENT: usize = 64;
/// The header of a client's own name of what it asks for.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Characters of an idempotency key, as of the names that it stands for.
const MAX_KEY: usize = 64;
/// Names that clients keep for themselves.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// What all requests share.
struct Api {
    shared: Arc<Shared>,
    guard: Guard,
    room: Semaphore,
}

type Context = State<Arc<Api>>;

/// Serves everything under `/v1/`.
pub fn router(shared: Arc<Shared>, config: &Config) -> Router {
    let api = Arc::new(Api { shared, guard: Guard::new(&config.limits), room: Semaphore::new(MAX_REQUESTS) });
    let v1 = Router::new()
        .route("/openapi.json", get(describe))
        .route("/commands/{command}", post(command))
        .route("/streams", get(streams))
        .route("/streams/{stream}", get(stream))
        .route("/streams/{stream}/history", get(history))
        .route("/streams/{stream}/stats", get(stats))
        .route("/streams/{stream}/ledger", get(ledger))
        .route("/broadcast", post(broadcast))
        .fallback(async || Error(Reject::not_found("address")))
        .method_not_allowed_fallback(async || {
            let reject = Reject::new(Code::BadRequest, "this address takes another method");
            (StatusCode::METHOD_NOT_ALLOWED, Error(reject))
        })
        .layer(middleware::from_fn_with_state((config.engine.message_timeout, config.engine.max_payload), whole))
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(config.origins.clone(), cross_origin))
        .with_state(api);
    Router::new().nest("/v1", v1)
}

/// Takes the body in before anything is done: one that is too long or takes too long ends the connection.
async fn whole(State((patience, most)): State<(Duration, usize)>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let (status, reject) = match tokio::time::timeout(patience, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => return next.run(Request::from_parts(head, body.to_bytes().into())).await,
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            (StatusCode::PAYLOAD_TOO_LARGE, Reject::new(Code::TooLarge, "the body is too long"))
        }
        Ok(Err(_)) => (StatusCode::BAD_REQUEST, Reject::new(Code::BadRequest, "the body did not come")),
        Err(_) => (StatusCode::REQUEST_TIMEOUT, Reject::new(Code::BadRequest, "the body did not come in time")),
    };
    (status, [(header::CONNECTION, "close")], Error(reject)).into_response()
}

/// Lets pages of the origins that may connect ask as well. Others get no leave from their browsers.
async fn cross_origin(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let origin = allowed_origin(&origins, request.headers());
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type, idempotency-key"),
        );
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// The origin of the page that asks, if it may.
fn allowed_origin(origins: &Origins, headers: &HeaderMap) -> Option<HeaderValue> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let origin = text(header::ORIGIN)?;
    origins.allow(Some(origin), text(header::HOST)).then(|| headers.get(header::ORIGIN).cloned())?
}

// --- answers ---

/// An error, as every address answers it.
struct Error(Reject);

impl From<Reject> for Error {
    fn from(reject: Reject) -> Self {
        Self(reject)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let Self(reject) = self;
        crate::metrics::refused("api", reject.code.as_str());
        let status = StatusCode::from_u16(reject.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = answer(status, reject.answer());
        let after = match (reject.code, reject.retry_after) {
            (Code::RateLimited | Code::SlowMode | Code::Unavailable, after) => {
                Some(after.unwrap_or(Duration::from_secs(1)))
            }
            (_, after) => after,
        };
        if let Some(after) = after {
            // A part of a second less would be too early again.
            let seconds = HeaderValue::from(after.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if reject.code == Code::Unauthorized {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A JSON text as an answer, which nobody keeps.
fn answer(status: StatusCode, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text).into_response()
}

struct Good(Reply);

impl IntoResponse for Good {
    fn into_response(self) -> Response {
        answer(StatusCode::OK, self.0.json())
    }
}

type Answer = Result<Good, Error>;

fn good(members: String) -> Answer {
    Ok(Good(Reply(members)))
}

// --- requests ---

/// Who asks: somebody with a token, or nobody.
struct Client {
    token: Option<String>,
    address: IpAddr,
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        Ok(Self { token: bearer(&parts.headers)?, address })
    }
}

/// The token of a request; it is never taken from its address, which is written into logs.
fn bearer(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let wrong = || Error(Reject::new(Code::Unauthorized, "the header Authorization must be: Bearer <token>"));
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(wrong)?;
    let good = scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() && values.next().is_none();
    if good { Ok(Some(token.trim().to_owned())) } else { Err(wrong()) }
}

/// The text of a body: one JSON value, not too deep, whose texts are whole.
fn text(body: Bytes) -> Result<String, Error> {
    let bad = |message| Error(Reject::new(Code::BadRequest, message));
    let text = String::from_utf8(body.into()).map_err(|_| bad("the body is no UTF-8"))?;
    let value: Value = serde_json::from_str(&text).map_err(|_| bad("the body is no JSON"))?;
    if depth(&value) > MAX_DEPTH {
        return Err(bad("the body is nested too deep"));
    }
    Ok(text)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 1,
    }
}

/// Whether a body is what it must be; other types are what forms of other sites can send.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn other_type() -> Response {
    let reject = Reject::new(Code::BadRequest, "the body must be of the type application/json");
    let mut response = Error(reject).into_response();
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

impl Api {
    /// Whom the request's token names, who may ask so often. Without a token nobody, if guests may read.
    fn reader(&self, client: &Client) -> Result<Identity, Error> {
        match &client.token {
            Some(_) => self.user(client),
            None if self.shared.verifier.guests() => {
                self.guard.address(client.address)?;
                Ok(Identity::guest())
            }
            None => Err(Error(Reject::new(Code::Unauthorized, "a token is required"))),
        }
    }

    fn user(&self, client: &Client) -> Result<Identity, Error> {
        let Some(token) = &client.token else {
            return Err(Error(Reject::new(Code::Unauthorized, "a token is required")));
        };
        match self.shared.verifier.verify(token) {
            Ok(identity) => {
                self.guard.user(&identity)?;
                Ok(identity)
            }
            Err(error) => {
                self.guard.failure(client.address)?;
                Err(Error(Reject::new(Code::Unauthorized, error.to_string())))
            }
        }
    }

    fn enter(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        self.room.try_acquire().map_err(|_| Error(Reject::new(Code::Unavailable, "too many requests at once")))
    }
}

// --- addresses ---

async fn describe() -> Response {
    answer(StatusCode::OK, openapi::document().to_owned())
}

/// `POST /v1/commands/<command>`
async fn command(
    State(api): Context,
    Path(name): Path<String>,
    client: Client,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let run = async {
        let identity = api.user(&client)?;
        let _place = api.enter()?;
        let body = named(&name, &headers, text(body)?)?;
        // Where a stream is wrong or missing, the command says so.
        let stream = Body::parse(&body)?.optional::<String>("stream", "").unwrap_or_default().unwrap_or_default();
        Ok::<_, Error>(Good(api.shared.command(identity, &name, &stream, body).await?))
    };
    if is_json(&headers) { run.await.into_response() } else { other_type() }
}

/// The body with what the header `Idempotency-Key` says: it is the client's own name of what it asks for, where the command
/// takes one. Others can be repeated without it, and do not look at it.
fn named(command: &str, headers: &HeaderMap, body: String) -> Result<String, Error> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(key), Some(member)) = (keys.next(), table::find(command).and_then(Command::own_name)) else {
        return Ok(body);
    };
    let wrong = |wanted: &str| Error(Reject::field(IDEMPOTENCY_KEY, wanted));
    let key = key.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len()) && keys.next().is_none());
    let key = key.ok_or_else(|| wrong("1 to 64 plain characters"))?;
    match Body::parse(&body)?.optional::<Value>(member, "")? {
        None => {}
        Some(named) if named == key => return Ok(body),
        Some(_) => return Err(wrong(&format!("the same as \"{member}\""))),
    }
    let rest = body.trim_start().trim_start_matches('{').trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    Ok(format!(r#"{{"{member}":{}{comma}{rest}"#, json(key)))
}

#[derive(Deserialize)]
struct Page {
    after: Option<String>,
    before: Option<u64>,
    limit: Option<usize>,
}

/// The query of an address, whose fields are named where they are wrong.
fn page(query: Result<Query<Page>, axum::extract::rejection::QueryRejection>) -> Result<Page, Error> {
    query.map(|Query(page)| page).map_err(|_| Error(Reject::field("limit", "a whole number, as \"before\" is")))
}

type Paged = Result<Query<Page>, axum::extract::rejection::QueryRejection>;

/// `GET /v1/streams`: by their ids, a page of them behind `after`.
async fn streams(State(api): Context, client: Client, query: Paged) -> Answer {
    api.reader(&client)?;
    let _place = api.enter()?;
    let Page { after, limit, .. } = page(query)?;
    let limit = limit.unwrap_or(STREAMS).clamp(1, MAX_STREAMS);
    let mut ids = api.shared.store.streams().await.map_err(Reject::from)?;
    ids.retain(|id| after.as_ref().is_none_or(|after| id > after));
    ids.sort_unstable();
    let next = ids.get(limit - 1).filter(|_| ids.len() > limit).cloned();
    ids.truncate(limit);
    let totals = api.shared.all_totals(&ids).await.map_err(Reject::from)?;
    let snapshots: Vec<_> = ids.iter().map(|id| api.shared.store.snapshot(id, "", 0)).collect();
    let mut snapshots = futures::stream::iter(snapshots).buffered(AT_ONCE);
    let mut list = Vec::with_capacity(ids.len());
    for (id, Totals { viewers, .. }) in ids.iter().zip(totals) {
        let Some(snapshot) = snapshots.next().await.transpose().map_err(Reject::from)?.flatten() else { continue };
        let field = |name: &str| {
            let text = snapshot.fields.iter().find(|(known, _)| **known == *name).map(|(_, text)| &**text);
            text.unwrap_or("null").to_owned()
        };
        list.push(format!(
            r#"{{"id":"{id}","title":{},"status":{},"supplier":{},"viewers":{viewers}}}"#,
            field("title"),
            field("status"),
            field("supplier")
        ));
    }
    good(format!(r#""streams":[{}],"next":{}"#, list.join(","), json(&next)))
}

/// An id of an address.
fn id(stream: &str) -> Result<&str, Error> {
    if is_id(stream) { Ok(stream) } else { Err(Error(Reject::not_found("stream"))) }
}

/// `GET /v1/streams/<id>`
async fn stream(State(api): Context, Path(stream): Path<String>, client: Client) -> Answer {
    let identity = api.reader(&client)?;
    let _place = api.enter()?;
    let Reply(state) = api.shared.state(identity, id(&stream)?).await?;
    let key = api.shared.market.ledger_key(&stream);
    good(format!(r#"{state},"ledgerKey":{}"#, json(&key)))
}

/// `GET /v1/streams/<id>/history`
async fn history(State(api): Context, Path(stream): Path<String>, client: Client, query: Paged) -> Answer {
    let identity = api.reader(&client)?;
    let _place = api.enter()?;
    let Page { before, limit, .. } = page(query)?;
    let mut body = serde_json::json!({ "stream": id(&stream)? });
    if let Some(before) = before {
        body["before"] = before.into();
    }
    if let Some(limit) = limit {
        body["limit"] = limit.into();
    }
    Ok(Good(api.shared.command(identity, "stream:history", &stream, body.to_string()).await?))
}

/// `GET /v1/streams/<id>/stats`: as the command `stream:stats`.
async fn stats(State(api): Context, Path(stream): Path<String>, client: Client) -> Answer {
    let identity = api.user(&client)?;
    let _place = api.enter()?;
    let body = serde_json::json!({ "stream": id(&stream)? }).to_string();
    Ok(Good(api.shared.command(identity, "stream:stats", &stream, body).await?))
}

/// `GET /v1/streams/<id>/ledger`: for the stream's staff and services.
async fn ledger(State(api): Context, Path(stream): Path<String>, client: Client, query: Paged) -> Answer {
    let identity = api.user(&client)?;
    let _place = api.enter()?;
    if identity.role_in(id(&stream)?) == Role::Viewer {
        return Err(Error(Reject::new(Code::Forbidden, "your role does not allow this")));
    }
    let Page { after, limit, .. } = page(query)?;
    let after = after.unwrap_or_default();
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let place = after.split_once('-').is_some_and(|(time, place)| number(time) && number(place));
    if !after.is_empty() && !place {
        return Err(Error(Reject::field("after", "the id of a record")));
    }
    let limit = limit.unwrap_or(RECORDS).clamp(1, MAX_RECORDS);
    let exists = api.shared.store.snapshot(&stream, "", 0).await.map_err(Reject::from)?.is_some();
    if !exists {
        return Err(Error(Reject::not_found("stream")));
    }
    let records = api.shared.market.ledger(&stream, &after, limit).await.map_err(Reject::from)?;
    let next = records.last().map(|record| record.id.to_string()).or(Some(after)).filter(|next| !next.is_empty());
    let records: Vec<String> = records
        .iter()
        .map(|record| {
            let at = record.id.split('-').next().unwrap_or("0");
            let (id, kind) = (json(&record.id), json(&record.kind));
            format!(r#"{{"id":{id},"at":{at},"kind":{kind},"by":{},"data":{}}}"#, record.by, record.data)
        })
        .collect();
    good(format!(r#""records":[{}],"next":{}"#, records.join(","), json(&next)))
}

/// `POST /v1/broadcast`: a raw event into rooms, for services. One that is not for all streams reaches only the rooms of
/// its own: `stream:<id>` and `staff:<id>`.
async fn broadcast(State(api): Context, client: Client, headers: HeaderMap, body: Bytes) -> Response {
    let run = async {
        let identity = api.user(&client)?;
        if identity.role != Role::Service {
            return Err(Error(Reject::new(Code::Forbidden, "only a service may do this")));
        }
        let body = text(body)?;
        let body = Body::parse(&body)?;
        let named = rooms(&body, "rooms")?;
        let targets = named.ok_or_else(|| Reject::field("rooms", "a list of rooms"))?;
        let except = rooms(&body, "except")?.unwrap_or_default();
        if targets.is_empty() {
            return Err(Error(Reject::field("rooms", "one room at least")));
        }
        if let Some(room) = targets.iter().find(|room| !reaches(&identity, room)) {
            return Err(Error(Reject::new(Code::Forbidden, format!("the room {room} is none of your streams'"))));
        }
        let event: String = body.get("event", "the name of an event")?;
        let good_name = !event.is_empty() && event.chars().nth(MAX_EVENT).is_none() && !RESERVED.contains(&&*event);
        if !good_name {
            return Err(Error(Reject::field(
                "event",
                "1 to 64 characters, and no name that clients keep for themselves",
            )));
        }
        let data = body.raw("data").unwrap_or("null");
        let args = format!("[{},{data}]", json(&event));
        match api.shared.broadcast(&targets, &except, &args) {
            Ok(()) => good(String::new()),
            Err(_) => Err(Error(Reject::new(Code::Unavailable, "the other gateways do not get it now"))),
        }
    };
    if is_json(&headers) { run.await.into_response() } else { other_type() }
}

fn rooms(body: &Body<'_>, name: &str) -> Result<Option<Vec<String>>, Error> {
    let wanted = "a list of rooms: at most 64, of 1 to 256 bytes";
    let rooms = body.optional::<Vec<String>>(name, wanted)?;
    let good = |rooms: &Vec<String>| {
        rooms.len() <= MAX_ROOMS
            && rooms.iter().all(|room| (1..=MAX_ROOM).contains(&room.len()) && !room.chars().any(char::is_control))
    };
    if rooms.as_ref().is_none_or(good) { Ok(rooms) } else { Err(Error(Reject::field(name, wanted))) }
}

/// Whether a service may send into a room.
fn reaches(identity: &Identity, room: &str) -> bool {
    let stream = room.strip_prefix("stream:").or_else(|| room.strip_prefix("staff:"));
    identity.streams == Streams::All || stream.is_some_and(|stream| identity.streams.contains(stream))
}
