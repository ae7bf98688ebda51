//! [`Rooms`]: the sessions of one shard, and the rooms that they are in.
//!
//! Everything here belongs to one thread. A method borrows the state for its own length and never calls out, so the
//! application may call any of them from any handler.
//!
//! - [`session`]: one client
//! - `members`: a room and its members
//! - `tick`: what was broadcast to a room and has not reached all members
//! - `flush`: writing it
//! - [`app`]: what is done with sockets and events

pub mod app;
mod flush;
mod members;
pub mod session;
mod state;
mod tick;

use std::{
    any::Any,
    cell::{Cell, RefCell},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use haat_protocol::{Class, Frame, Id, socket};
use tokio::sync::Notify;

use crate::{
    close::CloseReason,
    hub::{Hub, mailbox::LocalTarget},
    transport::{SessionKey, outbox::Bounds},
};
use app::Left;
use session::{AckHandler, Carrier, MAX_ACKS, Session, Socket};
use state::{State, close_frame};

/// A socket's place: a session and one of its namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct At {
    /// The session.
    pub key: SessionKey,
    /// The namespace's number.
    pub namespace: u8,
}

/// Told of rooms that get their first member on the gateway, or lose their last.
pub type Interest = Arc<dyn Fn(u8, &str, bool) + Send + Sync>;

/// What a shard counted since it was last asked. Plain numbers: they are added to the metrics once a second.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames given to sessions, one per receiver.
    pub delivered: Cell<u64>,
    /// Writes to sockets.
    pub writes: Cell<u64>,
    /// Bytes that they took.
    pub bytes: Cell<u64>,
    /// Frames dropped on slow connections: volatile ones, and states that a newer one replaced.
    pub dropped: Cell<u64>,
    /// The longest pass over everything that is dirty.
    pub slowest_flush: Cell<Duration>,
}

impl Counters {
    fn wrote(&self, bytes: usize) {
        self.writes.set(self.writes.get() + 1);
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    fn add(cell: &Cell<u64>, count: u64) {
        cell.set(cell.get() + count);
    }
}

/// The sessions and rooms of a shard.
pub struct Rooms {
    state: RefCell<State>,
    /// Something waits to be written, or a session to be ended.
    wake: Notify,
    /// Reaches the other shards.
    pub hub: Arc<Hub>,
    /// This shard's number.
    pub shard: u8,
    /// What was counted.
    pub counters: Counters,
    interest: Interest,
}

impl Rooms {
    /// An empty shard.
    pub fn new(hub: Arc<Hub>, shard: u8, bounds: Bounds, interest: Interest) -> Self {
        Self {
            state: RefCell::new(State::new(hub.namespaces(), bounds)),
            wake: Notify::new(),
            hub,
            shard,
            counters: Counters::default(),
            interest,
        }
    }

    // --- sessions ---

