//! What AWS tells of keys, put into their entries.
//!
//! Always holds: an entry changes only where AWS tells something new, so that its times stay as they are.

use aws_sdk_kms::Client;
use uuid::Uuid;

use super::{NOT_FOUND, carries, create::look_for, deletion::is_pending, in_aws, material::settle_source};
use crate::{
    access::Trail,
    aws::{self, AwsError},
    clock::now_ns,
    core::{Core, CoreError, write::Plan},
    store::{
        View,
        entry::{AwsKeyEntry, Entry, EntryChange, KeyInAws, KeyPolicy, PolicyTemplateEntry},
    },
};

impl Core {
    /// KMS where a key is, as its container would have it asked.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] for the container; those of its connection.
    pub(in crate::core) fn kms_of(&self, view: &View, key: &AwsKeyEntry) -> Result<Client, CoreError> {
        let container = view.kms_container(key.kms)?.ok_or(CoreError::NotFound("KMS container"))?;
        Ok(self.aws.kms(&self.account_of(view, &container)?, &key.region))
    }

    /// Asks AWS how a key stands and keeps that. A key that AWS has no more is gone from then on.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for a key that is not linked; [`CoreError::Aws`].
    pub(crate) async fn refresh_aws_key(&self, trail: &Trail, id: Uuid) -> Result<AwsKeyEntry, CoreError> {
        let (kms, known) = {
            let view = self.view().await?;
            let (entry, told) = in_aws(&view, id)?;
            (self.kms_of(&view, &entry)?, told)
        };
        let told = look_at_known(&kms, &known).await?;
        self.keep_told(trail, id, &|entry| put_told(entry, told.as_ref())).await
    }

    /// Changes a key's entry. Nothing is committed where nothing but the time of the look would be new.
    ///
    /// # Errors
    /// [`CoreError::NotFound`], and those of writing.
    pub(in crate::core) async fn keep_told(
        &self,
        trail: &Trail,
        id: Uuid,
        change: &(dyn Fn(&mut AwsKeyEntry) + Send + Sync),
    ) -> Result<AwsKeyEntry, CoreError> {
        let plan = |view: &View| {
            let before = view.aws_key(id)?.ok_or(NOT_FOUND)?;
            let mut entry = before.clone();
            change(&mut entry);
            let mut plan = kept(&before, entry);
            // A template that a key has had is not changed any more without its keys.
            if let KeyPolicy::Template(id) = plan.answer.for_aws.policy
                && carries(&plan.answer, id)
                && let Some(template) = view.policy_template(id)?.filter(|template| !template.verified)
            {
                let template = PolicyTemplateEntry { verified: true, stamps: template.stamps.touched(now_ns()), ..template };
                plan.changes.push(EntryChange::put(Entry::PolicyTemplate(template)));
            }
            Ok(plan)
        };
        Ok(self.writer.change(trail, plan).await?.0)
    }
}

