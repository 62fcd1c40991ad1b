//! Publishing: from the store's entries to what every data plane holds, and back what the data planes say (design §6 and §7).
//!
//! `build` and `reconcile` make the records of the newest revision; a `session` per node decides what it is sent, and `service` carries
//! that over mutual TLS; `nodes` books who has what, `promote` lets a version encrypt once all have it, `tasks` asks a node for work on
//! key material. `core` commits to the store and asks here, through [`Publisher`], how far it got.

mod build;
mod built;
mod counts;
mod identity;
mod nodes;
mod progress;
mod promote;
mod reconcile;
mod records;
mod service;
mod session;
mod tasks;
mod uses;
mod view;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use holdfast_proto::ids::{KeyId, Revision};
use tokio::{net::TcpListener, sync::mpsc, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};
use uuid::Uuid;

use self::{
    build::{BuildError, Builder},
    counts::Counts,
    nodes::Nodes,
    progress::Progress,
    promote::Promoter,
    reconcile::Reconciler,
    service::{Pem, Shared, serve},
    tasks::Tasks,
};
pub use self::{
    tasks::{Done, KeyAttributes, KeyTask, ListedKey, TaskError, Work},
    view::{ClientCertificates, Configuration, Listener, NodeReport, NodeView, PartitionReport, UnusableKey},
};
use crate::{
    audit::Audit,
    connections::ConnectionCaps,
    names::NodeName,
    store::{ReadError, Store, View, entry::CountEntry, seal::ControlSeal},
    upkeep::Needed,
};

/// What publishing needs.
pub struct PublishSettings {
    /// Where nodes connect.
    pub listener: TcpListener,
    /// The server's certificate chain, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: String,
    /// The authority that signs the nodes' certificates, PEM.
    pub client_ca: String,
    /// Encryptions under one version at which a local key rotates by itself: [`ROTATE_AT`].
    pub rotate_at: u64,
    /// Is told of promotions and of nodes that register.
    pub audit: Audit,
    /// How many connections the listener holds.
    pub connections: ConnectionCaps,
}

/// What runs.
#[derive(Debug)]
pub struct Running {
    /// The way to it.
    pub publisher: Publisher,
    /// Virtual keys whose active version is used up: to be rotated by `core`. Sent again after a minute where that didn't happen.
    pub rotations_due: mpsc::Receiver<Uuid>,
    /// Cancelled when publishing has broken down by itself.
    pub broken: CancellationToken,
}

/// Why publishing did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The intended state can't be read or built.
    #[error("the configuration can't be built")]
    Build(#[source] StartBuildError),
    /// The store can't be read.
    #[error("the store can't be read")]
    Read(#[from] ReadError),
    /// The certificates or the key can't be used.
    #[error("the sync listener's certificate, key or client authority can't be used")]
    Tls(#[source] tonic::transport::Error),
    /// The listener has no address.
    #[error("the sync listener is unusable")]
    Listener(#[source] io::Error),
}

/// The first build's trouble.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StartBuildError(#[from] BuildError);

/// The way to what is published and to the nodes. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    progress: Progress,
    addr: SocketAddr,
    background: TaskTracker,
}

/// Starts to publish what `store` holds.
///
/// # Errors
/// [`StartError`].
pub async fn spawn(settings: PublishSettings, store: Arc<dyn Store>, seal: ControlSeal) -> Result<Running, StartError> {
    let addr = settings.listener.local_addr().map_err(StartError::Listener)?;
    let renew = Arc::default();
    let builder = Builder::new(Arc::clone(&store), seal);
    let reconciler = Reconciler::start(&store, builder, Arc::clone(&renew)).await.map_err(|error| StartError::Build(error.into()))?;
    let published = reconciler.subscribe();
    let (nodes, counts) = remembered(&store, settings.rotate_at).await?;
    let shared = Arc::new(Shared {
        store: Arc::clone(&store),
        audit: settings.audit.clone(),
        nodes: Arc::clone(&nodes),
        tasks: Tasks::default(),
        counts: Mutex::new(counts),
        uses: Mutex::default(),
        published: published.clone(),
        renew,
        stop: CancellationToken::new(),
        streams: TaskTracker::new(),
    });
    let PublishSettings { listener, certificate, key, client_ca, audit, connections, rotate_at: _ } = settings;
    let server = serve(Arc::clone(&shared), (listener, connections), &Pem { certificate, key, client_ca }).map_err(StartError::Tls)?;
    info!(listener = "sync", %addr, "listening");

    let background = TaskTracker::new();
    let progress = Progress { nodes: Arc::clone(&nodes), published: published.clone() };
    let (due, rotations_due) = mpsc::channel(ROTATIONS_AHEAD);
    let broken = CancellationToken::new();
    let needed = |task| Needed { task, stop: shared.stop.clone(), broken: broken.clone() };
    background.spawn(needed("configuration").run(reconciler.run(shared.stop.clone())));
    background.spawn(needed("key promotion").run(Promoter { store, audit, nodes, published }.run(shared.stop.clone())));
    background.spawn(needed("progress of nodes").run(progress.clone().measure(shared.stop.clone())));
    background.spawn(needed("watch over nodes").run(watch_over(Arc::clone(&shared), due)));
    background.spawn(needed("sync listener").run(async move {
        if let Err(error) = server.await {
            error!(error = &error as &dyn std::error::Error, "the sync listener has broken down");
        }
    }));
    background.close();
    let publisher = Publisher(Arc::new(Inner { shared, progress, addr, background }));
    Ok(Running { publisher, rotations_due, broken })
}

impl Publisher {
    /// Where nodes connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// Waits until all connected nodes have applied `revision`, `limit` at most; gives the registered nodes that have not, connected or not
    /// (design §7.5).
    pub async fn applied(&self, revision: Revision, limit: Duration) -> Vec<NodeName> {
        self.0.progress.applied(revision, limit).await
    }

    /// Waits until every registered node that is not away holds `revision` on disk, `limit` at most; gives those that don't. Of what AWS is
    /// to use from then on: none of them may refuse it, after a restart neither.
    pub async fn everywhere(&self, revision: Revision, limit: Duration) -> Vec<NodeName> {
        self.0.progress.everywhere(revision, limit).await
    }

    /// Waits until a key has an active version on all connected nodes, at least one; whether it has after `limit`.
    pub async fn promoted(&self, key: KeyId, limit: Duration) -> bool {
        self.0.progress.promoted(key, limit).await
    }

    /// Waits until a connected node serves `target`.
    pub async fn target(&self, target: &str) {
        self.0.progress.target(target).await;
    }

    /// Has a data plane work on key material.
    ///
    /// # Errors
    /// [`TaskError`].
    pub async fn run(&self, task: KeyTask) -> Result<Done, TaskError> {
        self.0.shared.tasks.run(&self.0.shared.nodes, task).await
    }

    /// All registered nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeView> {
        self.0.shared.nodes.views()
    }

    /// How often a version of a key has encrypted on all nodes, as far as they have told.
    #[must_use]
    pub fn encryptions(&self, key: KeyId, version: u32, tag: [u8; 4]) -> u64 {
        self.0.shared.counts.lock().unwrap_or_else(PoisonError::into_inner).sum((key, version, tag))
    }

    /// Sends a node everything, whatever it holds or refused, once a minute at most. Whether it is connected.
    #[must_use]
    pub fn resync(&self, name: &NodeName) -> bool {
        self.0.shared.nodes.resync(name)
    }

    /// Offers all nodes what they refused again.
    pub fn reload(&self) {
        self.0.shared.nodes.offer_again();
    }

    /// Ends a node's stream and waits for it no more. Commit its tombstone first. Whether it was known.
    pub fn forget(&self, name: &NodeName) -> bool {
        self.0.shared.nodes.forget(name)
    }

    /// Ends all streams and everything that runs here; comes back when it has ended.
    pub async fn drain(&self) {
        self.0.shared.stop.cancel();
        self.0.shared.streams.close();
        self.0.shared.streams.wait().await;
        self.0.background.wait().await;
    }
}

impl std::fmt::Debug for PublishSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublishSettings").field("listener", &self.listener).field("rotate_at", &self.rotate_at).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("addr", &self.addr).finish_non_exhaustive()
    }
}

