//! New key stores.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use holdfast_proto::{
    ids::{AccessKeyId, StoreId, UriPath},
    records::KeyUsage,
    secret::Secret,
};
use uuid::Uuid;

use super::{Address, in_range, link::counterpart, unique};
use crate::{
    access::{Manage, Permit},
    clock::now_ns,
    core::{
        Applied, Core, CoreError, bad_name,
        credentials::{NewCredential, sealed},
        kms_containers, partitions,
        source_keys::{self, ExistingKey, NewSourceKey},
        write::Plan,
    },
    store::{
        View,
        entry::{
            AddressEntry, CredentialEntry, Entry, EntryChange, KeyStoreEntry, KeyStoreStep, KmsContainerEntry, PartitionEntry, SentEntry,
            SourceKeyEntry, Stamps, Tier,
        },
    },
};

/// A key store that is to be.
#[derive(Clone, Debug)]
pub struct NewKeyStore {
    /// Unique, 1–256 characters.
    pub name: String,
    /// The AWS region that signs its requests.
    pub region: String,
    /// Its KMS container, by id or name; the region must be one of its.
    pub kms: Option<String>,
    /// Where its keys live.
    pub tier: NewTier,
    /// The tier as a client spelled it, who wants it back so.
    pub tier_as_sent: Option<String>,
    /// Its key for health checks.
    pub health_key: NewHealthKey,
    /// Where AWS KMS finds it.
    pub address: Address,
    /// Of a proxy that is taken over; else made of the id.
    pub uri_path: Option<UriPath>,
    /// Of a proxy that is taken over; else drawn.
    pub credential: Option<(AccessKeyId, Secret)>,
    /// Live credentials at once, 2–20.
    pub max_credentials: u8,
    /// AWS is told of it at once.
    pub linked: bool,
    /// Its limits and switches.
    pub options: KeyStoreOptions,
}

/// Where the keys of a new key store are to live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewTier {
    /// With the data planes, sealed.
    Local,
    /// On a partition group, by its name.
    Group(String),
    /// On the group of a partition that was added, by its id.
    Partition(String),
}

/// The health key of a new key store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewHealthKey {
    /// One is made.
    Made,
    /// One that is on the partition group already.
    OnGroup(ExistingKey),
    /// A source key, by id or name.
    Source(String),
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
    /// A credential that was unused for so long is deleted, unless it is the newest; none: never.
    pub retire_unused_after: Option<Duration>,
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

/// What a key store's references turned out to be.
#[derive(Debug)]
pub(in crate::core) struct Settled {
    pub(in crate::core) tier: Tier,
    pub(in crate::core) kms: Option<Uuid>,
    pub(in crate::core) partition: Option<Uuid>,
    pub(in crate::core) uri_path: UriPath,
    pub(in crate::core) health_key: Uuid,
    pub(in crate::core) health_ciphertext: Vec<u8>,
}

impl NewKeyStore {
    /// One of tier `local` with nothing out of the ordinary.
    #[must_use]
    pub fn plain(name: String, region: String) -> Self {
        Self {
            name,
            region,
            kms: None,
            tier: NewTier::Local,
            tier_as_sent: None,
            health_key: NewHealthKey::Made,
            address: Address::default(),
            uri_path: None,
            credential: None,
            max_credentials: 2,
            linked: false,
            options: KeyStoreOptions::default(),
        }
    }
}

