//! HYOK keys get their counterparts in AWS.
//!
//! Always holds: the data planes serve a key before AWS is asked to make its counterpart, since AWS looks at it at once (XKS GetKeyMetadata).

use holdfast_proto::ids::{KeyId, StoreId};

use super::{AnyKey, Place, find::any_key, for_aws::GivenForAws};
use crate::{
    access::{Manage, Permit},
    core::{Core, CoreError, hyok_keys, write::Plan},
    store::{
        View,
        entry::{AwsKeyEntry, AwsKeyKind, AwsKeyStoreEntry, ConnectionState, Entry, EntryChange, ForAws, KeyStep, KeyStoreEntry},
    },
};

impl Core {
    /// Makes a HYOK key's counterpart in AWS. Its store must be linked and connected.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `Invalid`; `Exists` for the alias; `State` for a key that is linked, or whose store is not or not
    /// connected; `Aws`.
    pub async fn link_hyok_key(&self, permit: &Permit<Manage>, id: KeyId, given: GivenForAws) -> Result<AnyKey, CoreError> {
        let turn = self.keys_at_work.turn(id.0).await;
        let entry = {
            let view = self.view().await?;
            linkable(&view, id)?;
            let backed = hyok_keys::backed(&view, id)?;
            let for_aws = given.over(&view, backed.key.for_aws.clone())?;
            counterpart(&backed.key_store, id, (for_aws, KeyStep::Link))?
        };
        self.alias_is_free(&entry).await?;
        let plan = |view: &View| {
            linkable(view, id)?;
            Ok(Plan { changes: vec![EntryChange::put(Entry::AwsKey(Box::new(entry.clone())))], answer: () })
        };
        self.writer.change(permit.trail(), plan).await?;
        self.make_in_aws(permit.trail(), id.0, turn).await?;
        self.any_key(id.0).await
    }
}

/// The entry of a HYOK key's counterpart.
pub(in crate::core) fn counterpart(
    key_store: &KeyStoreEntry,
    id: KeyId,
    (for_aws, step): (ForAws, KeyStep),
) -> Result<AwsKeyEntry, CoreError> {
    let kms = key_store.kms.ok_or_else(|| CoreError::State("the key store is in no KMS container".into()))?;
    let place = Place { kms, region: &key_store.region };
    let entry = AwsKeyEntry::new(id.0, place, AwsKeyKind::Hyok { store: key_store.id.0 }, for_aws);
    Ok(AwsKeyEntry { doing: Some(step), ..entry })
}

/// The key store's counterpart, which AWS must be able to reach.
pub(in crate::core) fn connected(view: &View, store: StoreId) -> Result<AwsKeyStoreEntry, CoreError> {
    let refused =
        |why: &str| Err(CoreError::State(format!("a linked key needs a key store that is linked and connected, and this one {why}")));
    match view.aws_key_store(store.0)? {
        Some(found) if found.gone || found.custom_key_store_id.is_none() => refused("is not linked"),
        Some(found) if found.state != ConnectionState::Connected => refused(&format!("is {}", found.state.as_str())),
        Some(found) => Ok(found),
        None => refused("is not linked"),
    }
}

fn linkable(view: &View, id: KeyId) -> Result<(), CoreError> {
    let key = any_key(view, id.0)?;
    let Some(hyok) = &key.hyok else { return Err(CoreError::State("only HYOK keys are linked; AWS has this key already".into())) };
    match &key.aws {
        Some(aws) if !aws.gone && aws.told.is_some() => return Err(CoreError::State("the key is linked already".into())),
        Some(aws) if !aws.gone => return Err(CoreError::State("the key is being linked already".into())),
        // AWS has deleted the counterpart that it had.
        Some(_) | None => {}
    }
    connected(view, hyok.key_store.id).map(drop)
}
