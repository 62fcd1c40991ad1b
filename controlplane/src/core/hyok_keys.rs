//! HYOK keys: what AWS sees. Each is backed by exactly one virtual key; tier `local` gets a silent one.

use holdfast_proto::{
    ids::{ExternalKeyId, KeyId, StoreId},
    records::KeyUsage,
};
use uuid::Uuid;

use super::{
    Applied, Core, CoreError, bad_name,
    draw::{now_ns, tag},
    key_stores,
    source_keys::{self, ExistingKey, NewSourceKey},
    state::{NewVersion, with_version},
    write::Plan,
};
use crate::{
    access::{Manage, Permit, Read, Use},
    store::{
        View,
        entry::{
            Entry, EntryChange, ExternalIdEntry, HyokKeyEntry, KeyPlaceEntry, KeyStoreEntry, LegacyEntry, SourceKeyEntry, Stamps,
            VirtualKeyEntry,
        },
    },
};

/// A HYOK key that is to be.
#[derive(Clone, Debug)]
pub struct NewHyokKey {
    /// The key store it goes in.
    pub store: StoreId,
    /// What admins call it.
    pub name: String,
    /// Of a proxy that is taken over; else the key's id.
    pub external_id: Option<ExternalKeyId>,
    /// How ciphertexts of a proxy that is taken over open.
    pub legacy: Option<LegacyEntry>,
    /// A key of the store's partition group that becomes version 0; none: one is made.
    pub source: Option<ExistingKey>,
}

/// A HYOK key with its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backed {
    /// The key store it is in.
    pub key_store: KeyStoreEntry,
    /// The key.
    pub key: HyokKeyEntry,
    /// The virtual key behind it.
    pub virtual_key: VirtualKeyEntry,
}

impl Core {
    /// Creates a HYOK key on a source key of the store's tier, which a connected data plane makes or looks at.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound` for the store, `Exists` for the external id, `Invalid` for a source key that will not do, and those of
    /// making one.
    pub async fn create_hyok_key(&self, permit: &Permit<Manage>, new: NewHyokKey) -> Result<Backed, CoreError> {
        let id = KeyId(Uuid::new_v4());
        let external_id = match new.external_id {
            Some(given) => given,
            None => ExternalKeyId::try_from(id.to_string().as_str()).map_err(bad_name("external_key_id"))?,
        };
        let tier = {
            let view = self.view().await?;
            unique(&view, new.store, &external_id)?;
            key_stores::found(&view, new.store)?.tier
        };
        let source = match &new.source {
            Some(existing) => self.existing_source_key(permit, &tier, ("source_key", existing)).await?,
            None => {
                let source = NewSourceKey { name: format!("of {external_id}"), tier, usage: KeyUsage::BOTH, unexportable: true };
                self.make_source_key(permit, Uuid::new_v4(), source).await?
            }
        };
        let made = Made { id, virtual_key: Uuid::new_v4(), tag: tag()?, now_ns: now_ns() };
        let new = NewHyokKey { external_id: None, ..new };
        let plan = |view: &View| {
            key_stores::found(view, new.store)?;
            unique(view, new.store, &external_id)?;
            source_keys::unused_for_health(view, source.id)?;
            let entries = entries(&new, external_id.clone(), (made, source_keys::entry(view, &source)?));
            Ok(Plan { changes: entries.into_iter().map(EntryChange::Put).collect(), answer: () })
        };
        self.writer.change(permit.trail(), plan).await?;
        backed(&self.view().await?, id)
    }

    /// The HYOK keys of a key store, with their versions.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn hyok_keys(&self, _permit: &Permit<Read>, store: StoreId) -> Result<Vec<Backed>, CoreError> {
        let view = self.view().await?;
        let key_store = key_stores::found(&view, store)?;
        view.hyok_keys(store)?.into_iter().map(|key| with_virtual_key(&view, key_store.clone(), key)).collect()
    }

    /// One HYOK key, with its versions.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn hyok_key(&self, _permit: &Permit<Read>, id: KeyId) -> Result<Backed, CoreError> {
        backed(&self.view().await?, id)
    }

    /// Refuses Encrypt and Decrypt with a key from now on, or no longer. Doing it twice is no error.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn set_hyok_key_blocked(&self, permit: &Permit<Use>, id: KeyId, blocked: bool) -> Result<Applied<Backed>, CoreError> {
        let plan = |view: &View| {
            let mut backed = backed(view, id)?;
            if backed.key.blocked == blocked {
                return Ok(Plan { changes: Vec::new(), answer: backed });
            }
            backed.key.blocked = blocked;
            backed.key.stamps = backed.key.stamps.touched(now_ns());
            Ok(Plan { changes: vec![EntryChange::Put(Entry::HyokKey(backed.key.clone()))], answer: backed })
        };
        let (backed, revision) = self.writer.change(permit.trail(), plan).await?;
        Ok(self.applied(backed, revision).await)
    }
}

/// Ids and draws of a key that is being made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) id: KeyId,
    pub(super) virtual_key: Uuid,
    pub(super) tag: [u8; 4],
    pub(super) now_ns: u64,
}

/// All entries of a new HYOK key on a source key.
pub(super) fn entries(new: &NewHyokKey, external_id: ExternalKeyId, made: (Made, SourceKeyEntry)) -> Vec<Entry> {
    let (made, source) = made;
    let stamps = Stamps::new(made.now_ns);
    let place = KeyPlaceEntry { key: made.id, store: new.store };
    let index = ExternalIdEntry { store: new.store, external_id: external_id.clone(), key: made.id };
    let versions = with_version(&[], NewVersion { source: source.id, tag: made.tag, now_ns: made.now_ns });
    let key = HyokKeyEntry {
        id: made.id,
        store: new.store,
        external_id,
        name: new.name.clone(),
        blocked: false,
        virtual_key: made.virtual_key,
        legacy: new.legacy,
        stamps,
    };
    let virtual_key = VirtualKeyEntry { id: made.virtual_key, silent: true, backs: Some(place), versions, stamps };
    vec![Entry::HyokKey(key), Entry::KeyPlace(place), Entry::ExternalId(index), Entry::VirtualKey(virtual_key), Entry::SourceKey(source)]
}

/// The key with its store and versions, or that there is none.
pub(super) fn backed(view: &View, id: KeyId) -> Result<Backed, CoreError> {
    let key = view.find_hyok_key(id)?.ok_or(CoreError::NotFound("key"))?;
    let key_store = key_stores::found(view, key.store)?;
    with_virtual_key(view, key_store, key)
}

fn with_virtual_key(view: &View, key_store: KeyStoreEntry, key: HyokKeyEntry) -> Result<Backed, CoreError> {
    let virtual_key = view.virtual_key(key.virtual_key)?.ok_or(CoreError::NotFound("virtual key"))?;
    Ok(Backed { key_store, key, virtual_key })
}

fn unique(view: &View, store: StoreId, external_id: &ExternalKeyId) -> Result<(), CoreError> {
    if view.key_of_external_id(store, external_id)?.is_some() {
        return Err(CoreError::Exists { what: "external key id", name: external_id.to_string() });
    }
    Ok(())
}