impl Core {
    /// Creates a key store with one credential and a health key, which a connected data plane makes or looks at and then uses. Answers when
    /// the data planes have it; one that is to be linked, when AWS has it, too.
    ///
    /// # Errors
    /// [`CoreError`]: `Invalid`, also for a health key that will not do; `Exists` for the name or path; `NoNode` where no data plane
    /// serves the tier; what AWS refuses, and then nothing is left of it but the health key.
    pub async fn create_key_store(&self, permit: &Permit<Manage>, new: NewKeyStore) -> Result<Applied<CreatedKeyStore>, CoreError> {
        let id = StoreId(Uuid::new_v4());
        let uri_path = match &new.uri_path {
            Some(path) => path.clone(),
            None => {
                let path = format!("/api/v1/cckm/aws/xks-proxy-endpoints/{id}/kms/xks/v1");
                UriPath::try_from(path.as_str()).map_err(bad_name("uri_path"))?
            }
        };
        in_range(&new.name, &new.region, new.max_credentials)?;
        let (address, linked) = (new.address.after(&AddressEntry::default())?, new.linked);
        if linked {
            self.linkable(&address, new.kms.is_some())?;
        }
        // Before a key is made in vain, and again at the commit.
        let (kms, partition, known) = {
            let view = self.view().await?;
            unique(&view, &new.name, &uri_path)?;
            let kms = new.kms.as_deref().map(|wanted| container(&view, wanted, &new.region)).transpose()?;
            (kms, partition(&view, &new.tier)?, named_health_key(&view, &new.health_key)?)
        };
        let tier = match (&new.tier, &partition) {
            (NewTier::Group(group), _) => Tier::Partition(group.clone()),
            (_, Some(partition)) => Tier::Partition(partition.group.clone()),
            (NewTier::Local | NewTier::Partition(_), None) => Tier::Local,
        };
        let health = self.new_health_key(permit, &new, (&tier, known)).await?;
        let health_ciphertext = self.health_ciphertext(permit, &health).await?;
        let (kms, partition) = (kms.map(|kms| kms.id), partition.map(|partition| partition.id));
        let named = matches!(new.health_key, NewHealthKey::Source(_));
        let settled = Settled { tier, kms, partition, uri_path, health_key: health.id, health_ciphertext };
        let (created, credential) = self.draft(id, new, settled)?;
        let key_store = &created.key_store;
        let _turn = self.stores_at_work.turn(id.0).await;
        let plan = |view: &View| {
            unique(view, &key_store.name, &key_store.uri_path)?;
            if let Some(kms) = key_store.kms {
                container(view, &kms.to_string(), &key_store.region)?;
            }
            if let Some(id) = key_store.partition {
                view.partition(id)?.ok_or_else(|| CoreError::invalid(PARTITION, NO_PARTITION))?;
            }
            let mut entries = vec![Entry::KeyStore(key_store.clone()), Entry::Credential(credential.clone())];
            if named {
                view.source_key(health.id)?.ok_or_else(|| CoreError::invalid(HEALTH_KEY, NO_SOURCE_KEY))?;
            } else {
                entries.push(Entry::SourceKey(source_keys::entry(view, &health)?));
            }
            if let (true, Some(kms)) = (linked, key_store.kms) {
                entries.push(Entry::AwsKeyStore(counterpart(key_store, kms, (credential.id, KeyStoreStep::Create))));
            }
            Ok(Plan { changes: entries.into_iter().map(EntryChange::put).collect(), answer: () })
        };
        let ((), mut revision) = self.writer.change(permit.trail(), plan).await?;
        if linked {
            revision = self.make_counterpart(permit.trail(), id, revision).await?;
        }
        Ok(self.applied(created, revision).await)
    }

    /// A health key that was named must be of the key store's tier and fit for it (the API's contract, §7.2).
    pub(super) async fn fit_for_health(&self, permit: &Permit<Manage>, tier: &Tier, key: &SourceKeyEntry) -> Result<(), CoreError> {
        if key.tier() != *tier {
            return Err(CoreError::invalid(HEALTH_KEY, "must be a key of the key store's own tier and partition"));
        }
        self.fit_for_xks(permit, HEALTH_KEY, key).await
    }

