//! [`Keyed`]: a rate for each of many keys, which clients choose. It must never hold more keys than it was told.

use std::{
    fmt,
    hash::Hash,
    num::NonZeroU32,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock, Reference as _},
    middleware::NoOpMiddleware,
    state::keyed::DashMapStateStore,
};

use super::bucket::interval;
use crate::config::Rate;

/// Keys that a limit holds, unless told otherwise.
const MOST: usize = 100_000;
/// Checks between two looks for keys that are full again, at least.
const CHECKS: usize = 1024;
/// Time between two such looks while there is no room.
const PAUSE: Duration = Duration::from_millis(100);

/// A limit of `rate` for each key, shared by all threads. `C` is another clock than the system's in tests.
pub struct Keyed<K, C = MonotonicClock>
where
    K: Hash + Eq + Clone,
    C: Clock,
{
    /// `None`: switched off.
    limiter: Option<Limiter<K, C>>,
}

struct Limiter<K: Hash + Eq + Clone, C: Clock> {
    inner: RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    burst: NonZeroU32,
    most: usize,
    /// How many checks may still add a key before the keys are counted again.
    room: AtomicUsize,
    /// When there was no room at the last look.
    crowded: Mutex<Option<C::Instant>>,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    /// A limit that holds at most 100,000 keys.
    pub fn new(rate: Rate) -> Self {
        Self::bounded(rate, MOST)
    }

    /// A limit that holds at most `most` keys, at least one. A key needs memory only until it is full again; while
    /// there are `most` others, everyone has to wait.
    pub fn bounded(rate: Rate, most: usize) -> Self {
        Self::with_clock(rate, most, MonotonicClock)
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Keyed<K, C> {
    /// [`Keyed::bounded`] with another clock.
    pub fn with_clock(rate: Rate, most: usize, clock: C) -> Self {
        let (most, burst) = (most.max(1), NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN));
        let limiter = interval(&rate).and_then(Quota::with_period).map(|quota| Limiter {
            inner: RateLimiter::dashmap_with_clock(quota.allow_burst(burst), clock.clone()),
            clock,
            burst,
            most,
            room: AtomicUsize::new(most.min(CHECKS)),
            crowded: Mutex::new(None),
        });
        Self { limiter }
    }

    /// Takes one grant of this key.
    ///
    /// # Errors
    /// How long it takes until there is one.
    pub fn check(&self, key: &K) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.make_room()?;
        limiter.inner.check_key(key).map_err(|not| not.wait_time_from(limiter.clock.now()))
    }

