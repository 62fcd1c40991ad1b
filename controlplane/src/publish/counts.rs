//! How often nodes have encrypted under each version and each source key, summed (design §6), and which versions are due to be replaced.
//!
//! Always holds: a sum never falls. What wears out is the source key: all that was encrypted under it counts, whichever key and version it
//! was for, deleted keys too. A node counts for ever; one that comes back with a block less than before, or more, has lost its
//! state, and what it counts from then on is added to what it had. Less than a block is no loss: a node that was stopped in order
//! reserves anew from what it really used. Counts are noted beside the configuration and move no revision.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};

use holdfast_proto::{
    ids::KeyId,
    records::{SourceKey, Version},
    snapshot::{Digest, RecordSet},
    state::VersionState,
    sync::EncryptionCount,
};
use tracing::warn;
use uuid::Uuid;

use crate::{
    names::NodeName,
    store::entry::{CountEntry, Entry, EntryName},
};

/// All counts.
#[derive(Debug)]
pub(super) struct Counts {
    versions: BTreeMap<VersionName, BTreeMap<NodeName, Count>>,
    /// Of which source key each is, as far as it was ever seen published.
    sources: HashMap<VersionName, SourceName>,
    /// Counted, and not seen published yet.
    unseen: HashSet<VersionName>,
    /// The set that was last looked through for those, by its digest, where some were not in it.
    missed_in: Option<Digest>,
    /// What keys that are gone had encrypted.
    before: HashMap<SourceName, u64>,
    /// When each was last called due.
    called: HashMap<VersionName, Instant>,
    rotate_at: u64,
}

/// A source key, as it is published.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum SourceName {
    /// Of a local key.
    Local(Uuid),
    /// Group, id and label; one of the latter may be empty.
    Partition(String, Box<[u8]>, String),
}

/// Key, number and tag.
type VersionName = (KeyId, u32, [u8; 4]);

/// One node's count.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// What it had counted before it lost its state.
    before: u64,
    /// What it says.
    told: u64,
}

