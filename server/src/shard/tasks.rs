//! The standing tasks of a shard.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::Shard;
use crate::{
    close::CloseReason,
    hub::mailbox::{Handover, Mail},
    room::At,
    transport::{SessionKey, heartbeat::Due},
};

/// Mail that is handled before other tasks have their turn.
const MAIL_PER_TURN: usize = 64;
/// How often numbers are published and stale queues are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// How long a connection that is to be closed waits for answers at most: longer than any store may take.
const LAST_ANSWERS: Duration = Duration::from_secs(3);
/// How often it is looked for them.
const LAST_ANSWER: Duration = Duration::from_millis(10);

/// Writes what is to be written, and ends what is over. Runs as long as the shard.
pub async fn flush(shard: Rc<Shard>) {
    loop {
        for (key, reason) in shard.rooms.flush(shard.settings.tick).await {
            shard.end(key, reason);
        }
    }
}

/// Sends pings, and ends sessions that do not answer or do not connect.
pub async fn heartbeat(shard: Rc<Shard>) {
    loop {
        let next = shard.heartbeat.borrow().next();
        shard.armed.set(next);
        match next {
            None => shard.earlier.notified().await,
            Some(at) => {
                tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => {}
                    () = shard.earlier.notified() => {}
                }
            }
        }
        let now = Instant::now();
        while let Some(due) = { shard.heartbeat.borrow_mut().pop(now) } {
            shard.due(due, now);
        }
    }
}

impl Shard {
    fn due(self: &Rc<Self>, due: Due, now: Instant) {
        match due {
            Due::Ping(key, beat) => {
                let sent = self.rooms.with(key, |session| {
                    let current = session.beat.number == beat && session.is_open();
                    current.then(|| {
                        session.beat.number += 1;
                        session.beat.waiting = true;
                        session.beat.extended = false;
                        session.beat.number
                    })
                });
                if let Some(Some(beat)) = sent {
                    self.rooms.emit(key, &self.ping);
                    self.schedule(|heartbeat| heartbeat.expect_pong(now, key, beat));
                }
            }
            Due::Timeout(key, beat) => {
                let late = self.rooms.with(key, |session| session.beat.waiting && session.beat.number == beat);
                if late == Some(true) {
                    self.give_up(key, CloseReason::PingTimeout);
                }
            }
            Due::Attachments(key) => {
                if self.rooms.with(key, |session| session.decoder.is_waiting()) == Some(true) {
                    self.close(key, CloseReason::BadPacket);
                }
            }
            Due::Connect(key) => {
                let idle = self.rooms.with(key, |session| !session.connected && session.is_open());
                if idle == Some(true) {
                    self.give_up(key, CloseReason::ConnectTimeout);
                }
            }
        }
    }

    /// Ends a session that may well be gone: it gets a close if its socket takes one, or a GET waits, and nobody waits for
    /// it.
    pub(super) fn give_up(self: &Rc<Self>, key: SessionKey, reason: CloseReason) {
        self.close(key, reason);
        self.rooms.flush_session(key);
        self.end(key, reason);
    }
}

/// Once a second: ends connections whose queue is too old, and publishes what was counted.
pub async fn sweep(shard: Rc<Shard>) {
    let mut interval = tokio::time::interval(SWEEP);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let due = interval.tick().await;
        shard.metrics.stall(due.elapsed());
        for key in shard.rooms.stale() {
            shard.rooms.abort(key, CloseReason::SlowConsumer);
        }
        shard.metrics.publish(&shard.rooms);
    }
}

/// Handles what other threads send. Connections that another shard hands over are given to `adopt`. Returns when the
/// shard is to stop.
pub async fn mail(shard: Rc<Shard>, mut mailbox: mpsc::Receiver<Mail>, adopt: impl Fn(Handover)) {
    let mut batch = Vec::with_capacity(MAIL_PER_TURN);
    while mailbox.recv_many(&mut batch, MAIL_PER_TURN).await > 0 {
        for mail in batch.drain(..) {
            match mail {
                Mail::Broadcast(target, frame) => shard.rooms.broadcast_to(&target, &frame),
                Mail::Entry(entry, frame) => shard.app.entry(entry, frame),
                Mail::Serve(target, request, reply) => shard.serve(&target, request, reply),
                Mail::Connection(handover) => adopt(handover),
                Mail::Poll(sid, request) => shard.poll(sid, request),
                Mail::App(mail) => shard.app.mail(mail),
                Mail::Drain(within) => shard.drain(within),
                Mail::Stop => {
                    shard.stop();
                    // The GETs that wait were answered; their connections have to write it.
                    return tokio::task::yield_now().await;
                }
            }
        }
    }
}

impl Shard {
    /// Moves all clients off within this time. Their transports are closed, never their sockets: the official client
    /// does not come back after a DISCONNECT packet.
    fn drain(self: &Rc<Self>, within: Duration) {
        if self.draining.replace(true) {
            return;
        }
        self.leaving.send_replace(Some(within));
        self.app.draining(within);
        let shard = self.clone();
        tokio::task::spawn_local(async move {
            let keys = shard.rooms.keys();
            let slots = keys.len().clamp(1, 100);
            let pause = within / u32::try_from(slots).unwrap_or(1);
            for slot in keys.chunks(keys.len().div_ceil(slots).max(1)) {
                tokio::time::sleep(pause).await;
                for key in slot {
                    tokio::task::spawn_local(shard.clone().see_off(*key));
                }
            }
        });
    }

    /// Closes a connection, once what its client has asked for is done. That takes a moment, if anything at all.
    async fn see_off(self: Rc<Self>, key: SessionKey) {
        let end = Instant::now() + LAST_ANSWERS;
        while self.app.is_busy(key) && Instant::now() < end {
            tokio::time::sleep(LAST_ANSWER).await;
        }
        self.close(key, CloseReason::Shutdown);
    }

    fn stop(self: &Rc<Self>) {
        for key in self.rooms.keys() {
            self.close(key, CloseReason::Shutdown);
            self.rooms.flush_session(key);
            self.end(key, CloseReason::Shutdown);
        }
    }

    /// Takes a socket out of its namespace, and tells its client, which then stays away.
    pub fn disconnect(self: &Rc<Self>, at: At, close: bool) {
        let namespace = self.rooms.hub.namespace_name(at.namespace).to_owned();
        if let Some(left) = self.rooms.leave_namespace(at) {
            self.rooms.emit(at.key, &haat_protocol::socket::disconnect(&namespace));
            self.app.disconnected(at, left, CloseReason::ServerLeft);
        }
        if close {
            self.close(at.key, CloseReason::Forced);
        }
    }
}
