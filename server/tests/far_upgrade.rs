//! A polling session becomes a WebSocket through another gateway than its own.

mod support;

use std::time::Duration;

use serde_json::Value;
use support::{
    World,
    pair::{Pair, SOCKET, Session, sessions},
    patiently,
    polling::sid_of,
    wire::{Seen, Wire, frame, get, text},
};

/// Takes the session over to a WebSocket at this gateway, with what its polls returned meanwhile.
async fn upgraded(session: &Session, world: &World) -> (Wire, Vec<String>) {
    let mut wire = Wire::socket(world.address, &session.upgrade()).await;
    wire.say("2probe").await;
    assert_eq!(wire.text().await, "3probe");
    let mut polled = Vec::new();
    loop {
        let body = session.get(world.address).await.body;
        if body == "6" {
            break;
        }
        polled.extend(body.split('\u{1e}').map(str::to_owned));
    }
    wire.say("5").await;
    (wire, polled)
}

/// The numbers of the chat messages among these packets.
fn numbers(packets: &[String]) -> Vec<u64> {
    let chats = packets.iter().filter(|packet| packet.starts_with(r#"42["chat:message""#));
    let texts = chats.map(|packet| serde_json::from_str::<Value>(&packet[2..]).expect("JSON")[1]["text"].clone());
    texts.map(|text| text.as_str().and_then(|text| text.parse().ok()).expect("a number")).collect()
}

#[tokio::test]
async fn the_session_goes_on_there_with_nothing_lost_and_nothing_twice() {
    let Pair { a, b } = Pair::start(&[]).await;
    let mut supplier = a.supplier(&["main"]).await;
    supplier.join("main").await;
    for (home, away) in [(&a, &b), (&b, &a)] {
        let session = Session::connect(home.address).await;
        session.post(away.address, r#"420["stream:join",{"stream":"main"}]"#).await;
        let mut polled = Vec::new();
        while !polled.iter().any(|packet: &String| packet.starts_with("430")) {
            polled.extend(session.get(away.address).await.body.split('\u{1e}').map(str::to_owned));
        }
        let chatter = tokio::spawn(async move {
            for number in 0..200 {
                supplier.say("main", &number.to_string()).await;
            }
            supplier
        });
        let (mut wire, more) = upgraded(&session, away).await;
        polled.extend(more);
        let mut heard = numbers(&polled);
        while heard.last() != Some(&199) {
            let text = wire.text().await;
            heard.extend(numbers(&[text]));
        }
        assert_eq!(heard, (0..200).collect::<Vec<_>>());
        wire.say(r#"421["no:such",{}]"#).await;
        while !wire.text().await.starts_with("431[") {}
        wire.say("41").await;
        supplier = chatter.await.unwrap();
    }
}

#[tokio::test]
async fn it_may_ask_after_other_requests_on_one_connection() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::open(a.address).await;
    let mut wire = Wire::connect(b.address).await;
    assert_eq!(wire.ask("POST", &session.target(), "40").await.body, "ok");
    assert!(wire.ask("GET", &session.target(), "").await.body.starts_with("40{"));
    let answer = wire.upgrade(&session.upgrade()).await;
    assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    wire.say("2probe").await;
    assert_eq!(wire.text().await, "3probe");
}

#[tokio::test]
async fn what_comes_with_the_request_is_not_lost() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::connect(a.address).await;
    let mut wire = Wire::connect(b.address).await;
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: haat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: one, two\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        session.upgrade()
    );
    let frames = [text("2probe"), text("5")].concat();
    wire.write(&[head.as_bytes(), &frames].concat()).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some("one")));
    assert_eq!(wire.text().await, "3probe");
    wire.say(r#"420["no:such",{}]"#).await;
    assert!(wire.text().await.starts_with("430["));
}

