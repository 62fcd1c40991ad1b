use std::time::Duration;

use holdfast_keys::pkcs11::settings::Pkcs11Settings;
use holdfast_proto::{
    ids::{ExternalKeyId, KeyId, StoreId, UriPath},
    records::{Change, Credential, KeyUsage, LocalBlob, PartitionKey, Record, RecordName, SourceKey, StoreHeader},
    seal::Seal,
    secret::Secret,
    state::VersionState,
};
use uuid::Uuid;

use super::*;

/// Records as a control plane would make them, under one key seal.
pub(crate) struct Maker {
    pub(crate) seals: Arc<SealRing>,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self { seals: Arc::new(SealRing::new(Seal::generate().unwrap(), Vec::new())) }
    }

    /// The same seals once more.
    pub(crate) fn again(&self) -> Self {
        Self { seals: Arc::clone(&self.seals) }
    }

    pub(crate) fn live(&self) -> Live {
        self.live_with(Arc::new(Ledger::resume([], true)))
    }

    pub(crate) fn live_with(&self, ledger: Arc<Ledger>) -> Live {
        let metrics = Arc::new(Metrics::register());
        let groups = no_groups();
        Live::start(Parts { seals: Arc::clone(&self.seals), groups, metrics, signing: Arc::default(), ledger }).unwrap()
    }

    pub(crate) fn source(&self, n: u8) -> SourceKey {
        SourceKey::Local(holdfast_keys::local::generate(&self.seals, Uuid::from_bytes([n; 16]), KeyUsage::BOTH, true).unwrap())
    }

    pub(crate) fn header(&self, n: u8) -> StoreHeader {
        StoreHeader {
            id: store_id(n),
            name: format!("store-{n}"),
            uri_path: path(n),
            region: "us-east-1".into(),
            blocked: false,
            mtls_enabled: false,
            success_audit: false,
            quota: None,
            in_flight: None,
            max_snapshot_age: None,
            health_key: self.source(n),
        }
    }

    pub(crate) fn version(&self, s: u8, k: u8, number: u32, state: VersionState) -> records::Version {
        records::Version { store: store_id(s), key: key_id(k), number, tag: [k; 4], state, source: self.source(k) }
    }

    /// A store with one credential and `keys` keys of one active version each.
    pub(crate) fn store(&self, n: u8, keys: u8) -> Vec<Change> {
        let mut records = vec![Record::Store(self.header(n)), Record::Credential(credential(n, 1))];
        for k in 0..keys {
            records.push(Record::Key(key(n, k)));
            records.push(Record::Version(self.version(n, k, 0, VersionState::Active)));
        }
        records.into_iter().map(Change::Upsert).collect()
    }
}

use holdfast_proto::records;

/// Of a host without tokens.
pub(crate) fn no_groups() -> Arc<Groups> {
    Groups::start(Pkcs11Settings::default()).unwrap()
}

pub(crate) fn store_id(n: u8) -> StoreId {
    StoreId(Uuid::from_bytes([n; 16]))
}

pub(crate) fn key_id(n: u8) -> KeyId {
    KeyId(Uuid::from_bytes([n; 16]))
}

pub(crate) fn path(n: u8) -> UriPath {
    UriPath::try_from(format!("/p{n}/kms/xks/v1").as_str()).unwrap()
}

pub(crate) fn key(s: u8, k: u8) -> records::Key {
    let external_id = ExternalKeyId::try_from(format!("k{k}").as_str()).unwrap();
    records::Key { id: key_id(k), store: store_id(s), external_id, blocked: false, legacy: None }
}

pub(crate) fn credential(s: u8, generation: u64) -> Credential {
    Credential {
        id: CredentialId(Uuid::from_bytes([s; 16])),
        store: store_id(s),
        access_key_id: "ABCDEFGHIJKLMNOP2345".try_into().unwrap(),
        secret: Secret::new("s".repeat(43)),
        generation,
    }
}

pub(crate) fn at(counter: u64) -> Revision {
    Revision { epoch: 1, counter }
}

fn set(changes: impl IntoIterator<Item = Change>) -> RecordSet {
    RecordSet::default().apply(changes).unwrap().0
}

fn the_store(snapshot: &Snapshot, n: u8) -> &Arc<Store> {
    snapshot.store(path(n).as_str()).unwrap()
}

