//! What clients say of a key that AWS is to be told: `aws_param`, and whom its policy is to name (contract §8, §9, §10).
//!
//! Always holds: the ways to say a policy exclude each other.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    api::error::Refusal,
    core::aws_keys::GivenForAws,
    store::entry::{ForAws, KeyPolicy, PolicyContent, PolicyPeople, Tag},
};

/// What AWS is to be told of a key.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct ForAwsMembers {
    aws_param: Option<ForAwsParam>,
    #[serde(flatten)]
    people: PolicyMembers,
    #[serde(rename = "BypassPolicyLockoutSafetyCheck")]
    bypass: Option<bool>,
}

/// What AWS is to be told of a key.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ForAwsParam {
    /// With or without `alias/` before it.
    pub(super) alias: Option<String>,
    pub(super) description: Option<String>,
    /// A key policy of AWS, as an object or as its text.
    #[schema(value_type = Option<Object>)]
    pub(super) policy: Option<Value>,
    pub(super) tags: Option<Vec<TagParam>>,
    pub(super) bypass_policy_lockout_safety_check: Option<bool>,
}

/// A tag.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct TagParam {
    #[serde(rename = "TagKey")]
    #[schema(required, nullable = false)]
    key: Option<String>,
    #[serde(rename = "TagValue")]
    value: Option<String>,
}

/// Whom a policy is to name, or the template that it is to come from; none of them: the default policy.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct PolicyMembers {
    /// Other AWS accounts that may use the key.
    external_accounts: Option<OneOrMore>,
    key_admins: Option<OneOrMore>,
    key_admins_roles: Option<OneOrMore>,
    key_users: Option<OneOrMore>,
    key_users_roles: Option<OneOrMore>,
    /// Id or name of a policy template.
    policytemplate: Option<String>,
}

/// A list, or the one thing that would be in it.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    /// One.
    One(String),
    /// A list.
    More(Vec<String>),
}

impl ForAwsMembers {
    /// What AWS is to be told, and the template that the policy is to come from; that is looked up by `core`.
    pub(super) fn parse(self) -> Result<(ForAws, Option<String>), Refusal> {
        Ok(whole(self.given()?))
    }

    /// The same, where what is not said is said elsewhere.
    pub(super) fn given(self) -> Result<GivenForAws, Refusal> {
        let given = self.aws_param.unwrap_or_default().given(self.people)?;
        Ok(GivenForAws { bypass_lockout_check: given.bypass_lockout_check.or(self.bypass), ..given })
    }
}

impl ForAwsParam {
    /// What AWS is to be told, and the template that the policy is to come from; that is looked up by `core`.
    pub(super) fn parse(self, people: PolicyMembers) -> Result<(ForAws, Option<String>), Refusal> {
        Ok(whole(self.given(people)?))
    }

    fn given(self, people: PolicyMembers) -> Result<GivenForAws, Refusal> {
        let alias = self.alias.map(|alias| alias.strip_prefix("alias/").unwrap_or(&alias).to_owned());
        let tags = self.tags.map(|tags| tags.into_iter().map(TagParam::parse).collect::<Result<Vec<_>, _>>()).transpose()?;
        let (policy, template) = people.parse("aws_param.Policy", self.policy)?;
        let bypass_lockout_check = self.bypass_policy_lockout_safety_check;
        Ok(GivenForAws { description: self.description, alias, tags, policy, template, bypass_lockout_check })
    }
}

impl PolicyMembers {
    /// One of three, or none of them, and the template; that is looked up by `core`.
    pub(super) fn parse(self, field: &str, policy: Option<Value>) -> Result<(Option<KeyPolicy>, Option<String>), Refusal> {
        let people = PolicyPeople {
            external_accounts: listed(self.external_accounts),
            key_admins: listed(self.key_admins),
            key_admins_roles: listed(self.key_admins_roles),
            key_users: listed(self.key_users),
            key_users_roles: listed(self.key_users_roles),
        };
        let document = policy.map(|policy| document(field, policy)).transpose()?.filter(|document| !document.is_empty());
        match (document, people.is_empty(), self.policytemplate) {
            (None, true, template) => Ok((None, template)),
            (Some(document), true, None) => Ok((Some(KeyPolicy::Own(PolicyContent::Given(document))), None)),
            (None, false, None) => Ok((Some(KeyPolicy::Own(PolicyContent::People(people))), None)),
            (Some(_), false, Some(_) | None) | (Some(_), true, Some(_)) | (None, false, Some(_)) => {
                Err(Refusal::invalid(field, "give one of Policy, policytemplate, and the lists of users, roles and accounts"))
            }
        }
    }
}

impl TagParam {
    fn parse(self) -> Result<Tag, Refusal> {
        let key = self.key.ok_or_else(|| Refusal::invalid("aws_param.Tags", "each must have a TagKey"))?;
        Ok(Tag { key, value: self.value.unwrap_or_default() })
    }
}

/// What is not said is empty.
fn whole(given: GivenForAws) -> (ForAws, Option<String>) {
    let for_aws = ForAws {
        description: given.description.unwrap_or_default(),
        alias: given.alias.unwrap_or_default(),
        tags: given.tags.unwrap_or_default(),
        policy: given.policy.unwrap_or_default(),
        bypass_lockout_check: given.bypass_lockout_check.unwrap_or(false),
    };
    (for_aws, given.template)
}

/// A policy as an object, or as its text; nothing is empty.
fn document(field: &str, policy: Value) -> Result<Map<String, Value>, Refusal> {
    let read = match policy {
        Value::Object(document) => Some(document),
        Value::String(text) if text.is_empty() => Some(Map::new()),
        Value::String(text) => serde_json::from_str(&text).ok(),
        Value::Null => Some(Map::new()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    read.ok_or_else(|| Refusal::invalid(field, "must be an object, or the text of one"))
}

/// What is in a list, or the one thing instead.
pub(super) fn listed(given: Option<OneOrMore>) -> Vec<String> {
    match given {
        None => Vec::new(),
        Some(OneOrMore::One(one)) => vec![one],
        Some(OneOrMore::More(more)) => more,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_is_an_object_or_the_text_of_one() {
        let object = json!({"Version": "2012-10-17"});
        for same in [object.clone(), Value::String(object.to_string())] {
            assert_eq!(Value::Object(document("f", same).unwrap()), object);
        }
        for nothing in [Value::Null, json!(""), json!({})] {
            assert!(document("f", nothing).unwrap().is_empty());
        }
        for bad in [json!([]), json!(1), json!("["), json!("[]")] {
            assert_eq!(document("f", bad).unwrap_err().text(), "f: must be an object, or the text of one");
        }
    }

    #[test]
    fn what_is_not_said_when_a_key_is_linked_is_as_it_was() {
        let members: ForAwsMembers = serde_json::from_value(json!({"aws_param": {"Alias": "alias/a"}})).unwrap();
        let given = members.given().unwrap();
        assert_eq!((given.alias.as_deref(), given.description, given.tags, given.policy), (Some("a"), None, None, None));
        assert_eq!((given.template, given.bypass_lockout_check), (None, None));
    }
}
