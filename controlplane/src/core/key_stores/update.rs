//! Changes of key stores.
//!
//! Always holds: what is not told stays as it is; nothing is unlinked, unblocked or set to zero because a client sends members that it
//! does not mean (the API's contract, §7.4).

use std::{num::NonZeroU32, time::Duration};

use holdfast_proto::{
    ids::{AccessKeyId, StoreId, UriPath},
    secret::Secret,
};

use super::{Address, Operation, allowed, create::source_key, found, free_name, free_path, nameable, standing};
use crate::{
    access::{Manage, Permit},
    clock::now_ns,
    core::{
        Applied, Core, CoreError,
        credentials::{NewCredential, addable, sealed},
        state::tier_fits,
        write::Plan,
    },
    store::{
        View,
        entry::{Entry, EntryChange, KeyStoreEntry, SourceKeyEntry, Stamps},
    },
};

/// What is to change; none: it stays.
#[derive(Clone, Debug, Default)]
pub struct KeyStorePatch {
    /// Unique, 1–256 characters.
    pub name: Option<String>,
    /// Audits successes as well as failures.
    pub success_audit: Option<bool>,
    /// Demands KMS's client certificate.
    pub mtls_enabled: Option<bool>,
    /// Requests per second and node; none within: no limit.
    pub quota: Option<Option<NonZeroU32>>,
    /// Requests in flight per node; none within: the node's default.
    pub in_flight: Option<Option<NonZeroU32>>,
    /// Past this age of a node's snapshot the store refuses; none within: never.
    pub max_snapshot_age: Option<Option<Duration>>,
    /// When unused credentials are deleted; none within: never.
    pub retire_unused_after: Option<Option<Duration>>,
    /// A source key for health checks, by id or name.
    pub health_key: Option<String>,
    /// Where AWS KMS finds it.
    pub address: Address,
    /// Of a proxy that is taken over.
    pub uri_path: Option<UriPath>,
    /// One more credential, of a proxy that is taken over.
    pub credential: Option<(AccessKeyId, Secret)>,
    /// What clients send along and can't change.
    pub fixed: FixedMembers,
}

/// Members that can't be changed: refused unless they are as they are, or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FixedMembers {
    /// The KMS container, by id or name.
    pub kms: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// `EXTERNAL_KEY_STORE`.
    pub store_type: Option<String>,
    /// Live credentials at once.
    pub max_credentials: Option<u64>,
    /// The partition's id.
    pub partition: Option<String>,
    /// In any spelling.
    pub tier: Option<String>,
    /// Blocked, which has an operation of its own.
    pub blocked: bool,
    /// Linked, which has an operation of its own.
    pub linked: bool,
    /// Of CloudHSM key stores, by name.
    pub cloud_hsm: Option<&'static str>,
}

/// A health key that was found fit.
struct NewHealth {
    key: SourceKeyEntry,
    ciphertext: Vec<u8>,
}

impl Core {
    /// Changes what is told and leaves the rest; answers when the data planes have it. Of a linked key store AWS is told first of what
    /// concerns it, and what AWS refuses changes nothing here.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; `Invalid` for a value or for a member that can't be changed; `Exists` for a name, a path or an access key
    /// id; `State` where the key store has all its credentials; those of asking a data plane about a new health key; what AWS refuses.
    pub async fn update_key_store(
        &self,
        permit: &Permit<Manage>,
        id: StoreId,
        patch: KeyStorePatch,
    ) -> Result<Applied<KeyStoreEntry>, CoreError> {
        if let Some(name) = &patch.name {
            nameable(name)?;
        }
        let _turn = self.stores_at_work.turn(id.0).await;
        let health = self.changed_health_key(permit, id, &patch).await?;
        let linked = self.view().await?.aws_key_store(id.0)?.is_some_and(|entry| !entry.gone);
        if linked {
            self.push_update(permit.trail(), &patch, |view| patch.intended(view, id, health.as_ref())).await?;
        }
        // What AWS took is here now, too: against that, the same may make no sense.
        let rest = if linked { patch.without_aws() } else { patch };
        let plan = |view: &View| {
            let (before, mut after) = rest.intended(view, id, health.as_ref())?;
            let mut changes = Vec::new();
            if let Some((access_key_id, secret)) = &rest.credential {
                addable(view, &before, access_key_id)?;
                let (access_key_id, version) = (access_key_id.clone(), before.credential_version);
                let new = NewCredential { access_key_id, secret, version, stamps: Stamps::new(now_ns()) };
                changes.push(EntryChange::put(Entry::Credential(sealed(&self.seal, id, new)?)));
            }
            if after != before || !changes.is_empty() {
                after.stamps = after.stamps.touched(now_ns());
                changes.push(EntryChange::put(Entry::KeyStore(after.clone())));
            }
            Ok(Plan { changes, answer: after })
        };
        let (key_store, revision) = self.writer.change(permit.trail(), plan).await?;
        Ok(self.applied(key_store, revision).await)
    }

