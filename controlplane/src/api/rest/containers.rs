//! KMS containers (contract §5).

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    asking::{Asking, Named},
    body::Payload,
    envelope::{Envelope, Told, timestamp},
    list::{Field, ListParams, Listing, Page},
    openapi::Refusals,
};
use crate::{
    access::{Manage, Permit, Read},
    api::{Api, call::Call, error::Refusal},
    core::kms_containers::{AclChange, GivenContainer, shown},
    store::entry::{AclEntry, AclSubject, AssumeRole, KmsAction, KmsContainerEntry},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, update, delete)).routes(routes!(update_acls))
}

/// A KMS container, as far as it is given. Members that are not described here are ignored.
#[derive(Default, Deserialize, ToSchema)]
struct KmsContainerBody {
    /// Unique. A new container needs it; it never changes.
    #[schema(max_length = 256)]
    name: Option<String>,
    /// The AWS account. A new container needs it; it never changes.
    #[schema(pattern = "^[0-9]{12}$", examples("123456789012"))]
    account_id: Option<String>,
    /// The connection's name or id. A new container needs it.
    connection: Option<String>,
    /// In an order that is kept. A new container needs at least one.
    #[schema(examples(json!(["eu-west-1", "us-east-1"])))]
    regions: Option<Vec<String>>,
    assume_role_arn: Option<String>,
    assume_role_external_id: Option<String>,
}

/// Changes of ACLs.
#[derive(Default, Deserialize, ToSchema)]
struct KmsAclsBody {
    /// Made one after the other.
    acls: Option<Vec<KmsAclBody>>,
}

/// One change.
#[derive(Default, Deserialize, ToSchema)]
struct KmsAclBody {
    /// A user, or
    user_id: Option<String>,
    /// a group, not both.
    group: Option<String>,
    /// Whether the actions are allowed from now on, or no longer.
    permit: Option<bool>,
    /// What they let someone view is added; `view` stands for `viewnative` and `viewbyok`.
    #[schema(examples(json!(["keycreate", "hyokkeycreate"])))]
    actions: Option<Vec<String>>,
}

/// A KMS container.
#[derive(Serialize, ToSchema)]
struct KmsContainer {
    #[serde(flatten)]
    envelope: Envelope,
    name: String,
    account_id: String,
    /// As it was sent: the connection's name or id.
    connection: String,
    /// In the order in which they were sent.
    regions: Vec<String>,
    /// The account's.
    #[schema(examples("arn:aws:iam::123456789012:root"))]
    arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    assume_role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assume_role_external_id: Option<String>,
    cloud_name: &'static str,
    /// Kept and told, not enforced in this version.
    acls: Vec<KmsAcl>,
    auto_added: bool,
    /// Always `active`.
    status: &'static str,
}

/// What a user or group may do.
#[derive(Serialize, ToSchema)]
struct KmsAcl {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    actions: Vec<&'static str>,
}

/// Keeps a KMS container: one AWS account in some regions.
#[utoipa::path(post, path = "/cckm/aws/kms", tag = "KMS containers", request_body = KmsContainerBody,
    responses((status = 201, body = KmsContainer), Refusals))]
async fn create(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<KmsContainerBody>,
) -> Result<(StatusCode, Json<KmsContainer>), Refusal> {
    let call = Call::new("kms_container.create", body.as_ref().ok().and_then(|body| body.name.clone()).unwrap_or_default());
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let made = core.create_kms_container(&permit, given(body?)).await?;
        Ok((StatusCode::CREATED, Json(container(made, Told::Change))))
    };
    api.rest(&asking, call, act).await
}

/// Lists KMS containers.
#[utoipa::path(get, path = "/cckm/aws/kms", tag = "KMS containers",
    params(ListParams, ("id" = Option<String>, Query), ("name" = Option<String>, Query), ("account_id" = Option<String>, Query),
        ("connection" = Option<String>, Query), ("regions" = Option<String>, Query), ("cloud_name" = Option<String>, Query),
        ("status" = Option<String>, Query), ("createdAt" = Option<String>, Query), ("updatedAt" = Option<String>, Query)),
    responses((status = 200, body = Page<KmsContainer>), Refusals))]
async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<KmsContainer>>, Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        let page = listing.page(core.kms_containers(&permit).await?, &FIELDS)?;
        Ok(Json(page.render(|entry| container(entry, Told::Read))))
    };
    api.rest(&asking, Call::new("kms_container.list", ""), act).await
}

