//! A simulator, a proxy for it, and what tests do with the two again and again.

use std::time::Duration;

use holdfast_sim_kms::{Sim, SimSettings};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    client::Client,
    proxy::{ACCESS_KEY_ID, Proxy, SECRET},
};

/// A simulator and its proxy.
pub(crate) struct Rig {
    pub(crate) sim: Sim,
    pub(crate) proxy: Proxy,
    pub(crate) client: Client,
}

impl Rig {
    /// With the specification's 250 ms for each call to the proxy.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// With more time, for tests that count what arrives at the proxy: a call that is late is tried again.
    pub(crate) async fn patient() -> Self {
        Self::start_with(|settings| settings.proxy_patience = PATIENT).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut SimSettings)) -> Self {
        let proxy = Proxy::start().await;
        let mut settings = settings(&proxy);
        change(&mut settings);
        let sim = Sim::start(settings).await.unwrap();
        let client = client(&sim);
        Self { sim, proxy, client }
    }

    /// The members of a store that is right.
    pub(crate) fn store(&self, name: &str) -> Value {
        self.proxy.store(name)
    }

    /// A connected store; its id.
    pub(crate) async fn connected(&self) -> String {
        let made = self.client.done("CreateCustomKeyStore", &self.store("connected")).await;
        let id = made["CustomKeyStoreId"].as_str().unwrap().to_owned();
        self.client.done("ConnectCustomKeyStore", &json!({"CustomKeyStoreId": id})).await;
        assert_eq!(settled(&self.client, &id).await["ConnectionState"], "CONNECTED");
        id
    }

    /// A key in a connected store; its id.
    pub(crate) async fn key(&self) -> String {
        let store = self.connected().await;
        let key = json!({"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store, "XksKeyId": "external-key"});
        self.client.done("CreateKey", &key).await["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
    }
}

impl Proxy {
    /// The members of a store with this proxy.
    pub(crate) fn store(&self, name: &str) -> Value {
        json!({
            "CustomKeyStoreName": name,
            "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
            "XksProxyConnectivity": "PUBLIC_ENDPOINT",
            "XksProxyUriEndpoint": self.endpoint(),
            "XksProxyUriPath": "/kms/xks/v1",
            "XksProxyAuthenticationCredential": {"AccessKeyId": ACCESS_KEY_ID, "RawSecretAccessKey": SECRET},
        })
    }
}

/// Fast ones, trusting the proxy's authority.
pub(crate) fn settings(proxy: &Proxy) -> SimSettings {
    let mut settings = SimSettings::new(Some(proxy.ca_pem.clone().into()));
    settings.connect_delay = Duration::from_millis(1);
    settings.health_interval = Duration::from_secs(3600);
    settings
}

/// A client with the simulator's lasting key.
pub(crate) fn client(sim: &Sim) -> Client {
    let settings = sim.settings();
    Client {
        authority: sim.addr().to_string(),
        access_key_id: settings.access_key_id.clone(),
        secret: settings.secret_access_key.clone(),
        session_token: None,
        region: settings.region.clone(),
        skew: 0,
        scope: None,
    }
}

/// The store when its connect or disconnect is over.
pub(crate) async fn settled(client: &Client, id: &str) -> Value {
    let over = async {
        loop {
            let described = client.done("DescribeCustomKeyStores", &json!({"CustomKeyStoreId": id})).await;
            let store = &described["CustomKeyStores"][0];
            if store["ConnectionState"] != "CONNECTING" && store["ConnectionState"] != "DISCONNECTING" {
                return store.clone();
            }
        }
    };
    timeout(PATIENCE, over).await.unwrap()
}

/// What something may take that happens by itself, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What a call to the proxy may take where the specification's 250 ms are not what is tested.
pub(crate) const PATIENT: Duration = Duration::from_secs(2);
