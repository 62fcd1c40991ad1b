//! AWS keys (contract §8, §10): create HYOK keys, and list, look at, block, rotate and delete keys.

mod actions;
mod answer;
mod aws_param;
mod fields;
mod for_aws;
mod link;
mod material;
mod multi_region;
mod native;
mod new_key;
mod people;
mod request;
mod rotation;
mod rotations;
mod upload;

pub(super) use self::answer::{source_id, version_id};

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use holdfast_proto::ids::KeyId;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::{
    answer::{Key, KeyVersion},
    fields::{KEY, VERSION},
    request::CreateHyokKey,
};
use super::{
    asking::{Asking, Changed, Named, gone},
    body::Payload,
    envelope::Told,
    list::{ListParams, Listing, Page},
    openapi::Refusals,
};
use crate::{
    access::{Manage, Permit, Read, Use},
    api::{Api, call::Call, error::Refusal},
    core::{Core, CoreError},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(list))
        .routes(routes!(get, delete))
        .routes(routes!(versions))
        .routes(routes!(block))
        .routes(routes!(unblock))
        .merge(actions::routes())
        .merge(link::routes())
        .merge(material::routes())
        .merge(multi_region::routes())
        .merge(native::routes())
        .merge(rotation::routes())
        .merge(upload::routes())
}

/// Creates a HYOK key, linked or unlinked.
#[utoipa::path(post, path = "/cckm/aws/create-hyok-key", tag = "AWS keys", request_body = CreateHyokKey, responses((status = 201, body = Key), Refusals))]
async fn create(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<CreateHyokKey>,
) -> Result<(StatusCode, Json<Key>), Refusal> {
    let target = body.as_ref().ok().and_then(|body| body.store()).unwrap_or_default().to_owned();
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let created = core.create_hyok_key(&permit, body?.parse()?).await?;
        Ok((StatusCode::CREATED, Json(told(core, created.key.id.0).await?)))
    };
    api.rest(&asking, Call::new("hyok_key.create", target), act).await
}

/// Lists the keys.
#[utoipa::path(get, path = "/cckm/aws/keys", tag = "AWS keys", params(ListParams,
    ("id" = Option<String>, Query, description = "The key's id."),
    ("keyid" = Option<String>, Query, description = "AWS's id of the key; an unlinked key has none."),
    ("arn" = Option<String>, Query, description = "AWS's ARN of the key; an unlinked key has none."),
    ("alias" = Option<String>, Query, description = "An alias in AWS; an unlinked key has none."),
    ("region" = Option<String>, Query, description = "The AWS region."),
    ("kms" = Option<String>, Query, description = "The KMS container, id or name."),
    ("kms_id" = Option<String>, Query, description = "The KMS container's id."),
    ("cloud_name" = Option<String>, Query, description = "`aws`."),
    ("custom_key_store_id" = Option<String>, Query, description = "The key store's id."),
    ("custom_key_store_name" = Option<String>, Query, description = "The key store's name."),
    ("key_source" = Option<String>, Query, description = "`local` or `hsm-luna` (also `luna-hsm`)."),
    ("key_material_origin" = Option<String>, Query, description = "`cckm`."),
    ("origin" = Option<String>, Query, description = "`EXTERNAL_KEY_STORE`."),
    ("keystate" = Option<String>, Query, description = "`Enabled`."),
    ("keyusage" = Option<String>, Query, description = "`ENCRYPT_DECRYPT`."),
    ("CustomerMasterKeySpec" = Option<String>, Query, description = "`SYMMETRIC_DEFAULT`."),
    ("enabled" = Option<String>, Query, description = "`true` or `false`."),
    ("blocked" = Option<String>, Query, description = "`true` or `false`."),
    ("linked_state" = Option<String>, Query, description = "`true` or `false`."),
    ("gone" = Option<String>, Query, description = "`true` or `false`."),
    ("multi_region" = Option<String>, Query, description = "`true` or `false`."),
    ("rotation_job_enabled" = Option<String>, Query, description = "`true` or `false`."),
    ("job_config_id" = Option<String>, Query, description = "The job that rotates it; an unlinked key has none."),
    ("cckm_policy_template_id" = Option<String>, Query, description = "The policy template that it has in AWS; an unlinked key has none."),
    ("tags" = Option<String>, Query, description = "A tag in AWS; an unlinked key has none."),
    ("external_key_id" = Option<String>, Query, description = "What AWS calls it as `XksKeyId`."),
), responses((status = 200, body = Page<Key>), Refusals))]
async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<Key>>, Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        // Only the keys on the page are looked at closer.
        let choose = |all| match listing.page(all, &KEY) {
            Ok(Page { skip, limit, total, resources }) => (resources, Ok((skip, limit, total))),
            Err(refusal) => (Vec::new(), Err(refusal)),
        };
        let (keys, page) = core.keys(&permit, choose).await?;
        let (skip, limit, total) = page?;
        let resources = keys.into_iter().map(|key| Key::of(key, Told::Read)).collect();
        Ok(Json(Page { skip, limit, total, resources }))
    };
    api.rest(&asking, Call::new("aws_key.list", ""), act).await
}

