//! When each message is due: an absolute timetable, open loop.
//!
//! It must never shift: a generator or server that falls behind is not excused from what was due meanwhile.

use std::time::Duration;

/// Messages at a constant rate, dealt to the rooms in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start_ns: u64,
    per_second: f64,
    total: u64,
    taken: u64,
}

impl Schedule {
    /// `per_second` messages for `span`, from `start_ns` of the generator's clock. At least one message.
    pub(crate) fn new(start_ns: u64, per_second: f64, span: Duration) -> Self {
        let total = (per_second * span.as_secs_f64()).round().max(1.0) as u64;
        Self { start_ns, per_second, total, taken: 0 }
    }

    /// The next message that is due by `now_ns`: its number and when it was due.
    #[inline]
    pub(crate) fn take(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        let due = self.due_ns(self.taken);
        if self.taken == self.total || due > now_ns {
            return None;
        }
        self.taken += 1;
        Some((self.taken - 1, due))
    }

    /// When the next message is due; `None` once all are taken.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        (self.taken < self.total).then(|| self.due_ns(self.taken))
    }

    /// Messages of the whole timetable.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Messages taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Ends the timetable early: nothing more is due.
    pub(crate) fn stop(&mut self) {
        self.total = self.taken;
    }

    fn due_ns(&self, message: u64) -> u64 {
        self.start_ns + (message as f64 * 1e9 / self.per_second) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_absolute_times() {
        let mut schedule = Schedule::new(1_000, 4.0, Duration::from_secs(2));
        assert_eq!(schedule.total(), 8);
        assert_eq!(schedule.take(999), None);
        assert_eq!(schedule.take(1_000), Some((0, 1_000)));
        assert_eq!(schedule.take(1_000), None);
        assert_eq!(schedule.next_due_ns(), Some(250_001_000));
    }

    #[test]
    fn what_was_missed_is_still_due_then() {
        let mut schedule = Schedule::new(0, 10.0, Duration::from_secs(1));
        let late = 350_000_000;
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take(late)).collect();
        assert_eq!(taken, [(0, 0), (1, 100_000_000), (2, 200_000_000), (3, 300_000_000)]);
    }

    #[test]
    fn a_long_run_neither_drifts_nor_sends_too_much() {
        let mut schedule = Schedule::new(5, 7_001.0, Duration::from_secs(3));
        let mut count = 0;
        let mut last = 0;
        while let Some((number, due)) = schedule.take(u64::MAX) {
            assert_eq!(number, count);
            assert!(due >= last);
            last = due;
            count += 1;
        }
        assert_eq!(count, 21_003);
        assert!(last < 3_000_000_005);
        assert_eq!(schedule.next_due_ns(), None);
    }

    #[test]
    fn a_stopped_timetable_has_nothing_due() {
        let mut schedule = Schedule::new(0, 100.0, Duration::from_secs(1));
        schedule.take(0);
        schedule.stop();
        assert_eq!(schedule.take(u64::MAX), None);
        assert_eq!(schedule.total(), 1);
    }
}
