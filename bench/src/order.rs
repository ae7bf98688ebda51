//! Checks one viewer's deliveries: nothing lost, nothing twice, nothing out of order.
//!
//! It must never forgive: a message that comes late is reported as swapped, one that comes again as doubled.

use std::collections::HashSet;

use serde::Serialize;

/// Gaps that are remembered per viewer, so that a late message can be told from a doubled one.
const MAX_GAPS: usize = 4_096;

/// What was wrong with the deliveries, over any number of viewers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Faults {
    /// Messages that never came.
    pub(crate) lost: u64,
    /// Messages that came again.
    pub(crate) doubled: u64,
    /// Messages that came after a later one of the same publisher.
    pub(crate) swapped: u64,
    /// Deliveries without a readable stamp, or with that of an unknown publisher.
    pub(crate) foreign: u64,
}

impl Faults {
    /// Whether every message came once and in order.
    pub(crate) fn none(&self) -> bool {
        *self == Self::default()
    }

    /// Adds another viewer's faults.
    pub(crate) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.swapped += other.swapped;
        self.foreign += other.foreign;
    }
}

/// One viewer's expectation of each publisher in its room.
#[derive(Debug, Default)]
pub(crate) struct Order {
    first_publisher: u32,
    next: Vec<u32>,
    missing: HashSet<(u32, u32)>,
    faults: Faults,
    trace: u64,
}

impl Order {
    /// Expects the publishers from `first_publisher` on, each with its next number.
    pub(crate) fn new(first_publisher: u32, next: Vec<u32>) -> Self {
        Self { first_publisher, next, ..Self::default() }
    }

    /// Takes note of one delivery.
    #[inline]
    pub(crate) fn delivered(&mut self, publisher: u32, seq: u32) {
        // One number for the whole order seen, so that viewers of a room can be compared.
        self.trace = (self.trace ^ (u64::from(publisher) << 32 | u64::from(seq)))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23);
        let index = publisher.wrapping_sub(self.first_publisher) as usize;
        match self.next.get_mut(index) {
            Some(next) if *next == seq => *next = seq.wrapping_add(1),
            Some(_) => self.out_of_turn(index, seq),
            None => self.faults.foreign += 1,
        }
    }

    /// Takes note of a delivery that carries no stamp.
    pub(crate) fn unstamped(&mut self) {
        self.faults.foreign += 1;
    }

    /// The faults so far, given the number that each publisher would send next: what is missing at the end is lost.
    pub(crate) fn faults(&self, sent: &[u32]) -> Faults {
        let mut faults = self.faults;
        for (next, sent) in self.next.iter().zip(sent) {
            faults.lost += u64::from(sent.saturating_sub(*next));
        }
        faults
    }

    /// Equal for two viewers that saw the same messages in the same order.
    pub(crate) fn trace(&self) -> u64 {
        self.trace
    }

    fn out_of_turn(&mut self, index: usize, seq: u32) {
        let next = self.next[index];
        let publisher = index as u32;
        if seq > next {
            self.faults.lost += u64::from(seq - next);
            let room = MAX_GAPS.saturating_sub(self.missing.len());
            self.missing.extend((next..seq).take(room).map(|seq| (publisher, seq)));
            self.next[index] = seq.wrapping_add(1);
        } else if self.missing.remove(&(publisher, seq)) {
            self.faults.lost -= 1;
            self.faults.swapped += 1;
        } else {
            self.faults.doubled += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(first: u32, seen: &[(u32, u32)], sent: &[u32]) -> Faults {
        let mut order = Order::new(first, vec![0; sent.len()]);
        for &(publisher, seq) in seen {
            order.delivered(publisher, seq);
        }
        order.faults(sent)
    }

    #[test]
    fn a_complete_run_has_no_faults() {
        let faults = check(4, &[(4, 0), (5, 0), (4, 1), (5, 1)], &[2, 2]);
        assert!(faults.none(), "{faults:?}");
    }

    #[test]
    fn a_message_lost_in_the_middle_is_seen() {
        let faults = check(0, &[(0, 0), (0, 2)], &[3]);
        assert_eq!((faults.lost, faults.doubled, faults.swapped), (1, 0, 0));
    }

    #[test]
    fn messages_lost_at_the_end_are_seen() {
        let faults = check(0, &[(0, 0)], &[3]);
        assert_eq!(faults.lost, 2);
    }

    #[test]
    fn a_doubled_message_is_seen() {
        let faults = check(0, &[(0, 0), (0, 1), (0, 1), (0, 2)], &[3]);
        assert_eq!((faults.lost, faults.doubled, faults.swapped), (0, 1, 0));
    }

    #[test]
    fn a_swapped_pair_is_seen_and_is_not_lost() {
        let faults = check(0, &[(0, 0), (0, 2), (0, 1), (0, 3)], &[4]);
        assert_eq!((faults.lost, faults.doubled, faults.swapped), (0, 0, 1));
    }

    #[test]
    fn another_rooms_message_is_seen() {
        let faults = check(3, &[(3, 0), (2, 0)], &[1]);
        assert_eq!(faults.foreign, 1);
    }

    #[test]
    fn the_trace_tells_two_orders_apart() {
        let mut one = Order::new(0, vec![0, 0]);
        let mut two = Order::new(0, vec![0, 0]);
        let mut three = Order::new(0, vec![0, 0]);
        for (publisher, seq) in [(0, 0), (1, 0), (1, 1)] {
            one.delivered(publisher, seq);
            three.delivered(publisher, seq);
        }
        for (publisher, seq) in [(1, 0), (0, 0), (1, 1)] {
            two.delivered(publisher, seq);
        }
        assert_ne!(one.trace(), two.trace());
        assert_eq!(one.trace(), three.trace());
    }
}
