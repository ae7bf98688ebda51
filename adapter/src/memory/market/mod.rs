//! The [`Market`] of the embedded engine. All of a stream's sale is under the lock of the streams, so a step and what it
//! publishes are one.
//!
//! | file | holds |
//! |---|---|
//! | `pools` | units that users have taken |
//! | `draws` | spins and votes |
//! | `notes` | what only gateways see, and who reads the ledger |
//! | `ledger` | what happened |

mod draws;
mod ledger;
mod notes;
mod pools;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
};

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{Engine, Limits, bus::Called, lock, streams::Streams};
use crate::{
    Claim, Claimed, Counter, Entry, Grant, Market, Note, Noted, Notes, ReadAs, Record, Settle, Settled, Spin, Spun,
    StoreError, Turn, Vote, Voted,
};
use ledger::Ledger;
use notes::{Books, Readers};
use pools::{Grants, Pool};

/// What a stream sells, gives away and asks, and who has had what.
#[derive(Debug, Default)]
pub(super) struct Stall {
    /// Numbers that steps change; [`Store::sync`](crate::Store::sync) shows them.
    pub(super) counts: Counts,
    pub(super) ledger: Ledger,
    /// When a key may be used again.
    paces: HashMap<Box<str>, u64>,
    pools: HashMap<Box<str>, Pool>,
    grants: Grants,
    turns: HashMap<Arc<str>, Turn>,
    books: Books,
    readers: Readers,
    /// Users' shares of all pools, for the bound.
    takers: usize,
}

/// Numbers by name.
#[derive(Debug, Default)]
pub(super) struct Counts(BTreeMap<Box<str>, u64>);

impl Counts {
    pub(super) fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    fn add(&mut self, name: &str, value: u64) -> u64 {
        let count = self.0.entry(name.into()).or_default();
        *count = count.saturating_add(value);
        *count
    }

    fn add_all(&mut self, counters: &[Counter]) {
        for Counter { name, value } in counters {
            self.add(name, *value);
        }
    }

    fn take(&mut self, name: &str, value: u64) {
        if let Some(count) = self.0.get_mut(name) {
            *count = count.saturating_sub(value);
        }
    }

    pub(super) fn forget(&mut self, names: &[String]) {
        if names.is_empty() {
            return;
        }
        self.0.retain(|name, _| !names.iter().any(|forgotten| **forgotten == **name));
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = Counter> {
        self.0.iter().map(|(name, value)| Counter { name: name.to_string(), value: *value })
    }
}

impl Stall {
    /// Uses a key that can be used once in so many ms.
    ///
    /// # Errors
    /// How long it takes until it can be used again.
    pub(super) fn pace(&self, key: &str, time: u64) -> Result<(), u64> {
        match self.paces.get(key).and_then(|free| free.checked_sub(time)) {
            None | Some(0) => Ok(()),
            Some(wait) => Err(wait),
        }
    }

    /// The key has been used.
    pub(super) fn paced(&mut self, key: &str, time: u64, interval: u64) {
        // Keys that are free again are as good as unknown ones; looked through when their number has doubled.
        if self.paces.len() == self.paces.capacity() {
            self.paces.retain(|_, free| *free > time);
        }
        self.paces.insert(key.into(), time.saturating_add(interval));
    }

    /// Room for one more user's share.
    fn check_room(&self, limits: &Limits) -> Result<(), StoreError> {
        if self.takers >= limits.takers {
            return Err(StoreError::TooLarge(format!("more than {} claims, spins and votes", limits.takers)));
        }
        Ok(())
    }
}

/// The text of pieces with values between them; values that are missing are empty.
fn fill<'a>(pieces: &[String], values: impl IntoIterator<Item = &'a str>) -> Arc<str> {
    let mut values = values.into_iter();
    let mut text = String::new();
    for (place, piece) in pieces.iter().enumerate() {
        if place > 0 {
            text.push_str(values.next().unwrap_or_default());
        }
        text.push_str(piece);
    }
    text.into()
}

