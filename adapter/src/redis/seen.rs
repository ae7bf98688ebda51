//! How far this gateway has seen each stream, and its sale. It is what shows that Redis lost entries which it had acknowledged:
//! after a restart or a failover the numbers would begin to name other entries, units would be sold twice, and nobody would
//! notice.
//!
//! A number alone is not enough: a master that went on from less may have overtaken what it lacks. So the moment of the last
//! entry belongs to it ([`Entry::clock`]), which names no other one, and what was done here last in the sale. That is known
//! of one life of the log only: when it is found to be lost, another begins.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{Entry, Grant, GrantState, Position};

/// A number that is further ahead than a log is long says nothing of what Redis holds: whoever may publish can say anything.
const LEAP: u64 = 4_096;
/// Streams that are remembered. At one more, those that nobody here listens to are forgotten.
const STREAMS: usize = 65_536;

/// The furthest that was seen of each stream.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<HashMap<Arc<str>, Sight>>);

#[derive(Debug, Clone, Default)]
struct Sight {
    furthest: Position,
    /// Number and moment of the last entry of this epoch that was seen as a whole; (0, 0) if none was.
    entry: (u64, u64),
    sale: Steps,
    grant: Option<LastGrant>,
    turn: Option<LastTurn>,
    /// The last entry that was delivered here, while somebody listens.
    delivered: Option<Position>,
    /// It is known to be in the list of streams.
    indexed: bool,
}

/// What is held against what Redis has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) stream: Arc<str>,
    pub(super) furthest: Position,
    /// Number and moment of an entry; (0, 0): of none.
    pub(super) entry: (u64, u64),
    pub(super) sale: Steps,
    pub(super) grant: Option<LastGrant>,
    pub(super) turn: Option<LastTurn>,
}

/// The last grant that was made or settled here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastGrant {
    pub(super) id: Arc<str>,
    /// As scripts say it.
    pub(super) state: &'static str,
}

/// The last turn at a wheel that was made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastTurn {
    pub(super) pool: Arc<str>,
    pub(super) user: Arc<str>,
    /// Which of the user's it was, from 1.
    pub(super) number: u64,
}

