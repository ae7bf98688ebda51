//! A fleet of one's own: gateways and the Redis between them, started for a run and ended with it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::proc::Server;

/// What would rightly hold back one client that plays a whole audience.
const OFF: [&str; 8] = [
    "HAAT_LIMITS_ADDRESS_CONNECTIONS",
    "HAAT_LIMITS_ADDRESS_HANDSHAKES",
    "HAAT_LIMITS_USER_CONNECTIONS",
    "HAAT_LIMITS_EVENTS_PER_SECOND",
    "HAAT_LIMITS_CHAT_PER_SECOND",
    "HAAT_LIMITS_JOINS_PER_SECOND",
    "HAAT_LIMITS_STAFF_PER_SECOND",
    "HAAT_LIMITS_REACTIONS_PER_SECOND",
];

/// How a fleet is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// The gateways' program; the `haat` beside this one if none.
    pub(crate) program: Option<PathBuf>,
    /// How many.
    pub(crate) gateways: usize,
    /// Whether a `redis-server` is started for them; without one there can be only one gateway.
    pub(crate) redis: bool,
    /// The secret of tokens.
    pub(crate) secret: String,
    /// The core of the gateways.
    pub(crate) core: Option<usize>,
    /// The core of their Redis.
    pub(crate) redis_core: Option<usize>,
    /// Folder for what the gateways say.
    pub(crate) logs: Option<PathBuf>,
    /// Further variables of the gateways.
    pub(crate) variables: Vec<(String, String)>,
}

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Its process.
    pub(crate) server: Server,
    /// Where clients connect.
    pub(crate) public: SocketAddr,
    /// Where its metrics are.
    pub(crate) private: SocketAddr,
}

/// A running fleet.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// The gateways. They end before their Redis does.
    pub(crate) gateways: Vec<Gateway>,
    /// Their Redis, and its port.
    pub(crate) redis: Option<(Server, u16)>,
}

impl Fleet {
    /// Starts it.
    ///
    /// # Errors
    /// If a program is not there, or does not come up.
    pub(crate) fn start(plan: &Plan) -> anyhow::Result<Self> {
        if plan.gateways == 0 {
            bail!("a fleet has at least one gateway");
        }
        if plan.gateways > 1 && !plan.redis {
            bail!("several gateways need a Redis between them: --redis");
        }
        let redis = if plan.redis { Some(start_redis(plan.redis_core)?) } else { None };
        let mut fleet = Self { gateways: Vec::new(), redis };
        for number in 0..plan.gateways {
            let gateway = fleet.gateway(plan, number)?;
            fleet.gateways.push(gateway);
        }
        Ok(fleet)
    }

    fn gateway(&self, plan: &Plan, number: usize) -> anyhow::Result<Gateway> {
        let program = match &plan.program {
            Some(program) => program.clone(),
            None => beside()?,
        };
        let (public, private) = (free_address()?, free_address()?);
        let mut variables = vec![
            ("HAAT_LISTEN".to_owned(), public.to_string()),
            ("HAAT_PRIVATE_LISTEN".to_owned(), private.to_string()),
            ("HAAT_AUTH_SECRET".to_owned(), plan.secret.clone()),
            ("HAAT_SHARDS".to_owned(), "1".to_owned()),
        ];
        variables.extend(OFF.map(|name| (name.to_owned(), "0".to_owned())));
        if let Some((_, port)) = &self.redis {
            variables.push(("HAAT_REDIS_URL".to_owned(), format!("redis://127.0.0.1:{port}")));
        }
        variables.extend(plan.variables.iter().cloned());
        let log = plan.logs.as_ref().map(|folder| folder.join(format!("gateway-{number}.log")));
        let command = format!("'{}' serve", program.display());
        let server = Server::launch(&command, &variables, plan.core, public, log.as_deref())
            .with_context(|| format!("gateway {number}"))?;
        Ok(Gateway { server, public, private })
    }
}

/// The gateway's program, as it is built beside this one.
fn beside() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program is")?;
    let program = own.parent().unwrap_or(Path::new(".")).join("haat");
    if !program.is_file() {
        bail!("{} is not there: build it, or name it with --server-bin", program.display());
    }
    Ok(program)
}

/// A Redis that keeps nothing.
fn start_redis(core: Option<usize>) -> anyhow::Result<(Server, u16)> {
    let address = free_address()?;
    let port = address.port();
    let command = format!("redis-server --bind 127.0.0.1 --port {port} --save '' --appendonly no --dir /tmp");
    let server = Server::launch(&command, &[], core, address, None).context("redis-server")?;
    Ok((server, port))
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port")?;
    Ok(listener.local_addr()?)
}
