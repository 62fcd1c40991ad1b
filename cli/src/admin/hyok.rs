//! `holdfast hyok`: HYOK keys, what AWS sees.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use holdfast_proto::admin::{
    BlockHyokKeyRequest, CreateHyokKeyRequest, DeleteHyokKeyRequest, ExistingKey, GetHyokKeyRequest, HyokKey, LinkHyokKeyRequest,
    ListHyokKeysRequest, RotateHyokKeyRequest, UnblockHyokKeyRequest,
};

use super::{
    Admin, At, Out, aws_key, keystore,
    policy::ForAws,
    shown::{moment, warn_of_pending},
    virtual_key::versions,
    whole,
};
use crate::failure::Failure;

/// HYOK keys: what AWS sees, each an external key id in one key store
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast hyok list --key-store payments")]
pub(crate) struct HyokArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Lists HYOK keys
    #[command(after_help = "Example: holdfast hyok list --key-store payments")]
    List {
        /// Only those of this key store, by id or name
        #[arg(long, value_name = "KEY STORE")]
        key_store: Option<String>,
    },
    /// Shows a HYOK key
    #[command(after_help = "Example: holdfast hyok show 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    Show(Named),
    Create(Box<CreateArgs>),
    Link(Box<LinkArgs>),
    /// Blocks a key: it neither encrypts nor decrypts. Answers when all connected nodes have applied it
    #[command(after_help = "Example: holdfast hyok block 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    Block(Named),
    /// Ends a block
    #[command(after_help = "Example: holdfast hyok unblock 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    Unblock(Named),
    Rotate(RotateArgs),
    /// Lists a key's versions
    #[command(after_help = "Example: holdfast hyok versions 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    Versions(Named),
    /// Deletes a key: what it encrypted can't be opened any more
    #[command(after_help = "Example: holdfast hyok delete 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
    Delete(Named),
}

#[derive(Args, Debug)]
struct Named {
    /// The key's id
    key: String,
}

/// Makes a HYOK key
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  holdfast hyok create payments --name invoices
  holdfast hyok create vault --name ledger --source-label ledger-2026
  holdfast hyok create payments --name orders --linked --alias orders --tag team=billing --policy policy.json")]
struct CreateArgs {
    /// The key store, by id or name
    key_store: String,
    /// Its name
    #[arg(long)]
    name: String,
    /// Begins blocked
    #[arg(long)]
    blocked: bool,
    /// Have AWS KMS make the key, too; the key store must be linked and connected
    #[arg(long)]
    linked: bool,
    #[command(flatten)]
    for_aws: ForAws,
    #[command(flatten)]
    source: SourceOf,
    /// Of a proxy that is taken over: the external key id that AWS knows [default: the key's id]
    #[arg(long, value_name = "ID")]
    external_key_id: Option<String>,
    /// Of a proxy that is taken over: how it made its AAD, so that its ciphertexts open
    #[arg(long, value_name = "FORMAT", value_parser = ["none", "aws-sample", "raw-concat"])]
    legacy_format: Option<String>,
}

/// What stands behind it.
#[derive(Args, Debug)]
struct SourceOf {
    /// A source key by id or name, or on partitions a virtual key by id [default: one is made]
    #[arg(long, value_name = "KEY", conflicts_with_all = ["source_cka_id", "source_label"])]
    source: Option<String>,
    /// A key that is on the partitions already: its CKA_ID in hexadecimal
    #[arg(long, value_name = "HEX")]
    source_cka_id: Option<String>,
    /// A key that is on the partitions already: its CKA_LABEL
    #[arg(long, value_name = "LABEL")]
    source_label: Option<String>,
}

/// Has AWS KMS make the key of a HYOK key that is not linked yet; what is not said is as it was said before
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast hyok link 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01 --alias invoices")]
struct LinkArgs {
    /// The key's id
    key: String,
    #[command(flatten)]
    for_aws: ForAws,
}

/// Makes a new version; it encrypts as soon as every node has it on disk
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast hyok rotate 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01")]
struct RotateArgs {
    /// The key's id
    key: String,
    #[command(flatten)]
    source: SourceOf,
}

impl SourceOf {
    fn id(&self) -> String {
        self.source.clone().unwrap_or_default()
    }

    fn on_partition(&self) -> Option<ExistingKey> {
        let Self { source_cka_id, source_label, .. } = self;
        let is_given = source_cka_id.is_some() || source_label.is_some();
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        is_given.then(|| ExistingKey { cka_id: text(source_cka_id), label: text(source_label) })
    }
}

impl HyokArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| match &self.verb {
            Verb::List { key_store } => list(admin, out, key_store.as_deref()).await,
            Verb::Show(named) => show(out, &find(admin, &named.key).await?),
            Verb::Create(args) => create(admin, out, args).await,
            Verb::Link(args) => {
                let request = LinkHyokKeyRequest { id: args.key.clone(), for_aws: Some(args.for_aws.given()?) };
                show(out, &whole(admin.hyok_keys.link_hyok_key(request).await?.into_inner().key, "key")?)
            }
            Verb::Block(named) => block(admin, out, named).await,
            Verb::Unblock(named) => unblock(admin, out, named).await,
            Verb::Rotate(args) => rotate(admin, out, args).await,
            Verb::Versions(named) => versions(out, &find(admin, &named.key).await?.versions),
            Verb::Delete(named) => delete(admin, out, named).await,
        })
    }
}

