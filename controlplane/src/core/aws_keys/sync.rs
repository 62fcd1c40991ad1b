//! What a synchronization told of keys, put into their entries.
//!
//! Always holds: a key of AWS has one entry here; who works on a key is first; nothing is taken into a container that is no more, or from
//! another account than the container's.

use std::collections::{BTreeSet, HashMap};

use holdfast_proto::ids::{ExternalKeyId, KeyId, StoreId};
use uuid::Uuid;

use super::{
    OUR_TAG, Place,
    describe::{kept, with_told},
};
use crate::{
    access::Trail,
    clock::now_ns,
    core::{Core, CoreError, at_work::Turn, kms_containers, write::Plan},
    store::{
        ReadError, View,
        entry::{AwsKeyEntry, AwsKeyKind, AwsKeyStoreEntry, AwsKeyStoreKind, Entry, EntryChange, ForAws, KeyInAws, KmsContainerEntry},
    },
};

/// Keys that AWS told of, and when it was asked, nanoseconds since 1970: what is known since is newer.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    /// The keys.
    pub keys: Vec<KeyInAws>,
    /// When it was asked, before the first of them.
    pub asked_ns: u64,
}

impl Core {
    /// Puts what AWS told of keys into their entries, in one commit: what is not known here gets one. An external key of a key store of
    /// ours becomes the counterpart of the HYOK key whose id AWS has for it. A key that is worked on, or was since AWS was asked, stays as
    /// it is. One whose container was deleted is taken into this one.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] for a container that was deleted meanwhile; [`CoreError::State`] where it has the region no longer, or a key is
    /// of another account; those of reading and writing.
    pub(crate) async fn sync_keys(&self, trail: &Trail, place: Place<'_>, looked: Looked) -> Result<Vec<AwsKeyEntry>, CoreError> {
        let ids: Vec<Uuid> = looked.keys.iter().map(|_| Uuid::new_v4()).collect();
        let plan = |view: &View| {
            of_its_account(&kms_containers::still(view, place.kms, place.region)?, &looked.keys)?;
            let known = Known::read(view, place)?;
            let (mut changes, mut entries) = (Vec::new(), Vec::new());
            for (told, new_id) in looked.keys.iter().zip(&ids) {
                let entry = match known.entry(view, told)? {
                    Some(before) => {
                        let free = self.keys_at_work.try_turn(before.id);
                        let newer = free.is_some() && before.doing.is_none() && before.synced_ns <= looked.asked_ns;
                        free.into_iter().for_each(Turn::done);
                        let kms = if view.kms_container(before.kms)?.is_some() { before.kms } else { place.kms };
                        let after = if newer { AwsKeyEntry { kms, ..known.again(&before, told) } } else { before.clone() };
                        let Plan { changes: more, answer } = kept(&before, after);
                        changes.extend(more);
                        answer
                    }
                    None => {
                        let (kind, id) = known.kind(view, told)?;
                        // A key is in the container that its key store is in.
                        let kms = known.key_store(told).map_or(place.kms, |store| store.kms);
                        let entry = AwsKeyEntry::new(id.unwrap_or(*new_id), Place { kms, ..place }, kind, ForAws::default());
                        let entry = AwsKeyEntry { synced_ns: now_ns(), ..with_told(&entry, told) };
                        changes.push(EntryChange::put(Entry::AwsKey(Box::new(entry.clone()))));
                        entry
                    }
                };
                entries.push(entry);
            }
            Ok(Plan { changes, answer: entries })
        };
        Ok(self.writer.change(trail, plan).await?.0)
    }
}

/// Whether all keys are of a container's account.
fn of_its_account(container: &KmsContainerEntry, keys: &[KeyInAws]) -> Result<(), CoreError> {
    keys.iter().find(|told| told.account_id != container.account_id).map_or(Ok(()), |told| {
        let KmsContainerEntry { name, account_id, .. } = container;
        Err(CoreError::State(format!("the key {} is not of the account {account_id} of the KMS container {name}", told.arn)))
    })
}

