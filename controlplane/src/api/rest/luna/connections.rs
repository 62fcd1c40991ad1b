//! HSM connections.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::super::{
    asking::{Asking, Named},
    body::Payload,
    envelope::{Envelope, Told, timestamp},
    list::{Field, ListParams, Listing, Page},
    openapi::Refusals,
};
use crate::{
    access::{Manage, Permit, Read},
    api::{
        Api,
        call::Call,
        error::{Kind, Refusal},
    },
    store::entry::{ConnectedPartition, HsmConnectionEntry, Stamps},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, update, delete))
}

/// A connection, or what is to change of one; what is absent stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
struct ConnectionBody {
    /// Required to create; unique.
    #[schema(max_length = 256)]
    name: Option<String>,
    description: Option<String>,
    /// As in `cckm`.
    products: Option<Vec<String>>,
    /// The partitions that it reaches: may be added by it.
    partitions: Option<Vec<Partition>>,
    is_ha_enabled: Option<bool>,
    /// Taken and not kept: PINs are in the data planes' local configuration.
    #[schema(write_only)]
    password: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    /// Any JSON object.
    meta: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A partition as a connection names it: by label, serial number or both.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
#[schema(as = ConnectedPartition)]
struct Partition {
    partition_label: String,
    serial_number: String,
    /// The server that it is on.
    #[serde(skip_serializing_if = "String::is_empty")]
    hostname: String,
}

/// A connection.
#[derive(Serialize, ToSchema)]
#[schema(as = HsmConnection)]
struct Connection {
    #[serde(flatten)]
    envelope: Envelope,
    name: String,
    description: String,
    products: Vec<String>,
    partitions: Vec<Partition>,
    is_ha_enabled: bool,
    /// Always `luna-network`.
    service: &'static str,
    /// Always `hsm`.
    category: &'static str,
    resource_url: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    meta: Option<serde_json::Value>,
}

/// Keeps an HSM connection. Nothing connects by it: it names partitions that may be added. A password in it is not kept.
#[utoipa::path(post, path = "/connectionmgmt/services/luna-network/connections", tag = "HSMs", request_body = ConnectionBody, responses((status = 201, body = Connection), Refusals))]
async fn create(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<ConnectionBody>,
) -> Result<(StatusCode, Json<Connection>), Refusal> {
    let call = Call::new("hsm_connection.create", body.as_ref().ok().and_then(|new| new.name.clone()).unwrap_or_default());
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let mut new = HsmConnectionEntry {
            id: Uuid::nil(),
            name: String::new(),
            description: String::new(),
            products: Vec::new(),
            partitions: Vec::new(),
            is_ha_enabled: false,
            labels: BTreeMap::new(),
            meta: None,
            stamps: Stamps::default(),
        };
        body?.change(&mut new);
        if new.name.is_empty() {
            return Err(Refusal::new(Kind::Invalid, "name: is required"));
        }
        Ok((StatusCode::CREATED, Json(connection(core.create_hsm_connection(&permit, new).await?, Told::Change))))
    };
    api.rest(&asking, call, act).await
}

/// Lists HSM connections.
#[utoipa::path(
    get,
    path = "/connectionmgmt/services/luna-network/connections",
    tag = "HSMs",
    params(
        ListParams,
        ("id" = Option<String>, Query, description = "Its id"),
        ("name" = Option<String>, Query, description = "Its name"),
        ("products" = Option<String>, Query, description = "One of its products"),
        ("is_ha_enabled" = Option<bool>, Query, description = "A high-availability group"),
    ),
    responses((status = 200, body = Page<Connection>), Refusals)
)]
async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<Connection>>, Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        let connections = core.hsm_connections(&permit).await?;
        Ok(Json(listing.page(connections, &FIELDS)?.render(|entry| connection(entry, Told::Read))))
    };
    api.rest(&asking, Call::new("hsm_connection.list", ""), act).await
}