/// Tells of one key.
#[utoipa::path(get, path = "/cckm/aws/keys/{id}", tag = "AWS keys", params(("id" = String, Path)), responses((status = 200, body = Key), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Read>| async move {
        let found = core.key(&permit, key_id(id)?.0).await?;
        Ok(Json(Key::of(found, Told::Read)))
    };
    api.rest(&asking, Call::new("aws_key.get", id), act).await
}

/// Deletes an unlinked key: what it encrypted can't be opened any more. Also what is left here of one that AWS has deleted.
#[utoipa::path(delete, path = "/cckm/aws/keys/{id}", tag = "AWS keys", params(("id" = String, Path)), responses((status = 204), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Response, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move { Ok(gone(&core.delete_key(&permit, key_id(id)?.0).await?)) };
    api.rest(&asking, Call::new("aws_key.delete", id), act).await
}

/// Lists the versions of a key, or of a virtual key by its id.
#[utoipa::path(get, path = "/cckm/aws/keys/{id}/versions", tag = "AWS keys", params(("id" = String, Path), ListParams,
    ("version" = Option<String>, Query, description = "Its number, from 0."),
    ("source_key_id" = Option<String>, Query, description = "Its source key."),
    ("state" = Option<String>, Query, description = "`pending`, `active` or `retired`."),
), responses((status = 200, body = Page<KeyVersion>), Refusals))]
async fn versions(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    listing: Listing,
) -> Result<Json<Page<KeyVersion>>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Read>| async move {
        let id = key_id(id)?;
        let virtual_key = match core.hyok_key(&permit, id).await {
            // Some clients ask here for a virtual key's (contract D3). A silent one is not told of.
            Err(none @ CoreError::NotFound(_)) => match core.virtual_key(&permit, id.0).await {
                Ok(found) if !found.key.silent => found,
                Ok(_) | Err(CoreError::NotFound(_)) => return Err(none.into()),
                Err(other) => return Err(other.into()),
            },
            found => found?.virtual_key,
        };
        let page = listing.page(virtual_key.versions, &VERSION)?;
        Ok(Json(page.render(|version| KeyVersion::of(virtual_key.key.id, &version))))
    };
    api.rest(&asking, Call::new("hyok_key.versions", id), act).await
}

/// Refuses to encrypt and decrypt with a key from now on.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/block", tag = "AWS keys", params(("id" = String, Path)), responses((status = 200, body = Key), Refusals))]
async fn block(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Changed<Key>, Refusal> {
    set_blocked(&api, &asking, (&id, true)).await
}

/// Encrypts and decrypts with a key again.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/unblock", tag = "AWS keys", params(("id" = String, Path)), responses((status = 200, body = Key), Refusals))]
async fn unblock(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Changed<Key>, Refusal> {
    set_blocked(&api, &asking, (&id, false)).await
}

async fn set_blocked(api: &Api, asking: &Asking, (id, blocked): (&str, bool)) -> Result<Changed<Key>, Refusal> {
    let call = Call::new(if blocked { "hyok_key.block" } else { "hyok_key.unblock" }, id);
    let act = |permit: Permit<Use>| async move {
        let applied = api.core.set_hyok_key_blocked(&permit, key_id(id)?, blocked).await?;
        let key = told(&api.core, applied.value.key.id.0).await?;
        Ok(Changed::new(applied, |_| key))
    };
    api.rest(asking, call, act).await
}

/// A key that was just made or changed.
async fn told(core: &Core, id: Uuid) -> Result<Key, Refusal> {
    Ok(Key::of(core.any_key(id).await?, Told::Change))
}

fn key_id(text: &str) -> Result<KeyId, Refusal> {
    key_uuid(text).map(KeyId)
}

fn key_uuid(text: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(text).map_err(|_| CoreError::NotFound("key").into())
}
