//! From the intended state to the records that nodes hold: what changed is read afresh, entry by entry, and the same code as on the
//! nodes checks the result as a whole.
//!
//! Always holds: a build is of one revision of the store; an error leaves the last build standing; a build takes no input but the store.
//! While entries are read no commit can be made, so that reading is kept short: after the first build only changed entries are read, and
//! the whole is compared one key store at a time. Called by `reconcile` alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use holdfast_proto::{
    ids::StoreId,
    snapshot::{RecordSet, Reject},
};
use tokio::task::{JoinError, spawn_blocking};
use tracing::error;

use super::{
    built::Built,
    records::{Defect, Found, Reader},
};
use crate::store::{CommitError, ReadError, Store, View, entry::EntryName, seal::ControlSeal};

/// Builds, and remembers what it needs for the next time.
pub(super) struct Builder {
    store: Arc<dyn Store>,
    seal: ControlSeal,
    current: Option<Arc<Built>>,
    /// Entries left out of the last build, with the reason as it was logged.
    defects: BTreeMap<EntryName, String>,
    /// Key stores to read whole at the next build.
    suspects: BTreeSet<StoreId>,
    /// The next build gets a new revision even if its records are the same.
    renew: bool,
}

/// Why there is no new build. The last one stands.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    /// The store can't be read.
    #[error("the intended state can't be read")]
    Read(#[from] ReadError),
    /// The entries contradict each other, which `core` should not have let happen.
    #[error("the intended state is inconsistent")]
    Reject(#[from] Reject),
    /// A defect in this module.
    #[error("building was broken off")]
    Broken(#[from] JoinError),
}

/// What is read afresh.
enum Read {
    Everything,
    /// These entries, and these key stores whole.
    Entries(BTreeSet<EntryName>, BTreeSet<StoreId>),
}

impl Builder {
    pub(super) fn new(store: Arc<dyn Store>, seal: ControlSeal) -> Self {
        Self { store, seal, current: None, defects: BTreeMap::new(), suspects: BTreeSet::new(), renew: false }
    }

    /// Builds what the store holds now. The same `Arc` as before where nothing was committed since.
    pub(super) async fn build(&mut self) -> Result<Arc<Built>, BuildError> {
        let view = View::of(&self.store).await?;
        let revision = view.revision();
        let head = self.store.head();
        // No commit can come in between while the view is held.
        let (read, committed_at_ms) = match &self.current {
            Some(current) if current.covers == revision && self.suspects.is_empty() => return Ok(Arc::clone(current)),
            Some(current) => match head.changed_since(current.covers) {
                Some(changed) => (Read::Entries(changed.names, self.suspects.clone()), changed.committed_ms),
                None => (Read::Everything, head.changed_since(revision).map_or(0, |changed| changed.committed_ms)),
            },
            None => (Read::Everything, 0),
        };
        let (seal, base) = (self.seal.clone(), self.set());
        let (read, found, set) = spawn_blocking(move || {
            let mut found = read.collect(&view, &seal, &base)?;
            drop(view);
            let set = match std::mem::take(&mut found.changes) {
                none if none.is_empty() => None,
                changes => Some(base.apply(changes)?.0),
            };
            Ok::<_, BuildError>((read, found, set))
        })
        .await??;
        let next = match (&self.current, set) {
            (Some(current), None) if !self.renew => Built { covers: revision, ..current.as_ref().clone() },
            (_, set) => Built::new(set.unwrap_or_else(|| self.set()), revision, committed_at_ms),
        };
        let next = Arc::new(next.with_pending(self.current.as_deref(), &found.pending));
        self.report(&read, found.defects);
        self.suspects.clear();
        self.renew = false;
        self.current = Some(Arc::clone(&next));
        Ok(next)
    }

    /// Reads everything afresh, a little at a time so that commits come in between, and compares it with what was built. A difference is a
    /// defect, in `core` or here: it is logged, and the next build, which this asks for, takes what is there.
    pub(super) async fn check(&mut self) -> Result<(), BuildError> {
        let Some(current) = self.current.clone() else { return Ok(()) };
        let mut ids: BTreeSet<StoreId> = current.set.stores().map(|store| store.header().id).collect();
        ids.extend(View::of(&self.store).await?.key_stores()?.iter().map(|entry| entry.id));
        for id in ids {
            let view = View::of(&self.store).await?;
            let base = current.set.clone();
            let names = spawn_blocking(move || names_in(&view, &base, id)).await??;
            for names in names.chunks(CHECKED_AT_ONCE) {
                let view = View::of(&self.store).await?;
                if view.revision() != current.covers {
                    // A build is due first; the rest is for the next time.
                    return Ok(());
                }
                let (seal, base) = (self.seal.clone(), current.set.clone());
                let read = Read::Entries(names.iter().cloned().collect(), BTreeSet::new());
                let (read, found) = spawn_blocking(move || {
                    let found = read.collect(&view, &seal, &base)?;
                    Ok::<_, BuildError>((read, found))
                })
                .await??;
                self.report(&read, found.defects);
                if !found.changes.is_empty() {
                    let names: Vec<String> = found.changes.iter().take(10).map(|change| format!("{:?}", change.name())).collect();
                    error!(store = %id, differences = found.changes.len(), first = ?names, "what is published is not what is intended");
                    metrics::counter!("holdfast_publish_differences_total").increment(1);
                    self.suspects.insert(id);
                }
            }
        }
        if !self.suspects.is_empty() {
            self.renew().await;
        }
        Ok(())
    }

    /// Has the next build take a new revision, so that nodes which hold this one take it.
    pub(super) async fn renew(&mut self) {
        self.renew = true;
        match self.store.commit(self.store.head().revision(), Vec::new()).await {
            // To lose the race is as good: the revision has moved.
            Ok(_) | Err(CommitError::Conflict { .. }) => {}
            Err(error @ (CommitError::Io(_) | CommitError::Broken(_) | CommitError::Encode(_))) => {
                error!(error = &error as &dyn std::error::Error, "the revision can't be moved on");
            }
        }
    }

    fn set(&self) -> RecordSet {
        self.current.as_ref().map_or_else(RecordSet::default, |current| current.set.clone())
    }

    /// Logs each defect once, until it changes or is gone.
    fn report(&mut self, read: &Read, defects: BTreeMap<EntryName, Defect>) {
        let known = std::mem::take(&mut self.defects);
        let (again, mut standing): (BTreeMap<_, _>, BTreeMap<_, _>) = known.into_iter().partition(|(name, _)| read.covers(name));
        for (name, defect) in defects {
            let text = defect.to_string();
            if again.get(&name) != Some(&text) {
                error!(entry = ?name, error = &defect as &dyn std::error::Error, "an entry can't be published; what was published of it stands");
            }
            standing.insert(name, text);
        }
        self.defects = standing;
        metrics::gauge!("holdfast_publish_defects").set(u32::try_from(self.defects.len()).unwrap_or(u32::MAX));
    }
}

impl Read {
    fn collect(&self, view: &View, seal: &ControlSeal, base: &RecordSet) -> Result<Found, BuildError> {
        let mut reader = Reader::new(view, seal, base);
        match self {
            Self::Everything => {
                let published = base.stores().map(|store| store.header().id);
                let ids: BTreeSet<StoreId> = published.chain(view.key_stores()?.iter().map(|entry| entry.id)).collect();
                ids.into_iter().try_for_each(|id| reader.key_store(id))?;
            }
            Self::Entries(names, suspects) => {
                suspects.iter().try_for_each(|id| reader.key_store(*id))?;
                names.iter().try_for_each(|name| reader.entry(name))?;
            }
        }
        Ok(reader.found())
    }

    fn covers(&self, name: &EntryName) -> bool {
        match self {
            Self::Everything => true,
            Self::Entries(names, suspects) => names.contains(name) || name.key_store().is_some_and(|id| suspects.contains(&id)),
        }
    }
}

/// What a key store publishes or should publish: the names that lie there and those that were built.
fn names_in(view: &View, base: &RecordSet, id: StoreId) -> Result<Vec<EntryName>, ReadError> {
    let mut names = BTreeSet::from([EntryName::KeyStore(id)]);
    names.extend(view.credentials(id)?.iter().map(|entry| EntryName::Credential(id, entry.id)));
    names.extend(view.hyok_keys(id)?.iter().map(|entry| EntryName::HyokKey(id, entry.id)));
    if let Some(built) = base.store(id) {
        names.extend(built.credentials().map(|credential| EntryName::Credential(id, credential.id)));
        names.extend(built.keys().map(|key| EntryName::HyokKey(id, key.key().id)));
    }
    Ok(names.into_iter().collect())
}

/// Entries that are compared while no commit can come in between: a few milliseconds.
const CHECKED_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests;
