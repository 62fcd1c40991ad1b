//! Keys that are made in AWS: those whose material AWS makes, and empty ones that wait for material.

use uuid::Uuid;

use super::{
    AnyKey, Place,
    kinds::{self, SpecAndUsage},
    settled,
};
use crate::{
    access::{Manage, Permit},
    core::{Core, CoreError, kms_containers},
    store::{
        View,
        entry::{AwsKeyEntry, AwsKeyKind, ForAws, KmsContainerEntry, NewKeySpec},
    },
};

/// A key that is to be made in AWS.
#[derive(Clone, Debug)]
pub struct NewAwsKey {
    /// The KMS container, name or id.
    pub kms: String,
    /// One of the container's regions.
    pub region: String,
    /// CustomerMasterKeySpec; none: what the material is, or symmetric.
    pub spec: Option<String>,
    /// KeyUsage; none: what the spec is for.
    pub usage: Option<String>,
    /// Of which replicas may be made in other regions.
    pub multi_region: bool,
    /// What AWS is to be told of it.
    pub for_aws: ForAws,
    /// The policy template (id or name) for that; none: what `for_aws` says.
    pub template: Option<String>,
}

impl Core {
    /// Makes a key in AWS: with material that AWS makes, or, where `external`, without any.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound` for the template; `Invalid`, also for a container that is not there; `Aws`.
    pub async fn create_native_key(&self, permit: &Permit<Manage>, new: NewAwsKey, external: bool) -> Result<AnyKey, CoreError> {
        let entry = {
            let view = self.view().await?;
            let made = kinds::native(new.spec.as_deref(), new.usage.as_deref())?;
            let kind = if external { AwsKeyKind::Imported { source: None } } else { AwsKeyKind::Native };
            entry(&view, new, (kind, made))?
        };
        let id = entry.id;
        self.create_in_aws(permit.trail(), entry).await?;
        self.any_key(id).await
    }
}

/// The entry of a key that is to be made.
pub(super) fn entry(view: &View, new: NewAwsKey, (kind, made): (AwsKeyKind, SpecAndUsage)) -> Result<AwsKeyEntry, CoreError> {
    let container = kms_containers::find(view, &new.kms).map_err(|error| error.of_named("kms", "there is no such KMS container"))?;
    in_region("region", &container, &new.region)?;
    let for_aws = settled(view, new.for_aws, new.template.as_deref())?;
    let spec = NewKeySpec { spec: made.spec.into(), usage: made.usage.into(), multi_region: new.multi_region, replica_of: None };
    let place = Place { kms: container.id, region: &new.region };
    Ok(AwsKeyEntry { spec, ..AwsKeyEntry::new(Uuid::new_v4(), place, kind, for_aws) })
}

/// Refuses a region that is not the container's.
pub(super) fn in_region(field: &'static str, container: &KmsContainerEntry, region: &str) -> Result<(), CoreError> {
    if container.regions.iter().any(|known| known == region) {
        return Ok(());
    }
    let regions = container.regions.join(", ");
    Err(CoreError::invalid(field, format!("must be one of the KMS container's regions, {regions}")))
}
