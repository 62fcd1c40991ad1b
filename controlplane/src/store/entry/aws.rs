//! What there is in AWS: custom key stores and keys as AWS last told them, what was begun there, and the jobs that look.
//!
//! Always holds: a linked key store or HYOK key has its entry here under its own id, one that is not linked has none; what is begun in AWS
//! is committed here as `doing` before AWS is asked, so that a crash leaves a trace of it. These entries never reach a data plane.

use std::collections::BTreeMap;

use holdfast_proto::ids::UriPath;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{AddressEntry, ForAws, KeyPolicy, Stamps, Tag};
use crate::store::encoding::checked;

/// A custom key store in AWS KMS (CustomKeyStoresListEntry API).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsKeyStoreEntry {
    /// Of a linked key store: its [`StoreId`](holdfast_proto::ids::StoreId).
    pub id: Uuid,
    /// Its KMS container.
    pub kms: Uuid,
    /// Its region.
    pub region: String,
    /// As AWS calls it.
    pub name: String,
    /// AWS's id, as in `cks-` and 17 digits; none: AWS has not been seen to have it.
    pub custom_key_store_id: Option<String>,
    /// What stands behind it.
    pub kind: AwsKeyStoreKind,
    /// As AWS last told it.
    pub state: ConnectionState,
    /// AWS's connection error code, with [`ConnectionState::Failed`].
    pub connection_error: Option<String>,
    /// What was begun in AWS and is not known to be done.
    pub doing: Option<KeyStoreStep>,
    /// How it was before what was begun, where that changes it.
    #[serde(default)]
    pub before: Option<BeforeEntry>,
    /// Why what was last begun did not come to its end, for people.
    pub failure: Option<String>,
    /// The job configuration that rotates its credential.
    pub rotation_job: Option<Uuid>,
    /// AWS has it no more.
    pub gone: bool,
    /// When AWS last told of it, nanoseconds since 1970; 0: never.
    pub synced_ns: u64,
    /// When made and changed.
    pub stamps: Stamps,
}

/// What stands behind a custom key store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AwsKeyStoreKind {
    /// A key store of ours, under the same id.
    Linked {
        /// The credential with which AWS signs, as far as is known.
        credential: Option<Uuid>,
    },
    /// Another external key store proxy.
    Remote {
        /// Where it is.
        address: AddressEntry,
        /// Its path prefix.
        uri_path: String,
        /// Its credential's access key id.
        access_key_id: Option<String>,
    },
    /// An AWS CloudHSM cluster.
    CloudHsm {
        /// The cluster.
        cluster_id: String,
        /// The cluster's trust anchor, PEM.
        trust_anchor_certificate: String,
        /// As the client sent it, and wants it back.
        linked_as_sent: bool,
    },
}

/// Whether AWS KMS can reach a custom key store (CustomKeyStoresListEntry API, ConnectionState).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionState {
    /// It can.
    Connected,
    /// It tries.
    Connecting,
    /// It does not.
    #[default]
    Disconnected,
    /// It is about to let go.
    Disconnecting,
    /// It tried in vain.
    Failed,
}

/// What was begun with a custom key store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyStoreStep {
    /// A new one: CreateCustomKeyStore. Where AWS has it not, all of it is withdrawn.
    Create,
    /// One for a key store that was there: CreateCustomKeyStore. Where AWS has it not, the key store is unlinked again.
    Link,
    /// UpdateCustomKeyStore; what is intended stands in the key store.
    Update,
    /// ConnectCustomKeyStore.
    Connect,
    /// DisconnectCustomKeyStore.
    Disconnect,
    /// DeleteCustomKeyStore.
    Delete,
    /// UpdateCustomKeyStore with a credential that the data planes have.
    RotateCredential(Uuid),
}

/// What a key store was before a change that AWS has not confirmed: what it is again if AWS does not take the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BeforeEntry {
    /// Of a key store of ours.
    Linked {
        /// Its name.
        name: String,
        /// Where AWS found it.
        address: AddressEntry,
        /// Its path prefix.
        #[serde(with = "checked")]
        uri_path: UriPath,
    },
    /// Of one on a CloudHSM cluster.
    CloudHsm {
        /// Its name.
        name: String,
        /// Its cluster.
        cluster_id: String,
    },
}

