//! What is measured and how to talk to it: address, packets, tokens; and how it is started, if it does not run yet.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::client::Role;
use crate::driver::{Driver, Waiting};
use crate::fleet::{Fleet, Plan, free_address};
use crate::limit::Variant;
use crate::proc::{self, Server};
use crate::template::{Template, Values};
use crate::token::{Mint, Permission};

/// Connections that one source address can hold towards one server port.
const PER_SOURCE: usize = 25_000;

/// Options that say what is measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct TargetArgs {
    /// A server of one's own: ws://host:port/path. Without, gateways are started for the run
    #[arg(long)]
    url: Option<String>,
    /// Packets of a known server; each can be replaced by its own option
    #[arg(long, value_enum, default_value_t = Preset::Haat)]
    preset: Preset,
    /// HS256 secret to make tokens with; a server that is started here is given it, or one of its own
    #[arg(long, env = "HAAT_AUTH_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Event that sets up each room before the run: ["stream:start",{"stream":"{room}"}]
    #[arg(long)]
    setup: Option<String>,
    /// Event that joins a room; joined means acknowledged
    #[arg(long)]
    join: Option<String>,
    /// Event that leaves a room
    #[arg(long)]
    leave: Option<String>,
    /// Event that publishes {text} to a room
    #[arg(long)]
    publish: Option<String>,
    /// Name of the event that is a delivery
    #[arg(long)]
    event: Option<String>,
    /// Name of the event that reports a failed command
    #[arg(long)]
    error_event: Option<String>,
    /// CONNECT payload of everyone
    #[arg(long)]
    auth: Option<String>,
    /// CONNECT payload of publishers and of the connection that sets up
    #[arg(long)]
    publisher_auth: Option<String>,
    /// CONNECT payload of viewers
    #[arg(long)]
    viewer_auth: Option<String>,
    /// Start this server at --url for the run, as `sh -c "exec …"` (write `env A=b server` to set variables)
    #[arg(long, requires = "url")]
    server_cmd: Option<String>,
    /// Program of the gateways that are started; without, the haat beside this program
    #[arg(long, conflicts_with = "url")]
    server_bin: Option<PathBuf>,
    /// Pin what is started to this core, but for the gateways' Redis
    #[arg(long)]
    server_core: Option<usize>,
    /// Pin the Redis that is started to this core; without, to the generator's
    #[arg(long)]
    redis_core: Option<usize>,
    /// Folder for what the started servers say
    #[arg(long)]
    server_logs: Option<PathBuf>,
    /// Process id of the server at --url, for its CPU time and memory
    #[arg(long, requires = "url", conflicts_with = "server_cmd")]
    pid: Option<u32>,
    /// Pin the generator to this core
    #[arg(long)]
    client_core: Option<usize>,
    /// Measure the limit instead of a server: plain sockets, the same bytes
    #[arg(long, value_enum)]
    pub(crate) limit: Option<Variant>,
    /// Bytes of a delivered frame in the limit
    #[arg(long, default_value_t = 370)]
    pub(crate) frame_bytes: usize,
    /// Connections being set up at once
    #[arg(long, default_value_t = 256)]
    pub(crate) connecting: usize,
    /// Seconds without progress after which what is missing is given up
    #[arg(long, default_value_t = 10.0)]
    pub(crate) patience: f64,
    /// How the generator waits when nothing is ready
    #[arg(long, value_enum, default_value_t = Waiting::Sleep)]
    pub(crate) waiting: Waiting,
    /// Write the result as JSON
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Nothing on stderr while it runs
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl TargetArgs {
    /// Name of the event that is a delivery.
    fn event(&self) -> String {
        self.event.clone().unwrap_or_else(|| self.preset.packets().event.to_owned())
    }

    /// The same with a secret: a new one if none is given.
    fn with_secret(&self) -> anyhow::Result<Self> {
        let secret = self.secret.clone().map_or_else(new_secret, Ok)?;
        Ok(Self { secret: Some(secret), ..self.clone() })
    }
}

/// Servers whose packets are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Preset {
    /// This project's server.
    Haat,
    /// A Socket.IO server with the events join(room), leave(room), say(room, text) and chat(text).
    Node,
}

struct Packets {
    setup: &'static str,
    join: &'static str,
    leave: &'static str,
    publish: &'static str,
    event: &'static str,
    error_event: &'static str,
    publisher_auth: &'static str,
}