/// Tells of an HSM connection.
#[utoipa::path(get, path = "/connectionmgmt/services/luna-network/connections/{id}", tag = "HSMs", params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = Connection), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<Connection>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Read>| async move { Ok(Json(connection(core.hsm_connection(&permit, id).await?, Told::Read))) };
    api.rest(&asking, Call::new("hsm_connection.get", id), act).await
}

/// Changes an HSM connection. A password in the body is not kept.
#[utoipa::path(patch, path = "/connectionmgmt/services/luna-network/connections/{id}", tag = "HSMs", params(("id" = String, Path, description = "Its id or name")), request_body = ConnectionBody, responses((status = 200, body = Connection), Refusals))]
async fn update(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<ConnectionBody>,
) -> Result<Json<Connection>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        let body = body?;
        let changed = core.update_hsm_connection(&permit, id, |entry| body.change(entry)).await?;
        Ok(Json(connection(changed, Told::Change)))
    };
    api.rest(&asking, Call::new("hsm_connection.update", id), act).await
}

/// Forgets an HSM connection: not while a partition is there that was added by it.
#[utoipa::path(delete, path = "/connectionmgmt/services/luna-network/connections/{id}", tag = "HSMs", params(("id" = String, Path, description = "Its id or name")), responses((status = 204), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<StatusCode, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        core.delete_hsm_connection(&permit, id).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    api.rest(&asking, Call::new("hsm_connection.delete", id), act).await
}

impl ConnectionBody {
    fn change(&self, entry: &mut HsmConnectionEntry) {
        entry.name = self.name.clone().unwrap_or_else(|| std::mem::take(&mut entry.name));
        entry.description = self.description.clone().unwrap_or_else(|| std::mem::take(&mut entry.description));
        entry.products = self.products.clone().unwrap_or_else(|| std::mem::take(&mut entry.products));
        if let Some(partitions) = &self.partitions {
            entry.partitions = partitions.iter().cloned().map(ConnectedPartition::from).collect();
        }
        entry.is_ha_enabled = self.is_ha_enabled.unwrap_or(entry.is_ha_enabled);
        entry.labels = self.labels.clone().unwrap_or_else(|| std::mem::take(&mut entry.labels));
        entry.meta = self.meta.clone().map(serde_json::Value::Object).or_else(|| entry.meta.take());
    }
}

impl From<Partition> for ConnectedPartition {
    fn from(named: Partition) -> Self {
        Self { label: named.partition_label, serial: named.serial_number, hostname: named.hostname }
    }
}

fn connection(entry: HsmConnectionEntry, told: Told) -> Connection {
    let partition = |named: ConnectedPartition| {
        let ConnectedPartition { label, serial, hostname } = named;
        Partition { partition_label: label, serial_number: serial, hostname }
    };
    Connection {
        envelope: Envelope::new("connectionmgmt:luna-network-connection", &entry.id, entry.stamps, told).of_application(),
        resource_url: format!("/v1/connectionmgmt/services/luna-network/connections/{}", entry.id),
        name: entry.name,
        description: entry.description,
        products: entry.products,
        partitions: entry.partitions.into_iter().map(partition).collect(),
        is_ha_enabled: entry.is_ha_enabled,
        service: "luna-network",
        category: "hsm",
        labels: entry.labels,
        meta: entry.meta,
    }
}

const FIELDS: [Field<HsmConnectionEntry>; 6] = [
    Field::new("id", |entry| vec![entry.id.to_string().into()]),
    Field::new("name", |entry| vec![entry.name.clone().into()]),
    Field::new("products", |entry| entry.products.iter().cloned().map(Into::into).collect()),
    Field::new("is_ha_enabled", |entry| vec![entry.is_ha_enabled.into()]),
    Field::new("createdAt", |entry| vec![timestamp(entry.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |entry| vec![timestamp(entry.stamps.updated_ns, Told::Read).into()]),
];
