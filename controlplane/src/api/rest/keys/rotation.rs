//! Rotation of keys: to a new version or a new key, by AWS in time, by a job; and the material that a key has had (contract §8.4).

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    answer::Key,
    key_uuid,
    new_key::expiry,
    request::REQUIRED,
    rotations::{FIELDS, KeyRotation},
};
use crate::{
    access::{Manage, Permit, Read, Use},
    api::{
        Api,
        call::Call,
        error::Refusal,
        rest::{
            asking::{Asking, Named},
            body::Payload,
            envelope::Told,
            list::{ListParams, Listing, Page},
            openapi::Refusals,
        },
    },
    core::aws_keys::{NewKeyRotation, RotateNow},
    store::entry::KeyRotationJobEntry,
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(rotate))
        .routes(routes!(rotations))
        .routes(routes!(enable_auto))
        .routes(routes!(disable_auto))
        .routes(routes!(enable_job))
        .routes(routes!(disable_job))
}

/// How a key is rotated. Of a HYOK key only the first two count.
#[derive(Default, Deserialize, ToSchema)]
struct RotateKey {
    /// Where the source key is, or is made: of a HYOK key its tier; of others `local`, or `native` for material that AWS makes; nothing:
    /// where the old material is from.
    source_key_tier: Option<String>,
    /// The source key itself, not a virtual key; nothing: one is made.
    source_key_id: Option<String>,
    /// The old key is disabled.
    disable_encrypt: Option<bool>,
    /// Of the new key; nothing: the old one's.
    description: Option<String>,
    /// Whether new material that is uploaded expires, at `valid_to`.
    key_expiration: Option<bool>,
    /// RFC 3339.
    valid_to: Option<String>,
    /// The old key keeps aliases that tell when it was rotated.
    retain_alias: Option<bool>,
}

/// How AWS rotates a key's material.
#[derive(Default, Deserialize, ToSchema)]
struct AutoRotation {
    /// 90 to 2560; nothing: 365.
    rotation_period_in_days: Option<u32>,
}

/// How a job rotates a key.
#[derive(Default, Deserialize, ToSchema)]
struct KeyRotationJob {
    /// A job configuration whose operation is `cckm_key_rotation`.
    #[schema(required, nullable = false)]
    job_config_id: Option<String>,
    /// Where a new key's material comes from: `local` (also `ciphertrust`) has it made here and uploaded, `native` made by AWS; nothing:
    /// where the old one's was. Of a HYOK key its tier. New material of a key that stays comes from where its first did.
    auto_rotate_key_source: Option<String>,
    /// Keys that are replaced are disabled, which AWS does for all accounts. Only one of this and the next may be true.
    auto_rotate_disable_encrypt: Option<bool>,
    /// The same.
    auto_rotate_disable_encrypt_on_all_accounts: Option<bool>,
}

/// Rotates a key: a HYOK key gets a new version, which encrypts as soon as every data plane has it; another is replaced by a new key, which
/// takes over its aliases and is what is answered.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/rotate", tag = "AWS keys", params(("id" = String, Path)), request_body = RotateKey,
    responses((status = 200, body = Key), Refusals))]
async fn rotate(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<RotateKey>,
) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Use>| async move {
        let done = core.rotate_any_key(&permit, key_uuid(id)?, body?.parse()?).await?;
        Ok(Json(Key::of(done, Told::Change)))
    };
    api.rest(&asking, Call::new("aws_key.rotate", id), act).await
}

/// Lists the material that a key has and had.
#[utoipa::path(get, path = "/cckm/aws/keys/{id}/rotations", tag = "AWS keys", params(("id" = String, Path), ListParams,
    ("id" = Option<String>, Query, description = "The record's id."),
    ("key_material_id" = Option<String>, Query, description = "AWS's id of the material."),
    ("source_key_name" = Option<String>, Query, description = "The source key's name."),
), responses((status = 200, body = Page<KeyRotation>), Refusals))]
async fn rotations(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    listing: Listing,
) -> Result<Json<Page<KeyRotation>>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Read>| async move {
        let (key, all) = core.key_rotations(&permit, key_uuid(id)?).await?;
        Ok(Json(listing.page(KeyRotation::all(&key, all), &FIELDS)?))
    };
    api.rest(&asking, Call::new("aws_key.rotations", id), act).await
}

/// Has AWS rotate a key's material from now on.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/enable-auto-rotation", tag = "AWS keys", params(("id" = String, Path)),
    request_body = AutoRotation, responses((status = 200, body = Key), Refusals))]
async fn enable_auto(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<AutoRotation>,
) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        // Clients send 0 for what they don't say (contract §2.3).
        let period = body?.rotation_period_in_days.filter(|days| *days != 0);
        let done = core.enable_auto_rotation(&permit, key_uuid(id)?, period).await?;
        Ok(Json(Key::of(done, Told::Change)))
    };
    api.rest(&asking, Call::new("aws_key.enable_auto_rotation", id), act).await
}

/// Has AWS rotate a key's material no longer.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/disable-auto-rotation", tag = "AWS keys", params(("id" = String, Path)),
    responses((status = 200, body = Key), Refusals))]
async fn disable_auto(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act =
        |permit: Permit<Manage>| async move { Ok(Json(Key::of(core.disable_auto_rotation(&permit, key_uuid(id)?).await?, Told::Change))) };
    api.rest(&asking, Call::new("aws_key.disable_auto_rotation", id), act).await
}

/// Has a job rotate a key from now on.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/enable-rotation-job", tag = "AWS keys", params(("id" = String, Path)),
    request_body = KeyRotationJob, responses((status = 200, body = Key), Refusals))]
async fn enable_job(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<KeyRotationJob>,
) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        let done = core.enable_key_rotation_job(&permit, key_uuid(id)?, body?.parse()?).await?;
        Ok(Json(Key::of(done, Told::Change)))
    };
    api.rest(&asking, Call::new("aws_key.enable_rotation_job", id), act).await
}

/// Has no job rotate a key any more.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/disable-rotation-job", tag = "AWS keys", params(("id" = String, Path)),
    responses((status = 200, body = Key), Refusals))]
async fn disable_job(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        Ok(Json(Key::of(core.disable_key_rotation_job(&permit, key_uuid(id)?).await?, Told::Change)))
    };
    api.rest(&asking, Call::new("aws_key.disable_rotation_job", id), act).await
}

impl RotateKey {
    fn parse(self) -> Result<RotateNow, Refusal> {
        Ok(RotateNow {
            source: self.source_key_id,
            tier_as_sent: self.source_key_tier,
            how: NewKeyRotation {
                source: None,
                material: None,
                valid_to_ns: expiry("valid_to", self.key_expiration, self.valid_to.as_deref())?,
                description: self.description,
                disable: self.disable_encrypt.unwrap_or(false),
                retain_alias: self.retain_alias.unwrap_or(false),
            },
        })
    }
}

impl KeyRotationJob {
    fn parse(self) -> Result<KeyRotationJobEntry, Refusal> {
        let job = self.job_config_id.ok_or_else(|| Refusal::invalid("job_config_id", REQUIRED))?;
        Ok(KeyRotationJobEntry {
            job: Uuid::try_parse(&job).map_err(|_| Refusal::invalid("job_config_id", "there is no such job"))?,
            key_source: self.auto_rotate_key_source,
            disable_encrypt: self.auto_rotate_disable_encrypt.unwrap_or(false),
            disable_encrypt_on_all_accounts: self.auto_rotate_disable_encrypt_on_all_accounts.unwrap_or(false),
        })
    }
}
