//! CloudHSM clusters that no custom key store uses, and that stay.

use std::collections::BTreeSet;

use aws_sdk_cloudhsmv2::types::{Cluster, ClusterState};

use crate::{
    access::{Permit, Read},
    aws::stores::{self, Behind},
    core::{Core, CoreError, key_stores::container},
};

impl Core {
    /// The CloudHSM clusters of a KMS container (by id or name) and region that no custom key store there uses, asked of AWS now.
    ///
    /// # Errors
    /// [`CoreError::Invalid`] for the container or region; what AWS refuses.
    pub async fn unused_clusters(&self, _permit: &Permit<Read>, kms: &str, region: &str) -> Result<Vec<Cluster>, CoreError> {
        let account = {
            let view = self.view().await?;
            self.account_of(&view, &container(&view, kms, region)?)?
        };
        let clusters: Vec<_> = stores::clusters(&self.aws.cloud_hsm(&account, region)).await?.into_iter().filter(is_there).collect();
        if clusters.is_empty() {
            return Ok(clusters);
        }
        let used = stores::list(&self.aws.kms(&account, region)).await?.into_iter().filter_map(|store| match store.behind {
            Behind::Cluster { id, .. } => Some(id),
            Behind::Proxy { .. } => None,
        });
        let used: BTreeSet<_> = used.collect();
        Ok(clusters.into_iter().filter(|cluster| cluster.cluster_id.as_ref().is_none_or(|id| !used.contains(id))).collect())
    }
}

/// AWS tells for a while of clusters that are deleted.
const fn is_there(cluster: &Cluster) -> bool {
    !matches!(cluster.state, Some(ClusterState::DeleteInProgress | ClusterState::Deleted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_is_deleted_or_about_to_be_is_not_there() {
        for (state, there) in
            [("ACTIVE", true), ("UNINITIALIZED", true), ("DEGRADED", true), ("DELETE_IN_PROGRESS", false), ("DELETED", false)]
        {
            assert_eq!(is_there(&Cluster::builder().state(state.into()).build()), there, "{state}");
        }
        assert!(is_there(&Cluster::builder().build()));
    }
}
