//! Follows what AWS does in its own time, and ends what was begun and not seen to its end.
//!
//! Always holds: what is to be followed is read from the store; commits are only a nudge to look. A store is followed by one at most, who
//! takes turns with requests. AWS being away is waited for, ever longer; one region that is slow keeps no other waiting.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::{self, JoinError, JoinSet},
    time::Instant,
};
use uuid::Uuid;

use crate::{
    access::Trail,
    aws::{AwsError, AwsFault},
    core::{Core, CoreError},
    store::entry::{AwsKeyEntry, AwsKeyStoreEntry, ConnectionState, EntryName, KeyInAws},
    upkeep::Pauses,
};

/// The key stores that are followed, each once.
#[derive(Default)]
struct Following {
    tasks: JoinSet<Ended>,
    /// By task, with when it was begun.
    begun: HashMap<task::Id, (Uuid, Instant)>,
    followed: BTreeSet<Uuid>,
    /// Of those whose followers broke down.
    broken: HashMap<Uuid, Pauses>,
}

/// What ended.
enum Ended {
    Follower,
    /// Before it is followed anew.
    Pause,
}

/// Looks at once, by KMS container and region: where AWS is slow it keeps no look elsewhere waiting.
#[derive(Default)]
struct Looks(HashMap<(Uuid, String), Arc<Semaphore>>);

impl Core {
    /// Follows key stores in AWS, for ever: all of them once, and then those of which something is on its way.
    pub(crate) async fn keep_following_key_stores(self: Arc<Self>) {
        let mut nudge = self.store.head().watch();
        let mut following = Following::default();
        let mut looks = Looks::default();
        let mut first = true;
        loop {
            let seen = *nudge.borrow_and_update();
            match self.to_follow(first).await {
                Ok(entries) => {
                    for entry in entries {
                        let (id, core, looks) = (entry.id, Arc::clone(&self), looks.there(&entry));
                        following.begin(id, async move { core.follow_key_store(id, &looks).await });
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
                    // Something may have been begun just before it ended.
                    () = following.ended() => break,
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
    pub(super) async fn look(&self, id: Uuid) -> Result<bool, CoreError> {
        let Some(entry) = self.view().await?.aws_key_store(id)? else { return Ok(false) };
        let trail = Trail::system("AWS key stores");
        if let Err(error) = self.find_out(&trail, id).await {
            // Whoever may give the connection credentials may have what was begun found out.
            let refused = matches!(&error, CoreError::Aws(AwsError { fault: AwsFault::Refused, .. }) | CoreError::NotFound(_));
            let settled = entry.doing.is_some() && self.store_is_settled(&entry);
            if !(refused && settled && self.leave(&trail, id, &error).await?) {
                if settled {
                    self.key_store_stands(&trail, id, &error).await?;
                }
                return Err(error);
            }
            tracing::warn!(error = &error as &dyn std::error::Error, key_store = %id, "AWS does not tell what became of what was begun with a key store");
        }
        let after = self.view().await?.aws_key_store(id)?;
        if let Some(after) = after.as_ref().filter(|after| after.state != entry.state) {
            let error = after.connection_error.as_deref().unwrap_or_default();
            tracing::info!(key_store = %id, state = after.state.as_str(), error, "AWS told how a key store is connected");
            if after.state == ConnectionState::Connected {
                self.look_at_keys_of(after).await?;
            }
        }
        Ok(after.is_some_and(|after| on_its_way(&after)))
    }

    /// Has the keys looked at that AWS told to be unavailable while it was not connected to their store.
    async fn look_at_keys_of(&self, store: &AwsKeyStoreEntry) -> Result<(), CoreError> {
        let its = |told: &&KeyInAws| told.custom_key_store_id.is_some() && told.custom_key_store_id == store.custom_key_store_id;
        let unavailable = |key: &AwsKeyEntry| key.in_aws().filter(its).is_some_and(|told| told.state == UNAVAILABLE);
        for key in self.view().await?.aws_keys()?.into_iter().filter(unavailable) {
            self.keys_at_work.ask_to_look(key.id);
        }
        Ok(())
    }

    async fn begun_with(&self, id: Uuid) -> bool {
        let entry = match self.view().await {
            Ok(view) => view.aws_key_store(id),
            Err(_) => return true,
        };
        entry.map_or(true, |entry| entry.is_some_and(|entry| on_its_way(&entry)))
    }
}

impl Following {
    /// Follows a key store, unless it is followed.
    fn begin(&mut self, id: Uuid, follow: impl Future<Output = ()> + Send + 'static) {
        if self.followed.insert(id) {
            self.spawn(id, async {
                follow.await;
                Ended::Follower
            });
        }
    }

    /// Waits until one may be followed anew: what followed it ended, or has broken down a while ago.
    async fn ended(&mut self) {
        loop {
            let Some(ended) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
            let task = ended.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
            let Some((id, began)) = self.begun.remove(&task) else { continue };
            match ended.map_err(JoinError::try_into_panic) {
                Ok((_, Ended::Follower)) => _ = self.broken.remove(&id),
                Ok((_, Ended::Pause)) | Err(Err(_)) => {}
                Err(Ok(panic)) => {
                    let wait = self.broken.entry(id).or_default().broken(TASK, (&*panic, began.elapsed()));
                    self.spawn(id, async move {
                        tokio::time::sleep(wait).await;
                        Ended::Pause
                    });
                    continue;
                }
            }
            self.followed.remove(&id);
            return;
        }
    }

    fn spawn(&mut self, id: Uuid, task: impl Future<Output = Ended> + Send + 'static) {
        let task = self.tasks.spawn(task).id();
        self.begun.insert(task, (id, Instant::now()));
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

const TASK: &str = "following a key store";
/// A key whose key store AWS is not connected to (KMS Developer Guide, key states).
const UNAVAILABLE: &str = "Unavailable";
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
    async fn a_store_whose_follower_breaks_down_is_followed_anew_later_each_time_and_others_are_not_kept_waiting() {
        let (mut following, start) = (Following::default(), Instant::now());
        let (broken, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut waits = Vec::new();
        for _ in 0..2 {
            following.begin(broken, async { panic!("on purpose") });
            following.begin(broken, async { unreachable!("it is followed already") });
            following.begin(other, std::future::ready(()));
            following.ended().await;
            assert!(following.followed.contains(&broken) && !following.followed.contains(&other));
            following.ended().await;
            waits.push(start.elapsed());
        }
        assert!(waits[0] >= Duration::from_secs(1) && waits[1] >= Duration::from_secs(3), "{waits:?}");
        following.begin(broken, std::future::ready(()));
        following.ended().await;
        assert!(following.broken.is_empty() && following.followed.is_empty() && following.begun.is_empty());
    }

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
