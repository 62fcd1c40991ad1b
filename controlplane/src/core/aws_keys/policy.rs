//! Key policies: where they come from, how they get to AWS, and which keys carry a template's.
//!
//! Always holds: a key carries the tag of the template that its policy came from, and no other; a policy that AWS was not seen to take is
//! put again, since that does no harm.

use aws_sdk_kms::{Client, types::Tag as TagInAws};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{AnyKey, create::look_for, deletion::is_pending, describe::put_told, for_aws, in_aws, steps::may_be_done};
use crate::{
    access::{Manage, Permit, Trail},
    aws::AwsError,
    clock::now_ns,
    core::{Core, CoreError, policy_templates},
    store::{
        ReadError, View,
        entry::{AwsKeyEntry, Entry, EntryChange, ForAws, KeyInAws, KeyPolicy, KeyStep, KmsContainerEntry},
    },
};

impl Core {
    /// Gives a key another policy: its own, or a template's (id or name).
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`, also for the template; `Invalid`; `State` for a key that is not linked; `Aws`.
    pub async fn set_key_policy(
        &self,
        permit: &Permit<Manage>,
        id: Uuid,
        (policy, template, bypass_lockout_check): (KeyPolicy, Option<String>, bool),
    ) -> Result<AnyKey, CoreError> {
        for_aws::content(&policy)?;
        let policy = for_aws::policy(&self.view().await?, policy, template.as_deref())?;
        self.give_policy(permit.trail(), id, (&policy, bypass_lockout_check)).await?;
        self.any_key(id).await
    }

    /// Has all keys that carry a template get its policy as it is now.
    ///
    /// # Errors
    /// The first of those of [`Core::set_key_policy`], after all were tried.
    pub(in crate::core) async fn push_template(&self, trail: &Trail, template: Uuid) -> Result<(), CoreError> {
        let carrying: Vec<Uuid> = {
            let view = self.view().await?;
            changeable(&view, template)?.into_iter().map(|key| key.id).collect()
        };
        let mut pushed = Ok(());
        for id in carrying {
            let given = self.give_policy(trail, id, (&KeyPolicy::Template(template), false)).await;
            pushed = pushed.and(given);
        }
        pushed
    }

    async fn give_policy(&self, trail: &Trail, id: Uuid, (policy, bypass_lockout_check): (&KeyPolicy, bool)) -> Result<(), CoreError> {
        let turn = self.keys_at_work.turn(id).await;
        let step = KeyStep::SetPolicy { policy: policy.clone(), bypass_lockout_check };
        let begun = {
            let (entry, _) = in_aws(&self.view().await?, id)?;
            entry.doing.as_ref() == Some(&step)
        };
        if !begun {
            self.begin(trail, id, &step).await?;
        }
        let put = self.put_policy(trail, id, (policy, bypass_lockout_check)).await;
        self.ended(trail, (id, turn), put).await
    }

    /// Does what [`KeyStep::SetPolicy`] says, and looks what became of it. The caller has the key's turn.
    pub(super) async fn put_policy(
        &self,
        trail: &Trail,
        id: Uuid,
        (policy, bypass_lockout_check): (&KeyPolicy, bool),
    ) -> Result<(), CoreError> {
        let (kms, told, document) = {
            let view = self.view().await?;
            let (entry, told) = in_aws(&view, id)?;
            let container = view.kms_container(entry.kms)?.ok_or(CoreError::NotFound("KMS container"))?;
            let document = policy_of(&view, &ForAws { policy: policy.clone(), ..ForAws::default() }, &container)?;
            (self.kms_of(&view, &entry)?, told, Value::Object(document).to_string())
        };
        let asked = kms.put_key_policy().key_id(&told.key_id).policy_name("default").policy(document);
        let asked = asked.bypass_policy_lockout_safety_check(bypass_lockout_check).send().await;
        asked.map_err(AwsError::of("KMS PutKeyPolicy"))?;
        let tagged = tag_template(&kms, &told, policy).await;
        if let Err(error) = &tagged
            && may_be_done(&CoreError::Aws(error.clone()))
        {
            return tagged.map_err(CoreError::from);
        }
        let told = look_for(&kms, &told.key_id, |_| true).await?;
        let kept = |entry: &mut AwsKeyEntry| {
            put_told(entry, told.as_ref());
            entry.doing = None;
            entry.failure = tagged.as_ref().err().map(ToString::to_string);
            entry.for_aws.policy = policy.clone();
        };
        self.keep_told(trail, id, &kept).await?;
        Ok(tagged?)
    }
}

/// The policy that a key is to have in AWS; never empty.
///
/// # Errors
/// [`CoreError::NotFound`] for its template.
pub fn policy_of(view: &View, for_aws: &ForAws, kms: &KmsContainerEntry) -> Result<Map<String, Value>, CoreError> {
    Ok(match &for_aws.policy {
        KeyPolicy::Own(content) => policy_templates::document((kms.cloud, &kms.account_id), content),
        KeyPolicy::Template(id) => {
            let template = view.policy_template(*id)?.ok_or(CoreError::NotFound("policy template"))?;
            policy_templates::document((template.cloud, &template.account_id), &template.content)
        }
    })
}

/// Whether a key in AWS carries a template's policy; one whose deletion waits, too.
pub(in crate::core) fn carries(key: &AwsKeyEntry, template: Uuid) -> bool {
    match key.in_aws() {
        Some(told) => told.tags.iter().any(|tag| tag.key == TEMPLATE_TAG && Uuid::try_parse(&tag.value) == Ok(template)),
        // It is being made with it.
        None => key.doing.is_some() && key.for_aws.policy == KeyPolicy::Template(template),
    }
}

/// The changes that say of all keys that carry a template that they are to be given its policy anew, but for those that are worked on.
pub(in crate::core) fn to_be_given(view: &View, template: Uuid) -> Result<Vec<EntryChange>, ReadError> {
    let idle = changeable(view, template)?.into_iter().filter(|key| key.doing.is_none());
    let step = KeyStep::SetPolicy { policy: KeyPolicy::Template(template), bypass_lockout_check: false };
    // A failure of before says nothing of this step.
    let begun = |key: AwsKeyEntry| AwsKeyEntry { doing: Some(step.clone()), failure: None, stamps: key.stamps.touched(now_ns()), ..key };
    Ok(idle.map(|key| EntryChange::put(Entry::AwsKey(Box::new(begun(key))))).collect())
}

/// The keys that carry a template and that AWS lets change: not one that it is to delete.
fn changeable(view: &View, template: Uuid) -> Result<Vec<AwsKeyEntry>, ReadError> {
    let alive = |key: &AwsKeyEntry| key.in_aws().is_some_and(|told| !is_pending(told));
    Ok(view.aws_keys()?.into_iter().filter(|key| alive(key) && carries(key, template)).collect())
}

/// Has a key carry the tag of its policy's template, or none.
async fn tag_template(kms: &Client, told: &KeyInAws, policy: &KeyPolicy) -> Result<(), AwsError> {
    let has = told.tags.iter().find(|tag| tag.key == TEMPLATE_TAG).map(|tag| tag.value.as_str());
    let wanted = match policy {
        KeyPolicy::Template(id) => Some(id.to_string()),
        KeyPolicy::Own(_) => None,
    };
    match (has, wanted) {
        (Some(has), Some(wanted)) if has == wanted => Ok(()),
        (None, None) => Ok(()),
        (Some(_) | None, Some(wanted)) => {
            let tag = TagInAws::builder().tag_key(TEMPLATE_TAG).tag_value(wanted).build();
            let asked = kms.tag_resource().key_id(&told.key_id).set_tags(tag.ok().map(|tag| vec![tag])).send().await;
            asked.map(drop).map_err(AwsError::of("KMS TagResource"))
        }
        (Some(_), None) => {
            let asked = kms.untag_resource().key_id(&told.key_id).tag_keys(TEMPLATE_TAG).send().await;
            asked.map(drop).map_err(AwsError::of("KMS UntagResource"))
        }
    }
}

/// The tag that names the policy template of a key.
pub const TEMPLATE_TAG: &str = "cckm_policy_template_id";
