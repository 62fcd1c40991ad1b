//! Keys that get into AWS: HYOK keys that are linked (contract §10.4), and keys on AWS CloudHSM clusters (contract §9).

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{answer::Key, for_aws::ForAwsMembers, key_id};
use crate::{
    access::{Manage, Permit},
    api::{
        Api,
        call::Call,
        error::Refusal,
        rest::{
            asking::{Asking, Named},
            body::Payload,
            envelope::Told,
            openapi::Refusals,
        },
    },
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(link)).routes(routes!(create_on_cloud_hsm))
}

/// Makes a HYOK key's counterpart in AWS. What is not said of it is as it was said when the key was made.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/link", tag = "AWS keys", params(("id" = String, Path)), request_body = ForAwsMembers, responses((status = 200, body = Key), Refusals))]
async fn link(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<ForAwsMembers>,
) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        let linked = core.link_hyok_key(&permit, key_id(id)?, body?.given()?).await?;
        Ok(Json(Key::of(linked, Told::Change)))
    };
    api.rest(&asking, Call::new("hyok_key.link", id), act).await
}

/// Makes a key in a connected AWS CloudHSM key store.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/{id}/create-aws-key", tag = "AWS keys", params(("id" = String, Path)), request_body = ForAwsMembers, responses((status = 201, body = Key), Refusals))]
async fn create_on_cloud_hsm(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(store): Named,
    Payload(body): Payload<ForAwsMembers>,
) -> Result<(StatusCode, Json<Key>), Refusal> {
    let (core, store) = (&api.core, store.as_str());
    let act = |permit: Permit<Manage>| async move {
        let made = core.create_cloud_hsm_key(&permit, store, body?.parse()?).await?;
        Ok((StatusCode::CREATED, Json(Key::of(made, Told::Change))))
    };
    api.rest(&asking, Call::new("aws_key.create", store), act).await
}
