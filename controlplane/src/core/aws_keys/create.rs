//! How a key gets into AWS: CreateKey or ReplicateKey, then its alias. HYOK keys that are linked, native, empty and CloudHSM keys alike.
//!
//! Always holds: the entry is committed before AWS is asked, and the key carries `OUR_TAG` from the beginning, so that after a crash what
//! AWS has is found and finished. What is here for it is withdrawn only where AWS refused plainly, or was asked for it, with nothing that
//! could not be read, long after it could last be making it; a key that AWS has for long is not taken back.

use std::time::Duration;

use aws_sdk_kms::Client;
use holdfast_proto::ids::KeyId;
use uuid::Uuid;

use super::{
    NOT_FOUND,
    deletion::is_pending,
    describe::{look, put_told},
    making::{Made, Making},
    source::{with_source, without_source},
    steps::undone,
    upload::first_import,
};
use crate::{
    access::Trail,
    aws::{AwsError, once, unless_throttled},
    clock::{elapsed_since, now_ns},
    core::{Core, CoreError, asked::is_old, at_work::Turn, hyok_keys, write::Plan},
    store::{
        View,
        entry::{AwsKeyEntry, AwsKeyKind, Entry, EntryChange, EntryName, KeyInAws, KeyStep, SourceKeyEntry},
    },
};

impl Core {
    /// Makes a key in AWS: its entry, the key with policy, description and tags, its alias, and what AWS tells of it then. Material that is
    /// to be imported is left as the next step. What AWS refuses leaves nothing behind.
    ///
    /// # Errors
    /// [`CoreError`]: `Exists` for the alias; `Aws`, where it may be done with `doing` left to [`Core::keep_following_aws_keys`].
    pub(crate) async fn create_in_aws(&self, trail: &Trail, entry: AwsKeyEntry) -> Result<AwsKeyEntry, CoreError> {
        self.create_from(trail, entry, None).await
    }

    /// The same of a key that may be uploaded from a source key that was made for it; what AWS refuses takes that along.
    ///
    /// # Errors
    /// As [`Core::create_in_aws`].
    pub(super) async fn create_from(
        &self,
        trail: &Trail,
        entry: AwsKeyEntry,
        made: Option<&SourceKeyEntry>,
    ) -> Result<AwsKeyEntry, CoreError> {
        let turn = self.keys_at_work.turn(entry.id).await;
        let entry = AwsKeyEntry { doing: Some(entry.doing.clone().unwrap_or(KeyStep::Create)), ..entry };
        self.alias_is_free(&entry).await?;
        let entry = AwsKeyEntry { stamps: entry.stamps.touched(now_ns()), ..entry };
        let plan = |view: &View| {
            view.kms_container(entry.kms)?.ok_or(CoreError::NotFound("KMS container"))?;
            let made = made.map(|source| with_source(view, source)).transpose()?;
            let changes = made.into_iter().chain([EntryChange::put(Entry::AwsKey(Box::new(entry.clone())))]).collect();
            Ok(Plan { changes, answer: () })
        };
        self.writer.change(trail, plan).await?;
        self.make_in_aws(trail, entry.id, turn).await
    }

    /// Asks AWS for the key of an entry that is committed; the first to do so.
    pub(in crate::core) async fn make_in_aws(&self, trail: &Trail, id: Uuid, turn: Turn) -> Result<AwsKeyEntry, CoreError> {
        let making = match self.making(id).await {
            Ok(making) => making,
            // AWS was not asked.
            Err(error) => return self.not_made(trail, (id, turn), error).await,
        };
        let asking = self.keys_asked.asking(id);
        let asked = making.ask().await;
        if !asked.as_ref().is_err_and(AwsError::may_be_done) {
            asking.answered();
        }
        let made = match asked {
            Ok(key_id) => Some(key_id),
            Err(error) if error.may_be_done() || error.is(MADE_BEFORE) => match self.was_made(&making).await? {
                Made::Yes(key_id) => Some(key_id),
                // It may come yet: that it does not is believed later.
                Made::NotSeen | Made::Unsure(_) if error.may_be_done() => return Err(error.into()),
                Made::NotSeen | Made::Unsure(_) => return self.not_made(trail, (id, turn), error.into()).await,
            },
            Err(error) => return self.not_made(trail, (id, turn), error.into()).await,
        };
        self.complete(trail, (making, made), turn).await
    }

