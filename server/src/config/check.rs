//! From what was written to what the code uses, and the rules between values. Single values were checked by their kind
//! before; a value that fails here nonetheless is reported, never replaced by another.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    AuthConfig, Config, ConfigError, Engine, Fanout, KeyAlgorithm, KeySource, Limits, Log, LogFormat, Mode, NodePeers,
    Origins, Outbox, Peer, PeerListen, Rate, Redis, Secret, Webhooks,
    raw::{Raw, RawAuth, RawEngine, RawLedger, RawLimits, RawOutbox, RawRedis},
};

/// The most shards that a session id can tell apart, with room to spare.
const MAX_SHARDS: usize = 64;

/// The configuration, unless a value has no meaning. All mistakes are added to `errors`.
pub(super) fn check(raw: Raw, dev: bool, errors: &mut Vec<ConfigError>) -> Option<Config> {
    let listen: SocketAddr = raw.listen.parse().ok()?;
    let private_listen: SocketAddr = raw.private_listen.parse().ok()?;
    let mut rules = Rules { errors };
    rules.unless(
        listen.port() == 0 || !overlap(listen, private_listen),
        "private_listen",
        format!("{private_listen} is the address where clients connect ({listen}); it needs another port"),
    );
    if let Some(demo) = &raw.demo {
        rules.unless(PathBuf::from(demo).is_dir(), "demo", format!("there is no folder {demo}; build the pages first"));
    }
    let peer_listen = match raw.peer.listen.as_str() {
        "auto" => PeerListen::Auto,
        "off" => PeerListen::Off,
        address => PeerListen::At(address.parse().ok()?),
    };
    if let PeerListen::At(peer) = peer_listen {
        for (name, other) in [("listen", listen), ("private_listen", private_listen)] {
            rules.unless(
                peer.port() == 0 || !overlap(peer, other),
                "peer.listen",
                format!("{peer} is taken by {name} ({other}); it needs another port"),
            );
        }
    }
    rules.keys(&raw.auth, dev);
    rules.sizes(&raw.outbox, &raw.engine);
    rules.redis(&raw.redis);
    rules.unless(
        raw.ledger.wait_replicas == 0 || raw.redis.url.is_some(),
        "ledger.wait_replicas",
        "there are no replicas without redis.url",
    );
    let refused = rules.errors.iter().any(|error| matches!(error, ConfigError::Value { key: "webhooks.secret", .. }));
    rules.unless(
        raw.webhooks.urls.is_empty() || raw.webhooks.secret.is_some() || refused,
        "webhooks.secret",
        "webhooks.urls are told of what happens, and need a secret to know that it is true; set HAAT_WEBHOOKS_SECRET",
    );
    Some(Config {
        listen,
        private_listen,
        redis: redis(raw.redis, &raw.ledger),
        origins: origins(raw.origins),
        shards: raw.shards.unwrap_or_else(cores).clamp(1, MAX_SHARDS),
        guests: raw.guests,
        reactions: raw.reactions,
        demo: raw.demo.map(PathBuf::from),
        drain: seconds(raw.drain_seconds),
        recovery: seconds(raw.recovery_seconds),
        trusted_proxies: raw.trusted_proxies.iter().map(|text| text.parse()).collect::<Result<_, _>>().ok()?,
        log: Log {
            filter: raw.log.filter,
            format: if raw.log.format == "json" { LogFormat::Json } else { LogFormat::Text },
        },
        engine: engine(raw.engine),
        auth: auth(raw.auth, dev),
        peer: Peer { listen: peer_listen, address: raw.peer.address, secret: raw.peer.secret.map(Secret::new) },
        limits: limits(&raw.limits),
        outbox: Outbox {
            max_bytes: raw.outbox.max_bytes,
            max_frames: raw.outbox.max_frames,
            max_age: seconds(raw.outbox.max_age_seconds),
            send_buffer: raw.outbox.send_buffer_bytes,
        },
        fanout: Fanout {
            tick: seconds(raw.fanout.tick_milliseconds / 1000.0),
            mailbox: raw.fanout.mailbox,
            state_interval: seconds(raw.fanout.state_interval_milliseconds / 1000.0),
        },
        webhooks: Webhooks {
            addresses: raw.webhooks.urls.iter().map(|url| url.parse()).collect::<Result<_, _>>().ok()?,
            secret: Secret::new(raw.webhooks.secret.unwrap_or_default()),
        },
    })
}

/// The rules between values.
struct Rules<'a> {
    errors: &'a mut Vec<ConfigError>,
}

