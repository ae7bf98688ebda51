//! Bytes that may be msgpack: what is read is JSON, and can be written again.
#![no_main]

use haat_adapter::msgpack::{Binary, from_json, to_json};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|bytes: &[u8]| {
    for binary in [Binary::Attach, Binary::Spell] {
        let Ok((json, attachments)) = to_json(bytes, binary) else { continue };
        assert!(serde_json::from_str::<&RawValue>(&json).is_ok(), "not JSON: {json}");
        let mut again = Vec::new();
        from_json(&mut again, &json, &attachments).expect("what was read can be written");
        let (json_again, attachments_again) = to_json(&again, Binary::Attach).expect("what was written can be read");
        // A float that is written as an integer stays one; from then on nothing changes.
        assert_eq!((json_again, attachments_again), (json, attachments));
    }
});
