//! What is done to keys that AWS has (contract §8.4): state, aliases, tags, description, policy, deletion.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{answer::Key, for_aws::PolicyMembers, key_id, request::REQUIRED};
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
    core::aws_keys::KeyAction,
    store::entry::Tag,
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(enable))
        .routes(routes!(disable))
        .routes(routes!(add_alias))
        .routes(routes!(delete_alias))
        .routes(routes!(add_tags))
        .routes(routes!(remove_tags))
        .routes(routes!(update_description))
        .routes(routes!(policy))
        .routes(routes!(schedule_deletion))
        .routes(routes!(cancel_deletion))
}

/// An alias.
#[derive(Default, Deserialize, ToSchema)]
struct KeyAlias {
    /// With or without `alias/` before it.
    #[schema(required, nullable = false)]
    alias: Option<String>,
}

/// Tags to put on.
#[derive(Default, Deserialize, ToSchema)]
struct AddKeyTags {
    #[schema(required, nullable = false)]
    tags: Option<Vec<AddKeyTag>>,
}

/// A tag.
#[derive(Default, Deserialize, ToSchema)]
struct AddKeyTag {
    #[schema(required, nullable = false)]
    tag_key: Option<String>,
    /// Letters, digits and `_ . / = + - @`.
    tag_value: Option<String>,
}

/// Tags to take off.
#[derive(Default, Deserialize, ToSchema)]
struct RemoveKeyTags {
    /// Their keys.
    #[schema(required, nullable = false)]
    tags: Option<Vec<String>>,
}

/// A description.
#[derive(Default, Deserialize, ToSchema)]
struct KeyDescription {
    /// Nothing: none.
    description: Option<String>,
}

/// A policy: `Policy`, or a template, or lists, or none of them for the default policy.
#[derive(Default, Deserialize, ToSchema)]
struct KeyPolicyBody {
    /// A key policy of AWS, as an object or as its text.
    #[serde(rename = "Policy")]
    #[schema(value_type = Option<Object>)]
    policy: Option<Value>,
    #[serde(flatten)]
    people: PolicyMembers,
    #[serde(rename = "BypassPolicyLockoutSafetyCheck")]
    bypass: Option<bool>,
}

/// When a key is to be deleted.
#[derive(Default, Deserialize, ToSchema)]
struct KeyDeletion {
    /// In so many days.
    #[schema(required, nullable = false, minimum = 7, maximum = 30)]
    days: Option<u32>,
}

/// Lets AWS use a key again.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/enable", tag = "AWS keys", params(("id" = String, Path)), responses((status = 200, body = Key), Refusals))]
async fn enable(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<Key>, Refusal> {
    set_enabled(&api, &asking, (&id, true)).await
}

/// Has AWS refuse to use a key.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/disable", tag = "AWS keys", params(("id" = String, Path)), responses((status = 200, body = Key), Refusals))]
async fn disable(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<Key>, Refusal> {
    set_enabled(&api, &asking, (&id, false)).await
}

/// Gives a key one more alias.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/add-alias", tag = "AWS keys", params(("id" = String, Path)), request_body = KeyAlias, responses((status = 200, body = Key), Refusals))]
async fn add_alias(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<KeyAlias>,
) -> Result<Json<Key>, Refusal> {
    change(&api, &asking, ("aws_key.add_alias", &id, body.and_then(|body| Ok(KeyAction::AddAlias(body.parse()?))))).await
}

/// Takes an alias from a key.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/delete-alias", tag = "AWS keys", params(("id" = String, Path)), request_body = KeyAlias, responses((status = 200, body = Key), Refusals))]
async fn delete_alias(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<KeyAlias>,
) -> Result<Json<Key>, Refusal> {
    change(&api, &asking, ("aws_key.delete_alias", &id, body.and_then(|body| Ok(KeyAction::DeleteAlias(body.parse()?))))).await
}

/// Puts tags on a key; one that is there gets the new value.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/add-tags", tag = "AWS keys", params(("id" = String, Path)), request_body = AddKeyTags, responses((status = 200, body = Key), Refusals))]
async fn add_tags(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<AddKeyTags>,
) -> Result<Json<Key>, Refusal> {
    change(&api, &asking, ("aws_key.add_tags", &id, body.and_then(|body| Ok(KeyAction::AddTags(body.parse()?))))).await
}

/// Takes tags off a key.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/remove-tags", tag = "AWS keys", params(("id" = String, Path)), request_body = RemoveKeyTags, responses((status = 200, body = Key), Refusals))]
async fn remove_tags(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<RemoveKeyTags>,
) -> Result<Json<Key>, Refusal> {
    change(&api, &asking, ("aws_key.remove_tags", &id, body.map(|body| KeyAction::RemoveTags(body.tags.unwrap_or_default())))).await
}

/// Describes a key.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/update-description", tag = "AWS keys", params(("id" = String, Path)), request_body = KeyDescription, responses((status = 200, body = Key), Refusals))]
async fn update_description(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<KeyDescription>,
) -> Result<Json<Key>, Refusal> {
    let action = body.map(|body| KeyAction::Describe(body.description.unwrap_or_default()));
    change(&api, &asking, ("aws_key.update_description", &id, action)).await
}

/// Gives a key another policy.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/policy", tag = "AWS keys", params(("id" = String, Path)), request_body = KeyPolicyBody, responses((status = 200, body = Key), Refusals))]
async fn policy(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<KeyPolicyBody>,
) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        let KeyPolicyBody { policy, people, bypass } = body?;
        let (policy, template) = people.parse("Policy", policy)?;
        let given = (policy.unwrap_or_default(), template, bypass.unwrap_or(false));
        let changed = core.set_key_policy(&permit, key_id(id)?.0, given).await?;
        Ok(Json(Key::of(changed, Told::Change)))
    };
    api.rest(&asking, Call::new("aws_key.policy", id), act).await
}