impl Rules<'_> {
    fn unless(&mut self, good: bool, key: &'static str, problem: impl Into<String>) {
        if !good {
            self.errors.push(ConfigError::Rule { key, problem: problem.into() });
        }
    }

    fn keys(&mut self, auth: &RawAuth, dev: bool) {
        let any = auth.secret.is_some() || auth.public_key_file.is_some() || auth.jwks_file.is_some();
        // A key that was given and refused has its own line.
        let refused = self.errors.iter().any(|error| matches!(error, ConfigError::Value { key: "auth.secret", .. }));
        self.unless(
            any || dev || refused,
            "auth.secret",
            "there is no key to check tokens with. Set HAAT_AUTH_SECRET to at least 32 random bytes (openssl rand -base64 \
             32 makes some), or auth.public_key_file, or auth.jwks_file; for a try on this machine run haat serve --dev",
        );
        self.unless(
            auth.algorithm.is_none() || auth.public_key_file.is_some(),
            "auth.algorithm",
            "it says what auth.public_key_file is a key of, which is not set",
        );
        for (key, file) in [("auth.public_key_file", &auth.public_key_file), ("auth.jwks_file", &auth.jwks_file)] {
            if let Some(file) = file {
                self.unless(PathBuf::from(file).is_file(), key, format!("there is no file {file}"));
            }
        }
    }

    fn redis(&mut self, redis: &RawRedis) {
        let needs = [
            ("redis.ca_file", &redis.ca_file, None),
            ("redis.certificate_file", &redis.certificate_file, Some(&redis.key_file)),
            ("redis.key_file", &redis.key_file, Some(&redis.certificate_file)),
        ];
        for (key, file, other) in needs {
            let Some(file) = file else { continue };
            if PathBuf::from(file).is_file() {
                let both = other.is_none_or(Option::is_some);
                self.unless(both, key, "a certificate and its key go together");
            } else {
                self.unless(false, key, format!("there is no file {file}"));
            }
        }
        let known = redis.sentinel_user.is_none() || redis.sentinel_password.is_some();
        self.unless(known, "redis.sentinel_user", "a name needs a password");
        for (key, prefix) in [("redis.prefix", &redis.prefix), ("redis.channel_prefix", &redis.channel_prefix)] {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
            let fits = (1..=64).contains(&prefix.len()) && prefix.bytes().all(good);
            self.unless(fits, key, "it has to be 1 to 64 characters of A-Z a-z 0-9 . _ - :");
        }
    }

    fn sizes(&mut self, outbox: &RawOutbox, engine: &RawEngine) {
        // Else one message that is allowed would close every viewer who cannot take it at once.
        self.unless(
            outbox.max_bytes >= engine.max_payload_bytes,
            "outbox.max_bytes",
            format!("{} is less than engine.max_payload_bytes ({})", outbox.max_bytes, engine.max_payload_bytes),
        );
    }
}

/// Whether both cannot be listened on at once.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Values are finite, not negative and bounded by their kind.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

fn origins(list: Vec<String>) -> Origins {
    match list.as_slice() {
        [] => Origins::Same,
        [all] if all == "*" => Origins::Any,
        _ => Origins::List(list),
    }
}

fn redis(raw: RawRedis, ledger: &RawLedger) -> Option<Redis> {
    let sentinel = raw.sentinel_password.map(Secret::new);
    Some(Redis {
        url: Secret::new(raw.url?),
        mode: match raw.mode.as_str() {
            "classic" => Some(Mode::Classic),
            "sharded" => Some(Mode::Sharded),
            _ => None,
        },
        prefix: raw.prefix,
        channel_prefix: raw.channel_prefix,
        node_peers: match raw.node_peers.as_str() {
            "always" => NodePeers::Always,
            "never" => NodePeers::Never,
            _ => NodePeers::Auto,
        },
        ca_file: raw.ca_file.map(PathBuf::from),
        identity_files: raw.certificate_file.map(PathBuf::from).zip(raw.key_file.map(PathBuf::from)),
        sentinel_login: sentinel.map(|password| (raw.sentinel_user.unwrap_or_default(), password)),
        wait_replicas: ledger.wait_replicas,
    })
}

fn engine(raw: RawEngine) -> Engine {
    Engine {
        path: raw.path,
        polling: raw.polling,
        ping_interval: seconds(raw.ping_interval_seconds),
        ping_timeout: seconds(raw.ping_timeout_seconds),
        upgrade_timeout: seconds(raw.upgrade_timeout_seconds),
        connect_timeout: seconds(raw.connect_timeout_seconds),
        handshake_timeout: seconds(raw.handshake_timeout_seconds),
        message_timeout: seconds(raw.message_timeout_seconds),
        max_payload: raw.max_payload_bytes,
    }
}

fn auth(raw: RawAuth, dev: bool) -> AuthConfig {
    let algorithm = raw.algorithm.as_deref().map(|name| match name {
        "RS256" => KeyAlgorithm::Rs256,
        "ES256" => KeyAlgorithm::Es256,
        _ => KeyAlgorithm::EdDsa,
    });
    let secret = raw.secret.map(|secret| KeySource::Secret(Secret::new(secret)));
    let public = raw.public_key_file.map(|path| KeySource::PublicKey { path: path.into(), algorithm });
    let jwks = raw.jwks_file.map(|path| KeySource::Jwks(path.into()));
    AuthConfig {
        keys: secret.into_iter().chain(public).chain(jwks).collect(),
        audience: raw.audience,
        issuer: raw.issuer,
        leeway: seconds(raw.leeway_seconds),
        dev,
    }
}

fn limits(raw: &RawLimits) -> Limits {
    let count = |number| if number == 0 { usize::MAX } else { number };
    let rate = |per_second, burst| Rate { per_second, burst };
    Limits {
        connections: count(raw.connections),
        address_connections: count(raw.address_connections),
        address_handshakes: rate(raw.address_handshakes, raw.address_handshakes_burst),
        user_connections: count(raw.user_connections),
        events: rate(raw.events_per_second, raw.events_burst),
        chat: rate(raw.chat_per_second, raw.chat_burst),
        joins: rate(raw.joins_per_second, raw.joins_burst),
        reactions: rate(raw.reactions_per_second, raw.reactions_burst),
        staff: rate(raw.staff_per_second, raw.staff_burst),
        rooms: count(raw.rooms),
        namespaces: count(raw.namespaces),
        hops: count(raw.hops),
    }
}
