//! `holdfast partition seal`: encrypts a key seal under an HSM's key, so that who has the file alone has nothing.

use std::{
    fs,
    io::Write as _,
    num::NonZeroU32,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use holdfast_dataplane::seals::{SealingKey, seal_on_partition};
use holdfast_keys::pkcs11::{
    Groups,
    settings::{PartitionSettings, Pkcs11Settings},
};
use holdfast_proto::seal::Seal;

use super::{Described, Source};
use crate::{config, failure::Failure, logging::LogSettings, output, runtime};

/// This machine: encrypts a key seal under a key of a partition group
#[derive(Args, Debug)]
#[command(
    after_help = "Example: holdfast partition seal --config dataplane.toml --key-seal key-seal --group payments --label holdfast-seal --out key-seal.sealed"
)]
pub(super) struct SealArgs {
    /// The key seal file; keep a copy in a safe place, and take it off this machine afterwards
    #[arg(long, value_name = "FILE")]
    key_seal: PathBuf,
    /// The group of partitions
    #[arg(long)]
    group: String,
    /// Label of an AES-256 key there; `holdfast partition generate` makes one
    #[arg(long)]
    label: String,
    /// Where to write the encrypted seal, for `[[keys.partition_seal]]`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: SealArgs) -> Result<ExitCode, Failure> {
    let Described { partitions, state_dir } = args.source.read()?;
    let text = fs::read_to_string(&args.key_seal).map(zeroize::Zeroizing::new);
    let text = text.map_err(|cause| Failure::file("read", &args.key_seal, &cause))?;
    let seal = Seal::from_text(&text).map_err(Failure::from_error)?;
    // Only its members: the others need not be in order. One session each, since a data plane may be using the rest.
    let members = partitions.into_iter().filter(|partition| partition.group == args.group);
    let partitions: Vec<_> = members.map(|partition| PartitionSettings { sessions: Some(NonZeroU32::MIN), ..partition }).collect();
    if partitions.is_empty() {
        return Err(Failure::new(format!("no partition is of group {:?}", args.group)));
    }
    let keyhost = config::dataplane::keyhost(&LogSettings { level: Some("warn"), ..LogSettings::default() });
    let groups = Groups::start(Pkcs11Settings { partitions, state_dir, keyhost }).map_err(|faults| Failure::from_errors(&faults))?;
    let key = SealingKey { group: args.group, label: args.label };
    let sealed = runtime()?.block_on(seal_on_partition(&groups, key, &seal, Instant::now() + PATIENCE));
    groups.stop();
    let sealed = sealed.map_err(Failure::from_error)?;
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.out).and_then(|mut file| {
        file.write_all(sealed.to_text().as_bytes())?;
        file.sync_all()
    });
    written.map_err(|cause| Failure::file("write", &args.out, &cause))?;
    output::line(&format!(
        "{} opens only where that key is. Start the data plane with it once before you take {} away.",
        args.out.display(),
        args.key_seal.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// For one encryption.
const PATIENCE: Duration = Duration::from_secs(10);
