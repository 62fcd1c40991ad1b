//! A KMS key and an alias, as AWS keeps them. The modules of `keys/` own what these mean; fields are added here as those need them.
//!
//! Always holds: the current material of an external key store's key is the AES-256 key of AWS's own half of the double encryption.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A KMS key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    /// A UUID, or `mrk-` and 32 hexadecimal digits.
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) created_ms: i64,
    pub(crate) description: String,
    pub(crate) state: KeyState,
    pub(crate) origin: Origin,
    /// `SYMMETRIC_DEFAULT`, `RSA_2048`, ….
    pub(crate) spec: String,
    /// `ENCRYPT_DECRYPT`, `SIGN_VERIFY`, ….
    pub(crate) usage: String,
    /// As it was given, JSON.
    pub(crate) policy: String,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
    /// When a key that is pending deletion goes.
    #[serde(default)]
    pub(crate) delete_at_ms: Option<i64>,
    /// Of a key in a custom key store.
    #[serde(default)]
    pub(crate) store_id: Option<String>,
    /// Of a key in an external key store: the proxy's id of it.
    #[serde(default)]
    pub(crate) xks_key_id: Option<String>,
    /// Oldest first; the last is the current one.
    #[serde(default)]
    pub(crate) materials: Vec<Material>,
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

/// Key material with the id that a ciphertext names it by.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Material {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("id", &self.id).finish_non_exhaustive()
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
