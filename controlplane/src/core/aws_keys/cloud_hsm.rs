//! Keys on AWS CloudHSM clusters.

use uuid::Uuid;

use super::{AnyKey, Place, for_aws::settled};
use crate::{
    access::{Manage, Permit},
    core::{Core, CoreError, key_stores},
    store::{
        View,
        entry::{AwsKeyEntry, AwsKeyKind, AwsKeyStoreEntry, AwsKeyStoreKind, ConnectionState, ForAws},
    },
};

impl Core {
    /// Makes a key in a connected AWS CloudHSM key store (id or name).
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `Invalid`; `Exists` for the alias; `State` for a key store of another kind, or one that is not connected;
    /// `Aws`.
    pub async fn create_cloud_hsm_key(
        &self,
        permit: &Permit<Manage>,
        store: &str,
        (for_aws, template): (ForAws, Option<String>),
    ) -> Result<AnyKey, CoreError> {
        let entry = {
            let view = self.view().await?;
            let store = connected(&view, store)?;
            let for_aws = settled(&view, for_aws, template.as_deref())?;
            let place = Place { kms: store.kms, region: &store.region };
            AwsKeyEntry::new(Uuid::new_v4(), place, AwsKeyKind::CloudHsm { store: Some(store.id) }, for_aws)
        };
        let made = self.create_in_aws(permit.trail(), entry).await?;
        self.any_key(made.id).await
    }
}

fn connected(view: &View, wanted: &str) -> Result<AwsKeyStoreEntry, CoreError> {
    let by_id = Uuid::try_parse(wanted).ok().map(|id| view.aws_key_store(id)).transpose()?.flatten();
    let found = match by_id {
        Some(found) => Some(found),
        None => view.aws_key_stores()?.into_iter().find(|store| store.name == wanted),
    };
    let other = || CoreError::State("such keys are made in key stores on AWS CloudHSM only; this one is external".into());
    let Some(found) = found else {
        key_stores::find(view, wanted)?;
        return Err(other());
    };
    match &found.kind {
        AwsKeyStoreKind::CloudHsm { .. } if found.state == ConnectionState::Connected && !found.gone => Ok(found),
        AwsKeyStoreKind::CloudHsm { .. } => {
            Err(CoreError::State(format!("the key store must be CONNECTED, and is {}", found.state.as_str())))
        }
        AwsKeyStoreKind::Linked { .. } | AwsKeyStoreKind::Remote { .. } => Err(other()),
    }
}
