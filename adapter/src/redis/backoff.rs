//! Waits that grow, and that no two gateways share: after an outage they would all come back at once.

use std::time::Duration;

/// The next wait.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// How long to wait now: half of what is due, and a random part of the other half.
    pub(super) fn next(&mut self) -> Duration {
        let due = self.next;
        self.next = (due * 2).min(self.longest);
        let random = getrandom::u32().unwrap_or(u32::MAX / 2);
        due.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
    }

    /// It went well: the next wait is the first again.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_longest() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(50), ms(1000));
        for due in [50, 100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next();
            assert!(ms(due) / 2 <= wait && wait <= ms(due), "{wait:?} of {due} ms");
        }
        backoff.reset();
        assert!(backoff.next() <= ms(50));
    }

    #[test]
    fn is_not_shared() {
        let mut waits: Vec<_> = (0..20).map(|_| Backoff::new(Duration::from_secs(1), Duration::MAX).next()).collect();
        waits.dedup();
        assert!(waits.len() > 1);
    }
}
