//! What is done to a key in AWS that is told of at once: its state, aliases, tags, description and deletion.
//!
//! Always holds: an action is over when AWS shows what it was to bring about; one that AWS may have done and does not show is left as
//! `doing`, and its caller is told that it failed.

use aws_sdk_kms::{Client, types::Tag as TagInAws};
use uuid::Uuid;

use super::{AnyKey, OUR_TAG, create::look_for, deletion, describe::may_lag, for_aws, in_aws, steps::undone};
use crate::{
    access::{Manage, Permit, Trail, Use},
    aws::{AwsError, AwsFault},
    core::{Core, CoreError},
    store::entry::{AwsKeyEntry, KeyInAws, KeyStep, Tag},
};

/// What is to be done to a key in AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAction {
    /// EnableKey.
    Enable,
    /// DisableKey.
    Disable,
    /// CreateAlias: without its `alias/`.
    AddAlias(String),
    /// DeleteAlias: without its `alias/`.
    DeleteAlias(String),
    /// TagResource.
    AddTags(Vec<Tag>),
    /// UntagResource: the tags' keys.
    RemoveTags(Vec<String>),
    /// UpdateKeyDescription.
    Describe(String),
    /// ScheduleKeyDeletion: in so many days.
    ScheduleDeletion(u32),
    /// CancelKeyDeletion.
    CancelDeletion,
}

impl Core {
    /// Lets AWS use a key, or no longer. Doing it twice is no error.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State` for a key that is not linked; `Aws`.
    pub async fn set_aws_key_enabled(&self, permit: &Permit<Use>, id: Uuid, enabled: bool) -> Result<AnyKey, CoreError> {
        let action = if enabled { KeyAction::Enable } else { KeyAction::Disable };
        self.act_in_aws(permit.trail(), id, &action).await
    }

    /// Does something to a key in AWS.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `Invalid`; `State` for a key that is not linked, or is to be deleted twice; `Aws`.
    pub async fn change_aws_key(&self, permit: &Permit<Manage>, id: Uuid, action: KeyAction) -> Result<AnyKey, CoreError> {
        self.act_in_aws(permit.trail(), id, &action).await
    }

    async fn act_in_aws(&self, trail: &Trail, id: Uuid, action: &KeyAction) -> Result<AnyKey, CoreError> {
        action.check()?;
        let turn = self.keys_at_work.turn(id).await;
        let (kms, told) = {
            let view = self.view().await?;
            if matches!(action, KeyAction::ScheduleDeletion(_)) && view.aws_key(id)?.is_some_and(|entry| entry.gone) {
                return Err(CoreError::State(DELETED.into()));
            }
            let (entry, told) = in_aws(&view, id)?;
            (self.kms_of(&view, &entry)?, told)
        };
        action.allowed(&told)?;
        if let KeyAction::DeleteAlias(alias) = action {
            is_alias_of(&kms, alias, &told.key_id).await?;
        }
        self.begin(trail, id, &KeyStep::Change).await?;
        let asked = action.ask(&kms, &told.key_id).await;
        let (sure, refused) = match asked {
            Ok(()) => (true, None),
            Err(error) => (!error.may_be_done(), Some(error)),
        };
        let looked = look_for(&kms, &told.key_id, |told| refused.is_some() || action.shows(told)).await;
        let refused = match (&looked, refused) {
            // What an earlier try of the network's did: AWS refuses to do the same again, each by another name.
            (Ok(Some(now)), Some(error)) if action.shows(now) && (!sure || error.is("AlreadyExistsException") || !action.shows(&told)) => {
                None
            }
            (_, refused) => refused,
        };
        // It is done, and AWS does not let it be seen.
        let unseen = looked.as_ref().err().filter(|_| refused.is_none()).map(ToString::to_string);
        let blind = looked.as_ref().is_err_and(|error| error.fault == AwsFault::Refused);
        let kept = |entry: &mut AwsKeyEntry| match &looked {
            Ok(told) => undone(entry, told.as_ref()),
            // As it was, since AWS did nothing.
            Err(_) => (entry.doing, entry.failure) = (None, unseen.clone()),
        };
        if looked.is_ok() || (refused.is_some() && sure) || (refused.is_none() && blind) {
            self.keep_told(trail, id, &kept).await?;
            turn.done();
        }
        match (refused, looked) {
            (Some(error), Ok(None))
                if matches!(action, KeyAction::ScheduleDeletion(_)) && error.is("NotFoundException") && !may_lag(&told) =>
            {
                Err(CoreError::State(DELETED.into()))
            }
            (Some(error), _) | (None, Err(error)) => Err(error.into()),
            (None, Ok(_)) => self.any_key(id).await,
        }
    }
}

