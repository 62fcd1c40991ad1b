//! Key stores and their credentials. Key stores are named by id or name.

mod convert;

use std::sync::Arc;

use holdfast_proto::{admin as wire, ids::CredentialId};
use tonic::{Request, Response, Status};

use self::convert::{credential, key_store, new_key_store, patch, used_credential};
use super::{convert::texts, id};
use crate::{
    access::{Manage, Permit, Read, Use},
    api::{Api, call::Call},
};

/// The service.
pub(super) struct KeyStoresApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::key_stores_server::KeyStores for KeyStoresApi {
    async fn list_key_stores(&self, request: Request<wire::ListKeyStoresRequest>) -> Result<Response<wire::ListKeyStoresResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Read>, _| async move {
            let key_stores = core.key_stores(&permit).await?.into_iter().map(key_store).collect();
            Ok(wire::ListKeyStoresResponse { key_stores })
        };
        self.0.rpc(request, Call::new("key_store.list", ""), act).await
    }

    async fn get_key_store(&self, request: Request<wire::GetKeyStoreRequest>) -> Result<Response<wire::GetKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.get", &request.get_ref().id));
        let act = |permit: Permit<Read>, q: wire::GetKeyStoreRequest| async move {
            let found = core.find_key_store(&permit, &q.id).await?;
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
                key_store: Some(key_store(created.key_store)),
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
            let found = core.find_key_store(&permit, &q.id).await?;
            let applied = core.update_key_store(&permit, found.id, patch(q)?).await?;
            Ok(wire::UpdateKeyStoreResponse { key_store: Some(key_store(applied.value)), pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_key_store(
        &self,
        request: Request<wire::DeleteKeyStoreRequest>,
    ) -> Result<Response<wire::DeleteKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.delete", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteKeyStoreRequest| async move {
            let found = core.find_key_store(&permit, &q.id).await?;
            let applied = core.delete_key_store(&permit, found.id).await?;
            Ok(wire::DeleteKeyStoreResponse { pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn block_key_store(&self, request: Request<wire::BlockKeyStoreRequest>) -> Result<Response<wire::BlockKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.block", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::BlockKeyStoreRequest| async move {
            let found = core.find_key_store(&permit, &q.id).await?;
            let applied = core.set_key_store_blocked(&permit, found.id, true).await?;
            Ok(wire::BlockKeyStoreResponse { key_store: Some(key_store(applied.value)), pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn unblock_key_store(
        &self,
        request: Request<wire::UnblockKeyStoreRequest>,
    ) -> Result<Response<wire::UnblockKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.unblock", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::UnblockKeyStoreRequest| async move {
            let found = core.find_key_store(&permit, &q.id).await?;
            let applied = core.set_key_store_blocked(&permit, found.id, false).await?;
            Ok(wire::UnblockKeyStoreResponse { key_store: Some(key_store(applied.value)), pending_nodes: texts(applied.pending) })
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
            let found = core.find_key_store(&permit, &q.key_store_id).await?;
            let applied = core.create_credential(&permit, found.id).await?;
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
            let found = core.find_key_store(&permit, &q.key_store_id).await?;
            let applied = core.rotate_credential(&permit, found.id).await?;
            let rotated = applied.value;
            Ok(wire::RotateCredentialResponse {
                key_store: Some(key_store(rotated.key_store)),
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
            let found = core.find_key_store(&permit, &q.key_store_id).await?;
            let credentials = core.credentials(&permit, found.id).await?;
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
            let found = core.find_key_store(&permit, &q.key_store_id).await?;
            let applied = core.delete_credential(&permit, found.id, CredentialId(id("id", &q.id)?)).await?;
            Ok(wire::DeleteCredentialResponse { pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }
}
