//! Virtual keys (contract §11). Silent ones, of tier `local`, are not told of.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    asking::{Asking, Named},
    body::Payload,
    envelope::{Envelope, Told, timestamp},
    keys::{source_id, version_id},
    list::{Field, ListParams, Listing, Page, Value},
    openapi::Refusals,
};
use crate::{
    access::{Manage, Permit, Read},
    api::{
        Api,
        call::Call,
        error::{Kind, Refusal},
    },
    core::{
        Core, CoreError,
        virtual_keys::{NewVirtualKey, VersionOnSource, VirtualKey},
    },
    store::entry::{Stamps, Tier},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, patch, delete)).routes(routes!(versions))
}

/// A virtual key that is to be.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
struct CreateVirtualKey {
    /// The source key that becomes version 0: a key on a partition, or one of `vault/keys2`.
    #[schema(required, nullable = false)]
    source_key_id: Option<String>,
    /// `local`, `luna-hsm` or `hsm-luna`: the source key's.
    source_key_tier: Option<String>,
    name: Option<String>,
    /// It may be deleted.
    deletable: Option<bool>,
}

/// What is to change.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
struct PatchVirtualKey {
    /// It may be deleted.
    #[schema(required, nullable = false)]
    deletable: Option<bool>,
}

/// A virtual key.
#[derive(Serialize, ToSchema)]
struct VirtualKeyAnswer {
    #[serde(flatten)]
    envelope: Envelope,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_label: Option<String>,
    /// Of the newest version.
    source_key_id: String,
    source_key_tier: String,
    /// The newest version, from 0.
    version: u32,
    deletable: bool,
}

/// A version of a virtual key.
#[derive(Serialize, ToSchema)]
struct VirtualKeyVersion {
    #[serde(flatten)]
    envelope: Envelope,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_label: Option<String>,
    source_key_id: String,
    /// From 0.
    version: u32,
    #[schema(examples("pending", "active", "retired"))]
    state: &'static str,
}

/// Makes a virtual key.
#[utoipa::path(post, path = "/cckm/virtual/keys", tag = "Virtual keys", request_body = CreateVirtualKey, responses((status = 201, body = VirtualKeyAnswer), Refusals))]
async fn create(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<CreateVirtualKey>,
) -> Result<(StatusCode, Json<VirtualKeyAnswer>), Refusal> {
    let target = body.as_ref().ok().and_then(|body| body.source_key_id.clone()).unwrap_or_default();
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let body = body?;
        let new = NewVirtualKey {
            name: body.name.unwrap_or_default(),
            source_key: body.source_key_id.ok_or_else(|| required("source_key_id"))?,
            tier_as_sent: body.source_key_tier,
            deletable: body.deletable.unwrap_or(false),
        };
        let created = core.create_virtual_key(&permit, new).await?;
        Ok((StatusCode::CREATED, Json(VirtualKeyAnswer::of(created, Told::Change)?)))
    };
    api.rest(&asking, Call::new("virtual_key.create", target), act).await
}

/// Lists virtual keys.
#[utoipa::path(get, path = "/cckm/virtual/keys", tag = "Virtual keys", params(ListParams,
    ("id" = Option<String>, Query, description = "The virtual key's id."),
    ("partition_id" = Option<String>, Query, description = "The partition that its newest version is on."),
    ("partition_label" = Option<String>, Query, description = "The label of that."),
    ("source_key_id" = Option<String>, Query, description = "The source key of its newest version."),
), responses((status = 200, body = Page<VirtualKeyAnswer>), Refusals))]
async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<VirtualKeyAnswer>>, Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        let Page { skip, limit, total, resources } = listing.page(core.virtual_keys(&permit).await?, &KEY)?;
        let resources = resources.into_iter().map(|key| VirtualKeyAnswer::of(key, Told::Read)).collect::<Result<_, _>>()?;
        Ok(Json(Page { skip, limit, total, resources }))
    };
    api.rest(&asking, Call::new("virtual_key.list", ""), act).await
}

/// Tells of one virtual key.
#[utoipa::path(get, path = "/cckm/virtual/keys/{id}", tag = "Virtual keys", params(("id" = String, Path)), responses((status = 200, body = VirtualKeyAnswer), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<VirtualKeyAnswer>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Read>| async move { Ok(Json(VirtualKeyAnswer::of(shown(core, &permit, id).await?, Told::Read)?)) };
    api.rest(&asking, Call::new("virtual_key.get", id), act).await
}

/// Lets a virtual key be deleted, or no longer.
#[utoipa::path(patch, path = "/cckm/virtual/keys/{id}", tag = "Virtual keys", params(("id" = String, Path)), request_body = PatchVirtualKey, responses((status = 200, body = VirtualKeyAnswer), Refusals))]
async fn patch(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<PatchVirtualKey>,
) -> Result<Json<VirtualKeyAnswer>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        let deletable = body?.deletable.ok_or_else(|| required("deletable"))?;
        Ok(Json(VirtualKeyAnswer::of(core.set_virtual_key_deletable(&permit, parsed(id)?, deletable).await?, Told::Change)?))
    };
    api.rest(&asking, Call::new("virtual_key.update", id), act).await
}

