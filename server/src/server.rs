//! [`Server`]: a whole gateway from a configuration: the engine, the shards, the live application, the private listener.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use haat_adapter::{
    Adapter, GatewayLease, Health, Inbound, Market, Store, memory,
    redis::{self, RedisSettings},
};
use haat_protocol::Id;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

use crate::{
    api::{
        private::{self, Readiness, Status},
        site, v1, webhook,
    },
    auth::{self, AuthSettings, Verifier},
    config::{Config, KeySource, PeerListen, Redis},
    edge::{Doors, Endpoint},
    fleet::{Fleet, home},
    gateway::{Arrivals, Gateway, Plan, StartError, interest_of},
    hub::Hub,
    limit::Admission,
    link,
    live::{self, Live, Shared, hooks::Hooks},
    metrics,
    shard::Settings,
    standing::Standing,
    transport::outbox::Bounds,
};

/// Socket.IO namespaces, the same on all gateways of a fleet.
const NAMESPACES: [&str; 1] = ["/"];
/// How long a start waits for Redis.
const FIRST_WORD: Duration = Duration::from_secs(5);

/// A running server.
pub struct Server {
    name: Id,
    gateway: Gateway,
    adapter: Arc<dyn Adapter>,
    private: SocketAddr,
    standing: Arc<Standing>,
    lease: Option<Lease>,
    /// What arrives for the gateway. The engine holds it weakly, so that a gateway that is gone gets nothing.
    _arrivals: Arc<Arrivals>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its shards did not.
    #[error(transparent)]
    Gateway(#[from] StartError),
    /// The private listener did not.
    #[error("cannot listen on {address}: {source}")]
    Private {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A key cannot be used.
    #[error("auth: {0}")]
    Auth(#[from] crate::auth::AuthSetupError),
    /// The file of a key or of a certificate cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A setting of Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] redis::SettingsError),
    /// The system has no certificates to trust, which webhooks need.
    #[error("webhooks.urls: no certificates to trust: {0}")]
    Certificates(io::Error),
    /// The system has no randomness to give.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

impl Server {
    /// Starts a server: on the Redis of the configuration, or on an embedded engine of its own. A Redis that is away at the
    /// start may come later; until then the server is not ready.
    ///
    /// # Errors
    /// [`ServerError`]; nothing runs then.
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        let Some(redis) = &config.redis else {
            return Self::join(config, &memory::Engine::new(memory::Limits::default())).await;
        };
        let settings = redis_settings(redis)?;
        Self::on(config, |_, inbound| {
            let engine = redis::Engine::connect(settings, inbound)?;
            let link = Some(Arc::downgrade(&engine));
            Ok(Engine { adapter: engine.clone(), link, store: engine.clone(), market: engine })
        })
        .await
    }

    /// Starts a server on an engine that other servers of this process may share.
    ///
    /// # Errors
    /// [`ServerError`]; nothing runs then.
    pub async fn join(config: Config, engine: &Arc<memory::Engine>) -> Result<Self, ServerError> {
        let engine = engine.clone();
        Self::on(config, |name, inbound| {
            Ok(Engine { adapter: engine.attach(name, inbound), link: None, store: engine.clone(), market: engine })
        })
        .await
    }

    async fn on(
        config: Config,
        attach: impl FnOnce(&str, Weak<dyn Inbound>) -> Result<Engine, ServerError>,
    ) -> Result<Self, ServerError> {
        let numbers = metrics::recorder();
        metrics::connections_limit(config.limits.connections);
        let name = Id::random()?;
        let verifier = Verifier::new(&keys(&config)?)?;
        let private = TcpListener::bind(config.private_listen).await;
        let private = private.map_err(|source| ServerError::Private { address: config.private_listen, source })?;

        let number = number()?;
        let home = Home::of(&config).await;
        let fleet = home.as_ref().map(|home| Arc::new(Fleet::new(number, &home.secret, config.limits.hops)));

        // The engine needs the hub, the application the engine, and the shards the application: in this order.
        let late: Arc<OnceLock<Arc<Shared>>> = Arc::default();
        let mut plan =
            Plan { peer: home.as_ref().map(|home| home.listen), ..plan(&config, number, fleet.clone(), late.clone()) };
        let (hub, mailboxes) = Gateway::hub(&plan);
        let recovery = !config.recovery.is_zero();
        let arrivals = Arc::new(Arrivals::new(
            hub.clone(),
            live::stream_room,
            move |entry| live::frame_of(entry, recovery),
            move |namespace, event| live::event_frame(namespace, event, recovery),
        ));
        let inbound: Arc<dyn Inbound> = arrivals.clone();
        let Engine { adapter, link, store, market } = attach(name.as_str(), Arc::downgrade(&inbound))?;
        let engines = (store.clone(), market);
        let (hooks, woken) = Hooks::new(config.webhooks.addresses.len());
        let shared = Shared::new(&config, name.as_str(), (verifier, hooks), engines, adapter.clone(), hub.clone());
        let _ = late.set(shared.clone());
        plan.doors.site = v1::router(shared.clone(), &config).merge(plan.doors.site);
        hear(&*adapter).await;
        let gateway = Gateway::start(&plan, hub.clone(), mailboxes, interest_of(adapter.clone(), hub.clone()))?;

        let standing = Arc::<Standing>::default();
        let lease = match (fleet, home, gateway.peer_address()) {
            (Some(fleet), Some(home), Some(bound)) => {
                let address = home::announced(config.peer.address.as_deref(), bound, home.address);
                let me = GatewayLease { number, name: name.to_string(), address };
                Some(Lease::take(fleet, store, me, &standing).await)
            }
            _ => None,
        };
        let status = Arc::new(Numbers {
            hub,
            adapter: Arc::downgrade(&adapter),
            draining: gateway.draining(),
            standing: standing.clone(),
        });
        let address = private.local_addr().unwrap_or(config.private_listen);
        let router = private::router(status, numbers.clone());
        let senders = webhook::senders(&shared, &config.webhooks, woken).map_err(ServerError::Certificates)?;
        for sender in senders {
            standing.start("webhooks", sender);
        }
        standing.start("audience", live::audience(shared.clone()));
        standing.start("private listener", async move { drop(axum::serve(private, router).await) });
        standing.start("metrics", metrics::upkeep(numbers));
        if let Some(link) = link {
            standing.start("watch of the link", link::watch(link, shared));
        }
        tracing::info!(listen = %gateway.address(), private = %address, shards = plan.shards, "gateway is up");
        Ok(Self { name, gateway, adapter, private: address, standing, lease, _arrivals: arrivals })
    }

    /// What the engine knows it by.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// Where other gateways connect.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.gateway.peer_address()
    }

    /// Where metrics and health are served.
    pub fn private_address(&self) -> SocketAddr {
        self.private
    }

    /// Moves all clients off within `grace`, and stops.
    pub async fn drain(mut self, grace: Duration) {
        let lease = self.lease.take();
        self.gateway.drain(grace).await;
        Self::end(lease, &*self.adapter, &self.standing).await;
    }

    /// Closes all connections and stops.
    pub async fn stop(mut self) {
        let lease = self.lease.take();
        self.gateway.stop().await;
        Self::end(lease, &*self.adapter, &self.standing).await;
    }

    /// What is left once the sessions are gone. Until then other gateways pass on what is for them.
    async fn end(lease: Option<Lease>, adapter: &dyn Adapter, standing: &Standing) {
        if let Some(lease) = lease {
            lease.withdraw().await;
        }
        adapter.close().await;
        standing.abort();
    }
}

/// Where other gateways come in, and what they have to know.
struct Home {
    secret: Vec<u8>,
    listen: SocketAddr,
    /// The address of this host on the way that the fleet shares.
    address: IpAddr,
}

impl Home {
    /// `None`: nothing is passed on.
    async fn of(config: &Config) -> Option<Self> {
        let secret = match config.fleet_secret() {
            Ok(secret) => secret.expose().as_bytes().to_vec(),
            Err(why) => {
                tracing::info!(%why, "requests for sessions of other gateways are refused");
                return None;
            }
        };
        let address = home::address(config.redis.as_ref().map(|redis| redis.url.expose().as_str())).await;
        let listen = match config.peer.listen {
            PeerListen::At(listen) => listen,
            PeerListen::Auto | PeerListen::Off => SocketAddr::new(address, 0),
        };
        Some(Self { secret, listen, address })
    }
}

/// Held as long as other gateways may pass requests on to this one.
struct Lease {
    store: Arc<dyn Store>,
    me: GatewayLease,
    keeper: JoinHandle<()>,
}

impl Lease {
    async fn take(fleet: Arc<Fleet>, store: Arc<dyn Store>, me: GatewayLease, standing: &Standing) -> Self {
        fleet.look(&*store, &me).await;
        tracing::info!(address = me.address, "other gateways may pass requests on to this one");
        let keeper = standing.start("lease", fleet.keep(store.clone(), me.clone()));
        Self { store, me, keeper }
    }

    async fn withdraw(self) {
        // Else it might be renewed once more.
        self.keeper.abort();
        // It lapses by itself if this fails, and nobody answers at its address.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.store.gateways(&self.me, Duration::ZERO)).await;
    }
}

/// A server that is dropped is not kept alive in the eyes of the others.
impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// The number of a gateway. At random, since nobody is there to give numbers out.
fn number() -> Result<u32, ServerError> {
    let mut number = [0; 4];
    getrandom::fill(&mut number)?;
    Ok(u32::from_be_bytes(number))
}

/// What a gateway shares with others.
struct Engine {
    adapter: Arc<dyn Adapter>,
    /// The engine on Redis, if it is that one.
    link: Option<Weak<redis::Engine>>,
    store: Arc<dyn Store>,
    market: Arc<dyn Market>,
}

/// Waits until the engine hears what is said: clients that are let in before would miss it. Not for ever, though: they are
/// told when something cannot be done, and find everything in place when Redis comes.
async fn hear(adapter: &dyn Adapter) {
    let end = Instant::now() + FIRST_WORD;
    while let Health::Down(reason) = adapter.health() {
        if Instant::now() >= end {
            tracing::warn!(reason, "started without Redis; not ready until it comes");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn read(path: &Path) -> Result<String, ServerError> {
    std::fs::read_to_string(path).map_err(|source| ServerError::File { path: path.to_owned(), source })
}

fn redis_settings(redis: &Redis) -> Result<RedisSettings, ServerError> {
    let bytes = |path: &PathBuf| read(path).map(String::into_bytes);
    let identity = redis.identity_files.as_ref();
    let login = redis.sentinel_login.as_ref();
    Ok(RedisSettings {
        mode: redis.mode,
        prefix: redis.prefix.clone(),
        channel_prefix: redis.channel_prefix.clone(),
        namespaces: NAMESPACES.map(str::to_owned).to_vec(),
        node_peers: redis.node_peers,
        tls: redis::Tls {
            roots: redis.ca_file.as_ref().map(bytes).transpose()?,
            identity: identity
                .map(|(certificate, key)| Ok::<_, ServerError>((bytes(certificate)?, bytes(key)?)))
                .transpose()?,
        },
        ledger: redis::Ledger { wait_replicas: redis.wait_replicas },
        sentinel_login: login.map(|(name, password)| (name.clone(), password.expose().clone())),
        ..RedisSettings::new(redis.url.expose().clone())
    })
}

/// The keys of a configuration, those in files read.
fn keys(config: &Config) -> Result<AuthSettings, ServerError> {
    let keys = config.auth.keys.iter().map(|key| match key {
        KeySource::Secret(secret) => Ok(auth::KeySource::Secret(secret.expose().as_bytes().to_vec())),
        KeySource::PublicKey { path, .. } => Ok(auth::KeySource::Pem { text: read(path)? }),
        KeySource::Jwks(path) => Ok(auth::KeySource::Jwks { text: read(path)? }),
    });
    Ok(AuthSettings {
        keys: keys.collect::<Result<_, ServerError>>()?,
        audience: config.auth.audience.clone(),
        issuer: config.auth.issuer.clone(),
        leeway: config.auth.leeway,
        guests: config.guests,
    })
}

fn plan(config: &Config, number: u32, fleet: Option<Arc<Fleet>>, late: Arc<OnceLock<Arc<Shared>>>) -> Plan {
    let engine = &config.engine;
    let settings = Settings {
        ping_interval: engine.ping_interval,
        ping_timeout: engine.ping_timeout,
        upgrade_timeout: engine.upgrade_timeout,
        connect_timeout: engine.connect_timeout,
        message_timeout: engine.message_timeout,
        max_payload: engine.max_payload,
        max_namespaces: config.limits.namespaces,
        polling: engine.polling,
        tick: config.fanout.tick,
        gateway: number,
    };
    let doors = Doors {
        endpoints: Arc::new([Endpoint { path: engine.path.clone(), raw: false }]),
        origins: config.origins.clone(),
        admission: Arc::new(Admission::new(&config.limits, &config.trusted_proxies)),
        trusted: config.trusted_proxies.clone().into(),
        head_timeout: engine.handshake_timeout,
        site: site::router(config.demo.as_deref()),
        fleet,
    };
    Plan {
        listen: config.listen,
        peer: None,
        shards: config.shards,
        mailbox: config.fanout.mailbox,
        namespaces: NAMESPACES.to_vec(),
        settings,
        bounds: Bounds {
            max_bytes: config.outbox.max_bytes,
            max_frames: config.outbox.max_frames,
            max_age: config.outbox.max_age,
        },
        send_buffer: config.outbox.send_buffer,
        doors,
        app: Arc::new(move |rooms| {
            let shared = late.get().expect("set before the shards start").clone();
            Live::new(rooms, shared) as Rc<dyn crate::room::app::App>
        }),
    }
}

/// What the private listener shows.
struct Numbers {
    hub: Arc<Hub>,
    adapter: Weak<dyn Adapter>,
    draining: Arc<std::sync::atomic::AtomicBool>,
    standing: Arc<Standing>,
}

impl Status for Numbers {
    fn readiness(&self) -> Readiness {
        let not = |reason: String| Readiness { ready: false, reason: Some(reason) };
        if self.draining.load(std::sync::atomic::Ordering::Relaxed) {
            return not("draining".to_owned());
        }
        if let Some(what) = self.broken() {
            return not(what);
        }
        match self.adapter.upgrade().map(|adapter| adapter.health()) {
            Some(Health::Up) => Readiness { ready: true, reason: None },
            Some(Health::Down(reason) | Health::Broken(reason)) => not(reason),
            None => not("stopped".to_owned()),
        }
    }

    fn broken(&self) -> Option<String> {
        if self.draining.load(std::sync::atomic::Ordering::Relaxed) {
            return None;
        }
        if !self.hub.is_whole() {
            return Some("a shard has ended".to_owned());
        }
        if let Some(task) = self.standing.ended() {
            return Some(format!("a task has ended: {task}"));
        }
        match self.adapter.upgrade()?.health() {
            Health::Broken(what) => Some(what),
            Health::Up | Health::Down(_) => None,
        }
    }

    fn connections(&self) -> Value {
        let shards = (0..self.hub.shards()).map(|shard| {
            let number = u8::try_from(shard).unwrap_or(u8::MAX);
            json!({ "sessions": self.hub.sessions_of(number), "mailbox": self.hub.depth(number) })
        });
        json!({
            "sessions": self.hub.sessions(),
            "rooms": self.hub.directory.len(),
            "mailDropped": self.hub.dropped(),
            "shards": shards.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::health, config::Layers};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_gateway_without_one_of_its_tasks_is_neither_alive_nor_ready() {
        let variables = [
            ("HAAT_LISTEN", "127.0.0.1:0"),
            ("HAAT_PRIVATE_LISTEN", "127.0.0.1:0"),
            ("HAAT_AUTH_SECRET", "a secret of at least 32 characters"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let layers = Layers { file: None, variables, flags: Vec::new(), dev: false };
        let server = Server::start(layers.load().unwrap().config).await.unwrap();
        let private = server.private_address();
        let ask = async |path| tokio::task::spawn_blocking(move || health::ask(private, path)).await.unwrap();
        assert_eq!(ask("/healthz").await.unwrap(), "ok");
        ask("/readyz").await.unwrap();
        server.standing.start("test", async { panic!("as the test wants it") }).await.unwrap();
        for path in ["/healthz", "/readyz"] {
            let error = ask(path).await.unwrap_err().to_string();
            assert!(error.contains("a task has ended: test"), "{path}: {error}");
        }
        server.stop().await;
    }
}
