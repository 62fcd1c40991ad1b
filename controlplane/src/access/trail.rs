//! What one call has changed so far: commits leave it here, and the call's audit line takes it up.
//!
//! Always holds: what was committed under a trail is in it, also where the call was given up in the middle of its commit; it is marked as
//! unconfirmed then.

use std::sync::{Arc, Mutex, PoisonError};

use super::Who;
use crate::audit::Changes;

/// What one call has changed. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Trail(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    who: Who,
    changes: Mutex<Changes>,
}

/// A commit that is under way. Dropped without a word, its changes are unconfirmed.
#[derive(Debug)]
pub(crate) struct UnderWay {
    trail: Trail,
    changes: Option<Changes>,
}

impl Trail {
    /// Of a call by `who`.
    pub(super) fn new(who: Who) -> Self {
        Self(Arc::new(Inner { who, changes: Mutex::default() }))
    }

    /// For what the control plane does by itself: each of its commits has an audit line of its own, at once.
    pub(crate) fn system(reason: &'static str) -> Self {
        Self::new(Who::System(reason))
    }

    /// Who acts.
    #[must_use]
    pub fn who(&self) -> &Who {
        &self.0.who
    }

    /// `changes` are about to be committed.
    pub(crate) fn under_way(&self, changes: Changes) -> UnderWay {
        UnderWay { trail: self.clone(), changes: Some(changes) }
    }

    /// What was changed since this was last asked.
    pub(crate) fn taken(&self) -> Changes {
        std::mem::take(&mut *self.0.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, changes: Changes) {
        self.0.changes.lock().unwrap_or_else(PoisonError::into_inner).extend(changes);
    }
}

impl UnderWay {
    /// They were committed.
    pub(crate) fn committed(mut self) {
        if let Some(changes) = self.changes.take() {
            self.trail.add(changes);
        }
    }

    /// They were not: someone else was first, or the store refused.
    pub(crate) fn withdrawn(mut self) {
        self.changes = None;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(changes) = self.changes.take() {
            self.trail.add(changes.unconfirmed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::store::{
        Store, View,
        entry::{Entry, EntryChange, Stamps, VirtualKeyEntry},
        memory::MemoryStore,
    };

    async fn changes() -> Changes {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
        let key = VirtualKeyEntry::silent(Uuid::nil(), None, Stamps::default());
        Changes::of(&View::of(&store).await.unwrap(), &[EntryChange::put(Entry::VirtualKey(key))]).unwrap()
    }

    #[tokio::test]
    async fn only_what_was_committed_is_on_the_trail_and_what_nobody_saw_the_end_of_is_marked() {
        let trail = Trail::system("test");
        trail.under_way(changes().await).withdrawn();
        assert!(trail.taken().is_empty());
        trail.clone().under_way(changes().await).committed();
        assert_eq!(trail.taken(), changes().await);
        assert!(trail.taken().is_empty());
        drop(trail.under_way(changes().await));
        let left = serde_json::to_value(trail.taken()).unwrap();
        assert_eq!(left["changes"][0]["unconfirmed"], true);
    }
}
