//! The [`Store`] of the embedded engine: which lock each method takes, and for how long. No lock is held across an await.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use haat_protocol::Id;
use tokio::time::Instant;

use super::{Engine, bus::Called, lock, sessions::pack};
use crate::{
    Append, Appended, Entry, GatewayLease, LogRead, Position, SavedSession, Share, Snapshot, Store, StoreError, Totals,
};

impl Engine {
    fn append_now(&self, append: Append) -> Result<Appended, StoreError> {
        let mut called = Called::new();
        let mut streams = lock(&self.streams);
        self.check_available()?;
        let anew = append.anew;
        let appended = streams.append(append, (Instant::now(), self.time()), &self.limits)?;
        if let Appended::New(entry) = &appended {
            if anew {
                lock(&self.audiences).count_anew(&entry.stream);
            }
            lock(&self.bus).publish(entry, &mut called);
        }
        Ok(appended)
    }

    fn save_now(&self, pid: Id, session: Option<SavedSession>, ttl: Duration) -> Result<(), StoreError> {
        self.check_available()?;
        let packed = session.as_ref().map(pack);
        if packed.as_ref().is_some_and(|packed| packed.len() > self.limits.session_bytes) {
            return Err(StoreError::TooLarge(format!("a session of more than {} bytes", self.limits.session_bytes)));
        }
        let now = Instant::now();
        let mut sessions = lock(&self.sessions);
        match packed {
            Some(packed) => sessions.save(pid, packed, now, ttl, self.limits.sessions),
            None => sessions.forget(pid, now),
        }
        Ok(())
    }
}

impl Store for Engine {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, StoreError>> {
        Box::pin(async move { self.append_now(append) })
    }

    fn snapshot<'a>(
        &'a self,
        stream: &'a str,
        event: &'a str,
        history: usize,
    ) -> BoxFuture<'a, Result<Option<Snapshot>, StoreError>> {
        Box::pin(async move {
            self.check_available()?;
            Ok(lock(&self.streams).snapshot(stream, event, history))
        })
    }

    fn read<'a>(
        &'a self,
        stream: &'a str,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<LogRead, StoreError>> {
        Box::pin(async move {
            self.check_available()?;
            Ok(lock(&self.streams).read(stream, &after, limit))
        })
    }

    fn history<'a>(
        &'a self,
        stream: &'a str,
        event: &'a str,
        before: Option<u64>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Entry>>, StoreError>> {
        Box::pin(async move {
            self.check_available()?;
            Ok(lock(&self.streams).history(stream, event, before, limit))
        })
    }

    fn sync<'a>(
        &'a self,
        gateway: &'a str,
        lease: Duration,
        shares: Vec<Share>,
    ) -> BoxFuture<'a, Vec<Result<Totals, StoreError>>> {
        Box::pin(async move {
            if let Err(error) = self.check_available() {
                return vec![Err(error); shares.len()];
            }
            let names: Vec<String> = shares.iter().map(|share| share.stream.clone()).collect();
            let mut totals = lock(&self.audiences).sync(gateway, lease, shares, Instant::now(), &self.limits);
            let streams = lock(&self.streams);
            for (stream, totals) in names.iter().zip(&mut totals) {
                let Some(stall) = streams.stall(stream) else { continue };
                totals.counters.extend(stall.counts.all());
                totals.counters.sort_by(|one, other| one.name.cmp(&other.name));
            }
            totals.into_iter().map(Ok).collect()
        })
    }

    fn streams(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(async move {
            self.check_available()?;
            Ok(lock(&self.streams).names())
        })
    }

    fn save_session(
        &self,
        pid: Id,
        session: Option<SavedSession>,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.save_now(pid, session, ttl) })
    }

    fn session(&self, pid: Id) -> BoxFuture<'_, Result<Option<SavedSession>, StoreError>> {
        Box::pin(async move {
            self.check_available()?;
            Ok(lock(&self.sessions).get(pid, Instant::now()))
        })
    }

    fn gateways<'a>(
        &'a self,
        me: &'a GatewayLease,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Vec<GatewayLease>, StoreError>> {
        Box::pin(async move {
            self.check_available()?;
            lock(&self.leases).renew(me, Instant::now(), ttl, &self.limits)
        })
    }
}
