//! gRPC, thin: parse, ask, answer.

mod access;
mod aws_connections;
mod aws_keys;
mod convert;
mod hyok_keys;
mod jobs;
mod key_stores;
mod kms_containers;
mod maintenance;
mod nodes;
mod partitions;
mod policy_templates;
mod source_keys;
mod synchronization;
mod users;
mod virtual_keys;

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::ConnectInfo};
use holdfast_proto::{
    ADMIN_DESCRIPTORS,
    admin::{
        access_server::AccessServer, aws_connections_server::AwsConnectionsServer, aws_keys_server::AwsKeysServer,
        hyok_keys_server::HyokKeysServer, jobs_server::JobsServer, key_stores_server::KeyStoresServer,
        kms_containers_server::KmsContainersServer, maintenance_server::MaintenanceServer, nodes_server::NodesServer,
        partitions_server::PartitionsServer, policy_templates_server::PolicyTemplatesServer, source_keys_server::SourceKeysServer,
        synchronization_server::SynchronizationServer, users_server::UsersServer, virtual_keys_server::VirtualKeysServer,
    },
};
use tonic::{Extensions, Request, Response, Status};
use uuid::Uuid;

use self::{
    access::AccessApi, aws_connections::AwsConnectionsApi, aws_keys::AwsKeysApi, hyok_keys::HyokKeysApi, jobs::JobsApi,
    key_stores::KeyStoresApi, kms_containers::KmsContainersApi, maintenance::MaintenanceApi, nodes::NodesApi, partitions::PartitionsApi,
    policy_templates::PolicyTemplatesApi, source_keys::SourceKeysApi, synchronization::SynchronizationApi, users::UsersApi,
    virtual_keys::VirtualKeysApi,
};
use super::{
    Api, LONGEST_BODY,
    call::{Call, Origin, bearer},
    error::{Kind, Refusal},
};
use crate::{
    access::{Permit, Right},
    audit::Via,
};

/// All gRPC paths.
///
/// # Errors
/// When the protocol files don't decode.
pub(super) fn router(api: Arc<Api>) -> Result<Router, tonic_reflection::server::Error> {
    // Open to all: what it tells is public, and tools ask before they have a token.
    let reflection = tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(ADMIN_DESCRIPTORS).build_v1()?;
    let access = AccessServer::new(AccessApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let key_stores = KeyStoresServer::new(KeyStoresApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let hyok_keys = HyokKeysServer::new(HyokKeysApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let source_keys = SourceKeysServer::new(SourceKeysApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let partitions = PartitionsServer::new(PartitionsApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let maintenance = MaintenanceServer::new(MaintenanceApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let users = UsersServer::new(UsersApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let virtual_keys = VirtualKeysServer::new(VirtualKeysApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let connections = AwsConnectionsServer::new(AwsConnectionsApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let containers = KmsContainersServer::new(KmsContainersApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let aws_keys = AwsKeysServer::new(AwsKeysApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let templates = PolicyTemplatesServer::new(PolicyTemplatesApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let synchronization = SynchronizationServer::new(SynchronizationApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let jobs = JobsServer::new(JobsApi(Arc::clone(&api))).max_decoding_message_size(LONGEST_BODY);
    let nodes = NodesServer::new(NodesApi(api)).max_decoding_message_size(LONGEST_BODY);
    Ok(Router::new()
        .route_service("/holdfast.admin.v1.Access/{method}", access)
        .route_service("/holdfast.admin.v1.Users/{method}", users)
        .route_service("/holdfast.admin.v1.KeyStores/{method}", key_stores)
        .route_service("/holdfast.admin.v1.HyokKeys/{method}", hyok_keys)
        .route_service("/holdfast.admin.v1.SourceKeys/{method}", source_keys)
        .route_service("/holdfast.admin.v1.Partitions/{method}", partitions)
        .route_service("/holdfast.admin.v1.Maintenance/{method}", maintenance)
        .route_service("/holdfast.admin.v1.VirtualKeys/{method}", virtual_keys)
        .route_service("/holdfast.admin.v1.AwsConnections/{method}", connections)
        .route_service("/holdfast.admin.v1.KmsContainers/{method}", containers)
        .route_service("/holdfast.admin.v1.AwsKeys/{method}", aws_keys)
        .route_service("/holdfast.admin.v1.PolicyTemplates/{method}", templates)
        .route_service("/holdfast.admin.v1.Synchronization/{method}", synchronization)
        .route_service("/holdfast.admin.v1.Jobs/{method}", jobs)
        .route_service("/holdfast.admin.v1.Nodes/{method}", nodes)
        .route_service("/grpc.reflection.v1.ServerReflection/{method}", reflection))
}

impl Api {
    /// [`Api::call`] for gRPC.
    pub(super) async fn rpc<Q, A, R: Right, F>(
        &self,
        request: Request<Q>,
        call: Call,
        act: impl FnOnce(Permit<R>, Q) -> F + Send,
    ) -> Result<Response<A>, Status>
    where
        Q: Send,
        F: Future<Output = Result<A, Refusal>> + Send,
    {
        let (metadata, extensions, message) = request.into_parts();
        let authorization = metadata.get("authorization").and_then(|value| value.to_str().ok());
        let origin = Origin { token: bearer(authorization), ..stranger(&extensions) };
        Ok(Response::new(self.call(origin, call, |permit| act(permit, message)).await?))
    }
}

/// Where a call without a token comes from.
fn stranger(extensions: &Extensions) -> Origin<'static> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    Origin { via: Via::Grpc, token: None, peer }
}

fn id(field: &'static str, text: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(text).map_err(|_| Refusal::new(Kind::Invalid, format!("{field}: must be a UUID, as a list shows it")))
}
