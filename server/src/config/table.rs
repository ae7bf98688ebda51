//! Every key of the configuration: the one place where it is named. The file, the environment, the flags, `haat check`
//! and `haat defaults` all go by this table, so a key cannot be known to one of them alone.

use super::kind::Kind;

/// A key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Where it is in `haat.toml`: `limits.rooms` is `rooms` of the table `[limits]`.
    pub path: &'static str,
    /// Its default, as TOML; none if it is not set unless somebody does.
    pub default: Option<&'static str>,
    /// An example, as TOML, for keys without a default.
    pub example: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// What it does.
    pub doc: &'static str,
}

impl Key {
    /// The variable that sets it: `HAAT_LIMITS_ROOMS` for `limits.rooms`.
    pub fn variable(&self) -> String {
        format!("HAAT_{}", self.path.replace('.', "_").to_ascii_uppercase())
    }

    /// The flag that sets it, where there is one: `--drain-seconds` for `drain_seconds`.
    pub fn flag(&self) -> String {
        format!("--{}", self.path.replace(['.', '_'], "-"))
    }

    /// Whether its value must never be shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::Password | Kind::RedisUrl)
    }
}

/// An hour is more than enough for any of the times.
const HOUR: f64 = 3600.0;
/// What a count goes up to.
const MANY: i64 = 100_000_000;
/// What a rate goes up to.
const OFTEN: f64 = 1_000_000.0;
/// All keys, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key("listen", r#""0.0.0.0:3000""#, Kind::Address, "Where clients connect."),
    key("private_listen", r#""127.0.0.1:9090""#, Kind::Address, "Metrics and health. Keep it off the internet."),
    key("origins", "[]", Kind::Origins, "Browser origins that may connect besides this host's own; \"*\" for all."),
    unset("shards", "4", Kind::Whole(1, 64), "Threads that serve connections. Not set: the number of cores."),
    key("guests", "true", Kind::Switch, "Whether connections without a token may watch."),
    key(
        "reactions",
        r#"["heart", "like", "fire", "clap", "laugh", "wow"]"#,
        Kind::Words,
        "Kinds of reactions that viewers can send.",
    ),
    unset("demo", r#""web-demo/dist""#, Kind::Path, "Folder of the built demo pages, served at /."),
    key("drain_seconds", "30", Kind::Number(0.0, HOUR), "How long a shutdown may take to move clients away."),
    key("recovery_seconds", "120", Kind::Number(0.0, HOUR), "How long a lost connection can be recovered; 0 is off."),
    key(
        "trusted_proxies",
        "[]",
        Kind::Networks,
        "Proxies whose X-Forwarded-For is believed: addresses, or blocks such as 10.0.0.0/8.",
    ),
    unset(
        "redis.url",
        "\"redis://127.0.0.1:6379/0\"",
        Kind::RedisUrl,
        "Where it is: redis://, rediss:// for TLS, redis+sentinel://host,host/master, redis+cluster://host,host. Not set: this gateway is alone.",
    ),
    key(
        "redis.mode",
        "\"auto\"",
        Kind::Choice(&["auto", "classic", "sharded"]),
        "What gateways say to each other: as Node's createAdapter or createShardedAdapter. auto: sharded on a Cluster, else classic.",
    ),
    key(
        "redis.prefix",
        "\"haat\"",
        Kind::Text,
        "Begins every key and channel of our own. Deployments that share a Redis need different ones.",
    ),
    key(
        "redis.channel_prefix",
        "\"socket.io\"",
        Kind::Text,
        "Begins the channels that Node gateways use too: their adapter's key or channelPrefix.",
    ),
    key(
        "redis.node_peers",
        "\"auto\"",
        Kind::Choice(&["auto", "always", "never"]),
        "Whether Node gateways are on the same Redis, and get messages in their form. auto looks; Node's emitter is not found so.",
    ),
    unset(
        "redis.ca_file",
        "\"/etc/haat/redis-ca.pem\"",
        Kind::Path,
        "PEM certificates that Redis is checked against. Not set: those of the system.",
    ),
    unset(
        "redis.certificate_file",
        "\"/etc/haat/redis.pem\"",
        Kind::Path,
        "PEM certificate of this gateway, where Redis asks for one.",
    ),
    unset("redis.key_file", "\"/etc/haat/redis-key.pem\"", Kind::Path, "Its key."),
    unset("redis.sentinel_user", "\"haat\"", Kind::Text, "Name at the Sentinels, where they ask for one."),
    unset("redis.sentinel_password", "\"…\"", Kind::Password, "Password at the Sentinels."),
    key(
        "ledger.wait_replicas",
        "0",
        Kind::Whole(0, 16),
        "Replicas of Redis that must have a claim or a spin before it is answered; with fewer the answer is unavailable.",
    ),
    key("log.filter", r#""info""#, Kind::Text, "Levels, also by module: \"info,haat_server::edge=debug\"."),
    key("log.format", r#""text""#, Kind::Choice(&["text", "json"]), "\"text\" for people, \"json\" for machines."),
    key("engine.path", r#""/socket.io/""#, Kind::Endpoint, "Path of the Socket.IO endpoint."),
    key("engine.polling", "true", Kind::Switch, "Whether long polling is served besides WebSocket."),
    key("engine.ping_interval_seconds", "25", Kind::Number(0.1, HOUR), "From a client's pong to the next ping."),
    key("engine.ping_timeout_seconds", "20", Kind::Number(0.1, HOUR), "How long a client may take to answer a ping."),
    key(
        "engine.upgrade_timeout_seconds",
        "10",
        Kind::Number(0.1, HOUR),
        "How long the switch from polling to WebSocket may take.",
    ),
    key(
        "engine.connect_timeout_seconds",
        "10",
        Kind::Number(0.1, HOUR),
        "How long a client may take to join a namespace.",
    ),
    key(
        "engine.handshake_timeout_seconds",
        "5",
        Kind::Number(0.1, HOUR),
        "How long the head of an HTTP request may take.",
    ),
    key(
        "engine.message_timeout_seconds",
        "30",
        Kind::Number(0.1, HOUR),
        "How long a message may take to arrive, or the body of a POST.",
    ),
    key(
        "engine.max_payload_bytes",
        "65536",
        Kind::Whole(1024, 16 << 20),
        "Bytes of a message from a client, or of a POST.",
    ),
    unset(
        "auth.secret",
        r#""at least 32 bytes, from a random source""#,
        Kind::Secret,
        "Secret of HS256 tokens, as it is, at least 32 bytes. HAAT_AUTH_SECRET keeps it out of files.",
    ),
    unset(
        "auth.public_key_file",
        r#""/etc/haat/tokens.pem""#,
        Kind::Path,
        "PEM public key of RS256, ES256 or EdDSA tokens.",
    ),
    unset(
        "auth.algorithm",
        r#""ES256""#,
        Kind::Choice(&["RS256", "ES256", "EdDSA"]),
        "What the PEM key must be a key of. Not set: what it is.",
    ),
    unset(
        "auth.jwks_file",
        r#""/etc/haat/jwks.json""#,
        Kind::Path,
        "JWKS with public keys; tokens name theirs by kid.",
    ),
    unset("auth.audience", r#""haat""#, Kind::Text, "What a token's aud has to contain."),
    unset("auth.issuer", r#""https://login.example""#, Kind::Text, "What a token's iss has to be."),
    key(
        "auth.leeway_seconds",
        "30",
        Kind::Number(0.0, 600.0),
        "How far the clocks of token makers may differ from ours.",
    ),
    key(
        "peer.listen",
        r#""auto""#,
        Kind::PeerListen,
        "Where other gateways connect. \"auto\": any free port, on the address that leads to Redis. \"off\": this gateway passes nothing on, and the load balancer has to be sticky.",
    ),
    unset(
        "peer.address",
        r#""10.0.0.7""#,
        Kind::Host,
        "Where the others are told to reach it; a port only if it differs. Not set: where it listens, or the address that leads to Redis.",
    ),
    unset(
        "peer.secret",
        r#""at least 32 bytes, the same for all gateways""#,
        Kind::Secret,
        "What gateways prove with that they are of one fleet. Not set: one made from auth.secret; without that nothing is passed on.",
    ),
    key("limits.connections", "200000", Kind::Whole(0, MANY), "Connections of this gateway."),
    key("limits.address_connections", "5000", Kind::Whole(0, MANY), "Connections by client address (IPv6: by /64)."),
    key("limits.address_handshakes", "20", Kind::Number(0.0, OFTEN), "Handshakes a second by client address."),
    key("limits.address_handshakes_burst", "200", Kind::Whole(1, MANY), "How many of them may come at once."),
    key("limits.user_connections", "20", Kind::Whole(0, MANY), "Connections of one user."),
    key("limits.events_per_second", "10", Kind::Number(0.0, OFTEN), "Events a second that one connection sends."),
    key("limits.events_burst", "20", Kind::Whole(1, MANY), "How many of them may come at once."),
    key("limits.chat_per_second", "1", Kind::Number(0.0, OFTEN), "Chat messages a second of one user."),
    key("limits.chat_burst", "5", Kind::Whole(1, MANY), "How many of them may come at once."),
    key("limits.joins_per_second", "5", Kind::Number(0.0, OFTEN), "Joins a second of one connection."),
    key("limits.joins_burst", "20", Kind::Whole(1, MANY), "How many of them may come at once."),
    key("limits.reactions_per_second", "10", Kind::Number(0.0, OFTEN), "Reactions a second of one connection."),
    key("limits.reactions_burst", "50", Kind::Whole(1, MANY), "How many of them may come at once."),
    key(
        "limits.staff_per_second",
        "50",
        Kind::Number(0.0, OFTEN),
        "Commands a second of suppliers, moderators and services, in their streams.",
    ),
    key("limits.staff_burst", "100", Kind::Whole(1, MANY), "How many of them may come at once."),
    key("limits.rooms", "16", Kind::Whole(0, MANY), "Rooms that one connection is in."),
    key("limits.namespaces", "4", Kind::Whole(0, MANY), "Namespaces that one connection joins."),
    key(
        "limits.hops",
        "4096",
        Kind::Whole(0, MANY),
        "Long-polling requests that are passed on to other gateways at once.",
    ),
    key("outbox.max_bytes", "262144", Kind::Whole(1024, 1 << 30), "Bytes queued from which it is closed."),
    key("outbox.max_frames", "1024", Kind::Whole(1, 1 << 24), "Messages queued from which it is closed."),
    key(
        "outbox.max_age_seconds",
        "10",
        Kind::Number(0.1, HOUR),
        "How long a message may be queued before it is closed.",
    ),
    key(
        "outbox.send_buffer_bytes",
        "262144",
        Kind::Whole(4096, 64 << 20),
        "Bytes that the kernel queues for it; the kernel takes twice that. Less closes slow viewers sooner, more costs memory for each of them.",
    ),
    key(
        "fanout.tick_milliseconds",
        "0",
        Kind::Number(0.0, 1000.0),
        "Least time between two flushes. 0: as soon as there is something.",
    ),
    key("fanout.mailbox", "8192", Kind::Whole(64, 1 << 20), "Messages from elsewhere that wait for one shard."),
    key(
        "fanout.state_interval_milliseconds",
        "250",
        Kind::Number(250.0, 60_000.0),
        "Least time between two state events of a stream.",
    ),
    key(
        "webhooks.urls",
        "[]",
        Kind::Urls,
        "Servers that get every start and end of a stream, claim, win and held message, by POST.",
    ),
    unset(
        "webhooks.secret",
        r#""at least 32 bytes, from a random source""#,
        Kind::Secret,
        "What those bodies are signed with. HAAT_WEBHOOKS_SECRET keeps it out of files.",
    ),
];

/// What the tables of the file are about.
pub const SECTIONS: &[(&str, &str)] = &[
    ("redis", "The Redis that makes gateways a fleet."),
    ("ledger", "What is sold and given away."),
    ("log", "What is logged, and how."),
    ("engine", "How Engine.IO is spoken."),
    ("auth", "Who is who. At least one key is needed, unless it is run with --dev."),
    ("peer", "How gateways pass requests on to the one that holds the session."),
    ("limits", "How much one client may do. 0 switches a limit off; a burst belongs to the limit above it."),
    ("outbox", "When a connection is too far behind."),
    ("fanout", "How messages are spread."),
    ("webhooks", "Who is told of what happens."),
];

const fn key(path: &'static str, default: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { path, default: Some(default), example: default, kind, doc }
}

const fn unset(path: &'static str, example: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { path, default: None, example, kind, doc }
}

/// The key of a path.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_variables_are_unique() {
        let mut names: Vec<String> = KEYS.iter().flat_map(|key| [key.path.to_owned(), key.variable()]).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn variables_have_their_promised_names() {
        let promised = [
            ("HAAT_LISTEN", "listen"),
            ("HAAT_PRIVATE_LISTEN", "private_listen"),
            ("HAAT_REDIS_URL", "redis.url"),
            ("HAAT_AUTH_SECRET", "auth.secret"),
            ("HAAT_ORIGINS", "origins"),
            ("HAAT_SHARDS", "shards"),
            ("HAAT_GUESTS", "guests"),
            ("HAAT_DEMO", "demo"),
            ("HAAT_DRAIN_SECONDS", "drain_seconds"),
            ("HAAT_RECOVERY_SECONDS", "recovery_seconds"),
            ("HAAT_LIMITS_ADDRESS_CONNECTIONS", "limits.address_connections"),
            ("HAAT_LIMITS_ADDRESS_HANDSHAKES", "limits.address_handshakes"),
        ];
        for (variable, path) in promised {
            assert_eq!(find(path).map(Key::variable).as_deref(), Some(variable));
        }
    }
}
