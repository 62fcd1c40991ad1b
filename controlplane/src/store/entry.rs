//! What the control plane remembers, entry by entry, and how entries are named.
//!
//! Always holds, because `core` keeps it: what a key store publishes changes only in a commit that changes an entry named in that store
//! (its header, a credential or a HYOK key). So whoever publishes need only look at those names; a virtual or source key is reached
//! from the HYOK key. No entry holds a secret in the clear: credentials are sealed under the control seal, local keys under the key seal,
//! passwords are hashed.

use std::collections::BTreeMap;

use holdfast_proto::{
    ids::{AccessKeyId, CredentialId, ExternalKeyId, KeyId, Revision, StoreId, UriPath},
    records::{Legacy, LegacyFormat, SourceKey},
    state::VersionState,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::encoding::{CredentialIdDef, KeyIdDef, LegacyFormatDef, RevisionDef, SourceKeyDef, StoreIdDef, VersionStateDef, bytes, checked};
use crate::names::{NodeName, UserName};

/// Names one entry. Entries of one key store lie together, as do those of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryName {
    /// A key store.
    KeyStore(StoreId),
    /// A credential in its key store.
    Credential(StoreId, CredentialId),
    /// A HYOK key in its key store.
    HyokKey(StoreId, KeyId),
    /// Which key store a HYOK key is in.
    KeyPlace(KeyId),
    /// Which HYOK key of a key store has an external id.
    ExternalId(StoreId, ExternalKeyId),
    /// A virtual key.
    VirtualKey(Uuid),
    /// A source key.
    SourceKey(Uuid),
    /// A registered data plane.
    Node(NodeName),
    /// A user.
    User(UserName),
    /// What `init --demo` promised.
    Demo,
    /// What a node last told. A note: moves no revision.
    NodeSeen(NodeName),
    /// How often one node encrypted under one version. A note: moves no revision.
    Count(KeyId, u32, NodeName),
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// See [`KeyStoreEntry`].
    KeyStore(KeyStoreEntry),
    /// See [`CredentialEntry`].
    Credential(CredentialEntry),
    /// See [`HyokKeyEntry`].
    HyokKey(HyokKeyEntry),
    /// See [`KeyPlaceEntry`].
    KeyPlace(KeyPlaceEntry),
    /// See [`ExternalIdEntry`].
    ExternalId(ExternalIdEntry),
    /// See [`VirtualKeyEntry`].
    VirtualKey(VirtualKeyEntry),
    /// See [`SourceKeyEntry`].
    SourceKey(SourceKeyEntry),
    /// See [`NodeEntry`].
    Node(NodeEntry),
    /// See [`UserEntry`].
    User(UserEntry),
    /// See [`DemoEntry`].
    Demo(Box<DemoEntry>),
    /// See [`NodeSeenEntry`].
    NodeSeen(NodeSeenEntry),
    /// See [`CountEntry`].
    Count(CountEntry),
}

/// One step of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryChange {
    /// Add or replace.
    Put(Entry),
    /// Remove; what isn't there is no error.
    Delete(EntryName),
}

/// When an entry was made and last changed, nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamps {
    /// When it was made.
    pub created_ns: u64,
    /// When it last changed.
    pub updated_ns: u64,
}

/// A key store's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStoreEntry {
    /// The key store.
    #[serde(with = "StoreIdDef")]
    pub id: StoreId,
    /// What admins call it; unique.
    pub name: String,
    /// Unique.
    #[serde(with = "checked")]
    pub uri_path: UriPath,
    /// The AWS region in its signatures' scope.
    pub region: String,
    /// Where its source keys live.
    pub tier: Tier,
    /// Refuses Encrypt and Decrypt.
    pub blocked: bool,
    /// Demands KMS's client certificate.
    pub mtls_enabled: bool,
    /// Audits successes as well.
    pub success_audit: bool,
    /// Requests per second and node.
    pub quota: Option<u32>,
    /// Requests in flight per node; none: the node's default.
    pub in_flight: Option<u32>,
    /// Past this age of a node's snapshot the store refuses; none: never.
    pub max_snapshot_age_seconds: Option<u64>,
    /// Live credentials at once, 2–20.
    pub max_credentials: u8,
    /// Counts credential rotations.
    pub credential_version: u32,
    /// The source key that encrypts and decrypts for health checks.
    pub health_key: Uuid,
    /// Free text pairs.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When made and changed.
    pub stamps: Stamps,
}

