//! Custom key stores in AWS: the counterparts of linked key stores, those on AWS CloudHSM clusters, and those of other proxies.
//!
//! Always holds: what is begun in AWS is committed before AWS is asked (`step`), and what became of it is found out (`verdict`, `outcome`,
//! `follow`), whatever happens in between; passwords are passed on and never kept.

mod cloud_hsm;
mod clusters;
mod connection;
mod follow;
mod look;
mod outcome;
mod step;
mod sync;
mod verdict;

use std::collections::BTreeSet;

use uuid::Uuid;

pub use self::cloud_hsm::{CloudHsmPatch, FixedOnCluster, NewCloudHsmStore};
pub(super) use self::{
    outcome::{all_of_it, ended_keys, is_in},
    step::{begun, idle, put, stands},
};
use super::CoreError;
use crate::store::{
    View,
    entry::{AwsKeyStoreEntry, AwsKeyStoreKind, ConnectionState, Stamps},
};

impl AwsKeyStoreEntry {
    /// Of a store that AWS has not been seen to have, in a KMS container and region.
    pub(super) fn new((id, kms): (Uuid, Uuid), region: &str, (name, kind): (String, AwsKeyStoreKind), stamps: Stamps) -> Self {
        Self {
            id,
            kms,
            region: region.to_owned(),
            name,
            custom_key_store_id: None,
            kind,
            state: ConnectionState::Disconnected,
            connection_error: None,
            doing: None,
            before: None,
            unsure_credentials: BTreeSet::new(),
            failure: None,
            rotation_job: None,
            gone: false,
            synced_ns: 0,
            stamps,
        }
    }
}

/// The custom key store in AWS, or that there is none.
pub(super) fn found(view: &View, id: Uuid) -> Result<AwsKeyStoreEntry, CoreError> {
    if let Some(entry) = view.aws_key_store(id)? {
        return Ok(entry);
    }
    // Where there is one here, it is only not linked.
    super::key_stores::found(view, holdfast_proto::ids::StoreId(id))?;
    Err(super::key_stores::NotNow::NotLinked.into())
}

#[cfg(test)]
mod tests;
