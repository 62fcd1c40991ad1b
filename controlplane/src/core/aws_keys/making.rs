//! A key that AWS is to make: CreateKey or ReplicateKey, and whether it was made.
//!
//! Always holds: AWS is asked once, since it has no way to tell the same request again; that it has not made a key is answered only where
//! each key was read that could be it.

use std::collections::HashSet;

use aws_sdk_kms::{
    Client,
    types::{KeySpec, KeyUsageType, OriginType, Tag as TagInAws},
};
use serde_json::Value;
use uuid::Uuid;

use super::{NOT_FOUND, OUR_TAG, TEMPLATE_TAG, in_aws, policy_of};
use crate::{
    aws::{self, AwsError, AwsFault, once, unless_throttled},
    core::{Core, CoreError},
    store::entry::{AwsKeyEntry, AwsKeyKind, ForAws, KeyInAws, KeyPolicy, NewKeySpec, PolicyContent},
};

/// All that AWS is asked with.
pub(super) struct Making {
    pub(super) entry: AwsKeyEntry,
    pub(super) kms: Client,
    /// Of a replica: KMS in its primary key's region, and AWS's id of that.
    primary: Option<(Client, String)>,
    /// None: AWS's default.
    policy: Option<String>,
    /// AWS's id of the key store that it is to be in, and there the id of an external key.
    custom_key_store_id: Option<String>,
    xks_key_id: Option<String>,
}

/// Whether AWS has made a key.
pub(super) enum Made {
    /// It has: its id of it.
    Yes(String),
    /// It was not seen to have, and everything was read.
    NotSeen,
    /// A key that could be it can't be read.
    Unsure(AwsError),
}

impl Core {
    pub(super) async fn making(&self, id: Uuid) -> Result<Making, CoreError> {
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

    /// Whether AWS has made a key, by our tag: only keys that are not known here are looked at.
    pub(super) async fn was_made(&self, making: &Making) -> Result<Made, CoreError> {
        let known: HashSet<String> = {
            let keys = self.view().await?.aws_keys()?.into_iter().filter(|key| key.region == making.entry.region);
            keys.filter_map(|key| key.told.map(|told| told.key_id)).collect()
        };
        let mut unsure = None;
        for key_id in aws::keys::list(&making.kms).await? {
            if known.contains(&key_id) {
                continue;
            }
            match making.is_it(&key_id).await {
                Ok(true) => return Ok(Made::Yes(key_id)),
                Ok(false) => {}
                Err(error) if error.fault == AwsFault::Refused => {
                    tracing::debug!(key_id, %error, "a key that may be the one that is made can't be read");
                    unsure.get_or_insert(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(unsure.map_or(Made::NotSeen, Made::Unsure))
    }
}

impl Making {
    /// Asks until AWS does not throttle; never twice where it may have done it.
    pub(super) async fn ask(&self) -> Result<String, AwsError> {
        unless_throttled(|| self.ask_once()).await
    }

    async fn ask_once(&self) -> Result<String, AwsError> {
        let ForAws { description, bypass_lockout_check, .. } = &self.entry.for_aws;
        if let Some((kms, primary)) = &self.primary {
            let asked = kms.replicate_key().key_id(primary).replica_region(&self.entry.region).description(description);
            let asked = asked.set_policy(self.policy.clone()).bypass_policy_lockout_safety_check(*bypass_lockout_check);
            let asked = asked.set_tags(Some(tags(&self.entry))).customize().config_override(once()).send().await;
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
        let made = asked.customize().config_override(once()).send().await.map_err(AwsError::of("KMS CreateKey"))?.key_metadata;
        made.map(|key| key.key_id).ok_or_else(|| aws::keys::unread("KMS CreateKey", "no key"))
    }

    /// Whether a key is the one that was to be made; refused: it could be.
    async fn is_it(&self, key_id: &str) -> Result<bool, AwsError> {
        let ours = self.entry.id.to_string();
        let untold = match aws::keys::tags(&self.kms, key_id).await {
            Ok(tags) => return Ok(tags.iter().any(|tag| tag.key == OUR_TAG && tag.value == ours)),
            Err(error) if error.fault == AwsFault::Refused => error,
            Err(error) => return Err(error),
        };
        self.is_it_by(&aws::keys::metadata(&self.kms, key_id).await?).ok_or(untold)
    }

    /// The same without its tags; none: it can't be said.
    fn is_it_by(&self, told: &KeyInAws) -> Option<bool> {
        // Nobody may read the tags of AWS's own.
        if told.manager == AWS_MANAGED || told.origin != origin(&self.entry.kind).as_str() {
            return Some(false);
        }
        if let Some(external_id) = &self.xks_key_id {
            return Some(told.xks_key_id.as_ref() == Some(external_id) && told.custom_key_store_id == self.custom_key_store_id);
        }
        // All keys of a set have the same id.
        if let Some((_, primary)) = &self.primary {
            return Some(told.key_id == *primary);
        }
        (told.created_ns.saturating_add(CLOCKS_APART_NS) < self.entry.stamps.created_ns).then_some(false)
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

const AWS_MANAGED: &str = "AWS";
/// As far as AWS's clock and ours may be apart.
const CLOCKS_APART_NS: u64 = 3_600_000_000_000;

#[cfg(test)]
mod tests {
    use aws_sdk_kms::config::BehaviorVersion;

    use super::*;
    use crate::core::aws_keys::Place;

    fn making(kind: AwsKeyKind) -> Making {
        let place = Place { kms: Uuid::nil(), region: "us-east-1" };
        let mut entry = AwsKeyEntry::new(Uuid::from_u128(1), place, kind, ForAws::default());
        entry.stamps.created_ns = 10 * CLOCKS_APART_NS;
        let kms = Client::from_conf(aws_sdk_kms::Config::builder().behavior_version(BehaviorVersion::latest()).build());
        Making { entry, kms, primary: None, policy: None, custom_key_store_id: None, xks_key_id: None }
    }

    #[test]
    fn a_key_without_readable_tags_is_told_by_what_it_is_and_is_unsure_where_that_does_not_tell() {
        let native = making(AwsKeyKind::Native);
        let told = KeyInAws { origin: "AWS_KMS".into(), created_ns: 10 * CLOCKS_APART_NS, ..KeyInAws::default() };
        assert_eq!(native.is_it_by(&told), None);
        assert_eq!(native.is_it_by(&KeyInAws { manager: "AWS".into(), ..told.clone() }), Some(false));
        assert_eq!(native.is_it_by(&KeyInAws { origin: "EXTERNAL".into(), ..told.clone() }), Some(false));
        assert_eq!(native.is_it_by(&KeyInAws { created_ns: 8 * CLOCKS_APART_NS, ..told.clone() }), Some(false), "it was there before");

        let (store, external_id) = (Some("cks-1".to_owned()), Some("ours".to_owned()));
        let hyok = making(AwsKeyKind::Hyok { store: Uuid::nil() });
        let hyok = Making { custom_key_store_id: store.clone(), xks_key_id: external_id.clone(), ..hyok };
        let told = KeyInAws { origin: "EXTERNAL_KEY_STORE".into(), custom_key_store_id: store, xks_key_id: external_id, ..told };
        assert_eq!(hyok.is_it_by(&told), Some(true));
        assert_eq!(hyok.is_it_by(&KeyInAws { xks_key_id: Some("other".into()), ..told.clone() }), Some(false));
        assert_eq!(hyok.is_it_by(&KeyInAws { custom_key_store_id: Some("cks-2".into()), ..told }), Some(false));
    }
}
