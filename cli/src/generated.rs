//! What clap can write by itself: completions for shells, and man pages.

use std::{fs, io, path::PathBuf, process::ExitCode};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::{failure::Failure, output};

/// Prints completions for a shell
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast completions bash

To load them, in bash: source <(holdfast completions bash)")]
pub(crate) struct CompletionsArgs {
    /// Which
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes man pages, one for each command
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast man --out /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Folder for the pages; made when missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "holdfast", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(args: &ManArgs, command: Command) -> Result<ExitCode, Failure> {
    fs::create_dir_all(&args.out).map_err(|cause| Failure::file("make", &args.out, &cause))?;
    let written: io::Result<()> = clap_mangen::generate_to(command, &args.out);
    written.map_err(|cause| Failure::file("write man pages to", &args.out, &cause))?;
    Ok(ExitCode::SUCCESS)
}
