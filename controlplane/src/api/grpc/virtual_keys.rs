//! Virtual keys.

use std::sync::Arc;

use holdfast_proto::admin as wire;
use tonic::{Request, Response, Status};

use super::{convert::NS_PER_MS, hyok_keys::version, id};
use crate::{
    access::{Manage, Permit, Read},
    api::{Api, call::Call},
    core::virtual_keys::{NewVirtualKey, VirtualKey},
    store::entry::Tier,
};

/// The service.
pub(super) struct VirtualKeysApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::virtual_keys_server::VirtualKeys for VirtualKeysApi {
    async fn list_virtual_keys(
        &self,
        request: Request<wire::ListVirtualKeysRequest>,
    ) -> Result<Response<wire::ListVirtualKeysResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("virtual_key.list", ""));
        let act = |permit: Permit<Read>, _| async move {
            let keys = core.virtual_keys(&permit).await?;
            Ok(wire::ListVirtualKeysResponse { virtual_keys: keys.into_iter().map(key).collect() })
        };
        self.0.rpc(request, call, act).await
    }

    async fn get_virtual_key(&self, request: Request<wire::GetVirtualKeyRequest>) -> Result<Response<wire::GetVirtualKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("virtual_key.get", &request.get_ref().id));
        let act = |permit: Permit<Read>, q: wire::GetVirtualKeyRequest| async move {
            let found = core.virtual_key(&permit, id("id", &q.id)?).await?;
            Ok(wire::GetVirtualKeyResponse { virtual_key: Some(key(found)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_virtual_key(
        &self,
        request: Request<wire::CreateVirtualKeyRequest>,
    ) -> Result<Response<wire::CreateVirtualKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("virtual_key.create", &request.get_ref().source_key_id));
        let act = |permit: Permit<Manage>, q: wire::CreateVirtualKeyRequest| async move {
            let new = NewVirtualKey { source_key: q.source_key_id, ..NewVirtualKey::default() };
            let created = core.create_virtual_key(&permit, new).await?;
            Ok(wire::CreateVirtualKeyResponse { virtual_key: Some(key(created)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn set_virtual_key_deletable(
        &self,
        request: Request<wire::SetVirtualKeyDeletableRequest>,
    ) -> Result<Response<wire::SetVirtualKeyDeletableResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("virtual_key.update", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::SetVirtualKeyDeletableRequest| async move {
            let changed = core.set_virtual_key_deletable(&permit, id("id", &q.id)?, q.deletable).await?;
            Ok(wire::SetVirtualKeyDeletableResponse { virtual_key: Some(key(changed)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_virtual_key(
        &self,
        request: Request<wire::DeleteVirtualKeyRequest>,
    ) -> Result<Response<wire::DeleteVirtualKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("virtual_key.delete", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteVirtualKeyRequest| async move {
            core.delete_virtual_key(&permit, id("id", &q.id)?).await?;
            Ok(wire::DeleteVirtualKeyResponse {})
        };
        self.0.rpc(request, call, act).await
    }
}

fn key(VirtualKey { key, versions }: VirtualKey) -> wire::VirtualKey {
    let newest = versions.last();
    let partition = newest.and_then(|newest| newest.partition.as_ref());
    wire::VirtualKey {
        id: key.id.to_string(),
        tier: newest.map(|newest| tier(newest.source.tier())).unwrap_or_default(),
        source_key_id: newest.map(|newest| newest.source.id.to_string()).unwrap_or_default(),
        partition_id: partition.map(|partition| partition.id.to_string()).unwrap_or_default(),
        partition_label: partition.map(|partition| partition.label.clone()).unwrap_or_default(),
        deletable: key.deletable,
        hyok_key_id: key.backs.map(|place| place.key.to_string()).unwrap_or_default(),
        versions: key.versions.iter().map(version).collect(),
        created_ms: key.stamps.created_ns / NS_PER_MS,
        updated_ms: key.stamps.updated_ns / NS_PER_MS,
    }
}

fn tier(tier: Tier) -> String {
    match tier {
        Tier::Local => "local".into(),
        Tier::Partition(group) => group,
    }
}
