//! Source keys: what really encrypts. They are made by a connected data plane, never here; or they are on a partition already, and a
//! connected data plane looks at them.
//!
//! Always holds: a key that is on a partition has one entry, whose id follows from its name, however often it is taken over.

use std::{fmt, time::Duration};

use holdfast_proto::{
    kinds::KeyKind,
    records::{KeyUsage, PartitionKey, SourceKey},
};
use tracing::warn;
use uuid::Uuid;

use super::{Core, CoreError, draw::now_ns};
use crate::{
    access::{Permit, Read, Right},
    publish::{Done, KeyAttributes, KeyTask, TaskError, Work},
    store::{
        ReadError, View,
        entry::{SourceKeyEntry, Stamps, Tier},
    },
};

/// A source key that is to be made.
#[derive(Clone, Debug)]
pub struct NewSourceKey {
    /// What admins call it.
    pub name: String,
    /// Where it is to live.
    pub tier: Tier,
    /// What it may be used for.
    pub usage: KeyUsage,
    /// Never wrapped for export. HYOK and health keys always are.
    pub unexportable: bool,
}

/// The name of a key that is on a partition group already: not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingKey {
    cka_id: Box<[u8]>,
    label: String,
}

/// Why a key's name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyName {
    /// Neither.
    #[error("name a key by its CKA_ID, its label, or both")]
    Empty,
    /// One of them is too long.
    #[error("a CKA_ID or a label has at most {LONGEST_NAME} bytes")]
    Long,
}

impl ExistingKey {
    /// A key by `CKA_ID` and `CKA_LABEL`. Where one is empty, the other alone must name one key.
    ///
    /// # Errors
    /// [`BadKeyName`].
    pub fn new(cka_id: &[u8], label: &str) -> Result<Self, BadKeyName> {
        match (cka_id.len(), label.len()) {
            (0, 0) => Err(BadKeyName::Empty),
            (id, label) if id.max(label) > LONGEST_NAME => Err(BadKeyName::Long),
            _ => Ok(Self { cka_id: cka_id.into(), label: label.into() }),
        }
    }

    /// The id of its entry.
    pub(super) fn entry_id(&self, group: &str) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("holdfast source key {group:?} {self}").as_bytes())
    }
}