#[test]
fn what_did_not_change_is_shared_between_snapshots() {
    let maker = Maker::new();
    let live = maker.live();
    let one = set([maker.store(1, 2), maker.store(2, 2)].concat());
    let before = live.install(one.clone(), at(1));
    let blocked = records::Key { blocked: true, ..key(1, 0) };
    let after = live.install(one.apply([Change::Upsert(Record::Key(blocked))]).unwrap().0, at(2));
    assert_eq!(live.load().revision, at(2));
    assert!(Arc::ptr_eq(the_store(&before, 2), the_store(&after, 2)));
    let (old, new) = (the_store(&before, 1), the_store(&after, 1));
    assert!(!Arc::ptr_eq(old, new) && new.keys["k0"].blocked && !old.keys["k0"].blocked);
    assert!(Arc::ptr_eq(&old.keys["k1"], &new.keys["k1"]));
    assert!(Arc::ptr_eq(&old.keys["k0"].versions[0], &new.keys["k0"].versions[0]));
    assert!(Arc::ptr_eq(&old.metrics, &new.metrics));
    assert!(Arc::ptr_eq(old.credentials.values().next().unwrap(), new.credentials.values().next().unwrap()));
}

#[test]
fn the_same_records_made_anew_are_still_the_same_stores() {
    let maker = Maker::new();
    let live = maker.live();
    let changes = maker.store(1, 2);
    let before = live.install(set(changes.clone()), at(1));
    let after = live.install(set(changes), at(2));
    assert!(Arc::ptr_eq(the_store(&before, 1), the_store(&after, 1)));
}

#[test]
fn a_spent_quota_and_a_count_outlive_a_swap() {
    let maker = Maker::new();
    let live = maker.live();
    let header = StoreHeader { quota: std::num::NonZeroU32::new(1), ..maker.header(1) };
    let one = set([maker.store(1, 1), vec![Change::Upsert(Record::Store(header.clone()))]].concat());
    let before = live.install(one.clone(), at(1));
    the_store(&before, 1).limits.spend().unwrap();
    let active = the_store(&before, 1).keys["k0"].active.as_ref().unwrap();
    active.count.take().unwrap();
    let changes = [
        Change::Upsert(Record::Store(StoreHeader { blocked: true, ..header })),
        Change::Upsert(Record::Version(records::Version { state: VersionState::Retired, ..one_version(&one) })),
    ];
    let after = live.install(one.apply(changes).unwrap().0, at(2));
    assert!(the_store(&after, 1).limits.spend().is_err());
    let retired = the_store(&after, 1).keys["k0"].version(0, [0; 4]).unwrap();
    assert!(the_store(&after, 1).keys["k0"].active.is_none());
    assert_eq!(retired.count.used(), 1);
}

fn one_version(set: &RecordSet) -> records::Version {
    set.store(store_id(1)).unwrap().key(key_id(0)).unwrap().versions().next().unwrap().clone()
}

#[test]
fn a_key_that_cant_be_served_is_unusable_and_holds_nothing_back() {
    let maker = Maker::new();
    let live = maker.live();
    let stranger = Maker::new();
    let partition = SourceKey::Partition(PartitionKey { group: "g".into(), cka_id: vec![1].into(), label: "l".into() });
    let one = set([maker.store(1, 3), maker.store(2, 1)].concat());
    let mut bent = maker.version(1, 2, 0, VersionState::Active);
    if let SourceKey::Local(LocalBlob { unexportable, .. }) = &mut bent.source {
        *unexportable = false;
    }
    let changes = [
        Record::Version(records::Version { source: partition, ..maker.version(1, 0, 0, VersionState::Active) }),
        Record::Version(stranger.version(1, 1, 0, VersionState::Active)),
        Record::Version(bent),
        Record::Store(StoreHeader { health_key: stranger.source(1), ..maker.header(1) }),
        Record::Key(records::Key { blocked: true, ..key(2, 0) }),
    ];
    let snapshot = live.install(one.apply(changes.map(Change::Upsert)).unwrap().0, at(1));
    let listed: Vec<_> = snapshot.unusable().map(|u| (u.key, u.version)).collect();
    assert_eq!(listed, [(None, 0), (Some(key_id(0)), 0), (Some(key_id(1)), 0), (Some(key_id(2)), 0)]);
    assert!(the_store(&snapshot, 1).health.is_err());
    assert!(the_store(&snapshot, 2).keys["k0"].blocked);
    assert!(the_store(&snapshot, 2).keys["k0"].active.as_ref().unwrap().key.is_ok());
}

#[test]
fn a_ciphertexts_version_needs_number_and_tag() {
    let maker = Maker::new();
    let live = maker.live();
    let one = set([maker.store(1, 1), vec![Change::Upsert(Record::Version(maker.version(1, 0, 4, VersionState::Pending)))]].concat());
    let snapshot = live.install(one, at(1));
    let key = &the_store(&snapshot, 1).keys["k0"];
    assert_eq!(key.active.as_ref().unwrap().number, 0);
    assert_eq!(key.version(4, [0; 4]).unwrap().state, VersionState::Pending);
    assert!(key.version(4, [1; 4]).is_none());
    assert!(key.version(1, [0; 4]).is_none());
    assert_eq!(key.numbered(4).unwrap().number, 4);
    assert_eq!(key.external_id().as_str(), "k0");
}

