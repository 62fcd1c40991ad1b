//! When AWS was last asked to do something of which it is not known whether it did it.
//!
//! Always holds: "AWS has it not" is believed only long enough after the last moment at which a request could have been under way: when the
//! call ended, also because nobody waited for it any more; of what was begun before a start, that start.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use uuid::Uuid;

use crate::clock::{elapsed_since, now_ns};

/// When AWS was last asked, by the objects here.
#[derive(Debug)]
pub(super) struct Asked {
    started_ns: u64,
    last: Mutex<HashMap<Uuid, u64>>,
}

/// A request to AWS, which may go on there when this is dropped, unless it was answered.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    asked: &'a Asked,
    id: Uuid,
    answered: bool,
}

impl Asked {
    /// Nothing was asked since the start, which is now.
    pub(super) fn new() -> Self {
        Self { started_ns: now_ns(), last: Mutex::default() }
    }

    /// AWS is asked from now on.
    pub(super) const fn asking(&self, id: Uuid) -> Asking<'_> {
        Asking { asked: self, id, answered: false }
    }

    /// The last moment at which a request for a step could be under way that was committed at `begun_ns`.
    pub(super) fn last(&self, id: Uuid, begun_ns: u64) -> u64 {
        let last = self.known(id).unwrap_or_default();
        begun_ns.max(last).max(self.started_ns)
    }

    /// The last moment at which a request without an answer could be under way for a step that was committed at `begun_ns`; none: there is
    /// none.
    pub(super) fn unanswered(&self, id: Uuid, begun_ns: u64) -> Option<u64> {
        // Whoever asked before the start did not live to hear.
        self.known(id).max((begun_ns < self.started_ns).then_some(self.started_ns))
    }

    /// Whether AWS was last asked so lately by this process that it may not tell everywhere yet what it did.
    pub(super) fn is_fresh(&self, id: Uuid, settled_after: Duration) -> bool {
        self.known(id).is_some_and(|at_ns| elapsed_since(at_ns) < settled_after)
    }

    fn known(&self, id: Uuid) -> Option<u64> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }
}

impl Asking<'_> {
    /// AWS has said what became of it.
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let now_ns = now_ns();
        let mut last = self.asked.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| now_ns.saturating_sub(*at) < REMEMBERED_NS);
        last.insert(self.id, now_ns);
    }
}

/// Whether what was begun then is begun for so long that nobody can be expected to wait on: AWS is away for good, maybe.
pub(super) fn is_old(begun_ns: u64) -> bool {
    elapsed_since(begun_ns) >= OLD
}

/// An hour, in which most of what ails AWS, or the way there, has passed.
const OLD: Duration = Duration::from_secs(3_600);
/// Far longer than anything is under way.
const REMEMBERED_NS: u64 = 3_600_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_counts_from_the_end_of_the_last_call_and_never_from_before_the_start() {
        let (asked, id) = (Asked::new(), Uuid::from_u128(1));
        let started_ns = asked.started_ns;
        assert_eq!(asked.last(id, 5), started_ns, "begun before a crash");
        assert_eq!(asked.last(id, started_ns + 5), started_ns + 5);
        let asking = asked.asking(id);
        assert_eq!(asked.last(id, 5), started_ns);
        let before_ns = now_ns();
        drop(asking);
        assert!(asked.last(id, 5) >= before_ns);
        assert_eq!(asked.last(Uuid::nil(), 5), started_ns, "another one");
        let later_ns = now_ns() + REMEMBERED_NS;
        assert_eq!(asked.last(id, later_ns), later_ns);
    }

    #[test]
    fn what_was_answered_is_not_under_way_and_what_was_asked_before_a_start_may_be() {
        let (asked, id) = (Asked::new(), Uuid::from_u128(1));
        let started_ns = asked.started_ns;
        assert_eq!(asked.unanswered(id, started_ns - 1), Some(started_ns), "begun before a crash");
        assert_eq!(asked.unanswered(id, started_ns), None);
        let asking = asked.asking(id);
        assert_eq!(asked.unanswered(id, started_ns), None);
        let before_ns = now_ns();
        drop(asking);
        let unanswered = asked.unanswered(id, started_ns);
        assert!(unanswered >= Some(before_ns));
        asked.asking(id).answered();
        assert_eq!(asked.unanswered(id, started_ns), unanswered, "an earlier one may still be under way");
        assert_eq!(asked.unanswered(Uuid::nil(), started_ns), None, "another key");
    }
}
