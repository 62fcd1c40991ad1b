//! Source keys that a rotation makes for itself.
//!
//! Always holds: one is committed together with what is to be uploaded from it, and until AWS has its material it is marked there as
//! made for that alone; where that ends in nothing it goes in the same commit, unless anything else has come to need it or someone said
//! that it is not to be deleted. What people made, or chose for a rotation, is never marked.

use uuid::Uuid;

use super::upload::{UploadSource, source_of};
use crate::{
    clock::now_ns,
    core::{
        Core, CoreError,
        source_keys::{self, NewVaultKey},
    },
    store::{
        ReadError, View,
        entry::{AwsKeyEntry, Entry, EntryChange, EntryName, KeyStep, SourceKeyEntry, UploadedFrom},
    },
};

impl Core {
    /// Has a data plane make a source key of the kind that a key's material is of; nothing is committed. What is uploaded from it says
    /// that it was made.
    pub(super) async fn successor_source(
        &self,
        entry: &AwsKeyEntry,
        valid_to_ns: Option<u64>,
    ) -> Result<(SourceKeyEntry, UploadedFrom), CoreError> {
        let kind = entry.in_aws().and_then(|told| super::kinds::kind_of(&told.spec));
        let kind = kind.ok_or_else(|| CoreError::State("keys of this spec are not made here".into()))?;
        let stem = source_of(entry).map_or_else(|| format!("material of {}", entry.id), |from| from.name.clone());
        let name = next_name(&stem, now_ns());
        let source = self.generated_vault_key(NewVaultKey { name: Some(name), ..NewVaultKey::exportable(kind) }).await?;
        let asked = UploadSource { source_key: source.id.to_string(), tier_as_sent: None, valid_to_ns };
        let from = UploadedFrom { made: true, ..asked.of(&source) };
        Ok((source, from))
    }
}

impl UploadedFrom {
    /// The same once AWS has it: it goes with nothing any more.
    pub(super) fn arrived(&self) -> Self {
        Self { made: false, ..self.clone() }
    }
}

/// The change that puts a source key that was made into the vault.
pub(super) fn with_source(view: &View, source: &SourceKeyEntry) -> Result<EntryChange, CoreError> {
    source_keys::unique(view, &source.name, source.id)?;
    Ok(EntryChange::put(Entry::SourceKey(source.clone())))
}

/// The change that takes a source key back that was made for an upload that came to nothing, where that is what it was and nothing needs it.
/// `after` is the key's entry as it is then; none: it has none any more.
pub(super) fn without_source(
    view: &View,
    from: &UploadedFrom,
    (id, after): (Uuid, Option<&AwsKeyEntry>),
) -> Result<Option<EntryChange>, ReadError> {
    let source = from.source_key;
    if !from.made || view.source_key(source)?.is_none_or(|there| there.undeletable) || source_keys::in_use(view, source)?.is_some() {
        return Ok(None);
    }
    let others = view.aws_keys()?;
    let mut left = others.iter().filter(|key| key.id != id).chain(after);
    Ok((!left.any(|key| needs(key, source))).then_some(EntryChange::Delete(EntryName::SourceKey(source))))
}

/// Whether a key in AWS has, had or is to get material of this source key.
fn needs(key: &AwsKeyEntry, source: Uuid) -> bool {
    let importing = match &key.doing {
        Some(KeyStep::Import(import)) => Some(&import.from),
        Some(KeyStep::Create | KeyStep::Link | KeyStep::Change | KeyStep::SetPolicy { .. } | KeyStep::Rotate { .. }) | None => None,
    };
    let had = key.rotations.iter().filter_map(|material| material.source.as_ref());
    source_of(key).into_iter().chain(importing).chain(had).any(|from| from.source_key == source)
}

/// The name of what comes after a source key of this name.
fn next_name(stem: &str, now_ns: u64) -> String {
    let stem = stem.rsplit_once(NEXT).filter(|(_, time)| time.bytes().all(|b| b.is_ascii_digit())).map_or(stem, |(stem, _)| stem);
    let short: String = stem.chars().take(200).collect();
    format!("{short}{NEXT}{now_ns}")
}

const NEXT: &str = "-rotated-";

#[cfg(test)]
mod tests {
    use holdfast_proto::{
        kinds::KeyKind,
        records::{KeyUsage, LocalBlob, SourceKey},
    };

    use super::*;
    use crate::{
        access::Trail,
        aws::AwsSettings,
        core::aws_keys::Place,
        publish::tests::estate::Estate,
        store::entry::{AwsKeyKind, ForAws, ImportEntry, MaterialEntry, Stamps, VersionEntry, VirtualKeyEntry},
    };

    const SOURCE: Uuid = Uuid::from_u128(101);
    const KEY: Uuid = Uuid::from_u128(102);
    const OTHER: Uuid = Uuid::from_u128(103);

    fn source() -> SourceKeyEntry {
        let (kind, usage) = (KeyKind::Aes256, KeyUsage::BOTH);
        let key = SourceKey::Local(LocalBlob { id: SOURCE, kind, usage, unexportable: false, sealed: Box::default() });
        SourceKeyEntry { undeletable: false, ..SourceKeyEntry::new(SOURCE, "k-rotated-1".into(), key, Stamps::default()) }
    }

    fn from(made: bool) -> UploadedFrom {
        UploadedFrom { source_key: SOURCE, name: "k-rotated-1".into(), tier_as_sent: None, valid_to_ns: None, made }
    }

