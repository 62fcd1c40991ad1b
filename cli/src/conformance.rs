//! `holdfast conformance`: strict conformance against any XKS proxy.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use holdfast_conformance::{Options, Target};
use serde_json::{Map, Value};

use crate::{failure::Failure, output, runtime};

/// Checks an XKS proxy, any, against the specification: each case looks at status, errorName, headers and limits
#[derive(Args, Debug)]
pub(crate) struct ConformanceArgs {
    /// JSON file: an `xks` object, or an object with a member `xks` such as dev.json
    #[arg(long, value_name = "FILE")]
    target: PathBuf,
    /// Run only the cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Print {passed, failed, cases: [{name, ok, detail}]}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    overrides: Overrides,
}

/// Goes before what the target file says.
#[derive(Args, Debug)]
#[command(next_help_heading = "Instead of what FILE says")]
struct Overrides {
    #[arg(long)]
    host: Option<String>,
    #[arg(long)]
    port: Option<u16>,
    #[arg(long)]
    prefix: Option<String>,
    #[arg(long)]
    access_key_id: Option<String>,
    /// File that holds the secret access key
    #[arg(long, value_name = "FILE")]
    secret_access_key_file: Option<PathBuf>,
    #[arg(long)]
    key_id: Option<String>,
    #[arg(long)]
    region: Option<String>,
    #[arg(long, value_name = "PEM")]
    ca: Option<PathBuf>,
}

pub(crate) fn run(args: ConformanceArgs) -> Result<ExitCode, Failure> {
    let members = args.overrides.members()?;
    let target = Target::from_file_with(&args.target, &members).map_err(Failure::from_error)?;
    let report = runtime()?.block_on(holdfast_conformance::run(target, Options { only: args.only, ..Options::default() }));
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(Failure::from_error)?;
        output::line(&text);
    } else {
        output::line(report.table().trim_end());
    }
    Ok(if report.failed == 0 && report.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Overrides {
    fn members(self) -> Result<Map<String, Value>, Failure> {
        let secret = match &self.secret_access_key_file {
            None => None,
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|cause| Failure::file("read", file, &cause))?;
                Some(text.trim().to_owned())
            }
        };
        let texts = [
            ("host", self.host),
            ("prefix", self.prefix),
            ("access_key_id", self.access_key_id),
            ("secret_access_key", secret),
            ("key_id", self.key_id),
            ("region", self.region),
            ("ca", self.ca.map(|path| path.display().to_string())),
        ];
        let mut members: Map<String, Value> =
            texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?)))).collect();
        members.extend(self.port.map(|port| ("port".to_owned(), Value::from(port))));
        Ok(members)
    }
}
