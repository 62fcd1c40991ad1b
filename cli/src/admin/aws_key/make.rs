//! `holdfast aws-key create`, `upload`, `create-cloudhsm` and `replicate`.

use clap::Args;
use holdfast_proto::admin::{CreateAwsKeyRequest, CreateCloudHsmKeyRequest, ReplicateAwsKeyRequest, UploadAwsKeyRequest};

use super::{expiry, show};
use crate::{
    admin::{Admin, Out, policy::ForAws},
    failure::Failure,
};

/// Makes a key in AWS KMS, with AWS's own material or, for a while, with none
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  holdfast aws-key create --kms main --region eu-west-1 --alias invoices --tag team=billing
  holdfast aws-key create --kms main --region eu-west-1 --alias signer --spec RSA_2048 --usage SIGN_VERIFY --key-user alice")]
pub(super) struct CreateArgs {
    #[command(flatten)]
    kind: New,
    /// It waits for its material; `holdfast aws-key import` brings that
    #[arg(long)]
    without_material: bool,
}

/// Makes a key in AWS KMS with a source key's material, which a data plane wraps
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key upload invoices-2026 --kms main --region eu-west-1 --alias invoices")]
pub(super) struct UploadArgs {
    /// The source key, by id or name; it must be exportable
    source_key: String,
    #[command(flatten)]
    kind: New,
    /// When the material expires, as 2030-01-31T12:00:00Z [default: never]
    #[arg(long, value_name = "TIME")]
    valid_to: Option<String>,
}

/// Where a key is made, and what.
#[derive(Args, Debug)]
struct New {
    /// KMS container, by id or name
    #[arg(long, value_name = "CONTAINER")]
    kms: String,
    /// One of the container's regions
    #[arg(long)]
    region: String,
    /// As AWS spells it: SYMMETRIC_DEFAULT, RSA_2048, ECC_NIST_P256, HMAC_256, … [default: by the material, or symmetric]
    #[arg(long)]
    spec: Option<String>,
    /// As AWS spells it: ENCRYPT_DECRYPT, SIGN_VERIFY, GENERATE_VERIFY_MAC, KEY_AGREEMENT [default: by the spec]
    #[arg(long)]
    usage: Option<String>,
    /// Replicas may be made of it in other regions
    #[arg(long)]
    multi_region: bool,
    #[command(flatten)]
    for_aws: ForAws,
}

/// Makes a key on the cluster of a connected CloudHSM key store
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key create-cloudhsm vault --alias ledger")]
pub(super) struct CreateCloudHsmArgs {
    /// The key store, by id or name
    key_store: String,
    #[command(flatten)]
    for_aws: ForAws,
}

/// Makes a replica of a multi-region primary key in another region
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key replicate 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 --region us-east-1")]
pub(super) struct ReplicateArgs {
    /// The key's id here
    key: String,
    /// One of the KMS container's
    #[arg(long)]
    region: String,
    /// When imported material expires there, as 2030-01-31T12:00:00Z [default: never]
    #[arg(long, value_name = "TIME")]
    valid_to: Option<String>,
    #[command(flatten)]
    for_aws: ForAws,
}

impl CreateArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let New { kms, region, spec, usage, multi_region, for_aws } = &self.kind;
        let request = CreateAwsKeyRequest {
            kms: kms.clone(),
            region: region.clone(),
            key: Some(for_aws.given()?),
            spec: spec.clone().unwrap_or_default(),
            usage: usage.clone().unwrap_or_default(),
            multi_region: *multi_region,
            without_material: self.without_material,
        };
        show(out, admin.aws_keys.create_aws_key(request).await?.into_inner().key)
    }
}

impl UploadArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let New { kms, region, spec, usage, multi_region, for_aws } = &self.kind;
        let request = UploadAwsKeyRequest {
            kms: kms.clone(),
            region: region.clone(),
            key: Some(for_aws.given()?),
            spec: spec.clone().unwrap_or_default(),
            usage: usage.clone().unwrap_or_default(),
            multi_region: *multi_region,
            source_key_id: self.source_key.clone(),
            valid_to_ms: expiry(self.valid_to.as_deref())?,
        };
        show(out, admin.aws_keys.upload_aws_key(request).await?.into_inner().key)
    }
}

impl CreateCloudHsmArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = CreateCloudHsmKeyRequest { key_store: self.key_store.clone(), key: Some(self.for_aws.given()?) };
        show(out, admin.aws_keys.create_cloud_hsm_key(request).await?.into_inner().key)
    }
}

impl ReplicateArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = ReplicateAwsKeyRequest {
            id: self.key.clone(),
            region: self.region.clone(),
            key: Some(self.for_aws.given()?),
            valid_to_ms: expiry(self.valid_to.as_deref())?,
        };
        show(out, admin.aws_keys.replicate_aws_key(request).await?.into_inner().key)
    }
}
