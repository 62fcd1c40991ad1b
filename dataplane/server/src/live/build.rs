//! Builds a snapshot from records and the snapshot before. Can't fail: what this host can't serve becomes unusable.
//!
//! Holds: a store with the same digest, a key with the same records and a version with the same source are the ones of before, not
//! copies; limits, metrics and counts are carried over by name.

use std::{collections::HashMap, sync::Arc};

use holdfast_proto::{
    ids::{AccessKeyId, ExternalKeyId, Revision, StoreId},
    records::{self, Credential, KeyUsage, SourceKey},
    snapshot::{KeyRecords, RecordSet, StoreRecords},
};

use super::{
    Parts,
    caller::Caller,
    count::CountName,
    snapshot::{Key, Snapshot, Store, Unusable, UnusableKey, Version},
    source::Source,
};
use crate::limits::Limits;

/// The snapshot of `records`.
pub(super) fn snapshot(before: &Snapshot, records: RecordSet, revision: Revision, parts: &Parts) -> Snapshot {
    let old: HashMap<StoreId, &Arc<Store>> = before.stores().map(|store| (store.id, store)).collect();
    let stores = records.stores().map(|now| {
        let old = old.get(&now.header().id).copied();
        let store = match old.filter(|old| old.records.digest() == now.digest()) {
            Some(same) => Arc::clone(same),
            None => Arc::new(store(old.map(Arc::as_ref), now, parts)),
        };
        (store.path.clone(), store)
    });
    let stores = stores.collect();
    Snapshot { revision, stores, records }
}

fn store(old: Option<&Store>, now: &Arc<StoreRecords>, parts: &Parts) -> Store {
    let header = now.header();
    let keys: HashMap<ExternalKeyId, Arc<Key>> = keys(old, now, parts);
    let health = Source::open(&parts.seals, &parts.groups, &header.health_key);
    Store {
        id: header.id,
        name: header.name.clone(),
        path: header.uri_path.clone(),
        region: header.region.clone(),
        blocked: header.blocked,
        mtls_enabled: header.mtls_enabled,
        success_audit: header.success_audit,
        max_snapshot_age: header.max_snapshot_age,
        credentials: now.credentials().map(|now| caller(old, now)).collect(),
        unusable: unusable(header.id, &health, &keys),
        keys,
        health,
        limits: Arc::new(Limits::carry(old.map(|old| old.limits.as_ref()), header)),
        metrics: parts.metrics.store(old.map(|old| &old.metrics), &header.name),
        records: Arc::clone(now),
    }
}

fn caller(old: Option<&Store>, now: &Credential) -> (AccessKeyId, Arc<Caller>) {
    let before = old.and_then(|old| old.credentials.get(&now.access_key_id));
    let same = before.filter(|before| before.credential == *now);
    let fresh = || Arc::new(Caller::new(now.clone(), before.map(Arc::as_ref)));
    (now.access_key_id.clone(), same.map_or_else(fresh, Arc::clone))
}

fn keys(old: Option<&Store>, now: &StoreRecords, parts: &Parts) -> HashMap<ExternalKeyId, Arc<Key>> {
    let mut keys = HashMap::with_capacity(now.keys().count());
    for now in now.keys() {
        let external_id = &now.key().external_id;
        let old = old.and_then(|old| old.keys.get(external_id)).filter(|old| old.id == now.key().id);
        let key = match old.filter(|old| Arc::ptr_eq(&old.records, now)) {
            Some(same) => Arc::clone(same),
            None => Arc::new(key(old.map(Arc::as_ref), now, parts)),
        };
        keys.insert(external_id.clone(), key);
    }
    keys
}

fn key(old: Option<&Key>, now: &Arc<KeyRecords>, parts: &Parts) -> Key {
    let key = now.key();
    let versions: Box<[Arc<Version>]> = now.versions().map(|now| version(old, now, parts)).collect();
    let active = now.active().and_then(|active| versions.iter().find(|version| version.number == active.number)).cloned();
    let shown = now.active().or_else(|| now.versions().next_back());
    Key {
        id: key.id,
        blocked: key.blocked,
        legacy: key.legacy,
        usage: shown.map_or(KeyUsage { encrypt: false, decrypt: false }, |version| usage(&version.source)),
        active,
        versions,
        records: Arc::clone(now),
    }
}

fn version(old: Option<&Key>, now: &records::Version, parts: &Parts) -> Arc<Version> {
    let unchanged = old.filter(|old| old.records.version(now.number) == Some(now));
    if let Some(same) = unchanged.and_then(|old| old.numbered(now.number)) {
        return Arc::clone(same);
    }
    let count = parts.ledger.count(CountName { key: now.key, version: now.number, tag: now.tag });
    let key = Source::open(&parts.seals, &parts.groups, &now.source);
    Arc::new(Version { number: now.number, tag: now.tag, state: now.state, key, count })
}

fn usage(source: &SourceKey) -> KeyUsage {
    match source {
        SourceKey::Local(blob) => blob.usage,
        SourceKey::Partition(_) => KeyUsage::BOTH,
    }
}

fn unusable(store: StoreId, health: &Result<Source, Unusable>, keys: &HashMap<ExternalKeyId, Arc<Key>>) -> Vec<UnusableKey> {
    let mut found = Vec::new();
    if let Err(reason) = health {
        found.push(UnusableKey { store, key: None, version: 0, reason: reason.clone() });
    }
    for key in keys.values() {
        for version in &key.versions {
            if let Err(reason) = &version.key {
                found.push(UnusableKey { store, key: Some(key.id), version: version.number, reason: reason.clone() });
            }
        }
    }
    found.sort_unstable_by_key(|one| (one.key, one.version));
    found
}
