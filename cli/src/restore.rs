//! `holdfast restore`: a control plane's data directory, made of a backup.

use std::{fs::File, io::BufReader, path::PathBuf, process::ExitCode};

use clap::Args;
use holdfast_controlplane::{RestoreOptions, restore};
use holdfast_proto::secret::Secret;

use crate::{
    admin::{ask, from_file},
    failure::Failure,
    output,
};

/// On the control plane's machine: makes its data directory of what `holdfast backup` wrote
#[derive(Args, Debug)]
#[command(after_help = "\
Example: holdfast restore --data-dir deploy/controlplane --from holdfast-2026-11-22.backup --passphrase-file passphrase

The key seals are not in a backup, and this says which are needed: the data planes have them. Nodes that were enrolled go on; what was \
changed since the backup is gone.")]
pub(crate) struct RestoreArgs {
    /// Folder to make, or an empty one
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// File that holds the passphrase [default: it is asked for]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Name or address for a new server certificate, besides localhost; repeatable [default: the certificate in the backup]
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Key seal to hand out to nodes that are enrolled from now on [default: `node enroll --key-seal` names it]
    #[arg(long, value_name = "FILE")]
    key_seal: Option<PathBuf>,
}

pub(crate) fn run(args: RestoreArgs) -> Result<ExitCode, Failure> {
    let source = File::open(&args.from).map_err(|cause| Failure::file("read", &args.from, &cause))?;
    let passphrase = match &args.passphrase_file {
        Some(file) => from_file(file)?,
        None => ask("passphrase", "--passphrase-file")?,
    };
    let passphrase = Secret::new(passphrase.to_string());
    let options = RestoreOptions { server_names: args.name, key_seal: args.key_seal };
    let restored = restore(&args.data_dir, BufReader::new(source), &passphrase, &options).map_err(Failure::from_error)?;

    let shown = |name: &str, value: &str| output::line(&format!("  {name:<13} {value}"));
    output::line(&format!("{} is restored.\n", args.data_dir.display()))?;
    shown("revision", &format!("{}.{}", restored.revision.epoch, restored.revision.counter))?;
    for seal in &restored.control_seals {
        shown("control seal", &format!("{}  losing it loses every credential's secret", seal.display()))?;
    }
    for seal in &restored.header.key_seals {
        shown("key seal", &format!("{seal}  must be on every data plane; it is not in the backup"))?;
    }
    Ok(ExitCode::SUCCESS)
}
