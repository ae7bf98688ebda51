//! Every number that the gateway counts, by name. Shards count in plain integers and add them once a second. A label is one
//! of a closed set: never a name, an id or a text of a client.
//!
//! - [`table`]: what each of them means
//! - [`process`]: what the process takes of the machine
//!
//! What is refused counts once: as the end of a session, by reason, if the session ends for it; else as a reject, by the
//! layer that refuses and by reason.

pub mod process;
pub mod table;

use std::{
    cell::{Cell, RefCell},
    sync::OnceLock,
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rustc_hash::FxHashMap;
use tokio::time::MissedTickBehavior;

use crate::{close::CloseReason, hub::Passing, room::Rooms};

/// Upper bounds of the buckets of every histogram: from what nobody notices to what everybody does.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// How often what histograms were given is put into their buckets. Until then each value takes memory.
const UPKEEP: Duration = Duration::from_secs(1);

/// The numbers of the process. All servers of one process share them; there is one, but in tests.
pub fn recorder() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).expect("there are buckets");
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            // Fails only if an application that embeds this library has set another one, which then counts.
            let _ = metrics::set_global_recorder(recorder);
            table::describe();
            process::begin();
            begin();
            handle
        })
        .clone()
}

/// Keeps histograms small, also if nobody ever looks at them.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        handle.run_upkeep();
    }
}

/// Counters that should never move begin at zero: the first step of one that was not there before is no increase to those who
/// compare.
fn begin() {
    metrics::gauge!("haat_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    for name in ["haat_stream_gaps_total", "haat_stream_resets_total", "haat_mailbox_dropped_total"] {
        metrics::counter!(name).increment(0);
    }
    for reason in [CloseReason::SlowConsumer, CloseReason::PingTimeout, CloseReason::Abuse] {
        metrics::counter!("haat_sessions_closed_total", "reason" => reason.row().label).increment(0);
    }
    for reason in ["accept", "connections", "address_connections", "address_handshakes"] {
        metrics::counter!("haat_rejects_total", "layer" => "edge", "reason" => reason).increment(0);
    }
    for reason in ["token_expired", "token_signature", "token_unknown_key"] {
        metrics::counter!("haat_rejects_total", "layer" => "connect", "reason" => reason).increment(0);
    }
    for outcome in ["recovered", "fresh"] {
        metrics::counter!("haat_recoveries_total", "outcome" => outcome).increment(0);
    }
}

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
    mailbox_dropped: Counter,
    mailbox_depth: Gauge,
    passing: [Gauge; 2],
    stall: Histogram,
    flush: Histogram,
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
            mailbox_dropped: metrics::counter!("haat_mailbox_dropped_total"),
            mailbox_depth: metrics::gauge!("haat_mailbox_depth", "shard" => shard.clone()),
            passing: ["poll", "websocket"].map(|kind| metrics::gauge!("haat_passing", "kind" => kind)),
            stall: metrics::histogram!("haat_shard_stall_seconds", "shard" => shard.clone()),
            flush: metrics::histogram!("haat_flush_seconds", "shard" => shard),
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
        self.flush.record(rooms.counters.slowest_flush.take().as_secs_f64());
        self.mailbox_dropped.absolute(rooms.hub.dropped());
        self.mailbox_depth.set(rooms.hub.depth(rooms.shard) as f64);
        for (gauge, what) in self.passing.iter().zip([Passing::Poll, Passing::Socket]) {
            gauge.set(rooms.hub.passing(what) as f64);
        }
    }
}

/// Handles of what is counted with every command: the recorder takes longer to find one than to count. Each thread has its
/// own; they are as many as their labels, which are few.
#[derive(Default)]
struct Kept {
    counters: FxHashMap<[&'static str; 3], Counter>,
    histograms: FxHashMap<&'static str, Histogram>,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// Counts one more, in the counter of this key; `find` asks the recorder for it.
fn count(key: [&'static str; 3], find: impl FnOnce() -> Counter) {
    KEPT.with_borrow_mut(|kept| kept.counters.entry(key).or_insert_with(find).increment(1));
}

/// Something was refused or ignored, and no session ended for it. The layers: `edge` for connections, `http` for requests,
/// `engine` and `socket` for packets, `connect` for tokens and namespaces, `command` for commands.
pub fn refused(layer: &'static str, reason: &'static str) {
    count(
        ["haat_rejects_total", layer, reason],
        || metrics::counter!("haat_rejects_total", "layer" => layer, "reason" => reason),
    );
}

/// A request was passed on to another gateway, or could not be.
pub fn hop(kind: &'static str, outcome: &'static str) {
    metrics::counter!("haat_hops_total", "kind" => kind, "outcome" => outcome).increment(1);
}

/// A request came by way of another gateway, or pretended to.
pub fn taken(outcome: &'static str) {
    metrics::counter!("haat_hops_taken_total", "outcome" => outcome).increment(1);
}

/// A command came to an answer: `ok`, or the code of the error.
pub fn command(name: &'static str, outcome: &'static str, took: Duration) {
    count(
        ["haat_commands_total", name, outcome],
        || metrics::counter!("haat_commands_total", "command" => name, "outcome" => outcome),
    );
    KEPT.with_borrow_mut(|kept| {
        let seconds = kept.histograms.entry(name);
        seconds
            .or_insert_with(|| metrics::histogram!("haat_command_seconds", "command" => name))
            .record(took.as_secs_f64());
    });
}

/// Somebody wanted units of a drop. They were decided by the `store`, or by what this `gateway` knew already.
pub fn claim(outcome: &'static str, by: &'static str) {
    count(
        ["haat_claims_total", outcome, by],
        || metrics::counter!("haat_claims_total", "outcome" => outcome, "by" => by),
    );
}

/// Somebody turned a wheel.
pub fn spin(outcome: &'static str) {
    count(["haat_spins_total", outcome, ""], || metrics::counter!("haat_spins_total", "outcome" => outcome));
}

/// Streams that members of this gateway watch, and how many viewers they have here.
pub fn audience(streams: usize, viewers: u64) {
    metrics::gauge!("haat_streams").set(streams as f64);
    metrics::gauge!("haat_viewers").set(viewers as f64);
}

/// Sessions that the gateway lets in at most; 0 is without limit.
pub fn connections_limit(most: usize) {
    metrics::gauge!("haat_connections_limit").set(if most == usize::MAX { 0.0 } else { most as f64 });
}

/// Whether the gateway should get new connections.
pub fn ready(is: bool) {
    metrics::gauge!("haat_ready").set(if is { 1.0 } else { 0.0 });
}

/// Lines that the log has dropped so far.
pub fn log_dropped(lines: u64) {
    metrics::counter!("haat_log_dropped_total").absolute(lines);
}

/// A webhook was tried.
pub fn webhook(outcome: &'static str) {
    metrics::counter!("haat_webhook_tries_total", "outcome" => outcome).increment(1);
}

/// Streams of which a server has not taken everything at the last try; `place` is the server's in the configuration.
pub fn webhooks_late(place: usize, streams: usize) {
    metrics::gauge!("haat_webhook_late_streams", "server" => place.to_string()).set(streams as f64);
}

/// So many events are too old for a server.
pub fn webhooks_skipped(place: usize, events: u64) {
    metrics::counter!("haat_webhook_skipped_total", "server" => place.to_string()).increment(events);
}

/// So many records of ledgers, read for a server, were written by somebody else.
pub fn foreign_records(place: usize, records: u64) {
    metrics::counter!("haat_webhook_foreign_records_total", "server" => place.to_string()).increment(records);
}
