//! [`Node`]: all that this gateway has to do with one server: two connections, what it listens to there, what waits to be
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
};

/// A server, as it is used here.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it is; `None`: where the settings say, which may be another place at another time.
    pub(super) address: Option<Address>,
    pub(super) commands: Arc<Link>,
    pub(super) listener: Arc<Link>,
    pub(super) table: Table,
    pub(super) outgoing: Outgoing,
    pub(super) pokes: Pokes,
    /// The channel on which this gateway listens to itself.
    canary: RwLock<Box<str>>,
    heard: Mutex<Option<Instant>>,
    met: Instant,
    /// How long the canary is on its way.
    echo: Histogram,
}

impl Node {
    pub(super) fn new(address: Option<Address>, canary: &str, commands: Link, listener: Link) -> Arc<Self> {
        Arc::new(Self {
            address,
            commands: Arc::new(commands),
            listener: Arc::new(listener),
            table: Table::default(),
            outgoing: Outgoing::new(),
            pokes: Pokes::default(),
            canary: RwLock::new(canary.into()),
            heard: Mutex::new(None),
            met: Instant::now(),
            echo: metrics::histogram!("haat_redis_echo_seconds"),
        })
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
        for link in [&self.commands, &self.listener] {
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

    /// Both connections are there.
    pub(super) fn is_up(&self) -> bool {
        self.commands.is_up() && self.listener.is_up()
    }

    /// Makes both connections anew.
    pub(super) fn renew(&self) {
        self.commands.renew();
        self.listener.renew();
    }
}
