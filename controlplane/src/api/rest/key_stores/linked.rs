//! Key stores in AWS (contract §7.5): linked, connected, disconnected, and whose credential a job rotates.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Id, changed,
    object::KeyStoreObject,
    request::{ConnectBody, LinkBody, RotationJobBody},
    store_id, target,
};
use crate::{
    access::{Manage, Permit},
    api::{
        Api,
        call::Call,
        error::Refusal,
        rest::{
            asking::{Asking, Changed},
            body::Payload,
            openapi::Refusals,
        },
    },
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(link))
        .routes(routes!(connect))
        .routes(routes!(disconnect))
        .routes(routes!(enable_rotation_job))
        .routes(routes!(disable_rotation_job))
}

/// Has AWS make the custom key store of a key store that is served from here and was unlinked.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/{id}/link", tag = "Key stores", params(("id" = String, Path, description = "Its id.")),
    request_body = LinkBody, responses((status = 200, body = KeyStoreObject), Refusals))]
async fn link(
    State(api): State<Arc<Api>>,
    asking: Asking,
    id: Id,
    Payload(body): Payload<LinkBody>,
) -> Result<Changed<KeyStoreObject>, Refusal> {
    let api = &api;
    let call = Call::new("key_store.link", target(&id));
    let act = |permit: Permit<Manage>| async move {
        let id = store_id(&id)?;
        let applied = api.core.link_key_store(&permit, id, body?.address()).await?;
        changed(api, &permit, (id.0, applied.pending)).await
    };
    api.rest(&asking, call, act).await
}

/// Has AWS connect to a key store, which takes AWS seconds to minutes: `aws_param.connection_state` tells how far it is.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/{id}/connect", tag = "Key stores", params(("id" = String, Path, description = "Its id.")),
    request_body = ConnectBody, responses((status = 200, body = KeyStoreObject), Refusals))]
async fn connect(
    State(api): State<Arc<Api>>,
    asking: Asking,
    id: Id,
    Payload(body): Payload<ConnectBody>,
) -> Result<Changed<KeyStoreObject>, Refusal> {
    let api = &api;
    let call = Call::new("key_store.connect", target(&id));
    let act = |permit: Permit<Manage>| async move {
        let id = store_id(&id)?.0;
        api.core.connect_key_store(&permit, id, body?.password()).await?;
        changed(api, &permit, (id, Vec::new())).await
    };
    api.rest(&asking, call, act).await
}

/// Has AWS let go of a key store: no key in it can be used then.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/{id}/disconnect", tag = "Key stores",
    params(("id" = String, Path, description = "Its id.")), responses((status = 200, body = KeyStoreObject), Refusals))]
async fn disconnect(State(api): State<Arc<Api>>, asking: Asking, id: Id) -> Result<Changed<KeyStoreObject>, Refusal> {
    let api = &api;
    let call = Call::new("key_store.disconnect", target(&id));
    let act = |permit: Permit<Manage>| async move {
        let id = store_id(&id)?.0;
        api.core.disconnect_key_store(&permit, id).await?;
        changed(api, &permit, (id, Vec::new())).await
    };
    api.rest(&asking, call, act).await
}

/// Has a job rotate the credential of a linked key store from now on, instead of any other job.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/{id}/enable-credential-rotation-job", tag = "Key stores",
    params(("id" = String, Path, description = "Its id.")), request_body = RotationJobBody,
    responses((status = 200, body = KeyStoreObject), Refusals))]
async fn enable_rotation_job(
    State(api): State<Arc<Api>>,
    asking: Asking,
    id: Id,
    Payload(body): Payload<RotationJobBody>,
) -> Result<Changed<KeyStoreObject>, Refusal> {
    let api = &api;
    let call = Call::new("key_store.enable_rotation_job", target(&id));
    let act = |permit: Permit<Manage>| async move {
        let id = store_id(&id)?.0;
        api.core.enable_credential_rotation_job(&permit, id, &body?.job()?).await?;
        changed(api, &permit, (id, Vec::new())).await
    };
    api.rest(&asking, call, act).await
}

/// Has no job rotate the credential of a linked key store any more.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/{id}/disable-credential-rotation-job", tag = "Key stores",
    params(("id" = String, Path, description = "Its id.")), responses((status = 200, body = KeyStoreObject), Refusals))]
async fn disable_rotation_job(State(api): State<Arc<Api>>, asking: Asking, id: Id) -> Result<Changed<KeyStoreObject>, Refusal> {
    let api = &api;
    let call = Call::new("key_store.disable_rotation_job", target(&id));
    let act = |permit: Permit<Manage>| async move {
        let id = store_id(&id)?.0;
        api.core.disable_credential_rotation_job(&permit, id).await?;
        changed(api, &permit, (id, Vec::new())).await
    };
    api.rest(&asking, call, act).await
}
