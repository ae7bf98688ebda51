//! WebSocket frames that no client sends. Rows are named after the catalogue of bad input (BW). After each of them
//! innocent viewers go on as before.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use serde_json::json;
use support::{
    World,
    innocents::Innocents,
    token,
    wire::{UPGRADE, Wire, frame, request, text},
};
use tokio::net::TcpSocket;

/// A header, and nothing of what it announces.
fn header(first: u8, length: &[u8]) -> Vec<u8> {
    [&[first], length, &[1, 2, 3, 4]].concat()
}

/// A payload behind a length that is written in more bytes than it needs.
fn padded(form: u8, payload: &[u8]) -> Vec<u8> {
    let length = match form {
        126 => (payload.len() as u16).to_be_bytes().to_vec(),
        _ => (payload.len() as u64).to_be_bytes().to_vec(),
    };
    [&[0x81, 0x80 | form], &*length, &[0; 4], payload].concat()
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason].concat())
}

async fn check_all(rows: Vec<(String, Vec<u8>, u16)>) {
    let world = World::start(&[("HAAT_SHARDS", "1")]).await;
    let mut innocents = Innocents::watch(&world).await;
    for (row, bytes, code) in rows {
        for joined in [true, false] {
            let mut wire = match joined {
                true => Wire::connected(world.address, &json!({})).await,
                false => Wire::session(world.address).await,
            };
            wire.send(&bytes).await;
            assert_eq!(wire.closed().await, code, "{row}, {}", if joined { "joined" } else { "not joined" });
        }
        innocents.unharmed(&row).await;
    }
}

#[tokio::test]
async fn frames_that_are_none() {
    let mut rows = vec![
        ("BW1 no mask".to_owned(), vec![0x81, 1, b'3'], 1002),
        ("BW1 no mask, nothing to mask".to_owned(), vec![0x81, 0], 1002),
        ("BW4 2^63 - 1 bytes of text".to_owned(), header(0x81, &[0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255]), 1009),
        ("BW4 2^63 - 1 bytes".to_owned(), header(0x82, &[0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255]), 1009),
        ("BW4 2^64 - 1 bytes".to_owned(), header(0x82, &[0xff; 9]), 1009),
        ("BW4 2^63 bytes".to_owned(), header(0x82, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]), 1009),
        ("BW4 one byte too many".to_owned(), header(0x81, &[0xff, 0, 0, 0, 0, 0, 1, 0, 1]), 1009),
        ("BW4 4 bytes, written in 16 bits".to_owned(), padded(126, b"40{}"), 1002),
        ("BW4 125 bytes, written in 16 bits".to_owned(), padded(126, &[b'3'; 125]), 1002),
        ("BW4 4 bytes, written in 64 bits".to_owned(), padded(127, b"40{}"), 1002),
        ("BW4 65,535 bytes, written in 64 bits".to_owned(), padded(127, &[b'3'; 65_535]), 1002),
        ("BW6 a continuation of nothing".to_owned(), frame(0x80, b"3"), 1002),
        (
            "BW6 one more continuation".to_owned(),
            [frame(0x01, b""), frame(0x80, b"3"), frame(0x80, b"")].concat(),
            1002,
        ),
        ("BW6 a text inside a text".to_owned(), [frame(0x01, b"4"), text("3")].concat(), 1002),
        ("BW6 a binary message inside a text".to_owned(), [frame(0x01, b"4"), frame(0x82, b"3")].concat(), 1002),
        ("BW6 another beginning inside a text".to_owned(), [frame(0x01, b"4"), frame(0x01, b"3")].concat(), 1002),
        ("BW8 empty fragments".to_owned(), [frame(0x01, b""), frame(0x00, b"").repeat(1024)].concat(), 1008),
        ("BW8 fragments of a byte".to_owned(), [frame(0x01, b"4"), frame(0x00, b"x").repeat(1024)].concat(), 1008),
        ("BW13 compressed, though nobody agreed to".to_owned(), frame(0xc1, &[0xca, 0x49, 0x4d, 0x01, 0x00]), 1002),
    ];
    for (name, bit) in [("RSV1", 0x40), ("RSV2", 0x20), ("RSV3", 0x10), ("all of RSV", 0x70)] {
        for first in [0x81, 0x82, 0x01, 0x88, 0x89, 0x8a] {
            rows.push((format!("BW2 {name} in {first:#x}"), frame(first | bit, b""), 1002));
        }
        rows.push((
            format!("BW2 {name} in a continuation"),
            [frame(0x01, b"4"), frame(0x80 | bit, b"")].concat(),
            1002,
        ));
    }
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        rows.push((format!("BW3 opcode {opcode:x}"), frame(0x80 | opcode, b""), 1002));
        rows.push((format!("BW3 opcode {opcode:x}, unfinished"), frame(opcode, b"x"), 1002));
    }
    for (name, first) in [("ping", 0x09), ("pong", 0x0a), ("close", 0x08)] {
        rows.push((format!("BW5 a {name} in fragments"), frame(first, b""), 1002));
        rows.push((format!("BW5 a {name} of 126 bytes"), frame(0x80 | first, &[b'x'; 126]), 1002));
        rows.push((
            format!("BW4 a {name} of 2^62 bytes"),
            header(0x80 | first, &[0xff, 64, 0, 0, 0, 0, 0, 0, 0]),
            1009,
        ));
    }
    check_all(rows).await;
}

