//! Rotation of a key to a new one: the new key is made like the old, the old one's aliases are moved to it, and the old may be disabled.
//!
//! Always holds: [`KeyStep::Rotate`] stands in the old key until its aliases are moved, whatever AWS refuses, so that there is never a second
//! new key for one that is there; each alias names one of the two at every moment.

use aws_sdk_kms::Client;
use time::{OffsetDateTime, macros::format_description};
use uuid::Uuid;

use super::{
    Place,
    create::look_for,
    describe::look_at_known,
    in_aws,
    kinds::{self, SpecAndUsage, kind_of},
    shown_tags,
    steps::{idle, is_refused, undone},
    upload::{UploadSource, uploadable},
};
use crate::{
    access::{Permit, Right, Trail},
    aws::AwsError,
    clock::now_ns,
    core::{Core, CoreError, at_work::Turn, write::Plan},
    store::{
        View,
        entry::{
            AwsKeyEntry, AwsKeyKind, Entry, EntryChange, ForAws, KeyInAws, KeyPolicy, KeyStep, NewKeySpec, PolicyContent, SourceKeyEntry,
        },
    },
};

/// Where material comes from that nobody named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewMaterial {
    /// AWS makes it.
    ByAws,
    /// It is made here, and uploaded.
    Here,
}

/// How a key is replaced.
#[derive(Clone, Debug, Default)]
pub struct NewKeyRotation {
    /// The new key's material; none: made anew.
    pub source: Option<UploadSource>,
    /// Where that is; none: where the old one's was.
    pub material: Option<NewMaterial>,
    /// When new material expires that is made here, nanoseconds since 1970; none: never.
    pub valid_to_ns: Option<u64>,
    /// Of the new key; none: the old one's.
    pub description: Option<String>,
    /// The old key is disabled.
    pub disable: bool,
    /// The old key keeps aliases that tell when it was rotated.
    pub retain_alias: bool,
}

impl Core {
    /// Replaces a key by a new one, which takes over its aliases; the new key's id. A rotation that was begun is gone on with, as it was begun.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State` for a key that is not replaced so; `Invalid` for the source key; those of making keys; `Aws`.
    pub(super) async fn rotate_to_new_key<R: Right>(&self, permit: &Permit<R>, id: Uuid, how: NewKeyRotation) -> Result<Uuid, CoreError> {
        let trail = permit.trail();
        let turn = self.keys_at_work.turn(id).await;
        if let Some(begun) = self.new_key_of(id).await? {
            let done = self.finish_rotation(trail, id).await;
            self.rotation_ended(trail, (id, turn), done).await?;
            return Ok(begun);
        }
        let old = self.refresh_aws_key(trail, id).await?;
        // Before a source key is made in vain.
        idle(&old)?;
        let (successor, source) = self.successor(&old, &how).await?;
        let new_id = successor.id;
        self.begin(trail, id, &KeyStep::Rotate { successor: new_id, disable: how.disable, retain_alias: how.retain_alias }).await?;
        let made = self.create_with_material(trail, successor, source.as_ref()).await;
        let done = match made {
            Ok(()) => self.finish_rotation(trail, id).await,
            Err(error) => Err(error),
        };
        self.rotation_ended(trail, (id, turn), done).await?;
        Ok(new_id)
    }

    /// The new key of a rotation that is under way, if it is there, or may be.
    async fn new_key_of(&self, id: Uuid) -> Result<Option<Uuid>, CoreError> {
        let view = self.view().await?;
        let Some(KeyStep::Rotate { successor, .. }) = view.aws_key(id)?.and_then(|old| old.doing) else { return Ok(None) };
        Ok(view.aws_key(successor)?.filter(|new| !new.gone).map(|new| new.id))
    }

    /// As [`Core::ended`], but for a rotation whose new key is there, which stays to be finished.
    async fn rotation_ended(&self, trail: &Trail, (id, turn): (Uuid, Turn), done: Result<(), CoreError>) -> Result<(), CoreError> {
        match done {
            Err(error) if self.new_key_of(id).await?.is_some() => {
                if is_refused(&error) {
                    self.stands_still(trail, id, &error).await?;
                }
                Err(error)
            }
            done => self.ended(trail, (id, turn), done).await,
        }
    }

