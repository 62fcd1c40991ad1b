//! HSM servers.

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
    store::entry::{HsmServerEntry, Stamps},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, update, delete))
}

/// A server, or what is to change of one; what is absent stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
struct ServerBody {
    /// Required to create; unique.
    hostname: Option<String>,
    hsm_certificate: Option<String>,
    /// `NTLS` or `STC`.
    channel: Option<String>,
    description: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    /// Any JSON object.
    meta: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A server.
#[derive(Serialize, ToSchema)]
struct Server {
    #[serde(flatten)]
    envelope: Envelope,
    hostname: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hsm_certificate: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    meta: Option<serde_json::Value>,
}

/// Keeps an HSM server. Nothing connects by it: data planes reach their tokens by their own configuration.
#[utoipa::path(post, path = "/connectionmgmt/services/luna-network/servers", tag = "HSMs", request_body = ServerBody, responses((status = 201, body = Server), Refusals))]
async fn create(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<ServerBody>,
) -> Result<(StatusCode, Json<Server>), Refusal> {
    let call = Call::new("hsm_server.create", body.as_ref().ok().and_then(|new| new.hostname.clone()).unwrap_or_default());
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let mut new = HsmServerEntry {
            id: Uuid::nil(),
            hostname: String::new(),
            certificate: String::new(),
            channel: String::new(),
            description: String::new(),
            labels: BTreeMap::new(),
            meta: None,
            stamps: Stamps::default(),
        };
        body?.change(&mut new);
        if new.hostname.is_empty() {
            return Err(Refusal::new(Kind::Invalid, "hostname: is required"));
        }
        Ok((StatusCode::CREATED, Json(server(core.create_hsm_server(&permit, new).await?, Told::Change))))
    };
    api.rest(&asking, call, act).await
}

/// Lists HSM servers.
#[utoipa::path(
    get,
    path = "/connectionmgmt/services/luna-network/servers",
    tag = "HSMs",
    params(
        ListParams,
        ("id" = Option<String>, Query, description = "Its id"),
        ("hostname" = Option<String>, Query, description = "Its host name"),
        ("channel" = Option<String>, Query, description = "NTLS or STC"),
    ),
    responses((status = 200, body = Page<Server>), Refusals)
)]
async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<Server>>, Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        let servers = core.hsm_servers(&permit).await?;
        Ok(Json(listing.page(servers, &FIELDS)?.render(|entry| server(entry, Told::Read))))
    };
    api.rest(&asking, Call::new("hsm_server.list", ""), act).await
}

/// Tells of an HSM server.
#[utoipa::path(get, path = "/connectionmgmt/services/luna-network/servers/{id}", tag = "HSMs", params(("id" = String, Path, description = "Its id or host name")), responses((status = 200, body = Server), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<Server>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Read>| async move { Ok(Json(server(core.hsm_server(&permit, id).await?, Told::Read))) };
    api.rest(&asking, Call::new("hsm_server.get", id), act).await
}

/// Changes an HSM server.
#[utoipa::path(patch, path = "/connectionmgmt/services/luna-network/servers/{id}", tag = "HSMs", params(("id" = String, Path, description = "Its id or host name")), request_body = ServerBody, responses((status = 200, body = Server), Refusals))]
async fn update(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<ServerBody>,
) -> Result<Json<Server>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        let body = body?;
        let changed = core.update_hsm_server(&permit, id, |entry| body.change(entry)).await?;
        Ok(Json(server(changed, Told::Change)))
    };
    api.rest(&asking, Call::new("hsm_server.update", id), act).await
}

/// Forgets an HSM server: not while a connection names it.
#[utoipa::path(delete, path = "/connectionmgmt/services/luna-network/servers/{id}", tag = "HSMs", params(("id" = String, Path, description = "Its id or host name")), responses((status = 204), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<StatusCode, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        core.delete_hsm_server(&permit, id).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    api.rest(&asking, Call::new("hsm_server.delete", id), act).await
}

impl ServerBody {
    fn change(&self, entry: &mut HsmServerEntry) {
        entry.hostname = self.hostname.clone().unwrap_or_else(|| std::mem::take(&mut entry.hostname));
        entry.certificate = self.hsm_certificate.clone().unwrap_or_else(|| std::mem::take(&mut entry.certificate));
        entry.channel = self.channel.clone().unwrap_or_else(|| std::mem::take(&mut entry.channel));
        entry.description = self.description.clone().unwrap_or_else(|| std::mem::take(&mut entry.description));
        entry.labels = self.labels.clone().unwrap_or_else(|| std::mem::take(&mut entry.labels));
        entry.meta = self.meta.clone().map(serde_json::Value::Object).or_else(|| entry.meta.take());
    }
}

fn server(entry: HsmServerEntry, told: Told) -> Server {
    Server {
        envelope: Envelope::new("connectionmgmt:luna-network-server", &entry.id, entry.stamps, told).of_application(),
        hostname: entry.hostname,
        hsm_certificate: entry.certificate,
        channel: entry.channel,
        description: entry.description,
        labels: entry.labels,
        meta: entry.meta,
    }
}

const FIELDS: [Field<HsmServerEntry>; 5] = [
    Field::new("id", |entry| vec![entry.id.to_string().into()]),
    Field::new("hostname", |entry| vec![entry.hostname.clone().into()]),
    Field::new("channel", |entry| vec![entry.channel.clone().into()]),
    Field::new("createdAt", |entry| vec![timestamp(entry.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |entry| vec![timestamp(entry.stamps.updated_ns, Told::Read).into()]),
];
