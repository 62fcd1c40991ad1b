//! Key stores and their credentials.

use std::sync::Arc;

use holdfast_proto::{
    admin as wire,
    ids::{CredentialId, StoreId},
};
use tonic::{Request, Response, Status};

use super::{
    convert::{self, key_store, new_key_store, texts},
    id,
};
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

    async fn get_key_store(&self, _: Request<wire::GetKeyStoreRequest>) -> Result<Response<wire::GetKeyStoreResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn create_key_store(
        &self,
        request: Request<wire::CreateKeyStoreRequest>,
    ) -> Result<Response<wire::CreateKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.create", &request.get_ref().name));
        let act = |permit: Permit<Manage>, q| async move {
            let created = core.create_key_store(&permit, new_key_store(q)?).await?;
            Ok(wire::CreateKeyStoreResponse {
                key_store: Some(key_store(created.key_store)),
                access_key_id: created.access_key_id.to_string(),
                // The one time that it is shown.
                secret_access_key: created.secret.expose().to_owned(),
            })
        };
        self.0.rpc(request, call, act).await
    }

    async fn update_key_store(&self, _: Request<wire::UpdateKeyStoreRequest>) -> Result<Response<wire::UpdateKeyStoreResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn delete_key_store(&self, _: Request<wire::DeleteKeyStoreRequest>) -> Result<Response<wire::DeleteKeyStoreResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn block_key_store(&self, request: Request<wire::BlockKeyStoreRequest>) -> Result<Response<wire::BlockKeyStoreResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key_store.block", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::BlockKeyStoreRequest| async move {
            let applied = core.set_key_store_blocked(&permit, StoreId(id("id", &q.id)?), true).await?;
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
            let applied = core.set_key_store_blocked(&permit, StoreId(id("id", &q.id)?), false).await?;
            Ok(wire::UnblockKeyStoreResponse { key_store: Some(key_store(applied.value)), pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn check_key_store_health(
        &self,
        _: Request<wire::CheckKeyStoreHealthRequest>,
    ) -> Result<Response<wire::CheckKeyStoreHealthResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn create_credential(
        &self,
        request: Request<wire::CreateCredentialRequest>,
    ) -> Result<Response<wire::CreateCredentialResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("credential.create", &request.get_ref().key_store_id));
        let act = |permit: Permit<Manage>, q: wire::CreateCredentialRequest| async move {
            let applied = core.create_credential(&permit, StoreId(id("key_store_id", &q.key_store_id)?)).await?;
            Ok(wire::CreateCredentialResponse {
                credential: Some(convert::credential(&applied.value.credential)),
                // The one time that it is shown.
                secret_access_key: applied.value.secret.expose().to_owned(),
                pending_nodes: texts(applied.pending),
            })
        };
        self.0.rpc(request, call, act).await
    }

    async fn rotate_credential(
        &self,
        _: Request<wire::RotateCredentialRequest>,
    ) -> Result<Response<wire::RotateCredentialResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn list_credentials(
        &self,
        request: Request<wire::ListCredentialsRequest>,
    ) -> Result<Response<wire::ListCredentialsResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("credential.list", &request.get_ref().key_store_id));
        let act = |permit: Permit<Read>, q: wire::ListCredentialsRequest| async move {
            let credentials = core.credentials(&permit, StoreId(id("key_store_id", &q.key_store_id)?)).await?;
            Ok(wire::ListCredentialsResponse { credentials: credentials.iter().map(convert::credential).collect() })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_credential(
        &self,
        request: Request<wire::DeleteCredentialRequest>,
    ) -> Result<Response<wire::DeleteCredentialResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("credential.delete", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteCredentialRequest| async move {
            let (store, credential) = (StoreId(id("key_store_id", &q.key_store_id)?), CredentialId(id("id", &q.id)?));
            let applied = core.delete_credential(&permit, store, credential).await?;
            Ok(wire::DeleteCredentialResponse { pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }
}
