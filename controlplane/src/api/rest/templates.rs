//! Policy templates (contract §12).

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    asking::{Asking, Named},
    body::Payload,
    envelope::{Envelope, Told},
    openapi::Refusals,
};
use crate::{
    access::{Manage, Permit, Read},
    api::{Api, call::Call, error::Refusal},
    core::policy_templates::{GivenContent, NewTemplate, policy},
    store::entry::{PolicyContent, PolicyPeople, PolicyTemplateEntry},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(get, update, delete))
}

/// A template that is to be. Members that are not described here are ignored.
#[derive(Default, Deserialize, ToSchema)]
struct NewPolicyTemplate {
    /// Unique; needed.
    #[schema(max_length = 256)]
    name: Option<String>,
    /// The AWS account; absent: that of `kms`.
    #[schema(pattern = "^[0-9]{12}$")]
    account_id: Option<String>,
    /// The KMS container's name or id. Needed without `account_id`.
    kms: Option<String>,
    #[serde(flatten)]
    content: PolicyContentBody,
}

/// What a template is to be. Members that are not described here are ignored.
#[derive(Default, Deserialize, ToSchema)]
struct ChangedPolicyTemplate {
    /// Must be true once a key in AWS has had the policy (`is_verified`).
    auto_push: Option<bool>,
    #[serde(flatten)]
    content: PolicyContentBody,
}

/// What a policy is to say: `Policy`, or lists, or neither for the default policy. A list that is given replaces the one before; `[]` clears
/// it; `Policy` clears all.
#[derive(Default, Deserialize, ToSchema)]
struct PolicyContentBody {
    /// A key policy of AWS.
    #[serde(rename = "Policy")]
    #[schema(value_type = Option<Object>)]
    policy: Option<Map<String, Value>>,
    /// Other AWS accounts that may use the key.
    external_accounts: Option<Vec<String>>,
    key_admins: Option<Vec<String>>,
    key_admins_roles: Option<Vec<String>>,
    key_users: Option<Vec<String>>,
    key_users_roles: Option<Vec<String>>,
}

/// A template.
#[derive(Serialize, ToSchema)]
struct PolicyTemplate {
    #[serde(flatten)]
    envelope: Envelope,
    name: String,
    account_id: String,
    /// As it was sent: the KMS container's name or id.
    #[serde(skip_serializing_if = "Option::is_none")]
    kms: Option<String>,
    /// Whether a key in AWS has had it.
    is_verified: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_accounts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key_admins: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key_admins_roles: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key_users: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key_users_roles: Vec<String>,
    /// What was sent, or made for those in the lists, or the default policy.
    #[schema(value_type = Object)]
    policy: Value,
}

/// Keeps a template of a key policy.
#[utoipa::path(post, path = "/cckm/aws/templates", tag = "Policy templates", request_body = NewPolicyTemplate,
    responses((status = 201, body = PolicyTemplate), Refusals))]
async fn create(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<NewPolicyTemplate>,
) -> Result<(StatusCode, Json<PolicyTemplate>), Refusal> {
    let call = Call::new("policy_template.create", body.as_ref().ok().and_then(|body| body.name.clone()).unwrap_or_default());
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let NewPolicyTemplate { name, account_id, kms, content } = body?;
        let new = NewTemplate { name, account_id, kms, content: given(content) };
        Ok((StatusCode::CREATED, Json(template(core.create_policy_template(&permit, new).await?, Told::Change))))
    };
    api.rest(&asking, call, act).await
}

/// Tells a template.
#[utoipa::path(get, path = "/cckm/aws/templates/{id}", tag = "Policy templates",
    params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = PolicyTemplate), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<PolicyTemplate>, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Read>| async move { Ok(Json(template(core.policy_template(&permit, wanted).await?, Told::Read))) };
    api.rest(&asking, Call::new("policy_template.get", &id), act).await
}

/// Changes what a template's policy says, and with `auto_push` the policy of all keys in AWS that carry it.
#[utoipa::path(patch, path = "/cckm/aws/templates/{id}", tag = "Policy templates", request_body = ChangedPolicyTemplate,
    params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = PolicyTemplate), Refusals))]
async fn update(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<ChangedPolicyTemplate>,
) -> Result<Json<PolicyTemplate>, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Manage>| async move {
        let ChangedPolicyTemplate { auto_push, content } = body?;
        let changed = core.change_policy_template(&permit, wanted, (given(content), auto_push.unwrap_or(false))).await?;
        Ok(Json(template(changed, Told::Change)))
    };
    api.rest(&asking, Call::new("policy_template.update", &id), act).await
}

/// Deletes a template that no key was made with.
#[utoipa::path(delete, path = "/cckm/aws/templates/{id}", tag = "Policy templates",
    params(("id" = String, Path, description = "Its id or name")), responses((status = 204, description = "It is gone."), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<StatusCode, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Manage>| async move {
        core.delete_policy_template(&permit, wanted).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    api.rest(&asking, Call::new("policy_template.delete", &id), act).await
}

fn given(body: PolicyContentBody) -> GivenContent {
    GivenContent {
        policy: body.policy,
        external_accounts: body.external_accounts,
        key_admins: body.key_admins,
        key_admins_roles: body.key_admins_roles,
        key_users: body.key_users,
        key_users_roles: body.key_users_roles,
    }
}

fn template(entry: PolicyTemplateEntry, told: Told) -> PolicyTemplate {
    let policy = policy(&entry);
    let people = match entry.content {
        PolicyContent::People(people) => people,
        PolicyContent::Default | PolicyContent::Given(_) => PolicyPeople::default(),
    };
    PolicyTemplate {
        envelope: Envelope::new("cckm:aws-templates", &entry.id, entry.stamps, told).of_application(),
        name: entry.name,
        account_id: entry.account_id,
        kms: entry.kms_as_sent,
        is_verified: entry.verified,
        external_accounts: people.external_accounts,
        key_admins: people.key_admins,
        key_admins_roles: people.key_admins_roles,
        key_users: people.key_users,
        key_users_roles: people.key_users_roles,
        policy,
    }
}
