//! `holdfast partition`: PKCS#11 tokens of this machine, looked at and prepared directly, beside a running data plane or before the first;
//! and partitions as the control plane knows them, for which see `admin/partition.rs`.
//!
//! Holds: the module's code runs in this process alone, which ends with the command; a PIN that was refused is not tried again.

mod ensure;
mod seal;
mod show;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER_PERMISSIVE;
use holdfast_keys::pkcs11::{
    admin::{TokenAdmin, forget_refused_pin},
    settings::PartitionSettings,
};
use holdfast_proto::records::KeyUsage;
use uuid::Uuid;

pub(crate) use self::ensure::{Ensured, EnsuredKey};
use self::show::Listed;
use crate::{
    admin, config,
    failure::Failure,
    output,
    partition_spec::{FORM, PartitionSpec, told_apart},
};

/// PKCS#11 tokens: of this machine, or as the control plane knows them
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  holdfast partition list --config dataplane.toml
  holdfast partition added

list, keys, generate, retry-login and seal work on tokens of this machine, beside a data plane or before the first.
added, add, remove, key-list, key-generate and key-adopt ask the control plane.")]
pub(crate) struct PartitionArgs {
    #[command(subcommand)]
    command: PartitionCommand,
}

#[derive(Subcommand, Debug)]
enum PartitionCommand {
    List(ListArgs),
    Keys(KeysArgs),
    Generate(GenerateArgs),
    RetryLogin(RetryLoginArgs),
    Seal(seal::SealArgs),
    Added(admin::AddedArgs),
    Add(admin::AddArgs),
    Remove(admin::RemoveArgs),
    KeyList(admin::KeyListArgs),
    KeyGenerate(admin::KeyGenerateArgs),
    KeyAdopt(admin::KeyAdoptArgs),
    #[command(hide = true)]
    Ensure(ensure::EnsureArgs),
}

/// Where partitions are described.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("described").required(true).args(["config", "partition"]))]
struct Source {
    /// The data plane's configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A partition instead of a configuration file
    #[arg(long, value_name = "SPEC", long_help = format!("A partition instead of a configuration file; repeatable: {FORM}"))]
    partition: Vec<PartitionSpec>,
    /// With --partition: the data plane's state directory, where a refused PIN is remembered
    #[arg(long, value_name = "DIR", default_value = "./holdfast-data/node/state")]
    state_dir: PathBuf,
}

