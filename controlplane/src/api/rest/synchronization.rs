//! Synchronisation jobs (contract §7.8).

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    asking::{Asking, Named},
    body::Payload,
    envelope::{Envelope, Told, timestamp},
    list::{Field, ListParams, Listing, Page, Value},
    openapi::Refusals,
};
use crate::{
    access::{Manage, Permit, Read},
    api::{Api, call::Call, error::Refusal},
    core::synchronization::GivenSync,
    store::entry::{SyncJobEntry, SyncStatus},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(start, list)).routes(routes!(get)).routes(routes!(cancel))
}

/// Where AWS is looked at. All empty: in every region of every KMS container. Members that are not described here are ignored.
#[derive(Default, Deserialize, ToSchema)]
struct SynchronizationJobBody {
    /// Names or ids of KMS containers; empty: all.
    kms: Option<Vec<String>>,
    /// Only these regions; empty: all of each container's.
    regions: Option<Vec<String>>,
    /// In every region of every KMS container; not together with the others.
    synchronize_all: Option<bool>,
}

/// A job.
#[derive(Serialize, ToSchema)]
struct SynchronizationJob {
    #[serde(flatten)]
    envelope: Envelope,
    #[schema(examples("in progress", "completed", "failed"))]
    overall_status: &'static str,
    /// By account and region, how it stands there. Not in the answer that begins a job.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    detailed_status: BTreeMap<String, String>,
    /// Always `aws`.
    cloud: &'static str,
    /// Ids of the KMS containers that it looks at.
    kms: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    regions: Vec<String>,
    synchronize_all: bool,
    /// Someone broke it off.
    abort: bool,
}

/// Begins to read the custom key stores and keys that there are in AWS. Read the job to see how far it is.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/synchronization-jobs", tag = "Synchronization",
    request_body = SynchronizationJobBody, responses((status = 201, body = SynchronizationJob), Refusals))]
async fn start(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<SynchronizationJobBody>,
) -> Result<(StatusCode, Json<SynchronizationJob>), Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let SynchronizationJobBody { kms, regions, synchronize_all } = body?;
        let named = |texts: Option<Vec<String>>| texts.unwrap_or_default().into_iter().filter(|text| !text.is_empty()).collect();
        let given = GivenSync { kms: named(kms), regions: named(regions), synchronize_all: synchronize_all.unwrap_or_default() };
        let started = job(core.start_sync(&permit, given).await?, Told::Change);
        Ok((StatusCode::CREATED, Json(started)))
    };
    api.rest(&asking, Call::new("synchronization.start", ""), act).await
}

/// Lists jobs, the oldest first; the newest 1,000 are kept.
#[utoipa::path(get, path = "/cckm/aws/custom-key-stores/synchronization-jobs", tag = "Synchronization",
    params(ListParams, ("id" = Option<String>, Query), ("overall_status" = Option<String>, Query, description = "`in_progress`, `completed` or `failed`"),
        ("kms" = Option<String>, Query, description = "A KMS container's id, or its name as it was sent"),
        ("createdAt" = Option<String>, Query), ("updatedAt" = Option<String>, Query)),
    responses((status = 200, body = Page<SynchronizationJob>), Refusals))]
async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<SynchronizationJob>>, Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        let page = listing.page(core.sync_jobs(&permit).await?, &FIELDS)?;
        Ok(Json(page.render(|entry| job(entry, Told::Read))))
    };
    api.rest(&asking, Call::new("synchronization.list", ""), act).await
}

/// Tells a job.
#[utoipa::path(get, path = "/cckm/aws/custom-key-stores/synchronization-jobs/{id}", tag = "Synchronization",
    params(("id" = String, Path, description = "Its id")), responses((status = 200, body = SynchronizationJob), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<SynchronizationJob>, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Read>| async move { Ok(Json(job(core.sync_job(&permit, wanted).await?, Told::Read))) };
    api.rest(&asking, Call::new("synchronization.get", &id), act).await
}

/// Breaks a job off. What was read stays.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/synchronization-jobs/{id}/cancel", tag = "Synchronization",
    params(("id" = String, Path, description = "Its id")), responses((status = 200, body = SynchronizationJob), Refusals))]
async fn cancel(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<SynchronizationJob>, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Manage>| async move { Ok(Json(job(core.cancel_sync(&permit, wanted).await?, Told::Change))) };
    api.rest(&asking, Call::new("synchronization.cancel", &id), act).await
}

fn job(entry: SyncJobEntry, told: Told) -> SynchronizationJob {
    SynchronizationJob {
        envelope: Envelope::new("cckm:synchronize", &entry.id, entry.stamps, told).of_application(),
        overall_status: status(&entry),
        detailed_status: entry.detail,
        cloud: "aws",
        kms: entry.kms.iter().map(ToString::to_string).collect(),
        regions: entry.regions,
        synchronize_all: entry.synchronize_all,
        abort: entry.abort,
    }
}

const fn status(entry: &SyncJobEntry) -> &'static str {
    match entry.status {
        SyncStatus::InProgress => IN_PROGRESS,
        SyncStatus::Completed => "completed",
        SyncStatus::Failed => "failed",
    }
}

/// Filters spell it otherwise than answers do (contract D11).
fn spelled(status: &str) -> &str {
    if status == "in_progress" { IN_PROGRESS } else { status }
}

fn containers(entry: &SyncJobEntry) -> Vec<Value> {
    let ids = entry.kms.iter().map(|id| id.to_string().into());
    ids.chain(entry.kms_as_sent.iter().map(|sent| sent.as_str().into())).collect()
}

const IN_PROGRESS: &str = "in progress";
const FIELDS: [Field<SyncJobEntry>; 5] = [
    Field::new("id", |entry| vec![entry.id.to_string().into()]),
    Field { name: "overall_status", of: |entry| vec![status(entry).into()], spelled },
    Field::new("kms", containers),
    Field::new("createdAt", |entry| vec![timestamp(entry.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |entry| vec![timestamp(entry.stamps.updated_ns, Told::Read).into()]),
];
