//! `holdfast keyhost`: the process of one isolated partition (design §5). Started by a data plane, never by people, and not in the help.

use std::process::ExitCode;

use clap::Args;
use holdfast_keys::pkcs11;

use crate::{
    failure::Failure,
    logging::{self, Format, LEVELS, LogSettings},
};

/// Runs one partition for the process that started this one
#[derive(Args, Debug)]
pub(crate) struct KeyhostArgs {
    /// How log lines look
    #[arg(long, value_enum, default_value_t = Format::Text)]
    log_format: Format,
    /// How much is logged
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = level)]
    log_level: &'static str,
}

pub(crate) fn run(args: &KeyhostArgs) -> Result<ExitCode, Failure> {
    logging::install(&LogSettings { format: args.log_format, level: Some(args.log_level) });
    let Err(error) = pkcs11::keyhost();
    Err(Failure::from_error(error))
}

fn level(word: &str) -> Result<&'static str, String> {
    let known = LEVELS.iter().find(|(name, _)| *name == word);
    known.map(|(_, level)| *level).ok_or_else(|| format!("not a level: {word}"))
}
