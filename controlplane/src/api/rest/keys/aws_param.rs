//! `aws_param`: a key as AWS has it, or is to have it.
//!
//! Always holds: the policy of a key that AWS has is a JSON object and not empty; our own tag is not told.

use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    api::rest::envelope::{Told, timestamp},
    core::{aws_keys::shown_tags, hyok_keys::Backed},
    store::entry::{AwsKeyEntry, AwsKeyKind, ForAws, KeyInAws, KeyInRegion, MultiRegionInAws, RotationInAws},
};

/// The key in AWS. Of one that AWS does not have yet: what it is to be.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyForAws {
    #[serde(rename = "AWSAccountId", skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
    /// AWS's id.
    #[serde(rename = "KeyID", skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_master_key_spec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    enabled: bool,
    key_state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_manager: Option<String>,
    origin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    creation_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    deletion_date: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    encryption_algorithms: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signing_algorithms: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mac_algorithms: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    policy: Option<Map<String, Value>>,
    /// Each with its `alias/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<KeyTag>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_rotation_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_period_in_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_rotation_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    valid_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_region: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_region_configuration: Option<KeyRegions>,
    /// AWS's id of the key store.
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_key_store_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_hsm_cluster_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_key_material_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xks_key_configuration: Option<XksKeyConfiguration>,
}

/// Nothing, until the key is linked.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyInAwsMirror {
    /// AWS's id of the key store.
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_key_store_id: Option<String>,
}

/// What AWS KMS is told of an external key.
#[derive(Serialize, ToSchema)]
struct XksKeyConfiguration {
    /// The `XksKeyId`.
    #[serde(rename = "Id")]
    id: String,
}

/// A tag.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct KeyTag {
    tag_key: String,
    tag_value: String,
}

/// The regions that have a multi-region key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct KeyRegions {
    #[schema(examples("PRIMARY", "REPLICA"))]
    multi_region_key_type: &'static str,
    primary_key: KeyRegion,
    replica_keys: Vec<KeyRegion>,
}

/// A key of a multi-region set.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct KeyRegion {
    arn: String,
    region: String,
}

impl KeyForAws {
    pub(super) fn of(hyok: Option<&Backed>, aws: Option<&AwsKeyEntry>) -> Self {
        let xks = hyok.map(|on| XksKeyConfiguration { id: on.key.external_id.to_string() });
        match (aws, aws.and_then(|aws| aws.told.as_ref()), hyok) {
            (Some(_), Some(told), _) => Self::told(told, xks),
            // Until AWS has it, as if it were not linked.
            (_, _, Some(on)) => Self {
                description: Some(on.key.for_aws.description.clone()).filter(|text| !text.is_empty()),
                enabled: true,
                key_state: ENABLED.into(),
                origin: EXTERNAL_KEY_STORE.into(),
                xks_key_configuration: xks,
                ..Self::default()
            },
            (Some(aws), None, None) => Self::to_be(aws),
            (None, _, None) => Self::default(),
        }
    }

