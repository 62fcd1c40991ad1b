//! `holdfast dev`: both planes in one process, from nothing to serving. The parts are the real ones: sled, mutual TLS between the planes, sealed keys.
//!
//! Each step of a first start finds out by itself whether it has been done, so that an interrupted one goes on where it stopped.

mod hand_out;
mod kms_sim;
mod partitions;

use std::{
    error::Error,
    fs, io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    num::NonZeroU32,
    path::PathBuf,
    process::ExitCode,
    str::FromStr,
};

use clap::Args;
use holdfast_controlplane::{
    ControlPlane, DemoOptions, EnrollOptions, InitError, InitOptions, InitReport, Settings as ControlSettings, enroll, init,
    names::NodeName, store::sled::OpenError, sync_name,
};
use holdfast_dataplane::{
    DataPlane,
    settings::{CertificateFiles, ClientCertificates, KeySeal, ListenerSettings, Settings, SyncSettings},
};

use self::{
    hand_out::Planes,
    kms_sim::{Beside, KmsSim},
    partitions::{DemoGroup, Partitions},
};
use crate::{
    controlplane::BROKEN,
    data_dir::DataDir,
    failure::{Failure, Kind},
    handout::{Handout, local_url},
    logging::{self, Format, LogSettings},
    node,
    partition_spec::{FORM, PartitionSpec},
    runtime,
    signals::StopSignals,
};

/// Runs everything on this machine, to try out: control plane, data plane, a key store with a key and a credential
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast dev --data-dir ./holdfast-data")]
pub(crate) struct DevArgs {
    /// Where everything lies; made at the first start
    #[arg(long, value_name = "DIR", default_value = "./holdfast-data")]
    data_dir: PathBuf,
    /// Where AWS KMS would connect to
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8443")]
    xks_listen: SocketAddr,
    /// Admin API, HTTPS: REST and gRPC
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8444")]
    api_listen: SocketAddr,
    /// Between the planes, mutual TLS
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8445")]
    sync_listen: SocketAddr,
    /// Plain HTTP: /livez, /readyz, /ping, /metrics
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9464")]
    ops_listen: SocketAddr,
    /// AWS region of the demo key store; settled at the first start [default: us-east-1]
    #[arg(long)]
    region: Option<String>,
    /// Requests per second that the demo key store answers; `off`: no limit
    #[arg(long, value_name = "N|off", default_value = "off")]
    xks_quota: Quota,
    /// A PKCS#11 token with a demo key store; repeatable
    #[arg(long, value_name = "SPEC", long_help = format!("A PKCS#11 token with a demo key store of its own, or one for its group; repeatable: {FORM}"))]
    partition: Vec<PartitionSpec>,
    /// Run a simulator of AWS KMS too, and have it be the control plane's AWS; settled at the first start that says so
    #[arg(long)]
    with_kms_sim: bool,
    /// AWS JSON over plain HTTP, for the control plane and for AWS's own clients [default: 127.0.0.1:8446]
    #[arg(long, value_name = "ADDR:PORT")]
    kms_sim_listen: Option<SocketAddr>,
    /// How log lines look
    #[arg(long, value_enum, default_value_t = Format::Text)]
    log_format: Format,
}

impl DevArgs {
    const fn log(&self) -> LogSettings {
        LogSettings { format: self.log_format, level: Some("warn") }
    }
}

/// A number of requests per second, or no limit.
#[derive(Clone, Copy, Debug)]
struct Quota(Option<NonZeroU32>);

pub(crate) fn run(args: DevArgs) -> Result<ExitCode, Failure> {
    logging::install(&args.log());
    // The control plane has threads of its own: hashing a password must not hold up a request of AWS KMS.
    let control_runtime = runtime()?;
    let data_runtime = runtime()?;
    let start = Start { dir: DataDir::open(&args.data_dir)?, args };
    let with_kms_sim = start.with_kms_sim()?;
    let first = start.make_what_is_missing()?;
    let groups = start.partitions().prepare()?;
    let kms_sim = with_kms_sim.then(|| start.kms_sim()).transpose()?;
    let control = control_runtime.block_on(ControlPlane::start(start.control_plane(kms_sim.as_ref()))).map_err(not_started)?;
    let served = data_runtime.block_on(start.serve(Found { first, groups: &groups, kms_sim: kms_sim.as_ref() }, &control));
    control_runtime.block_on(control.drain());
    if let Some(sim) = kms_sim {
        sim.stop();
    }
    served.map(|()| ExitCode::SUCCESS)
}

/// What was there, or was made, before the planes started.
struct Found<'f> {
    /// What only the first start knows.
    first: Option<InitReport>,
    groups: &'f [DemoGroup],
    kms_sim: Option<&'f KmsSim>,
}

/// What a start has to work with.
struct Start {
    dir: DataDir,
    args: DevArgs,
}

