//! `holdfast virtual-key`: stable ids with numbered versions over source keys.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use holdfast_proto::admin::{
    CreateVirtualKeyRequest, DeleteVirtualKeyRequest, GetVirtualKeyRequest, KeyVersion, ListVirtualKeysRequest,
    SetVirtualKeyDeletableRequest, VirtualKey,
};
use serde_json::json;

use super::{
    Admin, At, Out,
    shown::{moment, yes_or_no},
    whole,
};
use crate::failure::Failure;

/// Virtual keys: stable ids with numbered versions over source keys
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast virtual-key list")]
pub(crate) struct VirtualKeyArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Lists all virtual keys
    #[command(after_help = "Example: holdfast virtual-key list --json")]
    List,
    /// Shows a virtual key
    #[command(after_help = "Example: holdfast virtual-key show 0c2f6f0a-4f5e-4c0b-8a6c-0d6a3ff2b9d7")]
    Show(Named),
    /// Makes a virtual key over a source key
    #[command(after_help = "Example: holdfast virtual-key create ledger-2026")]
    Create {
        /// The source key, by id or name
        source_key: String,
    },
    /// Lists a virtual key's versions
    #[command(after_help = "Example: holdfast virtual-key versions 0c2f6f0a-4f5e-4c0b-8a6c-0d6a3ff2b9d7")]
    Versions(Named),
    /// Says whether it may be deleted
    #[command(after_help = "Example: holdfast virtual-key set-deletable 0c2f6f0a-4f5e-4c0b-8a6c-0d6a3ff2b9d7 true")]
    SetDeletable {
        /// The virtual key's id
        key: String,
        /// Whether it may
        #[arg(action = clap::ArgAction::Set, value_name = "true|false")]
        deletable: bool,
    },
    /// Deletes a virtual key; refused while it isn't deletable, and while a HYOK key uses it
    #[command(after_help = "Example: holdfast virtual-key delete 0c2f6f0a-4f5e-4c0b-8a6c-0d6a3ff2b9d7")]
    Delete(Named),
}

#[derive(Args, Debug)]
struct Named {
    /// The virtual key's id
    key: String,
}

impl VirtualKeyArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| match &self.verb {
            Verb::List => list(admin, out).await,
            Verb::Show(named) => show(out, &find(admin, &named.key).await?),
            Verb::Create { source_key } => {
                let request = CreateVirtualKeyRequest { source_key_id: source_key.clone() };
                let answer = admin.virtual_keys.create_virtual_key(request).await?.into_inner();
                show(out, &whole(answer.virtual_key, "virtual_key")?)
            }
            Verb::Versions(named) => versions(out, &find(admin, &named.key).await?.versions),
            Verb::SetDeletable { key, deletable } => {
                let request = SetVirtualKeyDeletableRequest { id: key.clone(), deletable: *deletable };
                let answer = admin.virtual_keys.set_virtual_key_deletable(request).await?.into_inner();
                show(out, &whole(answer.virtual_key, "virtual_key")?)
            }
            Verb::Delete(named) => {
                admin.virtual_keys.delete_virtual_key(DeleteVirtualKeyRequest { id: named.key.clone() }).await?;
                out.done(&json!({}), &format!("{} is deleted", named.key))
            }
        })
    }
}

/// Versions of a key.
pub(super) fn versions(out: Out, all: &[KeyVersion]) -> Result<(), Failure> {
    out.list(all, ["VERSION", "STATE", "CREATED"], |version| {
        [version.number.to_string(), version.state.clone(), moment(version.created_ms)]
    })
}

async fn list(admin: &mut Admin, out: Out) -> Result<(), Failure> {
    let all = admin.virtual_keys.list_virtual_keys(ListVirtualKeysRequest {}).await?.into_inner().virtual_keys;
    out.list(&all, ["ID", "TIER", "VERSIONS", "SOURCE KEY", "HYOK KEY"], |key| {
        let count = key.versions.len().to_string();
        [key.id.clone(), key.tier.clone(), count, key.source_key_id.clone(), key.hyok_key_id.clone()]
    })
}

async fn find(admin: &mut Admin, id: &str) -> Result<VirtualKey, Failure> {
    let request = GetVirtualKeyRequest { id: id.to_owned() };
    whole(admin.virtual_keys.get_virtual_key(request).await?.into_inner().virtual_key, "virtual_key")
}

fn show(out: Out, key: &VirtualKey) -> Result<(), Failure> {
    out.one(
        key,
        [
            ("id", key.id.clone()),
            ("tier", key.tier.clone()),
            ("source key", key.source_key_id.clone()),
            ("partition", key.partition_label.clone()),
            ("partition id", key.partition_id.clone()),
            ("HYOK key", key.hyok_key_id.clone()),
            ("versions", key.versions.len().to_string()),
            ("deletable", yes_or_no(key.deletable)),
            ("created", moment(key.created_ms)),
            ("updated", moment(key.updated_ms)),
        ],
    )
}
