//! What every engine promises, run against each: the cases are in `contract/`, and know only the traits.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[macro_use]
#[path = "contract/mod.rs"]
mod suite;

use std::sync::Arc;

use haat_adapter::memory::{Engine, Limits};
use suite::fleet::{Fleet, Gateway, Recorder};

/// Gateways of one process on the embedded engine.
fn memory_fleet() -> Fleet {
    let engine = Engine::new(Limits { log_entries: suite::fleet::LOG_ENTRIES, ..Limits::default() });
    let gateway = |index: usize| {
        let (name, heard) = (format!("gateway-{index}"), Arc::new(Recorder::default()));
        let inbound = Arc::downgrade(&heard);
        let adapter = engine.attach(&name, inbound);
        Gateway { name, store: engine.clone(), adapter, heard }
    };
    let gateways = (0..suite::fleet::GATEWAYS).map(gateway).collect();
    Fleet {
        gateways,
        pass: Box::new(|time| Box::pin(tokio::time::advance(time))),
        lose_data: Box::new(move || {
            engine.lose_data();
            Box::pin(std::future::ready(()))
        }),
    }
}

macro_rules! memory {
    ($($module:ident { $($case:ident),+ $(,)? })+) => {
        mod memory {
            $(mod $module {
                $(#[tokio::test(start_paused = true)]
                async fn $case() {
                    crate::suite::$module::$case(crate::memory_fleet()).await;
                })+
            })+
        }
    };
}

contract_cases!(memory);
