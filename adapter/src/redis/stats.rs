//! What is counted. Plain numbers: whoever shows them asks for them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Core,
    link::{Link, State},
};

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
}

/// What an engine has counted since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages that arrived.
    pub heard: u64,
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
    /// Connections made, for commands and to listen.
    pub connections: (u64, u64),
    /// Channels that are listened to.
    pub channels: usize,
    /// Messages that wait to be published, and their bytes.
    pub queued: (usize, usize),
    /// Both connections are up.
    pub connected: bool,
}

impl Core {
    pub(super) fn stats(&self) -> Stats {
        let counters = &self.counters;
        let up = |link: &Link| matches!(*link.state().borrow(), State::Up(_));
        Stats {
            heard: counters.heard.get(),
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
            connections: (self.commands.made(), self.listener.made()),
            channels: self.table.len(),
            queued: self.outgoing.depth(),
            connected: up(&self.commands) && up(&self.listener),
        }
    }
}
