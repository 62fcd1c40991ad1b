//! Over real TLS and gRPC, against a control plane that does what the test says.

use std::{path::Path, sync::atomic::Ordering};

use holdfast_proto::{
    ids::Revision,
    snapshot::RecordSet,
    sync::{
        Ack, ControlMessage, Fleet, Hello, KeyTask, NackReason, NodeMessage, NodeStatus,
        control_message::Body as Control,
        node_message::Body as Node,
        sync_server::{Sync as SyncService, SyncServer},
    },
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{
    StreamExt,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Certificate, Identity, Server, ServerTlsConfig},
};

use super::{
    session::tests::{blocked, control, push, set},
    *,
};
use crate::live::{
    CountName, RESERVED_AT_ONCE,
    tests::{Maker, at, key_id, no_groups, path},
};

/// A certificate authority with a server and a node.
struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
}

/// A control plane that hands each stream to the test.
struct Peer {
    addr: SocketAddr,
    /// One for each TCP connection, whatever becomes of it.
    connections: mpsc::UnboundedReceiver<()>,
    attached: mpsc::UnboundedReceiver<Attached>,
    _server: JoinSet<()>,
}

struct Service(mpsc::UnboundedSender<Attached>);

/// The control plane's end of one stream.
struct Attached {
    from_node: Streaming<NodeMessage>,
    to_node: mpsc::Sender<Result<ControlMessage, Status>>,
}

/// A node under test.
struct TestNode {
    maker: Maker,
    directory: TempDir,
    live: Arc<Live>,
    fleet: Arc<AtomicU32>,
    sync: Sync,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { ca: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.into()]).unwrap().signed_by(&key, &self.ca).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn write(&self, directory: &Path) {
        let (certificate, key) = self.issue("node-1");
        for (name, text) in [("node.pem", certificate), ("node.key", key), ("ca.pem", self.ca.pem())] {
            std::fs::write(directory.join(name), text).unwrap();
        }
    }
}

impl Peer {
    async fn start(pki: &Pki) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (connected, connections) = mpsc::unbounded_channel();
        let (sender, attached) = mpsc::unbounded_channel();
        let (certificate, key) = pki.issue("control.test");
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key)).client_ca_root(Certificate::from_pem(pki.ca.pem()));
        let incoming = TcpListenerStream::new(listener).map(move |stream| {
            connected.send(()).unwrap();
            stream
        });
        let server = Server::builder().tls_config(tls).unwrap().add_service(SyncServer::new(Service(sender)));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        Self { addr, connections, attached, _server: tasks }
    }

    async fn attached(&mut self) -> Attached {
        self.attached.recv().await.unwrap()
    }
}

#[tonic::async_trait]
impl SyncService for Service {
    type AttachStream = ReceiverStream<Result<ControlMessage, Status>>;

