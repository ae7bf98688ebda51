//! Webhooks: what a ledger tells, sent to the servers that the operator named, in order, at least once. How far each has
//! been told is kept beside the ledger, so another gateway goes on where one has stopped. It must never send to an
//! address that came from anywhere but the configuration, nor follow one that an answer names; and whatever a name of the
//! configuration comes to mean, never to one where a machine's credentials are handed out.
//!
//! A body is signed with the shared secret: the header `Haat-Signature` is `v1=` and the HMAC-SHA-256, in hexadecimal, of
//! the header `Haat-Timestamp`, a dot, and the body. `Haat-Delivery` is the same for every try of one event.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use haat_adapter::{ReadAs, Record, StoreError, market::FOREIGN};
use hmac::{Hmac, Mac};
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, MissedTickBehavior};

use crate::{
    config::{Secret, Webhooks, network::is_for_webhooks},
    live::{Shared, fair::to_hex, hooks::Woken},
    metrics,
};

/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// From a try that failed to the next one: at first, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// What is older than this is not sent any more, in ms.
const TOO_OLD: u64 = 24 * 3600 * 1000;
/// How long nobody else reads a ledger for the same server.
const LEASE: Duration = Duration::from_secs(15);
/// Records that are read at a time.
const PAGE: usize = 100;
/// How often some of all streams are looked at, and how many.
const SCAN: (Duration, usize) = (Duration::from_secs(10), 1_000);
/// Streams that are told of at once.
const AT_ONCE: usize = 16;
/// Bytes of an answer that are read, so that the connection can be used again.
const MAX_ANSWER: usize = 64 * 1024;

/// Sends to one server.
struct Sender {
    shared: Arc<Shared>,
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    address: Uri,
    secret: Secret<String>,
    /// The name under which the ledgers are read.
    reader: String,
    /// Its place in the configuration.
    place: usize,
}

/// How a stream was left.
enum Left {
    /// All is told.
    Done,
    /// Somebody else tells it, or did so until a moment ago.
    Taken,
    /// The server did not take it.
    Refused,
    /// The store did not answer.
    Unknown,
}

/// What is behind the reader, and was not told.
#[derive(Default)]
struct Passed {
    too_old: u64,
    /// Somebody else has put them there.
    foreign: u64,
}

/// Sends what happens to the servers of the configuration, for as long as they are polled. Each has a future of its own.
///
/// # Errors
/// There are no certificates to trust.
pub fn senders(
    shared: &Arc<Shared>,
    config: &Webhooks,
    woken: Vec<Woken>,
) -> io::Result<Vec<impl Future<Output = ()> + Send + use<>>> {
    let mut senders = Vec::new();
    for (place, (address, woken)) in config.addresses.iter().zip(woken).enumerate() {
        let tls = hyper_rustls::HttpsConnectorBuilder::new().with_provider_and_native_roots(provider())?;
        let mut http = HttpConnector::new_with_resolver(Resolver);
        http.enforce_http(false);
        let connector = tls.https_or_http().enable_http1().wrap_connector(http);
        let digest = to_hex(&Sha256::digest(address.to_string()));
        let sender = Sender {
            shared: shared.clone(),
            client: Client::builder(TokioExecutor::new()).build(connector),
            address: address.clone(),
            secret: config.secret.clone(),
            reader: format!("hook-{}", digest.get(..16).unwrap_or(&digest)),
            place,
        };
        senders.push(sender.run(woken));
    }
    Ok(senders)
}

/// Finds the addresses of a host, those aside to which nothing may be sent.
#[derive(Debug, Clone, Copy)]
struct Resolver;

impl tower::Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let good: Vec<SocketAddr> = found.filter(|address| is_for_webhooks(address.ip())).collect();
            let none = || io::Error::other(format!("{name} is not a place for webhooks"));
            if good.is_empty() { Err(none()) } else { Ok(good.into_iter()) }
        })
    }
}

fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::ring::default_provider()
}

