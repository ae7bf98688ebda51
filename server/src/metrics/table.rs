//! What every metric means, in one table: the texts of `/metrics` and the reference for operators, `guide/metrics.md`, are
//! both made of it.

use std::fmt::Write;

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What is counted or measured: `seconds`, `bytes`, or a word for what there are so many of.
    pub unit: &'static str,
    /// Its labels, and the values that they have.
    pub labels: &'static str,
    /// What it says.
    pub help: &'static str,
}

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only up, from zero at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
    /// Values sorted into buckets, with their count and their sum.
    Histogram,
}

impl Kind {
    /// What Prometheus calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The metrics that belong together.
#[derive(Debug)]
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// One a row.
    pub metrics: &'static [Metric],
}

macro_rules! row {
    ($kind:ident $name:literal, $unit:literal, $labels:literal, $help:literal) => {
        Metric { name: $name, kind: Kind::$kind, unit: $unit, labels: $labels, help: $help }
    };
}

/// All metrics of a gateway.
#[rustfmt::skip]
pub const METRICS: &[Group] = &[
    Group { title: "The gateway", metrics: &[
        row!(Gauge "haat_build_info", "none", "`version`", "Always 1; the label is what matters."),
        row!(Gauge "haat_ready", "0 or 1", "", "Whether the gateway should get new connections: it does not drain, and its engine answers. What /readyz says."),
        row!(Counter "haat_log_dropped_total", "lines", "", "Lines of the log that were dropped, since nobody took what was said before."),
    ]},
    Group { title: "Sessions and who watches", metrics: &[
        row!(Gauge "haat_sessions", "sessions", "`shard`", "Sessions that are open: one for each connected client. The number to scale on."),
        row!(Gauge "haat_connections_limit", "sessions", "", "Sessions that the gateway lets in at most (limits.connections); 0 is without limit."),
        row!(Counter "haat_sessions_opened_total", "sessions", "`shard`", "Sessions that have begun."),
        row!(Counter "haat_sessions_closed_total", "sessions", "`reason`: `client_left` `server_left` `transport_close` `socket_closed` `transport_error` `bad_packet` `parse_error` `websocket_protocol` `invalid_text` `too_large` `abuse` `ping_timeout` `connect_timeout` `slow_consumer` `forced` `token_expired` `replaced` `shutdown` `broken`", "Sessions that have ended, by why."),
        row!(Counter "haat_recoveries_total", "sessions", "`outcome`: `recovered` `fresh`", "Clients that asked for their former session: they got it with all that they had missed, or began anew."),
        row!(Gauge "haat_viewers", "viewers", "", "Viewers of all streams on this gateway. Staff do not count; who watches two streams counts twice."),
        row!(Gauge "haat_streams", "streams", "", "Streams that somebody watches on this gateway."),
        row!(Gauge "haat_rooms", "rooms", "`shard`", "Rooms that have members."),
    ]},
    Group { title: "Commands", metrics: &[
        row!(Counter "haat_commands_total", "commands", "`command`: a name of the contract; `outcome`: `ok` or a code of the contract", "Commands that were answered, from sockets and over HTTP. Those that are unknown or that their sender may not issue count as rejects alone."),
        row!(Histogram "haat_command_seconds", "seconds", "`command`", "From the begin of a command to its answer."),
        row!(Counter "haat_claims_total", "claims", "`outcome`: `granted` `repeated` `sold_out` `limit` `early` `late` `mismatch`; `by`: `store` `gateway`", "Claims of drops by what came of them, decided by the store or by what this gateway knew of a drop that is sold out."),
        row!(Counter "haat_spins_total", "spins", "`outcome`: `won` `nothing` `repeated` `limit` `late`", "Spins of wheels by what came of them."),
        row!(Counter "haat_rejects_total", "refusals", "`layer`: `edge` `http` `engine` `socket` `connect` `command` `api`; `reason`: one of a fixed set", "What was refused or ignored without the end of a session, by who refused it: for connections, requests, packets, tokens, commands."),
    ]},
    Group { title: "Delivery", metrics: &[
        row!(Counter "haat_frames_delivered_total", "frames", "`shard`", "Events given to sessions, one for each receiver."),
        row!(Counter "haat_frames_dropped_total", "frames", "`shard`", "Events that slow connections skipped: volatile ones, and states that a newer one replaced."),
        row!(Counter "haat_socket_writes_total", "writes", "`shard`", "Writes to sockets. Fewer than frames: what is due at once leaves at once."),
        row!(Counter "haat_socket_bytes_total", "bytes", "`shard`", "Bytes written to sockets."),
        row!(Histogram "haat_flush_seconds", "seconds", "`shard`", "The longest pass over all sockets that something is due to, in each second: how far the last viewer is behind the first."),
        row!(Histogram "haat_shard_stall_seconds", "seconds", "`shard`", "How much too late a timer of the shard fires, looked at each second: work that keeps its core from everything else."),
        row!(Gauge "haat_mailbox_depth", "messages", "`shard`", "Messages that wait for a shard (at most fanout.mailbox)."),
        row!(Counter "haat_mailbox_dropped_total", "messages", "", "Messages that a full mailbox did not take. Viewers get those of a log from the log."),
        row!(Counter "haat_stream_gaps_total", "times", "", "Times that a shard had to fetch entries of a stream that it had missed, or looked whether it had."),
        row!(Counter "haat_stream_resets_total", "times", "", "Times that entries of a stream were lost for good, and the viewers of a shard were told."),
    ]},
    Group { title: "Between gateways", metrics: &[
        row!(Counter "haat_hops_total", "requests", "`kind`: `get` `post` `upgrade` `other`; `outcome`: `answered` `unknown` `unreachable` `late` `refused` `busy` `full` `too_large`", "Requests for a session of another gateway, by what came of passing them on."),
        row!(Counter "haat_hops_taken_total", "requests", "`outcome`: `believed` `absent` `forged` `expired` `replayed`", "Requests that came by way of another gateway, or pretended to."),
        row!(Gauge "haat_passing", "requests", "`kind`: `poll` `websocket`", "What passes through this gateway at present to a session of another."),
    ]},
    Group { title: "Redis (only with `redis.url`)", metrics: &[
        row!(Gauge "haat_redis_up", "0 or 1", "", "Whether the gateway hears through Redis what it says there: both connections to every server stand and work."),
        row!(Gauge "haat_redis_silence_seconds", "seconds", "", "Since the gateway last heard itself. It speaks once a second; from 3 s on its clients are told."),
        row!(Gauge "haat_redis_clock_ahead_seconds", "seconds", "", "How far the clock of this machine is ahead of that of Redis; below zero it is behind. Tokens expire by the one, sales open and close by the other."),
        row!(Histogram "haat_redis_echo_seconds", "seconds", "", "From saying something to hearing it, once a second: how long a message takes through Redis."),
        row!(Histogram "haat_redis_answer_seconds", "seconds", "", "From a command, or a few in one go, to the answer of Redis."),
        row!(Counter "haat_redis_faults_total", "commands", "`fault`: `refused` `unsent` `script` `moved` `ask` `again` `demoted` `timeout` `lost`", "Commands that failed: refused by Redis; not sent for want of a connection or because too many wait; sent again or elsewhere (`script` to `demoted`); without an answer in time; lost with their connection."),
        row!(Gauge "haat_redis_servers", "servers", "`state`: `known` `up`", "Redis servers that have keys of this fleet, and those among them that are connected."),
        row!(Counter "haat_redis_connections_total", "connections", "`link`: `commands` `listener`", "Connections made to the servers that there are."),
        row!(Counter "haat_redis_received_total", "messages", "`kind`: `own` `message`", "Messages that arrived: those that the gateway sends to itself, and all others."),
        row!(Counter "haat_redis_published_total", "messages", "", "Broadcasts that were published."),
        row!(Counter "haat_redis_dropped_total", "messages", "`reason`: `unclear` `unasked` `unserved` `unspeakable` `queue_full` `stale` `failed`", "Messages that were dropped. On the way in: damaged, an answer that nobody waits for, a question too many. On the way out: of harm to others, too many wait, Redis away for too long, refused."),
        row!(Counter "haat_redis_deaf_total", "times", "", "Times that the gateway did not hear itself, and connected anew."),
        row!(Counter "haat_redis_moved_total", "subscriptions", "", "Subscriptions that Redis ended unasked: their slots have moved."),
        row!(Counter "haat_redis_rewound_streams_total", "streams", "", "Streams that had lost entries or sales in Redis, began a new epoch for it, and paused what was open."),
        row!(Counter "haat_redis_unconfirmed_sales_total", "sales", "", "Claims and spins that fewer replicas than `ledger.wait_replicas` had in time."),
        row!(Counter "haat_redis_scripts_reloaded_total", "scripts", "", "Scripts that Redis had forgotten, after a restart for example."),
        row!(Gauge "haat_redis_channels", "channels", "", "Channels that are listened to."),
        row!(Gauge "haat_redis_queued_messages", "messages", "", "Broadcasts that wait to be published."),
        row!(Gauge "haat_redis_queued_bytes", "bytes", "", "Their bytes."),
    ]},
    Group { title: "Webhooks (only with `webhooks.urls`)", metrics: &[
        row!(Counter "haat_webhook_tries_total", "requests", "`outcome`: `delivered` `refused` `failed` `timeout`", "Tries to tell a server of something. All but the first outcome are tried again."),
        row!(Gauge "haat_webhook_late_streams", "streams", "`server`: its place in `webhooks.urls`, from 0", "Streams of which the server has not taken what happened at the last try."),
        row!(Counter "haat_webhook_skipped_total", "events", "`server`", "Events that it was never told of: they had become a day old. They are in the ledger."),
        row!(Counter "haat_webhook_foreign_records_total", "records", "`server`", "Records of ledgers that no gateway has written: it is not told of them."),
    ]},
    Group { title: "The process (on Linux)", metrics: &[
        row!(Gauge "process_start_time_seconds", "seconds", "", "When the process started, since 1970."),
        row!(Gauge "process_cpu_seconds_total", "seconds", "", "Processor time that it has used."),
        row!(Gauge "process_resident_memory_bytes", "bytes", "", "Memory that it has."),
        row!(Gauge "process_threads", "threads", "", "Threads that it has."),
        row!(Gauge "process_open_fds", "files", "", "Files and sockets that it has open."),
        row!(Gauge "process_max_fds", "files", "", "How many it may have."),
    ]},
];

