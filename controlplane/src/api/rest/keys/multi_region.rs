//! Replicas, and which key of a set is the primary one (contract §8.4).

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer::Key,
    for_aws::PolicyMembers,
    key_uuid,
    new_key::{NewKeyForAws, expiry, said},
    request::REQUIRED,
};
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
    core::aws_keys::NewReplica,
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(replicate)).routes(routes!(update_primary_region))
}

/// A replica that is to be.
#[derive(Default, Deserialize, ToSchema)]
struct ReplicateKey {
    /// One of the container's regions.
    #[schema(required, nullable = false)]
    replica_region: Option<String>,
    /// The alias, description, policy and tags of the replica; the rest is as its primary key's.
    aws_param: Option<NewKeyForAws>,
    /// Whether imported material expires in the replica, at `valid_to` or `aws_param.ValidTo`.
    key_expiration: Option<bool>,
    /// The same, as some clients spell it.
    #[serde(rename = "KeyExpiration")]
    key_expiration_too: Option<bool>,
    /// RFC 3339.
    valid_to: Option<String>,
    #[serde(flatten)]
    people: PolicyMembers,
}

/// Where the primary key is to be.
#[derive(Default, Deserialize, ToSchema)]
struct PrimaryRegion {
    #[serde(rename = "PrimaryRegion", alias = "primary_region")]
    #[schema(required, nullable = false)]
    region: Option<String>,
}

/// Makes a replica of a multi-region key in another region; imported material follows when AWS takes it.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/replicate-key", tag = "AWS keys", params(("id" = String, Path)),
    request_body = ReplicateKey, responses((status = 201, body = Key), Refusals))]
async fn replicate(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<ReplicateKey>,
) -> Result<(StatusCode, Json<Key>), Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        let made = core.replicate_key(&permit, key_uuid(id)?, body?.parse()?).await?;
        Ok((StatusCode::CREATED, Json(Key::of(made, Told::Change))))
    };
    api.rest(&asking, Call::new("aws_key.replicate", id), act).await
}

/// Makes the replica in another region the primary key, and the primary key a replica.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/update-primary-region", tag = "AWS keys", params(("id" = String, Path)),
    request_body = PrimaryRegion, responses((status = 200, body = Key), Refusals))]
async fn update_primary_region(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<PrimaryRegion>,
) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        let region = body?.region.ok_or_else(|| Refusal::invalid("PrimaryRegion", REQUIRED))?;
        let done = core.update_primary_region(&permit, key_uuid(id)?, &region).await?;
        Ok(Json(Key::of(done, Told::Change)))
    };
    api.rest(&asking, Call::new("aws_key.update_primary_region", id), act).await
}

impl ReplicateKey {
    fn parse(self) -> Result<NewReplica, Refusal> {
        let mut aws = self.aws_param.unwrap_or_default();
        let (for_aws, template) = aws.for_aws(self.people)?;
        let valid_to = self.valid_to.or(aws.valid_to.take());
        Ok(NewReplica {
            region: self.replica_region.ok_or_else(|| Refusal::invalid("replica_region", REQUIRED))?,
            valid_to_ns: expiry("valid_to", said([self.key_expiration, self.key_expiration_too, aws.key_expiration]), valid_to.as_deref())?,
            for_aws,
            template,
        })
    }
}
