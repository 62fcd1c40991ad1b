//! The verbs of `holdfast node` that ask the control plane: which data planes there are, and how they are.

use std::process::ExitCode;

use clap::Args;
use holdfast_proto::admin::{ForgetNodeRequest, ListNodesRequest, Node, ResyncNodeRequest};
use serde_json::json;

use super::{
    At,
    shown::{moment_or, yes_or_no},
};
use crate::{failure::Failure, output};

/// Control plane: lists the data planes and how they are
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast node list")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    at: At,
}

/// Control plane: offers a node everything again, also after it refused a push
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast node resync node-1")]
pub(crate) struct ResyncArgs {
    /// The node's name
    name: String,
    #[command(flatten)]
    at: At,
}

/// Control plane: revokes a node's certificate; nothing waits for it any more
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast node forget node-1")]
pub(crate) struct ForgetArgs {
    /// The node's name
    name: String,
    #[command(flatten)]
    at: At,
}

impl ListArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| {
            let all = admin.nodes.list_nodes(ListNodesRequest {}).await?.into_inner().nodes;
            out.list(&all, ["NAME", "STATE", "CONFIGURATION", "READY", "LAST SEEN", "TARGETS", "VERSION"], |node| {
                [
                    node.name.clone(),
                    state(node).to_owned(),
                    node.configuration.clone(),
                    ready(node),
                    moment_or(node.last_seen_ms, "never"),
                    node.targets.join(" "),
                    node.software_version.clone(),
                ]
            })?;
            if !out.is_json() {
                all.iter().for_each(warn_of_troubles);
            }
            Ok(())
        })
    }
}

impl ResyncArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| {
            admin.nodes.resync_node(ResyncNodeRequest { name: self.name.clone() }).await?;
            out.done(&json!({}), &format!("{} is offered everything again", self.name))
        })
    }
}

impl ForgetArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| {
            admin.nodes.forget_node(ForgetNodeRequest { name: self.name.clone() }).await?;
            out.done(&json!({}), &format!("{} is forgotten, and its certificate revoked", self.name))
        })
    }
}

const fn state(node: &Node) -> &'static str {
    match (node.connected, node.away) {
        (true, _) => "connected",
        (false, true) => "away",
        (false, false) => "unconnected",
    }
}

/// Nobody knows of a node that is not connected.
fn ready(node: &Node) -> String {
    if node.connected { yes_or_no(node.ready) } else { "unknown".to_owned() }
}

/// What a row has no room for.
fn warn_of_troubles(node: &Node) {
    let name = &node.name;
    if !node.detail.is_empty() {
        output::warning(&format!("{name}: {}", node.detail));
    }
    for key in &node.unusable {
        let which = if key.key_id.is_empty() { "the health key" } else { &key.key_id };
        output::warning(&format!("{name}: can't use {which} (version {}) of key store {}: {}", key.version, key.store_id, key.reason));
    }
    for partition in node.partitions.iter().filter(|partition| partition.condition != "up" || !partition.excluded_keys.is_empty()) {
        output::warning(&format!("{name}: partition {} is {} {}", partition.name, partition.condition, partition.detail));
        for key in &partition.excluded_keys {
            output::warning(&format!("{name}: partition {} has other material than its group under {key}", partition.name));
        }
    }
}
