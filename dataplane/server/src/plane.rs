//! A data plane as a whole: put together, started, drained.
//!
//! Holds: starting lists everything that is wrong, not just the first thing, and nothing listens before all of it is right. It runs on
//! the runtime that it was started on and ends with it, or when it drops.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use holdfast_keys::pkcs11::Groups;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};
use tracing::info;

use crate::{
    drain::{Drain, Phase},
    forever::Forever,
    listen::{Listener, Peers, Timeouts},
    live::{Live, Parts},
    ops_port::OpsPort,
    request::Responder,
    settings::Settings,
    signing::SigningKeys,
    start::{self, Checked, StartError, StartErrors},
    sync::{self, ListenerReport, Sync},
    tls::{Tls, reload::Reloads},
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
    groups: Arc<Groups>,
    /// Everything that runs but the connections and `sync`. Aborted when this drops.
    tasks: JoinSet<()>,
    /// None once it is stopped.
    sync: Option<Sync>,
}

impl DataPlane {
    /// Looks at everything that a start would look at, without starting: nothing is bound, made or locked, so that it can be asked beside a
    /// running data plane; what is remembered of tokens, a refused PIN above all, is remembered. A token that can't be reached is a fault
    /// here; a start would go on without it.
    ///
    /// # Errors
    /// [`StartErrors`] lists all that is wrong.
    pub async fn check(settings: &Settings) -> Result<(), StartErrors> {
        start::check(settings).await
    }

    /// Starts a data plane on the current runtime.
    ///
    /// # Errors
    /// [`StartErrors`] lists all that is wrong.
    pub async fn start(settings: Settings) -> Result<Self, StartErrors> {
        let Checked { cache, seals, groups, listeners, ops, audit, exporter, metrics } = Checked::of(&settings).await?;
        let thread = |cause| StartErrors(vec![StartError::Thread(cause)]);
        let signing = Arc::<SigningKeys>::default();
        let parts = Parts {
            seals: Arc::clone(&seals),
            metrics: Arc::clone(&metrics),
            signing: Arc::clone(&signing),
            ledger: Arc::new(cache.resume_counts()),
            groups: Arc::clone(&groups),
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
            groups: Arc::clone(&groups),
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
            groups,
            tasks: JoinSet::new(),
            sync: Some(sync),
        };
        let forever = |task| Forever { task, drain: Arc::clone(&responder.drain), broken: None };
        let reloads = Reloads::watch(listeners.iter().map(|(tls, _)| Arc::clone(tls)).collect());
        plane.tasks.spawn(forever("certificate reloads").run(reloads.run()));
        let (metrics, upkept, groups) = (Arc::clone(&responder.metrics), exporter.clone(), Arc::clone(&plane.groups));
        plane.tasks.spawn(forever("metrics upkeep").run(async move { metrics.upkeep(upkept, &groups).await }));
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
        // Nobody has work for the tokens any more. Its own panic is in the log.
        let groups = Arc::clone(&self.groups);
        let _ = spawn_blocking(move || groups.stop()).await;
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.drain.advance(Phase::Closed);
        // After a drain there is nothing left to stop. Without one the process may be about to end, and must not do so while a module works.
        self.groups.stop();
    }
}

impl fmt::Debug for DataPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataPlane").field("xks_addrs", &self.xks_addrs).field("ops_addr", &self.ops_addr).finish_non_exhaustive()
    }
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
