//! Long-polling bodies are those of the official packages, both ways.
#![allow(clippy::panic, clippy::unwrap_used)]

mod vectors;

use bytes::Bytes;
use haat_protocol::engine::Packet;
use haat_protocol::{DecodeError, Frame, payload};
use serde::Deserialize;
use serde_json::{Value, json};
use vectors::{from_hex, to_hex};

#[derive(Deserialize)]
struct Vector {
    name: String,
    /// The packets, or for a body that only is decoded a word.
    input: Value,
    hex: String,
    decoded: Vec<Value>,
}

/// Where we differ from the official package: name, what we give instead, why.
const DIFFERENT: &[(&str, &str, &str)] =
    &[("decode_binary_bad_chars", r#"[{"type":"error"}]"#, "junk in base64 is an attack or a bug, not a dialect")];

fn read() -> Vec<Vector> {
    vectors::read(include_str!("vectors/engineio-payload.json"))
}

fn frame(packet: &Value) -> Frame {
    let digit = match packet["type"].as_str().unwrap() {
        "open" => "0",
        "close" => "1",
        "ping" => "2",
        "pong" => "3",
        "message" => "4",
        "upgrade" => "5",
        "noop" => "6",
        other => panic!("no packet is called {other}"),
    };
    match packet["data"].get("$bin").and_then(Value::as_str) {
        Some(hex) => Frame::binary(&from_hex(hex)),
        None => Frame::text(&[digit, packet["data"].as_str().unwrap_or_default()]),
    }
}

/// As the recording writes it, without the data that we leave unread.
fn show(packet: Result<Packet<'_>, DecodeError>) -> Value {
    let with_data = |kind: &str, data: &str| match data {
        "" => json!({ "type": kind }),
        data => json!({ "type": kind, "data": data }),
    };
    match packet {
        Ok(Packet::Open) => json!({ "type": "open" }),
        Ok(Packet::Close) => json!({ "type": "close" }),
        Ok(Packet::Ping(data)) => with_data("ping", data),
        Ok(Packet::Pong(data)) => with_data("pong", data),
        Ok(Packet::Message(data)) => with_data("message", data),
        Ok(Packet::Binary(bytes)) => json!({ "type": "message", "data": { "$bin": to_hex(&bytes) } }),
        Ok(Packet::Upgrade) => json!({ "type": "upgrade" }),
        Ok(Packet::Noop) => json!({ "type": "noop" }),
        Err(_) => json!({ "type": "error" }),
    }
}

fn without_unread_data(mut packet: Value) -> Value {
    if packet["type"] == "open" || packet["type"] == "error" {
        packet.as_object_mut().unwrap().remove("data");
    }
    packet
}

#[test]
fn bodies_are_encoded_like_the_official_ones() {
    let mut compared = 0;
    for Vector { name, input, hex, .. } in read() {
        let Value::Array(packets) = input else { continue };
        let frames: Vec<Frame> = packets.iter().map(frame).collect();
        assert_eq!(to_hex(payload::encode(frames.iter()).as_bytes()), hex, "{name}");
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn bodies_are_decoded_like_the_official_ones() {
    let mut differed = 0;
    for Vector { name, hex, decoded, .. } in read() {
        let body = String::from_utf8(from_hex(&hex)).unwrap();
        let ours = Value::Array(payload::decode(&body, 64).map(show).collect());
        let theirs = Value::Array(decoded.into_iter().map(without_unread_data).collect());
        match DIFFERENT.iter().find(|(different, ..)| *different == name) {
            None => assert_eq!(ours, theirs, "{name}"),
            Some((_, instead, why)) => {
                assert_ne!(ours, theirs, "{name} differs no more: {why}");
                assert_eq!(ours.to_string(), *instead, "{name}: {why}");
                differed += 1;
            }
        }
    }
    assert_eq!(differed, DIFFERENT.len(), "the table names vectors that are not recorded");
}

#[test]
fn packets_before_the_limit_count_and_nothing_after_it() {
    let packets: Vec<_> = payload::decode("4a\u{1e}4b\u{1e}4c\u{1e}4d", 2).collect();
    let good = [Ok(Packet::Message("a")), Ok(Packet::Message("b"))];
    assert_eq!(packets[..2], good);
    assert_eq!(packets[2..], [Err(DecodeError::TooManyPackets)]);
    assert!(payload::decode("4a\u{1e}4b", 2).all(|packet| packet.is_ok()));
}

#[test]
fn no_frames_make_an_empty_body_and_attachments_follow_their_text() {
    assert_eq!(payload::encode([].iter()), "");
    let frame = Frame::with_attachments(&["451-", "[0]"], &[Bytes::from_static(&[1, 2, 3, 4])]);
    assert_eq!(payload::encode([&frame, &frame].into_iter()), "451-[0]\u{1e}bAQIDBA==\u{1e}451-[0]\u{1e}bAQIDBA==");
}
