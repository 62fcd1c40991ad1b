//! What AWS is to be told of a key, checked before anything is made of it.

use crate::{
    core::{CoreError, policy_templates},
    store::{
        View,
        entry::{ForAws, KeyPolicy, PolicyContent, Tag},
    },
};

use super::OUR_TAG;

/// What is said of a key that is there already, when it is linked: what is not said is as it was said before.
#[derive(Clone, Debug, Default)]
pub struct GivenForAws {
    /// For people.
    pub description: Option<String>,
    /// Without its `alias/`.
    pub alias: Option<String>,
    /// All of them.
    pub tags: Option<Vec<Tag>>,
    /// Whom it names, or all that it says.
    pub policy: Option<KeyPolicy>,
    /// The policy template (id or name) instead.
    pub template: Option<String>,
    /// Takes a policy that locks out whoever sets it.
    pub bypass_lockout_check: Option<bool>,
}

impl GivenForAws {
    /// With what was said before.
    pub(in crate::core) fn over(&self, view: &View, before: ForAws) -> Result<ForAws, CoreError> {
        let said = ForAws {
            description: self.description.clone().unwrap_or(before.description),
            alias: self.alias.clone().unwrap_or(before.alias),
            tags: self.tags.clone().unwrap_or(before.tags),
            policy: self.policy.clone().unwrap_or(before.policy),
            bypass_lockout_check: self.bypass_lockout_check.unwrap_or(before.bypass_lockout_check),
        };
        settled(view, said, self.template.as_deref())
    }
}

/// What AWS is to be told, with the template's policy where one is named, if it can be told (KMS API: CreateKey, TagResource, CreateAlias).
pub(in crate::core) fn settled(view: &View, said: ForAws, template: Option<&str>) -> Result<ForAws, CoreError> {
    check(&said)?;
    Ok(ForAws { policy: policy(view, said.policy, template)?, ..said })
}

/// A policy as it is kept.
pub(in crate::core) fn policy(view: &View, said: KeyPolicy, template: Option<&str>) -> Result<KeyPolicy, CoreError> {
    match (template, said) {
        (Some(template), _) => Ok(KeyPolicy::Template(policy_templates::find(view, template)?.id)),
        (None, KeyPolicy::Template(id)) => {
            view.policy_template(id)?.ok_or(CoreError::NotFound("policy template"))?;
            Ok(KeyPolicy::Template(id))
        }
        (None, own @ KeyPolicy::Own(_)) => Ok(own),
    }
}

/// Refuses what can't be said of a key in AWS.
pub(in crate::core) fn check(said: &ForAws) -> Result<(), CoreError> {
    description(&said.description)?;
    if !said.alias.is_empty() {
        alias("Alias", &said.alias)?;
    }
    tags("Tags", &said.tags)?;
    content(&said.policy)
}

/// Refuses names that no policy can hold.
pub(super) fn content(said: &KeyPolicy) -> Result<(), CoreError> {
    match said {
        KeyPolicy::Own(PolicyContent::People(people)) => policy_templates::check(people),
        KeyPolicy::Own(PolicyContent::Given(_) | PolicyContent::Default) | KeyPolicy::Template(_) => Ok(()),
    }
}

pub(super) fn description(text: &str) -> Result<(), CoreError> {
    if text.chars().count() > 8192 {
        return Err(CoreError::invalid("Description", "must have at most 8192 characters"));
    }
    Ok(())
}

/// Without its `alias/`.
pub(super) fn alias(field: &'static str, text: &str) -> Result<(), CoreError> {
    if !(1..=250).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_-".contains(&b)) {
        return Err(CoreError::invalid(field, "must have 1 to 250 of A-Z, a-z, 0-9, '/', '_' and '-'"));
    }
    if text.starts_with("aws/") {
        return Err(CoreError::invalid(field, "must not begin with aws/, which is AWS's own"));
    }
    Ok(())
}

pub(super) fn tags(field: &'static str, tags: &[Tag]) -> Result<(), CoreError> {
    // One more is ours.
    if tags.len() > 49 {
        return Err(CoreError::invalid(field, "must be at most 49"));
    }
    for tag in tags {
        tag_key(field, &tag.key)?;
        if tag.value.chars().count() > 256 || !tag.value.chars().all(|c| c.is_alphanumeric() || "_./=+-@".contains(c)) {
            let detail = format!("the value of the tag {:?} must have at most 256 letters, digits and _ . / = + - @ only", tag.key);
            return Err(CoreError::invalid(field, detail));
        }
    }
    let mut keys: Vec<_> = tags.iter().map(|tag| &tag.key).collect();
    keys.sort();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(CoreError::invalid(field, format!("the tag {:?} is there twice", pair[0]))),
        None => Ok(()),
    }
}

/// Refuses what can't be a tag's key; ours is nobody else's.
pub(super) fn tag_key(field: &'static str, key: &str) -> Result<(), CoreError> {
    if !(1..=128).contains(&key.chars().count()) || !key.chars().all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c)) {
        let detail = format!("the tag {key:?} must have a key of 1 to 128 letters, digits, spaces and _ . : / = + - @");
        return Err(CoreError::invalid(field, detail));
    }
    if key == OUR_TAG || key.to_ascii_lowercase().starts_with("aws:") {
        return Err(CoreError::invalid(field, format!("the tag {key:?} is reserved")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: key.into(), value: value.into() }
    }

    #[test]
    fn a_tag_is_taken_only_with_a_value_that_the_contract_allows_and_the_refusal_names_it() {
        for good in ["", "a", "Z9_./=+-@", "ü"] {
            assert!(tags("Tags", &[tag("k", good)]).is_ok(), "{good}");
        }
        for bad in ["a b", "a:b", "a,b", "{}", "\n"] {
            let refused = tags("Tags", &[tag("fine", "x"), tag("odd one", bad)]).unwrap_err().to_string();
            assert!(refused.starts_with("Tags: ") && refused.contains("odd one"), "{refused}");
        }
        for key in ["", "aws:x", OUR_TAG, "a,b"] {
            assert!(tags("Tags", &[tag(key, "x")]).is_err(), "{key}");
        }
        assert!(tags("Tags", &[tag("a", "1"), tag("a", "2")]).is_err());
    }

    #[test]
    fn an_alias_has_the_characters_that_kms_takes() {
        for good in ["a", "a/b_c-D9"] {
            assert!(alias("Alias", good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a:b", "aws/s3", "ü"] {
            assert!(alias("Alias", bad).is_err(), "{bad}");
        }
        assert!(alias("Alias", &"a".repeat(251)).is_err());
    }
}
