//! Local keys as admins ask for them: made, described, and deleted where nothing needs them.
//!
//! Always holds: what a key's seal binds (its kind, whether it leaves, whether it encrypts and decrypts) is never told otherwise than it
//! was made.

use std::{collections::BTreeMap, time::Duration};

use holdfast_proto::{
    kinds::KeyKind,
    records::{LocalBlob, SourceKey},
};
use uuid::Uuid;

use super::{
    DEADLINE, Wanted,
    find::{in_use, wanted},
    usage,
};
use crate::{
    access::{Manage, Permit, Read},
    clock::now_ns,
    core::{Core, CoreError, write::Plan},
    publish::{KeyTask, Work},
    store::{
        View,
        entry::{Entry, EntryChange, EntryName, SourceKeyEntry, Stamps},
    },
};

/// A local key that is to be made.
#[derive(Clone, Debug)]
pub struct NewVaultKey {
    /// Unique; none: one is made of its id.
    pub name: Option<String>,
    /// What it is.
    pub kind: KeyKind,
    /// The bits of [`usage`]; none: what the kind is for.
    pub usage_mask: Option<u32>,
    /// Never wrapped for export.
    pub unexportable: bool,
    /// Not deleted, whoever asks.
    pub undeletable: bool,
    /// Free text.
    pub description: String,
    /// Free text pairs.
    pub labels: BTreeMap<String, String>,
}

impl NewVaultKey {
    /// One that may be uploaded, of which nothing else was said.
    #[must_use]
    pub fn exportable(kind: KeyKind) -> Self {
        let (description, labels) = (String::new(), BTreeMap::new());
        Self { name: None, kind, usage_mask: None, unexportable: false, undeletable: false, description, labels }
    }
}

/// What is to change of a source key; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct SourceKeyPatch {
    /// Unique.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Replaces all.
    pub labels: Option<BTreeMap<String, String>>,
    /// Not deleted, whoever asks.
    pub undeletable: Option<bool>,
    /// Never wrapped for export. The seal binds it: only what it is already is taken.
    pub unexportable: Option<bool>,
    /// The bits of [`usage`]. The seal binds those of Encrypt and Decrypt.
    pub usage_mask: Option<u32>,
}

impl Core {
    /// One source key.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] where several have the name.
    pub async fn source_key(&self, _permit: &Permit<Read>, key: Wanted<'_>) -> Result<SourceKeyEntry, CoreError> {
        wanted(&self.view().await?, key)
    }

    /// Makes a local key.
    ///
    /// # Errors
    /// [`CoreError`]: `Invalid`; `Exists` for the name; those of asking a data plane.
    pub async fn create_source_key(&self, permit: &Permit<Manage>, new: NewVaultKey) -> Result<SourceKeyEntry, CoreError> {
        let entry = self.generated_vault_key(new).await?;
        let plan = |view: &View| {
            unique(view, &entry.name, entry.id)?;
            Ok(Plan { changes: vec![EntryChange::put(Entry::SourceKey(entry.clone()))], answer: () })
        };
        self.writer.change(permit.trail(), plan).await?;
        Ok(entry)
    }

    /// Has a data plane make a local key. Whoever asks commits the entry, where [`unique`] has nothing against it.
    ///
    /// # Errors
    /// As [`Core::create_source_key`].
    pub(in crate::core) async fn generated_vault_key(&self, new: NewVaultKey) -> Result<SourceKeyEntry, CoreError> {
        let id = Uuid::new_v4();
        let name = new.name.unwrap_or_else(|| format!("key-{id}"));
        named(&name)?;
        described(&new.description, &new.labels)?;
        let usage_mask = new.usage_mask.unwrap_or_else(|| usage::by_default(new.kind));
        in_range(usage_mask, new.unexportable)?;
        // Before a key is made in vain, and again at the commit.
        unique(&self.view().await?, &name, id)?;
        let (usage, label) = (usage::sealed(usage_mask), String::new());
        let work = Work::Generate { kind: new.kind, usage, unexportable: new.unexportable, label };
        let key = self.generated(KeyTask { id, target: "local".into(), deadline: deadline(new.kind), work }).await?;
        Ok(SourceKeyEntry {
            description: new.description,
            labels: new.labels,
            undeletable: new.undeletable,
            usage_mask,
            ..SourceKeyEntry::new(id, name, key, Stamps::new(now_ns()))
        })
    }

