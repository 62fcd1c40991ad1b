//! What clients send to create and change key stores (contract §7.2, §7.4). One form for both: clients send all members always.

use std::time::Duration;

use holdfast_proto::{ids::UriPath, secret::Secret};
use serde::Deserialize;
use utoipa::ToSchema;

use super::object::{EXTERNAL, LOCAL, LUNA};
use crate::{
    api::error::Refusal,
    core::{
        aws_key_stores::{CloudHsmPatch, FixedOnCluster, NewCloudHsmStore},
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
    /// AWS is told of it at once.
    #[serde(alias = "linked state")]
    linked_state: Option<bool>,
    /// Audits successes as well as failures.
    enable_success_audit_event: Option<bool>,
    /// Required to create.
    local_hosted_params: Option<KeyStoreLocalBody>,
    /// Required to create.
    aws_param: Option<KeyStoreAwsBody>,
    /// As in `aws_param`, where some clients send it.
    key_store_password: Option<String>,
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
    /// For `AWS_CLOUDHSM`, and required to create one.
    cloud_hsm_cluster_id: Option<String>,
    /// For `AWS_CLOUDHSM`, and required to create one; PEM.
    trust_anchor_certificate: Option<String>,
    /// For `AWS_CLOUDHSM`, and required to create one; passed on to AWS and not kept.
    key_store_password: Option<String>,
}

/// Where AWS is to find a key store that is linked.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct LinkBody {
    aws_param: Option<LinkAwsBody>,
}

#[derive(Default, Deserialize, ToSchema)]
struct LinkAwsBody {
    /// `https://` and a host name; required, unless the key store has one.
    xks_proxy_uri_endpoint: Option<String>,
    /// For `VPC_ENDPOINT_SERVICE`, and only then.
    xks_proxy_vpc_endpoint_service_name: Option<String>,
    /// `PUBLIC_ENDPOINT` or `VPC_ENDPOINT_SERVICE`; as the key store was created, without it.
    xks_proxy_connectivity: Option<String>,
}

/// What AWS needs to connect.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct ConnectBody {
    /// For `AWS_CLOUDHSM`: passed on to AWS and not kept.
    key_store_password: Option<String>,
}

/// Which job rotates the credential.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct RotationJobBody {
    /// A job of the operation `cckm_xks_credential_rotation`; required.
    job_config_id: Option<String>,
}

/// Where to look for CloudHSM clusters.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct ClustersBody {
    /// A KMS container, by name or id; required.
    kms: Option<String>,
    /// One of the KMS container's; required.
    region: Option<String>,
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
        match self.store_type() {
            None | Some(EXTERNAL) => {}
            Some(_) => return Err(Refusal::invalid("aws_param.custom_key_store_type", "must be EXTERNAL_KEY_STORE or AWS_CLOUDHSM")),
        }
        let linked = self.linked();
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
            linked,
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

    /// To create on a CloudHSM cluster.
    pub(super) fn new_on_cluster(self) -> Result<NewCloudHsmStore, Refusal> {
        let linked_as_sent = self.linked();
        let aws = self.aws_param.unwrap_or_default();
        Ok(NewCloudHsmStore {
            name: required("name", self.name)?,
            kms: required("kms", self.kms)?,
            region: required("region", self.region)?,
            cluster_id: required("aws_param.cloud_hsm_cluster_id", aws.cloud_hsm_cluster_id)?,
            password: required("aws_param.key_store_password", aws.key_store_password.or(self.key_store_password)).map(Secret::new)?,
            trust_anchor_certificate: required("aws_param.trust_anchor_certificate", aws.trust_anchor_certificate)?,
            linked_as_sent,
        })
    }

    /// To change on a CloudHSM cluster. What else is sent along is empty, or as it is.
    pub(super) fn patch_on_cluster(self) -> CloudHsmPatch {
        let aws = self.aws_param.unwrap_or_default();
        let password = aws.key_store_password.or(self.key_store_password).map(Secret::new);
        let fixed = FixedOnCluster { kms: self.kms, region: self.region, store_type: aws.custom_key_store_type };
        CloudHsmPatch { name: self.name, cluster_id: aws.cloud_hsm_cluster_id, password, fixed }
    }

    /// It is on a CloudHSM cluster, in any spelling.
    pub(super) fn is_on_cluster(&self) -> bool {
        matches!(self.store_type(), Some("AWS_CLOUDHSM" | "CLOUD_HSM" | "CloudHSM"))
    }

    fn store_type(&self) -> Option<&str> {
        self.aws_param.as_ref().and_then(|aws| aws.custom_key_store_type.as_deref())
    }

    fn linked(&self) -> bool {
        let within = self.local_hosted_params.as_ref().and_then(|local| local.linked_state);
        self.linked_state == Some(true) || within == Some(true)
    }
}

impl LinkBody {
    pub(super) fn address(self) -> Address {
        let aws = self.aws_param.unwrap_or_default();
        Address {
            endpoint: aws.xks_proxy_uri_endpoint,
            connectivity: aws.xks_proxy_connectivity,
            vpc_service: aws.xks_proxy_vpc_endpoint_service_name,
        }
    }
}

impl ConnectBody {
    pub(super) fn password(self) -> Option<Secret> {
        self.key_store_password.map(Secret::new)
    }
}

impl RotationJobBody {
    pub(super) fn job(self) -> Result<String, Refusal> {
        required("job_config_id", self.job_config_id)
    }
}

impl ClustersBody {
    /// The KMS container and the region.
    pub(super) fn place(self) -> Result<(String, String), Refusal> {
        Ok((required("kms", self.kms)?, required("region", self.region)?))
    }
}

fn tier(tier: Option<&str>, partition: Option<String>) -> Result<NewTier, Refusal> {
    match (tier, partition) {
        (Some(LOCAL), None) => Ok(NewTier::Local),
        (Some(LOCAL), Some(_)) => Err(Refusal::invalid("local_hosted_params.partition_id", "is for tier luna-hsm only")),
        (None, None) => {
            let text = "is required of source_key_tier luna-hsm, which is meant where none is given; the other one is local";
            Err(Refusal::invalid("local_hosted_params.partition_id", text))
        }
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