impl KeyAction {
    fn check(&self) -> Result<(), CoreError> {
        match self {
            Self::Enable | Self::Disable | Self::CancelDeletion => Ok(()),
            Self::AddAlias(alias) | Self::DeleteAlias(alias) => for_aws::alias("alias", alias),
            Self::AddTags(tags) if tags.is_empty() => Err(CoreError::invalid("tags", "must name at least one")),
            Self::AddTags(tags) => for_aws::tags("tags", tags),
            Self::RemoveTags(keys) if keys.is_empty() => Err(CoreError::invalid("tags", "must name at least one")),
            Self::RemoveTags(keys) => keys.iter().try_for_each(|key| for_aws::tag_key("tags", key)),
            Self::Describe(text) => for_aws::description(text),
            Self::ScheduleDeletion(days) => deletion::window(*days),
        }
    }

    fn allowed(&self, told: &KeyInAws) -> Result<(), CoreError> {
        match self {
            Self::ScheduleDeletion(_) if deletion::is_pending(told) => {
                // Clients look for these words.
                Err(CoreError::State(format!("the key {} is pending deletion", told.arn)))
            }
            Self::Enable
            | Self::Disable
            | Self::AddAlias(_)
            | Self::DeleteAlias(_)
            | Self::AddTags(_)
            | Self::RemoveTags(_)
            | Self::Describe(_)
            | Self::ScheduleDeletion(_)
            | Self::CancelDeletion => Ok(()),
        }
    }

    async fn ask(&self, kms: &Client, id: &str) -> Result<(), AwsError> {
        match self {
            Self::Enable => kms.enable_key().key_id(id).send().await.map(drop).map_err(AwsError::of("KMS EnableKey")),
            Self::Disable => kms.disable_key().key_id(id).send().await.map(drop).map_err(AwsError::of("KMS DisableKey")),
            Self::AddAlias(alias) => {
                let asked = kms.create_alias().alias_name(format!("alias/{alias}")).target_key_id(id).send().await;
                asked.map(drop).map_err(AwsError::of("KMS CreateAlias"))
            }
            Self::DeleteAlias(alias) => {
                let asked = kms.delete_alias().alias_name(format!("alias/{alias}")).send().await;
                asked.map(drop).map_err(AwsError::of("KMS DeleteAlias"))
            }
            Self::AddTags(tags) => {
                let tags = tags.iter().filter_map(|tag| TagInAws::builder().tag_key(&tag.key).tag_value(&tag.value).build().ok());
                let asked = kms.tag_resource().key_id(id).set_tags(Some(tags.collect())).send().await;
                asked.map(drop).map_err(AwsError::of("KMS TagResource"))
            }
            Self::RemoveTags(keys) => {
                let asked = kms.untag_resource().key_id(id).set_tag_keys(Some(keys.clone())).send().await;
                asked.map(drop).map_err(AwsError::of("KMS UntagResource"))
            }
            Self::Describe(text) => {
                let asked = kms.update_key_description().key_id(id).description(text).send().await;
                asked.map(drop).map_err(AwsError::of("KMS UpdateKeyDescription"))
            }
            Self::ScheduleDeletion(days) => {
                let days = i32::try_from(*days).ok();
                let asked = kms.schedule_key_deletion().key_id(id).set_pending_window_in_days(days).send().await;
                asked.map(drop).map_err(AwsError::of("KMS ScheduleKeyDeletion"))
            }
            Self::CancelDeletion => {
                kms.cancel_key_deletion().key_id(id).send().await.map(drop).map_err(AwsError::of("KMS CancelKeyDeletion"))
            }
        }
    }

