//! The nodes' streams over mutual TLS: each drives one [`Session`] and books what comes in.
//!
//! Always holds: nobody is heard before its certificate is admitted; a node has one stream, the newest; what contradicts the protocol ends
//! the stream, and so does a peer that leaves pings unanswered.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_proto::{
    ids::Revision,
    sync::{ControlMessage, CredentialUse, Current, Fleet, NodeMessage, control_message::Body, node_message, sync_server},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until},
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Certificate, Identity as ServerIdentity, Server, ServerTlsConfig},
};
use tracing::{Instrument, debug, info, info_span, warn};

use super::{
    counts::Counts,
    identity::{Identity, NotAdmitted},
    nodes::{Link, Linked, Nodes, Unlinked},
    reconcile::Published,
    session::{Next, ProtocolFault, Session, Standing},
    tasks::Tasks,
    uses::Uses,
};
use crate::{
    audit::Audit,
    clock::now_ms,
    connections::{ConnectionCaps, Connections, Placed},
    store::Store,
};

/// What all streams share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) audit: Audit,
    pub(super) nodes: Arc<Nodes>,
    pub(super) tasks: Tasks,
    pub(super) counts: Mutex<Counts>,
    pub(super) uses: Mutex<Uses>,
    pub(super) published: watch::Receiver<Published>,
    pub(super) renew: Arc<Notify>,
    pub(super) stop: CancellationToken,
    pub(super) streams: TaskTracker,
}

/// The server's certificate and key and the nodes' authority, PEM texts.
pub(super) struct Pem {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) client_ca: String,
}

/// Serves until the streams' `stop`.
///
/// # Errors
/// Where certificate, key or authority don't fit each other, at once; later where the listener breaks.
pub(super) fn serve(
    shared: Arc<Shared>,
    (listener, caps): (TcpListener, ConnectionCaps),
    pem: &Pem,
) -> Result<impl Future<Output = Result<(), tonic::transport::Error>> + Send + use<>, tonic::transport::Error> {
    let tls = ServerTlsConfig::new()
        .identity(ServerIdentity::from_pem(&pem.certificate, &pem.key))
        .client_ca_root(Certificate::from_pem(&pem.client_ca))
        .timeout(HANDSHAKE);
    let stop = shared.stop.clone();
    let router = Server::builder()
        .tls_config(tls)?
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .max_concurrent_streams(MOST_STREAMS)
        .add_service(sync_server::SyncServer::new(Service(shared)));
    Ok(async move {
        let (accepted, connections) = mpsc::channel(1);
        let served = router.serve_with_incoming_shutdown(ReceiverStream::new(connections), stop.cancelled_owned());
        tokio::join!(served, accept(listener, Connections::new("sync", caps), accepted)).0
    })
}

