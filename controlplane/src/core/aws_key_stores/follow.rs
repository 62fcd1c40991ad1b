//! Follows what AWS does in its own time, and ends what was begun and not seen to its end.
//!
//! Always holds: what is to be followed is read from the store; commits are only a nudge to look. A store is followed by one at most, who
//! takes turns with requests. AWS being away is waited for, ever longer; one region that is slow keeps no other waiting.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinSet};
use uuid::Uuid;

use crate::{
    access::Trail,
    aws::{AwsError, AwsFault},
    core::{Core, CoreError},
    store::entry::{AwsKeyStoreEntry, ConnectionState, EntryName},
};

/// Looks at once, by KMS container and region: where AWS is slow it keeps no look elsewhere waiting.
#[derive(Default)]
struct Looks(HashMap<(Uuid, String), Arc<Semaphore>>);

impl Core {
    /// Follows key stores in AWS, for ever: all of them once, and then those of which something is on its way.
    pub(crate) async fn keep_following_key_stores(self: Arc<Self>) {
        let mut nudge = self.store.head().watch();
        let mut followed = BTreeSet::new();
        let mut following = JoinSet::new();
        let mut looks = Looks::default();
        let mut first = true;
        loop {
            let seen = *nudge.borrow_and_update();
            match self.to_follow(first).await {
                Ok(entries) => {
                    for entry in entries.into_iter().filter(|entry| followed.insert(entry.id)) {
                        let (id, core, looks) = (entry.id, Arc::clone(&self), looks.there(&entry));
                        following.spawn(async move {
                            core.follow_key_store(id, &looks).await;
                            id
                        });
                    }
                    first = false;
                }
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "which key stores to follow was not found out"),
            }
            loop {
                tokio::select! {
                    changed = nudge.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let names = self.store.head().changed_since(seen).map(|changed| changed.names);
                        if names.is_none_or(|names| names.iter().any(|name| matches!(name, EntryName::AwsKeyStore(_)))) {
                            break;
                        }
                    }
                    Some(ended) = following.join_next() => {
                        match ended {
                            Ok(id) => _ = followed.remove(&id),
                            // Which one it was is not told: all may be followed anew, in turns.
                            Err(_) => followed.clear(),
                        }
                        // Something may have been begun just before it ended.
                        break;
                    }
                }
            }
        }
    }

    async fn to_follow(&self, all: bool) -> Result<Vec<AwsKeyStoreEntry>, CoreError> {
        let stores = self.view().await?.aws_key_stores()?;
        Ok(stores.into_iter().filter(|entry| (all && !entry.gone) || on_its_way(entry)).collect())
    }

    /// Looks at a store in AWS until nothing of it is on its way: once at least.
    async fn follow_key_store(&self, id: Uuid, looks: &Semaphore) {
        let (mut pause, mut failing) = (FIRST_PAUSE, false);
        loop {
            let permit = looks.acquire().await;
            let Some(turn) = self.stores_at_work.try_turn(id) else {
                // Whoever works on it may wait for AWS for long: the others are looked at meanwhile.
                drop(permit);
                self.stores_at_work.turn(id).await.done();
                continue;
            };
            let looked = self.look(id).await;
            drop((turn, permit));
            match looked {
                Ok(true) => failing = false,
                Ok(false) => return,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(error = &error as &dyn std::error::Error, key_store = %id, "a key store was not found out about in AWS; tried again later");
                    }
                    // One that nothing was begun with can wait for the next who asks.
                    if !error.may_pass() && !self.begun_with(id).await {
                        return;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(if failing { LONGEST_PAUSE_FAILING } else { LONGEST_PAUSE });
        }
    }

    /// Looks once; whether something is still on its way.
    async fn look(&self, id: Uuid) -> Result<bool, CoreError> {
        let Some(entry) = self.view().await?.aws_key_store(id)? else { return Ok(false) };
        let trail = Trail::system("AWS key stores");
        if let Err(error) = self.find_out(&trail, id).await {
            // Whoever may give the connection credentials may have what was begun found out.
            let refused = matches!(&error, CoreError::Aws(AwsError { fault: AwsFault::Refused, .. }) | CoreError::NotFound(_));
            if !(refused && self.store_is_settled(&entry) && self.leave(&trail, id, &error).await?) {
                return Err(error);
            }
            tracing::warn!(error = &error as &dyn std::error::Error, key_store = %id, "AWS does not tell what became of what was begun with a key store");
        }
        let after = self.view().await?.aws_key_store(id)?;
        if let Some(after) = after.as_ref().filter(|after| after.state != entry.state) {
            let error = after.connection_error.as_deref().unwrap_or_default();
            tracing::info!(key_store = %id, state = after.state.as_str(), error, "AWS told how a key store is connected");
        }
        Ok(after.is_some_and(|after| on_its_way(&after)))
    }

    async fn begun_with(&self, id: Uuid) -> bool {
        let entry = match self.view().await {
            Ok(view) => view.aws_key_store(id),
            Err(_) => return true,
        };
        entry.map_or(true, |entry| entry.is_some_and(|entry| on_its_way(&entry)))
    }
}

impl Looks {
    /// Those at stores beside this one.
    fn there(&mut self, entry: &AwsKeyStoreEntry) -> Arc<Semaphore> {
        self.0.retain(|_, looks| Arc::strong_count(looks) > 1);
        let looks = self.0.entry((entry.kms, entry.region.clone())).or_insert_with(|| Arc::new(Semaphore::new(LOOKS_AT_ONCE)));
        Arc::clone(looks)
    }
}

/// Something was begun, or AWS is at it.
const fn on_its_way(entry: &AwsKeyStoreEntry) -> bool {
    let moving = match entry.state {
        ConnectionState::Connecting | ConnectionState::Disconnecting => !entry.gone,
        ConnectionState::Connected | ConnectionState::Disconnected | ConnectionState::Failed => false,
    };
    moving || entry.doing.is_some()
}

/// There may be many at the start.
const LOOKS_AT_ONCE: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Clients look every 20 s (the API's contract, §7.5), and AWS allows five looks a second for all.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE_FAILING: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::entry::{AwsKeyStoreKind, Stamps};

    #[tokio::test]
    async fn looks_at_one_region_keep_none_at_another_waiting_and_are_forgotten_after() {
        let store = |kms, region| {
            let kind = AwsKeyStoreKind::Linked { credential: None };
            AwsKeyStoreEntry::new((Uuid::new_v4(), Uuid::from_u128(kms)), region, ("name".into(), kind), Stamps::default())
        };
        let mut looks = Looks::default();
        let slow = looks.there(&store(1, "us-east-1"));
        let _taken = Arc::clone(&slow).acquire_many_owned(u32::try_from(LOOKS_AT_ONCE).unwrap()).await.unwrap();
        assert!(looks.there(&store(1, "us-east-1")).try_acquire().is_err());
        for (kms, region) in [(1, "eu-west-1"), (2, "us-east-1")] {
            assert!(looks.there(&store(kms, region)).try_acquire().is_ok(), "{kms} {region}");
        }
        assert_eq!(looks.0.len(), 2, "the slow one's, and the last");
    }
}
