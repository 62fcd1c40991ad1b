//! What the reconciler makes: one checked set of records, under the revision at which it last changed.
//!
//! Always holds: two builds with different digests have different revisions, the newer the greater; a commit that changes no record
//! moves only [`Built::covers`], so that nodes are not made to write what they have. Called by `reconcile`, read by each session.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use holdfast_proto::{
    ids::{KeyId, Revision},
    snapshot::{Digest, RecordSet},
};
use uuid::Uuid;

use super::records::PendingVersions;

/// A built configuration.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    /// The records.
    pub(crate) set: RecordSet,
    /// The store's revision when the records last changed; what nodes are told.
    pub(crate) revision: Revision,
    /// The store's revision up to which this build is the whole truth; at least `revision`.
    pub(crate) covers: Revision,
    /// The set's digest.
    pub(crate) digest: Digest,
    /// When the newest change was committed, milliseconds since 1970; 0: before this process knew.
    pub(crate) committed_at_ms: u64,
    /// Keys with versions that wait for all nodes to have them.
    pub(crate) pending: BTreeMap<KeyId, PendingKey>,
}

/// The pending versions of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingKey {
    /// Whose versions they are.
    pub(crate) virtual_key: Uuid,
    /// Number and tag of each, with a revision from which on nodes have it.
    pub(crate) since: BTreeMap<(u32, [u8; 4]), Revision>,
}

/// The last few builds, from which a difference can be made for a node that holds one of them. They share what did not change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(VecDeque<Arc<Built>>);

impl Built {
    /// A set under the revision that made it.
    pub(crate) fn new(set: RecordSet, revision: Revision, committed_at_ms: u64) -> Self {
        Self { digest: set.digest(), set, revision, covers: revision, committed_at_ms, pending: BTreeMap::new() }
    }

    /// The same with its pending versions: those of `before`, but for keys that were `read` since.
    pub(super) fn with_pending(mut self, before: Option<&Self>, read: &BTreeMap<KeyId, Option<PendingVersions>>) -> Self {
        let before = before.map(|before| &before.pending);
        self.pending = before.cloned().unwrap_or_default();
        for (id, found) in read {
            let known = before.and_then(|before| before.get(id));
            let Some(found) = found else {
                self.pending.remove(id);
                continue;
            };
            let since = |version| known.and_then(|known| known.since.get(version)).copied().unwrap_or(self.revision);
            let since = found.versions.iter().map(|version| (*version, since(version))).collect();
            self.pending.insert(*id, PendingKey { virtual_key: found.virtual_key, since });
        }
        self
    }
}

impl Recent {
    /// Remembers a build and forgets the oldest beyond [`REMEMBERED`].
    pub(crate) fn push(&mut self, built: Arc<Built>) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(built);
    }

    /// The newest remembered build with this digest.
    pub(crate) fn find(&self, digest: &[u8]) -> Option<&Arc<Built>> {
        self.0.iter().rev().find(|built| built.digest == digest)
    }
}

/// Builds remembered. A node that was away for longer gets everything.
const REMEMBERED: usize = 16;
