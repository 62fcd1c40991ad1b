//! Records, the units of configuration, as checked values. [`crate::snapshot::RecordSet`] holds them;
//! `codec` is their only maker from the wire.

use std::{num::NonZeroU32, time::Duration};

use uuid::Uuid;

use crate::{
    ids::{AccessKeyId, CredentialId, ExternalKeyId, KeyId, StoreId, UriPath},
    kinds::KeyKind,
    secret::Secret,
    state::VersionState,
};

/// An external key store's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreHeader {
    /// The store.
    pub id: StoreId,
    /// What admins call it.
    pub name: String,
    /// Selects the store in a request.
    pub uri_path: UriPath,
    /// The AWS region that must stand in a signature's scope.
    pub region: String,
    /// Refuses Encrypt and Decrypt; metadata says `DISABLED`.
    pub blocked: bool,
    /// Demands a client certificate of KMS in this store's region.
    pub mtls_enabled: bool,
    /// Audits successes as well as failures.
    pub success_audit: bool,
    /// Requests per second on one node.
    pub quota: Option<NonZeroU32>,
    /// Requests in flight at once on one node; none: the node's default.
    pub in_flight: Option<NonZeroU32>,
    /// Past this age of the snapshot the store answers `InternalException`.
    pub max_snapshot_age: Option<Duration>,
    /// Encrypts and decrypts for health checks only.
    pub health_key: SourceKey,
}

/// A SigV4 credential of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The credential.
    pub id: CredentialId,
    /// The store it opens.
    pub store: StoreId,
    /// The public half.
    pub access_key_id: AccessKeyId,
    /// The secret half.
    pub secret: Secret,
    /// Moves when the secret of this id changes.
    pub generation: u64,
}

/// A HYOK key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub id: KeyId,
    /// The store it is in.
    pub store: StoreId,
    /// What AWS calls it.
    pub external_id: ExternalKeyId,
    /// Refuses Encrypt and Decrypt; metadata says `DISABLED`.
    pub blocked: bool,
    /// Ciphertexts of a replaced proxy: how their AAD was made, and which version opens them.
    pub legacy: Option<Legacy>,
}

/// How to open ciphertexts of the proxy that was here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Legacy {
    /// The formula of the AAD.
    pub format: LegacyFormat,
    /// The version that opens them.
    pub version: u32,
}

/// AAD formulas of other proxies (design §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyFormat {
    /// `u16be(len AAD) ‖ SHA-256(AAD) if present ‖ u8(len metadata) ‖ metadata`.
    AwsSample,
    /// `AAD ‖ metadata`.
    RawConcat,
}

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The store that the key is in.
    pub store: StoreId,
    /// The key.
    pub key: KeyId,
    /// From 0.
    pub number: u32,
    /// Drawn when the version was made; tells a re-used number after a restore.
    pub tag: [u8; 4],
    /// What it may be used for.
    pub state: VersionState,
    /// What really encrypts.
    pub source: SourceKey,
}

/// Where a source key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKey {
    /// A software key.
    Local(LocalBlob),
    /// A PKCS#11 key, on every partition of a group.
    Partition(PartitionKey),
}

/// A software key as it lies everywhere but inside a data plane: sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalBlob {
    /// The blob.
    pub id: Uuid,
    /// What it is; bound by the seal.
    pub kind: KeyKind,
    /// What the key may be used for; bound by the seal.
    pub usage: KeyUsage,
    /// Never wrapped for export; bound by the seal.
    pub unexportable: bool,
    /// Sealed key material, with the id of its seal in front.
    pub sealed: Box<[u8]>,
}

/// Names a PKCS#11 key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionKey {
    /// The group of partitions.
    pub group: String,
    /// `CKA_ID`.
    pub cka_id: Box<[u8]>,
    /// `CKA_LABEL`.
    pub label: String,
}

/// What a source key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    /// `CKA_ENCRYPT`, or its like for a local key.
    pub encrypt: bool,
    /// `CKA_DECRYPT`, or its like for a local key.
    pub decrypt: bool,
}

/// Any record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A store's header.
    Store(StoreHeader),
    /// A credential.
    Credential(Credential),
    /// A key.
    Key(Key),
    /// A version.
    Version(Version),
}

/// Names one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordName {
    /// A store, with all that is in it.
    Store(StoreId),
    /// A credential.
    Credential(StoreId, CredentialId),
    /// A key, with its versions.
    Key(StoreId, KeyId),
    /// A version.
    Version(StoreId, KeyId, u32),
}

/// One step from a set of records to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Add or replace.
    Upsert(Record),
    /// Remove, with what hangs on it. Removing what isn't there is an error: the sender was thinking of another set.
    Delete(RecordName),
}

/// A record or change that does not decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is missing or malformed: {detail}")]
pub struct Undecodable {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it; holds nothing secret.
    pub detail: String,
}

impl KeyUsage {
    /// Both ways.
    pub const BOTH: Self = Self { encrypt: true, decrypt: true };
}

impl RecordName {
    /// The store that the record is or is in.
    #[must_use]
    pub const fn store(self) -> StoreId {
        match self {
            Self::Store(store) | Self::Credential(store, _) | Self::Key(store, _) | Self::Version(store, _, _) => store,
        }
    }
}

impl Record {
    /// The record's name.
    #[must_use]
    pub const fn name(&self) -> RecordName {
        match self {
            Self::Store(s) => RecordName::Store(s.id),
            Self::Credential(c) => RecordName::Credential(c.store, c.id),
            Self::Key(k) => RecordName::Key(k.store, k.id),
            Self::Version(v) => RecordName::Version(v.store, v.key, v.number),
        }
    }
}

impl Change {
    /// The name of the record that changes.
    #[must_use]
    pub const fn name(&self) -> RecordName {
        match self {
            Self::Upsert(record) => record.name(),
            Self::Delete(name) => *name,
        }
    }
}
