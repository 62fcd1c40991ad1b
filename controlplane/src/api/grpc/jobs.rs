//! Jobs, named by id or name.

use std::sync::Arc;

use holdfast_proto::admin as wire;
use tonic::{Request, Response, Status};

use super::convert::{NS_PER_MS, said};
use crate::{
    access::{Manage, Permit, Read},
    api::{Api, call::Call},
    core::jobs::{GivenBackup, GivenJob, GivenKeyRotation, GivenParams, GivenSynchronization, Operation},
    store::entry::{JobConfigEntry, JobParams, JobRanEntry},
};

/// The service.
pub(super) struct JobsApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::jobs_server::Jobs for JobsApi {
    async fn list_jobs(&self, request: Request<wire::ListJobsRequest>) -> Result<Response<wire::ListJobsResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Read>, _| async move {
            let (all, mut ran) = (core.job_configs(&permit).await?, core.last_runs(&permit).await?);
            let shown = all.into_iter().map(|entry| {
                let ran = ran.remove(&entry.id);
                job(entry, ran)
            });
            Ok(wire::ListJobsResponse { jobs: shown.collect() })
        };
        self.0.rpc(request, Call::new("job_config.list", ""), act).await
    }

    async fn get_job(&self, request: Request<wire::GetJobRequest>) -> Result<Response<wire::GetJobResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("job_config.get", &request.get_ref().id));
        let act = |permit: Permit<Read>, q: wire::GetJobRequest| async move {
            let found = core.job_config(&permit, &q.id).await?;
            let ran = core.last_runs(&permit).await?.remove(&found.id);
            Ok(wire::GetJobResponse { job: Some(job(found, ran)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_job(&self, request: Request<wire::CreateJobRequest>) -> Result<Response<wire::CreateJobResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("job_config.create", &request.get_ref().name));
        let act = |permit: Permit<Manage>, q: wire::CreateJobRequest| async move {
            let given = GivenJob {
                name: said(q.name),
                description: said(q.description),
                operation: said(q.operation),
                run_at: said(q.run_at),
                run_on: None,
                disabled: Some(q.disabled),
                start_date: said(q.start_date),
                end_date: said(q.end_date),
                params: params(q.key_rotation, q.synchronization, q.backup),
            };
            Ok(wire::CreateJobResponse { job: Some(job(core.create_job_config(&permit, given).await?, None)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn update_job(&self, request: Request<wire::UpdateJobRequest>) -> Result<Response<wire::UpdateJobResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("job_config.update", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::UpdateJobRequest| async move {
            let given = GivenJob {
                name: said(q.name),
                description: said(q.description),
                run_at: said(q.run_at),
                disabled: q.disabled,
                start_date: said(q.start_date),
                end_date: said(q.end_date),
                params: params(q.key_rotation, q.synchronization, q.backup),
                ..GivenJob::default()
            };
            let changed = core.change_job_config(&permit, &q.id, given).await?;
            let ran = core.last_runs(&permit).await?.remove(&changed.id);
            Ok(wire::UpdateJobResponse { job: Some(job(changed, ran)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_job(&self, request: Request<wire::DeleteJobRequest>) -> Result<Response<wire::DeleteJobResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("job_config.delete", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteJobRequest| async move {
            core.delete_job_config(&permit, &q.id).await?;
            Ok(wire::DeleteJobResponse {})
        };
        self.0.rpc(request, call, act).await
    }
}

fn params(
    key_rotation: Option<wire::KeyRotationParams>,
    synchronization: Option<wire::SynchronizationParams>,
    backup: Option<wire::BackupParams>,
) -> GivenParams {
    GivenParams {
        xks_credential_rotation: None,
        key_rotation: key_rotation.map(|params| GivenKeyRotation {
            cloud_name: None,
            expiration: said(params.expiration),
            expire_in: said(params.expire_in),
            rotation_after: said(params.rotation_after),
            retain_alias: params.retain_alias,
            rotate_material: params.rotate_material,
        }),
        synchronization: synchronization.map(|params| GivenSynchronization {
            cloud_name: None,
            kms: Some(params.kms),
            synchronize_all: Some(params.synchronize_all),
        }),
        database_backup: backup.map(|params| GivenBackup {
            description: Some(params.description),
            retention_count: Some(params.retention_count),
            ..GivenBackup::default()
        }),
    }
}

fn job(entry: JobConfigEntry, ran: Option<JobRanEntry>) -> wire::Job {
    let blank = wire::Job {
        id: entry.id.to_string(),
        name: entry.name,
        description: entry.description,
        operation: Operation::from(&entry.params).as_str().into(),
        run_at: entry.run_at,
        run_on: entry.run_on,
        disabled: entry.disabled,
        start_date: entry.start_date.unwrap_or_default(),
        end_date: entry.end_date.unwrap_or_default(),
        key_rotation: None,
        synchronization: None,
        backup: None,
        created_ms: entry.stamps.created_ns / NS_PER_MS,
        updated_ms: entry.stamps.updated_ns / NS_PER_MS,
        last_run: ran.map(|ran| wire::JobLastRun {
            due_ms: ran.due_ns / NS_PER_MS,
            ended_ms: ran.ended_ns / NS_PER_MS,
            failure: ran.failure.unwrap_or_default(),
            is_final: ran.is_final,
        }),
    };
    match entry.params {
        JobParams::XksCredentialRotation => blank,
        JobParams::KeyRotation(params) => {
            let key_rotation = wire::KeyRotationParams {
                expiration: params.expiration.unwrap_or_default(),
                expire_in: params.expire_in.unwrap_or_default(),
                rotation_after: params.rotation_after.unwrap_or_default(),
                retain_alias: Some(params.retain_alias),
                rotate_material: params.rotate_material,
            };
            wire::Job { key_rotation: Some(key_rotation), ..blank }
        }
        JobParams::Synchronization(params) => {
            let synchronization = wire::SynchronizationParams { kms: params.kms, synchronize_all: params.synchronize_all };
            wire::Job { synchronization: Some(synchronization), ..blank }
        }
        JobParams::DatabaseBackup(params) => {
            let backup = wire::BackupParams { description: params.description, retention_count: params.retention_count };
            wire::Job { backup: Some(backup), ..blank }
        }
    }
}
