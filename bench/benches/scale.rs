//! 100,000 keys in 100 stores: what they cost a data plane, end to end.
//!
//! A control plane in this process (real sled, real mutual TLS), the data plane as a process of its own under 500 requests per second.
//! `cargo bench -p holdfast-bench --bench scale`, after `cargo build --release`. Measures: latency while idle, while the keys arrive, and
//! while the node takes everything anew; the data plane's resident memory; the time from asking for a block of one key until the node has it.

use std::{
    env,
    error::Error,
    fs,
    io::{BufRead, BufReader, Write as _, stdout},
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use holdfast_bench::{
    load,
    plan::{End, LoadPlan, Pace},
    report::LoadReport,
    target::Target,
};
use holdfast_controlplane::{
    ControlPlane, EnrollOptions, InitOptions, Settings, core::import::ImportKeyStore, enroll, init, names::NodeName,
};
use holdfast_keys::local;
use holdfast_proto::{
    admin::{
        BlockHyokKeyRequest, ListHyokKeysRequest, ListKeyStoresRequest, ListNodesRequest, LoginRequest, ResyncNodeRequest,
        UnblockHyokKeyRequest,
    },
    admin_client::AdminClient,
    ids::{AccessKeyId, ExternalKeyId, UriPath},
    records::KeyUsage,
    seal::{Seal, SealRing},
    secret::Secret,
};
use serde_json::{Value, json};
use tonic::{
    Request,
    transport::{Certificate, Channel, ClientTlsConfig},
};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

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
    let node = site.start_node(control.sync_addr())?;
    control.import(vec![site.store("probe", 1)?]).await?;
    let target = site.target(node.xks)?;
    let mut admin = Admin::sign_in(control.api_addr(), &site).await?;
    admin.settled().await?;

    let idle = run(&target, End::After(SPAN)).await?;
    let before = node.memory()?;
    say(&format!("idle, one key          p99 {:>7.2} ms   resident {before:>4} MB", ms(idle.latency(0.99))));

    let plan = paced(&target, End::Stopped);
    let stop = plan.stop.clone();
    let loaded = tokio::spawn(async move { load::run(plan).await.map_err(|error| error.to_string()) });
    let started = Instant::now();
    for store in 0..STORES {
        control.import(vec![site.store(&format!("s{store}"), KEYS)?]).await?;
    }
    admin.settled().await?;
    let arriving = started.elapsed();
    stop.cancel();
    let loaded = loaded.await??;
    report("while they arrive", &loaded, &idle);
    say(&format!("  {} keys made, committed and applied in {:.1} s", STORES * KEYS, arriving.as_secs_f64()));

    let plan = paced(&target, End::Stopped);
    let stop = plan.stop.clone();
    let resync = tokio::spawn(async move { load::run(plan).await.map_err(|error| error.to_string()) });
    let anew = admin.resync().await?;
    stop.cancel();
    let resync = resync.await??;
    report("while all is sent anew", &resync, &idle);
    say(&format!("  everything sent anew and applied in {:.1} s", anew.as_secs_f64()));

    let after = node.memory()?;
    let peak = node.peak_memory()?;
    say(&format!("resident with all keys {after} MB, peak {peak} MB"));

    let blocks = admin.block_times(BLOCKS).await?;
    let at = |quantile: usize| ms(blocks[(blocks.len() * quantile / 100).min(blocks.len() - 1)]);
    say(&format!(
        "one key blocked on the node: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms ({} times)",
        at(50),
        at(99),
        at(100),
        blocks.len()
    ));

    let failed = idle.failed() + loaded.failed() + resync.failed();
    let apart = |loaded: &LoadReport| ms(loaded.latency(0.99)) - ms(idle.latency(0.99));
    let verdicts = [
        (format!("data plane under 250 MB: {peak} MB at its peak"), peak < 250),
        (format!("p99 within 10 ms of idle while they arrive: {:+.2} ms", apart(&loaded)), apart(&loaded) <= 10.0),
        (format!("p99 within 10 ms of idle while all is sent anew: {:+.2} ms", apart(&resync)), apart(&resync) <= 10.0),
        (format!("a block is on the node in under 100 ms at p99: {:.1} ms", at(99)), at(99) < 100.0),
        (format!("no request failed: {failed}"), failed == 0),
    ];
    say("");
    for (claim, good) in &verdicts {
        say(&format!("{}  {claim}", if *good { "ok  " } else { "MISS" }));
    }
    control.drain().await;
    if verdicts.iter().all(|(_, good)| *good) { Ok(()) } else { Err("a figure is off".into()) }
}

