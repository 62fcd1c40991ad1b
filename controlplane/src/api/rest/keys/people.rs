//! Whom a key's policy names: read from the statements that this product and the KMS console write (contract §8).
//!
//! Always holds: users and roles are told as ARNs, other accounts by their ids.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Who administers and uses a key.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct People {
    /// Other AWS accounts that may use the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_accounts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key_admins: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key_admins_roles: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key_users: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key_users_roles: Vec<String>,
}

/// Those whom a policy names.
pub(super) fn people(policy: &Map<String, Value>) -> People {
    let statements = policy.get("Statement").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of = |sid: &str| {
        let statement = statements.iter().find(|statement| statement.get("Sid").and_then(Value::as_str) == Some(sid));
        statement.map(principals).unwrap_or_default()
    };
    let (admins, users) = (of("Allow access for Key Administrators"), of("Allow use of the key"));
    let only = |all: &[String], part: &str| all.iter().filter(|arn| arn.contains(part)).cloned().collect();
    People {
        external_accounts: users.iter().filter_map(|arn| account(arn)).collect(),
        key_admins: only(&admins, ":user/"),
        key_admins_roles: only(&admins, ":role/"),
        key_users: only(&users, ":user/"),
        key_users_roles: only(&users, ":role/"),
    }
}

/// AWS tells one principal as a text, several as a list.
fn principals(statement: &Value) -> Vec<String> {
    match statement.get("Principal").and_then(|principal| principal.get("AWS")) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(more)) => more.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    }
}

/// The id in `arn:aws:iam::210987654321:root`.
fn account(arn: &str) -> Option<String> {
    arn.strip_suffix(":root")?.rsplit(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_are_read_back_from_the_policy_as_arns_and_accounts_by_their_ids() {
        let arn = |rest: &str| format!("arn:aws:iam::123456789012:{rest}");
        let Value::Object(policy) = json!({"Id": "key-consolepolicy-3", "Statement": [
            {"Sid": "Enable IAM User Permissions", "Principal": {"AWS": arn("root")}},
            {"Sid": "Allow access for Key Administrators", "Principal": {"AWS": arn("user/alice")}},
            {"Sid": "Allow use of the key", "Principal": {"AWS": [arn("user/bob"), arn("role/app"), "arn:aws:iam::210987654321:root"]}},
        ]}) else {
            unreachable!()
        };
        let expected = People {
            external_accounts: vec!["210987654321".into()],
            key_admins: vec![arn("user/alice")],
            key_admins_roles: Vec::new(),
            key_users: vec![arn("user/bob")],
            key_users_roles: vec![arn("role/app")],
        };
        assert_eq!(people(&policy), expected);
        assert_eq!(people(&Map::new()), People::default());
    }
}