    /// Finishes or withdraws a key that was left while it was made.
    pub(super) async fn finish_creation(&self, trail: &Trail, id: Uuid, turn: Turn) -> Result<(), CoreError> {
        let making = self.making(id).await?;
        let made = match &making.entry.told {
            Some(_) => None,
            None => match self.was_made(&making).await? {
                Made::Yes(key_id) => Some(key_id),
                Made::Unsure(error) => return Err(error.into()),
                Made::NotSeen if !self.is_settled(&making.entry) => {
                    return Err(CoreError::Unavailable("AWS has not been seen to make the key yet".into()));
                }
                Made::NotSeen => {
                    tracing::info!(key = %id, "AWS has not made the key: it is withdrawn");
                    self.withdraw_key(trail, id).await?;
                    turn.done();
                    return Ok(());
                }
            },
        };
        self.complete(trail, (making, made), turn).await.map(drop)
    }

    /// Takes a key back that AWS has and that is good for nothing: AWS is to delete it as soon as it may, and it is no more here.
    ///
    /// # Errors
    /// [`CoreError::Aws`], where nothing changed; those of writing.
    pub(super) async fn withdraw_from_aws(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        let there = {
            let view = self.view().await?;
            let entry = view.aws_key(id)?.ok_or(NOT_FOUND)?;
            entry.in_aws().map(|told| Ok::<_, CoreError>((self.kms_of(&view, &entry)?, told.key_id.clone()))).transpose()?
        };
        // Someone may have had AWS delete it already.
        if let Some((kms, key_id)) = there {
            delete_soon(&kms, &key_id).await?;
        }
        self.withdraw_key(trail, id).await
    }

    async fn complete(&self, trail: &Trail, (making, made): (Making, Option<String>), turn: Turn) -> Result<AwsKeyEntry, CoreError> {
        let Making { entry, kms, .. } = making;
        let id = entry.id;
        let key_id = made.or_else(|| entry.told.as_ref().map(|told| told.key_id.clone())).ok_or(NOT_FOUND)?;
        let Some(mut told) = look_for(&kms, &key_id, |_| true).await? else {
            // A new one may take AWS a while to know everywhere; one that it had told of, and tells of no more for long, is gone.
            if entry.told.is_some() && elapsed_since(entry.stamps.updated_ns) >= self.aws.attempt_timeout() {
                tracing::warn!(key = %id, "AWS has deleted the key before all of it was made");
                let ended = |entry: &mut AwsKeyEntry| {
                    undone(entry, None);
                    entry.gone = true;
                };
                let entry = self.keep_told(trail, id, &ended).await?;
                turn.done();
                return Ok(entry);
            }
            return Err(not_told());
        };
        // Before the replica's entry says that all is done.
        if let Some(primary) = entry.spec.replica_of {
            self.look_at_primary(trail, primary).await;
        }
        let alias = Some(&entry.for_aws.alias).filter(|alias| !alias.is_empty()).map(|alias| format!("alias/{alias}"));
        if let Some(alias) = alias.filter(|alias| !told.aliases.contains(alias)) {
            // A replica takes no alias before AWS has made all of it.
            if told.state == CREATING {
                return self.keep_told(trail, id, &|entry| put_told(entry, Some(&told))).await;
            }
            let name = || async {
                let asked = kms.create_alias().alias_name(&alias).target_key_id(&key_id).customize().config_override(once());
                asked.send().await.map_err(AwsError::of("KMS CreateAlias"))
            };
            // A lost answer's, which AWS may take a while to show.
            let shown = |told: &KeyInAws| told.aliases.contains(&alias);
            match unless_throttled(name).await {
                Ok(_) => told = look_for(&kms, &key_id, shown).await?.unwrap_or(told),
                Err(error) => {
                    told = look_for(&kms, &key_id, shown).await?.ok_or_else(not_told)?;
                    if !told.aliases.contains(&alias) {
                        // Of a step that comes from a backup, or waited for long: others may use the key by now.
                        if !error.may_be_done() && is_old(told.created_ns) {
                            let failure = Some(error.to_string());
                            let kept = |entry: &mut AwsKeyEntry| {
                                made_whole(entry, &told);
                                entry.failure.clone_from(&failure);
                            };
                            self.keep_told(trail, id, &kept).await?;
                            turn.done();
                        } else if !error.may_be_done() {
                            delete_soon(&kms, &key_id).await?;
                            self.withdraw_key(trail, id).await?;
                            turn.done();
                        }
                        return Err(error.into());
                    }
                }
            }
        }
        let entry = self.keep_told(trail, id, &|entry| made_whole(entry, &told)).await?;
        turn.done();
        Ok(entry)
    }

