//! An admin who uses the gRPC API.

use std::{fs, path::Path, time::Duration};

use holdfast_proto::admin::{
    BackupRequest, BlockHyokKeyRequest, CreateCredentialRequest, CreateHyokKeyRequest, CreateKeyStoreRequest, HyokKey, ListHyokKeysRequest,
    ListKeyStoresRequest, ListNodesRequest, LoginRequest, Node, ResealRequest, RotateHyokKeyRequest, SealUse,
};
use holdfast_proto::admin_client::AdminClient;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tonic::{
    Request,
    transport::{Certificate, Channel, ClientTlsConfig},
};

/// A signed-in admin.
pub(crate) struct Admin {
    pub(crate) client: AdminClient<Channel>,
    pub(crate) token: String,
}

impl Admin {
    pub(crate) async fn sign_in(port: u16, api: &Value) -> Self {
        let mut client = AdminClient::new(channel(port, api).await);
        let text = |name: &str| api[name].as_str().unwrap().to_owned();
        let login = LoginRequest { username: text("username"), password: text("password") };
        let token = client.access.login(login).await.unwrap().into_inner().jwt;
        Self { client, token }
    }

    /// What the conformance suite can ask more about: a second key, a blocked one, a second credential, another store.
    pub(crate) async fn make_facts(&mut self) -> Value {
        let store = self.key().await.key_store_id;
        let mut keys = Vec::new();
        for name in ["second", "blocked"] {
            let request = self.request(CreateHyokKeyRequest { key_store_id: store.clone(), name: name.into(), ..Default::default() });
            keys.push(self.client.hyok_keys.create_hyok_key(request).await.unwrap().into_inner().key.unwrap());
        }
        let request = self.request(BlockHyokKeyRequest { id: keys[1].id.clone() });
        assert!(self.client.hyok_keys.block_hyok_key(request).await.unwrap().into_inner().pending_nodes.is_empty());
        let request = self.request(CreateCredentialRequest { key_store_id: store });
        let credential = self.client.key_stores.create_credential(request).await.unwrap().into_inner();
        let request = self.request(CreateKeyStoreRequest { name: "other".into(), region: "us-east-1".into(), ..Default::default() });
        let other = self.client.key_stores.create_key_store(request).await.unwrap().into_inner().key_store.unwrap();
        let second = keys[0].id.clone();
        self.until("the second key encrypts", async |admin| admin.keys().await.iter().any(|key| key.id == second && is_active(key))).await;
        self.until("the nodes have it all", Self::nodes_have_everything).await;
        json!({
            "second_key_id": keys[0].external_key_id,
            "blocked_key_id": keys[1].external_key_id,
            "other_prefix": other.uri_path,
            "second_credential": {
                "access_key_id": credential.credential.unwrap().access_key_id,
                "secret_access_key": credential.secret_access_key,
            },
        })
    }

    /// Takes a key store over from another proxy, under its path and credential, with one key that is on a group already. Waits until it
    /// serves.
    pub(crate) async fn take_over(&mut self, store: CreateKeyStoreRequest, key: CreateHyokKeyRequest) {
        let request = self.request(store);
        let store = self.client.key_stores.create_key_store(request).await.unwrap().into_inner().key_store.unwrap();
        let request = self.request(CreateHyokKeyRequest { key_store_id: store.id.clone(), ..key });
        self.client.hyok_keys.create_hyok_key(request).await.unwrap();
        self.until("the key serves", async |admin| admin.keys_of(&store.id).await.iter().any(is_active)).await;
        self.until("the nodes have it all", Self::nodes_have_everything).await;
    }

    pub(crate) async fn rotate(&mut self, id: &str) {
        let request = self.request(RotateHyokKeyRequest { id: id.into(), ..Default::default() });
        self.client.hyok_keys.rotate_hyok_key(request).await.unwrap();
    }

    /// Blocks a key, on all nodes.
    pub(crate) async fn block(&mut self, id: &str) {
        let request = self.request(BlockHyokKeyRequest { id: id.into() });
        assert!(self.client.hyok_keys.block_hyok_key(request).await.unwrap().into_inner().pending_nodes.is_empty());
    }

    /// The file of a backup.
    pub(crate) async fn backup(&mut self, passphrase: &str) -> Vec<u8> {
        let request = self.request(BackupRequest { passphrase: passphrase.into() });
        let mut chunks = self.client.maintenance.backup(request).await.unwrap().into_inner();
        let mut file = Vec::new();
        while let Some(chunk) = chunks.message().await.unwrap() {
            file.extend(chunk.data);
        }
        file
    }

    /// Brings all under the first seals.
    pub(crate) async fn reseal(&mut self) -> Vec<SealUse> {
        let request = self.request(ResealRequest {});
        self.client.maintenance.reseal(request).await.unwrap().into_inner().seals
    }

    /// The demo key.
    pub(crate) async fn key(&mut self) -> HyokKey {
        self.keys().await.into_iter().find(|key| key.name == "demo").unwrap()
    }

    /// The keys of the demo key store.
    async fn keys(&mut self) -> Vec<HyokKey> {
        let stores = self.request(ListKeyStoresRequest {});
        let stores = self.client.key_stores.list_key_stores(stores).await.unwrap().into_inner().key_stores;
        let demo = stores.into_iter().find(|store| store.name == "demo").unwrap();
        self.keys_of(&demo.id).await
    }

    async fn keys_of(&mut self, key_store: &str) -> Vec<HyokKey> {
        let keys = self.request(ListHyokKeysRequest { key_store_id: key_store.into() });
        self.client.hyok_keys.list_hyok_keys(keys).await.unwrap().into_inner().keys
    }

    /// How many are registered.
    pub(crate) async fn nodes(&mut self) -> usize {
        self.list_nodes().await.len()
    }

    async fn list_nodes(&mut self) -> Vec<Node> {
        let nodes = self.request(ListNodesRequest {});
        self.client.nodes.list_nodes(nodes).await.unwrap().into_inner().nodes
    }

    pub(crate) async fn nodes_have_everything(&mut self) -> bool {
        let nodes = self.list_nodes().await;
        !nodes.is_empty() && nodes.iter().all(|node| node.connected && node.configuration == "up-to-date")
    }

    pub(crate) async fn newest_encrypts(&mut self) -> bool {
        let key = self.key().await;
        key.versions.last().unwrap().state == "active"
    }

    /// Asks until it is so.
    pub(crate) async fn until(&mut self, what: &str, so: impl AsyncFn(&mut Self) -> bool) {
        let asking = async {
            while !so(self).await {
                // Only so that asking does not take the processor from what is waited for.
                sleep(BETWEEN_QUESTIONS).await;
            }
        };
        timeout(Duration::from_secs(60), asking).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    /// `message` with its token.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        request
    }
}

/// To the API, over TLS that its authority answers for.
pub(crate) async fn channel(port: u16, api: &Value) -> Channel {
    let ca = fs::read(Path::new(api["ca"].as_str().unwrap())).unwrap();
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    Channel::from_shared(format!("https://localhost:{port}")).unwrap().tls_config(tls).unwrap().connect().await.unwrap()
}

fn is_active(key: &HyokKey) -> bool {
    key.versions.iter().any(|version| version.state == "active")
}

const BETWEEN_QUESTIONS: Duration = Duration::from_millis(5);