#[tokio::test]
async fn much_goes_through_in_both_directions() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::connect(a.address).await;
    let (mut wire, _) = upgraded(&session, &b).await;
    // The answer to an unknown event names it, so what goes up comes down again.
    let name = "x".repeat(60_000);
    for number in 0..50 {
        wire.say(&format!(r#"42{number}["{number}{name}",{{}}]"#)).await;
    }
    for number in 0..50 {
        let text = wire.text().await;
        assert!(text.starts_with(&format!("43{number}[")), "{}", &text[..40]);
    }
    wire.say_bytes(&[1, 2, 3]).await;
    assert_eq!(wire.frame().await, Seen::Close(None), "bytes that no packet has announced end the session");
}

#[tokio::test]
async fn each_side_learns_that_the_other_has_ended() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::connect(a.address).await;
    let (wire, _) = upgraded(&session, &b).await;
    assert_eq!(sessions(&a).await, 1);
    wire.hang_up();
    patiently("end of the session", async { while sessions(&a).await > 0 {} }).await;

    let session = Session::connect(a.address).await;
    let (mut wire, _) = upgraded(&session, &b).await;
    wire.write(&frame(0x88, &1000_u16.to_be_bytes())).await;
    assert_eq!((wire.frame().await, wire.frame().await), (Seen::Close(Some(1000)), Seen::End));

    let session = Session::connect(a.address).await;
    let (mut wire, _) = upgraded(&session, &b).await;
    wire.say(r#"420["no:such",{}]"#).await;
    assert!(wire.text().await.starts_with("430["));
    a.server.stop().await;
    assert_eq!((wire.frame().await, wire.frame().await), (Seen::Close(Some(1012)), Seen::End));
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused_and_the_session_polls_on() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::connect(a.address).await;
    let mut wire = Wire::connect(b.address).await;
    wire.write(
        format!(
            "GET {} HTTP/1.1\r\nHost: haat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            session.upgrade()
        )
        .as_bytes(),
    )
    .await;
    assert_eq!(wire.answer().await.status, 426);
    // What has a body is none: it would be taken for frames.
    let mut wire = Wire::connect(b.address).await;
    wire.write(
        format!(
            "GET {} HTTP/1.1\r\nHost: haat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 12\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            session.upgrade()
        )
        .as_bytes(),
    )
    .await;
    wire.say("2probe").await;
    assert_eq!(wire.answer().await.status, 400);
    let mut wire = Wire::socket(b.address, &session.upgrade()).await;
    wire.say("nonsense").await;
    assert_eq!(wire.frame().await, Seen::Close(None));
    // Whoever comes second while one is probing is turned away.
    let mut first = Wire::socket(b.address, &session.upgrade()).await;
    first.say("2probe").await;
    assert_eq!(first.text().await, "3probe");
    let mut second = Wire::socket(b.address, &session.upgrade()).await;
    assert_eq!(second.frame().await, Seen::Close(None));
    first.hang_up();
    session.post(b.address, r#"420["no:such",{}]"#).await;
    let answered = async { while !session.get(b.address).await.body.contains("430[") {} };
    patiently("answer", answered).await;
}

#[tokio::test]
async fn a_gateway_that_drains_lets_go_of_those_who_pass_through() {
    let Pair { a, b } = Pair::start(&[]).await;
    let mut through = Vec::new();
    for _ in 0..10 {
        let session = Session::connect(a.address).await;
        through.push(upgraded(&session, &b).await.0);
    }
    let drain = tokio::spawn(b.server.drain(Duration::from_secs(3)));
    for wire in &mut through {
        assert_eq!(wire.frame().await, Seen::End);
    }
    patiently("end of the drain", drain).await.unwrap();
    patiently("end of the sessions", async { while sessions(&a).await > 0 {} }).await;
}

#[tokio::test]
async fn a_drain_waits_for_those_who_pass_through() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::connect(a.address).await;
    let (mut wire, _) = upgraded(&session, &b).await;
    let address = b.address;
    let drain = tokio::spawn(b.server.drain(Duration::from_secs(100_000)));
    let told = async { while get(address, "/socket.io/?EIO=4&transport=polling").await.status != 503 {} };
    patiently("drain", told).await;
    wire.say(r#"420["no:such",{}]"#).await;
    assert!(wire.text().await.starts_with("430["));
    assert!(!drain.is_finished());
    wire.hang_up();
    patiently("end of the drain", drain).await.unwrap();
}

#[tokio::test]
async fn a_new_websocket_needs_no_other_gateway() {
    let Pair { a, b } = Pair::start(&[]).await;
    let mut wire = Wire::socket(b.address, SOCKET).await;
    let sid = sid_of(&wire.text().await);
    // Nor can it be taken over by another, wherever that comes in.
    for world in [&a, &b] {
        let mut other = Wire::connect(world.address).await;
        let answer = other.upgrade(&format!("{SOCKET}&sid={sid}")).await;
        if answer.status == 101 {
            assert_eq!(other.frame().await, Seen::Close(None));
        } else {
            assert_eq!(answer.status, 400);
        }
    }
    wire.say("40").await;
    assert!(wire.text().await.starts_with("40{"));
}
