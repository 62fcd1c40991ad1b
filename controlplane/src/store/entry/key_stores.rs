//! Key stores and their credentials.

use std::collections::BTreeMap;

use holdfast_proto::ids::{AccessKeyId, CredentialId, ExternalKeyId, KeyId, StoreId, UriPath};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Stamps;
use crate::store::encoding::{CredentialIdDef, KeyIdDef, StoreIdDef, bytes, checked};

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
    /// What a data plane made with it when it was taken; empty for key stores older than this member.
    #[serde(default, with = "bytes")]
    pub health_ciphertext: Vec<u8>,
    /// Its KMS container.
    #[serde(default)]
    pub kms: Option<Uuid>,
    /// The added partition by which its group was named.
    #[serde(default)]
    pub partition: Option<Uuid>,
    /// Where AWS KMS finds it.
    #[serde(default)]
    pub address: AddressEntry,
    /// What is echoed as it came.
    #[serde(default)]
    pub sent: SentEntry,
    /// A credential that was unused for so long is deleted, unless it is the newest; none: never.
    #[serde(default)]
    pub retire_unused_after_seconds: Option<u64>,
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

/// Where AWS KMS finds a key store, as admins would tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressEntry {
    /// As in `https://host[:port]`; none: not told.
    pub endpoint: Option<String>,
    /// The way there.
    pub connectivity: Connectivity,
    /// With [`Connectivity::Vpc`], and only then.
    pub vpc_service: Option<String>,
}

/// By which way AWS KMS comes (CreateCustomKeyStore API, XksProxyConnectivity).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Connectivity {
    /// Over the internet.
    #[default]
    #[serde(rename = "PUBLIC_ENDPOINT")]
    Public,
    /// By a VPC endpoint service.
    #[serde(rename = "VPC_ENDPOINT_SERVICE")]
    Vpc,
}

/// Spellings of a key store's members that clients want back as they sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentEntry {
    /// The tier.
    pub tier: Option<String>,
    /// The health key.
    pub health_key: Option<String>,
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
    /// The secret half; [`crate::store::seal::ControlSeal`] opens it.
    pub secret: SealedSecret,
    /// Moves when the secret of this id changes.
    pub generation: u64,
    /// The key store's credential version when it was made.
    #[serde(default = "first")]
    pub version: u32,
    /// When made and changed.
    pub stamps: Stamps,
}

/// A secret under the control seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret(#[serde(with = "bytes")] pub(in crate::store) Vec<u8>);

/// When a credential last signed a request that was authenticated. A note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialUsedEntry {
    /// Its key store.
    #[serde(with = "StoreIdDef")]
    pub store: StoreId,
    /// The credential.
    #[serde(with = "CredentialIdDef")]
    pub credential: CredentialId,
    /// When, milliseconds since 1970.
    pub used_ms: u64,
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

impl Connectivity {
    /// As AWS and this API spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "PUBLIC_ENDPOINT",
            Self::Vpc => "VPC_ENDPOINT_SERVICE",
        }
    }
}

const fn first() -> u32 {
    1
}
