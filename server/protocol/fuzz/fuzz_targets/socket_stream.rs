//! The messages of one connection through one decoder: 0xff between them, binary ones start with 0xfe.
#![no_main]

use bytes::Bytes;
use haat_protocol::packet::{Ack, Body, Event, Packet};
use haat_protocol::socket::{Decoder, MAX_ATTACHMENTS};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const MAX_BYTES: usize = 64;

fuzz_target!(|input: &[u8]| {
    let mut decoder = Decoder::new(MAX_BYTES);
    for message in input.split(|byte| *byte == 0xff) {
        let packet = match message {
            [0xfe, bytes @ ..] => decoder.binary(Bytes::copy_from_slice(bytes)),
            text => match std::str::from_utf8(text) {
                Ok(text) => decoder.text(text).map(|packet| packet.map(Packet::into_owned)),
                Err(_) => continue,
            },
        };
        assert_eq!(decoder.is_waiting(), packet == Ok(None));
        if let Ok(Some(Packet {
            body: Body::Event(Event { args, attachments, .. }) | Body::Ack(Ack { args, attachments, .. }),
            ..
        })) = packet
            && !attachments.is_empty()
        {
            assert!(attachments.len() <= MAX_ATTACHMENTS as usize);
            assert!(attachments.iter().map(Bytes::len).sum::<usize>() <= MAX_BYTES);
            // Numbers that no type holds, and half pairs in an ack, are not ours to refuse.
            if let Ok(args) = serde_json::from_str::<Value>(&args) {
                let mut numbers = Vec::new();
                placeholders(&args, &mut numbers);
                numbers.sort_unstable();
                // Fewer than attachments only if a key comes twice, which hides what came under it first.
                assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
                assert!(numbers.last().is_none_or(|last| *last < attachments.len() as u64), "{numbers:?}");
            }
        }
    }
});

/// The placeholders as a receiver finds them: it does not look into one for others.
fn placeholders(value: &Value, numbers: &mut Vec<u64>) {
    if value.get("_placeholder") == Some(&Value::Bool(true)) {
        numbers.push(value["num"].as_u64().expect("a placeholder has a number"));
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| placeholders(item, numbers)),
        Value::Object(members) => members.values().for_each(|member| placeholders(member, numbers)),
        _ => {}
    }
}
