//! Records for this module's tests.

use std::sync::Arc;

use holdfast_proto::{
    ids::{ExternalKeyId, KeyId, Revision, StoreId, UriPath},
    kinds::KeyKind,
    records::{Change, Key, KeyUsage, LocalBlob, PartitionKey, Record, SourceKey, StoreHeader, Version},
    snapshot::RecordSet,
    state::VersionState,
};
use uuid::Uuid;

use super::built::Built;

pub(super) const fn store_id(n: u8) -> StoreId {
    StoreId(Uuid::from_bytes([n; 16]))
}

pub(super) const fn key_id(n: u8) -> KeyId {
    KeyId(Uuid::from_bytes([n; 16]))
}

pub(super) fn source(n: u8, size: usize) -> SourceKey {
    SourceKey::Local(LocalBlob {
        id: Uuid::from_bytes([n; 16]),
        kind: KeyKind::Aes256,
        usage: KeyUsage::BOTH,
        unexportable: true,
        sealed: vec![n; size].into(),
    })
}

pub(super) fn store(n: u8, blocked: bool) -> Change {
    Change::Upsert(Record::Store(StoreHeader {
        id: store_id(n),
        name: format!("store-{n}"),
        uri_path: UriPath::try_from(format!("/p{n}/kms/xks/v1").as_str()).unwrap(),
        region: "us-east-1".into(),
        blocked,
        mtls_enabled: false,
        success_audit: false,
        quota: None,
        in_flight: None,
        max_snapshot_age: None,
        health_key: source(n, 61),
    }))
}

pub(super) fn key(store: u8, key: u8, blocked: bool) -> Change {
    let external_id = ExternalKeyId::try_from(format!("k{key}").as_str()).unwrap();
    Change::Upsert(Record::Key(Key { id: key_id(key), store: store_id(store), external_id, blocked, legacy: None }))
}

/// A version whose sealed blob has `size` bytes, so that chunks can be filled.
pub(super) fn version(store: u8, key: u8, number: u32, size: usize) -> Change {
    of(store, key, number, (VersionState::Pending, source(1, size)))
}

pub(super) fn active(store: u8, key: u8, number: u32) -> Change {
    of(store, key, number, (VersionState::Active, source(1, 61)))
}

pub(super) fn partition_version(store: u8, key: u8, number: u32) -> Change {
    let partition = PartitionKey { group: "group".into(), cka_id: [1].into(), label: "label".into() };
    of(store, key, number, (VersionState::Active, SourceKey::Partition(partition)))
}

fn of(store: u8, key: u8, number: u32, (state, source): (VersionState, SourceKey)) -> Change {
    let (store, key) = (store_id(store), key_id(key));
    Change::Upsert(Record::Version(Version { store, key, number, tag: [7; 4], state, source }))
}

pub(super) fn revision(counter: u64) -> Revision {
    Revision { epoch: 1, counter }
}

pub(super) fn built(changes: impl IntoIterator<Item = Change>, counter: u64) -> Arc<Built> {
    Arc::new(Built::new(RecordSet::default().apply(changes).unwrap().0, revision(counter), counter))
}
