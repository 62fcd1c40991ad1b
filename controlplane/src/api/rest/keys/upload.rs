//! Keys whose material is uploaded (contract §8.3).

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer::Key,
    for_aws::PolicyMembers,
    new_key::{NewKeyForAws, expiry, said},
    request::REQUIRED,
};
use crate::{
    access::{Manage, Permit},
    api::{
        Api,
        call::Call,
        error::Refusal,
        rest::{asking::Asking, body::Payload, envelope::Told, openapi::Refusals},
    },
    core::aws_keys::{NewAwsKey, UploadSource},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(upload))
}

/// A key that is to be, with a source key's material.
#[derive(Default, Deserialize, ToSchema)]
struct UploadKey {
    /// The KMS container, name or id.
    #[schema(required, nullable = false)]
    kms: Option<String>,
    /// One of the container's regions.
    #[schema(required, nullable = false)]
    region: Option<String>,
    /// The key of `vault/keys2`, id or name; it must be exportable.
    #[schema(required, nullable = false)]
    source_key_identifier: Option<String>,
    /// `local`.
    source_key_tier: Option<String>,
    aws_param: Option<NewKeyForAws>,
    /// Whether the material expires, at `aws_param.ValidTo`.
    key_expiration: Option<bool>,
    /// The same, as some clients spell it.
    #[serde(rename = "KeyExpiration")]
    key_expiration_too: Option<bool>,
    #[serde(flatten)]
    people: PolicyMembers,
}

/// Makes a key in AWS and uploads a source key's material into it, wrapped by a data plane.
#[utoipa::path(post, path = "/cckm/aws/upload-key", tag = "AWS keys", request_body = UploadKey,
    responses((status = 201, body = Key), Refusals))]
async fn upload(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<UploadKey>,
) -> Result<(StatusCode, Json<Key>), Refusal> {
    let call = Call::new("aws_key.upload", body.as_ref().ok().and_then(|body| body.source_key_identifier.clone()).unwrap_or_default());
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let (new, source) = body?.parse()?;
        let made = core.upload_key(&permit, new, source).await?;
        Ok((StatusCode::CREATED, Json(Key::of(made, Told::Change))))
    };
    api.rest(&asking, call, act).await
}

impl UploadKey {
    fn parse(self) -> Result<(NewAwsKey, UploadSource), Refusal> {
        let mut aws = self.aws_param.unwrap_or_default();
        if aws.origin.as_deref().is_some_and(|origin| origin != "EXTERNAL") {
            return Err(Refusal::invalid("aws_param.Origin", "of an uploaded key is EXTERNAL"));
        }
        let (for_aws, template) = aws.for_aws(self.people)?;
        let valid_to_ns =
            expiry("aws_param.ValidTo", said([self.key_expiration, self.key_expiration_too, aws.key_expiration]), aws.valid_to.as_deref())?;
        let source_key = self.source_key_identifier.ok_or_else(|| Refusal::invalid("source_key_identifier", REQUIRED))?;
        let new = NewAwsKey {
            for_aws,
            kms: self.kms.ok_or_else(|| Refusal::invalid("kms", REQUIRED))?,
            region: self.region.ok_or_else(|| Refusal::invalid("region", REQUIRED))?,
            spec: aws.customer_master_key_spec,
            usage: aws.key_usage,
            multi_region: aws.multi_region.unwrap_or(false),
            template,
        };
        Ok((new, UploadSource { source_key, tier_as_sent: self.source_key_tier, valid_to_ns }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The known client's body (contract §8.3), pruned as any.
    fn body() -> Value {
        json!({"kms": "kms", "region": "us-east-1", "source_key_identifier": "k", "source_key_tier": "local", "key_expiration": true,
            "aws_param": {"Alias": "alias/a", "BypassPolicyLockoutSafetyCheck": false, "CustomerMasterKeySpec": "RSA_2048",
                "Description": "d", "KeyUsage": "SIGN_VERIFY", "MultiRegion": true, "Tags": [{"TagKey": "k", "TagValue": "v"}],
                "ValidTo": "2030-01-31T12:00:00Z"}})
    }

    fn parsed(body: Value) -> Result<(NewAwsKey, UploadSource), Refusal> {
        serde_json::from_value::<UploadKey>(body).unwrap().parse()
    }

    #[test]
    fn the_known_client_s_body_and_the_seed_s_say_the_same() {
        let (new, source) = parsed(body()).unwrap();
        assert_eq!((new.kms.as_str(), new.for_aws.alias.as_str(), new.multi_region), ("kms", "a", true));
        assert_eq!((new.spec.as_deref(), new.usage.as_deref()), (Some("RSA_2048"), Some("SIGN_VERIFY")));
        assert_eq!(source.valid_to_ns, Some(1_896_091_200_000_000_000));
        let mut seed = body();
        seed["KeyExpiration"] = seed.as_object_mut().unwrap().remove("key_expiration").unwrap();
        assert_eq!(parsed(seed).unwrap().1.valid_to_ns, source.valid_to_ns);
    }

    #[test]
    fn a_fault_names_its_member() {
        for (member, change) in [
            ("kms", json!({"kms": null})),
            ("region", json!({"region": null})),
            ("source_key_identifier", json!({"source_key_identifier": null})),
            ("aws_param.ValidTo", json!({"key_expiration": false})),
            ("aws_param.Origin", json!({"aws_param": {"Origin": "AWS_KMS"}})),
        ] {
            let mut body = body();
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let refusal = parsed(body).unwrap_err();
            assert!(refusal.text().starts_with(&format!("{member}: ")), "{member}: {}", refusal.text());
        }
    }
}
