//! Key policies: the one that AWS gives, and what AWS demands of one that it is given.
//!
//! Always holds: a policy is kept as the text it came as, and answered as AWS does, which has an order of its own; no request is ever judged by it, but one that locks its giver out is refused
//! as AWS refuses it. Source: AWS KMS API reference, `PutKeyPolicy`; IAM JSON policy reference.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{AwsException, ErrorName};

/// The policy of a key that was made without one.
pub(crate) fn default(account: &str) -> String {
    format!(
        r#"{{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {{
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "arn:aws:iam::{account}:root"
    }},
    "Action" : "kms:*",
    "Resource" : "*"
  }} ]
}}"#
    )
}

/// What a policy is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Giver<'a> {
    /// The account, 12 digits.
    pub(crate) account: &'a str,
    /// `BypassPolicyLockoutSafetyCheck`.
    pub(crate) may_lock_out: bool,
}

/// Takes a policy as it was given.
///
/// # Errors
/// `LimitExceededException` for a too long one, `MalformedPolicyDocumentException` for one that is no key policy, or that would not let
/// the account change it again.
pub(crate) fn taken(text: &str, giver: Giver<'_>) -> Result<String, AwsException> {
    if text.len() > MAX_LEN {
        return Err(AwsException::new(ErrorName::LimitExceeded, format!("A key policy has at most {MAX_LEN} bytes.")));
    }
    if !text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}')) {
        return Err(malformed("Policy contains a character that a key policy can't have"));
    }
    let policy: Policy = serde_json::from_str(text).map_err(|error| malformed(format!("Policy is no key policy: {error}")))?;
    let statements = policy.statement.into_vec();
    if policy.version.as_deref().is_some_and(|version| !VERSIONS.contains(&version)) {
        return Err(malformed("Policy has an unknown Version"));
    }
    if statements.is_empty() {
        return Err(malformed("Policy has no Statement"));
    }
    if statements.iter().any(|statement| statement.principal.is_some() == statement.not_principal.is_some()) {
        return Err(malformed("Policy contains a statement with no principal."));
    }
    for principal in statements.iter().filter_map(|statement| statement.principal.as_ref().or(statement.not_principal.as_ref())) {
        principal.check()?;
    }
    if !giver.may_lock_out && !statements.iter().any(|statement| statement.lets_change_policy(giver.account)) {
        return Err(malformed("The new key policy will not allow you to update the key policy in the future."));
    }
    Ok(text.to_owned())
}

