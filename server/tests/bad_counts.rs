//! What is refused counts once, where an operator sees it: as a reject by layer and reason, or as the end of a session by
//! reason. No label is a text of a client. One test, since all servers of a process share their numbers.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use support::{
    World,
    innocents::Innocents,
    now, patiently,
    polling::Polling,
    token, token_until,
    wire::{UPGRADE, Wire, answer_to, frame, get, handshake, request, text},
};

/// All rejects and all ends of sessions that `/metrics` shows, by what is counted.
async fn counts(world: &World) -> BTreeMap<String, u64> {
    let page = get(world.server.private_address(), "/metrics").await.body;
    let families = ["haat_rejects_total{", "haat_sessions_closed_total{"];
    let lines = page.lines().filter(|line| families.iter().any(|family| line.starts_with(family)));
    let counts = lines.map(|line| {
        let (name, count) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), count.parse().unwrap())
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

/// What was counted so far.
struct Book<'a> {
    world: &'a World,
    counts: BTreeMap<String, u64>,
}

impl Book<'_> {
    /// Waits until something is counted, which must be this, and once.
    async fn once(&mut self, row: &str, what: &str) {
        let changed = async {
            loop {
                let after = counts(self.world).await;
                if after != self.counts {
                    return after;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let after = patiently(row, changed).await;
        *self.counts.entry(what.to_owned()).or_default() += 1;
        assert_eq!(after, self.counts, "{row}: {what}");
    }
}

fn reject(layer: &str, reason: &str) -> String {
    format!(r#"haat_rejects_total{{layer="{layer}",reason="{reason}"}}"#)
}

fn end(reason: &str) -> String {
    format!(r#"haat_sessions_closed_total{{reason="{reason}"}}"#)
}

#[tokio::test]
async fn what_is_refused_counts_once() {
    let world = World::start(&[
        ("HAAT_SHARDS", "2"),
        ("HAAT_ENGINE_HANDSHAKE_TIMEOUT_SECONDS", "2"),
        ("HAAT_ENGINE_MESSAGE_TIMEOUT_SECONDS", "0.5"),
        ("HAAT_ENGINE_UPGRADE_TIMEOUT_SECONDS", "2"),
        ("HAAT_LIMITS_EVENTS_PER_SECOND", "0.001"),
        ("HAAT_LIMITS_EVENTS_BURST", "100"),
    ])
    .await;
    let mut innocents = Innocents::watch(&world).await;
    let mut book = Book { world: &world, counts: BTreeMap::new() };
    book.once("the innocents' supplier hangs up", &end("transport_close")).await;
    let _supplier = world.supplier(&["main"]).await;
    requests(&mut book).await;
    later_requests(&mut book).await;
    requests_of_a_session(&mut book).await;
    connects(&mut book).await;
    commands(&mut book).await;
    frames(&mut book).await;
    bodies(&mut book).await;

    // Nothing came late, and nothing else was counted meanwhile.
    let mut late = Wire::connect(world.address).await;
    late.send(handshake("/socket.io/?EIO=4")).await;
    book.once("BE1, last of all", &reject("engine", "transport_unknown")).await;
    let page = get(world.server.private_address(), "/metrics").await.body;
    for word in ["canary", "asha", "main", "calm", "evil", "nope"] {
        assert!(!page.contains(word), "{word} is in the metrics");
    }
    innocents.unharmed("all of it").await;
}

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";
const OPEN_SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";
const EVIL: (&str, &str) = ("Origin", "https://evil.example");

fn with(target: &str, more: &[(&str, &str)]) -> Vec<u8> {
    request("GET", target, more, "").into_bytes()
}

fn upgrade(more: &[(&str, &str)]) -> Vec<u8> {
    with(OPEN_SOCKET, &[&UPGRADE[..], more].concat())
}

async fn requests(book: &mut Book<'_>) {
    for (row, bytes, what) in [
        ("BH1 no end", b"GET / HT".to_vec(), reject("http", "timeout")),
        ("BH2 a head of 9 KiB", with("/", &[("X", &"x".repeat(9000))]), reject("http", "too_large")),
        ("BH2 a target of 9 KiB", with(&format!("/{}", "x".repeat(9000)), &[]), reject("http", "too_large")),
        ("BH2 70 headers", with("/", &[("X", "x"); 70]), reject("http", "too_large")),
        (
            "BH3 two lengths",
            with("/", &[("Content-Length", "1"), ("Content-Length", "2")]),
            reject("http", "malformed"),
        ),
        ("BH4 garbage", b"what is this?\r\n\r\n".to_vec(), reject("http", "malformed")),
        ("BH5 no host", b"GET / HTTP/1.1\r\n\r\n".to_vec(), reject("http", "malformed")),
        ("BH6 two keys", upgrade(&[UPGRADE[3]]), reject("http", "handshake")),
        ("BH6 a body", upgrade(&[("Content-Length", "5")]), reject("http", "handshake")),
        ("BH7 a foreign origin", with(OPEN, &[EVIL]), reject("engine", "forbidden")),
        ("BH7 a foreign origin, an upgrade", upgrade(&[EVIL]), reject("engine", "forbidden")),
        ("BH10 a handshake by POST", request("POST", OPEN, &[], "").into_bytes(), reject("engine", "bad_method")),
        ("BE1 no transport", with("/socket.io/?EIO=4", &[]), reject("engine", "transport_unknown")),
        ("BE2 version 3", with(&OPEN.replace('4', "3"), &[]), reject("engine", "unsupported_version")),
        ("BE3 no session", with(&format!("{OPEN}&sid=nope"), &[]), reject("engine", "session_unknown")),
        ("BE4 websocket without an upgrade", with(OPEN_SOCKET, &[]), reject("engine", "bad_request")),
        ("BE14 an upgrade of polling", with(OPEN, &UPGRADE), reject("engine", "bad_upgrade")),
    ] {
        let mut wire = Wire::connect(book.world.address).await;
        wire.send(bytes).await;
        book.once(row, &what).await;
    }
    // Who hangs up before asking is not refused anything.
    drop(Wire::connect(book.world.address).await);
}

/// On connections that are in use, which hyper reads.
async fn later_requests(book: &mut Book<'_>) {
    for (row, bytes, what) in [
        ("BH2 a head of 9 KiB", with("/", &[("X", &"x".repeat(9000))]), reject("http", "too_large")),
        ("BH4 garbage", b"what is this?\r\n\r\n".to_vec(), reject("http", "malformed")),
        ("BH5 two hosts", with("/", &[("Host", "x")]), reject("http", "malformed")),
        ("BH6 two keys", upgrade(&[UPGRADE[3]]), reject("http", "handshake")),
        ("BH7 a foreign origin", upgrade(&[EVIL]), reject("engine", "forbidden")),
    ] {
        let mut wire = Wire::connect(book.world.address).await;
        wire.send(with("/", &[])).await;
        wire.answer().await;
        wire.send(bytes).await;
        book.once(row, &what).await;
    }
}

async fn requests_of_a_session(book: &mut Book<'_>) {
    let address = book.world.address;
    let poller = Polling::connected(address, &json!({})).await;
    answer_to(address, request("PUT", &poller.target, &[], "")).await;
    book.once("BH10 another method", &reject("http", "method")).await;
    answer_to(address, request("POST", &poller.target, &[("Content-Length", "70000")], "")).await;
    book.once("BE7 a body that is too long", &reject("engine", "too_large")).await;
    poller.post("6").await;
    book.once("BE12 a packet that is a server's", &reject("engine", "ignored")).await;
    for (row, bytes) in [("BE15 a bad probe", text("2probeX")), ("BE16 no probe", vec![])] {
        let mut wire = Wire::socket(address, &poller.upgrade).await;
        wire.send(bytes).await;
        book.once(row, &reject("engine", "bad_probe")).await;
    }
    let mut first = Wire::socket(address, &poller.upgrade).await;
    first.send(text("2probe")).await;
    first.told().await.unwrap();
    Wire::socket(address, &poller.upgrade).await.closed().await;
    book.once("BE14 a second upgrade", &reject("engine", "bad_upgrade")).await;
    first.send(text("5")).await;
    first.call(1, r#"["stream:history",{"stream":"main"}]"#).await;
    first.send(frame(0x88, b"")).await;
    book.once("the end of it", &end("socket_closed")).await;
}

async fn connects(book: &mut Book<'_>) {
    for (row, auth, reason) in [
        ("BP17 not signed", json!({ "token": "eyJhbGciOiJub25lIn0.e30." }), "token_algorithm"),
        ("BP18 expired", json!({ "token": token_until("asha", "viewer", &[], now() - 99) }), "token_expired"),
        ("BP21 no token", json!({ "token": "canary" }), "token_malformed"),
        ("BP21 too long", json!({ "token": "t".repeat(9000) }), "token_too_long"),
        ("BP21 forged", json!({ "token": token("asha", "viewer", &[]) + "x" }), "token_signature"),
        ("BS5 a number", json!({ "token": 5 }), "token_malformed"),
    ] {
        let mut wire = Wire::session(book.world.address).await;
        wire.send(text(&format!("40{auth}"))).await;
        book.once(row, &reject("connect", reason)).await;
        wire.send(text("40/canary")).await;
        book.once(row, &reject("connect", "namespace")).await;
        wire.send(frame(0x88, b"")).await;
        book.once(row, &end("socket_closed")).await;
    }
}

async fn commands(book: &mut Book<'_>) {
    let auth = json!({ "token": token("asha", "viewer", &[]) });
    let mut wire = Wire::connected(book.world.address, &auth).await;
    let rows = [
        ("BP1", r#"27["stream:join",{"stream":"canary *"}]"#, "bad_request"),
        ("BP1, without an ack", r#"2["stream:join",{"stream":"canary *"}]"#, "bad_request"),
        ("BS14", r#"2["canary",{}]"#, "not_found"),
        ("BS19 too deep", &format!("27[\"canary\",{}{}]", "[".repeat(99), "]".repeat(99)), "bad_request"),
        ("BS19 half a character", r#"27["canary","\ud800"]"#, "bad_request"),
        ("BP9", r#"27["chat:send",{"stream":"main","text":"canary"}]"#, "not_joined"),
        ("BP10", r#"27["stream:end",{"stream":"main"}]"#, "forbidden"),
        ("a token that is none", r#"27["auth:refresh",{"token":"canary"}]"#, "unauthorized"),
    ];
    for (row, event, code) in rows {
        wire.send(text(&format!("4{event}"))).await;
        wire.told().await.unwrap();
        book.once(row, &reject("command", code)).await;
    }
    for _ in rows.len()..100 {
        wire.send(text(r#"42["stream:leave",[]]"#)).await;
        wire.told().await.unwrap();
        book.once("BS13", &reject("command", "bad_request")).await;
    }
    wire.send(text(r#"42["stream:leave",[]]"#)).await;
    book.once("BP8", &reject("command", "rate_limited")).await;
    wire.send(text("431[]")).await;
    book.once("BS18 an answer to no question", &reject("socket", "ignored")).await;
    wire.send(text("1")).await;
    book.once("the end of it", &end("transport_close")).await;
}

async fn frames(book: &mut Book<'_>) {
    let binary = text(r#"451-["canary",{"_placeholder":true,"num":0}]"#);
    for (row, bytes, reason) in [
        ("BW1", vec![0x81, 1, b'3'], "websocket_protocol"),
        ("BW2", frame(0xc1, b""), "websocket_protocol"),
        ("BW4", vec![0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0], "too_large"),
        ("BW4 a length that is too long", vec![0x82, 0xfe, 0, 1, 0, 0, 0, 0, 0], "websocket_protocol"),
        ("BW8", [frame(0x01, b""), frame(0x00, b"").repeat(1024)].concat(), "abuse"),
        ("BW9", frame(0x81, b"\xff"), "invalid_text"),
        ("BW11", frame(0x88, b""), "socket_closed"),
        ("BW12", frame(0x89, b"").repeat(200), "abuse"),
        ("BW14", vec![0x81], "abuse"),
        ("BW15", frame(0x82, b"canary"), "bad_packet"),
        ("BE10", text("canary"), "parse_error"),
        ("BE11", text("2"), "transport_error"),
        ("BE19", text("1"), "transport_close"),
        ("BS1", text("4canary"), "bad_packet"),
        ("BS2", text("40"), "bad_packet"),
        ("BS9", [binary.clone(), binary].concat(), "bad_packet"),
    ] {
        let mut wire = Wire::connected(book.world.address, &json!({})).await;
        wire.send(bytes).await;
        book.once(row, &end(reason)).await;
    }
}

async fn bodies(book: &mut Book<'_>) {
    let address = book.world.address;
    for (row, body, reason) in [
        ("BE9", "", "parse_error"),
        ("BE11", "2", "transport_error"),
        ("BE19", "1", "transport_close"),
        ("BS13", "42[]", "bad_packet"),
    ] {
        let poller = Polling::connected(address, &json!({})).await;
        poller.post(body).await;
        if matches!(reason, "transport_close" | "bad_packet") {
            // Its client may fetch the reason.
            poller.get().await;
        }
        book.once(row, &end(reason)).await;
    }
    let poller = Polling::connected(address, &json!({})).await;
    let kind = [("Content-Type", "application/octet-stream")];
    answer_to(address, request("POST", &poller.target, &kind, "6")).await;
    book.once("BE8 bytes", &end("transport_error")).await;
    let poller = Polling::connected(address, &json!({})).await;
    tokio::join!(poller.get(), poller.get());
    book.once("BE5 a second GET", &end("transport_error")).await;
}
