//! What clients send to create and change key stores (contract §7.2, §7.4). One form for both: clients send all members always.

use std::time::Duration;

use holdfast_proto::ids::UriPath;
use serde::Deserialize;
use utoipa::ToSchema;

use super::object::{EXTERNAL, LOCAL, LUNA};
use crate::{
    api::error::Refusal,
    core::{
        credentials::taken_over,
        key_stores::{Address, FixedMembers, KeyStoreOptions, KeyStorePatch, NewHealthKey, NewKeyStore, NewTier},
    },
};

/// A key store, to create or to change.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct KeyStoreBody {
    /// Unique; required to create.
    #[schema(max_length = 256)]
    pub(super) name: Option<String>,
    /// A KMS container, by name or id; required to create.
    kms: Option<String>,
    /// One of the KMS container's; required to create.
    region: Option<String>,
    /// Only `false` in this version.
    #[serde(alias = "linked state")]
    linked_state: Option<bool>,
    /// Audits successes as well as failures.
    enable_success_audit_event: Option<bool>,
    /// Required to create.
    local_hosted_params: Option<KeyStoreLocalBody>,
    /// Required to create.
    aws_param: Option<KeyStoreAwsBody>,
}

/// What is kept here of it.
#[derive(Default, Deserialize, ToSchema)]
struct KeyStoreLocalBody {
    blocked: Option<bool>,
    linked_state: Option<bool>,
    mtls_enabled: Option<bool>,
    /// Required to create.
    health_check_key_id: Option<String>,
    /// 2 to 20; required to create.
    max_credentials: Option<Count>,
    /// For tier `luna-hsm`, and only then.
    partition_id: Option<String>,
    /// `luna-hsm` (also without it) or `local`.
    source_key_tier: Option<String>,
    /// Seconds after which unused credentials are deleted; 0: never.
    retire_unused_after: Option<Count>,
}

/// What AWS KMS would know of it.
#[derive(Default, Deserialize, ToSchema)]
struct KeyStoreAwsBody {
    /// `EXTERNAL_KEY_STORE`.
    custom_key_store_type: Option<String>,
    /// `PUBLIC_ENDPOINT` (also without it) or `VPC_ENDPOINT_SERVICE`.
    xks_proxy_connectivity: Option<String>,
    /// `https://` and a host name; required to create.
    xks_proxy_uri_endpoint: Option<String>,
    /// For `VPC_ENDPOINT_SERVICE`, and only then.
    xks_proxy_vpc_endpoint_service_name: Option<String>,
    /// Of a proxy that is taken over; else made.
    xks_proxy_uri_path: Option<String>,
    /// Of a proxy that is taken over; else drawn.
    access_key_id: Option<String>,
    /// Of a proxy that is taken over; else drawn.
    secret_access_key: Option<String>,
    /// Of CloudHSM key stores, which are not in this version.
    cloud_hsm_cluster_id: Option<String>,
    /// Of CloudHSM key stores, which are not in this version.
    trust_anchor_certificate: Option<String>,
}

/// A number, or a text that is one.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Count {
    /// The number.
    Number(u64),
    /// In decimal digits.
    Text(String),
}

impl KeyStoreBody {
    /// To create.
    pub(super) fn new_key_store(self) -> Result<NewKeyStore, Refusal> {
        self.is_of_this_version()?;
        let (local, aws) = (self.local_hosted_params.unwrap_or_default(), self.aws_param.unwrap_or_default());
        let tier = tier(local.source_key_tier.as_deref(), local.partition_id)?;
        let max_credentials = count("local_hosted_params.max_credentials", local.max_credentials)?.filter(|count| *count > 0);
        let max_credentials = required("local_hosted_params.max_credentials", max_credentials)?;
        let retire = count("local_hosted_params.retire_unused_after", local.retire_unused_after)?.filter(|seconds| *seconds > 0);
        let endpoint = required("aws_param.xks_proxy_uri_endpoint", aws.xks_proxy_uri_endpoint)?;
        Ok(NewKeyStore {
            name: required("name", self.name)?,
            region: required("region", self.region)?,
            kms: Some(required("kms", self.kms)?),
            tier,
            tier_as_sent: local.source_key_tier,
            health_key: NewHealthKey::Source(required("local_hosted_params.health_check_key_id", local.health_check_key_id)?),
            address: Address {
                endpoint: Some(endpoint),
                connectivity: aws.xks_proxy_connectivity,
                vpc_service: aws.xks_proxy_vpc_endpoint_service_name,
            },
            uri_path: uri_path(aws.xks_proxy_uri_path.as_deref())?,
            credential: taken_over(&aws.access_key_id.unwrap_or_default(), &aws.secret_access_key.unwrap_or_default())?,
            max_credentials: u8::try_from(max_credentials)
                .map_err(|_| Refusal::invalid("local_hosted_params.max_credentials", "must be 2 to 20"))?,
            options: KeyStoreOptions {
                blocked: local.blocked.unwrap_or(false),
                mtls_enabled: local.mtls_enabled.unwrap_or(false),
                success_audit: self.enable_success_audit_event.unwrap_or(false),
                retire_unused_after: retire.map(Duration::from_secs),
                ..KeyStoreOptions::default()
            },
        })
    }

