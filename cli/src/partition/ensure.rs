//! `holdfast partition ensure`, which `dev` runs as a process of its own for each partition: are the keys there that a demo needs? In a
//! group of one they are made. A module that hangs or crashes in it does neither to `dev`.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use clap::Args;
use holdfast_keys::pkcs11::{admin::TokenAdmin, status::KeyAttributes};
use holdfast_proto::records::KeyUsage;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    failure::{Failure, chain},
    output,
    partition_spec::PartitionSpec,
};

/// Finds keys by label on one partition, or makes them
#[derive(Args, Debug)]
pub(super) struct EnsureArgs {
    #[arg(long, value_name = "SPEC")]
    partition: PartitionSpec,
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// Make what is missing
    #[arg(long)]
    make: bool,
    /// Labels
    labels: Vec<String>,
}

/// What came of it, as JSON on standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ensured {
    /// The keys, in the order of the labels; none where one is missing and was not to be made.
    Keys(Vec<Option<EnsuredKey>>),
    /// Something that the configuration or the token must be mended for.
    Faults(Vec<String>),
    /// The token can't be reached at present.
    Unreachable(Vec<String>),
}

/// A key that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EnsuredKey {
    /// `CKA_ID`.
    pub(crate) cka_id: Vec<u8>,
    /// `CKA_LABEL`.
    pub(crate) label: String,
}

pub(super) fn run(args: &EnsureArgs) -> Result<ExitCode, Failure> {
    output::line(&output::json(&ensured(args))?)?;
    Ok(ExitCode::SUCCESS)
}

impl Ensured {
    /// Runs the command in a process of its own, for a limited time.
    pub(crate) fn ask(spec: &PartitionSpec, state_dir: &Path, make: bool, labels: &[&str]) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::from_error)?;
        let mut command = Command::new(program);
        command.args(["partition", "ensure", "--partition", &spec.text, "--state-dir"]).arg(state_dir);
        if make {
            command.arg("--make");
        }
        let child = command.args(labels).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(Failure::from_error)?;
        Ok(answer(child, &spec.settings.name))
    }
}

fn answer(mut child: Child, name: &str) -> Ensured {
    let (send, answered) = mpsc::channel();
    if let Some(mut stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut text = String::new();
            // Nobody listens past the limit.
            let _ = stdout.read_to_string(&mut text).map(|_| send.send(text));
        });
    }
    let text = answered.recv_timeout(LIMIT);
    // It has ended, or never will.
    let _ = child.kill();
    let _ = child.wait();
    match text.map(|text| serde_json::from_str(&text)) {
        Ok(Ok(ensured)) => ensured,
        Ok(Err(_)) => Ensured::Unreachable(vec![format!("partition {name}: the module ended the process that loaded it")]),
        Err(_) => Ensured::Unreachable(vec![format!("partition {name}: the token did not answer within {} s", LIMIT.as_secs())]),
    }
}

fn ensured(args: &EnsureArgs) -> Ensured {
    let admin = match TokenAdmin::open(&args.partition.settings, &args.state_dir) {
        Ok(admin) => admin,
        Err(faults) => {
            let ours = faults.iter().any(holdfast_keys::pkcs11::Pkcs11Fault::is_configuration);
            let faults = faults.iter().map(|fault| chain(fault)).collect();
            return if ours { Ensured::Faults(faults) } else { Ensured::Unreachable(faults) };
        }
    };
    let name = &args.partition.settings.name;
    let failed = |error: &dyn std::error::Error| Ensured::Unreachable(vec![format!("partition {name}: {}", chain(error))]);
    let there = match admin.keys() {
        Ok(keys) => keys,
        Err(error) => return failed(&error),
    };
    let mut keys = Vec::new();
    for label in &args.labels {
        let found: Vec<&KeyAttributes> = there.iter().filter(|key| key.label == *label).collect();
        match found[..] {
            [] if args.make => match admin.generate(Uuid::new_v4().as_bytes(), label, KeyUsage::BOTH) {
                Ok(made) => keys.push(Some(EnsuredKey { cka_id: made.cka_id, label: made.label })),
                Err(error) => return failed(&error),
            },
            [] => keys.push(None),
            [one] => keys.push(Some(EnsuredKey { cka_id: one.cka_id.clone(), label: one.label.clone() })),
            [_, _, ..] => {
                return Ensured::Faults(vec![format!(
                    "partition {name}: {} keys are labelled {label:?}; rename or delete all but one",
                    found.len()
                )]);
            }
        }
    }
    Ensured::Keys(keys)
}

/// For loading, login and two keys on a slow HSM.
const LIMIT: Duration = Duration::from_secs(30);
