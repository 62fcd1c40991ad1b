//! Key stores.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use holdfast_proto::{
    ids::{AccessKeyId, StoreId, UriPath},
    records::KeyUsage,
    secret::Secret,
};
use uuid::Uuid;

use super::{
    Applied, Core, CoreError, bad_name,
    credentials::{NewCredential, sealed},
    draw::now_ns,
    source_keys::{self, ExistingKey, NewSourceKey},
    write::Plan,
};
use crate::{
    access::{Manage, Permit, Read, Use},
    store::{
        View,
        entry::{CredentialEntry, Entry, EntryChange, KeyStoreEntry, Stamps, Tier},
    },
};

/// A key store that is to be.
#[derive(Clone, Debug)]
pub struct NewKeyStore {
    /// Unique, 1–256 characters.
    pub name: String,
    /// The AWS region that signs its requests.
    pub region: String,
    /// Where its keys live.
    pub tier: Tier,
    /// A key of its partition group for health checks; none: one is made.
    pub health_key: Option<ExistingKey>,
    /// Of a proxy that is taken over; else made of the id.
    pub uri_path: Option<UriPath>,
    /// Of a proxy that is taken over; else drawn.
    pub credential: Option<(AccessKeyId, Secret)>,
    /// Live credentials at once, 2–20.
    pub max_credentials: u8,
    /// Its limits and switches.
    pub options: KeyStoreOptions,
}

/// Limits and switches of a key store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyStoreOptions {
    /// Begins blocked.
    pub blocked: bool,
    /// Demands KMS's client certificate.
    pub mtls_enabled: bool,
    /// Audits successes as well as failures.
    pub success_audit: bool,
    /// Requests per second and node.
    pub quota: Option<NonZeroU32>,
    /// Requests in flight per node; none: the node's default.
    pub in_flight: Option<NonZeroU32>,
    /// Past this age of a node's snapshot the store refuses; none: never.
    pub max_snapshot_age: Option<Duration>,
}

/// A new key store and its first credential, whose secret is shown this once.
#[derive(Clone, Debug)]
pub struct CreatedKeyStore {
    /// The key store.
    pub key_store: KeyStoreEntry,
    /// The public half.
    pub access_key_id: AccessKeyId,
    /// The secret half.
    pub secret: Secret,
}

impl Core {
    /// Creates a key store with one credential and a health key, which a connected data plane makes or looks at.
    ///
    /// # Errors
    /// [`CoreError`]: `Invalid`, also for a health key that will not do; `Exists` for the name or path; `NoNode` where no data plane
    /// serves the tier.
    pub async fn create_key_store(&self, permit: &Permit<Manage>, new: NewKeyStore) -> Result<CreatedKeyStore, CoreError> {
        let id = StoreId(Uuid::new_v4());
        let uri_path = match new.uri_path {
            Some(path) => path,
            None => {
                let path = format!("/api/v1/cckm/aws/xks-proxy-endpoints/{id}/kms/xks/v1");
                UriPath::try_from(path.as_str()).map_err(bad_name("uri_path"))?
            }
        };
        in_range(&new.name, &new.region, new.max_credentials)?;
        // Before a key is made in vain, and again at the commit.
        unique(&self.view().await?, &new.name, &uri_path)?;
        let health = match &new.health_key {
            Some(existing) => self.existing_source_key(permit, &new.tier, ("health_check_key", existing)).await?,
            None => {
                let (name, usage) = (format!("health of {}", new.name), KeyUsage::BOTH);
                let health = NewSourceKey { name, tier: new.tier.clone(), usage, unexportable: true };
                self.make_source_key(permit, Uuid::new_v4(), health).await?
            }
        };
        let (created, credential) = self.draft(id, NewKeyStore { uri_path: None, ..new }, (uri_path, health.id))?;
        let key_store = &created.key_store;
        let plan = |view: &View| {
            unique(view, &key_store.name, &key_store.uri_path)?;
            source_keys::unused_by_customers(view, health.id)?;
            let health = source_keys::entry(view, &health)?;
            let entries = [Entry::SourceKey(health), Entry::KeyStore(key_store.clone()), Entry::Credential(credential.clone())];
            Ok(Plan { changes: entries.map(EntryChange::Put).into(), answer: () })
        };
        self.writer.change(permit.trail(), plan).await?;
        Ok(created)
    }

