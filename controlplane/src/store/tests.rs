//! One suite that every store passes, and what it is made of; `conformance` has it claim by claim.

use std::collections::BTreeMap;

use holdfast_proto::{
    ids::{AccessKeyId, CredentialId, ExternalKeyId, UriPath},
    kinds::KeyKind,
    records::{KeyUsage, LegacyFormat, LocalBlob, PartitionKey, SourceKey},
    state::VersionState,
};
use uuid::Uuid;

use super::{entry::*, memory::MemoryStore, sled::SledStore, *};
use crate::names::{NodeName, UserName};

const EPOCH: u64 = 1_700_000_000_000;

fn store_id(n: u128) -> StoreId {
    StoreId(Uuid::from_u128(n))
}

fn key_id(n: u128) -> KeyId {
    KeyId(Uuid::from_u128(n))
}

fn node_name(name: &str) -> NodeName {
    NodeName::try_from(name).unwrap()
}

fn key_store(n: u128) -> Entry {
    Entry::KeyStore(KeyStoreEntry {
        id: store_id(n),
        name: format!("store {n}"),
        uri_path: UriPath::try_from(format!("/s{n}/kms/xks/v1").as_str()).unwrap(),
        region: "us-east-1".into(),
        tier: Tier::Partition("group".into()),
        blocked: true,
        mtls_enabled: false,
        success_audit: true,
        quota: Some(3),
        in_flight: None,
        max_snapshot_age_seconds: Some(60),
        max_credentials: 2,
        credential_version: 4,
        health_key: Uuid::from_u128(n),
        health_ciphertext: Vec::new(),
        kms: None,
        partition: None,
        address: AddressEntry::default(),
        sent: SentEntry::default(),
        retire_unused_after_seconds: None,
        labels: BTreeMap::from([("a".into(), "b".into())]),
        stamps: Stamps { created_ns: 1, updated_ns: 2 },
    })
}

fn credential(store: u128, n: u128) -> CredentialEntry {
    CredentialEntry {
        id: CredentialId(Uuid::from_u128(n)),
        store: store_id(store),
        access_key_id: AccessKeyId::try_from("ABCDEFGHIJKLMNOP2345").unwrap(),
        secret: SealedSecret(vec![0, 255, n as u8]),
        generation: 1,
        version: 1,
        stamps: Stamps::default(),
    }
}

fn hyok_key(store: u128, n: u128) -> Entry {
    Entry::HyokKey(HyokKeyEntry {
        id: key_id(n),
        store: store_id(store),
        external_id: ExternalKeyId::try_from(format!("key-{n}").as_str()).unwrap(),
        name: "key".into(),
        blocked: false,
        virtual_key: Uuid::from_u128(n),
        legacy: Some(LegacyEntry { format: LegacyFormat::RawConcat, version: 0 }),
        tier_as_sent: None,
        for_aws: ForAws::default(),
        stamps: Stamps::default(),
    })
}

fn source_key(n: u128, key: SourceKey) -> Entry {
    Entry::SourceKey(SourceKeyEntry::new(Uuid::from_u128(n), String::new(), key, Stamps::default()))
}

fn one_of_each() -> Vec<Entry> {
    let place = KeyPlaceEntry { key: key_id(6), store: store_id(1) };
    let version = |number, state| VersionEntry { number, tag: [1, 2, 3, 4], state, source: Uuid::from_u128(8), created_ns: 5 };
    let blob = LocalBlob {
        id: Uuid::from_u128(8),
        kind: KeyKind::Aes256,
        usage: KeyUsage::BOTH,
        unexportable: true,
        sealed: vec![0, 1, 254].into(),
    };
    let partition = PartitionKey { group: "g".into(), cka_id: vec![7].into(), label: "l".into() };
    vec![
        key_store(1),
        Entry::Credential(credential(1, 2)),
        hyok_key(1, 6),
        Entry::KeyPlace(place),
        Entry::ExternalId(ExternalIdEntry { store: store_id(1), external_id: ExternalKeyId::try_from("key-6").unwrap(), key: key_id(6) }),
        Entry::VirtualKey(VirtualKeyEntry {
            versions: vec![version(0, VersionState::Retired), version(1, VersionState::Active), version(2, VersionState::Pending)],
            ..VirtualKeyEntry::silent(Uuid::from_u128(7), Some(place), Stamps::default())
        }),
        source_key(8, SourceKey::Local(blob)),
        source_key(9, SourceKey::Partition(partition)),
        Entry::Node(NodeEntry {
            name: node_name("n"),
            fingerprint: Fingerprint([9; 32]),
            enrolled_ms: 1,
            revoked_ms: Some(2),
            registered: true,
        }),
        Entry::User(UserEntry {
            id: Uuid::from_u128(10),
            name: UserName::try_from("admin").unwrap(),
            password_hash: "$argon2id$".into(),
            roles: vec![Role::Admin, Role::KeyAdmin, Role::KeyUser, Role::Auditor],
            disabled: true,
            generation: 3,
            stamps: Stamps::default(),
        }),
        Entry::Demo(Box::new(DemoEntry {
            store: store_id(11),
            uri_path: UriPath::try_from("/demo/kms/xks/v1").unwrap(),
            region: "eu-west-1".into(),
            quota: None,
            credential: credential(11, 12),
            key: key_id(13),
            external_id: ExternalKeyId::try_from("demo").unwrap(),
            virtual_key: Uuid::from_u128(14),
            health_blob: Uuid::from_u128(15),
            key_blob: Uuid::from_u128(16),
            fulfilled: false,
        })),
    ]
}

