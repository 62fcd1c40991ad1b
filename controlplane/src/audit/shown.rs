//! How the audit file names entries, and which of their members it does not show.
//!
//! Always holds: a kind of entry without a row in both tables does not compile. Beside what the table says, any member whose name sounds
//! like a secret is hidden, so that one that is added later is not shown by mistake.

use serde_json::{Map, Value};

use crate::store::entry::{Entry, EntryName};

/// An entry's kind and its id within that kind.
pub(super) fn kind_and_id(name: &EntryName) -> (&'static str, String) {
    match name {
        EntryName::KeyStore(id) => ("key_store", id.to_string()),
        EntryName::Credential(_, id) => ("credential", id.to_string()),
        EntryName::HyokKey(_, id) => ("key", id.to_string()),
        EntryName::KeyPlace(id) => ("key_place", id.to_string()),
        EntryName::ExternalId(store, id) => ("external_id", format!("{store}/{id}")),
        EntryName::VirtualKey(id) => ("virtual_key", id.to_string()),
        EntryName::SourceKey(id) => ("source_key", id.to_string()),
        EntryName::Node(name) => ("node", name.to_string()),
        EntryName::User(name) => ("user", name.to_string()),
        EntryName::Demo => ("demo", String::new()),
        EntryName::NodeSeen(name) => ("node_seen", name.to_string()),
        EntryName::Count(key, version, node) => ("count", format!("{key}/{version}/{node}")),
        EntryName::CredentialUsed(_, id) => ("credential_used", id.to_string()),
        EntryName::ApiToken(id) => ("api_token", id.to_string()),
        EntryName::SignIns(id) => ("sign_ins", id.to_string()),
        EntryName::SigningKey(id) => ("signing_key", id.to_string()),
        EntryName::TokenUsed(id) => ("token_used", id.to_string()),
        EntryName::AwsConnection(id) => ("aws_connection", id.to_string()),
        EntryName::KmsContainer(id) => ("kms_container", id.to_string()),
        EntryName::PolicyTemplate(id) => ("policy_template", id.to_string()),
        EntryName::JobConfig(id) => ("job_config", id.to_string()),
        EntryName::HsmServer(id) => ("hsm_server", id.to_string()),
        EntryName::HsmConnection(id) => ("hsm_connection", id.to_string()),
        EntryName::Partition(id) => ("partition", id.to_string()),
        EntryName::AwsKeyStore(id) => ("aws_key_store", id.to_string()),
        EntryName::AwsKey(id) => ("aws_key", id.to_string()),
        EntryName::SyncJob(id) => ("synchronization_job", id.to_string()),
        EntryName::JobRan(id) => ("job_ran", id.to_string()),
        EntryName::ConnectionUsed(id) => ("aws_connection_used", id.to_string()),
    }
}

/// Puts [`HIDDEN`] where an entry's secrets are: sealed, hashed or wrapped, none belongs in a log.
pub(super) fn hide(entry: &Entry, members: &mut Map<String, Value>) {
    for path in secrets(entry) {
        hide_at(path, members);
    }
    members.iter_mut().for_each(|(name, value)| hide_by_name(name, value));
}

/// Paths of an entry's members that are not shown.
const fn secrets(entry: &Entry) -> &'static [&'static [&'static str]] {
    match entry {
        Entry::Credential(_) | Entry::SigningKey(_) => &[&["secret"]],
        Entry::AwsConnection(_) => &[&["secret"], &["role_anywhere", "private_key"]],
        Entry::SourceKey(_) => &[&["key", "local", "sealed"]],
        Entry::User(_) => &[&["password_hash"]],
        Entry::ApiToken(_) => &[&["hash"]],
        Entry::Demo(_) => &[&["credential", "secret"]],
        Entry::KeyStore(_)
        | Entry::HyokKey(_)
        | Entry::KeyPlace(_)
        | Entry::ExternalId(_)
        | Entry::VirtualKey(_)
        | Entry::Node(_)
        | Entry::NodeSeen(_)
        | Entry::Count(_)
        | Entry::CredentialUsed(_)
        | Entry::TokenUsed(_)
        // What is secret in it is in a list, and hidden by its name.
        | Entry::SignIns(_)
        | Entry::KmsContainer(_)
        | Entry::PolicyTemplate(_)
        | Entry::JobConfig(_)
        | Entry::AwsKeyStore(_)
        | Entry::AwsKey(_)
        | Entry::SyncJob(_)
        | Entry::JobRan(_)
        | Entry::ConnectionUsed(_)
        | Entry::HsmServer(_)
        | Entry::HsmConnection(_)
        | Entry::Partition(_) => &[],
    }
}

fn hide_at(path: &[&str], members: &mut Map<String, Value>) {
    match path {
        [] => {}
        [last] => {
            if let Some(value) = members.get_mut(*last).filter(|value| !value.is_null()) {
                *value = HIDDEN.into();
            }
        }
        [first, rest @ ..] => {
            if let Some(Value::Object(members)) = members.get_mut(*first) {
                hide_at(rest, members);
            }
        }
    }
}

fn hide_by_name(name: &str, value: &mut Value) {
    // "access_key_id" is no secret, and "secret_id" of something would name one, no more; better hidden than sorry.
    let telling = ["secret", "password", "sealed", "hash", "private"];
    match value {
        Value::Null => {}
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Array(_) if telling.iter().any(|word| name.contains(word)) => {
            *value = HIDDEN.into();
        }
        Value::Object(members) => members.iter_mut().for_each(|(name, value)| hide_by_name(name, value)),
        Value::Array(values) => values.iter_mut().for_each(|value| hide_by_name("", value)),
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {}
    }
}

/// What stands for a secret.
const HIDDEN: &str = "***";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_whose_names_sound_like_secrets_are_hidden_wherever_they_are() {
        let mut value = json!({"access_key_id": "A", "parts": [{"token_hash": [1, 2], "group": "g"}], "a": {"secret_access_key": "S"}, "private_key": null});
        hide_by_name("", &mut value);
        let expected = json!({"access_key_id": "A", "parts": [{"token_hash": "***", "group": "g"}], "a": {"secret_access_key": "***"}, "private_key": null});
        assert_eq!(value, expected);
    }
}
