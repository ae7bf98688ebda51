//! Every number that the gateway counts, by name. Shards count in plain integers and add them once a second. A label is one
//! of a closed set: never a name, an id or a text of a client.
//!
//! What is refused counts once: as the end of a session, by reason, if the session ends for it; else as a reject, by the
//! layer that refuses and by reason.

use std::{cell::Cell, time::Duration};

use metrics::{Counter, Gauge, Histogram};

use crate::{close::CloseReason, hub::Passing, room::Rooms};

/// A shard's handles. They are kept, since each macro call asks the recorder again.
pub struct ShardMetrics {
    opened: Cell<u64>,
    sessions_opened: Counter,
    sessions: Gauge,
    rooms: Gauge,
    delivered: Counter,
    writes: Counter,
    bytes: Counter,
    dropped: Counter,
    mailbox_dropped: Gauge,
    mailbox_depth: Gauge,
    passing: [Gauge; 2],
    stall: Histogram,
}

impl ShardMetrics {
    /// The handles of one shard.
    pub fn new(shard: u8) -> Self {
        let shard = shard.to_string();
        Self {
            opened: Cell::new(0),
            sessions_opened: metrics::counter!("haat_sessions_opened_total", "shard" => shard.clone()),
            sessions: metrics::gauge!("haat_sessions", "shard" => shard.clone()),
            rooms: metrics::gauge!("haat_rooms", "shard" => shard.clone()),
            delivered: metrics::counter!("haat_frames_delivered_total", "shard" => shard.clone()),
            writes: metrics::counter!("haat_socket_writes_total", "shard" => shard.clone()),
            bytes: metrics::counter!("haat_socket_bytes_total", "shard" => shard.clone()),
            dropped: metrics::counter!("haat_frames_dropped_total", "shard" => shard.clone()),
            mailbox_dropped: metrics::gauge!("haat_mailbox_dropped"),
            mailbox_depth: metrics::gauge!("haat_mailbox_depth", "shard" => shard.clone()),
            passing: ["poll", "websocket"].map(|kind| metrics::gauge!("haat_passing", "kind" => kind)),
            stall: metrics::histogram!("haat_shard_stall_seconds", "shard" => shard),
        }
    }

    /// A session has begun.
    pub fn opened(&self) {
        self.opened.set(self.opened.get() + 1);
    }

    /// A session has ended.
    pub fn closed(&self, reason: CloseReason) {
        metrics::counter!("haat_sessions_closed_total", "reason" => reason.row().label).increment(1);
    }

    /// A timer of the shard fired this much late.
    pub fn stall(&self, late: Duration) {
        self.stall.record(late.as_secs_f64());
    }

    /// Adds what was counted since the last time.
    pub fn publish(&self, rooms: &Rooms) {
        self.sessions_opened.increment(self.opened.take());
        self.sessions.set(rooms.len() as f64);
        self.rooms.set(rooms.room_count() as f64);
        self.delivered.increment(rooms.counters.delivered.take());
        self.writes.increment(rooms.counters.writes.take());
        self.bytes.increment(rooms.counters.bytes.take());
        self.dropped.increment(rooms.counters.dropped.take());
        self.mailbox_dropped.set(rooms.hub.dropped() as f64);
        self.mailbox_depth.set(rooms.hub.depth(rooms.shard) as f64);
        for (gauge, what) in self.passing.iter().zip([Passing::Poll, Passing::Socket]) {
            gauge.set(rooms.hub.passing(what) as f64);
        }
    }
}

/// Something was refused or ignored, and no session ended for it. The layers: `edge` for connections, `http` for requests,
/// `engine` and `socket` for packets, `connect` for tokens and namespaces, `command` for commands.
pub fn refused(layer: &'static str, reason: &'static str) {
    metrics::counter!("haat_rejects_total", "layer" => layer, "reason" => reason).increment(1);
}

/// A request was passed on to another gateway, or could not be.
pub fn hop(kind: &'static str, outcome: &'static str) {
    metrics::counter!("haat_hops_total", "kind" => kind, "outcome" => outcome).increment(1);
}

/// A request came by way of another gateway, or pretended to.
pub fn taken(outcome: &'static str) {
    metrics::counter!("haat_hops_taken_total", "outcome" => outcome).increment(1);
}
