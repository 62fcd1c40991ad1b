//! A key as this API tells it (contract §8, §10.2), of whichever kind.
//!
//! Always holds: what customers put into AWS is `XksKeyConfiguration.Id` alone; ids of source and virtual keys stand elsewhere only. What
//! clients decode strictly has its JSON type in every answer.

use std::collections::BTreeMap;

use holdfast_proto::records::{LegacyFormat, SourceKey};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    aws_param::{KeyForAws, KeyInAwsMirror, aws_time},
    people::{People, people},
};
use crate::{
    api::rest::envelope::{Envelope, Told},
    core::{
        aws_keys::AnyKey,
        hyok_keys::Backed,
        source_keys::cm_id,
        virtual_keys::{VersionOnSource, VirtualKey},
    },
    store::entry::{AwsKeyEntry, AwsKeyKind, HyokKeyEntry, KeyStoreEntry, SourceKeyEntry, Stamps, Tier, UploadedFrom},
};

/// A key.
#[derive(Serialize, ToSchema)]
#[schema(as = AwsKey)]
pub(in crate::api::rest) struct Key {
    #[serde(flatten)]
    envelope: Envelope,
    region: String,
    /// The KMS container's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    kms: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_id: Option<Uuid>,
    cloud_name: &'static str,
    #[schema(examples("symmetric", "asymmetric"))]
    key_type: &'static str,
    #[schema(examples("cckm", "native", "CloudHSM", "unknown"))]
    key_material_origin: &'static str,
    /// The tier, as it was spelt when the key was made; `CloudHSM`; empty for keys that AWS made.
    key_source: String,
    /// The partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_source_container_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_source_container_name: Option<String>,
    /// The source key of the newest version of a HYOK key of tier `local`, or that an uploaded key came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    local_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_key_name: Option<String>,
    /// Whether AWS has it.
    linked_state: bool,
    blocked: bool,
    /// The key store's id, not AWS's.
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_key_store_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_key_store_name: Option<String>,
    /// A HYOK key of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    locally_hosted: Option<bool>,
    /// AWS has deleted it.
    gone: bool,
    /// When AWS last told something new of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    synced_at: Option<String>,
    /// When AWS is to delete it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    deletion_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("ROTATED"))]
    rotation_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    rotated_at: Option<String>,
    /// The key that took its aliases over.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_to: Option<Uuid>,
    #[serde(flatten)]
    people: People,
    /// While a job rotates it: `job_config_id`, and `auto_rotate_key_source` where that was said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'static str, String>,
    /// Why what was last begun with it in AWS did not come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_hosted_params: Option<KeyHosting>,
    aws_param: KeyForAws,
    /// What clients look for under this name.
    aws_params: KeyInAwsMirror,
    /// Of a proxy that was taken over: how its ciphertexts open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("aws-sample", "raw-concat"))]
    legacy_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    legacy_version: Option<u32>,
}

/// What a HYOK key is on.
#[derive(Serialize, ToSchema)]
struct KeyHosting {
    blocked: bool,
    linked_state: bool,
    custom_key_store_id: String,
    /// As the key was made on it: a virtual key, or a source key of tier `local`.
    source_key_id: String,
    source_key_tier: String,
    policy: KeyPolicyReserved,
}

/// Means nothing.
#[derive(Serialize, ToSchema)]
struct KeyPolicyReserved {
    reserved: bool,
}

/// A version of a key.
#[derive(Serialize, ToSchema)]
pub(in crate::api::rest) struct KeyVersion {
    #[serde(flatten)]
    envelope: Envelope,
    source_key_id: String,
    /// From 0.
    version: u32,
    #[schema(examples("pending", "active", "retired"))]
    state: &'static str,
}

