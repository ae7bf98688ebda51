//! Text that may be JSON: it is taken if it is, and never otherwise.
#![no_main]

use haat_adapter::msgpack::{Binary, Error, from_json, from_pieces, to_json};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let mut out = Vec::new();
    match from_json(&mut out, text, &[]) {
        Ok(()) => {
            assert!(serde_json::from_str::<&RawValue>(text).is_ok(), "taken for JSON: {text}");
            assert!(to_json(&out, Binary::Attach).is_ok(), "written as something else: {text}");
        }
        Err(Error::TooDeep | Error::TooLarge) => {}
        Err(_) => assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "not taken for JSON: {text}"),
    }
    let pieces: Vec<&str> = text.split('\u{1}').collect();
    let _ = from_pieces(&[], &pieces, &[]);
});
