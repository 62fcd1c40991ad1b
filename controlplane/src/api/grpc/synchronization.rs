//! Synchronisation jobs.

use std::sync::Arc;

use holdfast_proto::admin as wire;
use tonic::{Request, Response, Status};

use super::convert::NS_PER_MS;
use crate::{
    access::{Manage, Permit, Read},
    api::{Api, call::Call},
    core::synchronization::GivenSync,
    store::entry::{SyncJobEntry, SyncStatus},
};

/// The service.
pub(super) struct SynchronizationApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::synchronization_server::Synchronization for SynchronizationApi {
    async fn start_synchronization(
        &self,
        request: Request<wire::StartSynchronizationRequest>,
    ) -> Result<Response<wire::StartSynchronizationResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Manage>, q: wire::StartSynchronizationRequest| async move {
            let given = GivenSync { kms: q.kms, regions: q.regions, synchronize_all: q.synchronize_all };
            let started = core.start_sync(&permit, given).await?;
            Ok(wire::StartSynchronizationResponse { job: Some(job(started)) })
        };
        self.0.rpc(request, Call::new("synchronization.start", ""), act).await
    }

    async fn list_synchronizations(
        &self,
        request: Request<wire::ListSynchronizationsRequest>,
    ) -> Result<Response<wire::ListSynchronizationsResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Read>, _| async move {
            let jobs = core.sync_jobs(&permit).await?.into_iter().map(job).collect();
            Ok(wire::ListSynchronizationsResponse { jobs })
        };
        self.0.rpc(request, Call::new("synchronization.list", ""), act).await
    }

    async fn get_synchronization(
        &self,
        request: Request<wire::GetSynchronizationRequest>,
    ) -> Result<Response<wire::GetSynchronizationResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("synchronization.get", &request.get_ref().id));
        let act = |permit: Permit<Read>, q: wire::GetSynchronizationRequest| async move {
            Ok(wire::GetSynchronizationResponse { job: Some(job(core.sync_job(&permit, &q.id).await?)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn cancel_synchronization(
        &self,
        request: Request<wire::CancelSynchronizationRequest>,
    ) -> Result<Response<wire::CancelSynchronizationResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("synchronization.cancel", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::CancelSynchronizationRequest| async move {
            Ok(wire::CancelSynchronizationResponse { job: Some(job(core.cancel_sync(&permit, &q.id).await?)) })
        };
        self.0.rpc(request, call, act).await
    }
}

fn job(entry: SyncJobEntry) -> wire::SynchronizationJob {
    let status = match entry.status {
        SyncStatus::InProgress => "in-progress",
        SyncStatus::Completed => "completed",
        SyncStatus::Failed => "failed",
    };
    wire::SynchronizationJob {
        id: entry.id.to_string(),
        status: status.into(),
        detail: entry.detail.into_iter().map(|(place, status)| wire::SynchronizedRegion { place, status }).collect(),
        kms: entry.kms.iter().map(ToString::to_string).collect(),
        regions: entry.regions,
        synchronize_all: entry.synchronize_all,
        abort: entry.abort,
        created_ms: entry.stamps.created_ns / NS_PER_MS,
        updated_ms: entry.stamps.updated_ns / NS_PER_MS,
    }
}
