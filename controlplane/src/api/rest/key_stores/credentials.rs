//! Credentials of key stores (contract §7.7). A secret is in the answer of its creation, and nowhere else.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use holdfast_proto::ids::{CredentialId, StoreId};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Id, object::CLOUD, parsed, store_id, target};
use crate::{
    access::{Manage, Permit, Read},
    api::{
        Api,
        call::Call,
        error::Refusal,
        rest::{
            asking::{Asking, Changed, gone},
            envelope::{Envelope, Told, timestamp},
            list::{Field, ListParams, Listing, Page},
            openapi::Refusals,
        },
    },
    core::credentials::UsedCredential,
    store::entry::CredentialEntry,
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(create_by_alias)).routes(routes!(get, delete))
}

/// A credential.
#[derive(Serialize, ToSchema)]
struct CredentialObject {
    #[serde(flatten)]
    envelope: Envelope,
    /// The key store's id.
    custom_key_store_id: String,
    /// The key store's credential version when it was made.
    version: u32,
    access_key_id: String,
    cloud_name: &'static str,
    /// In lists only: names the secret, and is not it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_access_key_id: Option<String>,
    /// After its creation only.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_access_key: Option<String>,
    /// When it last signed a request that was authenticated; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

/// The ids in a path, as axum found them.
type Ids = Result<Path<(String, String)>, PathRejection>;

/// Adds a credential; its secret is shown this once.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/{id}/credentials", tag = "Key stores",
    params(("id" = String, Path, description = "The key store's id.")), responses((status = 201, body = CredentialObject), Refusals))]
async fn create(State(api): State<Arc<Api>>, asking: Asking, id: Id) -> Result<(StatusCode, Changed<CredentialObject>), Refusal> {
    add(&api, &asking, &id).await
}

/// The same.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/{id}/credential", tag = "Key stores",
    params(("id" = String, Path, description = "The key store's id.")), responses((status = 201, body = CredentialObject), Refusals))]
async fn create_by_alias(State(api): State<Arc<Api>>, asking: Asking, id: Id) -> Result<(StatusCode, Changed<CredentialObject>), Refusal> {
    add(&api, &asking, &id).await
}

/// Lists the credentials of a key store, the oldest first.
#[utoipa::path(get, path = "/cckm/aws/custom-key-stores/{id}/credentials", tag = "Key stores",
    params(ListParams, ("id" = String, Path, description = "The key store's id."),
        ("access_key_id" = Option<String>, Query, description = "The access key id.")),
    responses((status = 200, body = Page<CredentialObject>), Refusals))]
async fn list(State(api): State<Arc<Api>>, asking: Asking, id: Id, listing: Listing) -> Result<Json<Page<CredentialObject>>, Refusal> {
    let core = &api.core;
    let call = Call::new("credential.list", target(&id));
    let act = |permit: Permit<Read>| async move {
        let page = listing.page(core.credentials(&permit, store_id(&id)?).await?, &FIELDS)?;
        Ok(page.render(|one| {
            let secret_access_key_id = Some(one.credential.id.to_string());
            CredentialObject { secret_access_key_id, ..CredentialObject::used(&one) }
        }))
    };
    api.rest(&asking, call, act).await.map(Json)
}

/// Tells of one credential.
#[utoipa::path(get, path = "/cckm/aws/custom-key-stores/{id}/credentials/{cid}", tag = "Key stores",
    params(("id" = String, Path, description = "The key store's id."), ("cid" = String, Path, description = "The credential's id.")),
    responses((status = 200, body = CredentialObject), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, ids: Ids) -> Result<Json<CredentialObject>, Refusal> {
    let core = &api.core;
    let call = Call::new("credential.get", named(&ids).1);
    let act = |permit: Permit<Read>| async move {
        let (store, id) = both(&ids)?;
        Ok(CredentialObject::used(&core.credential(&permit, store, id).await?))
    };
    api.rest(&asking, call, act).await.map(Json)
}

/// Deletes a credential: its requests are refused from now on. The last one stays.
#[utoipa::path(delete, path = "/cckm/aws/custom-key-stores/{id}/credentials/{cid}", tag = "Key stores",
    params(("id" = String, Path, description = "The key store's id."), ("cid" = String, Path, description = "The credential's id.")),
    responses((status = 204), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, ids: Ids) -> Result<Response, Refusal> {
    let core = &api.core;
    let call = Call::new("credential.delete", named(&ids).1);
    let act = |permit: Permit<Manage>| async move {
        let (store, id) = both(&ids)?;
        Ok(core.delete_credential(&permit, store, id).await?)
    };
    Ok(gone(&api.rest(&asking, call, act).await?))
}

async fn add(api: &Api, asking: &Asking, id: &Id) -> Result<(StatusCode, Changed<CredentialObject>), Refusal> {
    let act = |permit: Permit<Manage>| async move {
        let applied = api.core.create_credential(&permit, store_id(id)?).await?;
        Ok(Changed::new(applied, |created| CredentialObject {
            // The one time that it is shown.
            secret_access_key: Some(created.secret.expose().to_owned()),
            ..CredentialObject::of(&created.credential, Told::Change)
        }))
    };
    let created = api.rest(asking, Call::new("credential.create", target(id)), act).await?;
    Ok((StatusCode::CREATED, created))
}

impl CredentialObject {
    fn of(credential: &CredentialEntry, told: Told) -> Self {
        Self {
            envelope: Envelope::new("cckm:aws_cks_credentials", &credential.id, credential.stamps, told),
            custom_key_store_id: credential.store.to_string(),
            version: credential.version,
            access_key_id: credential.access_key_id.to_string(),
            cloud_name: CLOUD,
            secret_access_key_id: None,
            secret_access_key: None,
            last_used_at: None,
        }
    }

    fn used(one: &UsedCredential) -> Self {
        let last_used_at = one.used_ms.map(|ms| timestamp(ms.saturating_mul(NS_PER_MS), Told::Read));
        Self { last_used_at, ..Self::of(&one.credential, Told::Read) }
    }
}

fn named(ids: &Ids) -> (&str, &str) {
    ids.as_ref().map_or(("", ""), |Path((store, credential))| (store, credential))
}

fn both(ids: &Ids) -> Result<(StoreId, CredentialId), Refusal> {
    let (store, credential) = named(ids);
    Ok((StoreId(parsed(store, "key store")?), CredentialId(parsed(credential, "credential")?)))
}

const FIELDS: [Field<UsedCredential>; 5] = [
    Field::new("id", |one| vec![one.credential.id.to_string().into()]),
    Field::new("access_key_id", |one| vec![one.credential.access_key_id.to_string().into()]),
    Field::new("version", |one| vec![u64::from(one.credential.version).into()]),
    Field::new("createdAt", |one| vec![timestamp(one.credential.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |one| vec![timestamp(one.credential.stamps.updated_ns, Told::Read).into()]),
];
const NS_PER_MS: u64 = 1_000_000;
