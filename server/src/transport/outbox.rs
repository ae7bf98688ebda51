//! [`Outbox`]: what is queued for one connection that could not take it at once.
//!
//! A healthy connection has none. Frames are shared, so a thousand slow viewers of a room hold one copy of its
//! backlog. Full means that the connection is lost: the caller closes it.

use std::{
    collections::VecDeque,
    io::IoSlice,
    time::{Duration, Instant},
};

use haat_protocol::{Class, Frame};

/// When a connection is too far behind. See `CONTRACT` of the configuration's `outbox` section for the defaults.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes in the queue.
    pub max_bytes: usize,
    /// Frames in the queue.
    pub max_frames: usize,
    /// How long the oldest frame may wait.
    pub max_age: Duration,
}

/// The queue is over one of its [`Bounds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

/// Frames on their way to one connection, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<(Instant, Frame)>,
    /// Bytes of the first frame that the socket already took.
    sent: usize,
    /// Bytes queued, the first frame counted whole.
    bytes: usize,
    /// Frames at the front that do not count against the bounds, and their bytes.
    granted: (usize, usize),
}

/// How much longer than other frames a granted one may wait.
const GRANTED_AGE: Duration = Duration::from_secs(20);

/// Slices of one `writev`. More would only lengthen the time that one connection holds the shard.
pub const MAX_SLICES: usize = 64;

impl Outbox {
    /// Nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that are still to be written.
    pub fn bytes(&self) -> usize {
        self.bytes - self.sent
    }

    /// Queues a frame, by its class. With `blocked` the connection takes nothing at present: volatile frames are
    /// dropped, and a state frame takes the place of the older one with its key. Returns how many frames were dropped.
    ///
    /// # Errors
    /// [`Overflow`] if the connection is lost; the frame was not queued.
    pub fn push(&mut self, frame: Frame, now: Instant, blocked: bool, bounds: &Bounds) -> Result<u32, Overflow> {
        if blocked {
            match frame.class() {
                Class::Volatile => return Ok(1),
                Class::State(_) if self.replace(&frame) => return Ok(1),
                Class::State(_) | Class::Reliable => {}
            }
        }
        let (granted_frames, granted_bytes) = self.granted;
        let bytes = self.bytes().saturating_sub(granted_bytes) + frame.bytes().len();
        let full = bytes > bounds.max_bytes || self.queue.len().saturating_sub(granted_frames) >= bounds.max_frames;
        // One frame alone may be larger than the bound: the queue must be able to hold it, or it could never be sent.
        if full && !self.queue.is_empty() {
            return Err(Overflow);
        }
        self.bytes += frame.bytes().len();
        self.queue.push_back((now, frame));
        Ok(0)
    }

    /// Queues a frame outside the bounds. For what a client is owed when it comes back: it may be more than a queue holds,
    /// and cutting the client off for it would only make it come back for the same again.
    pub fn grant(&mut self, frame: Frame, now: Instant) {
        let len = frame.bytes().len();
        self.granted = (self.granted.0 + 1, self.granted.1 + len);
        self.bytes += len;
        self.queue.push_back((now + GRANTED_AGE, frame));
    }

    /// Puts what a write of `frame` left over, `sent` bytes being gone, first into an empty queue.
    pub fn resume(&mut self, frame: Frame, sent: usize, now: Instant) {
        debug_assert!(self.queue.is_empty(), "only an empty queue can continue a direct write");
        self.bytes = frame.bytes().len();
        self.sent = sent;
        self.queue.push_front((now, frame));
    }

    fn replace(&mut self, newer: &Frame) -> bool {
        // The first frame may be half written, and must go out whole.
        let waiting = self.queue.iter_mut().skip(usize::from(self.sent > 0));
        for (_, older) in waiting {
            if older.class() == newer.class() {
                self.bytes = self.bytes - older.bytes().len() + newer.bytes().len();
                *older = newer.clone();
                return true;
            }
        }
        false
    }

