//! The rig of linked mode: a simulator, a control plane whose AWS it is, and the data planes that it calls, as AWS KMS would.

mod node;
mod setup;

use std::{
    cell::{RefCell, RefMut},
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use holdfast_sim_kms::{Control, Sim, SimSettings, When};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, time::timeout};
use tonic::Status;

use self::node::Node;
pub(crate) use self::setup::{AWS_PATIENCE, PROXY_PATIENCE, Setup};
use super::kms::{Kms, Refused};
use crate::{
    admin::Admin,
    http::{Answer, Http},
    process::Holdfast,
    rest::{Rest, connection, container, hyok_key, key_store, source_key, text},
    site::{Site, keep_ports, start_control_plane},
};

/// Everything, running. An AWS connection and a KMS container ([`KMS`]) are there.
pub(crate) struct Linked {
    /// None after [`Linked::kill_control_plane`].
    control: Option<Holdfast>,
    control_config: PathBuf,
    pub(crate) nodes: Vec<Node>,
    environment: Vec<(&'static str, String)>,
    /// `demo.json`, with the ports of this run.
    pub(crate) handout: Value,
    rest: RefCell<Rest>,
    sim: Sim,
    /// Its folder is everyone's.
    _site: Site,
    runtime: Runtime,
}

/// A linked key store that is CONNECTED.
pub(crate) struct Store {
    pub(crate) id: String,
    /// Of the REST API, after `/api/v1/`.
    pub(crate) path: String,
    /// Its id in AWS, `cks-…`.
    pub(crate) in_aws: String,
    /// Its health-check key, good as a source key, too.
    pub(crate) source_key: String,
    /// What its creation answered, secret included.
    pub(crate) created: Value,
}

impl Linked {
    pub(crate) fn start() -> Self {
        Self::start_with(Setup::default())
    }

    pub(crate) fn start_with(setup: Setup) -> Self {
        let runtime = Runtime::new().unwrap();
        let site = Site::new();
        let mut settings = SimSettings::new(Some(fs::read(site.path("controlplane/ca.crt")).unwrap()));
        (settings.connect_delay, settings.proxy_patience) = (setup.connect_delay, setup.proxy_patience);
        let sim = runtime.block_on(Sim::start(settings)).unwrap();
        let url = sim.url();
        let aws = format!("[aws]\nkms_endpoint = {url:?}\ncloudhsmv2_endpoint = {url:?}\nsts_endpoint = {url:?}\n");
        let (attempt, settled) = (setup.attempt_seconds, setup.settled_seconds);
        let aws = format!("{aws}attempt_timeout_seconds = {attempt}\nsettled_after_seconds = {settled}\n");
        let control_config = site.control_plane_config(&aws);
        let mut control = start_control_plane(&control_config);
        let sync = control.wait_for_listener("sync");
        let api = control.wait_for_listener("api");
        control.wait_for_listener("ops");
        keep_ports(&control_config, &control);

        let mut handout = site.handout();
        handout["api"]["url"] = format!("https://localhost:{}", api.port()).into();
        let mut nodes = Vec::new();
        for number in 1..=setup.nodes {
            let config = site.enroll(&format!("node-{number}"), sync);
            let whole = fs::read_to_string(&config).unwrap() + "\n" + &setup.node_config;
            fs::write(&config, whole).unwrap();
            nodes.push(Node::start(config, &setup.environment));
        }
        control.wait_for("the demo key store is ready");
        let rest = sign_in(&handout);
        let this = Self {
            control: Some(control),
            control_config,
            nodes,
            environment: setup.environment,
            handout,
            rest: RefCell::new(rest),
            sim,
            _site: site,
            runtime,
        };
        this.wait_for_nodes();
        this.make_container();
        this
    }

    /// The signed-in admin's REST client.
    pub(crate) fn rest(&self) -> RefMut<'_, Rest> {
        self.rest.borrow_mut()
    }

    /// One more, with a connection of its own, for another thread.
    pub(crate) fn another_rest(&self) -> Rest {
        sign_in(&self.handout)
    }

    pub(crate) const fn sim(&self) -> &Sim {
        &self.sim
    }

    /// The simulator's switches.
    pub(crate) fn switches(&self) -> &Control {
        self.sim.control()
    }

    /// For what the simulator and gRPC clients do in futures.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A signed-in client of the gRPC API.
    pub(crate) fn admin(&self) -> Admin {
        let api = &self.handout["api"];
        let port = text(api, "/url").rsplit_once(':').unwrap().1.parse().unwrap();
        self.block_on(Admin::sign_in(port, api))
    }

    /// What KMS in `us-east-1` answers to an operation that it does.
    pub(crate) fn kms(&self, operation: &str, body: &Value) -> Value {
        self.try_kms(operation, body).unwrap_or_else(|refused| panic!("{operation}: {}: {}", refused.name, refused.message))
    }