impl Preset {
    fn packets(self) -> Packets {
        match self {
            Self::Haat => Packets {
                setup: r#"["stream:start",{"stream":"{room}","title":"{room}"}]"#,
                join: r#"["stream:join",{"stream":"{room}"}]"#,
                leave: r#"["stream:leave",{"stream":"{room}"}]"#,
                publish: r#"["chat:send",{"stream":"{room}","text":"{text}"}]"#,
                event: "chat:message",
                error_event: "error:command",
                publisher_auth: r#"{"token":"{token}"}"#,
            },
            Self::Node => Packets {
                setup: "",
                join: r#"["join","{room}"]"#,
                leave: r#"["leave","{room}"]"#,
                publish: r#"["say","{room}","{text}"]"#,
                event: "chat",
                error_event: "",
                publisher_auth: "",
            },
        }
    }
}

/// Who a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Watches only.
    Viewer,
    /// Publishes as well.
    Publisher,
    /// Sets up rooms.
    Supplier,
}

/// The server under test, ready to be dialled.
pub(crate) struct Target {
    /// What was started for the run, if it was a fleet; it ends with the run.
    pub(crate) fleet: Option<Fleet>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where the further gateways of a fleet listen.
    others: Vec<SocketAddr>,
    /// Its process, if known.
    pub(crate) server: Server,
    /// Whether it is the limit server.
    pub(crate) limit: Option<Variant>,
    /// Event that sets up a room.
    pub(crate) setup: Option<Template>,
    /// Event that leaves a room.
    pub(crate) leave: Option<Template>,
    prefix: String,
    host: String,
    path: String,
    join: Template,
    publish: Template,
    event: String,
    error_event: String,
    viewer_auth: Option<Template>,
    publisher_auth: Option<Template>,
    mint: Option<Mint>,
}

impl Target {
    /// Opens the server that the options name; without one, starts a gateway with the embedded engine.
    ///
    /// # Errors
    /// If an option does not fit, or what is to be started does not start.
    pub(crate) fn open(args: &TargetArgs) -> anyhow::Result<Self> {
        Self::named(args)?.map_or_else(|| Self::fleet(args, 1, false), Ok)
    }

    /// The same; but what is started is a gateway and its Redis.
    ///
    /// # Errors
    /// As [`Target::open`].
    pub(crate) fn open_on_redis(args: &TargetArgs) -> anyhow::Result<Self> {
        Self::named(args)?.map_or_else(|| Self::fleet(args, 1, true), Ok)
    }

    /// Starts so many gateways, with a Redis or with the embedded engine, and opens them as one server.
    ///
    /// # Errors
    /// If another server is named, or they do not start.
    pub(crate) fn fleet(args: &TargetArgs, gateways: usize, redis: bool) -> anyhow::Result<Self> {
        if args.url.is_some() || args.limit.is_some() {
            bail!("this scenario starts its gateways itself: leave out --url and --limit");
        }
        if args.preset != Preset::Haat {
            bail!("what is started is a gateway of haat: another server is named with --url");
        }
        let args = args.with_secret()?;
        let plan = Plan {
            program: args.server_bin.clone(),
            gateways,
            redis,
            secret: args.secret.clone().unwrap_or_default(),
            core: args.server_core,
            redis_core: args.redis_core.or(args.client_core),
            logs: args.server_logs.clone(),
            variables: Vec::new(),
        };
        let fleet = Fleet::start(&plan)?;
        let mut addresses = fleet.gateways.iter().map(|gateway| gateway.public);
        let first = addresses.next().context("a gateway")?;
        let others = addresses.collect();
        let pids = fleet.gateways.iter().filter_map(|gateway| gateway.server.pid()).collect();
        let redis = fleet.redis.iter().filter_map(|(redis, _)| redis.pid()).collect();
        let target = Self::new(&args, &first.to_string(), "/socket.io/", Server::of(pids, redis))?;
        Ok(Self { others, fleet: Some(fleet), ..target })
    }

    /// The limit, or the server at the address that was given.
    fn named(args: &TargetArgs) -> anyhow::Result<Option<Self>> {
        let log = args.server_logs.as_ref().map(|folder| folder.join("server.log"));
        if let Some(variant) = args.limit {
            let address = free_address()?;
            let command = variant.command(address, args.frame_bytes, &args.event())?;
            let server = Server::launch(&command, &[], args.server_core, address, log.as_deref())?;
            let target = Self::new(args, &address.to_string(), "", server)?;
            return Ok(Some(Self { limit: Some(variant), ..target }));
        }
        let Some(url) = &args.url else { return Ok(None) };
        let (host, path) = split_url(url)?;
        let Some(command) = &args.server_cmd else {
            return Self::new(args, &host, &path, Server::attached(args.pid)).map(Some);
        };
        let args = args.with_secret()?;
        let secret = args.secret.iter().map(|secret| ("HAAT_AUTH_SECRET".to_owned(), secret.clone()));
        let variables: Vec<(String, String)> = secret.collect();
        let server = Server::launch(command, &variables, args.server_core, resolve(&host)?, log.as_deref())?;
        Self::new(&args, &host, &path, server).map(Some)
    }