    /// Changes what is said of a source key.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `Exists` for the name; `Invalid` for what its seal binds; `State` where something uses the key that needs
    /// it as it is.
    pub async fn update_source_key(
        &self,
        permit: &Permit<Manage>,
        key: Wanted<'_>,
        patch: SourceKeyPatch,
    ) -> Result<SourceKeyEntry, CoreError> {
        let plan = |view: &View| {
            let before = wanted(view, key)?;
            let mut after = patched(before.clone(), &patch)?;
            if after == before {
                return Ok(Plan { changes: Vec::new(), answer: before });
            }
            unique(view, &after.name, after.id)?;
            let lost = before.usage_mask & !after.usage_mask & usage::FOR_XKS;
            let weaker = (before.undeletable && !after.undeletable) || lost != 0;
            if weaker && let Some(user) = in_use(view, before.id)? {
                return Err(CoreError::State(format!("a key in use must stay undeletable and have usageMask {}: {user}", usage::FOR_XKS)));
            }
            after.stamps = after.stamps.touched(now_ns());
            Ok(Plan { changes: vec![EntryChange::put(Entry::SourceKey(after.clone()))], answer: after })
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// Deletes a source key. One on a partition is forgotten here and stays on its token.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State` for a local key that is undeletable, and where something uses the key.
    pub async fn delete_source_key(&self, permit: &Permit<Manage>, key: Wanted<'_>) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let entry = wanted(view, key)?;
            if let Some(user) = in_use(view, entry.id)? {
                let still = if entry.undeletable { "Key is not deletable" } else { "the key is in use" };
                return Err(CoreError::State(format!("{still}: {user}")));
            }
            if entry.undeletable && matches!(entry.key, SourceKey::Local(_)) {
                // Clients look for these words.
                return Err(CoreError::State("Key is not deletable".into()));
            }
            Ok(Plan { changes: vec![EntryChange::Delete(EntryName::SourceKey(entry.id))], answer: () })
        };
        self.writer.change(permit.trail(), plan).await.map(drop)
    }
}

/// What a source key's blob is; none for a key on a partition.
#[must_use]
pub const fn blob(entry: &SourceKeyEntry) -> Option<&LocalBlob> {
    match &entry.key {
        SourceKey::Local(blob) => Some(blob),
        SourceKey::Partition(_) => None,
    }
}

/// Refuses what can't be a name.
pub(super) fn named(name: &str) -> Result<(), CoreError> {
    let fits = (1..=256).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(CoreError::invalid("name", "must have 1 to 256 characters, none of them control characters")) }
}

/// Refuses a name that another source key has.
pub(in crate::core) fn unique(view: &View, name: &str, id: Uuid) -> Result<(), CoreError> {
    if view.source_keys()?.iter().any(|other| other.id != id && other.name == name) {
        return Err(CoreError::Exists { what: "source key", name: name.into() });
    }
    Ok(())
}

fn patched(entry: SourceKeyEntry, patch: &SourceKeyPatch) -> Result<SourceKeyEntry, CoreError> {
    let patch = patch.clone();
    let after = SourceKeyEntry {
        name: patch.name.unwrap_or(entry.name),
        description: patch.description.unwrap_or(entry.description),
        labels: patch.labels.unwrap_or(entry.labels),
        undeletable: patch.undeletable.unwrap_or(entry.undeletable),
        usage_mask: patch.usage_mask.unwrap_or(entry.usage_mask),
        ..entry
    };
    named(&after.name)?;
    described(&after.description, &after.labels)?;
    let Some(LocalBlob { unexportable, .. }) = blob(&after) else {
        let same = after.usage_mask == entry.usage_mask && patch.unexportable.is_none();
        return if same { Ok(after) } else { Err(CoreError::invalid("usageMask", "what a key on a partition may do is set on its token")) };
    };
    if patch.unexportable.is_some_and(|asked| asked != *unexportable) {
        return Err(CoreError::invalid("unexportable", "is bound to the key by its seal; make another key"));
    }
    if usage::sealed(after.usage_mask) != usage::sealed(entry.usage_mask) {
        return Err(CoreError::invalid("usageMask", "Encrypt and Decrypt are bound to the key by its seal; make another key"));
    }
    if *unexportable && after.usage_mask & !entry.usage_mask != 0 {
        return Err(CoreError::invalid("usageMask", "of an unexportable key may lose bits and gain none"));
    }
    if patch.usage_mask.is_some() {
        in_range(after.usage_mask, *unexportable)?;
    }
    Ok(after)
}