    /// Whether the oldest frame has waited too long.
    pub fn is_stale(&self, now: Instant, bounds: &Bounds) -> bool {
        self.queue.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > bounds.max_age)
    }

    /// Fills `slices` with what is to be written next, and returns how many it filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut filled = 0;
        let mut skip = self.sent;
        for ((_, frame), slice) in self.queue.iter().zip(slices.iter_mut()) {
            *slice = IoSlice::new(frame.bytes().get(skip..).unwrap_or_default());
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// Takes `written` bytes off the front.
    pub fn advance(&mut self, written: usize) {
        self.sent += written;
        while let Some((_, first)) = self.queue.front() {
            let len = first.bytes().len();
            if self.sent < len {
                break;
            }
            self.sent -= len;
            self.bytes -= len;
            self.granted = (self.granted.0.saturating_sub(1), self.granted.1.saturating_sub(len));
            self.queue.pop_front();
        }
    }

    /// Takes out everything that has not been started, in order: for the transport that comes next, or a poll's answer.
    pub fn drain(&mut self) -> Vec<Frame> {
        let started = usize::from(self.sent > 0);
        let rest: Vec<Frame> = self.queue.drain(started..).map(|(_, frame)| frame).collect();
        self.bytes = self.queue.iter().map(|(_, frame)| frame.bytes().len()).sum();
        self.granted = (0, 0);
        rest
    }

    /// Empties it and gives back memory beyond what an ordinary burst needs.
    pub fn reset(&mut self) {
        self.queue.clear();
        self.queue.shrink_to(16);
        self.sent = 0;
        self.bytes = 0;
        self.granted = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { max_bytes: 100, max_frames: 4, max_age: Duration::from_secs(10) };

    fn text(text: &str) -> Frame {
        Frame::text(&[text])
    }

    fn written(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let filled = outbox.slices(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    #[test]
    fn granted_frames_leave_room_for_others() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        for _ in 0..40 {
            outbox.grant(text("4granted"), now);
        }
        for _ in 0..BOUNDS.max_frames {
            outbox.push(text("4a"), now, true, &BOUNDS).unwrap();
        }
        assert_eq!(outbox.push(text("4a"), now, true, &BOUNDS), Err(Overflow));
        assert!(!outbox.is_stale(now + BOUNDS.max_age + GRANTED_AGE, &BOUNDS));
        outbox.advance(40 * text("4granted").bytes().len());
        assert_eq!(
            outbox.push(text("4a"), now, true, &BOUNDS),
            Err(Overflow),
            "what was granted is gone, and counts no more"
        );
        assert!(outbox.is_stale(now + BOUNDS.max_age + GRANTED_AGE, &BOUNDS));
    }

    #[test]
    fn frames_leave_in_order_across_short_writes() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        for word in ["4a", "4bb", "4ccc"] {
            outbox.push(text(word), now, false, &BOUNDS).unwrap();
            expected.extend_from_slice(text(word).bytes());
        }
        let mut got = Vec::new();
        while !outbox.is_empty() {
            got.push(written(&outbox)[0]);
            outbox.advance(1);
        }
        assert_eq!(got, expected);
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn a_newer_state_takes_the_place_of_the_older_one_only_while_blocked() {
        let now = Instant::now();
        let state = |word: &str, key| text(word).class_as(Class::State(key));
        let mut outbox = Outbox::default();
        outbox.push(state("4a1", 1), now, true, &BOUNDS).unwrap();
        outbox.push(text("4m"), now, true, &BOUNDS).unwrap();
        outbox.push(state("4b1", 2), now, true, &BOUNDS).unwrap();
        assert_eq!(outbox.push(state("4a2", 1), now, true, &BOUNDS), Ok(1));
        assert_eq!(written(&outbox), [text("4a2").bytes().as_ref(), text("4m").bytes(), text("4b1").bytes()].concat());
        outbox.reset();
        outbox.push(state("4a1", 1), now, false, &BOUNDS).unwrap();
        outbox.push(state("4a2", 1), now, false, &BOUNDS).unwrap();
        assert_eq!(written(&outbox), [text("4a1").bytes().as_ref(), text("4a2").bytes()].concat());
    }

    #[test]
    fn a_half_written_state_is_not_replaced() {
        let now = Instant::now();
        let state = |word: &str| text(word).class_as(Class::State(1));
        let mut outbox = Outbox::default();
        outbox.resume(state("4old"), 2, now);
        outbox.push(state("4new"), now, true, &BOUNDS).unwrap();
        assert_eq!(written(&outbox), [&state("4old").bytes()[2..], state("4new").bytes()].concat());
    }

    #[test]
    fn volatile_frames_are_dropped_only_while_blocked() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        let volatile = text("4v").class_as(Class::Volatile);
        assert_eq!(outbox.push(volatile.clone(), now, true, &BOUNDS), Ok(1));
        assert!(outbox.is_empty());
        assert_eq!(outbox.push(volatile, now, false, &BOUNDS), Ok(0));
        assert!(!outbox.is_empty());
    }

    #[test]
    fn it_overflows_by_bytes_and_by_frames_and_ages() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        outbox.push(text(&"x".repeat(90)), now, true, &BOUNDS).unwrap();
        assert_eq!(outbox.push(text(&"x".repeat(20)), now, true, &BOUNDS), Err(Overflow));
        outbox.reset();
        for _ in 0..4 {
            outbox.push(text("4"), now, true, &BOUNDS).unwrap();
        }
        assert_eq!(outbox.push(text("4"), now, true, &BOUNDS), Err(Overflow));
        assert!(!outbox.is_stale(now + Duration::from_secs(10), &BOUNDS));
        assert!(outbox.is_stale(now + Duration::from_secs(11), &BOUNDS));
    }

    #[test]
    fn one_large_frame_alone_is_accepted() {
        let mut outbox = Outbox::default();
        outbox.push(text(&"x".repeat(500)), Instant::now(), false, &BOUNDS).unwrap();
        assert_eq!(outbox.bytes(), 504);
    }

    #[test]
    fn drain_leaves_the_frame_that_was_started() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        outbox.resume(text("4first"), 3, now);
        outbox.push(text("4second"), now, true, &BOUNDS).unwrap();
        let rest = outbox.drain();
        assert_eq!(rest.len(), 1);
        assert_eq!(rest[0].bytes(), text("4second").bytes());
        assert_eq!(written(&outbox), &text("4first").bytes()[3..]);
    }
}