/// Where source keys live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Software, sealed under the key seal.
    Local,
    /// A group of PKCS#11 partitions.
    Partition(String),
}

/// A SigV4 credential of a key store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialEntry {
    /// The credential.
    #[serde(with = "CredentialIdDef")]
    pub id: CredentialId,
    /// Its key store.
    #[serde(with = "StoreIdDef")]
    pub store: StoreId,
    /// Unique in its key store.
    #[serde(with = "checked")]
    pub access_key_id: AccessKeyId,
    /// The secret half; [`super::seal::ControlSeal`] opens it.
    pub secret: SealedSecret,
    /// Moves when the secret of this id changes.
    pub generation: u64,
    /// When made and changed.
    pub stamps: Stamps,
}

/// A secret under the control seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret(#[serde(with = "bytes")] pub(super) Vec<u8>);

/// A HYOK key: what AWS sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HyokKeyEntry {
    /// The key.
    #[serde(with = "KeyIdDef")]
    pub id: KeyId,
    /// Its key store.
    #[serde(with = "StoreIdDef")]
    pub store: StoreId,
    /// Unique in its key store.
    #[serde(with = "checked")]
    pub external_id: ExternalKeyId,
    /// What admins call it.
    pub name: String,
    /// Refuses Encrypt and Decrypt.
    pub blocked: bool,
    /// The one virtual key behind it.
    pub virtual_key: Uuid,
    /// How ciphertexts of a replaced proxy open.
    pub legacy: Option<LegacyEntry>,
    /// When made and changed; changes with its virtual key's versions, too.
    pub stamps: Stamps,
}

/// How ciphertexts of a replaced proxy open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyEntry {
    /// The formula of the AAD.
    #[serde(with = "LegacyFormatDef")]
    pub format: LegacyFormat,
    /// The version that opens them.
    pub version: u32,
}

/// Which key store a HYOK key is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPlaceEntry {
    /// The key.
    #[serde(with = "KeyIdDef")]
    pub key: KeyId,
    /// Its key store.
    #[serde(with = "StoreIdDef")]
    pub store: StoreId,
}

/// Which HYOK key of a key store has an external id: comes and goes with the HYOK key's entry, in the same commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalIdEntry {
    /// The key store.
    #[serde(with = "StoreIdDef")]
    pub store: StoreId,
    /// What AWS calls the key.
    #[serde(with = "checked")]
    pub external_id: ExternalKeyId,
    /// The HYOK key.
    #[serde(with = "KeyIdDef")]
    pub key: KeyId,
}

/// A virtual key: a stable id over numbered versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualKeyEntry {
    /// The virtual key.
    pub id: Uuid,
    /// Made for a HYOK key and never shown on its own.
    pub silent: bool,
    /// The HYOK key that it backs, if any.
    pub backs: Option<KeyPlaceEntry>,
    /// In the order of their numbers, from 0; at most one is active.
    pub versions: Vec<VersionEntry>,
    /// When made and changed.
    pub stamps: Stamps,
}

/// One version of a virtual key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionEntry {
    /// From 0.
    pub number: u32,
    /// Drawn when the version was made.
    pub tag: [u8; 4],
    /// What it may be used for.
    #[serde(with = "VersionStateDef")]
    pub state: VersionState,
    /// The source key.
    pub source: Uuid,
    /// When it was made, nanoseconds since 1970.
    pub created_ns: u64,
}

/// A source key: what really encrypts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceKeyEntry {
    /// The source key.
    pub id: Uuid,
    /// What admins call it.
    pub name: String,
    /// Where it is, sealed if it is local.
    #[serde(with = "SourceKeyDef")]
    pub key: SourceKey,
    /// When made and changed.
    pub stamps: Stamps,
}

/// A registered data plane. It is its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// Common name and DNS name in its certificate.
    pub name: NodeName,
    /// SHA-256 over the certificate's DER.
    pub fingerprint: Fingerprint,
    /// When that certificate was issued, milliseconds since 1970.
    pub enrolled_ms: u64,
    /// When the name was last forgotten, milliseconds since 1970: certificates issued until then are refused.
    #[serde(default)]
    pub revoked_ms: Option<u64>,
    /// Not forgotten.
    pub registered: bool,
}

/// SHA-256 over a certificate's DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

/// What a node last told, kept for the next start of the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSeenEntry {
    /// The node.
    pub name: NodeName,
    /// When, milliseconds since 1970.
    pub seen_ms: u64,
    /// What it then held on disk.
    #[serde(with = "RevisionDef")]
    pub durable: Revision,
}

