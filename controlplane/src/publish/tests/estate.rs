//! A store with key stores in it, a running publisher over it, and certificates for nodes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use holdfast_proto::{
    ids::{AccessKeyId, CredentialId, ExternalKeyId, KeyId, Revision, StoreId, UriPath},
    kinds::KeyKind,
    records::{KeyUsage, LocalBlob, SourceKey},
    seal::{Seal, SealRing},
    secret::Secret,
    state::VersionState,
};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    audit::Audit,
    aws::{Aws, AwsSettings},
    connections::SYNC_CAPS,
    core::{Core, Writer},
    names::NodeName,
    pki::{Authority, Issued},
    publish::{PublishSettings, Running, spawn},
    store::{
        Store, View,
        entry::{
            AddressEntry, AssumeRole, AwsCloud, CredentialEntry, Entry, EntryChange, EntryName, ForAws, HyokKeyEntry, KeyPlaceEntry,
            KeyStoreEntry, KmsContainerEntry, NodeEntry, SentEntry, SourceKeyEntry, Stamps, Tier, VersionEntry, VirtualKeyEntry,
        },
        memory::MemoryStore,
        seal::{ControlSeal, SecretOf},
    },
};

pub(super) const SOON: Duration = Duration::from_secs(20);

/// Everything a test needs.
pub(crate) struct Estate {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) seal: ControlSeal,
    pub(super) authority: Authority,
}

pub(crate) fn store_id(n: u128) -> StoreId {
    StoreId(Uuid::from_u128(n))
}

pub(in crate::publish) fn key_id(n: u128) -> KeyId {
    KeyId(Uuid::from_u128(n))
}

/// A KMS container of an account, named by its number.
pub(crate) fn kms_container(id: Uuid, account: &str, regions: &[&str]) -> KmsContainerEntry {
    KmsContainerEntry {
        id,
        name: format!("k{}", id.as_u128()),
        account_id: account.into(),
        regions: regions.iter().map(ToString::to_string).collect(),
        connection: Uuid::nil(),
        connection_as_sent: "c".into(),
        cloud: AwsCloud::Commercial,
        assume_role: AssumeRole::default(),
        acls: Vec::new(),
        stamps: Stamps::default(),
    }
}

pub(super) fn name(name: &str) -> NodeName {
    NodeName::try_from(name).unwrap()
}

pub(crate) fn key_store(n: u128, blocked: bool) -> EntryChange {
    EntryChange::put(Entry::KeyStore(KeyStoreEntry {
        id: store_id(n),
        name: format!("store {n}"),
        uri_path: UriPath::try_from(format!("/s{n}/kms/xks/v1").as_str()).unwrap(),
        region: "us-east-1".into(),
        tier: Tier::Local,
        blocked,
        mtls_enabled: false,
        success_audit: false,
        quota: None,
        in_flight: None,
        max_snapshot_age_seconds: None,
        max_credentials: 2,
        credential_version: 0,
        health_key: Uuid::from_u128(n),
        health_ciphertext: Vec::new(),
        kms: None,
        partition: None,
        address: AddressEntry::default(),
        sent: SentEntry::default(),
        retire_unused_after_seconds: None,
        labels: BTreeMap::new(),
        stamps: Stamps::default(),
    }))
}

pub(in crate::publish) fn source_key(n: u128) -> EntryChange {
    let blob =
        LocalBlob { id: Uuid::from_u128(n), kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true, sealed: vec![7; 61].into() };
    let (id, key) = (Uuid::from_u128(n), SourceKey::Local(blob));
    EntryChange::put(Entry::SourceKey(SourceKeyEntry::new(id, String::new(), key, Stamps::default())))
}

pub(crate) fn hyok_key(store: u128, n: u128, blocked: bool) -> EntryChange {
    EntryChange::put(Entry::HyokKey(HyokKeyEntry {
        id: key_id(n),
        store: store_id(store),
        external_id: ExternalKeyId::try_from(format!("key-{n}").as_str()).unwrap(),
        name: "key".into(),
        blocked,
        virtual_key: Uuid::from_u128(n),
        legacy: None,
        tier_as_sent: None,
        for_aws: ForAws::default(),
        stamps: Stamps::default(),
    }))
}

pub(crate) fn place(store: u128, n: u128) -> EntryChange {
    EntryChange::put(Entry::KeyPlace(KeyPlaceEntry { key: key_id(n), store: store_id(store) }))
}

/// A virtual key whose versions are all made of source key 1.
pub(crate) fn virtual_key(store: u128, n: u128, states: &[VersionState]) -> EntryChange {
    let version = |(number, state): (u32, &VersionState)| {
        let tag = number.to_be_bytes();
        VersionEntry { number, tag, state: *state, source: Uuid::from_u128(1), created_ns: 0 }
    };
    let place = KeyPlaceEntry { key: key_id(n), store: store_id(store) };
    EntryChange::put(Entry::VirtualKey(VirtualKeyEntry {
        versions: (0..).zip(states).map(version).collect(),
        ..VirtualKeyEntry::silent(Uuid::from_u128(n), Some(place), Stamps::default())
    }))
}

