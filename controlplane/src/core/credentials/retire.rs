//! Credentials that nobody uses any more, where their key store says when such go (`retire_unused_after`).
//!
//! Always holds: the newest credential of a key store stays, and so at least one, and so does the one with which AWS signs; nothing goes
//! while a registered data plane is not connected and ready, since that one may have seen what is not told here yet.

use std::{sync::Arc, time::Duration};

use holdfast_proto::ids::{CredentialId, StoreId};

use super::{UsedCredential, gone, with_use};
use crate::{
    access::Trail,
    clock::now_ns,
    core::{Core, CoreError, key_stores, write::Plan},
    publish::NodeView,
    store::View,
};

impl Core {
    /// Keeps deleting what is unused for too long.
    pub(crate) async fn keep_retiring_credentials(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first comes at once: no data plane has told anything yet.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if let Err(error) = self.retire_credentials().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "unused credentials were not looked for; tried again later");
            }
        }
    }

    /// Deletes credentials that were unused for as long as their key stores say; how many.
    ///
    /// # Errors
    /// [`CoreError`] of reading and writing.
    pub(crate) async fn retire_credentials(&self) -> Result<usize, CoreError> {
        let retiring: Vec<StoreId> = {
            let all = self.view().await?.key_stores()?.into_iter();
            all.filter(|key_store| key_store.retire_unused_after_seconds.is_some()).map(|key_store| key_store.id).collect()
        };
        let mut retired = 0;
        for store in retiring {
            if !self.publisher.nodes().iter().all(has_told) {
                tracing::debug!("a data plane is not connected: it may know of use that is not told here, so no credential goes");
                return Ok(retired);
            }
            let plan = |view: &View| {
                let after = view.key_store(store)?.and_then(|key_store| key_store.retire_unused_after_seconds);
                let Some(after) = after.map(Duration::from_secs) else { return Ok(Plan { changes: Vec::new(), answer: 0 }) };
                let aws = view.aws_key_store(store.0)?;
                let mut unused = unused(&with_use(view, store)?, after, now_ns());
                unused.retain(|id| !key_stores::is_used_by_aws(aws.as_ref(), store, *id));
                let changes: Result<Vec<_>, _> = unused.iter().map(|id| gone(view, store, *id)).collect();
                Ok(Plan { changes: changes?.concat(), answer: unused.len() })
            };
            let (count, _) = self.writer.change(&Trail::system("unused credentials"), plan).await?;
            if count > 0 {
                tracing::info!(%store, count, "credentials that were unused for too long are deleted");
            }
            retired += count;
        }
        Ok(retired)
    }
}

/// Those that were unused for `after`, be it since they were made; never the newest.
fn unused(live: &[UsedCredential], after: Duration, now_ns: u64) -> Vec<CredentialId> {
    let newest = live.iter().max_by_key(|one| (one.credential.stamps.created_ns, one.credential.id)).map(|one| one.credential.id);
    let idle = |one: &&UsedCredential| {
        let used_ns = one.used_ms.unwrap_or(0).saturating_mul(NS_PER_MS);
        let last = used_ns.max(one.credential.stamps.created_ns);
        u128::from(now_ns.saturating_sub(last)) >= after.as_nanos()
    };
    live.iter().filter(|one| Some(one.credential.id) != newest).filter(idle).map(|one| one.credential.id).collect()
}

/// All that a data plane knows of the use of credentials is known here.
fn has_told(node: &NodeView) -> bool {
    node.connected && node.report.as_ref().is_some_and(|report| report.ready)
}

