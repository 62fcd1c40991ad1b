//! What clients say of a key that is to be made in AWS: native, uploaded, or a replica (contract §8.2–§8.4).

use serde::Deserialize;
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use super::request::{OneOrMore, listed, policy};
use crate::{
    api::error::Refusal,
    store::entry::{ForAws, PolicyPeople, Tag},
};

/// A key in AWS that is to be.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewKeyForAws {
    /// With or without `alias/` before it.
    alias: Option<String>,
    description: Option<String>,
    policy: Option<Value>,
    tags: Option<Vec<NewKeyTag>>,
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

/// A tag.
#[derive(Default, Deserialize, ToSchema)]
struct NewKeyTag {
    #[serde(rename = "TagKey")]
    #[schema(required, nullable = false)]
    key: Option<String>,
    #[serde(rename = "TagValue")]
    value: Option<String>,
}

/// Whom the policy is to name, as lists or single names.
pub(super) struct GivenPeople {
    pub(super) external_accounts: Option<OneOrMore>,
    pub(super) key_admins: Option<OneOrMore>,
    pub(super) key_admins_roles: Option<OneOrMore>,
    pub(super) key_users: Option<OneOrMore>,
    pub(super) key_users_roles: Option<OneOrMore>,
}

impl NewKeyForAws {
    /// What AWS is to be told, if it can be; a template is looked up by `core`.
    pub(super) fn for_aws(&mut self, people: GivenPeople, template: Option<&str>) -> Result<ForAws, Refusal> {
        let people = PolicyPeople {
            external_accounts: listed(people.external_accounts),
            key_admins: listed(people.key_admins),
            key_admins_roles: listed(people.key_admins_roles),
            key_users: listed(people.key_users),
            key_users_roles: listed(people.key_users_roles),
        };
        let alias = self.alias.take().unwrap_or_default();
        Ok(ForAws {
            description: self.description.take().unwrap_or_default(),
            alias: alias.strip_prefix("alias/").unwrap_or(&alias).to_owned(),
            tags: self.tags.take().unwrap_or_default().into_iter().map(NewKeyTag::parse).collect::<Result<_, _>>()?,
            policy: policy(self.policy.take().map(document).transpose()?, people, template)?,
            bypass_lockout_check: self.bypass_policy_lockout_safety_check.unwrap_or(false),
        })
    }
}

impl NewKeyTag {
    fn parse(self) -> Result<Tag, Refusal> {
        let key = self.key.ok_or_else(|| Refusal::invalid("aws_param.Tags", "each must have a TagKey"))?;
        Ok(Tag { key, value: self.value.unwrap_or_default() })
    }
}

/// A policy as an object, or as the text of one.
fn document(policy: Value) -> Result<Map<String, Value>, Refusal> {
    let parsed = match policy {
        Value::Object(document) => Some(document),
        Value::String(text) if text.is_empty() => Some(Map::new()),
        Value::String(text) => serde_json::from_str(&text).ok(),
        Value::Null => Some(Map::new()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    parsed.ok_or_else(|| Refusal::invalid("aws_param.Policy", "must be an object, or the text of one"))
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
    use serde_json::json;

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

    #[test]
    fn a_policy_is_an_object_or_the_text_of_one() {
        let object = json!({"Version": "2012-10-17"});
        assert_eq!(Value::Object(document(object.clone()).unwrap()), object);
        assert_eq!(Value::Object(document(object.to_string().into()).unwrap()), object);
        assert_eq!(document(Value::Null).unwrap(), Map::new());
        for bad in [json!([]), json!(1), json!("["), json!("[]")] {
            document(bad).unwrap_err();
        }
    }
}
