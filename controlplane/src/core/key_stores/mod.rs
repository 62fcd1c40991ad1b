//! Key stores.
//!
//! Always holds: names and URI paths are unique; the KMS container of a key store has its region; what `state` refuses is not done.

mod address;
mod create;
mod delete;
mod state;
mod update;

use holdfast_proto::ids::{StoreId, UriPath};
use uuid::Uuid;

pub use self::{
    address::Address,
    create::{CreatedKeyStore, KeyStoreOptions, NewHealthKey, NewKeyStore, NewTier},
    update::{FixedMembers, KeyStorePatch},
};
pub(super) use self::{
    create::Settled,
    state::{NotNow, Operation, Standing, allowed},
};
use super::{Applied, Core, CoreError, draw::now_ns, source_keys::cm_id, write::Plan};
use crate::{
    access::{Permit, Read, Right, Use},
    store::{
        ReadError, View,
        entry::{Entry, EntryChange, KeyStoreEntry, KmsContainerEntry, PartitionEntry, Tier},
    },
};

/// A key store with what it refers to, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStoreDetails {
    /// The key store.
    pub entry: KeyStoreEntry,
    /// Its KMS container.
    pub kms: Option<KmsContainerEntry>,
    /// The partition by which its tier was named.
    pub partition: Option<PartitionEntry>,
}

impl Core {
    /// All key stores.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn key_stores(&self, _permit: &Permit<Read>) -> Result<Vec<KeyStoreEntry>, CoreError> {
        Ok(self.view().await?.key_stores()?)
    }

    /// The key store with an id, or else the one with that name.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn find_key_store<R: Right>(&self, _permit: &Permit<R>, wanted: &str) -> Result<KeyStoreEntry, CoreError> {
        find(&self.view().await?, wanted)
    }

    /// The same key stores with what they refer to.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn described<R: Right>(&self, _permit: &Permit<R>, entries: Vec<KeyStoreEntry>) -> Result<Vec<KeyStoreDetails>, CoreError> {
        let view = self.view().await?;
        let (containers, partitions) = (view.kms_containers()?, view.partitions()?);
        let details = entries.into_iter().map(|entry| KeyStoreDetails {
            kms: containers.iter().find(|kms| Some(kms.id) == entry.kms).cloned(),
            partition: partitions.iter().find(|partition| Some(partition.id) == entry.partition).cloned(),
            entry,
        });
        Ok(details.collect())
    }

    /// Refuses Encrypt and Decrypt on a key store from now on, or no longer. Doing it twice is no error.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn set_key_store_blocked(
        &self,
        permit: &Permit<Use>,
        id: StoreId,
        blocked: bool,
    ) -> Result<Applied<KeyStoreEntry>, CoreError> {
        let operation = if blocked { Operation::Block } else { Operation::Unblock };
        let plan = |view: &View| {
            let mut key_store = found(view, id)?;
            allowed(operation, standing(view, &key_store)?)?;
            if key_store.blocked == blocked {
                return Ok(Plan { changes: Vec::new(), answer: key_store });
            }
            key_store.blocked = blocked;
            key_store.stamps = key_store.stamps.touched(now_ns());
            Ok(Plan { changes: vec![EntryChange::put(Entry::KeyStore(key_store.clone()))], answer: key_store })
        };
        let (key_store, revision) = self.writer.change(permit.trail(), plan).await?;
        Ok(self.applied(key_store, revision).await)
    }
}

/// What clients call a key store's health key: as they sent it, or else as the source keys of its tier are called.
#[must_use]
pub fn health_key_id(entry: &KeyStoreEntry) -> String {
    let by_tier = || match entry.tier {
        Tier::Local => cm_id(entry.health_key),
        Tier::Partition(_) => entry.health_key.to_string(),
    };
    entry.sent.health_key.clone().unwrap_or_else(by_tier)
}

/// The key store, or that there is none.
pub(super) fn found(view: &View, id: StoreId) -> Result<KeyStoreEntry, CoreError> {
    view.key_store(id)?.ok_or(CoreError::NotFound("key store"))
}

/// The key store with an id, or else the one with that name.
pub(super) fn find(view: &View, wanted: &str) -> Result<KeyStoreEntry, CoreError> {
    let by_id = Uuid::try_parse(wanted).ok().map(|id| view.key_store(StoreId(id))).transpose()?.flatten();
    if let Some(found) = by_id {
        return Ok(found);
    }
    view.key_stores()?.into_iter().find(|key_store| key_store.name == wanted).ok_or(CoreError::NotFound("key store"))
}

/// How a key store stands, but for its keys, which only its deletion asks for: there may be many, and a block must not wait for them.
pub(super) fn standing(view: &View, key_store: &KeyStoreEntry) -> Result<Standing, ReadError> {
    Ok(Standing {
        blocked: key_store.blocked,
        keys: 0,
        credentials: view.credentials(key_store.id)?.len(),
        max_credentials: key_store.max_credentials.into(),
    })
}

/// Refuses a name or path that another key store has.
pub(super) fn unique(view: &View, name: &str, uri_path: &UriPath) -> Result<(), CoreError> {
    distinct(view.key_stores()?.iter(), name, uri_path)
}

fn distinct<'a>(mut others: impl Iterator<Item = &'a KeyStoreEntry>, name: &str, uri_path: &UriPath) -> Result<(), CoreError> {
    others.try_for_each(|other| {
        if other.name == name {
            return Err(CoreError::Exists { what: "key store", name: name.into() });
        }
        if other.uri_path == *uri_path {
            return Err(CoreError::Exists { what: "URI path", name: uri_path.to_string() });
        }
        Ok(())
    })
}

/// Refuses what can't be a key store's name, region or number of credentials.
pub(super) fn in_range(name: &str, region: &str, max_credentials: u8) -> Result<(), CoreError> {
    nameable(name)?;
    if region.is_empty() || region.len() > 64 || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(CoreError::invalid("region", "must be an AWS region, such as us-east-1"));
    }
    if !(2..=20).contains(&max_credentials) {
        return Err(CoreError::invalid("max_credentials", "must be 2 to 20"));
    }
    Ok(())
}

fn nameable(name: &str) -> Result<(), CoreError> {
    if name.is_empty() || name.chars().count() > 256 || name.chars().any(char::is_control) {
        return Err(CoreError::invalid("name", "must have 1 to 256 characters, none of them a control character"));
    }
    Ok(())
}

impl From<NotNow> for CoreError {
    fn from(why: NotNow) -> Self {
        Self::State(why.to_string())
    }
}
