//! The node's side of configuration (design §7): the stream to the control plane, what is kept on disk, the reports that go back.
//!
//! Holds: nothing here is waited for by a request. `session` decides about pushes without I/O, `client` moves messages, `keeper`
//! writes to disk, `status` reports. Called by `DataPlane` at its start and its end.

mod backoff;
mod client;
pub(crate) mod gauges;
mod keeper;
pub mod session;
mod status;
mod wear;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU32},
};

use holdfast_keys::pkcs11::Groups;
use holdfast_proto::seal::SealRing;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::error;

use self::{client::Client, keeper::Keeper};
use crate::{
    background::Background,
    cache::Cache,
    chain::chain,
    live::Live,
    metrics::Metrics,
    settings::{ClientCertificates, SyncSettings},
    tasks::Tasks,
};

/// What [`spawn`] works with.
pub struct Parts {
    /// Gets each new configuration.
    pub live: Arc<Live>,
    /// Keeps it, and the counts.
    pub cache: Arc<Cache>,
    /// Seals the keys that are generated here.
    pub seals: Arc<SealRing>,
    /// Reports on them, and asks them for key tasks.
    pub groups: Arc<Groups>,
    /// Knows how far KMS's clock is from ours.
    pub metrics: Arc<Metrics>,
    /// Ready nodes as the control plane tells, at least 1: `xksProxyFleetSize`.
    pub fleet: Arc<AtomicU32>,
    /// For the reports.
    pub listeners: Vec<ListenerReport>,
}

/// One listener, for the reports.
#[derive(Clone, Copy, Debug)]
pub struct ListenerReport {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Whether it asks for client certificates.
    pub client_certificates: ClientCertificates,
}

/// The tasks that keep a node's configuration. Dropped, they end at once; see [`Sync::stop`].
pub struct Sync {
    leaving: watch::Sender<bool>,
    stop: CancellationToken,
    client: JoinSet<()>,
    keeper: JoinSet<()>,
    /// Ends when the last snapshot is on disk.
    writer: JoinHandle<()>,
    live: Arc<Live>,
    cache: Arc<Cache>,
    /// Where all of them run.
    _background: Background,
}

/// Starts what keeps a node's configuration, on threads of its own. Without `settings` there is no control plane, but counts are
/// kept all the same.
///
/// # Errors
/// Where a thread can't be started.
pub fn spawn(settings: Option<SyncSettings>, parts: Parts) -> io::Result<Sync> {
    gauges::describe();
    let background = Background::start()?;
    let stop = CancellationToken::new();
    let (leaving, left) = watch::channel(false);
    let held = parts.live.load_full();
    let (durable_to, durable) = watch::channel(held.revision);
    let (installed, to_write) = watch::channel(held);
    let writer = background.handle().spawn(keeper::write_last_good(Arc::clone(&parts.cache), to_write, durable_to));
    let (live, cache) = (Arc::clone(&parts.live), Arc::clone(&parts.cache));
    let mut keeper = JoinSet::new();
    keeper.spawn_on(Keeper { live: Arc::clone(&live), cache: Arc::clone(&cache) }.run(stop.clone()), background.handle());
    let mut client = JoinSet::new();
    if let Some(settings) = settings {
        let tasks = Tasks::start(Arc::clone(&parts.seals), &parts.groups)?;
        client.spawn_on(Client { settings, parts, tasks, leaving: left, installed, durable }.run(stop.clone()), background.handle());
    }
    Ok(Sync { leaving, stop, client, keeper, writer, live, cache, _background: background })
}

impl Sync {
    /// Tells the control plane that this node is about to leave: it isn't ready any more.
    pub fn leave(&self) {
        self.leaving.send_replace(true);
    }

    /// Ends the stream, finishes what is being written, and closes the counts. `idle`: no request can encrypt any more; otherwise
    /// the next start counts by the block.
    pub async fn stop(mut self, idle: bool) {
        self.stop.cancel();
        while self.client.join_next().await.is_some() {}
        while self.keeper.join_next().await.is_some() {}
        // The client was the only one to give it more. Its own errors are in the log.
        let _ = self.writer.await;
        let closed = tokio::task::spawn_blocking(move || keeper::close(&self.cache, &self.live, idle)).await;
        if let Err(panic) = closed {
            error!(error = chain(&panic), "encryption counts not closed");
        }
    }
}

impl fmt::Debug for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sync").field("leaving", &*self.leaving.borrow()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
