//! A node at the other end of a real connection, played step by step.

use holdfast_proto::{
    ids::{KeyId, Revision, StoreId},
    records::Change,
    snapshot::RecordSet,
    sync::{
        Ack, Begin, ControlMessage, Hello, KeyTask, KeyTaskResult, Nack, NackReason, NodeMessage, NodeStatus, UnusableKey,
        control_message::Body, key_task_result::Outcome, node_message, sync_client::SyncClient,
    },
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::estate::{Estate, SOON};
use crate::{pki::Issued, publish::Publisher};

pub(super) struct Node {
    out: mpsc::Sender<NodeMessage>,
    messages: Streaming<ControlMessage>,
    pub(super) set: RecordSet,
    pub(super) applied: Option<Revision>,
    pub(super) fleet: u32,
}

/// Connects with a certificate; the error of the first call where the control plane refuses it.
pub(super) async fn attach(estate: &Estate, publisher: &Publisher, issued: Option<&Issued>) -> Result<Node, Status> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(estate.authority.certificate_pem())).domain_name("localhost");
    if let Some(issued) = issued {
        tls = tls.identity(Identity::from_pem(&issued.certificate_pem, issued.key_pem.as_bytes()));
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", publisher.addr())).unwrap().tls_config(tls).unwrap();
    let channel: Channel = endpoint.connect_lazy();
    let (out, messages) = mpsc::channel(16);
    let messages = SyncClient::new(channel).attach(ReceiverStream::new(messages)).await?.into_inner();
    Ok(Node { out, messages, set: RecordSet::default(), applied: None, fleet: 0 })
}

impl Node {
    /// Connects, says Hello with nothing in hand and takes the first push.
    pub(super) async fn joined(estate: &Estate, publisher: &Publisher, name: &str) -> Self {
        let mut node = attach(estate, publisher, Some(&estate.enrol(name))).await.unwrap();
        node.hello().await;
        node.take_push().await;
        node
    }

    pub(super) async fn say(&self, body: node_message::Body) {
        self.out.send(NodeMessage { body: Some(body) }).await.unwrap();
    }

    pub(super) async fn hello(&self) {
        let applied = self.applied.map(Into::into);
        let digest = self.applied.map(|_| self.set.digest().to_vec()).unwrap_or_default();
        let (software_version, targets) = ("1.2.3".into(), vec!["local".into()]);
        self.say(node_message::Body::Hello(Hello {
            protocol: 1,
            software_version,
            applied,
            durable: applied,
            digest,
            targets,
            key_seals: Vec::new(),
        }))
        .await;
    }

    pub(super) async fn status(&self, status: NodeStatus) {
        self.say(node_message::Body::Status(NodeStatus { targets: vec!["local".into()], ..status })).await;
    }

    /// The next message but for fleet sizes, which are kept.
    pub(super) async fn next(&mut self) -> Body {
        loop {
            match timeout(SOON, self.messages.message()).await.unwrap().unwrap().unwrap().body.unwrap() {
                Body::Fleet(fleet) => self.fleet = fleet.ready_nodes,
                Body::Current(_) => {}
                body => return body,
            }
        }
    }

    /// Reads on until it is told that nothing is newer; than which revision.
    pub(super) async fn current(&mut self) -> Option<Revision> {
        loop {
            match timeout(SOON, self.messages.message()).await.unwrap().unwrap().unwrap().body.unwrap() {
                Body::Current(current) => return current.revision.map(Revision::from),
                Body::Fleet(fleet) => self.fleet = fleet.ready_nodes,
                other => panic!("neither that nor a fleet size: {other:?}"),
            }
        }
    }

    /// Reads on until the fleet has this size.
    pub(super) async fn until_fleet_is(&mut self, ready: u32) {
        while self.fleet != ready {
            match timeout(SOON, self.messages.message()).await.unwrap().unwrap().unwrap().body.unwrap() {
                Body::Fleet(fleet) => self.fleet = fleet.ready_nodes,
                Body::Current(_) => {}
                other => panic!("not a fleet size: {other:?}"),
            }
        }
    }

    /// Receives one push whole and applies it, without a word.
    pub(super) async fn receive(&mut self) -> Begin {
        let Body::Begin(begin) = self.next().await else { panic!("not a Begin") };
        let mut changes = Vec::new();
        let commit = loop {
            match self.next().await {
                Body::Chunk(chunk) => changes.extend(chunk.changes.into_iter().map(|change| Change::try_from(change).unwrap())),
                Body::Commit(commit) => break commit,
                other => panic!("neither chunk nor commit: {other:?}"),
            }
        };
        let base = if begin.base.is_some() { self.set.clone() } else { RecordSet::default() };
        assert_eq!(begin.base.map(Revision::from), self.applied.filter(|_| begin.base.is_some()));
        self.set = base.apply(changes).unwrap().0;
        self.applied = begin.revision.map(Into::into);
        assert_eq!(self.set.digest().as_slice(), commit.digest);
        begin
    }

    pub(super) async fn ack(&self, durable: bool) {
        let applied = self.applied.map(Into::into);
        self.say(node_message::Body::Ack(Ack { applied, durable: applied.filter(|_| durable), unusable: Vec::new() })).await;
    }

    /// Has all on disk, but can't open one version.
    pub(super) async fn ack_without(&self, store: StoreId, key: KeyId, version: u32) {
        let (store_id, key_id) = (store.0.as_bytes().to_vec(), key.0.as_bytes().to_vec());
        let unusable = vec![UnusableKey { store_id, key_id, version, reason: "another seal".into() }];
        let applied = self.applied.map(Into::into);
        self.say(node_message::Body::Ack(Ack { applied, durable: applied, unusable })).await;
    }

    pub(super) async fn nack(&self, begin: &Begin, reason: NackReason) {
        self.say(node_message::Body::Nack(Nack { revision: begin.revision, reason: reason.into(), detail: "no".into() })).await;
    }

    /// Receives one push, applies and acknowledges it.
    pub(super) async fn take_push(&mut self) -> Begin {
        let begin = self.receive().await;
        self.ack(true).await;
        begin
    }

    /// Takes pushes until the configuration is as `wanted`.
    pub(super) async fn take_until(&mut self, wanted: impl Fn(&RecordSet) -> bool) {
        while !wanted(&self.set) {
            self.take_push().await;
        }
    }

    pub(super) async fn task(&mut self) -> KeyTask {
        match self.next().await {
            Body::KeyTask(task) => task,
            other => panic!("not a task: {other:?}"),
        }
    }

    pub(super) async fn answer(&self, task: &KeyTask, outcome: Outcome) {
        self.say(node_message::Body::TaskResult(KeyTaskResult { id: task.id.clone(), outcome: Some(outcome) })).await;
    }

    /// How the control plane ends the stream.
    pub(super) async fn ending(&mut self) -> Code {
        let ending = async {
            loop {
                match self.messages.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Code::Ok,
                    Err(status) => return status.code(),
                }
            }
        };
        timeout(SOON, ending).await.unwrap()
    }
}