/// What is known of a region's keys and of an account's key stores there, whichever of its containers they are in.
struct Known {
    by_arn: HashMap<String, AwsKeyEntry>,
    key_stores: Vec<AwsKeyStoreEntry>,
}

impl Known {
    fn read(view: &View, place: Place<'_>) -> Result<Self, ReadError> {
        let keys = view.aws_keys()?.into_iter().filter(|key| key.region == place.region);
        let by_arn = keys.filter_map(|key| Some((key.told.as_ref()?.arn.clone(), key))).collect();
        let mut containers = BTreeSet::from([place.kms]);
        if let Some(container) = view.kms_container(place.kms)? {
            containers.extend(kms_containers::of_account(view, &container.account_id)?);
        }
        let key_stores = view.aws_key_stores()?.into_iter();
        let key_stores =
            key_stores.filter(|store| store.region == place.region && !store.gone && containers.contains(&store.kms)).collect();
        Ok(Self { by_arn, key_stores })
    }

    /// The entry of a key of AWS: by its ARN, or by our tag where it is being made.
    fn entry(&self, view: &View, told: &KeyInAws) -> Result<Option<AwsKeyEntry>, ReadError> {
        if let Some(known) = self.by_arn.get(&told.arn) {
            return Ok(Some(known.clone()));
        }
        let tagged = tagged(told).map(|id| view.aws_key(id)).transpose()?.flatten();
        Ok(tagged.filter(|entry| entry.told.is_none()))
    }

    /// What a key that is known becomes.
    fn again(&self, before: &AwsKeyEntry, told: &KeyInAws) -> AwsKeyEntry {
        let kind = match &before.kind {
            AwsKeyKind::CloudHsm { store } => AwsKeyKind::CloudHsm { store: self.key_store(told).map(|found| found.id).or(*store) },
            same @ (AwsKeyKind::Hyok { .. } | AwsKeyKind::External { .. } | AwsKeyKind::Native | AwsKeyKind::Imported { .. }) => {
                same.clone()
            }
        };
        AwsKeyEntry { kind, ..with_told(before, told) }
    }

    /// What a key that is not known is, and the id that it has here: the HYOK key's, or the one in our tag if nothing else has it.
    fn kind(&self, view: &View, told: &KeyInAws) -> Result<(AwsKeyKind, Option<Uuid>), ReadError> {
        let key_store = self.key_store(told);
        let kind = match told.origin.as_str() {
            "EXTERNAL" => AwsKeyKind::Imported { source: None },
            "AWS_CLOUDHSM" => AwsKeyKind::CloudHsm { store: key_store.map(|store| store.id) },
            "EXTERNAL_KEY_STORE" => {
                if let Some((store, key)) = key_store.map(|store| hyok_key(view, store, told)).transpose()?.flatten() {
                    return Ok((AwsKeyKind::Hyok { store: store.0 }, Some(key.0)));
                }
                AwsKeyKind::External { custom_key_store_id: told.custom_key_store_id.clone().unwrap_or_default() }
            }
            _ => AwsKeyKind::Native,
        };
        let free = |id: &Uuid| -> Result<bool, ReadError> { Ok(view.aws_key(*id)?.is_none() && view.find_hyok_key(KeyId(*id))?.is_none()) };
        let id = match tagged(told) {
            Some(id) if free(&id)? => Some(id),
            Some(_) | None => None,
        };
        Ok((kind, id))
    }

    fn key_store(&self, told: &KeyInAws) -> Option<&AwsKeyStoreEntry> {
        let id = told.custom_key_store_id.as_ref()?;
        self.key_stores.iter().find(|store| store.custom_key_store_id.as_ref() == Some(id))
    }
}

/// The HYOK key behind an external key in a key store of ours, unless it has another counterpart.
fn hyok_key(view: &View, key_store: &AwsKeyStoreEntry, told: &KeyInAws) -> Result<Option<(StoreId, KeyId)>, ReadError> {
    let AwsKeyStoreKind::Linked { .. } = key_store.kind else { return Ok(None) };
    let Some(external_id) = told.xks_key_id.as_deref().and_then(|id| ExternalKeyId::try_from(id).ok()) else { return Ok(None) };
    let store = StoreId(key_store.id);
    let Some(key) = view.key_of_external_id(store, &external_id)? else { return Ok(None) };
    let taken = view.aws_key(key.0)?.is_some_and(|other| !other.gone);
    Ok((!taken).then_some((store, key)))
}

