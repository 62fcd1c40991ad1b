//! A KMS key and an alias, as AWS keeps them. The modules of `keys/` own what these mean.
//!
//! Always holds: the one current material of an external key store's key is the AES-256 key of AWS's own half of the double encryption;
//! at most one material is `Current`, and at most one is pending rotation.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::keys::{
    blob::Blob,
    material::Material,
    spec::{KeySpec, KeyUsage},
    wrapping::WrappingAlgorithm,
};

/// A KMS key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    /// A UUID, or `mrk-` and 32 hexadecimal digits.
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) created_ms: i64,
    pub(crate) description: String,
    /// As kept; what clients see is `keys::metadata::shown_state`.
    pub(crate) state: KeyState,
    pub(crate) origin: Origin,
    pub(crate) spec: KeySpec,
    pub(crate) usage: KeyUsage,
    /// As it was given, JSON.
    pub(crate) policy: String,
    pub(crate) tags: Vec<Tag>,
    /// Of a key whose deletion is scheduled.
    pub(crate) deletion: Option<Deletion>,
    /// Of a key in a custom key store.
    pub(crate) store_id: Option<String>,
    /// Of a key in an external key store: the proxy's id of it.
    pub(crate) xks_key_id: Option<String>,
    /// Oldest first, as they came.
    pub(crate) materials: Vec<KeyMaterial>,
    /// Of a key that rotates by itself.
    pub(crate) rotation: Option<Rotation>,
    /// Of a multi-Region key.
    pub(crate) role: Option<Role>,
    /// What it is about to become.
    pub(crate) next: Option<Next>,
    /// Import tokens that were given out, expired ones too.
    pub(crate) imports: Vec<Import>,
}

impl Key {
    /// What it encrypts, signs and makes MACs with; `None` before an import and after its material is gone.
    pub(crate) fn current(&self) -> Option<(&KeyMaterial, &Material)> {
        self.materials.iter().find(|kept| kept.state == MaterialState::Current).and_then(|kept| Some((kept, kept.material.as_ref()?)))
    }
}

/// `KeyState` of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyState {
    Creating,
    Enabled,
    Disabled,
    PendingDeletion,
    PendingImport,
    PendingReplicaDeletion,
    /// Never kept, only shown: its custom key store is not connected.
    Unavailable,
    Updating,
}

/// `Origin` of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Origin {
    AwsKms,
    External,
    #[serde(rename = "AWS_CLOUDHSM")]
    AwsCloudHsm,
    ExternalKeyStore,
}

/// A scheduled deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    /// The waiting period, 7 to 30.
    pub(crate) days: i64,
    /// When the key goes; not known while replicas of it are left.
    pub(crate) at_ms: Option<i64>,
}

/// Automatic rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rotation {
    /// 90 to 2560.
    pub(crate) period_days: i64,
    pub(crate) next_ms: i64,
}

/// `MultiRegionKeyType` of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Role {
    Primary,
    Replica,
}

/// The end of a passing state, `Creating` or `Updating`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Next {
    pub(crate) at_ms: i64,
    pub(crate) state: KeyState,
    pub(crate) role: Role,
}

/// Key material that a key has or had.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeyMaterial {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Gone when it expired or was deleted.
    pub(crate) material: Option<Material>,
    pub(crate) state: MaterialState,
    /// Of imported material.
    pub(crate) description: Option<String>,
    /// Of imported material that expires.
    pub(crate) expires_ms: Option<i64>,
    /// When and how it became current, unless it was the first.
    pub(crate) rotated: Option<Rotated>,
}

/// `KeyMaterialState` of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum MaterialState {
    Current,
    NonCurrent,
    PendingRotation,
    PendingMultiRegionImportAndRotation,
}

impl MaterialState {
    /// Whether ciphertexts may need it: it is or was current.
    pub(crate) const fn was_current(self) -> bool {
        match self {
            Self::Current | Self::NonCurrent => true,
            Self::PendingRotation | Self::PendingMultiRegionImportAndRotation => false,
        }
    }
}

/// How material became current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rotated {
    pub(crate) at_ms: i64,
    pub(crate) by: RotationType,
}

/// `RotationType` of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RotationType {
    Automatic,
    OnDemand,
}

/// An import token and its wrapping key.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Import {
    pub(crate) token: Blob,
    /// The wrapping key pair, PKCS#8.
    pub(crate) pkcs8: Blob,
    pub(crate) algorithm: WrappingAlgorithm,
    pub(crate) expires_ms: i64,
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import").field("algorithm", &self.algorithm).field("expires_ms", &self.expires_ms).finish_non_exhaustive()
    }
}

/// A tag of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    pub(crate) tag_key: String,
    pub(crate) tag_value: String,
}

/// An alias.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Alias {
    /// With `alias/`.
    pub(crate) name: String,
    /// The key's id.
    pub(crate) target: String,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
}
