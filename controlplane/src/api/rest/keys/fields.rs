//! What keys and their versions can be filtered and sorted by (contract §8.1). A filter on what only AWS has fits no key that is not linked.

use super::{
    answer::{CLOUD, CLOUD_HSM, material_origin, source_id},
    aws_param::{CREATING, ENABLED, origin},
};
use crate::{
    api::rest::{
        envelope::{Told, timestamp},
        list::{Field, Value},
    },
    core::{
        aws_keys::{PlacedKey, TEMPLATE_TAG, shown_tags},
        virtual_keys::VersionOnSource,
    },
    store::entry::{AwsKeyEntry, AwsKeyKind, KeyInAws, Tier},
};

/// Of a key.
pub(super) const KEY: [Field<PlacedKey>; 28] = [
    Field::new("id", |key| {
        one(key.hyok.as_ref().map(|on| on.key.id.to_string()).or_else(|| key.aws.as_ref().map(|aws| aws.id.to_string())))
    }),
    Field::new("external_key_id", |key| match &key.hyok {
        Some(on) => vec![on.key.external_id.as_str().into()],
        None => one(told(key).and_then(|told| told.xks_key_id.clone())),
    }),
    Field::new("keyid", |key| one(told(key).map(|told| told.key_id.clone()))),
    Field::new("arn", |key| one(told(key).map(|told| told.arn.clone()))),
    // With its prefix or without.
    Field::new("alias", |key| {
        let aliases = told(key).into_iter().flat_map(|told| &told.aliases);
        aliases.flat_map(|alias| [alias.as_str().into(), alias.strip_prefix("alias/").unwrap_or(alias).into()]).collect()
    }),
    // By its key, or by both.
    Field::new("tags", |key| {
        let tags = told(key).into_iter().flat_map(shown_tags);
        tags.flat_map(|tag| [tag.key.as_str().into(), format!("{}={}", tag.key, tag.value).into()]).collect()
    }),
    Field::new("job_config_id", |key| one(key.aws.as_ref().and_then(|aws| aws.rotation_job.as_ref()).map(|job| job.job.to_string()))),
    Field::new("cckm_policy_template_id", |key| {
        let tags = told(key).into_iter().flat_map(|told| &told.tags);
        tags.filter(|tag| tag.key == TEMPLATE_TAG).map(|tag| tag.value.as_str().into()).collect()
    }),
    Field::new("region", |key| {
        one(key.hyok.as_ref().map(|on| on.key_store.region.clone()).or_else(|| key.aws.as_ref().map(|aws| aws.region.clone())))
    }),
    Field::new("kms", |key| key.kms.iter().flat_map(|kms| [kms.name.as_str().into(), kms.id.to_string().into()]).collect()),
    Field::new("kms_id", |key| one(key.kms.as_ref().map(|kms| kms.id.to_string()))),
    Field::new("cloud_name", |_| vec![CLOUD.into()]),
    Field::new("custom_key_store_id", |key| match &key.hyok {
        Some(on) => vec![on.key.store.to_string().into()],
        None => one(key.key_store.as_ref().map(|store| store.id.to_string())),
    }),
    Field::new("custom_key_store_name", |key| match &key.hyok {
        Some(on) => vec![on.key_store.name.as_str().into()],
        None => one(key.key_store.as_ref().map(|store| store.name.clone())),
    }),
    Field {
        name: "key_source",
        of: |key| one(key_source(key).map(str::to_owned)),
        spelled: |text| if text == "luna-hsm" { "hsm-luna" } else { text },
    },
    Field::new("key_material_origin", |key| vec![material_origin(key.hyok.is_some(), key.aws.as_ref()).into()]),
    Field::new("origin", |key| match &key.aws {
        Some(aws) => vec![aws.told.as_ref().map_or_else(|| origin(&aws.kind), |told| told.origin.as_str()).into()],
        None => vec!["EXTERNAL_KEY_STORE".into()],
    }),
    Field::new("keystate", |key| match (told(key), being_made(key)) {
        (Some(told), _) => vec![told.state.as_str().into()],
        (None, Some(_)) => vec![CREATING.into()],
        (None, None) => vec![ENABLED.into()],
    }),
    Field::new("keyusage", |key| {
        let wanted = being_made(key).map(|aws| aws.spec.usage.as_str());
        vec![told(key).map(|told| told.usage.as_str()).or(wanted).filter(|usage| !usage.is_empty()).unwrap_or("ENCRYPT_DECRYPT").into()]
    }),
    Field::new("CustomerMasterKeySpec", |key| {
        let wanted = being_made(key).map(|aws| aws.spec.spec.as_str());
        vec![told(key).map(|told| told.spec.as_str()).or(wanted).filter(|spec| !spec.is_empty()).unwrap_or("SYMMETRIC_DEFAULT").into()]
    }),
    Field::new("enabled", |key| vec![told(key).map_or_else(|| being_made(key).is_none(), |told| told.enabled).into()]),
    Field::new("blocked", |key| vec![key.hyok.as_ref().is_some_and(|on| on.key.blocked).into()]),
    Field::new("linked_state", |key| vec![key.linked().into()]),
    Field::new("gone", |key| vec![key.aws.as_ref().is_some_and(|aws| aws.gone).into()]),
    Field::new("multi_region", |key| {
        let wanted = |aws: &AwsKeyEntry| aws.spec.multi_region || aws.spec.replica_of.is_some();
        vec![told(key).map_or_else(|| being_made(key).is_some_and(wanted), |told| told.multi_region.is_some()).into()]
    }),
    Field::new("rotation_job_enabled", |key| vec![key.aws.as_ref().is_some_and(|aws| aws.rotation_job.is_some()).into()]),
    Field::new("createdAt", |key| vec![timestamp(stamps(key).0, Told::Read).into()]),
    Field::new("updatedAt", |key| vec![timestamp(stamps(key).1, Told::Read).into()]),
];

