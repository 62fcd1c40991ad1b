//! `holdfast-kms-sim`: runs the simulator until it is told to end, and prints what clients need on its first line, as JSON.

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use holdfast_sim_kms::{Sim, SimError, SimSettings};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A simulator of AWS KMS, CloudHSM v2 and STS that really calls an external key store proxy.
#[derive(Debug, Parser)]
#[command(name = "holdfast-kms-sim", version)]
struct Options {
    /// Where to listen, with plain HTTP, on loopback
    #[arg(long, default_value = "127.0.0.1:4599")]
    listen: SocketAddr,
    /// PEM file of certificates that a proxy's certificate must chain to
    #[arg(long)]
    proxy_ca: Option<PathBuf>,
    /// The account, 12 digits
    #[arg(long, default_value = "111122223333", value_parser = account)]
    account: String,
    /// The region that is printed for clients
    #[arg(long, default_value = "eu-central-1")]
    region: String,
    /// Access key id that clients sign with; drawn if it is left out
    #[arg(long, requires = "secret_access_key_file")]
    access_key_id: Option<String>,
    /// File that holds its secret
    #[arg(long, requires = "access_key_id")]
    secret_access_key_file: Option<PathBuf>,
    /// Show proxies a client certificate
    #[arg(long)]
    client_certificate: bool,
    /// How long a key store is CONNECTING, in milliseconds
    #[arg(long, default_value_t = 2000)]
    connect_delay_ms: u64,
    /// How often a connected proxy's health is asked for, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    health_interval: u64,
    /// File that keeps everything between runs
    #[arg(long)]
    state_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(EnvFilter::from_default_env()).init();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "holdfast-kms-sim: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Why it ended.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot start")]
    Start(#[from] SimError),
    #[error("cannot wait for a signal or write the first line")]
    System(#[from] io::Error),
}

async fn run(options: Options) -> Result<(), Failed> {
    // Before the first line: who has read it may end this at once.
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let sim = Sim::start(options.settings()?).await?;
    let settings = sim.settings();
    let first = json!({
        "url": sim.url(),
        "access_key_id": settings.access_key_id,
        "secret_access_key": settings.secret_access_key,
        "region": settings.region,
    });
    let mut out = io::stdout();
    writeln!(out, "{first}")?;
    out.flush()?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    sim.stop().await;
    Ok(())
}

impl Options {
    fn settings(self) -> Result<SimSettings, Failed> {
        let read = |path: PathBuf| fs::read(&path).map_err(|cause| Failed::Read { path, cause });
        let mut settings = SimSettings::new(self.proxy_ca.map(read).transpose()?);
        if let (Some(id), Some(file)) = (self.access_key_id, self.secret_access_key_file) {
            settings.access_key_id = id;
            settings.secret_access_key = String::from_utf8_lossy(&read(file)?).trim().to_owned();
        }
        settings.listen = self.listen;
        settings.account_id = self.account;
        settings.region = self.region;
        settings.client_certificate = self.client_certificate;
        settings.connect_delay = Duration::from_millis(self.connect_delay_ms);
        settings.health_interval = Duration::from_secs(self.health_interval);
        settings.state_file = self.state_file;
        Ok(settings)
    }
}

fn account(text: &str) -> Result<String, String> {
    let good = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    good.then(|| text.to_owned()).ok_or_else(|| "an account has 12 digits".into())
}

fn chain(error: &Failed) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
