//! [`Admission`]: how many connections there are, in all, by client address and by user. Whoever is let in holds an
//! [`Admitted`]; dropping it gives the place back, so that no way to end a connection can forget to.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::Keyed;
use crate::config::{Limits, Network, Rate};

/// Parts of a table of counts. Shards that accept at once seldom meet in one.
const PARTS: usize = 16;

/// There is no place left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// In the whole gateway.
    #[error("too many connections")]
    Total,
    /// For this address.
    #[error("too many connections from this address")]
    Address,
    /// For this user.
    #[error("too many connections of this user")]
    User,
}

impl Full {
    /// Its label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Total => "connections",
            Self::Address => "address_connections",
            Self::User => "user_connections",
        }
    }
}

/// Who is let in. Shared by all shards.
#[derive(Debug)]
pub struct Admission {
    trusted: Vec<Network>,
    handshakes: Keyed<IpAddr>,
    connecting: Arc<Gate<IpAddr>>,
    connections: Arc<Gate<IpAddr>>,
    users: Arc<Gate<Arc<str>>>,
}

impl Admission {
    /// With these limits. Connections of `trusted` proxies carry those of many clients: until the client's own address is
    /// known, none counts against the proxy's.
    pub fn new(limits: &Limits, trusted: &[Network]) -> Self {
        let by_address = || Gate::new(limits.connections, limits.address_connections, Full::Address);
        Self {
            trusted: trusted.to_vec(),
            handshakes: Keyed::new(limits.address_handshakes),
            connecting: Arc::new(by_address()),
            connections: Arc::new(by_address()),
            users: Arc::new(Gate::new(usize::MAX, limits.user_connections, Full::User)),
        }
    }

    /// Everybody is.
    pub fn unlimited() -> Self {
        let by_address = || Gate::new(usize::MAX, usize::MAX, Full::Address);
        Self {
            trusted: Vec::new(),
            handshakes: Keyed::new(Rate::OFF),
            connecting: Arc::new(by_address()),
            connections: Arc::new(by_address()),
            users: Arc::new(Gate::new(usize::MAX, usize::MAX, Full::User)),
        }
    }

    /// A TCP connection that is no session yet, by the address of its peer.
    ///
    /// # Errors
    /// [`Full`]: close it.
    pub fn connecting(&self, peer: IpAddr) -> Result<Admitted, Full> {
        let trusted = self.trusted.iter().any(|network| network.contains(peer));
        self.connecting.enter((!trusted).then(|| block_of(peer))).map(Admitted::address)
    }

    /// A TCP connection of another gateway.
    ///
    /// # Errors
    /// [`Full`]: close it.
    pub fn gateway(&self) -> Result<Admitted, Full> {
        self.connecting.enter(None).map(Admitted::address)
    }

    /// A session, by the address of its client.
    ///
    /// # Errors
    /// [`Full`]: refuse it.
    pub fn connection(&self, client: IpAddr) -> Result<Admitted, Full> {
        self.connections.enter(Some(block_of(client))).map(Admitted::address)
    }

    /// A socket of a user.
    ///
    /// # Errors
    /// [`Full`]: refuse it.
    pub fn user(&self, user: &Arc<str>) -> Result<Admitted, Full> {
        self.users.enter(Some(user.clone())).map(|place| Admitted { _place: Held::User(place) })
    }

    /// A handshake, by the address of its client.
    ///
    /// # Errors
    /// It comes too early: the time until the next one may.
    pub fn handshake(&self, client: IpAddr) -> Result<(), Duration> {
        self.handshakes.check(&block_of(client))
    }

    /// Sessions that there are.
    pub fn sessions(&self) -> usize {
        self.connections.total.load(Ordering::Relaxed)
    }
}

/// A place that is held until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Admitted {
    _place: Held,
}

/// Only held, for what dropping does.
#[derive(Debug)]
#[expect(dead_code, reason = "a place does its work when it is dropped")]
enum Held {
    Address(Place<IpAddr>),
    User(Place<Arc<str>>),
}

impl Admitted {
    fn address(place: Place<IpAddr>) -> Self {
        Self { _place: Held::Address(place) }
    }
}

/// Counts in all and by key. What is unlimited is not counted by key.
#[derive(Debug)]
struct Gate<K> {
    most: usize,
    most_each: usize,
    /// What is full when `most_each` is reached.
    each: Full,
    total: AtomicUsize,
    hasher: RandomState,
    parts: [Mutex<HashMap<K, usize>>; PARTS],
}

impl<K: Hash + Eq> Gate<K> {
    fn new(most: usize, most_each: usize, each: Full) -> Self {
        let (total, hasher) = (AtomicUsize::new(0), RandomState::new());
        Self { most, most_each, each, total, hasher, parts: std::array::from_fn(|_| Mutex::default()) }
    }

