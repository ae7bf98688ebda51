//! What the operator chose. Plain data: nothing here may read the environment or a file after start.
//!
//! ```text
//! table ──> layers: defaults < haat.toml < HAAT_* < flags ──> raw ──> check ──> Config
//! ```
//!
//! - [`table`]: every key, with its default and what it means; the only place where a key is named
//! - [`kind`]: which values a key takes
//! - [`layers`]: collects the values of a run and remembers where each came from
//! - [`mod@reference`]: the same as a page for operators
//! - `raw`: the values as they are written; `check`: as the code uses them, and the rules between them
//! - [`secret`], [`network`]: types of single values

mod check;
pub mod kind;
pub mod layers;
pub mod network;
mod raw;
pub mod reference;
pub mod secret;
pub mod table;
#[cfg(test)]
mod tests;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use haat_adapter::redis::{Mode, NodePeers};

pub use layers::{Layers, Loaded, Source};
pub use network::Network;
pub use secret::Secret;

/// A checked configuration. A number of [`Limits`] that is switched off is the largest of its type.
#[derive(Debug, Clone)]
pub struct Config {
    /// The public listener; default `0.0.0.0:3000`.
    pub listen: SocketAddr,
    /// Metrics and health; default `127.0.0.1:9090`.
    pub private_listen: SocketAddr,
    /// Redis of the fleet; without it this gateway is alone.
    pub redis: Option<Redis>,
    /// Which browser origins may connect.
    pub origins: Origins,
    /// Shards, 1 to 64; default the number of cores.
    pub shards: usize,
    /// Whether connections without a token are let in; default yes.
    pub guests: bool,
    /// Kinds of reactions.
    pub reactions: Vec<String>,
    /// Folder of the built demo pages.
    pub demo: Option<PathBuf>,
    /// How long a drain may take; default 30 s.
    pub drain: Duration,
    /// How long a lost connection can be recovered; default 120 s, zero is off.
    pub recovery: Duration,
    /// Proxies whose `X-Forwarded-For` is believed; default none.
    pub trusted_proxies: Vec<Network>,
    /// What is logged, and how.
    pub log: Log,
    /// How Engine.IO is spoken.
    pub engine: Engine,
    /// Who is who.
    pub auth: AuthConfig,
    /// How gateways pass requests on.
    pub peer: Peer,
    /// How much one client may do.
    pub limits: Limits,
    /// When a connection is too far behind.
    pub outbox: Outbox,
    /// How messages are spread.
    pub fanout: Fanout,
    /// Who is told of what happens.
    pub webhooks: Webhooks,
}

/// Servers that are told of what happens.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// Where they are; default none.
    pub addresses: Vec<http::Uri>,
    /// What bodies are signed with; empty only without addresses.
    pub secret: Secret<String>,
}

impl Config {
    /// The secret that the fleet shares, if requests are to be passed on between its gateways.
    ///
    /// # Errors
    /// Why they are not.
    pub fn fleet_secret(&self) -> Result<&Secret<String>, Alone> {
        match self.peer.listen {
            PeerListen::Off => return Err(Alone::Off),
            PeerListen::Auto if self.redis.is_none() => return Err(Alone::NoFleet),
            PeerListen::Auto | PeerListen::At(_) => {}
        }
        let tokens = self.auth.keys.iter().find_map(|key| match key {
            KeySource::Secret(secret) => Some(secret),
            KeySource::PublicKey { .. } | KeySource::Jwks(_) => None,
        });
        self.peer.secret.as_ref().or(tokens).ok_or(Alone::NoSecret)
    }
}

/// Which browser origins may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Only pages of this host.
    Same,
    /// Pages of every origin.
    Any,
    /// Pages of this host and of these origins, `https://shop.example`.
    List(Vec<String>),
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Log {
    /// Levels by module, as `tracing` filters are written; default `info`.
    pub filter: String,
    /// Default [`LogFormat::Text`].
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How Engine.IO is spoken.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The path of the endpoint, with a slash at both ends; default `/socket.io/`.
    pub path: String,
    /// Whether long polling is served; default yes.
    pub polling: bool,
    /// From a pong to the next ping; default 25 s.
    pub ping_interval: Duration,
    /// From a ping to the end of a session that does not answer; default 20 s.
    pub ping_timeout: Duration,
    /// From an upgrade request to the end of the attempt; default 10 s.
    pub upgrade_timeout: Duration,
    /// From the open packet to the end of a session that has joined no namespace; default 10 s.
    pub connect_timeout: Duration,
    /// How long the head of a request may take; default 5 s.
    pub handshake_timeout: Duration,
    /// How long a message may take to arrive, or the body of a POST; default 30 s.
    pub message_timeout: Duration,
    /// Bytes of a message, or of a POST; default 64 KiB.
    pub max_payload: usize,
}

/// How tokens are checked.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// The keys of the token makers. Empty only with `dev`.
    pub keys: Vec<KeySource>,
    /// What `aud` has to contain, if anything.
    pub audience: Option<String>,
    /// What `iss` has to be, if anything.
    pub issuer: Option<String>,
    /// How far clocks may differ; default 30 s.
    pub leeway: Duration,
    /// Whether this is a run for development, which may make up its key.
    pub dev: bool,
}

/// How gateways pass requests on to the one that holds the session.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where other gateways connect; default [`PeerListen::Auto`].
    pub listen: PeerListen,
    /// Where they are told to; a host, with a port if it differs from that of `listen`.
    pub address: Option<String>,
    /// What they prove with that they are of one fleet; without it that is made from the secret of tokens.
    pub secret: Option<Secret<String>>,
}