/// Where an entry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It lies in the log.
    Log,
    /// It was published.
    Channel,
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
        self.change(stream, |sight| sight.note(position));
    }

    /// The same, of an entry.
    pub(super) fn note_entry(&self, entry: &Entry) {
        self.change(&entry.stream, |sight| sight.note_entry(entry));
    }

    /// Redis has shown that a stream's sale has come so far.
    pub(super) fn note_sale(&self, stream: &str, steps: &Steps) {
        self.change(stream, |sight| {
            if sight.sale.epoch != steps.epoch {
                (sight.sale, sight.grant, sight.turn) = (steps.clone(), None, None);
            } else if sight.sale.count < steps.count {
                sight.sale = steps.clone();
            }
        });
    }

    /// Units were granted here, or a grant was settled.
    pub(super) fn note_grant(&self, stream: &str, grant: &Grant) {
        let state = match grant.state {
            GrantState::Held(_) => "H",
            GrantState::Final => "F",
            GrantState::Returned => "R",
        };
        self.change(stream, |sight| sight.grant = Some(LastGrant { id: grant.id.clone(), state }));
    }

    /// A wheel was turned here.
    pub(super) fn note_turn(&self, stream: &str, turn: LastTurn) {
        self.change(stream, |sight| sight.turn = Some(turn));
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

    /// What is known of all streams.
    pub(super) fn all(&self) -> Vec<Known> {
        let known = |(stream, sight): (&Arc<str>, &Sight)| {
            let Sight { furthest, entry, sale, grant, turn, .. } = sight.clone();
            Known { stream: stream.clone(), furthest, entry, sale, grant, turn }
        };
        self.lock().iter().map(known).collect()
    }

    /// Whether an entry that arrived is to be delivered: not if it, or a later one, was before. One that was merely published,
    /// and is too far ahead, is not what counts from then on; the gateway sees a gap, and looks at the log.
    pub(super) fn deliver(&self, entry: &Entry, from: Source) -> bool {
        let mut new = true;
        self.change(&entry.stream, |sight| new = sight.deliver(entry, from));
        new
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

impl Sight {
    fn note(&mut self, position: &Position) {
        if self.furthest.epoch != position.epoch {
            (self.furthest, self.entry) = (position.clone(), (0, 0));
        } else if self.furthest.seq < position.seq {
            self.furthest = position.clone();
        }
    }

    fn note_entry(&mut self, entry: &Entry) {
        self.note(&entry.position);
        if self.entry.0 < entry.position.seq {
            self.entry = (entry.position.seq, entry.clock);
        }
    }

    fn deliver(&mut self, entry: &Entry, from: Source) -> bool {
        let position = &entry.position;
        let of_epoch = |known: &Position| if known.epoch == position.epoch { known.seq } else { 0 };
        let delivered = self.delivered.as_ref().map_or(0, of_epoch);
        if delivered >= position.seq {
            return false;
        }
        let is_near = position.seq <= delivered.max(of_epoch(&self.furthest)).saturating_add(LEAP);
        if from == Source::Log || is_near {
            self.delivered = Some(position.clone());
        }
        // That there is another epoch is believed of the log alone.
        let is_same = self.furthest.epoch.is_empty() || self.furthest.epoch == position.epoch;
        if from == Source::Log || (is_near && is_same) {
            self.note_entry(entry);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: &str, seq: u64) -> Position {
        Position { epoch: epoch.into(), seq }
    }

    /// An entry of the stream `s`, of the moment 100 × seq.
    fn entry(epoch: &str, seq: u64) -> Entry {
        let (stream, event, data) = ("s".into(), "chat:message".into(), "{}".into());
        Entry { stream, position: at(epoch, seq), clock: seq.saturating_mul(100), event, data, set: Vec::new() }
    }

    fn grant(id: &str) -> Grant {
        let (user, text) = ("ana".into(), "{}".into());
        Grant { id: id.into(), user, request: None, quantity: 1, text, left: 0, state: GrantState::Final }
    }

    fn turn(number: u64) -> LastTurn {
        LastTurn { pool: "wheel.w@1".into(), user: "ana".into(), number }
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
        seen.note_grant("s", &grant("c1"));
        seen.note_turn("s", turn(2));
        let known = |entry| Known {
            stream: "s".into(),
            furthest: at("b", 1),
            entry,
            sale: steps("b", 1),
            grant: Some(LastGrant { id: "c1".into(), state: "F" }),
            turn: Some(turn(2)),
        };
        assert_eq!(seen.all(), [known((0, 0))], "no entry of this epoch was seen");
        seen.note_entry(&entry("b", 1));
        assert_eq!(seen.all(), [known((1, 100))]);
        seen.note_sale("s", &steps("b", 2));
        assert_eq!(seen.all(), [Known { sale: steps("b", 2), ..known((1, 100)) }]);
        seen.note_sale("s", &steps("c", 1));
        let anew = Known { sale: steps("c", 1), grant: None, turn: None, ..known((1, 100)) };
        assert_eq!(seen.all(), [anew], "what was lost with an epoch is not looked for again");
    }

    #[test]
    fn delivers_nothing_twice() {
        let seen = Seen::default();
        let deliver = |epoch, seq| seen.deliver(&entry(epoch, seq), Source::Channel);
        assert!(deliver("a", 1) && deliver("a", 3));
        assert!(!deliver("a", 3) && !deliver("a", 2));
        assert!(deliver("b", 1) && !deliver("b", 1));
        seen.forget_delivered("s");
        assert!(deliver("b", 1));
    }

    #[test]
    fn what_is_published_too_far_ahead_counts_for_nothing() {
        let seen = Seen::default();
        assert!(seen.deliver(&entry("a", 1), Source::Channel));
        for (epoch, seq) in [("a", 1 << 40), ("a", u64::MAX), ("b", 1 << 40), ("b", 7)] {
            assert!(seen.deliver(&entry(epoch, seq), Source::Channel), "the gateway looks at the log");
            assert_eq!(seen.furthest("s"), at("a", 1));
        }
        assert!(seen.deliver(&entry("a", 2), Source::Channel), "what is true is delivered all the same");
        assert_eq!(seen.furthest("s"), at("a", 2));
        for (epoch, seq) in [("a", 1 << 40), ("b", 1)] {
            assert!(seen.deliver(&entry(epoch, seq), Source::Log), "the log is believed");
            assert_eq!(seen.furthest("s"), at(epoch, seq));
        }
    }

    #[test]
    fn is_bounded() {
        let seen = Seen::default();
        let listened = Entry { stream: "listened".into(), ..entry("a", 1) };
        seen.deliver(&listened, Source::Channel);
        (0..=STREAMS).for_each(|stream| seen.note(&stream.to_string(), &at("a", 1)));
        assert!(seen.all().len() <= STREAMS);
        assert!(!seen.deliver(&listened, Source::Channel));
    }
}
