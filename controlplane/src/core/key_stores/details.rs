//! Key stores for people, wherever they are served.

use holdfast_proto::ids::StoreId;
use uuid::Uuid;

use crate::{
    access::{Permit, Read, Right},
    core::{Core, CoreError},
    store::{
        View,
        entry::{AwsKeyStoreEntry, KeyStoreEntry, KmsContainerEntry, PartitionEntry, Stamps},
    },
};

/// A key store with what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStoreDetails {
    /// The key store.
    pub key_store: AnyKeyStore,
    /// Its KMS container.
    pub kms: Option<KmsContainerEntry>,
    /// The partition by which its tier was named.
    pub partition: Option<PartitionEntry>,
}

/// A key store, wherever it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyKeyStore {
    /// Served from here.
    Here {
        /// The key store.
        entry: KeyStoreEntry,
        /// Its counterpart in AWS, if it is linked.
        aws: Option<Box<AwsKeyStoreEntry>>,
    },
    /// On an AWS CloudHSM cluster, or served by another proxy.
    There(AwsKeyStoreEntry),
}

impl Core {
    /// All key stores, wherever they are served.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn all_key_stores(&self, _permit: &Permit<Read>) -> Result<Vec<KeyStoreDetails>, CoreError> {
        let view = self.view().await?;
        let mut aws = view.aws_key_stores()?;
        let mut all = Vec::new();
        for entry in view.key_stores()? {
            let its = aws.iter().position(|aws| aws.id == entry.id.0).map(|at| Box::new(aws.swap_remove(at)));
            all.push(AnyKeyStore::Here { entry, aws: its });
        }
        all.extend(aws.into_iter().map(AnyKeyStore::There));
        all.into_iter().map(|key_store| described(&view, key_store)).collect()
    }

    /// The key store with an id, wherever it is served.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn any_key_store<R: Right>(&self, _permit: &Permit<R>, id: Uuid) -> Result<KeyStoreDetails, CoreError> {
        let view = self.view().await?;
        described(&view, with_id(&view, id)?.ok_or(NOT_FOUND)?)
    }

    /// The key store with an id, or else the one with that name, wherever it is served; those that are served from here go first.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::Invalid`] for a name of several that are not served from here.
    pub async fn find_any_key_store<R: Right>(&self, _permit: &Permit<R>, wanted: &str) -> Result<KeyStoreDetails, CoreError> {
        let view = self.view().await?;
        if let Some(found) = Uuid::try_parse(wanted).ok().map(|id| with_id(&view, id)).transpose()?.flatten() {
            return described(&view, found);
        }
        let here = view.key_stores()?.into_iter().find(|entry| entry.name == wanted).map(|entry| entry.id.0);
        let there: Vec<_> = view.aws_key_stores()?.into_iter().filter(|entry| entry.name == wanted).map(|entry| entry.id).collect();
        let id = match (here, there.as_slice()) {
            (Some(id), _) => id,
            (None, [id]) => *id,
            (None, []) => return Err(NOT_FOUND),
            (None, [_, _, ..]) => return Err(CoreError::invalid("id", "several key stores have this name; give the id")),
        };
        described(&view, with_id(&view, id)?.ok_or(NOT_FOUND)?)
    }
}

impl AnyKeyStore {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        match self {
            Self::Here { entry, .. } => entry.id.0,
            Self::There(entry) => entry.id,
        }
    }

    /// What AWS has of it, if we told AWS of it or AWS us.
    #[must_use]
    pub fn aws(&self) -> Option<&AwsKeyStoreEntry> {
        match self {
            Self::Here { aws, .. } => aws.as_deref(),
            Self::There(entry) => Some(entry),
        }
    }

    /// When it was made, and when it or what AWS has of it last changed.
    #[must_use]
    pub fn stamps(&self) -> Stamps {
        match self {
            Self::Here { entry, aws } => {
                let updated_ns = aws.as_ref().map_or(0, |aws| aws.stamps.updated_ns).max(entry.stamps.updated_ns);
                Stamps { updated_ns, ..entry.stamps }
            }
            Self::There(entry) => entry.stamps,
        }
    }
}

fn with_id(view: &View, id: Uuid) -> Result<Option<AnyKeyStore>, CoreError> {
    Ok(match (view.key_store(StoreId(id))?, view.aws_key_store(id)?) {
        (Some(entry), aws) => Some(AnyKeyStore::Here { entry, aws: aws.map(Box::new) }),
        (None, Some(entry)) => Some(AnyKeyStore::There(entry)),
        (None, None) => None,
    })
}

fn described(view: &View, key_store: AnyKeyStore) -> Result<KeyStoreDetails, CoreError> {
    let (kms, partition) = match &key_store {
        AnyKeyStore::Here { entry, .. } => (entry.kms, entry.partition),
        AnyKeyStore::There(entry) => (Some(entry.kms), None),
    };
    Ok(KeyStoreDetails {
        kms: kms.map(|id| view.kms_container(id)).transpose()?.flatten(),
        partition: partition.map(|id| view.partition(id)).transpose()?.flatten(),
        key_store,
    })
}

const NOT_FOUND: CoreError = CoreError::NotFound("key store");
