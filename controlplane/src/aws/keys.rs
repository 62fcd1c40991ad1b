//! Keys in AWS KMS: how one stands, and which there are.
//!
//! Always holds: all pages are read; what a kind of key has not (a rotation status, tags of AWS's own keys) is left out, and any other
//! refusal is told.

use aws_sdk_kms::{
    Client,
    primitives::DateTime,
    types::{KeyMetadata, MultiRegionConfiguration, MultiRegionKey, MultiRegionKeyType},
};
use serde_json::{Map, Value};

use super::{AwsError, AwsFault};
use crate::store::entry::{KeyInAws, KeyInRegion, MultiRegionInAws, RotationInAws, Tag};

/// How a key stands, with its aliases, tags, policy and rotation. By key id, ARN, or alias with its `alias/`.
///
/// # Errors
/// [`AwsError`]; `NotFoundException` where there is none.
pub async fn describe(kms: &Client, key_id: &str) -> Result<KeyInAws, AwsError> {
    let mut key = metadata(kms, key_id).await?;
    let id = key.key_id.clone();
    key.aliases = aliases(kms, &id).await?;
    key.policy = policy(kms, &id).await?;
    if key.manager != AWS_MANAGED {
        key.tags = tags(kms, &id).await?;
        if may_rotate(&key) {
            key.rotation = rotation(kms, &id).await?;
        }
    }
    Ok(key)
}

/// What DescribeKey alone tells of a key.
///
/// # Errors
/// As [`describe`].
pub async fn metadata(kms: &Client, key_id: &str) -> Result<KeyInAws, AwsError> {
    let told = kms.describe_key().key_id(key_id).send().await.map_err(AwsError::of("KMS DescribeKey"))?;
    Ok(read(told.key_metadata.ok_or_else(|| unread("KMS DescribeKey", "no key"))?))
}

/// The ids of all keys, AWS's own too.
///
/// # Errors
/// [`AwsError`].
pub async fn list(kms: &Client) -> Result<Vec<String>, AwsError> {
    let mut pages = kms.list_keys().limit(1000).into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(AwsError::of("KMS ListKeys"))?;
        all.extend(page.keys.unwrap_or_default().into_iter().filter_map(|key| key.key_id));
    }
    Ok(all)
}

/// The tags of a key, in order.
///
/// # Errors
/// [`AwsError`].
pub async fn tags(kms: &Client, key_id: &str) -> Result<Vec<Tag>, AwsError> {
    let mut pages = kms.list_resource_tags().key_id(key_id).into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(AwsError::of("KMS ListResourceTags"))?;
        all.extend(page.tags.unwrap_or_default().into_iter().map(|tag| Tag { key: tag.tag_key, value: tag.tag_value }));
    }
    all.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(all)
}

async fn aliases(kms: &Client, key_id: &str) -> Result<Vec<String>, AwsError> {
    let mut pages = kms.list_aliases().key_id(key_id).into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(AwsError::of("KMS ListAliases"))?;
        all.extend(page.aliases.unwrap_or_default().into_iter().filter_map(|alias| alias.alias_name));
    }
    all.sort();
    Ok(all)
}

async fn policy(kms: &Client, key_id: &str) -> Result<Map<String, Value>, AwsError> {
    let told = kms.get_key_policy().key_id(key_id).policy_name("default").send().await.map_err(AwsError::of("KMS GetKeyPolicy"))?;
    let text = told.policy.ok_or_else(|| unread("KMS GetKeyPolicy", "no policy"))?;
    serde_json::from_str(&text).map_err(|_| unread("KMS GetKeyPolicy", "a policy that is no JSON object"))
}

async fn rotation(kms: &Client, key_id: &str) -> Result<RotationInAws, AwsError> {
    let told = kms.get_key_rotation_status().key_id(key_id).send().await.map_err(AwsError::of("KMS GetKeyRotationStatus"));
    match told {
        Ok(told) => Ok(RotationInAws {
            enabled: told.key_rotation_enabled,
            period_days: told.rotation_period_in_days.and_then(|days| u32::try_from(days).ok()),
            next_ns: told.next_rotation_date.as_ref().map(nanoseconds),
        }),
        // Of keys whose kind or state has none.
        Err(error) if error.is("UnsupportedOperationException") || error.is("KMSInvalidStateException") => Ok(RotationInAws::default()),
        Err(error) => Err(error),
    }
}

/// Whether AWS tells a rotation status of such a key: of symmetric ones, outside of custom key stores (GetKeyRotationStatus API).
fn may_rotate(key: &KeyInAws) -> bool {
    key.spec == "SYMMETRIC_DEFAULT" && matches!(key.origin.as_str(), "AWS_KMS" | "EXTERNAL")
}

fn read(key: KeyMetadata) -> KeyInAws {
    let multi_region = key.multi_region_configuration.filter(|_| key.multi_region == Some(true));
    KeyInAws {
        key_id: key.key_id,
        arn: key.arn.unwrap_or_default(),
        account_id: key.aws_account_id.unwrap_or_default(),
        spec: key.key_spec.map(|spec| spec.as_str().to_owned()).unwrap_or_default(),
        usage: key.key_usage.map(|usage| usage.as_str().to_owned()).unwrap_or_default(),
        description: key.description.unwrap_or_default(),
        enabled: key.enabled,
        state: key.key_state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        manager: key.key_manager.map(|manager| manager.as_str().to_owned()).unwrap_or_default(),
        origin: key.origin.map(|origin| origin.as_str().to_owned()).unwrap_or_default(),
        created_ns: key.creation_date.as_ref().map(nanoseconds).unwrap_or_default(),
        deletion_ns: key.deletion_date.as_ref().map(nanoseconds),
        encryption_algorithms: key.encryption_algorithms.unwrap_or_default().iter().map(|a| a.as_str().to_owned()).collect(),
        signing_algorithms: key.signing_algorithms.unwrap_or_default().iter().map(|a| a.as_str().to_owned()).collect(),
        mac_algorithms: key.mac_algorithms.unwrap_or_default().iter().map(|a| a.as_str().to_owned()).collect(),
        policy: Map::new(),
        aliases: Vec::new(),
        tags: Vec::new(),
        rotation: RotationInAws::default(),
        expiration_model: key.expiration_model.map(|model| model.as_str().to_owned()),
        valid_to_ns: key.valid_to.as_ref().map(nanoseconds),
        custom_key_store_id: key.custom_key_store_id,
        xks_key_id: key.xks_key_configuration.and_then(|xks| xks.id),
        cloud_hsm_cluster_id: key.cloud_hsm_cluster_id,
        key_material_id: key.current_key_material_id,
        multi_region: multi_region.map(regions),
    }
}

fn regions(told: MultiRegionConfiguration) -> MultiRegionInAws {
    let key = |told: MultiRegionKey| KeyInRegion { arn: told.arn.unwrap_or_default(), region: told.region.unwrap_or_default() };
    MultiRegionInAws {
        replica: told.multi_region_key_type == Some(MultiRegionKeyType::Replica),
        primary: told.primary_key.map(key).unwrap_or_default(),
        replicas: told.replica_keys.unwrap_or_default().into_iter().map(key).collect(),
    }
}

/// Since 1970; what was before is 0.
pub(super) fn nanoseconds(time: &DateTime) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or_default()
}

/// AWS answered, and its answer is not what it should be.
pub(crate) fn unread(call: &'static str, found: &str) -> AwsError {
    AwsError { call, fault: AwsFault::Broken, code: None, message: format!("AWS answered with {found}"), request_id: None }
}

const AWS_MANAGED: &str = "AWS";
