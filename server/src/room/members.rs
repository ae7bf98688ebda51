//! [`Room`]: the members that one shard holds of a room, and where the pass over them stands.

use std::rc::Rc;

use super::tick::Tick;

/// A room of a namespace, as far as this shard holds members of it.
#[derive(Debug)]
pub struct Room {
    /// Which namespace.
    pub namespace: u8,
    /// Its name.
    pub name: Rc<str>,
    /// What is on its way to the members.
    pub tick: Tick,
    /// On the list of rooms to flush.
    pub dirty: bool,
    /// Wanted here even without members.
    pub held: bool,
    /// Session slots. Each session knows its place here.
    members: Vec<u32>,
    /// Members before this place have had the pass that is under way.
    cursor: usize,
}

/// A member that took another's place when that one left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The session's slot.
    pub session: u32,
    /// Its new place.
    pub place: u32,
}

impl Room {
    /// An empty room.
    pub fn new(namespace: u8, name: Rc<str>) -> Self {
        Self { namespace, name, tick: Tick::default(), dirty: false, held: false, members: Vec::new(), cursor: 0 }
    }

    /// Nobody wants it any more.
    pub fn is_idle(&self) -> bool {
        self.members.is_empty() && !self.held
    }

    /// Its members' session slots.
    pub fn members(&self) -> &[u32] {
        &self.members
    }

    /// Adds a session, and returns its place.
    pub fn add(&mut self, session: u32) -> u32 {
        self.members.push(session);
        u32::try_from(self.members.len() - 1).unwrap_or(u32::MAX)
    }

    /// Takes out the member at `place`. Up to two others take new places: the gap must not cross the cursor, or the
    /// pass under way would miss a member.
    pub fn remove(&mut self, place: u32) -> [Option<Moved>; 2] {
        let mut gap = place as usize;
        let mut moved = [None, None];
        if gap >= self.members.len() {
            return moved;
        }
        if gap < self.cursor {
            self.cursor -= 1;
            moved[0] = self.relocate(self.cursor, gap);
            gap = self.cursor;
        }
        moved[1] = self.relocate(self.members.len() - 1, gap);
        self.members.pop();
        if self.members.len() * 4 < self.members.capacity() {
            self.members.shrink_to(self.members.len() * 2);
        }
        moved
    }

    fn relocate(&mut self, from: usize, to: usize) -> Option<Moved> {
        if from == to {
            return None;
        }
        let session = *self.members.get(from)?;
        *self.members.get_mut(to)? = session;
        Some(Moved { session, place: u32::try_from(to).unwrap_or(u32::MAX) })
    }

    /// Begins a pass with what the tick holds now.
    pub fn begin_pass(&mut self) {
        self.cursor = 0;
        self.tick.seal();
    }

    /// The next member of the pass.
    pub fn next_of_pass(&mut self) -> Option<u32> {
        let session = self.members.get(self.cursor).copied();
        self.cursor += usize::from(session.is_some());
        session
    }

    /// Ends the pass. Says whether the tick has more.
    pub fn end_pass(&mut self) -> bool {
        self.cursor = 0;
        self.tick.finish()
    }
}
