//! How a key gets into AWS: CreateKey or ReplicateKey, then its alias. HYOK keys that are linked, native, empty and CloudHSM keys alike.
//!
//! Always holds: the entry is committed before AWS is asked, and the key carries [`OUR_TAG`] from the beginning, so that after a crash what
//! AWS has is found and finished, and what it has not in the end is withdrawn here; AWS is asked to make a key once, since it has no way to tell the
//! same request again.

use std::{collections::HashSet, time::Duration};

use aws_sdk_kms::{
    Client,
    config::{Config, retry::RetryConfig},
    types::{KeySpec, KeyUsageType, OriginType, Tag as TagInAws},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    NOT_FOUND, OUR_TAG, TEMPLATE_TAG,
    deletion::is_pending,
    describe::{look, put_told},
    in_aws, policy_of,
    source::{with_source, without_source},
    steps::undone,
    upload::first_import,
};
use crate::{
    access::Trail,
    aws::{self, AwsError, AwsFault},
    clock::now_ns,
    core::{Core, CoreError, at_work::Turn, hyok_keys, write::Plan},
    store::{
        View,
        entry::{
            AwsKeyEntry, AwsKeyKind, Entry, EntryChange, EntryName, ForAws, KeyInAws, KeyPolicy, KeyStep, NewKeySpec, PolicyContent,
            SourceKeyEntry,
        },
    },
};

