//! A data plane as a whole: put together, started, drained.
//!
//! Holds: starting lists everything that is wrong, not just the first thing, and nothing listens before all of it is right. It runs on
//! the runtime that it was started on and ends with it, or when it drops.

use std::{
    fmt,
    fs::File,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use holdfast_proto::seal::{BadSealText, Seal, SealRing};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::timeout};
use tracing::info;
use zeroize::Zeroizing;

use crate::{
    audit::{Audit, AuditError},
    cache::{Cache, CacheError},
    chain::chain,
    drain::{Drain, Phase},
    forever::Forever,
    listen::{self, Listener, Peers, Timeouts},
    live::{Live, Parts},
    metrics::{self, Exporter, InstallError, Metrics},
    ops_port::OpsPort,
    request::Responder,
    settings::{ListenerSettings, Settings},
    signing::SigningKeys,
    sync::{self, ListenerReport, Sync},
    tls::{Tls, TlsError, reload::Reloads},
    trail::RefusalLog,
};

/// A running data plane.
pub struct DataPlane {
    live: Arc<Live>,
    drain: Arc<Drain>,
    drain_delay: Duration,
    permits: Arc<Semaphore>,
    max_connections: u32,
    xks_addrs: Vec<SocketAddr>,
    ops_addr: Option<SocketAddr>,
    /// Everything that runs but the connections and `sync`. Aborted when this drops.
    tasks: JoinSet<()>,
    /// None once it is stopped.
    sync: Option<Sync>,
}

/// Everything that keeps a data plane from starting.
#[derive(Debug)]
pub struct StartErrors(pub Vec<StartError>);