fn notes() -> Vec<Entry> {
    vec![
        Entry::NodeSeen(NodeSeenEntry { name: node_name("n"), seen_ms: 5, durable: Revision { epoch: 1, counter: 2 } }),
        Entry::Count(CountEntry { key: key_id(6), version: 1, tag: [1; 4], node: node_name("n"), reserved: 1 << 40, lost: 1 << 21 }),
        Entry::Count(CountEntry { key: key_id(7), version: 1, tag: [1; 4], node: node_name("n"), reserved: 2, lost: 0 }),
    ]
}

fn puts(entries: Vec<Entry>) -> Vec<EntryChange> {
    entries.into_iter().map(EntryChange::put).collect()
}

/// What every store must do; `reopened` closes and opens it again where that means something.
async fn suite(store: Arc<dyn Store>, reopened: impl Fn(Arc<dyn Store>) -> Arc<dyn Store>) {
    let start = View::of(&store).await.unwrap().revision();
    assert_eq!(start, Revision { epoch: EPOCH, counter: 0 });
    let mut nudge = store.head().watch();

    let first = store.commit(start, puts(one_of_each())).await.unwrap();
    assert_eq!(first, start.next());
    assert!(nudge.has_changed().unwrap());
    assert_eq!(*nudge.borrow_and_update(), first);
    let changed = store.head().changed_since(start).unwrap();
    assert_eq!(changed.names, one_of_each().iter().map(Entry::name).collect());
    assert_eq!(changed.key_stores(), [store_id(1)].into());

    // A lost race changes nothing, not even where the revision stands.
    let lost = store.commit(start, vec![EntryChange::put(key_store(2)), EntryChange::Delete(EntryName::Demo)]).await;
    assert!(matches!(lost, Err(CommitError::Conflict { now }) if now == first));
    assert!(!nudge.has_changed().unwrap());
    assert_eq!(store.head().revision(), first);
    assert_eq!(store.read(&EntryName::KeyStore(store_id(2))).unwrap(), None);

    store.note(notes()).unwrap();
    assert_eq!(store.head().revision(), first);

    let store = reopened(store);
    assert_eq!(store.head().revision(), first);
    for entry in one_of_each().into_iter().chain(notes()) {
        assert_eq!(store.read(&entry.name()).unwrap().as_ref(), Some(&entry));
    }
    let view = View::of(&store).await.unwrap();
    assert_eq!(view.counts().unwrap().len(), 2);
    assert_eq!(view.counts_of(key_id(7)).unwrap().len(), 1);
    assert_eq!(view.find_hyok_key(key_id(6)).unwrap().unwrap().store, store_id(1));
    assert_eq!(view.source_keys().unwrap().len(), 2);
    assert_eq!((view.nodes().unwrap().len(), view.users().unwrap().len(), view.nodes_seen().unwrap().len()), (1, 1, 1));
    drop(view);

    let more = vec![key_store(0x0200), hyok_key(0x0200, 1), hyok_key(0x0200, 2), hyok_key(1, 3), Entry::Credential(credential(0x0200, 4))];
    let mut changes = puts(more);
    changes.push(EntryChange::Delete(EntryName::Credential(store_id(1), CredentialId(Uuid::from_u128(2)))));
    changes.push(EntryChange::Delete(EntryName::KeyStore(store_id(99))));
    let second = store.commit(first, changes).await.unwrap();
    let store = reopened(store);
    let view = View::of(&store).await.unwrap();
    assert_eq!(view.revision(), second);
    let ids: Vec<_> = view.key_stores().unwrap().iter().map(|s| s.id).collect();
    assert_eq!(ids, [store_id(1), store_id(0x0200)]);
    let ids: Vec<_> = view.hyok_keys(store_id(0x0200)).unwrap().iter().map(|k| k.id).collect();
    assert_eq!(ids, [key_id(1), key_id(2)]);
    assert_eq!(view.credentials(store_id(1)).unwrap(), []);
    assert_eq!(view.credentials(store_id(0x0200)).unwrap().len(), 1);
}

#[tokio::test]
async fn the_memory_store_passes_the_suite() {
    suite(Arc::new(MemoryStore::new(EPOCH)), |store| store).await;
}

#[tokio::test]
async fn the_sled_store_passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::create(dir.path(), EPOCH).unwrap());
    suite(store, |store| {
        drop(store);
        Arc::new(SledStore::open(dir.path()).unwrap())
    })
    .await;
}

mod conformance;
