//! A set of records, checked as a whole, and its digest. Both planes build and check with this code.
//!
//! Always holds: every credential and key is in a store of the set, every version belongs to a key, no two stores share a URI path,
//! no two keys of a store an external id, no two credentials of a store an access key id, and no key has two active versions. Sets are
//! immutable and share what did not change, so that a step costs what it touches. The digest is independent of the order of changes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, btree_map::Entry},
    sync::Arc,
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use prost::Message;
use zeroize::Zeroizing;

use crate::{
    ids::{CredentialId, KeyId, StoreId, UriPath},
    records::{Change, Credential, Key, Record, RecordName, StoreHeader, Version},
    state::VersionState,
    sync as wire,
};

/// SHA-256.
pub type Digest = [u8; 32];

/// One checked, immutable set of records. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct RecordSet {
    stores: BTreeMap<StoreId, Arc<StoreRecords>>,
    paths: HashMap<UriPath, StoreId>,
}

/// Everything in one store.
#[derive(Debug, Clone)]
pub struct StoreRecords {
    header: Stamped<StoreHeader>,
    credentials: BTreeMap<CredentialId, Arc<Stamped<Credential>>>,
    keys: BTreeMap<KeyId, Arc<KeyRecords>>,
    digest: Digest,
}

/// A key with its versions, in the order of their numbers.
#[derive(Debug, Clone)]
pub struct KeyRecords {
    key: Stamped<Key>,
    versions: Vec<Arc<Stamped<Version>>>,
}

/// Why a step was refused. The set it was tried on is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// Two of what must be unique.
    #[error("two {what} are {name}")]
    Duplicate {
        /// What must be unique.
        what: &'static str,
        /// The name they share.
        name: String,
    },
    /// Part of something that isn't there, or to be deleted and not there.
    #[error("{0:?} has no parent, or was to be deleted and isn't there")]
    Orphan(RecordName),
}

impl RecordSet {
    /// The set after `changes`, and which stores they touched. All or nothing: on an error nothing has changed.
    ///
    /// Changes are applied in order; uniqueness is judged at the end, so that two stores may swap their paths.
    ///
    /// # Errors
    /// [`Reject`] names the first thing wrong.
    pub fn apply(&self, changes: impl IntoIterator<Item = Change>) -> Result<(Self, BTreeSet<StoreId>), Reject> {
        let mut stores = self.stores.clone();
        let mut drafts: BTreeMap<StoreId, Draft> = BTreeMap::new();
        let mut touched = BTreeSet::new();
        for change in changes {
            let name = change.name();
            let id = name.store();
            touched.insert(id);
            if let Change::Delete(RecordName::Store(_)) = change {
                let drafted = drafts.remove(&id).is_some();
                if stores.remove(&id).is_none() && !drafted {
                    return Err(Reject::Orphan(name));
                }
                continue;
            }
            let draft = match (drafts.entry(id), stores.get(&id), &change) {
                (Entry::Occupied(draft), _, _) => draft.into_mut(),
                (Entry::Vacant(place), Some(store), _) => place.insert(Draft::from(store)),
                (Entry::Vacant(place), None, Change::Upsert(Record::Store(header))) => place.insert(Draft::new(header.clone())),
                (Entry::Vacant(_), None, _) => return Err(Reject::Orphan(name)),
            };
            draft.change(change)?;
        }
        for (id, draft) in drafts {
            stores.insert(id, Arc::new(draft.settle()?));
        }
        let paths = unique_paths(&stores)?;
        Ok((Self { stores, paths }, touched))
    }

    /// The changes that lead from `old` to `self`, parents before children.
    #[must_use]
    pub fn since(&self, old: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for id in old.stores.keys().filter(|id| !self.stores.contains_key(id)) {
            changes.push(Change::Delete(RecordName::Store(*id)));
        }
        for (id, store) in &self.stores {
            match old.stores.get(id) {
                Some(before) if before.digest == store.digest => {}
                before => store.since(before.map(Arc::as_ref), &mut changes),
            }
        }
        changes
    }

