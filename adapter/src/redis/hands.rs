//! What time it is at Redis, which decides openings and closings: told with every exchange, and carried on in between by the
//! clock of this machine that nobody sets.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A reading that took long is only believed if there was no better one for so long.
const FRESH: Duration = Duration::from_secs(60);

/// The hands of the clock.
#[derive(Debug, Default)]
pub(super) struct Hands(Mutex<Option<Reading>>);

/// What Redis said, when, and how long the answer took.
#[derive(Debug, Clone, Copy)]
struct Reading {
    time: u64,
    at: Instant,
    took: Duration,
}

impl Hands {
    /// Redis has told the time in an answer to what was asked then.
    pub(super) fn set(&self, time: u64, asked: Instant) {
        let took = asked.elapsed();
        // It looked at its clock somewhere in between.
        let new = Reading { time, at: asked + took / 2, took };
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let good = reading.is_none_or(|old| took <= old.took * 2 || new.at.saturating_duration_since(old.at) > FRESH);
        if good {
            *reading = Some(new);
        }
    }

    /// Milliseconds since 1970. Before Redis said anything: as this machine has it.
    pub(super) fn now(&self) -> u64 {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Reading { time, at, .. }) => time.saturating_add(milliseconds(at.elapsed())),
            None => here(),
        }
    }

    /// Milliseconds that the clock of this machine is ahead of Redis, if it has said anything.
    pub(super) fn ahead(&self) -> i64 {
        let signed = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        signed(here()).saturating_sub(signed(self.now()))
    }
}

/// As this machine has it.
fn here() -> u64 {
    milliseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_the_time_that_was_told_quickly() {
        let hands = Hands::default();
        hands.set(1_000_000, Instant::now());
        assert!((1_000_000..1_005_000).contains(&hands.now()), "{}", hands.now());
        hands.set(2_000_000, Instant::now() - Duration::from_secs(20));
        assert!((1_000_000..1_005_000).contains(&hands.now()), "{}", hands.now());
    }

    #[test]
    fn begins_with_the_clock_of_the_machine() {
        let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        assert!(u128::from(Hands::default().now()).abs_diff(here) < 5_000);
        assert!(Hands::default().ahead().abs() < 5_000);
    }

    #[test]
    fn tells_how_far_the_machine_is_from_redis() {
        let hands = Hands::default();
        hands.set(here() - 60_000, Instant::now());
        assert!((59_000..65_000).contains(&hands.ahead()), "{}", hands.ahead());
        let hands = Hands::default();
        hands.set(here() + 60_000, Instant::now());
        assert!((-61_000..-55_000).contains(&hands.ahead()), "{}", hands.ahead());
    }
}
