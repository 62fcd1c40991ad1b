//! All keys as one list: the HYOK keys first, then what AWS has besides.

use std::{collections::HashMap, sync::Arc};

use holdfast_proto::ids::KeyId;
use uuid::Uuid;

use super::{AnyKey, NOT_FOUND, PlacedKey};
use crate::{
    access::{Permit, Read},
    core::{
        Core, CoreError,
        hyok_keys::{self, Placed},
    },
    store::{
        ReadError, View,
        entry::{AwsKeyEntry, AwsKeyKind, AwsKeyStoreEntry, KmsContainerEntry},
    },
};

impl Core {
    /// The keys that `choose` takes, in its order, with what else it gives.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn keys<T: Send>(
        &self,
        _permit: &Permit<Read>,
        choose: impl FnOnce(Vec<PlacedKey>) -> (Vec<PlacedKey>, T) + Send,
    ) -> Result<(Vec<AnyKey>, T), CoreError> {
        let view = self.view().await?;
        let (chosen, more) = choose(all(&view)?);
        let chosen = chosen.into_iter().map(|key| whole(&view, key)).collect::<Result<_, _>>()?;
        Ok((chosen, more))
    }

    /// One key.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn key(&self, _permit: &Permit<Read>, id: Uuid) -> Result<AnyKey, CoreError> {
        self.any_key(id).await
    }

    /// One key, to answer with after something was done to it.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub(crate) async fn any_key(&self, id: Uuid) -> Result<AnyKey, CoreError> {
        any_key(&self.view().await?, id)
    }
}

/// One key with all that is shown of it.
pub(in crate::core) fn any_key(view: &View, id: Uuid) -> Result<AnyKey, CoreError> {
    let aws = view.aws_key(id)?;
    let hyok = match hyok_keys::backed(view, KeyId(id)) {
        Ok(backed) => Some(backed),
        Err(CoreError::NotFound(_)) => None,
        Err(other) => return Err(other),
    };
    if hyok.is_none() && aws.is_none() {
        return Err(NOT_FOUND);
    }
    let kms = match (&hyok, &aws) {
        (Some(hyok), _) => hyok.kms.clone(),
        (None, Some(aws)) => view.kms_container(aws.kms)?.map(Arc::new),
        (None, None) => None,
    };
    let key_store = aws.as_ref().map(|aws| Shared::read(view).map(|shared| shared.key_store(aws))).transpose()?.flatten();
    Ok(AnyKey { hyok, aws, kms, key_store })
}

fn all(view: &View) -> Result<Vec<PlacedKey>, CoreError> {
    let shared = Shared::read(view)?;
    let mut in_aws: HashMap<_, _> = view.aws_keys()?.into_iter().map(|aws| (aws.id, aws)).collect();
    let mut all = Vec::new();
    for key_store in view.key_stores()? {
        let (key_store, kms) = hyok_keys::shared(view, key_store)?;
        for key in view.hyok_keys(key_store.id)? {
            let aws = in_aws.remove(&key.id.0);
            let in_store = aws.as_ref().and_then(|aws| shared.key_store(aws));
            let placed = Placed { key_store: Arc::clone(&key_store), kms: kms.clone(), key };
            all.push(PlacedKey { hyok: Some(placed), aws, kms: kms.clone(), key_store: in_store });
        }
    }
    let mut others: Vec<_> = in_aws.into_values().collect();
    others.sort_by_key(|aws| aws.id);
    all.extend(others.into_iter().map(|aws| {
        let (kms, key_store) = (shared.containers.get(&aws.kms).cloned(), shared.key_store(&aws));
        PlacedKey { hyok: None, aws: Some(aws), kms, key_store }
    }));
    Ok(all)
}

fn whole(view: &View, key: PlacedKey) -> Result<AnyKey, CoreError> {
    let PlacedKey { hyok, aws, kms, key_store } = key;
    Ok(AnyKey { hyok: hyok.map(|placed| hyok_keys::with_virtual_key(view, placed)).transpose()?, aws, kms, key_store })
}

/// What many keys refer to.
struct Shared {
    containers: HashMap<Uuid, Arc<KmsContainerEntry>>,
    key_stores: Vec<Arc<AwsKeyStoreEntry>>,
}

impl Shared {
    fn read(view: &View) -> Result<Self, ReadError> {
        let containers = view.kms_containers()?.into_iter().map(|kms| (kms.id, Arc::new(kms))).collect();
        let key_stores = view.aws_key_stores()?.into_iter().map(Arc::new).collect();
        Ok(Self { containers, key_stores })
    }

    fn key_store(&self, key: &AwsKeyEntry) -> Option<Arc<AwsKeyStoreEntry>> {
        let by_id = |id: Uuid| self.key_stores.iter().find(|store| store.id == id).cloned();
        match &key.kind {
            AwsKeyKind::Hyok { store } => by_id(*store),
            AwsKeyKind::CloudHsm { store } => store.and_then(by_id),
            AwsKeyKind::External { custom_key_store_id } => {
                self.key_stores.iter().find(|store| store.custom_key_store_id.as_ref() == Some(custom_key_store_id)).cloned()
            }
            AwsKeyKind::Native | AwsKeyKind::Imported { .. } => None,
        }
    }
}
