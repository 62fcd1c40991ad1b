//! What the control plane remembers, entry by entry, and how entries are named.
//!
//! Always holds, because `core` keeps it: what a key store publishes changes only in a commit that changes an entry named in that store
//! (its header, a credential or a HYOK key). So whoever publishes need only look at those names; a virtual or source key is reached
//! from the HYOK key. No entry holds a secret in the clear: credentials are sealed under the control seal, local keys under the key seal,
//! passwords are hashed.

mod access;
mod aws;
mod cloud;
mod hsm;
mod jobs;
mod key_stores;
mod keys;
mod kms_action;
mod nodes;
mod pick;

use holdfast_proto::ids::{CredentialId, ExternalKeyId, KeyId, StoreId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) use self::pick::Pick;
pub use self::{
    access::{ApiTokenEntry, Role, SignIn, SignInsEntry, SigningKeyEntry, TokenUsedEntry, UserEntry},
    aws::{
        AwsKeyEntry, AwsKeyKind, AwsKeyStoreEntry, AwsKeyStoreKind, BeforeEntry, ConnectionState, ImportEntry, JobRanEntry, JobRunEntry,
        KeyInAws, KeyInRegion, KeyRotationJobEntry, KeyStep, KeyStoreStep, MaterialEntry, MultiRegionInAws, NewKeySpec, RotationInAws,
        SyncJobEntry, SyncStatus, UploadedFrom,
    },
    cloud::{
        AclEntry, AclSubject, AssumeRole, AwsCloud, AwsConnectionEntry, ConnectionUsedEntry, KmsContainerEntry, PolicyContent,
        PolicyPeople, PolicyTemplateEntry, RoleAnywhereEntry, StsEndpoints,
    },
    hsm::{ConnectedPartition, HsmConnectionEntry, HsmServerEntry, PartitionEntry},
    jobs::{BackupParams, JobConfigEntry, JobParams, KeyRotationParams, SynchronizationParams},
    key_stores::{
        AddressEntry, Connectivity, CredentialEntry, CredentialUsedEntry, DemoEntry, KeyStoreEntry, SealedSecret, SentEntry, Tier,
    },
    keys::{
        ExternalIdEntry, ForAws, HyokKeyEntry, KeyPlaceEntry, KeyPolicy, KeyProgress, LegacyEntry, SourceKeyEntry, Tag, VersionEntry,
        VirtualKeyEntry,
    },
    kms_action::KmsAction,
    nodes::{CountEntry, Fingerprint, NodeEntry, NodeSeenEntry},
};
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
    /// When a credential was last used. A note: moves no revision.
    CredentialUsed(StoreId, CredentialId),
    /// A tool's token.
    ApiToken(Uuid),
    /// A user's sign-ins that can be renewed, by the user's id. A note: moves no revision.
    SignIns(Uuid),
    /// A key that signs sign-in tokens.
    SigningKey(Uuid),
    /// When a tool's token was last used. A note: moves no revision.
    TokenUsed(Uuid),
    /// An AWS connection.
    AwsConnection(Uuid),
    /// A KMS container.
    KmsContainer(Uuid),
    /// A policy template.
    PolicyTemplate(Uuid),
    /// A job configuration.
    JobConfig(Uuid),
    /// An HSM server.
    HsmServer(Uuid),
    /// An HSM connection.
    HsmConnection(Uuid),
    /// A partition that was added.
    Partition(Uuid),
    /// A custom key store in AWS.
    AwsKeyStore(Uuid),
    /// A key in AWS.
    AwsKey(Uuid),
    /// A synchronisation job.
    SyncJob(Uuid),
    /// How a job configuration last ended. A note: moves no revision.
    JobRan(Uuid),
    /// How AWS last answered by a connection. A note: moves no revision.
    ConnectionUsed(Uuid),
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
    /// See [`CredentialUsedEntry`].
    CredentialUsed(CredentialUsedEntry),
    /// See [`ApiTokenEntry`].
    ApiToken(ApiTokenEntry),
    /// See [`SignInsEntry`].
    SignIns(SignInsEntry),
    /// See [`SigningKeyEntry`].
    SigningKey(SigningKeyEntry),
    /// See [`TokenUsedEntry`].
    TokenUsed(TokenUsedEntry),
    /// See [`AwsConnectionEntry`].
    AwsConnection(AwsConnectionEntry),
    /// See [`KmsContainerEntry`].
    KmsContainer(KmsContainerEntry),
    /// See [`PolicyTemplateEntry`].
    PolicyTemplate(PolicyTemplateEntry),
    /// See [`JobConfigEntry`].
    JobConfig(JobConfigEntry),
    /// See [`HsmServerEntry`].
    HsmServer(HsmServerEntry),
    /// See [`HsmConnectionEntry`].
    HsmConnection(HsmConnectionEntry),
    /// See [`PartitionEntry`].
    Partition(PartitionEntry),
    /// See [`AwsKeyStoreEntry`].
    AwsKeyStore(AwsKeyStoreEntry),
    /// See [`AwsKeyEntry`].
    AwsKey(Box<AwsKeyEntry>),
    /// See [`SyncJobEntry`].
    SyncJob(SyncJobEntry),
    /// See [`JobRanEntry`].
    JobRan(JobRanEntry),
    /// See [`ConnectionUsedEntry`].
    ConnectionUsed(ConnectionUsedEntry),
}

