//! A data plane as the protocol knows one, written from `sync.proto`: it makes keys of random bytes, tells of the keys that it was given
//! as those of a partition, and holds what it is sent.

use std::{net::SocketAddr, path::Path, time::Duration};

use holdfast_proto::{
    ids::{KeyId, StoreId},
    kinds::KeyKind,
    records::Change,
    snapshot::RecordSet,
    sync::{
        self as wire, control_message::Body as FromControl, key_task::Task, key_task_result::Outcome, node_message::Body as FromNode,
        source_key::Body, sync_client::SyncClient,
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{
    Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use uuid::Uuid;

/// A partition group and the keys on it.
#[derive(Clone)]
pub(crate) struct Partition {
    pub(crate) group: &'static str,
    pub(crate) keys: Vec<TokenKey>,
    /// So many tasks find it unavailable.
    pub(crate) busy: u32,
    /// Its partitions. More than one make no keys.
    pub(crate) copies: u32,
}

/// A key on a partition.
#[derive(Clone)]
pub(crate) struct TokenKey {
    pub(crate) cka_id: Vec<u8>,
    pub(crate) label: String,
    pub(crate) attributes: wire::KeyAttributes,
}

/// A connected node.
pub(crate) struct Node {
    held: watch::Receiver<RecordSet>,
    out: mpsc::Sender<wire::NodeMessage>,
    life: JoinHandle<Status>,
}

impl Node {
    /// Connects with what `enroll` wrote into `dir`.
    pub(crate) async fn connect(dir: &Path, at: SocketAddr) -> Result<Self, Status> {
        Self::connect_with(dir, at, None).await
    }

    /// Connects as a node that has a partition.
    pub(crate) async fn connect_with(dir: &Path, at: SocketAddr, mut partition: Option<Partition>) -> Result<Self, Status> {
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read("ca.crt")))
            .identity(Identity::from_pem(read("node.crt"), read("node.key")))
            .domain_name("localhost");
        let channel: Channel = Endpoint::from_shared(format!("https://{at}"))
            .unwrap()
            .tls_config(tls)
            .unwrap()
            .connect()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let (out, messages) = mpsc::channel(64);
        let targets = ["local"].into_iter().chain(partition.as_ref().map(|partition| partition.group)).map(String::from).collect();
        let hello = wire::Hello { protocol: 1, software_version: "test".into(), targets, ..wire::Hello::default() };
        out.send(message(FromNode::Hello(hello))).await.unwrap();
        let mut stream = SyncClient::new(channel).attach(ReceiverStream::new(messages)).await?.into_inner();
        let (told, held) = watch::channel(RecordSet::default());
        let answers = out.clone();
        let life = tokio::spawn(async move {
            let mut changes = Vec::new();
            loop {
                let body = match stream.next().await {
                    Some(Ok(message)) => message.body.unwrap(),
                    Some(Err(status)) => return status,
                    None => return Status::ok("ended"),
                };
                let answer = match body {
                    FromControl::Begin(begin) => {
                        changes.clear();
                        if begin.base.is_none() {
                            told.send_replace(RecordSet::default());
                        }
                        continue;
                    }
                    FromControl::Chunk(chunk) => {
                        changes.extend(chunk.changes.into_iter().map(|change| Change::try_from(change).unwrap()));
                        continue;
                    }
                    FromControl::Commit(commit) => {
                        let (next, _) = told.borrow().apply(std::mem::take(&mut changes)).unwrap();
                        assert_eq!(next.digest().as_slice(), commit.digest);
                        told.send_replace(next);
                        let revision = commit.revision;
                        FromNode::Ack(wire::Ack { applied: revision, durable: revision, unusable: Vec::new() })
                    }
                    FromControl::KeyTask(task) => FromNode::TaskResult(done(task, partition.as_mut())),
                    FromControl::Fleet(_) | FromControl::Current(_) => continue,
                };
                if answers.send(message(answer)).await.is_err() {
                    return Status::ok("ended");
                }
            }
        });
        Ok(Self { held, out, life })
    }

    /// Waits until what the node holds is as `wanted`.
    pub(crate) async fn holds(&mut self, wanted: impl FnMut(&RecordSet) -> bool) -> RecordSet {
        tokio::time::timeout(SOON, self.held.wait_for(wanted)).await.expect("in time").unwrap().clone()
    }

    /// What it holds now.
    pub(crate) fn held(&self) -> RecordSet {
        self.held.borrow().clone()
    }

    /// Reports so many encryptions under a version.
    pub(crate) async fn count(&self, version: &holdfast_proto::records::Version, reserved: u64) {
        let count = wire::EncryptionCount {
            key_id: version.key.0.as_bytes().to_vec(),
            version: version.number,
            tag: version.tag.to_vec(),
            reserved,
        };
        let status = wire::NodeStatus { ready: true, targets: vec!["local".into()], counts: vec![count], ..wire::NodeStatus::default() };
        self.status(status).await;
    }

    /// Reports on itself.
    pub(crate) async fn status(&self, status: wire::NodeStatus) {
        self.out.send(message(FromNode::Status(status))).await.unwrap();
    }

    /// How its stream ended.
    pub(crate) async fn ended(self) -> Status {
        tokio::time::timeout(SOON, self.life).await.expect("in time").unwrap()
    }

    /// Goes away.
    pub(crate) fn leave(self) {
        self.life.abort();
    }
}

/// The number of the version that encrypts.
pub(crate) fn active(set: &RecordSet, store: StoreId, key: KeyId) -> Option<u32> {
    Some(set.store(store)?.key(key)?.active()?.number)
}

impl Partition {
    /// Whether this task finds it unavailable.
    fn is_busy(&mut self) -> bool {
        let busy = self.busy > 0;
        self.busy = self.busy.saturating_sub(1);
        busy
    }
}

impl TokenKey {
    /// One that will do.
    pub(crate) fn new(cka_id: u8, label: &'static str) -> Self {
        Self::made(vec![cka_id], label.into())
    }

    fn made(cka_id: Vec<u8>, label: String) -> Self {
        let flag = |(name, value): (&str, bool)| wire::TokenAttribute { name: name.into(), value };
        let set = ["CKA_SENSITIVE", "CKA_ENCRYPT", "CKA_DECRYPT", "CKA_WRAP", "CKA_UNWRAP", "CKA_LOCAL"].map(|name| (name, true));
        let token = [("CKA_EXTRACTABLE", false)].into_iter().chain(set).map(flag).collect();
        Self { cka_id, label, attributes: wire::KeyAttributes { token, ..attributes("AES", 256, true) } }
    }

    fn listed(&self, group: &str) -> wire::ListedKey {
        let key = wire::PartitionKey { group: group.into(), cka_id: self.cka_id.clone(), label: self.label.clone() };
        wire::ListedKey { key: Some(key), attributes: Some(self.attributes.clone()) }
    }

    fn is_named(&self, key: &wire::PartitionKey) -> bool {
        (key.cka_id.is_empty() || key.cka_id == self.cka_id) && (key.label.is_empty() || key.label == self.label)
    }
}

fn done(task: wire::KeyTask, partition: Option<&mut Partition>) -> wire::KeyTaskResult {
    let outcome = match task.task.unwrap() {
        Task::Generate(generate) if task.target == "local" => {
            // The same id gives the same key.
            let sealed = [task.id.as_slice(), Uuid::new_v5(&Uuid::NAMESPACE_OID, &task.id).as_bytes(), &[0; 32]].concat();
            let local = wire::LocalKey {
                id: task.id.clone(),
                usage: generate.usage,
                unexportable: generate.unexportable,
                sealed,
                kind: generate.kind,
            };
            Outcome::Generated(wire::SourceKey { body: Some(Body::Local(local)) })
        }
        Task::Generate(generate) => {
            let label = if generate.label.is_empty() { "made".to_owned() } else { generate.label };
            let partition = partition.filter(|partition| partition.group == task.target).unwrap();
            if partition.copies > 1 {
                failed(wire::KeyTaskFailure::Refused, "the group has more than one partition")
            } else if partition.is_busy() {
                failed(wire::KeyTaskFailure::Unavailable, "not connected yet")
            } else {
                if partition.keys.iter().all(|key| key.cka_id != task.id) {
                    partition.keys.push(TokenKey::made(task.id.clone(), label.clone()));
                }
                let made = wire::PartitionKey { group: task.target, cka_id: task.id.clone(), label };
                Outcome::Generated(wire::SourceKey { body: Some(Body::Partition(made)) })
            }
        }
        Task::Inspect(wire::InspectKey { source: Some(wire::SourceKey { body: Some(Body::Partition(key)) }) }) => {
            let partition = partition.filter(|partition| partition.group == task.target && partition.group == key.group).unwrap();
            match partition.keys.iter().position(|one| one.is_named(&key)) {
                _ if partition.is_busy() => failed(wire::KeyTaskFailure::Unavailable, "not connected yet"),
                Some(found) => Outcome::Attributes(partition.keys[found].attributes.clone()),
                None => failed(wire::KeyTaskFailure::Refused, "no such key"),
            }
        }
        Task::Inspect(wire::InspectKey { source: Some(wire::SourceKey { body: Some(Body::Local(key)) }) }) => {
            let kind = KeyKind::from_wire(&key.kind).unwrap();
            Outcome::Attributes(wire::KeyAttributes { usage: key.usage, ..attributes(kind.algorithm(), kind.bits(), key.unexportable) })
        }
        // A ciphertext that tells which key made it.
        Task::HealthCiphertext(wire::MakeHealthCiphertext { source: Some(source) }) => match source.body.unwrap() {
            Body::Local(key) => Outcome::HealthCiphertext([&[7], key.id.as_slice()].concat()),
            Body::Partition(key) => Outcome::HealthCiphertext([&[8], key.cka_id.as_slice()].concat()),
        },
        Task::List(_) => {
            let partition = partition.filter(|partition| partition.group == task.target).unwrap();
            Outcome::Keys(wire::KeyList { keys: partition.keys.iter().map(|key| key.listed(partition.group)).collect() })
        }
        other => panic!("nobody asks for that here: {other:?}"),
    };
    wire::KeyTaskResult { id: task.id, outcome: Some(outcome) }
}

fn attributes(algorithm: &str, bits: u32, unexportable: bool) -> wire::KeyAttributes {
    let usage = Some(wire::KeyUsage { encrypt: true, decrypt: true });
    wire::KeyAttributes { algorithm: algorithm.into(), bits, usage, unexportable, token: Vec::new(), curve: String::new() }
}

fn failed(failure: wire::KeyTaskFailure, detail: &str) -> Outcome {
    Outcome::Error(wire::KeyTaskError { failure: failure.into(), detail: detail.into() })
}

fn message(body: FromNode) -> wire::NodeMessage {
    wire::NodeMessage { body: Some(body) }
}

/// Long enough for a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);