impl Counts {
    /// Starts from what was noted; `before` is what keys that are gone had encrypted under source keys.
    pub(super) fn new<'a>(noted: Vec<CountEntry>, before: impl IntoIterator<Item = (&'a SourceKey, u64)>, rotate_at: u64) -> Self {
        let before = before.into_iter().filter(|(_, sum)| *sum > 0).map(|(source, sum)| (SourceName::of(source), sum)).collect();
        let mut counts = Self {
            versions: BTreeMap::new(),
            sources: HashMap::new(),
            unseen: HashSet::new(),
            missed_in: None,
            before,
            called: HashMap::new(),
            rotate_at,
        };
        for note in noted {
            let nodes = counts.counted((note.key, note.version, note.tag));
            nodes.insert(note.node, Count { before: note.lost, told: note.reserved.saturating_sub(note.lost) });
        }
        counts
    }

    /// Takes a node's report; gives what is to be noted.
    pub(super) fn report(&mut self, node: &NodeName, told: &[EncryptionCount]) -> Vec<Entry> {
        let mut notes = Vec::new();
        for report in told {
            let (Ok(key), Ok(tag)) = (Uuid::from_slice(&report.key_id), <[u8; 4]>::try_from(report.tag.as_slice())) else { continue };
            let (key, version) = (KeyId(key), report.version);
            let count = self.counted((key, version, tag)).entry(node.clone()).or_default();
            if count.told.saturating_sub(report.reserved) >= BLOCK {
                *count = Count { before: count.sum(), told: report.reserved };
            }
            count.told = count.told.max(report.reserved);
            let (reserved, lost) = (count.sum(), count.before);
            notes.push(Entry::Count(CountEntry { key, version, tag, node: node.clone(), reserved, lost }));
        }
        notes
    }

    /// Keys whose active version is on a source key that was used up to the limit and is local, so that they are to be rotated. Called
    /// again for the same version only after [`CALL_AGAIN`], in case it was in vain. The like in a partition raises an alert instead.
    pub(super) fn due(&mut self, set: &RecordSet, now: Instant) -> Vec<KeyId> {
        self.learn(set);
        let mut sums = self.before.clone();
        for (name, nodes) in &self.versions {
            if let Some(source) = self.sources.get(name) {
                let sum = sums.entry(source.clone()).or_default();
                *sum = nodes.values().fold(*sum, |sum, count| sum.saturating_add(count.sum()));
            }
        }
        metrics::gauge!("holdfast_encryptions_under_one_source_key").set(sums.values().copied().max().unwrap_or(0) as f64);
        sums.retain(|_, sum| *sum >= self.rotate_at);
        let mut due = Vec::new();
        if sums.is_empty() {
            return due;
        }
        for version in versions(set).filter(|version| version.state == VersionState::Active) {
            let name = name(version);
            let Some(sum) = sums.get(&SourceName::of(&version.source)) else { continue };
            if self.called.get(&name).is_some_and(|called| now.saturating_duration_since(*called) < CALL_AGAIN) {
                continue;
            }
            match &version.source {
                SourceKey::Local(_) => due.push(name.0),
                SourceKey::Partition(_) => {
                    warn!(key = %name.0, version = name.1, encryptions = sum, "a key in a partition has encrypted so often that it should be rotated");
                    metrics::counter!("holdfast_rotation_alerts_total").increment(1);
                }
            }
            self.called.insert(name, now);
        }
        due
    }

    /// What nodes told of a version; a new one's source key is to be learned.
    fn counted(&mut self, name: VersionName) -> &mut BTreeMap<NodeName, Count> {
        self.versions.entry(name).or_insert_with(|| {
            self.unseen.insert(name);
            self.missed_in = None;
            BTreeMap::new()
        })
    }

    /// Which source key each version is on that was counted.
    fn learn(&mut self, set: &RecordSet) {
        if !self.may_learn_from(set) {
            return;
        }
        for version in versions(set) {
            let name = name(version);
            if self.unseen.remove(&name) {
                self.sources.insert(name, SourceName::of(&version.source));
            }
        }
        self.missed_in = (!self.unseen.is_empty()).then(|| set.digest());
    }

    /// A version that is never published, as one that a restore has undone, must not have every set looked through again and again.
    fn may_learn_from(&self, set: &RecordSet) -> bool {
        !self.unseen.is_empty() && self.missed_in.is_none_or(|missed| missed != set.digest())
    }

    /// Keys that were counted and are not published.
    pub(super) fn strangers(&self, set: &RecordSet) -> BTreeSet<KeyId> {
        let counted: BTreeSet<KeyId> = self.versions.keys().map(|(key, ..)| *key).collect();
        counted.into_iter().filter(|key| set.stores().all(|store| store.key(*key).is_none())).collect()
    }

    /// The key was deleted: what was counted of it is only kept as what its source keys have encrypted before. Gives the notes that are to
    /// go; the entries of source keys that are there remember the like.
    pub(super) fn forget(&mut self, key: KeyId) -> Vec<EntryName> {
        let mut notes = Vec::new();
        let (sources, before) = (&mut self.sources, &mut self.before);
        self.versions.retain(|name, nodes| {
            if name.0 != key {
                return true;
            }
            if let Some(source) = sources.remove(name) {
                let sum = before.entry(source).or_default();
                *sum = nodes.values().fold(*sum, |sum, count| sum.saturating_add(count.sum()));
            }
            notes.extend(nodes.keys().map(|node| EntryName::Count(key, name.1, node.clone())));
            false
        });
        self.unseen.retain(|(unseen, ..)| *unseen != key);
        self.called.retain(|(called, ..), _| *called != key);
        notes
    }

    /// How often one version has encrypted, as far as nodes have told.
    pub(super) fn sum(&self, name: VersionName) -> u64 {
        self.versions.get(&name).map_or(0, |nodes| nodes.values().fold(0, |sum, count| sum.saturating_add(count.sum())))
    }
}

impl Count {
    const fn sum(self) -> u64 {
        self.before.saturating_add(self.told)
    }
}

impl SourceName {
    fn of(source: &SourceKey) -> Self {
        match source {
            SourceKey::Local(blob) => Self::Local(blob.id),
            SourceKey::Partition(key) => Self::Partition(key.group.clone(), key.cka_id.clone(), key.label.clone()),
        }
    }
}

fn versions(set: &RecordSet) -> impl Iterator<Item = &Version> {
    set.stores().flat_map(|store| store.keys()).flat_map(|key| key.versions())
}

