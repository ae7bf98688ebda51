//! A gateway whose numbers nobody looks at does not grow with them: what histograms are given is put away.

mod support;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{World, patiently};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Values, and bytes that may be left of them. Each takes more than eight until it is put away.
const VALUES: u32 = 500_000;
const LEFT: usize = 500_000;

#[tokio::test]
async fn what_was_measured_takes_no_memory() {
    let _world = World::start(&[]).await;
    let seconds = metrics::histogram!("haat_command_seconds", "command" => "chat:send");
    let region = Region::new(ALLOCATOR);
    let held = || {
        let stats = region.change();
        stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
    };
    for value in 0..VALUES {
        seconds.record(f64::from(value));
    }
    let put_away = async {
        while held() > LEFT {
            // A bucket is given back once nobody can be reading it, which those find who add to it.
            seconds.record(0.0);
            tokio::task::yield_now().await;
        }
    };
    patiently("little memory", put_away).await;
}
