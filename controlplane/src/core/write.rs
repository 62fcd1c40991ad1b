//! Reads, judges and commits, again where someone else was first.
//!
//! Always holds: writers of this process take turns, so that under load none starves; a plan is made afresh for each try.

use std::sync::Arc;

use holdfast_proto::ids::Revision;
use tokio::sync::Mutex;

use super::CoreError;
use crate::store::{CommitError, Store, View, entry::EntryChange};

/// Changes a store. All that is changed in one process goes through one of these.
pub struct Writer {
    store: Arc<dyn Store>,
    turn: Mutex<()>,
}

/// What is to be changed, and what to answer then.
pub struct Plan<T> {
    /// The changes; none: nothing is committed.
    pub changes: Vec<EntryChange>,
    /// The answer.
    pub answer: T,
}

impl Writer {
    /// A writer for `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, turn: Mutex::default() }
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Lets `plan` judge what is there and commits what it says; answers with the revision that has it.
    ///
    /// # Errors
    /// What `plan` says; [`CoreError::Raced`] after too many lost races; [`CoreError::Read`] or [`CoreError::Commit`].
    pub async fn change<T: Send>(
        &self,
        plan: impl Fn(&View) -> Result<Plan<T>, CoreError> + Send + Sync,
    ) -> Result<(T, Revision), CoreError> {
        let _turn = self.turn.lock().await;
        for _ in 0..TRIES {
            let view = View::of(&self.store).await?;
            let Plan { changes, answer } = plan(&view)?;
            let revision = view.revision();
            // A writer waits for readers, so the view must go first.
            drop(view);
            if changes.is_empty() {
                return Ok((answer, revision));
            }
            match self.store.commit(revision, changes).await {
                Ok(revision) => return Ok((answer, revision)),
                Err(CommitError::Conflict { .. }) => {}
                Err(cause @ (CommitError::Io(_) | CommitError::Broken(_) | CommitError::Encode(_))) => {
                    return Err(CoreError::Commit(cause));
                }
            }
        }
        Err(CoreError::Raced)
    }
}

const TRIES: usize = 8;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use uuid::Uuid;

    use super::*;
    use crate::store::{
        entry::{Entry, EntryName, Stamps, VirtualKeyEntry},
        memory::MemoryStore,
    };

    fn put(counter: u64) -> EntryChange {
        let stamps = Stamps { created_ns: 0, updated_ns: counter };
        EntryChange::Put(Entry::VirtualKey(VirtualKeyEntry { id: Uuid::nil(), silent: true, backs: None, versions: Vec::new(), stamps }))
    }

    fn count(view: &View) -> Result<u64, CoreError> {
        Ok(view.virtual_key(Uuid::nil())?.map_or(0, |key| key.stamps.updated_ns))
    }

    #[tokio::test]
    async fn no_change_is_lost_among_many_writers_and_none_loses_a_race() {
        let writer = Arc::new(Writer::new(Arc::new(MemoryStore::new(1))));
        let add = async |writer: Arc<Writer>| {
            let plan = |view: &View| Ok(Plan { changes: vec![put(count(view)? + 1)], answer: () });
            writer.change(plan).await.unwrap();
        };
        let tasks: Vec<_> = (0..50).map(|_| tokio::spawn(add(Arc::clone(&writer)))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(count(&View::of(writer.store()).await.unwrap()).unwrap(), 50);
    }

    #[tokio::test]
    async fn a_lost_race_is_judged_afresh_and_an_empty_plan_commits_nothing() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
        let (writer, rival) = (Writer::new(Arc::clone(&store)), Arc::clone(&store));
        let tries = AtomicU64::new(0);
        let (seen, revision) = writer
            .change(|view| {
                // The rival's commit waits for this view to go, and then is first in the queue.
                if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                    drop(rival.commit(view.revision(), vec![put(7)]));
                }
                Ok(Plan { changes: vec![EntryChange::Delete(EntryName::Demo)], answer: count(view)? })
            })
            .await
            .unwrap();
        assert_eq!((seen, tries.load(Ordering::Relaxed)), (7, 2));
        let (_, same) = writer.change(|_| Ok(Plan { changes: Vec::new(), answer: () })).await.unwrap();
        assert_eq!(same, revision);
    }
}
