//! Typed reads of one revision of a store.

use std::sync::Arc;

use holdfast_proto::ids::{CredentialId, ExternalKeyId, KeyId, Revision, StoreId};
use tokio::sync::OwnedRwLockReadGuard;
use uuid::Uuid;

use super::{
    ReadError, Store, Within,
    entry::{
        CountEntry, CredentialEntry, DemoEntry, Entry, EntryName, HyokKeyEntry, KeyStoreEntry, NodeEntry, NodeSeenEntry, SourceKeyEntry,
        UserEntry, VirtualKeyEntry,
    },
};
use crate::names::{NodeName, UserName};

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

    /// All key stores.
    ///
    /// # Errors
    /// [`ReadError`], as for all reads here.
    pub fn key_stores(&self) -> Result<Vec<KeyStoreEntry>, ReadError> {
        self.all(Within::KeyStores, key_store)
    }

    /// One key store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn key_store(&self, id: StoreId) -> Result<Option<KeyStoreEntry>, ReadError> {
        self.one(&EntryName::KeyStore(id), key_store)
    }

    /// The credentials of a key store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credentials(&self, store: StoreId) -> Result<Vec<CredentialEntry>, ReadError> {
        self.all(Within::Credentials(store), credential)
    }

    /// One credential.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credential(&self, store: StoreId, id: CredentialId) -> Result<Option<CredentialEntry>, ReadError> {
        self.one(&EntryName::Credential(store, id), credential)
    }

    /// The HYOK keys of a key store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hyok_keys(&self, store: StoreId) -> Result<Vec<HyokKeyEntry>, ReadError> {
        self.all(Within::HyokKeys(store), hyok_key)
    }

    /// One HYOK key of a key store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hyok_key(&self, store: StoreId, id: KeyId) -> Result<Option<HyokKeyEntry>, ReadError> {
        self.one(&EntryName::HyokKey(store, id), hyok_key)
    }

    /// A HYOK key, wherever it is.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn find_hyok_key(&self, id: KeyId) -> Result<Option<HyokKeyEntry>, ReadError> {
        match self.store.read(&EntryName::KeyPlace(id))? {
            Some(Entry::KeyPlace(place)) => self.hyok_key(place.store, id),
            Some(_) | None => Ok(None),
        }
    }

    /// The HYOK key of a key store that has an external id.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn key_of_external_id(&self, store: StoreId, external_id: &ExternalKeyId) -> Result<Option<KeyId>, ReadError> {
        match self.store.read(&EntryName::ExternalId(store, external_id.clone()))? {
            Some(Entry::ExternalId(index)) => Ok(Some(index.key)),
            Some(_) | None => Ok(None),
        }
    }

    /// A virtual key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn virtual_key(&self, id: Uuid) -> Result<Option<VirtualKeyEntry>, ReadError> {
        self.one(&EntryName::VirtualKey(id), virtual_key)
    }

    /// All virtual keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn virtual_keys(&self) -> Result<Vec<VirtualKeyEntry>, ReadError> {
        self.all(Within::VirtualKeys, virtual_key)
    }

    /// A source key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn source_key(&self, id: Uuid) -> Result<Option<SourceKeyEntry>, ReadError> {
        self.one(&EntryName::SourceKey(id), source_key)
    }

    /// All source keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn source_keys(&self) -> Result<Vec<SourceKeyEntry>, ReadError> {
        self.all(Within::SourceKeys, source_key)
    }

    /// A node; its entry stays when it is forgotten.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn node(&self, name: &NodeName) -> Result<Option<NodeEntry>, ReadError> {
        self.one(&EntryName::Node(name.clone()), node)
    }

    /// All nodes, forgotten ones too.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn nodes(&self) -> Result<Vec<NodeEntry>, ReadError> {
        self.all(Within::Nodes, node)
    }

    /// What nodes last told before the control plane was started.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn nodes_seen(&self) -> Result<Vec<NodeSeenEntry>, ReadError> {
        self.all(Within::NodesSeen, node_seen)
    }

    /// All encryption counts noted.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn counts(&self) -> Result<Vec<CountEntry>, ReadError> {
        self.all(Within::Counts, count)
    }

    /// The encryption counts noted of one key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn counts_of(&self, key: KeyId) -> Result<Vec<CountEntry>, ReadError> {
        self.all(Within::CountsOf(key), count)
    }

    /// A user.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn user(&self, name: &UserName) -> Result<Option<UserEntry>, ReadError> {
        self.one(&EntryName::User(name.clone()), user)
    }

    /// All users.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn users(&self) -> Result<Vec<UserEntry>, ReadError> {
        self.all(Within::Users, user)
    }

    /// What `init --demo` promised, if it was given.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn demo(&self) -> Result<Option<DemoEntry>, ReadError> {
        self.one(&EntryName::Demo, demo)
    }

    fn one<T>(&self, name: &EntryName, pick: fn(Entry) -> Option<T>) -> Result<Option<T>, ReadError> {
        Ok(self.store.read(name)?.and_then(pick))
    }

    fn all<T>(&self, within: Within, pick: fn(Entry) -> Option<T>) -> Result<Vec<T>, ReadError> {
        Ok(self.store.scan(within)?.into_iter().filter_map(pick).collect())
    }
}

fn key_store(entry: Entry) -> Option<KeyStoreEntry> {
    if let Entry::KeyStore(e) = entry { Some(e) } else { None }
}

fn credential(entry: Entry) -> Option<CredentialEntry> {
    if let Entry::Credential(e) = entry { Some(e) } else { None }
}

fn hyok_key(entry: Entry) -> Option<HyokKeyEntry> {
    if let Entry::HyokKey(e) = entry { Some(e) } else { None }
}

fn virtual_key(entry: Entry) -> Option<VirtualKeyEntry> {
    if let Entry::VirtualKey(e) = entry { Some(e) } else { None }
}

fn source_key(entry: Entry) -> Option<SourceKeyEntry> {
    if let Entry::SourceKey(e) = entry { Some(e) } else { None }
}

fn node(entry: Entry) -> Option<NodeEntry> {
    if let Entry::Node(e) = entry { Some(e) } else { None }
}

fn node_seen(entry: Entry) -> Option<NodeSeenEntry> {
    if let Entry::NodeSeen(e) = entry { Some(e) } else { None }
}

fn count(entry: Entry) -> Option<CountEntry> {
    if let Entry::Count(e) = entry { Some(e) } else { None }
}

fn user(entry: Entry) -> Option<UserEntry> {
    if let Entry::User(e) = entry { Some(e) } else { None }
}

fn demo(entry: Entry) -> Option<DemoEntry> {
    if let Entry::Demo(e) = entry { Some(*e) } else { None }
}
