//! `holdfast`: the one binary. Each subcommand is a module; this one parses, runs, prints a failure once and picks the exit code
//! (0 good, 1 failed, 2 bad arguments).

mod config;
mod conformance;
mod controlplane;
mod data_dir;
mod dataplane;
mod dev;
mod failure;
mod handout;
mod keyhost;
mod logging;
mod node;
mod output;
mod partition;
mod partition_spec;
mod signals;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// An AWS KMS external key store (XKS) proxy: hold your own key
#[derive(Parser, Debug)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Dev(dev::DevArgs),
    Controlplane(controlplane::ControlPlaneArgs),
    Dataplane(dataplane::DataPlaneArgs),
    Node(node::NodeArgs),
    Partition(partition::PartitionArgs),
    Conformance(conformance::ConformanceArgs),
    #[command(hide = true)]
    Keyhost(keyhost::KeyhostArgs),
}

fn main() -> ! {
    let outcome = match Cli::parse().command {
        Command::Dev(args) => dev::run(args),
        Command::Controlplane(args) => controlplane::run(args),
        Command::Dataplane(args) => dataplane::run(&args),
        Command::Node(args) => node::run(args),
        Command::Partition(args) => partition::run(args),
        Command::Conformance(args) => conformance::run(args),
        Command::Keyhost(args) => keyhost::run(&args),
    };
    let is_well = match outcome {
        Ok(code) => code == ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            false
        }
    };
    // All that is buffered still; who doesn't listen any more misses nothing.
    let _ = io::stdout().flush();
    // Past the exit handlers: those of a PKCS#11 module may wait for, or pull the ground from under, a thread that hangs in it.
    signal_hook::low_level::exit(i32::from(!is_well))
}

/// The runtime that a plane runs on: a worker for each core.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::new(format!("cannot start worker threads: {cause}")))
}
