//! The engine on Redis: any number of gateways, and those of Node beside them, share what one Redis holds.
//!
//! ```text
//!   shards ── append, read, sync … ──────────────► commands ══► Redis
//!   shards ── broadcast, request ──► queue ──► mouth ──┘          ║
//!   hub ◄── entry, deliver, serve ◄── ears ◄══════════════════════╝
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `settings` | what the user says of Redis, checked |
//! | `dial`, `link`, `backoff` | a connection, how it is made, and how it comes back |
//! | `fault` | what each error calls for |
//! | `table` | what this gateway listens to |
//! | `ears` | what arrives: channel first, then meaning, then the gateway |
//! | `mouth` | what is published, in order |
//! | `pulse` | whether the gateway hears itself, and whether Node gateways are there |
//! | `wire`, `classic` | what gateways say to each other, as Node's adapters spell it |
//! | `store`, `scripts`, `record`, `seen` | the [`Store`](crate::Store), its steps, a log entry's form, how far it was seen |
//!
//! One thread of its own does all of it: the gateway's code ([`Inbound`]) is called on it, one call at a time, in the order in
//! which Redis sent things. Two connections: one for commands, one to listen; a flood on one does not delay the other.
//!
//! # Keys and channels
//!
//! `<p>` is [`RedisSettings::prefix`], `<s>` a stream, `<db>` the database's number (channels know no databases).
//!
//! | key | type | holds |
//! |---|---|---|
//! | `<p>:{<s>}:meta` | hash | `epoch`, `seq`, `bytes` of the log, `day` its expiry was set |
//! | `<p>:{<s>}:fields` | hash | state fields |
//! | `<p>:{<s>}:log` | list | the newest entries, see `record` |
//! | `<p>:{<s>}:once:<key>` | string | the entry that was appended with the key |
//! | `<p>:{<s>}:audience`, `:users`, `:crowd` | hash, set, HyperLogLog | leases, counters, peak; users, few or many |
//! | `<p>:clock` | string | [`Entry::clock`](crate::Entry::clock) |
//! | `<p>:streams` | sorted set | streams that there may be, by the day they were used last |
//! | `<p>:session:<pid>` | string | a saved session, JSON |
//!
//! | channel | carries | heard by |
//! |---|---|---|
//! | `<p>:{<s>}:live/<db>` | records of the log, published by the step that appended them | haat gateways with viewers of the stream |
//! | `<p>:canary:<uid>` | a number every second | this gateway |
//! | `<p>:gateways/<db>` | nothing; its subscribers are the haat gateways | all haat gateways |
//! | see `classic` | broadcasts, questions, answers | all gateways |
//!
//! With Node gateways about ([`NodePeers`]), the step that appends publishes the entry a second time, as the broadcast that
//! Node's adapter would make of it: same channel, same bytes, the event's name and data for the room `stream:<s>`, under the
//! name `haat-log`, by which haat gateways know it and leave it.
//!
//! # Use
//!
//! ```no_run
//! # async fn start(inbound: std::sync::Weak<dyn haat_adapter::Inbound>) -> Result<(), Box<dyn std::error::Error>> {
//! use std::{sync::Arc, time::Duration};
//! use haat_adapter::{Adapter, Store, redis::{Engine, RedisSettings}};
//!
//! let engine = Engine::connect(RedisSettings::new("redis://127.0.0.1"), inbound)?;
//! let (adapter, store): (Arc<dyn Adapter>, Arc<dyn Store>) = (engine.clone(), engine.clone());
//! // Clients are let in once the gateway can hear; Redis may also come later.
//! engine.up(Duration::from_secs(5)).await;
//! # let _ = (adapter, store);
//! # Ok(())
//! # }
//! ```

mod backoff;
mod classic;
mod dial;
mod ears;
mod fault;
mod link;
mod mouth;
mod pulse;
mod record;
mod scripts;
mod seen;
mod settings;
mod stats;
mod store;
mod table;
#[cfg(test)]
mod vectors;
mod wire;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use futures::future::{BoxFuture, ready};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

pub use settings::{Limits, Mode, NodePeers, RedisSettings, SettingsError, Times, Tls};
pub use stats::Stats;

use crate::{
    Adapter, Broadcast, Health, Inbound, QueueFull, Replies, Request, RequestError,
    cluster::{Kind, Questions},
};
use classic::Classic;
use dial::Dialer;
use link::Link;
use mouth::Outgoing;
use pulse::Pulse;
use scripts::Scripts;
use seen::Seen;
use stats::Counters;
use table::Table;
use wire::{Channel, Message, Wire};

/// Who publishes log entries in Node's form. Node takes it for a gateway.
const LOG_UID: &str = "haat-log";
/// A deadline has to be a moment that the clock can name.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long `close` may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// The engine. It is the [`Adapter`] and the [`Store`](crate::Store) of one gateway, and stops when it is dropped.
#[derive(Debug)]
pub struct Engine {
    core: Arc<Core>,
    stop: watch::Sender<Stop>,
    closed: watch::Receiver<bool>,
    _thread: JoinHandle<()>,
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
struct Core {
    settings: RedisSettings,
    wire: Box<dyn Wire>,
    names: Names,
    commands: Arc<Link>,
    listener: Arc<Link>,
    table: Table,
    outgoing: Outgoing,
    questions: Arc<Questions>,
    pulse: Pulse,
    scripts: Scripts,
    seen: Seen,
    pokes: ears::Pokes,
    counters: Counters,
    inbound: InboundRef,
    closed: AtomicBool,
}

/// The gateway. The engine never keeps it alive.
struct InboundRef(Weak<dyn Inbound>);

impl std::fmt::Debug for InboundRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbound")
    }
}

