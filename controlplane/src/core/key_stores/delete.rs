//! The end of key stores, here and in AWS.

use holdfast_proto::ids::{Revision, StoreId};
use uuid::Uuid;

use super::{Operation, Standing, allowed, aws_standing, found, keys_in, standing};
use crate::{
    access::{Manage, Permit, Trail},
    aws::{AwsError, AwsFault, stores},
    core::{
        Applied, Core, CoreError,
        aws_key_stores::{self, begun, idle, put, stands},
        write::Plan,
    },
    store::{
        ReadError, View,
        entry::{AwsKeyStoreKind, ConnectionState, EntryChange, EntryName, KeyStoreStep},
    },
};

impl Core {
    /// Deletes a key store and its credentials; its counterpart in AWS first. Source keys stay. One that AWS was asked to make, and does not
    /// tell of, is given up when AWS can't be at it any more; of one with which something else can't be finished only that is given up.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] while keys are in it, while AWS is connected to it, and for one of another proxy; what
    /// AWS refuses.
    pub async fn delete_key_store(&self, permit: &Permit<Manage>, id: StoreId) -> Result<Applied<()>, CoreError> {
        let _turn = self.stores_at_work.turn(id.0).await;
        if let Some(revision) = self.given_up(permit.trail(), id).await? {
            return Ok(self.applied((), revision).await);
        }
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

    /// Ends what was begun with a key store before it is deleted, as AWS has it. Where AWS does not tell there is nothing left to wait for: a
    /// counterpart that was being made goes with its key store, and of anything else that can't be finished it is that, and no more, that is
    /// given up. None: it is to be deleted like any other.
    async fn given_up(&self, trail: &Trail, id: StoreId) -> Result<Option<Revision>, CoreError> {
        let Some(before) = self.view().await?.aws_key_store(id.0)? else { return Ok(None) };
        let making = matches!(before.doing, Some(KeyStoreStep::Create | KeyStoreStep::Link));
        if !making && !stands(&before) {
            return Ok(None);
        }
        let error = match self.find_out(trail, id.0).await {
            Ok(_) if !making => {
                let text = "AWS tells again what became of what was begun with the key store; delete it again if that is still meant";
                return Err(CoreError::State(text.into()));
            }
            Ok((_, revision)) => {
                let view = self.view().await?;
                let left = view.aws_key_store(id.0)?.is_some() || view.key_store(id)?.is_some();
                // With what AWS did not make nothing may be left here.
                return Ok((!left).then_some(revision));
            }
            Err(error) => error,
        };
        let refused = matches!(&error, CoreError::Aws(AwsError { fault: AwsFault::Refused | AwsFault::Credentials, .. }));
        if !(stands(&before) || refused || matches!(error, CoreError::NotFound(_))) || !self.store_is_settled(&before) {
            return Err(error);
        }
        if !making {
            self.leave(trail, id.0, &error).await?;
            let text =
                "what was begun with the key store in AWS is given up, and nothing else is changed; delete it again if that is meant";
            return Err(CoreError::State(text.into()));
        }
        tracing::warn!(key_store = %id, error = &error as &dyn std::error::Error, "a key store that AWS may have made is given up");
        let plan = |view: &View| {
            let entry = aws_key_stores::found(view, id.0)?;
            let now = Standing { keys: keys_in(view, id)?, ..aws_standing(view, &entry)? };
            allowed(Operation::Delete, now)?;
            Ok(Plan { changes: aws_key_stores::all_of_it(view, &entry)?, answer: () })
        };
        Ok(Some(self.writer.change(trail, plan).await?.1))
    }

    async fn delete_in_aws(&self, permit: &Permit<Manage>, id: Uuid) -> Result<Revision, CoreError> {
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
            Some(aws_id) => self.ask_of_store(id, stores::delete(&kms, aws_id)).await.map(|()| None),
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
