//! The admin API's services over one connection, for whoever calls them: the command line, tests and benches.

use tonic::{
    body::Body,
    client::GrpcService,
    codegen::{Body as HttpBody, Bytes, StdError},
};

use crate::admin::{
    access_client::AccessClient, aws_connections_client::AwsConnectionsClient, aws_keys_client::AwsKeysClient,
    hyok_keys_client::HyokKeysClient, jobs_client::JobsClient, key_stores_client::KeyStoresClient,
    kms_containers_client::KmsContainersClient, maintenance_client::MaintenanceClient, nodes_client::NodesClient,
    partitions_client::PartitionsClient, policy_templates_client::PolicyTemplatesClient, source_keys_client::SourceKeysClient,
    synchronization_client::SynchronizationClient, users_client::UsersClient, virtual_keys_client::VirtualKeysClient,
};

/// All services. What it is made of brings the connection and the token.
#[derive(Clone, Debug)]
pub struct AdminClient<T> {
    /// Signing in and tools' tokens.
    pub access: AccessClient<T>,
    /// Users.
    pub users: UsersClient<T>,
    /// Key stores and credentials.
    pub key_stores: KeyStoresClient<T>,
    /// HYOK keys.
    pub hyok_keys: HyokKeysClient<T>,
    /// Virtual keys.
    pub virtual_keys: VirtualKeysClient<T>,
    /// Source keys.
    pub source_keys: SourceKeysClient<T>,
    /// Partitions and their keys.
    pub partitions: PartitionsClient<T>,
    /// Data planes.
    pub nodes: NodesClient<T>,
    /// How AWS accounts are reached.
    pub aws_connections: AwsConnectionsClient<T>,
    /// AWS accounts and their regions.
    pub kms_containers: KmsContainersClient<T>,
    /// Keys in AWS.
    pub aws_keys: AwsKeysClient<T>,
    /// Policies of keys in AWS.
    pub policy_templates: PolicyTemplatesClient<T>,
    /// What there is in AWS, looked at again.
    pub synchronization: SynchronizationClient<T>,
    /// What runs when.
    pub jobs: JobsClient<T>,
    /// Backup and reseal.
    pub maintenance: MaintenanceClient<T>,
}

impl<T> AdminClient<T>
where
    T: GrpcService<Body> + Clone,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// All services over `service`, a channel or one with an interceptor.
    #[must_use]
    pub fn new(service: T) -> Self {
        Self {
            access: AccessClient::new(service.clone()),
            users: UsersClient::new(service.clone()),
            key_stores: KeyStoresClient::new(service.clone()),
            hyok_keys: HyokKeysClient::new(service.clone()),
            virtual_keys: VirtualKeysClient::new(service.clone()),
            source_keys: SourceKeysClient::new(service.clone()),
            partitions: PartitionsClient::new(service.clone()),
            nodes: NodesClient::new(service.clone()),
            aws_connections: AwsConnectionsClient::new(service.clone()),
            kms_containers: KmsContainersClient::new(service.clone()),
            aws_keys: AwsKeysClient::new(service.clone()),
            policy_templates: PolicyTemplatesClient::new(service.clone()),
            synchronization: SynchronizationClient::new(service.clone()),
            jobs: JobsClient::new(service.clone()),
            maintenance: MaintenanceClient::new(service),
        }
    }
}
