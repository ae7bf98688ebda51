//! What every engine promises, run against each: the cases are in `contract/`, and know only the traits.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[macro_use]
#[path = "contract/mod.rs"]
mod suite;

use std::sync::Arc;

use haat_adapter::memory::{Engine, Limits};
use suite::{
    fleet::{Fleet, Gateway, Recorder},
    sale::Sale,
};

/// Gateways of one process on the embedded engine.
fn memory_fleet() -> Fleet {
    memory_sale().fleet
}

/// The same, with what they sell.
fn memory_sale() -> Sale {
    let engine = Engine::new(Limits { log_entries: suite::fleet::LOG_ENTRIES, ..Limits::default() });
    let gateway = |index: usize| {
        let (name, heard) = (format!("gateway-{index}"), Arc::new(Recorder::default()));
        let inbound = Arc::downgrade(&heard);
        let adapter = engine.attach(&name, inbound);
        Gateway { name, store: engine.clone(), adapter, heard }
    };
    let gateways = (0..suite::fleet::GATEWAYS).map(gateway).collect();
    let market = engine.clone();
    let fleet = Fleet {
        gateways,
        pass: Box::new(|time| Box::pin(tokio::time::advance(time))),
        lose_data: Box::new(move || {
            engine.lose_data();
            Box::pin(std::future::ready(()))
        }),
    };
    Sale { fleet, markets: vec![market; suite::fleet::GATEWAYS] }
}

macro_rules! memory {
    ($fixture:ident, $name:ident, $($module:ident { $($case:ident),+ $(,)? })+) => {
        mod $name {
            $(mod $module {
                $(#[tokio::test(start_paused = true)]
                async fn $case() {
                    crate::suite::$module::$case(crate::$fixture()).await;
                })+
            })+
        }
    };
}

macro_rules! fleet_cases { ($($cases:tt)+) => { memory!(memory_fleet, memory, $($cases)+); }; }
macro_rules! sale_cases { ($($cases:tt)+) => { memory!(memory_sale, memory_market, $($cases)+); }; }

contract_cases!(fleet_cases);
market_cases!(sale_cases);
