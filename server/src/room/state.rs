//! [`State`]: the plain data behind [`Rooms`](super::Rooms), and the steps on it.

use std::{collections::HashMap, rc::Rc, time::Instant};

use haat_protocol::{Frame, Id};
use slab::Slab;
use smallvec::SmallVec;

use super::{
    At, Counters,
    members::Room,
    session::{Carrier, Membership, Session},
};
use crate::{
    close::CloseReason,
    hub::mailbox::LocalTarget,
    transport::{
        SessionKey,
        outbox::{Bounds, Outbox},
    },
};

/// Emptied outboxes that are kept for the next that is needed.
const SPARE_OUTBOXES: usize = 256;

/// Sessions and rooms of a shard.
pub(super) struct State {
    pub sessions: Slab<Session>,
    pub rooms: Slab<Room>,
    /// Sockets that have joined, by id.
    pub ids: HashMap<Id, At>,
    /// Rooms with something to flush.
    pub dirty: Vec<u32>,
    /// Sessions with something to flush.
    pub pending: Vec<SessionKey>,
    /// Sessions that wait until their socket takes more.
    pub blocked: Vec<SessionKey>,
    /// Sessions that are over, for the shard to take out.
    pub ended: Vec<(SessionKey, CloseReason)>,
    names: Vec<HashMap<Rc<str>, u32>>,
    bounds: Bounds,
    generation: u32,
    /// Numbers broadcasts.
    number: u64,
    /// Emptied outboxes.
    // Boxed, because that is how sessions hold theirs: one moves to and fro without being copied.
    #[allow(clippy::vec_box)]
    pub spare: Vec<Box<Outbox>>,
}

impl State {
    pub fn new(namespaces: usize, bounds: Bounds) -> Self {
        Self {
            sessions: Slab::new(),
            rooms: Slab::new(),
            ids: HashMap::new(),
            dirty: Vec::new(),
            pending: Vec::new(),
            blocked: Vec::new(),
            ended: Vec::new(),
            names: (0..namespaces).map(|_| HashMap::new()).collect(),
            bounds,
            generation: 0,
            number: 0,
            spare: Vec::new(),
        }
    }

    pub fn key(index: usize, session: &Session) -> SessionKey {
        SessionKey::new(u32::try_from(index).unwrap_or(u32::MAX), session.generation)
    }

    pub fn insert(&mut self, make: impl FnOnce(u32) -> Session) -> SessionKey {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let index = self.sessions.insert(make(generation));
        SessionKey::new(u32::try_from(index).unwrap_or(u32::MAX), generation)
    }

    pub fn remove(&mut self, key: SessionKey) -> Option<Session> {
        self.session_mut(key)?;
        let mut session = self.sessions.try_remove(key.index as usize)?;
        if let Some(outbox) = session.outbox.take() {
            self.recycle(outbox);
        }
        Some(session)
    }