    fn import(made: bool) -> KeyStep {
        let (from, before) = (from(made), Vec::new());
        KeyStep::Import(ImportEntry { from, new_material: Some(true), description: None, key_material_id: None, before, rotate: true })
    }

    fn key(id: Uuid, source: Option<UploadedFrom>) -> AwsKeyEntry {
        let place = Place { kms: Uuid::nil(), region: "us-east-1" };
        AwsKeyEntry::new(id, place, AwsKeyKind::Imported { source }, ForAws::default())
    }

    fn had(id: Uuid) -> AwsKeyEntry {
        let (source, key_material_id) = (Some(from(false)), Some("m".into()));
        let material = MaterialEntry { id, source, key_material_id, description: None, rotation_type: None, stamps: Stamps::default() };
        AwsKeyEntry { rotations: vec![material], ..key(id, None) }
    }

    fn aws_key(entry: AwsKeyEntry) -> Entry {
        Entry::AwsKey(Box::new(entry))
    }

    async fn core(entries: Vec<Entry>) -> Core {
        let estate = Estate::new().await;
        estate.commit(entries.into_iter().map(EntryChange::put).collect()).await;
        estate.core(AwsSettings::new()).await
    }

    /// Whether the source key goes with a key of which nothing is left.
    async fn goes(from: UploadedFrom, there: Vec<Entry>) -> bool {
        let core = core(there).await;
        let change = without_source(&core.view().await.unwrap(), &from, (KEY, None)).unwrap();
        change == Some(EntryChange::Delete(EntryName::SourceKey(SOURCE)))
    }

    #[tokio::test]
    async fn a_source_key_that_was_made_for_nothing_goes_and_one_that_anything_needs_stays() {
        let made = Entry::SourceKey(source());
        assert!(goes(from(true), vec![made.clone(), aws_key(key(KEY, Some(from(true))))]).await);
        assert!(!goes(from(false), vec![made.clone()]).await, "someone chose it");
        assert!(!goes(from(true), Vec::new()).await, "someone deleted it");
        let kept = SourceKeyEntry { undeletable: true, ..source() };
        assert!(!goes(from(true), vec![Entry::SourceKey(kept)]).await);
        let state = holdfast_proto::state::VersionState::Active;
        let version = VersionEntry { number: 0, tag: [0; 4], state, source: SOURCE, created_ns: 0 };
        let virtual_key = VirtualKeyEntry { versions: vec![version], ..VirtualKeyEntry::silent(OTHER, None, Stamps::default()) };
        let users = [
            Entry::VirtualKey(virtual_key),
            aws_key(key(OTHER, Some(from(false)))),
            aws_key(had(OTHER)),
            aws_key(AwsKeyEntry { doing: Some(import(false)), ..key(OTHER, None) }),
        ];
        for user in users {
            assert!(!goes(from(true), vec![made.clone(), user.clone()]).await, "{user:?}");
        }
    }

    #[tokio::test]
    async fn what_a_rotation_made_goes_with_the_step_or_the_key_that_came_to_nothing() {
        let trail = Trail::system("test");
        let refused = CoreError::State("AWS refused".into());
        // New material for a key that stays.
        let begun = AwsKeyEntry { doing: Some(import(true)), ..key(KEY, None) };
        let core_with = async |key: AwsKeyEntry| core(vec![Entry::SourceKey(source()), aws_key(key)]).await;
        let core = core_with(begun.clone()).await;
        core.give_up(&trail, KEY, &refused).await.unwrap();
        let view = core.view().await.unwrap();
        assert_eq!(view.source_key(SOURCE).unwrap(), None);
        let left = view.aws_key(KEY).unwrap().unwrap();
        assert_eq!((left.doing, left.failure.as_deref()), (None, Some("AWS refused")));
        // AWS may have it.
        let core = core_with(begun.clone()).await;
        core.material_may_be_there(&trail, KEY).await.unwrap();
        core.give_up(&trail, KEY, &refused).await.unwrap();
        assert!(core.view().await.unwrap().source_key(SOURCE).unwrap().is_some());
        // AWS has it all the same: only that it takes over was refused.
        let core = core_with(AwsKeyEntry { rotations: had(KEY).rotations, ..begun }).await;
        core.give_up(&trail, KEY, &refused).await.unwrap();
        assert!(core.view().await.unwrap().source_key(SOURCE).unwrap().is_some());
        // A new key.
        for (made, stays) in [(true, false), (false, true)] {
            let core = core_with(AwsKeyEntry { doing: Some(KeyStep::Create), ..key(KEY, Some(from(made))) }).await;
            core.withdraw_from_aws(&trail, KEY).await.unwrap();
            let view = core.view().await.unwrap();
            assert_eq!((view.aws_key(KEY).unwrap(), view.source_key(SOURCE).unwrap().is_some()), (None, stays));
        }
    }

    #[test]
    fn what_has_arrived_goes_with_nothing() {
        assert_eq!(from(true).arrived(), from(false));
    }

    #[test]
    fn the_name_of_a_successor_does_not_grow() {
        let once = next_name("key", 5);
        assert_eq!(once, "key-rotated-5");
        assert_eq!(next_name(&once, 6), "key-rotated-6");
        assert_eq!(next_name("key-rotated-by-hand", 6), "key-rotated-by-hand-rotated-6");
    }
}
