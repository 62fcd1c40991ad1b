//! From the store's entries to the records that nodes hold, entry by entry, as changes to a set.
//!
//! Always holds: an entry that can't be made into a record (its source key is gone, its secret doesn't open) leaves what is published of
//! it as it is and is reported, so that it never holds back a block elsewhere; a block of that very key or store still gets out.
//! Called by `build`, on a thread that may wait for the disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::Duration,
};

use holdfast_proto::{
    ids::{KeyId, StoreId},
    records::{Change, Credential, Key, Record, RecordName, StoreHeader, Version},
    snapshot::{KeyRecords, RecordSet, StoreRecords},
    state::VersionState,
};
use uuid::Uuid;

use crate::store::{
    ReadError, View,
    entry::{CredentialEntry, EntryName, HyokKeyEntry, KeyStoreEntry},
    seal::{ControlSeal, SecretUnopened},
};

/// Reads entries and collects what they change.
pub(super) struct Reader<'a> {
    view: &'a View,
    seal: &'a ControlSeal,
    base: &'a RecordSet,
    found: Found,
    /// Key stores read whole: nothing in them need be read again.
    whole: BTreeSet<StoreId>,
}

/// What reading found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Leads from the set to what the entries say.
    pub(super) changes: Vec<Change>,
    /// Entries that could not be made into records.
    pub(super) defects: BTreeMap<EntryName, Defect>,
    /// Each key that was read, with its pending versions.
    pub(super) pending: BTreeMap<KeyId, Option<PendingVersions>>,
}

/// Versions that wait for all nodes to have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PendingVersions {
    /// Whose versions they are.
    pub(super) virtual_key: Uuid,
    /// Number and tag of each.
    pub(super) versions: BTreeSet<(u32, [u8; 4])>,
}

/// Why an entry could not be made into a record.
#[derive(Debug, thiserror::Error)]
pub(super) enum Defect {
    /// The virtual key behind a HYOK key is gone.
    #[error("virtual key {0} is not there")]
    NoVirtualKey(Uuid),
    /// A source key is gone.
    #[error("source key {0} is not there")]
    NoSourceKey(Uuid),
    /// Sealed under another seal, or altered.
    #[error("the secret does not open")]
    Secret(#[source] SecretUnopened),
}

impl<'a> Reader<'a> {
    pub(super) fn new(view: &'a View, seal: &'a ControlSeal, base: &'a RecordSet) -> Self {
        Self { view, seal, base, found: Found::default(), whole: BTreeSet::new() }
    }

    pub(super) fn found(self) -> Found {
        self.found
    }

    /// Reads one entry afresh. Names must come in their order: a key store's before those of what is in it.
    pub(super) fn entry(&mut self, name: &EntryName) -> Result<(), ReadError> {
        match *name {
            EntryName::KeyStore(store) if self.base.store(store).is_none() => self.key_store(store),
            EntryName::KeyStore(store) => match self.view.key_store(store)? {
                Some(entry) => self.header(&entry),
                None => self.no_key_store(store),
            },
            EntryName::Credential(store, id) => {
                let Some(known) = self.open_store(store) else { return Ok(()) };
                match self.view.credential(store, id)? {
                    Some(entry) => self.credential(&entry),
                    None if known.credentials().any(|c| c.id == id) => self.delete(RecordName::Credential(store, id)),
                    None => {}
                }
                Ok(())
            }
            EntryName::HyokKey(store, id) => {
                let Some(known) = self.open_store(store) else { return Ok(()) };
                match self.view.hyok_key(store, id)? {
                    Some(entry) => self.hyok_key(&entry)?,
                    None => self.no_hyok_key(known, id),
                }
                Ok(())
            }
            // These reach a key store through one of the above only.
            EntryName::KeyPlace(_)
            | EntryName::ExternalId(..)
            | EntryName::VirtualKey(_)
            | EntryName::SourceKey(_)
            | EntryName::Node(_)
            | EntryName::User(_)
            | EntryName::Demo
            | EntryName::NodeSeen(_)
            | EntryName::Count(..)
            | EntryName::CredentialUsed(..)
            | EntryName::ApiToken(_)
            | EntryName::SignIns(_)
            | EntryName::SigningKey(_)
            | EntryName::TokenUsed(_)
            | EntryName::AwsConnection(_)
            | EntryName::KmsContainer(_)
            | EntryName::PolicyTemplate(_)
            | EntryName::JobConfig(_)
            | EntryName::AwsKeyStore(_)
            | EntryName::AwsKey(_)
            | EntryName::SyncJob(_)
            | EntryName::JobRan(_)
            | EntryName::ConnectionUsed(_)
            | EntryName::HsmServer(_)
            | EntryName::HsmConnection(_)
            | EntryName::Partition(_) => Ok(()),
        }
    }

    /// Reads a key store and everything in it afresh.
    pub(super) fn key_store(&mut self, store: StoreId) -> Result<(), ReadError> {
        self.whole.insert(store);
        let Some(entry) = self.view.key_store(store)? else { return self.no_key_store(store) };
        let changes = self.found.changes.len();
        self.header(&entry)?;
        let known = self.base.store(store);
        if known.is_none() && self.found.changes.len() == changes {
            // Without a header nothing can be in it.
            return Ok(());
        }
        let credentials = self.view.credentials(store)?;
        let keys = self.view.hyok_keys(store)?;
        if let Some(known) = known {
            let live: BTreeSet<_> = credentials.iter().map(|c| c.id).collect();
            for gone in known.credentials().filter(|c| !live.contains(&c.id)) {
                self.delete(RecordName::Credential(store, gone.id));
            }
            let live: BTreeSet<_> = keys.iter().map(|k| k.id).collect();
            for gone in known.keys().map(|k| k.key().id).filter(|id| !live.contains(id)) {
                self.no_hyok_key(known, gone);
            }
        }
        credentials.iter().for_each(|entry| self.credential(entry));
        keys.iter().try_for_each(|entry| self.hyok_key(entry))
    }

