//! gRPC, thin: parse, ask, answer.

mod convert;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{Router, extract::ConnectInfo};
use holdfast_proto::{
    admin::{self as wire, admin_server::AdminServer},
    ids::{CredentialId, KeyId, StoreId},
    secret::Secret,
};
use tonic::{Extensions, Request, Response, Status};
use uuid::Uuid;

use self::convert::{key, key_store, new_key, new_key_store, node, texts};
use super::{
    Api, LONGEST_BODY,
    call::{Call, Origin, bearer},
    error::{Kind, Refusal},
};
use crate::{
    access::{Administer, Manage, Permit, Read, Right, Use},
    audit::Via,
    names::NodeName,
};

/// All gRPC paths.
pub(super) fn router(api: Arc<Api>) -> Router {
    let server = AdminServer::new(AdminApi(api)).max_decoding_message_size(LONGEST_BODY);
    Router::new().route_service("/holdfast.admin.v1.Admin/{method}", server)
}

struct AdminApi(Arc<Api>);

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
        let origin = Origin { via: Via::Grpc, token: bearer(authorization), peer: peer(&extensions) };
        Ok(Response::new(self.call(origin, call, |permit| act(permit, message)).await?))
    }
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

#[tonic::async_trait]
impl wire::admin_server::Admin for AdminApi {
    async fn login(&self, request: Request<wire::LoginRequest>) -> Result<Response<wire::LoginResponse>, Status> {
        let origin = Origin { via: Via::Grpc, token: None, peer: peer(request.extensions()) };
        let wire::LoginRequest { username, password } = request.into_inner();
        let login = async { Ok(self.0.access.login(&username, Secret::new(password)).await?) };
        let token = self.0.open_call(origin, &username, "login", login).await?;
        let duration = u32::try_from(token.life.as_secs()).unwrap_or(u32::MAX);
        Ok(Response::new(wire::LoginResponse { jwt: token.jwt, duration }))
    }

    async fn list_nodes(&self, request: Request<wire::ListNodesRequest>) -> Result<Response<wire::ListNodesResponse>, Status> {
        let core = &self.0.core;
        let act = async |permit: Permit<Read>| Ok(wire::ListNodesResponse { nodes: core.nodes(&permit).iter().map(node).collect() });
        self.0.rpc(request, Call::new("node.list", ""), |permit, _| act(permit)).await
    }

    async fn resync_node(&self, request: Request<wire::ResyncNodeRequest>) -> Result<Response<wire::ResyncNodeResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("node.resync", &request.get_ref().name));
        let act = |permit: Permit<Administer>, q: wire::ResyncNodeRequest| async move {
            core.resync_node(&permit, &node_name(&q.name)?)?;
            Ok(wire::ResyncNodeResponse {})
        };
        self.0.rpc(request, call, act).await
    }

    async fn forget_node(&self, request: Request<wire::ForgetNodeRequest>) -> Result<Response<wire::ForgetNodeResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("node.forget", &request.get_ref().name));
        let act = |permit: Permit<Administer>, q: wire::ForgetNodeRequest| async move {
            let name = node_name(&q.name)?;
            let registered = core.forget_node(&permit, &name).await?;
            tracing::info!(node = %name, registered, "node forgotten");
            Ok(wire::ForgetNodeResponse {})
        };
        self.0.rpc(request, call, act).await
    }

    async fn list_key_stores(&self, request: Request<wire::ListKeyStoresRequest>) -> Result<Response<wire::ListKeyStoresResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Read>, _| async move {
            let key_stores = core.key_stores(&permit).await?.into_iter().map(key_store).collect();
            Ok(wire::ListKeyStoresResponse { key_stores })
        };
        self.0.rpc(request, Call::new("key_store.list", ""), act).await
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

    async fn list_keys(&self, request: Request<wire::ListKeysRequest>) -> Result<Response<wire::ListKeysResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key.list", &request.get_ref().key_store_id));
        let act = |permit: Permit<Read>, q: wire::ListKeysRequest| async move {
            let keys = core.hyok_keys(&permit, StoreId(id("key_store_id", &q.key_store_id)?)).await?;
            Ok(wire::ListKeysResponse { keys: keys.into_iter().map(key).collect() })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_key(&self, request: Request<wire::CreateKeyRequest>) -> Result<Response<wire::CreateKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key.create", &request.get_ref().key_store_id));
        let act = |permit: Permit<Manage>, q| async move {
            let created = core.create_hyok_key(&permit, new_key(q)?).await?;
            Ok(wire::CreateKeyResponse { key: Some(key(created)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn block_key(&self, request: Request<wire::BlockKeyRequest>) -> Result<Response<wire::BlockKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key.block", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::BlockKeyRequest| async move {
            let applied = core.set_hyok_key_blocked(&permit, KeyId(id("id", &q.id)?), true).await?;
            Ok(wire::BlockKeyResponse { key: Some(key(applied.value)), pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn unblock_key(&self, request: Request<wire::UnblockKeyRequest>) -> Result<Response<wire::UnblockKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key.unblock", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::UnblockKeyRequest| async move {
            let applied = core.set_hyok_key_blocked(&permit, KeyId(id("id", &q.id)?), false).await?;
            Ok(wire::UnblockKeyResponse { key: Some(key(applied.value)), pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn rotate_key(&self, request: Request<wire::RotateKeyRequest>) -> Result<Response<wire::RotateKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("key.rotate", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::RotateKeyRequest| async move {
            let rotated = core.rotate_key(&permit, KeyId(id("id", &q.id)?)).await?;
            Ok(wire::RotateKeyResponse { version: rotated.version })
        };
        self.0.rpc(request, call, act).await
    }
}

fn id(field: &'static str, text: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(text).map_err(|_| Refusal::new(Kind::Invalid, format!("{field}: must be a UUID")))
}

fn node_name(text: &str) -> Result<NodeName, Refusal> {
    NodeName::try_from(text).map_err(|e| Refusal::new(Kind::Invalid, e.to_string()))
}