    async fn attach(&self, request: Request<Streaming<NodeMessage>>) -> Result<Response<Self::AttachStream>, Status> {
        let (to_node, messages) = mpsc::channel(64);
        self.0.send(Attached { from_node: request.into_inner(), to_node }).unwrap();
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

impl Attached {
    async fn send(&self, messages: impl IntoIterator<Item = ControlMessage>) {
        for message in messages {
            self.to_node.send(Ok(message)).await.unwrap();
        }
    }

    async fn next(&mut self) -> Node {
        self.from_node.message().await.unwrap().unwrap().body.unwrap()
    }

    /// The next message that `pick` wants; others are passed over.
    async fn find<T>(&mut self, pick: impl Fn(Node) -> Option<T>) -> T {
        loop {
            if let Some(found) = pick(self.next().await) {
                return found;
            }
        }
    }

    async fn hello(&mut self) -> Hello {
        match self.next().await {
            Node::Hello(hello) => hello,
            other => panic!("the first message must be Hello, not {other:?}"),
        }
    }

    async fn ack(&mut self) -> Ack {
        self.find(|node| if let Node::Ack(ack) = node { Some(ack) } else { None }).await
    }

    async fn status(&mut self) -> NodeStatus {
        self.find(|node| if let Node::Status(status) = node { Some(status) } else { None }).await
    }
}

impl TestNode {
    fn start(peer: &Peer, pki: &Pki) -> Self {
        let directory = TempDir::new().unwrap();
        pki.write(directory.path());
        Self::start_in(directory, Maker::new(), peer.addr)
    }

    fn start_in(directory: TempDir, maker: Maker, control: SocketAddr) -> Self {
        Self::start_as("control.test", directory, maker, control)
    }

    fn start_as(server_name: &str, directory: TempDir, maker: Maker, control: SocketAddr) -> Self {
        let file = |name: &str| directory.path().join(name);
        let settings = SyncSettings {
            endpoint: format!("https://{control}"),
            server_name: server_name.into(),
            certificate: file("node.pem"),
            key: file("node.key"),
            ca: file("ca.pem"),
        };
        let cache = Arc::new(Cache::open(file("state"), Arc::clone(&maker.seals)).unwrap());
        let live = Arc::new(maker.live_with(Arc::new(cache.resume_counts())));
        cache.restore(&live);
        let fleet = Arc::new(AtomicU32::new(1));
        let listeners = vec![ListenerReport { addr: control, client_certificates: ClientCertificates::Require }];
        let (seals, metrics) = (Arc::clone(&maker.seals), Arc::new(Metrics::register()));
        let groups = no_groups();
        let parts = Parts { live: Arc::clone(&live), cache, seals, groups, metrics, fleet: Arc::clone(&fleet), listeners };
        Self { sync: spawn(Some(settings), parts).unwrap(), maker, directory, live, fleet }
    }

    /// Ends as a killed process does: nothing is written any more.
    async fn crash(self) -> (TempDir, Maker) {
        let Sync { mut client, mut keeper, writer, _background, .. } = self.sync;
        client.shutdown().await;
        keeper.shutdown().await;
        writer.await.unwrap();
        (self.directory, self.maker)
    }

    async fn restart(self, control: SocketAddr) -> Self {
        self.sync.stop(true).await;
        drop(self.live);
        Self::start_in(self.directory, self.maker, control)
    }
}

fn revision(revision: Option<holdfast_proto::sync::Revision>) -> Option<Revision> {
    revision.map(Revision::from)
}

#[tokio::test]
async fn a_push_is_applied_then_durable_and_survives_a_restart() {
    let pki = Pki::new();
    let mut peer = Peer::start(&pki).await;
    let node = TestNode::start(&peer, &pki);
    let records = set(node.maker.store(1, 3));
    let mut control = peer.attached().await;
    let hello = control.hello().await;
    assert_eq!((hello.protocol, hello.applied, hello.digest.len(), hello.targets), (1, None, 0, vec!["local".to_owned()]));
    control.send(push(None, (at(4), &records))).await;
    let ack = control.ack().await;
    assert_eq!((revision(ack.applied), revision(ack.durable)), (Some(at(4)), Some(Revision::default())));
    assert_eq!(node.live.load().records.digest(), records.digest());
    assert!(node.live.is_current());
    let ack = control.ack().await;
    assert_eq!((revision(ack.applied), revision(ack.durable)), (Some(at(4)), Some(at(4))));

    let node = node.restart(peer.addr).await;
    assert_eq!((node.live.load().revision, node.live.load().records.digest()), (at(4), records.digest()));
    let mut control = peer.attached().await;
    let hello = control.hello().await;
    assert_eq!((revision(hello.applied), revision(hello.durable)), (Some(at(4)), Some(at(4))));
    assert_eq!(hello.digest, records.digest());
}

#[tokio::test]
async fn a_refused_push_is_nacked_and_changes_nothing_and_a_block_after_it_is_applied() {
    let pki = Pki::new();
    let mut peer = Peer::start(&pki).await;
    let node = TestNode::start(&peer, &pki);
    let records = set(node.maker.store(1, 2));
    let mut control = peer.attached().await;
    control.send(push(None, (at(4), &records))).await;
    control.ack().await;
    control.send(push(None, (at(3), &RecordSet::default()))).await;
    let nack = control.find(|node| if let Node::Nack(nack) = node { Some(nack) } else { None }).await;
    assert_eq!((nack.reason(), revision(nack.revision)), (NackReason::Revision, Some(at(3))));
    assert_eq!(node.live.load().records.digest(), records.digest());
    assert!(!node.live.is_current());
    control.send(push(Some((at(4), &records)), (at(5), &blocked(&records)))).await;
    let applied = control.find(|node| if let Node::Ack(ack) = node { revision(ack.applied).filter(|r| *r > at(4)) } else { None }).await;
    assert_eq!(applied, at(5));
    assert!(node.live.load().store(path(1).as_str()).unwrap().keys["k0"].blocked);
    assert!(node.live.is_current());
}

#[tokio::test]
async fn what_can_t_be_served_is_listed_with_the_ack_and_again_after_a_reconnect() {
    let pki = Pki::new();
    let mut peer = Peer::start(&pki).await;
    let node = TestNode::start(&peer, &pki);
    let records = set(Maker::new().store(1, 1));
    let mut control = peer.attached().await;
    control.send(push(None, (at(1), &records))).await;
    let mut listed = vec![control.ack().await.unusable];
    drop(control);
    let mut control = peer.attached().await;
    listed.push(control.ack().await.unusable);
    for unusable in listed {
        let keys: Vec<_> = unusable.iter().map(|u| u.key_id.as_slice()).collect();
        assert_eq!(keys, [&[][..], key_id(0).0.as_bytes()]);
        assert!(unusable[0].reason.contains("is not loaded"), "{}", unusable[0].reason);
    }
    assert_eq!(node.live.load().revision, at(1));
}

#[tokio::test]
async fn a_lost_stream_is_taken_up_again_where_it_was() {
    let pki = Pki::new();
    let mut peer = Peer::start(&pki).await;
    let node = TestNode::start(&peer, &pki);
    let records = set(node.maker.store(1, 1));
    let mut control = peer.attached().await;
    control.send(push(None, (at(4), &records))).await;
    control.ack().await;
    drop(control);
    let mut control = peer.attached().await;
    assert_eq!(revision(control.hello().await.applied), Some(at(4)));
    control.send(push(Some((at(4), &records)), (at(5), &blocked(&records)))).await;
    let applied = control.find(|node| if let Node::Ack(ack) = node { revision(ack.applied).filter(|r| *r > at(4)) } else { None }).await;
    assert_eq!(applied, at(5));
}

#[tokio::test]
async fn key_tasks_are_answered_and_the_fleet_is_taken_over() {
    let pki = Pki::new();
    let mut peer = Peer::start(&pki).await;
    let node = TestNode::start(&peer, &pki);
    let mut control = peer.attached().await;
    let task = KeyTask { id: vec![1; 16], deadline_ms: 10_000, target: "moon".into(), task: None };
    control.send([control_fleet(5), self::control(Control::KeyTask(task))]).await;
    let result = control.find(|node| if let Node::TaskResult(result) = node { Some(result) } else { None }).await;
    assert_eq!(result.id, [1; 16]);
    // Messages are taken in order, so the fleet was before.
    assert_eq!(node.fleet.load(Ordering::Relaxed), 5);
}

fn control_fleet(ready_nodes: u32) -> ControlMessage {
    control(Control::Fleet(Fleet { ready_nodes }))
}

#[tokio::test]
async fn status_tells_readiness_listeners_and_counts() {
    let pki = Pki::new();
    let mut peer = Peer::start(&pki).await;
    let node = TestNode::start(&peer, &pki);
    let mut control = peer.attached().await;
    let first = control.status().await;
    assert!(!first.ready, "nothing to serve yet");
    assert_eq!(first.listeners[0].address, peer.addr.to_string());
    let records = set(node.maker.store(1, 1));
    control.send(push(None, (at(4), &records))).await;
    assert!(control.status().await.ready);
    let name = CountName { key: key_id(0), version: 0, tag: [0; 4] };
    node.live.ledger().count(name).take().unwrap();
    assert_eq!(node.live.ledger().reserve().len(), 1);
    node.sync.leave();
    let last = control.status().await;
    assert!(!last.ready);
    assert_eq!((last.counts.len(), last.counts[0].reserved), (1, RESERVED_AT_ONCE));
}

#[tokio::test]
async fn a_clean_stop_writes_down_what_was_used_and_no_more() {
    let pki = Pki::new();
    let mut peer = Peer::start(&pki).await;
    let node = TestNode::start(&peer, &pki);
    let mut control = peer.attached().await;
    let records = set(node.maker.store(1, 2));
    control.send(push(None, (at(4), &records))).await;
    control.ack().await;
    let name = |k: u8| CountName { key: key_id(k), version: 0, tag: [k; 4] };
    node.live.ledger().count(name(0)).take().unwrap();
    let node = node.restart(peer.addr).await;
    assert_eq!([0, 1].map(|k| node.live.ledger().count(name(k)).used()), [1, 0]);
    // This one does not end cleanly: all its versions may have encrypted, up to a block more than is written down.
    let (directory, maker) = node.crash().await;
    let ledger = Cache::open(directory.path().join("state"), Arc::clone(&maker.seals)).unwrap().resume_counts();
    assert_eq!([0, 1].map(|k| ledger.count(name(k)).used()), [2 * RESERVED_AT_ONCE, RESERVED_AT_ONCE]);
}

#[tokio::test]
async fn key_files_are_read_afresh_at_each_attempt() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let mut peer = Peer::start(&pki).await;
    let node = TestNode::start(&peer, &stranger);
    // One attempt, with a CA that the server is not of: no stream.
    peer.connections.recv().await.unwrap();
    peer.connections.recv().await.unwrap();
    assert!(peer.attached.is_empty());
    pki.write(node.directory.path());
    peer.attached().await.hello().await;
}

#[tokio::test]
async fn a_control_plane_of_another_name_is_not_attached_to() {
    let pki = Pki::new();
    let mut peer = Peer::start(&pki).await;
    let directory = TempDir::new().unwrap();
    pki.write(directory.path());
    let _node = TestNode::start_as("someone.else", directory, Maker::new(), peer.addr);
    peer.connections.recv().await.unwrap();
    peer.connections.recv().await.unwrap();
    assert!(peer.attached.is_empty());
}
