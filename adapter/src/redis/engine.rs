//! The parts put together: [`Engine`], its thread, and the [`Adapter`] that it is.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, join_all, ready},
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::{
    Mode, NodePeers, RedisSettings, SettingsError, Stats,
    append::Written,
    classic::Classic,
    desk::Desk,
    dial::Dialer,
    ears, fault,
    hands::Hands,
    link::{self, Link},
    mouth,
    node::Node,
    pulse::{self, Pulse},
    scripts::Scripts,
    seen::Seen,
    servers::{self, Servers, Tended},
    settings::Place,
    sharded::Sharded,
    slots::Address,
    stats::Counters,
    store,
    till::Till,
    wire::{Channel, Wire},
};
use crate::{
    Adapter, Broadcast, Claim, Health, Inbound, QueueFull, Replies, Request, RequestError,
    cluster::{Kind, Questions},
};

/// A deadline has to be a moment that the clock can name.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long `close` may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// The engine. It is the [`Adapter`], the [`Store`](crate::Store) and the [`Market`](crate::Market) of one gateway, and stops when it is dropped.
#[derive(Debug)]
pub struct Engine {
    pub(super) core: Arc<Core>,
    stop: watch::Sender<Stop>,
    closed: watch::Receiver<bool>,
    _thread: thread::JoinHandle<()>,
}

/// What the engine's thread is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// Say goodbye first.
    Politely,
    Now,
}

/// What all parts of the engine share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) settings: RedisSettings,
    mode: Mode,
    pub(super) wire: Box<dyn Wire>,
    pub(super) names: Names,
    pub(super) servers: Servers,
    pub(super) questions: Arc<Questions>,
    pub(super) pulse: Pulse,
    pub(super) scripts: Scripts,
    pub(super) seen: Seen,
    pub(super) hands: Hands,
    pub(super) appends: Desk<Written>,
    pub(super) claims: Desk<Claim>,
    pub(super) counters: Counters,
    pub(super) inbound: InboundRef,
    pub(super) closed: AtomicBool,
    /// The first of its tasks that has broken down.
    pub(super) broken: OnceLock<&'static str>,
    /// Sentinels may put another server in the place of the master.
    pub(super) guarded: bool,
}

/// The gateway. The engine never keeps it alive.
pub(super) struct InboundRef(Weak<dyn Inbound>);

impl std::fmt::Debug for InboundRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbound")
    }
}

/// Keys and channels of our own.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) prefix: String,
    database: i64,
    pub(super) canary: String,
    /// What stands before and after a stream's id between the braces of its keys. In a Cluster that is the whole channel on
    /// which Node gateways hear of the stream: a script may publish only where its keys are.
    around: (String, &'static str),
    /// Each stream has a clock of its own, since no script reaches a common one.
    clocks: bool,
}

impl Names {
    pub(super) fn key(&self, stream: &str, part: &str) -> String {
        let (prefix, (before, after)) = (&self.prefix, &self.around);
        format!("{prefix}:{{{before}{stream}{after}}}:{part}")
    }

    /// The key of the number that orders a stream's entries among those of others.
    pub(super) fn clock(&self, stream: &str) -> String {
        if self.clocks { self.key(stream, "clock") } else { format!("{}:clock", self.prefix) }
    }

    /// The channel of a stream's records.
    pub(super) fn live(&self, stream: &str) -> String {
        self.key(stream, &format!("live/{}", self.database))
    }

    /// The stream whose records a channel carries.
    pub(super) fn stream_of<'a>(&self, channel: &'a str) -> Option<&'a str> {
        let (stream, part) = self.parts(channel)?;
        (part.strip_prefix("live/")?.parse() == Ok(self.database)).then_some(stream)
    }

    /// The stream and the rest of a key or a channel of its.
    pub(super) fn parts<'a>(&self, name: &'a str) -> Option<(&'a str, &'a str)> {
        let (before, after) = &self.around;
        let rest = name.strip_prefix(self.prefix.as_str())?.strip_prefix(":{")?.strip_prefix(before.as_str())?;
        let (stream, rest) = rest.split_once('}')?;
        Some((stream.strip_suffix(after)?, rest.strip_prefix(':')?))
    }

    /// The channel by which haat gateways are counted.
    pub(super) fn gateways(&self) -> String {
        format!("{}:gateways/{}", self.prefix, self.database)
    }
}

/// The stream of a room of the main namespace.
fn stream_of_room<'a>(namespace: &str, room: &'a str) -> Option<&'a str> {
    room.strip_prefix("stream:").filter(|stream| namespace == "/" && store::is_stream(stream))
}