    /// AWS has refused to make a key, or was not asked.
    async fn not_made(&self, trail: &Trail, (id, turn): (Uuid, Turn), why: CoreError) -> Result<AwsKeyEntry, CoreError> {
        self.withdraw_key(trail, id).await?;
        turn.done();
        Err(why)
    }

    /// Takes back what was committed for a key that AWS does not have. A HYOK key whose id was chosen stays, not linked: AWS may have had a key
    /// of that id before, of another proxy's time, and have encrypted with this one meanwhile.
    async fn withdraw_key(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let Some(entry) = view.aws_key(id)? else { return Ok(Plan { changes: Vec::new(), answer: () }) };
            let mut changes = vec![EntryChange::Delete(EntryName::AwsKey(id))];
            match (&entry.kind, &entry.doing) {
                // It was made for AWS alone, which knows of no other key by its id.
                (AwsKeyKind::Hyok { .. }, Some(KeyStep::Create)) if !hyok_keys::is_named(view, KeyId(id))? => {
                    changes = hyok_keys::ended(view, KeyId(id))?;
                }
                (AwsKeyKind::Imported { source: Some(from) }, _) => changes.extend(without_source(view, from, (id, None))?),
                (
                    AwsKeyKind::Hyok { .. }
                    | AwsKeyKind::External { .. }
                    | AwsKeyKind::Native
                    | AwsKeyKind::Imported { source: None }
                    | AwsKeyKind::CloudHsm { .. },
                    _,
                ) => {}
            }
            Ok(Plan { changes, answer: () })
        };
        self.writer.change(trail, plan).await.map(drop)
    }

    /// Refuses an alias that another key has, before a key is made in vain.
    pub(in crate::core) async fn alias_is_free(&self, entry: &AwsKeyEntry) -> Result<(), CoreError> {
        let alias = &entry.for_aws.alias;
        if alias.is_empty() {
            return Ok(());
        }
        let kms = {
            let view = self.view().await?;
            self.kms_of(&view, entry)?
        };
        match kms.describe_key().key_id(format!("alias/{alias}")).send().await.map_err(AwsError::of("KMS DescribeKey")) {
            Ok(_) => Err(CoreError::Exists { what: "alias", name: alias.clone() }),
            Err(error) if error.is("NotFoundException") => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The key is made; its material may be next.
fn made_whole(entry: &mut AwsKeyEntry, told: &KeyInAws) {
    put_told(entry, Some(told));
    entry.doing = first_import(entry).map(KeyStep::Import);
    entry.failure = None;
}

fn not_told() -> CoreError {
    CoreError::Unavailable("AWS does not tell of the key that it has just made".into())
}

/// How a key stands, looked at again for a while where that is not what is expected; none: AWS has it not.
pub(super) async fn look_for(
    kms: &Client,
    key_id: &str,
    expected: impl Fn(&KeyInAws) -> bool + Send + Sync,
) -> Result<Option<KeyInAws>, AwsError> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match look(kms, key_id).await? {
            Some(told) if expected(&told) => return Ok(Some(told)),
            Some(_) | None => tokio::time::sleep(pause).await,
        }
        pause *= 2;
    }
    look(kms, key_id).await
}

/// Has AWS delete a key as soon as it may; one that is deleted, or waits for it, is no error.
async fn delete_soon(kms: &Client, key_id: &str) -> Result<(), AwsError> {
    let asked = kms.schedule_key_deletion().key_id(key_id).pending_window_in_days(SHORTEST_WINDOW).send().await;
    match asked.map_err(AwsError::of("KMS ScheduleKeyDeletion")) {
        Ok(_) => Ok(()),
        Err(error) if error.is("NotFoundException") || error.is("KMSInvalidStateException") => match look(kms, key_id).await? {
            Some(told) if !is_pending(&told) => Err(error),
            Some(_) | None => Ok(()),
        },
        Err(error) => Err(error),
    }
}

/// AWS has a key for the HYOK key: maybe one that is not known here.
const MADE_BEFORE: &str = "XksKeyAlreadyInUseException";
const CREATING: &str = "Creating";
/// Days (ScheduleKeyDeletion API).
const SHORTEST_WINDOW: i32 = 7;
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
