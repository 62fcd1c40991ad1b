//! How checked values of `holdfast_proto` lie in the store: serde adaptors, for use with `#[serde(with = "…")]`.
//! What does not pass the check again on its way out of the store does not decode.

use base64::{Engine, prelude::BASE64_STANDARD};
use holdfast_proto::{
    ids::{CredentialId, KeyId, Revision, StoreId},
    kinds::KeyKind,
    records::{KeyUsage, LegacyFormat, LocalBlob, PartitionKey, SourceKey},
    state::VersionState,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use uuid::Uuid;

#[derive(Serialize, Deserialize)]
#[serde(remote = "StoreId")]
pub(super) struct StoreIdDef(Uuid);

#[derive(Serialize, Deserialize)]
#[serde(remote = "KeyId")]
pub(super) struct KeyIdDef(Uuid);

#[derive(Serialize, Deserialize)]
#[serde(remote = "CredentialId")]
pub(super) struct CredentialIdDef(Uuid);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Revision")]
pub(crate) struct RevisionDef {
    epoch: u64,
    counter: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "VersionState", rename_all = "lowercase")]
pub(super) enum VersionStateDef {
    Pending,
    Active,
    Retired,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LegacyFormat", rename_all = "kebab-case")]
pub(super) enum LegacyFormatDef {
    AwsSample,
    RawConcat,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "KeyUsage")]
pub(super) struct KeyUsageDef {
    encrypt: bool,
    decrypt: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SourceKey", rename_all = "lowercase")]
pub(super) enum SourceKeyDef {
    Local(#[serde(with = "LocalBlobDef")] LocalBlob),
    Partition(#[serde(with = "PartitionKeyDef")] PartitionKey),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LocalBlob")]
struct LocalBlobDef {
    id: Uuid,
    // AES-256, as all were before.
    #[serde(with = "kind", default)]
    kind: KeyKind,
    #[serde(with = "KeyUsageDef")]
    usage: KeyUsage,
    unexportable: bool,
    #[serde(with = "bytes")]
    sealed: Box<[u8]>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PartitionKey")]
struct PartitionKeyDef {
    group: String,
    #[serde(with = "bytes")]
    cka_id: Box<[u8]>,
    label: String,
}

/// Bytes as base64 (RFC 4648 §4).
pub(super) mod bytes {
    use super::*;

    pub(in crate::store) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(bytes, &BASE64_STANDARD))
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>, T: From<Vec<u8>>>(deserializer: D) -> Result<T, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        BASE64_STANDARD.decode(text.as_bytes()).map(T::from).map_err(D::Error::custom)
    }
}

/// A kind of key, by its name.
mod kind {
    use super::*;

    pub(super) fn serialize<S: Serializer>(kind: &KeyKind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<KeyKind, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        KeyKind::try_from(&*text).map_err(D::Error::custom)
    }
}

/// Text with one checked maker: `UriPath`, `ExternalKeyId`, `AccessKeyId`.
pub(super) mod checked {
    use std::fmt::Display;

    use super::*;

    pub(in crate::store) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::store) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: for<'a> TryFrom<&'a str, Error: Display>,
    {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        T::try_from(&text).map_err(D::Error::custom)
    }
}
