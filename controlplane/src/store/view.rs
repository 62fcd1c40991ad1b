//! Typed reads of one revision of a store: here what is published and what nodes told of it.

mod in_aws;
mod people;
mod records;

use std::sync::Arc;

use holdfast_proto::ids::{CredentialId, ExternalKeyId, KeyId, Revision, StoreId};
use tokio::sync::OwnedRwLockReadGuard;
use uuid::Uuid;

use super::{
    RawEntry, ReadError, Store, Within,
    entry::{
        CountEntry, CredentialEntry, CredentialUsedEntry, DemoEntry, Entry, EntryName, ExternalIdEntry, HyokKeyEntry, KeyPlaceEntry,
        KeyStoreEntry, NodeEntry, NodeSeenEntry, Pick, SourceKeyEntry, VirtualKeyEntry,
    },
};
use crate::names::NodeName;

/// A store at one revision: nothing is committed while this lives, so keep it short. Reads may wait for the disk; read much of it off the
/// request path.
pub struct View {
    store: Arc<dyn Store>,
    revision: Revision,
    _held: OwnedRwLockReadGuard<()>,
}

impl View {
    /// Waits for a write that is under way, then holds the store as it stands.
    ///
    /// # Errors
    /// [`ReadError::Broken`] after a failed write.
    pub async fn of(store: &Arc<dyn Store>) -> Result<Self, ReadError> {
        let held = store.head().hold().await;
        store.head().sound()?;
        Ok(Self { revision: store.head().revision(), store: Arc::clone(store), _held: held })
    }

    /// What the reads are of; what a commit built on them expects.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Any entry.
    ///
    /// # Errors
    /// [`ReadError`], as for all reads here.
    pub fn entry(&self, name: &EntryName) -> Result<Option<Entry>, ReadError> {
        self.store.read(name)
    }

    /// Everything as it lies in the store. It is held meanwhile: a fraction of a second for 10,000 keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(crate) fn copy(&self) -> Result<Vec<RawEntry>, ReadError> {
        self.store.copy()
    }

    /// All key stores.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn key_stores(&self) -> Result<Vec<KeyStoreEntry>, ReadError> {
        self.all(Within::KeyStores)
    }

    /// One key store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn key_store(&self, id: StoreId) -> Result<Option<KeyStoreEntry>, ReadError> {
        self.one(&EntryName::KeyStore(id))
    }

    /// The credentials of a key store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credentials(&self, store: StoreId) -> Result<Vec<CredentialEntry>, ReadError> {
        self.all(Within::Credentials(store))
    }

    /// One credential.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credential(&self, store: StoreId, id: CredentialId) -> Result<Option<CredentialEntry>, ReadError> {
        self.one(&EntryName::Credential(store, id))
    }

    /// The HYOK keys of a key store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hyok_keys(&self, store: StoreId) -> Result<Vec<HyokKeyEntry>, ReadError> {
        self.all(Within::HyokKeys(store))
    }

    /// One HYOK key of a key store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hyok_key(&self, store: StoreId, id: KeyId) -> Result<Option<HyokKeyEntry>, ReadError> {
        self.one(&EntryName::HyokKey(store, id))
    }

    /// A HYOK key, wherever it is.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn find_hyok_key(&self, id: KeyId) -> Result<Option<HyokKeyEntry>, ReadError> {
        match self.one::<KeyPlaceEntry>(&EntryName::KeyPlace(id))? {
            Some(place) => self.hyok_key(place.store, id),
            None => Ok(None),
        }
    }

    /// The HYOK key of a key store that has an external id.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn key_of_external_id(&self, store: StoreId, external_id: &ExternalKeyId) -> Result<Option<KeyId>, ReadError> {
        Ok(self.one::<ExternalIdEntry>(&EntryName::ExternalId(store, external_id.clone()))?.map(|index| index.key))
    }

    /// A virtual key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn virtual_key(&self, id: Uuid) -> Result<Option<VirtualKeyEntry>, ReadError> {
        self.one(&EntryName::VirtualKey(id))
    }

    /// All virtual keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn virtual_keys(&self) -> Result<Vec<VirtualKeyEntry>, ReadError> {
        self.all(Within::VirtualKeys)
    }

    /// A source key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn source_key(&self, id: Uuid) -> Result<Option<SourceKeyEntry>, ReadError> {
        self.one(&EntryName::SourceKey(id))
    }

    /// All source keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn source_keys(&self) -> Result<Vec<SourceKeyEntry>, ReadError> {
        self.all(Within::SourceKeys)
    }

    /// A node; its entry stays when it is forgotten.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn node(&self, name: &NodeName) -> Result<Option<NodeEntry>, ReadError> {
        self.one(&EntryName::Node(name.clone()))
    }

    /// All nodes, forgotten ones too.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn nodes(&self) -> Result<Vec<NodeEntry>, ReadError> {
        self.all(Within::Nodes)
    }

    /// What nodes last told before the control plane was started.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn nodes_seen(&self) -> Result<Vec<NodeSeenEntry>, ReadError> {
        self.all(Within::NodesSeen)
    }

    /// All encryption counts noted.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn counts(&self) -> Result<Vec<CountEntry>, ReadError> {
        self.all(Within::Counts)
    }

    /// The encryption counts noted of one key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn counts_of(&self, key: KeyId) -> Result<Vec<CountEntry>, ReadError> {
        self.all(Within::CountsOf(key))
    }

    /// What `init --demo` promised, if it was given.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn demo(&self) -> Result<Option<DemoEntry>, ReadError> {
        self.one(&EntryName::Demo)
    }

    /// When the credentials of a key store were last used.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credentials_used(&self, store: StoreId) -> Result<Vec<CredentialUsedEntry>, ReadError> {
        self.all(Within::CredentialsUsed(store))
    }

    fn one<T: Pick>(&self, name: &EntryName) -> Result<Option<T>, ReadError> {
        Ok(self.store.read(name)?.and_then(T::pick))
    }

    fn all<T: Pick>(&self, within: Within) -> Result<Vec<T>, ReadError> {
        Ok(self.store.scan(within)?.into_iter().filter_map(T::pick).collect())
    }
}
