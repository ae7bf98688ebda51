//! What the user says of Redis, checked. A setting is never guessed: one that cannot be used is an error that names it.

use std::{fmt, time::Duration};

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates, io::tcp::TcpSettings,
};

use super::slots::Address;

/// Where Redis is, and how it is used.
#[derive(Clone)]
pub struct RedisSettings {
    /// | form | meaning |
    /// |---|---|
    /// | `redis://[user[:password]@]host[:port][/db]` | one server |
    /// | `unix:///path[?db=1&user=u&pass=p]` | one server, by a socket of this machine |
    /// | `redis+sentinel://[user[:password]@]host[:port],…/master[/db]` | the master that these Sentinels name |
    /// | `redis+cluster://[user[:password]@]host[:port],…` | a Redis Cluster |
    ///
    /// `rediss` in place of `redis` speaks TLS.
    pub url: String,
    /// What gateways say to each other, and how. `None`: [`Mode::Sharded`] on a Redis Cluster, else [`Mode::Classic`].
    pub mode: Option<Mode>,
    /// Begins every key, and every channel that only haat uses. Deployments that share a Redis need different ones.
    pub prefix: String,
    /// Begins the channels that Node gateways use too: their adapter's `key` or `channelPrefix`.
    pub channel_prefix: String,
    /// The namespaces of this gateway, the same on all of them.
    pub namespaces: Vec<String>,
    /// Whether log entries are published in Node's form as well.
    pub node_peers: NodePeers,
    /// For `rediss`.
    pub tls: Tls,
    /// Name and password at the Sentinels, if they ask for any. Those of the URL are for Redis.
    pub sentinel_login: Option<(String, String)>,
    /// When a sale is made.
    pub ledger: Ledger,
    /// What one stream may hold.
    pub limits: Limits,
    /// How long things may take.
    pub times: Times,
}

/// What gateways say to each other, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As `createAdapter` of @socket.io/redis-adapter.
    Classic,
    /// As its `createShardedAdapter`: `SPUBLISH`, which Redis has since version 7.
    Sharded,
}

/// Whether there are Node gateways, or Node's emitter, on the same Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodePeers {
    /// Looked up every second: there are if more servers than haat gateways listen. The emitter does not listen, and is
    /// not found; what it sends to a single socket is not heard then.
    Auto,
    /// There are.
    Always,
    /// There are none.
    Never,
}

/// For `rediss`.
#[derive(Clone, Default)]
pub struct Tls {
    /// Certificates that the server's is checked against, PEM. `None`: those of the system.
    pub roots: Option<Vec<u8>>,
    /// The gateway's own certificate and key, PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// When a sale is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Replicas that have to have a claim or a spin before it is answered. If fewer have it within half of
    /// [`Times::command`], it is [`StoreError::Unavailable`](crate::StoreError::Unavailable), and a repetition under its name
    /// tells what became of it. Default 0: a failover may lose what was acknowledged.
    pub wait_replicas: u16,
}

