//! What the reconciler makes: one checked set of records, under the revision at which it last changed.
//!
//! Always holds: two builds with different digests have different revisions, the newer the greater; a commit that changes no record
//! moves only [`Built::covers`], so that nodes are not made to write what they have. Called by `reconcile`, read by each session.

use std::{collections::VecDeque, sync::Arc};

use holdfast_proto::{
    ids::Revision,
    snapshot::{Digest, RecordSet},
};

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
    /// When the newest change was committed, milliseconds since 1970.
    pub(crate) committed_at_ms: u64,
}

/// The last few builds, from which a difference can be made for a node that holds one of them. They share what did not change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(VecDeque<Arc<Built>>);

impl Built {
    /// A set under the revision that made it.
    pub(crate) fn new(set: RecordSet, revision: Revision, committed_at_ms: u64) -> Self {
        Self { digest: set.digest(), set, revision, covers: revision, committed_at_ms }
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