/// Has AWS delete a key in some days: what it encrypted can't be opened any more then.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/schedule-deletion", tag = "AWS keys", params(("id" = String, Path)), request_body = KeyDeletion, responses((status = 200, body = Key), Refusals))]
async fn schedule_deletion(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<KeyDeletion>,
) -> Result<Json<Key>, Refusal> {
    let action = body.and_then(|body| Ok(KeyAction::ScheduleDeletion(body.days.ok_or_else(|| Refusal::invalid("days", REQUIRED))?)));
    change(&api, &asking, ("aws_key.schedule_deletion", &id, action)).await
}

/// Takes the deletion of a key back; it is disabled then.
#[utoipa::path(post, path = "/cckm/aws/keys/{id}/cancel-deletion", tag = "AWS keys", params(("id" = String, Path)), responses((status = 200, body = Key), Refusals))]
async fn cancel_deletion(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<Key>, Refusal> {
    change(&api, &asking, ("aws_key.cancel_deletion", &id, Ok(KeyAction::CancelDeletion))).await
}

async fn set_enabled(api: &Api, asking: &Asking, (id, enabled): (&str, bool)) -> Result<Json<Key>, Refusal> {
    let call = Call::new(if enabled { "aws_key.enable" } else { "aws_key.disable" }, id);
    let act = |permit: Permit<Use>| async move {
        let changed = api.core.set_aws_key_enabled(&permit, key_id(id)?.0, enabled).await?;
        Ok(Json(Key::of(changed, Told::Change)))
    };
    api.rest(asking, call, act).await
}

async fn change(
    api: &Api,
    asking: &Asking,
    (operation, id, action): (&'static str, &str, Result<KeyAction, Refusal>),
) -> Result<Json<Key>, Refusal> {
    let act = |permit: Permit<Manage>| async move {
        let changed = api.core.change_aws_key(&permit, key_id(id)?.0, action?).await?;
        Ok(Json(Key::of(changed, Told::Change)))
    };
    api.rest(asking, Call::new(operation, id), act).await
}

impl KeyAlias {
    fn parse(self) -> Result<String, Refusal> {
        let alias = self.alias.ok_or_else(|| Refusal::invalid("alias", REQUIRED))?;
        Ok(alias.strip_prefix("alias/").unwrap_or(&alias).to_owned())
    }
}

impl AddKeyTags {
    fn parse(self) -> Result<Vec<Tag>, Refusal> {
        let tag = |tag: AddKeyTag| {
            let key = tag.tag_key.ok_or_else(|| Refusal::invalid("tags", "each must have a tag_key"))?;
            Ok(Tag { key, value: tag.tag_value.unwrap_or_default() })
        };
        self.tags.unwrap_or_default().into_iter().map(tag).collect()
    }
}