/// What one stream may hold. Each bound says what happens at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries in the log. Default 4,096. The oldest is trimmed.
    pub log_entries: usize,
    /// Bytes of the log. Default 4 MiB. The oldest is trimmed.
    pub log_bytes: usize,
    /// Bytes of one entry, data and changed fields together. Default 1 MiB. More is
    /// [`StoreError::TooLarge`](crate::StoreError::TooLarge).
    pub entry_bytes: usize,
    /// State fields. Default 512. One more is [`StoreError::TooLarge`](crate::StoreError::TooLarge).
    pub fields: usize,
    /// Bytes of one state field. Default 256 KiB. More is [`StoreError::TooLarge`](crate::StoreError::TooLarge).
    pub field_bytes: usize,
    /// Bytes of a name: of an event, a field, a counter, an [`Once`](crate::Once) key. Default 512. A longer one is
    /// [`StoreError::TooLarge`](crate::StoreError::TooLarge); a counter with a longer one is not kept.
    pub name_bytes: usize,
    /// Counters. Default 256. One more is not kept.
    pub counters: usize,
    /// Records of the ledger, or a few more. Default 100,000. The oldest is trimmed.
    pub ledger_records: usize,
    /// Claims, spins and votes. Default 1,000,000. One more is [`StoreError::TooLarge`](crate::StoreError::TooLarge).
    pub takers: usize,
    /// Notes of a book. Default 10,000. One more is [`StoreError::TooLarge`](crate::StoreError::TooLarge).
    pub notes: usize,
    /// Bytes of one saved session. Default 16 KiB. More is [`StoreError::TooLarge`](crate::StoreError::TooLarge).
    pub session_bytes: usize,
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// A command. Default 2 s. Later, it is [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    pub command: Duration,
    /// A connection, TLS and login included. Default 2 s.
    pub dial: Duration,
    /// Between two probes of a connection. Default 1 s. One that is not answered within `command` is given up.
    pub probe: Duration,
    /// Until a gateway that does not hear itself counts as deaf. Default 4 s.
    pub deaf: Duration,
    /// The first wait before a lost connection is made again; each further one is twice as long. Default 50 ms.
    pub backoff: Duration,
    /// The longest such wait. Default 1 s.
    pub backoff_max: Duration,
    /// A broadcast that waited for so long is dropped. Default 2 s.
    pub stale: Duration,
    /// A room's channel is left so long after its last member. Default 2 s.
    pub linger: Duration,
    /// After Redis was restarted, or another server has taken its place, nothing is sold for so long: the other gateways connect
    /// meanwhile, and find out whether it has lost something that they have seen. Default 3 s.
    pub reassert: Duration,
    /// A stream that nobody has used for so long is forgotten. Default 30 days.
    pub retain: Duration,
}

impl RedisSettings {
    /// The defaults, for a Redis at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            mode: None,
            prefix: "haat".to_owned(),
            channel_prefix: "socket.io".to_owned(),
            namespaces: vec!["/".to_owned()],
            node_peers: NodePeers::Auto,
            tls: Tls::default(),
            sentinel_login: None,
            ledger: Ledger::default(),
            limits: Limits::default(),
            times: Times::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            log_entries: 4_096,
            log_bytes: 4 << 20,
            entry_bytes: 1 << 20,
            fields: 512,
            field_bytes: 256 << 10,
            name_bytes: 512,
            counters: 256,
            ledger_records: 100_000,
            takers: 1_000_000,
            notes: 10_000,
            session_bytes: 16 << 10,
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(2),
            dial: Duration::from_secs(2),
            probe: Duration::from_secs(1),
            deaf: Duration::from_secs(4),
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            stale: Duration::from_secs(2),
            linger: Duration::from_secs(2),
            reassert: Duration::from_secs(3),
            retain: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// Never shows a password.
impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("url", &masked(&self.url))
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

fn masked(url: &str) -> String {
    match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, rest)), Some(at)) => {
            format!("{scheme}://***{}", url.get(at..).unwrap_or(rest))
        }
        (Some(_), None) if !url.contains("pass=") => url.to_owned(),
        _ => "***".to_owned(),
    }
}

/// A setting cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("redis {setting}: {problem}")]
pub struct SettingsError {
    /// Which.
    pub setting: &'static str,
    /// Why.
    pub problem: String,
}

fn wrong(setting: &'static str, problem: impl fmt::Display) -> SettingsError {
    SettingsError { setting, problem: problem.to_string() }
}

/// Where Redis is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// One server.
    Server(Client),
    /// Whatever server is the master.
    Sentinel {
        sentinels: Vec<Client>,
        master: String,
        /// The server, but for its address.
        server: ConnectionInfo,
    },
    /// The masters of a Cluster.
    Cluster {
        /// Some of its servers, which know the others.
        seeds: Vec<Address>,
        /// A server, but for its address.
        server: ConnectionInfo,
    },
}

/// What the URL and its companions mean.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) mode: Mode,
    pub(super) database: i64,
    pub(super) tls: Option<TlsCertificates>,
}

