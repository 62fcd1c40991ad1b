//! REST, in the forms that existing clients of this API know. Thin: parse, ask, answer.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, State},
    routing::{get, post},
};
use holdfast_proto::secret::Secret;
use serde::{Deserialize, Serialize};

use super::{
    Api,
    call::Origin,
    error::{Kind, Refusal},
};
use crate::audit::Via;

/// All REST paths; the rest is refused in JSON.
pub(super) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/api/v1/auth/tokens", post(login))
        .route("/api/v1/auth/tokens/", post(login))
        .route("/api/v1/system/services/status", get(services))
        .fallback(async || Refusal::new(Kind::NotFound, "Resource not found: there is nothing at this path"))
        .method_not_allowed_fallback(async || Refusal::new(Kind::Method, "this path has no such method"))
        .with_state(api)
}

/// Members that are missing, null or empty are absent; unknown ones are ignored.
#[derive(Deserialize)]
struct Login {
    grant_type: Option<String>,
    username: Option<String>,
    password: Option<String>,
    domain: Option<String>,
    auth_domain: Option<String>,
}

#[derive(Serialize)]
struct LoggedIn {
    jwt: String,
    duration: u64,
    token_type: &'static str,
    client_id: &'static str,
}

#[derive(Serialize)]
struct Services {
    status: &'static str,
    services: [Service; 2],
}

#[derive(Serialize)]
struct Service {
    name: &'static str,
    status: &'static str,
}

/// Takes the body as bytes: clients send the content type twice, and an old token in `Authorization`, which says nothing here.
async fn login(State(api): State<Arc<Api>>, ConnectInfo(peer): ConnectInfo<SocketAddr>, body: Body) -> Result<Json<LoggedIn>, Refusal> {
    let login: Login = json(body).await?;
    let name = login.username.unwrap_or_default();
    let origin = Origin { via: Via::Rest, token: None, peer: Some(peer.ip()) };
    let act = async {
        match login.grant_type.as_deref() {
            None | Some("" | "password") => {}
            Some(_) => return Err(Refusal::new(Kind::Invalid, "grant_type: must be password")),
        }
        if [&login.domain, &login.auth_domain].into_iter().flatten().any(|domain| !matches!(domain.as_str(), "" | "root")) {
            return Err(Refusal::new(Kind::Unauthorized, "there is no such domain; root is the only one"));
        }
        Ok(api.access.login(&name, Secret::new(login.password.unwrap_or_default())).await?)
    };
    let token = api.open_call(origin, &name, "login", act).await?;
    Ok(Json(LoggedIn { jwt: token.jwt, duration: token.life.as_secs(), token_type: "Bearer", client_id: "" }))
}

async fn services() -> Json<Services> {
    let started = |name| Service { name, status: "started" };
    Json(Services { status: "started", services: [started("web"), started("nae-kmip")] })
}

async fn json<T: for<'de> Deserialize<'de>>(body: Body) -> Result<T, Refusal> {
    let bytes = to_bytes(body, super::LONGEST_BODY).await.map_err(|_| Refusal::new(Kind::TooLarge, "the body is longer than 1 MiB"))?;
    // The parser's words may repeat what was sent, and that may be a password.
    serde_json::from_slice(&bytes).map_err(|e| {
        let text = format!("the body is not the JSON that belongs here (line {}, column {})", e.line(), e.column());
        Refusal::new(Kind::Invalid, text)
    })
}