/// A key in AWS KMS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsKeyEntry {
    /// Of a linked HYOK key: its [`KeyId`](holdfast_proto::ids::KeyId).
    pub id: Uuid,
    /// Its KMS container.
    pub kms: Uuid,
    /// Its region.
    pub region: String,
    /// What stands behind it.
    pub kind: AwsKeyKind,
    /// As AWS last told it; none: AWS has not been seen to have it.
    pub told: Option<KeyInAws>,
    /// What AWS is to be told when it is made, and where its policy came from since.
    pub for_aws: ForAws,
    /// What is to be made, for what AWS must be told at its creation alone.
    pub spec: NewKeySpec,
    /// What was begun in AWS and is not known to be done.
    pub doing: Option<KeyStep>,
    /// Why what was last begun did not come to its end, for people.
    pub failure: Option<String>,
    /// How it is rotated by a job.
    pub rotation_job: Option<KeyRotationJobEntry>,
    /// Material that it has had, the newest last.
    pub rotations: Vec<MaterialEntry>,
    /// The key that took its aliases over when it was rotated.
    pub rotated_to: Option<Uuid>,
    /// When it was last rotated, nanoseconds since 1970.
    pub rotated_ns: Option<u64>,
    /// AWS has it no more.
    pub gone: bool,
    /// When AWS last told of it, nanoseconds since 1970; 0: never.
    pub synced_ns: u64,
    /// When made and changed.
    pub stamps: Stamps,
}

/// What stands behind a key in AWS KMS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AwsKeyKind {
    /// A HYOK key of ours, under the same id.
    Hyok {
        /// The key store it is in.
        store: Uuid,
    },
    /// A key in an external key store of another proxy, or one of ours that is no HYOK key here.
    External {
        /// AWS's id of its key store.
        custom_key_store_id: String,
    },
    /// AWS made its material.
    Native,
    /// Its material is imported.
    Imported {
        /// Where it came from; none: it was not uploaded from here.
        source: Option<UploadedFrom>,
    },
    /// On an AWS CloudHSM cluster.
    CloudHsm {
        /// The [`AwsKeyStoreEntry`]; none: not known here.
        store: Option<Uuid>,
    },
}

/// The source key of uploaded material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedFrom {
    /// The source key.
    pub source_key: Uuid,
    /// Its name then.
    pub name: String,
    /// The tier, as the client spelt it.
    pub tier_as_sent: Option<String>,
    /// When the material expires, nanoseconds since 1970; none: never.
    pub valid_to_ns: Option<u64>,
}

/// What a key is to be (CreateKey API).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewKeySpec {
    /// As in `RSA_2048`; empty: `SYMMETRIC_DEFAULT`.
    pub spec: String,
    /// As in `SIGN_VERIFY`; empty: AWS's default.
    pub usage: String,
    /// Of which replicas may be made in other regions.
    pub multi_region: bool,
    /// The key of which it is a replica.
    pub replica_of: Option<Uuid>,
}

/// A key as AWS told it (KeyMetadata API, and what hangs on it).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyInAws {
    /// AWS's key id.
    pub key_id: String,
    /// Its ARN.
    pub arn: String,
    /// The account, 12 digits.
    pub account_id: String,
    /// KeySpec.
    pub spec: String,
    /// KeyUsage.
    pub usage: String,
    /// Description.
    pub description: String,
    /// Enabled.
    pub enabled: bool,
    /// KeyState, as in `PendingDeletion`.
    pub state: String,
    /// KeyManager, `CUSTOMER` or `AWS`.
    pub manager: String,
    /// Origin, as in `EXTERNAL_KEY_STORE`.
    pub origin: String,
    /// CreationDate, nanoseconds since 1970.
    pub created_ns: u64,
    /// DeletionDate, nanoseconds since 1970.
    pub deletion_ns: Option<u64>,
    /// EncryptionAlgorithms.
    pub encryption_algorithms: Vec<String>,
    /// SigningAlgorithms.
    pub signing_algorithms: Vec<String>,
    /// MacAlgorithms.
    pub mac_algorithms: Vec<String>,
    /// GetKeyPolicy, parsed.
    pub policy: Map<String, Value>,
    /// ListAliases, each with its `alias/`, in order.
    pub aliases: Vec<String>,
    /// ListResourceTags, in order.
    pub tags: Vec<Tag>,
    /// GetKeyRotationStatus.
    pub rotation: RotationInAws,
    /// ExpirationModel.
    pub expiration_model: Option<String>,
    /// ValidTo, nanoseconds since 1970.
    pub valid_to_ns: Option<u64>,
    /// CustomKeyStoreId.
    pub custom_key_store_id: Option<String>,
    /// XksKeyConfiguration.Id.
    pub xks_key_id: Option<String>,
    /// CloudHsmClusterId.
    pub cloud_hsm_cluster_id: Option<String>,
    /// CurrentKeyMaterialId.
    pub key_material_id: Option<String>,
    /// MultiRegionConfiguration; none: MultiRegion is false.
    pub multi_region: Option<MultiRegionInAws>,
}

