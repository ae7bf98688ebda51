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

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn entry(clock: u64) -> Arc<Entry> {
        let (position, text) = (crate::Position::default(), Arc::<str>::from(""));
        Arc::new(Entry { stream: text.clone(), position, clock, event: text.clone(), data: text, set: Vec::new() })
    }

    #[test]
    fn lets_go_of_expired_keys_as_new_ones_come() {
        let (mut keys, start) = (OnceKeys::default(), Instant::now());
        (0..1_000).for_each(|index| keys.insert(index.to_string(), entry(index), start, TTL, usize::MAX));
        (0..100).for_each(|index| keys.insert(format!("new-{index}"), entry(index), start + TTL, TTL, usize::MAX));
        assert_eq!((keys.used.len(), keys.by_expiry.len()), (100, 100));
    }

    /// The expiry of its first use may still have to be cleared away, and must not take the second use with it.
    #[test]
    fn keeps_a_key_that_is_used_again() {
        let (mut keys, start) = (OnceKeys::default(), Instant::now());
        (0..100).for_each(|index| keys.insert(index.to_string(), entry(index), start, TTL, usize::MAX));
        keys.insert("99".to_owned(), entry(1_000), start + TTL, TTL, usize::MAX);
        (0..100).for_each(|index| keys.insert(format!("new-{index}"), entry(index), start + TTL, TTL, usize::MAX));
        assert_eq!(keys.get("99", start + TTL).map(|entry| entry.clock), Some(1_000));
    }
}
