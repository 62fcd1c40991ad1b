//! `holdfast key`: source keys, what really encrypts.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use holdfast_proto::admin::{
    CreateSourceKeyRequest, DeleteSourceKeyRequest, GetSourceKeyRequest, ListSourceKeysRequest, SourceKey, UpdateSourceKeyRequest,
};
use serde_json::json;

use super::{
    Admin, At, Out,
    shown::{moment, yes_or_no},
    whole,
};
use crate::failure::Failure;

/// Source keys: what really encrypts, local or on partitions
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast key list")]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Lists all source keys
    #[command(after_help = "Example: holdfast key list --json")]
    List,
    /// Shows a source key
    #[command(after_help = "Example: holdfast key show payments-2026")]
    Show {
        /// The source key, by id or name
        key: String,
    },
    Create(CreateArgs),
    Update(UpdateArgs),
    /// Deletes a source key; refused for an undeletable key, and while a key store, HYOK or virtual key uses it. That a key in AWS has its material refuses nothing: it can't be imported again then
    #[command(after_help = "Example: holdfast key delete payments-2026")]
    Delete {
        /// The source key, by id or name
        key: String,
    },
}

/// Generates a local key on a data plane; for keys on partitions see `holdfast partition key-generate`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  holdfast key create payments-2026 --unexportable --undeletable
  holdfast key create signing --algorithm EC --curve prime256v1")]
struct CreateArgs {
    /// Its name
    name: String,
    /// AES, RSA, EC, HMAC-SHA256, ...
    #[arg(long, default_value = "AES")]
    algorithm: String,
    /// Bits [default: the algorithm's]
    #[arg(long, value_name = "BITS")]
    size: Option<u32>,
    /// Of an EC key
    #[arg(long)]
    curve: Option<String>,
    /// What it is for, as a sum; 60: encrypt, decrypt, wrap, unwrap [default: what the algorithm is for]
    #[arg(long, value_name = "MASK")]
    usage_mask: Option<u32>,
    /// Never leaves the data planes; keys for key stores must be
    #[arg(long)]
    unexportable: bool,
    /// Can't be deleted until that is changed
    #[arg(long)]
    undeletable: bool,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// Changes what is given and leaves the rest
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast key update payments-2026 --undeletable false")]
struct UpdateArgs {
    /// The source key, by id or name
    key: String,
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Whether it can't be deleted
    #[arg(long, value_name = "true|false")]
    undeletable: Option<bool>,
}

impl KeyArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| match &self.verb {
            Verb::List => list(admin, out).await,
            Verb::Show { key } => {
                let request = GetSourceKeyRequest { id: key.clone() };
                let answer = admin.source_keys.get_source_key(request).await?.into_inner();
                show(out, &whole(answer.source_key, "source_key")?)
            }
            Verb::Create(args) => {
                let answer = admin.source_keys.create_source_key(args.request()).await?.into_inner();
                show(out, &whole(answer.source_key, "source_key")?)
            }
            Verb::Update(args) => {
                let answer = admin.source_keys.update_source_key(args.request()).await?.into_inner();
                show(out, &whole(answer.source_key, "source_key")?)
            }
            Verb::Delete { key } => {
                admin.source_keys.delete_source_key(DeleteSourceKeyRequest { id: key.clone() }).await?;
                out.done(&json!({}), &format!("{key} is deleted"))
            }
        })
    }
}

impl CreateArgs {
    fn request(&self) -> CreateSourceKeyRequest {
        CreateSourceKeyRequest {
            name: self.name.clone(),
            algorithm: self.algorithm.clone(),
            size: self.size.unwrap_or(0),
            curve: self.curve.clone().unwrap_or_default(),
            usage_mask: self.usage_mask.unwrap_or(0),
            unexportable: self.unexportable,
            undeletable: self.undeletable,
            description: self.description.clone().unwrap_or_default(),
        }
    }
}

impl UpdateArgs {
    fn request(&self) -> UpdateSourceKeyRequest {
        let Self { key, name, description, undeletable } = self;
        UpdateSourceKeyRequest { id: key.clone(), name: name.clone(), description: description.clone(), undeletable: *undeletable }
    }
}

async fn list(admin: &mut Admin, out: Out) -> Result<(), Failure> {
    let all = admin.source_keys.list_source_keys(ListSourceKeysRequest {}).await?.into_inner().source_keys;
    out.list(&all, ["NAME", "TIER", "KIND", "STATUS", "CREATED", "ID"], |key| {
        [key.name.clone(), key.tier.clone(), kind(key), key.status.clone(), moment(key.created_ms), key.id.clone()]
    })
}

/// A source key, for whoever made or asked for one.
pub(super) fn show(out: Out, key: &SourceKey) -> Result<(), Failure> {
    out.one(
        key,
        [
            ("name", key.name.clone()),
            ("id", key.id.clone()),
            ("tier", key.tier.clone()),
            ("kind", kind(key)),
            ("status", key.status.clone()),
            ("detail", key.detail.clone()),
            ("usage mask", key.usage_mask.to_string()),
            ("unexportable", yes_or_no(key.unexportable)),
            ("undeletable", yes_or_no(key.undeletable)),
            ("CKA_ID", key.cka_id.clone()),
            ("CKA_LABEL", key.label.clone()),
            ("description", key.description.clone()),
            ("created", moment(key.created_ms)),
            ("updated", moment(key.updated_ms)),
        ],
    )
}

fn kind(key: &SourceKey) -> String {
    match (key.curve.as_str(), key.size) {
        ("", 0) => key.algorithm.clone(),
        ("", bits) => format!("{} {bits}", key.algorithm),
        (curve, _) => format!("{} {curve}", key.algorithm),
    }
}
