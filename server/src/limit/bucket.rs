//! [`Bucket`]: a limit whose whole state is one moment, the one at which the bucket will be full again. It must never grant
//! more than `burst + per_second · t` in any time `t`, so every rounding is to the client's cost.

use std::time::{Duration, Instant};

use crate::config::Rate;

/// From one grant to the next, in whole nanoseconds, at most 30 days; `None`: the rate is off, or no number.
pub(super) fn interval(rate: &Rate) -> Option<Duration> {
    const MOST: f64 = 30.0 * 86_400e9;
    if !rate.per_second.is_finite() || rate.per_second <= 0.0 {
        return None;
    }
    let nanoseconds = (1e9 / rate.per_second).ceil().clamp(1.0, MOST);
    Some(Duration::from_nanos(nanoseconds as u64))
}

/// What one client has left of a rate. A new one is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// `None`, or a moment of the past: full.
    full: Option<Instant>,
}

impl Bucket {
    /// Takes one grant.
    ///
    /// # Errors
    /// How long it takes until there is one; nothing was taken.
    pub fn take(&mut self, rate: &Rate, now: Instant) -> Result<(), Duration> {
        self.take_many(rate, now, 1)
    }

    /// Takes `cost` grants at once. More than the burst would never be there; the whole burst is then taken for them.
    ///
    /// # Errors
    /// How long it takes until there is enough; nothing was taken.
    pub fn take_many(&mut self, rate: &Rate, now: Instant, cost: u32) -> Result<(), Duration> {
        let Some(interval) = interval(rate) else { return Ok(()) };
        let burst = rate.burst.max(1);
        let from = self.full.map_or(now, |full| full.max(now));
        let missing = from.duration_since(now).saturating_add(interval.saturating_mul(cost.min(burst)));
        let room = interval.saturating_mul(burst);
        if missing > room {
            return Err(missing - room);
        }
        match now.checked_add(missing) {
            Some(full) => self.full = Some(full),
            // Beyond the clock's end: the burst would never be there again.
            None => return Err(interval),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(per_second: f64, burst: u32) -> Rate {
        Rate { per_second, burst }
    }

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::default();
        let granted = (0..10).filter(|_| bucket.take_many(&rate(2.0, 5), start, 1).is_ok()).count();
        assert_eq!(granted, 5);
        assert_eq!(bucket.take_many(&rate(2.0, 5), start, 1), Err(SECOND / 2));
        assert_eq!(
            bucket.take_many(&rate(2.0, 5), start + SECOND / 2 - Duration::from_nanos(1), 1),
            Err(Duration::from_nanos(1))
        );
        assert_eq!(bucket.take_many(&rate(2.0, 5), start + SECOND / 2, 1), Ok(()));
        assert_eq!(bucket.take_many(&rate(2.0, 5), start + SECOND / 2, 1), Err(SECOND / 2));
    }

    #[test]
    fn a_pause_fills_it_up_to_the_burst_and_no_further() {
        let start = Instant::now();
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take_many(&rate(1.0, 3), start, 3), Ok(()));
        let later = start + 1000 * SECOND;
        let granted = (0..10).filter(|_| bucket.take_many(&rate(1.0, 3), later, 1).is_ok()).count();
        assert_eq!(granted, 3);
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let start = Instant::now();
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take_many(&rate(1.0, 5), start, 4), Ok(()));
        assert_eq!(bucket.take_many(&rate(1.0, 5), start, 3), Err(2 * SECOND));
        assert_eq!(bucket.take_many(&rate(1.0, 5), start, 1), Ok(()));
    }

    #[test]
    fn a_cost_above_the_burst_takes_the_whole_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take_many(&rate(1.0, 5), start, 50), Ok(()));
        assert_eq!(bucket.take_many(&rate(1.0, 5), start, 1), Err(SECOND));
        assert_eq!(bucket.take_many(&rate(1.0, 5), start + SECOND, u32::MAX), Err(4 * SECOND));
        assert_eq!(bucket.take_many(&rate(1.0, 5), start + SECOND, 0), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let start = Instant::now() + SECOND;
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take_many(&rate(1.0, 2), start, 2), Ok(()));
        assert_eq!(bucket.take_many(&rate(1.0, 2), start - SECOND, 1), Err(2 * SECOND));
    }

    #[test]
    fn what_is_off_limits_nothing() {
        let start = Instant::now();
        for per_second in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut bucket = Bucket::default();
            assert_eq!(interval(&rate(per_second, 1)), None, "{per_second}");
            assert!((0..1000).all(|_| bucket.take_many(&rate(per_second, 1), start, u32::MAX).is_ok()), "{per_second}");
            assert_eq!(bucket, Bucket::default(), "nothing is noted");
        }
        assert_eq!(interval(&Rate::OFF), None);
    }

    #[test]
    fn a_burst_of_zero_still_lets_the_rate_through() {
        let start = Instant::now();
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take_many(&rate(1.0, 0), start, 1), Ok(()));
        assert_eq!(bucket.take_many(&rate(1.0, 0), start, 1), Err(SECOND));
        assert_eq!(bucket.take_many(&rate(1.0, 0), start + SECOND, 1), Ok(()));
    }

    #[test]
    fn extreme_rates_neither_panic_nor_open() {
        let start = Instant::now();
        for per_second in [f64::MIN_POSITIVE, 1e-300, 1e-9, 1e9, 1e300, f64::MAX] {
            for burst in [0, 1, u32::MAX] {
                let mut bucket = Bucket::default();
                assert_eq!(bucket.take_many(&rate(per_second, burst), start, u32::MAX), Ok(()), "{per_second} {burst}");
                assert!(bucket.take_many(&rate(per_second, burst), start, 1).is_err(), "{per_second} {burst}");
            }
        }
    }

    #[test]
    fn a_bucket_is_small() {
        assert!(size_of::<Bucket>() <= 16);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        #[test]
        fn no_window_grants_more_than_burst_and_rate(
            per_second in 0.1f64..5000.0,
            burst in 1u32..50,
            steps in prop::collection::vec((0u64..2_000_000_000, 1u32..8), 1..200),
        ) {
            let rate = rate(per_second, burst);
            let start = Instant::now();
            let (mut bucket, mut at, mut grants) = (Bucket::default(), Duration::ZERO, Vec::new());
            for (pause, cost) in steps {
                // Short pauses are where a limit is felt.
                at += Duration::from_nanos(pause / if pause % 2 == 0 { 1000 } else { 1 });
                match bucket.take_many(&rate, start + at, cost) {
                    Ok(()) => grants.push((at, f64::from(cost.min(burst)))),
                    Err(after) => {
                        let mut copy = bucket;
                        prop_assert!(copy.take_many(&rate, start + at + after, cost).is_ok(), "waiting as told is enough");
                        let mut copy = bucket;
                        let early = after - Duration::from_nanos(1);
                        prop_assert!(copy.take_many(&rate, start + at + early, cost).is_err(), "and waiting less is not");
                    }
                }
            }
            for (first, (from, _)) in grants.iter().enumerate() {
                let mut sum = 0.0;
                for (to, granted) in &grants[first..] {
                    sum += granted;
                    let most = f64::from(burst) + per_second * (*to - *from).as_secs_f64();
                    prop_assert!(sum <= most * (1.0 + 1e-12), "{sum} in {:?}", *to - *from);
                }
            }
        }
    }
}
