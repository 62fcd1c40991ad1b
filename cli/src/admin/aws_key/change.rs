//! The verbs of `holdfast aws-key` that change what AWS KMS tells of a key.

use clap::{ArgGroup, Args, Subcommand};
use holdfast_proto::admin::{
    AddAwsKeyAliasRequest, AddAwsKeyTagsRequest, CancelAwsKeyDeletionRequest, DeleteAwsKeyAliasRequest, DisableAwsKeyAutoRotationRequest,
    DisableAwsKeyRequest, DisableAwsKeyRotationJobRequest, EnableAwsKeyAutoRotationRequest, EnableAwsKeyRequest,
    EnableAwsKeyRotationJobRequest, GetJobRequest, RemoveAwsKeyTagsRequest, ScheduleAwsKeyDeletionRequest, SetAwsKeyDescriptionRequest,
    SetAwsKeyPolicyRequest, SetAwsKeyPrimaryRegionRequest,
};

use super::show;
use crate::{
    admin::{
        Admin, Out,
        policy::{self, PolicyArgs},
        whole,
    },
    failure::Failure,
};

/// Aliases of a key in AWS KMS
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key alias add 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 invoices")]
pub(super) struct AliasArgs {
    #[command(subcommand)]
    verb: AliasVerb,
}

#[derive(Subcommand, Debug)]
enum AliasVerb {
    /// Gives a key one more alias
    #[command(after_help = "Example: holdfast aws-key alias add 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 invoices")]
    Add {
        /// The key's id here
        key: String,
        /// With or without alias/ before it
        alias: String,
    },
    /// Takes an alias from a key
    #[command(after_help = "Example: holdfast aws-key alias remove 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 invoices")]
    Remove {
        /// The key's id here
        key: String,
        /// With or without alias/ before it
        alias: String,
    },
}

/// Tags of a key in AWS KMS
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key tag add 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 team=billing")]
pub(super) struct TagArgs {
    #[command(subcommand)]
    verb: TagVerb,
}

#[derive(Subcommand, Debug)]
enum TagVerb {
    /// Puts tags on a key; one that is there gets the new value
    #[command(after_help = "Example: holdfast aws-key tag add 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 team=billing stage=test")]
    Add {
        /// The key's id here
        key: String,
        /// Values of A-Z, a-z, 0-9 and _ . / = + - @
        #[arg(required = true, value_name = "KEY=VALUE")]
        tags: Vec<String>,
    },
    /// Takes tags off a key
    #[command(after_help = "Example: holdfast aws-key tag remove 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 stage")]
    Remove {
        /// The key's id here
        key: String,
        /// The tags' keys
        #[arg(required = true, value_name = "KEY")]
        tags: Vec<String>,
    },
}

/// Sets a key's description
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key describe 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 'Invoices since 2026'")]
pub(super) struct DescribeArgs {
    /// The key's id here
    key: String,
    /// For people; empty: none
    description: String,
}

/// Gives a key another policy; AWS's default where nothing is said
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  holdfast aws-key policy 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 --policy policy.json
  holdfast aws-key policy 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 --key-admin alice --key-user-role billing")]
pub(super) struct SetPolicyArgs {
    /// The key's id here
    key: String,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// Has AWS KMS delete a key in some days: what it encrypted can't be opened any more then
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key delete 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 --days 30")]
pub(super) struct DeleteArgs {
    /// The key's id here
    key: String,
    /// In so many days, 7-30
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    days: u32,
}

/// Makes the replica of a multi-region key in another region the primary key
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key primary-region 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 us-east-1")]
pub(super) struct PrimaryRegionArgs {
    /// The primary key's id here
    key: String,
    /// Where a replica is
    region: String,
}

/// Has AWS KMS rotate a key's material in time, or no longer
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("how").args(["days", "off"]))]
#[command(after_help = "Example: holdfast aws-key auto-rotation 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 --days 180")]
pub(super) struct AutoRotationArgs {
    /// The key's id here
    key: String,
    /// Every so many days, 90-2560 [default: AWS's, 365]
    #[arg(long)]
    days: Option<u32>,
    /// No longer
    #[arg(long)]
    off: bool,
}

