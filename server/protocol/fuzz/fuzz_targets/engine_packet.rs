//! One Engine.IO text.
#![no_main]

use haat_protocol::engine::{Packet, decode};
use haat_protocol::{Frame, payload};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match decode(text) {
        Ok(Packet::Message(rest) | Packet::Ping(rest) | Packet::Pong(rest)) => assert_eq!(rest, &text[1..]),
        Ok(Packet::Binary(bytes)) => {
            let body = payload::encode([Frame::binary(&bytes)].iter());
            assert_eq!(decode(&body), Ok(Packet::Binary(bytes)), "{body}");
        }
        Ok(_) => {}
        Err(error) => assert!(error.is_fatal()),
    }
});