    /// Does what [`KeyStep::Rotate`] says, as far as it is not done. The caller has the old key's turn.
    ///
    /// # Errors
    /// [`CoreError::Unavailable`] while the new key is not made; `State` where it was withdrawn, which ends the step; `Aws`.
    pub(in crate::core) async fn finish_rotation(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        let (kms, told, successor, how) = {
            let view = self.view().await?;
            let (entry, told) = in_aws(&view, id)?;
            let Some(how @ KeyStep::Rotate { successor, .. }) = entry.doing.clone() else { return Ok(()) };
            let successor = view.aws_key(successor)?;
            (self.kms_of(&view, &entry)?, told, successor, how)
        };
        let Some(successor) = successor else { return Err(CoreError::State("the new key was not made in AWS".into())) };
        if successor.doing.is_some() {
            return Err(CoreError::Unavailable("the new key is not made yet".into()));
        }
        let Some(new) = successor.in_aws() else { return Err(CoreError::State("the new key was not made in AWS".into())) };
        let KeyStep::Rotate { disable, retain_alias, .. } = how else { return Ok(()) };
        let Some(old) = look_at_known(&kms, &told).await? else {
            // Its aliases went with it.
            return self.keep_told(trail, id, &|entry| undone(entry, None)).await.map(drop);
        };
        let time = retain_alias.then(|| moment(successor.stamps.created_ns));
        move_aliases(&kms, (&old, new), time.as_deref()).await?;
        if disable && old.enabled {
            kms.disable_key().key_id(&old.key_id).send().await.map_err(AwsError::of("KMS DisableKey"))?;
        }
        let (old, new) = (look_for(&kms, &old.key_id, |_| true).await?, look_for(&kms, &new.key_id, |_| true).await?);
        let plan = |view: &View| rotated(view, (id, successor.id), (old.as_ref(), new.as_ref()));
        self.writer.change(trail, plan).await.map(drop)
    }

    /// Goes on with a rotation that a crash or a failure left. The caller has the old key's turn.
    ///
    /// # Errors
    /// Where it is to be tried again.
    pub(super) async fn take_up_rotation(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        match self.finish_rotation(trail, id).await {
            Err(error) if self.new_key_of(id).await?.is_some() => Err(error),
            done => self.taken_up(trail, id, done).await,
        }
    }

    /// What the new key is to be, and the source key that was made for it and is not committed; none: it needs none, or was given one.
    async fn successor(&self, old: &AwsKeyEntry, how: &NewKeyRotation) -> Result<(AwsKeyEntry, Option<SourceKeyEntry>), CoreError> {
        let told = replaceable(old)?;
        let made = SpecAndUsage {
            kind: kind_of(&told.spec).ok_or_else(|| CoreError::State(format!("keys of spec {} are not made here", told.spec)))?,
            ..kinds::native(Some(&told.spec), Some(&told.usage))?
        };
        let (kind, source) = match (&how.source, made_by(&old.kind, how.material)) {
            (Some(source), _) => {
                let (source_key, kind) = uploadable(&self.view().await?, source)?;
                kinds::uploaded(kind, Some(&told.spec), Some(&told.usage))?;
                self.inspected(&source_key).await?;
                (AwsKeyKind::Imported { source: Some(source.of(&source_key)) }, None)
            }
            (None, NewMaterial::Here) => {
                let (source_key, from) = self.successor_source(old, how.valid_to_ns).await?;
                (AwsKeyKind::Imported { source: Some(from) }, Some(source_key))
            }
            (None, NewMaterial::ByAws) => (AwsKeyKind::Native, None),
        };
        let spec =
            NewKeySpec { spec: made.spec.into(), usage: made.usage.into(), multi_region: told.multi_region.is_some(), replica_of: None };
        let place = Place { kms: old.kms, region: &old.region };
        let for_aws = ForAws {
            description: how.description.clone().unwrap_or_else(|| told.description.clone()),
            alias: String::new(),
            tags: shown_tags(told).filter(|tag| tag.key != super::TEMPLATE_TAG).cloned().collect(),
            policy: match &old.for_aws.policy {
                template @ KeyPolicy::Template(_) => template.clone(),
                KeyPolicy::Own(_) => KeyPolicy::Own(PolicyContent::Given(told.policy.clone())),
            },
            bypass_lockout_check: false,
        };
        Ok((AwsKeyEntry { spec, ..AwsKeyEntry::new(Uuid::new_v4(), place, kind, for_aws) }, source))
    }
}

/// Who makes the material of a key that replaces one of this kind, where that is not said.
pub(super) fn made_by(old: &AwsKeyKind, said: Option<NewMaterial>) -> NewMaterial {
    let uploaded = matches!(old, AwsKeyKind::Imported { .. });
    said.unwrap_or(if uploaded { NewMaterial::Here } else { NewMaterial::ByAws })
}