#[tokio::test]
async fn texts_that_are_not_utf8() {
    let mut rows = Vec::new();
    for (name, bytes) in [
        ("a byte that never occurs", &b"4\xff"[..]),
        ("a continuation byte", b"4\x80"),
        ("overlong", b"4\xc0\xaf"),
        ("overlong, three bytes", b"4\xe0\x80\xaf"),
        ("a surrogate", b"4\xed\xa0\x80"),
        ("above U+10FFFF", b"4\xf4\x90\x80\x80"),
        ("cut at the end", b"4\xe0\xa4"),
    ] {
        rows.push((format!("BW9 {name}"), frame(0x81, bytes), 1007));
        for cut in 1..bytes.len() {
            let parts = [frame(0x01, &bytes[..cut]), frame(0x80, &bytes[cut..])].concat();
            rows.push((format!("BW9 {name}, in two from {cut}"), parts, 1007));
        }
    }
    // A message that cannot become text any more is not waited for.
    rows.push(("BW9 in the middle of a message".to_owned(), frame(0x01, b"4\xff"), 1007));
    check_all(rows).await;
}

#[tokio::test]
async fn close_frames_that_are_none() {
    let mut rows = vec![
        ("BW10 a body of one byte".to_owned(), frame(0x88, &[3]), 1002),
        ("BW10 a reason that is not UTF-8".to_owned(), close(1000, b"\xc0\xaf"), 1007),
        ("BW10 a reason that is cut".to_owned(), close(1000, b"\xe0\xa4"), 1007),
        ("BW10 a reason of 124 bytes".to_owned(), close(1000, &[b'x'; 124]), 1002),
        ("BW11 a close".to_owned(), close(1000, b"bye"), 1000),
        ("BW11 a close without a code".to_owned(), frame(0x88, b""), 1005),
        ("BW11 two closes".to_owned(), [close(1001, b""), close(1000, b"")].concat(), 1001),
        ("BW11 garbage behind a close".to_owned(), [close(1000, b""), vec![0xff; 100]].concat(), 1000),
    ];
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        rows.push((format!("BW10 code {code}"), close(code, b""), 1002));
    }
    for code in [1000, 1001, 1011, 3000, 4999] {
        rows.push((format!("BW10 code {code} is one"), close(code, b""), code));
    }
    check_all(rows).await;
}

