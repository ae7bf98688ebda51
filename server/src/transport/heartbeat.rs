//! Heartbeats and deadlines of all sessions of a shard, in four queues.
//!
//! The intervals are the same for every session, so deadlines are pushed in the order in which they come due: three
//! first-in-first-out queues and one timer take the place of a timer per connection. An entry that no longer holds is
//! recognised by its beat number when it comes up. How often attachments are announced is up to the client: that queue is
//! an ordered set, in which a session has one entry at most.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::SessionKey;

/// What came due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Send a ping to this session, if this is still its beat.
    Ping(SessionKey, u32),
    /// No pong came from this session, if this is still its beat.
    Timeout(SessionKey, u32),
    /// This session should have joined a namespace by now.
    Connect(SessionKey),
    /// The attachments that this session has announced last should have come by now.
    Attachments(SessionKey),
}

/// How long the attachments of a packet may take.
const ATTACHMENT_DEADLINE: Duration = Duration::from_secs(10);

/// Deadlines in the order in which they come due, each with the number that it holds for.
type Queue = VecDeque<(Instant, SessionKey, u32)>;

/// The queues.
#[derive(Debug)]
pub struct Heartbeat {
    interval: Duration,
    timeout: Duration,
    connect: Duration,
    connects: Queue,
    attachments: BTreeSet<(Instant, SessionKey)>,
    pings: Queue,
    timeouts: Queue,
}

impl Heartbeat {
    /// Pings every `interval` after the last pong; `timeout` without an answer ends a session, and so does `connect`
    /// without a namespace.
    pub fn new(interval: Duration, timeout: Duration, connect: Duration) -> Self {
        let [connects, pings, timeouts] = [const { Queue::new() }; 3];
        Self { interval, timeout, connect, connects, attachments: BTreeSet::new(), pings, timeouts }
    }

    /// This session has to join a namespace.
    pub fn expect_connect(&mut self, now: Instant, key: SessionKey) {
        self.connects.push_back((now + self.connect, key, 0));
    }

    /// The session has announced attachments. `noted` is the deadline of those that it announced before: the new one takes
    /// its place. Else a client could fill the memory with them.
    pub fn expect_attachments(&mut self, now: Instant, key: SessionKey, noted: &mut Option<Instant>) {
        let due = now + ATTACHMENT_DEADLINE;
        if let Some(before) = noted.replace(due) {
            self.attachments.remove(&(before, key));
        }
        self.attachments.insert((due, key));
    }

    /// The next ping of this session is due an interval from `now`.
    pub fn schedule_ping(&mut self, now: Instant, key: SessionKey, beat: u32) {
        self.pings.push_back((now + self.interval, key, beat));
    }

    /// A pong is due within the timeout from `now`.
    pub fn expect_pong(&mut self, now: Instant, key: SessionKey, beat: u32) {
        self.timeouts.push_back((now + self.timeout, key, beat));
    }

    /// When something comes due next.
    pub fn next(&self) -> Option<Instant> {
        let first = |queue: &Queue| queue.front().map(|entry| entry.0);
        let attachments = self.attachments.first().map(|entry| entry.0);
        [&self.connects, &self.pings, &self.timeouts].into_iter().filter_map(first).chain(attachments).min()
    }

    /// Takes what is due at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Due> {
        let due = |queue: &mut Queue| queue.pop_front_if(|entry| entry.0 <= now).map(|(_, key, beat)| (key, beat));
        // Timeouts first: a ping to a session that is about to end would be wasted.
        due(&mut self.timeouts)
            .map(|(key, beat)| Due::Timeout(key, beat))
            .or_else(|| due(&mut self.pings).map(|(key, beat)| Due::Ping(key, beat)))
            .or_else(|| due(&mut self.connects).map(|(key, _)| Due::Connect(key)))
            .or_else(|| self.attachments(now).map(Due::Attachments))
    }

    fn attachments(&mut self, now: Instant) -> Option<SessionKey> {
        self.attachments.first().filter(|entry| entry.0 <= now)?;
        self.attachments.pop_first().map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_due_in_order_and_not_before() {
        let start = Instant::now();
        let (a, b) = (SessionKey::new(1, 1), SessionKey::new(2, 1));
        let mut heartbeat = Heartbeat::new(Duration::from_secs(25), Duration::from_secs(20), Duration::from_secs(10));
        assert_eq!(heartbeat.next(), None);
        heartbeat.schedule_ping(start, a, 0);
        heartbeat.schedule_ping(start + Duration::from_secs(1), b, 0);
        heartbeat.expect_pong(start, b, 7);
        assert_eq!(heartbeat.next(), Some(start + Duration::from_secs(20)));
        assert_eq!(heartbeat.pop(start + Duration::from_secs(19)), None);
        let late = start + Duration::from_secs(26);
        assert_eq!(heartbeat.pop(late), Some(Due::Timeout(b, 7)));
        assert_eq!(heartbeat.pop(late), Some(Due::Ping(a, 0)));
        assert_eq!(heartbeat.pop(late), Some(Due::Ping(b, 0)));
        assert_eq!(heartbeat.pop(late), None);
        heartbeat.expect_connect(late, a);
        assert_eq!(heartbeat.next(), Some(late + Duration::from_secs(10)));
        assert_eq!(heartbeat.pop(late + Duration::from_secs(10)), Some(Due::Connect(a)));
        heartbeat.expect_attachments(late, b, &mut None);
        assert_eq!(heartbeat.next(), Some(late + ATTACHMENT_DEADLINE));
        assert_eq!(heartbeat.pop(late + ATTACHMENT_DEADLINE), Some(Due::Attachments(b)));
    }

    #[test]
    fn attachments_that_are_announced_again_and_again_are_noted_once() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let (a, b) = (SessionKey::new(1, 1), SessionKey::new(2, 1));
        let mut heartbeat = Heartbeat::new(Duration::from_secs(25), Duration::from_secs(20), Duration::from_secs(10));
        let (mut of_a, mut of_b) = (None, None);
        heartbeat.expect_attachments(after(500), b, &mut of_b);
        (0..=1_000).for_each(|millis| heartbeat.expect_attachments(after(millis), a, &mut of_a));
        assert_eq!(heartbeat.attachments.len(), 2);
        assert_eq!(heartbeat.next(), Some(after(500) + ATTACHMENT_DEADLINE));
        assert_eq!(heartbeat.pop(after(500) + ATTACHMENT_DEADLINE), Some(Due::Attachments(b)));
        assert_eq!(heartbeat.pop(after(999) + ATTACHMENT_DEADLINE), None);
        assert_eq!(heartbeat.pop(after(1_000) + ATTACHMENT_DEADLINE), Some(Due::Attachments(a)));
        // What has come up is not there any more to be replaced.
        heartbeat.expect_attachments(after(2_000), a, &mut of_a);
        assert_eq!(heartbeat.attachments.len(), 1);
    }
}