    /// Takes so many at once; never more than there can be.
    ///
    /// # Errors
    /// How long it takes until there are enough; none was taken.
    pub fn check_many(&self, key: &K, cost: u32) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.make_room()?;
        let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN).min(limiter.burst);
        match limiter.inner.check_key_n(key, cost) {
            Ok(checked) => checked.map_err(|not| not.wait_time_from(limiter.clock.now())),
            // More than there can ever be, which was ruled out.
            Err(_) => Err(PAUSE),
        }
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.limiter.as_ref().map_or(0, |limiter| limiter.inner.len())
    }

    /// Whether it holds no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Hash + Eq + Clone, C: Clock> Limiter<K, C> {
    /// Each check may add a key, so each needs room, whether it adds one or not: that needs no lookup. Keys are looked
    /// through no more often than they can double, so a check costs the same however many there are.
    fn make_room(&self) -> Result<(), Duration> {
        if self.use_room() {
            return Ok(());
        }
        let mut crowded = self.crowded.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have made room while this one waited for the lock.
        if self.use_room() {
            return Ok(());
        }
        let now = self.clock.now();
        if crowded.is_some_and(|since| Duration::from(now.duration_since(since)) < PAUSE) {
            return Err(PAUSE);
        }
        self.inner.retain_recent();
        let held = self.inner.len();
        let room = self.most.saturating_sub(held).min(held.max(CHECKS));
        if room == 0 {
            *crowded = Some(now);
            return Err(PAUSE);
        }
        *crowded = None;
        self.room.store(room - 1, Ordering::Relaxed);
        Ok(())
    }

    fn use_room(&self) -> bool {
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1)).is_ok()
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> fmt::Debug for Keyed<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("keys", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn keyed(per_second: f64, burst: u32, most: usize) -> (Keyed<u32, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Keyed::with_clock(Rate { per_second, burst }, most, clock.clone()), clock)
    }

    #[test]
    fn each_key_has_its_own_burst_and_rate() {
        let (keyed, clock) = keyed(1.0, 3, 100);
        for key in [1, 2] {
            assert_eq!((0..10).filter(|_| keyed.check(&key).is_ok()).count(), 3, "key {key}");
            assert_eq!(keyed.check(&key), Err(SECOND));
        }
        clock.advance(SECOND / 4);
        assert_eq!(keyed.check(&1), Err(SECOND * 3 / 4));
        clock.advance(SECOND * 3 / 4);
        assert_eq!(keyed.check(&1), Ok(()));
        assert_eq!(keyed.check(&1), Err(SECOND));
        assert_eq!(keyed.check(&2), Ok(()));
    }

    #[test]
    fn what_is_off_holds_no_key() {
        let (keyed, _) = keyed(0.0, 1, 1);
        assert!((0..10_000).all(|key| keyed.check(&key).is_ok()));
        assert!(keyed.is_empty());
    }

    #[test]
    fn there_are_never_more_keys_than_allowed() {
        let (keyed, _) = keyed(1.0, 2, 5000);
        let granted = (0..50_000).filter(|key| keyed.check(key).is_ok()).count();
        assert_eq!((granted, keyed.len()), (5000, 5000));
    }

    #[test]
    fn keys_that_are_full_again_make_room() {
        let (keyed, clock) = keyed(1.0, 1, 10);
        assert!((0..10).all(|key| keyed.check(&key).is_ok()));
        assert_eq!(keyed.check(&10), Err(PAUSE));
        clock.advance(2 * SECOND);
        assert!((10..20).all(|key| keyed.check(&key).is_ok()));
        assert_eq!(keyed.len(), 10);
    }

    #[test]
    fn a_key_that_used_up_its_burst_is_not_forgotten_too_early() {
        let (keyed, clock) = keyed(1.0, 5, 2000);
        assert!((0..5).all(|_| keyed.check(&0).is_ok()));
        // So many checks look through the keys several times.
        for key in 1..1900 {
            assert_eq!(keyed.check(&key), Ok(()));
        }
        clock.advance(SECOND / 2);
        assert_eq!(keyed.check(&0), Err(SECOND / 2));
    }

    #[test]
    fn many_threads_together_get_no_more() {
        let (keyed, _) = keyed(1.0, 100, 1000);
        let granted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..200).filter(|_| keyed.check(&7).is_ok()).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(granted, 100);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

        #[test]
        fn no_key_gets_more_than_burst_and_rate(
            per_second in 0.1f64..1000.0,
            burst in 1u32..20,
            steps in prop::collection::vec((0u64..100_000_000, 0u32..4), 1..300),
        ) {
            let (keyed, clock) = keyed(per_second, burst, 8);
            let mut now = Duration::ZERO;
            let mut grants: [Vec<Duration>; 4] = Default::default();
            for (pause, key) in steps {
                let pause = Duration::from_nanos(pause);
                clock.advance(pause);
                now += pause;
                if keyed.check(&key).is_ok() {
                    grants[key as usize].push(now);
                }
            }
            for times in grants {
                for (first, from) in times.iter().enumerate() {
                    for (last, to) in times.iter().enumerate().skip(first) {
                        let most = f64::from(burst) + per_second * (*to - *from).as_secs_f64();
                        prop_assert!((last - first + 1) as f64 <= most * (1.0 + 1e-12));
                    }
                }
            }
        }
    }
}