    /// To change.
    pub(super) fn patch(self) -> Result<KeyStorePatch, Refusal> {
        let (local, aws) = (self.local_hosted_params.unwrap_or_default(), self.aws_param.unwrap_or_default());
        let retire = count("local_hosted_params.retire_unused_after", local.retire_unused_after)?;
        let cloud_hsm = [
            ("cloud_hsm_cluster_id", aws.cloud_hsm_cluster_id.is_some()),
            ("trust_anchor_certificate", aws.trust_anchor_certificate.is_some()),
        ];
        let fixed = FixedMembers {
            kms: self.kms,
            region: self.region,
            store_type: aws.custom_key_store_type,
            max_credentials: count("local_hosted_params.max_credentials", local.max_credentials)?.filter(|count| *count > 0),
            partition: local.partition_id,
            tier: local.source_key_tier,
            blocked: local.blocked.unwrap_or(false),
            linked: self.linked_state == Some(true) || local.linked_state == Some(true),
            cloud_hsm: cloud_hsm.into_iter().find(|(_, told)| *told).map(|(field, _)| field),
        };
        Ok(KeyStorePatch {
            name: self.name,
            success_audit: self.enable_success_audit_event,
            mtls_enabled: local.mtls_enabled,
            retire_unused_after: retire.map(|seconds| Some(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs)),
            health_key: local.health_check_key_id,
            address: Address {
                endpoint: aws.xks_proxy_uri_endpoint,
                connectivity: aws.xks_proxy_connectivity,
                vpc_service: aws.xks_proxy_vpc_endpoint_service_name,
            },
            uri_path: uri_path(aws.xks_proxy_uri_path.as_deref())?,
            credential: taken_over(&aws.access_key_id.unwrap_or_default(), &aws.secret_access_key.unwrap_or_default())?,
            fixed,
            ..KeyStorePatch::default()
        })
    }

    fn is_of_this_version(&self) -> Result<(), Refusal> {
        match self.aws_param.as_ref().and_then(|aws| aws.custom_key_store_type.as_deref()) {
            None | Some(EXTERNAL) => {}
            Some("AWS_CLOUDHSM" | "CLOUD_HSM" | "CloudHSM") => {
                return Err(Refusal::invalid(
                    "aws_param.custom_key_store_type",
                    "CloudHSM key stores need linked mode, which is not in this version",
                ));
            }
            Some(_) => return Err(Refusal::invalid("aws_param.custom_key_store_type", "must be EXTERNAL_KEY_STORE")),
        }
        let linked = self.local_hosted_params.as_ref().and_then(|local| local.linked_state);
        if self.linked_state == Some(true) || linked == Some(true) {
            return Err(Refusal::invalid("linked_state", "linked mode is not in this version; create the key store unlinked"));
        }
        Ok(())
    }
}

fn tier(tier: Option<&str>, partition: Option<String>) -> Result<NewTier, Refusal> {
    match (tier, partition) {
        (Some(LOCAL), None) => Ok(NewTier::Local),
        (Some(LOCAL), Some(_)) => Err(Refusal::invalid("local_hosted_params.partition_id", "is for tier luna-hsm only")),
        (None | Some(LUNA | "hsm-luna"), partition) => Ok(NewTier::Partition(required("local_hosted_params.partition_id", partition)?)),
        (Some(_), _) => Err(Refusal::invalid("local_hosted_params.source_key_tier", "must be luna-hsm or local")),
    }
}

fn uri_path(text: Option<&str>) -> Result<Option<UriPath>, Refusal> {
    text.map(UriPath::try_from).transpose().map_err(|bad| Refusal::invalid("aws_param.xks_proxy_uri_path", bad))
}

fn count(field: &str, told: Option<Count>) -> Result<Option<u64>, Refusal> {
    match told {
        None => Ok(None),
        Some(Count::Number(number)) => Ok(Some(number)),
        Some(Count::Text(text)) => text.parse().map(Some).map_err(|_| Refusal::invalid(field, "must be a number")),
    }
}

fn required<T>(field: &str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::invalid(field, "is required"))
}
