//! Key stores (contract §7.1–7.6), be they served from here, by another proxy or on a CloudHSM cluster.
//!
//! Always holds: secrets are in the answers of creation and rotation, and nowhere else.

mod clusters;
mod credentials;
mod filters;
mod linked;
mod object;
mod request;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use holdfast_proto::ids::StoreId;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::{
    filters::FIELDS,
    object::{KIND, KeyStoreObject, Shown, kind},
    request::KeyStoreBody,
};
use super::{
    asking::{Asking, Changed, gone},
    body::Payload,
    envelope::Told,
    list::{ListParams, Listing, Page},
    openapi::{Refusals, Refused},
};
use crate::{
    access::{Manage, Permit, Read, Right, Use},
    api::{
        Api,
        call::Call,
        error::{Kind, Refusal},
    },
    core::{Applied, CoreError},
    names::NodeName,
};

/// This folder's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, patch, delete))
        .routes(routes!(block))
        .routes(routes!(unblock))
        .routes(routes!(rotate_credential))
        .routes(routes!(health, health_by_post))
        .merge(clusters::routes())
        .merge(credentials::routes())
        .merge(linked::routes())
}

/// An id in a path, as axum found it.
type Id = Result<Path<String>, PathRejection>;

/// Creates a key store, with its first credential.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores", tag = "Key stores", request_body = KeyStoreBody,
    responses((status = 201, body = KeyStoreObject), Refusals))]
async fn create(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<KeyStoreBody>,
) -> Result<(StatusCode, Changed<KeyStoreObject>), Refusal> {
    let name = body.as_ref().ok().and_then(|body| body.name.clone()).unwrap_or_default();
    let api = &api;
    let act = |permit: Permit<Manage>| async move {
        let body = body?;
        if body.is_on_cluster() {
            let made = api.core.create_cloud_hsm_store(&permit, body.new_on_cluster()?).await?;
            return changed(api, &permit, (made.id, Vec::new())).await;
        }
        let Applied { value: created, pending } = api.core.create_key_store(&permit, body.new_key_store()?).await?;
        let shown = Shown::Created { access_key_id: created.access_key_id, secret: created.secret };
        let object = tell(api, &permit, (created.key_store.id.0, Told::Change)).await?.with(shown);
        Ok(Changed::new(Applied { value: object, pending }, |object| object))
    };
    let created = api.rest(&asking, Call::new("key_store.create", name), act).await?;
    Ok((StatusCode::CREATED, created))
}

/// Lists key stores, in the order of their creation.
#[utoipa::path(get, path = "/cckm/aws/custom-key-stores", tag = "Key stores",
    params(ListParams,
        ("id" = Option<String>, Query, description = "The key store's id."),
        ("name" = Option<String>, Query, description = "Its name, or its id in AWS KMS."),
        ("kms" = Option<String>, Query, description = "Its KMS container, by name or id."),
        ("kms_id" = Option<String>, Query, description = "Its KMS container's id."),
        ("region" = Option<String>, Query, description = "Its AWS region."),
        ("cloud_name" = Option<String>, Query, description = "aws."),
        ("type" = Option<String>, Query, description = "LOCAL, REMOTE or CloudHSM."),
        ("blocked" = Option<bool>, Query, description = "Whether it is blocked."),
        ("linked_state" = Option<bool>, Query, description = "Whether it is linked."),
        ("xks_proxy_connectivity" = Option<String>, Query, description = "PUBLIC_ENDPOINT or VPC_ENDPOINT_SERVICE."),
        ("connection_state" = Option<String>, Query, description = "Of linked key stores."),
        ("source_key_tier" = Option<String>, Query, description = "local or luna-hsm."),
        ("custom_key_store_type" = Option<String>, Query, description = "EXTERNAL_KEY_STORE or AWS_CLOUDHSM."),
        ("custom_key_store_id" = Option<String>, Query, description = "Its id in AWS KMS.")),
    responses((status = 200, body = Page<KeyStoreObject>), Refusals))]
