//! Rotation under load, with two nodes and a network that comes and goes.

use std::{fs, path::Path, thread, time::Duration};

use holdfast_bench::plan::End;
use holdfast_proto::admin::{
    Key, ListKeyStoresRequest, ListKeysRequest, ListNodesRequest, LoginRequest, RotateKeyRequest, admin_client::AdminClient,
};
use serde_json::Value;
use tokio::time::timeout;
use tonic::{
    Request,
    transport::{Certificate, Channel, ClientTlsConfig},
};

use crate::{
    gate::Gate,
    site::{Site, assert_all_right, plan, run_load, start_data_plane},
};

#[test]
fn a_thousand_rotations_under_load_fail_no_decrypt_though_one_stream_stands_still() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let site = Site::new();
    let mut control = site.start_control_plane();
    let (sync, api) = (control.wait_for_listener("sync"), control.wait_for_listener("api"));
    let gate = runtime.block_on(Gate::before(sync));
    let mut one = start_data_plane(&site.enroll("node-1", sync));
    let mut two = start_data_plane(&site.enroll("node-2", gate.addr));
    control.wait_for("the demo key store is ready");

    let targets = vec![site.target(one.wait_for_listener("xks")), site.target(two.wait_for_listener("xks"))];
    let handout = site.handout();
    let mut admin = runtime.block_on(Admin::sign_in(api.port(), &handout["api"]));
    runtime.block_on(admin.until("both nodes have the key", Admin::nodes_have_everything));

    let load = plan(targets, End::Stopped);
    let stop = load.stop.clone();
    let load = thread::spawn(move || run_load(load));

    runtime.block_on(async {
        let key = admin.key().await.id;
        for _ in 0..300 {
            admin.rotate(&key).await;
        }
        gate.shut();
        // What was on its way may still arrive; after that, no version that node-2 lacks may encrypt.
        admin.rotate(&key).await;
        let stuck = admin.key().await.active();
        for _ in 0..399 {
            admin.rotate(&key).await;
        }
        let key_now = admin.key().await;
        assert!(key_now.active() <= stuck + 2, "version {} encrypts, though a node stands still since {stuck}", key_now.active());
        gate.reopen();
        for _ in 0..300 {
            admin.rotate(&key).await;
        }
        admin.until("the newest version encrypts", Admin::newest_encrypts).await;
    });

    stop.cancel();
    let report = load.join().unwrap();
    assert_all_right(&report);

    let key = runtime.block_on(admin.key());
    assert_eq!(key.versions.len(), 1_001);
    assert_eq!(key.active(), 1_000);
    let retired = key.versions.iter().filter(|version| version.state == "retired").count();
    assert_eq!(retired, 1_000);
}

/// A signed-in admin.
struct Admin {
    client: AdminClient<Channel>,
    token: String,
}

impl Admin {
    async fn sign_in(port: u16, api: &Value) -> Self {
        let ca = fs::read(Path::new(api["ca"].as_str().unwrap())).unwrap();
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        let channel = Channel::from_shared(format!("https://localhost:{port}")).unwrap().tls_config(tls).unwrap().connect().await.unwrap();
        let mut client = AdminClient::new(channel);
        let text = |name: &str| api[name].as_str().unwrap().to_owned();
        let login = LoginRequest { username: text("username"), password: text("password") };
        let token = client.login(login).await.unwrap().into_inner().jwt;
        Self { client, token }
    }

    async fn rotate(&mut self, id: &str) {
        let request = self.request(RotateKeyRequest { id: id.into() });
        self.client.rotate_key(request).await.unwrap();
    }

    /// The demo key.
    async fn key(&mut self) -> Key {
        let stores = self.request(ListKeyStoresRequest {});
        let stores = self.client.list_key_stores(stores).await.unwrap().into_inner().key_stores;
        let keys = self.request(ListKeysRequest { key_store_id: stores[0].id.clone() });
        self.client.list_keys(keys).await.unwrap().into_inner().keys.remove(0)
    }

    async fn nodes_have_everything(&mut self) -> bool {
        let nodes = self.request(ListNodesRequest {});
        let nodes = self.client.list_nodes(nodes).await.unwrap().into_inner().nodes;
        nodes.len() == 2 && nodes.iter().all(|node| node.connected && node.configuration == "up-to-date")
    }

    async fn newest_encrypts(&mut self) -> bool {
        let key = self.key().await;
        key.active() == key.versions.iter().map(|version| version.number).max().unwrap()
    }

    /// Asks until it is so.
    async fn until(&mut self, what: &str, so: impl AsyncFn(&mut Self) -> bool) {
        let asking = async { while !so(self).await {} };
        timeout(Duration::from_secs(60), asking).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        request
    }
}

trait Versions {
    fn active(&self) -> u32;
}

impl Versions for Key {
    fn active(&self) -> u32 {
        self.versions.iter().find(|version| version.state == "active").unwrap().number
    }
}
