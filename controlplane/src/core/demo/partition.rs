//! Demo key stores on partition groups, one each: made of two keys that are on the group already, as soon as a data plane serves it.
//!
//! Always holds: a group's demo is the key store of its name and tier; it is committed at once with its credential and its key, or not.

use std::time::Duration;

use holdfast_proto::ids::{ExternalKeyId, KeyId, StoreId, UriPath};
use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

use super::{BETWEEN_TRIES, DemoCredential, DemoOptions, MAX_CREDENTIALS, replacing_oldest};
use crate::{
    access::{Manage, Permit, Trail},
    clock::now_ns,
    core::{
        Core, CoreError, bad_name,
        credentials::{NewCredential, sealed},
        draw::{suffix, tag},
        hyok_keys::{Made, NewHyokKey, entries},
        key_stores::{self, KeyStoreOptions, NewKeyStore, Settled},
        source_keys::{self, ExistingKey},
        write::Plan,
    },
    store::{
        View,
        entry::{Entry, EntryChange, HyokKeyEntry, KeyStoreEntry, Stamps, Tier},
    },
};

/// What the demo of a partition group is made of: keys that are on every partition of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDemo {
    /// The group.
    pub group: String,
    /// For health checks.
    pub health: ExistingKey,
    /// What the demo's key encrypts with.
    pub key: ExistingKey,
}

impl Core {
    /// Makes a group's demo, once a connected data plane serves the group; its credential where it was made now, none where it was there.
    ///
    /// # Errors
    /// [`CoreError`]: `Invalid` for a key that will not do; `State` where the demo that is there is on other keys; what kept it from being
    /// made until `limit`.
    pub async fn make_partition_demo(
        &self,
        demo: PartitionDemo,
        options: DemoOptions,
        limit: Duration,
    ) -> Result<Option<DemoCredential>, CoreError> {
        let until = Instant::now() + limit;
        // A demo that is there needs no data plane.
        if self.is_made(&demo).await? {
            return Ok(None);
        }
        loop {
            // Nobody to ask in time: the try says so.
            _ = timeout_at(until, self.publisher.target(&demo.group)).await;
            match self.try_partition_demo(&demo, &options).await {
                Err(error) if error.may_pass() && Instant::now() < until => sleep_until(until.min(Instant::now() + BETWEEN_TRIES)).await,
                made => return made,
            }
        }
    }

