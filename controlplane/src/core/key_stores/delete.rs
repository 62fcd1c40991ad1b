//! The end of key stores.

use holdfast_proto::ids::StoreId;

use super::{Operation, Standing, allowed, found, standing};
use crate::{
    access::{Manage, Permit},
    core::{Applied, Core, CoreError, write::Plan},
    store::{
        View,
        entry::{EntryChange, EntryName},
    },
};

impl Core {
    /// Deletes a key store and its credentials. Source keys stay.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] while keys are in it.
    pub async fn delete_key_store(&self, permit: &Permit<Manage>, id: StoreId) -> Result<Applied<()>, CoreError> {
        let plan = |view: &View| {
            let key_store = found(view, id)?;
            let now = Standing { keys: view.hyok_keys(id)?.len(), ..standing(view, &key_store)? };
            allowed(Operation::Delete, now)?;
            let credentials = view.credentials(id)?.into_iter().map(|credential| EntryName::Credential(id, credential.id));
            let used = view.credentials_used(id)?.into_iter().map(|used| EntryName::CredentialUsed(id, used.credential));
            let names = [EntryName::KeyStore(id)].into_iter().chain(credentials).chain(used);
            Ok(Plan { changes: names.map(EntryChange::Delete).collect(), answer: () })
        };
        let ((), revision) = self.writer.change(permit.trail(), plan).await?;
        Ok(self.applied((), revision).await)
    }
}