impl Estate {
    /// One key store with a credential and no key, ready to be published.
    pub(crate) async fn new() -> Self {
        let seal = ControlSeal::new(Arc::new(SealRing::new(Seal::generate().unwrap(), Vec::new())));
        let estate = Self { store: Arc::new(MemoryStore::new(1)), seal, authority: Authority::generate().unwrap() };
        let credential = estate.credential(1, 1);
        estate.commit(vec![source_key(1), key_store(1, false), credential]).await;
        estate
    }

    pub(crate) fn credential(&self, store: u128, n: u128) -> EntryChange {
        let id = CredentialId(Uuid::from_u128(n));
        EntryChange::put(Entry::Credential(CredentialEntry {
            id,
            store: store_id(store),
            access_key_id: AccessKeyId::try_from("A".repeat(20 + usize::try_from(n).unwrap()).as_str()).unwrap(),
            secret: self.seal.seal(SecretOf::Credential(id), &Secret::new("s".repeat(43))).unwrap(),
            generation: 0,
            version: 1,
            stamps: Stamps::default(),
        }))
    }

    pub(crate) async fn commit(&self, changes: Vec<EntryChange>) -> Revision {
        loop {
            // Registrations and promotions commit, too.
            if let Ok(revision) = self.store.commit(self.store.head().revision(), changes.clone()).await {
                return revision;
            }
        }
    }

    /// A key with one pending version.
    pub(super) async fn add_key(&self, n: u128) -> Revision {
        self.commit(vec![virtual_key(1, n, &[VersionState::Pending]), place(1, n), hyok_key(1, n, false)]).await
    }

    /// Adds a pending version, as a rotation does.
    pub(super) async fn rotate(&self, n: u128) -> Revision {
        loop {
            let view = View::of(&self.store).await.unwrap();
            let mut virtual_key = view.virtual_key(Uuid::from_u128(n)).unwrap().unwrap();
            let hyok_key = view.find_hyok_key(key_id(n)).unwrap().unwrap();
            let expected = view.revision();
            drop(view);
            let number = u32::try_from(virtual_key.versions.len()).unwrap();
            let (tag, source) = (number.to_be_bytes(), Uuid::from_u128(1));
            virtual_key.versions.push(VersionEntry { number, tag, state: VersionState::Pending, source, created_ns: 0 });
            let changes = vec![EntryChange::put(Entry::VirtualKey(virtual_key)), EntryChange::put(Entry::HyokKey(hyok_key))];
            if let Ok(revision) = self.store.commit(expected, changes).await {
                return revision;
            }
        }
    }

    pub(super) async fn states(&self, n: u128) -> Vec<VersionState> {
        let view = View::of(&self.store).await.unwrap();
        view.virtual_key(Uuid::from_u128(n)).unwrap().unwrap().versions.iter().map(|v| v.state).collect()
    }

    /// Forgets a node as `core` does.
    pub(super) async fn tombstone(&self, entry: NodeEntry, revoked_ms: u64) {
        let entry = NodeEntry { revoked_ms: Some(revoked_ms), registered: false, ..entry };
        self.commit(vec![EntryChange::put(Entry::Node(entry))]).await;
    }

    pub(super) async fn registered(&self, node: &str) -> NodeEntry {
        View::of(&self.store).await.unwrap().node(&name(node)).unwrap().unwrap()
    }

    pub(super) async fn delete(&self, name: EntryName) -> Revision {
        self.commit(vec![EntryChange::Delete(name)]).await
    }

    pub(crate) async fn publish(&self) -> Running {
        self.publish_rotating_at(u64::MAX).await
    }

    /// The operations on it, published; AWS is asked as `aws` says.
    pub(crate) async fn core(&self, aws: AwsSettings) -> Core {
        let writer = Arc::new(Writer::new(Arc::clone(&self.store), Audit::unread()));
        Core::new(writer, self.seal.clone(), self.publish().await.publisher, Arc::new(Aws::new(aws).unwrap()))
    }

    pub(super) async fn publish_rotating_at(&self, rotate_at: u64) -> Running {
        let server = self.authority.server(&[]).unwrap();
        let settings = PublishSettings {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            certificate: server.certificate_pem.clone(),
            key: server.key_pem.to_string(),
            client_ca: self.authority.certificate_pem().into(),
            rotate_at,
            audit: Audit::unread(),
            connections: SYNC_CAPS,
        };
        spawn(settings, Arc::clone(&self.store), self.seal.clone()).await.unwrap()
    }

    pub(super) fn enrol(&self, node: &str) -> Issued {
        self.authority.node(&name(node)).unwrap()
    }
}
