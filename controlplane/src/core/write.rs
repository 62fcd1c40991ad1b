//! Reads, judges and commits, again where someone else was first.
//!
//! Always holds: writers of this process take turns, so that under load none starves; a plan is made afresh for each try; what is committed
//! is on the trail of whoever had it done, or in the audit file at once where the control plane did it by itself.

use std::sync::Arc;

use holdfast_proto::ids::Revision;
use tokio::sync::Mutex;

use super::CoreError;
use crate::{
    access::{Trail, UnderWay, Who},
    audit::{Audit, Changes},
    store::{CommitError, Store, View, entry::EntryChange},
};

/// Changes a store. All that is changed in one process goes through one of these.
pub struct Writer {
    store: Arc<dyn Store>,
    audit: Audit,
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
    /// A writer for `store`; `audit` is told what the control plane changes by itself.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, audit: Audit) -> Self {
        Self { store, audit, turn: Mutex::default() }
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Lets `plan` judge what is there and commits what it says; answers with the revision that has it. What was changed goes on `trail`:
    /// [`Permit::trail`](crate::access::Permit::trail).
    ///
    /// # Errors
    /// What `plan` says; [`CoreError::Raced`] after too many lost races; [`CoreError::Read`] or [`CoreError::Commit`].
    pub async fn change<T: Send>(
        &self,
        trail: &Trail,
        plan: impl Fn(&View) -> Result<Plan<T>, CoreError> + Send + Sync,
    ) -> Result<(T, Revision), CoreError> {
        let _turn = self.turn.lock().await;
        for _ in 0..TRIES {
            let view = View::of(&self.store).await?;
            let Plan { changes, answer } = plan(&view)?;
            let revision = view.revision();
            if changes.is_empty() {
                return Ok((answer, revision));
            }
            let under_way = trail.under_way(Changes::of(&view, &changes)?);
            // A writer waits for readers, so the view must go first.
            drop(view);
            match self.store.commit(revision, changes).await {
                Ok(revision) => {
                    self.record(trail, under_way);
                    return Ok((answer, revision));
                }
                Err(CommitError::Conflict { .. }) => under_way.withdrawn(),
                Err(cause @ (CommitError::Broken(_) | CommitError::Encode(_))) => {
                    under_way.withdrawn();
                    return Err(CoreError::Commit(cause));
                }
                // Whether it is there will be known after a restart: it stays on the trail as unconfirmed.
                Err(cause @ CommitError::Io(_)) => return Err(CoreError::Commit(cause)),
            }
        }
        Err(CoreError::Raced)
    }

    fn record(&self, trail: &Trail, under_way: UnderWay) {
        under_way.committed();
        match trail.who() {
            Who::System(reason) => self.audit.system(reason, &trail.taken()),
            // The call's line has it.
            Who::User(_) | Who::Tool { .. } => {}
        }
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
        EntryChange::put(Entry::VirtualKey(VirtualKeyEntry::silent(Uuid::nil(), None, stamps)))
    }

    fn count(view: &View) -> Result<u64, CoreError> {
        Ok(view.virtual_key(Uuid::nil())?.map_or(0, |key| key.stamps.updated_ns))
    }

    #[tokio::test]
    async fn no_change_is_lost_among_many_writers_and_none_loses_a_race() {
        let writer = Arc::new(Writer::new(Arc::new(MemoryStore::new(1)), Audit::unread()));
        let add = async |writer: Arc<Writer>| {
            let plan = |view: &View| Ok(Plan { changes: vec![put(count(view)? + 1)], answer: () });
            writer.change(&Trail::system("test"), plan).await.unwrap();
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
        let (writer, rival) = (Writer::new(Arc::clone(&store), Audit::unread()), Arc::clone(&store));
        let tries = AtomicU64::new(0);
        let (seen, revision) = writer
            .change(&Trail::system("test"), |view| {
                // The rival's commit waits for this view to go, and then is first in the queue.
                if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                    drop(rival.commit(view.revision(), vec![put(7)]));
                }
                Ok(Plan { changes: vec![EntryChange::Delete(EntryName::Demo)], answer: count(view)? })
            })
            .await
            .unwrap();
        assert_eq!((seen, tries.load(Ordering::Relaxed)), (7, 2));
        let (_, same) = writer.change(&Trail::system("test"), |_| Ok(Plan { changes: Vec::new(), answer: () })).await.unwrap();
        assert_eq!(same, revision);
    }
}