/// Deletes a virtual key that is deletable and that no HYOK key uses.
#[utoipa::path(delete, path = "/cckm/virtual/keys/{id}", tag = "Virtual keys", params(("id" = String, Path)), responses((status = 204), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<StatusCode, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        core.delete_virtual_key(&permit, parsed(id)?).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    api.rest(&asking, Call::new("virtual_key.delete", id), act).await
}

/// Lists a virtual key's versions.
#[utoipa::path(get, path = "/cckm/virtual/keys/{id}/versions", tag = "Virtual keys", params(("id" = String, Path), ListParams,
    ("version" = Option<String>, Query, description = "Its number, from 0."),
    ("partition_id" = Option<String>, Query, description = "The partition that it is on."),
    ("partition_label" = Option<String>, Query, description = "The label of that."),
    ("source_key_id" = Option<String>, Query, description = "Its source key."),
), responses((status = 200, body = Page<VirtualKeyVersion>), Refusals))]
async fn versions(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    listing: Listing,
) -> Result<Json<Page<VirtualKeyVersion>>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Read>| async move {
        let VirtualKey { key, versions } = shown(core, &permit, id).await?;
        Ok(Json(listing.page(versions, &VERSION)?.render(|on| VirtualKeyVersion::of(key.id, &on))))
    };
    api.rest(&asking, Call::new("virtual_key.versions", id), act).await
}

impl VirtualKeyAnswer {
    fn of(told: VirtualKey, when: Told) -> Result<Self, Refusal> {
        let newest = told.newest().ok_or(NOT_FOUND)?;
        let spelt = match newest.source.tier() {
            Tier::Local => "local",
            Tier::Partition(_) => "hsm-luna",
        };
        Ok(Self {
            partition_id: newest.partition.as_ref().map(|partition| partition.id),
            partition_label: newest.partition.as_ref().map(|partition| partition.label.clone()),
            source_key_id: source_id(&newest.source),
            version: newest.version.number,
            envelope: Envelope::new("cckm:virtual-keys", &told.key.id, told.key.stamps, when).of_application(),
            source_key_tier: told.key.tier_as_sent.unwrap_or_else(|| spelt.into()),
            deletable: told.key.deletable,
            name: told.key.name,
        })
    }
}

impl VirtualKeyVersion {
    fn of(virtual_key: Uuid, on: &VersionOnSource) -> Self {
        let stamps = Stamps { created_ns: on.version.created_ns, updated_ns: on.version.created_ns };
        Self {
            envelope: Envelope::new("cckm:virtual-key-versions", &version_id(virtual_key, on), stamps, Told::Read).of_application(),
            partition_id: on.partition.as_ref().map(|partition| partition.id),
            partition_label: on.partition.as_ref().map(|partition| partition.label.clone()),
            source_key_id: source_id(&on.source),
            version: on.version.number,
            state: on.version.state.as_str(),
        }
    }
}

async fn shown(core: &Core, permit: &Permit<Read>, id: &str) -> Result<VirtualKey, Refusal> {
    let found = core.virtual_key(permit, parsed(id)?).await?;
    if found.key.silent { Err(NOT_FOUND.into()) } else { Ok(found) }
}

fn parsed(id: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(id).map_err(|_| NOT_FOUND.into())
}

fn required(name: &str) -> Refusal {
    Refusal::new(Kind::Invalid, format!("{name}: is required"))
}

fn partition_id(on: Option<&VersionOnSource>) -> Vec<Value> {
    on.and_then(|on| on.partition.as_ref()).map(|partition| partition.id.to_string().into()).into_iter().collect()
}

fn partition_label(on: Option<&VersionOnSource>) -> Vec<Value> {
    on.and_then(|on| on.partition.as_ref()).map(|partition| partition.label.as_str().into()).into_iter().collect()
}

const NOT_FOUND: CoreError = CoreError::NotFound("virtual key");

const KEY: [Field<VirtualKey>; 7] = [
    Field::new("id", |key| vec![key.key.id.to_string().into()]),
    Field::new("partition_id", |key| partition_id(key.newest())),
    Field::new("partition_label", |key| partition_label(key.newest())),
    Field::new("source_key_id", |key| key.newest().map(|on| source_id(&on.source).into()).into_iter().collect()),
    Field::new("deletable", |key| vec![key.key.deletable.into()]),
    Field::new("createdAt", |key| vec![timestamp(key.key.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |key| vec![timestamp(key.key.stamps.updated_ns, Told::Read).into()]),
];

const VERSION: [Field<VersionOnSource>; 5] = [
    Field::new("version", |on| vec![Value::Number(on.version.number.into())]),
    Field::new("partition_id", |on| partition_id(Some(on))),
    Field::new("partition_label", |on| partition_label(Some(on))),
    Field::new("source_key_id", |on| vec![source_id(&on.source).into()]),
    Field::new("createdAt", |on| vec![timestamp(on.version.created_ns, Told::Read).into()]),
];
