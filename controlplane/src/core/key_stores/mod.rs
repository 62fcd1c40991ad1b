//! Key stores.
//!
//! Always holds: names and URI paths are unique; the KMS container of a key store has its region; what `state` refuses is not done; a key
//! store of which AWS is told by us has an entry among the custom key stores in AWS, under the same id.

mod address;
mod create;
mod delete;
mod details;
mod link;
mod push;
mod state;
mod update;

use std::collections::BTreeSet;

use holdfast_proto::ids::{StoreId, UriPath};
use uuid::Uuid;

pub use self::{
    address::Address,
    create::{CreatedKeyStore, KeyStoreOptions, NewHealthKey, NewKeyStore, NewTier},
    details::{AnyKeyStore, KeyStoreDetails},
    update::{FixedMembers, KeyStorePatch},
};
pub(super) use self::{
    create::{Settled, container},
    delete::without,
    push::{Needs, is_used_by_aws},
    state::{NotNow, Operation, Place, Standing, allowed},
};
use super::{Applied, Core, CoreError, aws_key_stores, source_keys::cm_id, write::Plan};
use crate::{
    access::{Permit, Read, Right, Use},
    clock::now_ns,
    store::{
        ReadError, View,
        entry::{AwsKeyStoreEntry, AwsKeyStoreKind, BeforeEntry, Entry, EntryChange, KeyStoreEntry, Tier},
    },
};

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

/// The key store that is served from here, or that there is none.
pub(super) fn found(view: &View, id: StoreId) -> Result<KeyStoreEntry, CoreError> {
    match (view.key_store(id)?, view.aws_key_store(id.0)?) {
        (Some(found), _) => Ok(found),
        (None, Some(AwsKeyStoreEntry { kind: AwsKeyStoreKind::CloudHsm { .. }, .. })) => Err(NotNow::OnCluster.into()),
        (None, Some(_)) => Err(NotNow::Elsewhere.into()),
        (None, None) => Err(CoreError::NotFound("key store")),
    }
}

/// The key store with an id, or else the one with that name; of one that only AWS has it is told why it can't be used here.
pub(super) fn find(view: &View, wanted: &str) -> Result<KeyStoreEntry, CoreError> {
    let by_id = Uuid::try_parse(wanted).ok().map(|id| view.key_store(StoreId(id))).transpose()?.flatten();
    if let Some(found) = by_id {
        return Ok(found);
    }
    if let Some(named) = view.key_stores()?.into_iter().find(|key_store| key_store.name == wanted) {
        return Ok(named);
    }
    let in_aws = view.aws_key_stores()?.into_iter().find(|entry| entry.name == wanted || entry.id.to_string() == wanted);
    found(view, StoreId(in_aws.ok_or(CoreError::NotFound("key store"))?.id))
}

/// How a key store stands, but for its keys, which only its deletion asks for: there may be many, and a block must not wait for them.
pub(super) fn standing(view: &View, key_store: &KeyStoreEntry) -> Result<Standing, ReadError> {
    Ok(Standing {
        blocked: key_store.blocked,
        keys: 0,
        credentials: view.credentials(key_store.id)?.len(),
        max_credentials: key_store.max_credentials.into(),
        place: view.aws_key_store(key_store.id.0)?.as_ref().map_or(Place::Unlinked, Place::of),
    })
}

/// The same of a custom key store in AWS, be it served from here or not.
pub(super) fn aws_standing(view: &View, entry: &AwsKeyStoreEntry) -> Result<Standing, ReadError> {
    match view.key_store(StoreId(entry.id))? {
        Some(key_store) => standing(view, &key_store),
        None => Ok(Standing { blocked: false, keys: 0, credentials: 0, max_credentials: 0, place: Place::of(entry) }),
    }
}

