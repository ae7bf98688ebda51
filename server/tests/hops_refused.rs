//! What is not passed on, and what is not taken from another gateway: each is answered soon, and the session is not touched.

mod support;

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use haat_adapter::{GatewayLease, Store};
use haat_protocol::SessionId;
use haat_server::fleet::seal::{HEADER, Seal};
use http::{HeaderValue, Method};
use support::{
    SECRET, World,
    pair::{POLLING, Pair, SOCKET, Session, count},
    patiently,
    polling::UNKNOWN,
    wire::{Answer, Seen, Wire, get},
};
use tokio::net::TcpListener;

const OTHER_SECRET: &str = "another secret of the tests, thirty-two bytes or more";

/// Gets `target` from the peer listener of a gateway, with this seal.
async fn hop(world: &World, target: &str, seal: Option<&HeaderValue>) -> Answer {
    let seal = seal.map(|seal| format!("{HEADER}: {}\r\n", seal.to_str().expect("text"))).unwrap_or_default();
    let mut wire = Wire::connect(world.server.peer_address().expect("a peer listener")).await;
    wire.write(format!("GET {target} HTTP/1.1\r\nHost: haat\r\n{seal}\r\n").as_bytes()).await;
    wire.answer().await
}

fn made(seal: &Seal, target: &str, now: SystemTime) -> HeaderValue {
    seal.make(IpAddr::from([192, 0, 2, 7]), &Method::GET, target, now)
}

/// A session id of the gateway `number`, which never made it.
fn made_up(number: u32) -> Session {
    Session { sid: SessionId::random(number, 0).expect("randomness").as_str().to_owned() }
}

/// Every request for the session is answered as one for none.
async fn is_unknown(address: SocketAddr, session: &Session) {
    for answer in [session.get(address).await, session.post(address, "40").await] {
        assert_eq!((answer.status, &*answer.body), (400, UNKNOWN));
    }
    let mut wire = Wire::connect(address).await;
    let answer = wire.upgrade(&session.upgrade()).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("Session ID unknown"), "{answer:?}");
}

