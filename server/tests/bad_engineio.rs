//! Engine.IO that no client speaks. Rows are named after the catalogue of bad input (BE). After each of them innocent
//! viewers go on as before.
//!
//! Where the wire reference decides otherwise than the catalogue, it wins: of a repeated query parameter the last counts
//! (BE1), and a body that is too long leaves the session as it is (BE7).
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    Client, World,
    echo::SOCKET_IO,
    innocents::Innocents,
    patiently,
    polling::{Polling, UNKNOWN},
    token,
    wire::{Answer, UPGRADE, Wire, answer_to, frame, get, handshake, request, text},
};

const RS: &str = "\u{1e}";
const BAD: &str = r#"{"code":3,"message":"Bad request"}"#;

fn message(code: u8) -> &'static str {
    match code {
        0 => "Transport unknown",
        1 => "Session ID unknown",
        3 => "Bad request",
        5 => "Unsupported protocol version",
        code => panic!("no row asks for {code}"),
    }
}

/// Asks in both ways. `None`: it is no error.
async fn check_query(world: &World, row: &str, query: &str, code: Option<u8>) {
    let target = format!("/socket.io/?{query}");
    let answer = get(world.address, &target).await;
    match code {
        None => assert_eq!(answer.status, 200, "{row}: {answer:?}"),
        Some(code) => {
            let body = format!(r#"{{"code":{code},"message":"{}"}}"#, message(code));
            assert_eq!((answer.status, answer.body), (400, body), "{row}");
        }
    }
    // What is wrong with a query is wrong with an upgrade, if it is not only the transport that does not fit.
    let upgraded = query.replace("transport=polling", "transport=websocket");
    let mut wire = Wire::connect(world.address).await;
    wire.send(request("GET", &format!("/socket.io/?{upgraded}"), &UPGRADE, "")).await;
    let answer = wire.answer().await;
    match code {
        None => assert_eq!(answer.status, 101, "{row}, an upgrade: {answer:?}"),
        Some(code) => {
            assert_eq!((answer.status, &*answer.body), (400, message(code)), "{row}, an upgrade");
            assert!(wire.rest().await.is_empty(), "{row}: closed");
        }
    }
}

#[tokio::test]
async fn queries_that_are_none() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let poller = Polling::connected(world.address, &json!({})).await;
    // The form is right, but nobody has this one.
    let last = if poller.sid.ends_with('A') { "B" } else { "A" };
    let absent = format!("{}{last}", &poller.sid[..27]);
    // The first six characters say which gateway.
    let elsewhere = format!("{}{}", if poller.sid.starts_with("zzzzz") { "yyyyy" } else { "zzzzz" }, &poller.sid[5..]);
    let shard = format!("{}_-{}", &poller.sid[..5], &poller.sid[7..]);
    let long = "s".repeat(7000);
    let mut rows = vec![
        ("BE1 nothing", String::new(), Some(0)),
        ("BE1 the last of two counts", "EIO=4&transport=foo&transport=polling".to_owned(), None),
        ("BE1 not the first", "EIO=4&transport=polling&transport=foo".to_owned(), Some(0)),
        ("BE1 written in another way", "E%49O=%34&transport=polling".to_owned(), None),
        ("BE2 nothing", "transport=polling".to_owned(), Some(5)),
        ("BE2 the last of two counts", "EIO=3&EIO=4&transport=polling".to_owned(), None),
        ("BE2 not the first", "EIO=4&EIO=3&transport=polling".to_owned(), Some(5)),
        ("BE3 an empty sid is none", "EIO=4&transport=polling&sid=".to_owned(), None),
    ];
    for transport in
        ["", "foo", "constructor", "__proto__", "toString", "webtransport", "Polling", "polling%00", "%70olling%20"]
    {
        rows.push(("BE1", format!("EIO=4&transport={transport}"), Some(0)));
    }
    rows.push(("BE1", "EIO=4&transport[]=polling".to_owned(), Some(0)));
    for version in ["", "3", "5", "4.0", "04", "%204", "%2b4", "%EF%BC%94", "4%00", "four", "NaN"] {
        rows.push(("BE2", format!("EIO={version}&transport=polling"), Some(5)));
    }
    for sid in [
        &*absent,
        &*elsewhere,
        &*shard,
        &*long,
        "x",
        "__proto__",
        "constructor",
        "a/b",
        "..%2f..%2fetc",
        "%00",
        "%ff%fe",
        "%F0%9F%98%80",
        "%20",
        "null",
        &poller.sid[..27],
        &format!("{}A", poller.sid),
        &format!("{}%0d%0aX:1", &poller.sid[..23]),
        &poller.sid.to_lowercase(),
    ] {
        rows.push(("BE3", format!("EIO=4&transport=polling&sid={sid}"), Some(1)));
    }
    for (row, query, code) in rows {
        let row = format!("{row}: {query:.80}");
        check_query(&world, &row, &query, code).await;
        innocents.unharmed(&row).await;
    }
    let row = "BE2 another version than the session's";
    let answer = get(world.address, &poller.target.replace("EIO=4", "EIO=3")).await;
    assert_eq!(answer.body, BAD, "{row}");
    let row = "BE3 a POST to nobody";
    let nobody = Polling::of(world.address, SOCKET_IO, &absent);
    assert_eq!(nobody.post("40").await.body, UNKNOWN, "{row}");
    assert!(poller.is_known().await);
}