/// Where everything lies.
struct Site {
    control: PathBuf,
    node: PathBuf,
    seals: SealRing,
    password: Secret,
    access: (AccessKeyId, Secret),
}

impl Site {
    fn make(folder: &Path) -> Outcome<Self> {
        let (control, node) = (folder.join("controlplane"), folder.join("node"));
        let made = init(&control, InitOptions::default())?;
        let seals = SealRing::new(Seal::from_text(&fs::read_to_string(&made.key_seal)?)?, Vec::new());
        let access = (AccessKeyId::try_from("SCALESCALESCALESCALE")?, Secret::new("s".repeat(43)));
        Ok(Self { control, node, seals, password: made.admin_password, access })
    }

    fn start_node(&self, sync: SocketAddr) -> Outcome<Node> {
        let toml = format!(
            "state_dir = \"state\"\ndrain_delay_seconds = 0\n[[xks]]\nlisten = \"127.0.0.1:0\"\n[[xks.certificate]]\nchain = \"xks.crt\"\nkey = \"xks.key\"\n\
             [sync]\nendpoint = \"https://localhost:{}\"\ncertificate = \"node.crt\"\nkey = \"node.key\"\nca = \"ca.crt\"\n\
             [keys]\nseals = [\"key-seal\"]\n[audit]\ndir = \"audit\"\n[log]\nformat = \"json\"\n",
            sync.port()
        );
        enroll(&self.control, &NodeName::try_from("node-1")?, &self.node, EnrollOptions { dataplane_toml: toml, ..Default::default() })?;
        let program = env::var_os("HOLDFAST").map_or_else(|| built("holdfast"), PathBuf::from);
        let mut child = Command::new(program)
            .args(["dataplane".as_ref(), "--config".as_ref(), self.node.join("dataplane.toml").as_os_str()])
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
        let mut node = Node { xks: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), child };
        let xks = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let line: Value = serde_json::from_str(&line).ok()?;
            (line["listener"] == "xks").then(|| line["addr"].as_str()?.parse().ok())?
        });
        // Whatever else it logs must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        node.xks = xks.ok_or("the data plane did not start")?;
        Ok(node)
    }

    fn store(&self, name: &str, keys: usize) -> Outcome<ImportKeyStore> {
        let blob = || local::generate(&self.seals, Uuid::new_v4(), KeyUsage::BOTH, true);
        let key = |n: usize| Ok::<_, Box<dyn Error>>((ExternalKeyId::try_from(format!("key-{n}").as_str())?, blob()?));
        Ok(ImportKeyStore {
            name: name.into(),
            uri_path: UriPath::try_from(format!("/{name}/kms/xks/v1").as_str())?,
            region: "us-east-1".into(),
            credential: self.access.clone(),
            health: blob()?,
            keys: (0..keys).map(key).collect::<Result<_, _>>()?,
        })
    }

    fn target(&self, xks: SocketAddr) -> Outcome<Target> {
        let target = json!({
            "host": "localhost", "port": xks.port(), "prefix": "/probe/kms/xks/v1", "key_id": "key-0", "region": "us-east-1",
            "access_key_id": self.access.0.as_str(), "secret_access_key": self.access.1.expose(), "ca": self.control.join("ca.crt"),
        });
        Ok(Target::parse(&target.to_string(), &self.control)?)
    }
}

/// The data plane's process; killed when dropped.
struct Node {
    xks: SocketAddr,
    child: Child,
}

impl Node {
    /// Resident memory, MB.
    fn memory(&self) -> Outcome<u64> {
        self.status("VmRSS:")
    }

    /// The most it ever was, MB.
    fn peak_memory(&self) -> Outcome<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024 / 1_000_000)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A signed-in admin.
struct Admin {
    client: AdminClient<Channel>,
    password: String,
    token: String,
}

