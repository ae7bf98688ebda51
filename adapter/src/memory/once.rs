//! Which appends were done already. It remembers the entry itself, so that trimming the log does not bring a repetition back.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::Entry;

/// How many expired keys one insertion clears away: more than one, so that they do get fewer, and few, so that no append pays
/// for all.
const CLEARED_AT_ONCE: usize = 16;

/// The keys used in all streams, until they expire.
///
/// The map hashes with a secret of its own: clients choose a part of the key.
#[derive(Debug, Default)]
pub(super) struct OnceKeys {
    used: HashMap<Arc<str>, Used>,
    by_expiry: BTreeMap<Expiry, Arc<str>>,
    inserted: u64,
}

/// When a key expires, and a number that makes it unique.
type Expiry = (Instant, u64);

#[derive(Debug)]
struct Used {
    expiry: Expiry,
    entry: Arc<Entry>,
}

/// The name of a stream's key among those of all streams.
pub(super) fn full_key(stream: &str, key: &str) -> String {
    // The length keeps apart what two streams' names and keys would spell alike.
    format!("{}:{stream}{key}", stream.len())
}

impl OnceKeys {
    /// The entry that was appended with `key`.
    pub(super) fn get(&self, key: &str, now: Instant) -> Option<&Arc<Entry>> {
        self.used.get(key).filter(|used| now < used.expiry.0).map(|used| &used.entry)
    }

    /// Remembers `entry` for `ttl`, and at most `bound` in all.
    pub(super) fn insert(&mut self, key: String, entry: Arc<Entry>, now: Instant, ttl: Duration, bound: usize) {
        self.clear_expired(now);
        let key: Arc<str> = key.into();
        self.inserted += 1;
        let expiry = (now + ttl.min(LONGEST_TTL), self.inserted);
        if let Some(expired) = self.used.insert(Arc::clone(&key), Used { expiry, entry }) {
            self.by_expiry.remove(&expired.expiry);
        }
        self.by_expiry.insert(expiry, key);
        while self.used.len() > bound {
            self.forget_first();
        }
    }

    fn clear_expired(&mut self, now: Instant) {
        for _ in 0..CLEARED_AT_ONCE {
            match self.by_expiry.first_key_value() {
                Some(((expiry, _), _)) if *expiry <= now => self.forget_first(),
                _ => break,
            }
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.by_expiry.pop_first() {
            self.used.remove(&key);
        }
    }
}

/// An expiry has to be a moment that the clock can name.
const LONGEST_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
