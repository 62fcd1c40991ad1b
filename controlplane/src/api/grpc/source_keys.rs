//! Source keys, over gRPC.

use std::{collections::BTreeMap, sync::Arc};

use data_encoding::HEXLOWER;
use holdfast_proto::{
    admin::{self as wire, source_keys_server::SourceKeys},
    records::SourceKey,
};
use tonic::{Request, Response, Status};

use super::super::{Api, call::Call};
use crate::{
    access::{Manage, Permit, Read},
    core::source_keys::{Among, AskedKind, NewVaultKey, SourceKeyPatch, Wanted},
    store::entry::{KeyProgress, SourceKeyEntry, Tier},
};

/// The service.
pub(super) struct SourceKeysApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl SourceKeys for SourceKeysApi {
    async fn list_source_keys(
        &self,
        request: Request<wire::ListSourceKeysRequest>,
    ) -> Result<Response<wire::ListSourceKeysResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Read>, _| async move {
            let source_keys = core.source_keys(&permit, Among::All).await?.iter().map(source_key).collect();
            Ok(wire::ListSourceKeysResponse { source_keys })
        };
        self.0.rpc(request, Call::new("source_key.list", ""), act).await
    }

    async fn get_source_key(&self, request: Request<wire::GetSourceKeyRequest>) -> Result<Response<wire::GetSourceKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("source_key.get", &request.get_ref().id));
        let act = |permit: Permit<Read>, q: wire::GetSourceKeyRequest| async move {
            let found = core.source_key(&permit, named(&q.id)).await?;
            Ok(wire::GetSourceKeyResponse { source_key: Some(source_key(&found)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_source_key(
        &self,
        request: Request<wire::CreateSourceKeyRequest>,
    ) -> Result<Response<wire::CreateSourceKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("source_key.create", &request.get_ref().name));
        let act = |permit: Permit<Manage>, q: wire::CreateSourceKeyRequest| async move {
            let kind = AskedKind { algorithm: &q.algorithm, size: q.size, curve: &q.curve }.kind()?;
            let new = NewVaultKey {
                name: Some(q.name).filter(|name| !name.is_empty()),
                kind,
                usage_mask: Some(q.usage_mask).filter(|mask| *mask != 0),
                unexportable: q.unexportable,
                undeletable: q.undeletable,
                description: q.description,
                labels: BTreeMap::new(),
            };
            let made = core.create_source_key(&permit, new).await?;
            Ok(wire::CreateSourceKeyResponse { source_key: Some(source_key(&made)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn update_source_key(
        &self,
        request: Request<wire::UpdateSourceKeyRequest>,
    ) -> Result<Response<wire::UpdateSourceKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("source_key.update", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::UpdateSourceKeyRequest| async move {
            let wire::UpdateSourceKeyRequest { id, name, description, undeletable } = q;
            let patch = SourceKeyPatch { name, description, undeletable, ..SourceKeyPatch::default() };
            let changed = core.update_source_key(&permit, named(&id), patch).await?;
            Ok(wire::UpdateSourceKeyResponse { source_key: Some(source_key(&changed)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_source_key(
        &self,
        request: Request<wire::DeleteSourceKeyRequest>,
    ) -> Result<Response<wire::DeleteSourceKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("source_key.delete", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteSourceKeyRequest| async move {
            core.delete_source_key(&permit, named(&q.id)).await?;
            Ok(wire::DeleteSourceKeyResponse {})
        };
        self.0.rpc(request, call, act).await
    }
}

const fn named(name: &str) -> Wanted<'_> {
    Wanted { name, among: Among::All }
}

pub(super) fn source_key(entry: &SourceKeyEntry) -> wire::SourceKey {
    let (status, detail) = match &entry.progress {
        KeyProgress::Making => ("in_progress", ""),
        KeyProgress::Ready => ("AVAILABLE", ""),
        KeyProgress::Failed(why) => ("FAILED", why.as_str()),
    };
    let mut key = wire::SourceKey {
        id: entry.id.to_string(),
        name: entry.name.clone(),
        tier: match entry.tier() {
            Tier::Local => "local".into(),
            Tier::Partition(group) => group,
        },
        usage_mask: entry.usage_mask,
        undeletable: entry.undeletable,
        status: status.into(),
        detail: detail.into(),
        description: entry.description.clone(),
        created_ms: entry.stamps.created_ns / NS_PER_MS,
        updated_ms: entry.stamps.updated_ns / NS_PER_MS,
        ..wire::SourceKey::default()
    };
    match &entry.key {
        SourceKey::Local(blob) => {
            key.algorithm = blob.kind.algorithm().into();
            key.size = blob.kind.bits();
            key.curve = blob.kind.curve().unwrap_or_default().into();
            key.unexportable = blob.unexportable;
        }
        SourceKey::Partition(named) => {
            key.algorithm = "AES".into();
            key.size = 256;
            key.unexportable = true;
            key.cka_id = HEXLOWER.encode(&named.cka_id);
            key.label.clone_from(&named.label);
        }
    }
    key
}

const NS_PER_MS: u64 = 1_000_000;
