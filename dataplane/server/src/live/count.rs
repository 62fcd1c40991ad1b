//! How often each version has encrypted on this node (design §6).
//!
//! Holds: a request only adds to an atomic; blocks are reserved ahead, in the background, by whoever calls [`Ledger::reserve`] and
//! writes what it gives to disk. What was reserved and not used before a crash counts as used, and one block more, since the last block
//! may have been in use before it was on disk. At 2³² encryptions under one key (NIST SP 800-38D section 8.3: random 96-bit IVs) there are no more. The ledger outlives snapshots.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use holdfast_proto::ids::KeyId;

/// Names what is counted: one making of one version number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountName {
    /// The key.
    pub key: KeyId,
    /// The version.
    pub version: u32,
    /// Tells a re-used number after a restore.
    pub tag: [u8; 4],
}

/// One version's encryptions on this node.
#[derive(Debug)]
pub struct Count {
    used: AtomicU64,
    reserved: AtomicU64,
    /// Shared by all counts of a ledger: some count wants a block.
    wanted: Arc<AtomicBool>,
}

/// This key has encrypted as often as it may. It still decrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the version has made 2^32 encryptions on this node, the most that random IVs allow (NIST SP 800-38D)")]
pub struct LimitReached;

/// A version's count at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What was counted.
    pub name: CountName,
    /// Encryptions, or the block that they were reserved in.
    pub reserved: u64,
}

/// All counts of this node.
#[derive(Debug)]
pub struct Ledger {
    counts: Mutex<Counts>,
    wanted: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Counts {
    by_name: HashMap<CountName, Arc<Count>>,
    /// What a version that the counts file doesn't know starts from.
    unknown: u64,
}

impl Count {
    /// Counts one encryption that is about to be made.
    ///
    /// # Errors
    /// [`LimitReached`].
    pub fn take(&self) -> Result<(), LimitReached> {
        // Looked at before as well, so that refused calls don't move the count for ever.
        if self.used.load(Ordering::Relaxed) >= MOST_ENCRYPTIONS {
            return Err(LimitReached);
        }
        let used = self.used.fetch_add(1, Ordering::Relaxed);
        if used >= MOST_ENCRYPTIONS {
            return Err(LimitReached);
        }
        self.want_block(used + 1);
        Ok(())
    }

    /// Counts encryptions that nothing refuses: those of a token's key. They are counted up to the most that a local key makes.
    pub fn note(&self, encryptions: u64) {
        let used = self.used.load(Ordering::Relaxed);
        if used < MOST_ENCRYPTIONS {
            let used = self.used.fetch_add(encryptions, Ordering::Relaxed).saturating_add(encryptions);
            self.want_block(used);
        }
    }

    /// Encryptions so far, never fewer than there were.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed).min(MOST_ENCRYPTIONS)
    }
}

impl Ledger {
    /// Goes on from an earlier run's counts. A run that did not end cleanly may have encrypted more than it wrote down: each count goes on
    /// one block later, and a version that it never wrote down starts with one block used, until [`Ledger::settle`].
    #[must_use]
    pub fn resume(counted: impl IntoIterator<Item = Counted>, clean: bool) -> Self {
        let wanted = Arc::new(AtomicBool::new(false));
        let charged = if clean { 0 } else { RESERVED_AT_ONCE };
        let charge = |counted: Counted| counted.reserved.saturating_add(charged).min(MOST_ENCRYPTIONS);
        let resumed = counted.into_iter().map(|c| (c.name, Arc::new(Count::from(charge(c), &wanted))));
        let counts = Counts { by_name: resumed.collect(), unknown: charged };
        Self { counts: Mutex::new(counts), wanted }
    }

    /// The count of a version, made where there is none.
    #[must_use]
    pub fn count(&self, name: CountName) -> Arc<Count> {
        let mut counts = self.lock();
        let unknown = counts.unknown;
        if unknown > 0 && !counts.by_name.contains_key(&name) {
            self.wanted.store(true, Ordering::Relaxed);
        }
        Arc::clone(counts.by_name.entry(name).or_insert_with(|| Arc::new(Count::from(unknown, &self.wanted))))
    }

