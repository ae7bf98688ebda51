//! [`Server`]: a whole gateway from a configuration: the engine, the shards, the live application, the private listener.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use haat_adapter::{Adapter, Health, Inbound, Market, Store, memory};
use haat_protocol::Id;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    api::{
        private::{self, Readiness, Status},
        site, v1,
    },
    auth::{self, AuthSettings, Verifier},
    config::{Config, KeySource, LogFormat},
    edge::{Doors, Endpoint},
    gateway::{Arrivals, Gateway, Plan, StartError, interest_of},
    hub::Hub,
    limit::Admission,
    live::{self, Live, Shared},
    shard::Settings,
    transport::outbox::Bounds,
};

/// A running server.
pub struct Server {
    gateway: Gateway,
    adapter: Arc<dyn Adapter>,
    private: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
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
    /// The file of a key cannot be read.
    #[error("auth: {}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Redis was asked for.
    #[error("redis.url: this build has only the embedded engine, which serves one gateway; leave it empty")]
    Redis,
    /// The system has no randomness to give.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

impl Server {
    /// Starts a server on an embedded engine of its own.
    ///
    /// # Errors
    /// [`ServerError`]; nothing runs then.
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        if config.redis_url.is_some() {
            return Err(ServerError::Redis);
        }
        Self::join(config, &memory::Engine::new(memory::Limits::default())).await
    }

    /// Starts a server on an engine that other servers of this process may share.
    ///
    /// # Errors
    /// [`ServerError`]; nothing runs then.
    pub async fn join(config: Config, engine: &Arc<memory::Engine>) -> Result<Self, ServerError> {
        let metrics = recorder();
        let name = Id::random()?;
        let verifier = Verifier::new(&keys(&config)?)?;
        let private = TcpListener::bind(config.private_listen).await;
        let private = private.map_err(|source| ServerError::Private { address: config.private_listen, source })?;

        // The engine needs the hub, the application the engine, and the shards the application: in this order.
        let late: Arc<OnceLock<Arc<Shared>>> = Arc::default();
        let mut plan = plan(&config, late.clone())?;
        let (hub, mailboxes) = Gateway::hub(&plan);
        let recovery = !config.recovery.is_zero();
        let arrivals =
            Arc::new(Arrivals::new(hub.clone(), live::stream_room, move |entry| live::frame_of(entry, recovery)));
        let inbound: Arc<dyn Inbound> = arrivals.clone();
        let adapter: Arc<dyn Adapter> = engine.attach(name.as_str(), Arc::downgrade(&inbound));
        let engines: (Arc<dyn Store>, Arc<dyn Market>) = (engine.clone(), engine.clone());
        let shared = Shared::new(&config, name.as_str(), verifier, engines, adapter.clone(), hub.clone());
        let _ = late.set(shared.clone());
        plan.doors.site = v1::router(shared.clone(), &config).merge(plan.doors.site);
        let gateway = Gateway::start(&plan, hub.clone(), mailboxes, interest_of(adapter.clone(), hub.clone()))?;

        let status = Arc::new(Numbers { hub, adapter: Arc::downgrade(&adapter), draining: gateway.draining() });
        let address = private.local_addr().unwrap_or(config.private_listen);
        let router = private::router(status, metrics);
        let tasks = vec![
            tokio::spawn(live::audience(shared)),
            tokio::spawn(async move { drop(axum::serve(private, router).await) }),
        ];
        tracing::info!(listen = %gateway.address(), private = %address, shards = plan.shards, "gateway is up");
        Ok(Self { gateway, adapter, private: address, tasks, _arrivals: arrivals })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// Where metrics and health are served.
    pub fn private_address(&self) -> SocketAddr {
        self.private
    }

    /// Moves all clients off within `grace`, and stops.
    pub async fn drain(self, grace: Duration) {
        self.gateway.drain(grace).await;
        self.adapter.close().await;
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    /// Closes all connections and stops.
    pub async fn stop(self) {
        self.gateway.stop().await;
        self.adapter.close().await;
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The keys of a configuration, those in files read.
fn keys(config: &Config) -> Result<AuthSettings, ServerError> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| ServerError::Key { path: path.to_owned(), source })
    };
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

/// The numbers of the process. All servers of one process share them; there is one, but in tests.
fn recorder() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            // Fails only if an application that embeds this library has set another one, which then counts.
            let _ = metrics::set_global_recorder(recorder);
            handle
        })
        .clone()
}

/// Starts logging as configured. A second call changes nothing.
pub fn log(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::new(&config.log.filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = if config.log.format == LogFormat::Json { builder.json().try_init() } else { builder.try_init() };
}

fn plan(config: &Config, late: Arc<OnceLock<Arc<Shared>>>) -> Result<Plan, ServerError> {
    let mut number = [0; 4];
    getrandom::fill(&mut number)?;
    let engine = &config.engine;
    let settings = Settings {
        ping_interval: engine.ping_interval,
        ping_timeout: engine.ping_timeout,
        upgrade_timeout: engine.upgrade_timeout,
        connect_timeout: engine.connect_timeout,
        max_payload: engine.max_payload,
        max_namespaces: config.limits.namespaces,
        polling: engine.polling,
        tick: config.fanout.tick,
        gateway: u32::from_be_bytes(number),
    };
    let doors = Doors {
        endpoints: Arc::new([Endpoint { path: engine.path.clone(), raw: false }]),
        origins: config.origins.clone(),
        admission: Arc::new(Admission::new(&config.limits, &config.trusted_proxies)),
        trusted: config.trusted_proxies.clone().into(),
        head_timeout: engine.handshake_timeout,
        site: site::router(config.demo.as_deref()),
    };
    Ok(Plan {
        listen: config.listen,
        shards: config.shards,
        mailbox: config.fanout.mailbox,
        namespaces: vec!["/"],
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
    })
}

/// What the private listener shows.
struct Numbers {
    hub: Arc<Hub>,
    adapter: Weak<dyn Adapter>,
    draining: Arc<std::sync::atomic::AtomicBool>,
}

impl Status for Numbers {
    fn readiness(&self) -> Readiness {
        let not = |reason: String| Readiness { ready: false, reason: Some(reason) };
        if self.draining.load(std::sync::atomic::Ordering::Relaxed) {
            return not("draining".to_owned());
        }
        match self.adapter.upgrade().map(|adapter| adapter.health()) {
            Some(Health::Up) => Readiness { ready: true, reason: None },
            Some(Health::Down(reason)) => not(reason),
            None => not("stopped".to_owned()),
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
