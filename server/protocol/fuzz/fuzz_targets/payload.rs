//! A polling body.
#![no_main]

use haat_protocol::payload;
use libfuzzer_sys::fuzz_target;

const MAX_PACKETS: usize = 8;

fuzz_target!(|body: &str| {
    let packets: Vec<_> = payload::decode(body, MAX_PACKETS).collect();
    let good = packets.iter().take_while(|packet| packet.is_ok()).count();
    assert!(good <= MAX_PACKETS);
    assert!(packets.len() - good <= 1, "decoding goes on after an error");
    let parts = body.split('\u{1e}').count();
    assert_eq!(good == packets.len(), good == parts, "a part is lost");
});
