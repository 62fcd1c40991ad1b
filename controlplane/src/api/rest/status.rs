//! Whether the control plane is up: needs no token.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// This file's paths.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(services))
}

/// What runs.
#[derive(Serialize, ToSchema)]
struct Services {
    #[schema(examples("started"))]
    status: &'static str,
    services: Vec<Service>,
}

/// One service.
#[derive(Serialize, ToSchema)]
struct Service {
    name: &'static str,
    status: &'static str,
}

/// Tells that the services run.
#[utoipa::path(get, path = "/system/services/status", tag = "System", security(()), responses((status = 200, body = Services)))]
async fn services() -> Json<Services> {
    let started = |name| Service { name, status: "started" };
    Json(Services { status: "started", services: vec![started("web"), started("nae-kmip")] })
}
