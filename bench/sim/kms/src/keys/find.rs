//! How a key is named: id, ARN, and where AWS allows it alias and alias ARN.
//!
//! Always holds: a key is found in the call's own region and account only. Texts are AWS's as far as they are known.

use crate::{
    call::Call,
    error::{AwsException, ErrorName},
    state::{Key, Region},
};

/// The key with this id or ARN.
///
/// # Errors
/// `ValidationException` for an empty name, `InvalidArnException` for a broken ARN, `NotFoundException` for the rest.
pub(crate) fn key<'r>(region: &'r Region, call: &Call, name: &str) -> Result<&'r Key, AwsException> {
    let id = id(call, name)?;
    region.keys.get(&id).ok_or_else(|| no_key(call, &id))
}

/// As [`key`], to change it.
///
/// # Errors
/// As [`key`].
pub(crate) fn key_mut<'r>(region: &'r mut Region, call: &Call, name: &str) -> Result<&'r mut Key, AwsException> {
    let id = id(call, name)?;
    region.keys.get_mut(&id).ok_or_else(|| no_key(call, &id))
}

/// The key with this id, ARN, alias or alias ARN: what cryptographic operations, `DescribeKey` and `GetPublicKey` take.
///
/// # Errors
/// As [`key`].
pub(crate) fn key_or_alias<'r>(region: &'r Region, call: &Call, name: &str) -> Result<&'r Key, AwsException> {
    let resource = match arn_resource(call, name)? {
        Some(resource) => resource,
        None => name,
    };
    if !resource.starts_with("alias/") {
        return key(region, call, name);
    }
    let target = region.aliases.get(resource).map(|alias| alias.target.as_str());
    target
        .and_then(|id| region.keys.get(id))
        .ok_or_else(|| AwsException::new(ErrorName::NotFound, format!("Alias {} is not found.", call.arn(resource))))
}

fn id(call: &Call, name: &str) -> Result<String, AwsException> {
    let id = match arn_resource(call, name)? {
        Some(resource) => resource.strip_prefix("key/").ok_or_else(|| no_name(name))?,
        None => name,
    };
    if id.is_empty() {
        return Err(AwsException::invalid(
            "1 validation error detected: Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal \
             to 1",
        ));
    }
    if !is_key_id(id) {
        return Err(no_name(id));
    }
    Ok(id.to_owned())
}

/// A UUID with its hyphens, or `mrk-` and one without.
fn is_key_id(id: &str) -> bool {
    match id.strip_prefix("mrk-") {
        Some(rest) => rest.len() == 32 && uuid::Uuid::try_parse(rest).is_ok(),
        None => id.len() == 36 && uuid::Uuid::try_parse(id).is_ok(),
    }
}

/// What an ARN of this region and account names; `None` if `name` is no ARN.
fn arn_resource<'n>(call: &Call, name: &'n str) -> Result<Option<&'n str>, AwsException> {
    if !name.starts_with("arn:") {
        return Ok(None);
    }
    let parts: Vec<&str> = name.splitn(6, ':').collect();
    let [_, partition, "kms", region, account, resource] = parts[..] else {
        return Err(AwsException::new(ErrorName::InvalidArn, format!("Invalid arn {name}")));
    };
    if partition != "aws" || !(resource.starts_with("key/") || resource.starts_with("alias/")) {
        return Err(AwsException::new(ErrorName::InvalidArn, format!("Invalid arn {name}")));
    }
    if region != call.region {
        return Err(AwsException::new(ErrorName::NotFound, format!("Invalid arn {region}")));
    }
    if account != call.account() {
        return Err(AwsException::new(ErrorName::NotFound, format!("Key '{name}' does not exist")));
    }
    Ok(Some(resource))
}

fn no_key(call: &Call, id: &str) -> AwsException {
    AwsException::new(ErrorName::NotFound, format!("Key '{}' does not exist", call.arn(&format!("key/{id}"))))
}

fn no_name(name: &str) -> AwsException {
    AwsException::new(ErrorName::NotFound, format!("Invalid keyId '{name}'"))
}