    /// The new health key, if it is another one.
    async fn changed_health_key(
        &self,
        permit: &Permit<Manage>,
        id: StoreId,
        patch: &KeyStorePatch,
    ) -> Result<Option<NewHealth>, CoreError> {
        let Some(wanted) = &patch.health_key else { return Ok(None) };
        let (before, key) = {
            let view = self.view().await?;
            (found(&view, id)?, source_key(&view, wanted)?)
        };
        if key.id == before.health_key {
            return Ok(None);
        }
        self.fit_for_health(permit, &before.tier, &key).await?;
        let ciphertext = self.health_ciphertext(permit, &key).await?;
        Ok(Some(NewHealth { key, ciphertext }))
    }
}

impl KeyStorePatch {
    /// What AWS need not be told of.
    fn without_aws(self) -> Self {
        Self { name: None, address: Address::default(), uri_path: None, credential: None, ..self }
    }

    /// The entry as it is and as it is to be, but for its stamps.
    fn intended(&self, view: &View, id: StoreId, health: Option<&NewHealth>) -> Result<(KeyStoreEntry, KeyStoreEntry), CoreError> {
        let before = found(view, id)?;
        allowed(Operation::Update, standing(view, &before)?)?;
        unchanged(view, &before, &self.fixed)?;
        let mut after = self.applied(&before)?;
        free_name(view, &after.name, id.0)?;
        free_path(view, &after.uri_path, id.0)?;
        if let Some(health) = health {
            view.source_key(health.key.id)?.ok_or_else(|| CoreError::invalid(HEALTH_KEY, "there is no such source key"))?;
            after.health_key = health.key.id;
            after.health_ciphertext.clone_from(&health.ciphertext);
        }
        // The same key by another of its names, too: clients want back what they sent.
        if let Some(sent) = &self.health_key {
            after.sent.health_key = Some(sent.clone());
        }
        Ok((before, after))
    }

    /// The entry after this, but for its health key and stamps.
    fn applied(&self, before: &KeyStoreEntry) -> Result<KeyStoreEntry, CoreError> {
        let seconds = |told: Option<Option<Duration>>, now| told.map_or(now, |told| told.map(|time| time.as_secs()));
        let number = |told: Option<Option<NonZeroU32>>, now| told.map_or(now, |told| told.map(NonZeroU32::get));
        Ok(KeyStoreEntry {
            name: self.name.clone().unwrap_or_else(|| before.name.clone()),
            uri_path: self.uri_path.clone().unwrap_or_else(|| before.uri_path.clone()),
            success_audit: self.success_audit.unwrap_or(before.success_audit),
            mtls_enabled: self.mtls_enabled.unwrap_or(before.mtls_enabled),
            quota: number(self.quota, before.quota),
            in_flight: number(self.in_flight, before.in_flight),
            max_snapshot_age_seconds: seconds(self.max_snapshot_age, before.max_snapshot_age_seconds),
            retire_unused_after_seconds: seconds(self.retire_unused_after, before.retire_unused_after_seconds),
            address: self.address.after(&before.address)?,
            ..before.clone()
        })
    }
}

/// Refuses members that can't be changed and differ.
fn unchanged(view: &View, now: &KeyStoreEntry, fixed: &FixedMembers) -> Result<(), CoreError> {
    let kms = now.kms.map(|id| view.kms_container(id)).transpose()?.flatten();
    let is_kms = |told: &String| kms.as_ref().is_some_and(|kms| kms.name == *told || kms.id.to_string() == *told);
    let is_partition = |told: &String| now.partition.is_some_and(|id| id.to_string() == *told);
    let differing = [
        ("kms", fixed.kms.as_ref().is_some_and(|told| !is_kms(told))),
        ("region", fixed.region.as_ref().is_some_and(|told| *told != now.region)),
        ("custom_key_store_type", fixed.store_type.as_ref().is_some_and(|told| told != EXTERNAL)),
        ("max_credentials", fixed.max_credentials.is_some_and(|told| told != u64::from(now.max_credentials))),
        ("partition_id", fixed.partition.as_ref().is_some_and(|told| !is_partition(told))),
        ("source_key_tier", !tier_fits(&now.tier, fixed.tier.as_deref())),
        ("blocked", fixed.blocked && !now.blocked),
    ];
    if let Some((field, _)) = differing.into_iter().find(|(_, differs)| *differs) {
        return Err(CoreError::invalid(field, "can't be changed by an update"));
    }
    if fixed.linked && view.aws_key_store(now.id.0)?.is_none() {
        return Err(CoreError::invalid("linked_state", "can't be changed by an update; link the key store"));
    }
    match fixed.cloud_hsm {
        Some(field) => Err(CoreError::invalid(field, "is of key stores on AWS CloudHSM clusters only")),
        None => Ok(()),
    }
}

const EXTERNAL: &str = "EXTERNAL_KEY_STORE";
const HEALTH_KEY: &str = "health_check_key_id";