    /// The entries of a key store whose name and numbers are in range.
    pub(in crate::core) fn draft(
        &self,
        id: StoreId,
        new: NewKeyStore,
        settled: Settled,
    ) -> Result<(CreatedKeyStore, CredentialEntry), CoreError> {
        let (access_key_id, secret) = match new.credential {
            Some(given) => given,
            None => NewCredential::draw()?,
        };
        let stamps = Stamps::new(now_ns());
        let first = NewCredential { access_key_id: access_key_id.clone(), secret: &secret, version: 1, stamps };
        let credential = sealed(&self.seal, id, first)?;
        let health_key_as_sent = match new.health_key {
            NewHealthKey::Source(sent) => Some(sent),
            NewHealthKey::Made | NewHealthKey::OnGroup(_) => None,
        };
        let key_store = KeyStoreEntry {
            id,
            name: new.name,
            uri_path: settled.uri_path,
            region: new.region,
            tier: settled.tier,
            blocked: new.options.blocked,
            mtls_enabled: new.options.mtls_enabled,
            success_audit: new.options.success_audit,
            quota: new.options.quota.map(NonZeroU32::get),
            in_flight: new.options.in_flight.map(NonZeroU32::get),
            max_snapshot_age_seconds: new.options.max_snapshot_age.map(|age| age.as_secs()),
            max_credentials: new.max_credentials,
            credential_version: 1,
            health_key: settled.health_key,
            health_ciphertext: settled.health_ciphertext,
            kms: settled.kms,
            partition: settled.partition,
            address: new.address.after(&AddressEntry::default())?,
            sent: SentEntry { tier: new.tier_as_sent, health_key: health_key_as_sent },
            retire_unused_after_seconds: new.options.retire_unused_after.map(|after| after.as_secs()),
            labels: BTreeMap::new(),
            stamps,
        };
        Ok((CreatedKeyStore { key_store, access_key_id, secret }, credential))
    }

    async fn new_health_key(
        &self,
        permit: &Permit<Manage>,
        new: &NewKeyStore,
        (tier, known): (&Tier, Option<SourceKeyEntry>),
    ) -> Result<SourceKeyEntry, CoreError> {
        match (&new.health_key, known) {
            (_, Some(known)) => {
                self.fit_for_health(permit, tier, &known).await?;
                Ok(known)
            }
            (NewHealthKey::OnGroup(existing), None) => self.existing_source_key(permit, tier, ("health_check_key", existing)).await,
            (NewHealthKey::Made | NewHealthKey::Source(_), None) => {
                let (name, usage) = (format!("health of {}", new.name), KeyUsage::BOTH);
                let health = NewSourceKey { name, tier: tier.clone(), usage, unexportable: true };
                self.make_source_key(permit, Uuid::new_v4(), health).await
            }
        }
    }
}

fn named_health_key(view: &View, key: &NewHealthKey) -> Result<Option<SourceKeyEntry>, CoreError> {
    match key {
        NewHealthKey::Source(wanted) => source_key(view, wanted).map(Some),
        NewHealthKey::Made | NewHealthKey::OnGroup(_) => Ok(None),
    }
}

/// A source key that a request named.
pub(super) fn source_key(view: &View, wanted: &str) -> Result<SourceKeyEntry, CoreError> {
    source_keys::find(view, wanted).map_err(|error| error.of_named(HEALTH_KEY, NO_SOURCE_KEY))
}

/// A KMS container that a request named, which must have the region.
pub(in crate::core) fn container(view: &View, wanted: &str, region: &str) -> Result<KmsContainerEntry, CoreError> {
    let found = kms_containers::find(view, wanted).map_err(|error| error.of_named("kms", "there is no such KMS container"))?;
    if !found.regions.iter().any(|has| has == region) {
        return Err(CoreError::invalid("region", format!("is not one of the KMS container {}: {}", found.name, found.regions.join(", "))));
    }
    Ok(found)
}

fn partition(view: &View, tier: &NewTier) -> Result<Option<PartitionEntry>, CoreError> {
    match tier {
        NewTier::Local | NewTier::Group(_) => Ok(None),
        NewTier::Partition(wanted) => partitions::find(view, wanted).map(Some).map_err(|error| error.of_named(PARTITION, NO_PARTITION)),
    }
}

const HEALTH_KEY: &str = "health_check_key_id";
const PARTITION: &str = "partition_id";
const NO_SOURCE_KEY: &str = "there is no such source key";
const NO_PARTITION: &str = "there is no such partition";
