//! Everything about KMS keys: `keys/` has one function per operation.
//!
//! Always holds: an operation makes all its checks before its first change; keys and aliases are found by the rules of one place
//! ([`find`]); what is due by the clock happened before an operation looks ([`settle`]).
//
// Encrypt, Decrypt, ReEncrypt and GenerateDataKey are in `crypto/`, since a key in an external key store needs its proxy for them; what they
// do with a key's own material is in `native`.

use serde_json::Value;

use crate::{call::Call, error::AwsException};

mod aliases;
mod attributes;
pub(crate) mod blob;
mod create;
mod deletion;
pub(crate) mod demand;
pub(crate) mod find;
mod import;
pub(crate) mod material;
pub(crate) mod metadata;
mod multi_region;
pub(crate) mod native;
mod page;
mod policy;
mod random;
mod rotation;
mod rsa;
mod settle;
mod signatures;
mod signing;
pub(crate) mod spec;
mod tags;
pub(crate) mod wrapping;

pub(crate) use self::settle::settle;

/// Answers an operation on keys; `None` if it is not one.
pub(crate) async fn answer(call: &Call, body: &Value) -> Option<Result<Value, AwsException>> {
    Some(match call.operation.as_str() {
        "CancelKeyDeletion" => deletion::cancel(call, body),
        "CreateAlias" => aliases::create(call, body),
        "CreateKey" => create::create(call, body).await,
        "DeleteAlias" => aliases::delete(call, body),
        "DeleteImportedKeyMaterial" => import::delete(call, body),
        "DescribeKey" => metadata::describe(call, body),
        "DisableKey" => attributes::disable(call, body),
        "DisableKeyRotation" => rotation::disable(call, body),
        "EnableKey" => attributes::enable(call, body),
        "EnableKeyRotation" => rotation::enable(call, body),
        "GenerateMac" => signatures::generate_mac(call, body),
        "GenerateRandom" => random::generate(call, body),
        "GetKeyPolicy" => attributes::policy(call, body),
        "GetKeyRotationStatus" => rotation::status(call, body),
        "GetParametersForImport" => import::parameters(call, body).await,
        "GetPublicKey" => signatures::public_key(call, body),
        "ImportKeyMaterial" => import::import(call, body),
        "ListAliases" => aliases::list(call, body),
        "ListKeyPolicies" => attributes::list_policies(call, body),
        "ListKeyRotations" => rotation::list(call, body),
        "ListKeys" => metadata::list(call, body),
        "ListResourceTags" => attributes::list_tags(call, body),
        "PutKeyPolicy" => attributes::put_policy(call, body),
        "ReplicateKey" => multi_region::replicate(call, body),
        "RotateKeyOnDemand" => rotation::on_demand(call, body),
        "ScheduleKeyDeletion" => deletion::schedule(call, body),
        "Sign" => signatures::sign(call, body),
        "TagResource" => attributes::tag(call, body),
        "UntagResource" => attributes::untag(call, body),
        "UpdateAlias" => aliases::update(call, body),
        "UpdateKeyDescription" => attributes::describe(call, body),
        "UpdatePrimaryRegion" => multi_region::update_primary(call, body),
        "Verify" => signatures::verify(call, body),
        "VerifyMac" => signatures::verify_mac(call, body),
        _ => return None,
    })
}
