//! Records that others refer to: connections, KMS containers, policy templates, job configurations, HSMs.

use uuid::Uuid;

use super::View;
use crate::store::{
    ReadError, Within,
    entry::{
        AwsConnectionEntry, ConnectionUsedEntry, EntryName, HsmConnectionEntry, HsmServerEntry, JobConfigEntry, JobRanEntry,
        KmsContainerEntry, PartitionEntry, PolicyTemplateEntry,
    },
};

impl View {
    /// All AWS connections.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn aws_connections(&self) -> Result<Vec<AwsConnectionEntry>, ReadError> {
        self.all(Within::AwsConnections)
    }

    /// One AWS connection.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn aws_connection(&self, id: Uuid) -> Result<Option<AwsConnectionEntry>, ReadError> {
        self.one(&EntryName::AwsConnection(id))
    }

    /// All KMS containers.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn kms_containers(&self) -> Result<Vec<KmsContainerEntry>, ReadError> {
        self.all(Within::KmsContainers)
    }

    /// One KMS container.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn kms_container(&self, id: Uuid) -> Result<Option<KmsContainerEntry>, ReadError> {
        self.one(&EntryName::KmsContainer(id))
    }

    /// All policy templates.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn policy_templates(&self) -> Result<Vec<PolicyTemplateEntry>, ReadError> {
        self.all(Within::PolicyTemplates)
    }

    /// One policy template.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn policy_template(&self, id: Uuid) -> Result<Option<PolicyTemplateEntry>, ReadError> {
        self.one(&EntryName::PolicyTemplate(id))
    }

    /// All job configurations.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn job_configs(&self) -> Result<Vec<JobConfigEntry>, ReadError> {
        self.all(Within::JobConfigs)
    }

    /// One job configuration.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn job_config(&self, id: Uuid) -> Result<Option<JobConfigEntry>, ReadError> {
        self.one(&EntryName::JobConfig(id))
    }

    /// All HSM servers.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hsm_servers(&self) -> Result<Vec<HsmServerEntry>, ReadError> {
        self.all(Within::HsmServers)
    }

    /// One HSM server.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hsm_server(&self, id: Uuid) -> Result<Option<HsmServerEntry>, ReadError> {
        self.one(&EntryName::HsmServer(id))
    }

    /// All HSM connections.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hsm_connections(&self) -> Result<Vec<HsmConnectionEntry>, ReadError> {
        self.all(Within::HsmConnections)
    }

    /// One HSM connection.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hsm_connection(&self, id: Uuid) -> Result<Option<HsmConnectionEntry>, ReadError> {
        self.one(&EntryName::HsmConnection(id))
    }

    /// All added partitions.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn partitions(&self) -> Result<Vec<PartitionEntry>, ReadError> {
        self.all(Within::Partitions)
    }

    /// One added partition.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn partition(&self, id: Uuid) -> Result<Option<PartitionEntry>, ReadError> {
        self.one(&EntryName::Partition(id))
    }

    /// How all job configurations last ended.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn jobs_ran(&self) -> Result<Vec<JobRanEntry>, ReadError> {
        self.all(Within::JobsRan)
    }

    /// How AWS last answered by all connections.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn connections_used(&self) -> Result<Vec<ConnectionUsedEntry>, ReadError> {
        self.all(Within::ConnectionsUsed)
    }
}
