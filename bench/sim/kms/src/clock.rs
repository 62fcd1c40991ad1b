//! The simulator's clock, which tests can move forward.
//!
//! Always holds: it never goes back; signatures are checked and made by the real clock, everything else goes by this one.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The simulator's clock: the real one, and how far it was moved forward.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead_ms: AtomicI64,
}

impl Clock {
    /// A clock that was moved forward by so many milliseconds.
    pub(crate) const fn ahead_by(ahead_ms: i64) -> Self {
        Self { ahead_ms: AtomicI64::new(ahead_ms) }
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        real.saturating_add(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// Moves it forward, by a century at most; answers how far it is ahead now, in milliseconds.
    pub(crate) fn advance(&self, by: Duration) -> i64 {
        let by = millis(by).min(LONGEST_LEAP_MS);
        self.ahead_ms.fetch_add(by, Ordering::Relaxed).saturating_add(by)
    }
}

/// A time as AWS's JSON has it: seconds since 1970 with three decimals.
pub(crate) fn seconds(ms: i64) -> f64 {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64()
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Past this, sums of times would have to be guarded everywhere.
const LONGEST_LEAP_MS: i64 = 100 * 365 * 86_400_000;
