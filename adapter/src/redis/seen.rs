//! How far this gateway has seen each stream, and its sale. It is what shows that Redis lost entries which it had acknowledged:
//! after a restart or a failover the numbers would begin to name other entries, units would be sold twice, and nobody would
//! notice.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::Position;

/// Streams that are remembered. At one more, those that nobody here listens to are forgotten.
const STREAMS: usize = 65_536;

/// The furthest position of each stream.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<HashMap<Arc<str>, Sight>>);

#[derive(Debug, Clone, Default)]
struct Sight {
    furthest: Position,
    sale: Steps,
    /// The last entry that was delivered here, while somebody listens.
    delivered: Option<Position>,
    /// It is known to be in the list of streams.
    indexed: bool,
}

/// How far a sale has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// Of the stream's log.
    pub(super) epoch: Arc<str>,
    /// Each claim, each spin, and whatever became of a grant.
    pub(super) count: u64,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Sight>> {
        // Nothing that is done under the lock leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Redis has shown this position. A new epoch replaces an older one; which of two is older cannot be told, so that the
    /// last one shown counts.
    pub(super) fn note(&self, stream: &str, position: &Position) {
        self.change(stream, |sight| {
            if sight.furthest.epoch != position.epoch || sight.furthest.seq < position.seq {
                sight.furthest = position.clone();
            }
        });
    }

    /// Redis has shown that a stream's sale has come so far.
    pub(super) fn note_sale(&self, stream: &str, steps: &Steps) {
        self.change(stream, |sight| {
            if sight.sale.epoch != steps.epoch || sight.sale.count < steps.count {
                sight.sale = steps.clone();
            }
        });
    }

    fn change(&self, stream: &str, change: impl FnOnce(&mut Sight)) {
        let mut streams = self.lock();
        if let Some(sight) = streams.get_mut(stream) {
            return change(sight);
        }
        if streams.len() >= STREAMS {
            streams.retain(|_, sight| sight.delivered.is_some());
        }
        if streams.len() < STREAMS {
            change(streams.entry(stream.into()).or_default());
        }
    }

    /// The furthest position; the default one if none was seen.
    pub(super) fn furthest(&self, stream: &str) -> Position {
        self.both(stream).0
    }

    /// The furthest position, and how far the sale was.
    pub(super) fn both(&self, stream: &str) -> (Position, Steps) {
        let both = |sight: &Sight| (sight.furthest.clone(), sight.sale.clone());
        self.lock().get(stream).map(both).unwrap_or_default()
    }

    /// All streams, the furthest position of each, and how far its sale was.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Position, Steps)> {
        let all = |(stream, sight): (&Arc<str>, &Sight)| (stream.clone(), sight.furthest.clone(), sight.sale.clone());
        self.lock().iter().map(all).collect()
    }

    /// Whether an entry that arrived is to be delivered: not if it, or a later one, was before.
    pub(super) fn deliver(&self, stream: &str, position: &Position) -> bool {
        self.note(stream, position);
        let mut streams = self.lock();
        let Some(sight) = streams.get_mut(stream) else { return true };
        let known = sight.delivered.as_ref();
        if known.is_some_and(|known| known.epoch == position.epoch && known.seq >= position.seq) {
            return false;
        }
        sight.delivered = Some(position.clone());
        true
    }

    /// Nobody here listens to the stream any more.
    pub(super) fn forget_delivered(&self, stream: &str) {
        if let Some(sight) = self.lock().get_mut(stream) {
            sight.delivered = None;
        }
    }

    /// Whether the stream still has to be put into the list of streams.
    pub(super) fn needs_index(&self, stream: &str) -> bool {
        self.lock().get(stream).is_none_or(|sight| !sight.indexed)
    }

    /// The stream is in the list of streams, or (`false`) may not be.
    pub(super) fn set_indexed(&self, stream: &str, indexed: bool) {
        if let Some(sight) = self.lock().get_mut(stream) {
            sight.indexed = indexed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: &str, seq: u64) -> Position {
        Position { epoch: epoch.into(), seq }
    }

    #[test]
    fn remembers_the_furthest() {
        let seen = Seen::default();
        assert_eq!(seen.furthest("s"), Position::default());
        for (position, furthest) in [(at("a", 5), at("a", 5)), (at("a", 3), at("a", 5)), (at("b", 1), at("b", 1))] {
            seen.note("s", &position);
            assert_eq!(seen.furthest("s"), furthest);
        }
        let steps = |epoch: &str, count| Steps { epoch: epoch.into(), count };
        for (noted, furthest) in
            [(steps("a", 5), steps("a", 5)), (steps("a", 3), steps("a", 5)), (steps("b", 1), steps("b", 1))]
        {
            seen.note_sale("s", &noted);
            assert_eq!(seen.both("s").1, furthest);
        }
        assert_eq!(seen.all(), [("s".into(), at("b", 1), steps("b", 1))]);
    }

    #[test]
    fn delivers_nothing_twice() {
        let seen = Seen::default();
        assert!(seen.deliver("s", &at("a", 1)) && seen.deliver("s", &at("a", 3)));
        assert!(!seen.deliver("s", &at("a", 3)) && !seen.deliver("s", &at("a", 2)));
        assert!(seen.deliver("s", &at("b", 1)));
        seen.forget_delivered("s");
        assert!(seen.deliver("s", &at("b", 1)));
    }

    #[test]
    fn is_bounded() {
        let seen = Seen::default();
        seen.deliver("listened", &at("a", 1));
        (0..=STREAMS).for_each(|stream| seen.note(&stream.to_string(), &at("a", 1)));
        assert!(seen.all().len() <= STREAMS);
        assert!(!seen.deliver("listened", &at("a", 1)));
    }
}
