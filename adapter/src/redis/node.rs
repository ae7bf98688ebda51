//! [`Node`]: all that this gateway has to do with one server: its connections, what it listens to there, what waits to be
//! published there, and whether it hears itself through it.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use metrics::Histogram;
use tokio::time::Instant;

use super::{
    ears::Pokes,
    link::{Link, State},
    mouth::Outgoing,
    slots::Address,
    table::Table,
    till::Till,
};

/// A server, as it is used here.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it is; `None`: where the settings say, which may be another place at another time.
    pub(super) address: Option<Address>,
    pub(super) commands: Arc<Link>,
    pub(super) listener: Arc<Link>,
    /// Where replicas have to confirm sales.
    pub(super) till: Option<Arc<Till>>,
    pub(super) table: Table,
    pub(super) outgoing: Outgoing,
    pub(super) pokes: Pokes,
    /// The channel on which this gateway listens to itself.
    canary: RwLock<Box<str>>,
    heard: Mutex<Option<Instant>>,
    met: Instant,
    /// How long the canary is on its way.
    echo: Histogram,
    run: Mutex<Run>,
}

/// One life of the server behind the address, as it calls it itself.
#[derive(Debug, Default)]
struct Run {
    /// `None` before the first one.
    name: Option<String>,
    /// From then on what it says of sales is believed.
    sure: Option<Instant>,
}

impl Node {
    pub(super) fn new(
        address: Option<Address>,
        canary: &str,
        [commands, listener]: [Link; 2],
        till: Option<Till>,
    ) -> Arc<Self> {
        Arc::new(Self {
            address,
            commands: Arc::new(commands),
            listener: Arc::new(listener),
            till: till.map(Arc::new),
            table: Table::default(),
            outgoing: Outgoing::new(),
            pokes: Pokes::default(),
            canary: RwLock::new(canary.into()),
            heard: Mutex::new(None),
            met: Instant::now(),
            echo: metrics::histogram!("haat_redis_echo_seconds"),
            run: Mutex::default(),
        })
    }

    /// The server says which life of it this is (empty: it does not tell). After another one it may have lost sales that only
    /// other gateways know of: they have so long to connect, and to say so. Says whether it is one that was not met before.
    pub(super) fn meet(&self, name: &str, reassert: Duration) -> bool {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let known = run.name.replace(name.to_owned());
        if known.as_ref().is_some_and(|known| name.is_empty() || known != name) {
            run.sure = Some(Instant::now() + reassert);
        }
        known.as_deref() != Some(name)
    }

    /// Whether what the server says of sales is believed.
    pub(super) fn is_sure(&self) -> bool {
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        run.sure.is_none_or(|sure| Instant::now() >= sure)
    }

    /// The channel on which this gateway listens to itself.
    pub(super) fn canary(&self) -> Box<str> {
        self.canary.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_canary(&self, canary: &str) {
        *self.canary.write().unwrap_or_else(PoisonError::into_inner) = canary.into();
    }

    /// What the canary carries: when it left, in microseconds since the server was met.
    pub(super) fn note(&self) -> u64 {
        u64::try_from(self.met.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The canary has come back, with its note.
    pub(super) fn hear_itself(&self, note: &[u8]) {
        let left = std::str::from_utf8(note).ok().and_then(|note| note.parse().ok());
        if let Some(took) = left.and_then(|left| self.met.elapsed().checked_sub(Duration::from_micros(left))) {
            self.echo.record(took.as_secs_f64());
        }
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Since the canary came back last; if it never did, since the server was met.
    pub(super) fn silent_for(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(self.met).elapsed()
    }

    /// Why nothing comes through this server at present. A canary that is later than `deaf` is lost.
    pub(super) fn trouble(&self, deaf: Duration) -> Option<String> {
        for link in self.links() {
            if let State::Down(why) = &*link.state().borrow() {
                return Some(why.clone());
            }
        }
        match *self.heard.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(heard) if heard.elapsed() <= deaf => None,
            _ => Some("the gateway does not hear itself".to_owned()),
        }
    }

    /// Whether the gateway should have heard itself by now, and has not, since both connections are there.
    pub(super) fn is_deaf(&self, deaf: Duration) -> bool {
        let since = [&self.commands, &self.listener].map(|link| match *link.state().borrow() {
            State::Up(since) => Some(since),
            State::Down(_) => None,
        });
        let [Some(commands), Some(listener)] = since else { return false };
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.max(Some(commands)).max(Some(listener)).is_some_and(|last| last.elapsed() > deaf)
    }

    /// All connections are there.
    pub(super) fn is_up(&self) -> bool {
        self.links().all(Link::is_up)
    }

    /// Makes all connections anew.
    pub(super) fn renew(&self) {
        self.links().for_each(Link::renew);
    }

    /// Nobody uses the connections any more. Their keepers have to have ended.
    pub(super) fn hang_up(&self) {
        self.links().for_each(Link::hang_up);
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        let till = self.till.as_ref().map(|till| &*till.link);
        [&*self.commands, &*self.listener].into_iter().chain(till)
    }
}
