//! Every key of the configuration: the one place where it is named. The file, the environment, the flags, `haat check`
//! and `haat defaults` all go by this table, so a key cannot be known to one of them alone.

use std::net::{IpAddr, SocketAddr};

use toml::Value;

use super::{Network, network::is_for_webhooks};

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

/// Which values a key takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number within these bounds.
    Whole(i64, i64),
    /// A number within these bounds.
    Number(f64, f64),
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An address and a port.
    Address,
    /// The same, or `auto`, or `off`.
    PeerListen,
    /// A host, with a port or without.
    Host,
    /// The path of an endpoint.
    Endpoint,
    /// Any text.
    Text,
    /// A file or a folder.
    Path,
    /// An HS256 secret.
    Secret,
    /// A password.
    Password,
    /// A Redis URL.
    RedisUrl,
    /// Browser origins.
    Origins,
    /// Addresses and blocks of them.
    Networks,
    /// A few short words.
    Words,
    /// Addresses of other servers.
    Urls,
}

/// An hour is more than enough for any of the times.
const HOUR: f64 = 3600.0;
/// What a count goes up to.
const MANY: i64 = 100_000_000;
/// What a rate goes up to.
const OFTEN: f64 = 1_000_000.0;
/// What a Redis URL begins with.
const REDIS_SCHEMES: [&str; 7] = [
    "redis://",
    "rediss://",
    "unix://",
    "redis+sentinel://",
    "rediss+sentinel://",
    "redis+cluster://",
    "rediss+cluster://",
];
/// Bytes that HS256 needs of a secret (RFC 7518, 3.2).
const SECRET_BYTES: usize = 32;

/// Words of a list.
const MAX_WORDS: usize = 32;

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

impl Kind {
    /// What is allowed, for people.
    pub fn allowed(self) -> String {
        match self {
            Self::Whole(min, max) => format!("a whole number from {min} to {max}"),
            Self::Number(min, max) => format!("a number from {min} to {max}"),
            Self::Switch => "true or false".into(),
            Self::Choice(words) => words.join(", "),
            Self::Address => "an address with a port, such as 127.0.0.1:3000 or [::]:3000".into(),
            Self::PeerListen => format!("auto, off, or {}", Self::Address.allowed()),
            Self::Host => {
                "a host name or an address, with or without a port, such as 10.0.0.7 or gateway-1:9091".into()
            }
            Self::Endpoint => {
                "a path that begins and ends with a slash, such as /socket.io/, of A-Z a-z 0-9 . _ ~ -".into()
            }
            Self::Text | Self::Path | Self::Password => "a text".into(),
            Self::Secret => format!("a text of at least {SECRET_BYTES} bytes"),
            Self::RedisUrl => format!("a URL that begins with {}", REDIS_SCHEMES.join(", ")),
            Self::Origins => "a list of origins such as https://shop.example, without a path, or * alone".into(),
            Self::Urls => "a list of URLs such as https://shop.example/hook, without a user, and not of a link or of many machines".into(),
            Self::Words => format!("a list of at most {MAX_WORDS} words of 1 to 32 of a-z 0-9 _ -"),
            Self::Networks => "a list of addresses and blocks such as 10.0.0.0/8".into(),
        }
    }

    /// The value that a text of the environment or of a flag means. `None` for an empty text, which is as good as none
    /// for everything but lists.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(self, text: &str) -> Result<Option<Value>, String> {
        let value = match self {
            Self::Whole(..) => text.parse().ok().map(Value::Integer),
            Self::Number(..) => text.parse().ok().map(Value::Float),
            Self::Switch => text.parse().ok().map(Value::Boolean),
            _ => Some(Value::String(text.to_owned())),
        };
        match value {
            None if text.is_empty() => Ok(None),
            Some(value) => self.read(value),
            None => Err(self.allowed()),
        }
    }

    /// The value in the one form that the code reads, if it is allowed: numbers as floats where they may have a
    /// fraction, lists as lists. `None` for an empty text, as with [`parse`](Self::parse).
    ///
    /// # Errors
    /// What is allowed.
    pub fn read(self, value: Value) -> Result<Option<Value>, String> {
        if let (Self::Origins | Self::Networks | Self::Words | Self::Urls, Some(items)) = (self, items(&value)) {
            return if self.list_is_good(&items) {
                Ok(Some(Value::Array(items.into_iter().map(Value::String).collect())))
            } else {
                Err(self.allowed())
            };
        }
        let value = match (self, value) {
            (Self::Number(..), Value::Integer(number)) => Value::Float(number as f64),
            (_, value) => value,
        };
        match &value {
            Value::String(text) if text.is_empty() => Ok(None),
            value if self.is_good(value) => Ok(Some(value.clone())),
            _ => Err(self.allowed()),
        }
    }

    fn is_good(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Whole(min, max), Value::Integer(number)) => (min..=max).contains(number),
            (Self::Number(min, max), Value::Float(number)) => (min..=max).contains(number),
            (Self::Switch, Value::Boolean(_)) | (Self::Text | Self::Path | Self::Password, Value::String(_)) => true,
            (Self::Choice(words), Value::String(text)) => words.contains(&text.as_str()),
            (Self::Address, Value::String(text)) => text.parse::<SocketAddr>().is_ok(),
            (Self::PeerListen, Value::String(text)) => {
                matches!(text.as_str(), "auto" | "off") || text.parse::<SocketAddr>().is_ok()
            }
            (Self::Host, Value::String(text)) => is_host(text),
            (Self::Endpoint, Value::String(text)) => is_endpoint(text),
            (Self::Secret, Value::String(text)) => text.len() >= SECRET_BYTES,
            (Self::RedisUrl, Value::String(text)) => {
                REDIS_SCHEMES.iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme))
            }
            _ => false,
        }
    }

    fn list_is_good(self, items: &[String]) -> bool {
        match self {
            Self::Urls => items.iter().all(|item| is_url(item)),
            Self::Words => items.len() <= MAX_WORDS && items.iter().all(|item| is_word(item)),
            Self::Origins => items == ["*"] || items.iter().all(|item| is_origin(item)),
            _ => items.iter().all(|item| item.parse::<Network>().is_ok()),
        }
    }
}

