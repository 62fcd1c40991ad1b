//! The key policy of a template, as a pure function: what the KMS console writes for a default key, or for named people (contract §8).

use serde_json::{Map, Value, json};

use crate::{
    core::{CoreError, aws_names},
    store::entry::{AwsCloud, PolicyContent, PolicyPeople, PolicyTemplateEntry},
};

/// The policy that a key gets by this template; never empty.
#[must_use]
pub fn policy(template: &PolicyTemplateEntry) -> Value {
    Value::Object(document((template.cloud, &template.account_id), &template.content))
}

/// The policy of a key in an account; never empty.
pub(in crate::core) fn document((cloud, account): (AwsCloud, &str), content: &PolicyContent) -> Map<String, Value> {
    let home = Home { cloud, account };
    let made = match content {
        PolicyContent::Given(policy) => return policy.clone(),
        PolicyContent::Default => json!({ "Version": VERSION, "Id": "key-default-1", "Statement": [home.root_statement()] }),
        PolicyContent::People(people) => {
            let admins = home.principals(&people.key_admins, &people.key_admins_roles);
            let mut users = home.principals(&people.key_users, &people.key_users_roles);
            users.extend(people.external_accounts.iter().map(|account| home.account(account)));
            let mut statements = vec![home.root_statement()];
            // A statement without a principal would be refused by AWS.
            if !admins.is_empty() {
                statements.push(administer(&admins));
            }
            if !users.is_empty() {
                statements.extend([use_key(&users), attach(&users)]);
            }
            json!({ "Version": VERSION, "Id": "key-consolepolicy-3", "Statement": statements })
        }
    };
    match made {
        Value::Object(made) => made,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// Refuses names that no policy can hold.
pub(in crate::core) fn check(people: &PolicyPeople) -> Result<(), CoreError> {
    for account in &people.external_accounts {
        if !account.starts_with("arn:aws") {
            aws_names::account("external_accounts", account)?;
        }
    }
    let lists = [
        ("key_admins", &people.key_admins),
        ("key_admins_roles", &people.key_admins_roles),
        ("key_users", &people.key_users),
        ("key_users_roles", &people.key_users_roles),
    ];
    for (field, names) in lists {
        for name in names {
            aws_names::name(field, name)?;
        }
    }
    Ok(())
}

/// Where the key lives.
struct Home<'a> {
    cloud: AwsCloud,
    account: &'a str,
}

impl Home<'_> {
    fn root_statement(&self) -> Value {
        json!({
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": { "AWS": self.account(self.account) },
            "Action": "kms:*",
            "Resource": "*",
        })
    }

    fn principals(&self, users: &[String], roles: &[String]) -> Vec<String> {
        let users = users.iter().map(|user| self.named("user", user));
        users.chain(roles.iter().map(|role| self.named("role", role))).collect()
    }

    /// What is an ARN already stays as it is.
    fn named(&self, kind: &str, name: &str) -> String {
        if name.starts_with("arn:") { name.into() } else { format!("arn:{}:iam::{}:{kind}/{name}", self.cloud.as_str(), self.account) }
    }

    fn account(&self, account: &str) -> String {
        if account.starts_with("arn:") { account.into() } else { format!("arn:{}:iam::{account}:root", self.cloud.as_str()) }
    }
}

fn administer(admins: &[String]) -> Value {
    json!({
        "Sid": "Allow access for Key Administrators",
        "Effect": "Allow",
        "Principal": { "AWS": admins },
        "Action": ADMINISTER,
        "Resource": "*",
    })
}

fn use_key(users: &[String]) -> Value {
    json!({
        "Sid": "Allow use of the key",
        "Effect": "Allow",
        "Principal": { "AWS": users },
        "Action": USE,
        "Resource": "*",
    })
}