    pub fn session_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.sessions.get_mut(key.index as usize).filter(|session| session.generation == key.generation)
    }

    pub fn room(&self, namespace: u8, name: &str) -> Option<&Room> {
        let slot = *self.names.get(usize::from(namespace))?.get(name)?;
        self.rooms.get(slot as usize)
    }

    /// The place of a room in the session's list.
    pub fn membership(&mut self, at: At, room: &str) -> Option<usize> {
        let slot = *self.names.get(usize::from(at.namespace))?.get(room)?;
        self.session_mut(at.key)?.rooms.iter().position(|member| member.room == slot)
    }

    pub fn rooms_of(&mut self, at: At) -> Vec<Rc<str>> {
        let Self { sessions, rooms, .. } = self;
        let Some(session) = sessions.get(at.key.index as usize) else { return Vec::new() };
        if session.generation != at.key.generation {
            return Vec::new();
        }
        let rooms = session.rooms.iter().filter_map(|member| rooms.get(member.room as usize));
        rooms.filter(|room| room.namespace == at.namespace).map(|room| room.name.clone()).collect()
    }

    /// `None`: it was a member before. Else whether it is the room's first member here.
    pub fn join(&mut self, at: At, room: &str) -> Option<bool> {
        self.session_mut(at.key)?.socket(at.namespace)?;
        if self.membership(at, room).is_some() {
            return None;
        }
        let slot = self.slot(at.namespace, room)?;
        let room = self.rooms.get_mut(slot as usize)?;
        let first = room.is_idle();
        let place = room.add(at.key.index);
        let seen = room.tick.end();
        let session = self.session_mut(at.key)?;
        session.rooms.reserve_exact(1);
        session.rooms.push(Membership { room: slot, place, seen });
        Some(first)
    }

    /// The room's slot; it is made if there is none.
    fn slot(&mut self, namespace: u8, room: &str) -> Option<u32> {
        let names = self.names.get_mut(usize::from(namespace))?;
        if let Some(slot) = names.get(room) {
            return Some(*slot);
        }
        let name: Rc<str> = room.into();
        let slot = u32::try_from(self.rooms.insert(Room::new(namespace, name.clone()))).ok()?;
        names.insert(name, slot);
        Some(slot)
    }

    /// Wants a room even without members, or does so no longer. Says whether that makes it wanted, or idle.
    pub fn hold(&mut self, namespace: u8, room: &str, held: bool) -> bool {
        let Some(slot) = self.slot(namespace, room) else { return false };
        let Some(room) = self.rooms.get_mut(slot as usize) else { return false };
        let was_idle = room.is_idle();
        room.held = held;
        let is_idle = room.is_idle();
        if is_idle && !room.dirty {
            self.free_room(slot);
        }
        was_idle != is_idle
    }

    /// Takes the session out of the room at this place of its list. The room's name, if it has no member here any more.
    pub fn leave(&mut self, session: u32, place: usize) -> Option<Rc<str>> {
        let Self { sessions, rooms, .. } = self;
        let membership = sessions.get_mut(session as usize)?.rooms.swap_remove(place);
        let room = rooms.get_mut(membership.room as usize)?;
        for moved in room.remove(membership.place).into_iter().flatten() {
            let other = sessions.get_mut(moved.session as usize)?;
            let theirs = other.rooms.iter_mut().find(|theirs| theirs.room == membership.room)?;
            theirs.place = moved.place;
        }
        if !room.is_idle() {
            return None;
        }
        let name = room.name.clone();
        // A room on the list of dirty ones is freed when its pass ends.
        if !room.dirty {
            self.free_room(membership.room);
        }
        Some(name)
    }

    pub fn free_room(&mut self, slot: u32) {
        if let Some(room) = self.rooms.try_remove(slot as usize)
            && let Some(names) = self.names.get_mut(usize::from(room.namespace))
        {
            names.remove(&room.name);
        }
    }

    /// Appends to the room's tick. Says whether the room has members here.
    pub fn broadcast(&mut self, namespace: u8, name: &str, frame: &Frame) -> bool {
        let Some(slot) = self.names.get(usize::from(namespace)).and_then(|names| names.get(name)).copied() else {
            return false;
        };
        let Some(room) = self.rooms.get_mut(slot as usize) else { return false };
        if room.members().is_empty() {
            return false;
        }
        self.number += 1;
        room.tick.push(self.number, frame);
        if !room.dirty {
            room.dirty = true;
            self.dirty.push(slot);
        }
        true
    }

    /// The sockets of a target, each once.
    pub fn select(&mut self, target: &LocalTarget) -> Vec<At> {
        self.number += 1;
        let number = self.number;
        let mut found = Vec::new();
        let namespace = target.namespace;
        if target.rooms.is_empty() {
            let all = self.sessions.iter().filter(|(_, session)| session.socket(namespace).is_some_and(|s| s.joined));
            found.extend(all.map(|(index, session)| At { key: Self::key(index, session), namespace }));
        }
        for name in &target.rooms {
            if let Some(at) = Id::parse(name).and_then(|id| self.ids.get(&id)).filter(|at| at.namespace == namespace) {
                found.push(*at);
            }
            let members = self.room(namespace, name).map(|room| room.members().to_vec()).unwrap_or_default();
            found.extend(members.into_iter().filter_map(|index| {
                let session = self.sessions.get(index as usize)?;
                Some(At { key: Self::key(index as usize, session), namespace })
            }));
        }
        found.retain(|at| {
            let excepted = target.except.iter().any(|room| {
                self.membership(*at, room).is_some() || Id::parse(room).is_some_and(|id| self.ids.get(&id) == Some(at))
            });
            let Some(session) = self.session_mut(at.key) else { return false };
            let again = std::mem::replace(&mut session.last_broadcast, number) == number;
            !excepted && !again && session.is_open()
        });
        found
    }

    /// Queues a frame for one session, after what its rooms were given before.
    pub fn queue(&mut self, index: u32, frame: &Frame, now: Instant, counters: &Counters) {
        self.pull(index, now, counters);
        self.push(index, std::slice::from_ref(frame), now, counters);
    }

    /// Moves what the session's rooms hold for it into its own queue, in the order in which it was broadcast.
    pub fn pull(&mut self, index: u32, now: Instant, counters: &Counters) {
        let Self { sessions, rooms, .. } = self;
        let Some(session) = sessions.get_mut(index as usize) else { return };
        let mut frames: SmallVec<[(u64, Frame); 4]> = SmallVec::new();
        let mut sources = 0;
        for member in &mut session.rooms {
            let Some(room) = rooms.get(member.room as usize) else { continue };
            if room.dirty && !room.tick.is_done(member.seen) {
                frames.extend(room.tick.after(member.seen).cloned());
                member.seen = room.tick.end();
                sources += 1;
            }
        }
        if frames.is_empty() {
            return;
        }
        if sources > 1 {
            frames.sort_by_key(|(number, _)| *number);
        }
        let frames: SmallVec<[Frame; 4]> = frames.into_iter().map(|(_, frame)| frame).collect();
        self.push(index, &frames, now, counters);
    }

    /// Appends to the session's queue, by the rules of slow connections.
    pub fn push(&mut self, index: u32, frames: &[Frame], now: Instant, counters: &Counters) {
        let Some(session) = self.sessions.get_mut(index as usize) else { return };
        let key = SessionKey::new(index, session.generation);
        if !session.is_open() {
            return;
        }
        let waits = match &session.carrier {
            Carrier::WebSocket(_) => session.blocked,
            Carrier::Polling(polling) => polling.parked.is_none(),
        };
        let spare = &mut self.spare;
        let outbox = session.outbox.get_or_insert_with(|| spare.pop().unwrap_or_default());
        Counters::add(&counters.delivered, frames.len() as u64);
        for frame in frames {
            match outbox.push(frame.clone(), now, waits, &self.bounds) {
                Ok(dropped) => Counters::add(&counters.dropped, u64::from(dropped)),
                Err(_) => {
                    session.closing = Some(CloseReason::SlowConsumer);
                    self.ended.push((key, CloseReason::SlowConsumer));
                    return;
                }
            }
        }
        if !session.queued {
            session.queued = true;
            self.pending.push(key);
        }
    }

    /// Queues what a session is owed that has come back, outside the rules of slow connections.
    pub fn grant(&mut self, index: u32, frames: &[Frame], now: Instant, counters: &Counters) {
        self.pull(index, now, counters);
        let Some(session) = self.sessions.get_mut(index as usize).filter(|session| session.is_open()) else { return };
        if frames.is_empty() {
            return;
        }
        let spare = &mut self.spare;
        let outbox = session.outbox.get_or_insert_with(|| spare.pop().unwrap_or_default());
        Counters::add(&counters.delivered, frames.len() as u64);
        for frame in frames {
            outbox.grant(frame.clone(), now);
        }
        if !session.queued {
            session.queued = true;
            self.pending.push(SessionKey::new(index, session.generation));
        }
    }

    /// Marks a session as ending once its queue is written, `last` at its end. Says whether it was open until now.
    pub fn close(&mut self, key: SessionKey, reason: CloseReason, last: Option<Frame>, counters: &Counters) -> bool {
        if !self.session_mut(key).is_some_and(|session| session.is_open()) {
            return false;
        }
        let now = Instant::now();
        self.pull(key.index, now, counters);
        self.push(key.index, last.as_slice(), now, counters);
        let Some(session) = self.session_mut(key) else { return false };
        session.closing.get_or_insert(reason);
        if !session.queued {
            session.queued = true;
            self.pending.push(key);
        }
        true
    }

    /// Sessions that have waited too long for their socket.
    pub fn stale(&mut self, now: Instant) -> Vec<SessionKey> {
        let Self { sessions, blocked, bounds, .. } = self;
        let mut stale = Vec::new();
        blocked.retain(|key| {
            let session = sessions.get(key.index as usize).filter(|session| session.generation == key.generation);
            let Some(session) = session.filter(|session| session.blocked) else { return false };
            if session.outbox.as_ref().is_some_and(|outbox| outbox.is_stale(now, bounds)) {
                stale.push(*key);
            }
            true
        });
        // A polling client that does not poll is left to the heartbeat, which it cannot answer either.
        stale
    }

    pub fn recycle(&mut self, mut outbox: Box<Outbox>) {
        if self.spare.len() < SPARE_OUTBOXES {
            outbox.reset();
            self.spare.push(outbox);
        }
    }
}

/// A WebSocket close with the reason's code; empty where there is none, as Node's server does it.
pub fn close_frame(reason: CloseReason) -> Frame {
    match reason.row().code {
        Some(code) => Frame::close(&code.to_be_bytes()),
        None => Frame::close(&[]),
    }
}