/// One thing that keeps a data plane from starting.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No listener is configured.
    #[error("no listener is configured")]
    NoListener,
    /// No seal is configured.
    #[error("no key seal is configured")]
    NoSeal,
    /// A seal file that can't be read.
    #[error("cannot read the key seal {}", path.display())]
    SealFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file that holds no seal.
    #[error("{} holds no key seal", path.display())]
    SealText {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: BadSealText,
    },
    /// A file of the sync stream.
    #[error("cannot read {} for the sync stream", path.display())]
    SyncFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A folder that is something else.
    #[error("{} is not a folder", path.display())]
    NotFolder {
        /// What is there.
        path: PathBuf,
    },
    /// A listener's TLS.
    #[error("listener {addr}")]
    Tls {
        /// The listener.
        addr: SocketAddr,
        /// Why.
        #[source]
        cause: Box<TlsError>,
    },
    /// An address that can't be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The directory for what is kept between runs.
    #[error("no state directory")]
    State(#[source] CacheError),
    /// The audit trail.
    #[error("no audit trail")]
    Audit(#[source] AuditError),
    /// The metrics recorder.
    #[error("no metrics")]
    Metrics(#[source] InstallError),
    /// A thread that was not started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl DataPlane {
    /// Looks at everything that a start would look at, without starting: nothing is bound, made or locked, so that it can be asked beside a
    /// running data plane.
    ///
    /// # Errors
    /// [`StartErrors`] lists all that is wrong.
    pub fn check(settings: &Settings) -> Result<(), StartErrors> {
        let mut wrong = Vec::new();
        Files::look_at(settings, &mut wrong);
        if wrong.is_empty() { Ok(()) } else { Err(StartErrors(wrong)) }
    }

    /// Starts a data plane on the current runtime.
    ///
    /// # Errors
    /// [`StartErrors`] lists all that is wrong.
    pub async fn start(settings: Settings) -> Result<Self, StartErrors> {
        let Checked { cache, seals, listeners, ops, audit, exporter, metrics } = Checked::of(&settings)?;
        let thread = |cause| StartErrors(vec![StartError::Thread(cause)]);
        let signing = Arc::<SigningKeys>::default();
        let parts = Parts {
            seals: Arc::clone(&seals),
            metrics: Arc::clone(&metrics),
            signing: Arc::clone(&signing),
            ledger: Arc::new(cache.resume_counts()),
        };
        let live = Arc::new(Live::start(parts).map_err(thread)?);
        // Before anything listens: what was served before the restart is served after it.
        cache.restore(&live);
        let fleet = Arc::new(AtomicU32::new(1));
        let reports = settings.listeners.iter().zip(&listeners).filter_map(|(asked, (_, socket))| {
            Some(ListenerReport { addr: socket.local_addr().ok()?, client_certificates: asked.client_certificates })
        });
        let parts = sync::Parts {
            live: Arc::clone(&live),
            cache: Arc::new(cache),
            seals,
            metrics: Arc::clone(&metrics),
            fleet: Arc::clone(&fleet),
            listeners: reports.collect(),
        };
        let xks_addrs: Vec<_> = parts.listeners.iter().map(|report| report.addr).collect();
        let ops_addr = ops.as_ref().and_then(|socket| socket.local_addr().ok());
        let named = xks_addrs.iter().map(|addr| ("xks", addr)).chain(ops_addr.iter().map(|addr| ("ops", addr)));
        for (listener, addr) in named {
            info!(listener, %addr, "listening");
        }
        let sync = sync::spawn(settings.sync.clone(), parts).map_err(thread)?;

        let responder = Arc::new(Responder {
            live: Arc::clone(&live),
            signing,
            metrics,
            audit,
            drain: Arc::default(),
            fleet,
            in_flight: settings.in_flight,
            log: RefusalLog::default(),
            broken: Arc::default(),
        });
        let mut plane = Self {
            live,
            drain: Arc::clone(&responder.drain),
            drain_delay: settings.drain_delay,
            permits: Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS))),
            max_connections: u32::try_from(settings.max_connections).unwrap_or(u32::MAX),
            xks_addrs,
            ops_addr,
            tasks: JoinSet::new(),
            sync: Some(sync),
        };
        let forever = |task| Forever { task, drain: Arc::clone(&responder.drain), broken: None };
        let reloads = Reloads::watch(listeners.iter().map(|(tls, _)| Arc::clone(tls)).collect());
        plane.tasks.spawn(forever("certificate reloads").run(reloads.run()));
        let (metrics, upkept) = (Arc::clone(&responder.metrics), exporter.clone());
        plane.tasks.spawn(forever("metrics upkeep").run(async move { metrics.upkeep(upkept).await }));
        if let Some(socket) = ops {
            let port = OpsPort { responder: Arc::clone(&responder), exporter };
            plane.tasks.spawn(forever("ops port").run(port.run(socket)));
        }
        plane.listen(&settings, listeners, &responder);
        Ok(plane)
    }

    fn listen(&mut self, settings: &Settings, listeners: Vec<(Arc<Tls>, TcpListener)>, responder: &Arc<Responder>) {
        let peers = Arc::new(Peers::new(settings.per_peer));
        for (tls, socket) in listeners {
            let listener = Listener {
                tls,
                responder: Arc::clone(responder),
                permits: Arc::clone(&self.permits),
                peers: Arc::clone(&peers),
                timeouts: timeouts(settings),
            };
            let (drain, broken) = (Arc::clone(&responder.drain), Some(Arc::clone(&responder.broken)));
            self.tasks.spawn(Forever { task: "listener", drain, broken }.run(listener.run(socket)));
        }
    }

    /// Where AWS KMS connects to, in the order of the settings.
    #[must_use]
    pub fn xks_addrs(&self) -> &[SocketAddr] {
        &self.xks_addrs
    }

    /// Where operators look.
    #[must_use]
    pub const fn ops_addr(&self) -> Option<SocketAddr> {
        self.ops_addr
    }

    /// The snapshot in use.
    #[must_use]
    pub const fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Stops: not ready at once, accepting for the drain delay or until `hurry` ends, then ten seconds for what is in flight.
    /// What was used of the encryption counts is written down at the end.
    pub async fn drain(mut self, hurry: impl Future<Output = ()>) {
        self.drain.advance(Phase::Leaving);
        if let Some(sync) = &self.sync {
            sync.leave();
        }
        if !self.drain_delay.is_zero() {
            // Either way the delay is over.
            let _ = timeout(self.drain_delay, hurry).await;
        }
        self.drain.advance(Phase::Closing);
        // Every connection holds a permit until it ends.
        let ended = self.permits.acquire_many(self.max_connections);
        let idle = timeout(IN_FLIGHT, ended).await.is_ok_and(|permits| permits.is_ok());
        // The late ones. They are woken and end at once; what they leave in the audit trail is there before it ends.
        self.drain.advance(Phase::Closed);
        if !idle {
            let _ = timeout(CUT_OFF, self.permits.acquire_many(self.max_connections)).await;
        }
        if let Some(sync) = self.sync.take() {
            sync.stop(idle).await;
        }
        self.tasks.shutdown().await;
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.drain.advance(Phase::Closed);
    }
}

impl fmt::Debug for DataPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataPlane").field("xks_addrs", &self.xks_addrs).field("ops_addr", &self.ops_addr).finish_non_exhaustive()
    }
}

impl fmt::Display for StartErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            let line = chain(error);
            if at == 0 { f.write_str(&line)? } else { write!(f, "\n{line}")? }
        }
        Ok(())
    }
}

impl std::error::Error for StartErrors {}

