//! Rotation: a new version goes through `pending` to `active` (design §6). `rotate` makes it; `publish` promotes it, once every node that
//! counts has it on disk.

use holdfast_proto::{
    ids::{KeyId, Revision},
    records::KeyUsage,
};
use uuid::Uuid;

use super::{
    Core, CoreError,
    draw::{now_ns, tag},
    hyok_keys::{self, Backed},
    source_keys::NewSourceKey,
    state::{NewVersion, wants_rotation, with_version},
    write::Plan,
};
use crate::{
    access::{Permit, Use},
    store::{
        View,
        entry::{Entry, EntryChange, VersionEntry, VirtualKeyEntry},
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
        let (version, revision) = self.writer.change(permit.trail(), plan).await?;
        Ok(Rotated { version, revision })
    }

    /// Rotates a key whose active version has encrypted often enough; does nothing where a newer one is on its way already, or nothing is
    /// backed by the virtual key.
    ///
    /// # Errors
    /// As [`Core::rotate_key`].
    pub async fn rotate_worn_key(&self, virtual_key: Uuid) -> Result<Option<Rotated>, CoreError> {
        let virtual_key = self.view().await?.virtual_key(virtual_key)?;
        let worn = virtual_key.filter(|key| key.active().is_some_and(|active| wants_rotation(&key.versions, active.number)));
        match worn.and_then(|key| key.backs) {
            Some(place) => self.rotate_key(&Permit::system("rotation"), place.key).await.map(Some),
            None => Ok(None),
        }
    }
}

/// The changes that give a key these versions.
fn with_versions(backed: Backed, versions: Vec<VersionEntry>) -> Vec<EntryChange> {
    let Backed { mut key, virtual_key, .. } = backed;
    key.stamps = key.stamps.touched(now_ns());
    let virtual_key = VirtualKeyEntry { versions, stamps: virtual_key.stamps.touched(now_ns()), ..virtual_key };
    // The key's own entry changes too: it is the one that publishers watch.
    vec![EntryChange::Put(Entry::HyokKey(key)), EntryChange::Put(Entry::VirtualKey(virtual_key))]
}
