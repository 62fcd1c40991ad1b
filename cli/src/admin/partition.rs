//! The verbs of `holdfast partition` that ask the control plane: partitions that admins added, and keys on them.

use std::process::ExitCode;

use clap::{ArgGroup, Args};
use holdfast_proto::admin::{
    AddPartitionRequest, AdoptPartitionKeyRequest, ExistingKey, GeneratePartitionKeyRequest, ListPartitionKeysRequest,
    ListPartitionsRequest, RemovePartitionRequest,
};
use serde_json::json;

use super::{At, shown::moment, source_key::show, whole};
use crate::failure::Failure;

/// Control plane: lists the partitions that were added
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast partition added")]
pub(crate) struct AddedArgs {
    #[command(flatten)]
    at: At,
}

/// Control plane: adds a partition that a connected data plane reports
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("which").required(true).args(["partition", "connection"]))]
#[command(after_help = "\
Examples:
  holdfast partition add payments-a
  holdfast partition add --connection hsm-east")]
pub(crate) struct AddArgs {
    /// Its id, label or serial number; `holdfast node list --json` shows them
    partition: Option<String>,
    /// An HSM connection that names it, by id or name
    #[arg(long)]
    connection: Option<String>,
    #[command(flatten)]
    at: At,
}

/// Control plane: removes a partition; refused while something uses it. The token is left as it is
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast partition remove payments-a")]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    at: At,
}

/// Control plane: lists the secret keys on a partition, known to it or not
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast partition key-list payments-a")]
pub(crate) struct KeyListArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    at: At,
}

/// Control plane: generates an AES-256 key on a partition, through a data plane. Answers at once; `holdfast key show` tells how it went
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast partition key-generate payments-a --label ledger-2026")]
pub(crate) struct KeyGenerateArgs {
    #[command(flatten)]
    which: Which,
    /// CKA_LABEL
    #[arg(long)]
    label: String,
    #[command(flatten)]
    at: At,
}

/// Control plane: makes a source key of a key that is on a partition already
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("named").required(true).multiple(true).args(["cka_id", "label"]))]
#[command(after_help = "Example: holdfast partition key-adopt payments-a --label ledger-2025")]
pub(crate) struct KeyAdoptArgs {
    #[command(flatten)]
    which: Which,
    /// CKA_ID, in hexadecimal
    #[arg(long, value_name = "HEX")]
    cka_id: Option<String>,
    /// CKA_LABEL
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    at: At,
}

#[derive(Args, Debug)]
struct Which {
    /// The partition's id, or its label
    partition: String,
}

impl AddedArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| {
            let all = admin.partitions.list_partitions(ListPartitionsRequest {}).await?.into_inner().partitions;
            out.list(&all, ["LABEL", "GROUP", "SERIAL", "NODES", "CREATED", "ID"], |one| {
                let (nodes, created) = (one.nodes.join(" "), moment(one.created_ms));
                [one.label.clone(), one.group.clone(), one.serial.clone(), nodes, created, one.id.clone()]
            })
        })
    }
}

impl AddArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| {
            let text = |given: &Option<String>| given.clone().unwrap_or_default();
            let request = AddPartitionRequest { partition: text(&self.partition), connection: text(&self.connection) };
            let added = whole(admin.partitions.add_partition(request).await?.into_inner().partition, "partition")?;
            let facts = [
                ("label", added.label.clone()),
                ("id", added.id.clone()),
                ("group", added.group.clone()),
                ("serial", added.serial.clone()),
                ("nodes", added.nodes.join(" ")),
            ];
            out.one(&added, facts)
        })
    }
}

impl RemoveArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let partition = &self.which.partition;
        self.at.run(&async |admin, out| {
            admin.partitions.remove_partition(RemovePartitionRequest { partition: partition.clone() }).await?;
            out.done(&json!({}), &format!("{partition} is removed; its token is left as it is"))
        })
    }
}

impl KeyListArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| {
            let request = ListPartitionKeysRequest { partition: self.which.partition.clone() };
            let all = admin.partitions.list_partition_keys(request).await?.into_inner().keys;
            out.list(&all, ["LABEL", "CKA_ID", "KIND", "SOURCE KEY", "ATTRIBUTES"], |key| {
                let attributes = key.attributes.iter().map(|name| name.trim_start_matches("CKA_").to_lowercase());
                let attributes = attributes.collect::<Vec<_>>().join(" ");
                let kind = format!("{} {}", key.algorithm, key.size);
                [key.label.clone(), key.cka_id.clone(), kind, key.source_key_id.clone(), attributes]
            })
        })
    }
}

impl KeyGenerateArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| {
            let request = GeneratePartitionKeyRequest { partition: self.which.partition.clone(), label: self.label.clone() };
            let answer = admin.partitions.generate_partition_key(request).await?.into_inner();
            show(out, &whole(answer.source_key, "source_key")?)
        })
    }
}

impl KeyAdoptArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| {
            let text = |given: &Option<String>| given.clone().unwrap_or_default();
            let key = ExistingKey { cka_id: text(&self.cka_id), label: text(&self.label) };
            let request = AdoptPartitionKeyRequest { partition: self.which.partition.clone(), key: Some(key) };
            let answer = admin.partitions.adopt_partition_key(request).await?.into_inner();
            show(out, &whole(answer.source_key, "source_key")?)
        })
    }
}