/// The id in our tag.
fn tagged(told: &KeyInAws) -> Option<Uuid> {
    let tag = told.tags.iter().find(|tag| tag.key == OUR_TAG)?;
    Uuid::try_parse(&tag.value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aws::AwsSettings,
        publish::tests::estate::{Estate, kms_container, store_id},
        store::entry::{ExternalIdEntry, KeyStep, Stamps, Tag},
    };

    const ACCOUNT: &str = "123456789012";
    const PLACE: Place<'_> = Place { kms: Uuid::nil(), region: "us-east-1" };

    async fn core(estate: &Estate) -> Core {
        estate.commit(vec![EntryChange::put(container(PLACE.kms))]).await;
        estate.core(AwsSettings::new()).await
    }

    fn told(n: u8, origin: &str) -> KeyInAws {
        let arn = format!("arn:aws:kms:us-east-1:123456789012:key/{n}");
        let account_id = ACCOUNT.into();
        KeyInAws { key_id: n.to_string(), arn, account_id, origin: origin.into(), state: "Enabled".into(), ..KeyInAws::default() }
    }

    /// One of the same account as all others.
    fn container(id: Uuid) -> Entry {
        Entry::KmsContainer(kms_container(id, ACCOUNT, &[PLACE.region]))
    }

    /// What becomes of one key that AWS tells of, asked now.
    async fn synced(core: &Core, told: &KeyInAws) -> AwsKeyEntry {
        let looked = Looked { keys: vec![told.clone()], asked_ns: now_ns() };
        core.sync_keys(&Trail::system("test"), PLACE, looked).await.unwrap().remove(0)
    }

    #[tokio::test]
    async fn a_key_that_aws_has_gets_one_entry_which_changes_only_when_aws_tells_something_new() {
        let core = core(&Estate::new().await).await;
        let first = synced(&core, &told(1, "AWS_KMS")).await;
        assert_eq!((&first.kind, first.in_aws().is_some()), (&AwsKeyKind::Native, true));
        assert_eq!(synced(&core, &told(1, "AWS_KMS")).await, first, "nothing moved, not even its times");
        let disabled = KeyInAws { state: "Disabled".into(), ..told(1, "AWS_KMS") };
        let second = synced(&core, &disabled).await;
        assert_eq!((second.id, &second.told, second.kind == first.kind), (first.id, &Some(disabled.clone()), true));
        assert!(second.synced_ns > first.synced_ns);
        for (origin, kind) in [("EXTERNAL", AwsKeyKind::Imported { source: None }), ("AWS_CLOUDHSM", AwsKeyKind::CloudHsm { store: None })]
        {
            assert_eq!(synced(&core, &told(2, origin)).await.kind, kind);
            let trail = Trail::system("test");
            let gone = EntryChange::Delete(crate::store::entry::EntryName::AwsKey(synced(&core, &told(2, origin)).await.id));
            core.writer.change(&trail, |_| Ok(Plan { changes: vec![gone.clone()], answer: () })).await.unwrap();
        }
    }

    #[tokio::test]
    async fn nothing_is_taken_into_a_container_that_is_no_more_or_from_another_account_and_what_was_left_goes_into_another() {
        let core = core(&Estate::new().await).await;
        let trail = Trail::system("test");
        let looked = |account: &str| {
            let told = KeyInAws { account_id: account.into(), ..told(1, "AWS_KMS") };
            Looked { keys: vec![told], asked_ns: now_ns() }
        };
        let (deleted, region) = (Place { kms: Uuid::from_u128(5), ..PLACE }, Place { region: "eu-west-1", ..PLACE });
        for (place, account, why) in [
            (deleted, ACCOUNT, "not found"),
            (region, ACCOUNT, "no longer has the region"),
            (PLACE, "444455556666", "not of the account 123456789012"),
        ] {
            let refused = core.sync_keys(&trail, place, looked(account)).await.unwrap_err();
            assert!(refused.to_string().contains(why), "{refused}");
        }
        assert_eq!(core.view().await.unwrap().aws_keys().unwrap(), []);

        let known = synced(&core, &told(1, "AWS_KMS")).await;
        let left = AwsKeyEntry { kms: deleted.kms, ..known.clone() };
        let plan = |_: &View| Ok(Plan { changes: vec![EntryChange::put(Entry::AwsKey(Box::new(left.clone())))], answer: () });
        core.writer.change(&trail, plan).await.unwrap();
        let taken_in = synced(&core, &told(1, "AWS_KMS")).await;
        assert_eq!((taken_in.id, taken_in.kms), (known.id, PLACE.kms));
    }

    #[tokio::test]
    async fn what_is_worked_on_or_was_since_aws_was_asked_stays_as_it_is() {
        let core = core(&Estate::new().await).await;
        let before = synced(&core, &told(1, "AWS_KMS")).await;
        let changed = KeyInAws { description: "new".into(), ..told(1, "AWS_KMS") };
        let turn = core.keys_at_work.turn(before.id).await;
        assert_eq!(synced(&core, &changed).await, before);
        turn.done();
        let stale = Looked { keys: vec![changed.clone()], asked_ns: before.synced_ns - 1 };
        assert_eq!(core.sync_keys(&Trail::system("test"), PLACE, stale).await.unwrap(), std::slice::from_ref(&before));
        assert_eq!(synced(&core, &changed).await.told, Some(changed));
    }

    #[tokio::test]
    async fn a_key_of_ours_is_known_again_by_its_tag_and_a_hyok_key_by_what_aws_calls_it() {
        let estate = Estate::new().await;
        let (store, hyok, lost, making) = (store_id(1), KeyId(Uuid::from_u128(7)), Uuid::from_u128(8), Uuid::from_u128(9));
        let external_id = ExternalKeyId::try_from("theirs").unwrap();
        let kind = AwsKeyStoreKind::Linked { credential: None };
        let key_store_kms = Uuid::from_u128(10);
        let key_store = AwsKeyStoreEntry::new((store.0, key_store_kms), PLACE.region, ("s".into(), kind), Stamps::default());
        let key_store = AwsKeyStoreEntry { custom_key_store_id: Some("cks-1".into()), ..key_store };
        let begun = AwsKeyEntry::new(making, PLACE, AwsKeyKind::Native, ForAws::default());
        let begun = AwsKeyEntry { doing: Some(KeyStep::Create), ..begun };
        estate
            .commit(vec![
                EntryChange::put(container(key_store_kms)),
                EntryChange::put(Entry::AwsKeyStore(key_store)),
                EntryChange::put(Entry::ExternalId(ExternalIdEntry { store, external_id, key: hyok })),
                EntryChange::put(Entry::AwsKey(Box::new(begun.clone()))),
            ])
            .await;
        let core = core(&estate).await;
        let tagged = |n, id: Uuid| KeyInAws { tags: vec![Tag { key: OUR_TAG.into(), value: id.to_string() }], ..told(n, "AWS_KMS") };
        assert_eq!(synced(&core, &tagged(1, lost)).await.id, lost, "of a backup that is older than the key");
        assert_ne!(synced(&core, &tagged(2, lost)).await.id, lost, "someone copied the tag");
        assert_eq!(synced(&core, &tagged(3, making)).await, begun, "whoever makes it finishes it");
        let external = |n, id: &str| KeyInAws {
            custom_key_store_id: Some("cks-1".into()),
            xks_key_id: Some(id.into()),
            ..told(n, "EXTERNAL_KEY_STORE")
        };
        let linked = synced(&core, &external(4, "theirs")).await;
        assert_eq!((linked.id, linked.kind), (hyok.0, AwsKeyKind::Hyok { store: store.0 }));
        assert_eq!(linked.kms, key_store_kms, "in the container of its key store, by whichever it was found");
        let other = synced(&core, &external(5, "unknown")).await;
        assert_eq!(other.kind, AwsKeyKind::External { custom_key_store_id: "cks-1".into() });
    }
}