/// The items of a list, which may be written as a text with commas.
fn items(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(values) => values.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
        Value::String(text) => {
            Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }
        _ => None,
    }
}

/// As browsers send it: they leave out default ports and write it in lower case, and it is compared whole.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let word = |text: &str, more: &[u8]| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || more.contains(&byte))
    };
    let default_port = scheme == "http" && host.ends_with(":80") || scheme == "https" && host.ends_with(":443");
    word(scheme, b"+-.") && word(host, b".-_:[]") && !default_port
}

fn is_host(text: &str) -> bool {
    let name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    match text.rsplit_once(':') {
        _ if text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() => true,
        Some((host, port)) => name(host) && port.parse::<u16>().is_ok_and(|port| port != 0),
        None => name(text),
    }
}

/// A user in it would be shown wherever the address is.
fn is_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    let (host, user) = (authority.host(), authority.as_str().contains('@'));
    // A name is looked at again where it is looked up.
    let address = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let good = !host.is_empty() && !user && address.is_none_or(is_for_webhooks);
    good && matches!(uri.scheme_str(), Some("http" | "https"))
}

fn is_word(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=32).contains(&text.len()) && text.bytes().all(good)
}

fn is_endpoint(text: &str) -> bool {
    let inner = text.strip_prefix('/').and_then(|text| text.strip_suffix('/'));
    inner.is_some_and(|inner| {
        inner.split('/').all(|part| {
            !part.is_empty()
                && !matches!(part, "." | "..")
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_by_kind() {
        let cases = [
            ("shards", "1", true),
            ("shards", "64", true),
            ("shards", "0", false),
            ("shards", "65", false),
            ("shards", "1.5", false),
            ("shards", "two", false),
            ("drain_seconds", "0.5", true),
            ("drain_seconds", "30", true),
            ("drain_seconds", "-1", false),
            ("drain_seconds", "nan", false),
            ("drain_seconds", "inf", false),
            ("drain_seconds", "1e9", false),
            ("drain_seconds", "30s", false),
            ("guests", "true", true),
            ("guests", "yes", false),
            ("listen", "127.0.0.1:0", true),
            ("listen", "[::]:3000", true),
            ("listen", "localhost:3000", false),
            ("listen", "3000", false),
            ("listen", "127.0.0.1:65536", false),
            ("log.format", "json", true),
            ("log.format", "JSON", false),
            ("auth.secret", "0123456789abcdef0123456789abcdef", true),
            ("auth.secret", "0123456789abcdef0123456789abcde", false),
            ("redis.url", "redis://127.0.0.1", true),
            ("redis.url", "rediss://", false),
            ("redis.url", "http://127.0.0.1", false),
            ("origins", "*", true),
            ("origins", "https://a.example, http://localhost:5173", true),
            ("origins", "https://a.example,*", false),
            ("origins", "https://a.example/", false),
            ("origins", "https://a.example:443", false),
            ("origins", "https://A.example", false),
            ("origins", "a.example", false),
            ("origins", "null", false),
            ("trusted_proxies", "10.0.0.0/8,::1", true),
            ("trusted_proxies", "10.0.0.0/64", false),
            ("engine.path", "/socket.io/", true),
            ("engine.path", "/a/b/", true),
            ("engine.path", "/", false),
            ("engine.path", "/socket.io", false),
            ("engine.path", "/a//b/", false),
            ("engine.path", "/../", false),
            ("engine.path", "/a?b/", false),
            ("limits.rooms", "0", true),
            ("peer.listen", "auto", true),
            ("peer.listen", "off", true),
            ("peer.listen", "0.0.0.0:9091", true),
            ("peer.listen", "0.0.0.0", false),
            ("peer.listen", "on", false),
            ("peer.address", "10.0.0.7", true),
            ("peer.address", "10.0.0.7:9091", true),
            ("peer.address", "fd00::7", true),
            ("peer.address", "[fd00::7]:9091", true),
            ("peer.address", "gateway-1.shop.internal", true),
            ("peer.address", "gateway-1:9091", true),
            ("peer.address", "gateway-1:0", false),
            ("peer.address", "gateway-1:", false),
            ("peer.address", ":9091", false),
            ("peer.address", "http://gateway-1", false),
            ("reactions", "heart,thumbs_up", true),
            ("reactions", "heart,Thumbs", false),
            ("reactions", "a b", false),
            ("webhooks.urls", "https://shop.example/hook?a=1,http://10.0.0.1:8080/", true),
            ("webhooks.urls", "http://127.0.0.1:8080/hook,http://[::1]/", true),
            ("webhooks.urls", "http://169.254.169.254/latest/meta-data/", false),
            ("webhooks.urls", "http://[::ffff:169.254.169.254]/", false),
            ("webhooks.urls", "http://[fe80::1]/", false),
            ("webhooks.urls", "http://0.0.0.0:8080/", false),
            ("webhooks.urls", "ftp://shop.example/", false),
            ("webhooks.urls", "https://user:pass@shop.example/", false),
            ("webhooks.urls", "shop.example", false),
            ("webhooks.urls", "/hook", false),
        ];
        for (path, text, good) in cases {
            assert_eq!(find(path).unwrap().kind.parse(text).is_ok(), good, "{path} = {text}");
        }
    }

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
