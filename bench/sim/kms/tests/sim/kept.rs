//! What outlives a simulator: the state file.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use holdfast_sim_kms::{Sim, SimError};
use serde_json::json;

use crate::{
    proxy::Proxy,
    rig::{PATIENT, client, settings, settled},
};

#[tokio::test]
async fn stores_keys_and_a_connect_under_way_outlive_a_restart_and_the_file_is_its_owners_alone() {
    let (proxy, dir) = (Proxy::start().await, tempfile::tempdir().unwrap());
    let file = dir.path().join("state.json");
    let mut settings = settings(&proxy);
    settings.state_file = Some(file.clone());
    let sim = Sim::start(settings.clone()).await.unwrap();
    let store = client(&sim).done("CreateCustomKeyStore", &proxy.store("kept")).await["CustomKeyStoreId"].clone();
    let this = json!({"CustomKeyStoreId": store});
    let id = store.as_str().unwrap();
    client(&sim).done("ConnectCustomKeyStore", &this).await;
    settled(&client(&sim), id).await;
    let create = json!({"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store, "XksKeyId": "k"});
    let key = client(&sim).done("CreateKey", &create).await["KeyMetadata"]["KeyId"].clone();
    let blob = client(&sim).done("Encrypt", &json!({"KeyId": key, "Plaintext": "aGVsbG8="})).await["CiphertextBlob"].clone();
    client(&sim).done("DisconnectCustomKeyStore", &this).await;
    settled(&client(&sim), id).await;
    sim.control().advance(Duration::from_hours(1));
    sim.stop().await;

    let never = holdfast_sim_kms::SimSettings { connect_delay: Duration::from_hours(1), ..settings.clone() };
    let sim = Sim::start(never).await.unwrap();
    client(&sim).done("ConnectCustomKeyStore", &this).await;
    sim.stop().await;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let sim = Sim::start(settings).await.unwrap();
    assert_eq!(settled(&client(&sim), id).await["ConnectionState"], "CONNECTED");
    assert_eq!(client(&sim).done("Decrypt", &json!({"CiphertextBlob": blob})).await["Plaintext"], "aGVsbG8=");
}

#[tokio::test]
async fn a_proxy_that_starts_with_the_simulator_is_not_asked_for_its_health_at_once() {
    let (proxy, dir) = (Proxy::start().await, tempfile::tempdir().unwrap());
    let mut settings = settings(&proxy);
    (settings.state_file, settings.proxy_patience) = (Some(dir.path().join("state.json")), PATIENT);
    let sim = Sim::start(settings.clone()).await.unwrap();
    let this = client(&sim).done("CreateCustomKeyStore", &proxy.store("kept")).await;
    let id = this["CustomKeyStoreId"].as_str().unwrap();
    client(&sim).done("ConnectCustomKeyStore", &this).await;
    settled(&client(&sim), id).await;
    sim.stop().await;
    proxy.seen();

    let sim = Sim::start(settings).await.unwrap();
    let create = json!({"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": id, "XksKeyId": "k"});
    let key = client(&sim).done("CreateKey", &create).await["KeyMetadata"]["KeyId"].clone();
    client(&sim).done("Encrypt", &json!({"KeyId": key, "Plaintext": "aGVsbG8="})).await;
    let operations: Vec<_> = proxy.seen().iter().map(|seen| seen.body["requestMetadata"]["kmsOperation"].clone()).collect();
    assert_eq!(operations, ["CreateKey", "Encrypt"]);
}

#[tokio::test]
async fn a_state_file_that_is_none_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state.json");
    std::fs::write(&file, "{\"regions\": 7}").unwrap();
    let mut settings = holdfast_sim_kms::SimSettings::new(None);
    settings.state_file = Some(file);
    assert!(matches!(Sim::start(settings).await, Err(SimError::StateFile { .. })));
}