/// All that can be wrong, right.
struct Checked {
    cache: Cache,
    seals: Arc<SealRing>,
    listeners: Vec<(Arc<Tls>, TcpListener)>,
    ops: Option<TcpListener>,
    audit: Audit,
    exporter: Exporter,
    metrics: Arc<Metrics>,
}

impl Checked {
    fn of(settings: &Settings) -> Result<Self, StartErrors> {
        let mut wrong = Vec::new();
        // First, since handles registered before it would do nothing.
        let exporter = kept(metrics::install().map_err(StartError::Metrics), &mut wrong);
        let metrics = Arc::new(Metrics::register());
        let Files { seals, tls } = Files::look_at(settings, &mut wrong);
        let cache = seals.as_ref().and_then(|seals| {
            let opened = Cache::open(settings.state_dir.clone(), Arc::clone(seals));
            kept(opened.map_err(StartError::State), &mut wrong)
        });
        let mut listeners = Vec::new();
        for (asked, tls) in settings.listeners.iter().zip(tls) {
            listeners.extend(tls.zip(kept(bind(asked.addr), &mut wrong)));
        }
        let ops = settings.ops.and_then(|addr| kept(bind(addr), &mut wrong));
        let audit = Audit::start(settings.audit_dir.as_deref(), Arc::clone(&metrics)).map_err(StartError::Audit);
        let audit = kept(audit, &mut wrong);
        match (exporter, seals, cache, audit) {
            (Some(exporter), Some(seals), Some(cache), Some(audit)) if wrong.is_empty() => {
                Ok(Self { cache, seals, listeners, ops, audit, exporter, metrics })
            }
            _ => Err(StartErrors(wrong)),
        }
    }
}

/// What the settings name on disk.
struct Files {
    seals: Option<Arc<SealRing>>,
    /// For each listener, where it can be had.
    tls: Vec<Option<Arc<Tls>>>,
}

impl Files {
    fn look_at(settings: &Settings, wrong: &mut Vec<StartError>) -> Self {
        let seals = seals(&settings.key_seals, wrong).map(Arc::new);
        if settings.listeners.is_empty() {
            wrong.push(StartError::NoListener);
        }
        let tls = settings.listeners.iter().map(|listener| tls(listener, wrong)).collect();
        for path in settings.sync.iter().flat_map(|sync| [&sync.certificate, &sync.key, &sync.ca]) {
            kept(File::open(path).map_err(|cause| StartError::SyncFile { path: path.clone(), cause }), wrong);
        }
        // Made by the start when missing.
        for path in settings.audit_dir.iter().chain([&settings.state_dir]).filter(|path| path.exists() && !path.is_dir()) {
            wrong.push(StartError::NotFolder { path: path.clone() });
        }
        Self { seals, tls }
    }
}

fn tls(settings: &ListenerSettings, wrong: &mut Vec<StartError>) -> Option<Arc<Tls>> {
    let addr = settings.addr;
    let loaded = Tls::load(settings);
    loaded
        .map_err(|causes| wrong.extend(causes.into_iter().map(|cause| StartError::Tls { addr, cause: Box::new(cause) })))
        .map(Arc::new)
        .ok()
}

fn seals(paths: &[PathBuf], wrong: &mut Vec<StartError>) -> Option<SealRing> {
    if paths.is_empty() {
        wrong.push(StartError::NoSeal);
    }
    let mut seals = paths.iter().filter_map(|path| kept(seal(path), wrong)).collect::<Vec<_>>().into_iter();
    Some(SealRing::new(seals.next()?, seals.collect()))
}

fn seal(path: &Path) -> Result<Seal, StartError> {
    let text = std::fs::read_to_string(path).map_err(|cause| StartError::SealFile { path: path.into(), cause });
    Seal::from_text(&Zeroizing::new(text?)).map_err(|cause| StartError::SealText { path: path.into(), cause })
}

fn bind(addr: SocketAddr) -> Result<TcpListener, StartError> {
    listen::bind(addr).map_err(|cause| StartError::Listen { addr, cause })
}

fn kept<T>(tried: Result<T, StartError>, wrong: &mut Vec<StartError>) -> Option<T> {
    tried.map_err(|error| wrong.push(error)).ok()
}

const fn timeouts(settings: &Settings) -> Timeouts {
    Timeouts {
        handshake: settings.handshake_timeout,
        header: settings.header_timeout,
        stranger: settings.stranger_timeout,
        idle: settings.idle_timeout,
        unknown: UNKNOWN,
    }
}

/// For a connection on which no request authenticates, however busy it is.
const UNKNOWN: Duration = Duration::from_secs(300);
/// For what is in flight when a drain has stopped accepting (design §4).
const IN_FLIGHT: Duration = Duration::from_secs(10);
/// For connections that were told to end at once.
const CUT_OFF: Duration = Duration::from_secs(1);