    pub(crate) fn try_kms(&self, operation: &str, body: &Value) -> Result<Value, Refused> {
        self.kms_in("us-east-1").call(operation, body)
    }

    pub(crate) fn kms_in(&self, region: &str) -> Kms {
        let settings = self.sim.settings();
        Kms::new(self.sim.addr(), (&settings.access_key_id, &settings.secret_access_key), region)
    }

    /// `xks_proxy_uri_endpoint` of the first data plane.
    pub(crate) fn endpoint(&self) -> &str {
        &self.nodes[0].endpoint
    }

    /// A key fit to be a health-check and a source key; its id.
    pub(crate) fn source_key(&self, name: &str) -> String {
        text(&self.rest().post("vault/keys2", &source_key(name)), "/id").to_owned()
    }

    /// The known client's body for a new key store at the first data plane (contract §7.2).
    pub(crate) fn new_store(&self, name: &str, key: &str, linked: bool) -> Value {
        let mut new = key_store(name, KMS, key);
        new["linked_state"] = linked.into();
        new["aws_param"]["xks_proxy_uri_endpoint"] = self.endpoint().into();
        new
    }

    /// Makes a linked key store, not connected.
    pub(crate) fn linked_store(&self, name: &str) -> Store {
        let source_key = self.source_key(&format!("{name} key"));
        let created = self.rest().post(STORES, &self.new_store(name, &source_key, true));
        let id = text(&created, "/id").to_owned();
        let in_aws = text(&created, "/aws_param/custom_key_store_id").to_owned();
        Store { path: format!("{STORES}/{id}"), id, in_aws, source_key, created }
    }

    /// Makes a linked key store and connects it.
    pub(crate) fn connected_store(&self, name: &str) -> Store {
        let store = self.linked_store(name);
        self.connect(&store.path);
        store
    }

    /// Connects a key store, and waits until it is.
    pub(crate) fn connect(&self, store: &str) {
        self.rest().post(&format!("{store}/connect"), &json!({ "key_store_password": "" }));
        self.until_shown(store, |shown| shown["aws_param"]["connection_state"] == "CONNECTED");
    }

    /// Makes a linked HYOK key in a connected key store; what is answered.
    pub(crate) fn linked_key(&self, store: &Store, alias: &str) -> Value {
        let mut new = hyok_key(&store.id, &store.source_key, "a linked key");
        new["local_hosted_params"]["linked_state"] = true.into();
        new["aws_param"]["Alias"] = alias.into();
        self.rest().post("cckm/aws/create-hyok-key", &new)
    }

    /// Sends a request in a thread of its own, to a control plane that may die over it: none when it did.
    pub(crate) fn begin(&self, method: &'static str, path: &str, body: &Value) -> thread::JoinHandle<Option<Answer>> {
        let (mut rest, path) = (self.another_rest(), path.to_owned());
        let body = if body.is_null() { String::new() } else { body.to_string() };
        thread::spawn(move || rest.send_once(method, &path, body.as_bytes()))
    }

    /// `kill -9`.
    pub(crate) fn kill_control_plane(&mut self) {
        self.control.take().unwrap().kill();
    }

    /// Starts it again, on the same ports and data, killing it first where it runs. The nodes come back by themselves.
    pub(crate) fn restart_control_plane(&mut self) {
        drop(self.control.take());
        let mut control = start_control_plane(&self.control_config);
        control.wait_for_listener("api");
        self.control = Some(control);
        self.rest = RefCell::new(sign_in(&self.handout));
    }

    /// Has AWS be elsewhere, for which the control plane is started again.
    pub(crate) fn point_at(&mut self, url: &str) {
        let lines = fs::read_to_string(&self.control_config).unwrap();
        let at = |line: &str| match line.split_once("_endpoint = ") {
            Some((service, _)) => format!("{service}_endpoint = {url:?}"),
            None => line.to_owned(),
        };
        fs::write(&self.control_config, lines.lines().map(at).collect::<Vec<_>>().join("\n")).unwrap();
        self.restart_control_plane();
    }

    /// `kill -9`, of a data plane.
    pub(crate) fn kill_node(&mut self, node: usize) {
        self.nodes[node].process.take().unwrap().kill();
    }

    /// Starts a killed data plane again, on the same ports and data.
    pub(crate) fn start_node(&mut self, node: usize) {
        self.nodes[node].run(&self.environment);
    }

    /// Kills a data plane, and starts it again on the same ports and data with its configuration changed.
    pub(crate) fn restart_node_with(&mut self, node: usize, change: impl FnOnce(&Path)) {
        self.kill_node(node);
        change(&self.nodes[node].config);
        self.start_node(node);
    }

    /// Waits for a call of the gRPC API in a thread of its own: none when it failed.
    pub(crate) fn begin_call<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> thread::JoinHandle<Option<T>> {
        let runtime = self.runtime.handle().clone();
        thread::spawn(move || runtime.block_on(call).ok())
    }