const NS_PER_MS: u64 = 1_000_000;
const LOOK_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdfast_proto::{
        ids::AccessKeyId,
        seal::{Seal, SealRing},
        secret::Secret,
    };
    use uuid::Uuid;

    use super::*;
    use crate::{
        core::credentials::{NewCredential, sealed},
        names::NodeName,
        publish::tests::estate::{Estate, key_store, store_id},
        store::{
            entry::{CredentialEntry, CredentialUsedEntry, Entry, EntryChange, Fingerprint, KeyStoreEntry, NodeEntry, Stamps},
            seal::ControlSeal,
        },
    };

    const SECOND: u64 = 1_000_000_000;

    /// Made and last used at so many seconds.
    fn live(times: &[(u64, Option<u64>)]) -> Vec<UsedCredential> {
        let seal = ControlSeal::new(Arc::new(SealRing::new(Seal::generate().unwrap(), Vec::new())));
        let one = |(made, used): &(u64, Option<u64>)| {
            let access_key_id = AccessKeyId::try_from("ABCDEFGHIJKLMNOP2345").unwrap();
            let (secret, stamps) = (Secret::new("s".repeat(43)), Stamps::new(made * SECOND));
            let credential =
                sealed(&seal, StoreId(Uuid::nil()), NewCredential { access_key_id, secret: &secret, version: 1, stamps }).unwrap();
            UsedCredential { credential, used_ms: used.map(|used| used * 1_000) }
        };
        times.iter().map(one).collect()
    }

    /// Which of them go at 100 s, after 10 s.
    fn gone_at_100(times: &[(u64, Option<u64>)]) -> Vec<usize> {
        let live = live(times);
        let unused = unused(&live, Duration::from_secs(10), 100 * SECOND);
        (0..live.len()).filter(|at| unused.contains(&live[*at].credential.id)).collect()
    }

    #[test]
    fn what_was_unused_for_so_long_goes_and_the_newest_stays_in_any_case() {
        assert_eq!(gone_at_100(&[(1, None)]), [0; 0], "the last one");
        assert_eq!(gone_at_100(&[(1, None), (2, None)]), [0]);
        assert_eq!(gone_at_100(&[(2, None), (1, None)]), [1]);
        assert_eq!(gone_at_100(&[(1, Some(90)), (2, Some(91)), (3, None)]), [0]);
        assert_eq!(gone_at_100(&[(91, None), (92, None)]), [0; 0], "too young");
        assert_eq!(gone_at_100(&[(1, Some(200)), (2, None)]), [0; 0], "used by a node whose clock is ahead");
        assert_eq!(gone_at_100(&[(1, Some(99)), (2, None), (3, Some(5))]), [1], "the newest stays though it is unused");
    }

    /// A key store that retires after a minute, with credentials 1 to 3: the first unused, the second used now, the third new.
    async fn retiring(after: Option<u64>) -> Estate {
        let estate = Estate::new().await;
        let EntryChange::Put(put) = key_store(1, false) else { panic!("not a key store") };
        let Entry::KeyStore(before) = *put else { panic!("not a key store") };
        let mut changes = vec![EntryChange::put(Entry::KeyStore(KeyStoreEntry { retire_unused_after_seconds: after, ..before }))];
        for (n, made) in [(1, Stamps::default()), (2, Stamps::default()), (3, Stamps::new(now_ns()))] {
            let EntryChange::Put(put) = estate.credential(1, n) else { panic!("not a credential") };
            let Entry::Credential(credential) = *put else { panic!("not a credential") };
            changes.push(EntryChange::put(Entry::Credential(CredentialEntry { stamps: made, ..credential })));
        }
        estate.commit(changes).await;
        let (store, credential) = (store_id(1), CredentialId(Uuid::from_u128(2)));
        let used = CredentialUsedEntry { store, credential, used_ms: now_ns() / NS_PER_MS };
        estate.store.note(vec![Entry::CredentialUsed(used)]).unwrap();
        estate
    }

    /// How many were retired, and which are left.
    async fn left(estate: &Estate) -> (usize, Vec<u128>) {
        let retired = estate.core(crate::aws::AwsSettings::new()).await.retire_credentials().await.unwrap();
        let left = View::of(&estate.store).await.unwrap().credentials(store_id(1)).unwrap();
        (retired, left.iter().map(|credential| credential.id.0.as_u128()).collect())
    }

    #[tokio::test]
    async fn unused_credentials_go_where_their_key_store_says_so_and_only_once_all_data_planes_have_told() {
        assert_eq!(left(&retiring(None).await).await, (0, vec![1, 2, 3]), "nobody asked for it");
        let estate = retiring(Some(60)).await;
        let name = NodeName::try_from("away").unwrap();
        let node = NodeEntry { name, fingerprint: Fingerprint([1; 32]), enrolled_ms: 1, revoked_ms: None, registered: true };
        estate.commit(vec![EntryChange::put(Entry::Node(node.clone()))]).await;
        assert_eq!(left(&estate).await, (0, vec![1, 2, 3]), "that one may have seen the first used");
        estate.commit(vec![EntryChange::put(Entry::Node(NodeEntry { registered: false, ..node }))]).await;
        assert_eq!(left(&estate).await, (1, vec![2, 3]));
        assert_eq!(left(&estate).await, (0, vec![2, 3]));
    }
}
