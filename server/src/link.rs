//! What is known of the gateway's way to Redis, for operators and for viewers: numbers, and whether it is cut off.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use haat_adapter::{
    Adapter, Health,
    redis::{Engine, Stats},
};
use metrics::{Counter, Gauge};
use tokio::time::MissedTickBehavior;

use crate::live::Shared;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// A gateway that has not heard itself for so long, and knows why, is cut off. Shorter troubles are over before anybody
/// could read of them.
const CUT_OFF: Duration = Duration::from_secs(3);
/// Milliseconds that the clock of this machine may differ from that of Redis before it is told.
const CLOCK_OFF: u64 = 5_000;

/// Looks after the engine's link for as long as there is one: publishes its numbers, and has viewers told when the gateway is
/// cut off, and when it is not any more.
pub async fn watch(engine: Weak<Engine>, shared: Arc<Shared>) {
    let numbers = Numbers::new();
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut cut_off, mut clock_off) = (false, false);
    while let Some(engine) = engine.upgrade() {
        let (health, stats) = (engine.health(), engine.stats());
        drop(engine);
        numbers.publish(&stats, &health);
        let off = stats.clock_ahead.unsigned_abs() > CLOCK_OFF;
        if off && !clock_off {
            let seconds = stats.clock_ahead / 1000;
            tracing::warn!(
                seconds,
                "the clock of this machine is ahead of Redis, or behind: tokens expire at a wrong time"
            );
        }
        clock_off = off;
        let is = match &health {
            Health::Up => false,
            Health::Down(_) | Health::Broken(_) => cut_off || stats.silent_for >= CUT_OFF,
        };
        if is != cut_off {
            cut_off = is;
            shared.set_cut_off(is);
            match health {
                Health::Up => tracing::info!("the gateway is one of the fleet again"),
                Health::Down(reason) | Health::Broken(reason) => {
                    tracing::warn!(reason, "the gateway is cut off from the fleet")
                }
            }
        }
        tick.tick().await;
    }
}

/// The metrics of the link.
struct Numbers {
    up: Gauge,
    silence: Gauge,
    clock: Gauge,
    connections: [Counter; 2],
    received: [Counter; 2],
    published: Counter,
    dropped: [Counter; 7],
    deaf: Counter,
    rewound: Counter,
    unconfirmed: Counter,
    reloaded: Counter,
    moved: Counter,
    servers: [Gauge; 2],
    channels: Gauge,
    queued: Gauge,
    queued_bytes: Gauge,
}

impl Numbers {
    fn new() -> Self {
        let connections = |link| metrics::counter!("haat_redis_connections_total", "link" => link);
        let received = |kind| metrics::counter!("haat_redis_received_total", "kind" => kind);
        let dropped = |reason| metrics::counter!("haat_redis_dropped_total", "reason" => reason);
        Self {
            up: metrics::gauge!("haat_redis_up"),
            silence: metrics::gauge!("haat_redis_silence_seconds"),
            clock: metrics::gauge!("haat_redis_clock_ahead_seconds"),
            connections: ["commands", "listener"].map(connections),
            received: ["own", "message"].map(received),
            published: metrics::counter!("haat_redis_published_total"),
            dropped: ["unclear", "unasked", "unserved", "unspeakable", "queue_full", "stale", "failed"].map(dropped),
            deaf: metrics::counter!("haat_redis_deaf_total"),
            rewound: metrics::counter!("haat_redis_rewound_streams_total"),
            unconfirmed: metrics::counter!("haat_redis_unconfirmed_sales_total"),
            reloaded: metrics::counter!("haat_redis_scripts_reloaded_total"),
            moved: metrics::counter!("haat_redis_moved_total"),
            servers: ["known", "up"].map(|state| metrics::gauge!("haat_redis_servers", "state" => state)),
            channels: metrics::gauge!("haat_redis_channels"),
            queued: metrics::gauge!("haat_redis_queued_messages"),
            queued_bytes: metrics::gauge!("haat_redis_queued_bytes"),
        }
    }

    fn publish(&self, stats: &Stats, health: &Health) {
        let all = |counters: &[Counter], values: &[u64]| {
            counters.iter().zip(values).for_each(|(counter, value)| counter.absolute(*value));
        };
        self.up.set(if *health == Health::Up { 1.0 } else { 0.0 });
        self.silence.set(stats.silent_for.as_secs_f64());
        self.clock.set(stats.clock_ahead as f64 / 1000.0);
        all(&self.connections, &[stats.connections.0, stats.connections.1]);
        all(&self.received, &[stats.own, stats.heard.saturating_sub(stats.own)]);
        self.published.absolute(stats.spoken);
        let Stats { unclear, unasked, unserved, unspeakable, queue_full, stale, failed, .. } = *stats;
        all(&self.dropped, &[unclear, unasked, unserved, unspeakable, queue_full, stale, failed]);
        self.deaf.absolute(stats.deaf);
        self.rewound.absolute(stats.rewound);
        self.unconfirmed.absolute(stats.unconfirmed);
        self.reloaded.absolute(stats.reloaded);
        self.moved.absolute(stats.moved);
        let (known, up) = stats.servers;
        self.servers.iter().zip([known, up]).for_each(|(gauge, count)| gauge.set(count as f64));
        self.channels.set(stats.channels as f64);
        self.queued.set(stats.queued.0 as f64);
        self.queued_bytes.set(stats.queued.1 as f64);
    }
}