impl Sender {
    async fn run(self, mut woken: Woken) {
        metrics::webhooks_skipped(self.place, 0);
        metrics::foreign_records(self.place, 0);
        let sender = Arc::new(self);
        let (mut waiting, mut failures) = (BTreeSet::<Arc<str>>::new(), BTreeMap::<Arc<str>, (Instant, u32)>::new());
        let (mut busy, mut telling) = (BTreeSet::<Arc<str>>::new(), FuturesUnordered::new());
        let mut scan = tokio::time::interval(SCAN.0);
        scan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut place = String::new();
        loop {
            let now = Instant::now();
            while telling.len() < AT_ONCE {
                let ready = |stream: &&Arc<str>| {
                    !busy.contains(*stream) && failures.get(*stream).is_none_or(|(at, _)| *at <= now)
                };
                let Some(stream) = waiting.iter().find(ready).cloned() else { break };
                waiting.remove(&stream);
                busy.insert(stream.clone());
                let sender = sender.clone();
                telling.push(async move {
                    let left = sender.tell(&stream).await;
                    (stream, left)
                });
            }
            let late = failures.values().filter(|(_, tries)| *tries > 0).count();
            metrics::webhooks_late(sender.place, late);
            let next = failures.values().map(|(at, _)| *at).filter(|at| *at > now).min();
            let next = next.unwrap_or(now + SCAN.0);
            tokio::select! {
                Some(stream) = woken.recv() => drop(waiting.insert(stream)),
                Some((stream, left)) = telling.next() => {
                    busy.remove(&stream);
                    let tries = failures.remove(&stream).map_or(0, |(_, tries)| tries);
                    let again = match left {
                        Left::Done => continue,
                        // Whoever tells it may stop.
                        Left::Taken => (Instant::now() + LEASE, 0),
                        Left::Refused | Left::Unknown => (Instant::now() + backoff(tries), tries + 1),
                    };
                    failures.insert(stream.clone(), again);
                    waiting.insert(stream);
                }
                _ = scan.tick() => waiting.extend(sender.scan(&mut place).await),
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Some streams, in turn: what another gateway left, and what nobody was woken for.
    async fn scan(&self, place: &mut String) -> Vec<Arc<str>> {
        let Ok(mut streams) = self.shared.store.streams().await else { return Vec::new() };
        streams.sort_unstable();
        let start = streams.partition_point(|stream| *stream <= *place);
        let some: Vec<Arc<str>> =
            streams.iter().skip(start).take(SCAN.1).map(|stream| stream.as_str().into()).collect();
        *place = some.last().filter(|_| some.len() == SCAN.1).map(|last| last.to_string()).unwrap_or_default();
        some
    }

    /// Tells what is new of a stream.
    async fn tell(&self, stream: &Arc<str>) -> Left {
        let left = match self.try_tell(stream).await {
            Ok(left) => left,
            // There is no such stream any more.
            Err(StoreError::Conflict(_)) => return Left::Done,
            Err(_) => Left::Unknown,
        };
        // Another gateway may go on at once.
        let _ = self.read_as(stream, Duration::ZERO, None).await;
        left
    }

    async fn try_tell(&self, stream: &Arc<str>) -> Result<Left, StoreError> {
        let Some(mut position) = self.read_as(stream, LEASE, None).await? else { return Ok(Left::Taken) };
        loop {
            let records = self.shared.market.ledger(stream, &position, PAGE).await?;
            let mut passed = Passed::default();
            for record in &records {
                position = record.id.to_string();
                // What tells nothing, or too late, is passed over together, with the next one that is told or at the end of
                // the page.
                passed.foreign += u64::from(*record.kind == *FOREIGN);
                let Some(event) = event_of(record) else { continue };
                let Some(body) = self.body(stream, event, record) else {
                    passed.too_old += 1;
                    continue;
                };
                if !self.send(&record.id, stream, event, body).await {
                    return Ok(Left::Refused);
                }
                // Told only once if nobody fails.
                if self.read_as(stream, LEASE, Some(&position)).await?.is_none() {
                    return Ok(Left::Taken);
                }
                self.count(stream, &std::mem::take(&mut passed));
            }
            if self.read_as(stream, LEASE, Some(&position)).await?.is_none() {
                return Ok(Left::Taken);
            }
            self.count(stream, &passed);
            if records.len() < PAGE {
                return Ok(Left::Done);
            }
        }
    }

    /// The server will never be told of these.
    fn count(&self, stream: &str, passed: &Passed) {
        let host = self.address.host().unwrap_or_default();
        let Passed { too_old, foreign } = *passed;
        if too_old > 0 {
            metrics::webhooks_skipped(self.place, too_old);
            tracing::warn!(host, stream, events = too_old, "webhooks were given up after a day");
        }
        if foreign > 0 {
            metrics::foreign_records(self.place, foreign);
            tracing::warn!(host, stream, records = foreign, "a ledger has records that no gateway has written");
        }
    }

    async fn read_as(&self, stream: &str, ttl: Duration, advance: Option<&str>) -> Result<Option<String>, StoreError> {
        let read = ReadAs { stream, reader: &self.reader, owner: self.shared.name(), ttl, advance };
        self.shared.market.read_as(read).await
    }

    /// What is sent of a record; `None`: it is too old.
    fn body(&self, stream: &str, event: &str, record: &Record) -> Option<String> {
        let at: u64 = record.id.split('-').next()?.parse().ok()?;
        if self.shared.market.now().saturating_sub(at) > TOO_OLD {
            return None;
        }
        let Record { id, by, data, .. } = record;
        Some(format!(
            r#"{{"id":"{stream}/{id}","event":"{event}","stream":"{stream}","at":{at},"by":{by},"data":{data}}}"#
        ))
    }

    /// Tries once. Says whether the server has taken it.
    async fn send(&self, id: &str, stream: &str, event: &str, body: String) -> bool {
        let sent = tokio::time::timeout(TIMEOUT, self.post(&format!("{stream}/{id}"), event, body)).await;
        let outcome = match &sent {
            Ok(Ok(status)) if status.is_success() => "delivered",
            Ok(Ok(_)) => "refused",
            Ok(Err(_)) => "failed",
            Err(_) => "timeout",
        };
        metrics::webhook(outcome);
        if outcome != "delivered" {
            let host = self.address.host().unwrap_or_default();
            tracing::warn!(host, event, outcome, "a webhook was not delivered");
        }
        outcome == "delivered"
    }

    async fn post(
        &self,
        id: &str,
        event: &str,
        body: String,
    ) -> Result<http::StatusCode, hyper_util::client::legacy::Error> {
        // The wall clock: whoever checks the signature has no other.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let timestamp = since.as_secs().to_string();
        let signature = sign(self.secret.expose(), &timestamp, &body);
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.address.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("haat/", env!("CARGO_PKG_VERSION")))
            .header("Haat-Event", event)
            .header("Haat-Delivery", id)
            .header("Haat-Timestamp", timestamp)
            .header("Haat-Signature", format!("v1={signature}"))
            .body(Full::new(Bytes::from(body)))
            .expect("an address that was checked, and headers of plain characters");
        let answer = self.client.request(request).await?;
        let status = answer.status();
        // Read to its end, the connection can be used again; an answer that does not end is left alone.
        let _ = http_body_util::Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        Ok(status)
    }
}

/// The signature of a body, in hexadecimal.
pub fn sign(secret: &str, timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length is taken");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    to_hex(&mac.finalize().into_bytes())
}

/// What a record is called outside; `None`: nobody is told of it.
fn event_of(record: &Record) -> Option<&'static str> {
    match &*record.kind {
        "stream:started" => Some("stream:started"),
        "stream:ended" => Some("stream:ended"),
        "claim" => Some("claim"),
        "chat:held" => Some("chat:held"),
        "spin" => {
            let data: Value = serde_json::from_str(&record.data).ok()?;
            data.get("prize").filter(|prize| !prize.is_null()).map(|_| "win")
        }
        _ => None,
    }
}

/// How long to wait after so many tries that failed.
fn backoff(tries: u32) -> Duration {
    let (first, most) = BACKOFF;
    first.saturating_mul(2_u32.saturating_pow(tries)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: &str, data: &str) -> Record {
        Record { id: "1-0".into(), kind: kind.into(), by: "null".into(), data: data.into() }
    }

    #[test]
    fn only_what_is_promised_is_told() {
        let table = [
            ("stream:started", "{}", Some("stream:started")),
            ("stream:ended", "{}", Some("stream:ended")),
            ("claim", "{}", Some("claim")),
            ("chat:held", "{}", Some("chat:held")),
            ("spin", r#"{"prize":{"id":"a"}}"#, Some("win")),
            ("spin", r#"{"prize":null}"#, None),
            ("chat:message", "{}", None),
            ("user:ban", "{}", None),
            (FOREIGN, "{}", None),
        ];
        for (kind, data, event) in table {
            assert_eq!(event_of(&record(kind, data)), event, "{kind} {data}");
        }
    }

    /// printf '1.{}' | openssl dgst -sha256 -hmac secret
    #[test]
    fn a_signature_is_the_one_that_is_described() {
        let expected = "1122767b193110cfec322b6f199b599edbf608ed087f2d27afb0b97d99523908";
        assert_eq!(sign("secret", "1", "{}"), expected);
    }

    #[tokio::test]
    async fn a_name_that_means_a_forbidden_address_leads_nowhere() {
        let find = |name: &str| tower::Service::call(&mut Resolver, name.parse().unwrap());
        assert!(find("localhost").await.unwrap().all(|address| address.ip().is_loopback()));
        // Whatever way it is written in.
        for name in ["169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.43518", "0"] {
            assert!(find(name).await.is_err(), "{name}");
        }
    }

    #[test]
    fn tries_become_rarer() {
        assert_eq!((backoff(0), backoff(3), backoff(40)), (BACKOFF.0, 8 * BACKOFF.0, BACKOFF.1));
    }
}
