//! Job configurations (contract §13).

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    asking::{Asking, Named},
    body::Payload,
    envelope::{Envelope, Told, timestamp},
    list::{Field, ListParams, Listing, Page},
    openapi::Refusals,
};
use crate::{
    access::{Manage, Permit, Read},
    api::{Api, call::Call, error::Refusal},
    core::jobs::{GivenBackup, GivenJob, GivenKeyRotation, GivenParams, GivenSynchronization, Operation},
    store::entry::{JobConfigEntry, JobParams, JobRanEntry},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, update, delete))
}

/// A job, as far as it is given: with the parameters of its own operation and no others. Members that are not described here are ignored.
#[derive(Default, Deserialize, ToSchema)]
struct JobConfigBody {
    /// Unique. A new job needs it.
    #[schema(max_length = 256)]
    name: Option<String>,
    description: Option<String>,
    /// `database_backup`, `cckm_synchronization`, or for what is linked to AWS and carries this job's id: `cckm_xks_credential_rotation` for
    /// key stores, `cckm_key_rotation` for keys. A new job needs it; it never changes.
    operation: Option<String>,
    /// Minute, hour, day of month, month, day of week, in UTC; names are allowed. A new job needs it.
    #[schema(examples("0 9 * * fri"))]
    run_at: Option<String>,
    /// Absent: `any`.
    run_on: Option<String>,
    disabled: Option<bool>,
    /// RFC 3339; `0001-01-01T00:00:00Z`: none.
    #[schema(format = DateTime)]
    start_date: Option<String>,
    /// RFC 3339; `0001-01-01T00:00:00Z`: none.
    #[schema(format = DateTime)]
    end_date: Option<String>,
    cckm_xks_credential_rotation_params: Option<CloudBody>,
    cckm_key_rotation_params: Option<KeyRotationBody>,
    cckm_synchronization_params: Option<SynchronizationBody>,
    database_backup_params: Option<BackupParamsBody>,
}

/// Which cloud.
#[derive(Default, Deserialize, ToSchema)]
struct CloudBody {
    /// `aws`.
    cloud_name: Option<String>,
}

/// Which keys are rotated, and how.
#[derive(Default, Deserialize, ToSchema)]
struct KeyRotationBody {
    /// `aws`.
    cloud_name: Option<String>,
    /// When new key material expires: days (`44d`) or hours (`22h`).
    expiration: Option<String>,
    /// Only keys that expire within days or hours.
    expire_in: Option<String>,
    /// Only keys that were not rotated for days or hours.
    rotation_after: Option<String>,
    aws_param: Option<AwsRotationBody>,
}

/// How keys in AWS are rotated.
#[derive(Default, Deserialize, ToSchema)]
struct AwsRotationBody {
    retain_alias: Option<bool>,
    rotate_material: Option<bool>,
}

/// What is synchronized.
#[derive(Default, Deserialize, ToSchema)]
struct SynchronizationBody {
    /// `aws`.
    cloud_name: Option<String>,
    /// Names or ids of KMS containers. Not together with `synchronize_all`.
    kms: Option<Vec<String>>,
    synchronize_all: Option<bool>,
}

/// How backups are made: into `backup_dir`, sealed under the passphrase in `backup_passphrase_file`, both of the control plane's settings.
#[derive(Default, Deserialize, ToSchema)]
struct BackupParamsBody {
    description: Option<String>,
    /// How many of this job's backups are kept; 0: all.
    #[serde(rename = "retentionCount")]
    retention_count: Option<u32>,
    /// Refused: backups are sealed under the passphrase.
    #[serde(rename = "backupKey")]
    backup_key: Option<String>,
    /// `system`.
    scope: Option<String>,
    /// Refused, as `do_scp`.
    connection: Option<String>,
    /// Refused if true: backups are not sent anywhere.
    do_scp: Option<bool>,
    /// Refused if true.
    #[serde(rename = "tiedToHSM")]
    tied_to_hsm: Option<bool>,
    /// Refused unless empty: a backup has everything.
    #[schema(value_type = Option<Vec<Object>>)]
    filters: Option<Vec<serde_json::Value>>,
}

/// A job.
#[derive(Serialize, ToSchema)]
struct JobConfig {
    #[serde(flatten)]
    envelope: Envelope,
    name: String,
    description: String,
    operation: &'static str,
    run_at: String,
    run_on: String,
    disabled: bool,
    /// As it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    start_date: Option<String>,
    /// As it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    end_date: Option<String>,
    job_config_params: JobConfigParams,
    /// How it last ended; absent where it has not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_run: Option<JobLastRun>,
}