    fn told(told: &KeyInAws, xks: Option<XksKeyConfiguration>) -> Self {
        let RotationInAws { enabled, period_days, next_ns } = told.rotation;
        let xks_of_others = || told.xks_key_id.clone().map(|id| XksKeyConfiguration { id });
        Self {
            account: Some(told.account_id.clone()),
            arn: Some(told.arn.clone()),
            key_id: Some(told.key_id.clone()),
            customer_master_key_spec: Some(told.spec.clone()),
            key_usage: Some(told.usage.clone()),
            description: Some(told.description.clone()),
            enabled: told.enabled,
            key_state: told.state.clone(),
            key_manager: Some(told.manager.clone()),
            origin: told.origin.clone(),
            creation_date: Some(aws_time(told.created_ns)),
            deletion_date: told.deletion_ns.map(aws_time),
            encryption_algorithms: told.encryption_algorithms.clone(),
            signing_algorithms: told.signing_algorithms.clone(),
            mac_algorithms: told.mac_algorithms.clone(),
            policy: Some(told.policy.clone()),
            alias: Some(told.aliases.clone()),
            tags: Some(shown_tags(told).map(|tag| KeyTag { tag_key: tag.key.clone(), tag_value: tag.value.clone() }).collect()),
            key_rotation_enabled: Some(enabled),
            rotation_period_in_days: period_days,
            next_rotation_date: next_ns.map(aws_time),
            expiration_model: told.expiration_model.clone(),
            valid_to: told.valid_to_ns.map(aws_time),
            multi_region: Some(told.multi_region.is_some()),
            multi_region_configuration: told.multi_region.as_ref().map(KeyRegions::of),
            custom_key_store_id: told.custom_key_store_id.clone(),
            cloud_hsm_cluster_id: told.cloud_hsm_cluster_id.clone(),
            current_key_material_id: told.key_material_id.clone(),
            xks_key_configuration: xks.or_else(xks_of_others),
        }
    }

    /// AWS is being asked to make it.
    fn to_be(aws: &AwsKeyEntry) -> Self {
        let ForAws { description, alias, tags, .. } = &aws.for_aws;
        Self {
            customer_master_key_spec: Some(if aws.spec.spec.is_empty() { "SYMMETRIC_DEFAULT".into() } else { aws.spec.spec.clone() }),
            key_usage: Some(aws.spec.usage.clone()).filter(|usage| !usage.is_empty()),
            description: Some(description.clone()),
            key_state: CREATING.into(),
            origin: origin(&aws.kind).into(),
            alias: Some(Some(alias).filter(|alias| !alias.is_empty()).map(|alias| format!("alias/{alias}")).into_iter().collect()),
            tags: Some(tags.iter().map(|tag| KeyTag { tag_key: tag.key.clone(), tag_value: tag.value.clone() }).collect()),
            multi_region: Some(aws.spec.multi_region || aws.spec.replica_of.is_some()),
            ..Self::default()
        }
    }
}

impl KeyInAwsMirror {
    pub(super) fn of(told: Option<&KeyInAws>) -> Self {
        Self { custom_key_store_id: told.and_then(|told| told.custom_key_store_id.clone()) }
    }
}

impl KeyRegions {
    fn of(told: &MultiRegionInAws) -> Self {
        let key = |key: &KeyInRegion| KeyRegion { arn: key.arn.clone(), region: key.region.clone() };
        Self {
            multi_region_key_type: if told.replica { "REPLICA" } else { "PRIMARY" },
            primary_key: key(&told.primary),
            replica_keys: told.replicas.iter().map(key).collect(),
        }
    }
}

/// A time of AWS's as RFC 3339, without a fraction where there is none, so that what a client sent comes back as it was.
pub(in crate::api::rest) fn aws_time(ns: u64) -> String {
    let text = timestamp(ns, Told::Read);
    if !ns.is_multiple_of(NS_PER_S) {
        return text;
    }
    let time = OffsetDateTime::from_unix_timestamp_nanos(ns.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&time::format_description::well_known::Rfc3339).unwrap_or(text)
}

/// Where the material of such a key is, in AWS's words.
pub(super) const fn origin(kind: &AwsKeyKind) -> &'static str {
    match kind {
        AwsKeyKind::Hyok { .. } | AwsKeyKind::External { .. } => EXTERNAL_KEY_STORE,
        AwsKeyKind::Native => "AWS_KMS",
        AwsKeyKind::Imported { .. } => "EXTERNAL",
        AwsKeyKind::CloudHsm { .. } => "AWS_CLOUDHSM",
    }
}

const EXTERNAL_KEY_STORE: &str = "EXTERNAL_KEY_STORE";
/// What a key that is not linked is called.
pub(super) const ENABLED: &str = "Enabled";
/// What a key is called that AWS is asked to make.
pub(super) const CREATING: &str = "Creating";
const NS_PER_S: u64 = 1_000_000_000;
