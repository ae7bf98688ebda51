//! Who watches the streams, counted. It knows numbers only, and nothing of a stream's log.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{Limits, unique::Unique};
use crate::{Counter, Share, Totals};

/// The audiences of all streams.
#[derive(Debug, Default)]
pub(super) struct Audiences {
    by_stream: HashMap<Box<str>, Audience>,
    /// Hashes users. Random, so that nobody can choose names that count for more.
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Audience {
    leases: Vec<Lease>,
    peak: u64,
    unique: Unique,
    counters: BTreeMap<Box<str>, u64>,
}

#[derive(Debug)]
struct Lease {
    gateway: Arc<str>,
    viewers: u64,
    expires: Instant,
    /// See [`Share::number`].
    number: u64,
}

impl Audiences {
    /// See [`Store::sync`](crate::Store::sync).
    pub(super) fn sync(
        &mut self,
        gateway: &str,
        lease: Duration,
        shares: Vec<Share>,
        now: Instant,
        limits: &Limits,
    ) -> Vec<Totals> {
        let gateway: Arc<str> = gateway.into();
        let expires = now + lease.min(LONGEST_LEASE);
        let totals = shares.into_iter().map(|share| {
            let Some(audience) = audience(&mut self.by_stream, &share.stream, limits) else { return Totals::default() };
            let again = audience.leases.iter().any(|lease| lease.number == share.number && lease.gateway == gateway);
            let once = share.number == 0 || !again;
            if once {
                share.moved.iter().for_each(|(gateway, count)| audience.move_away(gateway, *count));
                share.add.into_iter().for_each(|counter| audience.add(counter, limits));
            }
            let lease = Lease { gateway: gateway.clone(), viewers: share.viewers, expires, number: share.number };
            audience.renew(lease, now);
            share.users.iter().for_each(|user| audience.unique.add(self.hasher.hash_one(user)));
            audience.totals()
        });
        totals.collect()
    }

    /// See [`Append::anew`](crate::Append::anew).
    pub(super) fn count_anew(&mut self, stream: &str) {
        if let Some(audience) = self.by_stream.get_mut(stream) {
            let leases = std::mem::take(&mut audience.leases);
            *audience = Audience { leases, ..Audience::default() };
        }
    }

    pub(super) fn clear(&mut self) {
        self.by_stream.clear();
    }
}

/// The stream's audience, made if there is none yet. `None`: a bound is reached.
fn audience<'a>(
    by_stream: &'a mut HashMap<Box<str>, Audience>,
    stream: &str,
    limits: &Limits,
) -> Option<&'a mut Audience> {
    if !by_stream.contains_key(stream) {
        if by_stream.len() >= limits.streams || stream.len() > limits.name_bytes {
            return None;
        }
        by_stream.insert(stream.into(), Audience::default());
    }
    by_stream.get_mut(stream)
}

impl Audience {
    fn renew(&mut self, lease: Lease, now: Instant) {
        self.leases.retain(|old| old.gateway != lease.gateway && now < old.expires);
        if lease.viewers > 0 || lease.number > 0 {
            self.leases.push(lease);
        }
        self.peak = self.peak.max(self.viewers());
    }

    /// Viewers of a gateway have come to another one.
    fn move_away(&mut self, gateway: &str, count: u64) {
        if let Some(lease) = self.leases.iter_mut().find(|lease| *lease.gateway == *gateway) {
            lease.viewers = lease.viewers.saturating_sub(count);
        }
    }

    fn add(&mut self, counter: Counter, limits: &Limits) {
        let full = self.counters.len() >= limits.counters || counter.name.len() > limits.name_bytes;
        match self.counters.get_mut(&*counter.name) {
            Some(value) => *value = value.saturating_add(counter.value),
            None if full => {}
            None => {
                self.counters.insert(counter.name.into(), counter.value);
            }
        }
    }

    fn viewers(&self) -> u64 {
        self.leases.iter().fold(0, |sum, lease| sum.saturating_add(lease.viewers))
    }

    fn totals(&self) -> Totals {
        let counters = self.counters.iter().map(|(name, value)| Counter { name: name.to_string(), value: *value });
        Totals { viewers: self.viewers(), peak: self.peak, unique: self.unique.count(), counters: counters.collect() }
    }
}

/// An expiry has to be a moment that the clock can name.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);