/// How a job last ended.
#[derive(Serialize, ToSchema)]
struct JobLastRun {
    /// The time for which it ran.
    #[schema(format = DateTime)]
    due: String,
    #[schema(format = DateTime)]
    ended: String,
    /// Whether it did all that it should.
    #[schema(examples("completed", "failed"))]
    status: &'static str,
    /// Absent unless it failed. `false`: it is tried again, while that time is not over a day ago; `true`: it is not, as trying again can't
    /// help or someone cancelled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_final: Option<bool>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// The parameters of a job's operation.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum JobConfigParams {
    Cloud { cloud_name: &'static str },
    KeyRotation(KeyRotation),
    Synchronization { cloud_name: &'static str, kms: Vec<String>, synchronize_all: bool },
    BackupJob(BackupJob),
}

/// Which keys are rotated, and how.
#[derive(Serialize, ToSchema)]
struct KeyRotation {
    cloud_name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_in: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_after: Option<String>,
    aws_param: AwsRotation,
}

/// How keys in AWS are rotated.
#[derive(Serialize, ToSchema)]
struct AwsRotation {
    retain_alias: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotate_material: Option<bool>,
}

/// How backups are made.
#[derive(Serialize, ToSchema)]
struct BackupJob {
    description: String,
    #[serde(rename = "retentionCount")]
    retention_count: u32,
    /// Always empty.
    #[serde(rename = "backupKey")]
    backup_key: &'static str,
    /// Always `system`.
    scope: &'static str,
    /// Always empty.
    connection: &'static str,
    /// Always false.
    do_scp: bool,
    /// Always false.
    #[serde(rename = "tiedToHSM")]
    tied_to_hsm: bool,
    /// Always empty.
    #[schema(value_type = Vec<Object>)]
    filters: [(); 0],
}

/// Keeps a job. One with `database_backup` needs `backup_dir` and `backup_passphrase_file` in the control plane's settings.
#[utoipa::path(post, path = "/scheduler/job-configs", tag = "Scheduler", request_body = JobConfigBody,
    responses((status = 201, body = JobConfig), Refusals))]
async fn create(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<JobConfigBody>,
) -> Result<(StatusCode, Json<JobConfig>), Refusal> {
    let call = Call::new("job_config.create", body.as_ref().ok().and_then(|body| body.name.clone()).unwrap_or_default());
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let made = core.create_job_config(&permit, given(body?)).await?;
        Ok((StatusCode::CREATED, Json(job(made, None, Told::Change))))
    };
    api.rest(&asking, call, act).await
}

/// Lists jobs.
#[utoipa::path(get, path = "/scheduler/job-configs", tag = "Scheduler",
    params(ListParams, ("id" = Option<String>, Query), ("name" = Option<String>, Query), ("operation" = Option<String>, Query),
        ("run_on" = Option<String>, Query), ("disabled" = Option<bool>, Query), ("createdAt" = Option<String>, Query),
        ("updatedAt" = Option<String>, Query)),
    responses((status = 200, body = Page<JobConfig>), Refusals))]
async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<JobConfig>>, Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        let page = listing.page(core.job_configs(&permit).await?, &FIELDS)?;
        let mut ran = core.last_runs(&permit).await?;
        Ok(Json(page.render(|entry| {
            let ran = ran.remove(&entry.id);
            job(entry, ran, Told::Read)
        })))
    };
    api.rest(&asking, Call::new("job_config.list", ""), act).await
}

/// Tells a job.
#[utoipa::path(get, path = "/scheduler/job-configs/{id}", tag = "Scheduler",
    params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = JobConfig), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<JobConfig>, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Read>| async move {
        let found = core.job_config(&permit, wanted).await?;
        let ran = core.last_runs(&permit).await?.remove(&found.id);
        Ok(Json(job(found, ran, Told::Read)))
    };
    api.rest(&asking, Call::new("job_config.get", &id), act).await
}

/// Changes what is given of a job. Its times before the change are not made up for.
#[utoipa::path(patch, path = "/scheduler/job-configs/{id}", tag = "Scheduler", request_body = JobConfigBody,
    params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = JobConfig), Refusals))]
async fn update(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<JobConfigBody>,
) -> Result<Json<JobConfig>, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Manage>| async move {
        let changed = core.change_job_config(&permit, wanted, given(body?)).await?;
        let ran = core.last_runs(&permit).await?.remove(&changed.id);
        Ok(Json(job(changed, ran, Told::Change)))
    };
    api.rest(&asking, Call::new("job_config.update", &id), act).await
}