impl RedisSettings {
    pub(super) fn target(&self) -> Result<Target, SettingsError> {
        self.check()?;
        let (scheme, rest) = self.url.split_once("://").ok_or_else(|| wrong("url", "it has no scheme"))?;
        let tls = TlsCertificates {
            client_tls: self
                .tls
                .identity
                .clone()
                .map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key }),
            root_cert: self.tls.roots.clone(),
        };
        let speaks_tls = scheme.starts_with("rediss");
        let tls = speaks_tls.then_some(tls);
        let plain = if speaks_tls { "rediss" } else { "redis" };
        let place = match scheme {
            "redis" | "rediss" | "unix" => {
                Place::Server(client(info(&self.url).map_err(|error| wrong("url", error))?, tls.as_ref())?)
            }
            "redis+sentinel" | "rediss+sentinel" => self.sentinel(plain, rest, tls.as_ref())?,
            "redis+cluster" | "rediss+cluster" => cluster(plain, rest)?,
            _ => return Err(wrong("url", format!("{scheme:?} is no scheme that is known"))),
        };
        let database = match &place {
            Place::Server(client) => client.get_connection_info().redis_settings().db(),
            Place::Sentinel { server, .. } | Place::Cluster { server, .. } => server.redis_settings().db(),
        };
        let usual = if matches!(place, Place::Cluster { .. }) { Mode::Sharded } else { Mode::Classic };
        Ok(Target { place, mode: self.mode.unwrap_or(usual), database, tls })
    }

    fn check(&self) -> Result<(), SettingsError> {
        for (setting, prefix) in [("prefix", &self.prefix), ("channel_prefix", &self.channel_prefix)] {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
            if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(good) {
                return Err(wrong(setting, "it has to be 1 to 64 characters of A-Z a-z 0-9 . _ - :"));
            }
        }
        if self.namespaces.is_empty() || !self.namespaces.iter().all(|name| name.starts_with('/')) {
            return Err(wrong("namespaces", "there has to be one, and each begins with a slash"));
        }
        Ok(())
    }

    /// `[login@]host[:port],…/master[/db]`
    fn sentinel(&self, scheme: &str, rest: &str, tls: Option<&TlsCertificates>) -> Result<Place, SettingsError> {
        let (authority, path) = rest.split_once('/').ok_or_else(|| wrong("url", "it names no master"))?;
        let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
        let (master, database) = path.split_once('/').unwrap_or((path, "0"));
        if master.is_empty() {
            return Err(wrong("url", "it names no master"));
        }
        let login = if login.is_empty() { String::new() } else { format!("{login}@") };
        let server = info(&format!("{scheme}://{login}localhost/{database}")).map_err(|error| wrong("url", error))?;
        let mut sentinels = Vec::new();
        for host in hosts.split(',') {
            const SENTINEL_PORT: u16 = 26_379;
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let host = if has_port { host.to_owned() } else { format!("{host}:{SENTINEL_PORT}") };
            let mut sentinel = info(&format!("{scheme}://{host}")).map_err(|error| wrong("url", error))?;
            let mut redis = sentinel.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
            if let Some((name, password)) = &self.sentinel_login {
                redis = redis.set_password(password);
                redis = if name.is_empty() { redis } else { redis.set_username(name) };
            }
            sentinel = sentinel.set_redis_settings(redis);
            sentinels.push(client(sentinel, tls)?);
        }
        Ok(Place::Sentinel { sentinels, master: master.to_owned(), server })
    }
}

/// `[login@]host[:port],…`
fn cluster(scheme: &str, rest: &str) -> Result<Place, SettingsError> {
    const PORT: u16 = 6_379;
    let (login, hosts) =
        rest.rsplit_once('@').map_or((String::new(), rest), |(login, hosts)| (format!("{login}@"), hosts));
    let (hosts, database) = hosts.split_once('/').unwrap_or((hosts, ""));
    if !matches!(database, "" | "0") {
        return Err(wrong("url", "a cluster has only one database, 0"));
    }
    let server = info(&format!("{scheme}://{login}localhost")).map_err(|error| wrong("url", error))?;
    let seed = |host: &str| {
        let seed = info(&format!("{scheme}://{host}")).map_err(|error| wrong("url", error))?;
        match seed.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Ok((host.clone(), *port)),
            _ => Err(wrong("url", "a cluster is reached by hosts")),
        }
    };
    let has_port = |host: &str| host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let with_port = |host: &str| if has_port(host) { host.to_owned() } else { format!("{host}:{PORT}") };
    let seeds = hosts.split(',').map(|host| seed(&with_port(host))).collect::<Result<_, _>>()?;
    Ok(Place::Cluster { seeds, server })
}