    /// SHA-256 over the stores' digests in the order of their ids.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        for store in self.stores.values() {
            context.update(&store.digest);
        }
        finish(context)
    }

    /// All stores, in the order of their ids.
    pub fn stores(&self) -> impl Iterator<Item = &Arc<StoreRecords>> {
        self.stores.values()
    }

    /// One store.
    #[must_use]
    pub fn store(&self, id: StoreId) -> Option<&Arc<StoreRecords>> {
        self.stores.get(&id)
    }

    /// The store at a path.
    #[must_use]
    pub fn at(&self, path: &UriPath) -> Option<&Arc<StoreRecords>> {
        self.paths.get(path).and_then(|id| self.stores.get(id))
    }
}

impl StoreRecords {
    /// The header.
    #[must_use]
    pub const fn header(&self) -> &StoreHeader {
        &self.header.record
    }

    /// The credentials.
    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.credentials.values().map(|c| &c.record)
    }

    /// The keys, in the order of their ids. An unchanged key keeps its `Arc` from set to set.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<KeyRecords>> {
        self.keys.values()
    }

    /// One key.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<&Arc<KeyRecords>> {
        self.keys.get(&id)
    }

    /// SHA-256 over the id and the sorted digests of all records in the store.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    fn since(&self, old: Option<&Self>, changes: &mut Vec<Change>) {
        let id = self.header.record.id;
        if old.is_none_or(|o| o.header.digest != self.header.digest) {
            changes.push(Change::Upsert(Record::Store(self.header.record.clone())));
        }
        if let Some(old) = old {
            let credentials = old.credentials.keys().filter(|c| !self.credentials.contains_key(c));
            changes.extend(credentials.map(|c| Change::Delete(RecordName::Credential(id, *c))));
            let keys = old.keys.keys().filter(|k| !self.keys.contains_key(k));
            changes.extend(keys.map(|k| Change::Delete(RecordName::Key(id, *k))));
        }
        for (name, credential) in &self.credentials {
            if old.and_then(|o| o.credentials.get(name)).is_none_or(|c| c.digest != credential.digest) {
                changes.push(Change::Upsert(Record::Credential(credential.record.clone())));
            }
        }
        for (name, key) in &self.keys {
            match old.and_then(|o| o.keys.get(name)) {
                Some(before) if Arc::ptr_eq(before, key) => {}
                before => key.since(before.map(Arc::as_ref), changes),
            }
        }
    }

    fn digest_of_records(&self) -> Digest {
        let mut digests: Vec<&Digest> = vec![&self.header.digest];
        digests.extend(self.credentials.values().map(|c| &c.digest));
        for key in self.keys.values() {
            digests.push(&key.key.digest);
            digests.extend(key.versions.iter().map(|v| &v.digest));
        }
        digests.sort_unstable();
        let mut context = Context::new(&SHA256);
        context.update(self.header.record.id.0.as_bytes());
        for digest in digests {
            context.update(digest);
        }
        finish(context)
    }
}

impl KeyRecords {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key.record
    }

    /// The versions, in the order of their numbers.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &Version> {
        self.versions.iter().map(|v| &v.record)
    }

    /// One version.
    #[must_use]
    pub fn version(&self, number: u32) -> Option<&Version> {
        self.position(number).ok().map(|at| &self.versions[at].record)
    }

    /// The version that encrypts.
    #[must_use]
    pub fn active(&self) -> Option<&Version> {
        self.versions().rev().find(|v| v.state == VersionState::Active)
    }

    fn since(&self, old: Option<&Self>, changes: &mut Vec<Change>) {
        let key = &self.key.record;
        if old.is_none_or(|o| o.key.digest != self.key.digest) {
            changes.push(Change::Upsert(Record::Key(key.clone())));
        }
        let before = old.map_or(&[][..], |o| &o.versions);
        for gone in before.iter().filter(|v| self.position(v.record.number).is_err()) {
            changes.push(Change::Delete(RecordName::Version(key.store, key.id, gone.record.number)));
        }
        for version in &self.versions {
            let known = old.and_then(|o| o.position(version.record.number).ok().map(|at| &o.versions[at]));
            if known.is_none_or(|k| k.digest != version.digest) {
                changes.push(Change::Upsert(Record::Version(version.record.clone())));
            }
        }
    }

    fn position(&self, number: u32) -> Result<usize, usize> {
        self.versions.binary_search_by_key(&number, |v| v.record.number)
    }
}

/// A record with the digest of its encoding.
#[derive(Debug, Clone)]
struct Stamped<T> {
    record: T,
    digest: Digest,
}

/// A store that is being changed.
struct Draft {
    store: StoreRecords,
    /// Names were added: uniqueness must be looked at again.
    named: bool,
}