    /// Pins the generator, and reads how to talk to the server.
    fn new(args: &TargetArgs, host: &str, path: &str, server: Server) -> anyhow::Result<Self> {
        if let Some(core) = args.client_core {
            proc::pin_self(core)?;
        }
        let packets = args.preset.packets();
        let pick = |given: &Option<String>, preset: &str| given.clone().unwrap_or_else(|| preset.to_owned());
        let publisher_auth = args
            .publisher_auth
            .clone()
            .or_else(|| args.auth.clone())
            .unwrap_or_else(|| packets.publisher_auth.to_owned());
        let viewer_auth = args.viewer_auth.clone().or_else(|| args.auth.clone()).unwrap_or_default();
        Ok(Self {
            fleet: None,
            address: resolve(host)?,
            others: Vec::new(),
            server,
            limit: None,
            setup: optional(&pick(&args.setup, packets.setup), Template::event)?,
            leave: optional(&pick(&args.leave, packets.leave), Template::event)?,
            prefix: format!("bench-{:06x}", run_number()),
            host: host.to_owned(),
            path: path.to_owned(),
            join: Template::event(&pick(&args.join, packets.join))?,
            publish: Template::event(&pick(&args.publish, packets.publish))?,
            event: args.event(),
            error_event: pick(&args.error_event, packets.error_event),
            viewer_auth: optional(&viewer_auth, Template::auth)?,
            publisher_auth: optional(&publisher_auth, Template::auth)?,
            mint: args.secret.as_deref().map(Mint::new),
        })
    }

    /// Where the Redis is that was started with the gateways.
    pub(crate) fn redis(&self) -> Option<String> {
        let (_, port) = self.fleet.as_ref()?.redis.as_ref()?;
        Some(format!("127.0.0.1:{port}"))
    }

    /// The same server, dialled at another of its addresses only.
    pub(crate) fn at(self, address: SocketAddr) -> Self {
        Self { address, others: Vec::new(), ..self }
    }

    /// The same server, with other names of rooms.
    pub(crate) fn renamed(self) -> Self {
        Self { prefix: format!("{}-b", self.prefix), ..self }
    }

    /// Where connection `n` goes: the gateways take turns.
    pub(crate) fn address_of(&self, n: usize) -> SocketAddr {
        match n % (self.others.len() + 1) {
            0 => self.address,
            place => self.others.get(place - 1).copied().unwrap_or(self.address),
        }
    }

    /// An event loop that knows this server's events.
    ///
    /// # Errors
    /// If the kernel gives no epoll instance.
    pub(crate) fn driver(&self, waiting: Waiting, interrupted: Arc<AtomicBool>) -> anyhow::Result<Driver> {
        let (event, error_event) = (&self.event, &self.error_event);
        Driver::new(event, error_event, waiting, interrupted)
    }

    /// Name of a room of this run.
    pub(crate) fn room(&self, room: usize) -> String {
        match self.limit {
            Some(_) => format!("{room:06}"),
            None => format!("{}-{room}", self.prefix),
        }
    }

    /// What connection `n` says of itself; with `joining`, it joins that room as soon as CONNECT is answered.
    ///
    /// # Errors
    /// If a token is wanted and there is no secret.
    pub(crate) fn role(&self, who: Who, n: usize, joining: Option<usize>) -> anyhow::Result<Role> {
        if self.limit.is_some() {
            let line = match (who, joining) {
                (Who::Viewer, Some(room)) => format!("room {}\n", self.room(room)),
                _ => "control\n".to_owned(),
            };
            return Ok(Role::Limit { line });
        }
        let user = user(who, n);
        let auth = match who {
            Who::Viewer => &self.viewer_auth,
            Who::Publisher | Who::Supplier => &self.publisher_auth,
        };
        let payload = match auth {
            None => String::new(),
            Some(auth) => {
                let token = match (&self.mint, auth.wants_token()) {
                    (_, false) => String::new(),
                    (Some(mint), true) => mint.token(&user, permission(who))?,
                    (None, true) => bail!("tokens need --secret or HAAT_AUTH_SECRET"),
                };
                auth.fill(&Values { token: &token, user: &user, n, ..Values::default() })
            }
        };
        Ok(Role::SocketIo {
            request: request(&self.host, &self.path),
            connect: format!("40{payload}"),
            join: joining.map(|room| self.join_event(who, n, room)),
        })
    }