/// Gives the texts to the recorder.
pub(super) fn describe() {
    for Metric { name, kind, help, .. } in METRICS.iter().flat_map(|group| group.metrics) {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
}

/// The reference for operators, in Markdown.
pub fn reference() -> String {
    let mut text = String::from(
        "# Metrics\n\nEvery metric that a gateway shows at `/metrics` on its private listener, `127.0.0.1:9090` by default, in the text format of \
         Prometheus. No label is a name, an id or a text of a client, so their number is bounded. Sums over `shard` are what a gateway has; \
         the series of a label that counts rare things begin when there is something to count. Histograms have buckets from 0.5 ms to 10 s.\n\n\
         What to make of them: the alerts in `docker/observe/alerts.yml`, a page for each in `docker/observe/runbook`, and the dashboard \
         `docker/observe/grafana/haat.json`.\n\n\
         This page is made of the table in `server/src/metrics/table.rs`; `UPDATE=1 cargo test -p haat-server --test metrics` writes it.\n",
    );
    for Group { title, metrics } in METRICS {
        let _ = write!(
            text,
            "\n## {title}\n\n| metric | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n"
        );
        for Metric { name, kind, unit, labels, help } in *metrics {
            let _ = writeln!(text, "| `{name}` | {} | {unit} | {labels} | {help} |", kind.as_str());
        }
    }
    text
}
