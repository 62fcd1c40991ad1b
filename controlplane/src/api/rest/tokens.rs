//! Signing in (contract §1.1).

use std::sync::Arc;

use axum::{Json, extract::State};
use holdfast_proto::secret::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{asking::Asking, body::Payload, openapi::Refusals};
use crate::api::{
    Api,
    error::{Kind, Refusal},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(login))
}

/// Who signs in.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
struct Login {
    grant_type: Option<String>,
    username: Option<String>,
    password: Option<String>,
    domain: Option<String>,
    auth_domain: Option<String>,
}

/// A token.
#[derive(Serialize, ToSchema)]
struct LoggedIn {
    jwt: String,
    duration: u64,
    token_type: &'static str,
    client_id: &'static str,
}

/// Signs in. What `Authorization` says is ignored: clients send an old token in it.
#[utoipa::path(post, path = "/auth/tokens", tag = "Access", security(()), request_body = Login, responses((status = 200, body = LoggedIn), Refusals))]
async fn login(State(api): State<Arc<Api>>, asking: Asking, Payload(body): Payload<Login>) -> Result<Json<LoggedIn>, Refusal> {
    let login = body?;
    let name = login.username.unwrap_or_default();
    let act = async {
        match login.grant_type.as_deref() {
            None | Some("password") => {}
            Some(_) => return Err(Refusal::new(Kind::Invalid, "grant_type: must be password")),
        }
        if [&login.domain, &login.auth_domain].into_iter().flatten().any(|domain| domain != "root") {
            return Err(Refusal::new(Kind::Unauthorized, "there is no such domain; root is the only one"));
        }
        Ok(api.access.login(&name, Secret::new(login.password.unwrap_or_default())).await?)
    };
    let token = api.open_call(asking.stranger(), &name, "login", act).await?;
    Ok(Json(LoggedIn { jwt: token.jwt, duration: token.life.as_secs(), token_type: "Bearer", client_id: "" }))
}