    /// The event with which connection `n` joins a room.
    pub(crate) fn join_event(&self, who: Who, n: usize, room: usize) -> String {
        self.fill(&self.join, who, n, room)
    }

    /// A template filled for connection `n` and a room.
    pub(crate) fn fill(&self, template: &Template, who: Who, n: usize, room: usize) -> String {
        template.fill(&Values { room: &self.room(room), user: &user(who, n), n, ..Values::default() })
    }

    /// What stands before and behind the text when connection `n` publishes to a room.
    ///
    /// # Errors
    /// If the template has no `{text}`.
    pub(crate) fn publish_around(&self, n: usize, room: usize) -> anyhow::Result<(String, String)> {
        if self.limit.is_some() {
            return Ok((format!("42{}", self.room(room)), String::new()));
        }
        self.publish
            .around_text(&Values { room: &self.room(room), user: &user(Who::Publisher, n), n, ..Values::default() })
            .map(|(before, after)| (format!("42{before}"), after))
            .context("the publish template has no {text}")
    }

    /// The address to dial from: several are needed when one has too few ports.
    pub(crate) fn source(&self, n: usize, count: usize) -> Option<IpAddr> {
        if count <= PER_SOURCE || !self.address.ip().is_loopback() || !self.address.is_ipv4() {
            return None;
        }
        let last = u8::try_from(2 + n / PER_SOURCE).ok()?;
        Some(IpAddr::from([127, 0, 0, last]))
    }
}

/// The request that asks for a WebSocket.
pub(crate) fn request(host: &str, path: &str) -> String {
    format!(
        "GET {path}?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: aGFhdC1iZW5jaC1oYWF0IQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// A secret for one run.
///
/// # Errors
/// If the system gives no randomness.
pub(crate) fn new_secret() -> anyhow::Result<String> {
    use std::io::Read;
    let mut bytes = [0_u8; 32];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("randomness")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Patience as a duration.
pub(crate) fn patience(args: &TargetArgs) -> Duration {
    Duration::from_secs_f64(args.patience.clamp(0.1, 3_600.0))
}

fn user(who: Who, n: usize) -> String {
    match who {
        Who::Viewer => format!("viewer-{n}"),
        Who::Publisher => format!("publisher-{n}"),
        Who::Supplier => format!("supplier-{n}"),
    }
}

fn permission(who: Who) -> Permission {
    match who {
        Who::Supplier => Permission::Supplier,
        Who::Viewer | Who::Publisher => Permission::Viewer,
    }
}

fn optional<E>(template: &str, parse: impl FnOnce(&str) -> Result<Template, E>) -> Result<Option<Template>, E> {
    match template {
        "" => Ok(None),
        template => parse(template).map(Some),
    }
}

/// Host with port, and path, of ws:// and http:// alike.
///
/// # Errors
/// If it is something else.
pub(crate) fn split_url(url: &str) -> anyhow::Result<(String, String)> {
    let rest = url
        .strip_prefix("ws://")
        .or_else(|| url.strip_prefix("http://"))
        .with_context(|| format!("{url}: only ws:// and http:// can be measured"))?;
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/socket.io/"),
    };
    if path.contains(['?', ' ']) {
        bail!("{url}: a path without query is expected");
    }
    let path = if path == "/" { "/socket.io/" } else { path };
    Ok((host.to_owned(), path.to_owned()))
}

/// The first address of a host.
///
/// # Errors
/// If it has none.
pub(crate) fn resolve(host: &str) -> anyhow::Result<SocketAddr> {
    let with_port = match host.rsplit_once(':') {
        Some(_) => host.to_owned(),
        None => format!("{host}:80"),
    };
    with_port
        .to_socket_addrs()
        .with_context(|| format!("{host}: no host:port that is known here"))?
        .next()
        .with_context(|| format!("{host}: no address"))
}

/// Differs from run to run, so that a second run does not meet the first one's rooms.
pub(crate) fn run_number() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()) & 0xff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_into_host_and_path() {
        let split = |url: &str| split_url(url).ok();
        let pair = |host: &str, path: &str| Some((host.to_owned(), path.to_owned()));
        assert_eq!(split("ws://127.0.0.1:3000/io/"), pair("127.0.0.1:3000", "/io/"));
        assert_eq!(split("http://localhost:1"), pair("localhost:1", "/socket.io/"));
        assert_eq!(split("wss://host:1/"), None);
        assert_eq!(split("ws://host:1/?a=b"), None);
    }
}
