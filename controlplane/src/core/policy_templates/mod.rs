//! Policy templates: key policies that many keys in AWS can have.
//!
//! Always holds: a template's policy is what a client wrote, or made for the people that it names, or the default, never two of these;
//! the people are kept by the names that the client used.

mod policy;

use serde_json::{Map, Value};
use uuid::Uuid;

pub use self::policy::policy;
pub(super) use self::policy::{check, document};
use super::{Core, CoreError, aws_keys, aws_names, kms_containers, write::Plan};
use crate::{
    access::{Manage, Permit, Read},
    clock::now_ns,
    store::{
        ReadError, View,
        entry::{AwsCloud, Entry, EntryChange, EntryName, KeyPolicy, PolicyContent, PolicyPeople, PolicyTemplateEntry, Stamps},
    },
};

/// What a client says of a new template's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTemplate {
    /// Unique, 1–256 characters.
    pub name: Option<String>,
    /// 12 digits; none: its KMS container's.
    pub account_id: Option<String>,
    /// The KMS container's name or id.
    pub kms: Option<String>,
    /// What the policy is to say; nothing: the default policy.
    pub content: GivenContent,
}

/// What a client says of a policy. A list that is given replaces the one before, and an empty one clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenContent {
    /// The policy itself; clears all lists.
    pub policy: Option<Map<String, Value>>,
    /// Other AWS accounts that may use the key.
    pub external_accounts: Option<Vec<String>>,
    /// Users that administer it.
    pub key_admins: Option<Vec<String>>,
    /// Roles that administer it.
    pub key_admins_roles: Option<Vec<String>>,
    /// Users that use it.
    pub key_users: Option<Vec<String>>,
    /// Roles that use it.
    pub key_users_roles: Option<Vec<String>>,
}

impl Core {
    /// Keeps a new template.
    ///
    /// # Errors
    /// [`CoreError::Invalid`]; [`CoreError::NotFound`] for the KMS container; [`CoreError::Exists`] for the name.
    pub async fn create_policy_template(&self, permit: &Permit<Manage>, given: NewTemplate) -> Result<PolicyTemplateEntry, CoreError> {
        let id = Uuid::new_v4();
        let plan = |view: &View| {
            let entry = new(view, id, &given)?;
            if view.policy_templates()?.iter().any(|other| other.name == entry.name) {
                return Err(CoreError::Exists { what: "policy template", name: entry.name });
            }
            Ok(put(entry))
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// All templates.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn policy_templates(&self, _permit: &Permit<Read>) -> Result<Vec<PolicyTemplateEntry>, CoreError> {
        Ok(self.view().await?.policy_templates()?)
    }

    /// A template by its id or name.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn policy_template(&self, _permit: &Permit<Read>, wanted: &str) -> Result<PolicyTemplateEntry, CoreError> {
        find(&self.view().await?, wanted)
    }

    /// Changes what a template's policy says, and with `push` that of all keys in AWS that carry it, which is the only way once one has.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::Invalid`]; [`CoreError::Aws`] of the first key that AWS did not give the policy to: the template
    /// is changed then.
    pub async fn change_policy_template(
        &self,
        permit: &Permit<Manage>,
        wanted: &str,
        (given, push): (GivenContent, bool),
    ) -> Result<PolicyTemplateEntry, CoreError> {
        let plan = |view: &View| {
            let entry = find(view, wanted)?;
            let content = content(entry.content.clone(), given.clone())?;
            if entry.verified && !push && content != entry.content {
                return Err(CoreError::invalid("auto_push", "must be true: keys in AWS have had the template's policy"));
            }
            let stamps = entry.stamps.touched(now_ns());
            let mut plan = put(PolicyTemplateEntry { content, stamps, ..entry });
            if push {
                // After a crash they are given it all the same.
                plan.changes.extend(aws_keys::to_be_given(view, plan.answer.id)?);
            }
            Ok(plan)
        };
        let (template, _) = self.writer.change(permit.trail(), plan).await?;
        if push {
            self.push_template(permit.trail(), template.id).await?;
        }
        Ok(template)
    }

    /// Deletes a template.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] while a key has it.
    pub async fn delete_policy_template(&self, permit: &Permit<Manage>, wanted: &str) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let entry = find(view, wanted)?;
            if in_use(view, entry.id)? {
                // Clients look for these words.
                return Err(CoreError::State(format!("policy template {} has one or more key associated with it", entry.name)));
            }
            Ok(Plan { changes: vec![EntryChange::Delete(EntryName::PolicyTemplate(entry.id))], answer: () })
        };
        self.writer.change(permit.trail(), plan).await?;
        Ok(())
    }
}

/// A template by its id or name.
pub(super) fn find(view: &View, wanted: &str) -> Result<PolicyTemplateEntry, CoreError> {
    if let Some(found) = Uuid::try_parse(wanted).ok().map(|id| view.policy_template(id)).transpose()?.flatten() {
        return Ok(found);
    }
    view.policy_templates()?.into_iter().find(|entry| entry.name == wanted).ok_or(CoreError::NotFound("policy template"))
}

