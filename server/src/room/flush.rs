//! Writing what the rooms and queues hold.
//!
//! A pass visits the members of each dirty room. A healthy member, which has nothing queued and no other dirty room,
//! gets the whole tick in one write of one shared buffer: no wake-up, no copy, no allocation, no reference count. What
//! its socket does not take goes to a queue of its own, and so does everything for members that are behind.
//!
//! ```text
//! broadcast … broadcast          appended to the tick, the flush task woken once
//!      everything that is ready  the runtime's queue is first in, first out: light load flushes at once, heavy load batches
//! pass over room, room, …        yields every 256 sockets, so that reads and pings move on
//! pass over queues               replies, and members that were behind
//! ended sessions                 handed to the shard
//! ```

use std::{
    io::IoSlice,
    rc::Rc,
    time::{Duration, Instant},
};

use haat_protocol::{Class, payload};
use tokio::net::TcpStream;

use super::{
    Counters, Rooms,
    session::{Carrier, Polling, Session},
    state::State,
};
use crate::{
    close::CloseReason,
    transport::{
        SessionKey,
        outbox::{MAX_SLICES, Outbox},
    },
};

/// Sockets that are written to before other tasks have their turn. Each yield costs an `epoll_wait`.
const SOCKETS_PER_TURN: usize = 256;

/// What became of a write.
enum Written {
    /// Nothing is left.
    All,
    /// The socket takes no more at present.
    Blocked,
    /// A polling client has to ask first.
    Waiting,
    /// The connection is gone.
    Broken,
}

impl Rooms {
    /// Waits until something is to be written, writes it, and returns the sessions that are over. Queues of sessions
    /// that are to be closed have then been written, or cannot be.
    pub async fn flush(self: &Rc<Self>, interval: Duration) -> Vec<(SessionKey, CloseReason)> {
        self.wake.notified().await;
        if !interval.is_zero() {
            tokio::time::sleep(interval).await;
        }
        let begun = Instant::now();
        let mut turn = SOCKETS_PER_TURN;
        self.flush_rooms(&mut turn).await;
        self.flush_sessions(&mut turn).await;
        let slowest = &self.counters.slowest_flush;
        slowest.set(slowest.get().max(begun.elapsed()));
        std::mem::take(&mut self.state.borrow_mut().ended)
    }

    async fn flush_rooms(self: &Rc<Self>, turn: &mut usize) {
        let mut dirty = std::mem::take(&mut self.state.borrow_mut().dirty);
        for slot in dirty.drain(..) {
            if let Some(room) = self.state.borrow_mut().rooms.get_mut(slot as usize) {
                room.begin_pass();
            }
            while !self.visit(slot, turn) {
                *turn = SOCKETS_PER_TURN;
                tokio::task::yield_now().await;
            }
            self.state.borrow_mut().end_pass(slot);
        }
        let mut state = self.state.borrow_mut();
        if state.dirty.is_empty() {
            // The emptied list keeps its memory for the next time.
            state.dirty = dirty;
        } else {
            self.wake.notify_one();
        }
    }

    /// Visits members of a room until the turn is used up. Says whether the pass is complete.
    fn visit(self: &Rc<Self>, slot: u32, turn: &mut usize) -> bool {
        let mut state = self.state.borrow_mut();
        let now = Instant::now();
        while *turn > 0 {
            let Some(member) = state.rooms.get_mut(slot as usize).and_then(|room| room.next_of_pass()) else {
                return true;
            };
            *turn -= 1;
            match state.deliver(slot, member, now, &self.counters) {
                Written::All | Written::Waiting => {}
                Written::Blocked => self.resume_later(&mut state, member),
                Written::Broken => state.fail(member),
            }
        }
        false
    }

    async fn flush_sessions(self: &Rc<Self>, turn: &mut usize) {
        let mut pending = std::mem::take(&mut self.state.borrow_mut().pending);
        for key in pending.drain(..) {
            if *turn == 0 {
                *turn = SOCKETS_PER_TURN;
                tokio::task::yield_now().await;
            }
            *turn -= 1;
            self.flush_session(key);
        }
        let mut state = self.state.borrow_mut();
        if state.pending.is_empty() {
            state.pending = pending;
        } else {
            self.wake.notify_one();
        }
        if !state.ended.is_empty() {
            self.wake.notify_one();
        }
    }

