//! Between the admin protocol's key stores and those of `core`. What comes in is checked here or there.

use std::{num::NonZeroU32, time::Duration};

use aws_sdk_cloudhsmv2::types::Cluster;
use holdfast_proto::{admin as wire, ids::UriPath, secret::Secret};

use crate::{
    api::{
        error::Refusal,
        grpc::convert::{NS_PER_MS, existing_key, given, said},
    },
    core::{
        aws_key_stores::NewCloudHsmStore,
        credentials::{UsedCredential, taken_over},
        key_stores::{
            Address, AnyKeyStore, KeyStoreDetails, KeyStoreOptions, KeyStorePatch, NewHealthKey, NewKeyStore, NewTier, health_key_id,
        },
    },
    store::entry::{AwsKeyStoreEntry, AwsKeyStoreKind, CredentialEntry, KeyStoreEntry, Tier},
};

pub(super) fn key_store(KeyStoreDetails { key_store, .. }: KeyStoreDetails) -> wire::KeyStore {
    let stamps = key_store.stamps();
    let in_aws = key_store.aws().map(in_aws).unwrap_or_default();
    let told = match key_store {
        AnyKeyStore::Here { entry, .. } => here(entry, in_aws),
        AnyKeyStore::There(entry) => there(entry, in_aws),
    };
    wire::KeyStore { created_ms: stamps.created_ns / NS_PER_MS, updated_ms: stamps.updated_ns / NS_PER_MS, ..told }
}

/// What AWS has of it.
fn in_aws(entry: &AwsKeyStoreEntry) -> wire::KeyStore {
    let state = if entry.custom_key_store_id.is_some() { entry.state.as_str() } else { "" };
    wire::KeyStore {
        linked_state: true,
        custom_key_store_id: entry.custom_key_store_id.clone().unwrap_or_default(),
        connection_state: state.into(),
        connection_error_code: entry.connection_error.clone().unwrap_or_default(),
        gone: entry.gone,
        failure: entry.failure.clone().unwrap_or_default(),
        credential_rotation_job_id: entry.rotation_job.map(|job| job.to_string()).unwrap_or_default(),
        ..wire::KeyStore::default()
    }
}

fn here(entry: KeyStoreEntry, in_aws: wire::KeyStore) -> wire::KeyStore {
    wire::KeyStore {
        id: entry.id.to_string(),
        health_check_key_id: health_key_id(&entry),
        name: entry.name,
        uri_path: entry.uri_path.to_string(),
        region: entry.region,
        tier: match entry.tier {
            Tier::Local => LOCAL.into(),
            Tier::Partition(group) => group,
        },
        blocked: entry.blocked,
        mtls_enabled: entry.mtls_enabled,
        success_audit: entry.success_audit,
        quota: entry.quota.unwrap_or(0),
        in_flight: entry.in_flight.unwrap_or(0),
        max_snapshot_age_seconds: entry.max_snapshot_age_seconds.unwrap_or(0),
        max_credentials: entry.max_credentials.into(),
        kms_id: entry.kms.map(|kms| kms.to_string()).unwrap_or_default(),
        xks_proxy_uri_endpoint: entry.address.endpoint.unwrap_or_default(),
        xks_proxy_connectivity: entry.address.connectivity.as_str().into(),
        xks_proxy_vpc_endpoint_service_name: entry.address.vpc_service.unwrap_or_default(),
        retire_unused_after_seconds: entry.retire_unused_after_seconds.unwrap_or(0),
        credential_version: entry.credential_version,
        kind: SERVED_HERE.into(),
        ..in_aws
    }
}

fn there(entry: AwsKeyStoreEntry, in_aws: wire::KeyStore) -> wire::KeyStore {
    let told = wire::KeyStore { id: entry.id.to_string(), name: entry.name, region: entry.region, kms_id: entry.kms.to_string(), ..in_aws };
    match entry.kind {
        AwsKeyStoreKind::Linked { .. } => wire::KeyStore { kind: SERVED_HERE.into(), ..told },
        AwsKeyStoreKind::Remote { address, uri_path, .. } => wire::KeyStore {
            kind: "REMOTE".into(),
            uri_path,
            xks_proxy_uri_endpoint: address.endpoint.unwrap_or_default(),
            xks_proxy_connectivity: address.connectivity.as_str().into(),
            xks_proxy_vpc_endpoint_service_name: address.vpc_service.unwrap_or_default(),
            ..told
        },
        AwsKeyStoreKind::CloudHsm { cluster_id, trust_anchor_certificate, .. } => {
            wire::KeyStore { kind: "CLOUDHSM".into(), cloud_hsm_cluster_id: cluster_id, trust_anchor_certificate, ..told }
        }
    }
}

pub(super) fn cluster(cluster: &Cluster) -> wire::CloudHsmCluster {
    wire::CloudHsmCluster {
        id: cluster.cluster_id.clone().unwrap_or_default(),
        state: cluster.state.as_ref().map(|state| state.as_str().to_owned()).unwrap_or_default(),
        hsm_type: cluster.hsm_type.clone().unwrap_or_default(),
        hsms: u32::try_from(cluster.hsms().len()).unwrap_or(u32::MAX),
        vpc_id: cluster.vpc_id.clone().unwrap_or_default(),
    }
}

