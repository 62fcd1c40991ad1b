//! The keys that sign sign-in tokens: ECDSA P-256, in the store under the control seal, so that who is signed in stays so over a restart.
//!
//! Always holds: the newest key signs; a key that was replaced verifies until all tokens that it signed have died, and is deleted with the
//! replacement after that. A key that does not open under the control seal is left alone and not used.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use holdfast_proto::{seal::SealFailed, secret::Secret};
use jsonwebtoken::{DecodingKey, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::sync::Mutex;
use tracing::{info, warn};
use uuid::Uuid;

use super::{Trail, token::LIFE};
use crate::{
    clock::nanoseconds,
    core::{CoreError, Writer, write::Plan},
    store::{
        ReadError, View,
        entry::{Entry, EntryChange, EntryName, SigningKeyEntry, Stamps},
        seal::{ControlSeal, SecretOf},
    },
};

/// The keys, and where they are kept.
pub(super) struct Keys {
    writer: Arc<Writer>,
    seal: ControlSeal,
    /// The newest last.
    loaded: RwLock<Vec<Arc<Key>>>,
    rotating: Mutex<()>,
}

/// One key.
pub(super) struct Key {
    /// Stands in the tokens that it signs.
    pub(super) id: Uuid,
    made_ns: u64,
    pub(super) sign: EncodingKey,
    pub(super) verify: DecodingKey,
}

/// No key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key could be made.
    #[error("making a signing key failed")]
    Make(#[source] rcgen::Error),
    /// What lies in the store is not a key.
    #[error("the signing key is not a P-256 key in PKCS#8")]
    Form(#[source] jsonwebtoken::errors::Error),
    /// It was not sealed.
    #[error(transparent)]
    Seal(#[from] SealFailed),
    /// It was not kept.
    #[error("the signing key can't be kept")]
    Keep(#[source] Box<CoreError>),
}

impl Keys {
    /// The keys that are in the store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(super) async fn load(writer: Arc<Writer>, seal: ControlSeal) -> Result<Self, ReadError> {
        let mut entries = View::of(writer.store()).await?.signing_keys()?;
        entries.sort_by_key(|key| key.stamps.created_ns);
        let loaded = entries.iter().filter_map(|entry| match seal.open(SecretOf::SigningKey(entry.id), &entry.secret) {
            Ok(pem) => Key::read(entry, &pem)
                .inspect_err(|error| warn!(key = %entry.id, error = error as &dyn std::error::Error, "a signing key is not used"))
                .ok(),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "a signing key does not open: who has a token by it must sign in anew");
                None
            }
        });
        let loaded = RwLock::new(loaded.map(Arc::new).collect());
        Ok(Self { writer, seal, loaded, rotating: Mutex::default() })
    }

    /// The key to sign with now: a new one, where the newest is too old.
    ///
    /// # Errors
    /// [`KeyError`] where there is none at all. An old one goes on where no new one can be made.
    pub(super) async fn current(&self, now: SystemTime) -> Result<Arc<Key>, KeyError> {
        if let Some(key) = self.newest().filter(|key| !key.is_old(now)) {
            return Ok(key);
        }
        let _turn = self.rotating.lock().await;
        let newest = self.newest();
        if let Some(key) = newest.as_ref().filter(|key| !key.is_old(now)) {
            return Ok(Arc::clone(key));
        }
        match (self.rotate(now).await, newest) {
            (Ok(key), _) => Ok(key),
            (Err(error), Some(old)) => {
                warn!(error = &error as &dyn std::error::Error, "the signing key was not replaced; the old one goes on");
                Ok(old)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// All keys that may have signed a token that lives.
    pub(super) fn all(&self) -> Vec<Arc<Key>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn newest(&self) -> Option<Arc<Key>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    async fn rotate(&self, now: SystemTime) -> Result<Arc<Key>, KeyError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(KeyError::Make)?;
        let (id, made_ns) = (Uuid::new_v4(), nanoseconds(now));
        let pem = Secret::new(pair.serialize_pem());
        let secret = self.seal.seal(SecretOf::SigningKey(id), &pem)?;
        let entry = SigningKeyEntry { id, secret, stamps: Stamps { created_ns: made_ns, updated_ns: made_ns } };
        let key = Arc::new(Key::read(&entry, &pem)?);
        let plan = |view: &View| {
            let dead = dead(view.signing_keys()?, now);
            let mut changes: Vec<_> = dead.iter().map(|id| EntryChange::Delete(EntryName::SigningKey(*id))).collect();
            changes.push(EntryChange::put(Entry::SigningKey(entry.clone())));
            Ok(Plan { changes, answer: dead })
        };
        let changed = self.writer.change(&Trail::system("signing key"), plan).await;
        let (dead, _) = changed.map_err(|error| KeyError::Keep(Box::new(error)))?;
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|key| !dead.contains(&key.id));
        loaded.push(Arc::clone(&key));
        info!(key = %id, "sign-in tokens are signed with a new key");
        Ok(key)
    }
}

/// Keys whose tokens have all died: they were replaced longer ago than a token lives.
fn dead(mut keys: Vec<SigningKeyEntry>, now: SystemTime) -> Vec<Uuid> {
    keys.sort_by_key(|key| key.stamps.created_ns);
    let life = u64::try_from(LIFE.as_nanos()).unwrap_or(u64::MAX);
    let died = |next: &SigningKeyEntry| next.stamps.created_ns.saturating_add(life) <= nanoseconds(now);
    keys.iter().zip(keys.iter().skip(1)).filter(|(_, next)| died(next)).map(|(key, _)| key.id).collect()
}

impl Key {
    fn read(entry: &SigningKeyEntry, pem: &Secret) -> Result<Self, KeyError> {
        let pair = KeyPair::from_pem(pem.expose()).map_err(KeyError::Make)?;
        Ok(Self {
            id: entry.id,
            made_ns: entry.stamps.created_ns,
            sign: EncodingKey::from_ec_pem(pem.expose().as_bytes()).map_err(KeyError::Form)?,
            verify: DecodingKey::from_ec_der(pair.public_key_raw()),
        })
    }

    fn is_old(&self, now: SystemTime) -> bool {
        nanoseconds(now).saturating_sub(self.made_ns) >= u64::try_from(ROTATE_AFTER.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// When a key is replaced, at the next token.
pub(super) const ROTATE_AFTER: Duration = Duration::from_hours(1);
