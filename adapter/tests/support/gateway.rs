//! A gateway on Redis that writes down what arrives, for test files that have `fleet` and `support`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use haat_adapter::{
    Adapter, Health, Inbound,
    redis::{Engine, RedisSettings},
};

use crate::fleet::Recorder;

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
