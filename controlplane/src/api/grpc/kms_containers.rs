//! KMS containers, named by id or name.

use std::sync::Arc;

use holdfast_proto::admin as wire;
use tonic::{Request, Response, Status};

use super::convert::{NS_PER_MS, said};
use crate::{
    access::{Manage, Permit, Read},
    api::{Api, call::Call},
    core::kms_containers::{AclChange, GivenContainer, shown},
    store::entry::{AclEntry, AclSubject, AssumeRole, KmsContainerEntry},
};

/// The service.
pub(super) struct KmsContainersApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::kms_containers_server::KmsContainers for KmsContainersApi {
    async fn list_kms_containers(
        &self,
        request: Request<wire::ListKmsContainersRequest>,
    ) -> Result<Response<wire::ListKmsContainersResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Read>, _| async move {
            let containers = core.kms_containers(&permit).await?.into_iter().map(container).collect();
            Ok(wire::ListKmsContainersResponse { containers })
        };
        self.0.rpc(request, Call::new("kms_container.list", ""), act).await
    }

    async fn get_kms_container(
        &self,
        request: Request<wire::GetKmsContainerRequest>,
    ) -> Result<Response<wire::GetKmsContainerResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("kms_container.get", &request.get_ref().id));
        let act = |permit: Permit<Read>, q: wire::GetKmsContainerRequest| async move {
            let found = core.kms_container(&permit, &q.id).await?;
            Ok(wire::GetKmsContainerResponse { container: Some(container(found)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_kms_container(
        &self,
        request: Request<wire::CreateKmsContainerRequest>,
    ) -> Result<Response<wire::CreateKmsContainerResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("kms_container.create", &request.get_ref().name));
        let act = |permit: Permit<Manage>, q: wire::CreateKmsContainerRequest| async move {
            let given = GivenContainer {
                name: said(q.name),
                account_id: said(q.account_id),
                connection: said(q.connection),
                regions: Some(q.regions),
                assume_role: AssumeRole { arn: said(q.assume_role_arn), external_id: said(q.assume_role_external_id) },
            };
            let made = core.create_kms_container(&permit, given).await?;
            Ok(wire::CreateKmsContainerResponse { container: Some(container(made)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn update_kms_container(
        &self,
        request: Request<wire::UpdateKmsContainerRequest>,
    ) -> Result<Response<wire::UpdateKmsContainerResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("kms_container.update", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::UpdateKmsContainerRequest| async move {
            let given = GivenContainer {
                connection: said(q.connection),
                regions: Some(q.regions).filter(|regions| !regions.is_empty()),
                assume_role: AssumeRole { arn: said(q.assume_role_arn), external_id: said(q.assume_role_external_id) },
                ..GivenContainer::default()
            };
            let changed = core.change_kms_container(&permit, &q.id, given).await?;
            Ok(wire::UpdateKmsContainerResponse { container: Some(container(changed)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn update_kms_acls(&self, request: Request<wire::UpdateKmsAclsRequest>) -> Result<Response<wire::UpdateKmsAclsResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("kms_container.update_acls", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::UpdateKmsAclsRequest| async move {
            let changes = q.changes.into_iter().map(acl_change).collect();
            let changed = core.update_kms_acls(&permit, &q.id, changes).await?;
            Ok(wire::UpdateKmsAclsResponse { container: Some(container(changed)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_kms_container(
        &self,
        request: Request<wire::DeleteKmsContainerRequest>,
    ) -> Result<Response<wire::DeleteKmsContainerResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("kms_container.delete", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteKmsContainerRequest| async move {
            core.delete_kms_container(&permit, &q.id).await?;
            Ok(wire::DeleteKmsContainerResponse {})
        };
        self.0.rpc(request, call, act).await
    }
}

fn acl_change(change: wire::KmsAclChange) -> AclChange {
    AclChange { user: said(change.user_id), group: said(change.group), permit: change.permit, actions: change.actions }
}

fn container(entry: KmsContainerEntry) -> wire::KmsContainer {
    wire::KmsContainer {
        id: entry.id.to_string(),
        name: entry.name,
        account_id: entry.account_id,
        connection: entry.connection_as_sent,
        regions: entry.regions,
        assume_role_arn: entry.assume_role.arn.unwrap_or_default(),
        assume_role_external_id: entry.assume_role.external_id.unwrap_or_default(),
        cloud_name: entry.cloud.as_str().into(),
        acls: entry.acls.into_iter().map(acl).collect(),
        created_ms: entry.stamps.created_ns / NS_PER_MS,
        updated_ms: entry.stamps.updated_ns / NS_PER_MS,
    }
}

fn acl(entry: AclEntry) -> wire::KmsAcl {
    let actions = shown(&entry).into_iter().map(|action| action.as_str().to_owned()).collect();
    match entry.subject {
        AclSubject::User(user_id) => wire::KmsAcl { user_id, actions, ..wire::KmsAcl::default() },
        AclSubject::Group(group) => wire::KmsAcl { group, actions, ..wire::KmsAcl::default() },
    }
}
