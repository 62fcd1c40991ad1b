//! `holdfast backup` and `holdfast reseal`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use holdfast_proto::admin::{BackupRequest, ResealRequest};
use serde_json::json;

use super::{At, PrivateFile, passwords, shown::yes_or_no};
use crate::failure::Failure;

/// Writes all of the configuration to a file, sealed under a passphrase; `holdfast restore` reads it
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast backup --out holdfast-2026-11-22.backup --passphrase-file passphrase")]
pub(crate) struct BackupArgs {
    /// File to make; one that is there is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// File that holds the passphrase [default: it is asked for]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

/// Rewrites everything that lies under an older seal under the first one, and shows which seals are still needed
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast reseal")]
pub(crate) struct ResealArgs {
    #[command(flatten)]
    at: At,
}

impl BackupArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let passphrase = self.at.told(match &self.passphrase_file {
            Some(file) => passwords::from_file(file),
            None => passwords::ask_twice("passphrase", "--passphrase-file"),
        })?;
        self.at.run(&async |admin, out| {
            let mut file = PrivateFile::new(&self.out)?;
            let mut chunks = admin.maintenance.backup(BackupRequest { passphrase: passphrase.to_string() }).await?.into_inner();
            let mut bytes = 0;
            while let Some(chunk) = chunks.message().await? {
                file.write(&chunk.data)?;
                bytes += chunk.data.len();
            }
            if bytes == 0 {
                return Err(Failure::new("the control plane sent no backup"));
            }
            file.finish()?;
            let shown = json!({ "file": self.out, "bytes": bytes });
            out.done(&shown, &format!("{} is written, {bytes} bytes; without the passphrase nothing opens it", self.out.display()))
        })
    }
}

impl ResealArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| {
            let seals = admin.maintenance.reseal(ResealRequest {}).await?.into_inner().seals;
            out.list(&seals, ["KIND", "SEAL", "FIRST", "SEALED", "REWRITTEN"], |seal| {
                let (sealed, rewritten) = (seal.sealed.to_string(), seal.rewritten.to_string());
                [seal.kind.clone(), seal.seal_id.clone(), yes_or_no(seal.first), sealed, rewritten]
            })
        })
    }
}
