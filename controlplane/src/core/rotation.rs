//! Rotation: a new version goes through `pending` to `active` (design §6). `rotate` makes it; `publish` promotes it, once every node that
//! counts has it on disk.

use holdfast_proto::{
    ids::{KeyId, Revision},
    records::KeyUsage,
    state::VersionState,
};
use uuid::Uuid;

use super::{
    Core, CoreError,
    draw::{now_ns, tag},
    hyok_keys::{self, Backed},
    source_keys::NewSourceKey,
    state::{NewVersion, promoted, with_version},
    write::{Plan, Writer},
};
use crate::{
    access::{Permit, Use},
    store::{
        View,
        entry::{Entry, EntryChange, VirtualKeyEntry},
    },
};

/// A version that was made and waits to be promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The new version's number.
    pub version: u32,
    /// The revision that has it.
    pub revision: Revision,
}

impl Core {
    /// Makes a new version of a HYOK key, on a new source key of the same tier. It encrypts as soon as all nodes can decrypt with it.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; those of making a source key.
    pub async fn rotate_key(&self, permit: &Permit<Use>, key: KeyId) -> Result<Rotated, CoreError> {
        let (name, tier) = {
            let view = self.view().await?;
            let Backed { key_store, key, .. } = hyok_keys::backed(&view, key)?;
            (format!("of {}", key.external_id), key_store.tier)
        };
        let new = NewSourceKey { name, tier, usage: KeyUsage::BOTH, unexportable: true };
        let source = self.make_source_key(permit, Uuid::new_v4(), new).await?;
        let made = NewVersion { source: source.id, tag: tag()?, now_ns: now_ns() };
        let plan = |view: &View| {
            let backed = hyok_keys::backed(view, key)?;
            let versions = with_version(&backed.virtual_key.versions, made);
            let version = versions.last().map_or(0, |v| v.number);
            let mut changes = with_versions(backed, versions);
            changes.push(EntryChange::Put(Entry::SourceKey(source.clone())));
            Ok(Plan { changes, answer: version })
        };
        let (version, revision) = self.writer.change(plan).await?;
        Ok(Rotated { version, revision })
    }

    /// Rotates a key because `version` of it has encrypted often enough; does nothing where that version is not the active one or a newer
    /// one is on its way.
    ///
    /// # Errors
    /// As [`Core::rotate_key`].
    pub async fn rotate_worn_key(&self, key: KeyId, version: u32) -> Result<Option<Rotated>, CoreError> {
        let versions = hyok_keys::backed(&self.view().await?, key)?.virtual_key.versions;
        let worn = versions.iter().any(|v| v.number == version && v.state == VersionState::Active);
        let under_way = versions.iter().any(|v| v.number > version);
        if !worn || under_way {
            return Ok(None);
        }
        self.rotate_key(&Permit::system("rotation"), key).await.map(Some)
    }
}

/// Lets a pending version encrypt and retires the one that did. For `publish`, when every node that counts has the version on disk.
///
/// # Errors
/// [`CoreError::NotFound`] where the key is gone; [`CoreError::State`] where the version is not pending any more.
pub async fn promote(writer: &Writer, key: KeyId, version: u32) -> Result<Revision, CoreError> {
    let plan = |view: &View| {
        let backed = hyok_keys::backed(view, key)?;
        let versions = promoted(&backed.virtual_key.versions, version).map_err(|e| CoreError::State(e.to_string()))?;
        Ok(Plan { changes: with_versions(backed, versions), answer: () })
    };
    let ((), revision) = writer.change(plan).await?;
    Ok(revision)
}

/// The changes that give a key these versions.
fn with_versions(backed: Backed, versions: Vec<crate::store::entry::VersionEntry>) -> Vec<EntryChange> {
    let Backed { mut key, virtual_key, .. } = backed;
    key.stamps = key.stamps.touched(now_ns());
    let virtual_key = VirtualKeyEntry { versions, stamps: virtual_key.stamps.touched(now_ns()), ..virtual_key };
    // The key's own entry changes too: it is the one that publishers watch.
    vec![EntryChange::Put(Entry::HyokKey(key)), EntryChange::Put(Entry::VirtualKey(virtual_key))]
}