/// Keys and channels of our own.
#[derive(Debug)]
struct Names {
    prefix: String,
    database: i64,
    canary: String,
}

impl Names {
    fn key(&self, stream: &str, part: &str) -> String {
        format!("{}:{{{stream}}}:{part}", self.prefix)
    }

    /// The channel of a stream's records.
    fn live(&self, stream: &str) -> String {
        format!("{}:{{{stream}}}:live/{}", self.prefix, self.database)
    }

    /// The stream whose records a channel carries.
    fn stream_of<'a>(&self, channel: &'a str) -> Option<&'a str> {
        let rest = channel.strip_prefix(self.prefix.as_str())?.strip_prefix(":{")?;
        let (stream, rest) = rest.split_once('}')?;
        (rest.strip_prefix(":live/")?.parse() == Ok(self.database)).then_some(stream)
    }

    /// The channel by which haat gateways are counted.
    fn gateways(&self) -> String {
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
        let uid = random_text(6).map_err(|error| broken(error.to_string()))?;
        let wire: Box<dyn Wire> = match target.mode {
            Mode::Classic => Box::new(Classic::new(&settings.channel_prefix, &settings.namespaces, &uid)),
            Mode::Sharded => return Err(SettingsError { setting: "mode", problem: "not built yet".to_owned() }),
        };
        let dialer = Arc::new(Dialer::new(&target, &settings));
        let link = |name| Arc::new(Link::new(name, dialer.clone(), settings.times.clone()));
        let names = Names {
            prefix: settings.prefix.clone(),
            database: target.database,
            canary: format!("{}:canary:{uid}", settings.prefix),
        };
        let (outgoing, queue) = Outgoing::new();
        let core = Arc::new(Core {
            commands: link("commands"),
            listener: link("listener"),
            wire,
            names,
            table: Table::default(),
            outgoing,
            questions: Arc::default(),
            pulse: Pulse::new(settings.node_peers, settings.times.deaf),
            scripts: Scripts::new(),
            seen: Seen::default(),
            pokes: ears::Pokes::default(),
            counters: Counters::default(),
            inbound: InboundRef(inbound),
            closed: AtomicBool::new(false),
            settings,
        });
        core.fixed().into_iter().for_each(|channel| core.table.want(channel));

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| broken(error.to_string()))?;
        let (stop, stopped) = watch::channel(Stop::No);
        let (done, closed) = watch::channel(false);
        let of_thread = core.clone();
        let thread = std::thread::Builder::new().name("redis".to_owned()).spawn(move || {
            runtime.block_on(of_thread.work(queue, stopped));
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
        self.core.table.settle().await;
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
    async fn work(self: Arc<Self>, queue: mpsc::Receiver<mouth::Out>, mut stopped: watch::Receiver<Stop>) {
        let tasks = [
            tokio::spawn(self.commands.clone().keep(Arc::new(Commands(self.clone())))),
            tokio::spawn(self.listener.clone().keep(Arc::new(ears::Ears::new(self.clone())))),
            tokio::spawn(mouth::speak(self.clone(), queue)),
            tokio::spawn(pulse::beat(self.clone())),
            tokio::spawn(ears::poke(self.clone())),
        ];
        let _ = stopped.wait_for(|stop| *stop != Stop::No).await;
        self.closed.store(true, Ordering::SeqCst);
        if *stopped.borrow() == Stop::Politely {
            let flushed = self.outgoing.flush();
            let _ = tokio::time::timeout(GOODBYE, flushed).await;
        }
        // Redis notices a closed connection at once, and with it that the gateway counts no more.
        self.listener.hang_up();
        for task in &tasks {
            task.abort();
        }
        if *stopped.borrow() == Stop::Politely {
            let gone = pulse::until_gone(&self);
            let _ = tokio::time::timeout(GOODBYE, gone).await;
        }
        self.commands.hang_up();
    }

    /// What is listened to as long as the engine runs. The first ones are those by which others count us.
    fn fixed(&self) -> Vec<Channel> {
        let namespaces = self.settings.namespaces.iter();
        let mut fixed: Vec<_> = namespaces.flat_map(|namespace| self.wire.fixed(namespace)).collect();
        let manner = self.wire.manner();
        fixed.push(Channel::new(manner, self.names.gateways()));
        fixed.push(Channel::new(manner, self.names.canary.as_str()));
        if self.settings.node_peers == NodePeers::Always {
            let namespaces = self.settings.namespaces.iter();
            fixed.extend(namespaces.filter_map(|namespace| self.wire.private_rooms(namespace)));
        }
        fixed
    }

    /// Runs `with` on the gateway, if it is still there.
    fn inbound<T>(&self, with: impl FnOnce(&dyn Inbound) -> T) -> Option<T> {
        self.inbound.0.upgrade().map(|inbound| with(&*inbound))
    }
}

/// Who keeps the connection for commands.
struct Commands(Arc<Core>);

impl link::Keeper for Commands {
    fn hear(&self, _: redis::PushInfo) {}

    fn greet<'a>(
        &'a self,
        connection: &'a redis::aio::MultiplexedConnection,
    ) -> BoxFuture<'a, Result<(), fault::Fault>> {
        Box::pin(self.0.prepare(connection))
    }

    fn tend<'a>(&'a self, _: &'a redis::aio::MultiplexedConnection) -> BoxFuture<'a, fault::Fault> {
        Box::pin(std::future::pending())
    }

    fn lost(&self) {}
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
        let Ok(id) = random_text(self.core.wire.uid().len()) else { return failed() };
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
            if wanted { core.table.want(channel) } else { core.table.leave(channel) }
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

/// Random characters of `A-Za-z0-9-_`.
fn random_text(length: usize) -> Result<String, getrandom::Error> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = vec![0; length];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect())
}
