//! The end of a HYOK key: what it encrypted can't be opened any more.

use std::collections::BTreeMap;

use holdfast_proto::ids::KeyId;

use super::{Backed, backed};
use crate::{
    access::{Manage, Permit},
    clock::now_ns,
    core::{
        Applied, Core, CoreError,
        state::{KeyCommand, hyok_key},
        virtual_keys::VersionOnSource,
        write::Plan,
    },
    store::{
        ReadError, View,
        entry::{CountEntry, Entry, EntryChange, EntryName, SourceKeyEntry, VirtualKeyEntry},
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

/// The changes that take a key away that AWS has no more.
pub(in crate::core) fn ended(view: &View, id: KeyId) -> Result<Vec<EntryChange>, CoreError> {
    Ok(without(view, backed(view, id)?)?)
}

/// The changes that take a key away, with all that is there for it alone.
fn without(view: &View, Backed { key, virtual_key, .. }: Backed) -> Result<Vec<EntryChange>, ReadError> {
    let index = EntryName::ExternalId(key.store, key.external_id);
    let mut gone = vec![EntryName::HyokKey(key.store, key.id), EntryName::KeyPlace(key.id), index];
    if view.aws_key(key.id.0)?.is_some() {
        gone.push(EntryName::AwsKey(key.id.0));
    }
    let counts = view.counts_of(key.id)?;
    let silent = virtual_key.key.silent;
    let (made, stays): (Vec<_>, Vec<_>) =
        virtual_key.versions.into_iter().partition(|version| silent && version.source.made_for == Some(virtual_key.key.id));
    let mut kept = worn(stays, &counts);
    gone.extend(counts.into_iter().map(|count| EntryName::Count(count.key, count.version, count.node)));
    gone.extend(made.into_iter().map(|version| EntryName::SourceKey(version.source.id)));
    let virtual_key = virtual_key.key;
    if silent {
        gone.push(EntryName::VirtualKey(virtual_key.id));
    } else {
        let stamps = virtual_key.stamps.touched(now_ns());
        kept.push(Entry::VirtualKey(VirtualKeyEntry { backs: None, stamps, ..virtual_key }));
    }
    Ok(gone.into_iter().map(EntryChange::Delete).chain(kept.into_iter().map(EntryChange::put)).collect())
}

/// The source keys that stay, as far as the key encrypted under them: what nodes counted is remembered there.
fn worn(stays: Vec<VersionOnSource>, counts: &[CountEntry]) -> Vec<Entry> {
    let mut worn = BTreeMap::new();
    for VersionOnSource { version, source, .. } in stays {
        let counted = counts.iter().filter(|count| count.version == version.number);
        let counted = counted.fold(0, |sum: u64, count| sum.saturating_add(count.reserved));
        if counted > 0 {
            let known: &mut SourceKeyEntry = worn.entry(source.id).or_insert(source);
            known.encrypted_before = known.encrypted_before.saturating_add(counted);
        }
    }
    worn.into_values().map(Entry::SourceKey).collect()
}

#[cfg(test)]
mod tests {
    use holdfast_proto::{records::PartitionKey, records::SourceKey, state::VersionState};
    use uuid::Uuid;

    use super::*;
    use crate::{
        names::NodeName,
        store::entry::{Stamps, VersionEntry},
    };

    #[test]
    fn what_a_deleted_key_had_encrypted_stays_with_the_source_keys_that_stay() {
        let version = |number: u32, before| {
            let (id, state) = (Uuid::from_u128(number.into()), VersionState::Retired);
            let key = SourceKey::Partition(PartitionKey { group: "g".into(), cka_id: [1].into(), label: String::new() });
            let source = SourceKeyEntry { encrypted_before: before, ..SourceKeyEntry::new(id, String::new(), key, Stamps::default()) };
            let version = VersionEntry { number, tag: [0; 4], state, source: id, created_ns: 0 };
            VersionOnSource { version, source, partition: None }
        };
        let count = |version, node, reserved| {
            let (key, node) = (KeyId(Uuid::nil()), NodeName::try_from(node).unwrap());
            CountEntry { key, version, tag: [0; 4], node, reserved, lost: 0 }
        };
        let counts = [count(0, "a", 5), count(0, "b", 6), count(1, "a", 7), count(9, "a", 8)];
        let worn = worn(vec![version(0, 100), version(1, 0), version(2, 3)], &counts);
        let sums: Vec<_> =
            worn.iter().map(|entry| if let Entry::SourceKey(key) = entry { key.encrypted_before } else { panic!("{entry:?}") }).collect();
        assert_eq!(sums, [111, 7], "of the third nothing was counted");
    }
}
