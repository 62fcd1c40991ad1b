//! What AWS has no more.
//!
//! Always holds: an entry is marked, never deleted: what it was is still told; what is being worked on is left to whoever works on it.

use uuid::Uuid;

use crate::{
    access::Trail,
    clock::now_ns,
    core::{Core, CoreError, write::Plan},
    store::{
        View,
        entry::{AwsKeyEntry, AwsKeyStoreEntry, ConnectionState, Entry, EntryChange},
    },
};

impl Core {
    /// Marks a key store.
    pub(super) async fn key_store_is_gone(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let there = view.aws_key_store(id)?.filter(may_be_missed_key_store);
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

    /// Marks a key.
    pub(super) async fn key_is_gone(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let there = view.aws_key(id)?.filter(may_be_missed_key);
            let gone = there.map(|entry| AwsKeyEntry { gone: true, stamps: entry.stamps.touched(now_ns()), ..entry });
            Ok(Plan { changes: gone.into_iter().map(|entry| EntryChange::put(Entry::AwsKey(Box::new(entry)))).collect(), answer: () })
        };
        self.writer.change(trail, plan).await?;
        Ok(())
    }
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
