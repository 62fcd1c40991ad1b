//! `holdfast aws-key`: keys in AWS KMS.

mod change;
mod make;
mod material;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use holdfast_proto::admin::{AwsKey, DeleteAwsKeyRequest, GetAwsKeyRequest, ListAwsKeysRequest};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Admin, At, Out,
    shown::{moment, moment_or, warn_of_pending, yes_or_no},
    whole,
};
use crate::failure::{Failure, Kind};

/// Keys in AWS KMS: native, uploaded, on CloudHSM clusters, and linked HYOK keys
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key list --region eu-west-1")]
pub(crate) struct AwsKeyArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Lists the keys that AWS KMS has, as far as is known here; `holdfast sync start` looks for others
    #[command(after_help = "Example: holdfast aws-key list --kms main --region eu-west-1")]
    List {
        /// Only those of this KMS container, by id or name
        #[arg(long, value_name = "CONTAINER")]
        kms: Option<String>,
        /// Only those of this region
        #[arg(long)]
        region: Option<String>,
        /// Only those of this key store, by id or name
        #[arg(long, value_name = "KEY STORE")]
        key_store: Option<String>,
    },
    /// Shows a key as AWS KMS last told it
    #[command(after_help = "Example: holdfast aws-key show 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    Show(Named),
    Create(Box<make::CreateArgs>),
    Upload(Box<make::UploadArgs>),
    #[command(name = "create-cloudhsm")]
    CreateCloudHsm(Box<make::CreateCloudHsmArgs>),
    Replicate(Box<make::ReplicateArgs>),
    /// Lets AWS KMS use a key again
    #[command(after_help = "Example: holdfast aws-key enable 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    Enable(Named),
    /// Has AWS KMS refuse to use a key
    #[command(after_help = "Example: holdfast aws-key disable 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    Disable(Named),
    Alias(change::AliasArgs),
    Tag(change::TagArgs),
    Describe(change::DescribeArgs),
    Policy(change::SetPolicyArgs),
    Delete(change::DeleteArgs),
    /// Takes the deletion of a key back; it is disabled then
    #[command(after_help = "Example: holdfast aws-key undelete 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    Undelete(Named),
    /// Drops what is known here of a key that AWS KMS has deleted, or gives up what can't be finished with one; a HYOK key is refused
    #[command(after_help = "Example: holdfast aws-key forget 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    Forget(Named),
    Import(material::ImportArgs),
    DeleteMaterial(material::DeleteMaterialArgs),
    /// Rotates a key's material, the key staying what it is
    #[command(after_help = "Example: holdfast aws-key rotate-material 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    RotateMaterial(Named),
    Rotate(material::RotateArgs),
    /// Lists the material that a key has and had
    #[command(after_help = "Example: holdfast aws-key rotations 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    Rotations(Named),
    PrimaryRegion(change::PrimaryRegionArgs),
    AutoRotation(change::AutoRotationArgs),
    EnableRotation(change::EnableRotationArgs),
    /// Has no job rotate a key any more
    #[command(after_help = "Example: holdfast aws-key disable-rotation 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    DisableRotation(Named),
}

#[derive(Args, Debug)]
struct Named {
    /// The key's id here
    key: String,
}

impl AwsKeyArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| match &self.verb {
            Verb::List { kms, region, key_store } => {
                let text = |given: &Option<String>| given.clone().unwrap_or_default();
                let request = ListAwsKeysRequest { kms: text(kms), region: text(region), key_store: text(key_store) };
                list(admin, out, request).await
            }
            Verb::Show(named) => {
                let request = GetAwsKeyRequest { id: named.key.clone() };
                show(out, admin.aws_keys.get_aws_key(request).await?.into_inner().key)
            }
            Verb::Create(args) => args.run(admin, out).await,
            Verb::Upload(args) => args.run(admin, out).await,
            Verb::CreateCloudHsm(args) => args.run(admin, out).await,
            Verb::Replicate(args) => args.run(admin, out).await,
            Verb::Enable(named) => change::set_enabled(admin, out, (&named.key, true)).await,
            Verb::Disable(named) => change::set_enabled(admin, out, (&named.key, false)).await,
            Verb::Alias(args) => args.run(admin, out).await,
            Verb::Tag(args) => args.run(admin, out).await,
            Verb::Describe(args) => args.run(admin, out).await,
            Verb::Policy(args) => args.run(admin, out).await,
            Verb::Delete(args) => args.run(admin, out).await,
            Verb::Undelete(named) => change::undelete(admin, out, &named.key).await,
            Verb::Forget(named) => {
                let answer = admin.aws_keys.delete_aws_key(DeleteAwsKeyRequest { id: named.key.clone() }).await?.into_inner();
                warn_of_pending(&answer.pending_nodes);
                out.done(&answer, &format!("{} is forgotten", named.key))
            }
            Verb::Import(args) => args.run(admin, out).await,
            Verb::DeleteMaterial(args) => args.run(admin, out).await,
            Verb::RotateMaterial(named) => material::rotate(admin, out, &named.key).await,
            Verb::Rotate(args) => args.run(admin, out).await,
            Verb::Rotations(named) => material::rotations(admin, out, &named.key).await,
            Verb::PrimaryRegion(args) => args.run(admin, out).await,
            Verb::AutoRotation(args) => args.run(admin, out).await,
            Verb::EnableRotation(args) => args.run(admin, out).await,
            Verb::DisableRotation(named) => change::disable_rotation(admin, out, &named.key).await,
        })
    }
}

