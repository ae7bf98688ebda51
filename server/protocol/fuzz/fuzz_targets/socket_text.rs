//! One Socket.IO text.
#![no_main]

use haat_protocol::packet::{Body, Packet};
use haat_protocol::socket::{Decoder, ack, event, head};
use haat_protocol::{DecodeError, Part};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let mut decoder = Decoder::default();
    let packet = decoder.text(text);
    assert_eq!(decoder.is_waiting(), packet == Ok(None));
    match packet {
        Ok(Some(packet)) => check(packet),
        Ok(None) => assert!(text.starts_with(['5', '6'])),
        Err(DecodeError::Rejected { .. }) => assert!(head(text).is_some()),
        Err(_) => {}
    }
});

/// What was taken is what the text says, and reads back once it is written again.
fn check(packet: Packet<'_>) {
    let namespace = packet.namespace.clone();
    assert!(namespace.starts_with('/'));
    let written = match &packet.body {
        Body::Event(read) => {
            let args: Vec<&RawValue> = serde_json::from_str(&read.args).expect("arguments are JSON");
            assert_eq!(args.get(1).map(|first| first.get()), read.first.as_deref());
            if args[0].get().starts_with('"') {
                assert_eq!(serde_json::from_str::<String>(args[0].get()).expect("names are text"), read.name);
            }
            event(&namespace, read.id, &read.args, &[])
        }
        Body::Ack(read) => {
            let _: Vec<&RawValue> = serde_json::from_str(&read.args).expect("arguments are JSON");
            let Some(id) = read.id else { return };
            ack(&namespace, id, &read.args, &[])
        }
        Body::Connect { auth } => {
            assert!(serde_json::from_str::<&RawValue>(auth).is_ok_and(|auth| auth.get().starts_with('{')));
            return;
        }
        Body::Disconnect | Body::ConnectError => return,
    };
    let Some(Part::Text(text)) = written.parts().next() else { panic!("a packet without text") };
    assert_eq!(Decoder::default().text(&text[1..]), Ok(Some(packet)));
}
