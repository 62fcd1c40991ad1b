//! Keys that are made in AWS, with AWS's material or without any (contract §8.2).

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{answer::Key, for_aws::PolicyMembers, new_key::NewKeyForAws, request::REQUIRED};
use crate::{
    access::{Manage, Permit},
    api::{
        Api,
        call::Call,
        error::Refusal,
        rest::{asking::Asking, body::Payload, envelope::Told, openapi::Refusals},
    },
    core::aws_keys::NewAwsKey,
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(create))
}

/// A native key that is to be.
#[derive(Default, Deserialize, ToSchema)]
struct CreateKey {
    /// The KMS container, name or id.
    #[schema(required, nullable = false)]
    kms: Option<String>,
    /// One of the container's regions.
    #[schema(required, nullable = false)]
    region: Option<String>,
    aws_param: Option<NewKeyForAws>,
    #[serde(flatten)]
    people: PolicyMembers,
}

/// Makes a key in AWS. One of origin `EXTERNAL` waits for its material.
#[utoipa::path(post, path = "/cckm/aws/keys", tag = "AWS keys", request_body = CreateKey, responses((status = 201, body = Key), Refusals))]
async fn create(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<CreateKey>,
) -> Result<(StatusCode, Json<Key>), Refusal> {
    let call = Call::new("aws_key.create", body.as_ref().ok().and_then(|body| body.kms.clone()).unwrap_or_default());
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let (new, external) = body?.parse()?;
        let made = core.create_native_key(&permit, new, external).await?;
        Ok((StatusCode::CREATED, Json(Key::of(made, Told::Change))))
    };
    api.rest(&asking, call, act).await
}

impl CreateKey {
    /// What is asked, and whether the key waits for its material.
    fn parse(self) -> Result<(NewAwsKey, bool), Refusal> {
        let mut aws = self.aws_param.unwrap_or_default();
        let external = match aws.origin.as_deref() {
            None | Some("AWS_KMS") => false,
            Some("EXTERNAL") => true,
            Some(_) => return Err(Refusal::invalid("aws_param.Origin", "must be AWS_KMS or EXTERNAL")),
        };
        let (for_aws, template) = aws.for_aws(self.people)?;
        let new = NewAwsKey {
            for_aws,
            kms: self.kms.ok_or_else(|| Refusal::invalid("kms", REQUIRED))?,
            region: self.region.ok_or_else(|| Refusal::invalid("region", REQUIRED))?,
            spec: aws.customer_master_key_spec,
            usage: aws.key_usage,
            multi_region: aws.multi_region.unwrap_or(false),
            template,
        };
        Ok((new, external))
    }
}