impl Key {
    pub(in crate::api::rest) fn of(key: AnyKey, told: Told) -> Self {
        let linked = key.linked();
        let AnyKey { hyok, aws, kms, key_store } = key;
        let in_aws = aws.as_ref().and_then(|aws| aws.told.as_ref());
        let spec = in_aws.map(|told| told.spec.as_str()).or_else(|| aws.as_ref().map(|aws| aws.spec.spec.as_str()));
        let (id, stamps) = identity(hyok.as_ref(), aws.as_ref());
        let source = source(hyok.as_ref(), aws.as_ref());
        Self {
            envelope: Envelope::new("cckm:aws-key", &id, stamps, told).of_application(),
            region: hyok
                .as_ref()
                .map(|on| &on.key_store.region)
                .or_else(|| aws.as_ref().map(|aws| &aws.region))
                .cloned()
                .unwrap_or_default(),
            kms: kms.as_ref().map(|kms| kms.name.clone()),
            kms_id: hyok.as_ref().map_or_else(|| aws.as_ref().map(|aws| aws.kms), |on| on.key_store.kms),
            cloud_name: CLOUD,
            key_type: key_type(spec.unwrap_or_default()),
            key_material_origin: material_origin(hyok.is_some(), aws.as_ref()),
            key_source: source.tier,
            key_source_container_id: source.container.as_ref().map(|(id, _)| *id),
            key_source_container_name: source.container.map(|(_, name)| name),
            local_key_id: source.local_id,
            local_key_name: source.local_name.filter(|name| !name.is_empty()),
            linked_state: linked,
            blocked: hyok.as_ref().is_some_and(|on| on.key.blocked),
            custom_key_store_id: match &hyok {
                Some(on) => Some(on.key_store.id.to_string()),
                None => key_store.as_ref().map(|store| store.id.to_string()),
            },
            custom_key_store_name: match &hyok {
                Some(on) => Some(on.key_store.name.clone()),
                None => key_store.as_ref().map(|store| store.name.clone()),
            },
            locally_hosted: hyok.is_some().then_some(true),
            gone: aws.as_ref().is_some_and(|aws| aws.gone),
            synced_at: aws.as_ref().filter(|aws| aws.synced_ns > 0).map(|aws| aws_time(aws.synced_ns)),
            deletion_date: in_aws.and_then(|told| told.deletion_ns).map(aws_time),
            rotation_status: aws.as_ref().and_then(|aws| aws.rotated_ns).map(|_| "ROTATED"),
            rotated_at: aws.as_ref().and_then(|aws| aws.rotated_ns).map(aws_time),
            rotated_to: aws.as_ref().and_then(|aws| aws.rotated_to),
            people: in_aws.map(|told| people(&told.policy)).unwrap_or_default(),
            labels: aws.as_ref().map(labels).unwrap_or_default(),
            failure: aws.as_ref().and_then(|aws| aws.failure.clone()),
            local_hosted_params: hyok.as_ref().map(|on| KeyHosting::of(on, linked)),
            aws_param: KeyForAws::of(hyok.as_ref(), aws.as_ref()),
            aws_params: KeyInAwsMirror::of(in_aws),
            legacy_format: hyok.as_ref().and_then(|on| on.key.legacy).map(|legacy| legacy_format(legacy.format)),
            legacy_version: hyok.as_ref().and_then(|on| on.key.legacy).map(|legacy| legacy.version),
        }
    }
}

impl KeyHosting {
    fn of(on: &Backed, linked: bool) -> Self {
        Self {
            blocked: on.key.blocked,
            linked_state: linked,
            custom_key_store_id: on.key_store.id.to_string(),
            source_key_id: made_on(&on.virtual_key),
            source_key_tier: tier(&on.key, &on.key_store),
            policy: KeyPolicyReserved { reserved: false },
        }
    }
}

impl KeyVersion {
    pub(in crate::api::rest) fn of(virtual_key: Uuid, on: &VersionOnSource) -> Self {
        let stamps = Stamps { created_ns: on.version.created_ns, updated_ns: on.version.created_ns };
        let id = version_id(virtual_key, on);
        Self {
            envelope: Envelope::new("cckm:aws-key-versions", &id, stamps, Told::Read).of_application(),
            source_key_id: source_id(&on.source),
            version: on.version.number,
            state: on.version.state.as_str(),
        }
    }
}

/// Where a key's material came from.
#[derive(Default)]
struct Source {
    tier: String,
    container: Option<(Uuid, String)>,
    local_id: Option<String>,
    local_name: Option<String>,
}

