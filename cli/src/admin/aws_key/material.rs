//! The verbs of `holdfast aws-key` about the material of keys: imported, rotated, deleted.

use clap::{Args, ValueEnum};
use holdfast_proto::admin::{
    DeleteAwsKeyMaterialRequest, ImportAwsKeyMaterialRequest, ListAwsKeyRotationsRequest, RotateAwsKeyMaterialRequest, RotateAwsKeyRequest,
};

use super::{expiry, show};
use crate::{
    admin::{
        Admin, Out,
        shown::{moment, moment_or},
    },
    failure::Failure,
};

/// Imports a source key's material into a key: its first, the same again, or new material that waits for its rotation
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key import 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 --source invoices-2027 --material new")]
pub(super) struct ImportArgs {
    /// The key's id here
    key: String,
    /// The source key, by id or name; it must be exportable
    #[arg(long, value_name = "KEY")]
    source: String,
    /// When the material expires, as 2030-01-31T12:00:00Z [default: never]
    #[arg(long, value_name = "TIME")]
    valid_to: Option<String>,
    /// Of symmetric keys: whether the key had it before [default: AWS's]
    #[arg(long, value_enum)]
    material: Option<Material>,
    /// Of symmetric keys: for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Of symmetric keys: AWS's id of the material that it must be
    #[arg(long, value_name = "ID")]
    material_id: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Material {
    /// The key never had it
    New,
    /// The key had it before
    Existing,
}

/// Deletes a key's imported material: the key can't be used until that is imported again
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key delete-material 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
pub(super) struct DeleteMaterialArgs {
    /// The key's id here
    key: String,
    /// AWS's id of the material [default: the current one]
    #[arg(long, value_name = "ID")]
    material_id: Option<String>,
}

/// Rotates a key: a HYOK key gets a new version; another is replaced by a new key, which takes over its aliases and is shown
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws-key rotate 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 --retain-alias")]
pub(super) struct RotateArgs {
    /// The key's id here
    key: String,
    /// The new source key, by id or name [default: one is made]
    #[arg(long, value_name = "KEY")]
    source: Option<String>,
    /// When new material expires that is imported, as 2030-01-31T12:00:00Z [default: never]
    #[arg(long, value_name = "TIME")]
    valid_to: Option<String>,
    /// Of the new key [default: the old one's]
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Disable the old key
    #[arg(long)]
    disable: bool,
    /// The old key keeps aliases that tell when it was rotated
    #[arg(long)]
    retain_alias: bool,
}

impl ImportArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = ImportAwsKeyMaterialRequest {
            id: self.key.clone(),
            source_key_id: self.source.clone(),
            valid_to_ms: expiry(self.valid_to.as_deref())?,
            new_material: self.material.map(|material| match material {
                Material::New => true,
                Material::Existing => false,
            }),
            description: self.description.clone().unwrap_or_default(),
            key_material_id: self.material_id.clone().unwrap_or_default(),
        };
        show(out, admin.aws_keys.import_aws_key_material(request).await?.into_inner().key)
    }
}

impl DeleteMaterialArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = DeleteAwsKeyMaterialRequest { id: self.key.clone(), key_material_id: self.material_id.clone().unwrap_or_default() };
        show(out, admin.aws_keys.delete_aws_key_material(request).await?.into_inner().key)
    }
}

impl RotateArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = RotateAwsKeyRequest {
            id: self.key.clone(),
            source_key_id: self.source.clone().unwrap_or_default(),
            valid_to_ms: expiry(self.valid_to.as_deref())?,
            description: self.description.clone().unwrap_or_default(),
            disable: self.disable,
            retain_alias: self.retain_alias,
        };
        show(out, admin.aws_keys.rotate_aws_key(request).await?.into_inner().key)
    }
}

pub(super) async fn rotate(admin: &mut Admin, out: Out, key: &str) -> Result<(), Failure> {
    let request = RotateAwsKeyMaterialRequest { id: key.to_owned() };
    show(out, admin.aws_keys.rotate_aws_key_material(request).await?.into_inner().key)
}

pub(super) async fn rotations(admin: &mut Admin, out: Out, key: &str) -> Result<(), Failure> {
    let request = ListAwsKeyRotationsRequest { id: key.to_owned() };
    let all = admin.aws_keys.list_aws_key_rotations(request).await?.into_inner().materials;
    out.list(&all, ["STATE", "ROTATION", "ROTATED", "EXPIRES", "SOURCE KEY", "ID IN AWS KMS"], |one| {
        let (rotated, expires) = (moment(one.rotated_ms), moment_or(one.valid_to_ms, "never"));
        [one.state.clone(), one.rotation_type.clone(), rotated, expires, one.source_key_name.clone(), one.key_material_id.clone()]
    })
}
