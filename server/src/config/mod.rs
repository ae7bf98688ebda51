//! What the operator chose. Plain data: nothing here may read the environment or a file after start.
//!
//! ```text
//! table ──> layers: defaults < haat.toml < HAAT_* < flags ──> raw ──> check ──> Config
//! ```
//!
//! - [`table`]: every key, with its default and what it means; the only place where a key is named
//! - [`layers`]: collects the values of a run and remembers where each came from
//! - `raw`: the values as they are written; `check`: as the code uses them, and the rules between them
//! - [`secret`], [`network`]: types of single values

mod check;
pub mod layers;
pub mod network;
mod raw;
pub mod secret;
pub mod table;
#[cfg(test)]
mod tests;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

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
    pub redis_url: Option<Secret<String>>,
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
    /// How much one client may do.
    pub limits: Limits,
    /// When a connection is too far behind.
    pub outbox: Outbox,
    /// How messages are spread.
    pub fanout: Fanout,
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

/// When a connection is too far behind.
#[derive(Debug, Clone)]
pub struct Outbox {
    /// Bytes queued from which a connection counts as behind, and gets only what counts; default 32 KiB.
    pub behind_bytes: usize,
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
