//! The [`Market`] on Redis. Each step is one script over keys of one stream.

use std::time::{SystemTime, UNIX_EPOCH};

use futures::future::{BoxFuture, ready};

use super::Engine;
use crate::{
    Claim, Claimed, Grant, Market, Note, Noted, Notes, ReadAs, Record, Settle, Settled, Spin, Spun, StoreError, Vote,
    Voted,
};

/// What is not there yet.
fn missing<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, StoreError>> {
    Box::pin(ready(Err(StoreError::Unavailable("not on Redis yet".to_owned()))))
}

impl Market for Engine {
    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn claim(&self, _claim: Claim) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        missing()
    }

    fn settle(&self, _settle: Settle) -> BoxFuture<'_, Result<Settled, StoreError>> {
        missing()
    }

    fn tend<'a>(&'a self, _stream: &'a str, _pool: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        missing()
    }

    fn grants<'a>(&'a self, _stream: &'a str, _pool: &'a str) -> BoxFuture<'a, Result<Vec<Grant>, StoreError>> {
        missing()
    }

    fn spin(&self, _spin: Spin) -> BoxFuture<'_, Result<Spun, StoreError>> {
        missing()
    }

    fn vote(&self, _vote: Vote) -> BoxFuture<'_, Result<Voted, StoreError>> {
        missing()
    }

    fn note(&self, _note: Note) -> BoxFuture<'_, Result<Noted, StoreError>> {
        missing()
    }

    fn notes<'a>(&'a self, _stream: &'a str, _book: &'a str) -> BoxFuture<'a, Result<Notes, StoreError>> {
        missing()
    }

    fn ledger<'a>(
        &'a self,
        _stream: &'a str,
        _after: &'a str,
        _limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        missing()
    }

    fn read_as<'a>(&'a self, _read: ReadAs<'a>) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        missing()
    }

    fn ledger_key(&self, _stream: &str) -> Option<String> {
        None
    }
}
