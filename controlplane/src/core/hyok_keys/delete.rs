//! The end of a HYOK key: what it encrypted can't be opened any more.

use holdfast_proto::ids::KeyId;

use super::{Backed, backed};
use crate::{
    access::{Manage, Permit},
    core::{
        Applied, Core, CoreError,
        draw::now_ns,
        state::{KeyCommand, hyok_key},
        virtual_keys::VirtualKey,
        write::Plan,
    },
    store::{
        ReadError, View,
        entry::{Entry, EntryChange, EntryName, VirtualKeyEntry},
    },
};

impl Core {
    /// Deletes a HYOK key. A silent virtual key goes with it, and so do the local source keys that were made for that; source keys that
    /// someone made or named, and those on partitions, stay.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for a linked one.
    pub async fn delete_hyok_key(&self, permit: &Permit<Manage>, id: KeyId) -> Result<Applied<()>, CoreError> {
        let plan = |view: &View| {
            let backed = backed(view, id)?;
            hyok_key(backed.link(), KeyCommand::Delete).map_err(|why| CoreError::State(why.into()))?;
            Ok(Plan { changes: without(view, backed)?, answer: () })
        };
        let ((), revision) = self.writer.change(permit.trail(), plan).await?;
        Ok(self.applied((), revision).await)
    }
}

/// The changes that take a key away, with all that is there for it alone.
fn without(view: &View, Backed { key, virtual_key, .. }: Backed) -> Result<Vec<EntryChange>, ReadError> {
    let index = EntryName::ExternalId(key.store, key.external_id);
    let mut gone = vec![EntryName::HyokKey(key.store, key.id), EntryName::KeyPlace(key.id), index];
    let counts = view.counts_of(key.id)?;
    gone.extend(counts.into_iter().map(|count| EntryName::Count(count.key, count.version, count.node)));
    let VirtualKey { key: virtual_key, versions } = virtual_key;
    if !virtual_key.silent {
        let stamps = virtual_key.stamps.touched(now_ns());
        let kept = Entry::VirtualKey(VirtualKeyEntry { backs: None, stamps, ..virtual_key });
        return Ok(gone.into_iter().map(EntryChange::Delete).chain([EntryChange::put(kept)]).collect());
    }
    let made = versions.into_iter().filter(|version| version.source.made_for == Some(virtual_key.id));
    gone.extend(made.map(|version| EntryName::SourceKey(version.source.id)));
    gone.push(EntryName::VirtualKey(virtual_key.id));
    Ok(gone.into_iter().map(EntryChange::Delete).collect())
}