    /// Adds a session.
    pub fn open(&self, carrier: Carrier, raw: bool, address: IpAddr, admission: Option<Box<dyn Any>>) -> SessionKey {
        let mut state = self.state.borrow_mut();
        let key = state.insert(|generation| Session::new(generation, carrier, raw, address, admission));
        self.hub.set_sessions(self.shard, state.sessions.len());
        key
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.state.borrow().sessions.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All sessions.
    pub fn keys(&self) -> Vec<SessionKey> {
        let state = self.state.borrow();
        state.sessions.iter().map(|(index, session)| State::key(index, session)).collect()
    }

    /// Looks at a session. `None` if it has ended.
    pub fn with<R>(&self, key: SessionKey, look: impl FnOnce(&mut Session) -> R) -> Option<R> {
        self.state.borrow_mut().session_mut(key).map(look)
    }

    /// Queues a frame for one session, after what was broadcast to its rooms before.
    pub fn emit(&self, key: SessionKey, frame: &Frame) {
        let mut state = self.state.borrow_mut();
        if state.session_mut(key).is_some_and(|session| session.is_open()) {
            state.queue(key.index, frame, Instant::now(), &self.counters);
            self.wake.notify_one();
        }
    }

    /// Begins to end a session: what is queued for it is still written, then a WebSocket gets a close frame with the
    /// reason's code. The shard then calls [`take`](Self::take). Says whether the session was open until now.
    pub fn close(&self, key: SessionKey, reason: CloseReason) -> bool {
        let mut state = self.state.borrow_mut();
        let socket = state.session_mut(key).is_some_and(|session| matches!(session.carrier, Carrier::WebSocket(_)));
        let closed = state.close(key, reason, socket.then(|| close_frame(reason)), &self.counters);
        self.wake.notify_one();
        closed
    }

    /// As [`close`](Self::close), for a client that has closed its WebSocket and got its answer.
    pub fn close_quietly(&self, key: SessionKey, reason: CloseReason) {
        self.state.borrow_mut().close(key, reason, None, &self.counters);
        self.wake.notify_one();
    }

    /// Ends a session without waiting for its queue.
    pub fn abort(&self, key: SessionKey, reason: CloseReason) {
        let mut state = self.state.borrow_mut();
        if let Some(session) = state.session_mut(key) {
            let reason = *session.closing.get_or_insert(reason);
            state.ended.push((key, reason));
            self.wake.notify_one();
        }
    }

    /// Takes out a session that has ended, with its sockets and rooms. `None` if that was done before.
    pub fn take(&self, key: SessionKey) -> Option<(Session, Vec<(At, Left)>)> {
        let mut left = Vec::new();
        let mut state = self.state.borrow_mut();
        state.session_mut(key)?;
        while let Some(namespace) =
            state.session_mut(key).and_then(|session| session.sockets.last().map(|socket| socket.namespace))
        {
            let at = At { key, namespace };
            left.extend(self.detach(&mut state, at).map(|socket| (at, socket)));
        }
        let session = state.remove(key)?;
        self.hub.set_sessions(self.shard, state.sessions.len());
        Some((session, left))
    }

    // --- sockets ---

    /// Adds a socket that has not joined yet.
    pub fn begin(&self, at: At, id: Id) {
        self.with(at.key, |session| {
            let socket = Socket { namespace: at.namespace, joined: false, id, data: None, acks: None };
            session.sockets.push(socket);
        });
    }

    /// Answers a CONNECT: the socket has joined, as `id`, and the client is told so before anything else of the
    /// namespace, except for `missed`, the frames that a recovered session has missed. Says whether it is still there.
    pub fn accept(&self, at: At, id: Id, pid: Option<Id>, data: Option<Rc<dyn Any>>, missed: &[Frame]) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(session) = state.session_mut(at.key) else { return false };
        session.connected = true;
        let Some(socket) = session.socket_mut(at.namespace) else { return false };
        socket.joined = true;
        socket.id = id;
        socket.data = data;
        state.ids.insert(id, at);
        let namespace = self.hub.namespace_name(at.namespace);
        let now = Instant::now();
        state.grant(at.key.index, missed, now, &self.counters);
        let reply = match pid {
            Some(pid) => format!(r#"{{"sid":"{id}","pid":"{pid}"}}"#),
            None => format!(r#"{{"sid":"{id}"}}"#),
        };
        state.queue(at.key.index, &socket::connect(namespace, &reply), now, &self.counters);
        self.wake.notify_one();
        true
    }

    /// Answers a CONNECT with CONNECT_ERROR and this JSON object. The session stays, and may try again.
    pub fn refuse(&self, at: At, error: &str) {
        let mut state = self.state.borrow_mut();
        let Some(session) = state.session_mut(at.key) else { return };
        session.sockets.retain(|socket| socket.namespace != at.namespace);
        let frame = socket::connect_error(self.hub.namespace_name(at.namespace), error);
        state.queue(at.key.index, &frame, Instant::now(), &self.counters);
        self.wake.notify_one();
    }

    /// Takes a socket out of its namespace without a word to the client. `None` if there is none that had joined.
    pub fn leave_namespace(&self, at: At) -> Option<Left> {
        let mut state = self.state.borrow_mut();
        self.detach(&mut state, at)
    }

    /// The application's data of a socket that has joined.
    pub fn data<T: 'static>(&self, at: At) -> Option<Rc<T>> {
        let data = self.with(at.key, |session| session.socket(at.namespace)?.data.clone())??;
        data.downcast().ok()
    }

    /// The id of a socket that has joined.
    pub fn id(&self, at: At) -> Option<Id> {
        self.with(at.key, |session| {
            session.socket(at.namespace).filter(|socket| socket.joined).map(|socket| socket.id)
        })?
    }

    /// The socket of this shard that has this id.
    pub fn by_id(&self, id: Id) -> Option<At> {
        self.state.borrow().ids.get(&id).copied()
    }

    /// Sends an event that the client is to answer; `handle` gets the answer, and is dropped if the socket goes away before.
    /// At most 256 answers are waited for.
    pub fn ask(&self, at: At, args: &str, attachments: &[Bytes], handle: AckHandler) {
        let mut state = self.state.borrow_mut();
        let Some(socket) = state.session_mut(at.key).and_then(|session| session.socket_mut(at.namespace)) else {
            return;
        };
        let acks = socket.acks.get_or_insert_default();
        let id = acks.next;
        acks.next += 1;
        acks.waiting.insert(id, handle);
        let oldest = (acks.waiting.len() > MAX_ACKS).then(|| acks.waiting.keys().min().copied()).flatten();
        let given_up = oldest.and_then(|id| acks.waiting.remove(&id));
        let frame = socket::event(self.hub.namespace_name(at.namespace), Some(id), args, attachments);
        state.queue(at.key.index, &frame, Instant::now(), &self.counters);
        self.wake.notify_one();
        drop(state);
        if let Some(handle) = given_up {
            handle(Err(CloseReason::Abuse));
        }
    }

    /// Takes the handler of an answer. `None`: nobody asked, or it was answered before.
    pub fn answered(&self, at: At, id: u64) -> Option<AckHandler> {
        self.with(at.key, |session| session.socket_mut(at.namespace)?.acks.as_mut()?.waiting.remove(&id))?
    }

    // --- rooms ---

    /// Puts a socket into a room. It gets what is broadcast from now on. Says whether it was not in it before.
    pub fn join(&self, at: At, room: &str) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(first) = state.join(at, room) else { return false };
        drop(state);
        if first && self.hub.directory.enter(at.namespace, room, self.shard) {
            (self.interest)(at.namespace, room, true);
        }
        true
    }