impl Admin {
    async fn sign_in(api: SocketAddr, site: &Site) -> Outcome<Self> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(fs::read(site.control.join("ca.crt"))?));
        let channel = Channel::from_shared(format!("https://localhost:{}", api.port()))?.tls_config(tls)?.connect().await?;
        let mut admin = Self { client: AdminClient::new(channel), password: site.password.expose().into(), token: String::new() };
        admin.renew().await?;
        Ok(admin)
    }

    /// A token lives for five minutes, less than a whole run may take.
    async fn renew(&mut self) -> Outcome<()> {
        let login = LoginRequest { username: "admin".into(), password: self.password.clone() };
        self.token = self.client.access.login(login).await?.into_inner().jwt;
        Ok(())
    }

    /// Waits until the node has everything.
    async fn settled(&mut self) -> Outcome<()> {
        self.renew().await?;
        self.until("up-to-date").await
    }

    /// Has everything sent anew; how long that took.
    async fn resync(&mut self) -> Outcome<Duration> {
        let request = self.request(ResyncNodeRequest { name: "node-1".into() })?;
        self.client.nodes.resync_node(request).await?;
        self.until("pushing").await?;
        let started = Instant::now();
        self.until("up-to-date").await?;
        Ok(started.elapsed())
    }

    async fn until(&mut self, configuration: &str) -> Outcome<()> {
        loop {
            let request = self.request(ListNodesRequest {})?;
            let nodes = self.client.nodes.list_nodes(request).await?.into_inner().nodes;
            if nodes.first().is_some_and(|node| node.configuration == configuration) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How long a block takes from asking until every connected node has it, sorted.
    async fn block_times(&mut self, times: usize) -> Outcome<Vec<Duration>> {
        self.renew().await?;
        let request = self.request(ListKeyStoresRequest {})?;
        let stores = self.client.key_stores.list_key_stores(request).await?.into_inner().key_stores;
        let store = stores.iter().find(|store| store.name == "s50").ok_or("no such store")?.id.clone();
        let request = self.request(ListHyokKeysRequest { key_store_id: store })?;
        let id = self.client.hyok_keys.list_hyok_keys(request).await?.into_inner().keys.first().ok_or("no key")?.id.clone();
        let mut taken = Vec::with_capacity(times);
        for _ in 0..times {
            let request = self.request(BlockHyokKeyRequest { id: id.clone() })?;
            let started = Instant::now();
            let answer = self.client.hyok_keys.block_hyok_key(request).await?.into_inner();
            taken.push(started.elapsed());
            if !answer.pending_nodes.is_empty() {
                return Err("a block did not reach the node".into());
            }
            let request = self.request(UnblockHyokKeyRequest { id: id.clone() })?;
            self.client.hyok_keys.unblock_hyok_key(request).await?;
        }
        taken.sort_unstable();
        Ok(taken)
    }

    fn request<T>(&self, message: T) -> Outcome<Request<T>> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse()?);
        Ok(request)
    }
}

async fn run(target: &Target, end: End) -> Outcome<LoadReport> {
    Ok(load::run(paced(target, end)).await?)
}

fn paced(target: &Target, end: End) -> LoadPlan {
    let mut plan = LoadPlan::new(vec![target.clone()]);
    plan.pace = Pace::Open { rate: RATE };
    plan.end = end;
    plan
}

fn report(what: &str, loaded: &LoadReport, idle: &LoadReport) {
    let apart = ms(loaded.latency(0.99)) - ms(idle.latency(0.99));
    say(&format!(
        "{what:<22} p99 {:>7.2} ms   {apart:+.2} ms   {} answers, {} failed",
        ms(loaded.latency(0.99)),
        loaded.answered(),
        loaded.failed()
    ));
}

fn say(line: &str) {
    // A reader that went away is no fault of the measurement's.
    let _ = writeln!(stdout(), "{line}");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// A binary of the same workspace, release profile.
fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release").join(name)
}

const STORES: usize = 100;
const KEYS: usize = 1_000;
const BLOCKS: usize = 200;
const SPAN: Duration = Duration::from_secs(10);
const RATE: NonZeroU32 = NonZeroU32::new(500).unwrap();
