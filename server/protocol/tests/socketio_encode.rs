//! Socket.IO packets are, byte for byte, those of the official encoder; and what it writes, our decoder reads.
#![allow(clippy::panic, clippy::unwrap_used)]

mod vectors;

use bytes::Bytes;
use haat_protocol::packet::{Ack, Body, Event};
use haat_protocol::socket::{self, Decoder};
use haat_protocol::{DecodeError, Frame, Part, Rejection};
use serde::Deserialize;
use serde_json::Value;
use vectors::{from_hex, to_hex};

#[derive(Deserialize)]
struct Vector {
    name: String,
    input: Input,
    /// The text, without the Engine.IO digit.
    hex: String,
    attachments: Vec<String>,
    /// The text with it.
    ws_text_frame_hex: String,
}

#[derive(Deserialize)]
struct Input {
    r#type: u8,
    nsp: String,
    id: Option<u64>,
    #[serde(default)]
    data: Value,
}

impl Vector {
    fn text(&self) -> String {
        String::from_utf8(from_hex(&self.hex)).unwrap()
    }

    /// The JSON of the text. Our encoder takes JSON as it is, so only what stands in front of it is compared.
    fn json(&self) -> String {
        let text = self.text();
        text.find(['[', '{']).map(|at| text[at..].to_owned()).unwrap_or_default()
    }

    fn attachments(&self) -> Vec<Bytes> {
        let mut found = Vec::new();
        collect(&self.input.data, &mut found);
        found
    }
}

fn read() -> Vec<Vector> {
    vectors::read(include_str!("vectors/socketio-encode.json"))
}

fn collect(value: &Value, found: &mut Vec<Bytes>) {
    if let Some(hex) = value.get("$bin").and_then(Value::as_str) {
        found.push(from_hex(hex).into());
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(members) => members.values().for_each(|member| collect(member, found)),
        _ => {}
    }
}

/// Text and binary messages of a frame, in hex.
fn messages(frame: &Frame) -> Vec<String> {
    frame
        .parts()
        .map(|part| match part {
            Part::Text(text) => to_hex(text.as_bytes()),
            Part::Binary(bytes) => to_hex(bytes),
        })
        .collect()
}

#[test]
fn every_packet_is_encoded_like_the_official_one() {
    for vector in read() {
        let Vector { name, input, ws_text_frame_hex, attachments, .. } = &vector;
        let (json, bytes) = (vector.json(), vector.attachments());
        let frame = match input.r#type {
            0 => socket::connect(&input.nsp, &json),
            1 => socket::disconnect(&input.nsp),
            2 => socket::event(&input.nsp, input.id, &json, &bytes),
            3 => socket::ack(&input.nsp, input.id.unwrap(), &json, &bytes),
            4 => socket::connect_error(&input.nsp, &json),
            other => panic!("{name}: no packet has type {other}"),
        };
        let mut theirs = vec![ws_text_frame_hex.clone()];
        theirs.extend_from_slice(attachments);
        assert_eq!(messages(&frame), theirs, "{name}");
    }
}

#[test]
fn an_event_in_pieces_is_the_same_event() {
    let mut compared = 0;
    for vector in read().iter().filter(|vector| vector.input.r#type == 2 && vector.input.id.is_none()) {
        if !vector.attachments().is_empty() {
            continue;
        }
        let json = vector.json();
        let pieces: Vec<&str> = json.split_inclusive(',').collect();
        let frame = socket::event_pieces(&vector.input.nsp, &pieces);
        assert_eq!(messages(&frame), std::slice::from_ref(&vector.ws_text_frame_hex), "{}", vector.name);
        compared += 1;
    }
    assert!(compared > 0);
}

/// Packets of the official encoder that we answer with an error instead of taking them.
const REJECTED: &[(&str, Rejection)] = &[("event_lone_surrogate", Rejection::BadText)];

#[test]
fn every_official_packet_is_decoded() {
    let mut rejected = 0;
    for vector in read() {
        let Vector { name, input, .. } = &vector;
        let (text, json) = (vector.text(), vector.json());
        let mut decoder = Decoder::default();
        let mut packet = decoder.text(&text);
        for bytes in vector.attachments() {
            assert_eq!(packet, Ok(None), "{name}: an attachment is due");
            packet = decoder.binary(bytes);
        }
        if let Some((_, reason)) = REJECTED.iter().find(|(rejected, _)| rejected == name) {
            assert_eq!(packet, Err(DecodeError::Rejected { id: input.id, reason: *reason }), "{name}");
            rejected += 1;
            continue;
        }
        let packet = packet.unwrap().expect("no attachment is missing");
        assert_eq!(packet.namespace, input.nsp, "{name}");
        match (input.r#type, packet.body) {
            (0, Body::Connect { auth }) => {
                assert_eq!(auth, if json.is_empty() { "{}" } else { json.as_str() }, "{name}")
            }
            (1, Body::Disconnect) | (4, Body::ConnectError) => {}
            (2, Body::Event(Event { id, args, attachments, .. })) | (3, Body::Ack(Ack { id, args, attachments })) => {
                assert_eq!((id, args.as_ref(), attachments), (input.id, json.as_str(), vector.attachments()), "{name}");
            }
            (kind, body) => panic!("{name}: {body:?} is not of type {kind}"),
        }
    }
    assert_eq!(rejected, REJECTED.len(), "the table names vectors that are not recorded");
}