impl Start {
    /// Makes the control plane's directory and the node's, where they are not there yet. What only the first start knows comes back.
    fn make_what_is_missing(&self) -> Result<Option<InitReport>, Failure> {
        let region = self.args.region.clone().unwrap_or_else(|| DEFAULT_REGION.into());
        let options = InitOptions { demo: Some(DemoOptions { region, quota: self.args.xks_quota.0 }), ..InitOptions::default() };
        let first = match init(&self.dir.control_plane(), options) {
            Ok(report) => Some(report),
            Err(InitError::Open(OpenError::Initialised { .. })) => None,
            Err(error) => return Err(Failure::from_error(error)),
        };
        let node = self.dir.node();
        // `enroll` writes this file last.
        if !node.join("dataplane.toml").exists() {
            match fs::remove_dir_all(&node) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(Failure::file("remove", &node, &cause)),
                Ok(()) | Err(_) => {}
            }
            let name = NodeName::try_from("dev").map_err(Failure::from_error)?;
            let own_name = sync_name(&self.dir.control_plane()).map_err(Failure::from_error)?;
            let toml = NOT_READ.to_owned() + &node::dataplane_toml(&self.sync_endpoint(self.args.sync_listen), own_name);
            let options = EnrollOptions { dataplane_toml: toml, ..EnrollOptions::default() };
            enroll(&self.dir.control_plane(), &name, &node, options).map_err(Failure::from_error)?;
        }
        Ok(first)
    }

    /// Reads what an earlier start handed out, whole or not at all.
    fn handed_out(&self) -> Result<Option<Handout>, Failure> {
        let file = self.dir.handout();
        Handout::read(&file).map_err(|cause| Failure::file("read", &file, &cause))
    }

    /// Whether the simulator runs: where it is asked for or was before, since what it made is linked to it, and no other AWS knows any of it.
    fn with_kms_sim(&self) -> Result<bool, Failure> {
        let known = self.handed_out()?.is_some_and(|known| known.kms_sim.is_some());
        let with = self.args.with_kms_sim || known || self.dir.kms_sim().join(kms_sim::STATE).exists();
        match self.args.kms_sim_listen {
            Some(_) if !with => Err(Failure::of(Kind::Usage, "--kms-sim-listen goes with --with-kms-sim")),
            Some(_) | None => Ok(with),
        }
    }

    fn kms_sim(&self) -> Result<KmsSim, Failure> {
        let known = self.handed_out()?;
        let region = known.as_ref().map(|known| known.xks.region.clone()).or_else(|| self.args.region.clone());
        KmsSim::start(Beside {
            listen: self.args.kms_sim_listen.unwrap_or(KMS_SIM_LISTEN),
            folder: self.dir.kms_sim(),
            ca: self.dir.control_plane().join("ca.crt"),
            region: region.unwrap_or_else(|| DEFAULT_REGION.into()),
            known: known.and_then(|known| known.kms_sim),
        })
    }

    fn control_plane(&self, kms_sim: Option<&KmsSim>) -> ControlSettings {
        let mut settings = ControlSettings::new(self.dir.control_plane(), self.args.api_listen, self.args.sync_listen);
        if let Some(sim) = kms_sim {
            settings.aws = sim.aws();
        }
        settings
    }

    fn partitions(&self) -> Partitions<'_> {
        Partitions::new(&self.args.partition, &self.dir.node().join("state"))
    }

    fn data_plane(&self, sync: SocketAddr, kms_sim: Option<&KmsSim>) -> Result<Settings, Failure> {
        let node = self.dir.node();
        let certificate = CertificateFiles { chain: node.join("xks.crt"), key: node.join("xks.key") };
        let mut settings = Settings::new(node.join("state"));
        let mut listener = ListenerSettings::new(self.args.xks_listen, vec![certificate]);
        if let Some(sim) = kms_sim {
            // For key stores that demand it; the simulator shows one when it is told to.
            listener.client_certificates = ClientCertificates::Request;
            listener.client_ca = vec![sim.client_ca().to_owned()];
        }
        settings.listeners = vec![listener];
        settings.ops = Some(self.args.ops_listen);
        settings.key_seals = vec![KeySeal::File(node.join("key-seal"))];
        settings.pkcs11 = self.partitions().settings(&self.args.log());
        settings.audit_dir = Some(node.join("audit"));
        settings.sync = Some(SyncSettings {
            endpoint: self.sync_endpoint(sync),
            server_name: sync_name(&self.dir.control_plane()).map_err(Failure::from_error)?.unwrap_or(HOST).into(),
            certificate: node.join("node.crt"),
            key: node.join("node.key"),
            ca: node.join("ca.crt"),
        });
        Ok(settings)
    }

    /// Serves until a signal, then drains.
    async fn serve(&self, found: Found<'_>, control: &ControlPlane) -> Result<(), Failure> {
        let mut signals = StopSignals::new().map_err(Failure::from_error)?;
        let data = DataPlane::start(self.data_plane(control.sync_addr(), found.kms_sim)?).await.map_err(not_started)?;
        let handed_out = tokio::select! {
            handed_out = self.hand_out(found, Planes { control, data: &data }) => handed_out,
            () = signals.next() => {
                data.drain(signals.next()).await;
                return Ok(());
            }
        };
        let mut served = handed_out;
        if served.is_ok() {
            tokio::select! {
                () = signals.next() => {}
                () = control.broken() => served = Err(Failure::new(BROKEN)),
            }
        }
        data.drain(signals.next()).await;
        served
    }

    fn sync_endpoint(&self, at: SocketAddr) -> String {
        local_url("https", HOST, at)
    }
}

/// Of a part that did not start: over a port, most often.
fn not_started(error: impl Error) -> Failure {
    let failure = Failure::from_error(error);
    // As the operating system says it.
    if failure.to_string().contains("Address already in use") {
        failure.and("does a `holdfast dev` run already? The options that end in -listen move its ports")
    } else {
        failure
    }
}

impl FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            number => number.parse().map(|n| Self(Some(n))).map_err(|_| "a number of requests per second from 1 on, or off".to_owned()),
        }
    }
}

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => f.write_str("off"),
            Some(number) => number.fmt(f),
        }
    }
}

/// What the node's `dataplane.toml` begins with.
const NOT_READ: &str = "\
# `holdfast dev` does not read this file. It is for `holdfast dataplane --config`, where the planes are to run apart.
";
/// A name in the certificates that `init` and `enroll` make.
const HOST: &str = "localhost";
const DEFAULT_REGION: &str = "us-east-1";
const KMS_SIM_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8446));