fn attach(users: &[String]) -> Value {
    json!({
        "Sid": "Allow attachment of persistent resources",
        "Effect": "Allow",
        "Principal": { "AWS": users },
        "Action": GRANTS,
        "Resource": "*",
        "Condition": { "Bool": { "kms:GrantIsForAWSResource": true } },
    })
}

const VERSION: &str = "2012-10-17";
const ADMINISTER: [&str; 14] = [
    "kms:Create*",
    "kms:Describe*",
    "kms:Enable*",
    "kms:List*",
    "kms:Put*",
    "kms:Update*",
    "kms:Revoke*",
    "kms:Disable*",
    "kms:Get*",
    "kms:Delete*",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:ScheduleKeyDeletion",
    "kms:CancelKeyDeletion",
];
const USE: [&str; 5] = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"];
const GRANTS: [&str; 3] = ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"];

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::entry::Stamps;

    fn template(cloud: AwsCloud, content: PolicyContent) -> PolicyTemplateEntry {
        PolicyTemplateEntry {
            id: Uuid::nil(),
            name: "t".into(),
            account_id: "123456789012".into(),
            kms: None,
            kms_as_sent: None,
            cloud,
            content,
            verified: false,
            stamps: Stamps::default(),
        }
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_default_policy_lets_the_account_do_anything() {
        let made = policy(&template(AwsCloud::Commercial, PolicyContent::Default));
        assert_eq!(made["Id"], "key-default-1");
        let [statement] = made["Statement"].as_array().unwrap().as_slice() else { panic!("{made}") };
        assert_eq!(statement["Principal"]["AWS"], "arn:aws:iam::123456789012:root");
        assert_eq!((&statement["Effect"], &statement["Action"]), (&json!("Allow"), &json!("kms:*")));
    }

    #[test]
    fn people_get_the_four_statements_of_the_contract() {
        let people = PolicyPeople {
            external_accounts: names(&["210987654321"]),
            key_admins: names(&["alice"]),
            key_admins_roles: names(&["ops"]),
            key_users: names(&["arn:aws-cn:iam::123456789012:user/bob"]),
            key_users_roles: names(&["app"]),
        };
        let made = policy(&template(AwsCloud::China, PolicyContent::People(people)));
        assert_eq!(made["Id"], "key-consolepolicy-3");
        let [root, admins, users, grants] = made["Statement"].as_array().unwrap().as_slice() else { panic!("{made}") };
        assert_eq!(root["Principal"]["AWS"], "arn:aws-cn:iam::123456789012:root");
        let home = |rest: &str| format!("arn:aws-cn:iam::123456789012:{rest}");
        assert_eq!(admins["Principal"]["AWS"], json!([home("user/alice"), home("role/ops")]));
        let of_users = json!([home("user/bob"), home("role/app"), "arn:aws-cn:iam::210987654321:root"]);
        assert_eq!((&users["Principal"]["AWS"], &grants["Principal"]["AWS"]), (&of_users, &of_users));
        let words = "Create* Describe* Enable* List* Put* Update* Revoke* Disable* Get* Delete* TagResource UntagResource \
                     ScheduleKeyDeletion CancelKeyDeletion";
        let contract: Vec<_> = words.split_whitespace().map(|word| format!("kms:{word}")).collect();
        assert_eq!(admins["Action"], json!(contract));
        assert_eq!(users["Action"].as_array().unwrap().len(), 5);
        assert_eq!(grants["Condition"]["Bool"]["kms:GrantIsForAWSResource"], json!(true));
    }

    #[test]
    fn a_statement_without_anyone_in_it_is_left_out() {
        let people = PolicyPeople { key_users: names(&["bob"]), ..PolicyPeople::default() };
        let made = policy(&template(AwsCloud::UsGov, PolicyContent::People(people)));
        let sids: Vec<_> = made["Statement"].as_array().unwrap().iter().map(|s| s["Sid"].as_str().unwrap()).collect();
        assert_eq!(sids, ["Enable IAM User Permissions", "Allow use of the key", "Allow attachment of persistent resources"]);
    }
}