    /// All versions of the earlier run are known by now: others are new and have not encrypted.
    pub fn settle(&self) {
        self.lock().unknown = 0;
    }

    /// Some count wants a block, or has been charged one.
    #[must_use]
    pub fn wants(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Reserves where half of a block is used, and gives all counts to be written down. Versions that are gone and never
    /// encrypted are forgotten.
    #[must_use]
    pub fn reserve(&self) -> Vec<Counted> {
        // First, so that a want that comes up while we look is seen by the next call.
        self.wanted.store(false, Ordering::Relaxed);
        let mut counts = self.lock();
        counts.by_name.retain(|_, count| Arc::strong_count(count) > 1 || count.used() > 0);
        for count in counts.by_name.values() {
            count.reserve();
        }
        counted(&counts)
    }

    /// All reserved counts.
    #[must_use]
    pub fn counted(&self) -> Vec<Counted> {
        counted(&self.lock())
    }

    /// What was really used, to be written down when nothing encrypts any more.
    #[must_use]
    pub fn close(&self) -> Vec<Counted> {
        let counts = self.lock();
        let used = counts.by_name.iter().map(|(name, count)| Counted { name: *name, reserved: count.used() });
        used.filter(|c| c.reserved > 0).collect()
    }

    /// A block could not be written down: it is wanted still.
    pub fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    fn from(reserved: u64, wanted: &Arc<AtomicBool>) -> Self {
        Self { used: AtomicU64::new(reserved), reserved: AtomicU64::new(reserved), wanted: Arc::clone(wanted) }
    }

    fn want_block(&self, used: u64) {
        if wants_block(used, self.reserved.load(Ordering::Relaxed)) && !self.wanted.load(Ordering::Relaxed) {
            self.wanted.store(true, Ordering::Relaxed);
        }
    }

    fn reserve(&self) {
        let used = self.used();
        let reserved = self.reserved.load(Ordering::Relaxed);
        if used > 0 && wants_block(used, reserved) {
            let next = used.max(reserved).next_multiple_of(RESERVED_AT_ONCE);
            let next = if wants_block(used, next) { next + RESERVED_AT_ONCE } else { next };
            self.reserved.store(next.min(MOST_ENCRYPTIONS), Ordering::Relaxed);
        }
    }
}

/// Less than half a block is left, and the key has more to give.
const fn wants_block(used: u64, reserved: u64) -> bool {
    reserved < MOST_ENCRYPTIONS && used + RESERVED_AT_ONCE / 2 > reserved
}

fn counted(counts: &Counts) -> Vec<Counted> {
    let all = counts.by_name.iter().map(|(name, count)| Counted { name: *name, reserved: count.reserved.load(Ordering::Relaxed) });
    all.filter(|c| c.reserved > 0).collect()
}

/// A block: how many encryptions are reserved at once.
pub const RESERVED_AT_ONCE: u64 = 1 << 20;

/// Most encryptions under one key with random 96-bit IVs (NIST SP 800-38D section 8.3).
pub const MOST_ENCRYPTIONS: u64 = 1 << 32;

/// From here on a key should be rotated: a local one rotates by itself, one on a token raises an alert (design §6).
pub const ROTATION_DUE: u64 = 1 << 31;

#[cfg(test)]
mod tests {
    use holdfast_proto::ids::KeyId;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn name(n: u8) -> CountName {
        CountName { key: KeyId(Uuid::from_bytes([n; 16])), version: 0, tag: [n; 4] }
    }

    fn fresh() -> Ledger {
        Ledger::resume([], true)
    }

    #[test]
    fn a_block_is_reserved_at_the_first_encryption_and_at_half_of_each() {
        let ledger = fresh();
        let count = ledger.count(name(1));
        assert!(!ledger.wants());
        assert_eq!(ledger.reserve(), []);
        count.take().unwrap();
        assert!(ledger.wants());
        assert_eq!(ledger.reserve(), [Counted { name: name(1), reserved: RESERVED_AT_ONCE }]);
        for _ in 1..RESERVED_AT_ONCE / 2 {
            count.take().unwrap();
        }
        assert!(!ledger.wants());
        count.take().unwrap();
        assert!(ledger.wants());
        assert_eq!(ledger.reserve(), [Counted { name: name(1), reserved: 2 * RESERVED_AT_ONCE }]);
        assert!(!ledger.wants());
    }