fn info(url: &str) -> Result<ConnectionInfo, redis::RedisError> {
    let info = url.into_connection_info()?;
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
    Ok(info.set_redis_settings(redis).set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// A client of a server, which connects to nothing yet.
pub(super) fn client(info: ConnectionInfo, tls: Option<&TlsCertificates>) -> Result<Client, SettingsError> {
    let client = match (info.addr(), tls) {
        (ConnectionAddr::TcpTls { .. }, Some(tls)) if tls.root_cert.is_some() || tls.client_tls.is_some() => {
            Client::build_with_tls(info, tls.clone())
        }
        _ => Client::open(info),
    };
    client.map_err(|error| wrong("tls", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shows_a_password() {
        for url in ["redis://ana:canary@host/1", "redis+sentinel://:can@ary@a,b/master", "unix:///s?pass=canary"] {
            let shown = format!("{:?}", RedisSettings::new(url));
            assert!(!shown.contains("canary") && !shown.contains("can@"), "{shown}");
        }
        assert!(format!("{:?}", RedisSettings::new("redis://host:1/2")).contains("redis://host:1/2"));
    }

    #[test]
    fn reads_every_form_of_url() {
        let server = |url: &str| match RedisSettings::new(url).target().unwrap().place {
            Place::Server(client) => client.get_connection_info().clone(),
            other => panic!("not a server: {other:?}"),
        };
        let info = server("redis://ana:p%40ss@host:1234/5");
        assert_eq!(info.addr(), &ConnectionAddr::Tcp("host".to_owned(), 1234));
        let redis = info.redis_settings();
        assert_eq!((redis.username(), redis.password(), redis.db()), (Some("ana"), Some("p@ss"), 5));
        assert!(matches!(server("rediss://host").addr(), ConnectionAddr::TcpTls { insecure: false, .. }));
        assert!(matches!(server("unix:///run/redis.sock").addr(), ConnectionAddr::Unix(_)));

        let target = RedisSettings::new("redis+sentinel://:secret@a,b:1,[::1]:2/shop/3").target().unwrap();
        assert_eq!((target.mode, target.database), (Mode::Classic, 3));
        let Place::Sentinel { sentinels, master, server } = target.place else { panic!("no sentinels") };
        let addresses: Vec<_> =
            sentinels.iter().map(|client| client.get_connection_info().addr().to_string()).collect();
        assert_eq!(addresses, ["a:26379", "b:1", "::1:2"]);
        assert_eq!((master.as_str(), server.redis_settings().password()), ("shop", Some("secret")));
        assert_eq!(sentinels[0].get_connection_info().redis_settings().password(), None);

        let target = RedisSettings::new("redis+cluster://ana:p%40ss@a,b:1,[::1]:2").target().unwrap();
        assert_eq!((target.mode, target.database), (Mode::Sharded, 0));
        let Place::Cluster { seeds, server } = target.place else { panic!("no cluster") };
        let address = |host: &str, port| (host.to_owned(), port);
        assert_eq!(seeds, [address("a", 6_379), address("b", 1), address("::1", 2)]);
        assert_eq!(
            (server.redis_settings().username(), server.redis_settings().password()),
            (Some("ana"), Some("p@ss"))
        );
    }

    #[test]
    fn names_the_setting_that_is_wrong() {
        let setting = |settings: RedisSettings| settings.target().map(drop).unwrap_err().setting;
        for url in [
            "",
            "host",
            "http://host",
            "redis://",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis://h/x",
            "redis+cluster://",
            "redis+cluster://a/3",
        ] {
            assert_eq!(setting(RedisSettings::new(url)), "url", "{url}");
        }
        let good = || RedisSettings::new("redis://host");
        assert_eq!(setting(RedisSettings { prefix: "a{b}".to_owned(), ..good() }), "prefix");
        assert_eq!(setting(RedisSettings { channel_prefix: "a#".to_owned(), ..good() }), "channel_prefix");
        assert_eq!(setting(RedisSettings { namespaces: vec![], ..good() }), "namespaces");
        let tls = Tls {
            roots: Some(b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----".to_vec()),
            ..Tls::default()
        };
        assert_eq!(setting(RedisSettings { tls, ..RedisSettings::new("rediss://host") }), "tls");
    }
}
