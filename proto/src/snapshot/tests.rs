use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    ids::{AccessKeyId, ExternalKeyId},
    kinds::KeyKind,
    records::{KeyUsage, LocalBlob, SourceKey},
    secret::Secret,
};

fn store(n: u8) -> StoreId {
    StoreId(Uuid::from_bytes([n; 16]))
}

fn key_id(n: u8) -> KeyId {
    KeyId(Uuid::from_bytes([n; 16]))
}

fn source(n: u8) -> SourceKey {
    SourceKey::Local(LocalBlob {
        id: Uuid::from_bytes([n; 16]),
        kind: KeyKind::Aes256,
        usage: KeyUsage::BOTH,
        unexportable: true,
        sealed: vec![n; 61].into(),
    })
}

fn header(n: u8, path: u8) -> StoreHeader {
    StoreHeader {
        id: store(n),
        name: format!("store-{n}"),
        uri_path: UriPath::try_from(format!("/p{path}/kms/xks/v1").as_str()).unwrap(),
        region: "us-east-1".into(),
        blocked: false,
        mtls_enabled: false,
        success_audit: false,
        quota: None,
        in_flight: None,
        max_snapshot_age: None,
        health_key: source(n),
    }
}

fn key(s: u8, k: u8, external: u8) -> Key {
    let external_id = ExternalKeyId::try_from(format!("k{external}").as_str()).unwrap();
    Key { id: key_id(k), store: store(s), external_id, blocked: false, legacy: None }
}

fn version(s: u8, k: u8, number: u32, state: VersionState) -> Version {
    Version { store: store(s), key: key_id(k), number, tag: [k; 4], state, source: source(k) }
}

fn credential(s: u8, c: u8, access: u8) -> Credential {
    Credential {
        id: CredentialId(Uuid::from_bytes([c; 16])),
        store: store(s),
        access_key_id: AccessKeyId::try_from("A".repeat(20 + usize::from(access)).as_str()).unwrap(),
        secret: Secret::new("s".repeat(43)),
        generation: 0,
    }
}

fn small_set() -> RecordSet {
    let changes = [
        Record::Store(header(1, 1)),
        Record::Credential(credential(1, 1, 1)),
        Record::Key(key(1, 1, 1)),
        Record::Version(version(1, 1, 0, VersionState::Active)),
    ];
    RecordSet::default().apply(changes.map(Change::Upsert)).unwrap().0
}

#[test]
fn children_need_their_parents() {
    let set = small_set();
    for orphan in [
        Change::Upsert(Record::Key(key(2, 2, 2))),
        Change::Upsert(Record::Version(version(1, 9, 0, VersionState::Active))),
        Change::Delete(RecordName::Store(store(2))),
        Change::Delete(RecordName::Key(store(1), key_id(9))),
        Change::Delete(RecordName::Version(store(1), key_id(1), 9)),
    ] {
        assert_eq!(set.apply([orphan.clone()]).unwrap_err(), Reject::Orphan(orphan.name()));
    }
}

#[test]
fn what_must_be_unique_is() {
    let set = small_set();
    let twice = |changes: Vec<Record>| matches!(set.apply(changes.into_iter().map(Change::Upsert)), Err(Reject::Duplicate { .. }));
    assert!(twice(vec![Record::Store(header(2, 1))]));
    assert!(twice(vec![Record::Key(key(1, 2, 1))]));
    assert!(twice(vec![Record::Credential(credential(1, 2, 1))]));
    assert!(twice(vec![Record::Version(version(1, 1, 1, VersionState::Active))]));
}

#[test]
fn two_stores_may_swap_paths_in_one_step() {
    let two = small_set().apply([Change::Upsert(Record::Store(header(2, 2)))]).unwrap().0;
    let swap = [header(1, 2), header(2, 1)].map(|h| Change::Upsert(Record::Store(h)));
    let (swapped, touched) = two.apply(swap).unwrap();
    assert_eq!(touched.len(), 2);
    assert_eq!(swapped.at(&header(9, 1).uri_path).unwrap().header().id, store(2));
}

#[test]
fn untouched_keys_keep_their_place_in_memory() {
    let set = small_set().apply([Change::Upsert(Record::Key(key(1, 2, 2)))]).unwrap().0;
    let mut blocked = key(1, 2, 2);
    blocked.blocked = true;
    let (next, _) = set.apply([Change::Upsert(Record::Key(blocked))]).unwrap();
    let at = |s: &RecordSet, k| s.store(store(1)).unwrap().key(key_id(k)).unwrap().clone();
    assert!(Arc::ptr_eq(&at(&set, 1), &at(&next, 1)));
    assert!(!Arc::ptr_eq(&at(&set, 2), &at(&next, 2)));
}

#[test]
fn deleting_and_adding_back_gives_the_same_digest() {
    let set = small_set();
    let gone = set.apply([Change::Delete(RecordName::Store(store(1)))]).unwrap().0;
    assert_ne!(gone.digest(), set.digest());
    let back = gone.apply(set.since(&gone)).unwrap().0;
    assert_eq!(back.digest(), set.digest());
}

fn any_change() -> impl Strategy<Value = Change> {
    let state = prop_oneof![Just(VersionState::Pending), Just(VersionState::Active), Just(VersionState::Retired)];
    prop_oneof![
        (0..3u8, 0..4u8).prop_map(|(s, p)| Change::Upsert(Record::Store(header(s, p)))),
        (0..3u8, 0..3u8, 0..4u8).prop_map(|(s, k, e)| Change::Upsert(Record::Key(key(s, k, e)))),
        (0..3u8, 0..3u8, 0..4u8).prop_map(|(s, c, a)| Change::Upsert(Record::Credential(credential(s, c, a)))),
        (0..3u8, 0..3u8, 0..3u32, state).prop_map(|(s, k, n, state)| Change::Upsert(Record::Version(version(s, k, n, state)))),
        (0..3u8).prop_map(|s| Change::Delete(RecordName::Store(store(s)))),
        (0..3u8, 0..3u8).prop_map(|(s, k)| Change::Delete(RecordName::Key(store(s), key_id(k)))),
        (0..3u8, 0..3u8, 0..3u32).prop_map(|(s, k, n)| Change::Delete(RecordName::Version(store(s), key_id(k), n))),
    ]
}

fn reach(changes: Vec<Change>) -> RecordSet {
    changes.into_iter().fold(RecordSet::default(), |set, change| match set.apply([change]) {
        Ok((next, _)) => next,
        Err(_) => set,
    })
}

proptest! {
    #[test]
    fn the_difference_of_any_two_sets_leads_from_one_to_the_other(
        old in prop::collection::vec(any_change(), 0..40),
        new in prop::collection::vec(any_change(), 0..40),
    ) {
        let (old, new) = (reach(old), reach(new));
        let (led, _) = old.apply(new.since(&old)).unwrap();
        prop_assert_eq!(led.digest(), new.digest());
        prop_assert!(new.since(&led).is_empty());
        // An untouched set means an empty difference, and the digest tells sets apart.
        prop_assert_eq!(old.digest() == new.digest(), new.since(&old).is_empty());
    }

    #[test]
    fn changes_survive_the_wire(changes in prop::collection::vec(any_change(), 0..20)) {
        for change in changes {
            let there = wire::Change::from(&change).encode_to_vec();
            let back = Change::try_from(wire::Change::decode(there.as_slice()).unwrap()).unwrap();
            prop_assert_eq!(back, change);
        }
    }
}
