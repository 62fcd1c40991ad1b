//! Keys in key stores and under them: HYOK keys, virtual keys and source keys.

use std::collections::BTreeMap;

use holdfast_proto::{
    ids::{ExternalKeyId, KeyId, StoreId},
    records::{Legacy, LegacyFormat, SourceKey},
    state::VersionState,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{PolicyContent, Stamps, Tier};
use crate::store::encoding::{KeyIdDef, LegacyFormatDef, SourceKeyDef, StoreIdDef, VersionStateDef, checked};

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
    /// What it is to be called where clients ask for the tier: as they spelt it.
    #[serde(default)]
    pub tier_as_sent: Option<String>,
    /// What AWS is to be told of it, kept until it is linked.
    #[serde(default)]
    pub for_aws: ForAws,
    /// When made and changed; changes with its virtual key's versions, too.
    pub stamps: Stamps,
}

/// What AWS is to be told of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForAws {
    /// For people; empty: none.
    pub description: String,
    /// Without the `alias/` before it; empty: none.
    pub alias: String,
    /// In the order in which they were given.
    pub tags: Vec<Tag>,
    /// Who may do what with it there.
    pub policy: KeyPolicy,
    /// Takes a policy that locks out whoever sets it.
    pub bypass_lockout_check: bool,
}

/// An AWS tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Where a key's policy in AWS comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPolicy {
    /// It was said with the key, or nothing was.
    Own(PolicyContent),
    /// From a policy template.
    Template(Uuid),
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
    /// What admins call it; empty: nothing.
    #[serde(default)]
    pub name: String,
    /// Made for a HYOK key, goes with it, and is never shown on its own.
    pub silent: bool,
    /// It may be deleted.
    #[serde(default)]
    pub deletable: bool,
    /// What it is to be called where clients ask for the tier: as they spelt it.
    #[serde(default)]
    pub tier_as_sent: Option<String>,
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
    /// Where it is, sealed if it is local. One that is being made is named, and not there yet.
    #[serde(with = "SourceKeyDef")]
    pub key: SourceKey,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Free text pairs.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The virtual key that it was made for alone, and goes with; others can't have it.
    #[serde(default)]
    pub made_for: Option<Uuid>,
    /// It is not deleted, whoever asks.
    #[serde(default = "undeletable")]
    pub undeletable: bool,
    /// What it may be used for, in the bits of [`crate::core::source_keys::usage`]; those of Encrypt and Decrypt are in the seal, too.
    #[serde(default = "usage_for_xks")]
    pub usage_mask: u32,
    /// The added partition on which it was made; none for a local key, and for one that was on its token already.
    #[serde(default)]
    pub partition: Option<Uuid>,
    /// Whether it is there.
    #[serde(default)]
    pub progress: KeyProgress,
    /// How often HYOK keys that were deleted since had encrypted under it: it wears out all the same.
    #[serde(default)]
    pub encrypted_before: u64,
    /// When made and changed.
    pub stamps: Stamps,
}

/// How far the making of a source key is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyProgress {
    /// It is there.
    #[default]
    Ready,
    /// A data plane makes it, or will once one is connected.
    Making,
    /// It was not made; why.
    Failed(String),
}

impl SourceKeyEntry {
    /// A key for external key stores that nobody described: undeletable, and fit for use there.
    #[must_use]
    pub fn new(id: Uuid, name: String, key: SourceKey, stamps: Stamps) -> Self {
        Self {
            id,
            name,
            key,
            description: String::new(),
            labels: BTreeMap::new(),
            made_for: None,
            undeletable: undeletable(),
            usage_mask: usage_for_xks(),
            partition: None,
            progress: KeyProgress::Ready,
            encrypted_before: 0,
            stamps,
        }
    }

    /// Where it lives.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match &self.key {
            SourceKey::Local(_) => Tier::Local,
            SourceKey::Partition(key) => Tier::Partition(key.group.clone()),
        }
    }
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self::Own(PolicyContent::Default)
    }
}

impl VirtualKeyEntry {
    /// One that is made for a HYOK key, without versions.
    #[must_use]
    pub const fn silent(id: Uuid, backs: Option<KeyPlaceEntry>, stamps: Stamps) -> Self {
        Self { id, name: String::new(), silent: true, deletable: false, tier_as_sent: None, backs, versions: Vec::new(), stamps }
    }

    /// The newest version.
    #[must_use]
    pub fn newest(&self) -> Option<&VersionEntry> {
        self.versions.last()
    }

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

/// Of keys that were made before this was kept: all were for external key stores.
const fn undeletable() -> bool {
    true
}

/// Encrypt, Decrypt, Wrap and Unwrap.
const fn usage_for_xks() -> u32 {
    60
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the version before wrote it.
    #[test]
    fn a_source_key_of_an_older_directory_may_serve_external_key_stores_and_stays_undeletable() {
        let old = r#"{"id":"00000000-0000-0000-0000-000000000001","name":"of demo","key":{"local":{"id":"00000000-0000-0000-0000-000000000001",
            "usage":{"encrypt":true,"decrypt":true},"unexportable":true,"sealed":"AAEC"}},"stamps":{"created_ns":1,"updated_ns":2}}"#;
        let entry: SourceKeyEntry = serde_json::from_str(old).unwrap();
        let SourceKey::Local(blob) = &entry.key else { panic!("{entry:?}") };
        assert_eq!(blob.kind, holdfast_proto::kinds::KeyKind::Aes256);
        assert_eq!((entry.undeletable, entry.usage_mask, &entry.progress), (true, 60, &KeyProgress::Ready));
        let again: SourceKeyEntry = serde_json::from_str(&serde_json::to_string(&entry).unwrap()).unwrap();
        assert_eq!(again, entry);
    }
}