/// How many keys are in a key store, but for those that AWS has no more.
pub(super) fn keys_in(view: &View, id: StoreId) -> Result<usize, ReadError> {
    let ended: BTreeSet<_> = aws_key_stores::ended_keys(view, id.0)?.into_iter().collect();
    let here: BTreeSet<_> = view.hyok_keys(id)?.into_iter().map(|key| key.id.0).collect();
    let there = view.aws_keys()?.into_iter().filter(|key| aws_key_stores::is_in(key, id.0)).map(|key| key.id);
    let all: BTreeSet<_> = there.chain(here).collect();
    Ok(all.difference(&ended).count())
}

/// Refuses a name that another key store here or on a cluster has, or may get back.
pub(super) fn free_name(view: &View, name: &str, id: Uuid) -> Result<(), CoreError> {
    let here = view.key_stores()?.into_iter().any(|other| other.name == name && other.id.0 != id);
    let on_cluster = |other: &AwsKeyStoreEntry| matches!(other.kind, AwsKeyStoreKind::CloudHsm { .. }) && !other.gone;
    let was = |other: &AwsKeyStoreEntry| match &other.before {
        Some(BeforeEntry::Linked { name: before, .. } | BeforeEntry::CloudHsm { name: before, .. }) => before == name,
        None => false,
    };
    let there = |other: &AwsKeyStoreEntry| other.id != id && (on_cluster(other) && other.name == name || was(other));
    if here || view.aws_key_stores()?.iter().any(there) {
        return Err(CoreError::Exists { what: "key store", name: name.into() });
    }
    Ok(())
}

/// Refuses a name or path that another key store has.
pub(super) fn unique(view: &View, name: &str, uri_path: &UriPath) -> Result<(), CoreError> {
    free_name(view, name, Uuid::nil())?;
    free_path(view, uri_path, Uuid::nil())
}

/// Refuses a path that another key store has, or may get back: where AWS does not take its new one.
fn free_path(view: &View, uri_path: &UriPath, id: Uuid) -> Result<(), CoreError> {
    let here = view.key_stores()?.into_iter().any(|other| other.uri_path == *uri_path && other.id.0 != id);
    let was = |other: &AwsKeyStoreEntry| match &other.before {
        Some(BeforeEntry::Linked { uri_path: before, .. }) => before == uri_path,
        Some(BeforeEntry::CloudHsm { .. }) | None => false,
    };
    if here || view.aws_key_stores()?.iter().any(|other| other.id != id && was(other)) {
        return Err(CoreError::Exists { what: "URI path", name: uri_path.to_string() });
    }
    Ok(())
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

pub(super) fn nameable(name: &str) -> Result<(), CoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        publish::tests::estate::Estate,
        store::entry::{AddressEntry, KeyStoreStep, Stamps},
    };

    #[tokio::test]
    async fn a_name_and_a_path_that_a_key_store_may_get_back_are_free_for_none_but_itself() {
        let estate = Estate::new().await;
        let kind = AwsKeyStoreKind::Linked { credential: None };
        let entry = AwsKeyStoreEntry::new((Uuid::from_u128(1), Uuid::nil()), "us-east-1", ("new".into(), kind), Stamps::default());
        let was = UriPath::try_from("/was/kms/xks/v1").unwrap();
        let before = BeforeEntry::Linked { name: "was".into(), address: AddressEntry::default(), uri_path: was.clone() };
        let begun = AwsKeyStoreEntry { doing: Some(KeyStoreStep::Update), before: Some(before), ..entry.clone() };
        let (own, other) = (entry.id, Uuid::from_u128(2));
        for (entry, held) in [(begun, true), (entry, false)] {
            estate.commit(vec![EntryChange::put(Entry::AwsKeyStore(entry))]).await;
            let view = View::of(&estate.store).await.unwrap();
            assert_eq!((free_name(&view, "was", other).is_err(), free_path(&view, &was, other).is_err()), (held, held));
            assert!(free_name(&view, "was", own).is_ok() && free_path(&view, &was, own).is_ok());
            assert_eq!(unique(&view, "another", &was).is_err(), held);
        }
    }
}
