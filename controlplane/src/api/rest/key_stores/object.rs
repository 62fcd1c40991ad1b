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
use uuid::Uuid;

use crate::{
    api::rest::envelope::{Envelope, Told},
    core::key_stores::{AnyKeyStore, KeyStoreDetails, health_key_id},
    store::entry::{AwsKeyStoreEntry, AwsKeyStoreKind, KeyStoreEntry, PartitionEntry, Tier},
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
    /// `LOCAL`: its proxy is here. `REMOTE`: it is elsewhere. `CloudHSM`: there is none.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The same, for older clients.
    locally_hosted: bool,
    /// Counts rotations.
    credential_version: u32,
    cloud_name: &'static str,
    version_count: u32,
    gone: bool,
    /// Why what was last begun with it in AWS did not come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
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

/// What AWS KMS knows of it, or would.
#[derive(Default, Serialize, ToSchema)]
struct KeyStoreAwsParam {
    custom_key_store_name: String,
    custom_key_store_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    xks_proxy_uri_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xks_proxy_uri_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xks_proxy_connectivity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xks_proxy_vpc_endpoint_service_name: Option<String>,
    /// As in `cks-` and 17 digits; absent while AWS has it not.
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_key_store_id: Option<String>,
    /// `CONNECTED`, `CONNECTING`, `DISCONNECTING`, `DISCONNECTED` or `FAILED`; absent while AWS has it not.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_state: Option<&'static str>,
    /// Why it failed, in AWS's terms.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_hsm_cluster_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_anchor_certificate: Option<String>,
}

/// What is kept here of it.
#[derive(Default, Serialize, ToSchema)]
struct KeyStoreLocalParams {
    blocked: bool,
    linked_state: bool,
    policy: KeyStorePolicy,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_container_id: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    source_container_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_label: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    health_check_key_id: String,
    /// What a data plane made with the health key when it was taken. Opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check_ciphertext: Option<String>,
    max_credentials: u8,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_key_tier: String,
    mtls_enabled: bool,
    /// Seconds after which unused credentials are deleted; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    retire_unused_after: Option<u64>,
}

#[derive(Default, Serialize, ToSchema)]
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
        let KeyStoreDetails { key_store, kms, partition } = details;
        let (id, stamps, kind) = (key_store.id(), key_store.stamps(), kind(&key_store));
        let rotation_job = key_store.aws().and_then(|aws| aws.rotation_job);
        let gone = key_store.aws().is_some_and(|aws| aws.gone);
        let failure = key_store.aws().and_then(|aws| aws.failure.clone());
        let head = match key_store {
            AnyKeyStore::Here { entry, aws } => Head::here(entry, aws.as_deref(), partition),
            AnyKeyStore::There(entry) => Head::there(entry),
        };
        Self {
            envelope: Envelope::new("cckm:aws_cks", &id, stamps, told),
            labels: rotation_job.into_iter().map(|job| (ROTATION_JOB.to_owned(), job.to_string())).collect(),
            kms: kms.map(|kms| kms.name),
            kms_id: head.kms.map(|id| id.to_string()),
            region: head.region,
            kind,
            locally_hosted: kind == KIND,
            credential_version: head.credential_version,
            cloud_name: CLOUD,
            version_count: 0,
            gone,
            failure,
            enable_success_audit_event: head.success_audit,
            aws_param: head.aws_param,
            name: head.name,
            local_hosted_params: head.local,
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

/// What differs by where a key store is served.
struct Head {
    name: String,
    kms: Option<Uuid>,
    region: String,
    credential_version: u32,
    success_audit: bool,
    aws_param: KeyStoreAwsParam,
    local: KeyStoreLocalParams,
}

impl Head {
    fn here(entry: KeyStoreEntry, aws: Option<&AwsKeyStoreEntry>, partition: Option<PartitionEntry>) -> Self {
        let local = KeyStoreLocalParams {
            blocked: entry.blocked,
            linked_state: aws.is_some(),
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
        let aws_param = KeyStoreAwsParam {
            custom_key_store_name: aws.map_or_else(|| entry.name.clone(), |aws| aws.name.clone()),
            custom_key_store_type: EXTERNAL,
            xks_proxy_uri_endpoint: entry.address.endpoint,
            xks_proxy_uri_path: Some(entry.uri_path.to_string()),
            xks_proxy_connectivity: Some(entry.address.connectivity.as_str()),
            xks_proxy_vpc_endpoint_service_name: entry.address.vpc_service,
            ..aws.map(in_aws).unwrap_or_default()
        };
        let (credential_version, success_audit) = (entry.credential_version, entry.success_audit);
        Self { name: entry.name, kms: entry.kms, region: entry.region, credential_version, success_audit, aws_param, local }
    }

    fn there(entry: AwsKeyStoreEntry) -> Self {
        let told = KeyStoreAwsParam { custom_key_store_name: entry.name.clone(), ..in_aws(&entry) };
        let (aws_param, linked_state) = match entry.kind {
            AwsKeyStoreKind::CloudHsm { cluster_id, trust_anchor_certificate, linked_as_sent } => {
                let cluster = KeyStoreAwsParam {
                    custom_key_store_type: ON_CLUSTER,
                    cloud_hsm_cluster_id: Some(cluster_id),
                    trust_anchor_certificate: Some(trust_anchor_certificate),
                    ..told
                };
                (cluster, linked_as_sent)
            }
            AwsKeyStoreKind::Remote { address, uri_path, .. } => {
                let proxy = KeyStoreAwsParam {
                    custom_key_store_type: EXTERNAL,
                    xks_proxy_uri_endpoint: address.endpoint,
                    xks_proxy_uri_path: Some(uri_path),
                    xks_proxy_connectivity: Some(address.connectivity.as_str()),
                    xks_proxy_vpc_endpoint_service_name: address.vpc_service,
                    ..told
                };
                (proxy, true)
            }
            AwsKeyStoreKind::Linked { .. } => (KeyStoreAwsParam { custom_key_store_type: EXTERNAL, ..told }, true),
        };
        let local = KeyStoreLocalParams { linked_state, ..KeyStoreLocalParams::default() };
        let (kms, credential_version) = (Some(entry.kms), 0);
        Self { name: entry.name, kms, region: entry.region, credential_version, success_audit: false, aws_param, local }
    }
}

/// What AWS told of how it is connected.
fn in_aws(entry: &AwsKeyStoreEntry) -> KeyStoreAwsParam {
    let has = entry.custom_key_store_id.is_some();
    KeyStoreAwsParam {
        custom_key_store_id: entry.custom_key_store_id.clone(),
        connection_state: has.then(|| entry.state.as_str()),
        connection_error_code: entry.connection_error.clone(),
        ..KeyStoreAwsParam::default()
    }
}

/// Where it is served.
pub(super) const fn kind(key_store: &AnyKeyStore) -> &'static str {
    match key_store {
        AnyKeyStore::Here { .. } | AnyKeyStore::There(AwsKeyStoreEntry { kind: AwsKeyStoreKind::Linked { .. }, .. }) => KIND,
        AnyKeyStore::There(AwsKeyStoreEntry { kind: AwsKeyStoreKind::CloudHsm { .. }, .. }) => "CloudHSM",
        AnyKeyStore::There(AwsKeyStoreEntry { kind: AwsKeyStoreKind::Remote { .. }, .. }) => "REMOTE",
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

/// The label that names the job which rotates the credential.
const ROTATION_JOB: &str = "job_config_id";
pub(super) const KIND: &str = "LOCAL";
pub(super) const CLOUD: &str = "aws";
pub(super) const EXTERNAL: &str = "EXTERNAL_KEY_STORE";
pub(super) const ON_CLUSTER: &str = "AWS_CLOUDHSM";
pub(super) const LOCAL: &str = "local";
pub(super) const LUNA: &str = "luna-hsm";
