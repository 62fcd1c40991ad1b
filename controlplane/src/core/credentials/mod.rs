//! Credentials of a key store. A secret is shown when it is made, and never again.
//!
//! Always holds: a key store has one credential at least and `max_credentials` at most; none goes unless a person deletes it, or the key
//! store says when unused ones do (`retire`).

mod linked;
mod retire;

use holdfast_proto::{
    ids::{AccessKeyId, CredentialId, StoreId},
    secret::Secret,
};
use uuid::Uuid;

use super::{
    Applied, Core, CoreError, bad_name,
    draw::{access_key_id, secret_access_key},
    key_stores::{self, NotNow, Operation, allowed, standing},
    write::Plan,
};
use crate::{
    access::{Manage, Permit, Read},
    clock::now_ns,
    names::NodeName,
    store::{
        ReadError, View,
        entry::{CredentialEntry, Entry, EntryChange, EntryName, KeyStoreEntry, Stamps},
        seal::{ControlSeal, SecretOf},
    },
};

/// A new credential, whose secret is shown this once.
#[derive(Clone, Debug)]
pub struct CreatedCredential {
    /// The credential.
    pub credential: CredentialEntry,
    /// The secret half.
    pub secret: Secret,
}

/// What a rotation led to. The secret is shown this once.
#[derive(Clone, Debug)]
pub struct RotatedCredential {
    /// The key store, which counts its rotations.
    pub key_store: KeyStoreEntry,
    /// The new credential.
    pub created: CreatedCredential,
    /// Live credentials now.
    pub count: usize,
    /// The one to delete first.
    pub oldest: CredentialId,
}

/// A credential, and when it last signed a request that was authenticated, milliseconds since 1970; none: never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedCredential {
    /// The credential.
    pub credential: CredentialEntry,
    /// When.
    pub used_ms: Option<u64>,
}

/// What a credential is made of.
pub(super) struct NewCredential<'a> {
    pub(super) access_key_id: AccessKeyId,
    pub(super) secret: &'a Secret,
    pub(super) version: u32,
    pub(super) stamps: Stamps,
}

impl Core {
    /// Adds a credential to a key store.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] where the store is full, naming the oldest.
    pub async fn create_credential(&self, permit: &Permit<Manage>, store: StoreId) -> Result<Applied<CreatedCredential>, CoreError> {
        let (rotated, pending) = self.add_credential(permit, store, false).await?;
        Ok(Applied { value: rotated.created, pending })
    }

    /// Adds a credential to a key store, which counts that as a rotation. Those that are there stay. Of a linked key store AWS signs with
    /// it from then on.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] where the store is full, naming the oldest. Of a linked key store, when nothing is
    /// changed: [`CoreError::NotEverywhere`] where a data plane that is not away did not take it; what AWS refuses.
    pub async fn rotate_credential(&self, permit: &Permit<Manage>, store: StoreId) -> Result<Applied<RotatedCredential>, CoreError> {
        let _turn = self.stores_at_work.turn(store.0).await;
        if self.view().await?.aws_key_store(store.0)?.is_some() {
            let (rotated, revision) = self.rotate_in_aws(permit, store).await?;
            return Ok(self.applied(rotated, revision).await);
        }
        let (value, pending) = self.add_credential(permit, store, true).await?;
        Ok(Applied { value, pending })
    }

    /// The credentials of a key store, the oldest first.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn credentials(&self, _permit: &Permit<Read>, store: StoreId) -> Result<Vec<UsedCredential>, CoreError> {
        let view = self.view().await?;
        key_stores::found(&view, store)?;
        Ok(with_use(&view, store)?)
    }

    /// One credential of a key store.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn credential(&self, _permit: &Permit<Read>, store: StoreId, id: CredentialId) -> Result<UsedCredential, CoreError> {
        let view = self.view().await?;
        key_stores::found(&view, store)?;
        with_use(&view, store)?.into_iter().find(|one| one.credential.id == id).ok_or(CoreError::NotFound("credential"))
    }

    /// Deletes a credential: its requests are refused from now on.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for the last one (design §1: a key store has one at least), and for the one with
    /// which AWS signs.
    pub async fn delete_credential(&self, permit: &Permit<Manage>, store: StoreId, id: CredentialId) -> Result<Applied<()>, CoreError> {
        let plan = |view: &View| {
            let key_store = key_stores::found(view, store)?;
            view.credential(store, id)?.ok_or(CoreError::NotFound("credential"))?;
            allowed(Operation::DeleteCredential, standing(view, &key_store)?)?;
            linked::unused_by_aws(view.aws_key_store(store.0)?.as_ref(), store, id)?;
            Ok(Plan { changes: gone(view, store, id)?, answer: () })
        };
        let ((), revision) = self.writer.change(permit.trail(), plan).await?;
        Ok(self.applied((), revision).await)
    }

    async fn add_credential(
        &self,
        permit: &Permit<Manage>,
        store: StoreId,
        counts: bool,
    ) -> Result<(RotatedCredential, Vec<NodeName>), CoreError> {
        let (access_key_id, secret) = NewCredential::draw()?;
        let stamps = Stamps::new(now_ns());
        let credential = sealed(&self.seal, store, NewCredential { access_key_id, secret: &secret, version: 1, stamps })?;
        let plan = |view: &View| {
            let mut key_store = key_stores::found(view, store)?;
            let live = addable(view, &key_store, &credential.access_key_id)?;
            let mut entries = Vec::new();
            if counts {
                key_store.credential_version += 1;
                key_store.stamps = key_store.stamps.touched(now_ns());
                entries.push(Entry::KeyStore(key_store.clone()));
            }
            let credential = CredentialEntry { version: key_store.credential_version, ..credential.clone() };
            entries.push(Entry::Credential(credential.clone()));
            let oldest = oldest(&live).map_or(credential.id, |oldest| oldest.id);
            Ok(Plan {
                changes: entries.into_iter().map(EntryChange::put).collect(),
                answer: (key_store, credential, live.len() + 1, oldest),
            })
        };
        let ((key_store, credential, count, oldest), revision) = self.writer.change(permit.trail(), plan).await?;
        let rotated = RotatedCredential { key_store, created: CreatedCredential { credential, secret }, count, oldest };
        let Applied { value, pending } = self.applied(rotated, revision).await;
        Ok((value, pending))
    }
}

