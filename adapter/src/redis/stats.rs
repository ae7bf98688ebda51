//! What is counted. Plain numbers: whoever shows them asks for them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{Core, node::Node};

/// A number that only rises.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) heard: Counter,
    pub(super) own: Counter,
    pub(super) unclear: Counter,
    pub(super) unasked: Counter,
    pub(super) unserved: Counter,
    pub(super) spoken: Counter,
    pub(super) unspeakable: Counter,
    pub(super) queue_full: Counter,
    pub(super) stale: Counter,
    pub(super) failed: Counter,
    pub(super) deaf: Counter,
    pub(super) rewound: Counter,
    pub(super) reloaded: Counter,
    pub(super) unconfirmed: Counter,
    pub(super) moved: Counter,
}

/// What an engine has counted since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages that arrived.
    pub heard: u64,
    /// Those among them that the gateway sends to itself, to know that it hears.
    pub own: u64,
    /// Messages that were dropped because they are damaged, or of a form that is not known.
    pub unclear: u64,
    /// Answers that were dropped because nobody here had asked.
    pub unasked: u64,
    /// Questions that were dropped because too many were being answered.
    pub unserved: u64,
    /// Messages that were published.
    pub spoken: u64,
    /// Messages that were not published because they would harm other gateways or their clients.
    pub unspeakable: u64,
    /// Messages that were not published because the queue was full.
    pub queue_full: u64,
    /// Messages that were not published because Redis was away for too long.
    pub stale: u64,
    /// Messages that Redis refused to publish.
    pub failed: u64,
    /// Times that the gateway did not hear itself, and connected anew.
    pub deaf: u64,
    /// Streams that were found to have lost entries in Redis, and got a new epoch for it.
    pub rewound: u64,
    /// Scripts that Redis had forgotten.
    pub reloaded: u64,
    /// Sales that fewer replicas had in time than [`Ledger::wait_replicas`](super::Ledger) asks for.
    pub unconfirmed: u64,
    /// Subscriptions that Redis has ended unasked: their slots have moved.
    pub moved: u64,
    /// Servers that have keys, and how many of them are connected.
    pub servers: (usize, usize),
    /// Connections made, for commands and to listen, to the servers that there are.
    pub connections: (u64, u64),
    /// Channels that are listened to.
    pub channels: usize,
    /// Messages that wait to be published, and their bytes.
    pub queued: (usize, usize),
    /// All connections are up.
    pub connected: bool,
    /// Since the gateway heard itself last, through the server where that is longest ago; if it never did, since the server
    /// was met.
    pub silent_for: Duration,
    /// Milliseconds that the clock of this machine is ahead of Redis.
    pub clock_ahead: i64,
}

impl Core {
    pub(super) fn stats(&self) -> Stats {
        let counters = &self.counters;
        let nodes = self.servers.all();
        let sum = |number: fn(&Node) -> u64| nodes.iter().map(|node| number(node)).sum::<u64>();
        let serving = self.servers.serving();
        let up = serving.iter().filter(|node| node.is_up()).count();
        let queued = nodes.iter().map(|node| node.outgoing.depth());
        Stats {
            heard: counters.heard.get(),
            own: counters.own.get(),
            unclear: counters.unclear.get(),
            unasked: counters.unasked.get(),
            unserved: counters.unserved.get(),
            spoken: counters.spoken.get(),
            unspeakable: counters.unspeakable.get(),
            queue_full: counters.queue_full.get(),
            stale: counters.stale.get(),
            failed: counters.failed.get(),
            deaf: counters.deaf.get(),
            rewound: counters.rewound.get(),
            reloaded: counters.reloaded.get(),
            unconfirmed: counters.unconfirmed.get(),
            moved: counters.moved.get(),
            servers: (serving.len(), up),
            connections: (sum(|node| node.commands.made()), sum(|node| node.listener.made())),
            channels: nodes.iter().map(|node| node.table.len()).sum(),
            queued: queued.fold((0, 0), |(count, bytes), (more, size)| (count + more, bytes + size)),
            connected: !serving.is_empty() && up == serving.len(),
            silent_for: serving.iter().map(|node| node.silent_for()).max().unwrap_or_default(),
            clock_ahead: self.hands.ahead(),
        }
    }
}
