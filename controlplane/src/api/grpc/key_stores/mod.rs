//! Key stores and their credentials. Key stores are named by id or name.

mod convert;

use std::sync::Arc;

use holdfast_proto::{
    admin as wire,
    ids::{CredentialId, StoreId},
    secret::Secret,
};
use tonic::{Request, Response, Status};

use self::convert::{cluster, credential, key_store, new_key_store, new_on_cluster, patch, used_credential};
use super::{
    convert::{said, texts},
    id as uuid,
};
use crate::{
    access::{Manage, Permit, Read, Right, Use},
    api::{Api, call::Call},
    core::{Core, CoreError, aws_key_stores::CloudHsmPatch, key_stores::Address},
};

/// The service.
pub(super) struct KeyStoresApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::key_stores_server::KeyStores for KeyStoresApi {
    async fn list_key_stores(&self, request: Request<wire::ListKeyStoresRequest>) -> Result<Response<wire::ListKeyStoresResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Read>, _| async move {
            let key_stores = core.all_key_stores(&permit).await?.into_iter().map(key_store).collect();
            Ok(wire::ListKeyStoresResponse { key_stores })
        };
        self.0.rpc(request, Call::new("key_store.list", ""), act).await
    }

    async fn get_key_store(&self, request: Request<wire::GetKeyStoreRequest>) -> Result<Response<wire::GetKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.get", &request.get_ref().id));
        let act = |permit: Permit<Read>, q: wire::GetKeyStoreRequest| async move {
            let found = core.find_any_key_store(&permit, &q.id).await?;
            Ok(wire::GetKeyStoreResponse { key_store: Some(key_store(found)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_key_store(
        &self,
        request: Request<wire::CreateKeyStoreRequest>,
    ) -> Result<Response<wire::CreateKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.create", &request.get_ref().name));
        let act = |permit: Permit<Manage>, q| async move {
            let created = core.create_key_store(&permit, new_key_store(q)?).await?.value;
            Ok(wire::CreateKeyStoreResponse {
                key_store: Some(key_store(core.any_key_store(&permit, created.key_store.id.0).await?)),
                access_key_id: created.access_key_id.to_string(),
                // The one time that it is shown.
                secret_access_key: created.secret.expose().to_owned(),
            })
        };
        self.0.rpc(request, call, act).await
    }

    async fn update_key_store(
        &self,
        request: Request<wire::UpdateKeyStoreRequest>,
    ) -> Result<Response<wire::UpdateKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.update", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::UpdateKeyStoreRequest| async move {
            let id = found(core, &permit, &q.id).await?;
            let applied = core.update_key_store(&permit, id, patch(q)?).await?;
            Ok(wire::UpdateKeyStoreResponse { key_store: Some(shown(core, &permit, id).await?), pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_key_store(
        &self,
        request: Request<wire::DeleteKeyStoreRequest>,
    ) -> Result<Response<wire::DeleteKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.delete", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteKeyStoreRequest| async move {
            let id = found(core, &permit, &q.id).await?;
            let applied = core.delete_key_store(&permit, id).await?;
            Ok(wire::DeleteKeyStoreResponse { pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn block_key_store(&self, request: Request<wire::BlockKeyStoreRequest>) -> Result<Response<wire::BlockKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.block", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::BlockKeyStoreRequest| async move {
            let id = found(core, &permit, &q.id).await?;
            let applied = core.set_key_store_blocked(&permit, id, true).await?;
            Ok(wire::BlockKeyStoreResponse { key_store: Some(shown(core, &permit, id).await?), pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn unblock_key_store(
        &self,
        request: Request<wire::UnblockKeyStoreRequest>,
    ) -> Result<Response<wire::UnblockKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.unblock", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::UnblockKeyStoreRequest| async move {
            let id = found(core, &permit, &q.id).await?;
            let applied = core.set_key_store_blocked(&permit, id, false).await?;
            Ok(wire::UnblockKeyStoreResponse { key_store: Some(shown(core, &permit, id).await?), pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_cloud_hsm_key_store(
        &self,
        request: Request<wire::CreateCloudHsmKeyStoreRequest>,
    ) -> Result<Response<wire::CreateCloudHsmKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.create", &request.get_ref().name));
        let act = |permit: Permit<Manage>, q: wire::CreateCloudHsmKeyStoreRequest| async move {
            let id = StoreId(core.create_cloud_hsm_store(&permit, new_on_cluster(q)?).await?.id);
            Ok(wire::CreateCloudHsmKeyStoreResponse { key_store: Some(shown(core, &permit, id).await?) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn update_cloud_hsm_key_store(
        &self,
        request: Request<wire::UpdateCloudHsmKeyStoreRequest>,
    ) -> Result<Response<wire::UpdateCloudHsmKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.update", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::UpdateCloudHsmKeyStoreRequest| async move {
            let id = found(core, &permit, &q.id).await?;
            let password = said(q.key_store_password).map(Secret::new);
            let patch =
                CloudHsmPatch { name: said(q.name), cluster_id: said(q.cloud_hsm_cluster_id), password, ..CloudHsmPatch::default() };
            core.update_cloud_hsm_store(&permit, id.0, patch).await?;
            Ok(wire::UpdateCloudHsmKeyStoreResponse { key_store: Some(shown(core, &permit, id).await?) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn list_unused_cloud_hsm_clusters(
        &self,
        request: Request<wire::ListUnusedCloudHsmClustersRequest>,
    ) -> Result<Response<wire::ListUnusedCloudHsmClustersResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Read>, q: wire::ListUnusedCloudHsmClustersRequest| async move {
            let clusters = core.unused_clusters(&permit, &q.kms, &q.region).await?;
            Ok(wire::ListUnusedCloudHsmClustersResponse { clusters: clusters.iter().map(cluster).collect() })
        };
        self.0.rpc(request, Call::new("key_store.unused_clusters", ""), act).await
    }

    async fn link_key_store(&self, request: Request<wire::LinkKeyStoreRequest>) -> Result<Response<wire::LinkKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.link", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::LinkKeyStoreRequest| async move {
            let id = found(core, &permit, &q.id).await?;
            let address = Address {
                endpoint: said(q.xks_proxy_uri_endpoint),
                connectivity: said(q.xks_proxy_connectivity),
                vpc_service: said(q.xks_proxy_vpc_endpoint_service_name),
            };
            let applied = core.link_key_store(&permit, id, address).await?;
            Ok(wire::LinkKeyStoreResponse { key_store: Some(shown(core, &permit, id).await?), pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn connect_key_store(
        &self,
        request: Request<wire::ConnectKeyStoreRequest>,
    ) -> Result<Response<wire::ConnectKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.connect", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::ConnectKeyStoreRequest| async move {
            let id = found(core, &permit, &q.id).await?;
            core.connect_key_store(&permit, id.0, said(q.key_store_password).map(Secret::new)).await?;
            Ok(wire::ConnectKeyStoreResponse { key_store: Some(shown(core, &permit, id).await?) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn disconnect_key_store(
        &self,
        request: Request<wire::DisconnectKeyStoreRequest>,
    ) -> Result<Response<wire::DisconnectKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.disconnect", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DisconnectKeyStoreRequest| async move {
            let id = found(core, &permit, &q.id).await?;
            core.disconnect_key_store(&permit, id.0).await?;
            Ok(wire::DisconnectKeyStoreResponse { key_store: Some(shown(core, &permit, id).await?) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn enable_credential_rotation_job(
        &self,
        request: Request<wire::EnableCredentialRotationJobRequest>,
    ) -> Result<Response<wire::EnableCredentialRotationJobResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.enable_rotation_job", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::EnableCredentialRotationJobRequest| async move {
            let id = found(core, &permit, &q.id).await?;
            core.enable_credential_rotation_job(&permit, id.0, &q.job_id).await?;
            Ok(wire::EnableCredentialRotationJobResponse { key_store: Some(shown(core, &permit, id).await?) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn disable_credential_rotation_job(
        &self,
        request: Request<wire::DisableCredentialRotationJobRequest>,
    ) -> Result<Response<wire::DisableCredentialRotationJobResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.disable_rotation_job", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DisableCredentialRotationJobRequest| async move {
            let id = found(core, &permit, &q.id).await?;
            core.disable_credential_rotation_job(&permit, id.0).await?;
            Ok(wire::DisableCredentialRotationJobResponse { key_store: Some(shown(core, &permit, id).await?) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn check_key_store_health(
        &self,
        request: Request<wire::CheckKeyStoreHealthRequest>,
    ) -> Result<Response<wire::CheckKeyStoreHealthResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.health", &request.get_ref().id));
        let act = |_: Permit<Read>, q: wire::CheckKeyStoreHealthRequest| async move {
            core.check_health(&q.id).await?;
            Ok(wire::CheckKeyStoreHealthResponse {})
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_credential(
        &self,
        request: Request<wire::CreateCredentialRequest>,
    ) -> Result<Response<wire::CreateCredentialResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("credential.create", &request.get_ref().key_store_id));
        let act = |permit: Permit<Manage>, q: wire::CreateCredentialRequest| async move {
            let id = found(core, &permit, &q.key_store_id).await?;
            let applied = core.create_credential(&permit, id).await?;
            Ok(wire::CreateCredentialResponse {
                credential: Some(credential(&applied.value.credential)),
                // The one time that it is shown.
                secret_access_key: applied.value.secret.expose().to_owned(),
                pending_nodes: texts(applied.pending),
            })
        };
        self.0.rpc(request, call, act).await
    }

    async fn rotate_credential(
        &self,
        request: Request<wire::RotateCredentialRequest>,
    ) -> Result<Response<wire::RotateCredentialResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("credential.rotate", &request.get_ref().key_store_id));
        let act = |permit: Permit<Manage>, q: wire::RotateCredentialRequest| async move {
            let id = found(core, &permit, &q.key_store_id).await?;
            let applied = core.rotate_credential(&permit, id).await?;
            let rotated = applied.value;
            Ok(wire::RotateCredentialResponse {
                key_store: Some(shown(core, &permit, id).await?),
                credential: Some(credential(&rotated.created.credential)),
                // The one time that it is shown.
                secret_access_key: rotated.created.secret.expose().to_owned(),
                credential_count: u32::try_from(rotated.count).unwrap_or(u32::MAX),
                oldest_credential_id: rotated.oldest.to_string(),
                pending_nodes: texts(applied.pending),
            })
        };
        self.0.rpc(request, call, act).await
    }

    async fn list_credentials(
        &self,
        request: Request<wire::ListCredentialsRequest>,
    ) -> Result<Response<wire::ListCredentialsResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("credential.list", &request.get_ref().key_store_id));
        let act = |permit: Permit<Read>, q: wire::ListCredentialsRequest| async move {
            let id = found(core, &permit, &q.key_store_id).await?;
            let credentials = core.credentials(&permit, id).await?;
            Ok(wire::ListCredentialsResponse { credentials: credentials.iter().map(used_credential).collect() })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_credential(
        &self,
        request: Request<wire::DeleteCredentialRequest>,
    ) -> Result<Response<wire::DeleteCredentialResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("credential.delete", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteCredentialRequest| async move {
            let id = found(core, &permit, &q.key_store_id).await?;
            let applied = core.delete_credential(&permit, id, CredentialId(uuid("id", &q.id)?)).await?;
            Ok(wire::DeleteCredentialResponse { pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }
}

/// The id of a key store, wherever it is served, that is named by id or name.
async fn found<R: Right>(core: &Core, permit: &Permit<R>, wanted: &str) -> Result<StoreId, CoreError> {
    Ok(StoreId(core.find_any_key_store(permit, wanted).await?.key_store.id()))
}

/// A key store as it is now.
async fn shown<R: Right>(core: &Core, permit: &Permit<R>, id: StoreId) -> Result<wire::KeyStore, CoreError> {
    Ok(key_store(core.any_key_store(permit, id.0).await?))
}
