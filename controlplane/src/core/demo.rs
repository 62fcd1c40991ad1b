//! The demo key store: promised with all its names when the directory is initialised, made as soon as a data plane is connected.
//!
//! Always holds: the promise names the ids of the key tasks, so that a second try after a crash makes the same keys; the store, its
//! credential and its key are committed at once, together with the note that the promise is kept. Partition groups have demos of their
//! own, which nobody promised: see `partition`.

mod kms;
mod partition;

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use holdfast_proto::{
    ids::{AccessKeyId, ExternalKeyId, KeyId, StoreId, UriPath},
    records::KeyUsage,
    secret::Secret,
};
use uuid::Uuid;

pub use self::{kms::DemoKms, partition::PartitionDemo};
use super::{
    Core, CoreError, bad_name,
    credentials::{NewCredential, sealed},
    draw::{suffix, tag},
    hyok_keys::{Made, NewHyokKey, entries},
    key_stores,
    source_keys::NewSourceKey,
    write::Plan,
};
use crate::{
    access::{Manage, Permit, Trail},
    clock::now_ns,
    store::{
        View,
        entry::{
            AddressEntry, CredentialEntry, DemoEntry, Entry, EntryChange, EntryName, KeyStoreEntry, SentEntry, SourceKeyEntry, Stamps, Tier,
        },
        seal::ControlSeal,
    },
};

/// What a demo is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoOptions {
    /// The AWS region that signs its requests.
    pub region: String,
    /// Requests per second and node; none: no limit.
    pub quota: Option<NonZeroU32>,
}

/// All that a client of the demo needs.
#[derive(Clone, Debug)]
pub struct DemoCredential {
    /// The path, up to and including `/kms/xks/v1`.
    pub uri_path: UriPath,
    /// The region.
    pub region: String,
    /// What AWS would call the key.
    pub external_id: ExternalKeyId,
    /// The public half.
    pub access_key_id: AccessKeyId,
    /// The secret half.
    pub secret: Secret,
}

/// A promise, and what to show of it.
pub(crate) fn promise(seal: &ControlSeal, options: DemoOptions) -> Result<(DemoEntry, DemoCredential), CoreError> {
    key_stores::in_range(NAME, &options.region, MAX_CREDENTIALS)?;
    let store = StoreId(Uuid::new_v4());
    let uri_path = format!("/demo-{}/kms/xks/v1", suffix()?);
    let uri_path = UriPath::try_from(uri_path.as_str()).map_err(bad_name("uri_path"))?;
    let key = KeyId(Uuid::new_v4());
    let external_id = ExternalKeyId::try_from(key.to_string().as_str()).map_err(bad_name("external_key_id"))?;
    let (access_key_id, secret) = NewCredential::draw()?;
    let stamps = Stamps::new(now_ns());
    let credential = sealed(seal, store, NewCredential { access_key_id: access_key_id.clone(), secret: &secret, version: 1, stamps })?;
    let shown = DemoCredential {
        uri_path: uri_path.clone(),
        region: options.region.clone(),
        external_id: external_id.clone(),
        access_key_id,
        secret,
    };
    let entry = DemoEntry {
        store,
        uri_path,
        region: options.region,
        quota: options.quota.map(NonZeroU32::get),
        credential,
        key,
        external_id,
        virtual_key: Uuid::new_v4(),
        health_blob: Uuid::new_v4(),
        key_blob: Uuid::new_v4(),
        fulfilled: false,
    };
    Ok((entry, shown))
}

impl Core {
    /// Makes the demo that was promised, if one was and it isn't there yet.
    ///
    /// # Errors
    /// [`CoreError`], `NoNode` while no data plane is connected: try again then.
    pub async fn fulfil_demo(&self) -> Result<(), CoreError> {
        let Some(demo) = self.view().await?.demo()?.filter(|demo| !demo.fulfilled) else { return Ok(()) };
        let permit = Permit::<Manage>::system("demo");
        let key = |name: &str| NewSourceKey { name: name.into(), tier: Tier::Local, usage: KeyUsage::BOTH, unexportable: true };
        let health = self.make_source_key(&permit, demo.health_blob, key("health of demo")).await?;
        let source = self.make_source_key(&permit, demo.key_blob, key("of demo")).await?;
        let made = Made { id: demo.key, virtual_key: demo.virtual_key, tag: tag()?, now_ns: now_ns() };
        let plan = |view: &View| {
            let Some(demo) = view.demo()?.filter(|demo| !demo.fulfilled) else {
                return Ok(Plan { changes: Vec::new(), answer: () });
            };
            key_stores::unique(view, NAME, &demo.uri_path)?;
            let source = SourceKeyEntry { made_for: Some(made.virtual_key), ..source.clone() };
            let mut all = entries(&NewHyokKey::new(demo.store, NAME.into()), demo.external_id.clone(), (made, source));
            all.push(Entry::SourceKey(health.clone()));
            all.push(Entry::KeyStore(key_store(&demo, made.now_ns)));
            all.push(Entry::Credential(demo.credential.clone()));
            all.push(Entry::Demo(Box::new(DemoEntry { fulfilled: true, ..demo })));
            Ok(Plan { changes: all.into_iter().map(EntryChange::put).collect(), answer: () })
        };
        self.writer.change(permit.trail(), plan).await.map(drop)
    }