#[tokio::test]
async fn nothing_is_heard_behind_a_close() {
    let world = World::start(&[("HAAT_SHARDS", "1")]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut supplier = world.supplier(&["main"]).await;
    for (row, ending) in [
        ("BW11 a chat message behind a close", close(1000, b"")),
        ("BW1 a chat message behind a violation", vec![0x81, 1, b'3']),
        ("BW15 a chat message behind a binary one", frame(0x82, b"4")),
    ] {
        let auth = json!({ "token": token("asha", "viewer", &[]) });
        let mut wire = Wire::connected(world.address, &auth).await;
        assert_eq!(wire.call(0, r#"["stream:join",{"stream":"main"}]"#).await["ok"], true);
        wire.send([ending, text(r#"421["chat:send",{"stream":"main","text":"too late"}]"#)].concat()).await;
        assert!(wire.closed().await < 1010, "{row}");
        innocents.unharmed(row).await;
    }
    let history = supplier.call("stream:history", &json!({ "stream": "main" })).await;
    assert_eq!(history["messages"], json!([]));
}

#[tokio::test]
async fn a_connection_that_does_not_hang_up_is_cut() {
    let world = World::start(&[("HAAT_SHARDS", "1")]).await;
    let mut innocents = Innocents::watch(&world).await;
    let row = "BW11 no answer to a close";
    let mut wire = Wire::connected(world.address, &json!({})).await;
    wire.send(frame(0x82, b"not due")).await;
    assert_eq!(wire.closed().await, 1005, "{row}");
    wire.send_until_refused(&text("3")).await;
    innocents.unharmed(row).await;
    let row = "BW11 no end behind a close";
    let mut wire = Wire::connected(world.address, &json!({})).await;
    wire.send(close(1000, b"")).await;
    assert_eq!(wire.closed().await, 1000, "{row}");
    wire.send_until_refused(&text("3")).await;
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn floods_end() {
    let world = World::start(&[("HAAT_SHARDS", "1")]).await;
    let mut innocents = Innocents::watch(&world).await;
    for (row, first, next, code) in [
        ("BW7 fragments without end", frame(0x01, b"4"), frame(0x00, &[b'x'; 1000]), 1009),
        ("BW7 binary fragments without end", frame(0x02, b""), frame(0x00, &[b'x'; 4000]), 1009),
        ("BW8 empty fragments without end", frame(0x01, b""), frame(0x00, b""), 1008),
        ("BW8 and pings between them", frame(0x01, b""), [frame(0x00, b""), frame(0x89, b"")].concat(), 1008),
        ("BW12 pings without end", vec![], frame(0x89, b"are you there"), 1008),
        ("BW12 pongs without end", vec![], frame(0x8a, b""), 1008),
    ] {
        let mut wire = Wire::connected(world.address, &json!({})).await;
        wire.send(&first).await;
        wire.send(next.repeat(10_000)).await;
        assert_eq!(wire.closed().await, code, "{row}");
        innocents.unharmed(row).await;
    }
    let row = "BW12 a few pings are answered in order";
    let mut wire = Wire::connected(world.address, &json!({})).await;
    let pings: Vec<u8> = (0..50).flat_map(|number: u8| frame(0x89, &[number])).collect();
    wire.send(pings).await;
    for number in 0..50 {
        let pong = wire.next().await.unwrap();
        assert_eq!((pong.first, &*pong.payload), (0x8a, &[number][..]), "{row}");
    }
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn messages_that_take_too_long() {
    let world = World::start(&[("HAAT_SHARDS", "1"), ("HAAT_ENGINE_MESSAGE_TIMEOUT_SECONDS", "0.5")]).await;
    let mut innocents = Innocents::watch(&world).await;
    let slow = text(&format!("42[\"{}\"]", "x".repeat(2000)));
    for (row, pieces) in [
        ("BW14 byte by byte", slow.iter().map(|byte| vec![*byte]).collect::<Vec<_>>()),
        ("BW14 half a header, and nothing more", vec![vec![0x81]]),
        ("BW14 half a ping, and nothing more", vec![frame(0x89, b"ping")[..4].to_vec()]),
        ("BW7 no last fragment", vec![frame(0x01, b"42")]),
        ("BW7 pings instead of the last fragment", {
            std::iter::once(frame(0x01, b"42")).chain((0..90).map(|_| frame(0x89, b""))).collect()
        }),
    ] {
        let mut wire = Wire::connected(world.address, &json!({})).await;
        let mut pieces = pieces.into_iter();
        let mut sent = 0;
        let code = loop {
            if let Some(piece) = pieces.next() {
                wire.send(piece).await;
                sent += 1;
            }
            let closed = tokio::time::timeout(Duration::from_millis(10), wire.closed()).await;
            if let Ok(code) = closed {
                break code;
            }
        };
        assert_eq!(code, 1008, "{row}, after {sent} pieces");
        innocents.unharmed(row).await;
    }
}

#[tokio::test]
async fn text_and_binary_where_the_other_is_due() {
    let world = World::start(&[("HAAT_SHARDS", "1")]).await;
    let mut innocents = Innocents::watch(&world).await;
    for (row, bytes) in [
        ("BW15 binary instead of text", frame(0x82, b"42[\"nothing\",{}]")),
        ("BW15 an empty binary message", frame(0x82, b"")),
        ("BW15 a zero in JSON", text("42[\"no\0thing\",{}]")),
        ("BW15 a zero", text("\0")),
    ] {
        let mut wire = Wire::connected(world.address, &json!({})).await;
        wire.send(bytes).await;
        assert_eq!(wire.closed().await, 1005, "{row}: text is text, but this is no packet");
        innocents.unharmed(row).await;
    }
    let mut wire = Wire::connected(world.address, &json!({})).await;
    let answer = wire.call(1, "[\"no\\u0000thing\",{}]").await;
    assert_eq!(answer["error"]["code"], "not_found", "BW15 a zero that is written as JSON wants it");
}

#[tokio::test]
async fn one_who_sends_and_never_reads_is_cut() {
    let world = World::start(&[
        ("HAAT_SHARDS", "1"),
        ("HAAT_OUTBOX_MAX_BYTES", "65536"),
        ("HAAT_OUTBOX_SEND_BUFFER_BYTES", "4096"),
    ])
    .await;
    let mut innocents = Innocents::watch(&world).await;
    let row = "BW16 sends and never reads";
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut wire = Wire::on(socket.connect(world.address).await.unwrap());
    wire.send(request("GET", "/socket.io/?EIO=4&transport=websocket", &UPGRADE, "")).await;
    wire.send(text("40")).await;
    wire.send_until_refused(&text(r#"420["nothing",{}]"#).repeat(100)).await;
    innocents.unharmed(row).await;
}
