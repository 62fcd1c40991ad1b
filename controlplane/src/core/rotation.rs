//! Rotation: a new version goes through `pending` to `active` (design §6). `rotate` makes it; `publish` promotes it, once every node that
//! counts has it on disk.

use holdfast_proto::ids::{KeyId, Revision};
use uuid::Uuid;

use super::{
    Core, CoreError,
    draw::tag,
    hyok_keys::{self, Backed, SourceOf},
    state::{KeyCommand, NewVersion, hyok_key, wants_rotation, with_version},
    virtual_keys::on_tier,
    write::Plan,
};
use crate::{
    access::{Permit, Use},
    clock::now_ns,
    store::{
        View,
        entry::{AwsKeyEntry, Entry, EntryChange, VersionEntry, VirtualKeyEntry},
    },
};

/// What a new version is to be made on.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The source key.
    pub source: SourceOf,
    /// The tier that it is said to be on, as it was spelt.
    pub tier_as_sent: Option<String>,
}

/// A version that was made and waits to be promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The key, with the new version.
    pub key: Backed,
    /// The new version's number.
    pub version: u32,
    /// The revision that has it.
    pub revision: Revision,
}

impl Core {
    /// Makes a new version of a HYOK key, on a source key of the same tier. It encrypts as soon as all nodes can decrypt with it.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for a source key that the key has a version on; those of making or looking at a source
    /// key.
    pub async fn rotate_key(&self, permit: &Permit<Use>, key: KeyId, rotation: Rotation) -> Result<Rotated, CoreError> {
        let (name, tier, virtual_key) = {
            let view = self.view().await?;
            let Backed { key_store, key, virtual_key, .. } = hyok_keys::backed(&view, key)?;
            (format!("of {}", key.external_id), key_store.tier.clone(), virtual_key.key.id)
        };
        on_tier(&tier, rotation.tier_as_sent.as_deref())?;
        let source = self.source_for(permit, (&tier, &rotation.source), (virtual_key, name)).await?;
        let made = NewVersion { source: source.id(), tag: tag()?, now_ns: now_ns() };
        let plan = |view: &View| {
            let backed = hyok_keys::backed(view, key)?;
            hyok_key(backed.link(), KeyCommand::Rotate).map_err(|why| CoreError::State(why.into()))?;
            let before = &backed.virtual_key.key.versions;
            if let Some(same) = before.iter().find(|version| version.source == made.source) {
                return Err(CoreError::State(format!("version {} of the key is on that source key already", same.number)));
            }
            let versions = with_version(before, made);
            let version = versions.last().map_or(0, |v| v.number);
            let mut changes = with_versions(backed, versions);
            changes.push(EntryChange::put(Entry::SourceKey(source.settled(view)?)));
            // In the same commit, so that no job takes it for one that is still to be rotated.
            changes.extend(view.aws_key(key.0)?.map(|in_aws| {
                let (rotated_ns, stamps) = (Some(made.now_ns), in_aws.stamps.touched(made.now_ns));
                EntryChange::put(Entry::AwsKey(Box::new(AwsKeyEntry { rotated_ns, stamps, ..in_aws })))
            }));
            Ok(Plan { changes, answer: version })
        };
        let (version, revision) = self.writer.change(permit.trail(), plan).await?;
        let key = hyok_keys::backed(&self.view().await?, key)?;
        Ok(Rotated { key, version, revision })
    }

    /// Rotates a key whose active version has encrypted often enough; does nothing where a newer one is on its way already, or nothing is
    /// backed by the virtual key.
    ///
    /// # Errors
    /// As [`Core::rotate_key`].
    pub async fn rotate_worn_key(&self, virtual_key: Uuid) -> Result<Option<Rotated>, CoreError> {
        let virtual_key = self.view().await?.virtual_key(virtual_key)?;
        let worn = virtual_key.filter(|key| key.active().is_some_and(|active| wants_rotation(&key.versions, active.number)));
        let Some(place) = worn.and_then(|key| key.backs) else { return Ok(None) };
        let rotation = Rotation { source: SourceOf::New, tier_as_sent: None };
        self.rotate_key(&Permit::system("rotation"), place.key, rotation).await.map(Some)
    }
}

/// The changes that give a key these versions.
fn with_versions(backed: Backed, versions: Vec<VersionEntry>) -> Vec<EntryChange> {
    let Backed { mut key, virtual_key, .. } = backed;
    key.stamps = key.stamps.touched(now_ns());
    let stamps = virtual_key.key.stamps.touched(now_ns());
    let virtual_key = VirtualKeyEntry { versions, stamps, ..virtual_key.key };
    // The key's own entry changes too: it is the one that publishers watch.
    vec![EntryChange::put(Entry::HyokKey(key)), EntryChange::put(Entry::VirtualKey(virtual_key))]
}
