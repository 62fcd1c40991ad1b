//! What a HYOK key, or a new version of one, is made on.

use holdfast_proto::{
    ids::{ExternalKeyId, KeyId},
    records::KeyUsage,
};
use uuid::Uuid;

use super::NewHyokKey;
use crate::{
    access::{Permit, Right},
    core::{
        Core, CoreError,
        source_keys::{self, ExistingKey, NewSourceKey},
        state::{self, NewVersion, VirtualKeyCommand, backed_anew, with_version},
        virtual_keys,
    },
    store::{
        View,
        entry::{Entry, ExternalIdEntry, HyokKeyEntry, KeyPlaceEntry, SourceKeyEntry, Stamps, Tier, VirtualKeyEntry},
    },
};

/// What a HYOK key, or a new version of it, is to be made on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceOf {
    /// A new source key of the store's tier.
    New,
    /// A key that is on the store's partition group already and is taken over.
    OnToken(ExistingKey),
    /// What was made before. Of a new HYOK key: a virtual key (id); or, in a store of tier `local`, a source key (id or unique name). Of a
    /// new version: a source key.
    Named(String),
}

/// Ids and draws of a key that is being made.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct Made {
    pub(in crate::core) id: KeyId,
    pub(in crate::core) virtual_key: Uuid,
    pub(in crate::core) tag: [u8; 4],
    pub(in crate::core) now_ns: u64,
}

/// A source key that a data plane made or looked at, to be committed.
#[derive(Clone, Debug)]
pub(in crate::core) enum Ready {
    /// It was made now.
    Fresh(SourceKeyEntry),
    /// It was taken over from its token.
    TakenOver(SourceKeyEntry),
    /// It was made before.
    Known(SourceKeyEntry),
}

impl Core {
    /// Has a data plane make a source key, or look at it. One that is made in tier `local` is for the virtual key alone.
    pub(in crate::core) async fn source_for<R: Right>(
        &self,
        permit: &Permit<R>,
        (tier, source): (&Tier, &SourceOf),
        (virtual_key, name): (Uuid, String),
    ) -> Result<Ready, CoreError> {
        match source {
            SourceOf::New => {
                let new = NewSourceKey { name, tier: tier.clone(), usage: KeyUsage::BOTH, unexportable: true };
                let made = self.make_source_key(permit, Uuid::new_v4(), new).await?;
                // One on a token outlives it there, whatever becomes of the entry.
                let made_for = (*tier == Tier::Local).then_some(virtual_key);
                Ok(Ready::Fresh(SourceKeyEntry { made_for, ..made }))
            }
            SourceOf::OnToken(existing) => self.existing_source_key(permit, tier, ("source_key", existing)).await.map(Ready::TakenOver),
            SourceOf::Named(wanted) => {
                let known = source_keys::find(&self.view().await?, wanted)?;
                if known.tier() != *tier {
                    let detail = format!("the key {:?} is on another tier than the key store", known.name);
                    return Err(CoreError::Invalid { field: "source_key_id", detail });
                }
                self.fit_for_xks(permit, "source_key_id", &known).await?;
                Ok(Ready::Known(known))
            }
        }
    }
}

impl Ready {
    /// The source key's id.
    pub(in crate::core) const fn id(&self) -> Uuid {
        match self {
            Self::Fresh(entry) | Self::TakenOver(entry) | Self::Known(entry) => entry.id,
        }
    }

    /// The entry to commit, judged by what is there now.
    pub(in crate::core) fn settled(&self, view: &View) -> Result<SourceKeyEntry, CoreError> {
        match self {
            Self::Fresh(entry) => Ok(entry.clone()),
            // It may check the health of a key store as well: the users of this API make one key for both.
            Self::TakenOver(entry) => Ok(source_keys::entry(view, entry)?),
            Self::Known(entry) => view.source_key(entry.id)?.ok_or(CoreError::NotFound("source key")),
        }
    }
}

/// The virtual key that a HYOK key is to be made on; none: it is to be made on a source key.
pub(super) fn chosen(view: &View, tier: &Tier, source: &SourceOf) -> Result<Option<VirtualKeyEntry>, CoreError> {
    let SourceOf::Named(wanted) = source else { return Ok(None) };
    let virtual_key = match (tier, virtual_keys::find(view, wanted)) {
        (_, Ok(found)) => found,
        (Tier::Local, Err(CoreError::NotFound(_))) => return Ok(None),
        (Tier::Local | Tier::Partition(_), Err(error)) => return Err(error),
    };
    state::virtual_key(&virtual_key, VirtualKeyCommand::Back)?;
    let source = virtual_key.newest().map(|version| view.source_key(version.source)).transpose()?.flatten();
    if source.is_none_or(|source| source.tier() != *tier) {
        let detail = "the virtual key is on another tier than the key store".into();
        return Err(CoreError::Invalid { field: "source_key_id", detail });
    }
    Ok(Some(virtual_key))
}

/// All entries of a new HYOK key on a virtual key that is there.
pub(super) fn on_virtual_key(
    view: &View,
    new: &NewHyokKey,
    (external_id, made, virtual_key): (ExternalKeyId, Made, Uuid),
) -> Result<Vec<Entry>, CoreError> {
    let virtual_key = view.virtual_key(virtual_key)?.ok_or(CoreError::NotFound("virtual key"))?;
    state::virtual_key(&virtual_key, VirtualKeyCommand::Back)?;
    let (place, mut entries) = placed(new, external_id, Made { virtual_key: virtual_key.id, ..made });
    let (versions, stamps) = (backed_anew(&virtual_key.versions), virtual_key.stamps.touched(made.now_ns));
    entries.push(Entry::VirtualKey(VirtualKeyEntry { backs: Some(place), versions, stamps, ..virtual_key }));
    Ok(entries)
}

/// All entries of a new HYOK key on a source key, by a silent virtual key.
pub(in crate::core) fn entries(new: &NewHyokKey, external_id: ExternalKeyId, (made, source): (Made, SourceKeyEntry)) -> Vec<Entry> {
    let (place, mut entries) = placed(new, external_id, made);
    let versions = with_version(&[], NewVersion { source: source.id, tag: made.tag, now_ns: made.now_ns });
    let virtual_key = VirtualKeyEntry::silent(made.virtual_key, Some(place), Stamps::new(made.now_ns));
    entries.push(Entry::VirtualKey(VirtualKeyEntry { versions, ..virtual_key }));
    entries.push(Entry::SourceKey(source));
    entries
}

/// The key itself, its place, and the index of its external id.
fn placed(new: &NewHyokKey, external_id: ExternalKeyId, made: Made) -> (KeyPlaceEntry, Vec<Entry>) {
    let place = KeyPlaceEntry { key: made.id, store: new.store };
    let index = ExternalIdEntry { store: new.store, external_id: external_id.clone(), key: made.id };
    let key = HyokKeyEntry {
        id: made.id,
        store: new.store,
        external_id,
        name: new.name.clone(),
        blocked: new.blocked,
        virtual_key: made.virtual_key,
        legacy: new.legacy,
        tier_as_sent: new.tier_as_sent.clone(),
        for_aws: new.for_aws.clone(),
        stamps: Stamps::new(made.now_ns),
    };
    (place, vec![Entry::HyokKey(key), Entry::KeyPlace(place), Entry::ExternalId(index)])
}
