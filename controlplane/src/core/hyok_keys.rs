//! HYOK keys: what AWS sees. Each is backed by exactly one virtual key; tier `local` gets a silent one.
//!
//! Always holds: a key's place and the index of its external id come and go with it, in one commit; so do a silent virtual key and the
//! local source keys that were made for that alone.

mod backing;
mod delete;

use std::sync::Arc;

use holdfast_proto::ids::{ExternalKeyId, KeyId, StoreId};
use uuid::Uuid;

pub use self::backing::SourceOf;
pub(super) use self::{
    backing::{Made, entries},
    delete::ended,
};
pub use super::state::Link;
use super::{
    APPLIED_WITHIN, Applied, Core, CoreError, aws_keys, bad_name,
    draw::tag,
    key_stores,
    state::{KeyCommand, hyok_key, new_hyok_key},
    virtual_keys::{self, VirtualKey, on_tier},
    write::Plan,
};
use crate::{
    access::{Manage, Permit, Read, Use},
    clock::now_ns,
    store::{
        ReadError, View,
        entry::{Entry, EntryChange, ForAws, HyokKeyEntry, KeyPolicy, KeyStep, KeyStoreEntry, KmsContainerEntry, LegacyEntry},
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
    /// Begins blocked.
    pub blocked: bool,
    /// Whether it is to be made in AWS KMS as well.
    pub link: Link,
    /// What it is to be made on.
    pub source: SourceOf,
    /// The tier that this is said to be on, as it was spelt.
    pub tier_as_sent: Option<String>,
    /// What AWS is to be told of it once it is linked.
    pub for_aws: ForAws,
    /// The policy template (id or name) for that; none: what `for_aws` says.
    pub template: Option<String>,
}

/// A HYOK key with all that is shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backed {
    /// The key store it is in.
    pub key_store: Arc<KeyStoreEntry>,
    /// The KMS container of that, if it names one.
    pub kms: Option<Arc<KmsContainerEntry>>,
    /// The key.
    pub key: HyokKeyEntry,
    /// The virtual key behind it, with its versions.
    pub virtual_key: VirtualKey,
    /// Whether AWS has it, or may have.
    pub link: Link,
}

/// A HYOK key and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The key store it is in.
    pub key_store: Arc<KeyStoreEntry>,
    /// The KMS container of that, if it names one.
    pub kms: Option<Arc<KmsContainerEntry>>,
    /// The key.
    pub key: HyokKeyEntry,
}

impl NewHyokKey {
    /// A key of a name, on a new source key, of which nothing else was said.
    #[must_use]
    pub fn new(store: StoreId, name: String) -> Self {
        Self {
            store,
            name,
            external_id: None,
            legacy: None,
            blocked: false,
            link: Link::Unlinked,
            source: SourceOf::New,
            tier_as_sent: None,
            for_aws: ForAws::default(),
            template: None,
        }
    }
}

impl Core {
    /// Creates a HYOK key on a virtual key, or on a source key of the store's tier, which a connected data plane makes or looks at.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound` for the store or what it is to be made on, `Exists` for the external id, `Invalid` for a source key that
    /// will not do, `State` for a virtual key that backs another, and those of asking a data plane.
    pub async fn create_hyok_key(&self, permit: &Permit<Manage>, mut new: NewHyokKey) -> Result<Backed, CoreError> {
        let id = KeyId(Uuid::new_v4());
        in_range(&new)?;
        let external_id = match &new.external_id {
            Some(given) => given.clone(),
            None => ExternalKeyId::try_from(id.to_string().as_str()).map_err(bad_name("external_key_id"))?,
        };
        // Before a key is made in vain, and again at the commit.
        let (key_store, chosen) = {
            let view = self.view().await?;
            let key_store = possible(&view, &new, &external_id)?;
            on_tier(&key_store.tier, new.tier_as_sent.as_deref())?;
            new.for_aws = aws_keys::settled(&view, new.for_aws, new.template.as_deref())?;
            let chosen = backing::chosen(&view, &key_store.tier, &new.source)?;
            (key_store, chosen)
        };
        let counterpart = match new.link {
            Link::Linked => Some(aws_keys::counterpart(&key_store, id, (new.for_aws.clone(), KeyStep::Create))?),
            Link::Unlinked => None,
        };
        let turn = self.keys_at_work.turn(id.0).await;
        if let Some(counterpart) = &counterpart {
            self.alias_is_free(counterpart).await?;
        }
        let made = Made { id, virtual_key: Uuid::new_v4(), tag: tag()?, now_ns: now_ns() };
        let source = match chosen {
            Some(_) => None,
            None => {
                let named = (made.virtual_key, format!("of {external_id}"));
                Some(self.source_for(permit, (&key_store.tier, &new.source), named).await?)
            }
        };
        let plan = |view: &View| {
            possible(view, &new, &external_id)?;
            let entries = match (&chosen, &source) {
                (Some(virtual_key), _) => backing::on_virtual_key(view, &new, (external_id.clone(), made, virtual_key.id))?,
                (None, Some(source)) => entries(&new, external_id.clone(), (made, source.settled(view)?)),
                (None, None) => return Err(CoreError::NotFound("source key")),
            };
            let in_aws = counterpart.iter().map(|entry| Entry::AwsKey(Box::new(entry.clone())));
            Ok(Plan { changes: entries.into_iter().chain(in_aws).map(EntryChange::put).collect(), answer: () })
        };
        self.writer.change(permit.trail(), plan).await?;
        // So that KMS may use the key as soon as its id is told. Where a node is gone, its first version waits, but not who asked.
        if self.publisher.nodes().iter().any(|node| node.connected) {
            self.publisher.promoted(id, APPLIED_WITHIN).await;
        }
        match counterpart {
            Some(_) => self.make_in_aws(permit.trail(), id.0, turn).await.map(drop)?,
            None => turn.done(),
        }
        backed(&self.view().await?, id)
    }