    /// A new credential for a group's demo, for someone who lost the secret. Where its store is full, the oldest goes.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn partition_demo_credential(&self, group: &str) -> Result<DemoCredential, CoreError> {
        let (access_key_id, secret) = NewCredential::draw()?;
        let stamps = Stamps::new(now_ns());
        let plan = |view: &View| {
            let (key_store, key) = found(view, group)?;
            let new = NewCredential { access_key_id: access_key_id.clone(), secret: &secret, version: 1, stamps };
            let changes = replacing_oldest(view, key_store.id, sealed(&self.seal, key_store.id, new)?)?;
            Ok(Plan { changes, answer: (key_store, key) })
        };
        let ((KeyStoreEntry { uri_path, region, .. }, key), revision) = self.writer.change(&Trail::system("demo"), plan).await?;
        let made = DemoCredential { uri_path, region, external_id: key.external_id, access_key_id, secret };
        // Whoever gets it uses it at once.
        Ok(self.applied(made, revision).await.value)
    }

    /// Waits until the key of a group's demo can encrypt on all connected nodes; whether it can after `limit`.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn partition_demo_served(&self, group: &str, limit: Duration) -> Result<bool, CoreError> {
        let (_, key) = found(&self.view().await?, group)?;
        Ok(self.publisher.promoted(key.id, limit).await)
    }

    /// Whether the demo is there, on these keys.
    async fn is_made(&self, demo: &PartitionDemo) -> Result<bool, CoreError> {
        let view = self.view().await?;
        let Some(key_store) = key_store(&view, &demo.group)? else { return Ok(false) };
        let key = key_of(&view, &key_store)?;
        let versions = view.virtual_key(key.virtual_key)?.map(|key| key.versions).unwrap_or_default();
        let id = demo.key.entry_id(&demo.group);
        if key_store.health_key == demo.health.entry_id(&demo.group) && versions.iter().any(|version| version.source == id) {
            return Ok(true);
        }
        Err(CoreError::State(format!(
            "the key store {} is on other keys of {} than {} and {}: if the token was made anew, start with another group name or data directory",
            key_store.name, demo.group, demo.health, demo.key
        )))
    }

    async fn try_partition_demo(&self, demo: &PartitionDemo, options: &DemoOptions) -> Result<Option<DemoCredential>, CoreError> {
        let permit = Permit::<Manage>::system("demo");
        let (name, tier) = (name(&demo.group), Tier::Partition(demo.group.clone()));
        key_stores::in_range(&name, &options.region, MAX_CREDENTIALS)?;
        let health = self.existing_source_key(&permit, &tier, ("health key", &demo.health)).await?;
        let source = self.existing_source_key(&permit, &tier, ("demo key", &demo.key)).await?;
        let (store, id) = (StoreId(Uuid::new_v4()), KeyId(Uuid::new_v4()));
        let external_id = ExternalKeyId::try_from(id.to_string().as_str()).map_err(bad_name("external_key_id"))?;
        let path = UriPath::try_from(format!("/demo-{}/kms/xks/v1", suffix()?).as_str()).map_err(bad_name("uri_path"))?;
        let new = NewKeyStore {
            max_credentials: MAX_CREDENTIALS,
            options: KeyStoreOptions { quota: options.quota, ..KeyStoreOptions::default() },
            ..NewKeyStore::plain(name, options.region.clone())
        };
        let settled = Settled { tier, kms: None, partition: None, uri_path: path, health_key: health.id, health_ciphertext: Vec::new() };
        let (created, credential) = self.draft(store, new, settled)?;
        let key_store = &created.key_store;
        let made = Made { id, virtual_key: Uuid::new_v4(), tag: tag()?, now_ns: now_ns() };
        let plan = |view: &View| {
            key_stores::unique(view, &key_store.name, &key_store.uri_path)?;
            let new = NewHyokKey::new(store, key_store.name.clone());
            let mut all = entries(&new, external_id.clone(), (made, source_keys::entry(view, &source)?));
            all.push(Entry::SourceKey(source_keys::entry(view, &health)?));
            all.push(Entry::KeyStore(key_store.clone()));
            all.push(Entry::Credential(credential.clone()));
            Ok(Plan { changes: all.into_iter().map(EntryChange::put).collect(), answer: () })
        };
        self.writer.change(permit.trail(), plan).await?;
        let KeyStoreEntry { uri_path, region, .. } = created.key_store;
        let (access_key_id, secret) = (created.access_key_id, created.secret);
        Ok(Some(DemoCredential { uri_path, region, external_id, access_key_id, secret }))
    }
}

/// Whether a key store is a group's demo.
pub(super) fn is_demo(key_store: &KeyStoreEntry) -> bool {
    match &key_store.tier {
        Tier::Local => false,
        Tier::Partition(group) => key_store.name == name(group),
    }
}

/// A group's demo and its key.
fn found(view: &View, group: &str) -> Result<(KeyStoreEntry, HyokKeyEntry), CoreError> {
    let key_store = key_store(view, group)?.ok_or(CoreError::NotFound("demo"))?;
    let key = key_of(view, &key_store)?;
    Ok((key_store, key))
}

/// The key that the demo was made with; admins may have added others.
fn key_of(view: &View, demo: &KeyStoreEntry) -> Result<HyokKeyEntry, CoreError> {
    let named = view.hyok_keys(demo.id)?.into_iter().filter(|key| key.name == demo.name);
    named.min_by_key(|key| key.stamps.created_ns).ok_or(CoreError::NotFound("demo key"))
}

fn key_store(view: &View, group: &str) -> Result<Option<KeyStoreEntry>, CoreError> {
    let tier = Tier::Partition(group.into());
    Ok(view.key_stores()?.into_iter().find(|key_store| key_store.tier == tier && is_demo(key_store)))
}

fn name(group: &str) -> String {
    format!("{}-{group}", super::NAME)
}