const fn name(version: &Version) -> VersionName {
    (version.key, version.number, version.tag)
}

/// What a node reserves at once (design §6).
const BLOCK: u64 = 1 << 20;
/// A version that is due is called so no more often.
const CALL_AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::fixtures::{active, key, key_id, partition_version, store};

    fn node(name: &str) -> NodeName {
        NodeName::try_from(name).unwrap()
    }

    fn told(reserved: u64) -> [EncryptionCount; 1] {
        [EncryptionCount { key_id: key_id(1).0.as_bytes().to_vec(), version: 0, reserved, tag: vec![7; 4] }]
    }

    const NAME: VersionName = (key_id(1), 0, [7; 4]);

    #[test]
    fn a_sum_never_falls_even_when_a_node_loses_its_state() {
        let mut counts = Counts::new(Vec::new(), [], 100);
        counts.report(&node("a"), &told(30 * BLOCK));
        counts.report(&node("b"), &told(20 * BLOCK));
        assert_eq!(counts.sum(NAME), 50 * BLOCK);
        // Of a node that begins again, the first block may be all that is missing.
        counts.report(&node("b"), &told(19 * BLOCK));
        assert_eq!(counts.sum(NAME), 69 * BLOCK);
        counts.report(&node("a"), &told(5 * BLOCK));
        assert_eq!(counts.sum(NAME), 74 * BLOCK);
        let notes = counts.report(&node("a"), &told(6 * BLOCK));
        assert_eq!(counts.sum(NAME), 75 * BLOCK);
        assert!(matches!(&notes[..], [Entry::Count(note)] if (note.reserved, note.lost) == (36 * BLOCK, 30 * BLOCK)));
    }

    #[test]
    fn a_node_that_was_restarted_in_order_is_not_charged_again() {
        let mut counts = Counts::new(Vec::new(), [], 100);
        for reserved in [3 * BLOCK, 2 * BLOCK + 1, 3 * BLOCK, 2 * BLOCK + 1, 3 * BLOCK - 1] {
            counts.report(&node("a"), &told(reserved));
            assert_eq!(counts.sum(NAME), 3 * BLOCK);
        }
        counts.report(&node("a"), &told(3 * BLOCK + 1));
        assert_eq!(counts.sum(NAME), 3 * BLOCK + 1);
    }

    #[test]
    fn what_was_noted_counts_after_a_restart_and_a_loss_is_charged_once() {
        let mut counts = Counts::new(Vec::new(), [], 100);
        counts.report(&node("a"), &told(30 * BLOCK));
        let mut notes = counts.report(&node("a"), &told(10 * BLOCK));
        for _ in 0..3 {
            let noted = notes.into_iter().filter_map(|note| if let Entry::Count(note) = note { Some(note) } else { None });
            counts = Counts::new(noted.collect(), [], 100);
            assert_eq!(counts.sum(NAME), 40 * BLOCK);
            notes = counts.report(&node("a"), &told(10 * BLOCK));
            assert_eq!(counts.sum(NAME), 40 * BLOCK);
        }
        counts.report(&node("a"), &told(11 * BLOCK));
        assert_eq!(counts.sum(NAME), 41 * BLOCK);
    }

    #[test]
    fn a_local_key_is_due_at_the_limit_and_not_called_again_within_a_minute() {
        let (set, _) = RecordSet::default().apply([store(1, false), key(1, 1, false), active(1, 1, 0)]).unwrap();
        let mut counts = Counts::new(Vec::new(), [], 100);
        let now = Instant::now();
        counts.report(&node("a"), &told(60));
        counts.report(&node("b"), &told(39));
        assert_eq!(counts.due(&set, now), []);
        counts.report(&node("b"), &told(40));
        assert_eq!(counts.due(&set, now), [key_id(1)]);
        assert_eq!(counts.due(&set, now), []);
        assert_eq!(counts.due(&set, now + CALL_AGAIN), [key_id(1)]);
    }

    #[test]
    fn a_deleted_key_s_counts_are_forgotten_and_their_notes_named() {
        let (set, _) = RecordSet::default().apply([store(1, false), key(1, 1, false), active(1, 1, 0)]).unwrap();
        let mut counts = Counts::new(Vec::new(), [], 100);
        counts.report(&node("a"), &told(60));
        counts.report(&node("b"), &told(60));
        assert_eq!(counts.strangers(&set), BTreeSet::new());
        assert_eq!(counts.strangers(&RecordSet::default()), [key_id(1)].into());
        let notes = ["a", "b"].map(|name| EntryName::Count(key_id(1), 0, node(name)));
        assert_eq!(counts.forget(key_id(1)), notes);
        assert_eq!((counts.sum(NAME), counts.strangers(&RecordSet::default())), (0, BTreeSet::new()));
    }

    #[test]
    fn a_set_is_looked_through_once_for_versions_that_are_not_in_it_and_again_for_new_ones() {
        let of = |n: u8| [EncryptionCount { key_id: key_id(n).0.as_bytes().to_vec(), ..told(60)[0].clone() }];
        let (without, _) = RecordSet::default().apply([store(1, false), key(1, 1, false), active(1, 1, 0)]).unwrap();
        let (with, _) = without.apply([key(1, 2, false), active(1, 2, 0)]).unwrap();
        let mut counts = Counts::new(Vec::new(), [], 100);
        assert!(!counts.may_learn_from(&without), "nothing was counted");
        counts.report(&node("a"), &of(2));
        assert!(counts.may_learn_from(&without));
        counts.learn(&without);
        counts.report(&node("b"), &of(2));
        assert!(!counts.may_learn_from(&without) && counts.may_learn_from(&with));
        counts.report(&node("a"), &of(1));
        assert!(counts.may_learn_from(&without), "another version was counted, which may be there");
        counts.learn(&without);
        counts.learn(&with);
        assert!(counts.unseen.is_empty() && !counts.may_learn_from(&without));
        assert_eq!(counts.sources.len(), 2);
        counts.report(&node("a"), &of(3));
        counts.forget(key_id(3));
        assert!(counts.unseen.is_empty(), "one that was forgotten is not looked for");
    }

    #[test]
    fn a_source_key_wears_out_by_all_that_was_encrypted_under_it() {
        let of = |n: u8, reserved| [EncryptionCount { key_id: key_id(n).0.as_bytes().to_vec(), ..told(reserved)[0].clone() }];
        // The fixtures' local versions are all on one source key.
        let both = [store(1, false), key(1, 1, false), active(1, 1, 0), key(1, 2, false), active(1, 2, 0)];
        let (both, _) = RecordSet::default().apply(both).unwrap();
        let (second, _) = RecordSet::default().apply([store(1, false), key(1, 2, false), active(1, 2, 0)]).unwrap();
        let now = Instant::now();

        let mut counts = Counts::new(Vec::new(), [], 100);
        counts.report(&node("a"), &of(1, 60));
        counts.report(&node("a"), &of(2, 39));
        assert_eq!(counts.due(&both, now), []);
        counts.forget(key_id(1));
        assert_eq!(counts.due(&second, now), []);
        counts.report(&node("a"), &of(2, 40));
        assert_eq!(counts.due(&second, now), [key_id(2)], "what the deleted key encrypted counts");

        let mut counts = Counts::new(Vec::new(), [], 100);
        counts.report(&node("a"), &of(1, 60));
        counts.report(&node("b"), &of(2, 40));
        assert_eq!(counts.due(&both, now), [key_id(1), key_id(2)], "both are on it");

        let worn = crate::publish::fixtures::source(1, 61);
        assert_eq!(Counts::new(Vec::new(), [(&worn, 99)], 100).due(&both, now), []);
        let mut counts = Counts::new(Vec::new(), [(&worn, 100)], 100);
        assert_eq!(counts.due(&second, now), [key_id(2)], "it was worn out before this process began");
    }

    #[test]
    fn only_an_active_local_version_is_rotated() {
        let pending = [store(1, false), key(1, 1, false), crate::publish::fixtures::version(1, 1, 0, 61)];
        let partition = [store(1, false), key(1, 1, false), partition_version(1, 1, 0)];
        for changes in [pending, partition] {
            let (set, _) = RecordSet::default().apply(changes).unwrap();
            let mut counts = Counts::new(Vec::new(), [], 100);
            counts.report(&node("a"), &told(100));
            assert_eq!(counts.due(&set, Instant::now()), []);
        }
    }
}