    fn header(&mut self, entry: &KeyStoreEntry) -> Result<(), ReadError> {
        let known = self.base.store(entry.id).map(|store| store.header());
        let health_key = match (self.view.source_key(entry.health_key)?, known) {
            (Some(source), _) => source.key,
            (None, known) => {
                self.defect(EntryName::KeyStore(entry.id), Defect::NoSourceKey(entry.health_key));
                let Some(known) = known else { return Ok(()) };
                known.health_key.clone()
            }
        };
        let header = StoreHeader {
            id: entry.id,
            name: entry.name.clone(),
            uri_path: entry.uri_path.clone(),
            region: entry.region.clone(),
            blocked: entry.blocked,
            mtls_enabled: entry.mtls_enabled,
            success_audit: entry.success_audit,
            quota: entry.quota.and_then(NonZeroU32::new),
            in_flight: entry.in_flight.and_then(NonZeroU32::new),
            max_snapshot_age: entry.max_snapshot_age_seconds.filter(|s| *s > 0).map(Duration::from_secs),
            health_key,
        };
        if known != Some(&header) {
            self.upsert(Record::Store(header));
        }
        Ok(())
    }

    fn no_key_store(&mut self, store: StoreId) -> Result<(), ReadError> {
        self.whole.insert(store);
        if let Some(known) = self.base.store(store) {
            self.found.pending.extend(known.keys().map(|key| (key.key().id, None)));
            self.delete(RecordName::Store(store));
        }
        Ok(())
    }

    fn credential(&mut self, entry: &CredentialEntry) {
        let secret = match self.seal.open_credential(entry) {
            Ok(secret) => secret,
            Err(cause) => return self.defect(EntryName::Credential(entry.store, entry.id), Defect::Secret(cause)),
        };
        let (store, access_key_id) = (entry.store, entry.access_key_id.clone());
        let credential = Credential { id: entry.id, store, access_key_id, secret, generation: entry.generation };
        let known = self.base.store(store).and_then(|known| known.credentials().find(|c| c.id == entry.id));
        if known != Some(&credential) {
            self.upsert(Record::Credential(credential));
        }
    }

    fn hyok_key(&mut self, entry: &HyokKeyEntry) -> Result<(), ReadError> {
        let known = self.base.store(entry.store).and_then(|known| known.key(entry.id));
        let (id, store, external_id) = (entry.id, entry.store, entry.external_id.clone());
        let key = Key { id, store, external_id, blocked: entry.blocked, legacy: entry.legacy.map(Into::into) };
        if known.map(|known| known.key()) != Some(&key) {
            self.upsert(Record::Key(key));
        }
        match versions(self.view, entry)? {
            Ok(versions) => self.versions(entry, known.map(AsRef::as_ref), versions),
            Err(defect) => self.defect(EntryName::HyokKey(store, id), defect),
        }
        Ok(())
    }

    fn versions(&mut self, entry: &HyokKeyEntry, known: Option<&KeyRecords>, versions: Vec<Version>) {
        let waiting = versions.iter().filter(|v| v.state == VersionState::Pending).map(|v| (v.number, v.tag));
        let pending = PendingVersions { virtual_key: entry.virtual_key, versions: waiting.collect() };
        self.found.pending.insert(entry.id, Some(pending).filter(|p| !p.versions.is_empty()));
        let known: BTreeMap<u32, &Version> = known.into_iter().flat_map(KeyRecords::versions).map(|v| (v.number, v)).collect();
        for gone in known.keys().filter(|number| versions.iter().all(|v| v.number != **number)) {
            self.delete(RecordName::Version(entry.store, entry.id, *gone));
        }
        for version in versions {
            if known.get(&version.number) != Some(&&version) {
                self.upsert(Record::Version(version));
            }
        }
    }

    fn no_hyok_key(&mut self, known: &StoreRecords, id: KeyId) {
        self.found.pending.insert(id, None);
        if known.key(id).is_some() {
            self.delete(RecordName::Key(known.header().id, id));
        }
    }

    /// The store as published, unless it was read whole already or is not published at all.
    fn open_store(&self, store: StoreId) -> Option<&'a StoreRecords> {
        self.base.store(store).filter(|_| !self.whole.contains(&store)).map(AsRef::as_ref)
    }

    fn upsert(&mut self, record: Record) {
        self.found.changes.push(Change::Upsert(record));
    }

    fn delete(&mut self, name: RecordName) {
        self.found.changes.push(Change::Delete(name));
    }

    fn defect(&mut self, name: EntryName, defect: Defect) {
        self.found.defects.insert(name, defect);
    }
}

fn versions(view: &View, entry: &HyokKeyEntry) -> Result<Result<Vec<Version>, Defect>, ReadError> {
    let Some(virtual_key) = view.virtual_key(entry.virtual_key)? else {
        return Ok(Err(Defect::NoVirtualKey(entry.virtual_key)));
    };
    let mut versions = Vec::with_capacity(virtual_key.versions.len());
    for version in &virtual_key.versions {
        let Some(source) = view.source_key(version.source)? else {
            return Ok(Err(Defect::NoSourceKey(version.source)));
        };
        let (number, tag, state) = (version.number, version.tag, version.state);
        versions.push(Version { store: entry.store, key: entry.id, number, tag, state, source: source.key });
    }
    Ok(Ok(versions))
}
