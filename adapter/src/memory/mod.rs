//! The embedded engine: one process, no Redis, the same semantics. It never outlives the process and never blocks on
//! anything but its own short locks.
//!
//! | file | holds |
//! |---|---|
//! | `bus` | the attached gateways, and [`Gateway`], their [`Adapter`](crate::Adapter) |
//! | `store` | the [`Store`](crate::Store) methods: which lock each takes |
//! | `streams` | every stream: the one step that an append is |
//! | `log` | the entries of one stream that are still there |
//! | `once` | which appends were done already |
//! | `market` | the [`Market`](crate::Market): what a stream sells, gives away and asks |
//! | `audience` | viewers, users and counters of the streams |
//! | `unique` | how many different users |
//! | `sessions` | sessions that may come back |
//! | `leases` | gateways that others can reach |
//!
//! Locks: `streams`, `audiences`, `sessions` and `leases` are taken alone, one after the other where a call needs two. `bus` is taken alone or under `streams`, never the other
//! way round: an entry is published under the lock that numbered it, which is what makes every gateway see the same order.

mod audience;
mod bus;
mod leases;
mod log;
mod market;
mod once;
mod sessions;
mod store;
mod streams;
mod unique;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

pub use bus::Gateway;

use crate::{Inbound, StoreError};
use audience::Audiences;
use bus::Bus;
use leases::Leases;
use sessions::Sessions;
use streams::Streams;

/// What one engine may hold. Each bound says what happens at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Streams. Default 100,000. One more is [`StoreError::TooLarge`]; the audience of one more is not kept.
    pub streams: usize,
    /// Entries in a stream's log, for replay and history. Default 4,096. The oldest is trimmed.
    pub log_entries: usize,
    /// Bytes of text (data and changed fields) in a stream's log. Default 4 MiB. The oldest is trimmed; an entry that is
    /// larger on its own is [`StoreError::TooLarge`].
    pub log_bytes: usize,
    /// State fields of a stream. Default 512. One more is [`StoreError::TooLarge`].
    pub fields: usize,
    /// Bytes of one state field. Default 256 KiB. More is [`StoreError::TooLarge`].
    pub field_bytes: usize,
    /// Bytes of a name: of a stream, an event, a field, a counter, an [`Once`](crate::Once) key. Default 512. A longer one
    /// is [`StoreError::TooLarge`]; a counter with a longer one is not kept.
    pub name_bytes: usize,
    /// [`Once`](crate::Once) keys of all streams together. Default 250,000. The one that would expire first is forgotten.
    pub once_keys: usize,
    /// Counters of a stream. Default 256. One more is not kept.
    pub counters: usize,
    /// Records of a stream's ledger. Default 100,000. The oldest is trimmed.
    pub ledger_records: usize,
    /// Bytes of text in a stream's ledger. Default 32 MiB. The oldest is trimmed.
    pub ledger_bytes: usize,
    /// Claims, spins and votes of a stream. Default 1,000,000. One more is [`StoreError::TooLarge`].
    pub takers: usize,
    /// Notes of a book. Default 10,000. One more is [`StoreError::TooLarge`].
    pub notes: usize,
    /// Saved sessions. Default 1,000,000. The one that would expire first is forgotten.
    pub sessions: usize,
    /// Bytes of one saved session's text. Default 16 KiB. More is [`StoreError::TooLarge`].
    pub session_bytes: usize,
    /// Gateways that others can reach. Default 1,024. One more is [`StoreError::TooLarge`].
    pub gateways: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 100_000,
            log_entries: 4_096,
            log_bytes: 4 << 20,
            fields: 512,
            field_bytes: 256 << 10,
            name_bytes: 512,
            once_keys: 250_000,
            counters: 256,
            ledger_records: 100_000,
            ledger_bytes: 32 << 20,
            takers: 1_000_000,
            notes: 10_000,
            sessions: 1_000_000,
            session_bytes: 16 << 10,
            gateways: 1_024,
        }
    }
}

/// The embedded engine. It is the [`Store`](crate::Store) of every gateway of the process, and joins those that
/// [`attach`](Engine::attach) to one bus.
///
/// Every future of it is ready when first polled, except a request that waits for answers.
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
    available: AtomicBool,
    /// The wall clock (ms since 1970) and the clock that nobody sets, when the engine was made.
    started: (u64, Instant),
    /// How far the time of the store is ahead of them, in ms.
    ahead: AtomicU64,
    streams: Mutex<Streams>,
    bus: Mutex<Bus>,
    audiences: Mutex<Audiences>,
    sessions: Mutex<Sessions>,
    leases: Mutex<Leases>,
}

impl Engine {
    /// An empty engine.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            available: AtomicBool::new(true),
            started: (wall_clock(), Instant::now()),
            ahead: AtomicU64::new(0),
            streams: Mutex::default(),
            bus: Mutex::default(),
            audiences: Mutex::default(),
            sessions: Mutex::new(Sessions::new()),
            leases: Mutex::default(),
        })
    }

    /// Joins a gateway to the bus: from now on it gets every entry, and what other gateways send. It leaves with
    /// [`Adapter::close`](crate::Adapter::close), or when `inbound` is dropped; the engine never keeps it alive.
    ///
    /// `name` only serves [`drop_next_entries`](Engine::drop_next_entries); make it the one given to
    /// [`Store::sync`](crate::Store::sync).
    pub fn attach(self: &Arc<Self>, name: &str, inbound: Weak<dyn Inbound>) -> Arc<Gateway> {
        let id = lock(&self.bus).attach(name, inbound);
        Arc::new(Gateway::new(Arc::clone(self), id))
    }

    /// For tests of gap repair: the next `count` entries are not published to the gateways called `gateway`.
    pub fn drop_next_entries(&self, count: u64, gateway: &str) {
        lock(&self.bus).skip_entries(count, gateway);
    }

    /// For tests: everything stored is gone, as from a Redis that came back empty. The next append to a stream starts a new
    /// epoch at 1; [`Entry::clock`](crate::Entry::clock) still rises.
    pub fn lose_data(&self) {
        lock(&self.streams).clear();
        lock(&self.audiences).clear();
        lock(&self.sessions).clear();
        lock(&self.leases).clear();
    }

    /// For tests: as if so much time had passed for everything that goes by [`Market::now`](crate::Market::now).
    pub fn pass(&self, time: Duration) {
        self.ahead.fetch_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// For tests: while `false`, every call of the store is [`StoreError::Unavailable`] and does nothing, broadcasts are lost,
    /// and requests fail at once. Nothing is delivered any more when this returns.
    pub fn set_available(&self, available: bool) {
        let _streams = lock(&self.streams);
        let _bus = lock(&self.bus);
        self.available.store(available, Ordering::SeqCst);
    }

    fn is_available(&self) -> bool {
        self.available.load(Ordering::SeqCst)
    }

    fn check_available(&self) -> Result<(), StoreError> {
        if self.is_available() { Ok(()) } else { Err(StoreError::Unavailable("switched off".to_owned())) }
    }
}

fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A panic of a gateway's code under a lock must not take the engine down with it: whatever the lock guards is changed
/// completely before any gateway is called.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
