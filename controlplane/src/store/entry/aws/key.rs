//! Keys in AWS: what stands behind them, what was begun with them, and the material that they had.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::KeyInAws;
use crate::store::entry::{ForAws, KeyPolicy, Stamps};

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
        /// The [`super::AwsKeyStoreEntry`]; none: not known here.
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
    /// It was made for a rotation that has not got it into AWS yet, and goes with that if it never does.
    #[serde(default)]
    pub made: bool,
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
