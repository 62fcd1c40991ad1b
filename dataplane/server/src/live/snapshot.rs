//! What a snapshot holds. Immutable once built; `build` is the only maker, the request path the reader.

use std::{collections::HashMap, sync::Arc, time::Duration};

use holdfast_keys::local::OpenLocalError;
use holdfast_proto::{
    ids::{AccessKeyId, ExternalKeyId, KeyId, Revision, StoreId, UriPath},
    records::{KeyUsage, Legacy},
    snapshot::{KeyRecords, RecordSet, StoreRecords},
    state::VersionState,
};

use super::{caller::Caller, count::Count, source::Source};
use crate::{limits::Limits, metrics::StoreMetrics};

/// One picture of everything that requests are answered from.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Which configuration this is. Zero: none yet.
    pub revision: Revision,
    /// The records it was built from.
    pub records: RecordSet,
    pub(super) stores: HashMap<UriPath, Arc<Store>>,
}

/// A key store, ready to serve.
#[derive(Debug)]
pub struct Store {
    /// The store.
    pub id: StoreId,
    /// What admins call it.
    pub name: String,
    /// Selects the store in a request.
    pub path: UriPath,
    /// The AWS region that must stand in a signature's scope.
    pub region: String,
    /// Refuses Encrypt and Decrypt.
    pub blocked: bool,
    /// Demands a client certificate.
    pub mtls_enabled: bool,
    /// Audits successes as well as failures.
    pub success_audit: bool,
    /// Past this age of the snapshot the store answers `InternalException`.
    pub max_snapshot_age: Option<Duration>,
    /// Who may call.
    pub credentials: HashMap<AccessKeyId, Arc<Caller>>,
    /// What they may call for.
    pub keys: HashMap<ExternalKeyId, Arc<Key>>,
    /// For health checks only.
    pub health: Result<Source, Unusable>,
    /// Carried over swaps.
    pub limits: Arc<Limits>,
    /// Carried over swaps.
    pub metrics: Arc<StoreMetrics>,
    /// What of this store can't be served here.
    pub unusable: Vec<UnusableKey>,
    pub(super) records: Arc<StoreRecords>,
}

/// A HYOK key, ready to serve.
#[derive(Debug)]
pub struct Key {
    /// The key.
    pub id: KeyId,
    /// Refuses Encrypt and Decrypt.
    pub blocked: bool,
    /// Ciphertexts of a replaced proxy.
    pub legacy: Option<Legacy>,
    /// What the key is good for: the usage of the version that encrypts, or else of the newest. Both for a token's, which alone knows it.
    pub usage: KeyUsage,
    /// The version that encrypts.
    pub active: Option<Arc<Version>>,
    /// All versions, in the order of their numbers.
    pub versions: Box<[Arc<Version>]>,
    /// Tells an unchanged key from a changed one, and keeps the names that are not copied.
    pub(super) records: Arc<KeyRecords>,
}

/// One version of a key.
#[derive(Debug)]
pub struct Version {
    /// From 0.
    pub number: u32,
    /// Tells a re-used number after a restore.
    pub tag: [u8; 4],
    /// What it may be used for.
    pub state: VersionState,
    /// What really encrypts.
    pub key: Result<Source, Unusable>,
    /// Encryptions under this version on this node, ever. Carried over swaps.
    pub count: Arc<Count>,
}

/// Why a key can't be served on this host. Its requests answer `InternalException`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The sealed key gave no key.
    #[error("the key can't be opened on this node")]
    Sealed(#[from] OpenLocalError),
    /// The key is in a group of partitions that this host does not have.
    #[error("this node has no partition of group {0}")]
    NoPartition(Box<str>),
}

/// One entry of the list that goes with each acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableKey {
    /// The store.
    pub store: StoreId,
    /// The key; none: the store's health key.
    pub key: Option<KeyId>,
    /// The version; 0 for a health key.
    pub version: u32,
    /// Why.
    pub reason: Unusable,
}

impl Snapshot {
    /// The store at a path.
    #[must_use]
    pub fn store(&self, path: &str) -> Option<&Arc<Store>> {
        self.stores.get(path)
    }

    /// All stores, in no order.
    pub fn stores(&self) -> impl Iterator<Item = &Arc<Store>> {
        self.stores.values()
    }

    /// Everything that can't be served here.
    pub fn unusable(&self) -> impl Iterator<Item = &UnusableKey> {
        self.stores().flat_map(|store| &store.unusable)
    }
}

impl Key {
    /// What AWS calls it.
    #[must_use]
    pub fn external_id(&self) -> &ExternalKeyId {
        &self.records.key().external_id
    }

    /// The version that a ciphertext names: number and tag must both be right.
    #[must_use]
    pub fn version(&self, number: u32, tag: [u8; 4]) -> Option<&Arc<Version>> {
        self.numbered(number).filter(|version| version.tag == tag)
    }

    /// The version with a number, whatever its tag: for ciphertexts that carry no tag.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Option<&Arc<Version>> {
        let at = self.versions.binary_search_by_key(&number, |version| version.number).ok()?;
        self.versions.get(at)
    }
}