    /// A new credential for the demo, for someone who lost the secret. Where its store is full, the oldest goes.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] where no demo was promised, or it was deleted since.
    pub async fn demo_credential(&self) -> Result<DemoCredential, CoreError> {
        let (access_key_id, secret) = NewCredential::draw()?;
        let stamps = Stamps::new(now_ns());
        let plan = |view: &View| {
            let demo = view.demo()?.ok_or(CoreError::NotFound("demo"))?;
            let new = NewCredential { access_key_id: access_key_id.clone(), secret: &secret, version: 1, stamps };
            let credential = sealed(&self.seal, demo.store, new)?;
            let changes = if demo.fulfilled {
                replacing_oldest(view, demo.store, credential)?
            } else {
                vec![EntryChange::put(Entry::Demo(Box::new(DemoEntry { credential, ..demo.clone() })))]
            };
            Ok(Plan { changes, answer: demo })
        };
        let (demo, revision) = self.writer.change(&Trail::system("demo"), plan).await?;
        let made = DemoCredential { uri_path: demo.uri_path, region: demo.region, external_id: demo.external_id, access_key_id, secret };
        // Whoever gets it uses it at once.
        Ok(self.applied(made, revision).await.value)
    }

    /// Sets how many requests per second and node the demo and those of partition groups answer; none: no limit.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] where no demo was promised, or it was deleted since.
    pub async fn set_demo_quota(&self, quota: Option<NonZeroU32>) -> Result<(), CoreError> {
        let quota = quota.map(NonZeroU32::get);
        let plan = |view: &View| {
            let demo = view.demo()?.ok_or(CoreError::NotFound("demo"))?;
            let mut demos: Vec<_> = view.key_stores()?.into_iter().filter(partition::is_demo).collect();
            let mut changes = Vec::new();
            if demo.fulfilled {
                demos.push(key_stores::found(view, demo.store)?);
            } else if demo.quota != quota {
                changes.push(EntryChange::put(Entry::Demo(Box::new(DemoEntry { quota, ..demo }))));
            }
            for mut key_store in demos.into_iter().filter(|demo| demo.quota != quota) {
                key_store.quota = quota;
                key_store.stamps = key_store.stamps.touched(now_ns());
                changes.push(EntryChange::put(Entry::KeyStore(key_store)));
            }
            Ok(Plan { changes, answer: () })
        };
        self.writer.change(&Trail::system("demo"), plan).await.map(drop)
    }

    /// Waits until the demo's key can encrypt on all connected nodes; whether it can after `limit`.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] where no demo was promised.
    pub async fn demo_served(&self, limit: Duration) -> Result<bool, CoreError> {
        let demo = self.view().await?.demo()?.ok_or(CoreError::NotFound("demo"))?;
        Ok(self.publisher.promoted(demo.key, limit).await)
    }

    /// Keeps trying until the demo is made, if one was promised, and says when it serves.
    pub(crate) async fn keep_demo_promise(self: Arc<Self>) {
        loop {
            match self.view().await.and_then(|view| Ok(view.demo()?)) {
                Ok(Some(demo)) if !demo.fulfilled => self.publisher.target("local").await,
                Ok(Some(demo)) => {
                    while !self.publisher.promoted(demo.key, BETWEEN_TRIES).await {}
                    return tracing::info!("the demo key store is ready");
                }
                Ok(None) => return,
                Err(error) => return tracing::error!(error = &error as &dyn std::error::Error, "the demo's promise can't be read"),
            }
            match self.fulfil_demo().await {
                Ok(()) => continue,
                Err(error) if error.may_pass() => {}
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the demo key store can't be made");
                    return;
                }
            }
            // At most so often, should a node keep failing at it.
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    }
}

fn replacing_oldest(view: &View, store: StoreId, mut credential: CredentialEntry) -> Result<Vec<EntryChange>, CoreError> {
    let mut key_store = key_stores::found(view, store)?;
    let mut live = view.credentials(store)?;
    live.sort_by_key(|c| c.stamps.created_ns);
    let surplus = (live.len() + 1).saturating_sub(key_store.max_credentials.into());
    let mut changes: Vec<_> = live.iter().take(surplus).map(|c| EntryChange::Delete(EntryName::Credential(store, c.id))).collect();
    key_store.credential_version += 1;
    credential.version = key_store.credential_version;
    key_store.stamps = key_store.stamps.touched(now_ns());
    changes.extend([Entry::KeyStore(key_store), Entry::Credential(credential)].map(EntryChange::put));
    Ok(changes)
}

fn key_store(demo: &DemoEntry, now_ns: u64) -> KeyStoreEntry {
    KeyStoreEntry {
        id: demo.store,
        name: NAME.into(),
        uri_path: demo.uri_path.clone(),
        region: demo.region.clone(),
        tier: Tier::Local,
        blocked: false,
        mtls_enabled: false,
        success_audit: false,
        quota: demo.quota,
        in_flight: None,
        max_snapshot_age_seconds: None,
        max_credentials: MAX_CREDENTIALS,
        credential_version: 1,
        health_key: demo.health_blob,
        health_ciphertext: Vec::new(),
        kms: None,
        partition: None,
        address: AddressEntry::default(),
        sent: SentEntry::default(),
        retire_unused_after_seconds: None,
        labels: BTreeMap::new(),
        stamps: Stamps::new(now_ns),
    }
}

const BETWEEN_TRIES: Duration = Duration::from_secs(1);
const NAME: &str = "demo";
const MAX_CREDENTIALS: u8 = 20;
