//! What AWS has of a key store, looked up and held against what is intended.
//!
//! Always holds: a store is ours only if AWS tells so: by its id, or by what it was made with, where no other entry has it.

use aws_sdk_kms::Client;
use holdfast_proto::ids::{CredentialId, StoreId};

use super::verdict::{Seen, patience};
use crate::{
    aws::{
        AwsError, AwsFault,
        stores::{self, Behind, StoreInAws},
    },
    clock::elapsed_since,
    core::{Core, CoreError},
    store::{
        ReadError, View,
        entry::{AwsKeyStoreEntry, AwsKeyStoreKind, BeforeEntry, KeyStoreStep},
    },
};

impl Core {
    /// Whether AWS can't be at anything any more that was begun with a key store, and tells everywhere what it did of it.
    pub(in crate::core) fn store_is_settled(&self, entry: &AwsKeyStoreEntry) -> bool {
        let changed_ns = entry.stamps.updated_ns;
        // Where nothing is begun a start is no reason to wait.
        let last_ns = if entry.doing.is_some() { self.stores_asked.last(entry.id, changed_ns) } else { changed_ns };
        elapsed_since(last_ns) >= patience(entry.doing.as_ref(), &self.aws)
    }

    /// The store in AWS: by AWS's id, or else the one that was made with what ours has.
    pub(super) async fn look_for(&self, kms: &Client, entry: &AwsKeyStoreEntry) -> Result<Option<StoreInAws>, CoreError> {
        if let Some(id) = &entry.custom_key_store_id {
            return Ok(stores::describe(kms, id).await?);
        }
        if let Some(told) = stores::describe(kms, &entry.name).await?
            && ours(&self.view().await?, entry, &told)?
        {
            return Ok(Some(told));
        }
        // Someone may have given it another name meanwhile.
        let told = stores::list(kms).await?;
        let view = self.view().await?;
        for told in told {
            if ours(&view, entry, &told)? {
                return Ok(Some(told));
            }
        }
        Ok(None)
    }

    /// What AWS has against what is intended.
    pub(super) async fn seen(&self, entry: &AwsKeyStoreEntry, (step, told): (&KeyStoreStep, &StoreInAws)) -> Result<Seen, CoreError> {
        let view = self.view().await?;
        let here = view.key_store(StoreId(entry.id))?;
        let as_intended = match (&entry.kind, &told.behind, &here) {
            (AwsKeyStoreKind::Linked { .. }, Behind::Proxy { address, uri_path, .. }, Some(here)) => {
                here.name == told.name && here.address == *address && here.uri_path.to_string() == *uri_path
            }
            (AwsKeyStoreKind::CloudHsm { cluster_id, .. }, Behind::Cluster { id, .. }, _) => cluster_id == id && entry.name == told.name,
            _ => false,
        };
        let signs_with_it = match step {
            KeyStoreStep::RotateCredential(_) if matches!(told.behind, Behind::Proxy { access_key_id: None, .. }) => {
                return Err(untold().into());
            }
            KeyStoreStep::RotateCredential(id) => signs_with(&view, entry, (*id, told))?,
            KeyStoreStep::Create
            | KeyStoreStep::Link
            | KeyStoreStep::Update
            | KeyStoreStep::Connect
            | KeyStoreStep::Disconnect
            | KeyStoreStep::Delete => false,
        };
        Ok(Seen { state: told.state, as_intended, signs_with_it })
    }
}

/// Whether what AWS has shows if the step was done, also one that AWS told to have refused.
pub(super) fn shows(entry: &AwsKeyStoreEntry) -> bool {
    match (&entry.doing, &entry.kind, &entry.before) {
        // A password alone is not told.
        (
            Some(KeyStoreStep::Update),
            AwsKeyStoreKind::CloudHsm { cluster_id, .. },
            Some(BeforeEntry::CloudHsm { name, cluster_id: was }),
        ) => *name != entry.name || was != cluster_id,
        (Some(KeyStoreStep::Create | KeyStoreStep::Link | KeyStoreStep::Update | KeyStoreStep::RotateCredential(_)), _, _) => true,
        (Some(KeyStoreStep::Connect | KeyStoreStep::Disconnect | KeyStoreStep::Delete) | None, _, _) => false,
    }
}

/// A store that is not known by its id yet is this entry's: by what stands behind it, and its name or the credential it was made with.
fn ours(view: &View, entry: &AwsKeyStoreEntry, told: &StoreInAws) -> Result<bool, CoreError> {
    let behind = match (&entry.kind, &told.behind) {
        (AwsKeyStoreKind::Linked { credential }, Behind::Proxy { uri_path, .. }) => {
            let here = view.key_store(StoreId(entry.id))?.is_some_and(|here| here.uri_path.to_string() == *uri_path);
            let named = match credential {
                Some(its) if entry.name != told.name => signs_with(view, entry, (*its, told))?,
                Some(_) | None => entry.name == told.name,
            };
            here && named
        }
        (AwsKeyStoreKind::CloudHsm { cluster_id, .. }, Behind::Cluster { id, .. }) => cluster_id == id,
        (AwsKeyStoreKind::Remote { uri_path, .. }, Behind::Proxy { uri_path: told, .. }) => uri_path == told,
        (AwsKeyStoreKind::Linked { .. } | AwsKeyStoreKind::Remote { .. }, Behind::Cluster { .. })
        | (AwsKeyStoreKind::CloudHsm { .. }, Behind::Proxy { .. }) => false,
    };
    let others = |other: &AwsKeyStoreEntry| other.id != entry.id && other.custom_key_store_id.as_ref() == Some(&told.id);
    Ok(behind && !view.aws_key_stores()?.iter().any(others))
}

/// What is not told can't be taken for not done.
fn untold() -> AwsError {
    let message = "the answer does not tell with which credential AWS signs".into();
    AwsError { call: "KMS DescribeCustomKeyStores", fault: AwsFault::Refused, code: None, message, request_id: None }
}

/// Whether AWS signs with this credential of ours.
fn signs_with(view: &View, entry: &AwsKeyStoreEntry, (credential, told): (uuid::Uuid, &StoreInAws)) -> Result<bool, ReadError> {
    let Behind::Proxy { access_key_id, .. } = &told.behind else { return Ok(false) };
    let its = view.credential(StoreId(entry.id), CredentialId(credential))?;
    Ok(its.is_some_and(|its| Some(its.access_key_id.to_string()) == *access_key_id))
}
