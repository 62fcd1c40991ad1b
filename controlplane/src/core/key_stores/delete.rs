//! The end of key stores, here and in AWS.

use holdfast_proto::ids::StoreId;
use uuid::Uuid;

use super::{Operation, Standing, allowed, aws_standing, found, keys_in, standing};
use crate::{
    access::{Manage, Permit},
    aws::stores,
    core::{
        Applied, Core, CoreError,
        aws_key_stores::{self, begun, idle, put},
        write::Plan,
    },
    store::{
        ReadError, View,
        entry::{AwsKeyStoreKind, ConnectionState, EntryChange, EntryName, KeyStoreStep},
    },
};

impl Core {
    /// Deletes a key store and its credentials; its counterpart in AWS first. Source keys stay.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] while keys are in it, while AWS is connected to it, and for one of another proxy; what
    /// AWS refuses.
    pub async fn delete_key_store(&self, permit: &Permit<Manage>, id: StoreId) -> Result<Applied<()>, CoreError> {
        let _turn = self.stores_at_work.turn(id.0).await;
        let revision = if self.view().await?.aws_key_store(id.0)?.is_some() {
            self.delete_in_aws(permit, id.0).await?
        } else {
            let plan = |view: &View| {
                let key_store = found(view, id)?;
                let now = Standing { keys: view.hyok_keys(id)?.len(), ..standing(view, &key_store)? };
                allowed(Operation::Delete, now)?;
                Ok(Plan { changes: without(view, id)?, answer: () })
            };
            self.writer.change(permit.trail(), plan).await?.1
        };
        Ok(self.applied((), revision).await)
    }

    async fn delete_in_aws(&self, permit: &Permit<Manage>, id: Uuid) -> Result<holdfast_proto::ids::Revision, CoreError> {
        let before = aws_key_stores::found(&self.view().await?, id)?;
        if before.state != ConnectionState::Disconnected && before.doing.is_none() {
            // Someone may have disconnected it elsewhere.
            self.refresh_key_store(permit.trail(), id).await?;
        }
        let plan = |view: &View| {
            let entry = aws_key_stores::found(view, id)?;
            // What AWS has no more of another proxy is only known here.
            if entry.gone && matches!(entry.kind, AwsKeyStoreKind::Remote { .. }) {
                return Ok(Plan { changes: vec![EntryChange::Delete(EntryName::AwsKeyStore(id))], answer: None });
            }
            let now = Standing { keys: keys_in(view, StoreId(id))?, ..aws_standing(view, &entry)? };
            allowed(Operation::Delete, now)?;
            idle(&entry)?;
            let entry = begun(&entry, KeyStoreStep::Delete);
            Ok(Plan { changes: vec![put(entry.clone())], answer: Some(entry) })
        };
        let (Some(entry), _) = self.writer.change(permit.trail(), plan).await? else { return Ok(self.view().await?.revision()) };
        let kms = self.kms_or_undo(permit.trail(), &entry).await?;
        let asked = match &entry.custom_key_store_id {
            Some(aws_id) => stores::delete(&kms, aws_id).await.map(|()| None),
            None => Ok(None),
        };
        self.settle(permit.trail(), id, asked).await
    }
}

/// The changes that take a key store away with its credentials.
pub(in crate::core) fn without(view: &View, id: StoreId) -> Result<Vec<EntryChange>, ReadError> {
    let credentials = view.credentials(id)?.into_iter().map(|credential| EntryName::Credential(id, credential.id));
    let used = view.credentials_used(id)?.into_iter().map(|used| EntryName::CredentialUsed(id, used.credential));
    let names = [EntryName::KeyStore(id)].into_iter().chain(credentials).chain(used);
    Ok(names.map(EntryChange::Delete).collect())
}
