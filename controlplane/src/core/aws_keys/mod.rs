//! Keys in AWS KMS of every kind: HYOK keys that are linked, native, uploaded and CloudHSM keys, and keys of other proxies.
//!
//! Always holds: what is begun in AWS is committed as `doing` before AWS is asked, and one works on a key at a time (`AtWork`), so that
//! `Core::keep_following_aws_keys` can finish what a crash left; each key that is made here carries `holdfast-key`, by which it is found
//! again and which nobody is told of; no view is held while AWS is asked.

mod actions;
mod cloud_hsm;
mod create;
mod deletion;
mod describe;
mod find;
mod for_aws;
mod kinds;
mod link;
mod making;
mod material;
mod multi_region;
mod native;
mod pace;
mod policy;
mod reconcile;
mod rotation;
mod rotation_job;
mod source;
mod steps;
mod successor;
mod sync;
mod upload;

use std::sync::Arc;

use uuid::Uuid;

pub use self::{
    actions::KeyAction,
    for_aws::GivenForAws,
    material::NewImport,
    multi_region::NewReplica,
    native::NewAwsKey,
    policy::{TEMPLATE_TAG, policy_of},
    rotation::Material,
    rotation_job::RotateNow,
    successor::{NewKeyRotation, NewMaterial},
    upload::UploadSource,
};
pub(super) use self::{
    for_aws::settled,
    link::{connected, counterpart},
    policy::{carries, to_be_given},
    sync::Looked,
};
use super::{
    CoreError,
    hyok_keys::{Backed, Placed},
};
use crate::{
    clock::now_ns,
    store::{
        ReadError, View,
        entry::{AwsKeyEntry, AwsKeyKind, AwsKeyStoreEntry, ForAws, KeyInAws, KmsContainerEntry, NewKeySpec, Stamps, Tag},
    },
};

/// A key with all that is shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyKey {
    /// The HYOK key, if it is one of ours.
    pub hyok: Option<Backed>,
    /// What AWS has of it; none: a HYOK key that is not linked.
    pub aws: Option<AwsKeyEntry>,
    /// Its KMS container.
    pub kms: Option<Arc<KmsContainerEntry>>,
    /// Its custom key store in AWS, if it is in one that is known here.
    pub key_store: Option<Arc<AwsKeyStoreEntry>>,
}

/// A key and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedKey {
    /// The HYOK key, if it is one of ours.
    pub hyok: Option<Placed>,
    /// What AWS has of it; none: a HYOK key that is not linked.
    pub aws: Option<AwsKeyEntry>,
    /// Its KMS container.
    pub kms: Option<Arc<KmsContainerEntry>>,
    /// Its custom key store in AWS, if it is in one that is known here.
    pub key_store: Option<Arc<AwsKeyStoreEntry>>,
}

/// Where keys of AWS are.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The KMS container.
    pub kms: Uuid,
    /// The region.
    pub region: &'a str,
}

impl AwsKeyEntry {
    /// One of which AWS has nothing yet.
    pub(in crate::core) fn new(id: Uuid, place: Place<'_>, kind: AwsKeyKind, for_aws: ForAws) -> Self {
        Self {
            id,
            kms: place.kms,
            region: place.region.into(),
            kind,
            told: None,
            for_aws,
            spec: NewKeySpec::default(),
            doing: None,
            failure: None,
            rotation_job: None,
            rotations: Vec::new(),
            rotated_to: None,
            rotated_ns: None,
            gone: false,
            synced_ns: 0,
            stamps: Stamps::new(now_ns()),
        }
    }

    /// The key as AWS told it, while AWS has it.
    #[must_use]
    pub fn in_aws(&self) -> Option<&KeyInAws> {
        self.told.as_ref().filter(|_| !self.gone)
    }

    /// AWS has it no more. What it was is still told, but for its aliases: they went with it, and may be another key's.
    pub(in crate::core) fn vanished(&mut self) {
        self.gone = self.told.is_some();
        if let Some(told) = &mut self.told {
            told.aliases.clear();
        }
    }
}

impl AnyKey {
    /// AWS has it, as far as is known.
    #[must_use]
    pub fn linked(&self) -> bool {
        self.aws.as_ref().is_some_and(|aws| aws.in_aws().is_some())
    }
}

impl PlacedKey {
    /// AWS has it, as far as is known.
    #[must_use]
    pub fn linked(&self) -> bool {
        self.in_aws().is_some()
    }

    /// The key as AWS told it, while AWS has it.
    #[must_use]
    pub fn in_aws(&self) -> Option<&KeyInAws> {
        self.aws.as_ref()?.in_aws()
    }
}

/// The tags that are shown: all but our own.
pub fn shown_tags(told: &KeyInAws) -> impl Iterator<Item = &Tag> {
    told.tags.iter().filter(|tag| tag.key != OUR_TAG)
}

/// What AWS has of a key, to have something done to it there.
pub(in crate::core) fn in_aws(view: &View, id: Uuid) -> Result<(AwsKeyEntry, KeyInAws), CoreError> {
    match view.aws_key(id)? {
        Some(entry) => match entry.in_aws().cloned() {
            Some(told) => Ok((entry, told)),
            None if entry.gone => Err(CoreError::State("the key is not linked: AWS has deleted its key".into())),
            None => Err(CoreError::State("the key is not linked yet: AWS is being asked for it".into())),
        },
        None if is_hyok(view, id)? => Err(CoreError::State("the key is not linked: AWS has no key of it; link it first".into())),
        None => Err(NOT_FOUND),
    }
}

fn is_hyok(view: &View, id: Uuid) -> Result<bool, ReadError> {
    Ok(view.find_hyok_key(holdfast_proto::ids::KeyId(id))?.is_some())
}

/// The tag by which a key is found again: its value is the key's id here.
pub(in crate::core) const OUR_TAG: &str = "holdfast-key";

const NOT_FOUND: CoreError = CoreError::NotFound("key");

#[cfg(test)]
mod tests;