    /// Takes a socket out of a room. It still gets what was broadcast before. Says whether it was in it.
    pub fn leave(&self, at: At, room: &str) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(place) = state.membership(at, room) else { return false };
        state.pull(at.key.index, Instant::now(), &self.counters);
        self.wake.notify_one();
        let emptied = state.leave(at.key.index, place);
        drop(state);
        self.released(at.namespace, emptied);
        true
    }

    /// Keeps a room even without members, so that this shard goes on getting what is sent to it.
    pub fn hold(&self, namespace: u8, room: &str) {
        let wanted = self.state.borrow_mut().hold(namespace, room, true);
        if wanted && self.hub.directory.enter(namespace, room, self.shard) {
            (self.interest)(namespace, room, true);
        }
    }

    /// Ends [`hold`](Self::hold).
    pub fn release(&self, namespace: u8, room: &str) {
        let idle = self.state.borrow_mut().hold(namespace, room, false);
        self.released(namespace, idle.then(|| room.into()));
    }

    /// The rooms of a socket, its own aside.
    pub fn rooms_of(&self, at: At) -> Vec<Rc<str>> {
        self.state.borrow_mut().rooms_of(at)
    }

    /// Whether a socket is in a room.
    pub fn is_in(&self, at: At, room: &str) -> bool {
        self.state.borrow_mut().membership(at, room).is_some()
    }

    /// How many members of this shard a room has.
    pub fn count(&self, namespace: u8, room: &str) -> usize {
        self.state.borrow().room(namespace, room).map_or(0, |room| room.members().len())
    }

    /// Gives a frame to all members of one room. This is the way of every message: two appends, whatever the number of
    /// members.
    pub fn broadcast(&self, namespace: u8, room: &str, frame: &Frame) {
        if self.state.borrow_mut().broadcast(namespace, room, frame) {
            self.wake.notify_one();
        }
    }

    /// Gives a frame to the sockets of a target.
    pub fn broadcast_to(&self, target: &LocalTarget, frame: &Frame) {
        match &*target.rooms {
            [room] if target.except.is_empty() && self.count(target.namespace, room) > 0 => {
                self.broadcast(target.namespace, room, frame);
            }
            _ => {
                let mut state = self.state.borrow_mut();
                let now = Instant::now();
                for at in state.select(target) {
                    state.queue(at.key.index, frame, now, &self.counters);
                }
                self.wake.notify_one();
            }
        }
    }

    /// The sockets of a target, each once.
    pub fn select(&self, target: &LocalTarget) -> Vec<At> {
        self.state.borrow_mut().select(target)
    }

    /// Sessions whose queue is older than it may be. They are as good as lost.
    pub fn stale(&self) -> Vec<SessionKey> {
        self.state.borrow_mut().stale(Instant::now())
    }

    /// Rooms of this shard.
    pub fn room_count(&self) -> usize {
        self.state.borrow().rooms.len()
    }

    fn detach(&self, state: &mut State, at: At) -> Option<Left> {
        let rooms = state.rooms_of(at);
        // What was broadcast before belongs to the client even if it leaves now.
        state.pull(at.key.index, Instant::now(), &self.counters);
        for room in &rooms {
            if let Some(place) = state.membership(at, room) {
                let emptied = state.leave(at.key.index, place);
                self.released(at.namespace, emptied);
            }
        }
        let session = state.session_mut(at.key)?;
        let place = session.sockets.iter().position(|socket| socket.namespace == at.namespace)?;
        let socket = session.sockets.remove(place);
        if !socket.joined {
            return None;
        }
        if state.ids.get(&socket.id) == Some(&at) {
            state.ids.remove(&socket.id);
        }
        Some(Left { id: socket.id, data: socket.data, rooms })
    }

    fn released(&self, namespace: u8, emptied: Option<Rc<str>>) {
        if let Some(room) = emptied
            && self.hub.directory.exit(namespace, &room, self.shard)
        {
            (self.interest)(namespace, &room, false);
        }
    }
}

/// A state frame's key, from what it is about.
pub fn state_class(stream: &str, event: &str) -> Class {
    use std::hash::{Hash, Hasher};
    let mut hasher = rustc_hash::FxHasher::default();
    (stream, event).hash(&mut hasher);
    Class::State(hasher.finish())
}
