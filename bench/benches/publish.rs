//! How long blocks, unblocks, new and deleted credentials take to reach every connected node, with 10,000 keys and 50 nodes.
//!
//! A control plane in this process (real sled, real mutual TLS); the nodes are clients of the sync protocol: the first holds and checks all
//! records, as a data plane does, the others decode what they are sent and acknowledge it, since one machine stands for fifty.
//! `cargo bench -p holdfast-bench --bench publish`. Measures from an admin's request over gRPC until its answer, which comes when all
//! connected nodes have applied the change (design §7.5).

use std::{
    env,
    error::Error,
    fs,
    io::{Write as _, stdout},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use holdfast_controlplane::{
    ControlPlane, EnrollOptions, InitOptions, Settings, core::import::ImportKeyStore, enroll, init, names::NodeName,
};
use holdfast_keys::local;
use holdfast_proto::{
    admin::{
        BlockHyokKeyRequest, CreateCredentialRequest, DeleteCredentialRequest, ListHyokKeysRequest, ListKeyStoresRequest, ListNodesRequest,
        LoginRequest, UnblockHyokKeyRequest,
    },
    admin_client::AdminClient,
    ids::{AccessKeyId, ExternalKeyId, UriPath},
    records::{Change, KeyUsage},
    seal::{Seal, SealRing},
    secret::Secret,
    snapshot::RecordSet,
    sync::{self as wire, control_message::Body as FromControl, node_message::Body as FromNode, sync_client::SyncClient},
};
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{
    Request,
    transport::{Certificate, Channel, ClientTlsConfig, Identity},
};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    // Under `cargo test` benches are only built and started.
    if env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::make(folder.path())?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let control = ControlPlane::start(Settings::new(site.control.clone(), any, any)).await?;
    control.import(vec![site.store()?]).await?;
    let mut nodes = JoinSet::new();
    let mut slowest = Duration::ZERO;
    for count in [1, NODES] {
        for number in nodes.len()..count {
            let dir = site.enrol(number)?;
            let sync = control.sync_addr();
            nodes.spawn(async move { Node::serve(&dir, sync, number == 0).await.map_err(|error| error.to_string()) });
        }
        let mut admin = Admin::sign_in(control.api_addr(), &site).await?;
        admin.settled(count).await?;
        say(&format!("{KEYS} keys, {count} nodes, {TIMES} times each:"));
        for (what, taken) in admin.changes().await? {
            let at = |per_mille: usize| ms(taken[(taken.len() * per_mille / 1_000).min(taken.len() - 1)]);
            say(&format!("  {what:<20} p50 {:>6.1} ms   p99 {:>6.1} ms   longest {:>6.1} ms", at(500), at(990), at(1_000)));
            slowest = slowest.max(taken[taken.len() * 99 / 100]);
        }
        if let Some(ended) = nodes.try_join_next() {
            return Err(format!("a node ended: {:?}", ended?).into());
        }
    }
    let kept = slowest < Duration::from_millis(100);
    say(&format!("{}  under 100 ms at p99: {:.1} ms", if kept { "ok  " } else { "MISS" }, ms(slowest)));
    nodes.abort_all();
    control.drain().await;
    if kept { Ok(()) } else { Err("a figure is off".into()) }
}

/// Where everything lies.
struct Site {
    control: PathBuf,
    seals: SealRing,
    password: Secret,
}

impl Site {
    fn make(folder: &Path) -> Outcome<Self> {
        let control = folder.join("controlplane");
        let made = init(&control, InitOptions::default())?;
        let seals = SealRing::new(Seal::from_text(&fs::read_to_string(&made.key_seal)?)?, Vec::new());
        Ok(Self { control, seals, password: made.admin_password })
    }

    fn enrol(&self, number: usize) -> Outcome<PathBuf> {
        let dir = self.control.with_file_name(format!("node-{number}"));
        enroll(&self.control, &NodeName::try_from(format!("node-{number}").as_str())?, &dir, EnrollOptions::default())?;
        Ok(dir)
    }

    fn store(&self) -> Outcome<ImportKeyStore> {
        let blob = || local::generate(&self.seals, Uuid::new_v4(), KeyUsage::BOTH, true);
        let key = |n: usize| Ok::<_, Box<dyn Error + Send + Sync>>((ExternalKeyId::try_from(format!("key-{n}").as_str())?, blob()?));
        Ok(ImportKeyStore {
            name: "s".into(),
            uri_path: UriPath::try_from("/s/kms/xks/v1")?,
            region: "us-east-1".into(),
            credential: (AccessKeyId::try_from("PUBLISHPUBLISHPUBLISH")?, Secret::new("s".repeat(43))),
            health: blob()?,
            keys: (0..KEYS).map(key).collect::<Result<_, _>>()?,
        })
    }
}

/// A node's end of the stream.
struct Node {
    /// All records; none: they are let go of.
    held: Option<RecordSet>,
    changes: Vec<Change>,
}