/// A kept policy as AWS answers it: one principal of a list as a text, and several in another order than they were given.
pub(crate) fn shown(kept: &str) -> String {
    let Ok(mut policy) = serde_json::from_str::<Value>(kept) else { return kept.to_owned() };
    let statements = match policy.get_mut("Statement") {
        Some(Value::Array(several)) => several.iter_mut().collect(),
        one => Vec::from_iter(one),
    };
    let mut changed = false;
    for statement in statements {
        for name in ["Principal", "NotPrincipal"] {
            let kinds = statement.get_mut(name).and_then(Value::as_object_mut);
            for principals in kinds.into_iter().flat_map(Map::values_mut) {
                let Value::Array(list) = principals else { continue };
                changed = true;
                match list.as_mut_slice() {
                    [one] => *principals = one.take(),
                    several => several.reverse(),
                }
            }
        }
    }
    if changed { format!("{policy:#}") } else { kept.to_owned() }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Policy {
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: OneOrMany<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    principal: Option<Principal>,
    not_principal: Option<Principal>,
    action: Option<OneOrMany<String>>,
    #[serde(rename = "NotAction")]
    _not_action: Option<OneOrMany<String>>,
    #[serde(rename = "Resource")]
    _resource: Option<OneOrMany<String>>,
    #[serde(rename = "NotResource")]
    _not_resource: Option<OneOrMany<String>>,
    condition: Option<Map<String, Value>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Principal {
    Anyone(String),
    ByKind(std::collections::BTreeMap<String, OneOrMany<String>>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }

    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Statement {
    fn lets_change_policy(&self, account: &str) -> bool {
        self.effect == Effect::Allow
            && self.condition.as_ref().is_none_or(Map::is_empty)
            && self.principal.as_ref().is_some_and(|principal| principal.is_of(account))
            && self.action.as_ref().is_some_and(|actions| actions.as_slice().iter().any(|action| covers(action, "kms:putkeypolicy")))
    }
}

impl Principal {
    /// By its form only: whoever is named in the right form is there.
    fn check(&self) -> Result<(), AwsException> {
        let invalid = || malformed("Policy contains a statement with one or more invalid principals.");
        let Self::ByKind(kinds) = self else {
            return if self.is_anyone() { Ok(()) } else { Err(invalid()) };
        };
        if kinds.values().all(|names| names.as_slice().is_empty()) {
            return Err(malformed("Policy contains a statement with no principal."));
        }
        let right = kinds.iter().all(|(kind, names)| match kind.as_str() {
            "AWS" => names.as_slice().iter().all(|name| is_principal(name)),
            "Service" | "Federated" | "CanonicalUser" => names.as_slice().iter().all(|name| !name.is_empty()),
            _ => false,
        });
        if right { Ok(()) } else { Err(invalid()) }
    }

    fn is_anyone(&self) -> bool {
        matches!(self, Self::Anyone(name) if name == "*")
    }

    fn is_of(&self, account: &str) -> bool {
        let ours = |name: &String| {
            name == "*"
                || name == account
                || ["iam", "sts"].iter().any(|service| name.starts_with(&format!("arn:aws:{service}::{account}:")))
        };
        match self {
            Self::Anyone(_) => self.is_anyone(),
            Self::ByKind(kinds) => kinds.get("AWS").is_some_and(|names| names.as_slice().iter().any(ours)),
        }
    }
}

/// Everybody, an account, the id of one that is gone, or the ARN of an account, a user, a role or a session of one (IAM User Guide, "AWS JSON
/// policy elements: Principal").
fn is_principal(name: &str) -> bool {
    let account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    let unique = |text: &str| text.len() >= 16 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    match name.splitn(6, ':').collect::<Vec<_>>()[..] {
        ["arn", "aws", service, "", owner, resource] => {
            let kinds: &[&str] = match service {
                "iam" => &["user/", "role/"],
                "sts" => &["assumed-role/", "federated-user/"],
                _ => &[],
            };
            let named = |kind: &&str| {
                let rest = resource.strip_prefix(kind).unwrap_or_default();
                !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&b))
            };
            account(owner) && (service == "iam" && resource == "root" || kinds.iter().any(named))
        }
        [one] => one == "*" || account(one) || unique(one),
        _ => false,
    }
}

/// Whether an action with `*` and `?`, in any case, covers `wanted`, which is in lower case.
fn covers(action: &str, wanted: &str) -> bool {
    fn step(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => step(rest, text) || text.split_first().is_some_and(|(_, left)| step(pattern, left)),
            (Some((b'?', rest)), Some((_, left))) => step(rest, left),
            (Some((p, rest)), Some((t, left))) => p.eq_ignore_ascii_case(t) && step(rest, left),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
    step(action.as_bytes(), wanted.as_bytes())
}

fn malformed(message: impl Into<String>) -> AwsException {
    AwsException::new(ErrorName::MalformedPolicyDocument, message)
}

const MAX_LEN: usize = 32_768;
const VERSIONS: [&str; 2] = ["2012-10-17", "2008-10-17"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ACCOUNT: &str = "111122223333";

    fn refused(text: &str) -> Option<String> {
        taken(text, Giver { account: ACCOUNT, may_lock_out: false }).err().map(|refusal| refusal.name().to_owned())
    }

    #[test]
    fn the_default_policy_is_taken_as_it_is() {
        let policy = default(ACCOUNT);
        assert_eq!(taken(&policy, Giver { account: ACCOUNT, may_lock_out: false }).unwrap(), policy);
    }

    #[test]
    fn principals_are_shown_in_the_way_of_aws() {
        assert_eq!(shown(&default(ACCOUNT)), default(ACCOUNT));
        let policy = |one: Value, several: Value| {
            json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": one}, "Action": ["kms:*"], "Resource": "*"},
                {"Effect": "Deny", "NotPrincipal": {"AWS": several, "Service": "x"}, "Action": "*", "Resource": ["*"]},
            ]})
        };
        let told = shown(&policy(json!(["a"]), json!(["a", "b", "c"])).to_string());
        assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), policy(json!("a"), json!(["c", "b", "a"])));
        let single = json!({"Statement": {"Effect": "Allow", "Principal": {"AWS": ["a"]}, "Action": "kms:*", "Resource": "*"}});
        assert!(shown(&single.to_string()).contains("\"AWS\": \"a\""));
    }

    #[test]
    fn what_is_no_key_policy_is_malformed() {
        for text in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"Statement":[]}"#,
            r#"{"Version":"2020-01-01","Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Permit","Principal":"*","Action":"kms:*","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Wish":1}}"#,
            "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"kms:*\",\"Resource\":\"\u{2603}\"}}",
        ] {
            assert_eq!(refused(text).as_deref(), Some("MalformedPolicyDocumentException"), "{text}");
        }
        assert_eq!(refused(&" ".repeat(MAX_LEN + 1)).as_deref(), Some("LimitExceededException"));
    }

    #[test]
    fn a_principal_has_one_of_the_forms_of_aws() {
        let of = |principal: Value| {
            let root = json!({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"});
            let other = json!({"Effect": "Allow", "Principal": principal, "Action": "kms:Encrypt", "Resource": "*"});
            refused(&json!({"Statement": [root, other]}).to_string())
        };
        for good in [
            json!("*"),
            json!({"AWS": "*"}),
            json!({"AWS": ["444455556666", "AROAABCDEFGHIJKLMNOPQ"]}),
            json!({"AWS": "arn:aws:iam::444455556666:root"}),
            json!({"AWS": ["arn:aws:iam::444455556666:user/team/kim+1@x", "arn:aws:sts::444455556666:assumed-role/app/session"]}),
            json!({"Service": "s3.amazonaws.com"}),
        ] {
            assert_eq!(of(good.clone()), None, "{good}");
        }
        for bad in [
            json!("kim"),
            json!({}),
            json!({"AWS": []}),
            json!({"AWS": "kim"}),
            json!({"AWS": "arn:aws::444455556666:root"}),
            json!({"AWS": "arn:aws:iam::4444:root"}),
            json!({"AWS": "arn:aws:iam::444455556666:user/"}),
            json!({"AWS": "arn:aws:iam::444455556666:user/*"}),
            json!({"AWS": "arn:aws:iam::444455556666:group/admins"}),
            json!({"AWS": ["arn:aws:iam::444455556666:root", "arn:aws:iam::444455556666:user/k m"]}),
            json!({"Person": "kim"}),
        ] {
            assert_eq!(of(bad.clone()).as_deref(), Some("MalformedPolicyDocumentException"), "{bad}");
        }
    }

    #[test]
    fn a_policy_that_locks_its_giver_out_is_taken_only_when_that_is_meant() {
        let of = |principal: &str, action: &str| {
            format!(r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"{action}","Resource":"*"}}]}}"#)
        };
        for (principal, action, locks_out) in [
            ("arn:aws:iam::111122223333:root", "kms:*", false),
            ("arn:aws:iam::111122223333:user/kim", "kms:Put*", false),
            ("111122223333", "KMS:putkeypolic?", false),
            ("*", "*", false),
            ("arn:aws:iam::444455556666:root", "kms:*", true),
            ("arn:aws:iam::111122223333:root", "kms:Encrypt", true),
        ] {
            let policy = of(principal, action);
            assert_eq!(refused(&policy).is_some(), locks_out, "{policy}");
            assert!(taken(&policy, Giver { account: ACCOUNT, may_lock_out: true }).is_ok());
        }
    }
}
