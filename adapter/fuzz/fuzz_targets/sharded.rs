//! A message on a channel of the sharded wire. The first byte chooses the channel.
#![no_main]

use haat_adapter::redis::{Mode, is_clear};
use libfuzzer_sys::fuzz_target;

const CHANNELS: [&str; 3] = ["socket.io#/#", "socket.io#/#room#", "socket.io#/#uid#"];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, payload)) = bytes.split_first() else { return };
    let _ = is_clear(Mode::Sharded, CHANNELS[usize::from(*choice) % CHANNELS.len()], payload);
});