async fn list(admin: &mut Admin, out: Out, request: ListAwsKeysRequest) -> Result<(), Failure> {
    let all = admin.aws_keys.list_aws_keys(request).await?.into_inner().keys;
    out.list(&all, ["ALIAS", "KIND", "STATE", "REGION", "ID IN AWS KMS", "ID"], |key| {
        let alias = key.aliases.first().cloned().unwrap_or_default();
        [alias, key.kind.clone(), state(key), key.region.clone(), key.key_id.clone(), key.id.clone()]
    })
}

/// As AWS calls it, or why AWS does not.
pub(super) fn state(key: &AwsKey) -> String {
    match (key.gone, key.state.as_str()) {
        (true, _) => "gone".to_owned(),
        (false, "") => "being made".to_owned(),
        (false, state) => state.to_owned(),
    }
}

/// A key, for people.
fn show(out: Out, key: Option<AwsKey>) -> Result<(), Failure> {
    let key = whole(key, "key")?;
    let tags = key.tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect::<Vec<_>>();
    let regions = key.regions.clone().unwrap_or_default();
    out.one(
        &key,
        [
            ("id", key.id.clone()),
            ("kind", key.kind.clone()),
            ("state", state(&key)),
            ("failure", key.failure.clone()),
            ("region", key.region.clone()),
            ("KMS container", key.kms_id.clone()),
            ("key store", key.key_store_name.clone()),
            ("external key id", key.external_key_id.clone()),
            ("id in AWS KMS", key.key_id.clone()),
            ("ARN", key.arn.clone()),
            ("spec", key.spec.clone()),
            ("usage", key.usage.clone()),
            ("description", key.description.clone()),
            ("aliases", key.aliases.join(" ")),
            ("tags", tags.join(" ")),
            ("policy", key.policy.clone()),
            ("is deleted", moment(key.deletion_ms)),
            ("expires", moment(key.valid_to_ms)),
            ("source key", key.source_key_name.clone()),
            ("AWS rotates", if key.auto_rotation_days == 0 { String::new() } else { format!("every {} days", key.auto_rotation_days) }),
            ("rotated by job", key.rotation_job_id.clone()),
            ("rotated", moment(key.rotated_ms)),
            ("replaced by", key.rotated_to.clone()),
            ("primary region", regions.primary),
            ("replicas in", regions.replicas.join(" ")),
            ("is a replica", key.regions.as_ref().map(|regions| yes_or_no(regions.is_replica)).unwrap_or_default()),
            ("created", moment(key.created_ms)),
            ("updated", moment_or(key.updated_ms, "")),
        ],
    )
}

/// When material expires, milliseconds since 1970; 0: never.
fn expiry(text: Option<&str>) -> Result<u64, Failure> {
    let Some(text) = text else { return Ok(0) };
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok();
    let ms = moment.and_then(|moment| u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()).filter(|ms| *ms > 0);
    ms.ok_or_else(|| Failure::of(Kind::Usage, format!("{text}: a time is given as 2030-01-31T12:00:00Z")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_to_the_millisecond_and_none_means_never() {
        assert_eq!(expiry(None).ok(), Some(0));
        assert_eq!(expiry(Some("2030-01-31T12:00:00.5Z")).ok(), Some(1_896_091_200_500));
        assert_eq!(expiry(Some("tomorrow")).ok(), None);
    }
}