    /// Kills the control plane while AWS's `operation`, asked for by this request, is held before or after it was done; starts it again.
    pub(crate) fn crash(&mut self, held: (&str, When), (method, path, body): (&'static str, &str, &Value)) {
        self.crash_over(held, |linked| linked.begin(method, path, body));
    }

    /// The same over whatever asks for it. The nodes are up to date again then.
    pub(crate) fn crash_over<T: Debug>(
        &mut self,
        (operation, when): (&str, When),
        begin: impl FnOnce(&Self) -> thread::JoinHandle<Option<T>>,
    ) {
        let held = self.switches().hold(operation, when);
        let call = begin(self);
        let reached = self.block_on(async {
            while !call.is_finished() {
                if timeout(BETWEEN_LOOKS, held.reached()).await.is_ok() {
                    return true;
                }
            }
            false
        });
        assert!(reached, "{operation} {when:?}: AWS was not asked for it, but {:?}", call.join());
        self.kill_control_plane();
        // One that is held before it is done never is then.
        held.abandon();
        assert!(call.join().unwrap().is_none(), "{operation} {when:?}: answered");
        self.restart_control_plane();
        self.wait_for_nodes();
    }

    /// What the control plane counts.
    pub(crate) fn metrics(&mut self) -> String {
        let ops = self.control.as_mut().unwrap().wait_for_listener("ops");
        Http::plain(ops).send("GET", "/metrics", &[], &[]).text().to_owned()
    }

    /// The access key id that AWS has for a key store.
    pub(crate) fn signs_with(&self, store: &Store) -> Value {
        let told = self.kms("DescribeCustomKeyStores", &json!({ "CustomKeyStoreId": store.in_aws }));
        told["CustomKeyStores"][0]["XksProxyConfiguration"]["AccessKeyId"].clone()
    }

    /// What KMS opens of what it encrypted: `aGVsbG8=` where all is well.
    pub(crate) fn round_trip(&self, key: &str) -> String {
        let sealed = self.kms("Encrypt", &json!({ "KeyId": key, "Plaintext": "aGVsbG8=" }));
        text(&self.kms("Decrypt", &json!({ "CiphertextBlob": sealed["CiphertextBlob"] })), "/Plaintext").to_owned()
    }

    /// Waits until all running nodes have the newest configuration.
    pub(crate) fn wait_for_nodes(&self) {
        let mut admin = self.admin();
        self.block_on(admin.until("all nodes are up to date", Admin::nodes_have_everything));
    }

    /// Waits until it is so, by looking again and again.
    pub(crate) fn wait_until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !so(self) {
            assert!(Instant::now() < end, "waited {PATIENCE:?} until {what}; calls of AWS: {:?}", self.switches().calls());
            // Only so that looking does not take the processor from what is waited for.
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// What a path of the REST API shows when it is as it should be.
    pub(crate) fn until_shown(&self, path: &str, good: impl Fn(&Value) -> bool) -> Value {
        self.until_shown_within(path, PATIENCE, good)
    }

    /// The same of what takes longer than usual.
    pub(crate) fn until_shown_within(&self, path: &str, patience: Duration, good: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + patience;
        loop {
            let shown = self.rest().good("GET", path, b"");
            if good(&shown) {
                return shown;
            }
            assert!(Instant::now() < end, "{path}: {shown}");
            // Only so that looking does not take the processor from what is waited for.
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    fn make_container(&self) {
        let settings = self.sim.settings();
        let mut new = connection(CONNECTION, &settings.secret_access_key);
        new["access_key_id"] = settings.access_key_id.as_str().into();
        self.rest().post("connectionmgmt/services/aws/connections", &new);
        let mut new = container(KMS, CONNECTION);
        new["account_id"] = settings.account_id.as_str().into();
        new["regions"] = json!(REGIONS);
        self.rest().post("cckm/aws/kms", &new);
    }
}

#[test]
fn the_rig_has_a_container_in_an_aws_that_answers() {
    let linked = Linked::start();
    assert_eq!(linked.kms("DescribeCustomKeyStores", &json!({}))["CustomKeyStores"], json!([]));
    assert_eq!(linked.rest().get(&format!("cckm/aws/kms?name={KMS}"))["resources"][0]["regions"], json!(REGIONS));
}

fn sign_in(handout: &Value) -> Rest {
    Rest::sign_in(handout, "admin", text(handout, "/api/password"))
}

/// The name of the KMS container.
pub(crate) const KMS: &str = "kms";
pub(crate) const CONNECTION: &str = "aws";
/// The regions of the KMS container.
pub(crate) const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "us-west-2"];
/// Key stores in the REST API.
pub(crate) const STORES: &str = "cckm/aws/custom-key-stores";
/// Far longer than anything that a test waits for should take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
