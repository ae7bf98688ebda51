//! [`Visitor`]: what the application keeps with a socket. Ten thousand of them wait on a gateway, so it must never hold
//! what could be looked up.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use haat_adapter::Position;
use haat_protocol::Id;
use smallvec::SmallVec;

use super::{agenda::Slot, view::View};
use crate::{auth::Identity, limit::Bucket};

/// A socket that has joined the main namespace.
pub struct Visitor {
    /// Who it is.
    pub(super) identity: RefCell<Rc<Identity>>,
    /// Its socket id.
    pub(super) sid: Id,
    /// The secret under which its session is saved.
    pub(super) pid: Option<Id>,
    /// Commands that wait until a join before them is done.
    // Boxed, because ten thousand visitors have none.
    #[allow(clippy::box_collection)]
    pub(super) backlog: RefCell<Option<Box<VecDeque<Waiting>>>>,
    /// Commands that are not answered yet.
    pub(super) unanswered: Cell<u32>,
    /// Whether its session is being saved.
    pub(super) saving: Cell<Saving>,
    /// A time to save it again is noted.
    pub(super) noted: Cell<bool>,
    /// What is due for its token.
    pub(super) token: Slot,
    /// How often its session was too slow.
    pub(super) slow: Cell<Slow>,
    /// What becomes of its saved session.
    pub(super) fate: RefCell<Fate>,
    joined: RefCell<SmallVec<[Joined; 1]>>,
    buckets: RefCell<Option<Box<Buckets>>>,
}

/// A stream that a visitor has joined.
#[derive(Debug, Clone)]
pub(super) struct Joined {
    /// The stream.
    pub view: Rc<View>,
    /// What its last join reply showed, or where its recovery ended.
    pub position: Position,
    /// It counts as a viewer.
    pub viewer: bool,
}

/// A command that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The ack that the client wants.
    pub id: Option<u64>,
    /// The command.
    pub name: Box<str>,
    /// Its body.
    pub body: Box<str>,
}

/// Whether a session is being saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Saving {
    /// No.
    #[default]
    Idle,
    /// Yes.
    Busy,
    /// Yes, and what is being saved is out of date.
    Again,
}

/// What becomes of a saved session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Fate {
    /// The connection lives, and may break.
    #[default]
    Alive,
    /// The connection broke; it was in these rooms.
    Dropped(Vec<Rc<str>>),
    /// The client or the server has ended it for good.
    Left,
    /// It goes on on another connection, which saves it from now on.
    Replaced,
}

/// How often a session was closed because its client reads too slowly, and since when, in ms since 1970.
///
/// Each time it would come back to more than it can read, and be closed again, for ever. So the third time within a minute it
/// does not come back, and begins anew at the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Slow(pub u8, pub u64);

impl Slow {
    const MOST: u8 = 3;
    const WINDOW: u64 = 60_000;

    /// It was closed once more.
    pub(super) fn again(self, now: u64) -> Self {
        let Self(count, since) = self;
        if self.is_over(now) { Self(1, now) } else { Self(count.saturating_add(1), since) }
    }

    /// It must not come back.
    pub(super) fn too_often(self, now: u64) -> bool {
        self.0 >= Self::MOST && !self.is_over(now)
    }

    fn is_over(self, now: u64) -> bool {
        self.0 == 0 || now.saturating_sub(self.1) > Self::WINDOW
    }
}

/// The limits of one connection.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// All commands.
    pub events: Bucket,
    /// Joins among them.
    pub joins: Bucket,
    /// Its taps.
    pub reactions: Bucket,
    /// All commands of staff.
    pub staff: Bucket,
}

impl Visitor {
    /// A socket that has joined no stream.
    pub(super) fn new(identity: Rc<Identity>, sid: Id, pid: Option<Id>) -> Self {
        Self {
            identity: RefCell::new(identity),
            sid,
            pid,
            backlog: RefCell::default(),
            unanswered: Cell::default(),
            saving: Cell::default(),
            noted: Cell::default(),
            token: Slot::default(),
            slow: Cell::default(),
            fate: RefCell::default(),
            joined: RefCell::default(),
            buckets: RefCell::default(),
        }
    }

    /// Who it is.
    pub(super) fn identity(&self) -> Rc<Identity> {
        self.identity.borrow().clone()
    }

    /// The view of a stream that it has joined.
    pub(super) fn view(&self, stream: &str) -> Option<Rc<View>> {
        self.joined.borrow().iter().find(|joined| *joined.view.stream == *stream).map(|joined| joined.view.clone())
    }

    /// The streams that it has joined.
    pub(super) fn joined(&self) -> SmallVec<[Joined; 1]> {
        self.joined.borrow().clone()
    }

    /// How many those are.
    pub(super) fn count(&self) -> usize {
        self.joined.borrow().len()
    }

    /// It joins a stream, perhaps again. Returns what was noted of it before.
    pub(super) fn enter(&self, entry: Joined) -> Option<Joined> {
        let mut joined = self.joined.borrow_mut();
        match joined.iter_mut().find(|known| known.view.stream == entry.view.stream) {
            Some(known) => Some(std::mem::replace(known, entry)),
            None => {
                joined.push(entry);
                None
            }
        }
    }

    /// It leaves a stream. Returns what was noted of it.
    pub(super) fn leave(&self, stream: &str) -> Option<Joined> {
        let mut joined = self.joined.borrow_mut();
        let place = joined.iter().position(|joined| *joined.view.stream == *stream)?;
        Some(joined.swap_remove(place))
    }

    /// Its limits.
    pub(super) fn buckets<R>(&self, take: impl FnOnce(&mut Buckets) -> R) -> R {
        take(self.buckets.borrow_mut().get_or_insert_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_within_a_minute_are_too_often() {
        let twice = Slow::default().again(1_000).again(30_000);
        assert!(!twice.too_often(30_000));
        let thrice = twice.again(61_000);
        assert!(thrice.too_often(61_000) && !thrice.too_often(61_001));
        assert!(!twice.again(61_001).too_often(61_001), "it begins anew");
    }
}
