//! The gateway of the protocol suites, in this process. It has no limits, no tokens and no streams.

use std::{net::SocketAddr, time::Duration};

use haat_server::{
    gateway::{Gateway, Plan},
    shard::Settings,
};

#[path = "../../examples/conformance/echo.rs"]
mod example;

/// The elements of a JSON array behind the first `skip`, without brackets.
pub fn rest(args: &str, skip: usize) -> String {
    example::rest(args, skip)
}

pub const SOCKET_IO: &str = "/socket.io/?EIO=4&transport=";
pub const ENGINE_IO: &str = "/engine.io/?EIO=4&transport=";

/// What an echo is made of. Pings and deadlines are far away.
pub fn plan() -> Plan {
    let mut plan = example::plan(0);
    plan.settings.ping_interval = Duration::from_secs(300);
    plan.settings.connect_timeout = Duration::from_secs(300);
    plan
}

/// An echo, and where it listens.
pub struct Echo {
    pub gateway: Gateway,
    pub address: SocketAddr,
}

impl Echo {
    /// One that does not ping while a test runs.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// One with other settings: pings and deadlines are far away unless they are set.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::of(|plan| change(&mut plan.settings))
    }

    /// One that is made in another way.
    pub fn of(change: impl FnOnce(&mut Plan)) -> Self {
        let mut plan = plan();
        change(&mut plan);
        let gateway = example::start(&plan).expect("a gateway");
        let address = gateway.address();
        Self { gateway, address }
    }
}