/// For people: `"label" (id 00ff)`.
impl fmt::Display for ExistingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (id ", self.label)?;
        self.cka_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

impl Core {
    /// All source keys.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn source_keys(&self, _permit: &Permit<Read>) -> Result<Vec<SourceKeyEntry>, CoreError> {
        Ok(self.view().await?.source_keys()?)
    }

    /// Has a key made. Whoever asks commits the entry; the same `id` again gives the same key.
    pub(super) async fn make_source_key<R: Right>(
        &self,
        _permit: &Permit<R>,
        id: Uuid,
        new: NewSourceKey,
    ) -> Result<SourceKeyEntry, CoreError> {
        let target = match new.tier {
            Tier::Local => "local".to_owned(),
            Tier::Partition(group) => group,
        };
        let (kind, label) = (KeyKind::Aes256, String::new());
        let work = Work::Generate { kind, usage: new.usage, unexportable: new.unexportable, label };
        match self.publisher.run(KeyTask { id, target, deadline: DEADLINE, work }).await? {
            Done::Generated(key) => Ok(SourceKeyEntry { id, name: new.name, key, stamps: Stamps::new(now_ns()) }),
            Done::Attributes(_) | Done::HealthCiphertext(_) | Done::Listed(_) => Err(CoreError::from(TaskError::Malformed)),
        }
    }

    /// Has a key looked at that is on a partition already. Whoever asks commits the entry, by [`entry`]; `field` is what admins call it.
    pub(super) async fn existing_source_key<R: Right>(
        &self,
        _permit: &Permit<R>,
        tier: &Tier,
        (field, existing): (&'static str, &ExistingKey),
    ) -> Result<SourceKeyEntry, CoreError> {
        let invalid = |detail| CoreError::Invalid { field, detail };
        let group = match tier {
            Tier::Local => return Err(invalid("only a partition group has keys of its own; keys of tier local are made".into())),
            Tier::Partition(group) => group,
        };
        let (cka_id, label) = (existing.cka_id.clone(), existing.label.clone());
        let key = SourceKey::Partition(PartitionKey { group: group.clone(), cka_id, label });
        let task = KeyTask { id: Uuid::new_v4(), target: group.clone(), deadline: DEADLINE, work: Work::Inspect(key.clone()) };
        match self.publisher.run(task).await? {
            Done::Attributes(attributes) => {
                fit(&attributes).map_err(|lack| invalid(format!("the key {existing} on {group} {lack}")))?;
                if !attributes.unexportable {
                    warn!(key = %existing, group, "a key that can be extracted from its partition becomes a source key");
                }
            }
            Done::Generated(_) | Done::HealthCiphertext(_) | Done::Listed(_) => return Err(CoreError::from(TaskError::Malformed)),
        }
        Ok(SourceKeyEntry { id: existing.entry_id(group), name: existing.to_string(), key, stamps: Stamps::new(now_ns()) })
    }
}

/// The entry to commit: one that is there by that id already stays as it is.
pub(super) fn entry(view: &View, entry: &SourceKeyEntry) -> Result<SourceKeyEntry, ReadError> {
    Ok(view.source_key(entry.id)?.unwrap_or_else(|| entry.clone()))
}

/// Refuses a customers' key that checks the health of a key store.
pub(super) fn unused_for_health(view: &View, source: Uuid) -> Result<(), CoreError> {
    // One that was made just now is in no use.
    if view.source_key(source)?.is_none() {
        return Ok(());
    }
    match view.key_stores()?.into_iter().find(|key_store| key_store.health_key == source) {
        Some(other) => {
            let detail = format!("that key is the health check key of key store {}", other.name);
            Err(CoreError::Invalid { field: "source_key", detail })
        }
        None => Ok(()),
    }
}

/// Refuses a health check key that customers' data is encrypted under.
pub(super) fn unused_by_customers(view: &View, health: Uuid) -> Result<(), CoreError> {
    let known = view.source_key(health)?.is_some();
    if known && view.virtual_keys()?.iter().any(|key| key.versions.iter().any(|version| version.source == health)) {
        return Err(CoreError::Invalid { field: "health_check_key", detail: "that key encrypts for customers".into() });
    }
    Ok(())
}

/// What keeps a key that was not made here from being a source key (design §1).
fn fit(key: &KeyAttributes) -> Result<(), String> {
    if key.algorithm != "AES" || key.bits != 256 {
        return Err(format!("is {} with {} bits; it must be AES with 256", key.algorithm, key.bits));
    }
    if key.usage != KeyUsage::BOTH {
        let KeyUsage { encrypt, decrypt } = key.usage;
        return Err(format!("must be allowed to encrypt and to decrypt; CKA_ENCRYPT is {encrypt}, CKA_DECRYPT {decrypt}"));
    }
    Ok(())
}

impl From<TaskError> for CoreError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::NoNode { target, served } => Self::NoNode { target, served },
            TaskError::Deadline => Self::Deadline,
            TaskError::Unavailable { detail } => Self::Unavailable(detail),
            TaskError::Refused { .. } | TaskError::Unsupported { .. } | TaskError::Malformed => Self::Refused(error.to_string()),
        }
    }
}

/// For a key on an HSM, too.
const DEADLINE: Duration = Duration::from_secs(10);

/// Bytes.
const LONGEST_NAME: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_id_its_label_or_both() {
        for (id, label) in [(&b"\x00\xff"[..], ""), (b"", "a"), (b"\x01", "a")] {
            ExistingKey::new(id, label).unwrap();
        }
        assert_eq!(ExistingKey::new(b"", ""), Err(BadKeyName::Empty));
        assert_eq!(ExistingKey::new(&[0; 257], "a"), Err(BadKeyName::Long));
        assert_eq!(ExistingKey::new(&[0], &"a".repeat(257)), Err(BadKeyName::Long));
    }

    #[test]
    fn keys_that_differ_in_group_id_or_label_have_entries_of_their_own() {
        let key = |id: &[u8], label| ExistingKey::new(id, label).unwrap();
        let ids = [
            key(b"\x01", "a").entry_id("g"),
            key(b"\x01", "a").entry_id("h"),
            key(b"\x01", "").entry_id("g"),
            key(b"", "a").entry_id("g"),
            key(b"", "a\" (id 01)").entry_id("g"),
        ];
        let mut distinct = ids.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(ids[0], key(b"\x01", "a").entry_id("g"));
    }

    #[test]
    fn only_aes_256_that_encrypts_and_decrypts_will_do() {
        let good = KeyAttributes {
            algorithm: "AES".into(),
            bits: 256,
            usage: KeyUsage::BOTH,
            unexportable: true,
            curve: String::new(),
            token: Vec::new(),
        };
        assert_eq!(fit(&good), Ok(()));
        let table = [
            KeyAttributes { algorithm: "DES3".into(), ..good.clone() },
            KeyAttributes { bits: 128, ..good.clone() },
            KeyAttributes { usage: KeyUsage { encrypt: true, decrypt: false }, ..good.clone() },
            KeyAttributes { usage: KeyUsage { encrypt: false, decrypt: true }, ..good },
        ];
        for bad in table {
            fit(&bad).unwrap_err();
        }
    }
}
