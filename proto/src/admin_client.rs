//! The admin API's services over one connection, for whoever calls them: the command line, tests and benches.

use tonic::{
    body::Body,
    client::GrpcService,
    codegen::{Body as HttpBody, Bytes, StdError},
};

use crate::admin::{
    access_client::AccessClient, hyok_keys_client::HyokKeysClient, key_stores_client::KeyStoresClient,
    maintenance_client::MaintenanceClient, nodes_client::NodesClient, partitions_client::PartitionsClient,
    source_keys_client::SourceKeysClient, users_client::UsersClient, virtual_keys_client::VirtualKeysClient,
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
            maintenance: MaintenanceClient::new(service),
        }
    }
}