impl<T: Clone> Stamped<T> {
    fn new(record: T, wrap: fn(T) -> Record) -> Self {
        let encoded = Zeroizing::new(wire::Record::from(&wrap(record.clone())).encode_to_vec());
        let mut stamp = [0; 32];
        stamp.copy_from_slice(digest(&SHA256, &encoded).as_ref());
        Self { record, digest: stamp }
    }
}

impl From<&Arc<StoreRecords>> for Draft {
    fn from(store: &Arc<StoreRecords>) -> Self {
        Self { store: store.as_ref().clone(), named: false }
    }
}

impl Draft {
    fn new(header: StoreHeader) -> Self {
        let header = Stamped::new(header, Record::Store);
        let store = StoreRecords { header, credentials: BTreeMap::new(), keys: BTreeMap::new(), digest: [0; 32] };
        Self { store, named: false }
    }

    fn change(&mut self, change: Change) -> Result<(), Reject> {
        let name = change.name();
        let store = &mut self.store;
        match change {
            Change::Upsert(Record::Store(header)) => store.header = Stamped::new(header, Record::Store),
            Change::Upsert(Record::Credential(credential)) => {
                self.named = true;
                store.credentials.insert(credential.id, Arc::new(Stamped::new(credential, Record::Credential)));
            }
            Change::Upsert(Record::Key(key)) => {
                self.named = true;
                let stamped = Stamped::new(key, Record::Key);
                match store.keys.get_mut(&stamped.record.id) {
                    Some(known) => Arc::make_mut(known).key = stamped,
                    None => {
                        store.keys.insert(stamped.record.id, Arc::new(KeyRecords { key: stamped, versions: Vec::new() }));
                    }
                }
            }
            Change::Upsert(Record::Version(version)) => {
                let key = Arc::make_mut(store.keys.get_mut(&version.key).ok_or(Reject::Orphan(name))?);
                let place = key.position(version.number);
                let stamped = Arc::new(Stamped::new(version, Record::Version));
                match place {
                    Ok(at) => key.versions[at] = stamped,
                    Err(at) => {
                        // Exact growth: most keys have one version, and there are many keys.
                        key.versions.reserve_exact(1);
                        key.versions.insert(at, stamped);
                    }
                }
            }
            Change::Delete(RecordName::Credential(_, id)) => {
                store.credentials.remove(&id).ok_or(Reject::Orphan(name))?;
            }
            Change::Delete(RecordName::Key(_, id)) => {
                store.keys.remove(&id).ok_or(Reject::Orphan(name))?;
            }
            Change::Delete(RecordName::Version(_, id, number)) => {
                let key = Arc::make_mut(store.keys.get_mut(&id).ok_or(Reject::Orphan(name))?);
                let at = key.position(number).map_err(|_| Reject::Orphan(name))?;
                key.versions.remove(at);
            }
            Change::Delete(RecordName::Store(_)) => return Err(Reject::Orphan(name)),
        }
        Ok(())
    }

    fn settle(self) -> Result<StoreRecords, Reject> {
        let mut store = self.store;
        if self.named {
            unique("access key ids of a store", store.credentials.values().map(|c| c.record.access_key_id.as_str()))?;
            unique("external key ids of a store", store.keys.values().map(|k| k.key.record.external_id.as_str()))?;
        }
        for key in store.keys.values() {
            let mut active = key.versions().filter(|v| v.state == VersionState::Active);
            if active.next().is_some() && active.next().is_some() {
                let name = key.key.record.external_id.to_string();
                return Err(Reject::Duplicate { what: "active versions of a key", name });
            }
        }
        store.digest = store.digest_of_records();
        Ok(store)
    }
}

fn unique<'a>(what: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), Reject> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Reject::Duplicate { what, name: name.into() });
        }
    }
    Ok(())
}

fn unique_paths(stores: &BTreeMap<StoreId, Arc<StoreRecords>>) -> Result<HashMap<UriPath, StoreId>, Reject> {
    let mut paths = HashMap::with_capacity(stores.len());
    for (id, store) in stores {
        let path = &store.header.record.uri_path;
        if paths.insert(path.clone(), *id).is_some() {
            return Err(Reject::Duplicate { what: "URI paths", name: path.to_string() });
        }
    }
    Ok(paths)
}

fn finish(context: Context) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests;