    /// Whether a key is as the action would have it.
    fn shows(&self, told: &KeyInAws) -> bool {
        let has = |alias: &str| told.aliases.iter().any(|known| known.strip_prefix("alias/") == Some(alias));
        match self {
            Self::Enable => told.enabled,
            // Of a key whose key store is disconnected AWS does not tell it.
            Self::Disable => !told.enabled && told.state != "Unavailable",
            Self::AddAlias(alias) => has(alias),
            Self::DeleteAlias(alias) => !has(alias),
            Self::AddTags(tags) => tags.iter().all(|tag| told.tags.contains(tag)),
            Self::RemoveTags(keys) => told.tags.iter().all(|tag| tag.key == OUR_TAG || !keys.contains(&tag.key)),
            Self::Describe(text) => told.description == *text,
            Self::ScheduleDeletion(_) => deletion::is_pending(told),
            Self::CancelDeletion => !deletion::is_pending(told),
        }
    }
}

/// Refuses an alias that is not the key's: AWS deletes aliases by their names alone.
async fn is_alias_of(kms: &Client, alias: &str, key_id: &str) -> Result<(), CoreError> {
    let none = || CoreError::invalid("alias", format!("the key has no alias {alias:?}"));
    match kms.describe_key().key_id(format!("alias/{alias}")).send().await.map_err(AwsError::of("KMS DescribeKey")) {
        Ok(told) if told.key_metadata.as_ref().is_some_and(|key| key.key_id == key_id) => Ok(()),
        Ok(_) => Err(none()),
        Err(error) if error.is("NotFoundException") => Err(none()),
        Err(error) => Err(error.into()),
    }
}

/// Clients look for these words where they want a key deleted, and are content.
const DELETED: &str = "AWS has deleted the key: it is pending deletion no longer";

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: key.into(), value: value.into() }
    }

    #[test]
    fn an_action_is_over_when_aws_shows_it() {
        use KeyAction::{AddAlias, AddTags, CancelDeletion, DeleteAlias, Describe, Disable, Enable, RemoveTags, ScheduleDeletion};
        let before = KeyInAws {
            enabled: true,
            state: "Enabled".into(),
            aliases: vec!["alias/a".into()],
            tags: vec![tag(OUR_TAG, "x"), tag("k", "v")],
            ..KeyInAws::default()
        };
        let after = KeyInAws {
            enabled: false,
            state: "PendingDeletion".into(),
            aliases: vec!["alias/b".into()],
            tags: vec![tag(OUR_TAG, "x"), tag("k", "w")],
            description: "d".into(),
            ..KeyInAws::default()
        };
        let table = [
            (Enable, true, false),
            (Disable, false, true),
            (AddAlias("b".into()), false, true),
            (DeleteAlias("a".into()), false, true),
            (AddTags(vec![tag("k", "w")]), false, true),
            (RemoveTags(vec!["k".into()]), false, false),
            (RemoveTags(vec!["other".into(), OUR_TAG.into()]), true, true),
            (Describe("d".into()), false, true),
            (ScheduleDeletion(7), false, true),
            (CancelDeletion, true, false),
        ];
        for (action, first, second) in table {
            assert_eq!((action.shows(&before), action.shows(&after)), (first, second), "{action:?}");
        }
    }

    #[test]
    fn our_tag_is_not_taken_off_and_a_deletion_is_not_scheduled_twice() {
        assert!(KeyAction::RemoveTags(vec![OUR_TAG.into()]).check().is_err());
        assert!(KeyAction::RemoveTags(Vec::new()).check().is_err());
        let told = KeyInAws { state: "PendingDeletion".into(), arn: "arn".into(), ..KeyInAws::default() };
        let refused = KeyAction::ScheduleDeletion(7).allowed(&told).unwrap_err().to_string();
        assert!(refused.contains("is pending deletion"), "{refused}");
        assert!(KeyAction::CancelDeletion.allowed(&told).is_ok());
    }
}