pub(super) fn credential(entry: &CredentialEntry) -> wire::Credential {
    wire::Credential {
        id: entry.id.to_string(),
        key_store_id: entry.store.to_string(),
        access_key_id: entry.access_key_id.to_string(),
        created_ms: entry.stamps.created_ns / NS_PER_MS,
        last_used_ms: 0,
        version: entry.version,
    }
}

pub(super) fn used_credential(one: &UsedCredential) -> wire::Credential {
    wire::Credential { last_used_ms: one.used_ms.unwrap_or(0), ..credential(&one.credential) }
}

pub(super) fn new_key_store(q: wire::CreateKeyStoreRequest) -> Result<NewKeyStore, Refusal> {
    let health_key = match (q.health_check_key, given(&q.health_check_key_id)) {
        (None, None) => NewHealthKey::Made,
        (Some(existing), None) => NewHealthKey::OnGroup(existing_key("health_check_key", &existing)?),
        (None, Some(id)) => NewHealthKey::Source(id.into()),
        (Some(_), Some(_)) => return Err(Refusal::invalid("health_check_key_id", "must not come together with health_check_key")),
    };
    let max_credentials = match q.max_credentials {
        0 => DEFAULT_MAX_CREDENTIALS,
        given => u8::try_from(given).map_err(|_| Refusal::invalid("max_credentials", "must be 2 to 20"))?,
    };
    Ok(NewKeyStore {
        name: q.name,
        region: q.region,
        kms: said(q.kms),
        tier: match q.tier.as_str() {
            "" | LOCAL => NewTier::Local,
            _ => NewTier::Group(q.tier),
        },
        tier_as_sent: None,
        health_key,
        address: Address {
            endpoint: said(q.xks_proxy_uri_endpoint),
            connectivity: said(q.xks_proxy_connectivity),
            vpc_service: said(q.xks_proxy_vpc_endpoint_service_name),
        },
        uri_path: uri_path(&q.uri_path)?,
        credential: taken_over(&q.access_key_id, &q.secret_access_key)?,
        max_credentials,
        linked: q.linked_state,
        options: KeyStoreOptions {
            blocked: q.blocked,
            mtls_enabled: q.mtls_enabled,
            success_audit: q.success_audit,
            quota: NonZeroU32::new(q.quota),
            in_flight: NonZeroU32::new(q.in_flight),
            max_snapshot_age: seconds(q.max_snapshot_age_seconds),
            retire_unused_after: seconds(q.retire_unused_after_seconds),
        },
    })
}

pub(super) fn new_on_cluster(q: wire::CreateCloudHsmKeyStoreRequest) -> Result<NewCloudHsmStore, Refusal> {
    let required = |field: &'static str, text: String| said(text).ok_or_else(|| Refusal::invalid(field, "is required"));
    Ok(NewCloudHsmStore {
        name: required("name", q.name)?,
        kms: required("kms", q.kms)?,
        region: required("region", q.region)?,
        cluster_id: required("cloud_hsm_cluster_id", q.cloud_hsm_cluster_id)?,
        password: required("key_store_password", q.key_store_password).map(Secret::new)?,
        trust_anchor_certificate: required("trust_anchor_certificate", q.trust_anchor_certificate)?,
        linked_as_sent: true,
    })
}

pub(super) fn patch(q: wire::UpdateKeyStoreRequest) -> Result<KeyStorePatch, Refusal> {
    Ok(KeyStorePatch {
        name: q.name,
        success_audit: q.success_audit,
        mtls_enabled: q.mtls_enabled,
        quota: q.quota.map(NonZeroU32::new),
        in_flight: q.in_flight.map(NonZeroU32::new),
        max_snapshot_age: q.max_snapshot_age_seconds.map(seconds),
        retire_unused_after: q.retire_unused_after_seconds.map(seconds),
        health_key: q.health_check_key_id.and_then(said),
        address: Address {
            endpoint: q.xks_proxy_uri_endpoint.and_then(said),
            connectivity: q.xks_proxy_connectivity.and_then(said),
            vpc_service: q.xks_proxy_vpc_endpoint_service_name.and_then(said),
        },
        uri_path: uri_path(q.uri_path.as_deref().unwrap_or_default())?,
        credential: taken_over(&q.access_key_id, &q.secret_access_key)?,
        ..KeyStorePatch::default()
    })
}

fn uri_path(text: &str) -> Result<Option<UriPath>, Refusal> {
    given(text).map(UriPath::try_from).transpose().map_err(|e| Refusal::invalid("uri_path", e))
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// The kind of key stores that are served from here.
const SERVED_HERE: &str = "LOCAL";
const LOCAL: &str = "local";
const DEFAULT_MAX_CREDENTIALS: u8 = 2;