    /// `None` counts in all only.
    fn enter(self: &Arc<Self>, key: Option<K>) -> Result<Place<K>, Full>
    where
        K: Clone,
    {
        let more = |total: usize| (total < self.most).then_some(total + 1);
        self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_| Full::Total)?;
        let key = key.filter(|_| self.most_each < usize::MAX);
        // From here on dropping the place undoes what was counted.
        let mut place = Place { gate: self.clone(), key: None };
        if let Some(key) = key {
            let mut part = self.part(&key);
            let count = part.entry(key.clone()).or_insert(0);
            if *count >= self.most_each {
                drop(part);
                return Err(self.each);
            }
            *count += 1;
            drop(part);
            place.key = Some(key);
        }
        Ok(place)
    }

    fn part(&self, key: &K) -> MutexGuard<'_, HashMap<K, usize>> {
        let index = usize::try_from(self.hasher.hash_one(key) % PARTS as u64).unwrap_or(0);
        // A count is whole after every step, so a panic elsewhere leaves nothing half done.
        self.parts[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Place<K: Hash + Eq> {
    gate: Arc<Gate<K>>,
    key: Option<K>,
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        self.gate.total.fetch_sub(1, Ordering::Relaxed);
        let Some(key) = &self.key else { return };
        let mut part = self.gate.part(key);
        if let Some(count) = part.get_mut(key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                part.remove(key);
            }
        }
    }
}

/// What counts as one address. Whoever has an IPv6 address has a whole /64 of them.
pub fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
        let mut limits = Layers { dev: true, ..Layers::default() }.load().unwrap().config.limits;
        change(&mut limits);
        limits
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_come_back_when_they_are_dropped() {
        let admission = Admission::new(&limits(|limits| limits.address_connections = 2), &[]);
        let first = admission.connection(ip("192.0.2.1")).unwrap();
        let _second = admission.connection(ip("192.0.2.1")).unwrap();
        assert_eq!(admission.connection(ip("192.0.2.1")).unwrap_err(), Full::Address);
        assert!(admission.connection(ip("192.0.2.2")).is_ok());
        assert_eq!(admission.sessions(), 2);
        drop(first);
        assert!(admission.connection(ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn one_who_is_refused_takes_no_place() {
        let admission = Admission::new(
            &limits(|limits| {
                limits.address_connections = 1;
                limits.connections = 3;
            }),
            &[],
        );
        let _one = admission.connection(ip("192.0.2.1")).unwrap();
        for _ in 0..10 {
            assert_eq!(admission.connection(ip("192.0.2.1")).unwrap_err(), Full::Address);
        }
        let _two = admission.connection(ip("192.0.2.2")).unwrap();
        let _three = admission.connection(ip("192.0.2.3")).unwrap();
        assert_eq!(admission.connection(ip("192.0.2.4")).unwrap_err(), Full::Total);
        assert_eq!(admission.sessions(), 3);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let admission = Admission::new(&limits(|limits| limits.address_connections = 1), &[]);
        let _held = admission.connection(ip("2001:db8::1")).unwrap();
        assert!(admission.connection(ip("2001:db8::ffff:1")).is_err());
        assert!(admission.connection(ip("2001:db8:0:1::1")).is_ok());
        let _held = admission.connection(ip("::ffff:192.0.2.1")).unwrap();
        assert!(admission.connection(ip("192.0.2.1")).is_err());
        assert!(admission.connection(ip("::ffff:192.0.2.2")).is_ok());
    }

    #[test]
    fn a_trusted_proxy_is_not_limited_by_its_own_address() {
        let limits = limits(|limits| limits.address_connections = 1);
        let admission = Admission::new(&limits, &["10.0.0.0/8".parse().unwrap()]);
        let held: Vec<_> = (0..10).map(|_| admission.connecting(ip("10.1.2.3"))).collect();
        assert!(held.iter().all(Result::is_ok));
        let _held = admission.connecting(ip("192.0.2.1")).unwrap();
        assert!(admission.connecting(ip("192.0.2.1")).is_err());
    }

    #[test]
    fn handshakes_have_a_rate_by_address() {
        let rate = Rate { per_second: 0.001, burst: 2 };
        let admission = Admission::new(&limits(|limits| limits.address_handshakes = rate), &[]);
        let client = ip("192.0.2.1");
        assert_eq!((admission.handshake(client), admission.handshake(client)), (Ok(()), Ok(())));
        assert!(admission.handshake(client).unwrap_err() > Duration::from_secs(900));
        assert_eq!(admission.handshake(ip("192.0.2.2")), Ok(()));
    }

    #[test]
    fn users_are_counted_apart_from_addresses() {
        let admission = Admission::new(&limits(|limits| limits.user_connections = 1), &[]);
        let (asha, ravi) = (Arc::from("asha"), Arc::from("ravi"));
        let held = admission.user(&asha).unwrap();
        assert_eq!(admission.user(&asha).unwrap_err(), Full::User);
        assert!(admission.user(&ravi).is_ok());
        drop(held);
        assert!(admission.user(&asha).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let admission = Admission::new(&limits(|_| ()), &[]);
        for last in 0..=255 {
            drop(admission.connection(ip(&format!("192.0.2.{last}"))).unwrap());
        }
        let kept: usize = admission.connections.parts.iter().map(|part| part.lock().unwrap().len()).sum();
        assert_eq!((kept, admission.sessions()), (0, 0));
    }

    #[test]
    fn threads_that_meet_do_not_let_too_many_in() {
        let admission = Admission::new(&limits(|limits| limits.address_connections = 100), &[]);
        let held: usize = std::thread::scope(|scope| {
            let enter = || (0..100).filter_map(|_| admission.connection(ip("192.0.2.1")).ok()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(enter)).collect();
            let held: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            held.iter().map(Vec::len).sum()
        });
        assert_eq!(held, 100);
    }
}