/// Where other gateways connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerListen {
    /// Any free port, on the address that leads to Redis.
    Auto,
    /// Nowhere: nothing is passed on.
    Off,
    /// There.
    At(SocketAddr),
}

/// Why a gateway passes nothing on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Alone {
    /// It was told so.
    #[error("peer.listen is off")]
    Off,
    /// There are no others.
    #[error("without redis.url there is no other gateway")]
    NoFleet,
    /// They could not trust each other.
    #[error("there is neither peer.secret nor auth.secret")]
    NoSecret,
}

/// Where a key comes from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// HS256 with this secret, of at least 32 bytes.
    Secret(Secret<String>),
    /// A PEM public key.
    PublicKey {
        /// The file.
        path: PathBuf,
        /// What it must be a key of; `None` takes the algorithm of its type.
        algorithm: Option<KeyAlgorithm>,
    },
    /// A JWKS file.
    Jwks(PathBuf),
}

/// Algorithms of public keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// RSA with SHA-256.
    Rs256,
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// How much one client may do.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections of this gateway; default 200,000.
    pub connections: usize,
    /// Connections by client address (IPv6: by /64); default 5,000.
    pub address_connections: usize,
    /// Handshakes by client address; default 20/s, burst 200.
    pub address_handshakes: Rate,
    /// Connections of one user to this gateway; default 20.
    pub user_connections: usize,
    /// Events that one connection sends; default 10/s, burst 20.
    pub events: Rate,
    /// Chat messages of one user; default 1/s, burst 5.
    pub chat: Rate,
    /// Joins of one connection; default 5/s, burst 20.
    pub joins: Rate,
    /// Reactions of one connection; default 10/s, burst 50.
    pub reactions: Rate,
    /// What suppliers, moderators and services send in their streams; default 50/s, burst 100.
    pub staff: Rate,
    /// Rooms that one connection is in; default 16.
    pub rooms: usize,
    /// Namespaces that one connection may join; default 4.
    pub namespaces: usize,
    /// Long-polling requests that are passed on to other gateways at once; default 4,096.
    pub hops: usize,
}

/// A rate, and how much of it may come at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// How many in a second, on average. Zero switches the limit off.
    pub per_second: f64,
    /// How many at once after a pause, at least one.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const OFF: Self = Self { per_second: 0.0, burst: 1 };

    /// Whether it limits nothing.
    pub fn is_off(&self) -> bool {
        self.per_second <= 0.0
    }
}

/// Where the fleet's Redis is, and how it is used.
#[derive(Debug, Clone)]
pub struct Redis {
    /// One server, Sentinels or a Cluster: see [`RedisSettings::url`](haat_adapter::redis::RedisSettings::url).
    pub url: Secret<String>,
    /// What gateways say to each other; `None` is what suits the kind of Redis.
    pub mode: Option<Mode>,
    /// Begins every key, and every channel that only haat uses; default `haat`.
    pub prefix: String,
    /// Begins the channels that Node gateways use too; default `socket.io`.
    pub channel_prefix: String,
    /// Whether there are Node gateways on the same Redis.
    pub node_peers: NodePeers,
    /// Certificates that the server's is checked against, PEM; default those of the system.
    pub ca_file: Option<PathBuf>,
    /// The gateway's own certificate and key, PEM.
    pub identity_files: Option<(PathBuf, PathBuf)>,
    /// Name and password at the Sentinels.
    pub sentinel_login: Option<(String, Secret<String>)>,
    /// Replicas that must have a claim or a spin before it is answered; default 0.
    pub wait_replicas: u16,
}

/// When a connection is too far behind.
#[derive(Debug, Clone)]
pub struct Outbox {
    /// Bytes queued from which it is closed; default 256 KiB.
    pub max_bytes: usize,
    /// Frames queued from which it is closed; default 1,024.
    pub max_frames: usize,
    /// How old the oldest frame may get; default 10 s.
    pub max_age: Duration,
    /// Bytes that the kernel queues for it (`SO_SNDBUF`, which the kernel doubles); default 256 KiB.
    pub send_buffer: usize,
}

/// How messages are spread.
#[derive(Debug, Clone)]
pub struct Fanout {
    /// Least time between two flushes of a shard; default zero: as soon as there is something.
    pub tick: Duration,
    /// Messages that a shard's mailbox holds; default 8,192.
    pub mailbox: usize,
    /// Least time between two state events of a stream; default 250 ms.
    pub state_interval: Duration,
}

/// One mistake of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read, or is no TOML.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, without what is written there.
        problem: String,
    },
    /// There is no such key.
    #[error("{name} ({origin}): there is no such setting{}", nearest_of(.nearest.as_deref()))]
    Unknown {
        /// The key, or the variable.
        name: String,
        /// Where it was found.
        origin: Source,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A value is not one of those that are allowed.
    #[error("{key} ({origin}): {value} is not allowed; allowed is {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// Where the value was found.
        origin: Source,
        /// What was found; masked if it is a secret.
        value: String,
        /// What it could be.
        allowed: String,
    },
    /// Values do not go together.
    #[error("{key}: {problem}")]
    Rule {
        /// The key to change.
        key: &'static str,
        /// What is wrong, and how to mend it.
        problem: String,
    },
}

fn nearest_of(name: Option<&str>) -> String {
    name.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

/// Every mistake of a configuration, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