/// Tells a KMS container.
#[utoipa::path(get, path = "/cckm/aws/kms/{id}", tag = "KMS containers",
    params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = KmsContainer), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<KmsContainer>, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Read>| async move { Ok(Json(container(core.kms_container(&permit, wanted).await?, Told::Read))) };
    api.rest(&asking, Call::new("kms_container.get", &id), act).await
}

/// Changes a KMS container's connection, regions or role.
#[utoipa::path(patch, path = "/cckm/aws/kms/{id}", tag = "KMS containers", request_body = KmsContainerBody,
    params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = KmsContainer), Refusals))]
async fn update(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<KmsContainerBody>,
) -> Result<Json<KmsContainer>, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Manage>| async move {
        let changed = core.change_kms_container(&permit, wanted, given(body?)).await?;
        Ok(Json(container(changed, Told::Change)))
    };
    api.rest(&asking, Call::new("kms_container.update", &id), act).await
}

/// Deletes a KMS container that no key store and no policy template is in.
#[utoipa::path(delete, path = "/cckm/aws/kms/{id}", tag = "KMS containers",
    params(("id" = String, Path, description = "Its id or name")), responses((status = 204, description = "It is gone."), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<StatusCode, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Manage>| async move {
        core.delete_kms_container(&permit, wanted).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    api.rest(&asking, Call::new("kms_container.delete", &id), act).await
}

/// Allows actions to users and groups, or no longer. ACLs are kept and told, not enforced in this version.
#[utoipa::path(post, path = "/cckm/aws/kms/{id}/update-acls", tag = "KMS containers", request_body = KmsAclsBody,
    params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = KmsContainer), Refusals))]
async fn update_acls(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<KmsAclsBody>,
) -> Result<Json<KmsContainer>, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Manage>| async move {
        let changes = body?.acls.unwrap_or_default().into_iter().map(acl_change).collect();
        Ok(Json(container(core.update_kms_acls(&permit, wanted, changes).await?, Told::Change)))
    };
    api.rest(&asking, Call::new("kms_container.update_acls", &id), act).await
}

fn given(body: KmsContainerBody) -> GivenContainer {
    GivenContainer {
        name: body.name,
        account_id: body.account_id,
        connection: body.connection,
        regions: body.regions,
        assume_role: AssumeRole { arn: body.assume_role_arn, external_id: body.assume_role_external_id },
    }
}

fn acl_change(body: KmsAclBody) -> AclChange {
    AclChange { user: body.user_id, group: body.group, permit: body.permit.unwrap_or_default(), actions: body.actions.unwrap_or_default() }
}

fn container(entry: KmsContainerEntry, told: Told) -> KmsContainer {
    KmsContainer {
        envelope: Envelope::new("cckm:kms", &entry.id, entry.stamps, told).of_application(),
        arn: format!("arn:{}:iam::{}:root", entry.cloud.as_str(), entry.account_id),
        name: entry.name,
        account_id: entry.account_id,
        connection: entry.connection_as_sent,
        regions: entry.regions,
        assume_role_arn: entry.assume_role.arn,
        assume_role_external_id: entry.assume_role.external_id,
        cloud_name: entry.cloud.as_str(),
        acls: entry.acls.into_iter().map(acl).collect(),
        auto_added: false,
        status: ACTIVE,
    }
}

fn acl(entry: AclEntry) -> KmsAcl {
    let actions = shown(&entry).into_iter().map(KmsAction::as_str).collect();
    match entry.subject {
        AclSubject::User(user) => KmsAcl { user_id: Some(user), group: None, actions },
        AclSubject::Group(group) => KmsAcl { user_id: None, group: Some(group), actions },
    }
}

const ACTIVE: &str = "active";
const FIELDS: [Field<KmsContainerEntry>; 9] = [
    Field::new("id", |entry| vec![entry.id.to_string().into()]),
    Field::new("name", |entry| vec![entry.name.as_str().into()]),
    Field::new("account_id", |entry| vec![entry.account_id.as_str().into()]),
    Field::new("connection", |entry| vec![entry.connection_as_sent.as_str().into(), entry.connection.to_string().into()]),
    Field::new("regions", |entry| entry.regions.iter().map(|region| region.as_str().into()).collect()),
    Field::new("cloud_name", |entry| vec![entry.cloud.as_str().into()]),
    Field::new("status", |_| vec![ACTIVE.into()]),
    Field::new("createdAt", |entry| vec![timestamp(entry.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |entry| vec![timestamp(entry.stamps.updated_ns, Told::Read).into()]),
];