#[test]
fn a_credential_that_is_gone_or_has_a_new_secret_is_dropped() {
    let maker = Maker::new();
    let live = maker.live();
    let one = set([maker.store(1, 0), maker.store(2, 0), maker.store(3, 0)].concat());
    let changes =
        [Change::Upsert(Record::Credential(credential(1, 2))), Change::Delete(RecordName::Credential(store_id(2), credential(2, 1).id))];
    let two = one.apply(changes).unwrap().0;
    let before = live.install(one, at(1));
    let after = live.install(two.clone(), at(2));
    let mut dropped = dropped_credentials(&before, &after);
    dropped.sort();
    assert_eq!(dropped, [credential(1, 2).id, credential(2, 1).id]);
    let without_three = live.install(two.apply([Change::Delete(RecordName::Store(store_id(3)))]).unwrap().0, at(3));
    assert_eq!(dropped_credentials(&after, &without_three), [credential(3, 1).id]);
}

#[test]
fn a_moved_path_leads_to_the_store_that_has_it_now() {
    let maker = Maker::new();
    let live = maker.live();
    let one = set([maker.store(1, 1), maker.store(2, 1)].concat());
    live.install(one.clone(), at(1));
    let swap = [(1, 2), (2, 1)].map(|(s, p)| Change::Upsert(Record::Store(StoreHeader { uri_path: path(p), ..maker.header(s) })));
    let swapped = live.install(one.apply(swap).unwrap().0, at(2));
    assert_eq!(the_store(&swapped, 2).id, store_id(1));
    assert_eq!(the_store(&swapped, 1).id, store_id(2));
}

#[test]
fn a_request_keeps_the_snapshot_it_loaded() {
    let maker = Maker::new();
    let live = maker.live();
    live.install(set(maker.store(1, 1)), at(1));
    let loaded = live.load();
    live.install(RecordSet::default(), at(2));
    assert!(loaded.store(path(1).as_str()).is_some());
    assert!(live.load().store(path(1).as_str()).is_none());
}

#[test]
fn the_age_runs_only_while_nobody_confirms_the_snapshot() {
    let live = Maker::new().live();
    live.mark_confirmed_at(SystemTime::now() - Duration::from_secs(60));
    assert!(live.age() >= Duration::from_secs(60));
    live.mark_uncertain();
    assert!(live.age() >= Duration::from_secs(60));
    live.mark_current();
    assert_eq!(live.age(), Duration::ZERO);
    live.mark_uncertain();
    assert!(live.age() < Duration::from_secs(60));
}

#[test]
fn when_a_credential_signed_last_outlives_a_swap_and_a_new_secret() {
    let (maker, second) = (Maker::new(), Duration::from_secs(1));
    let live = maker.live();
    let one = set(maker.store(1, 1));
    let before = live.install(one.clone(), at(1));
    let caller = |snapshot: &Snapshot| Arc::clone(the_store(snapshot, 1).credentials.values().next().unwrap());
    assert_eq!(caller(&before).used_ms(), None);
    caller(&before).signed(SystemTime::UNIX_EPOCH + 5 * second);
    // Not worth a write.
    caller(&before).signed(SystemTime::UNIX_EPOCH + 5 * second + second / 2);
    let one = one.apply([Change::Upsert(Record::Store(StoreHeader { blocked: true, ..maker.header(1) }))]).unwrap().0;
    assert_eq!(caller(&live.install(one.clone(), at(2))).used_ms(), Some(5_000));
    let anew = Credential { secret: Secret::new("t".repeat(43)), ..credential(1, 2) };
    let after = live.install(one.apply([Change::Upsert(Record::Credential(anew))]).unwrap().0, at(3));
    assert_eq!(caller(&after).used_ms(), Some(5_000));
    caller(&after).signed(SystemTime::UNIX_EPOCH + 6 * second);
    assert_eq!(caller(&after).used_ms(), Some(6_000));
    let other = Credential { id: CredentialId(Uuid::from_bytes([9; 16])), ..credential(1, 1) };
    let gone = Change::Delete(RecordName::Credential(store_id(1), credential(1, 1).id));
    let replaced = one.apply([gone, Change::Upsert(Record::Credential(other))]).unwrap().0;
    assert_eq!(caller(&live.install(replaced, at(4))).used_ms(), None, "another credential by the same access key id");
}
