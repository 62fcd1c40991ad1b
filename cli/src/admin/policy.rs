//! What the verbs about keys and policy templates share: who may do what with a key in AWS, and its tags.

use std::{fs, path::PathBuf};

use clap::Args;
use holdfast_proto::admin::{AwsTag, KeyPolicy, NewAwsKey, PolicyPeople};
use serde_json::{Map, Value};

use crate::failure::{Failure, Kind};

/// A policy, or whom one is made for.
#[derive(Args, Debug)]
#[command(next_help_heading = "Policy in AWS")]
pub(super) struct PolicyContent {
    /// File that holds a policy document of AWS, JSON
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A user that administers the key, by name or ARN; repeatable
    #[arg(long, value_name = "USER", conflicts_with = "policy")]
    key_admin: Vec<String>,
    /// A role that administers the key, by name or ARN; repeatable
    #[arg(long, value_name = "ROLE", conflicts_with = "policy")]
    key_admin_role: Vec<String>,
    /// A user that uses the key, by name or ARN; repeatable
    #[arg(long, value_name = "USER", conflicts_with = "policy")]
    key_user: Vec<String>,
    /// A role that uses the key, by name or ARN; repeatable
    #[arg(long, value_name = "ROLE", conflicts_with = "policy")]
    key_user_role: Vec<String>,
    /// Another AWS account that may use the key; repeatable
    #[arg(long, value_name = "DIGITS", conflicts_with = "policy")]
    external_account: Vec<String>,
}

/// Which policy a key is given.
#[derive(Args, Debug)]
#[command(next_help_heading = "Policy in AWS")]
pub(super) struct PolicyArgs {
    #[command(flatten)]
    content: PolicyContent,
    /// A policy template, by id or name
    #[arg(
        long,
        value_name = "TEMPLATE",
        conflicts_with_all = ["policy", "key_admin", "key_admin_role", "key_user", "key_user_role", "external_account"]
    )]
    policy_template: Option<String>,
    /// Take a policy that locks out whoever sets it
    #[arg(long)]
    bypass_lockout_check: bool,
}

/// What AWS is told of a key.
#[derive(Args, Debug)]
pub(super) struct ForAws {
    /// Alias in AWS KMS, with or without alias/ before it
    #[arg(long)]
    alias: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Tag in AWS KMS; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
    #[command(flatten)]
    policy: PolicyArgs,
}

impl ForAws {
    /// As the API takes it.
    pub(super) fn given(&self) -> Result<NewAwsKey, Failure> {
        Ok(NewAwsKey {
            alias: self.alias.clone().unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
            tags: tags(&self.tag)?,
            policy: Some(self.policy.given()?),
        })
    }
}

impl PolicyContent {
    /// The document; empty: none is given. A file without one is refused: AWS's default policy is not what it was to say.
    pub(super) fn document(&self) -> Result<String, Failure> {
        let Some(file) = &self.policy else { return Ok(String::new()) };
        let text = fs::read_to_string(file).map_err(|cause| Failure::file("read", file, &cause))?;
        match serde_json::from_str::<Map<String, Value>>(&text) {
            Ok(members) if !members.is_empty() => Ok(text),
            Ok(_) => Err(Failure::of(Kind::Usage, format!("{} holds an empty policy", file.display()))),
            Err(cause) => Err(Failure::of(Kind::Usage, format!("{} holds no policy document: {cause}", file.display()))),
        }
    }

    /// Whom it is made for; none where nobody is named.
    pub(super) fn people(&self) -> Option<PolicyPeople> {
        let people = PolicyPeople {
            external_accounts: self.external_account.clone(),
            key_admins: self.key_admin.clone(),
            key_admins_roles: self.key_admin_role.clone(),
            key_users: self.key_user.clone(),
            key_users_roles: self.key_user_role.clone(),
        };
        Some(people).filter(|people| *people != PolicyPeople::default())
    }
}

impl PolicyArgs {
    /// As the API takes it; nothing given: AWS's default.
    pub(super) fn given(&self) -> Result<KeyPolicy, Failure> {
        Ok(KeyPolicy {
            document: self.content.document()?,
            template: self.policy_template.clone().unwrap_or_default(),
            people: self.content.people(),
            bypass_lockout_safety_check: self.bypass_lockout_check,
        })
    }
}

/// `KEY=VALUE`.
pub(super) fn tags(texts: &[String]) -> Result<Vec<AwsTag>, Failure> {
    let tag = |text: &String| {
        let split = text.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) = split.ok_or_else(|| Failure::of(Kind::Usage, format!("{text}: a tag is given as KEY=VALUE")))?;
        Ok(AwsTag { key: key.to_owned(), value: value.to_owned() })
    };
    texts.iter().map(tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_file_without_a_policy_is_no_word_for_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.json");
        let read = |text: &str| {
            fs::write(&file, text).unwrap();
            let people = || Vec::new();
            let (key_admin, key_admin_role, key_user, key_user_role) = (people(), people(), people(), people());
            let policy = Some(file.clone());
            PolicyContent { policy, key_admin, key_admin_role, key_user, key_user_role, external_account: people() }.document()
        };
        for none in ["", "{}", "[]", "null", "{"] {
            assert_eq!(read(none).unwrap_err().kind(), Kind::Usage, "{none:?}");
        }
        let policy = r#"{ "Version": "2012-10-17" }"#;
        assert_eq!(read(policy).unwrap(), policy);
    }

    #[test]
    fn a_tag_is_a_key_and_all_behind_the_first_equals_sign() {
        let read = |text: &str| tags(&[text.to_owned()]).map(|tags| (tags[0].key.clone(), tags[0].value.clone())).ok();
        assert_eq!(read("team=a=b"), Some(("team".into(), "a=b".into())));
        assert_eq!(read("team="), Some(("team".into(), String::new())));
        assert_eq!((read("team"), read("=b")), (None, None));
    }
}
