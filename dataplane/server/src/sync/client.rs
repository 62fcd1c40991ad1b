//! The stream to the control plane: connect, move messages between it and the session, connect again.
//!
//! Holds: a push is decided, installed and acknowledged before the next message is read; key files are read afresh at each attempt;
//! the snapshot counts as current only while the stream is up and nothing newer is on its way or was refused.

use std::{
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use aws_lc_rs::rand;
use holdfast_proto::{
    ids::Revision,
    sync::{self as wire, NodeMessage, node_message::Body, sync_client::SyncClient},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until},
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};
use tracing::{error, info, warn};
use zeroize::Zeroizing;

use super::{
    Parts,
    backoff::Backoff,
    gauges::{self, Propagation},
    session::{Effect, Session},
    status::{self, Reports},
};
use crate::{
    chain::chain,
    live::Snapshot,
    settings::SyncSettings,
    tasks::{self, Tasks},
};

/// The node's end.
pub(super) struct Client {
    pub(super) settings: SyncSettings,
    pub(super) parts: Parts,
    pub(super) tasks: Tasks,
    pub(super) leaving: watch::Receiver<bool>,
    /// What is installed, to be written down.
    pub(super) installed: watch::Sender<Arc<Snapshot>>,
    /// What is written down.
    pub(super) durable: watch::Receiver<Revision>,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("cannot read {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot connect to the control plane")]
    Connect(#[source] tonic::transport::Error),
    #[error("the control plane ended the stream")]
    Status(#[source] Box<Status>),
    #[error("the control plane closed the stream")]
    Closed,
    #[error("the control plane does not read what this node sends")]
    Unread,
    #[error("installing a push failed")]
    Panicked(#[source] tokio::task::JoinError),
}

/// One stream's state.
struct Stream<'a> {
    client: &'a Client,
    out: mpsc::Sender<NodeMessage>,
    results: mpsc::UnboundedSender<wire::KeyTaskResult>,
    reports: Reports,
    propagation: Propagation,
    /// The control plane knows which revision we hold, so that acknowledgements make sense to it.
    known: bool,
    /// See [`Bequest::refused`].
    refused: bool,
    /// When to take silence for "nothing newer".
    settled_at: Option<Instant>,
    /// When silence says that the control plane hangs; none until it has said once on this stream that nothing is newer.
    doubted_at: Option<Instant>,
    /// When to say Hello again after a refused push.
    again_at: Option<Instant>,
}

/// What one stream leaves to the next.
#[derive(Debug, Default)]
struct Bequest {
    /// See [`Session::doubtful`].
    doubtful: bool,
    /// The last push was refused: there is something newer, though the control plane keeps silent about it for a while.
    refused: bool,
}

/// What a message led to.
enum Outcome {
    Nothing,
    Installed { snapshot: Arc<Snapshot>, committed_at_ms: Option<u64> },
    Refused(wire::Nack),
    Task(wire::KeyTask),
    Fleet(u32),
    Confirmed,
}

impl Client {
    /// Until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut running = pin!(self.reconnect());
        tokio::select! {
            () = stop.cancelled() => {}
            () = &mut running => {}
        }
        gauges::connected(false);
        self.parts.live.mark_uncertain();
    }

    async fn reconnect(&self) {
        let mut backoff = Backoff::default();
        let mut left = Bequest::default();
        loop {
            let began = Instant::now();
            let Err(ended) = self.attach(&mut left).await;
            gauges::connected(false);
            self.parts.live.mark_uncertain();
            let pause = backoff.after(began.elapsed(), random());
            warn!(error = chain(&ended), pause_ms = pause.as_millis(), "no stream to the control plane; serving goes on");
            sleep(pause).await;
        }
    }

    /// One stream, until it ends.
    async fn attach(&self, left: &mut Bequest) -> Result<std::convert::Infallible, Ended> {
        let channel = self.endpoint().await?.connect().await.map_err(Ended::Connect)?;
        let held = self.parts.live.load_full();
        let session = Session::new(held.revision, held.records.clone(), left.doubtful);
        drop(held);
        let (out, outgoing) = mpsc::channel(OUTGOING);
        // Hello is on its way with the request, which a control plane may answer after it only.
        let (mut stream, mut finished) = Stream::begin(self, out, &session)?;
        let mut control = SyncClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let attached = control.attach(ReceiverStream::new(outgoing)).await.map_err(ended)?;
        info!(endpoint = self.settings.endpoint, revision = %session.revision(), "attached to the control plane");
        gauges::connected(true);
        stream.run(attached.into_inner(), session, &mut finished, left).await
    }

    async fn endpoint(&self) -> Result<Endpoint, Ended> {
        let ca = read(&self.settings.ca).await?;
        let certificate = read(&self.settings.certificate).await?;
        let key = read(&self.settings.key).await?;
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&*ca))
            .identity(Identity::from_pem(&*certificate, &*key))
            .domain_name(&self.settings.server_name);
        let endpoint = Endpoint::from_shared(self.settings.endpoint.clone()).and_then(|endpoint| endpoint.tls_config(tls));
        let endpoint = endpoint.map_err(Ended::Connect)?;
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true))
    }
}

