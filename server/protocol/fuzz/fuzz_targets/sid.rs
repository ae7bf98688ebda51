//! An identifier.
#![no_main]

use haat_protocol::{Id, SessionId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(id) = Id::parse(text) {
        assert_eq!(id.as_str(), text);
    }
    if let Some(id) = SessionId::parse(text) {
        assert_eq!(id.as_str(), text);
        let _ = (id.place(), format!("{id:?}"));
    }
});