/// The session goes on: a command that it sends is answered.
async fn goes_on(poller: &Polling, row: &str) {
    assert_eq!(poller.post(r#"4277["nothing",{}]"#).await.body, "ok", "{row}");
    let body = poller.get().await.body;
    assert!(body.contains("4377["), "{row}: {body}");
}

/// The session is over: nobody knows its name.
async fn is_over(poller: &Polling, row: &str) {
    assert_eq!(poller.get().await.body, UNKNOWN, "{row}");
    assert_eq!(poller.post("40").await.body, UNKNOWN, "{row}");
    let mut wire = Wire::connect(poller.address).await;
    wire.send(handshake(&poller.upgrade)).await;
    assert_eq!(wire.answer().await.status, 400, "{row}");
}

/// A session that has moved to a WebSocket.
async fn upgraded(poller: &Polling) -> Wire {
    let mut wire = Wire::socket(poller.address, &poller.upgrade).await;
    wire.send(text("2probe")).await;
    assert_eq!(wire.told().await.unwrap(), "3probe");
    wire.send(text("5")).await;
    wire
}

#[tokio::test]
async fn a_session_that_has_moved_is_not_polled() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let poller = Polling::connected(world.address, &json!({})).await;
    let row = "BE4 websocket without an upgrade";
    let answer = get(world.address, &poller.upgrade).await;
    assert_eq!((answer.status, &*answer.body), (400, BAD), "{row}");
    goes_on(&poller, row).await;

    let mut wire = upgraded(&poller).await;
    wire.call(1, r#"["nothing",{}]"#).await;
    let row = "BE4 polling after an upgrade";
    for answer in [poller.get().await, poller.post("42[\"nothing\",{}]").await] {
        assert_eq!((answer.status, &*answer.body), (400, BAD), "{row}");
    }
    let row = "BE14 an upgrade after an upgrade";
    let mut second = Wire::socket(world.address, &poller.upgrade).await;
    second.send(text("2probe")).await;
    assert_eq!(second.closed().await, 1005, "{row}");
    wire.call(2, r#"["nothing",{}]"#).await;
    innocents.unharmed(row).await;

    let row = "BE3 polling after an upgrade and the end";
    wire.send(frame(0x88, b"")).await;
    wire.closed().await;
    forgotten(&poller, row).await;
    is_over(&poller, row).await;
    innocents.unharmed(row).await;
}

/// Waits for the end of a session that is about to end.
async fn forgotten(poller: &Polling, row: &str) {
    let gone = async { while poller.get().await.body != UNKNOWN {} };
    patiently(row, gone).await;
}

#[tokio::test]
async fn polling_out_of_turn() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;

    let row = "BE5 a second GET";
    let poller = Polling::connected(world.address, &json!({})).await;
    let (first, second) = tokio::join!(poller.get(), poller.get());
    let (kept, refused) = if first.status == 200 { (first, second) } else { (second, first) };
    assert_eq!((kept.status, &*kept.body), (200, "1"), "{row}");
    assert_eq!((refused.status, &*refused.body), (400, ""), "{row}");
    is_over(&poller, row).await;
    innocents.unharmed(row).await;

    let row = "BE6 a second POST";
    let poller = Polling::connected(world.address, &json!({})).await;
    let mut slow = begin_post(&poller, 10).await;
    let refused = poller.post("3").await;
    assert_eq!((refused.status, &*refused.body), (400, ""), "{row}");
    is_over(&poller, row).await;
    slow.send("3333333333").await;
    let answer = slow.answer_or_end().await;
    assert!(answer.is_none_or(|answer| answer.status == 400), "{row}: what is not taken is not said to be");
    innocents.unharmed(row).await;
}

/// A POST whose head has been read, and whose body is still to come.
async fn begin_post(poller: &Polling, length: usize) -> Wire {
    let mut wire = Wire::connect(poller.address).await;
    let length = length.to_string();
    // The server asks for the body once it is ready for it.
    let headers = [("Content-Length", &*length), ("Expect", "100-continue")];
    wire.send(request("POST", &poller.target, &headers, "")).await;
    assert_eq!(wire.answer().await.status, 100);
    wire
}

#[tokio::test]
async fn bodies_that_are_too_long() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let head = |poller: &Polling, name: &str, value: &str| request("POST", &poller.target, &[(name, value)], "");

    let poller = Polling::connected(world.address, &json!({})).await;
    let row = "BE7 64 KiB is the most";
    assert_eq!(poller.post(&format!("6{RS}3{}", "x".repeat(65_533))).await.body, "ok", "{row}");
    for (row, request) in [
        // Not a byte of the body is sent: it is not waited for.
        ("BE7 more than 64 KiB, by its length", head(&poller, "Content-Length", "65537")),
        ("BE7 a length of 2^63 - 1", head(&poller, "Content-Length", "9223372036854775807")),
        (
            "BE7 more than 64 KiB, in chunks",
            head(&poller, "Transfer-Encoding", "chunked") + &format!("8000\r\n{}\r\n", "x".repeat(0x8000)).repeat(3),
        ),
        (
            "BE7 a chunk that says so",
            head(&poller, "Transfer-Encoding", "chunked") + "7fffffff\r\n" + &"x".repeat(70_000),
        ),
    ] {
        let answer = answer_to(world.address, request).await.unwrap();
        assert_eq!((answer.status, &*answer.body), (413, ""), "{row}");
        goes_on(&poller, row).await;
        innocents.unharmed(row).await;
    }

    let row = "BE7 less than announced";
    let mut wire = begin_post(&poller, 100).await;
    wire.send("6").await;
    wire.finish().await;
    wire.rest().await;
    is_over(&poller, row).await;
    innocents.unharmed(row).await;

    let row = "BE7 more than announced";
    let poller = Polling::connected(world.address, &json!({})).await;
    let mut wire = Wire::connect(world.address).await;
    wire.send(head(&poller, "Content-Length", "1") + "642[\"nothing\",{}]\r\n\r\n").await;
    assert_eq!(wire.answer().await.body, "ok", "{row}");
    assert_eq!(wire.answer().await.status, 400, "{row}: the rest is no request");
    goes_on(&poller, row).await;
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn bodies_that_never_end() {
    let world = World::start(&[("HAAT_ENGINE_MESSAGE_TIMEOUT_SECONDS", "0.5")]).await;
    let mut innocents = Innocents::watch(&world).await;
    let row = "BE7 a body that never ends";
    let poller = Polling::connected(world.address, &json!({})).await;
    let mut wire = begin_post(&poller, 100).await;
    wire.send("6").await;
    assert_eq!(wire.answer().await.status, 408, "{row}");
    assert!(wire.rest().await.is_empty(), "{row}: closed");
    is_over(&poller, row).await;
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn bodies_that_are_no_packets() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let separators = RS.repeat(65_536);
    let many = vec!["6"; 32_768].join(RS);
    let packets = vec!["6"; 65].join(RS);
    let base64 = format!("b{}", "!".repeat(60_000));
    for (row, body) in [
        ("BE9 nothing", ""),
        ("BE9 a separator", RS),
        ("BE9 64 Ki separators", &separators),
        ("BE9 32 Ki packets", &many),
        ("BE9 65 packets", &packets),
        ("BE9 an empty packet at the end", "6\u{1e}"),
        ("BE9 an empty packet at the beginning", "\u{1e}6"),
        ("BE10 type 7", "7"),
        ("BE10 type x", "x"),
        ("BE10 type é", "é"),
        ("BE10 a space", " 6"),
        ("BE10 a line end", "\r\n6"),
        ("BE10 after a good one", "6\u{1e}9"),
        ("BE11 a ping", "2"),
        ("BE11 a probe", "2probe"),
        ("BE13 base64 that is none", "b!"),
        ("BE13 one character of base64", "bA"),
        ("BE13 too much padding", "bAQ==="),
        ("BE13 padding in the middle", "bAQ==AQ=="),
        ("BE13 a line end in base64", "bAQ\nI="),
        ("BE13 60 KB that are none", &base64),
        ("BE20 a byte order mark", "\u{feff}6"),
    ] {
        let poller = Polling::connected(world.address, &json!({})).await;
        let answer = poller.post(body).await;
        assert_eq!((answer.status, &*answer.body), (200, "ok"), "{row}");
        is_over(&poller, row).await;
        innocents.unharmed(row).await;
    }
    let row = "BE9 64 packets are not too many";
    let poller = Polling::connected(world.address, &json!({})).await;
    assert_eq!(poller.post(&vec!["6"; 64].join(RS)).await.body, "ok", "{row}");
    goes_on(&poller, row).await;

    for (row, kind, body) in [
        ("BE8 bytes", "application/octet-stream", &b"6"[..]),
        ("BE20 not UTF-8", "text/plain;charset=UTF-8", b"6\xff"),
        ("BE20 half a character", "text/plain;charset=UTF-8", b"6\xe0\xa4"),
    ] {
        let poller = Polling::connected(world.address, &json!({})).await;
        let length = body.len().to_string();
        let head = request("POST", &poller.target, &[("Content-Type", kind), ("Content-Length", &length)], "");
        let answer = answer_to(world.address, [head.as_bytes(), body].concat()).await.unwrap();
        assert_eq!((answer.status, &*answer.body), (400, ""), "{row}");
        is_over(&poller, row).await;
        innocents.unharmed(row).await;
    }

    // Good Engine.IO, bad Socket.IO: the client is told.
    for (row, body) in [("BE13 bytes that are not due", "bAQID"), ("BE10 a message that is no packet", "4nonsense")] {
        let poller = Polling::connected(world.address, &json!({})).await;
        assert_eq!(poller.post(body).await.body, "ok", "{row}");
        assert!(poller.get().await.body.ends_with('1'), "{row}");
        is_over(&poller, row).await;
        innocents.unharmed(row).await;
    }
}

#[tokio::test]
async fn packets_that_are_not_the_clients_are_ignored() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let poller = Polling::connected(world.address, &json!({})).await;
    let mut wire = Wire::connected(world.address, &json!({})).await;
    for packet in ["0", "0{\"sid\":\"x\"}", "5", "5x", "6", "6x", "3", "3probe"] {
        let row = format!("BE12 {packet}");
        assert_eq!(poller.post(packet).await.body, "ok", "{row}");
        goes_on(&poller, &row).await;
        wire.send(text(packet)).await;
        wire.call(1, r#"["nothing",{}]"#).await;
        innocents.unharmed(&row).await;
    }
    for packet in ["2", "2probe", "7", "x", "é", "", "b!", "6\u{1e}6\u{1e}\u{1e}42[]", " 6", "\u{feff}6"] {
        // A separator means nothing on a WebSocket: what follows the type of a noop is not looked at.
        let row = format!("BE10, BE11 {packet:?} on a WebSocket");
        let mut wire = Wire::connected(world.address, &json!({})).await;
        wire.send(text(packet)).await;
        if packet.starts_with('6') {
            wire.call(1, r#"["nothing",{}]"#).await;
        } else {
            assert_eq!(wire.closed().await, 1005, "{row}");
        }
        innocents.unharmed(&row).await;
    }
}

#[tokio::test]
async fn a_close_packet_is_the_end() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut supplier = world.supplier(&["main"]).await;
    let auth = json!({ "token": token("asha", "viewer", &[]) });
    let say = |text: &str| format!(r#"42["chat:send",{{"stream":"main","text":"{text}"}}]"#);
    let joined = async || {
        let poller = Polling::connected(world.address, &auth).await;
        assert_eq!(poller.post(r#"420["stream:join",{"stream":"main"}]"#).await.body, "ok");
        let mut body = String::new();
        while !body.contains("430[") {
            body = poller.get().await.body;
        }
        poller
    };

    let row = "BE19 packets behind a close";
    let poller = joined().await;
    let body = [&*say("before"), "1", &*say("behind"), "6"].join(RS);
    assert_eq!(poller.post(&body).await.body, "ok", "{row}");
    forgotten(&poller, row).await;
    is_over(&poller, row).await;
    innocents.unharmed(row).await;

    let row = "BE19 a close packet on a WebSocket";
    let mut wire = Wire::connected(world.address, &auth).await;
    assert_eq!(wire.call(0, r#"["stream:join",{"stream":"main"}]"#).await["ok"], true);
    wire.send([text("1"), text(&say("behind, too"))].concat()).await;
    assert_eq!(wire.closed().await, 1005, "{row}");
    innocents.unharmed(row).await;

    let history = supplier.call("stream:history", &json!({ "stream": "main" })).await;
    let said: Vec<&Value> = history["messages"].as_array().unwrap().iter().map(|message| &message["text"]).collect();
    assert_eq!(said, ["before"]);
}

#[tokio::test]
async fn probes_that_are_none() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let poller = Polling::connected(world.address, &json!({})).await;
    let large = text(&"2probe".repeat(11_000));
    for (row, bytes) in [
        // The official server takes an upgrade without a probe; no client of it makes one.
        ("BE15 an upgrade without a probe", text("5")),
        ("BE15 a probe and more", text("2probeX")),
        ("BE15 a ping", text("2")),
        ("BE15 a message", text("42[\"nothing\",{}]")),
        ("BE15 a CONNECT", text("40")),
        ("BE15 nothing", text("")),
        ("BE15 bytes", frame(0x82, b"2probe")),
        ("BE15 two probes", [text("2probe"), text("2probe")].concat()),
        ("BE15 a message after a probe", [text("2probe"), text("42[\"nothing\",{}]")].concat()),
        ("BE15 a close", frame(0x88, b"")),
        ("BE15 no mask", b"\x81\x062probe".to_vec()),
        ("BE15 more than 64 KiB", large),
        ("BE15 pings without end", frame(0x89, b"").repeat(200)),
    ] {
        let mut wire = Wire::socket(world.address, &poller.upgrade).await;
        wire.send(bytes).await;
        let mut frames = Vec::new();
        while let Some(frame) = wire.next().await {
            frames.push(frame);
        }
        assert_eq!(frames.last().map(|frame| frame.first), Some(0x88), "{row}: {frames:?}");
        goes_on(&poller, row).await;
        innocents.unharmed(row).await;
    }
    let row = "BE15 a thousand probes";
    for _ in 0..1000 {
        let mut wire = Wire::socket(world.address, &poller.upgrade).await;
        wire.send([text("2probe"), text("2probe")].concat()).await;
        assert_eq!(wire.told().await.as_deref(), Some("3probe"), "{row}");
        assert_eq!(wire.closed().await, 1005, "{row}");
    }
    goes_on(&poller, row).await;
    innocents.unharmed(row).await;

    let row = "BE14 a second upgrade during the first";
    let mut first = Wire::socket(world.address, &poller.upgrade).await;
    first.send(text("2probe")).await;
    assert_eq!(first.told().await.unwrap(), "3probe", "{row}");
    let mut second = Wire::socket(world.address, &poller.upgrade).await;
    second.send(text("2probe")).await;
    assert_eq!(second.closed().await, 1005, "{row}");
    first.send(text("5")).await;
    first.call(5, r#"["nothing",{}]"#).await;
    innocents.unharmed(row).await;

    let row = "an upgrade of a polling request";
    let mut wire = Wire::socket(world.address, "/socket.io/?EIO=4&transport=polling").await;
    assert_eq!(wire.closed().await, 1005, "{row}");
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn sessions_that_are_left_alone_end() {
    let world = World::start(&[
        ("HAAT_ENGINE_PING_INTERVAL_SECONDS", "0.3"),
        ("HAAT_ENGINE_PING_TIMEOUT_SECONDS", "5"),
        ("HAAT_ENGINE_UPGRADE_TIMEOUT_SECONDS", "0.5"),
        ("HAAT_ENGINE_CONNECT_TIMEOUT_SECONDS", "2"),
    ])
    .await;
    let mut innocents = Innocents::watch(&world).await;

    let row = "BE16 an upgrade that is never probed";
    let poller = Polling::connected(world.address, &json!({})).await;
    let mut silent = Wire::socket(world.address, &poller.upgrade).await;
    let closed = tokio::spawn(async move { silent.closed().await });
    meanwhile(&mut innocents, row, async || closed.is_finished()).await;
    assert_eq!(closed.await.unwrap(), 1005, "{row}");
    assert!(poller.is_known().await, "{row}: the session polls on");
    let row = "BE16 nor polled";
    let mut probed = Wire::socket(world.address, &poller.upgrade).await;
    probed.send(text("2probe")).await;
    meanwhile(&mut innocents, row, async || !poller.is_known().await).await;
    is_over(&poller, row).await;

    let row = "BE21 no CONNECT, polling";
    let poller = Polling::open(world.address, SOCKET_IO).await;
    meanwhile(&mut innocents, row, async || !poller.is_known().await).await;
    let row = "BE21 no CONNECT, on a WebSocket";
    let mut wire = Wire::session(world.address).await;
    let closed = tokio::spawn(async move { wire.closed().await });
    meanwhile(&mut innocents, row, async || closed.is_finished()).await;
    assert_eq!(closed.await.unwrap(), 1005, "{row}");
    let row = "BE21 a CONNECT that is refused";
    let mut wire = Wire::session(world.address).await;
    wire.send(text("40/nope,")).await;
    let closed = tokio::spawn(async move { wire.closed().await });
    meanwhile(&mut innocents, row, async || closed.is_finished()).await;
    assert_eq!(closed.await.unwrap(), 1005, "{row}");
}

/// Lets the innocents go on until something has happened: they have pings to answer.
async fn meanwhile(innocents: &mut Innocents, row: &str, happened: impl AsyncFn() -> bool) {
    let waiting = async {
        while !happened().await {
            innocents.unharmed(row).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    patiently(row, waiting).await;
}

#[tokio::test]
async fn what_is_posted_while_an_upgrade_commits_is_taken_once() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut supplier = world.supplier(&["main"]).await;
    for round in 0..20 {
        let row = format!("BE17, round {round}");
        let auth = json!({ "token": token(&format!("asha-{round}"), "viewer", &[]) });
        let poller = Polling::connected(world.address, &auth).await;
        assert_eq!(poller.post(r#"420["stream:join",{"stream":"main"}]"#).await.body, "ok", "{row}");
        let say = |id: u32, text: &str| format!(r#"42{id}["chat:send",{{"stream":"main","text":"{text}"}}]"#);
        let posted = say(2, &format!("{round} posted"));
        let mut wire = Wire::socket(world.address, &poller.upgrade).await;
        wire.send(text("2probe")).await;
        assert_eq!(wire.told().await.unwrap(), "3probe", "{row}");
        let mut post = begin_post(&poller, posted.len()).await;
        post.send(&posted[..round]).await;
        wire.send(text("5")).await;
        wire.send(text(&say(1, &format!("{round} on the WebSocket")))).await;
        wire.told_with("431[").await;
        post.send(&posted[round..]).await;
        assert_eq!(post.answer().await.body, "ok", "{row}");
        wire.told_with("432[").await;
        innocents.unharmed(&row).await;
    }
    let history = supplier.call("stream:history", &json!({ "stream": "main", "limit": 200 })).await;
    let said: Vec<&str> =
        history["messages"].as_array().unwrap().iter().map(|message| message["text"].as_str().unwrap()).collect();
    let expected: Vec<String> =
        (0..20).flat_map(|round| [format!("{round} on the WebSocket"), format!("{round} posted")]).collect();
    assert_eq!(said, expected);
}

#[tokio::test]
async fn what_a_broken_poll_should_have_brought_is_recovered() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut supplier = world.supplier(&["main"]).await;
    supplier.join("main").await;
    let auth = json!({ "token": token("asha", "viewer", &[]) });
    let row = "BE18 a GET that is aborted";
    let poller = Polling::open(world.address, SOCKET_IO).await;
    assert_eq!(poller.post(&format!("40{auth}")).await.body, "ok");
    let connected: Value = serde_json::from_str(&poller.get().await.body[2..]).unwrap();
    assert_eq!(poller.post(r#"420["stream:join",{"stream":"main"}]"#).await.body, "ok");
    while !poller.get().await.body.contains("430[") {}
    supplier.say("main", "seen").await;
    let mut seen = String::new();
    while !seen.contains("\"seen\"") {
        seen = poller.get().await.body;
    }
    let event = seen.split(RS).find(|packet| packet.contains("\"seen\"")).unwrap();
    let event: Vec<Value> = serde_json::from_str(event.strip_prefix("42").unwrap()).unwrap();
    let offset = event.last().unwrap().clone();

    // The first of them may be answered at once, with what is lost then.
    let gone = async {
        while poller.is_known().await {
            let mut wire = Wire::connect(world.address).await;
            wire.send(request("GET", &poller.target, &[], "")).await;
            drop(wire);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    patiently("end of the session", gone).await;
    supplier.say("main", "missed").await;
    let back = json!({ "token": token("asha", "viewer", &[]), "pid": connected["pid"], "offset": offset });
    let mut client = Client::connect(world.address, &back).await;
    assert_eq!((&client.connected["sid"], &client.connected["pid"]), (&connected["sid"], &connected["pid"]), "{row}");
    assert_eq!(client.chats(1).await[0].1, "missed", "{row}");
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn the_name_of_a_session_is_a_secret() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let poller = Polling::open(world.address, SOCKET_IO).await;
    let auth = json!({ "token": token("asha", "viewer", &[]) });
    assert_eq!(poller.post(&format!("40{auth}")).await.body, "ok");
    let connected: Value = serde_json::from_str(&poller.get().await.body[2..]).unwrap();
    let row = "BE22 a public id is no session";
    for name in ["sid", "pid"] {
        let public = connected[name].as_str().unwrap().to_owned();
        assert!(!poller.sid.contains(&public) && !public.contains(&poller.sid), "{row}");
        let thief = Polling::of(world.address, SOCKET_IO, &public);
        assert_eq!(thief.get().await.body, UNKNOWN, "{row}");
        assert_eq!(thief.post("41").await.body, UNKNOWN, "{row}");
    }
    let row = "BE22 nor is a part of its name";
    for length in [0, 1, 10, 20, 27] {
        let thief = Polling::of(world.address, SOCKET_IO, &poller.sid[..length]);
        let Answer { status, body, .. } = thief.post("41").await;
        assert_eq!(status, 400, "{row}: {body}");
    }
    goes_on(&poller, row).await;
    innocents.unharmed(row).await;
}