/// Takes connections in until nobody wants them. The server itself would take an error such as "too many open files" for the listener's
/// end, and no block would ever reach a node again.
async fn accept(listener: TcpListener, connections: Connections, accepted: mpsc::Sender<io::Result<Placed<TcpStream>>>) {
    loop {
        let taken = tokio::select! {
            () = accepted.closed() => return,
            taken = listener.accept() => taken,
        };
        match taken {
            // Dropped where there are too many, or the peer has gone already.
            Ok((stream, _)) => {
                if let Ok(placed) = connections.place(stream)
                    && accepted.send(Ok(placed)).await.is_err()
                {
                    return;
                }
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "a node's connection was not accepted; going on");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

struct Service(Arc<Shared>);

#[tonic::async_trait]
impl sync_server::Sync for Service {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<ControlMessage, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<NodeMessage>>) -> Result<Response<Self::AttachStream>, Status> {
        let shared = Arc::clone(&self.0);
        let peer = request.remote_addr();
        let certificates = request.peer_certs();
        let admitted = async {
            let certificate = certificates.as_ref().and_then(|all| all.first()).ok_or(NotAdmitted::Certificate)?;
            let identity = Identity::of(certificate)?;
            let entry = identity.register(&shared.store, &shared.audit).await?;
            let (out, messages) = mpsc::channel(MESSAGES_AHEAD);
            let (linked, link, refused) = shared.nodes.connect(&entry, out, shared.stop.child_token());
            // `node forget` commits first and looks for the link then: one of the two sees the other.
            if let Err(refusal) = identity.still_admitted(&shared.store).await {
                match &refusal {
                    NotAdmitted::Forgotten(_) => shared.nodes.revoke(&linked),
                    // It is registered still, so that promotions must wait for it.
                    NotAdmitted::Certificate | NotAdmitted::Name | NotAdmitted::Read(_) | NotAdmitted::Commit(_) => {
                        shared.nodes.disconnect(&linked);
                    }
                }
                return Err(refusal);
            }
            let session = Session::new(Arc::clone(&shared.published.borrow().built), refused);
            Ok((linked, link, session, messages))
        };
        let (linked, link, session, messages) = admitted.await.map_err(|refusal| {
            warn!(?peer, error = &refusal as &dyn std::error::Error, "a node was not admitted");
            metrics::counter!("holdfast_nodes_refused_total").increment(1);
            match refusal {
                NotAdmitted::Certificate | NotAdmitted::Name | NotAdmitted::Forgotten(_) => Status::unauthenticated(refusal.to_string()),
                NotAdmitted::Read(_) | NotAdmitted::Commit(_) => Status::unavailable(refusal.to_string()),
            }
        })?;
        let span = info_span!("node", name = %linked.name);
        let streams = shared.streams.clone();
        let attached = Attached { shared, linked, session, outgoing: VecDeque::new(), told: Standing::Greeting };
        streams.spawn(attached.run(link, request.into_inner()).instrument(span));
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

/// One node's stream.
struct Attached {
    shared: Arc<Shared>,
    linked: Linked,
    session: Session,
    /// At most a few: the session is asked for more when it is empty.
    outgoing: VecDeque<Body>,
    told: Standing,
}

/// Why a stream has ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the node ended the stream")]
    ByNode,
    #[error("the connection was lost")]
    Lost(#[source] Status),
    #[error("the control plane is stopping")]
    Stopping,
    #[error(transparent)]
    Unlinked(#[from] Unlinked),
    #[error("the node broke the protocol")]
    Fault(#[from] ProtocolFault),
}

impl Attached {
    async fn run(mut self, link: Link, inbound: Streaming<NodeMessage>) {
        info!("node connected");
        let ended = self.drive(&link, inbound).await;
        let status = match &ended {
            Ended::ByNode | Ended::Lost(_) => None,
            Ended::Stopping => Some(Status::unavailable(ended.to_string())),
            Ended::Unlinked(_) => Some(Status::aborted(ended.to_string())),
            Ended::Fault(fault) => Some(Status::invalid_argument(fault.to_string())),
        };
        match &ended {
            Ended::Fault(_) => warn!(error = &ended as &dyn std::error::Error, "node disconnected"),
            Ended::ByNode | Ended::Lost(_) | Ended::Stopping | Ended::Unlinked(_) => {
                info!(reason = &ended as &dyn std::error::Error, "node disconnected");
            }
        }
        self.shared.nodes.disconnect(&self.linked);
        link.end.cancel();
        self.shared.tasks.lost(self.linked.id);
        if let Some(status) = status {
            // A peer that does not read any more learns it from the connection's end.
            _ = link.out.try_send(Err(status));
        }
    }

    async fn drive(&mut self, link: &Link, mut inbound: Streaming<NodeMessage>) -> Ended {
        let mut published = self.shared.published.clone();
        let mut ready = self.shared.nodes.ready();
        self.outgoing.push_back(fleet(*ready.borrow_and_update()));
        let mut signs = interval_at(Instant::now(), SIGN_EVERY);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wake = self.refill();
            if let Err(unlinked) = self.tell() {
                return unlinked.into();
            }
            tokio::select! {
                () = link.end.cancelled() => {
                    return if self.shared.stop.is_cancelled() { Ended::Stopping } else { Ended::Unlinked(Unlinked) };
                }
                permit = link.out.reserve(), if !self.outgoing.is_empty() => match (permit, self.outgoing.pop_front()) {
                    (Ok(permit), Some(body)) => permit.send(Ok(ControlMessage { body: Some(body) })),
                    (Ok(_), None) => {}
                    (Err(_), _) => return Ended::ByNode,
                },
                message = inbound.message() => match message {
                    Ok(Some(message)) => if let Err(ended) = self.take(message) {
                        return ended;
                    },
                    Ok(None) => return Ended::ByNode,
                    Err(status) => return Ended::Lost(status),
                },
                changed = published.changed() => {
                    if changed.is_err() {
                        return Ended::Stopping;
                    }
                    self.session.configure(Arc::clone(&published.borrow_and_update().built));
                }
                changed = ready.changed() => if changed.is_ok() {
                    self.outgoing.push_back(fleet(*ready.borrow_and_update()));
                },
                _ = signs.tick() => if let Some(revision) = self.current() {
                    self.outgoing.push_back(Body::Current(Current { revision: Some(revision.into()) }));
                },
                () = link.again.notified() => self.session.offer_again(),
                () = link.resync.notified() => self.session.resync(),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    /// Asks the session for a message when there is none to send; gives when to ask again.
    fn refill(&mut self) -> Option<Instant> {
        if !self.outgoing.is_empty() {
            return None;
        }
        match self.session.poll(Instant::now().into_std()) {
            Next::Send(body) => {
                self.outgoing.push_back(body);
                None
            }
            Next::At(time) => Some(time.into()),
            Next::Wait => None,
        }
    }

    fn take(&mut self, message: NodeMessage) -> Result<(), Ended> {
        let (nodes, linked) = (&self.shared.nodes, &self.linked);
        match message.body {
            Some(node_message::Body::Hello(hello)) => {
                let acked = self.session.hello(&hello, &self.shared.published.borrow().recent)?;
                nodes.hello(linked, &hello, acked.as_ref())?;
                info!(version = hello.software_version, known = acked.is_some(), "node said hello");
            }
            Some(node_message::Body::Ack(ack)) => {
                let acked = self.session.ack(&ack)?;
                if let Some((acked, committed)) = acked.as_ref().and_then(|acked| Some((acked, acked.committed_at_ms?))) {
                    let millis = now_ms().saturating_sub(committed);
                    debug!(applied = %acked.applied, millis, unusable = ack.unusable.len(), "push acknowledged");
                }
                nodes.acked(linked, acked.as_ref(), &ack.unusable)?;
            }
            Some(node_message::Body::Nack(nack)) => {
                if let Some(refused) = self.session.nack(&nack)? {
                    warn!(revision = %refused.revision, reason = ?refused.reason, detail = refused.detail, "node refused a push");
                    metrics::counter!("holdfast_pushes_refused_total").increment(1);
                }
            }
            Some(node_message::Body::TaskResult(result)) => self.shared.tasks.answered(linked.id, &result),
            Some(node_message::Body::Status(status)) => {
                nodes.status(linked, &status)?;
                self.note_uses(&status.credential_uses);
                let notes = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner).report(&linked.name, &status.counts);
                if !notes.is_empty()
                    && let Err(error) = self.shared.store.note(notes)
                {
                    warn!(error = &error as &dyn std::error::Error, "encryption counts were not noted");
                }
            }
            // A newer node may say what this control plane doesn't know.
            None => {}
        }
        Ok(())
    }

    /// Notes when credentials were used last; of those that are there no more, nothing.
    fn note_uses(&self, told: &[CredentialUse]) {
        let set = self.shared.published.borrow().built.set.clone();
        let mut uses = self.shared.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = uses.report(told, &set, now_ms(), |name| self.shared.store.read(name));
        if let Err(error) = noted.and_then(|notes| if notes.is_empty() { Ok(()) } else { self.shared.store.note(notes) }) {
            warn!(error = &error as &dyn std::error::Error, "the use of credentials was not noted");
        }
    }

    /// The node's revision, where nothing is newer: it holds what was built last, and nothing was committed since that build.
    fn current(&self) -> Option<Revision> {
        let built = &self.shared.published.borrow().built;
        let all = self.outgoing.is_empty() && self.shared.store.head().revision() <= built.covers;
        (all && self.session.standing() == Standing::UpToDate).then_some(built.revision)
    }

    /// Tells where the session stands, when that has changed.
    fn tell(&mut self) -> Result<(), Unlinked> {
        let standing = self.session.standing();
        if standing == self.told {
            return Ok(());
        }
        if let Standing::Ahead(revision) = standing {
            let target = self.shared.published.borrow().built.revision;
            if revision == target {
                info!(%revision, "node holds another configuration under the same revision; moving on");
                self.shared.renew.notify_one();
            } else {
                warn!(%revision, %target, "node is ahead of the control plane and takes nothing; was an old data directory put back?");
            }
        }
        self.told = standing.clone();
        self.shared.nodes.standing(&self.linked, standing, self.session.refused())
    }
}

const fn fleet(ready_nodes: u32) -> Body {
    Body::Fleet(Fleet { ready_nodes })
}

/// How often a node is told that nothing is newer; nodes begin to doubt after five seconds without.
const SIGN_EVERY: Duration = Duration::from_secs(1);

/// A peer that answers no ping for so long is gone.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After a failed accept (design §4).
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Streams on one connection; a node needs one, and another while it replaces that.
const MOST_STREAMS: u32 = 4;

/// Messages that wait for the connection: with chunks of a mebibyte, this bounds memory.
const MESSAGES_AHEAD: usize = 4;
