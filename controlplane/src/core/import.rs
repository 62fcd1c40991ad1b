//! Key stores in bulk, with keys that were made elsewhere under the same key seal: for benches and moves.

use std::collections::HashSet;

use holdfast_proto::{
    ids::{AccessKeyId, ExternalKeyId, KeyId, StoreId, UriPath},
    records::{LocalBlob, SourceKey},
    secret::Secret,
    state::VersionState,
};
use uuid::Uuid;

use super::{
    Core, CoreError,
    credentials::{NewCredential, sealed},
    draw::tag,
    hyok_keys::{Made, NewHyokKey, entries},
    key_stores,
    write::Plan,
};
use crate::{
    access::{Manage, Permit},
    clock::now_ns,
    store::{
        View,
        entry::{AddressEntry, Entry, EntryChange, KeyStoreEntry, SentEntry, SourceKeyEntry, Stamps, Tier},
    },
};

/// A key store of tier `local` with its keys.
#[derive(Clone, Debug)]
pub struct ImportKeyStore {
    /// Unique.
    pub name: String,
    /// Unique.
    pub uri_path: UriPath,
    /// The AWS region that signs its requests.
    pub region: String,
    /// Its one credential.
    pub credential: (AccessKeyId, Secret),
    /// Its health key.
    pub health: LocalBlob,
    /// Its HYOK keys: external ids, distinct, and sealed source keys.
    pub keys: Vec<(ExternalKeyId, LocalBlob)>,
}

impl Core {
    /// Adds key stores, one commit per few thousand entries: a key store is there before all its keys are.
    ///
    /// # Errors
    /// [`CoreError::Exists`] for an id that comes twice: nothing is there then. [`CoreError::Exists`] or [`CoreError::Invalid`] for a key
    /// store; those before it are there.
    pub async fn import(&self, permit: &Permit<Manage>, stores: Vec<ImportKeyStore>) -> Result<(), CoreError> {
        distinct(&stores)?;
        for import in stores {
            let blobs: Vec<_> = blobs(&import).map(|blob| blob.id).collect();
            let id = StoreId(Uuid::new_v4());
            let (mut batch, mut keys) = (self.header(id, &import)?, import.keys.into_iter());
            let (name, path) = (&import.name, &import.uri_path);
            let mut first = true;
            while !batch.is_empty() {
                for (external_id, blob) in keys.by_ref().take(KEYS_AT_ONCE) {
                    batch.extend(key(id, external_id, blob)?);
                }
                let plan = |view: &View| {
                    if first {
                        key_stores::unique(view, name, path)?;
                        for blob in &blobs {
                            if view.source_key(*blob)?.is_some() {
                                return Err(exists("source key", blob));
                            }
                        }
                    }
                    Ok(Plan { changes: batch.iter().cloned().map(EntryChange::put).collect(), answer: () })
                };
                self.writer.change(permit.trail(), plan).await?;
                first = false;
                batch = match keys.next() {
                    Some((external_id, blob)) => key(id, external_id, blob)?,
                    None => Vec::new(),
                };
            }
        }
        Ok(())
    }

    fn header(&self, id: StoreId, import: &ImportKeyStore) -> Result<Vec<Entry>, CoreError> {
        key_stores::in_range(&import.name, &import.region, MAX_CREDENTIALS)?;
        let stamps = Stamps::new(now_ns());
        let (access_key_id, secret) = &import.credential;
        let credential = sealed(&self.seal, id, NewCredential { access_key_id: access_key_id.clone(), secret, version: 1, stamps })?;
        let key_store = KeyStoreEntry {
            id,
            name: import.name.clone(),
            uri_path: import.uri_path.clone(),
            region: import.region.clone(),
            tier: Tier::Local,
            blocked: false,
            mtls_enabled: false,
            success_audit: false,
            quota: None,
            in_flight: None,
            max_snapshot_age_seconds: None,
            max_credentials: MAX_CREDENTIALS,
            credential_version: 1,
            health_key: import.health.id,
            health_ciphertext: Vec::new(),
            kms: None,
            partition: None,
            address: AddressEntry::default(),
            sent: SentEntry::default(),
            retire_unused_after_seconds: None,
            labels: std::collections::BTreeMap::new(),
            stamps,
        };
        Ok(vec![source(import.health.clone(), stamps), Entry::KeyStore(key_store), Entry::Credential(credential)])
    }
}

/// Refuses external ids that come twice in a key store, which no node could be sent, and blobs that come twice at all.
fn distinct(stores: &[ImportKeyStore]) -> Result<(), CoreError> {
    let mut seen = HashSet::new();
    for blob in stores.iter().flat_map(blobs) {
        if !seen.insert(blob.id) {
            return Err(exists("source key", &blob.id));
        }
    }
    for store in stores {
        let mut seen = HashSet::new();
        if let Some((twice, _)) = store.keys.iter().find(|(external_id, _)| !seen.insert(external_id)) {
            return Err(exists("external key id", twice));
        }
    }
    Ok(())
}

fn blobs(store: &ImportKeyStore) -> impl Iterator<Item = &LocalBlob> {
    [&store.health].into_iter().chain(store.keys.iter().map(|(_, blob)| blob))
}

fn exists(what: &'static str, name: &impl ToString) -> CoreError {
    CoreError::Exists { what, name: name.to_string() }
}

fn key(store: StoreId, external_id: ExternalKeyId, blob: LocalBlob) -> Result<Vec<Entry>, CoreError> {
    let made = Made { id: KeyId(Uuid::new_v4()), virtual_key: Uuid::new_v4(), tag: tag()?, now_ns: now_ns() };
    let new = NewHyokKey::new(store, external_id.to_string());
    let source = SourceKeyEntry::new(blob.id, String::new(), SourceKey::Local(blob), Stamps::new(made.now_ns));
    let source = SourceKeyEntry { made_for: Some(made.virtual_key), ..source };
    let mut entries = entries(&new, external_id, (made, source));
    for entry in &mut entries {
        if let Entry::VirtualKey(virtual_key) = entry {
            // Nobody has a ciphertext or sends one before the import is told to be done, so that no node can meet one too early.
            virtual_key.versions.iter_mut().for_each(|version| version.state = VersionState::Active);
        }
    }
    Ok(entries)
}

fn source(blob: LocalBlob, stamps: Stamps) -> Entry {
    Entry::SourceKey(SourceKeyEntry::new(blob.id, String::new(), SourceKey::Local(blob), stamps))
}

/// Five entries each.
const KEYS_AT_ONCE: usize = 1_000;
const MAX_CREDENTIALS: u8 = 20;