async fn remembered(store: &Arc<dyn Store>, rotate_at: u64) -> Result<(Arc<Nodes>, Counts), ReadError> {
    let view = View::of(store).await?;
    let registered = view.nodes()?.into_iter().filter(|node| node.registered).collect();
    let nodes = Nodes::new(registered, view.nodes_seen()?, Instant::now());
    let counts: Vec<CountEntry> = view.counts()?;
    let sources = view.source_keys()?;
    let before = sources.iter().map(|source| (&source.key, source.encrypted_before));
    Ok((Arc::new(nodes), Counts::new(counts, before, rotate_at)))
}

/// Every few seconds: who is away, what to note of the nodes, which keys are due.
async fn watch_over(shared: Arc<Shared>, due: mpsc::Sender<Uuid>) {
    let mut timer = tokio::time::interval(LOOK_EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            now = timer.tick() => {
                let notes = shared.nodes.look_round(now.into_std()).into_iter().map(crate::store::entry::Entry::NodeSeen).collect();
                if let Err(error) = shared.store.note(notes) {
                    warn!(error = &error as &dyn std::error::Error, "the nodes' last signs of life were not noted");
                }
                let set = shared.published.borrow().built.set.clone();
                let keys = shared.counts.lock().unwrap_or_else(PoisonError::into_inner).due(&set, now.into_std());
                for key in keys {
                    call(&shared.store, &due, key).await;
                }
                let strangers = shared.counts.lock().unwrap_or_else(PoisonError::into_inner).strangers(&set);
                for key in strangers {
                    forget_counts(&shared, key).await;
                }
            }
        }
    }
}

/// Forgets what nodes counted of a key that is not published, if it is not there: a defect may keep one from being published.
async fn forget_counts(shared: &Shared, key: KeyId) {
    let found = match View::of(&shared.store).await {
        Ok(view) => view.find_hyok_key(key),
        Err(error) => Err(error),
    };
    let forgotten = match found {
        Ok(Some(_)) => return,
        Ok(None) => shared.store.forget_notes(shared.counts.lock().unwrap_or_else(PoisonError::into_inner).forget(key)),
        Err(error) => Err(error),
    };
    if let Err(error) = forgotten {
        warn!(error = &error as &dyn std::error::Error, %key, "the counts of a key that is gone were not forgotten");
    }
}

async fn call(store: &Arc<dyn Store>, due: &mpsc::Sender<Uuid>, key: KeyId) {
    let found = match View::of(store).await {
        Ok(view) => view.find_hyok_key(key),
        Err(error) => Err(error),
    };
    match found {
        // A full queue is as good as a rotation that failed: it is called again in a minute.
        Ok(Some(found)) => _ = due.try_send(found.virtual_key),
        Ok(None) => {}
        Err(error) => warn!(error = &error as &dyn std::error::Error, key = %key, "a key that is due was not found"),
    }
}

/// Half of what NIST SP 800-38D §8.3 allows under one key with random 96-bit IVs.
pub const ROTATE_AT: u64 = 1 << 31;

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Rotations that wait for `core`.
const ROTATIONS_AHEAD: usize = 1_024;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
pub(crate) mod tests;
