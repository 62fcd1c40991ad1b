//! Who may not try to log in for now, because too many tries failed.
//!
//! Always holds: names that don't exist are counted as those that do, so that a lock-out tells nothing; memory is bounded, in names and in
//! their length.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Failed logins by name. Time is passed in.
#[derive(Debug, Default)]
pub struct Lockouts(HashMap<String, Failures>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Lockouts {
    /// How long `name` still may not try.
    #[must_use]
    pub fn locked(&self, name: &str, now: Instant) -> Option<Duration> {
        let failures = self.0.get(counted(name))?;
        let end = failures.last + pause(failures.count);
        end.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// A login as `name` failed.
    pub fn failed(&mut self, name: &str, now: Instant) {
        let name = counted(name);
        if self.0.len() >= MOST_NAMES && !self.0.contains_key(name) {
            self.0.retain(|_, failures| now.saturating_duration_since(failures.last) < FORGET);
            // Still full: someone is inventing names. The one tried longest ago makes room.
            if self.0.len() >= MOST_NAMES
                && let Some(oldest) = self.0.iter().min_by_key(|(_, f)| f.last).map(|(name, _)| name.clone())
            {
                self.0.remove(&oldest);
            }
        }
        let failures = self.0.entry(name.into()).or_insert(Failures { count: 0, last: now });
        if now.saturating_duration_since(failures.last) >= FORGET {
            failures.count = 0;
        }
        *failures = Failures { count: failures.count.saturating_add(1), last: now };
    }

    /// A login as `name` succeeded.
    pub fn succeeded(&mut self, name: &str) {
        self.0.remove(counted(name));
    }
}

/// What a name is counted under: what is longer than any user's name is cut, since whoever tries to log in chooses it.
fn counted(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST_NAME)]
}

/// The pause after so many failures in a row.
fn pause(failures: u32) -> Duration {
    match failures.checked_sub(FREE_FAILURES) {
        None => Duration::ZERO,
        Some(more) => FIRST_PAUSE.saturating_mul(1 << more.min(16)).min(LONGEST_PAUSE),
    }
}

/// So many failures, then pauses.
const FREE_FAILURES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(15);
/// Failures longer ago than this don't count.
const FORGET: Duration = Duration::from_hours(1);
const MOST_NAMES: usize = 10_000;
/// A user's name has at most 64 bytes.
const LONGEST_NAME: usize = 65;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_failure_in_a_row_locks_and_each_more_for_twice_as_long() {
        let (mut lockouts, start) = (Lockouts::default(), Instant::now());
        for _ in 0..4 {
            lockouts.failed("eve", start);
        }
        assert_eq!(lockouts.locked("eve", start), None);
        lockouts.failed("eve", start);
        assert_eq!(lockouts.locked("eve", start), Some(FIRST_PAUSE));
        assert_eq!(lockouts.locked("bob", start), None);
        let later = start + FIRST_PAUSE;
        assert_eq!(lockouts.locked("eve", later), None);
        lockouts.failed("eve", later);
        assert_eq!(lockouts.locked("eve", later), Some(FIRST_PAUSE * 2));
        for _ in 0..100 {
            lockouts.failed("eve", later);
        }
        assert_eq!(lockouts.locked("eve", later), Some(LONGEST_PAUSE));
    }

    #[test]
    fn success_or_time_forgives() {
        let (mut lockouts, start) = (Lockouts::default(), Instant::now());
        for name in ["eve", "bob"] {
            for _ in 0..5 {
                lockouts.failed(name, start);
            }
        }
        lockouts.succeeded("eve");
        lockouts.failed("eve", start);
        lockouts.failed("bob", start + FORGET);
        assert_eq!(lockouts.locked("eve", start), None);
        assert_eq!(lockouts.locked("bob", start + FORGET), None);
    }

    #[test]
    fn invented_names_take_bounded_memory_and_the_newest_stay_locked() {
        let (mut lockouts, start) = (Lockouts::default(), Instant::now());
        for n in 0..MOST_NAMES + 50 {
            lockouts.failed(&format!("name-{n}"), start + Duration::from_millis(n as u64));
        }
        for _ in 0..5 {
            lockouts.failed("eve", start + Duration::from_mins(1));
        }
        assert_eq!(lockouts.0.len(), MOST_NAMES);
        assert!(lockouts.locked("eve", start + Duration::from_mins(1)).is_some());
    }

    #[test]
    fn a_long_name_takes_no_more_memory_than_a_user_s_and_is_locked_out_alike() {
        let (mut lockouts, now) = (Lockouts::default(), Instant::now());
        let long = "é".repeat(100_000);
        for _ in 0..5 {
            lockouts.failed(&long, now);
        }
        assert!(lockouts.locked(&long, now).is_some());
        assert!(lockouts.0.keys().all(|name| name.len() <= LONGEST_NAME));
        lockouts.succeeded(&long);
        assert!(lockouts.0.is_empty());
    }
}