    /// Writes what is queued for one session.
    pub fn flush_session(self: &Rc<Self>, key: SessionKey) {
        let mut state = self.state.borrow_mut();
        let Some(session) = state.session_mut(key) else { return };
        session.queued = false;
        if session.blocked {
            return;
        }
        match session.write_queue(&self.counters) {
            Written::All => {
                if let Some(outbox) = session.outbox.take_if(|outbox| outbox.is_empty()) {
                    let closing = session.closing;
                    state.recycle(outbox);
                    state.ended.extend(closing.map(|reason| (key, reason)));
                } else if let Some(reason) = session.closing {
                    state.ended.push((key, reason));
                }
            }
            Written::Blocked => self.resume_later(&mut state, key.index),
            Written::Waiting => {}
            Written::Broken => state.fail(key.index),
        }
        if !state.ended.is_empty() {
            self.wake.notify_one();
        }
    }

    /// Waits for a socket that is full, and goes on writing its queue.
    fn resume_later(self: &Rc<Self>, state: &mut State, index: u32) {
        let Some(session) = state.sessions.get_mut(index as usize) else { return };
        let Carrier::WebSocket(io) = &session.carrier else { return };
        if std::mem::replace(&mut session.blocked, true) {
            return;
        }
        let io = io.clone();
        let key = SessionKey::new(index, session.generation);
        state.blocked.push(key);
        let rooms = self.clone();
        tokio::task::spawn_local(async move {
            let writable = io.writable().await;
            let alive = rooms.with(key, |session| session.blocked = false);
            match (alive, writable) {
                (None, _) => {}
                (Some(()), Ok(())) => rooms.flush_session(key),
                (Some(()), Err(_)) => {
                    rooms.state.borrow_mut().fail(key.index);
                    rooms.wake.notify_one();
                }
            }
        });
    }

    /// A GET of a polling session: answered at once with what is queued, else when something comes. `Err` if one waits
    /// already.
    pub fn park(
        &self,
        key: SessionKey,
        answer: tokio::sync::oneshot::Sender<String>,
    ) -> Result<(), tokio::sync::oneshot::Sender<String>> {
        let mut state = self.state.borrow_mut();
        state.pull(key.index, Instant::now(), &self.counters);
        let Some(session) = state.session_mut(key) else { return Err(answer) };
        let Carrier::Polling(polling) = &mut session.carrier else { return Err(answer) };
        if polling.parked.as_ref().is_some_and(|parked| !parked.is_closed()) {
            return Err(answer);
        }
        polling.parked = Some(answer);
        if !session.queued {
            session.queued = true;
            state.pending.push(key);
        }
        self.wake.notify_one();
        Ok(())
    }
}