/// Of a version.
pub(super) const VERSION: [Field<VersionOnSource>; 4] = [
    Field::new("version", |on| vec![Value::Number(on.version.number.into())]),
    Field::new("source_key_id", |on| vec![source_id(&on.source).into()]),
    Field::new("state", |on| vec![on.version.state.as_str().into()]),
    Field::new("createdAt", |on| vec![timestamp(on.version.created_ns, Told::Read).into()]),
];

/// As AWS last told it, also where AWS has it no more.
fn told(key: &PlacedKey) -> Option<&KeyInAws> {
    key.aws.as_ref()?.told.as_ref()
}

/// One that AWS is only asked to make, and that is nothing else.
fn being_made(key: &PlacedKey) -> Option<&AwsKeyEntry> {
    key.aws.as_ref().filter(|aws| key.hyok.is_none() && aws.told.is_none())
}

fn one(value: Option<String>) -> Vec<Value> {
    value.into_iter().map(Value::from).collect()
}

fn key_source(key: &PlacedKey) -> Option<&str> {
    if let Some(on) = &key.hyok {
        return Some(match on.key_store.tier {
            Tier::Local => "local",
            Tier::Partition(_) => "hsm-luna",
        });
    }
    match &key.aws.as_ref()?.kind {
        AwsKeyKind::Imported { source: Some(source) } => Some(source.tier_as_sent.as_deref().unwrap_or("local")),
        AwsKeyKind::CloudHsm { .. } => Some(CLOUD_HSM),
        AwsKeyKind::Imported { source: None } | AwsKeyKind::Native | AwsKeyKind::External { .. } | AwsKeyKind::Hyok { .. } => None,
    }
}

fn stamps(key: &PlacedKey) -> (u64, u64) {
    let aws = key.aws.as_ref().map(|aws| aws.stamps).unwrap_or_default();
    let own = key.hyok.as_ref().map_or(aws, |on| on.key.stamps);
    (own.created_ns, own.updated_ns.max(aws.updated_ns))
}