/// Whether a key in AWS carries the template, or a HYOK key that is not linked was made with it.
pub(super) fn in_use(view: &View, id: Uuid) -> Result<bool, ReadError> {
    if view.aws_keys()?.iter().any(|key| aws_keys::carries(key, id)) {
        return Ok(true);
    }
    for store in view.key_stores()? {
        for key in view.hyok_keys(store.id)? {
            // What a linked one was made with is in AWS, or is there no more.
            if key.for_aws.policy == KeyPolicy::Template(id) && view.aws_key(key.id.0)?.is_none() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn new(view: &View, id: Uuid, given: &NewTemplate) -> Result<PolicyTemplateEntry, CoreError> {
    let name = given.name.clone().ok_or_else(|| CoreError::invalid("name", "is missing"))?;
    aws_names::name("name", &name)?;
    let kms = given.kms.as_deref().map(|kms| kms_containers::find(view, kms)).transpose()?;
    let account_id = match (given.account_id.clone(), &kms) {
        (Some(account), Some(kms)) if account != kms.account_id => {
            return Err(CoreError::invalid("account_id", "is not the account of the KMS container"));
        }
        (Some(account), _) => account,
        (None, Some(kms)) => kms.account_id.clone(),
        (None, None) => return Err(CoreError::invalid("kms", "is missing; give kms or account_id")),
    };
    aws_names::account("account_id", &account_id)?;
    Ok(PolicyTemplateEntry {
        id,
        name,
        account_id,
        kms: kms.as_ref().map(|kms| kms.id),
        kms_as_sent: given.kms.clone(),
        cloud: kms.map_or_else(AwsCloud::default, |kms| kms.cloud),
        content: content(PolicyContent::Default, given.content.clone())?,
        verified: false,
        stamps: Stamps::new(now_ns()),
    })
}

/// What a policy says after a change.
fn content(old: PolicyContent, given: GivenContent) -> Result<PolicyContent, CoreError> {
    let GivenContent { policy, external_accounts, key_admins, key_admins_roles, key_users, key_users_roles } = given;
    let before = match &old {
        PolicyContent::People(people) => people.clone(),
        PolicyContent::Default | PolicyContent::Given(_) => PolicyPeople::default(),
    };
    let lists = [&external_accounts, &key_admins, &key_admins_roles, &key_users, &key_users_roles];
    let named = lists.iter().any(|list| list.as_ref().is_some_and(|list| !list.is_empty()));
    let people = PolicyPeople {
        external_accounts: external_accounts.unwrap_or(before.external_accounts),
        key_admins: key_admins.unwrap_or(before.key_admins),
        key_admins_roles: key_admins_roles.unwrap_or(before.key_admins_roles),
        key_users: key_users.unwrap_or(before.key_users),
        key_users_roles: key_users_roles.unwrap_or(before.key_users_roles),
    };
    match (policy, old) {
        (Some(_), _) if named => Err(CoreError::invalid("Policy", "can't be given together with lists of accounts, users or roles")),
        (Some(policy), _) if policy.is_empty() => Err(CoreError::invalid("Policy", "must not be empty")),
        (Some(policy), _) => Ok(PolicyContent::Given(policy)),
        (None, given @ PolicyContent::Given(_)) if !named => Ok(given),
        (None, PolicyContent::Given(_) | PolicyContent::Default | PolicyContent::People(_)) => {
            policy::check(&people)?;
            Ok(if people.is_empty() { PolicyContent::Default } else { PolicyContent::People(people) })
        }
    }
}

fn put(entry: PolicyTemplateEntry) -> Plan<PolicyTemplateEntry> {
    Plan { changes: vec![EntryChange::put(Entry::PolicyTemplate(entry.clone()))], answer: entry }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admins(names: &[&str]) -> GivenContent {
        GivenContent { key_admins: Some(names.iter().map(ToString::to_string).collect()), ..GivenContent::default() }
    }

    fn written() -> GivenContent {
        let Value::Object(policy) = json!({"Version": "2012-10-17"}) else { unreachable!() };
        GivenContent { policy: Some(policy), ..GivenContent::default() }
    }

    #[test]
    fn a_written_policy_clears_the_lists_and_lists_clear_it() {
        let nothing = GivenContent::default;
        let people = content(PolicyContent::Default, admins(&["alice"])).unwrap();
        let PolicyContent::People(PolicyPeople { key_admins, .. }) = &people else { panic!("{people:?}") };
        assert_eq!(key_admins, &["alice"]);
        let given = content(people.clone(), written()).unwrap();
        assert!(matches!(given, PolicyContent::Given(_)));
        assert_eq!(content(given.clone(), admins(&["alice"])).unwrap(), people);
        assert_eq!(content(given.clone(), nothing()).unwrap(), given);
        assert_eq!(content(given.clone(), admins(&[])).unwrap(), given);
        assert_eq!(content(people.clone(), nothing()).unwrap(), people);
        assert_eq!(content(people, admins(&[])).unwrap(), PolicyContent::Default);
    }

    #[test]
    fn a_list_that_is_not_given_stays_and_both_at_once_are_refused() {
        let people = content(PolicyContent::Default, admins(&["alice"])).unwrap();
        let more = GivenContent { key_users_roles: Some(vec!["r".into()]), ..GivenContent::default() };
        let PolicyContent::People(both) = content(people, more).unwrap() else { panic!("no people") };
        assert_eq!((both.key_admins.as_slice(), both.key_users_roles.as_slice()), (&["alice".to_owned()][..], &["r".to_owned()][..]));
        let clash = GivenContent { policy: written().policy, ..admins(&["alice"]) };
        assert!(matches!(content(PolicyContent::Default, clash), Err(CoreError::Invalid { field: "Policy", .. })));
        // A client sends empty lists beside the policy that replaces them.
        let cleared = GivenContent { policy: written().policy, ..admins(&[]) };
        assert!(matches!(content(PolicyContent::Default, cleared), Ok(PolicyContent::Given(_))));
    }
}