/// This machine: logs in to every partition and shows its token
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast partition list --config dataplane.toml")]
struct ListArgs {
    #[command(flatten)]
    source: Source,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// This machine: lists the secret keys of partitions
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast partition keys hsm-a --config dataplane.toml")]
struct KeysArgs {
    /// Only this one, by its name
    name: Option<String>,
    #[command(flatten)]
    source: Source,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// This machine: generates an AES-256 key: sensitive, not extractable, for encrypt, decrypt, wrap and unwrap
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast partition generate hsm-a --label holdfast-health --config dataplane.toml")]
struct GenerateArgs {
    /// The partition's name; may be left out where there is only one
    name: Option<String>,
    /// CKA_LABEL
    #[arg(long)]
    label: String,
    /// CKA_ID, in hexadecimal: a key that has it already is the answer [default: 16 random bytes]
    #[arg(long, value_name = "HEX")]
    id: Option<String>,
    #[command(flatten)]
    source: Source,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// This machine: forgets that a token refused the PIN, so that it is tried once more; a running data plane notices by itself
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast partition retry-login hsm-a --config dataplane.toml")]
struct RetryLoginArgs {
    /// The partition's name; may be left out where there is only one
    name: Option<String>,
    #[command(flatten)]
    source: Source,
}

pub(crate) fn run(args: PartitionArgs) -> Result<ExitCode, Failure> {
    match args.command {
        PartitionCommand::List(args) => list(&args),
        PartitionCommand::Keys(args) => keys(&args),
        PartitionCommand::Generate(args) => generate(&args),
        PartitionCommand::RetryLogin(args) => retry_login(&args),
        PartitionCommand::Seal(args) => seal::run(args),
        PartitionCommand::Added(args) => args.run(),
        PartitionCommand::Add(args) => args.run(),
        PartitionCommand::Remove(args) => args.run(),
        PartitionCommand::KeyList(args) => args.run(),
        PartitionCommand::KeyGenerate(args) => args.run(),
        PartitionCommand::KeyAdopt(args) => args.run(),
        PartitionCommand::Ensure(args) => ensure::run(&args),
    }
}

fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let Described { partitions, state_dir } = args.source.read()?;
    let listed = Listed::all(&partitions, &state_dir);
    output::line(&if args.json { output::json(&listed)? } else { show::partitions(&listed) })?;
    Ok(if listed.iter().all(Listed::is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn keys(args: &KeysArgs) -> Result<ExitCode, Failure> {
    let described = args.source.read()?;
    let chosen: Vec<&PartitionSettings> = match &args.name {
        Some(name) => vec![described.named(Some(name))?],
        None => described.partitions.iter().collect(),
    };
    let mut all = Vec::new();
    for partition in chosen {
        let admin = open(partition, &described.state_dir)?;
        let keys = admin.keys().map_err(Failure::from_error)?;
        all.extend(keys.into_iter().map(|key| show::Key::of(&partition.name, &key)));
    }
    output::line(&if args.json { output::json(&all)? } else { show::keys(&all) })?;
    Ok(ExitCode::SUCCESS)
}

fn generate(args: &GenerateArgs) -> Result<ExitCode, Failure> {
    let described = args.source.read()?;
    let partition = described.named(args.name.as_deref())?;
    let members: Vec<_> =
        described.partitions.iter().filter(|other| other.group == partition.group).map(|other| other.name.as_str()).collect();
    if members.len() > 1 {
        return Err(Failure::new(format!(
            "group {:?} has {} partitions ({}), and a key made on one would be on one only: make it with the vendor's tools, and copy it to each",
            partition.group,
            members.len(),
            members.join(", ")
        )));
    }
    let id = match &args.id {
        Some(hex) => HEXLOWER_PERMISSIVE
            .decode(hex.as_bytes())
            .ok()
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Failure::new(format!("--id {hex}: must be hexadecimal digits, two a byte")))?,
        None => Uuid::new_v4().as_bytes().to_vec(),
    };
    let admin = open(partition, &described.state_dir)?;
    // A second key of one label would make both unusable by it.
    let keys = admin.keys().map_err(Failure::from_error)?;
    if keys.iter().any(|key| key.label == args.label && key.cka_id != id) {
        return Err(Failure::new(format!(
            "partition {} has a key labelled {:?} already; --label must name a new one",
            partition.name, args.label
        )));
    }
    let made = admin.generate(&id, &args.label, KeyUsage::BOTH).map_err(Failure::from_error)?;
    let made = [show::Key::of(&partition.name, &made)];
    output::line(&if args.json { output::json(&made)? } else { show::keys(&made) })?;
    Ok(ExitCode::SUCCESS)
}

fn retry_login(args: &RetryLoginArgs) -> Result<ExitCode, Failure> {
    let described = args.source.read()?;
    let partition = described.named(args.name.as_deref())?;
    let forgotten = forget_refused_pin(partition, &described.state_dir).map_err(Failure::from_error)?;
    let name = &partition.name;
    output::line(&if forgotten {
        format!("{name}: the PIN will be tried once more; `holdfast partition list` tries it now")
    } else {
        format!("{name}: no refused PIN is remembered")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What the arguments describe.
struct Described {
    partitions: Vec<PartitionSettings>,
    state_dir: PathBuf,
}

impl Source {
    fn read(&self) -> Result<Described, Failure> {
        let Some(file) = &self.config else {
            return Ok(Described { partitions: told_apart(&self.partition), state_dir: self.state_dir.clone() });
        };
        let settings = config::dataplane::read(file).map_err(Failure::from_error)?.settings;
        if settings.pkcs11.partitions.is_empty() {
            return Err(Failure::new(format!("{} has no [[partition]]", file.display())));
        }
        Ok(Described { partitions: settings.pkcs11.partitions, state_dir: settings.state_dir })
    }
}

impl Described {
    fn named(&self, name: Option<&str>) -> Result<&PartitionSettings, Failure> {
        let names = || self.partitions.iter().map(|partition| partition.name.as_str()).collect::<Vec<_>>().join(", ");
        match (name, self.partitions.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(Failure::new(format!("say which partition: {}", names()))),
            (Some(name), all) => all
                .iter()
                .find(|one| one.name == name)
                .ok_or_else(|| Failure::new(format!("no partition {name:?}; there are: {}", names()))),
        }
    }
}

/// All faults, a line each.
fn open(partition: &PartitionSettings, state_dir: &Path) -> Result<TokenAdmin, Failure> {
    TokenAdmin::open(partition, state_dir).map_err(|faults| Failure::from_errors(&faults))
}
