//! A gateway on Redis that writes down what arrives, for test files that have `fleet` and `support`.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use haat_adapter::{
    Adapter, Append, Appended, Entry, Health, Inbound, Store, StoreError,
    redis::{Engine, RedisSettings},
};

use crate::fleet::{Recorder, chat, once};

/// Longer than anything may take.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Gateway {
    pub(crate) engine: Arc<Engine>,
    pub(crate) heard: Arc<Recorder>,
}

impl Gateway {
    /// One that may not be up.
    pub(crate) fn new(settings: RedisSettings) -> Self {
        let heard = Arc::new(Recorder::default());
        let inbound: Arc<dyn Inbound> = heard.clone();
        Self { engine: Engine::connect(settings, Arc::downgrade(&inbound)).unwrap(), heard }
    }

    /// One that is up.
    pub(crate) async fn start(settings: RedisSettings) -> Self {
        let gateway = Self::new(settings);
        gateway.up().await;
        gateway
    }

    pub(crate) async fn up(&self) {
        assert_eq!(self.engine.up(LONG).await, Health::Up);
    }

    /// There is a member of the room, and what is sent to it arrives from now on.
    pub(crate) async fn join(&self, room: &str) {
        self.heard.join("/", room);
        self.engine.interest("/", room, true);
        self.engine.settle().await;
    }

    /// Waits until it is down, and says for how long that took.
    pub(crate) async fn down(&self) -> Duration {
        let started = Instant::now();
        until("the gateway is down", || self.engine.health() != Health::Up).await;
        started.elapsed()
    }

    /// There is a viewer of the stream.
    pub(crate) async fn watch(&self, stream: &str) {
        self.join(&format!("stream:{stream}")).await;
    }

    /// Appends to the stream `spring`.
    pub(crate) async fn say(&self, text: &str) -> Result<Appended, StoreError> {
        self.engine.append(chat("spring", text)).await
    }

    /// Appends until it is done, as a client does.
    pub(crate) async fn insist(&self, text: &str) -> Arc<Entry> {
        self.insist_on("spring", text).await
    }

    /// See [`insist`](Self::insist).
    pub(crate) async fn insist_on(&self, stream: &str, text: &str) -> Arc<Entry> {
        let started = Instant::now();
        loop {
            match self.engine.append(Append { once: once(text), ..chat(stream, text) }).await {
                Ok(Appended::New(entry) | Appended::Repeat(entry)) => return entry,
                Err(StoreError::Unavailable(_)) if started.elapsed() < LONG => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until an entry with this text has arrived.
    pub(crate) async fn hears(&self, text: &str) {
        let is = |entry: &Arc<Entry>| entry.data.contains(&format!("\"text\":\"{text}\""));
        self.heard.until(|heard| heard.entries.iter().any(is), |_| ()).await;
    }
}

/// Why the store could not do it.
pub(crate) fn unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable(why)) => why,
        other => panic!("not unavailable: {other:?}"),
    }
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LONG, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A test that needs `redis-server`.
macro_rules! redis_test {
    ($(#[$about:meta])* $name:ident, $body:expr) => {
        $(#[$about])*
        #[tokio::test]
        async fn $name() {
            if $crate::support::is_there() {
                $body().await;
            }
        }
    };
}
