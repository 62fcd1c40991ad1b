//! Where a job looks: regions of accounts, and the KMS containers that have them.
//!
//! Always holds: a region of an account is there once, however many containers have it.

use std::collections::BTreeMap;

use crate::store::entry::{KmsContainerEntry, SyncJobEntry};

/// A region of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// 12 digits.
    pub(super) account: String,
    pub(super) region: String,
    /// Those of the job that have it, at least one.
    pub(super) containers: Vec<KmsContainerEntry>,
}

impl Target {
    /// As a job's detail calls it.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.account, self.region)
    }
}

/// Where `job` looks, given all containers that there are.
pub(super) fn of(job: &SyncJobEntry, containers: Vec<KmsContainerEntry>) -> Vec<Target> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for container in containers.into_iter().filter(|container| job.kms.contains(&container.id)) {
        for region in container.regions.iter().filter(|region| job.regions.is_empty() || job.regions.contains(region)) {
            found.entry((container.account_id.clone(), region.clone())).or_default().push(container.clone());
        }
    }
    let all = found.into_iter().map(|((account, region), containers)| Target { account, region, containers });
    all.filter(|target| job.only.as_ref().is_none_or(|only| only.contains(&target.name()))).collect()
}
