//! The times of a partition: how long things may take, when what is due, and the pauses between tries.
//!
//! Always holds: what hangs again gets more time than before, so that a token that hangs for long costs few sessions; the pauses start
//! anew once it works. Kept by the partition's supervisor.

use std::time::{Duration, Instant};

use aws_lc_rs::rand;

use super::state::{Pauses, jittered};

/// The times of one partition.
pub(super) struct Clocks {
    /// The next try to connect, or the next canary.
    pub(super) due: Instant,
    /// The next try to open sessions that are missing.
    pub(super) refill: Instant,
    pub(super) up_since: Option<Instant>,
    /// Between canaries of a suspect partition.
    pub(super) probes: Pauses,
    backoff: Pauses,
    patience: Pauses,
    canary: Duration,
    opening: Duration,
    opening_first: Duration,
}

impl Clocks {
    /// Everything is due. `opening` is how long connecting may take at first.
    pub(super) fn new(opening: Duration) -> Self {
        let now = Instant::now();
        let mut patience = Pauses::new(STUCK, STUCK_MOST);
        Self {
            due: now,
            refill: now,
            up_since: None,
            probes: Pauses::new(PROBE, PROBE_MOST),
            backoff: Pauses::new(BACKOFF, BACKOFF_MOST),
            canary: patience.take(),
            patience,
            opening,
            opening_first: opening,
        }
    }

    /// How long a canary may take before its steward is given up.
    pub(super) const fn canary(&self) -> Duration {
        self.canary
    }

    /// One hung: the next gets more time.
    pub(super) fn canary_hung(&mut self) {
        self.canary = self.patience.take();
    }

    /// One came back in time.
    pub(super) fn canary_came_back(&mut self) {
        self.patience.reset();
        self.canary = self.patience.take();
    }

    /// How long connecting may take before its steward is given up.
    pub(super) const fn opening(&self) -> Duration {
        self.opening
    }

    /// It hung: the next try gets more time.
    pub(super) fn opening_hung(&mut self) {
        self.opening = self.opening.saturating_mul(2).min(self.opening_first.saturating_mul(OPENING_MOST));
    }

    /// It came back, connected or not.
    pub(super) const fn opening_came_back(&mut self) {
        self.opening = self.opening_first;
    }

    /// The pause before the next try to connect: none after a good connection.
    pub(super) fn before_next_try(&mut self, now: Instant) -> Duration {
        let lasted = self.up_since.take().map(|since| now.saturating_duration_since(since));
        if lasted.is_some_and(|lasted| lasted >= STABLE) {
            self.backoff.reset();
            return Duration::ZERO;
        }
        jittered(self.backoff.take(), dice())
    }
}

/// Any number: without randomness there is no jitter.
fn dice() -> u16 {
    let mut dice = [0; 2];
    match rand::fill(&mut dice) {
        Ok(()) => u16::from_ne_bytes(dice),
        Err(_) => 0,
    }
}

/// Half of a request's deadline (design sections 4 and 5): a call that takes longer makes its partition suspect, and a canary that takes
/// less ends that.
pub(super) const OVERDUE: Duration = Duration::from_millis(100);

/// How long a call may take before its thread may be given up, and a steward's canary at first.
pub(super) const STUCK: Duration = Duration::from_secs(2);

/// How long a canary may take at most, after stewards before hung.
pub(super) const STUCK_MOST: Duration = Duration::from_secs(30);

/// Between canaries of a partition that is up (design section 5).
pub(super) const CANARY: Duration = Duration::from_secs(10);

/// The first pause between canaries of a suspect partition.
const PROBE: Duration = Duration::from_millis(100);

/// The longest of them.
const PROBE_MOST: Duration = Duration::from_secs(1);

/// The first pause between tries to connect.
const BACKOFF: Duration = Duration::from_millis(100);

/// The longest of them.
const BACKOFF_MOST: Duration = Duration::from_secs(5);

/// A connection that lasted this long was a good one: the next is tried at once.
const STABLE: Duration = Duration::from_secs(1);

/// How often it is looked whether a refused PIN has changed or may be tried again.
pub(super) const PIN_POLL: Duration = Duration::from_secs(2);

/// How often missing sessions are tried to be opened.
pub(super) const REFILL: Duration = Duration::from_secs(60);

/// How many times `timeouts.open` connecting may take, after stewards before hung in it.
const OPENING_MOST: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_again_gets_more_time_until_it_comes_back() {
        let mut clocks = Clocks::new(Duration::from_secs(10));
        let mut seconds = Vec::new();
        for _ in 0..6 {
            seconds.push((clocks.canary().as_secs(), clocks.opening().as_secs()));
            clocks.canary_hung();
            clocks.opening_hung();
        }
        assert_eq!(seconds, [(2, 10), (4, 20), (8, 40), (16, 80), (30, 160), (30, 320)]);
        clocks.canary_came_back();
        clocks.opening_came_back();
        assert_eq!((clocks.canary(), clocks.opening()), (STUCK, Duration::from_secs(10)));
    }

    #[test]
    fn the_first_try_after_a_good_connection_is_made_at_once() {
        let now = Instant::now();
        let mut clocks = Clocks::new(STUCK);
        assert!((BACKOFF / 2..=BACKOFF).contains(&clocks.before_next_try(now)));
        clocks.up_since = Some(now);
        assert!(clocks.before_next_try(now + STABLE / 2) >= BACKOFF, "it lasted too short");
        clocks.up_since = Some(now);
        assert_eq!(clocks.before_next_try(now + STABLE), Duration::ZERO);
        assert!((BACKOFF / 2..=BACKOFF).contains(&clocks.before_next_try(now)), "from the first pause again");
    }
}