    /// The entries of a key store whose name and numbers are in range, over a health key.
    pub(super) fn draft(
        &self,
        id: StoreId,
        new: NewKeyStore,
        (uri_path, health_key): (UriPath, Uuid),
    ) -> Result<(CreatedKeyStore, CredentialEntry), CoreError> {
        let (access_key_id, secret) = match new.credential {
            Some(given) => given,
            None => NewCredential::draw()?,
        };
        let stamps = Stamps::new(now_ns());
        let credential = sealed(&self.seal, id, NewCredential { access_key_id: access_key_id.clone(), secret: &secret, stamps })?;
        let key_store = KeyStoreEntry {
            id,
            name: new.name,
            uri_path,
            region: new.region,
            tier: new.tier,
            blocked: new.options.blocked,
            mtls_enabled: new.options.mtls_enabled,
            success_audit: new.options.success_audit,
            quota: new.options.quota.map(NonZeroU32::get),
            in_flight: new.options.in_flight.map(NonZeroU32::get),
            max_snapshot_age_seconds: new.options.max_snapshot_age.map(|age| age.as_secs()),
            max_credentials: new.max_credentials,
            credential_version: 1,
            health_key,
            labels: BTreeMap::new(),
            stamps,
        };
        Ok((CreatedKeyStore { key_store, access_key_id, secret }, credential))
    }

    /// All key stores.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn key_stores(&self, _permit: &Permit<Read>) -> Result<Vec<KeyStoreEntry>, CoreError> {
        Ok(self.view().await?.key_stores()?)
    }

    /// One key store.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn key_store(&self, _permit: &Permit<Read>, id: StoreId) -> Result<KeyStoreEntry, CoreError> {
        found(&self.view().await?, id)
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
        let plan = |view: &View| {
            let mut key_store = found(view, id)?;
            if key_store.blocked == blocked {
                return Ok(Plan { changes: Vec::new(), answer: key_store });
            }
            key_store.blocked = blocked;
            key_store.stamps = key_store.stamps.touched(now_ns());
            Ok(Plan { changes: vec![EntryChange::Put(Entry::KeyStore(key_store.clone()))], answer: key_store })
        };
        let (key_store, revision) = self.writer.change(permit.trail(), plan).await?;
        Ok(self.applied(key_store, revision).await)
    }
}

/// The key store, or that there is none.
pub(super) fn found(view: &View, id: StoreId) -> Result<KeyStoreEntry, CoreError> {
    view.key_store(id)?.ok_or(CoreError::NotFound("key store"))
}

/// Refuses a name or path that another key store has.
pub(super) fn unique(view: &View, name: &str, uri_path: &UriPath) -> Result<(), CoreError> {
    for other in view.key_stores()? {
        if other.name == name {
            return Err(CoreError::Exists { what: "key store", name: name.into() });
        }
        if other.uri_path == *uri_path {
            return Err(CoreError::Exists { what: "URI path", name: uri_path.to_string() });
        }
    }
    Ok(())
}

/// Refuses what can't be a key store's name, region or number of credentials.
pub(super) fn in_range(name: &str, region: &str, max_credentials: u8) -> Result<(), CoreError> {
    let invalid = |field, detail: &str| Err(CoreError::Invalid { field, detail: detail.into() });
    if name.is_empty() || name.chars().count() > 256 {
        return invalid("name", "must have 1 to 256 characters");
    }
    if region.is_empty() || region.len() > 64 || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return invalid("region", "must be an AWS region, such as us-east-1");
    }
    if !(2..=20).contains(&max_credentials) {
        return invalid("max_credentials", "must be 2 to 20");
    }
    Ok(())
}
