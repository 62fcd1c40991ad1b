//! A key store as clients see it (contract §7.1): all that any of them reads, in the types that §2.4 demands.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use data_encoding::HEXLOWER;
use holdfast_proto::{
    ids::{AccessKeyId, CredentialId},
    secret::Secret,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::rest::envelope::{Envelope, Told},
    core::key_stores::{KeyStoreDetails, health_key_id},
    store::entry::{KeyStoreEntry, Tier},
};

/// A key store.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyStoreObject {
    #[serde(flatten)]
    envelope: Envelope,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    name: String,
    /// The KMS container's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    kms: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_id: Option<String>,
    region: String,
    /// `LOCAL`: its proxy is here.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The same, for older clients.
    locally_hosted: bool,
    /// Counts rotations.
    credential_version: u32,
    cloud_name: &'static str,
    version_count: u32,
    gone: bool,
    /// Successes are audited as well as failures.
    enable_success_audit_event: bool,
    aws_param: KeyStoreAwsParam,
    local_hosted_params: KeyStoreLocalParams,
    /// After creation and rotation only.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<String>,
    /// After creation and rotation only.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_access_key: Option<String>,
    /// After rotation only.
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_count: Option<usize>,
    /// After rotation only: the one to delete first.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_credentials_id: Option<String>,
}

/// What AWS KMS would know of it.
#[derive(Serialize, ToSchema)]
struct KeyStoreAwsParam {
    custom_key_store_name: String,
    custom_key_store_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    xks_proxy_uri_endpoint: Option<String>,
    xks_proxy_uri_path: String,
    xks_proxy_connectivity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    xks_proxy_vpc_endpoint_service_name: Option<String>,
}

/// What is kept here of it.
#[derive(Serialize, ToSchema)]
struct KeyStoreLocalParams {
    blocked: bool,
    linked_state: bool,
    policy: KeyStorePolicy,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_container_id: Option<String>,
    source_container_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_label: Option<String>,
    health_check_key_id: String,
    /// What a data plane made with the health key when it was taken. Opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check_ciphertext: Option<String>,
    max_credentials: u8,
    source_key_tier: String,
    mtls_enabled: bool,
    /// Seconds after which unused credentials are deleted; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    retire_unused_after: Option<u64>,
}

#[derive(Serialize, ToSchema)]
struct KeyStorePolicy {
    reserved: bool,
}

/// What is shown once.
pub(super) enum Shown {
    /// The first credential.
    Created { access_key_id: AccessKeyId, secret: Secret },
    /// One more.
    Rotated { access_key_id: AccessKeyId, secret: Secret, count: usize, oldest: CredentialId },
}

impl KeyStoreObject {
    /// Without secrets.
    pub(super) fn of(details: KeyStoreDetails, told: Told) -> Self {
        let KeyStoreDetails { entry, kms, partition } = details;
        let local = KeyStoreLocalParams {
            blocked: entry.blocked,
            linked_state: false,
            policy: KeyStorePolicy { reserved: false },
            source_container_id: entry.partition.map(|id| id.to_string()),
            source_container_type: match entry.tier {
                Tier::Local => LOCAL,
                Tier::Partition(_) => "hsm-luna",
            },
            partition_id: entry.partition.map(|id| id.to_string()),
            partition_label: partition.map(|partition| partition.label),
            health_check_key_id: health_key_id(&entry),
            health_check_ciphertext: health_ciphertext(&entry),
            max_credentials: entry.max_credentials,
            source_key_tier: tier(&entry).into(),
            mtls_enabled: entry.mtls_enabled,
            retire_unused_after: entry.retire_unused_after_seconds,
        };
        Self {
            envelope: Envelope::new("cckm:aws_cks", &entry.id, entry.stamps, told),
            labels: entry.labels,
            kms: kms.map(|kms| kms.name),
            kms_id: entry.kms.map(|id| id.to_string()),
            region: entry.region,
            kind: KIND,
            locally_hosted: true,
            credential_version: entry.credential_version,
            cloud_name: CLOUD,
            version_count: 0,
            gone: false,
            enable_success_audit_event: entry.success_audit,
            aws_param: KeyStoreAwsParam {
                custom_key_store_name: entry.name.clone(),
                custom_key_store_type: EXTERNAL,
                xks_proxy_uri_endpoint: entry.address.endpoint,
                xks_proxy_uri_path: entry.uri_path.to_string(),
                xks_proxy_connectivity: entry.address.connectivity.as_str(),
                xks_proxy_vpc_endpoint_service_name: entry.address.vpc_service,
            },
            name: entry.name,
            local_hosted_params: local,
            access_key_id: None,
            secret_access_key: None,
            credential_count: None,
            oldest_credentials_id: None,
        }
    }

    /// With what is shown this once.
    pub(super) fn with(mut self, shown: Shown) -> Self {
        let (access_key_id, secret) = match shown {
            Shown::Created { access_key_id, secret } => (access_key_id, secret),
            Shown::Rotated { access_key_id, secret, count, oldest } => {
                self.credential_count = Some(count);
                self.oldest_credentials_id = Some(oldest.to_string());
                (access_key_id, secret)
            }
        };
        self.access_key_id = Some(access_key_id.to_string());
        // The one time that it is shown.
        self.secret_access_key = Some(secret.expose().to_owned());
        self
    }
}

/// As it was sent, or as the API calls it.
pub(super) fn tier(entry: &KeyStoreEntry) -> &str {
    let by_kind = match entry.tier {
        Tier::Local => LOCAL,
        Tier::Partition(_) => LUNA,
    };
    entry.sent.tier.as_deref().unwrap_or(by_kind)
}

/// Hexadecimal for software keys, base64 for those on partitions, as the contract's examples have it.
fn health_ciphertext(entry: &KeyStoreEntry) -> Option<String> {
    let text = match entry.tier {
        Tier::Local => HEXLOWER.encode(&entry.health_ciphertext),
        Tier::Partition(_) => BASE64_STANDARD.encode(&entry.health_ciphertext),
    };
    Some(text).filter(|text| !text.is_empty())
}

pub(super) const KIND: &str = "LOCAL";
pub(super) const CLOUD: &str = "aws";
pub(super) const EXTERNAL: &str = "EXTERNAL_KEY_STORE";
pub(super) const LOCAL: &str = "local";
pub(super) const LUNA: &str = "luna-hsm";