    #[test]
    fn encryption_ends_at_the_limit_and_not_before() {
        let ledger = Ledger::resume([Counted { name: name(1), reserved: MOST_ENCRYPTIONS - 2 }], true);
        let count = ledger.count(name(1));
        assert_eq!([count.take(), count.take(), count.take()], [Ok(()), Ok(()), Err(LimitReached)]);
        assert_eq!(count.take(), Err(LimitReached));
        assert_eq!(ledger.reserve(), [Counted { name: name(1), reserved: MOST_ENCRYPTIONS }]);
        assert_eq!(ledger.close(), [Counted { name: name(1), reserved: MOST_ENCRYPTIONS }]);
    }

    #[test]
    fn what_is_noted_is_counted_reserved_and_never_refused() {
        let ledger = Ledger::resume([Counted { name: name(1), reserved: MOST_ENCRYPTIONS - 3 }], true);
        let count = ledger.count(name(1));
        let fresh = ledger.count(name(2));
        fresh.note(2);
        assert_eq!(fresh.used(), 2);
        assert!(ledger.wants());
        (0..3).for_each(|_| count.note(2));
        assert_eq!(count.used(), MOST_ENCRYPTIONS);
        let reserved = ledger.reserve();
        assert!(reserved.contains(&Counted { name: name(2), reserved: RESERVED_AT_ONCE }), "{reserved:?}");
        assert!(reserved.contains(&Counted { name: name(1), reserved: MOST_ENCRYPTIONS }), "{reserved:?}");
    }

    #[test]
    fn an_unclean_end_charges_a_block_more_than_was_written_down() {
        let ledger = Ledger::resume([Counted { name: name(1), reserved: 5 }], false);
        assert_eq!(ledger.count(name(1)).used(), 5 + RESERVED_AT_ONCE);
        assert_eq!(ledger.count(name(2)).used(), RESERVED_AT_ONCE);
        assert!(ledger.wants());
        ledger.settle();
        assert_eq!(ledger.count(name(3)).used(), 0);
        let clean = Ledger::resume([], true);
        assert_eq!(clean.count(name(2)).used(), 0);
        assert!(!clean.wants());
    }

    #[test]
    fn a_version_that_comes_back_goes_on_from_its_count() {
        let ledger = fresh();
        let unused = ledger.count(name(2));
        ledger.count(name(1)).take().unwrap();
        drop(unused);
        assert_eq!(ledger.reserve().len(), 1);
        assert_eq!(ledger.count(name(1)).used(), 1);
        // The same number made again is another version.
        assert_eq!(ledger.count(CountName { tag: [9; 4], ..name(1) }).used(), 0);
    }

    proptest! {
        // Up to a block between two looks, of which half is reserved ahead and all is charged after a crash.
        #[test]
        fn a_crash_never_forgets_an_encryption(steps in prop::collection::vec((0..3u8, 0..RESERVED_AT_ONCE, any::<bool>()), 1..12)) {
            let mut made = [0u64; 3];
            let mut ledger = fresh();
            let mut written = Vec::new();
            for (version, encryptions, crash) in steps {
                let count = ledger.count(name(version));
                count.used.fetch_add(encryptions, Ordering::Relaxed);
                count.take().unwrap();
                made[usize::from(version)] += encryptions + 1;
                drop(count);
                if crash {
                    ledger = Ledger::resume(written, false);
                    // As the snapshot does that is restored then.
                    (0..3).for_each(|version| drop(ledger.count(name(version))));
                }
                written = ledger.reserve();
            }
            for version in 0..3u8 {
                prop_assert!(ledger.count(name(version)).used() >= made[usize::from(version)]);
            }
        }
    }
}
