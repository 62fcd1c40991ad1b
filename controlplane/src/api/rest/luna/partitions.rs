//! Partitions that were added.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::super::{
    asking::{Asking, Named},
    body::Payload,
    envelope::{Envelope, Told, timestamp},
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
    core::partitions::{AddPartition, PartitionView},
    names::NodeName,
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(add)).routes(routes!(list)).routes(routes!(get, delete))
}

/// What to add.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
struct NewPartition {
    /// Required: name or id of the connection that names the partition.
    connection: Option<String>,
}

/// A partition, with what connected data planes tell of it.
#[derive(Serialize, ToSchema)]
struct Partition {
    #[serde(flatten)]
    envelope: Envelope,
    /// The token's label.
    partition_label: String,
    serial_number: String,
    /// What data planes call its group.
    group: String,
    /// The connection by which it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<String>,
    /// A word, as a connected data plane last told: starting, up, suspect, down, pin refused, exhausted; or unknown, where none has it.
    status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    manufacturer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    model: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    firmware: String,
    /// Connected data planes that reach it.
    nodes: Vec<String>,
}

/// Adds a partition that a connection names and a connected data plane has: the first that is not added yet.
#[utoipa::path(post, path = "/cckm/hsm/luna/add-partition", tag = "HSMs", request_body = NewPartition, responses((status = 201, body = Partition), Refusals))]
async fn add(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<NewPartition>,
) -> Result<(StatusCode, Json<Partition>), Refusal> {
    let call = Call::new("partition.add", body.as_ref().ok().and_then(|new| new.connection.clone()).unwrap_or_default());
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let connection = body?.connection.ok_or_else(|| Refusal::new(Kind::Invalid, "connection: is required"))?;
        let added = core.add_partition(&permit, &AddPartition::Connection(connection)).await?;
        Ok((StatusCode::CREATED, Json(partition(added, Told::Change))))
    };
    api.rest(&asking, call, act).await
}

/// Lists partitions.
#[utoipa::path(
    get,
    path = "/cckm/hsm/luna/partitions",
    tag = "HSMs",
    params(
        ListParams,
        ("id" = Option<String>, Query, description = "Its id"),
        ("partition_label" = Option<String>, Query, description = "Its token's label"),
        ("serial_number" = Option<String>, Query, description = "Its token's serial number"),
        ("group" = Option<String>, Query, description = "Its group"),
        ("connection_id" = Option<String>, Query, description = "The connection by which it was added"),
        ("status" = Option<String>, Query, description = "As up"),
    ),
    responses((status = 200, body = Page<Partition>), Refusals)
)]
async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<Partition>>, Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        let partitions = core.partitions(&permit).await?;
        Ok(Json(listing.page(partitions, &FIELDS)?.render(|view| partition(view, Told::Read))))
    };
    api.rest(&asking, Call::new("partition.list", ""), act).await
}

/// Tells of a partition.
#[utoipa::path(get, path = "/cckm/hsm/luna/partitions/{id}", tag = "HSMs", params(("id" = String, Path, description = "Its id, or a label that no other has")), responses((status = 200, body = Partition), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<Partition>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Read>| async move { Ok(Json(partition(core.partition(&permit, id).await?, Told::Read))) };
    api.rest(&asking, Call::new("partition.get", id), act).await
}

/// Forgets a partition: not while a key store is on it or keys that were made on it are known. Its token is left as it is.
#[utoipa::path(delete, path = "/cckm/hsm/luna/partitions/{id}", tag = "HSMs", params(("id" = String, Path, description = "Its id, or a label that no other has")), responses((status = 204), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<StatusCode, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        core.remove_partition(&permit, id).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    api.rest(&asking, Call::new("partition.remove", id), act).await
}

fn partition(view: PartitionView, told: Told) -> Partition {
    let status = status(&view).to_owned();
    let (manufacturer, model, firmware) = view.report.map(|told| (told.manufacturer, told.model, told.firmware)).unwrap_or_default();
    Partition {
        envelope: Envelope::new("cckm:luna-partition", &view.entry.id, view.entry.stamps, told).of_application(),
        partition_label: view.entry.label,
        serial_number: view.entry.serial,
        group: view.entry.group,
        connection_id: view.entry.connection.map(|id| id.to_string()),
        status,
        manufacturer,
        model,
        firmware,
        nodes: view.nodes.iter().map(NodeName::to_string).collect(),
    }
}

fn status(view: &PartitionView) -> &str {
    view.report.as_ref().map_or("unknown", |report| report.condition.as_str())
}

const FIELDS: [Field<PartitionView>; 8] = [
    Field::new("id", |view| vec![view.entry.id.to_string().into()]),
    Field::new("partition_label", |view| vec![view.entry.label.clone().into()]),
    Field::new("serial_number", |view| vec![view.entry.serial.clone().into()]),
    Field::new("group", |view| vec![view.entry.group.clone().into()]),
    Field::new("connection_id", |view| view.entry.connection.map(|id| Value::Text(id.to_string())).into_iter().collect()),
    Field::new("status", |view| vec![status(view).into()]),
    Field::new("createdAt", |view| vec![timestamp(view.entry.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |view| vec![timestamp(view.entry.stamps.updated_ns, Told::Read).into()]),
];