/// All that AWS is asked with.
struct Making {
    entry: AwsKeyEntry,
    kms: Client,
    /// Of a replica: KMS in its primary key's region, and AWS's id of that.
    primary: Option<(Client, String)>,
    /// None: AWS's default.
    policy: Option<String>,
    /// AWS's id of the key store that it is to be in, and there the id of an external key.
    custom_key_store_id: Option<String>,
    xks_key_id: Option<String>,
}

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
            Err(error) => {
                self.withdraw_key(trail, id).await?;
                turn.done();
                return Err(error);
            }
        };
        let made = match making.ask().await {
            Ok(key_id) => Some(key_id),
            Err(error) if error.may_be_done() => match self.search(&making).await? {
                Some(key_id) => Some(key_id),
                // It may come yet: that it does not is believed later.
                None => return Err(error.into()),
            },
            Err(error) => {
                self.withdraw_key(trail, id).await?;
                turn.done();
                return Err(error.into());
            }
        };
        self.complete(trail, (making, made), turn).await
    }

    /// Finishes or withdraws a key that was left while it was made.
    pub(super) async fn finish_creation(&self, trail: &Trail, id: Uuid, turn: Turn) -> Result<(), CoreError> {
        let making = self.making(id).await?;
        let made = match &making.entry.told {
            Some(_) => None,
            None => match self.search(&making).await? {
                Some(key_id) => Some(key_id),
                None if !self.aws.is_settled(making.entry.stamps.updated_ns, now_ns()) => {
                    return Err(CoreError::Unavailable("AWS has not been seen to make the key yet".into()));
                }
                None => {
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
            if entry.told.is_some() && self.aws.is_settled(entry.stamps.updated_ns, now_ns()) {
                tracing::warn!(key = %id, "AWS has deleted the key before all of it was made");
                let entry = self.keep_told(trail, id, &|entry| undone(entry, None)).await?;
                turn.done();
                return Ok(entry);
            }
            return Err(not_told());
        };
        // Before the replica's entry says that all is done.
        if let Some(primary) = entry.spec.replica_of {
            self.look_at_primary(trail, primary).await?;
        }
        let alias = Some(&entry.for_aws.alias).filter(|alias| !alias.is_empty()).map(|alias| format!("alias/{alias}"));
        if let Some(alias) = alias.filter(|alias| !told.aliases.contains(alias)) {
            // A replica takes no alias before AWS has made all of it.
            if told.state == CREATING {
                return self.keep_told(trail, id, &|entry| put_told(entry, Some(&told))).await;
            }
            let named = kms.create_alias().alias_name(&alias).target_key_id(&key_id).send().await.map_err(AwsError::of("KMS CreateAlias"));
            match named {
                Ok(_) => told = look_for(&kms, &key_id, |told| told.aliases.contains(&alias)).await?.unwrap_or(told),
                Err(error) => {
                    told = look_at_new(&kms, &key_id).await?;
                    if !told.aliases.contains(&alias) {
                        if !error.may_be_done() {
                            delete_soon(&kms, &key_id).await?;
                            self.withdraw_key(trail, id).await?;
                            turn.done();
                        }
                        return Err(error.into());
                    }
                }
            }
        }
        let kept = |entry: &mut AwsKeyEntry| {
            put_told(entry, Some(&told));
            entry.doing = first_import(entry).map(KeyStep::Import);
            entry.failure = None;
        };
        let entry = self.keep_told(trail, id, &kept).await?;
        turn.done();
        Ok(entry)
    }

    /// Takes back what was committed for a key that AWS does not have.
    async fn withdraw_key(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let Some(entry) = view.aws_key(id)? else { return Ok(Plan { changes: Vec::new(), answer: () }) };
            let mut changes = vec![EntryChange::Delete(EntryName::AwsKey(id))];
            match (&entry.kind, &entry.doing) {
                // It was made for AWS alone.
                (AwsKeyKind::Hyok { .. }, Some(KeyStep::Create)) => changes = hyok_keys::ended(view, holdfast_proto::ids::KeyId(id))?,
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

    async fn making(&self, id: Uuid) -> Result<Making, CoreError> {
        let view = self.view().await?;
        let entry = view.aws_key(id)?.ok_or(NOT_FOUND)?;
        let container = view.kms_container(entry.kms)?.ok_or(CoreError::NotFound("KMS container"))?;
        let policy = match &entry.for_aws.policy {
            KeyPolicy::Own(PolicyContent::Default) => None,
            KeyPolicy::Own(PolicyContent::Given(_) | PolicyContent::People(_)) | KeyPolicy::Template(_) => {
                Some(Value::Object(policy_of(&view, &entry.for_aws, &container)?).to_string())
            }
        };
        let primary = match entry.spec.replica_of.map(|primary| in_aws(&view, primary)).transpose()? {
            Some((primary, told)) => Some((self.kms_of(&view, &primary)?, told.key_id)),
            None => None,
        };
        let store = match &entry.kind {
            AwsKeyKind::Hyok { store } | AwsKeyKind::CloudHsm { store: Some(store) } => view.aws_key_store(*store)?,
            AwsKeyKind::External { .. } | AwsKeyKind::Native | AwsKeyKind::Imported { .. } | AwsKeyKind::CloudHsm { store: None } => None,
        };
        let xks_key_id = match entry.kind {
            AwsKeyKind::Hyok { .. } => view.find_hyok_key(holdfast_proto::ids::KeyId(id))?.map(|key| key.external_id.to_string()),
            AwsKeyKind::External { .. } | AwsKeyKind::Native | AwsKeyKind::Imported { .. } | AwsKeyKind::CloudHsm { .. } => None,
        };
        let (kms, custom_key_store_id) = (self.kms_of(&view, &entry)?, store.and_then(|store| store.custom_key_store_id));
        Ok(Making { entry, kms, primary, policy, custom_key_store_id, xks_key_id })
    }

    /// AWS's id of a key that was made, by our tag: only among keys that are not known here.
    async fn search(&self, making: &Making) -> Result<Option<String>, CoreError> {
        let known: HashSet<String> = {
            let keys = self.view().await?.aws_keys()?.into_iter().filter(|key| key.region == making.entry.region);
            keys.filter_map(|key| key.told.map(|told| told.key_id)).collect()
        };
        let ours = making.entry.id.to_string();
        for key_id in aws::keys::list(&making.kms).await? {
            if known.contains(&key_id) {
                continue;
            }
            match aws::keys::tags(&making.kms, &key_id).await {
                Ok(tags) if tags.iter().any(|tag| tag.key == OUR_TAG && tag.value == ours) => return Ok(Some(key_id)),
                Ok(_) => {}
                // Not ours, if it may not be looked at.
                Err(error) if error.fault == AwsFault::Refused => tracing::debug!(key_id, %error, "the tags of a key can't be read"),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
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

impl Making {
    /// Asks until AWS does not throttle; never twice where it may have done it.
    async fn ask(&self) -> Result<String, AwsError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match self.ask_once().await {
                Err(error) if error.fault == AwsFault::Throttled => tokio::time::sleep(pause).await,
                answered => return answered,
            }
            pause *= 2;
        }
        self.ask_once().await
    }

    async fn ask_once(&self) -> Result<String, AwsError> {
        let ForAws { description, bypass_lockout_check, .. } = &self.entry.for_aws;
        let once = Config::builder().retry_config(RetryConfig::disabled());
        if let Some((kms, primary)) = &self.primary {
            let asked = kms.replicate_key().key_id(primary).replica_region(&self.entry.region).description(description);
            let asked = asked.set_policy(self.policy.clone()).bypass_policy_lockout_safety_check(*bypass_lockout_check);
            let asked = asked.set_tags(Some(tags(&self.entry))).customize().config_override(once).send().await;
            let made = asked.map_err(AwsError::of("KMS ReplicateKey"))?.replica_key_metadata;
            return made.map(|key| key.key_id).ok_or_else(|| aws::keys::unread("KMS ReplicateKey", "no key"));
        }
        let NewKeySpec { spec, usage, multi_region, .. } = &self.entry.spec;
        let asked = self.kms.create_key().description(description).origin(origin(&self.entry.kind)).set_tags(Some(tags(&self.entry)));
        let asked = asked.set_policy(self.policy.clone()).bypass_policy_lockout_safety_check(*bypass_lockout_check);
        let asked = asked.set_key_spec(Some(spec).filter(|spec| !spec.is_empty()).map(|spec| KeySpec::from(spec.as_str())));
        let asked = asked.set_key_usage(Some(usage).filter(|usage| !usage.is_empty()).map(|usage| KeyUsageType::from(usage.as_str())));
        let asked = asked.set_multi_region(multi_region.then_some(true));
        let asked = asked.set_custom_key_store_id(self.custom_key_store_id.clone()).set_xks_key_id(self.xks_key_id.clone());
        let made = asked.customize().config_override(once).send().await.map_err(AwsError::of("KMS CreateKey"))?.key_metadata;
        made.map(|key| key.key_id).ok_or_else(|| aws::keys::unread("KMS CreateKey", "no key"))
    }
}

/// How a key stands; a new one may take AWS a while to know everywhere (KMS Developer Guide, eventual consistency).
async fn look_at_new(kms: &Client, key_id: &str) -> Result<KeyInAws, CoreError> {
    let told = look_for(kms, key_id, |_| true).await?;
    told.ok_or_else(not_told)
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

/// Ours, the template's, and those that were given.
fn tags(entry: &AwsKeyEntry) -> Vec<TagInAws> {
    let template = match entry.for_aws.policy {
        KeyPolicy::Template(id) => Some((TEMPLATE_TAG.to_owned(), id.to_string())),
        KeyPolicy::Own(_) => None,
    };
    let given = entry.for_aws.tags.iter().filter(|tag| tag.key != TEMPLATE_TAG).map(|tag| (tag.key.clone(), tag.value.clone()));
    let all = given.chain(template).chain([(OUR_TAG.to_owned(), entry.id.to_string())]);
    all.filter_map(|(key, value)| TagInAws::builder().tag_key(key).tag_value(value).build().ok()).collect()
}

const fn origin(kind: &AwsKeyKind) -> OriginType {
    match kind {
        AwsKeyKind::Hyok { .. } | AwsKeyKind::External { .. } => OriginType::ExternalKeyStore,
        AwsKeyKind::Native => OriginType::AwsKms,
        AwsKeyKind::Imported { .. } => OriginType::External,
        AwsKeyKind::CloudHsm { .. } => OriginType::AwsCloudhsm,
    }
}

const CREATING: &str = "Creating";
/// Days (ScheduleKeyDeletion API).
const SHORTEST_WINDOW: i32 = 7;
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
