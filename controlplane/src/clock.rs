//! Times as they are kept and told: whole numbers since 1970, of the machine's clock or of a time that the caller has.
//!
//! Always holds: a time before 1970 is 0 and one that a number can't hold is the largest, so that nobody's reckoning fails over them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, in nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    nanoseconds(SystemTime::now())
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    milliseconds(SystemTime::now())
}

/// How long ago it was, nanoseconds since 1970; nothing of a time to come.
pub(crate) fn elapsed_since(at_ns: u64) -> Duration {
    Duration::from_nanos(now_ns().saturating_sub(at_ns))
}

/// Nanoseconds since 1970.
pub(crate) fn nanoseconds(time: SystemTime) -> u64 {
    u64::try_from(since_1970(time).as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970.
pub(crate) fn milliseconds(time: SystemTime) -> u64 {
    u64::try_from(since_1970(time).as_millis()).unwrap_or(u64::MAX)
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_1970_is_0_and_one_past_the_largest_number_is_that() {
        let centuries = |n: u64| Duration::from_secs(n * 100 * 366 * 24 * 3_600);
        assert_eq!((nanoseconds(UNIX_EPOCH - centuries(1)), milliseconds(UNIX_EPOCH - centuries(1))), (0, 0));
        assert_eq!(nanoseconds(UNIX_EPOCH + centuries(6)), u64::MAX);
        let later = UNIX_EPOCH + Duration::new(3, 7_000_009);
        assert_eq!((nanoseconds(later), milliseconds(later)), (3_007_000_009, 3_007));
    }
}