async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<KeyStoreObject>>, Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        let mut all = core.all_key_stores(&permit).await?;
        all.sort_by_key(|one| (one.key_store.stamps().created_ns, one.key_store.id()));
        let page = listing.page(all, &FIELDS)?;
        Ok(page.render(|details| KeyStoreObject::of(details, Told::Read)))
    };
    api.rest(&asking, Call::new("key_store.list", ""), act).await.map(Json)
}

/// Tells of one key store.
#[utoipa::path(get, path = "/cckm/aws/custom-key-stores/{id}", tag = "Key stores", params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, body = KeyStoreObject), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, id: Id) -> Result<Json<KeyStoreObject>, Refusal> {
    let api = &api;
    let call = Call::new("key_store.get", target(&id));
    let act = |permit: Permit<Read>| async move { tell(api, &permit, (store_id(&id)?.0, Told::Read)).await };
    api.rest(&asking, call, act).await.map(Json)
}

/// Changes what is told and leaves the rest: `enable_success_audit_event` and `mtls_enabled` are meant as they stand; zeros, `false` and
/// empty texts elsewhere mean nothing.
#[utoipa::path(patch, path = "/cckm/aws/custom-key-stores/{id}", tag = "Key stores", params(("id" = String, Path, description = "Its id.")),
    request_body = KeyStoreBody, responses((status = 200, body = KeyStoreObject), Refusals))]
async fn patch(
    State(api): State<Arc<Api>>,
    asking: Asking,
    id: Id,
    Payload(body): Payload<KeyStoreBody>,
) -> Result<Changed<KeyStoreObject>, Refusal> {
    let api = &api;
    let call = Call::new("key_store.update", target(&id));
    let act = |permit: Permit<Manage>| async move {
        let (id, body) = (store_id(&id)?, body?);
        if kind(&api.core.any_key_store(&permit, id.0).await?.key_store) == KIND {
            let applied = api.core.update_key_store(&permit, id, body.patch()?).await?;
            return changed(api, &permit, (id.0, applied.pending)).await;
        }
        api.core.update_cloud_hsm_store(&permit, id.0, body.patch_on_cluster()).await?;
        changed(api, &permit, (id.0, Vec::new())).await
    };
    api.rest(&asking, call, act).await
}

/// Deletes a key store that has no keys, and its credentials.
#[utoipa::path(delete, path = "/cckm/aws/custom-key-stores/{id}", tag = "Key stores", params(("id" = String, Path, description = "Its id.")),
    responses((status = 204), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, id: Id) -> Result<Response, Refusal> {
    let core = &api.core;
    let call = Call::new("key_store.delete", target(&id));
    let act = |permit: Permit<Manage>| async move { Ok(core.delete_key_store(&permit, store_id(&id)?).await?) };
    Ok(gone(&api.rest(&asking, call, act).await?))
}

/// Refuses AWS's use of a key store from now on.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/{id}/block", tag = "Key stores", params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, body = KeyStoreObject), Refusals))]
async fn block(State(api): State<Arc<Api>>, asking: Asking, id: Id) -> Result<Changed<KeyStoreObject>, Refusal> {
    set_blocked(&api, &asking, (&id, true)).await
}

/// Allows AWS's use of a key store again.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/{id}/unblock", tag = "Key stores", params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, body = KeyStoreObject), Refusals))]
async fn unblock(State(api): State<Arc<Api>>, asking: Asking, id: Id) -> Result<Changed<KeyStoreObject>, Refusal> {
    set_blocked(&api, &asking, (&id, false)).await
}

/// Makes a new credential; those that are there stay until they are deleted.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/{id}/rotate-credential", tag = "Key stores",
    params(("id" = String, Path, description = "Its id.")), responses((status = 200, body = KeyStoreObject), Refusals))]
