//! `holdfast node`: data planes as the control plane knows them.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use holdfast_controlplane::{EnrollOptions, enroll, names::NodeName, sync_name};

use crate::{admin, config::dataplane::host_of_https, failure::Failure, output};

/// Data planes, as the control plane knows them
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast node list")]
pub(crate) struct NodeArgs {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Subcommand, Debug)]
enum NodeCommand {
    List(admin::NodeListArgs),
    Enroll(EnrollArgs),
    Resync(admin::ResyncArgs),
    Forget(admin::ForgetArgs),
}

/// On the control plane's machine: makes what a new data plane needs, certificate, key, CA, key seal, and a ready dataplane.toml
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast node enroll node-1 --data-dir deploy/controlplane --out deploy/node-1")]
struct EnrollArgs {
    /// The node's name: letters, digits, . and -
    name: String,
    /// Folder for the files; made when missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Data directory of the control plane, which may be running
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Where the node reaches the control plane
    #[arg(long, value_name = "URL", default_value = "https://localhost:8445")]
    sync_endpoint: String,
    /// Name or address that clients call the node by, in its XKS server certificate besides localhost; repeatable
    #[arg(long, value_name = "NAME")]
    xks_name: Vec<String>,
    /// Key seal to hand out, where it isn't in the data directory any more
    #[arg(long, value_name = "FILE")]
    key_seal: Option<PathBuf>,
}

pub(crate) fn run(args: NodeArgs) -> Result<ExitCode, Failure> {
    match args.command {
        NodeCommand::List(args) => args.run(),
        NodeCommand::Enroll(args) => make(args),
        NodeCommand::Resync(args) => args.run(),
        NodeCommand::Forget(args) => args.run(),
    }
}

fn make(args: EnrollArgs) -> Result<ExitCode, Failure> {
    let name = NodeName::try_from(args.name.as_str()).map_err(Failure::from_error)?;
    if host_of_https(&args.sync_endpoint).is_none() {
        return Err(Failure::new(format!("--sync-endpoint {}: must be https://HOST:PORT", args.sync_endpoint)));
    }
    let toml = dataplane_toml(&args.sync_endpoint, sync_name(&args.data_dir).map_err(Failure::from_error)?);
    let options = EnrollOptions { xks_names: args.xks_name, key_seal: args.key_seal, dataplane_toml: toml };
    enroll(&args.data_dir, &name, &args.out, options).map_err(Failure::from_error)?;
    output::line(&format!(
        "{name} is enrolled. Keep {out} to yourself: it holds private keys and the key seal.\nNext: holdfast dataplane --config {out}/dataplane.toml",
        out = args.out.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// A configuration that starts as it is, beside the files that `enroll` writes.
pub(crate) fn dataplane_toml(sync_endpoint: &str, server_name: Option<&str>) -> String {
    let server_name = server_name.map(|name| format!("\nserver_name = \"{name}\"")).unwrap_or_default();
    format!(
        r#"# Every setting: deploy/docs/configuration.md. Paths are relative to this file.
state_dir = "state"

[[xks]]
listen = "127.0.0.1:8443"
client_certificates = "off"

# From the control plane's own CA, to try things out. AWS KMS wants one from a public CA.
[[xks.certificate]]
chain = "xks.crt"
key = "xks.key"

[ops]
listen = "127.0.0.1:9464"

[sync]
endpoint = "{sync_endpoint}"{server_name}
certificate = "node.crt"
key = "node.key"
ca = "ca.crt"

[keys]
seals = ["key-seal"]

[audit]
dir = "audit"
"#
    )
}