/// A credential of a proxy that is taken over: both halves, or neither, where empty means absent.
///
/// # Errors
/// [`CoreError::Invalid`], which repeats nothing of the secret.
pub fn taken_over(access_key_id: &str, secret: &str) -> Result<Option<(AccessKeyId, Secret)>, CoreError> {
    if access_key_id.is_empty() && secret.is_empty() {
        return Ok(None);
    }
    if access_key_id.is_empty() || secret.is_empty() {
        let detail = "must come together with secret_access_key".into();
        return Err(CoreError::Invalid { field: "access_key_id", detail });
    }
    let access_key_id = AccessKeyId::try_from(access_key_id).map_err(bad_name("access_key_id"))?;
    // What AWS KMS takes (CreateCustomKeyStore API).
    let characters = secret.bytes().all(|b| b.is_ascii_alphanumeric() || b"/+=".contains(&b));
    if !(43..=64).contains(&secret.len()) || !characters {
        let detail = "must have 43 to 64 of A-Z, a-z, 0-9, '/', '+' and '='".into();
        return Err(CoreError::Invalid { field: "secret_access_key", detail });
    }
    Ok(Some((access_key_id, Secret::new(secret.into()))))
}

impl NewCredential<'_> {
    pub(super) fn draw() -> Result<(AccessKeyId, Secret), CoreError> {
        Ok((access_key_id()?, secret_access_key()?))
    }
}

/// The entry of a new credential.
pub(super) fn sealed(seal: &ControlSeal, store: StoreId, new: NewCredential<'_>) -> Result<CredentialEntry, CoreError> {
    let id = CredentialId(Uuid::new_v4());
    Ok(CredentialEntry {
        id,
        store,
        access_key_id: new.access_key_id,
        secret: seal.seal(SecretOf::Credential(id), new.secret)?,
        generation: 1,
        version: new.version,
        stamps: new.stamps,
    })
}

/// The live credentials, where one more by this access key id may join them.
pub(super) fn addable(view: &View, key_store: &KeyStoreEntry, access_key_id: &AccessKeyId) -> Result<Vec<CredentialEntry>, CoreError> {
    let live = view.credentials(key_store.id)?;
    if live.iter().any(|credential| credential.access_key_id == *access_key_id) {
        return Err(CoreError::Exists { what: "access key id", name: access_key_id.to_string() });
    }
    match allowed(Operation::AddCredential, standing(view, key_store)?) {
        Err(full @ NotNow::Full(_)) => {
            let oldest = oldest(&live).map(|oldest| format!("{} ({})", oldest.id, oldest.access_key_id)).unwrap_or_default();
            Err(CoreError::State(format!("{full}, the oldest is {oldest}")))
        }
        Err(other) => Err(other.into()),
        Ok(()) => Ok(live),
    }
}

/// A credential goes, and the note of its use with it.
pub(super) fn gone(view: &View, store: StoreId, id: CredentialId) -> Result<Vec<EntryChange>, CoreError> {
    let used = EntryName::CredentialUsed(store, id);
    let noted = view.entry(&used)?.is_some();
    let names = [EntryName::Credential(store, id)].into_iter().chain(noted.then_some(used));
    Ok(names.map(EntryChange::Delete).collect())
}

/// The newest credential of a key store.
pub(super) fn newest(view: &View, store: StoreId) -> Result<Option<CredentialEntry>, ReadError> {
    Ok(view.credentials(store)?.into_iter().max_by_key(|credential| (credential.stamps.created_ns, credential.id)))
}

fn oldest(live: &[CredentialEntry]) -> Option<&CredentialEntry> {
    live.iter().min_by_key(|credential| (credential.stamps.created_ns, credential.id))
}

fn with_use(view: &View, store: StoreId) -> Result<Vec<UsedCredential>, ReadError> {
    let noted = view.credentials_used(store)?;
    let used = |id| noted.iter().find(|note| note.credential == id).map(|note| note.used_ms);
    let live = view.credentials(store)?.into_iter();
    let mut all: Vec<_> = live.map(|credential| UsedCredential { used_ms: used(credential.id), credential }).collect();
    all.sort_by_key(|one| (one.credential.stamps.created_ns, one.credential.id));
    Ok(all)
}
