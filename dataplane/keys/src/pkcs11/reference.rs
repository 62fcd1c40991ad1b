//! What the members of a group are measured by for one key, and how each of them stands by it.
//!
//! Holds: what is known of a member is void as soon as its generation moves; standings belong to one proof, so that a late answer
//! about an earlier proof can't change what is known by the present one. Read by every request without a lock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::job::Proof;

/// A proof of a key, or that there can be none; and the members' standings by it.
pub(super) struct Reference {
    proof: Option<Arc<Proof>>,
    standings: Box<[Standing]>,
    made: Instant,
    challenged: AtomicBool,
}

/// A member by a proof. Generations are kept plus one; 0 is none.
#[derive(Default)]
struct Standing {
    proved: AtomicU64,
    excluded: AtomicU64,
}

/// How a member may be used for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It has the key, or nothing can tell that it has not.
    Proved,
    /// It has to verify this first.
    ToProve(Arc<Proof>),
    /// Its key is another one.
    Excluded,
}

impl Reference {
    /// Of a key with a proof, and members that are still to verify it.
    pub(super) fn new(proof: Proof, members: usize, now: Instant) -> Arc<Self> {
        Arc::new(Self::of(Some(Arc::new(proof)), members, now))
    }

    /// Of a key whose usage does not allow both encryption and decryption.
    pub(super) fn unprovable(members: usize, now: Instant) -> Arc<Self> {
        Arc::new(Self::of(None, members, now))
    }

    fn of(proof: Option<Arc<Proof>>, members: usize, made: Instant) -> Self {
        Self { proof, standings: (0..members).map(|_| Standing::default()).collect(), made, challenged: AtomicBool::new(false) }
    }

    /// Nothing tells the members apart: only the first of those that are up may serve.
    pub(super) const fn is_unprovable(&self) -> bool {
        self.proof.is_none()
    }

    /// A key's usage can change, so that it can be proved after all.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.is_unprovable() && now.saturating_duration_since(self.made) >= UNPROVABLE_FOR
    }

    /// How a member may be used in this generation of its own.
    pub(super) fn trust(&self, member: usize, generation: u64) -> Trust {
        let (Some(proof), Some(standing)) = (&self.proof, self.standings.get(member)) else { return Trust::Proved };
        let mark = generation.saturating_add(1);
        if standing.excluded.load(Ordering::Acquire) == mark {
            Trust::Excluded
        } else if standing.proved.load(Ordering::Acquire) == mark {
            Trust::Proved
        } else {
            Trust::ToProve(Arc::clone(proof))
        }
    }

    /// The member has verified the proof in this generation. True: it was not known before.
    pub(super) fn prove(&self, member: usize, generation: u64) -> bool {
        let mark = generation.saturating_add(1);
        self.standings.get(member).is_some_and(|standing| {
            standing.excluded.compare_exchange(mark, 0, Ordering::AcqRel, Ordering::Acquire).ok();
            standing.proved.swap(mark, Ordering::AcqRel) != mark
        })
    }

    /// The member has failed the proof in this generation. True: it was not known before.
    pub(super) fn exclude(&self, member: usize, generation: u64) -> bool {
        let mark = generation.saturating_add(1);
        let news = self.standings.get(member).is_some_and(|standing| standing.excluded.swap(mark, Ordering::AcqRel) != mark);
        if news {
            self.challenged.store(false, Ordering::Release);
        }
        news
    }

    /// All members may have failed it: is the proof itself still to be put in question? Not twice by the same failures.
    pub(super) fn may_be_challenged(&self) -> bool {
        !self.is_unprovable() && !self.challenged.load(Ordering::Acquire)
    }

    /// It was put in question, and stood.
    pub(super) fn stands(&self) {
        self.challenged.store(true, Ordering::Release);
    }
}

/// For how long a key that could not be proved is taken for one that can't.
const UNPROVABLE_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> Arc<Reference> {
        Reference::new(Proof { iv: vec![0; 12], ciphertext: vec![1], tag: [2; 16] }, 2, Instant::now())
    }

    fn to_prove(reference: &Reference) -> Trust {
        Trust::ToProve(Arc::clone(reference.proof.as_ref().unwrap()))
    }

    #[test]
    fn a_standing_is_of_one_member_in_one_generation() {
        let reference = reference();
        assert_eq!(reference.trust(0, 0), to_prove(&reference));
        assert!(reference.prove(0, 0));
        assert!(!reference.prove(0, 0));
        assert_eq!(reference.trust(0, 0), Trust::Proved);
        assert_eq!(reference.trust(1, 0), to_prove(&reference));
        assert_eq!(reference.trust(0, 1), to_prove(&reference));
        assert!(reference.exclude(0, 1));
        assert!(!reference.exclude(0, 1));
        assert_eq!(reference.trust(0, 1), Trust::Excluded);
        assert_eq!(reference.trust(0, 2), to_prove(&reference));
    }

    #[test]
    fn a_member_that_verifies_after_all_is_no_longer_excluded() {
        let reference = reference();
        reference.exclude(1, 3);
        reference.prove(1, 3);
        assert_eq!(reference.trust(1, 3), Trust::Proved);
    }

    #[test]
    fn a_proof_that_stood_is_put_in_question_by_new_failures_only() {
        let reference = reference();
        assert!(reference.may_be_challenged());
        reference.exclude(0, 1);
        reference.stands();
        reference.exclude(0, 1);
        assert!(!reference.may_be_challenged());
        reference.exclude(0, 2);
        assert!(reference.may_be_challenged());
    }

    #[test]
    fn a_key_that_could_not_be_proved_is_tried_again() {
        let now = Instant::now();
        let reference = Reference::unprovable(2, now);
        assert_eq!(reference.trust(1, 7), Trust::Proved);
        assert!(!reference.may_be_challenged());
        assert!(!reference.is_stale(now));
        assert!(reference.is_stale(now + UNPROVABLE_FOR));
        assert!(!Reference::new(Proof { iv: vec![], ciphertext: vec![], tag: [0; 16] }, 2, now).is_stale(now + UNPROVABLE_FOR));
    }
}