/// What AWS has of a key that may be replaced.
fn replaceable(old: &AwsKeyEntry) -> Result<&KeyInAws, CoreError> {
    let refused = |text: &str| Err(CoreError::State(text.into()));
    let Some(told) = old.in_aws() else { return refused("the key is not in AWS") };
    match &old.kind {
        AwsKeyKind::Native | AwsKeyKind::Imported { .. } => {}
        AwsKeyKind::CloudHsm { .. } | AwsKeyKind::Hyok { .. } | AwsKeyKind::External { .. } => {
            return refused("only keys that AWS made or that were uploaded are replaced by new ones");
        }
    }
    if old.rotated_to.is_some() {
        return refused("the key was replaced by another already");
    }
    if told.multi_region.as_ref().is_some_and(|set| set.replica) {
        return refused("the key is a replica; rotate its primary key");
    }
    if told.manager == "AWS" || told.state.starts_with("Pending") && told.state != "PendingImport" {
        return refused("a key of AWS's own, or one that waits for its deletion, is not rotated");
    }
    Ok(told)
}

/// Moves the aliases, but for those that tell of an earlier rotation.
async fn move_aliases(kms: &Client, (old, new): (&KeyInAws, &KeyInAws), retained: Option<&str>) -> Result<(), AwsError> {
    for alias in old.aliases.iter().filter(|alias| !alias.contains(ROTATED)) {
        if let Some(time) = retained {
            let asked = kms.create_alias().alias_name(retained_name(alias, time)).target_key_id(&old.key_id);
            match asked.send().await.map_err(AwsError::of("KMS CreateAlias")) {
                // It was made before a crash.
                Err(error) if error.is("AlreadyExistsException") => {}
                other => drop(other?),
            }
        }
        kms.update_alias().alias_name(alias).target_key_id(&new.key_id).send().await.map_err(AwsError::of("KMS UpdateAlias"))?;
    }
    Ok(())
}

/// The old key ends, and its job goes on with the new one.
fn rotated(
    view: &View,
    (old_id, new_id): (Uuid, Uuid),
    (old_told, new_told): (Option<&KeyInAws>, Option<&KeyInAws>),
) -> Result<Plan<()>, CoreError> {
    let (mut old, mut new) = (view.aws_key(old_id)?.ok_or(super::NOT_FOUND)?, view.aws_key(new_id)?.ok_or(super::NOT_FOUND)?);
    undone(&mut old, old_told);
    super::describe::put_told(&mut new, new_told);
    let now_ns = now_ns();
    (old.rotated_to, old.rotated_ns) = (Some(new_id), Some(now_ns));
    new.rotation_job = old.rotation_job.take();
    let changes = [old, new].map(|mut entry| {
        entry.stamps = entry.stamps.touched(now_ns);
        entry.synced_ns = now_ns;
        EntryChange::put(Entry::AwsKey(Box::new(entry)))
    });
    Ok(Plan { changes: changes.into(), answer: () })
}

/// Such as `alias/name-rotated-20261122153000`, of 256 characters at most.
fn retained_name(alias: &str, time: &str) -> String {
    let room = LONGEST_ALIAS.saturating_sub(ROTATED.len() + time.len());
    let short: String = alias.chars().take(room).collect();
    format!("{short}{ROTATED}{time}")
}

fn moment(ns: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(ns.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(format_description!("[year][month][day][hour][minute][second]")).unwrap_or_default()
}

/// In aliases of keys that were replaced; clients know it.
const ROTATED: &str = "-rotated-";
/// CreateAlias API.
const LONGEST_ALIAS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alias_of_a_replaced_key_tells_when_and_is_never_too_long() {
        let time = moment(1_795_361_400_123_456_789);
        assert_eq!(time, "20261122153000");
        assert_eq!(retained_name("alias/a", &time), "alias/a-rotated-20261122153000");
        let long = format!("alias/{}", "a".repeat(250));
        assert_eq!(retained_name(&long, &time).len(), LONGEST_ALIAS);
    }

    #[test]
    fn only_a_key_that_is_whole_and_not_replaced_is_replaced() {
        let place = Place { kms: Uuid::nil(), region: "us-east-1" };
        let told = KeyInAws { state: "Enabled".into(), ..KeyInAws::default() };
        let key = |kind| AwsKeyEntry { told: Some(told.clone()), ..AwsKeyEntry::new(Uuid::nil(), place, kind, ForAws::default()) };
        let native = key(AwsKeyKind::Native);
        assert!(replaceable(&native).is_ok() && replaceable(&key(AwsKeyKind::Imported { source: None })).is_ok());
        let state = |state: &str| AwsKeyEntry { told: Some(KeyInAws { state: state.into(), ..told.clone() }), ..native.clone() };
        assert!(replaceable(&state("PendingImport")).is_ok() && replaceable(&state("PendingDeletion")).is_err());
        let refused = [
            key(AwsKeyKind::Hyok { store: Uuid::nil() }),
            key(AwsKeyKind::CloudHsm { store: None }),
            AwsKeyEntry { rotated_to: Some(Uuid::nil()), ..native.clone() },
            AwsKeyEntry { gone: true, ..native.clone() },
            AwsKeyEntry { told: None, ..native },
        ];
        for key in refused {
            replaceable(&key).unwrap_err();
        }
    }
}