impl Node {
    /// Takes what comes until the stream ends.
    async fn serve(dir: &Path, sync: SocketAddr, holds: bool) -> Outcome<()> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(fs::read(dir.join("ca.crt"))?))
            .identity(Identity::from_pem(fs::read(dir.join("node.crt"))?, fs::read(dir.join("node.key"))?))
            .domain_name("localhost");
        let channel = Channel::from_shared(format!("https://{sync}"))?.tls_config(tls)?.tcp_nodelay(true).connect().await?;
        let (out, messages) = mpsc::channel(64);
        let hello = wire::Hello { protocol: 1, software_version: "bench".into(), targets: vec!["local".into()], ..Default::default() };
        out.send(wire::NodeMessage { body: Some(FromNode::Hello(hello)) }).await?;
        let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
        let mut client = SyncClient::new(channel).max_decoding_message_size(4 << 20);
        let mut control = client.attach(messages).await?.into_inner();
        let mut node = Self { held: holds.then(RecordSet::default), changes: Vec::new() };
        while let Some(message) = control.message().await? {
            if let Some(ack) = message.body.map(|body| node.take(body)).transpose()?.flatten() {
                out.send(wire::NodeMessage { body: Some(FromNode::Ack(ack)) }).await?;
            }
        }
        Ok(())
    }

    fn take(&mut self, body: FromControl) -> Outcome<Option<wire::Ack>> {
        match body {
            FromControl::Begin(begin) => {
                if let Some(held) = self.held.as_mut().filter(|_| begin.base.is_none()) {
                    *held = RecordSet::default();
                }
            }
            FromControl::Chunk(chunk) => {
                for change in chunk.changes {
                    self.changes.push(Change::try_from(change)?);
                }
            }
            FromControl::Commit(commit) => {
                let changes = std::mem::take(&mut self.changes);
                if let Some(held) = &mut self.held {
                    *held = held.apply(changes)?.0;
                    if held.digest().as_slice() != commit.digest {
                        return Err("the node holds something else".into());
                    }
                }
                return Ok(Some(wire::Ack { applied: commit.revision, durable: commit.revision, unusable: Vec::new() }));
            }
            FromControl::KeyTask(_) => return Err("nobody asks for that here".into()),
            FromControl::Fleet(_) | FromControl::Current(_) => {}
        }
        Ok(None)
    }
}

/// A signed-in admin.
struct Admin {
    client: AdminClient<Channel>,
    token: String,
}

impl Admin {
    async fn sign_in(api: SocketAddr, site: &Site) -> Outcome<Self> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(fs::read(site.control.join("ca.crt"))?));
        let channel = Channel::from_shared(format!("https://localhost:{}", api.port()))?.tls_config(tls)?.connect().await?;
        let mut client = AdminClient::new(channel);
        let login = LoginRequest { username: "admin".into(), password: site.password.expose().into() };
        let token = client.access.login(login).await?.into_inner().jwt;
        Ok(Self { client, token })
    }

    /// Waits until so many nodes have everything.
    async fn settled(&mut self, count: usize) -> Outcome<()> {
        loop {
            let request = self.request(ListNodesRequest {})?;
            let nodes = self.client.nodes.list_nodes(request).await?.into_inner().nodes;
            if nodes.iter().filter(|node| node.configuration == "up-to-date").count() == count {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How long each change takes until every node has it, sorted.
    async fn changes(&mut self) -> Outcome<[(&'static str, Vec<Duration>); 4]> {
        let request = self.request(ListKeyStoresRequest {})?;
        let stores = self.client.key_stores.list_key_stores(request).await?.into_inner().key_stores;
        let key_store_id = stores.first().ok_or("no key store")?.id.clone();
        let request = self.request(ListHyokKeysRequest { key_store_id: key_store_id.clone() })?;
        let id = self.client.hyok_keys.list_hyok_keys(request).await?.into_inner().keys.first().ok_or("no key")?.id.clone();
        let mut taken = [const { Vec::new() }; 4];
        for _ in 0..TIMES {
            let request = self.request(BlockHyokKeyRequest { id: id.clone() })?;
            let started = Instant::now();
            let blocked = self.client.hyok_keys.block_hyok_key(request).await?.into_inner();
            taken[0].push(reached(started, &blocked.pending_nodes)?);

            let request = self.request(UnblockHyokKeyRequest { id: id.clone() })?;
            let started = Instant::now();
            let unblocked = self.client.hyok_keys.unblock_hyok_key(request).await?.into_inner();
            taken[1].push(reached(started, &unblocked.pending_nodes)?);

            let request = self.request(CreateCredentialRequest { key_store_id: key_store_id.clone() })?;
            let started = Instant::now();
            let created = self.client.key_stores.create_credential(request).await?.into_inner();
            taken[2].push(reached(started, &created.pending_nodes)?);

            let id = created.credential.ok_or("no credential")?.id;
            let request = self.request(DeleteCredentialRequest { key_store_id: key_store_id.clone(), id })?;
            let started = Instant::now();
            let deleted = self.client.key_stores.delete_credential(request).await?.into_inner();
            taken[3].push(reached(started, &deleted.pending_nodes)?);
        }
        taken.iter_mut().for_each(|taken| taken.sort_unstable());
        let [block, unblock, create, delete] = taken;
        Ok([("block a key", block), ("unblock a key", unblock), ("new credential", create), ("delete a credential", delete)])
    }

    fn request<T>(&self, message: T) -> Outcome<Request<T>> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse()?);
        Ok(request)
    }
}

fn reached(started: Instant, pending: &[String]) -> Outcome<Duration> {
    let taken = started.elapsed();
    if pending.is_empty() { Ok(taken) } else { Err(format!("a change did not reach {pending:?}").into()) }
}

fn say(line: &str) {
    // A reader that went away is no fault of the measurement's.
    let _ = writeln!(stdout(), "{line}");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

const KEYS: usize = 10_000;
const NODES: usize = 50;
const TIMES: usize = 200;
