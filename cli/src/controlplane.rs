//! `holdfast controlplane`: the control plane alone, and making its data directory.

use std::{
    env,
    ffi::OsString,
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, Subcommand};
use holdfast_controlplane::{ControlPlane, DemoOptions, InitOptions, Settings, init, settings::Render};
use holdfast_dataplane::metrics;
use holdfast_proto::secret::Secret;

use crate::{
    config,
    failure::Failure,
    handout::{Api, Handout, Xks},
    logging, output, runtime,
    signals::StopSignals,
};

/// Runs a control plane, or makes its data directory
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Example: holdfast controlplane --config deploy/controlplane.toml")]
pub(crate) struct ControlPlaneArgs {
    /// Configuration file; every setting is in deploy/docs/configuration.md
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<ControlPlaneCommand>,
}

#[derive(Subcommand, Debug)]
enum ControlPlaneCommand {
    Init(InitArgs),
}

/// Makes a control plane's data directory: CA, server certificate, both seals, the user admin
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast controlplane init --data-dir deploy/controlplane --demo")]
struct InitArgs {
    /// Folder to make, or an empty one
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Name or address that clients call the control plane by, besides localhost; repeatable
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// File that holds the password of the user admin; else it is what HOLDFAST_ADMIN_PASSWORD holds, else one is generated and printed
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
    /// Promise a key store to try things out; its keys are made when the first data plane connects. Writes demo.json, for programs
    #[arg(long)]
    demo: bool,
    /// AWS region of the demo key store
    #[arg(long, default_value = "us-east-1", requires = "demo")]
    region: String,
    /// Requests per second and node that the demo key store answers [default: no limit]
    #[arg(long, value_name = "N", requires = "demo")]
    xks_quota: Option<NonZeroU32>,
}

pub(crate) fn run(args: ControlPlaneArgs) -> Result<ExitCode, Failure> {
    match args {
        ControlPlaneArgs { command: Some(ControlPlaneCommand::Init(args)), .. } => make(args),
        ControlPlaneArgs { config: Some(file), .. } => serve(&file),
        ControlPlaneArgs { config: None, command: None } => Err(Failure::new("--config is missing")),
    }
}

fn serve(file: &Path) -> Result<ExitCode, Failure> {
    let config = config::controlplane::read(file).map_err(Failure::from_error)?;
    logging::install(&config.log);
    let numbers = metrics::install().map_err(Failure::from_error)?;
    let settings = Settings { metrics: Some(Render(Arc::new(move || numbers.render()))), ..config.settings };
    runtime()?.block_on(async {
        let mut signals = StopSignals::new().map_err(Failure::from_error)?;
        let plane = ControlPlane::start(settings).await.map_err(Failure::from_error)?;
        let broken = tokio::select! {
            () = signals.next() => false,
            () = plane.broken() => true,
        };
        plane.drain().await;
        if broken {
            // Whoever keeps services running starts it again.
            return Err(Failure::new(BROKEN));
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn make(args: InitArgs) -> Result<ExitCode, Failure> {
    let admin_password = given_password(args.admin_password_file.as_deref(), env::var_os(ADMIN_PASSWORD))?;
    let is_given = admin_password.is_some();
    let demo = args.demo.then_some(DemoOptions { region: args.region, quota: args.xks_quota });
    let report = init(&args.data_dir, InitOptions { server_names: args.name, admin_password, demo }).map_err(Failure::from_error)?;

    let dir = args.data_dir.canonicalize().map_err(|cause| Failure::file("find", &args.data_dir, &cause))?;
    let shown = |name: &str, value: &str| output::line(&format!("  {name:<13} {value}"));
    output::line(&format!("{} is ready.\n", dir.display()))?;
    shown("user", "admin")?;
    if !is_given {
        shown("password", &format!("{}  shown this once", report.admin_password.expose()))?;
    }
    shown("key seal", &format!("{}  losing it loses every local key: keep a copy offline", report.key_seal.display()))?;
    shown("control seal", &format!("{}  losing it loses every credential's secret", report.control_seal.display()))?;
    if let Some(demo) = report.demo {
        let ca = dir.join("ca.crt");
        let mut xks = Xks::from(demo);
        (xks.port, xks.ca) = (8443, ca.clone());
        let password = report.admin_password.expose().to_owned();
        let api = Api { url: "https://localhost:8444".into(), username: "admin".into(), password, ca };
        let handout = Handout { xks, api: Some(api), ops: None, kms_sim: None, partitions: Vec::new() };
        let file = dir.join("demo.json");
        handout.write(&file).map_err(|cause| Failure::file("write", &file, &cause))?;
        shown("demo", &format!("{}  its endpoint is a guess: https://localhost:8443", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The password of the user admin: the file's, else the environment's.
fn given_password(file: Option<&Path>, environment: Option<OsString>) -> Result<Option<Secret>, Failure> {
    match (file, environment.filter(|password| !password.is_empty())) {
        (Some(file), _) => {
            let text = fs::read_to_string(file).map_err(|cause| Failure::file("read", file, &cause))?;
            Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())))
        }
        (None, Some(password)) => match password.into_string() {
            Ok(password) => Ok(Some(Secret::new(password))),
            Err(_) => Err(Failure::new(format!("{ADMIN_PASSWORD} is not UTF-8"))),
        },
        (None, None) => Ok(None),
    }
}

/// The error of a process whose control plane broke.
pub(crate) const BROKEN: &str = "a part of the control plane broke down, and it is of no use without; the log names it";
/// For containers, whose secrets often come by the environment.
const ADMIN_PASSWORD: &str = "HOLDFAST_ADMIN_PASSWORD";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_password_is_the_file_s_else_the_environment_s_else_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        fs::write(&file, "from the file \r\n").unwrap();
        let given = |file, environment: Option<&str>| {
            let given = given_password(file, environment.map(OsString::from)).unwrap();
            given.map(|password| password.expose().to_owned())
        };
        assert_eq!(given(Some(&file), Some("from outside")).as_deref(), Some("from the file "));
        assert_eq!(given(None, Some("from outside")).as_deref(), Some("from outside"));
        assert_eq!(given(None, Some("")), None);
        assert_eq!(given(None, None), None);
        assert!(given_password(Some(&dir.path().join("missing")), None).is_err());
    }
}
