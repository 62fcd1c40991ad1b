//! `holdfast conformance`: strict conformance against any XKS proxy.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use holdfast_conformance::{Facts, Options, Target};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{failure::Failure, output, runtime};

/// Checks an XKS proxy, any, against the specification: each case looks at status, errorName, headers and limits
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast conformance --target holdfast-data/dev.json")]
pub(crate) struct ConformanceArgs {
    /// JSON file: an `xks` object, or an object with a member `xks` such as dev.json
    #[arg(long, value_name = "FILE")]
    target: PathBuf,
    /// JSON file with facts that some cases need: blocked_key_id, second_key_id, other_prefix,
    /// second_credential {access_key_id, secret_access_key}, ping_path; without a fact its cases are left out
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// Run only the cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Print {passed, failed, cases: [{name, ok, detail}]}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    overrides: Overrides,
}

/// The file of `--facts`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FactsFile {
    blocked_key_id: Option<String>,
    second_key_id: Option<String>,
    other_prefix: Option<String>,
    second_credential: Option<Credential>,
    ping_path: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credential {
    access_key_id: String,
    secret_access_key: String,
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
    #[arg(long, value_name = "PEM")]
    client_cert: Option<PathBuf>,
    #[arg(long, value_name = "PEM")]
    client_key: Option<PathBuf>,
}

pub(crate) fn run(args: ConformanceArgs) -> Result<ExitCode, Failure> {
    let members = args.overrides.members()?;
    let target = Target::from_file_with(&args.target, &members).map_err(Failure::from_error)?;
    let facts = args.facts.as_deref().map(FactsFile::read).transpose()?.unwrap_or_default();
    let report = runtime()?.block_on(holdfast_conformance::run(target, facts.options(args.only)));
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(Failure::from_error)?;
        output::line(&text)?;
    } else {
        output::line(report.table().trim_end())?;
    }
    Ok(if report.failed == 0 && report.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl FactsFile {
    fn read(file: &Path) -> Result<Self, Failure> {
        let text = fs::read(file).map_err(|cause| Failure::file("read", file, &cause))?;
        serde_json::from_slice(&text).map_err(|error| Failure::new(format!("{}: {error}", file.display())))
    }

    fn options(self, only: Option<String>) -> Options {
        let facts = Facts {
            blocked_key_id: self.blocked_key_id,
            second_key_id: self.second_key_id,
            second_credential: self.second_credential.map(|credential| (credential.access_key_id, credential.secret_access_key)),
            other_prefix: self.other_prefix,
        };
        let ping_path = self.ping_path.or(Options::default().ping_path);
        Options { only, ping_path, facts }
    }
}

impl Overrides {
    fn members(self) -> Result<Map<String, Value>, Failure> {
        let secret = match &self.secret_access_key_file {
            None => None,
            Some(file) => {
                let text = fs::read_to_string(file).map_err(|cause| Failure::file("read", file, &cause))?;
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
            ("client_cert", self.client_cert.map(|path| path.display().to_string())),
            ("client_key", self.client_key.map(|path| path.display().to_string())),
        ];
        let mut members: Map<String, Value> =
            texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?)))).collect();
        members.extend(self.port.map(|port| ("port".to_owned(), Value::from(port))));
        Ok(members)
    }
}