/// How a key stands in AWS; none: AWS has it not.
pub(in crate::core) async fn look(kms: &Client, key_id: &str) -> Result<Option<KeyInAws>, AwsError> {
    match aws::keys::describe(kms, key_id).await {
        Ok(told) => Ok(Some(told)),
        Err(error) if error.is("NotFoundException") => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same of a key that AWS had. That it has it no more is believed when it is said again and again, and of a new key not at all unless its
/// deletion was waited for: AWS may take a while to know of it everywhere.
///
/// # Errors
/// [`CoreError::Unavailable`] for a new key that AWS does not tell of; [`CoreError::Aws`].
pub(in crate::core) async fn look_at_known(kms: &Client, known: &KeyInAws) -> Result<Option<KeyInAws>, CoreError> {
    let told = look_for(kms, &known.key_id, |_| true).await?;
    if told.is_none() && may_lag(known) {
        return Err(CoreError::Unavailable("AWS does not tell of a key that is new".into()));
    }
    Ok(told)
}

/// Puts in what [`look`] found. What AWS has not is gone, but for a key that may only be too new for AWS to know of it everywhere.
pub(in crate::core) fn put_told(entry: &mut AwsKeyEntry, told: Option<&KeyInAws>) {
    match told {
        Some(told) => *entry = with_told(entry, told),
        None if entry.told.as_ref().is_some_and(|known| !may_lag(known)) => entry.vanished(),
        None => entry.gone = false,
    }
}

/// A new key of which AWS may not know everywhere yet; its deletion takes days, and what waits for it may go at any time.
pub(super) fn may_lag(known: &KeyInAws) -> bool {
    !is_pending(known) && now_ns() < known.created_ns.saturating_add(NEW_NS)
}

pub(super) fn with_told(entry: &AwsKeyEntry, told: &KeyInAws) -> AwsKeyEntry {
    let current = |told: &KeyInAws| told.key_material_id.clone();
    let before = entry.told.as_ref().and_then(current);
    let mut after = AwsKeyEntry { told: Some(told.clone()), gone: false, ..entry.clone() };
    // Whoever had it rotated may not have lived to write it down.
    if before.is_some() && current(told).is_some_and(|now| Some(now) != before) {
        after.rotated_ns = Some(now_ns());
    }
    settle_source(&mut after, None);
    after
}

/// What is committed where an entry is not what it was.
pub(super) fn kept(before: &AwsKeyEntry, mut entry: AwsKeyEntry) -> Plan<AwsKeyEntry> {
    if entry == *before {
        return Plan { changes: Vec::new(), answer: entry };
    }
    entry.synced_ns = now_ns().max(entry.synced_ns);
    entry.stamps = entry.stamps.touched(now_ns());
    Plan { changes: vec![EntryChange::put(Entry::AwsKey(Box::new(entry.clone())))], answer: entry }
}

/// How long a key is new: KMS is the same everywhere after some minutes at most (KMS Developer Guide, eventual consistency).
const NEW_NS: u64 = 180_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::aws_keys::Place,
        store::entry::{AwsKeyKind, ForAws},
    };

    #[test]
    fn a_key_that_is_new_is_not_gone_because_aws_does_not_tell_of_it_unless_it_waits_for_its_deletion() {
        let gone = |created_ns, state: &str| {
            let place = Place { kms: Uuid::nil(), region: "us-east-1" };
            let told = Some(KeyInAws { created_ns, state: state.into(), ..KeyInAws::default() });
            let mut entry = AwsKeyEntry { told, ..AwsKeyEntry::new(Uuid::nil(), place, AwsKeyKind::Native, ForAws::default()) };
            put_told(&mut entry, None);
            entry.gone
        };
        assert!(!gone(now_ns(), "Enabled") && gone(now_ns(), "PendingDeletion") && gone(now_ns() - NEW_NS, "Enabled"));
    }

    #[test]
    fn a_key_that_aws_has_no_more_is_told_as_it_was_but_without_aliases() {
        let told = KeyInAws { key_id: "k".into(), aliases: vec!["alias/a".into()], ..KeyInAws::default() };
        let place = Place { kms: Uuid::nil(), region: "us-east-1" };
        let mut entry = AwsKeyEntry::new(Uuid::nil(), place, AwsKeyKind::Native, ForAws::default());
        put_told(&mut entry, None);
        assert!(!entry.gone, "AWS never had it");
        put_told(&mut entry, Some(&told));
        put_told(&mut entry, None);
        assert_eq!((entry.gone, entry.told), (true, Some(KeyInAws { aliases: Vec::new(), ..told })));
    }

    #[test]
    fn material_that_is_another_than_before_was_rotated_by_whomever() {
        let with = |id: Option<&str>| KeyInAws { key_material_id: id.map(str::to_owned), ..KeyInAws::default() };
        let place = Place { kms: Uuid::nil(), region: "us-east-1" };
        let new = AwsKeyEntry::new(Uuid::nil(), place, AwsKeyKind::Native, ForAws::default());
        let first = with_told(&with_told(&new, &with(None)), &with(Some("a")));
        assert_eq!((first.rotated_ns, with_told(&first, &with(Some("a"))).rotated_ns), (None, None));
        assert_eq!(with_told(&first, &with(None)).rotated_ns, None, "it was deleted");
        assert!(with_told(&first, &with(Some("b"))).rotated_ns.is_some());
    }
}
