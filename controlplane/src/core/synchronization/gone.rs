//! What AWS has no more.
//!
//! Always holds: an entry is marked, never deleted: what it was is still told; what is being worked on is left to whoever works on it.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    access::Trail,
    clock::{elapsed_since, now_ns},
    core::{Core, CoreError, write::Plan},
    store::{
        View,
        entry::{AwsKeyEntry, AwsKeyKind, AwsKeyStoreEntry, AwsKeyStoreKind, ConnectionState, Entry, EntryChange},
    },
};

impl Core {
    /// Marks a key store, unless AWS may only not know of it everywhere yet.
    pub(super) async fn key_store_is_gone(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let lags = |entry: &AwsKeyStoreEntry| store_may_lag(entry, self.aws.settled_after());
            let there = view.aws_key_store(id)?.filter(|entry| may_be_missed_key_store(entry) && !lags(entry));
            let gone = there.map(|entry| AwsKeyStoreEntry {
                gone: true,
                state: ConnectionState::Disconnected,
                connection_error: None,
                stamps: entry.stamps.touched(now_ns()),
                ..entry
            });
            Ok(Plan { changes: gone.into_iter().map(|entry| EntryChange::put(Entry::AwsKeyStore(entry))).collect(), answer: () })
        };
        self.writer.change(trail, plan).await?;
        Ok(())
    }

    /// Marks a key, unless AWS may only not know of it everywhere yet.
    pub(super) async fn key_is_gone(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let there = view.aws_key(id)?.filter(|entry| may_be_missed_key(entry) && !may_lag(entry, self.aws.settled_after()));
            let gone = there.map(|mut entry| {
                entry.vanished();
                AwsKeyEntry { stamps: entry.stamps.touched(now_ns()), ..entry }
            });
            Ok(Plan { changes: gone.into_iter().map(|entry| EntryChange::put(Entry::AwsKey(Box::new(entry)))).collect(), answer: () })
        };
        self.writer.change(trail, plan).await?;
        Ok(())
    }
}

/// A new HYOK key, which may be deleted here once it is gone there. What waits for its deletion in AWS goes when it will.
fn may_lag(entry: &AwsKeyEntry, settled_after: Duration) -> bool {
    let pending = entry.told.as_ref().is_some_and(|told| told.state.starts_with("Pending"));
    // AWS may have taken a while to make it, or to be seen to have.
    let made_ns = entry.told.as_ref().map_or(0, |told| told.created_ns).max(entry.stamps.created_ns);
    matches!(entry.kind, AwsKeyKind::Hyok { .. }) && !pending && elapsed_since(made_ns) < settled_after
}

/// A new key store of ours, which may be linked anew, or be deleted here, once it is gone there.
fn store_may_lag(entry: &AwsKeyStoreEntry, settled_after: Duration) -> bool {
    matches!(entry.kind, AwsKeyStoreKind::Linked { .. }) && elapsed_since(entry.stamps.created_ns) < settled_after
}

/// Key stores that AWS should have in a region of a container, with AWS's ids.
pub(super) fn known_key_stores(view: &View, kms: Uuid, region: &str) -> Result<Vec<(Uuid, String)>, CoreError> {
    let all = view.aws_key_stores()?.into_iter();
    let here = all.filter(|entry| entry.kms == kms && entry.region == region && may_be_missed_key_store(entry));
    Ok(here.filter_map(|entry| Some((entry.id, entry.custom_key_store_id?))).collect())
}

/// Keys that AWS should have in a region of a container, with AWS's ids.
pub(super) fn known_keys(view: &View, kms: Uuid, region: &str) -> Result<Vec<(Uuid, String)>, CoreError> {
    let all = view.aws_keys()?.into_iter();
    let here = all.filter(|entry| entry.kms == kms && entry.region == region && may_be_missed_key(entry));
    Ok(here.filter_map(|entry| Some((entry.id, entry.told?.key_id))).collect())
}

const fn may_be_missed_key_store(entry: &AwsKeyStoreEntry) -> bool {
    !entry.gone && entry.doing.is_none() && entry.custom_key_store_id.is_some()
}

const fn may_be_missed_key(entry: &AwsKeyEntry) -> bool {
    !entry.gone && entry.doing.is_none() && entry.told.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aws::AwsSettings,
        core::aws_keys::Place,
        publish::tests::estate::Estate,
        store::entry::{ForAws, KeyInAws, Stamps},
    };

    #[test]
    fn only_a_hyok_key_that_is_new_and_not_to_be_deleted_may_be_there_though_aws_does_not_tell_of_it() {
        let key = |kind, created_ns, state: &str| {
            let place = Place { kms: Uuid::nil(), region: "us-east-1" };
            let told = Some(KeyInAws { state: state.into(), ..KeyInAws::default() });
            AwsKeyEntry { told, stamps: Stamps::new(created_ns), ..AwsKeyEntry::new(Uuid::nil(), place, kind, ForAws::default()) }
        };
        let hyok = AwsKeyKind::Hyok { store: Uuid::nil() };
        let lags = |entry: &AwsKeyEntry| may_lag(entry, Duration::from_secs(120));
        assert!(lags(&key(hyok.clone(), now_ns(), "Enabled")));
        assert!(!lags(&key(hyok.clone(), now_ns(), "PendingDeletion")));
        assert!(!lags(&key(hyok, now_ns() - 121_000_000_000, "Enabled")));
        assert!(!lags(&key(AwsKeyKind::Native, now_ns(), "Enabled")));
        let made_late = key(AwsKeyKind::Hyok { store: Uuid::nil() }, now_ns() - 121_000_000_000, "Enabled");
        let told = made_late.told.clone().map(|told| KeyInAws { created_ns: now_ns(), ..told });
        assert!(lags(&AwsKeyEntry { told, ..made_late }));
    }

    #[tokio::test]
    async fn a_linked_key_store_that_is_new_stays_though_aws_does_not_tell_of_it_and_an_older_one_goes() {
        let estate = Estate::new().await;
        let old = Stamps::new(now_ns() - 121_000_000_000);
        let store = |id: u128, kind, stamps| {
            let entry = AwsKeyStoreEntry::new((Uuid::from_u128(id), Uuid::nil()), "us-east-1", (id.to_string(), kind), stamps);
            AwsKeyStoreEntry { custom_key_store_id: Some(format!("cks-{id}")), ..entry }
        };
        let (linked, cluster) = (
            AwsKeyStoreKind::Linked { credential: None },
            AwsKeyStoreKind::CloudHsm { cluster_id: String::new(), trust_anchor_certificate: String::new(), linked_as_sent: true },
        );
        let stores = [store(1, linked.clone(), Stamps::new(now_ns())), store(2, linked, old), store(3, cluster, Stamps::new(now_ns()))];
        estate.commit(stores.into_iter().map(|entry| EntryChange::put(Entry::AwsKeyStore(entry))).collect()).await;
        let core = estate.core(AwsSettings::new()).await;
        let mut gone = Vec::new();
        for id in [1, 2, 3].map(Uuid::from_u128) {
            core.key_store_is_gone(&Trail::system("test"), id).await.unwrap();
            gone.push(core.view().await.unwrap().aws_key_store(id).unwrap().unwrap().gone);
        }
        assert_eq!(gone, [false, true, true]);
    }
}
