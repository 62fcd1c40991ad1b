//! `holdfast-bench`: measures Holdfast beside the floor server and, if there is one, another XKS proxy.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use holdfast_bench::driver::DriverError;
use holdfast_bench::driver::process::Server;
use holdfast_bench::driver::series::{Bench, Row, Test, interleaved};
use holdfast_bench::driver::table::{Machine, Table};
use holdfast_bench::driver::verdict::{FRESH, PACED, SATURATED, judge};
use holdfast_bench::{Target, chain};

/// Measures Encrypt with AAD and CDIV in interleaved rounds and says whether the promised ratios are kept.
///
/// Exit code 1 when one is not.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// The `holdfast` binary, built for release; by default the one beside this program.
    #[arg(long)]
    holdfast: Option<PathBuf>,
    /// The `holdfast-floor` binary; by default the one beside this program.
    #[arg(long)]
    floor: Option<PathBuf>,
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
    let floor = Server::floor(&beside(flags.floor.as_deref(), "holdfast-floor")?)?;
    let holdfast = Server::holdfast(&beside(flags.holdfast.as_deref(), "holdfast")?)?;
    let peer = match (&flags.peer_target, flags.peer_pid) {
        (Some(target), Some(pid)) => Some(Server::peer(Target::read(target)?, pid)),
        (None, _) | (_, None) => None,
    };
    let servers: Vec<&Server> = [&floor, &holdfast].into_iter().chain(&peer).collect();
    for server in &servers {
        bench.await_ready(server)?;
    }
    let saturated = SATURATED.map(Test::Saturated);
    let fresh = FRESH.map(Test::Fresh);
    let mut rows: Vec<Row> = Vec::new();
    for test in saturated.into_iter().chain([Test::Paced(PACED)]).chain(fresh) {
        let mut err = io::stderr();
        writeln!(err, "{}: {} rounds of {} s", test.name(), flags.rounds, flags.seconds)?;
        rows.extend(interleaved(&bench, &servers, test, flags.rounds)?);
    }
    let verdicts = judge(&rows);
    let machine = Machine::here();
    let table = Table { machine: &machine, rows: &rows, verdicts: &verdicts };
    write!(io::stdout(), "{table}")?;
    if let Some(path) = &flags.json {
        std::fs::write(path, format!("{:#}\n", table.to_json()))?;
    }
    Ok(table.all_kept())
}

/// The program that was named, or the one of this name beside the running one.
fn beside(named: Option<&Path>, name: &str) -> Result<PathBuf, DriverError> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => Ok(std::env::current_exe()?.with_file_name(name)),
    }
}
