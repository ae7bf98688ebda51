//! [`Fleet`]: which other gateways there are, and how this one and they trust each other. It knows addresses and a secret;
//! it never opens a connection, and never shows the secret.
//!
//! ```text
//! keep()  Store::gateways ── at times, and as soon as a number is missed ──> the addresses
//! find()  known: at once; not known: once a look has come back that began after the question
//! ```
//!
//! - [`seal`]: how a request proves that it was passed on by a gateway of the fleet
//! - [`home`]: the address that others are told

pub mod home;
pub mod seal;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use haat_adapter::{GatewayLease, Store};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout},
};

use seal::Seal;

/// A gateway that was not heard of for so long is not there.
const LEASE: Duration = Duration::from_secs(15);
/// How often a lease is renewed.
const RENEW: Duration = Duration::from_secs(4);
/// Least time between two looks. Session ids that somebody made up must not become a load on the store.
const PAUSE: Duration = Duration::from_millis(100);
/// Least time between two warnings.
const WARN: Duration = Duration::from_secs(10);
/// How long the store may take for one.
const LOOK: Duration = Duration::from_secs(2);

/// The other gateways, as one of them sees them. Shared by its shards.
#[derive(Debug)]
pub struct Fleet {
    /// What requests between gateways prove themselves with.
    pub seal: Seal,
    others: watch::Sender<Others>,
    missed: Notify,
    hops: Arc<Semaphore>,
    warned: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Others {
    /// When the last look began.
    looked: Option<Instant>,
    /// By the gateway's number.
    addresses: HashMap<u32, Arc<str>>,
}

impl Fleet {
    /// The fleet of the gateway `number`, which knows of no other yet. At most `hops` long-polling requests are passed on at
    /// once.
    pub fn new(number: u32, secret: &[u8], hops: usize) -> Self {
        Self {
            seal: Seal::new(number, secret),
            others: watch::Sender::default(),
            missed: Notify::new(),
            hops: Arc::new(Semaphore::new(hops.min(Semaphore::MAX_PERMITS))),
            warned: Mutex::default(),
        }
    }

    /// Leave to pass a long-polling request on, until it is dropped. `None`: there are too many on their way.
    pub fn hop(&self) -> Option<OwnedSemaphorePermit> {
        self.hops.clone().try_acquire_owned().ok()
    }

    /// The gateway `number` does not believe in our seal. The operator is told, but not for each request.
    pub fn refused(&self, number: u32) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|warned| warned.elapsed() >= WARN) {
            *warned = Some(Instant::now());
            let gateway = format!("{number:08x}");
            tracing::warn!(gateway, "refuses what is passed on to it; do all gateways have one secret, and one time?");
        }
    }

    /// Where the gateway `number` is reached. One that is not known is looked for first, for two seconds at most.
    pub async fn find(&self, number: u32) -> Option<Arc<str>> {
        if let Some(address) = self.others.borrow().addresses.get(&number) {
            return Some(address.clone());
        }
        let asked = Instant::now();
        let mut others = self.others.subscribe();
        self.missed.notify_one();
        let looked = timeout(LOOK, others.wait_for(|others| others.looked > Some(asked))).await.ok()?.ok()?;
        looked.addresses.get(&number).cloned()
    }

    /// Renews the lease `me`, and learns of the others. Fails quietly: who was known stays known.
    pub async fn look(&self, store: &dyn Store, me: &GatewayLease) {
        let looked = Some(Instant::now());
        let seen = timeout(LOOK, store.gateways(me, LEASE)).await;
        let leases = match seen {
            Ok(Ok(leases)) => leases,
            Ok(Err(error)) => return self.missed_look(looked, &error.to_string()),
            Err(_) => return self.missed_look(looked, "the store does not answer"),
        };
        let others = leases.into_iter().filter(|lease| lease.number != me.number);
        let addresses = others.map(|lease| (lease.number, lease.address.into())).collect();
        self.others.send_replace(Others { looked, addresses });
    }

    fn missed_look(&self, looked: Option<Instant>, why: &str) {
        tracing::debug!(why, "cannot learn of the other gateways");
        self.others.send_modify(|others| others.looked = looked);
    }

    /// Goes on doing so.
    pub async fn keep(self: Arc<Self>, store: Arc<dyn Store>, me: GatewayLease) {
        loop {
            tokio::time::sleep(PAUSE).await;
            // Times out as a rule: then it is time to renew.
            let _ = timeout(RENEW, self.missed.notified()).await;
            self.look(&*store, &me).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use haat_adapter::memory::{Engine, Limits};

    use super::*;

    fn lease(number: u32) -> GatewayLease {
        GatewayLease { number, name: "gateway".to_owned(), address: format!("127.0.0.1:{number}") }
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_has_just_come_is_found() {
        let engine = Engine::new(Limits::default());
        let fleet = Arc::new(Fleet::new(1, b"secret", 1));
        let keeper = tokio::spawn(fleet.clone().keep(engine.clone(), lease(1)));
        assert_eq!(fleet.find(2).await, None);
        engine.gateways(&lease(2), Duration::from_secs(60)).await.unwrap();
        let asked = Instant::now();
        assert_eq!(fleet.find(2).await.as_deref(), Some("127.0.0.1:2"));
        assert!(asked.elapsed() <= 2 * PAUSE, "{:?}", asked.elapsed());
        assert_eq!(fleet.find(1).await, None, "it is no other");
        keeper.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_held_and_lapses_with_its_gateway() {
        let engine = Engine::new(Limits::default());
        let keepers = [1, 2].map(|number| {
            let fleet = Arc::new(Fleet::new(number, b"secret", 1));
            (fleet.clone(), tokio::spawn(fleet.keep(engine.clone(), lease(number))))
        });
        tokio::time::sleep(10 * LEASE).await;
        assert!(keepers[0].0.find(2).await.is_some());
        keepers[1].1.abort();
        tokio::time::sleep(LEASE + RENEW + PAUSE).await;
        assert_eq!(keepers[0].0.find(2).await, None);
        keepers[0].1.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_known_stays_known_while_the_store_is_away() {
        let engine = Engine::new(Limits::default());
        let fleet = Arc::new(Fleet::new(1, b"secret", 1));
        engine.gateways(&lease(2), Duration::from_secs(3600)).await.unwrap();
        let keeper = tokio::spawn(fleet.clone().keep(engine.clone(), lease(1)));
        assert!(fleet.find(2).await.is_some());
        engine.set_available(false);
        tokio::time::sleep(2 * LEASE).await;
        assert!(fleet.find(2).await.is_some());
        let asked = Instant::now();
        assert_eq!(fleet.find(3).await, None);
        assert!(asked.elapsed() <= LOOK);
        keeper.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn questions_without_end_are_few_looks() {
        let engine = Engine::new(Limits::default());
        let fleet = Arc::new(Fleet::new(1, b"secret", 1));
        let keeper = tokio::spawn(fleet.clone().keep(engine.clone(), lease(1)));
        let begun = Instant::now();
        for number in 2..102 {
            assert_eq!(fleet.find(number).await, None);
        }
        assert!(begun.elapsed() >= 99 * PAUSE, "{:?}", begun.elapsed());
        keeper.abort();
    }

    #[test]
    fn so_many_are_passed_on_at_once() {
        let fleet = Fleet::new(1, b"secret", 2);
        let held = (fleet.hop(), fleet.hop());
        assert!(held.0.is_some() && held.1.is_some() && fleet.hop().is_none());
        drop(held);
        assert!(fleet.hop().is_some());
        assert!(Fleet::new(1, b"secret", usize::MAX).hop().is_some());
    }
}