impl Engine {
    /// Starts an engine, and returns at once: Redis may be away, and come later. `inbound` gets what arrives.
    ///
    /// # Errors
    /// [`SettingsError`]; nothing runs then.
    pub fn connect(settings: RedisSettings, inbound: Weak<dyn Inbound>) -> Result<Arc<Self>, SettingsError> {
        let target = settings.target()?;
        let broken = |problem: String| SettingsError { setting: "engine", problem };
        let uid = fresh_id(target.mode).map_err(|error| broken(error.to_string()))?;
        let wire: Box<dyn Wire> = match target.mode {
            Mode::Classic => Box::new(Classic::new(&settings.channel_prefix, &settings.namespaces, &uid)),
            Mode::Sharded => Box::new(Sharded::new(&settings.channel_prefix, &settings.namespaces, &uid)),
        };
        let is_cluster = matches!(target.place, Place::Cluster { .. });
        let guarded = matches!(target.place, Place::Sentinel { .. });
        let around = match target.mode {
            Mode::Sharded if is_cluster => (format!("{}#/#stream:", settings.channel_prefix), "#"),
            _ => (String::new(), ""),
        };
        let names = Names {
            prefix: settings.prefix.clone(),
            database: target.database,
            canary: format!("{}:canary:{uid}", settings.prefix),
            around,
            clocks: is_cluster,
        };
        let dialer = Dialer::new(&target, &settings);
        let servers = match &target.place {
            Place::Cluster { .. } => Servers::cluster(),
            _ => Servers::one(node(None, &names.canary, dialer.clone(), &settings)),
        };
        let core = Arc::new(Core {
            mode: target.mode,
            wire,
            names,
            servers,
            questions: Arc::default(),
            pulse: Pulse::new(settings.node_peers, settings.times.deaf),
            scripts: Scripts::new(),
            seen: Seen::default(),
            hands: Hands::default(),
            appends: Desk::default(),
            claims: Desk::default(),
            counters: Counters::default(),
            inbound: InboundRef(inbound),
            closed: AtomicBool::new(false),
            broken: OnceLock::new(),
            guarded,
            settings,
        });
        core.fixed().into_iter().for_each(|channel| core.want(channel));
        if !is_cluster {
            core.want(core.canary());
        }

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| broken(error.to_string()))?;
        let (stop, stopped) = watch::channel(Stop::No);
        let (done, closed) = watch::channel(false);
        let of_thread = core.clone();
        let thread = thread::Builder::new().name("redis".to_owned()).spawn(move || {
            runtime.block_on(of_thread.work(dialer, target.place, stopped));
            done.send_replace(true);
        });
        let thread = thread.map_err(|error| broken(error.to_string()))?;
        Ok(Arc::new(Self { core, stop, closed, _thread: thread }))
    }

    /// Waits until messages flow, no longer than `patience`, and says whether they do.
    pub async fn up(&self, patience: Duration) -> Health {
        let end = Instant::now() + patience.min(LONGEST_WAIT);
        loop {
            let health = self.health();
            if health == Health::Up || Instant::now() >= end {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until everything that [`interest`](Adapter::interest) was told has reached Redis: from then on nothing that is
    /// sent to those rooms is missed.
    pub async fn settle(&self) {
        self.core.servers.settle().await;
    }

    /// What was counted since the start.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::Now);
    }
}

impl Core {
    /// The engine's thread.
    async fn work(self: Arc<Self>, dialer: Dialer, place: Place, mut stopped: watch::Receiver<Stop>) {
        let core = self.clone();
        let keep: Vec<Tended> = match place {
            Place::Cluster { seeds, .. } => {
                let look = servers::look(core, dialer, seeds);
                vec![Tended(vec![self.stand("the look at the cluster", look)])]
            }
            _ => self.servers.all().iter().map(|node| self.tend(node)).collect(),
        };
        let beat = Tended(vec![self.stand("the pulse", pulse::beat(self.clone()))]);
        let _ = stopped.wait_for(|stop| *stop != Stop::No).await;
        self.closed.store(true, Ordering::SeqCst);
        let (nodes, politely) = (self.servers.all(), *stopped.borrow() == Stop::Politely);
        if politely {
            let flushed = join_all(nodes.iter().map(|node| node.outgoing.flush()));
            let _ = tokio::time::timeout(GOODBYE, flushed).await;
        }
        // Redis notices a closed connection at once, and with it that the gateway counts no more.
        nodes.iter().for_each(|node| node.listener.hang_up());
        drop((keep, beat));
        if politely {
            let gone = join_all(nodes.iter().map(|node| pulse::until_gone(&self, node)));
            let _ = tokio::time::timeout(GOODBYE, gone).await;
        }
        nodes.iter().for_each(|node| node.hang_up());
    }

    /// Starts a task that the engine cannot do without. If it breaks down the engine says so for ever: nobody would see what
    /// is not done any more.
    pub(super) fn stand(
        self: &Arc<Self>,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let core = self.clone();
        tokio::spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(task = name, "a task of the engine has broken down");
                let _ = core.broken.set(name);
            }
        })
    }

    /// Starts what is to be done with a server.
    pub(super) fn tend(self: &Arc<Self>, node: &Arc<Node>) -> Tended {
        let (core, node) = (self.clone(), node.clone());
        let commands = Arc::new(Commands(core.clone(), node.clone()));
        let till = node.till.iter().flat_map(|till| {
            let link = till.link.clone().keep(commands.clone());
            [self.stand("the till's link", link), self.stand("the till", till.clone().serve(core.clone()))]
        });
        let till: Vec<_> = till.collect();
        let ears = Arc::new(ears::Ears::new(core.clone(), node.clone()));
        let tasks = [
            self.stand("the link of commands", node.commands.clone().keep(commands)),
            self.stand("the listener's link", node.listener.clone().keep(ears)),
            self.stand("the mouth", mouth::speak(core.clone(), node.clone())),
            self.stand("the ears", ears::poke(core, node)),
        ];
        Tended(tasks.into_iter().chain(till).collect())
    }

    /// A master of a Cluster, of which nothing is known but where it is.
    pub(super) fn node(&self, dialer: &Dialer, address: &Address) -> Option<Arc<Node>> {
        let dialer =
            dialer.at(address).inspect_err(|fault| tracing::warn!(why = %fault, "a master is not usable")).ok()?;
        let node = node(Some(address), &self.names.canary, dialer, &self.settings);
        if self.servers.has_looked() {
            // It takes the place of another, which it may not know everything of.
            node.meet("", self.settings.times.reassert);
        }
        Some(node)
    }

    /// What is listened to as long as the engine runs. The first ones are those by which others count us.
    pub(super) fn fixed(&self) -> Vec<Channel> {
        let namespaces = self.settings.namespaces.iter();
        let mut fixed: Vec<_> = namespaces.flat_map(|namespace| self.wire.fixed(namespace)).collect();
        fixed.push(Channel::new(self.wire.manner(), self.names.gateways()));
        if self.settings.node_peers == NodePeers::Always {
            let namespaces = self.settings.namespaces.iter();
            fixed.extend(namespaces.filter_map(|namespace| self.wire.private_rooms(namespace)));
        }
        fixed
    }

    /// The channel on which this gateway listens to itself; in a Cluster, what their names begin with.
    pub(super) fn canary(&self) -> Channel {
        Channel::new(self.wire.manner(), self.names.canary.as_str())
    }

    /// Somebody wants a channel.
    pub(super) fn want(&self, channel: Channel) {
        self.servers.table(&channel.name.clone(), |table| table.want(channel));
    }

    /// Nobody wants a channel any more.
    pub(super) fn leave(&self, channel: Channel) {
        self.servers.table(&channel.name.clone(), |table| table.leave(channel));
    }

    /// Runs `with` on the gateway, if it is still there.
    pub(super) fn inbound<T>(&self, with: impl FnOnce(&dyn Inbound) -> T) -> Option<T> {
        self.inbound.0.upgrade().map(|inbound| with(&*inbound))
    }
}

