//! A HYOK key as this API tells it.
//!
//! Always holds: what customers put into AWS is `XksKeyConfiguration.Id` alone; ids of source and virtual keys stand elsewhere only.

use holdfast_proto::records::{LegacyFormat, SourceKey};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    api::rest::envelope::{Envelope, Told},
    core::{
        hyok_keys::{Backed, Link},
        source_keys::cm_id,
        virtual_keys::VersionOnSource,
    },
    store::entry::{HyokKeyEntry, KeyStoreEntry, SourceKeyEntry, Stamps, Tier},
};

/// A key.
#[derive(Serialize, ToSchema)]
pub(super) struct HyokKey {
    #[serde(flatten)]
    envelope: Envelope,
    region: String,
    /// The KMS container's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    kms: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_id: Option<Uuid>,
    cloud_name: &'static str,
    key_type: &'static str,
    key_material_origin: &'static str,
    /// The tier, as it was spelt when the key was made.
    key_source: String,
    /// The partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_source_container_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_source_container_name: Option<String>,
    /// The source key of the newest version; of tier `local` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    local_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_key_name: Option<String>,
    linked_state: bool,
    blocked: bool,
    /// The key store's id, not AWS's.
    custom_key_store_id: String,
    custom_key_store_name: String,
    locally_hosted: bool,
    gone: bool,
    local_hosted_params: HyokKeyHosting,
    aws_param: HyokKeyForAws,
    /// What clients look for under this name.
    aws_params: HyokKeyInAws,
    /// Of a proxy that was taken over: how its ciphertexts open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("aws-sample", "raw-concat"))]
    legacy_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    legacy_version: Option<u32>,
}

/// What the key is on.
#[derive(Serialize, ToSchema)]
struct HyokKeyHosting {
    blocked: bool,
    linked_state: bool,
    custom_key_store_id: String,
    /// As the key was made on it: a virtual key, or a source key of tier `local`.
    source_key_id: String,
    source_key_tier: String,
    policy: HyokKeyPolicyReserved,
}

/// Means nothing.
#[derive(Serialize, ToSchema)]
struct HyokKeyPolicyReserved {
    reserved: bool,
}

/// The key in AWS.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct HyokKeyForAws {
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    enabled: bool,
    key_state: &'static str,
    origin: &'static str,
    xks_key_configuration: XksKeyConfiguration,
}

/// Nothing, until the key is linked.
#[derive(Serialize, ToSchema)]
struct HyokKeyInAws {}

/// What AWS KMS is to be told of the key.
#[derive(Serialize, ToSchema)]
struct XksKeyConfiguration {
    /// The `XksKeyId`.
    #[serde(rename = "Id")]
    id: String,
}

/// A version of a key.
#[derive(Serialize, ToSchema)]
pub(super) struct HyokKeyVersion {
    #[serde(flatten)]
    envelope: Envelope,
    source_key_id: String,
    /// From 0.
    version: u32,
    #[schema(examples("pending", "active", "retired"))]
    state: &'static str,
}

impl HyokKey {
    pub(super) fn of(backed: Backed, told: Told) -> Self {
        let (linked, tier) = (backed.link() == Link::Linked, tier(&backed.key, &backed.key_store));
        let Backed { key_store, kms, key, virtual_key } = backed;
        let made_on = match virtual_key.versions.first() {
            Some(first) if virtual_key.key.silent => source_id(&first.source),
            Some(_) | None => virtual_key.key.id.to_string(),
        };
        let newest = virtual_key.versions.last();
        let local = newest.map(|newest| &newest.source).filter(|_| key_store.tier == Tier::Local);
        let partition = newest.and_then(|newest| newest.partition.as_ref());
        Self {
            envelope: Envelope::new("cckm:aws-key", &key.id, key.stamps, told).of_application(),
            region: key_store.region.clone(),
            kms: kms.as_ref().map(|kms| kms.name.clone()),
            kms_id: key_store.kms,
            cloud_name: CLOUD,
            key_type: "symmetric",
            key_material_origin: MATERIAL_ORIGIN,
            key_source: tier.clone(),
            key_source_container_id: partition.map(|partition| partition.id),
            key_source_container_name: partition.map(|partition| partition.label.clone()),
            local_key_id: local.map(source_id),
            local_key_name: local.map(|source| source.name.clone()).filter(|name| !name.is_empty()),
            linked_state: linked,
            blocked: key.blocked,
            custom_key_store_id: key_store.id.to_string(),
            custom_key_store_name: key_store.name.clone(),
            locally_hosted: true,
            gone: false,
            local_hosted_params: HyokKeyHosting {
                blocked: key.blocked,
                linked_state: linked,
                custom_key_store_id: key_store.id.to_string(),
                source_key_id: made_on,
                source_key_tier: tier,
                policy: HyokKeyPolicyReserved { reserved: false },
            },
            aws_param: HyokKeyForAws {
                description: key.for_aws.description,
                enabled: true,
                key_state: KEY_STATE,
                origin: ORIGIN,
                xks_key_configuration: XksKeyConfiguration { id: key.external_id.to_string() },
            },
            aws_params: HyokKeyInAws {},
            legacy_format: key.legacy.map(|legacy| legacy_format(legacy.format)),
            legacy_version: key.legacy.map(|legacy| legacy.version),
        }
    }
}

impl HyokKeyVersion {
    pub(super) fn of(virtual_key: Uuid, on: &VersionOnSource) -> Self {
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

/// The tier of a key's store, as clients spell it.
pub(super) fn tier(key: &HyokKeyEntry, key_store: &KeyStoreEntry) -> String {
    let spelt = match key_store.tier {
        Tier::Local => "local",
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
pub(super) const MATERIAL_ORIGIN: &str = "cckm";
pub(super) const ORIGIN: &str = "EXTERNAL_KEY_STORE";
pub(super) const KEY_STATE: &str = "Enabled";
