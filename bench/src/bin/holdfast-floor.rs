//! `holdfast-floor`: the floor server, for the two workers of a two-core machine, until it is killed.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use holdfast_bench::floor::{Floor, FloorError, Sleepers};

/// Answers every HTTPS request with the bytes of an Encrypt answer: what a proxy costs before any XKS work.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to write a target file for holdfast-load; the certificate goes beside it.
    #[arg(long)]
    target_out: PathBuf,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Answer only after a thread slept for so many milliseconds, as one that waits for an HSM does.
    #[arg(long, requires = "sleepers")]
    sleep_ms: Option<u64>,
    /// How many threads sleep.
    #[arg(long, requires = "sleep_ms")]
    sleepers: Option<usize>,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match serve(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "holdfast-floor: {}", holdfast_bench::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn serve(flags: &Flags) -> Result<(), FloorError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(flags.workers.max(1)).enable_all().build()?;
    runtime.block_on(async {
        let floor = Floor::bind(flags.listen).await?;
        write_target(&floor, &flags.target_out)?;
        writeln!(io::stdout(), "floor on https://localhost:{}", floor.address().port())?;
        let served = match (flags.sleep_ms, flags.sleepers) {
            (Some(nap), Some(threads)) => tokio::spawn(floor.serve_after(Sleepers::start(threads, Duration::from_millis(nap))?)),
            (None, _) | (_, None) => tokio::spawn(floor.serve()),
        };
        served.await.map_err(io::Error::other)?;
        Ok(())
    })
}

/// The target file appears whole or not at all, so that its being there means that the floor listens.
fn write_target(floor: &Floor, path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let certificate = path.with_extension("pem");
    std::fs::write(&certificate, floor.certificate())?;
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, floor.target(&certificate).to_string())?;
    std::fs::rename(unfinished, path)
}
