//! Credentials of a key store. A secret is shown when it is made, and never again.

use holdfast_proto::{
    ids::{AccessKeyId, CredentialId, StoreId},
    secret::Secret,
};
use uuid::Uuid;

use super::{
    Applied, Core, CoreError,
    draw::{access_key_id, now_ns, secret_access_key},
    key_stores,
    write::Plan,
};
use crate::{
    access::{Manage, Permit, Read},
    store::{
        View,
        entry::{CredentialEntry, Entry, EntryChange, EntryName, Stamps},
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

/// What a credential is made of.
pub(super) struct NewCredential<'a> {
    pub(super) access_key_id: AccessKeyId,
    pub(super) secret: &'a Secret,
    pub(super) stamps: Stamps,
}

impl Core {
    /// Adds a credential to a key store.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] where the store is full, naming the oldest.
    pub async fn create_credential(&self, permit: &Permit<Manage>, store: StoreId) -> Result<Applied<CreatedCredential>, CoreError> {
        let (access_key_id, secret) = NewCredential::draw()?;
        let stamps = Stamps::new(now_ns());
        let credential = sealed(&self.seal, store, NewCredential { access_key_id, secret: &secret, stamps })?;
        let plan = |view: &View| {
            let mut key_store = key_stores::found(view, store)?;
            let live = view.credentials(store)?;
            if live.len() >= usize::from(key_store.max_credentials) {
                let oldest = live.iter().min_by_key(|c| c.stamps.created_ns).map_or("", |c| c.access_key_id.as_str());
                let most = key_store.max_credentials;
                return Err(CoreError::State(format!(
                    "the key store has its {most} credentials; delete one first, the oldest is {oldest}"
                )));
            }
            key_store.credential_version += 1;
            key_store.stamps = key_store.stamps.touched(now_ns());
            let entries = [Entry::KeyStore(key_store), Entry::Credential(credential.clone())];
            Ok(Plan { changes: entries.map(EntryChange::Put).into(), answer: () })
        };
        let ((), revision) = self.writer.change(permit.trail(), plan).await?;
        Ok(self.applied(CreatedCredential { credential, secret }, revision).await)
    }

    /// The credentials of a key store.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn credentials(&self, _permit: &Permit<Read>, store: StoreId) -> Result<Vec<CredentialEntry>, CoreError> {
        let view = self.view().await?;
        key_stores::found(&view, store)?;
        Ok(view.credentials(store)?)
    }

    /// Deletes a credential: its requests are refused from now on.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for the last one (design §1: a key store has one at least).
    pub async fn delete_credential(&self, permit: &Permit<Manage>, store: StoreId, id: CredentialId) -> Result<Applied<()>, CoreError> {
        let plan = |view: &View| {
            view.credential(store, id)?.ok_or(CoreError::NotFound("credential"))?;
            if view.credentials(store)?.len() < 2 {
                let text = "this is the key store's last credential; create another first, or block the key store";
                return Err(CoreError::State(text.into()));
            }
            Ok(Plan { changes: vec![EntryChange::Delete(EntryName::Credential(store, id))], answer: () })
        };
        let ((), revision) = self.writer.change(permit.trail(), plan).await?;
        Ok(self.applied((), revision).await)
    }
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
        stamps: new.stamps,
    })
}
