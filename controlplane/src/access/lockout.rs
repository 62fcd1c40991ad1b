//! Who may not try to log in for now, because too many tries failed: by user and address, and more slowly by user over all addresses, so that
//! many addresses together try no more than a few passwords an hour.
//!
//! Always holds: names that don't exist are counted as those that do, so that a lock-out tells nothing; an address from which the user
//! logged in within a day is exempt from the slower count, so that nobody elsewhere locks a user out; memory is bounded, in names and in
//! their length.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::peer::counted;

/// Failed logins. Time is passed in.
#[derive(Debug, Default)]
pub struct Lockouts {
    places: Tally<(String, Option<IpAddr>)>,
    names: Tally<String>,
    /// Where users logged in from, and when last. Only who has a password gets in here.
    good: HashMap<(String, IpAddr), Instant>,
}

/// Who tries, from where.
#[derive(Clone, Copy, Debug)]
pub struct Try<'a> {
    /// The name as it was given.
    pub name: &'a str,
    /// The peer's address, where it is known.
    pub peer: Option<IpAddr>,
}

#[derive(Debug)]
struct Tally<K>(HashMap<K, Failures>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// How pauses grow with failures.
struct Curve {
    /// So many failures, then pauses.
    free: u32,
    first: Duration,
}

impl Lockouts {
    /// How long it still may not be tried.
    #[must_use]
    pub fn locked(&self, attempt: Try<'_>, now: Instant) -> Option<Duration> {
        let place = self.places.locked(&attempt.place(), &BY_PLACE, now);
        let name = if self.is_good(attempt, now) { None } else { self.names.locked(&attempt.name().to_owned(), &BY_NAME, now) };
        place.max(name)
    }

    /// A try failed.
    pub fn failed(&mut self, attempt: Try<'_>, now: Instant) {
        self.places.failed(attempt.place(), now);
        if !self.is_good(attempt, now) {
            self.names.failed(attempt.name().into(), now);
        }
    }

    /// A login succeeded. What failed from elsewhere stays counted.
    pub fn succeeded(&mut self, attempt: Try<'_>, now: Instant) {
        self.places.0.remove(&attempt.place());
        let Some(peer) = attempt.peer else { return };
        self.good.retain(|_, last| now.saturating_duration_since(*last) < GOOD_FOR);
        if self.good.len() >= MOST
            && let Some(oldest) = self.good.iter().min_by_key(|(_, last)| **last).map(|(place, _)| place.clone())
        {
            self.good.remove(&oldest);
        }
        self.good.insert((attempt.name().into(), counted(peer)), now);
    }

    fn is_good(&self, attempt: Try<'_>, now: Instant) -> bool {
        let last = attempt.peer.and_then(|peer| self.good.get(&(attempt.name().into(), counted(peer))));
        last.is_some_and(|last| now.saturating_duration_since(*last) < GOOD_FOR)
    }
}

impl Try<'_> {
    /// What a name is counted under: what is longer than any user's name is cut, since whoever tries to log in chooses it.
    fn name(&self) -> &str {
        &self.name[..self.name.floor_char_boundary(LONGEST_NAME)]
    }

    fn place(&self) -> (String, Option<IpAddr>) {
        (self.name().into(), self.peer.map(counted))
    }
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Tally<K> {
    fn locked(&self, key: &K, curve: &Curve, now: Instant) -> Option<Duration> {
        let failures = self.0.get(key)?;
        let end = failures.last + curve.pause(failures.count);
        end.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    fn failed(&mut self, key: K, now: Instant) {
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.0.retain(|_, failures| now.saturating_duration_since(failures.last) < FORGET);
            // Still full: someone is inventing names. The one tried longest ago makes room.
            if self.0.len() >= MOST
                && let Some(oldest) = self.0.iter().min_by_key(|(_, f)| f.last).map(|(key, _)| key.clone())
            {
                self.0.remove(&oldest);
            }
        }
        let failures = self.0.entry(key).or_insert(Failures { count: 0, last: now });
        if now.saturating_duration_since(failures.last) >= FORGET {
            failures.count = 0;
        }
        *failures = Failures { count: failures.count.saturating_add(1), last: now };
    }
}

impl Curve {
    /// The pause after so many failures in a row.
    fn pause(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.free) {
            None => Duration::ZERO,
            Some(more) => self.first.saturating_mul(1 << more.min(16)).min(LONGEST_PAUSE),
        }
    }
}

const BY_PLACE: Curve = Curve { free: 5, first: Duration::from_secs(5) };
const BY_NAME: Curve = Curve { free: 30, first: Duration::from_secs(30) };
const LONGEST_PAUSE: Duration = Duration::from_mins(15);
/// Failures longer ago than this don't count.
const FORGET: Duration = Duration::from_hours(1);
/// For so long after a login its address is the user's own.
const GOOD_FOR: Duration = Duration::from_hours(24);
/// Names and places remembered.
const MOST: usize = 10_000;
/// A user's name has at most 64 bytes.
const LONGEST_NAME: usize = 65;

#[cfg(test)]
mod tests {
    use super::*;

