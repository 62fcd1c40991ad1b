//! `holdfast-bench`: measures Holdfast beside the floor server and, if there is one, another XKS proxy.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use holdfast_bench::driver::DriverError;
use holdfast_bench::driver::process::Server;
use holdfast_bench::driver::series::Bench;
use holdfast_bench::driver::suite::{Programs, Suites};
use holdfast_bench::driver::table::{Machine, Table};
use holdfast_bench::{Target, chain};

/// Measures Encrypt with AAD and CDIV in interleaved rounds and says whether the promised ratios are kept.
///
/// Exit code 1 when one is not.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Which keys are measured.
    #[arg(value_enum, default_value_t = Keys::Local)]
    keys: Keys,
    /// The `holdfast` binary, built for release; by default the one beside this program.
    #[arg(long)]
    holdfast: Option<PathBuf>,
    /// The `holdfast-floor` binary; by default the one beside this program.
    #[arg(long)]
    floor: Option<PathBuf>,
    /// SoftHSM's module.
    #[arg(long, default_value = "/usr/lib/softhsm/libsofthsm2.so")]
    softhsm: PathBuf,
    /// The simulator's module, built for release; by default the one beside this program.
    #[arg(long)]
    simulator: Option<PathBuf>,
    /// wrk.
    #[arg(long, default_value = "wrk")]
    wrk: PathBuf,
    /// Target file of another XKS proxy that is running on this machine.
    #[arg(long, requires = "peer_pid")]
    peer_target: Option<PathBuf>,
    /// Process id of that proxy.
    #[arg(long, requires = "peer_target")]
    peer_pid: Option<u32>,
    /// Interleaved rounds.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Where to write everything as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// The suites.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Keys {
    /// Local keys.
    Local,
    /// Keys on PKCS#11 tokens: SoftHSM's, and one that takes 10 ms for each call.
    Hsm,
    /// One after the other.
    All,
}

fn main() -> ExitCode {
    match bench(&Flags::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "holdfast-bench: {}", chain(&error));
            ExitCode::from(2)
        }
    }
}

fn bench(flags: &Flags) -> Result<bool, DriverError> {
    let bench = Bench::new(flags.wrk.clone(), Duration::from_secs(flags.seconds))?;
    let programs = Programs {
        holdfast: beside(flags.holdfast.as_deref(), "holdfast")?,
        floor: beside(flags.floor.as_deref(), "holdfast-floor")?,
        softhsm: flags.softhsm.clone(),
        simulator: beside(flags.simulator.as_deref(), "libholdfast_sim_hsm.so")?,
    };
    let peer = match (&flags.peer_target, flags.peer_pid) {
        (Some(target), Some(pid)) => Some(Server::peer(Target::read(target)?, pid)),
        (None, _) | (_, None) => None,
    };
    let suites = Suites { bench: &bench, programs: &programs, peer: peer.as_ref(), rounds: flags.rounds };
    let sections = match flags.keys {
        Keys::Local => vec![suites.local()?],
        Keys::Hsm => vec![suites.hsm()?],
        Keys::All => vec![suites.local()?, suites.hsm()?],
    };
    let machine = Machine::here();
    let table = Table { machine: &machine, sections: &sections };
    write!(io::stdout(), "{table}")?;
    if let Some(path) = &flags.json {
        std::fs::write(path, format!("{:#}\n", table.to_json()))?;
    }
    Ok(table.all_kept())
}

/// The file that was named, or the one of this name beside the running one.
fn beside(named: Option<&Path>, name: &str) -> Result<PathBuf, DriverError> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => Ok(std::env::current_exe()?.with_file_name(name)),
    }
}