async fn rotate_credential(State(api): State<Arc<Api>>, asking: Asking, id: Id) -> Result<Changed<KeyStoreObject>, Refusal> {
    let api = &api;
    let call = Call::new("credential.rotate", target(&id));
    let act = |permit: Permit<Manage>| async move {
        let Applied { value: rotated, pending } = api.core.rotate_credential(&permit, store_id(&id)?).await?;
        let object = tell(api, &permit, (rotated.key_store.id.0, Told::Change)).await?;
        let access_key_id = rotated.created.credential.access_key_id;
        let shown = Shown::Rotated { access_key_id, secret: rotated.created.secret, count: rotated.count, oldest: rotated.oldest };
        Ok(Changed::new(Applied { value: object, pending }, |object| object.with(shown)))
    };
    api.rest(&asking, call, act).await
}

/// Uses the key store's health key on a data plane: 200 with no body if that works. Twice a second at most.
#[utoipa::path(get, path = "/cckm/aws/custom-key-stores/{id}/health", tag = "Key stores", security(()),
    params(("id" = String, Path, description = "Its id.")),
    responses((status = 200), (status = 404, body = Refused), (status = 409, body = Refused), (status = 429, body = Refused), (status = 503, body = Refused)))]
async fn health(State(api): State<Arc<Api>>, id: Id) -> Result<StatusCode, Refusal> {
    check_health(&api, &id).await
}

/// The same.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/{id}/health", tag = "Key stores", security(()),
    params(("id" = String, Path, description = "Its id.")),
    responses((status = 200), (status = 404, body = Refused), (status = 409, body = Refused), (status = 429, body = Refused), (status = 503, body = Refused)))]
async fn health_by_post(State(api): State<Arc<Api>>, id: Id) -> Result<StatusCode, Refusal> {
    check_health(&api, &id).await
}

/// Not in the audit file, which strangers could fill then. They are told no reasons of ours, either.
async fn check_health(api: &Api, id: &Id) -> Result<StatusCode, Refusal> {
    match api.core.check_health(&store_id(id)?.to_string()).await {
        Ok(()) => Ok(StatusCode::OK),
        Err(CoreError::NoNode { .. }) => Err(Refusal::new(Kind::Unavailable, "no data plane that serves the key store is connected")),
        Err(CoreError::Unavailable(_) | CoreError::Deadline | CoreError::Refused(_)) => {
            Err(Refusal::new(Kind::Unavailable, "no data plane could use the key store's health key"))
        }
        Err(other) => Err(other.into()),
    }
}

async fn set_blocked(api: &Api, asking: &Asking, (id, blocked): (&Id, bool)) -> Result<Changed<KeyStoreObject>, Refusal> {
    let operation = if blocked { "key_store.block" } else { "key_store.unblock" };
    let act = |permit: Permit<Use>| async move {
        let applied = api.core.set_key_store_blocked(&permit, store_id(id)?, blocked).await?;
        changed(api, &permit, (applied.value.id.0, applied.pending)).await
    };
    api.rest(asking, Call::new(operation, target(id)), act).await
}

async fn changed<R: Right>(
    api: &Api,
    permit: &Permit<R>,
    (id, pending): (Uuid, Vec<NodeName>),
) -> Result<Changed<KeyStoreObject>, Refusal> {
    let value = tell(api, permit, (id, Told::Change)).await?;
    Ok(Changed::new(Applied { value, pending }, |object| object))
}

/// A key store as clients see it.
async fn tell<R: Right>(api: &Api, permit: &Permit<R>, (id, told): (Uuid, Told)) -> Result<KeyStoreObject, Refusal> {
    Ok(KeyStoreObject::of(api.core.any_key_store(permit, id).await?, told))
}

/// What the audit file says.
fn target(id: &Id) -> &str {
    id.as_ref().map_or("", |path| path.as_str())
}

/// What is no id names nothing.
fn store_id(id: &Id) -> Result<StoreId, Refusal> {
    parsed(target(id), "key store").map(StoreId)
}

fn parsed(text: &str, what: &'static str) -> Result<Uuid, Refusal> {
    Ok(Uuid::try_parse(text).map_err(|_| CoreError::NotFound(what))?)
}
