//! HYOK keys.

use std::sync::Arc;

use holdfast_proto::{
    admin as wire,
    ids::{KeyId, StoreId},
};
use tonic::{Request, Response, Status};

use super::{
    convert::{key, new_key, texts},
    id,
};
use crate::{
    access::{Manage, Permit, Read, Use},
    api::{Api, call::Call},
};

/// The service.
pub(super) struct HyokKeysApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::hyok_keys_server::HyokKeys for HyokKeysApi {
    async fn list_hyok_keys(&self, request: Request<wire::ListHyokKeysRequest>) -> Result<Response<wire::ListHyokKeysResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("hyok_key.list", &request.get_ref().key_store_id));
        let act = |permit: Permit<Read>, q: wire::ListHyokKeysRequest| async move {
            let keys = core.hyok_keys(&permit, StoreId(id("key_store_id", &q.key_store_id)?)).await?;
            Ok(wire::ListHyokKeysResponse { keys: keys.into_iter().map(key).collect() })
        };
        self.0.rpc(request, call, act).await
    }

    async fn get_hyok_key(&self, _: Request<wire::GetHyokKeyRequest>) -> Result<Response<wire::GetHyokKeyResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn create_hyok_key(&self, request: Request<wire::CreateHyokKeyRequest>) -> Result<Response<wire::CreateHyokKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("hyok_key.create", &request.get_ref().key_store_id));
        let act = |permit: Permit<Manage>, q| async move {
            let created = core.create_hyok_key(&permit, new_key(q)?).await?;
            Ok(wire::CreateHyokKeyResponse { key: Some(key(created)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn block_hyok_key(&self, request: Request<wire::BlockHyokKeyRequest>) -> Result<Response<wire::BlockHyokKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("hyok_key.block", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::BlockHyokKeyRequest| async move {
            let applied = core.set_hyok_key_blocked(&permit, KeyId(id("id", &q.id)?), true).await?;
            Ok(wire::BlockHyokKeyResponse { key: Some(key(applied.value)), pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn unblock_hyok_key(
        &self,
        request: Request<wire::UnblockHyokKeyRequest>,
    ) -> Result<Response<wire::UnblockHyokKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("hyok_key.unblock", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::UnblockHyokKeyRequest| async move {
            let applied = core.set_hyok_key_blocked(&permit, KeyId(id("id", &q.id)?), false).await?;
            Ok(wire::UnblockHyokKeyResponse { key: Some(key(applied.value)), pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn rotate_hyok_key(&self, request: Request<wire::RotateHyokKeyRequest>) -> Result<Response<wire::RotateHyokKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("hyok_key.rotate", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::RotateHyokKeyRequest| async move {
            let rotated = core.rotate_key(&permit, KeyId(id("id", &q.id)?)).await?;
            Ok(wire::RotateHyokKeyResponse { version: rotated.version })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_hyok_key(&self, _: Request<wire::DeleteHyokKeyRequest>) -> Result<Response<wire::DeleteHyokKeyResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }
}
