//! `holdfast dataplane`: the data plane alone.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use holdfast_dataplane::DataPlane;

use crate::{config, failure::Failure, logging, output, runtime, signals::StopSignals};

/// Runs a data plane: answers AWS KMS, and goes on without the control plane
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast dataplane --config deploy/dataplane.toml")]
pub(crate) struct DataPlaneArgs {
    /// Configuration file; every setting is in deploy/docs/configuration.md
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Look at everything that a start would look at, start nothing, and list all faults
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &DataPlaneArgs) -> Result<ExitCode, Failure> {
    let config = config::dataplane::read(&args.config).map_err(Failure::from_error)?;
    if args.check {
        runtime()?.block_on(DataPlane::check(&config.settings)).map_err(Failure::from_error)?;
        output::line(&format!("{}: nothing wrong", args.config.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    logging::install(&config.log);
    runtime()?.block_on(async {
        let mut signals = StopSignals::new().map_err(Failure::from_error)?;
        let plane = DataPlane::start(config.settings).await.map_err(Failure::from_error)?;
        signals.next().await;
        tracing::info!("draining; a second signal ends the delay");
        plane.drain(signals.next()).await;
        Ok(ExitCode::SUCCESS)
    })
}
