//! How far our clock is from that of KMS, as authenticated requests show it.
//! Holds: recording is one atomic addition; the median is exact, over the last minutes.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts of offsets, one for each whole second that SigV4 lets through.
#[derive(Debug)]
pub struct ClockOffsets {
    counts: Box<[AtomicU32]>,
}

impl Default for ClockOffsets {
    fn default() -> Self {
        Self { counts: (-MAX..=MAX).map(|_| AtomicU32::new(0)).collect() }
    }
}

impl ClockOffsets {
    /// Median of our clock less the requests' dates, in seconds; none without a recent request.
    #[must_use]
    pub fn median(&self) -> Option<i16> {
        let counts: Vec<u64> = self.counts.iter().map(|count| u64::from(count.load(Ordering::Relaxed))).collect();
        let half = counts.iter().sum::<u64>().div_ceil(2);
        let mut below = 0;
        let at = counts.iter().position(|count| {
            below += count;
            half > 0 && below >= half
        })?;
        i16::try_from(at).ok().map(|at| at - MAX)
    }

    /// Halves the weight of what was recorded so far.
    pub(super) fn fade(&self) {
        for count in &self.counts {
            let seen = count.load(Ordering::Relaxed);
            count.fetch_sub(seen.div_ceil(2), Ordering::Relaxed);
        }
    }

    /// Counts one request.
    pub(super) fn record(&self, seconds: i64) {
        let at = seconds.saturating_add(i64::from(MAX));
        if let Some(count) = usize::try_from(at).ok().and_then(|at| self.counts.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Seconds either way that SigV4 lets through (XKS, authentication).
const MAX: i16 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_what_was_recorded() {
        let offsets = ClockOffsets::default();
        assert_eq!(offsets.median(), None);
        for seconds in [-300, 2, 2, 5, 300, 301, i64::MIN] {
            offsets.record(seconds);
        }
        assert_eq!(offsets.median(), Some(2));
        (0..3).for_each(|_| offsets.fade());
        assert_eq!(offsets.median(), None);
    }
}
