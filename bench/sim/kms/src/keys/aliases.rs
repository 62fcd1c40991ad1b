//! `CreateAlias`, `UpdateAlias`, `DeleteAlias`, `ListAliases`.
//!
//! Always holds: an alias names a key of its own region; it moves only between keys of one kind and usage.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    demand::Demand,
    find,
    page::{self, Paging},
};
use crate::{
    call::{Call, required},
    clock::seconds,
    error::{AwsException, ErrorName},
    state::{Alias, Region},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    alias_name: Option<String>,
    target_key_id: Option<String>,
}

/// `CreateAlias`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn create(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let (name, target) = members(call, body)?;
    let now_ms = call.now_ms();
    call.change(|region| {
        let target = target_of(region, call, &target)?;
        if region.aliases.contains_key(&name) {
            let message = format!("An alias with the name {} already exists", call.arn(&name));
            return Err(AwsException::new(ErrorName::AlreadyExists, message));
        }
        has_room(region, &target)?;
        region.aliases.insert(name.clone(), Alias { name, target, created_ms: now_ms, updated_ms: now_ms });
        Ok(json!({}))
    })
}

/// `UpdateAlias`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn update(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let (name, target) = members(call, body)?;
    let now_ms = call.now_ms();
    call.change(|region| {
        let target = target_of(region, call, &target)?;
        let before = region.aliases.get(&name).ok_or_else(|| not_found(call, &name))?.target.clone();
        let kinds = [&before, &target].map(|id| region.keys.get(id).map(|key| (key.spec.kind(), key.usage)));
        if kinds[0].is_some() && kinds[0] != kinds[1] {
            let message = format!("Alias {} cannot be changed from a key to one of another type or usage.", call.arn(&name));
            return Err(AwsException::invalid(message));
        }
        if before != target {
            has_room(region, &target)?;
        }
        if let Some(alias) = region.aliases.get_mut(&name) {
            alias.target = target;
            alias.updated_ms = now_ms;
        }
        Ok(json!({}))
    })
}

/// `DeleteAlias`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn delete(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let input: Input = call.input(body)?;
    let name = checked(required(input.alias_name, "aliasName")?)?;
    call.change(|region| region.aliases.remove(&name).map(|_| json!({})).ok_or_else(|| not_found(call, &name)))
}

/// `ListAliases`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn list(call: &Call, body: &Value) -> Result<Value, AwsException> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: Option<String>,
        #[serde(flatten)]
        paging: Paging,
    }
    let input: Input = call.input(body)?;
    call.look(|region| {
        let of = input.key_id.as_deref().map(|name| find::key(region, call, name)).transpose()?;
        let aliases = region.aliases.values().filter(|alias| of.is_none_or(|key| key.id == alias.target));
        let items = aliases.map(|alias| (alias.name.clone(), entry(call, alias)));
        page::answer("Aliases", items.collect(), &input.paging, page::Limits { most: 100, usual: 50 })
    })
}

fn members(call: &Call, body: &Value) -> Result<(String, String), AwsException> {
    let input: Input = call.input(body)?;
    let name = checked(required(input.alias_name, "aliasName")?)?;
    if name.starts_with("alias/aws/") {
        return Err(AwsException::new(ErrorName::InvalidAliasName, "Alias names that begin with alias/aws/ are AWS's own."));
    }
    Ok((name, required(input.target_key_id, "targetKeyId")?))
}

fn entry(call: &Call, alias: &Alias) -> Value {
    let mut members = Map::new();
    members.insert("AliasName".into(), alias.name.clone().into());
    members.insert("AliasArn".into(), call.arn(&alias.name).into());
    members.insert("TargetKeyId".into(), alias.target.clone().into());
    members.insert("CreationDate".into(), seconds(alias.created_ms).into());
    members.insert("LastUpdatedDate".into(), seconds(alias.updated_ms).into());
    Value::Object(members)
}

/// `alias/` and 1 to 250 characters of `[a-zA-Z0-9:/_-]`; the colon is in AWS's pattern, and refused all the same.
fn checked(name: String) -> Result<String, AwsException> {
    let Some(rest) = name.strip_prefix("alias/") else {
        let text = "Alias must start with the prefix \"alias/\". Please see \
                    https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html";
        return Err(AwsException::invalid(text));
    };
    if rest.contains(':') {
        return Err(AwsException::invalid(format!("{name} contains invalid characters for an alias")));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/_-".contains(&b);
    if rest.is_empty() || name.len() > MAX_NAME || !rest.bytes().all(allowed) {
        return Err(AwsException::invalid(format!(
            "1 validation error detected: Value '{name}' at 'aliasName' failed to satisfy constraint: Member must satisfy regular \
             expression pattern: ^[a-zA-Z0-9:/_-]+$"
        )));
    }
    Ok(name)
}

fn target_of(region: &Region, call: &Call, name: &str) -> Result<String, AwsException> {
    if name.starts_with("alias/") {
        return Err(AwsException::invalid("Aliases must refer to keys. Not aliases"));
    }
    let key = find::key(region, call, name)?;
    Demand::Change.check(key)?;
    Ok(key.id.clone())
}

fn has_room(region: &Region, target: &str) -> Result<(), AwsException> {
    if region.aliases.values().filter(|alias| alias.target == target).count() < MAX_PER_KEY {
        return Ok(());
    }
    Err(AwsException::new(ErrorName::LimitExceeded, format!("A KMS key has at most {MAX_PER_KEY} aliases.")))
}

fn not_found(call: &Call, name: &str) -> AwsException {
    AwsException::new(ErrorName::NotFound, format!("Alias {} is not found.", call.arn(name)))
}

const MAX_NAME: usize = 256;
/// AWS's quota.
const MAX_PER_KEY: usize = 50;
