//! Signing in, by password or by refresh token (contract §1.1).

use std::sync::Arc;

use axum::{Json, extract::State};
use holdfast_proto::secret::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{asking::Asking, body::Payload, openapi::Refusals};
use crate::{
    access::sign_ins::SignedIn,
    api::{
        Api,
        error::{Kind, Refusal},
    },
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(sign_in))
}

/// Who signs in.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
struct SignIn {
    /// `password`, which is what its absence means, or `refresh_token`.
    grant_type: Option<String>,
    username: Option<String>,
    password: Option<String>,
    /// For the grant type of that name.
    refresh_token: Option<String>,
    /// `root`, or absent.
    domain: Option<String>,
    /// `root`, or absent.
    auth_domain: Option<String>,
}

/// What calls are made with, and what renews it.
#[derive(Serialize, ToSchema)]
struct Tokens {
    jwt: String,
    /// Seconds that `jwt` lives.
    duration: u64,
    token_type: &'static str,
    client_id: &'static str,
    refresh_token_id: Uuid,
    refresh_token: String,
}

/// Signs in. What `Authorization` says is ignored: clients send an old token in it.
#[utoipa::path(post, path = "/auth/tokens", tag = "Access", security(()), request_body = SignIn, responses((status = 200, body = Tokens), Refusals))]
async fn sign_in(State(api): State<Arc<Api>>, asking: Asking, Payload(body): Payload<SignIn>) -> Result<Json<Tokens>, Refusal> {
    let (sent, origin) = (body?, asking.stranger());
    let name = sent.username.unwrap_or_default();
    if [&sent.domain, &sent.auth_domain].into_iter().flatten().any(|domain| domain != "root") {
        let refused = async { Err(Refusal::new(Kind::Unauthorized, "there is no such domain; root is the only one")) };
        return api.open_call(origin, &name, "login", refused).await;
    }
    let signed_in = match sent.grant_type.as_deref() {
        None | Some("password") => api.sign_in(origin, &name, Secret::new(sent.password.unwrap_or_default())).await?,
        Some("refresh_token") => {
            let refresh = sent.refresh_token.ok_or_else(|| Refusal::new(Kind::Invalid, "refresh_token: is missing"))?;
            api.refresh(origin, Secret::new(refresh)).await?
        }
        Some(_) => return Err(Refusal::new(Kind::Invalid, "grant_type: must be password or refresh_token")),
    };
    Ok(Json(tokens(signed_in)))
}

fn tokens(signed_in: SignedIn) -> Tokens {
    Tokens {
        jwt: signed_in.token.jwt,
        duration: signed_in.token.life.as_secs(),
        token_type: "Bearer",
        client_id: "",
        refresh_token_id: signed_in.refresh_id,
        refresh_token: signed_in.refresh.expose().to_owned(),
    }
}