    /// The HYOK keys, of one key store (id or name) or of all, that `choose` takes, in its order, with what else it gives.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] for the key store.
    pub async fn hyok_keys<T: Send>(
        &self,
        _permit: &Permit<Read>,
        store: Option<&str>,
        choose: impl FnOnce(Vec<Placed>) -> (Vec<Placed>, T) + Send,
    ) -> Result<(Vec<Backed>, T), CoreError> {
        let view = self.view().await?;
        let key_stores = match store {
            Some(store) => vec![key_stores::find(&view, store)?],
            None => view.key_stores()?,
        };
        let mut all = Vec::new();
        for key_store in key_stores {
            let (key_store, kms) = shared(&view, key_store)?;
            let keys = view.hyok_keys(key_store.id)?;
            all.extend(keys.into_iter().map(|key| Placed { key_store: Arc::clone(&key_store), kms: kms.clone(), key }));
        }
        let (chosen, more) = choose(all);
        let chosen = chosen.into_iter().map(|placed| with_virtual_key(&view, placed)).collect::<Result<_, _>>()?;
        Ok((chosen, more))
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
        let command = if blocked { KeyCommand::Block } else { KeyCommand::Unblock };
        let plan = |view: &View| {
            let mut backed = backed(view, id)?;
            hyok_key(backed.link(), command).map_err(|why| CoreError::State(why.into()))?;
            if backed.key.blocked == blocked {
                return Ok(Plan { changes: Vec::new(), answer: backed });
            }
            backed.key.blocked = blocked;
            backed.key.stamps = backed.key.stamps.touched(now_ns());
            Ok(Plan { changes: vec![EntryChange::put(Entry::HyokKey(backed.key.clone()))], answer: backed })
        };
        let (backed, revision) = self.writer.change(permit.trail(), plan).await?;
        Ok(self.applied(backed, revision).await)
    }
}

impl Backed {
    /// Whether AWS has it, or may have: one that is being linked counts as linked, one that AWS has deleted does not.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.link
    }
}

/// The key with its store and versions, or that there is none.
pub(super) fn backed(view: &View, id: KeyId) -> Result<Backed, CoreError> {
    let key = view.find_hyok_key(id)?.ok_or(CoreError::NotFound("key"))?;
    let (key_store, kms) = shared(view, key_stores::found(view, key.store)?)?;
    with_virtual_key(view, Placed { key_store, kms, key })
}

/// Whether someone chose the id by which AWS knows a key.
pub(super) fn is_named(view: &View, id: KeyId) -> Result<bool, ReadError> {
    Ok(view.find_hyok_key(id)?.is_some_and(|key| key.external_id.to_string() != id.to_string()))
}

/// The key with its versions.
pub(super) fn with_virtual_key(view: &View, Placed { key_store, kms, key }: Placed) -> Result<Backed, CoreError> {
    let virtual_key = view.virtual_key(key.virtual_key)?.ok_or(CoreError::NotFound("virtual key"))?;
    let link = match view.aws_key(key.id.0)? {
        Some(aws) if !aws.gone => Link::Linked,
        Some(_) | None => Link::Unlinked,
    };
    Ok(Backed { key_store, kms, key, virtual_key: virtual_keys::with_sources(view, virtual_key)?, link })
}

/// A key store and its container, for all keys in it.
pub(super) fn shared(view: &View, key_store: KeyStoreEntry) -> Result<(Arc<KeyStoreEntry>, Option<Arc<KmsContainerEntry>>), CoreError> {
    let kms = key_store.kms.map(|id| view.kms_container(id)).transpose()?.flatten();
    Ok((Arc::new(key_store), kms.map(Arc::new)))
}

/// The store of a key that may be made.
fn possible(view: &View, new: &NewHyokKey, external_id: &ExternalKeyId) -> Result<KeyStoreEntry, CoreError> {
    let key_store = key_stores::found(view, new.store)?;
    let linked = view.aws_key_store(new.store.0)?.is_some_and(|store| !store.gone && store.custom_key_store_id.is_some());
    let store = if linked { Link::Linked } else { Link::Unlinked };
    new_hyok_key(store, new.link).map_err(|why| CoreError::Invalid { field: "linked_state", detail: why.into() })?;
    if new.link == Link::Linked {
        aws_keys::connected(view, new.store)?;
    }
    if view.key_of_external_id(new.store, external_id)?.is_some() {
        return Err(CoreError::Exists { what: "external key id", name: external_id.to_string() });
    }
    if let KeyPolicy::Template(template) = new.for_aws.policy {
        view.policy_template(template)?.ok_or(CoreError::NotFound("policy template"))?;
    }
    Ok(key_store)
}

/// Refuses what can't be a name.
fn in_range(new: &NewHyokKey) -> Result<(), CoreError> {
    if new.name.chars().count() > 256 {
        return Err(CoreError::invalid("name", "must have at most 256 characters"));
    }
    Ok(())
}
