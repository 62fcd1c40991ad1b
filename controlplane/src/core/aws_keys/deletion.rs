//! The end of keys: when AWS is to delete one, and what is no more anywhere.
//!
//! Always holds: a key that AWS has is deleted by AWS alone, after the days that were said, and a HYOK key serves until then. Once AWS has
//! deleted it, its entry says that it is gone: a HYOK key is not linked any more, and can be deleted here, or be linked anew.

use uuid::Uuid;

use super::{
    NOT_FOUND, is_hyok,
    steps::{idle, stands},
};
use crate::{
    access::{Manage, Permit},
    core::{Applied, Core, CoreError, write::Plan},
    store::{
        View,
        entry::{EntryChange, EntryName, KeyInAws},
    },
};

impl Core {
    /// Deletes what is here of a key that AWS does not have: a HYOK key that is not linked, or any that AWS has deleted. Where something was
    /// begun with it that can't be finished, it is that, and no more, that is given up: a HYOK key stays, not linked.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for one that AWS has, and where something was given up and the key stays.
    pub async fn delete_key(&self, permit: &Permit<Manage>, id: Uuid) -> Result<Applied<()>, CoreError> {
        let turn = self.keys_at_work.turn(id).await;
        let (hyok, stands) = {
            let view = self.view().await?;
            (is_hyok(&view, id)?, view.aws_key(id)?.as_ref().is_some_and(stands))
        };
        let deleted = if stands {
            match self.leave_step(permit.trail(), id).await {
                // It was asked for its deletion, and is still there.
                Ok(known) if hyok || known => Err(CoreError::State(
                    "what was begun with the key in AWS is given up, and the key stays as it is; delete it again if that is meant".into(),
                )),
                left => left.map(|_| Applied { value: (), pending: Vec::new() }),
            }
        } else if hyok {
            self.delete_hyok_key(permit, holdfast_proto::ids::KeyId(id)).await
        } else {
            let plan = |view: &View| {
                let entry = view.aws_key(id)?.ok_or(NOT_FOUND)?;
                idle(&entry)?;
                if !entry.gone {
                    return Err(CoreError::State("AWS has the key; schedule its deletion there".into()));
                }
                Ok(Plan { changes: vec![EntryChange::Delete(EntryName::AwsKey(id))], answer: () })
            };
            self.writer.change(permit.trail(), plan).await.map(|((), _)| Applied { value: (), pending: Vec::new() })
        };
        turn.done();
        deleted
    }

    /// Drops what is known here of a key that AWS has deleted, or gives up what was begun with it and can't be finished. A HYOK key is more
    /// than that: to delete it ends all that it encrypted, and must be asked for as such.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for one that AWS has, for a HYOK key, and where something was given up and the key stays.
    pub async fn forget_key(&self, permit: &Permit<Manage>, id: Uuid) -> Result<Applied<()>, CoreError> {
        let hyok = {
            let view = self.view().await?;
            is_hyok(&view, id)? && !view.aws_key(id)?.as_ref().is_some_and(stands)
        };
        if hyok {
            return Err(CoreError::State(
                "this is a HYOK key, and what it encrypted can't be opened without it; delete it as a HYOK key".into(),
            ));
        }
        self.delete_key(permit, id).await
    }
}

/// Whether AWS is to delete the key.
pub(super) fn is_pending(told: &KeyInAws) -> bool {
    matches!(told.state.as_str(), "PendingDeletion" | "PendingReplicaDeletion")
}

/// Days that AWS takes (ScheduleKeyDeletion API).
pub(super) fn window(days: u32) -> Result<(), CoreError> {
    if (7..=30).contains(&days) { Ok(()) } else { Err(CoreError::invalid("days", "must be 7 to 30")) }
}
