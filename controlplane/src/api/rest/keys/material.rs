//! Material of keys of origin `EXTERNAL` (contract §8.4).

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer::Key,
    key_uuid,
    new_key::{expiry, said},
    request::REQUIRED,
};
use crate::{
    access::{Manage, Permit, Use},
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
    core::aws_keys::{NewImport, UploadSource},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(import)).routes(routes!(delete)).routes(routes!(rotate))
}

/// Material that a key is to get.
#[derive(Default, Deserialize, ToSchema)]
struct ImportMaterial {
    /// The key of `vault/keys2`, id or name; it must be exportable.
    #[schema(required, nullable = false)]
    source_key_identifier: Option<String>,
    /// `local`.
    source_key_tier: Option<String>,
    /// Whether the material expires, at `valid_to`.
    key_expiration: Option<bool>,
    /// The same, as some clients spell it.
    #[serde(rename = "KeyExpiration")]
    key_expiration_too: Option<bool>,
    /// RFC 3339.
    valid_to: Option<String>,
    /// `NEW_KEY_MATERIAL` or `EXISTING_KEY_MATERIAL`; of symmetric keys only, as the next two.
    import_type: Option<String>,
    key_material_description: Option<String>,
    /// AWS's id of the material that it must be.
    key_material_id: Option<String>,
}

/// Material that a key is to lose.
#[derive(Default, Deserialize, ToSchema)]
struct DeleteMaterial {
    /// AWS's id of the material; nothing: that which is current.
    key_material_id: Option<String>,
}

/// Imports a source key's material into a key: its first, the same again, or new material that waits for its rotation.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/import-material", tag = "AWS keys", params(("id" = String, Path)),
    request_body = ImportMaterial, responses((status = 200, body = Key), Refusals))]
async fn import(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<ImportMaterial>,
) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        let done = core.import_key_material(&permit, key_uuid(id)?, body?.parse()?).await?;
        Ok(Json(Key::of(done, Told::Change)))
    };
    api.rest(&asking, Call::new("aws_key.import_material", id), act).await
}

/// Deletes imported material from a key, which can't be used until the same is imported again.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/delete-material", tag = "AWS keys", params(("id" = String, Path)),
    request_body = DeleteMaterial, responses((status = 200, body = Key), Refusals))]
async fn delete(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<DeleteMaterial>,
) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        let done = core.delete_key_material(&permit, key_uuid(id)?, body?.key_material_id).await?;
        Ok(Json(Key::of(done, Told::Change)))
    };
    api.rest(&asking, Call::new("aws_key.delete_material", id), act).await
}

/// Rotates a key's material: AWS makes new, or what was imported last takes over; where none waits, new material is made and uploaded.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/rotate-material", tag = "AWS keys", params(("id" = String, Path)),
    responses((status = 200, body = Key), Refusals))]
async fn rotate(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Use>| async move {
        let done = core.rotate_key_material(&permit, key_uuid(id)?).await?;
        Ok(Json(Key::of(done, Told::Change)))
    };
    api.rest(&asking, Call::new("aws_key.rotate_material", id), act).await
}

impl ImportMaterial {
    fn parse(self) -> Result<NewImport, Refusal> {
        let source_key = self.source_key_identifier.ok_or_else(|| Refusal::invalid("source_key_identifier", REQUIRED))?;
        let valid_to_ns = expiry("valid_to", said([self.key_expiration, self.key_expiration_too]), self.valid_to.as_deref())?;
        let new_material = match self.import_type.as_deref() {
            None => None,
            Some("NEW_KEY_MATERIAL") => Some(true),
            Some("EXISTING_KEY_MATERIAL") => Some(false),
            Some(_) => return Err(Refusal::invalid("import_type", "must be NEW_KEY_MATERIAL or EXISTING_KEY_MATERIAL")),
        };
        Ok(NewImport {
            source: UploadSource { source_key, tier_as_sent: self.source_key_tier, valid_to_ns },
            new_material,
            description: self.key_material_description,
            key_material_id: self.key_material_id,
        })
    }
}