    fn from(name: &str, last: u8) -> Try<'_> {
        Try { name, peer: Some([192, 0, 2, last].into()) }
    }

    fn fail(lockouts: &mut Lockouts, attempt: Try<'_>, (times, now): (u32, Instant)) {
        (0..times).for_each(|_| lockouts.failed(attempt, now));
    }

    #[test]
    fn the_fifth_failure_in_a_row_from_one_address_locks_it_and_each_more_for_twice_as_long() {
        let (mut lockouts, start) = (Lockouts::default(), Instant::now());
        fail(&mut lockouts, from("eve", 1), (4, start));
        assert_eq!(lockouts.locked(from("eve", 1), start), None);
        lockouts.failed(from("eve", 1), start);
        assert_eq!(lockouts.locked(from("eve", 1), start), Some(BY_PLACE.first));
        assert_eq!(lockouts.locked(from("bob", 1), start), None);
        assert_eq!(lockouts.locked(from("eve", 2), start), None);
        assert_eq!(lockouts.locked(Try { name: "eve", peer: None }, start), None);
        let later = start + BY_PLACE.first;
        assert_eq!(lockouts.locked(from("eve", 1), later), None);
        lockouts.failed(from("eve", 1), later);
        assert_eq!(lockouts.locked(from("eve", 1), later), Some(BY_PLACE.first * 2));
        fail(&mut lockouts, from("eve", 1), (100, later));
        assert_eq!(lockouts.locked(from("eve", 1), later), Some(LONGEST_PAUSE));
    }

    #[test]
    fn many_addresses_together_lock_the_name_more_slowly() {
        let (mut lockouts, start) = (Lockouts::default(), Instant::now());
        for last in 0..10 {
            fail(&mut lockouts, from("admin", last), (3, start));
        }
        assert_eq!(lockouts.locked(from("admin", 200), start), Some(BY_NAME.first));
        assert_eq!(lockouts.locked(from("admin", 200), start + BY_NAME.first), None);
        assert_eq!(lockouts.locked(from("bob", 200), start), None);
        fail(&mut lockouts, from("admin", 77), (1, start + BY_NAME.first));
        assert_eq!(lockouts.locked(from("admin", 200), start + BY_NAME.first), Some(BY_NAME.first * 2));
    }

    #[test]
    fn nobody_elsewhere_locks_a_user_out_of_the_address_that_it_logged_in_from() {
        let (mut lockouts, start) = (Lockouts::default(), Instant::now());
        lockouts.succeeded(from("admin", 1), start);
        for last in 2..200 {
            fail(&mut lockouts, from("admin", last), (5, start));
        }
        assert_eq!(lockouts.locked(from("admin", 1), start), None);
        assert!(lockouts.locked(from("admin", 250), start).is_some());
        // It can lock itself out there, and what it fails there does not lock others.
        fail(&mut lockouts, from("admin", 1), (5, start));
        assert_eq!(lockouts.locked(from("admin", 1), start), Some(BY_PLACE.first));
        let next_day = start + GOOD_FOR;
        fail(&mut lockouts, from("admin", 2), (40, next_day));
        assert!(lockouts.locked(from("admin", 1), next_day).is_some());
    }

    #[test]
    fn success_or_time_forgives_a_place_and_time_alone_a_name() {
        let (mut lockouts, start) = (Lockouts::default(), Instant::now());
        for name in ["eve", "bob"] {
            fail(&mut lockouts, from(name, 1), (5, start));
        }
        lockouts.succeeded(from("eve", 1), start);
        lockouts.failed(from("eve", 1), start);
        lockouts.failed(from("bob", 1), start + FORGET);
        assert_eq!(lockouts.locked(from("eve", 1), start), None);
        assert_eq!(lockouts.locked(from("bob", 1), start + FORGET), None);
        for last in 2..12 {
            fail(&mut lockouts, from("eve", last), (3, start));
        }
        lockouts.succeeded(from("eve", 1), start);
        assert!(lockouts.locked(from("eve", 99), start).is_some());
        lockouts.failed(from("eve", 99), start + FORGET);
        assert_eq!(lockouts.locked(from("eve", 98), start + FORGET), None);
    }

    #[test]
    fn invented_names_take_bounded_memory_and_the_newest_stay_locked() {
        let (mut lockouts, start) = (Lockouts::default(), Instant::now());
        for n in 0..MOST + 50 {
            let name = format!("name-{n}");
            let now = start + Duration::from_millis(n as u64);
            lockouts.failed(from(&name, 1), now);
            lockouts.succeeded(from(&name, 2), now);
        }
        fail(&mut lockouts, from("eve", 1), (5, start + Duration::from_mins(1)));
        assert_eq!((lockouts.places.0.len(), lockouts.names.0.len(), lockouts.good.len()), (MOST, MOST, MOST));
        assert!(lockouts.locked(from("eve", 1), start + Duration::from_mins(1)).is_some());
    }

    #[test]
    fn a_long_name_takes_no_more_memory_than_a_user_s_and_is_locked_out_alike() {
        let (mut lockouts, now) = (Lockouts::default(), Instant::now());
        let long = "é".repeat(100_000);
        fail(&mut lockouts, from(&long, 1), (5, now));
        assert!(lockouts.locked(from(&long, 1), now).is_some());
        assert!(lockouts.places.0.keys().all(|(name, _)| name.len() <= LONGEST_NAME));
        assert!(lockouts.names.0.keys().all(|name| name.len() <= LONGEST_NAME));
        lockouts.succeeded(from(&long, 1), now);
        assert!(lockouts.places.0.is_empty());
    }
}
