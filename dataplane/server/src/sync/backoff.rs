//! How long to wait before the control plane is tried again: doubling, jittered, and back to the start only after a stable run, so
//! that a control plane which accepts and drops us at once isn't hammered. Pure: time and randomness are the caller's.

use std::time::Duration;

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after a connection, or an attempt at one, that lived for `lived`. `random` spreads nodes apart.
    pub(crate) fn after(&mut self, lived: Duration, random: u32) -> Duration {
        if lived >= STABLE {
            self.failures = 0;
        }
        let longest = SHORTEST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let half = longest / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
const STABLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_100_ms_to_10_s() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..9).map(|_| backoff.after(Duration::ZERO, u32::MAX).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn half_of_each_wait_is_random() {
        let waits = [0, u32::MAX / 2, u32::MAX].map(|random| Backoff::default().after(Duration::ZERO, random).as_millis());
        assert_eq!(waits, [50, 75, 100]);
    }

    #[test]
    fn only_a_stable_run_starts_over() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.after(Duration::ZERO, 0);
        }
        assert!(backoff.after(STABLE - Duration::from_millis(1), u32::MAX) > Duration::from_secs(3));
        assert_eq!(backoff.after(STABLE, u32::MAX), SHORTEST);
    }

    #[test]
    fn failures_without_end_don_t_overflow() {
        let mut backoff = Backoff { failures: u32::MAX };
        assert_eq!(backoff.after(Duration::ZERO, u32::MAX), LONGEST);
    }
}