/// How many encryptions one node reserved under one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountEntry {
    /// The HYOK key.
    #[serde(with = "KeyIdDef")]
    pub key: KeyId,
    /// The version's number.
    pub version: u32,
    /// Ties the count to this making of the version number.
    pub tag: [u8; 4],
    /// Who counted.
    pub node: NodeName,
    /// Encryptions, those in `lost` too.
    pub reserved: u64,
    /// How many of them the node had counted before it lost its state, so that it doesn't tell them any more.
    #[serde(default)]
    pub lost: u64,
}

/// A user of the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEntry {
    /// Stands in tokens.
    pub id: Uuid,
    /// Stands at login.
    pub name: UserName,
    /// PHC string (Argon2id, RFC 9106).
    pub password_hash: String,
    /// What the user may do.
    pub roles: Vec<Role>,
    /// When made and changed.
    pub stamps: Stamps,
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Key stores, credentials and keys.
    KeyAdmin,
    /// Block, unblock and rotate.
    KeyUser,
    /// Reads.
    Auditor,
}

/// A demo key store that was promised when the directory was initialised, before any data plane could make its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoEntry {
    /// The key store will have this id,
    #[serde(with = "StoreIdDef")]
    pub store: StoreId,
    /// this path,
    #[serde(with = "checked")]
    pub uri_path: UriPath,
    /// and this region.
    pub region: String,
    /// Its quota per node, if any.
    pub quota: Option<u32>,
    /// Its credential, ready.
    pub credential: CredentialEntry,
    /// The HYOK key will have this id
    #[serde(with = "KeyIdDef")]
    pub key: KeyId,
    /// and this name to AWS.
    #[serde(with = "checked")]
    pub external_id: ExternalKeyId,
    /// The virtual key's id.
    pub virtual_key: Uuid,
    /// Blob id of the health key: the id of the task that makes it.
    pub health_blob: Uuid,
    /// Blob id of the HYOK key's source key: the id of the task that makes it.
    pub key_blob: Uuid,
    /// The promise was kept.
    pub fulfilled: bool,
}

impl EntryName {
    /// The key store that the entry is or is in; none for entries that reach a key store by another entry only.
    #[must_use]
    pub const fn key_store(&self) -> Option<StoreId> {
        match self {
            Self::KeyStore(store) | Self::Credential(store, _) | Self::HyokKey(store, _) => Some(*store),
            Self::KeyPlace(_)
            | Self::ExternalId(..)
            | Self::VirtualKey(_)
            | Self::SourceKey(_)
            | Self::Node(_)
            | Self::User(_)
            | Self::Demo
            | Self::NodeSeen(_)
            | Self::Count(..) => None,
        }
    }
}

impl Entry {
    /// The entry's name.
    #[must_use]
    pub fn name(&self) -> EntryName {
        match self {
            Self::KeyStore(e) => EntryName::KeyStore(e.id),
            Self::Credential(e) => EntryName::Credential(e.store, e.id),
            Self::HyokKey(e) => EntryName::HyokKey(e.store, e.id),
            Self::KeyPlace(e) => EntryName::KeyPlace(e.key),
            Self::ExternalId(e) => EntryName::ExternalId(e.store, e.external_id.clone()),
            Self::VirtualKey(e) => EntryName::VirtualKey(e.id),
            Self::SourceKey(e) => EntryName::SourceKey(e.id),
            Self::Node(e) => EntryName::Node(e.name.clone()),
            Self::User(e) => EntryName::User(e.name.clone()),
            Self::Demo(_) => EntryName::Demo,
            Self::NodeSeen(e) => EntryName::NodeSeen(e.name.clone()),
            Self::Count(e) => EntryName::Count(e.key, e.version, e.node.clone()),
        }
    }
}

impl EntryChange {
    /// The name of the entry that changes.
    #[must_use]
    pub fn name(&self) -> EntryName {
        match self {
            Self::Put(entry) => entry.name(),
            Self::Delete(name) => name.clone(),
        }
    }
}

impl VirtualKeyEntry {
    /// The version that encrypts.
    #[must_use]
    pub fn active(&self) -> Option<&VersionEntry> {
        self.versions.iter().find(|v| v.state == VersionState::Active)
    }
}

impl From<LegacyEntry> for Legacy {
    fn from(entry: LegacyEntry) -> Self {
        Self { format: entry.format, version: entry.version }
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
