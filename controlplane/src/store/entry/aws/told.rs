//! A key as AWS told it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::entry::Tag;

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