/// What this gateway has to do with a server, wherever that is.
fn node(address: Option<&Address>, canary: &str, dialer: Dialer, settings: &RedisSettings) -> Arc<Node> {
    let dialer = Arc::new(dialer);
    let at = address.map(|(host, port)| format!(" of {host}:{port}")).unwrap_or_default();
    let link = |name: &str| Link::new(format!("{name}{at}"), dialer.clone(), settings.times.clone());
    let till = (settings.ledger.wait_replicas > 0).then(|| Till::new(link("till"), settings.times.command));
    Node::new(address.cloned(), canary, [link("commands"), link("listener")], till)
}

/// Who keeps the connections for commands and for sales.
struct Commands(Arc<Core>, Arc<Node>);

impl link::Keeper for Commands {
    fn hear(&self, _: redis::PushInfo) {}

    fn greet<'a>(
        &'a self,
        connection: &'a redis::aio::MultiplexedConnection,
    ) -> BoxFuture<'a, Result<(), fault::Fault>> {
        Box::pin(self.0.prepare(&self.1, connection))
    }

    fn tend<'a>(&'a self, _: &'a redis::aio::MultiplexedConnection) -> BoxFuture<'a, fault::Fault> {
        Box::pin(std::future::pending())
    }

    fn lost(&self) {
        self.0.servers.doubt();
    }
}