/// Has a job rotate a key from now on, instead of any other job
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key enable-rotation 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 --job yearly")]
pub(super) struct EnableRotationArgs {
    /// The key's id here
    key: String,
    /// A job for key rotation, by id or name; `holdfast job create` makes one
    #[arg(long)]
    job: String,
    /// Where new keys come from, as local [default: as the key has it]
    #[arg(long, value_name = "SOURCE")]
    key_source: Option<String>,
    /// Keys that are replaced are disabled
    #[arg(long)]
    disable: bool,
}

impl AliasArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        match &self.verb {
            AliasVerb::Add { key, alias } => {
                let request = AddAwsKeyAliasRequest { id: key.clone(), alias: alias.clone() };
                show(out, admin.aws_keys.add_aws_key_alias(request).await?.into_inner().key)
            }
            AliasVerb::Remove { key, alias } => {
                let request = DeleteAwsKeyAliasRequest { id: key.clone(), alias: alias.clone() };
                show(out, admin.aws_keys.delete_aws_key_alias(request).await?.into_inner().key)
            }
        }
    }
}

impl TagArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        match &self.verb {
            TagVerb::Add { key, tags } => {
                let request = AddAwsKeyTagsRequest { id: key.clone(), tags: policy::tags(tags)? };
                show(out, admin.aws_keys.add_aws_key_tags(request).await?.into_inner().key)
            }
            TagVerb::Remove { key, tags } => {
                let request = RemoveAwsKeyTagsRequest { id: key.clone(), tags: tags.clone() };
                show(out, admin.aws_keys.remove_aws_key_tags(request).await?.into_inner().key)
            }
        }
    }
}

impl DescribeArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = SetAwsKeyDescriptionRequest { id: self.key.clone(), description: self.description.clone() };
        show(out, admin.aws_keys.set_aws_key_description(request).await?.into_inner().key)
    }
}

impl SetPolicyArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = SetAwsKeyPolicyRequest { id: self.key.clone(), policy: Some(self.policy.given()?) };
        show(out, admin.aws_keys.set_aws_key_policy(request).await?.into_inner().key)
    }
}

impl DeleteArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = ScheduleAwsKeyDeletionRequest { id: self.key.clone(), days: self.days };
        show(out, admin.aws_keys.schedule_aws_key_deletion(request).await?.into_inner().key)
    }
}

impl PrimaryRegionArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = SetAwsKeyPrimaryRegionRequest { id: self.key.clone(), region: self.region.clone() };
        show(out, admin.aws_keys.set_aws_key_primary_region(request).await?.into_inner().key)
    }
}

impl AutoRotationArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let id = self.key.clone();
        let key = if self.off {
            admin.aws_keys.disable_aws_key_auto_rotation(DisableAwsKeyAutoRotationRequest { id }).await?.into_inner().key
        } else {
            let request = EnableAwsKeyAutoRotationRequest { id, days: self.days.unwrap_or(0) };
            admin.aws_keys.enable_aws_key_auto_rotation(request).await?.into_inner().key
        };
        show(out, key)
    }
}

impl EnableRotationArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let job = whole(admin.jobs.get_job(GetJobRequest { id: self.job.clone() }).await?.into_inner().job, "job")?;
        let key_source = self.key_source.clone().unwrap_or_default();
        let request = EnableAwsKeyRotationJobRequest { id: self.key.clone(), job_id: job.id, key_source, disable: self.disable };
        show(out, admin.aws_keys.enable_aws_key_rotation_job(request).await?.into_inner().key)
    }
}

pub(super) async fn disable_rotation(admin: &mut Admin, out: Out, key: &str) -> Result<(), Failure> {
    let request = DisableAwsKeyRotationJobRequest { id: key.to_owned() };
    show(out, admin.aws_keys.disable_aws_key_rotation_job(request).await?.into_inner().key)
}

pub(super) async fn set_enabled(admin: &mut Admin, out: Out, (key, enabled): (&str, bool)) -> Result<(), Failure> {
    let id = key.to_owned();
    let key = if enabled {
        admin.aws_keys.enable_aws_key(EnableAwsKeyRequest { id }).await?.into_inner().key
    } else {
        admin.aws_keys.disable_aws_key(DisableAwsKeyRequest { id }).await?.into_inner().key
    };
    show(out, key)
}

pub(super) async fn undelete(admin: &mut Admin, out: Out, key: &str) -> Result<(), Failure> {
    let request = CancelAwsKeyDeletionRequest { id: key.to_owned() };
    show(out, admin.aws_keys.cancel_aws_key_deletion(request).await?.into_inner().key)
}
