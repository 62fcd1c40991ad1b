//! What keeps the control plane safe: backups, and new seals.

use std::{pin::Pin, sync::Arc};

use holdfast_proto::{admin as wire, secret::Secret};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::{
    access::{Administer, Permit},
    api::{Api, call::Call, error::Refusal},
};

/// The service.
pub(super) struct MaintenanceApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::maintenance_server::Maintenance for MaintenanceApi {
    type BackupStream = Pin<Box<dyn Stream<Item = Result<wire::BackupChunk, Status>> + Send>>;

    async fn backup(&self, request: Request<wire::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Administer>, q: wire::BackupRequest| async move {
            let backup = core.backup(&permit, &Secret::new(q.passphrase)).await?;
            tracing::info!(revision = %backup.header().revision, "backup made");
            let chunks = backup.map(|part| match part {
                Ok(data) => Ok(wire::BackupChunk { data }),
                Err(error) => Err(Status::from(Refusal::from(crate::core::CoreError::from(error)))),
            });
            let stream: Self::BackupStream = Box::pin(tokio_stream::iter(chunks));
            Ok(stream)
        };
        self.0.rpc(request, Call::new("backup", ""), act).await
    }

    async fn reseal(&self, request: Request<wire::ResealRequest>) -> Result<Response<wire::ResealResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Administer>, _: wire::ResealRequest| async move {
            let seals = core.reseal(&permit).await?;
            let seal = |seal: crate::core::reseal::SealUse| wire::SealUse {
                kind: seal.kind.as_str().into(),
                seal_id: seal.id.to_string(),
                sealed: seal.sealed,
                rewritten: seal.rewritten,
                first: seal.first,
            };
            Ok(wire::ResealResponse { seals: seals.into_iter().map(seal).collect() })
        };
        self.0.rpc(request, Call::new("reseal", ""), act).await
    }
}