impl Adapter for Engine {
    fn broadcast(&self, broadcast: Broadcast) -> Result<(), QueueFull> {
        match self.core.wire.broadcast(&broadcast) {
            Ok(message) => self.core.say(message),
            Err(error) => {
                // It would have harmed whoever had read it.
                self.core.counters.unspeakable.add(1);
                tracing::debug!(%error, "a broadcast cannot be published");
                Ok(())
            }
        }
    }

    fn request(&self, request: Request, timeout: Duration) -> BoxFuture<'_, Result<Replies, RequestError>> {
        let deadline = Instant::now() + timeout.min(LONGEST_WAIT);
        let failed = || -> BoxFuture<'_, _> {
            let expected = self.core.pulse.others().max(1);
            Box::pin(ready(Err(RequestError { expected, partial: Replies::default() })))
        };
        let Ok(id) = fresh_id(self.core.mode) else { return failed() };
        let Ok(message) = self.core.wire.request(&id, &request) else {
            self.core.counters.unspeakable.add(1);
            return failed();
        };
        let Some(kind) = Kind::of(&request) else {
            return match self.core.say(message) {
                Ok(()) => Box::pin(ready(Ok(Replies::default()))),
                Err(QueueFull) => failed(),
            };
        };
        let Some(question) = self.core.questions.ask(&id, kind) else { return failed() };
        if self.core.ask(message, id).is_err() {
            return failed();
        }
        Box::pin(question.collect(deadline))
    }

    fn interest(&self, namespace: &str, room: &str, wanted: bool) {
        let core = &self.core;
        let mut channels = vec![core.wire.room(namespace, room)];
        if let Some(stream) = stream_of_room(namespace, room) {
            channels.push(Channel::new(core.wire.manner(), core.names.live(stream)));
        }
        for channel in channels {
            if wanted { core.want(channel) } else { core.leave(channel) }
        }
    }

    fn health(&self) -> Health {
        self.core.health()
    }

    /// Sends what is queued, and leaves the fleet: when this returns, no gateway waits for this one any more.
    fn close(&self) -> BoxFuture<'_, ()> {
        self.stop.send_if_modified(|stop| {
            let first = *stop == Stop::No;
            if first {
                *stop = Stop::Politely;
            }
            first
        });
        let mut closed = self.closed.clone();
        Box::pin(async move {
            let _ = closed.wait_for(|closed| *closed).await;
        })
    }
}

/// A name that nobody else has, for a gateway or a question, in the form that Node's adapter gives it.
fn fresh_id(mode: Mode) -> Result<String, getrandom::Error> {
    match mode {
        Mode::Classic => random_text(6),
        Mode::Sharded => getrandom::u64().map(|random| format!("{random:016x}")),
    }
}

/// Random characters of `A-Za-z0-9-_`.
pub(super) fn random_text(length: usize) -> Result<String, getrandom::Error> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = vec![0; length];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Inbound for Nobody {
        fn wants(&self, _: &str, _: &str) -> bool {
            false
        }
        fn deliver(&self, _: Broadcast) {}
        fn entry(&self, _: Arc<crate::Entry>) {}
        fn serve(&self, _: Request, _: crate::Reply) {}
    }

    #[tokio::test]
    async fn a_task_that_breaks_down_is_seen_and_one_that_ends_is_not() {
        let inbound: Arc<dyn Inbound> = Arc::new(Nobody);
        let settings = RedisSettings::new("redis://127.0.0.1:1".to_owned());
        let engine = Engine::connect(settings, Arc::downgrade(&inbound)).unwrap();
        engine.core.stand("one", async {}).await.unwrap();
        assert!(matches!(engine.health(), Health::Down(_)));
        engine.core.stand("another", async { panic!("as the test wants it") }).await.unwrap();
        let Health::Broken(what) = engine.health() else { panic!("{:?}", engine.health()) };
        assert!(what.starts_with("another"), "{what}");
    }
}