fn in_range(usage_mask: u32, unexportable: bool) -> Result<(), CoreError> {
    if usage_mask & !usage::ALL != 0 {
        return Err(CoreError::invalid("usageMask", "has bits that mean nothing"));
    }
    if unexportable && usage_mask & usage::EXPORT != 0 {
        return Err(CoreError::invalid("usageMask", "of an unexportable key can't have Export (64)"));
    }
    Ok(())
}

pub(in crate::core) fn described(description: &str, labels: &BTreeMap<String, String>) -> Result<(), CoreError> {
    if description.chars().count() > LONGEST_DESCRIPTION {
        return Err(CoreError::invalid("description", "must have at most 4096 characters"));
    }
    let long = |text: &String| text.chars().count() > LONGEST_LABEL;
    if labels.len() > MOST_LABELS || labels.iter().any(|(key, value)| key.is_empty() || long(key) || long(value)) {
        return Err(CoreError::invalid("labels", "at most 100, with names of 1 to 256 and values of at most 256 characters"));
    }
    Ok(())
}

/// An RSA pair may take a slow machine seconds, and others wait their turn behind it.
const fn deadline(kind: KeyKind) -> Duration {
    match kind {
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => RSA_DEADLINE,
        KeyKind::Aes128
        | KeyKind::Aes192
        | KeyKind::Aes256
        | KeyKind::EcP256
        | KeyKind::EcP384
        | KeyKind::EcP521
        | KeyKind::EcSecp256k1
        | KeyKind::HmacSha1
        | KeyKind::HmacSha224
        | KeyKind::HmacSha256
        | KeyKind::HmacSha384
        | KeyKind::HmacSha512 => DEADLINE,
    }
}

const RSA_DEADLINE: Duration = Duration::from_secs(60);
const LONGEST_DESCRIPTION: usize = 4_096;
const LONGEST_LABEL: usize = 256;
const MOST_LABELS: usize = 100;

#[cfg(test)]
mod tests {
    use holdfast_proto::records::KeyUsage;

    use super::*;

    fn entry(unexportable: bool, usage_mask: u32) -> SourceKeyEntry {
        let (kind, usage) = (KeyKind::Aes256, KeyUsage::BOTH);
        let key = SourceKey::Local(LocalBlob { id: Uuid::nil(), kind, usage, unexportable, sealed: Box::default() });
        SourceKeyEntry { usage_mask, ..SourceKeyEntry::new(Uuid::nil(), "key".into(), key, Stamps::default()) }
    }

    #[test]
    fn what_the_seal_binds_is_not_changed() {
        let mask = |usage_mask| SourceKeyPatch { usage_mask: Some(usage_mask), ..SourceKeyPatch::default() };
        let table = [
            (true, 60, mask(60), true),
            (true, 60, mask(12), true),
            (true, 12, mask(60), false),
            (true, 60, mask(60 | 1), false),
            (false, 12, mask(60), true),
            (false, 60, mask(56), false),
            (false, 60, mask(60 | 1 << 24), false),
            (true, 60, SourceKeyPatch { unexportable: Some(true), ..SourceKeyPatch::default() }, true),
            (true, 60, SourceKeyPatch { unexportable: Some(false), ..SourceKeyPatch::default() }, false),
            (false, 60, SourceKeyPatch { unexportable: Some(true), ..SourceKeyPatch::default() }, false),
        ];
        for (unexportable, before, patch, allowed) in table {
            let patched = patched(entry(unexportable, before), &patch);
            assert_eq!(patched.is_ok(), allowed, "{unexportable} {before} {patch:?}");
        }
    }

    #[test]
    fn an_unexportable_key_may_not_be_meant_for_export_and_masks_have_24_bits() {
        for (mask, unexportable, allowed) in [(60, true, true), (124, true, false), (124, false, true), (1 << 24, false, false)] {
            assert_eq!(in_range(mask, unexportable).is_ok(), allowed, "{mask} {unexportable}");
        }
    }

    #[test]
    fn names_have_1_to_256_characters_and_no_control_characters() {
        for (name, allowed) in [("a", true), (&"ä".repeat(256), true), ("", false), (&"a".repeat(257), false), ("a\n", false)] {
            assert_eq!(named(name).is_ok(), allowed, "{name:?}");
        }
    }
}