impl State {
    /// Gives a member its part of the room's pass.
    fn deliver(&mut self, slot: u32, index: u32, now: Instant, counters: &Counters) -> Written {
        let Self { sessions, rooms, .. } = self;
        let (Some(session), Some(room)) = (sessions.get_mut(index as usize), rooms.get(slot as usize)) else {
            return Written::All;
        };
        let end = room.tick.sealed_end();
        let mut seen = end;
        let mut elsewhere = false;
        for member in &session.rooms {
            if member.room == slot {
                seen = member.seen;
            } else if let Some(other) = rooms.get(member.room as usize) {
                elsewhere |= other.dirty && !other.tick.is_done(member.seen);
            }
        }
        let owed = end.wrapping_sub(seen);
        if owed == 0 || owed > u32::MAX / 2 {
            return Written::All;
        }
        let direct = !elsewhere && !session.blocked && session.is_open() && session.is_clear();
        let (true, Carrier::WebSocket(io), Some(bytes)) = (direct, &session.carrier, room.tick.whole(seen)) else {
            self.pull(index, now, counters);
            return Written::All;
        };
        let written = match io.try_write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(_) => return Written::Broken,
        };
        counters.wrote(written);
        let whole = written == bytes.len();
        if let Some(member) = session.rooms.iter_mut().find(|member| member.room == slot) {
            member.seen = end;
        }
        if whole {
            Counters::add(&counters.delivered, u64::from(owed));
            return Written::All;
        }
        self.keep_rest(slot, index, written, now, counters);
        Written::Blocked
    }

    /// Queues the frames of a pass that a direct write of `written` bytes left over.
    fn keep_rest(&mut self, slot: u32, index: u32, mut written: usize, now: Instant, counters: &Counters) {
        let Some(room) = self.rooms.get(slot as usize) else { return };
        let mut rest = Vec::new();
        let mut started = None;
        for (_, frame) in room.tick.sealed_frames() {
            let len = frame.bytes().len();
            if written >= len {
                written -= len;
                Counters::add(&counters.delivered, 1);
            } else if written > 0 {
                started = Some((frame.clone(), std::mem::take(&mut written)));
                Counters::add(&counters.delivered, 1);
            } else if frame.class() != Class::Volatile {
                rest.push(frame.clone());
            }
        }
        let Self { sessions, spare, .. } = self;
        if let (Some(session), Some((frame, sent))) = (sessions.get_mut(index as usize), started) {
            let outbox = session.outbox.get_or_insert_with(|| spare.pop().unwrap_or_default());
            outbox.resume(frame, sent, now);
        }
        self.push(index, &rest, now, counters);
    }

    fn end_pass(&mut self, slot: u32) {
        let Some(room) = self.rooms.get_mut(slot as usize) else { return };
        let more = room.end_pass();
        if room.is_idle() {
            self.free_room(slot);
        } else if more {
            self.dirty.push(slot);
        } else {
            room.dirty = false;
        }
    }

    /// The session's socket is broken.
    fn fail(&mut self, index: u32) {
        let Some(session) = self.sessions.get_mut(index as usize) else { return };
        let reason = *session.closing.get_or_insert(CloseReason::TransportError);
        self.ended.push((SessionKey::new(index, session.generation), reason));
    }
}

impl Session {
    fn write_queue(&mut self, counters: &Counters) -> Written {
        let closing = self.closing;
        match (&mut self.carrier, &mut self.outbox) {
            (Carrier::WebSocket(io), Some(outbox)) => write_socket(io, outbox, counters),
            (Carrier::Polling(polling), outbox) => answer_poll(polling, outbox.as_deref_mut(), closing, counters),
            (Carrier::WebSocket(_), None) => Written::All,
        }
    }
}

fn write_socket(io: &TcpStream, outbox: &mut Outbox, counters: &Counters) -> Written {
    while !outbox.is_empty() {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let filled = outbox.slices(&mut slices);
        match io.try_write_vectored(slices.get(..filled).unwrap_or_default()) {
            Ok(written) => {
                counters.wrote(written);
                outbox.advance(written);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Written::Blocked,
            Err(_) => return Written::Broken,
        }
    }
    Written::All
}

/// Answers the GET that waits, if there is one and something to say. A session that is closing waits for its client to
/// fetch the rest, and then once more: the official client obeys a close packet before it hands on what came with it, which
/// it then takes for the first words of its next connection.
fn answer_poll(
    polling: &mut Polling,
    outbox: Option<&mut Outbox>,
    closing: Option<CloseReason>,
    counters: &Counters,
) -> Written {
    let Some(parked) = polling.parked.take() else { return Written::Waiting };
    let frames = outbox.map(Outbox::drain).unwrap_or_default();
    let mut body = payload::encode(frames.iter());
    let mut done = Written::All;
    match closing {
        // A client that has closed the session itself gets a noop, as from Node's server.
        Some(CloseReason::TransportClose) => {
            if !body.is_empty() {
                body.push('\u{1e}');
            }
            body.push('6');
        }
        Some(_) if body.is_empty() => body.push('1'),
        Some(_) => done = Written::Waiting,
        None if body.is_empty() && polling.probing => body.push('6'),
        None => {}
    }
    if body.is_empty() {
        polling.parked = Some(parked);
        return Written::Waiting;
    }
    counters.wrote(body.len());
    if parked.send(body).is_err() { Written::Broken } else { done }
}
