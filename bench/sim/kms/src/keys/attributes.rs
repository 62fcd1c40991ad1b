//! What can be changed of any key at any time: enabled or not, description, tags, policy.
//!
//! Always holds: only a key's own region changes; multi-Region keys share none of this.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    create::checked_description,
    demand::Demand,
    find,
    metadata::key_id,
    page::{self, Paging},
    policy, rotation, tags,
};
use crate::{
    call::{Call, required},
    error::{AwsException, ErrorName},
    state::{KeyState, Tag},
};

/// `EnableKey`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn enable(call: &Call, body: &Value) -> Result<Value, AwsException> {
    set_state(call, body, KeyState::Enabled)
}

/// `DisableKey`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn disable(call: &Call, body: &Value) -> Result<Value, AwsException> {
    set_state(call, body, KeyState::Disabled)
}

/// `UpdateKeyDescription`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn describe(call: &Call, body: &Value) -> Result<Value, AwsException> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: Option<String>,
        description: Option<String>,
    }
    let input: Input = call.input(body)?;
    let id = required(input.key_id, "keyId")?;
    let description = checked_description(required(input.description, "description")?)?;
    call.change(|region| {
        let key = find::key_mut(region, call, &id)?;
        Demand::Change.check(key)?;
        key.description = description;
        Ok(json!({}))
    })
}

/// `TagResource`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn tag(call: &Call, body: &Value) -> Result<Value, AwsException> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: Option<String>,
        tags: Option<Vec<Tag>>,
    }
    let input: Input = call.input(body)?;
    let (id, given) = (required(input.key_id, "keyId")?, required(input.tags, "tags")?);
    call.change(|region| {
        let key = find::key_mut(region, call, &id)?;
        Demand::Change.check(key)?;
        key.tags = tags::merged(&key.tags, given)?;
        Ok(json!({}))
    })
}

/// `UntagResource`. Tags that the key does not have are passed over.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn untag(call: &Call, body: &Value) -> Result<Value, AwsException> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: Option<String>,
        tag_keys: Option<Vec<String>>,
    }
    let input: Input = call.input(body)?;
    let (id, names) = (required(input.key_id, "keyId")?, required(input.tag_keys, "tagKeys")?);
    names.iter().try_for_each(|name| tags::checked_key(name))?;
    call.change(|region| {
        let key = find::key_mut(region, call, &id)?;
        Demand::Change.check(key)?;
        key.tags.retain(|tag| !names.contains(&tag.tag_key));
        Ok(json!({}))
    })
}

/// `ListResourceTags`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn list_tags(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let (id, paging) = (key_id(call, body)?, call.input::<Paging>(body)?);
    call.look(|region| {
        let mut items: Vec<_> = find::key(region, call, &id)?.tags.iter().map(|tag| (tag.tag_key.clone(), json!(tag))).collect();
        items.sort_by(|(one, _), (other, _)| one.cmp(other));
        page::answer("Tags", items, &paging, page::Limits { most: 50, usual: 50 })
    })
}

/// `GetKeyPolicy`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn policy(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let input: PolicyInput = call.input(body)?;
    let id = input.checked()?;
    call.look(|region| Ok(json!({"Policy": policy::shown(&find::key(region, call, &id)?.policy), "PolicyName": POLICY_NAME})))
}

/// `PutKeyPolicy`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn put_policy(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let mut input: PolicyInput = call.input(body)?;
    if input.policy_name.as_ref().is_some_and(|name| name != POLICY_NAME) {
        return Err(AwsException::new(ErrorName::UnsupportedOperation, "Only default policy is supported"));
    }
    let given = input.policy.take();
    let may_lock_out = input.bypass_policy_lockout_safety_check.unwrap_or_default();
    let id = input.checked()?;
    let policy = policy::taken(&required(given, "policy")?, policy::Giver { account: call.account(), may_lock_out })?;
    call.change(|region| {
        find::key_mut(region, call, &id)?.policy = policy;
        Ok(json!({}))
    })
}

/// `ListKeyPolicies`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn list_policies(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let (id, paging) = (key_id(call, body)?, call.input::<Paging>(body)?);
    call.look(|region| {
        find::key(region, call, &id)?;
        page::answer("PolicyNames", vec![(POLICY_NAME.into(), POLICY_NAME.into())], &paging, page::Limits { most: 1000, usual: 100 })
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyInput {
    key_id: Option<String>,
    policy_name: Option<String>,
    policy: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
}

impl PolicyInput {
    /// The key's name; a policy has one name only.
    fn checked(self) -> Result<String, AwsException> {
        if self.policy_name.is_some_and(|name| name != POLICY_NAME) {
            return Err(AwsException::new(ErrorName::NotFound, "No such policy exists"));
        }
        required(self.key_id, "keyId")
    }
}

fn set_state(call: &Call, body: &Value, state: KeyState) -> Result<Value, AwsException> {
    let (id, now_ms) = (key_id(call, body)?, call.now_ms());
    call.change(|region| {
        let key = find::key_mut(region, call, &id)?;
        Demand::Enable.check(key)?;
        if (key.state, state) == (KeyState::Disabled, KeyState::Enabled) {
            rotation::resume(key, now_ms);
        }
        key.state = state;
        Ok(json!({}))
    })
}

const POLICY_NAME: &str = "default";