async fn list(admin: &mut Admin, out: Out, key_store: Option<&str>) -> Result<(), Failure> {
    let key_store_id = match key_store {
        Some(named) => keystore::find(admin, named).await?.id,
        None => String::new(),
    };
    let request = ListHyokKeysRequest { key_store_id };
    let all = admin.hyok_keys.list_hyok_keys(request).await?.into_inner().keys;
    out.list(&all, ["NAME", "STATE", "ENCRYPTS WITH", "IN AWS KMS", "EXTERNAL KEY ID", "ID"], |key| {
        [key.name.clone(), state(key).to_owned(), active(key), in_aws(key), key.external_key_id.clone(), key.id.clone()]
    })
}

async fn find(admin: &mut Admin, id: &str) -> Result<HyokKey, Failure> {
    let request = GetHyokKeyRequest { id: id.to_owned() };
    whole(admin.hyok_keys.get_hyok_key(request).await?.into_inner().key, "key")
}

async fn create(admin: &mut Admin, out: Out, args: &CreateArgs) -> Result<(), Failure> {
    let text = |given: &Option<String>| given.clone().unwrap_or_default();
    let request = CreateHyokKeyRequest {
        key_store_id: keystore::find(admin, &args.key_store).await?.id,
        name: args.name.clone(),
        external_key_id: text(&args.external_key_id),
        legacy_format: text(&args.legacy_format),
        source_key: args.source.on_partition(),
        source_key_id: args.source.id(),
        blocked: args.blocked,
        linked_state: args.linked,
        for_aws: Some(args.for_aws.given()?),
        ..CreateHyokKeyRequest::default()
    };
    let answer = admin.hyok_keys.create_hyok_key(request).await?.into_inner();
    show(out, &whole(answer.key, "key")?)
}

async fn block(admin: &mut Admin, out: Out, named: &Named) -> Result<(), Failure> {
    let request = BlockHyokKeyRequest { id: named.key.clone() };
    let answer = admin.hyok_keys.block_hyok_key(request).await?.into_inner();
    warn_of_pending(&answer.pending_nodes);
    out.done(&answer, &format!("{} is blocked", named.key))
}

async fn unblock(admin: &mut Admin, out: Out, named: &Named) -> Result<(), Failure> {
    let request = UnblockHyokKeyRequest { id: named.key.clone() };
    let answer = admin.hyok_keys.unblock_hyok_key(request).await?.into_inner();
    warn_of_pending(&answer.pending_nodes);
    out.done(&answer, &format!("{} is open", named.key))
}

async fn rotate(admin: &mut Admin, out: Out, args: &RotateArgs) -> Result<(), Failure> {
    let request = RotateHyokKeyRequest { id: args.key.clone(), source_key_id: args.source.id(), source_key: args.source.on_partition() };
    let answer = admin.hyok_keys.rotate_hyok_key(request).await?.into_inner();
    out.done(&answer, &format!("version {} encrypts as soon as every node has it", answer.version))
}

async fn delete(admin: &mut Admin, out: Out, named: &Named) -> Result<(), Failure> {
    let request = DeleteHyokKeyRequest { id: named.key.clone() };
    let answer = admin.hyok_keys.delete_hyok_key(request).await?.into_inner();
    warn_of_pending(&answer.pending_nodes);
    out.done(&answer, &format!("{} is deleted", named.key))
}

fn show(out: Out, key: &HyokKey) -> Result<(), Failure> {
    let legacy = match key.legacy_format.as_str() {
        "" | "none" => String::new(),
        format => format!("{format}, opened by version {}", key.legacy_version),
    };
    let aws = key.aws.clone().unwrap_or_default();
    out.one(
        key,
        [
            ("name", key.name.clone()),
            ("id", key.id.clone()),
            ("external key id", key.external_key_id.clone()),
            ("key store", key.key_store_id.clone()),
            ("state", state(key).to_owned()),
            ("encrypts with", active(key)),
            ("virtual key", key.virtual_key_id.clone()),
            ("legacy format", legacy),
            ("description", key.description.clone()),
            ("in AWS KMS", in_aws(key)),
            ("ARN", aws.arn),
            ("aliases", aws.aliases.join(" ")),
            ("failure", aws.failure),
            ("created", moment(key.created_ms)),
            ("updated", moment(key.updated_ms)),
        ],
    )
}

/// Whether AWS KMS has it, and as what.
fn in_aws(key: &HyokKey) -> String {
    key.aws.as_ref().map_or_else(|| "not linked".to_owned(), aws_key::state)
}

const fn state(key: &HyokKey) -> &'static str {
    if key.blocked { "blocked" } else { "open" }
}

/// The version that encrypts.
fn active(key: &HyokKey) -> String {
    let active = key.versions.iter().find(|version| version.state == "active");
    active.map_or_else(|| "none yet".to_owned(), |version| format!("version {}", version.number))
}
