//! What clients say of a key that is to be made in AWS: native, uploaded, or a replica (contract §8.2–§8.4).

use serde::Deserialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use super::for_aws::{ForAwsParam, PolicyMembers, TagParam};
use crate::{api::error::Refusal, store::entry::ForAws};

/// A key in AWS that is to be. [`ForAwsParam`] is not flattened into it, so that a fault names its member.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewKeyForAws {
    /// With or without `alias/` before it.
    alias: Option<String>,
    description: Option<String>,
    /// A key policy of AWS, as an object or as its text.
    #[schema(value_type = Option<Object>)]
    policy: Option<Value>,
    tags: Option<Vec<TagParam>>,
    bypass_policy_lockout_safety_check: Option<bool>,
    /// `SYMMETRIC_DEFAULT`, `RSA_2048`, `RSA_3072`, `RSA_4096`, `ECC_NIST_P256`, `ECC_NIST_P384`, `ECC_NIST_P521`, `ECC_SECG_P256K1`,
    /// `HMAC_224`, `HMAC_256`, `HMAC_384`, `HMAC_512`; nothing: symmetric, or what the source key is.
    pub(super) customer_master_key_spec: Option<String>,
    /// `ENCRYPT_DECRYPT`, `SIGN_VERIFY`, `GENERATE_VERIFY_MAC` or `KEY_AGREEMENT`; of an uploaded RSA key it must be said.
    pub(super) key_usage: Option<String>,
    /// Replicas may be made of it in other regions.
    pub(super) multi_region: Option<bool>,
    /// `AWS_KMS` or `EXTERNAL`.
    pub(super) origin: Option<String>,
    /// When uploaded material expires (RFC 3339).
    pub(super) valid_to: Option<String>,
    pub(super) key_expiration: Option<bool>,
}

impl NewKeyForAws {
    /// What AWS is to be told, if it can be, and the template that the policy is to come from; that is looked up by `core`.
    pub(super) fn for_aws(&mut self, people: PolicyMembers) -> Result<(ForAws, Option<String>), Refusal> {
        let param = ForAwsParam {
            alias: self.alias.take(),
            description: self.description.take(),
            policy: self.policy.take(),
            tags: self.tags.take(),
            bypass_policy_lockout_safety_check: self.bypass_policy_lockout_safety_check,
        };
        param.parse(people)
    }
}

/// What is said of one thing by several names: that it is so wins.
pub(super) fn said<const N: usize>(names: [Option<bool>; N]) -> Option<bool> {
    let said = || names.iter().flatten();
    said().find(|so| **so).or_else(|| said().next()).copied()
}

/// When material expires, nanoseconds since 1970. `field` is what clients call the time.
pub(super) fn expiry(field: &str, expires: Option<bool>, valid_to: Option<&str>) -> Result<Option<u64>, Refusal> {
    match (expires, valid_to) {
        (None | Some(false), None) => Ok(None),
        (Some(true), None) => Err(Refusal::invalid(field, "is required where the material expires")),
        (Some(false), Some(_)) => Err(Refusal::invalid(field, "is given, but the material is said not to expire")),
        (None | Some(true), Some(text)) => {
            let time = OffsetDateTime::parse(text, &Rfc3339).ok().and_then(|time| u64::try_from(time.unix_timestamp_nanos()).ok());
            time.map(Some).ok_or_else(|| Refusal::invalid(field, "must be a time, such as 2030-01-31T12:00:00Z"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn material_expires_when_it_is_said_to_and_contradictions_are_refused() {
        let at = "2030-01-31T12:00:00Z";
        let ns = 1_896_091_200_000_000_000;
        let table = [
            ((None, None), Some(None)),
            ((Some(false), None), Some(None)),
            ((Some(true), Some(at)), Some(Some(ns))),
            ((None, Some(at)), Some(Some(ns))),
            ((Some(true), None), None),
            ((Some(false), Some(at)), None),
            ((None, Some("tomorrow")), None),
        ];
        for ((expires, valid_to), expected) in table {
            assert_eq!(expiry("f", expires, valid_to).ok(), expected, "{expires:?} {valid_to:?}");
        }
    }
}
