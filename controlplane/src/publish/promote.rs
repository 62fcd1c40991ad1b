//! Pending versions become active when every node can decrypt with them (design §6).
//!
//! Always holds: a version becomes active only when each registered node that is not away has acknowledged durably a revision in which it
//! was pending, so that no node ever meets a ciphertext that it can't open; a node is registered before it is sent anything. The newest
//! such version of a key becomes active, those before it retire. The first version of a key is no exception: a node that has the key
//! already must not encrypt under it before the others can decrypt; with one connected node that takes two pushes, tens of milliseconds.
//! A version that one of them can't open, though it opens the one that encrypts now, waits as well: a key seal that has not reached all hosts
//! yet must not turn into failures. A node that can open neither holds nothing up.
//! While no node is registered, or all are away, nothing is promoted: nobody could be harmed by waiting, since nobody can encrypt, and a
//! node cut off from here but not from KMS stays as little behind as can be. A node that was enrolled but never came counts for nothing.

use std::{collections::BTreeSet, sync::Arc};

use holdfast_proto::{
    ids::{KeyId, Revision},
    state::{VersionCommand, VersionState},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use uuid::Uuid;

use super::{built::Built, nodes::Nodes, reconcile::Published};
use crate::{
    audit::{Audit, Changes},
    clock::now_ns,
    store::{
        CommitError, ReadError, Store, View,
        entry::{Entry, EntryChange, VersionEntry},
    },
};

/// Watches nodes and configuration, and commits promotions.
pub(super) struct Promoter {
    pub(super) store: Arc<dyn Store>,
    pub(super) audit: Audit,
    pub(super) nodes: Arc<Nodes>,
    pub(super) published: watch::Receiver<Published>,
}

/// A key of which all nodes have some pending versions.
struct Ripe {
    key: KeyId,
    virtual_key: Uuid,
    versions: BTreeSet<(u32, [u8; 4])>,
}

/// Why nothing was promoted this time.
#[derive(Debug, thiserror::Error)]
enum Unpromoted {
    #[error("the store can't be read")]
    Read(#[from] ReadError),
    #[error("the promotion was not committed")]
    Commit(#[from] CommitError),
}

impl Promoter {
    /// Goes on until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut moved = self.nodes.moved();
        let mut done = Revision::default();
        let mut failing = false;
        loop {
            let built = Arc::clone(&self.published.borrow_and_update().built);
            moved.borrow_and_update();
            // What was promoted last must be built before it makes sense to look again.
            if built.covers >= done {
                match self.promote(&built).await {
                    Ok(revision) => (done, failing) = (revision.unwrap_or(done), false),
                    // Another commit came first. Its build wakes this up, but nothing is lost by trying again at once.
                    Err(Unpromoted::Commit(CommitError::Conflict { .. })) => continue,
                    Err(error) => {
                        if !std::mem::replace(&mut failing, true) {
                            error!(error = &error as &dyn std::error::Error, "pending versions can't be made active");
                        }
                    }
                }
            }
            let alive = tokio::select! {
                () = stop.cancelled() => return,
                alive = self.published.changed() => alive,
                alive = moved.changed() => alive,
            };
            if alive.is_err() {
                return;
            }
        }
    }

    async fn promote(&self, built: &Built) -> Result<Option<Revision>, Unpromoted> {
        let Some(everywhere) = self.nodes.durable_everywhere() else { return Ok(None) };
        let ripe = ripe(built, everywhere);
        if ripe.is_empty() {
            return Ok(None);
        }
        let unusable = self.nodes.unusable();
        let view = View::of(&self.store).await?;
        let revision = view.revision();
        let mut changes = Vec::new();
        for key in ripe {
            changes.extend(promoted(&view, &key, &unusable)?.into_iter().flatten());
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let (keys, shown) = (changes.len() / 2, Changes::of(&view, &changes)?);
        drop(view);
        let revision = self.store.commit(revision, changes).await?;
        self.audit.system("promotion", &shown);
        info!(%revision, keys, "pending versions made active");
        metrics::counter!("holdfast_promotions_total").increment(u64::try_from(keys).unwrap_or(u64::MAX));
        Ok(Some(revision))
    }
}

fn ripe(built: &Built, everywhere: Revision) -> Vec<Ripe> {
    let ripe = built.pending.iter().filter_map(|(key, pending)| {
        let versions = pending.since.iter().filter(|(_, since)| **since <= everywhere).map(|(version, _)| *version);
        let versions: BTreeSet<_> = versions.collect();
        (!versions.is_empty()).then_some(Ripe { key: *key, virtual_key: pending.virtual_key, versions })
    });
    ripe.take(MOST_AT_ONCE).collect()
}

/// The virtual key and the HYOK key with new stamps, since what a key store publishes changes only with an entry of that key store.
fn promoted(view: &View, key: &Ripe, unusable: &[BTreeSet<(KeyId, u32)>]) -> Result<Option<[EntryChange; 2]>, ReadError> {
    let (Some(mut virtual_key), Some(mut hyok_key)) = (view.virtual_key(key.virtual_key)?, view.find_hyok_key(key.key)?) else {
        return Ok(None);
    };
    let opened = opened(key, virtual_key.active().map(|active| active.number), unusable);
    if hyok_key.virtual_key != virtual_key.id || !activate_newest(&mut virtual_key.versions, &opened) {
        return Ok(None);
    }
    virtual_key.stamps.updated_ns = now_ns();
    hyok_key.stamps.updated_ns = virtual_key.stamps.updated_ns;
    Ok(Some([EntryChange::put(Entry::VirtualKey(virtual_key)), EntryChange::put(Entry::HyokKey(hyok_key))]))
}

/// The versions of a key under which nobody would lose it who has it under `active`.
fn opened(key: &Ripe, active: Option<u32>, unusable: &[BTreeSet<(KeyId, u32)>]) -> BTreeSet<(u32, [u8; 4])> {
    let fails = |lacks: &BTreeSet<(KeyId, u32)>, version| lacks.contains(&(key.key, version));
    let lost = |version| active.is_some_and(|active| unusable.iter().any(|lacks| fails(lacks, version) && !fails(lacks, active)));
    key.versions.iter().filter(|(version, _)| !lost(*version)).copied().collect()
}

/// Makes the newest pending version that is `everywhere` active and retires those before it. Whether anything changed.
fn activate_newest(versions: &mut [VersionEntry], everywhere: &BTreeSet<(u32, [u8; 4])>) -> bool {
    let able = |v: &&VersionEntry| match v.state {
        VersionState::Pending => everywhere.contains(&(v.number, v.tag)),
        VersionState::Active => true,
        VersionState::Retired => false,
    };
    let Some(newest) = versions.iter().filter(able).map(|v| v.number).max() else { return false };
    let mut changed = false;
    for version in versions {
        let command = if version.number == newest { VersionCommand::Activate } else { VersionCommand::Retire };
        if let Some(next) = version.state.step(command).filter(|_| version.number <= newest) {
            version.state = next;
            changed = true;
        }
    }
    changed
}

/// Keys promoted in one commit; while it is prepared nobody else can commit.
const MOST_AT_ONCE: usize = 1_000;

#[cfg(test)]
mod tests {
    use VersionState::{Active, Pending, Retired};

    use super::*;

    fn versions(states: &[VersionState]) -> Vec<VersionEntry> {
        let version = |(number, state): (u32, &VersionState)| VersionEntry {
            number,
            tag: number.to_be_bytes(),
            state: *state,
            source: Uuid::from_u128(number.into()),
            created_ns: 0,
        };
        (0..).zip(states).map(version).collect()
    }

    fn after(states: &[VersionState], everywhere: &[u32]) -> (Vec<VersionState>, bool) {
        let mut versions = versions(states);
        let changed = activate_newest(&mut versions, &everywhere.iter().map(|n| (*n, n.to_be_bytes())).collect());
        (versions.iter().map(|v| v.state).collect(), changed)
    }

    #[test]
    fn the_newest_version_that_all_have_becomes_active_and_those_before_it_retire() {
        assert_eq!(after(&[Active, Pending, Pending, Pending], &[1, 2, 3]), (vec![Retired, Retired, Retired, Active], true));
        assert_eq!(after(&[Active, Pending, Pending, Pending], &[1, 2]), (vec![Retired, Retired, Active, Pending], true));
        assert_eq!(after(&[Pending], &[0]), (vec![Active], true));
    }

    #[test]
    fn what_not_all_have_stays_as_it_is() {
        assert_eq!(after(&[Active, Pending], &[]), (vec![Active, Pending], false));
        assert_eq!(after(&[Pending], &[]), (vec![Pending], false));
        assert_eq!(after(&[Active, Retired], &[1]), (vec![Active, Retired], false));
    }

    #[test]
    fn a_version_number_made_anew_is_not_the_one_that_all_have() {
        let mut anew = versions(&[Active, Pending]);
        anew[1].tag = [9; 4];
        assert!(!activate_newest(&mut anew, &BTreeSet::from([(1, 1u32.to_be_bytes())])));
    }

    #[test]
    fn a_version_waits_while_a_node_would_lose_the_key_under_it() {
        let id = KeyId(Uuid::from_u128(1));
        let key = Ripe { key: id, virtual_key: Uuid::nil(), versions: BTreeSet::from([(1, [1; 4]), (2, [2; 4])]) };
        let numbers = |active, unusable: &[&[u32]]| {
            let unusable: Vec<_> = unusable.iter().map(|node| node.iter().map(|version| (id, *version)).collect()).collect();
            opened(&key, active, &unusable).into_iter().map(|(number, _)| number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(Some(0), &[]), [1, 2]);
        assert_eq!(numbers(Some(0), &[&[], &[2]]), [1]);
        assert_eq!(numbers(Some(0), &[&[0, 1, 2]]), [1, 2], "it could open none before");
        assert_eq!(numbers(None, &[&[1]]), [1, 2], "nothing encrypts yet");
    }
}