/// One step of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryChange {
    /// Add or replace.
    Put(Box<Entry>),
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
            | Self::Count(..)
            | Self::CredentialUsed(..)
            | Self::ApiToken(..)
            | Self::SignIns(..)
            | Self::SigningKey(..)
            | Self::TokenUsed(..)
            | Self::AwsConnection(..)
            | Self::KmsContainer(..)
            | Self::PolicyTemplate(..)
            | Self::JobConfig(..)
            | Self::HsmServer(..)
            | Self::HsmConnection(..)
            | Self::Partition(..)
            | Self::AwsKeyStore(..)
            | Self::AwsKey(..)
            | Self::SyncJob(..)
            | Self::JobRan(..)
            | Self::ConnectionUsed(..) => None,
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
            Self::CredentialUsed(e) => EntryName::CredentialUsed(e.store, e.credential),
            Self::ApiToken(e) => EntryName::ApiToken(e.id),
            Self::SignIns(e) => EntryName::SignIns(e.user),
            Self::SigningKey(e) => EntryName::SigningKey(e.id),
            Self::TokenUsed(e) => EntryName::TokenUsed(e.token),
            Self::AwsConnection(e) => EntryName::AwsConnection(e.id),
            Self::KmsContainer(e) => EntryName::KmsContainer(e.id),
            Self::PolicyTemplate(e) => EntryName::PolicyTemplate(e.id),
            Self::JobConfig(e) => EntryName::JobConfig(e.id),
            Self::HsmServer(e) => EntryName::HsmServer(e.id),
            Self::HsmConnection(e) => EntryName::HsmConnection(e.id),
            Self::Partition(e) => EntryName::Partition(e.id),
            Self::AwsKeyStore(e) => EntryName::AwsKeyStore(e.id),
            Self::AwsKey(e) => EntryName::AwsKey(e.id),
            Self::SyncJob(e) => EntryName::SyncJob(e.id),
            Self::JobRan(e) => EntryName::JobRan(e.job),
            Self::ConnectionUsed(e) => EntryName::ConnectionUsed(e.connection),
        }
    }
}

impl EntryChange {
    /// Add or replace `entry`.
    #[must_use]
    pub fn put(entry: Entry) -> Self {
        Self::Put(Box::new(entry))
    }

    /// The name of the entry that changes.
    #[must_use]
    pub fn name(&self) -> EntryName {
        match self {
            Self::Put(entry) => entry.name(),
            Self::Delete(name) => name.clone(),
        }
    }
}
