//! Has AWS connect to key stores, and let go of them. AWS goes about it in its own time; `follow` sees how far it is.

use holdfast_proto::secret::Secret;
use uuid::Uuid;

use super::{begun, found, idle, put, step::Asked, verdict::Verdict};
use crate::{
    access::{Manage, Permit, Trail},
    aws::{
        AwsError,
        stores::{self, ClusterForAws},
    },
    core::{
        Core, CoreError,
        key_stores::{Operation, allowed, aws_standing},
        write::Plan,
    },
    store::{
        View,
        entry::{AwsKeyStoreEntry, AwsKeyStoreKind, ConnectionState, KeyStoreStep},
    },
};

impl Core {
    /// Has AWS connect to a key store: it does so later, and may fail. One that is connected, or about to be, stays so. The password of a
    /// CloudHSM cluster's crypto user is told to AWS first, if it is given, and not kept.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] where it is not linked; [`CoreError::Invalid`] for a password of another kind of key
    /// store; what AWS refuses.
    pub async fn connect_key_store(&self, permit: &Permit<Manage>, id: Uuid, password: Option<Secret>) -> Result<(), CoreError> {
        let _turn = self.stores_at_work.turn(id).await;
        let (entry, aws_id) = self.begin_connection(permit.trail(), id, (Operation::Connect, KeyStoreStep::Connect)).await?;
        // Clients send an empty or old one along with key stores that have none.
        let password = password.filter(|_| matches!(entry.kind, AwsKeyStoreKind::CloudHsm { .. }));
        let kms = self.kms_or_undo(permit.trail(), &entry).await?;
        let asked = self.ask_of_store(id, connect(&kms, &aws_id, password)).await.map(|()| None);
        // AWS takes it for done where it is connected already, and does not begin anew: keys may be made in it all the while.
        let stays = asked.is_ok() && entry.state == ConnectionState::Connected;
        if stays && matches!(self.find_out(permit.trail(), id).await, Ok((Verdict::Done, _))) {
            return Ok(());
        }
        self.end_connection(permit.trail(), id, asked, [ConnectionState::Connected, ConnectionState::Connecting]).await
    }

    /// Has AWS let go of a key store: it does so later. One that it has let go of stays so.
    ///
    /// # Errors
    /// As [`Core::connect_key_store`].
    pub async fn disconnect_key_store(&self, permit: &Permit<Manage>, id: Uuid) -> Result<(), CoreError> {
        let _turn = self.stores_at_work.turn(id).await;
        let (entry, aws_id) = self.begin_connection(permit.trail(), id, (Operation::Disconnect, KeyStoreStep::Disconnect)).await?;
        let kms = self.kms_or_undo(permit.trail(), &entry).await?;
        let asked = self.ask_of_store(id, stores::disconnect(&kms, &aws_id)).await.map(|()| None);
        self.end_connection(permit.trail(), id, asked, [ConnectionState::Disconnected, ConnectionState::Disconnecting]).await
    }

    async fn begin_connection(
        &self,
        trail: &Trail,
        id: Uuid,
        (operation, step): (Operation, KeyStoreStep),
    ) -> Result<(AwsKeyStoreEntry, String), CoreError> {
        let plan = |view: &View| {
            let entry = found(view, id)?;
            allowed(operation, aws_standing(view, &entry)?)?;
            idle(&entry)?;
            let aws_id = entry.custom_key_store_id.clone().ok_or_else(|| CoreError::State("AWS does not have the key store yet".into()))?;
            let entry = begun(&entry, step.clone());
            Ok(Plan { changes: vec![put(entry.clone())], answer: (entry, aws_id) })
        };
        Ok(self.writer.change(trail, plan).await?.0)
    }

    /// AWS refuses what is so already; that is no error here.
    async fn end_connection(&self, trail: &Trail, id: Uuid, asked: Asked, wanted: [ConnectionState; 2]) -> Result<(), CoreError> {
        let refused = match self.settle(trail, id, asked).await {
            Ok(_) => return Ok(()),
            Err(CoreError::Aws(error)) if error.is(INVALID_STATE) => error,
            Err(other) => return Err(other),
        };
        self.find_out(trail, id).await?;
        let now = found(&self.view().await?, id)?;
        if wanted.contains(&now.state) { Ok(()) } else { Err(refused.into()) }
    }
}

async fn connect(kms: &aws_sdk_kms::Client, id: &str, password: Option<Secret>) -> Result<(), AwsError> {
    if password.is_some() {
        stores::update_cluster(kms, id, ClusterForAws { password, ..ClusterForAws::default() }).await?;
    }
    stores::connect(kms, id).await
}

const INVALID_STATE: &str = "CustomKeyStoreInvalidStateException";