impl Engine {
    /// Takes a step on the streams, and publishes what it appends.
    fn step<T>(
        &self,
        take: impl FnOnce(&mut Streams, u64) -> Result<(T, Option<Arc<Entry>>), StoreError>,
    ) -> Result<T, StoreError> {
        let mut called = Called::new();
        let mut streams = lock(&self.streams);
        self.check_available()?;
        let (done, entry) = take(&mut streams, self.time())?;
        if let Some(entry) = entry {
            lock(&self.bus).publish(&entry, &mut called);
        }
        Ok(done)
    }

    /// Looks at one stream's sale, or at an empty one.
    fn look<T>(&self, stream: &str, look: impl FnOnce(&Stall, u64) -> T) -> Result<T, StoreError> {
        let streams = lock(&self.streams);
        self.check_available()?;
        Ok(match streams.stall(stream) {
            Some(stall) => look(stall, self.time()),
            None => look(&Stall::default(), self.time()),
        })
    }

    /// See [`Market::now`].
    pub(super) fn time(&self) -> u64 {
        let since = Instant::now().saturating_duration_since(self.started.1);
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.started.0.saturating_add(since).saturating_add(self.ahead.load(Ordering::SeqCst))
    }
}

impl Market for Engine {
    fn now(&self) -> u64 {
        self.time()
    }

    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        Box::pin(async move {
            self.step(|streams, time| {
                streams.with(&claim.stream, |stream| Ok((stream.claim(&claim, time, &self.limits)?, None)))
            })
        })
    }

    fn settle(&self, settle: Settle) -> BoxFuture<'_, Result<Settled, StoreError>> {
        Box::pin(async move {
            self.step(|streams, time| {
                streams.with(&settle.stream, |stream| Ok((stream.stall.settle(&settle, time, &self.limits), None)))
            })
        })
    }

    fn tend<'a>(&'a self, stream: &'a str, pool: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.step(|streams, time| {
                if let Some(stall) = streams.stall_mut(stream) {
                    stall.sweep(pool, time, &self.limits);
                }
                Ok(((), None))
            })
        })
    }

    fn grants<'a>(&'a self, stream: &'a str, pool: &'a str) -> BoxFuture<'a, Result<Vec<Grant>, StoreError>> {
        Box::pin(async move { self.look(stream, |stall, _| stall.grants_of(pool)) })
    }

    fn spin(&self, spin: Spin) -> BoxFuture<'_, Result<Spun, StoreError>> {
        Box::pin(async move { self.step(|streams, time| streams.spin(&spin, time, &self.limits)) })
    }

    fn vote(&self, vote: Vote) -> BoxFuture<'_, Result<Voted, StoreError>> {
        Box::pin(async move {
            self.step(|streams, time| {
                streams.with(&vote.stream, |stream| Ok((stream.vote(&vote, time, &self.limits)?, None)))
            })
        })
    }

    fn note(&self, note: Note) -> BoxFuture<'_, Result<Noted, StoreError>> {
        Box::pin(async move {
            self.step(|streams, time| {
                streams.with(&note.stream, |stream| Ok((stream.stall.note(&note, time, &self.limits)?, None)))
            })
        })
    }

    fn notes<'a>(&'a self, stream: &'a str, book: &'a str) -> BoxFuture<'a, Result<Notes, StoreError>> {
        Box::pin(async move { self.look(stream, |stall, time| stall.notes(book, time)) })
    }

    fn ledger<'a>(
        &'a self,
        stream: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        Box::pin(async move { self.look(stream, |stall, _| stall.ledger.after(after, limit)) })
    }

    fn read_as<'a>(&'a self, read: ReadAs<'a>) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(async move {
            self.step(|streams, time| streams.with(read.stream, |stream| Ok((stream.stall.read_as(&read, time), None))))
        })
    }

    /// There is nothing outside of this process.
    fn ledger_key(&self, _stream: &str) -> Option<String> {
        None
    }
}
