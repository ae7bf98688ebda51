//! What clients send is read as the official decoder reads it, save for the differences listed here.
#![allow(clippy::panic, clippy::unwrap_used)]

mod vectors;

use bytes::Bytes;
use haat_protocol::DecodeError::{self, *};
use haat_protocol::packet::{Body, Packet};
use haat_protocol::socket::Decoder;
use haat_protocol::{Rejection, packet};
use serde::Deserialize;
use serde_json::{Value, json};
use vectors::{from_hex, to_hex};

#[derive(Deserialize)]
struct Vector {
    name: String,
    /// The first message in full; in `frames` a long one is cut.
    hex: String,
    frames: Vec<Message>,
    verdict: String,
    decoded: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Message {
    Text(String),
    Binary(String),
}

/// What came of a row of messages: the packets, and where it ended.
#[derive(Debug, PartialEq)]
struct Outcome {
    packets: Vec<Value>,
    end: End,
}

#[derive(Debug, PartialEq, Clone, Copy)]
enum End {
    Ok,
    Incomplete,
    Error,
}

/// Where we differ from the official decoder: name, the error that we give instead, or none where it refuses and we do
/// not; why.
const DIFFERENT: &[(&str, Option<DecodeError>, &str)] = &[
    ("connect_space", Some(UnknownType), "a space is no type; Number(' ') is an accident"),
    ("event_ack_huge", Some(BadId), "an answer to an id that lost digits settles another event, or none"),
    ("event_space_before_json", Some(BadId), "the space would be an id that the sender did not write"),
    ("event_ns_missing_comma", Some(BadPayload), "it is an event without a name"),
    ("event_no_payload", Some(BadPayload), "an event has a name"),
    ("event_id_no_payload", Some(BadPayload), "an event has a name"),
    (
        "event_deep_json",
        Some(Rejected { id: None, reason: Rejection::TooDeep }),
        "whoever reads or writes it again would recurse as deep",
    ),
    ("binary_event_reused", Some(BadPlaceholder), "sent on, each use is an attachment of its own"),
    ("binary_event_unused", Some(BadPlaceholder), "an attachment that nobody sees is a cost without a use"),
    ("binary_event_none_used", Some(BadPlaceholder), "an attachment that nobody sees is a cost without a use"),
    ("binary_placeholder_false", Some(BadPlaceholder), "an attachment that nobody sees is a cost without a use"),
    ("binary_num_fraction", Some(BadPlaceholder), "there is no half attachment"),
    ("binary_zero", None, "no attachment is due, so nothing can go wrong"),
    ("binary_count_hex", Some(BadAttachmentCount), "a count is digits"),
    ("binary_count_exponent", Some(BadAttachmentCount), "a count is digits"),
];

fn run(vector: &Vector) -> (Outcome, Option<DecodeError>) {
    let mut decoder = Decoder::default();
    let mut packets = Vec::new();
    for (at, message) in vector.frames.iter().enumerate() {
        let first = from_hex(&vector.hex);
        let text;
        let packet = match message {
            Message::Text(short) => {
                text = if at == 0 { String::from_utf8(first).unwrap() } else { short.clone() };
                decoder.text(&text)
            }
            Message::Binary(hex) => decoder.binary(Bytes::from(if at == 0 { first } else { from_hex(hex) })),
        };
        match packet {
            Ok(Some(packet)) => packets.push(show(packet)),
            Ok(None) => {}
            Err(error) => return (Outcome { packets, end: End::Error }, Some(error)),
        }
    }
    let end = if decoder.is_waiting() { End::Incomplete } else { End::Ok };
    (Outcome { packets, end }, None)
}

/// As the recording writes it.
fn show(packet: Packet<'_>) -> Value {
    let (kind, id, data) = match packet.body {
        Body::Connect { auth } => (0, None, (auth != "{}").then(|| serde_json::from_str(&auth).unwrap())),
        Body::Disconnect => (1, None, None),
        Body::Event(packet::Event { id, args, attachments, .. }) => (2, id, Some(fill(&args, &attachments))),
        Body::Ack(packet::Ack { id, args, attachments }) => (3, id, Some(fill(&args, &attachments))),
        Body::ConnectError => (4, None, None),
    };
    let mut shown = json!({ "type": kind, "nsp": packet.namespace });
    if let Some(id) = id {
        shown["id"] = json!(id);
    }
    if let Some(data) = data {
        shown["data"] = data;
    }
    shown
}

/// The arguments, with the attachments in their places.
fn fill(args: &str, attachments: &[Bytes]) -> Value {
    fn visit(value: &mut Value, attachments: &[Bytes]) {
        if value.get("_placeholder") == Some(&json!(true)) {
            let at = value["num"].as_u64().unwrap() as usize;
            *value = json!({ "$bin": to_hex(&attachments[at]) });
            return;
        }
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| visit(item, attachments)),
            Value::Object(members) => members.values_mut().for_each(|member| visit(member, attachments)),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(args).unwrap();
    if !attachments.is_empty() {
        visit(&mut value, attachments);
    }
    value
}

/// Leaves out of a recorded packet what ours do not hold: a CONNECT's id, its empty auth, the reason of a
/// CONNECT_ERROR; and gives an ACK without a payload the empty list that it means.
fn recorded(mut packet: Value) -> Value {
    let kind = packet["type"].as_u64().unwrap();
    let members = packet.as_object_mut().unwrap();
    if kind == 0 {
        members.remove("id");
        if members.get("data") == Some(&json!({})) {
            members.remove("data");
        }
    }
    if kind == 4 {
        members.remove("data");
    }
    if kind == 3 && !members.contains_key("data") {
        members.insert("data".to_owned(), json!([]));
    }
    packet
}

#[test]
fn every_message_is_decoded_like_the_official_one() {
    let mut differed = 0;
    for vector in vectors::read::<Vector>(include_str!("vectors/socketio-decode.json")) {
        let name = &vector.name;
        let (ours, error) = run(&vector);
        let theirs = Outcome {
            packets: vector.decoded.as_array().into_iter().flatten().cloned().map(recorded).collect(),
            end: match vector.verdict.as_str() {
                "ok" => End::Ok,
                "incomplete" => End::Incomplete,
                "error" => End::Error,
                other => panic!("{name}: {other} is no verdict"),
            },
        };
        match DIFFERENT.iter().find(|(different, ..)| different == name) {
            None => assert_eq!(ours, theirs, "{name}, {error:?}"),
            Some((_, instead, why)) => {
                assert_ne!(ours.end, theirs.end, "{name} differs no more: {why}");
                assert_eq!(error, *instead, "{name}: {why}");
                differed += 1;
            }
        }
    }
    assert_eq!(differed, DIFFERENT.len(), "the table names vectors that are not recorded");
}