fn source(hyok: Option<&Backed>, aws: Option<&AwsKeyEntry>) -> Source {
    if let Some(on) = hyok {
        let newest = on.virtual_key.versions.last();
        let local = newest.map(|newest| &newest.source).filter(|_| on.key_store.tier == Tier::Local);
        let partition = newest.and_then(|newest| newest.partition.as_ref());
        return Source {
            tier: tier(&on.key, &on.key_store),
            container: partition.map(|partition| (partition.id, partition.label.clone())),
            local_id: local.map(source_id),
            local_name: local.map(|source| source.name.clone()),
        };
    }
    match aws.map(|aws| &aws.kind) {
        Some(AwsKeyKind::Imported { source: Some(UploadedFrom { source_key, name, tier_as_sent, .. }) }) => {
            let tier = tier_as_sent.clone().unwrap_or_else(|| LOCAL.into());
            let id = if tier == LOCAL { cm_id(*source_key) } else { source_key.to_string() };
            Source { tier, container: None, local_id: Some(id), local_name: Some(name.clone()) }
        }
        Some(AwsKeyKind::CloudHsm { .. }) => Source { tier: CLOUD_HSM.into(), ..Source::default() },
        Some(AwsKeyKind::Imported { source: None } | AwsKeyKind::Native | AwsKeyKind::External { .. } | AwsKeyKind::Hyok { .. }) | None => {
            Source::default()
        }
    }
}

/// A HYOK key is as old as it is here; it changed when it or what AWS has did.
fn identity(hyok: Option<&Backed>, aws: Option<&AwsKeyEntry>) -> (Uuid, Stamps) {
    match (hyok, aws) {
        (Some(on), aws) => {
            let updated_ns = on.key.stamps.updated_ns.max(aws.map_or(0, |aws| aws.stamps.updated_ns));
            (on.key.id.0, Stamps { updated_ns, ..on.key.stamps })
        }
        (None, Some(aws)) => (aws.id, aws.stamps),
        (None, None) => (Uuid::nil(), Stamps::default()),
    }
}

fn labels(aws: &AwsKeyEntry) -> BTreeMap<&'static str, String> {
    let job = aws.rotation_job.iter();
    job.flat_map(|job| {
        [Some(("job_config_id", job.job.to_string())), job.key_source.clone().map(|source| ("auto_rotate_key_source", source))]
    })
    .flatten()
    .collect()
}

/// By KeySpec: keys of HMAC are symmetric.
pub(super) fn key_type(spec: &str) -> &'static str {
    if spec.is_empty() || spec.starts_with("SYMMETRIC") || spec.starts_with("HMAC") { "symmetric" } else { "asymmetric" }
}

pub(super) fn material_origin(hyok: bool, aws: Option<&AwsKeyEntry>) -> &'static str {
    match aws.map(|aws| &aws.kind) {
        _ if hyok => MATERIAL_ORIGIN,
        Some(AwsKeyKind::Imported { source: Some(_) } | AwsKeyKind::Hyok { .. }) => MATERIAL_ORIGIN,
        Some(AwsKeyKind::Native) => "native",
        Some(AwsKeyKind::CloudHsm { .. }) => CLOUD_HSM,
        Some(AwsKeyKind::Imported { source: None } | AwsKeyKind::External { .. }) | None => "unknown",
    }
}

/// What a HYOK key was made on.
fn made_on(virtual_key: &VirtualKey) -> String {
    match virtual_key.versions.first() {
        Some(first) if virtual_key.key.silent => source_id(&first.source),
        Some(_) | None => virtual_key.key.id.to_string(),
    }
}

/// The tier of a key's store, as clients spell it.
pub(super) fn tier(key: &HyokKeyEntry, key_store: &KeyStoreEntry) -> String {
    let spelt = match key_store.tier {
        Tier::Local => LOCAL,
        Tier::Partition(_) => "hsm-luna",
    };
    key.tier_as_sent.clone().unwrap_or_else(|| spelt.into())
}

/// A source key's id as this API tells it.
pub(in crate::api::rest) fn source_id(source: &SourceKeyEntry) -> String {
    match source.key {
        SourceKey::Local(_) => cm_id(source.id),
        SourceKey::Partition(_) => source.id.to_string(),
    }
}

/// The id of a version: the same at each read.
pub(in crate::api::rest) fn version_id(virtual_key: Uuid, on: &VersionOnSource) -> Uuid {
    Uuid::new_v5(&virtual_key, &[on.version.number.to_be_bytes(), on.version.tag].concat())
}

const fn legacy_format(format: LegacyFormat) -> &'static str {
    match format {
        LegacyFormat::AwsSample => "aws-sample",
        LegacyFormat::RawConcat => "raw-concat",
    }
}

pub(super) const CLOUD: &str = "aws";
const MATERIAL_ORIGIN: &str = "cckm";
pub(super) const CLOUD_HSM: &str = "CloudHSM";
const LOCAL: &str = "local";