#[tokio::test]
async fn only_gateways_of_the_fleet_are_believed() {
    let Pair { a, .. } = Pair::start(&[]).await;
    let session = Session::open(a.address).await;
    let target = session.target();
    let (ours, theirs) = (Seal::new(1, SECRET.as_bytes()), Seal::new(1, OTHER_SECRET.as_bytes()));
    let (now, minute) = (SystemTime::now(), Duration::from_secs(60));
    let good = made(&ours, &target, now);
    let bad = [
        ("absent", None),
        ("forged", Some(HeaderValue::from_static("1 1 0 0 192.0.2.7 AAAA"))),
        ("forged", Some(made(&theirs, &target, now))),
        ("forged", Some(made(&ours, &format!("{target}&x=1"), now))),
        ("expired", Some(made(&ours, &target, now - minute))),
        ("expired", Some(made(&ours, &target, now + minute))),
    ];
    for (outcome, seal) in &bad {
        let name = format!(r#"haat_hops_taken_total{{outcome="{outcome}"}}"#);
        let before = count(&a, &name).await;
        let answer = hop(&a, &target, seal.as_ref()).await;
        assert_eq!((answer.status, &*answer.body, answer.header("connection")), (401, "", Some("close")), "{seal:?}");
        assert_eq!(count(&a, &name).await, before + 1, "{outcome}");
    }
    session.post(a.address, "40").await;
    let answer = hop(&a, &target, Some(&good)).await;
    assert!(answer.status == 200 && answer.body.starts_with("40{"), "{answer:?}");
    assert_eq!(hop(&a, &target, Some(&good)).await.status, 401, "once is enough");
    assert_eq!(count(&a, r#"haat_hops_taken_total{outcome="replayed"}"#).await, 1);
    assert_eq!(session.post(a.address, "1").await.body, "ok", "the session has noticed nothing");
}

#[tokio::test]
async fn a_seal_means_nothing_where_clients_connect() {
    let Pair { a, .. } = Pair::start(&[]).await;
    let seal = Seal::new(1, SECRET.as_bytes());
    let mut wire = Wire::connect(a.address).await;
    let seal = made(&seal, POLLING, SystemTime::now());
    wire.write(
        format!("GET {POLLING} HTTP/1.1\r\nHost: haat\r\n{HEADER}: {}\r\n\r\n", seal.to_str().unwrap()).as_bytes(),
    )
    .await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(count(&a, r#"haat_hops_taken_total{outcome="believed"}"#).await, 0);
}

#[tokio::test]
async fn what_came_by_a_hop_takes_no_second_one() {
    let Pair { a, b } = Pair::start(&[]).await;
    let seal = Seal::new(1, SECRET.as_bytes());
    let session = Session::connect(b.address).await;
    session.post(a.address, r#"420["no:such",{}]"#).await;
    let passed_on = r#"haat_hops_total{kind="get",outcome="answered"}"#;
    let target = session.target();
    let answer = hop(&a, &target, Some(&made(&seal, &target, SystemTime::now()))).await;
    assert_eq!((answer.status, &*answer.body), (400, UNKNOWN));
    assert_eq!(count(&a, passed_on).await, 0);
    assert!(session.get(a.address).await.body.starts_with("430["), "the session has noticed nothing");
    assert_eq!(count(&a, passed_on).await, 1);
    // Nor is anything served there but sessions.
    for (target, status) in [(POLLING, 400), (SOCKET, 400), ("/", 404), ("/metrics", 404)] {
        assert_eq!(hop(&a, target, Some(&made(&seal, target, SystemTime::now()))).await.status, status, "{target}");
    }
}

#[tokio::test]
async fn a_gateway_that_nobody_knows_has_no_sessions() {
    let Pair { a, .. } = Pair::start(&[]).await;
    is_unknown(a.address, &made_up(7)).await;
    for kind in ["get", "post", "upgrade"] {
        let name = format!(r#"haat_hops_total{{kind="{kind}",outcome="unknown"}}"#);
        assert_eq!(count(&a, &name).await, 1, "{kind}");
    }
}

#[tokio::test]
async fn a_gateway_that_died_has_no_sessions() {
    let Pair { a, b } = Pair::start(&[]).await;
    // A port that nobody listens on, as after a kill.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lease = |number, listener: &TcpListener| GatewayLease {
        number,
        name: "dead".to_owned(),
        address: listener.local_addr().unwrap().to_string(),
    };
    let died = lease(7, &closed);
    drop(closed);
    a.engine.gateways(&died, Duration::from_secs(600)).await.unwrap();
    is_unknown(a.address, &made_up(7)).await;
    assert_eq!(count(&a, r#"haat_hops_total{kind="post",outcome="unreachable"}"#).await, 1);
    // One that hangs: it takes connections, and never answers. Not asked by the slow way of a poll here.
    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    a.engine.gateways(&lease(8, &hangs), Duration::from_secs(600)).await.unwrap();
    let answer = Wire::connect(a.address).await.upgrade(&made_up(8).upgrade()).await;
    assert!(answer.status == 400 && answer.body.contains("Session ID unknown"), "{answer:?}");
    assert_eq!(count(&a, r#"haat_hops_total{kind="upgrade",outcome="late"}"#).await, 1);
    // One that has stopped.
    let session = Session::connect(b.address).await;
    assert_eq!(session.post(a.address, "3").await.body, "ok");
    b.server.stop().await;
    is_unknown(a.address, &session).await;
}

#[tokio::test]
async fn a_poll_that_waits_at_a_gateway_that_dies_is_answered() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::connect(b.address).await;
    let target = session.target();
    let before = count(&a, r#"haat_hops_taken_total{outcome="believed"}"#).await;
    let address = a.address;
    let polling = tokio::spawn(async move { get(address, &target).await });
    let arrived = async { while count(&a, r#"haat_hops_taken_total{outcome="believed"}"#).await == before {} };
    patiently("poll to arrive", arrived).await;
    b.server.stop().await;
    let answer = patiently("answer", polling).await.unwrap();
    // Its last word, if there was time for one.
    assert!(answer.body == "1" || answer.body == UNKNOWN, "{answer:?}");
    is_unknown(a.address, &session).await;
}

#[tokio::test]
async fn nothing_is_passed_on_where_that_is_off() {
    for (off_a, off_b) in [(true, false), (false, true), (true, true)] {
        let off: &[(&str, &str)] = &[("HAAT_PEER_LISTEN", "off")];
        let Pair { a, b } = Pair::differing(if off_a { off } else { &[] }, if off_b { off } else { &[] }).await;
        assert_eq!((a.server.peer_address().is_none(), b.server.peer_address().is_none()), (off_a, off_b));
        let session = Session::connect(a.address).await;
        is_unknown(b.address, &session).await;
        assert_eq!(session.post(a.address, "1").await.body, "ok");
    }
}

#[tokio::test]
async fn gateways_of_different_secrets_are_strangers() {
    let Pair { a, b } = Pair::differing(&[], &[("HAAT_PEER_SECRET", OTHER_SECRET)]).await;
    let session = Session::connect(a.address).await;
    is_unknown(b.address, &session).await;
    assert_eq!(count(&b, r#"haat_hops_total{kind="get",outcome="refused"}"#).await, 1);
    assert_eq!(count(&a, r#"haat_hops_taken_total{outcome="forged"}"#).await, 3);
    assert_eq!(session.post(a.address, "1").await.body, "ok");
}

#[tokio::test]
async fn the_secret_of_the_fleet_may_be_its_own() {
    let Pair { a, b } = Pair::start(&[("HAAT_PEER_SECRET", OTHER_SECRET)]).await;
    let session = Session::open(a.address).await;
    assert_eq!(session.post(b.address, "40").await.body, "ok");
}

#[tokio::test]
async fn no_more_polls_are_passed_on_at_once_than_allowed() {
    let Pair { a, b } = Pair::differing(&[], &[("HAAT_LIMITS_HOPS", "1")]).await;
    let (waiting, other) = (Session::connect(a.address).await, Session::connect(a.address).await);
    // Whichever of the two comes first has the one place; the poll asks again until it is the one.
    let full = async {
        loop {
            let mut wire = Wire::connect(b.address).await;
            wire.request("GET", &waiting.target(), "").await;
            let refused = async { while other.post(b.address, "3").await.status != 503 {} };
            tokio::select! {
                () = refused => break wire,
                answer = wire.answer() => assert_eq!(answer.status, 503, "{answer:?}"),
            }
        }
    };
    let mut wire = patiently("limit to be reached", full).await;
    let mut upgrade = Wire::socket(b.address, &other.upgrade()).await;
    upgrade.say("2probe").await;
    assert_eq!(upgrade.text().await, "3probe", "WebSockets are no polls");
    waiting.post(a.address, r#"420["no:such",{}]"#).await;
    assert!(wire.answer().await.body.starts_with("430["));
    assert_eq!(other.post(b.address, "3").await.body, "ok");
}

#[tokio::test]
async fn a_websocket_that_passes_through_counts_as_a_connection_of_its_client() {
    let limits = [("HAAT_LIMITS_ADDRESS_CONNECTIONS", "1"), ("HAAT_TRUSTED_PROXIES", "127.0.0.1")];
    let Pair { a, b } = Pair::differing(&[], &limits).await;
    let upgrade = async |client: &str| {
        let session = Session::connect(a.address).await;
        let mut wire = Wire::connect(b.address).await;
        let target = session.upgrade();
        wire.write(
            format!(
                "GET {target} HTTP/1.1\r\nHost: haat\r\nX-Forwarded-For: {client}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            .as_bytes(),
        )
        .await;
        (wire.answer().await.status, wire)
    };
    let (status, first) = upgrade("192.0.2.1").await;
    assert_eq!(status, 101);
    assert_eq!(upgrade("192.0.2.1").await.0, 429);
    let (status, mut second) = upgrade("192.0.2.2").await;
    assert_eq!(status, 101);
    second.say("2probe").await;
    assert_eq!(second.frame().await, Seen::text("3probe"));
    first.hang_up();
    patiently("place to be free again", async { while upgrade("192.0.2.1").await.0 != 101 {} }).await;
}