/// AWS's own rotation of a key (GetKeyRotationStatus API).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RotationInAws {
    /// KeyRotationEnabled.
    pub enabled: bool,
    /// RotationPeriodInDays.
    pub period_days: Option<u32>,
    /// NextRotationDate, nanoseconds since 1970.
    pub next_ns: Option<u64>,
}

/// Where else a key is (MultiRegionConfiguration API).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MultiRegionInAws {
    /// It is a replica, not the primary key.
    pub replica: bool,
    /// The primary key.
    pub primary: KeyInRegion,
    /// The replicas.
    pub replicas: Vec<KeyInRegion>,
}

/// A key of a multi-region set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInRegion {
    /// Its ARN.
    pub arn: String,
    /// Its region.
    pub region: String,
}

/// What was begun with a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyStep {
    /// A new one: CreateKey or ReplicateKey, and what belongs to it. Where AWS has it not, all of it is withdrawn.
    Create,
    /// One for a HYOK key that was there: CreateKey. Where AWS has it not, the HYOK key is unlinked again.
    Link,
    /// ImportKeyMaterial. Where AWS has it not, it is done again.
    Import(ImportEntry),
    /// Something that AWS tells of: what became of it is asked for, not done again.
    Change,
    /// PutKeyPolicy, and the tag that names a template. Done again where it is not known to be done.
    SetPolicy {
        /// The policy.
        policy: KeyPolicy,
        /// Takes one that locks out whoever sets it.
        bypass_lockout_check: bool,
    },
    /// A successor takes over: its aliases are moved, then this one may be disabled.
    Rotate {
        /// The new key.
        successor: Uuid,
        /// Disable this one then.
        disable: bool,
        /// It keeps an alias that tells when it was rotated.
        retain_alias: bool,
    },
}

/// Material that is to be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportEntry {
    /// Where it comes from.
    pub from: UploadedFrom,
    /// The key never had it, or had it before; none: AWS's default.
    pub new_material: Option<bool>,
    /// KeyMaterialDescription.
    pub description: Option<String>,
    /// AWS's id of the material that it must be.
    pub key_material_id: Option<String>,
    /// AWS's ids of the material that the key had before: what else it has then is this.
    pub before: Vec<String>,
    /// It takes over at once: RotateKeyOnDemand.
    pub rotate: bool,
}

/// How a job rotates a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyRotationJobEntry {
    /// The job configuration.
    pub job: Uuid,
    /// Where new keys come from, as the client named it.
    pub key_source: Option<String>,
    /// The old key is disabled.
    pub disable_encrypt: bool,
    /// And so in all accounts.
    pub disable_encrypt_on_all_accounts: bool,
}

/// Material that a key had or has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaterialEntry {
    /// Of this record.
    pub id: Uuid,
    /// The source key; none: AWS made it.
    pub source: Option<UploadedFrom>,
    /// AWS's id of the material.
    pub key_material_id: Option<String>,
    /// KeyMaterialDescription.
    pub description: Option<String>,
    /// RotationType, `AUTOMATIC` or `ON_DEMAND`; none: its first.
    pub rotation_type: Option<String>,
    /// When made and changed.
    pub stamps: Stamps,
}

/// A synchronisation job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncJobEntry {
    /// The job.
    pub id: Uuid,
    /// The KMS containers, as the client named them.
    pub kms_as_sent: Vec<String>,
    /// The KMS containers.
    pub kms: Vec<Uuid>,
    /// Only these regions; empty: all of the containers'.
    pub regions: Vec<String>,
    /// Every container and region.
    pub synchronize_all: bool,
    /// How it stands.
    pub status: SyncStatus,
    /// By account and region: how it stands there.
    pub detail: BTreeMap<String, String>,
    /// Someone broke it off.
    pub abort: bool,
    /// When made and changed.
    pub stamps: Stamps,
}

/// How a synchronisation job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncStatus {
    /// It runs, or will.
    InProgress,
    /// All regions were looked at.
    Completed,
    /// Not all were.
    Failed,
}

/// How the last run of a job configuration ended. A note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRanEntry {
    /// The job configuration.
    pub job: Uuid,
    /// The time for which it ran, nanoseconds since 1970.
    pub due_ns: u64,
    /// When it ended, nanoseconds since 1970.
    pub ended_ns: u64,
    /// Why it failed; none: it did what it should.
    pub failure: Option<String>,
}

impl ConnectionState {
    /// As AWS and this API spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "CONNECTED",
            Self::Connecting => "CONNECTING",
            Self::Disconnected => "DISCONNECTED",
            Self::Disconnecting => "DISCONNECTING",
            Self::Failed => "FAILED",
        }
    }
}
