//! `holdfast-load`: loads any XKS proxy and says what came of it; or writes a script for wrk.

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand, ValueEnum};
use holdfast_bench::load::LoadError;
use holdfast_bench::plan::{Operation, Shape};
use holdfast_bench::target::TargetError;
use holdfast_bench::{Check, Connections, End, LoadPlan, LoadReport, Pace, Target, Workload, chain, run, wrk};

/// Open-loop load generator for XKS proxies: every request freshly signed, latency from the scheduled time.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    load: Load,
}

#[derive(Subcommand)]
enum Command {
    /// Writes a Lua script for wrk to stdout: one Encrypt whose static signature is good for five minutes.
    WrkScript {
        /// A target file.
        target: PathBuf,
        #[command(flatten)]
        sizes: Sizes,
    },
}

#[derive(Args)]
struct Load {
    /// A target file (an `xks` object, or an object with an `xks` member). More than one: requests go to each in turn.
    #[arg(long, required = true)]
    target: Vec<PathBuf>,
    #[command(flatten)]
    pace: PaceFlags,
    #[command(flatten)]
    sizes: Sizes,
    /// What to call.
    #[arg(long, value_enum, default_value_t = Call::Encrypt)]
    operation: Call,
    /// Requests that may be out at once.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// A new TLS connection for each request.
    #[arg(long)]
    new_connections: bool,
    /// Decrypt what was encrypted, compare, and check each CDIV; `next` decrypts on the next target.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "same")]
    check: Option<CheckFlag>,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct PaceFlags {
    /// Requests per second, sent on a fixed schedule (open loop).
    #[arg(long)]
    rate: Option<NonZeroU32>,
    /// Each connection sends when it has its answer: for saturation only.
    #[arg(long)]
    closed: bool,
}

#[derive(Args)]
struct Sizes {
    /// Bytes of additionalAuthenticatedData; 0 for none.
    #[arg(long, default_value_t = 40)]
    aad: usize,
    /// Bytes of plaintext.
    #[arg(long, default_value_t = 32)]
    plaintext: usize,
    /// Ask for a ciphertextDataIntegrityValue.
    #[arg(long)]
    cdiv: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Call {
    Encrypt,
    Decrypt,
    Metadata,
    Health,
    /// 45 % Encrypt, 45 % Decrypt, 5 % GetKeyMetadata, 5 % GetHealthStatus.
    Mix,
}

#[derive(Clone, Copy, ValueEnum)]
enum CheckFlag {
    Same,
    Next,
}

fn main() -> ExitCode {
    let Cli { command, load } = Cli::parse();
    let done = match command {
        Some(Command::WrkScript { target, sizes }) => script(&target, &sizes),
        None => measure(&load),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "holdfast-load: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn script(path: &std::path::Path, sizes: &Sizes) -> Result<bool, ToolError> {
    let target = Target::read(path)?;
    let script = wrk::script(&target, sizes.shape(), SystemTime::now());
    io::stdout().write_all(script.as_bytes())?;
    Ok(true)
}

/// Runs the load; whether every request was sent and answered well.
fn measure(load: &Load) -> Result<bool, ToolError> {
    let plan = load.plan()?;
    let mut builder = match load.threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(load.threads.max(1)).enable_all().build()?;
    let report = runtime.block_on(run(plan))?;
    print(&report, load.json)?;
    Ok(report.failed() == 0 && report.unsent == 0)
}

fn print(report: &LoadReport, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout();
    match as_json {
        true => writeln!(out, "{:#}", report.to_json()),
        false => write!(out, "{report}"),
    }
}

impl Load {
    fn plan(&self) -> Result<LoadPlan, ToolError> {
        let targets: Result<_, _> = self.target.iter().map(|path| Target::read(path)).collect();
        Ok(LoadPlan {
            workload: self.operation.workload(),
            shape: self.sizes.shape(),
            pace: self.pace.rate.map_or(Pace::Closed, |rate| Pace::Open { rate }),
            connections: self.connections,
            reuse: match self.new_connections {
                true => Connections::Fresh,
                false => Connections::Kept,
            },
            check: match self.check {
                None => Check::Answer,
                Some(CheckFlag::Same) => Check::RoundTrip,
                Some(CheckFlag::Next) => Check::CrossNode,
            },
            warmup: seconds(self.warmup)?,
            end: End::After(seconds(self.duration)?),
            ..LoadPlan::new(targets?)
        })
    }
}

impl Sizes {
    const fn shape(&self) -> Shape {
        Shape { plaintext: self.plaintext, aad: self.aad, cdiv: self.cdiv }
    }
}

impl Call {
    const fn workload(self) -> Workload {
        match self {
            Self::Encrypt => Workload::Only(Operation::Encrypt),
            Self::Decrypt => Workload::Only(Operation::Decrypt),
            Self::Metadata => Workload::Only(Operation::Metadata),
            Self::Health => Workload::Only(Operation::Health),
            Self::Mix => Workload::Mix,
        }
    }
}

fn seconds(value: f64) -> Result<Duration, ToolError> {
    Duration::try_from_secs_f64(value).map_err(|_| ToolError::Seconds(value))
}

#[derive(Debug, thiserror::Error)]
enum ToolError {
    #[error("{0} is no number of seconds")]
    Seconds(f64),
    #[error("cannot use the target")]
    Target(#[from] TargetError),
    #[error("cannot run the load")]
    Load(#[from] LoadError),
    #[error("cannot start, or cannot print")]
    Io(#[from] io::Error),
}
