//! AWS connections, named by id or name. No answer has a secret in it.

use std::sync::Arc;

use holdfast_proto::{admin as wire, secret::Secret};
use tonic::{Request, Response, Status};

use super::convert::{NS_PER_MS, said};
use crate::{
    access::{Manage, Permit, Read},
    api::{Api, call::Call},
    core::aws_connections::{GivenConnection, GivenRoleAnywhere},
    store::entry::{AssumeRole, AwsConnectionEntry, ConnectionUsedEntry, RoleAnywhereEntry},
};

/// The service.
pub(super) struct AwsConnectionsApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::aws_connections_server::AwsConnections for AwsConnectionsApi {
    async fn list_aws_connections(
        &self,
        request: Request<wire::ListAwsConnectionsRequest>,
    ) -> Result<Response<wire::ListAwsConnectionsResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Read>, _| async move {
            let (all, mut used) = (core.aws_connections(&permit).await?, core.connections_used(&permit).await?);
            let shown = all.into_iter().map(|entry| {
                let used = used.remove(&entry.id);
                connection(entry, used)
            });
            Ok(wire::ListAwsConnectionsResponse { connections: shown.collect() })
        };
        self.0.rpc(request, Call::new("aws_connection.list", ""), act).await
    }

    async fn get_aws_connection(
        &self,
        request: Request<wire::GetAwsConnectionRequest>,
    ) -> Result<Response<wire::GetAwsConnectionResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_connection.get", &request.get_ref().id));
        let act = |permit: Permit<Read>, q: wire::GetAwsConnectionRequest| async move {
            let found = core.aws_connection(&permit, &q.id).await?;
            let used = core.connections_used(&permit).await?.remove(&found.id);
            Ok(wire::GetAwsConnectionResponse { connection: Some(connection(found, used)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_aws_connection(
        &self,
        request: Request<wire::CreateAwsConnectionRequest>,
    ) -> Result<Response<wire::CreateAwsConnectionResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_connection.create", &request.get_ref().name));
        let act = |permit: Permit<Manage>, q: wire::CreateAwsConnectionRequest| async move {
            let given = GivenConnection {
                name: said(q.name),
                description: said(q.description),
                access_key_id: said(q.access_key_id),
                secret_access_key: said(q.secret_access_key).map(Secret::new),
                assume_role: AssumeRole { arn: said(q.assume_role_arn), external_id: said(q.assume_role_external_id) },
                region: said(q.region),
                sts_endpoints: said(q.sts_endpoints),
                cloud: said(q.cloud_name),
                is_role_anywhere: q.role_anywhere.is_some(),
                role_anywhere: role_anywhere(q.role_anywhere, q.role_anywhere_private_key),
                ..GivenConnection::default()
            };
            let made = core.create_aws_connection(&permit, given).await?;
            Ok(wire::CreateAwsConnectionResponse { connection: Some(connection(made, None)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn update_aws_connection(
        &self,
        request: Request<wire::UpdateAwsConnectionRequest>,
    ) -> Result<Response<wire::UpdateAwsConnectionResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_connection.update", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::UpdateAwsConnectionRequest| async move {
            let given = GivenConnection {
                name: said(q.name),
                description: said(q.description),
                access_key_id: said(q.access_key_id),
                secret_access_key: said(q.secret_access_key).map(Secret::new),
                assume_role: AssumeRole { arn: said(q.assume_role_arn), external_id: said(q.assume_role_external_id) },
                region: said(q.region),
                sts_endpoints: said(q.sts_endpoints),
                cloud: said(q.cloud_name),
                is_role_anywhere: q.role_anywhere.is_some(),
                role_anywhere: role_anywhere(q.role_anywhere, q.role_anywhere_private_key),
                ..GivenConnection::default()
            };
            let changed = core.change_aws_connection(&permit, &q.id, given).await?;
            let used = core.connections_used(&permit).await?.remove(&changed.id);
            Ok(wire::UpdateAwsConnectionResponse { connection: Some(connection(changed, used)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_aws_connection(
        &self,
        request: Request<wire::DeleteAwsConnectionRequest>,
    ) -> Result<Response<wire::DeleteAwsConnectionResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_connection.delete", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteAwsConnectionRequest| async move {
            core.delete_aws_connection(&permit, &q.id).await?;
            Ok(wire::DeleteAwsConnectionResponse {})
        };
        self.0.rpc(request, call, act).await
    }

    async fn get_aws_account(&self, request: Request<wire::GetAwsAccountRequest>) -> Result<Response<wire::GetAwsAccountResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_account.show", &request.get_ref().connection));
        let act = |permit: Permit<Read>, q: wire::GetAwsAccountRequest| async move {
            let role = AssumeRole { arn: said(q.assume_role_arn), external_id: said(q.assume_role_external_id) };
            let account = core.aws_account(&permit, &q.connection, role).await?;
            let regions = account.regions.into_iter().map(ToOwned::to_owned).collect();
            Ok(wire::GetAwsAccountResponse { account_id: account.id, regions })
        };
        self.0.rpc(request, call, act).await
    }
}

fn role_anywhere(given: Option<wire::RoleAnywhere>, private_key: String) -> GivenRoleAnywhere {
    let wire::RoleAnywhere { role_arn, certificate, profile_arn, trust_anchor_arn } = given.unwrap_or_default();
    GivenRoleAnywhere {
        role_arn: said(role_arn),
        certificate: said(certificate),
        profile_arn: said(profile_arn),
        trust_anchor_arn: said(trust_anchor_arn),
        private_key: said(private_key).map(Secret::new),
    }
}

fn connection(entry: AwsConnectionEntry, used: Option<ConnectionUsedEntry>) -> wire::AwsConnection {
    wire::AwsConnection {
        id: entry.id.to_string(),
        name: entry.name,
        description: entry.description.unwrap_or_default(),
        access_key_id: entry.access_key_id.unwrap_or_default(),
        assume_role_arn: entry.assume_role.arn.unwrap_or_default(),
        assume_role_external_id: entry.assume_role.external_id.unwrap_or_default(),
        region: entry.region.unwrap_or_default(),
        sts_endpoints: entry.sts_endpoints.as_str().into(),
        cloud_name: entry.cloud.as_str().into(),
        role_anywhere: entry.role_anywhere.map(|RoleAnywhereEntry { role_arn, certificate, profile_arn, trust_anchor_arn, .. }| {
            wire::RoleAnywhere { role_arn, certificate, profile_arn, trust_anchor_arn }
        }),
        created_ms: entry.stamps.created_ns / NS_PER_MS,
        updated_ms: entry.stamps.updated_ns / NS_PER_MS,
        last_connection: used.map(|used| wire::LastConnection { at_ms: used.at_ns / NS_PER_MS, failure: used.failure.unwrap_or_default() }),
    }
}