type Results = mpsc::UnboundedReceiver<wire::KeyTaskResult>;

impl<'a> Stream<'a> {
    /// Says Hello. The results of key tasks come out of the second.
    fn begin(client: &'a Client, out: mpsc::Sender<NodeMessage>, session: &Session) -> Result<(Self, Results), Ended> {
        let (results, finished) = mpsc::unbounded_channel();
        let (reports, propagation) = (Reports::default(), Propagation::default());
        let mut stream = Self {
            client,
            out,
            results,
            reports,
            propagation,
            known: false,
            refused: false,
            settled_at: None,
            doubted_at: None,
            again_at: None,
        };
        stream.hello(session)?;
        Ok((stream, finished))
    }

    async fn run(
        &mut self,
        mut control: impl tokio_stream::Stream<Item = Result<wire::ControlMessage, Status>> + Unpin,
        mut session: Session,
        finished: &mut Results,
        left: &mut Bequest,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut durable = self.client.durable.clone();
        let mut leaving = self.client.leaving.clone();
        let mut ticks = interval_at(Instant::now() + STATUS_EVERY, STATUS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.refused = left.refused;
        self.settled_at = (!self.refused).then(|| Instant::now() + SETTLE);
        self.ack()?;
        self.status()?;
        loop {
            tokio::select! {
                message = control.next() => {
                    let message = message.ok_or(Ended::Closed)?.map_err(ended)?;
                    session = self.take(session, message).await?;
                    *left = Bequest { doubtful: session.doubtful(), refused: self.refused };
                }
                Ok(()) = durable.changed() => self.ack()?,
                Ok(()) = leaving.changed() => self.status()?,
                _ = ticks.tick() => self.status()?,
                _ = looks.tick() => if self.reports.are_stale(&self.client.parts.groups) {
                    self.status()?;
                },
                Some(result) = finished.recv() => self.send(Body::TaskResult(result))?,
                () = at(self.again_at), if self.again_at.is_some() => self.hello(&session)?,
                () = at(self.settled_at), if self.settled_at.is_some() => {
                    self.settled_at = None;
                    self.client.parts.live.mark_current();
                }
                () = at(self.doubted_at), if self.doubted_at.is_some() => {
                    self.doubted_at = None;
                    self.settled_at = None;
                    warn!("the control plane no longer says that nothing is newer; the snapshot's age runs");
                    self.client.parts.live.mark_uncertain();
                }
            }
        }
    }

    /// One message of the control plane. Work on pushes is done on a thread that may block.
    async fn take(&mut self, mut session: Session, message: wire::ControlMessage) -> Result<Session, Ended> {
        let live = Arc::clone(&self.client.parts.live);
        let work = move || {
            let outcome = match session.handle(message) {
                None => Outcome::Nothing,
                Some(Effect::Install(install)) => Outcome::Installed {
                    snapshot: live.install(install.records, install.revision),
                    committed_at_ms: install.committed_at_ms,
                },
                Some(Effect::Refuse(nack)) => Outcome::Refused(nack),
                Some(Effect::RunTask(task)) => Outcome::Task(task),
                Some(Effect::SetFleet(ready)) => Outcome::Fleet(ready),
                Some(Effect::Confirm) => Outcome::Confirmed,
            };
            (session, outcome)
        };
        let (session, outcome) = tokio::task::spawn_blocking(work).await.map_err(Ended::Panicked)?;
        if session.receiving() {
            self.settled_at = None;
            self.client.parts.live.mark_uncertain();
        }
        match outcome {
            Outcome::Nothing => {}
            Outcome::Installed { snapshot, committed_at_ms } => self.installed(snapshot, committed_at_ms)?,
            Outcome::Refused(nack) => self.refused(nack)?,
            Outcome::Task(task) => self.client.tasks.run(task, self.results.clone()),
            Outcome::Fleet(ready) => self.client.parts.fleet.store(ready, Ordering::Relaxed),
            Outcome::Confirmed if self.refused => {}
            Outcome::Confirmed => {
                self.settled_at = None;
                self.doubted_at = Some(Instant::now() + DOUBT);
                self.client.parts.live.mark_current();
            }
        }
        Ok(session)
    }

    fn installed(&mut self, snapshot: Arc<Snapshot>, committed_at_ms: Option<u64>) -> Result<(), Ended> {
        let first = self.client.installed.borrow().revision == Revision::default();
        self.known = true;
        self.refused = false;
        self.again_at = None;
        self.ack()?;
        gauges::applied(&snapshot);
        self.propagation.arrived(committed_at_ms);
        self.doubted_at = self.doubted_at.map(|_| Instant::now() + DOUBT);
        self.client.parts.live.mark_current();
        // Whatever an earlier run may have used is known by now.
        self.client.parts.live.ledger().settle();
        info!(revision = %snapshot.revision, unusable = snapshot.unusable().count(), "configuration applied");
        self.client.installed.send_replace(snapshot);
        if first { self.status() } else { Ok(()) }
    }

    fn refused(&mut self, nack: wire::Nack) -> Result<(), Ended> {
        let revision = nack.revision.map(Revision::from).unwrap_or_default();
        error!(%revision, reason = nack.reason().as_str_name(), detail = nack.detail, "push refused; nothing has changed");
        gauges::refused(nack.reason());
        self.refused = true;
        self.settled_at = None;
        self.client.parts.live.mark_uncertain();
        self.again_at.get_or_insert_with(|| Instant::now() + HELLO_AGAIN);
        self.send(Body::Nack(nack))
    }

    fn hello(&mut self, session: &Session) -> Result<(), Ended> {
        let hello = session.hello(*self.client.durable.borrow(), tasks::targets(&self.client.parts.groups));
        let key_seals = self.client.parts.seals.seals().map(|seal| seal.id().as_bytes().to_vec()).collect();
        let hello = wire::Hello { key_seals, ..hello };
        self.known = hello.applied.is_some();
        self.again_at = None;
        self.send(Body::Hello(hello))
    }

    /// What is in use, what is on disk, and what can't be served.
    fn ack(&self) -> Result<(), Ended> {
        if !self.known {
            return Ok(());
        }
        let snapshot = self.client.parts.live.load();
        let durable = (*self.client.durable.borrow()).min(snapshot.revision);
        let unusable = status::unusable(&snapshot);
        self.send(Body::Ack(wire::Ack { applied: Some(snapshot.revision.into()), durable: Some(durable.into()), unusable }))
    }

    fn status(&mut self) -> Result<(), Ended> {
        let (leaving, durable) = (*self.client.leaving.borrow(), *self.client.durable.borrow());
        for status in self.reports.next(&self.client.parts, leaving, durable) {
            self.send(Body::Status(status))?;
        }
        Ok(())
    }

    /// Never waits: a control plane that doesn't read is one that is gone.
    fn send(&self, body: Body) -> Result<(), Ended> {
        self.out.try_send(NodeMessage { body: Some(body) }).map_err(|_| Ended::Unread)
    }
}

async fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Ended> {
    let bytes = tokio::fs::read(path).await.map_err(|cause| Ended::File { path: path.into(), cause })?;
    Ok(Zeroizing::new(bytes))
}

fn ended(status: Status) -> Ended {
    Ended::Status(Box::new(status))
}

async fn at(when: Option<Instant>) {
    if let Some(when) = when {
        sleep_until(when).await;
    }
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness all nodes wait the same time: no harm.
    let _ = rand::fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}

/// Messages that wait to be sent.
const OUTGOING: usize = 256;

/// A chunk has at most 1 MiB and what its frame needs.
const MAX_MESSAGE: usize = 4 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A control plane with something newer says so within this time of a Hello.
const SETTLE: Duration = Duration::from_secs(2);

/// A control plane that says each second that nothing is newer hangs when it has said nothing for so long.
const DOUBT: Duration = Duration::from_secs(5);

/// A refused push is asked for again after this (design §7.4).
const HELLO_AGAIN: Duration = Duration::from_secs(60);
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// How late the control plane hears of a partition that changed, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
