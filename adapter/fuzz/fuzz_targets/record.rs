//! A record of a stream's log.
#![no_main]

use haat_adapter::redis::is_clear_record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = is_clear_record(bytes);
});