/// Deletes a job that rotates nothing. Backups that it made stay.
#[utoipa::path(delete, path = "/scheduler/job-configs/{id}", tag = "Scheduler",
    params(("id" = String, Path, description = "Its id or name")), responses((status = 204, description = "It is gone."), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<StatusCode, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Manage>| async move {
        core.delete_job_config(&permit, wanted).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    api.rest(&asking, Call::new("job_config.delete", &id), act).await
}

fn given(body: JobConfigBody) -> GivenJob {
    let params = GivenParams {
        xks_credential_rotation: body.cckm_xks_credential_rotation_params.map(|params| params.cloud_name),
        key_rotation: body.cckm_key_rotation_params.map(key_rotation),
        synchronization: body.cckm_synchronization_params.map(|params| GivenSynchronization {
            cloud_name: params.cloud_name,
            kms: params.kms,
            synchronize_all: params.synchronize_all,
        }),
        database_backup: body.database_backup_params.map(|params| GivenBackup {
            description: params.description,
            retention_count: params.retention_count,
            backup_key: params.backup_key,
            scope: params.scope,
            connection: params.connection,
            do_scp: params.do_scp.unwrap_or_default(),
            tied_to_hsm: params.tied_to_hsm.unwrap_or_default(),
            filtered: params.filters.is_some_and(|filters| !filters.is_empty()),
        }),
    };
    GivenJob {
        name: body.name,
        description: body.description,
        operation: body.operation,
        run_at: body.run_at,
        run_on: body.run_on,
        disabled: body.disabled,
        start_date: body.start_date,
        end_date: body.end_date,
        params,
    }
}

fn key_rotation(params: KeyRotationBody) -> GivenKeyRotation {
    let aws = params.aws_param.unwrap_or_default();
    GivenKeyRotation {
        cloud_name: params.cloud_name,
        expiration: params.expiration,
        expire_in: params.expire_in,
        rotation_after: params.rotation_after,
        retain_alias: aws.retain_alias,
        rotate_material: aws.rotate_material,
    }
}

fn job(entry: JobConfigEntry, ran: Option<JobRanEntry>, told: Told) -> JobConfig {
    JobConfig {
        envelope: Envelope::new("scheduler:job-configs", &entry.id, entry.stamps, told).of_application(),
        name: entry.name,
        description: entry.description,
        operation: Operation::from(&entry.params).as_str(),
        run_at: entry.run_at,
        run_on: entry.run_on,
        disabled: entry.disabled,
        start_date: entry.start_date,
        end_date: entry.end_date,
        job_config_params: params(entry.params),
        last_run: ran.map(last_run),
    }
}

fn last_run(ran: JobRanEntry) -> JobLastRun {
    JobLastRun {
        due: timestamp(ran.due_ns, Told::Read),
        ended: timestamp(ran.ended_ns, Told::Read),
        status: if ran.failure.is_none() { "completed" } else { "failed" },
        is_final: ran.failure.is_some().then_some(ran.is_final),
        failure: ran.failure,
    }
}

fn params(params: JobParams) -> JobConfigParams {
    match params {
        JobParams::XksCredentialRotation => JobConfigParams::Cloud { cloud_name: AWS },
        JobParams::KeyRotation(params) => JobConfigParams::KeyRotation(KeyRotation {
            cloud_name: AWS,
            expiration: params.expiration,
            expire_in: params.expire_in,
            rotation_after: params.rotation_after,
            aws_param: AwsRotation { retain_alias: params.retain_alias, rotate_material: params.rotate_material },
        }),
        JobParams::Synchronization(params) => {
            JobConfigParams::Synchronization { cloud_name: AWS, kms: params.kms, synchronize_all: params.synchronize_all }
        }
        JobParams::DatabaseBackup(params) => JobConfigParams::BackupJob(BackupJob {
            description: params.description,
            retention_count: params.retention_count,
            backup_key: "",
            scope: "system",
            connection: "",
            do_scp: false,
            tied_to_hsm: false,
            filters: [],
        }),
    }
}

const AWS: &str = "aws";
const FIELDS: [Field<JobConfigEntry>; 7] = [
    Field::new("id", |entry| vec![entry.id.to_string().into()]),
    Field::new("name", |entry| vec![entry.name.as_str().into()]),
    Field::new("operation", |entry| vec![Operation::from(&entry.params).as_str().into()]),
    Field::new("run_on", |entry| vec![entry.run_on.as_str().into()]),
    Field::new("disabled", |entry| vec![entry.disabled.into()]),
    Field::new("createdAt", |entry| vec![timestamp(entry.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |entry| vec![timestamp(entry.stamps.updated_ns, Told::Read).into()]),
];
