//! What a proxy is told of the call that it is asked for, and how that is signed.

use holdfast_sim_kms::{Sim, SimSettings};
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384,
    TLS13_CHACHA20_POLY1305_SHA256,
};
use serde_json::json;

use crate::{
    client::Client,
    proxy::Proxy,
    rig::{self, PATIENT, Rig, settled},
};

const PLAIN: &str = "aGVsbG8=";

#[tokio::test]
async fn a_health_request_has_the_id_of_the_call_that_it_is_for() {
    let rig = Rig::patient().await;
    let told = || rig.proxy.seen().remove(0).body["requestMetadata"].clone();
    let made = rig.client.kms("CreateCustomKeyStore", &rig.store("one")).await;
    assert_eq!(told(), json!({"kmsOperation": "CreateCustomKeyStore", "kmsRequestId": made.request_id}));
    let id = made.json()["CustomKeyStoreId"].as_str().unwrap().to_owned();
    let update = json!({"CustomKeyStoreId": id, "XksProxyUriPath": "/other/kms/xks/v1"});
    let updated = rig.client.kms("UpdateCustomKeyStore", &update).await;
    assert_eq!(told(), json!({"kmsOperation": "UpdateCustomKeyStore", "kmsRequestId": updated.request_id}));
    let connect = rig.client.kms("ConnectCustomKeyStore", &json!({"CustomKeyStoreId": id})).await;
    settled(&rig.client, &id).await;
    assert_eq!(told(), json!({"kmsOperation": "ConnectCustomKeyStore", "kmsRequestId": connect.request_id}));
}

#[tokio::test]
async fn a_proxy_has_to_have_a_cipher_suite_of_the_specification() {
    let wrong = "XksProxyInvalidConfigurationException";
    for (suite, refused) in [
        (TLS13_AES_256_GCM_SHA384, None),
        (TLS13_CHACHA20_POLY1305_SHA256, None),
        (TLS13_AES_128_GCM_SHA256, Some(wrong)),
        (TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, None),
        (TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, Some(wrong)),
    ] {
        let proxy = Proxy::with_suite(suite).await;
        let sim = Sim::start(SimSettings { proxy_patience: PATIENT, ..rig::settings(&proxy) }).await.unwrap();
        let answer = rig::client(&sim).kms("CreateCustomKeyStore", &proxy.store("one")).await;
        let told = (answer.status != 200).then(|| answer.error());
        assert_eq!(told.as_deref(), refused, "{suite:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn host_and_date_are_signed_and_nothing_else() {
    let rig = Rig::patient().await;
    let encrypt = json!({"KeyId": rig.key().await, "Plaintext": PLAIN});
    rig.client.done("Encrypt", &encrypt).await;
    for seen in rig.proxy.seen() {
        assert_eq!((seen.signed_headers.as_str(), seen.signature.is_ok()), ("host;x-amz-date", true), "{}", seen.path);
    }
}

#[tokio::test]
async fn the_principal_of_a_session_is_its_role() {
    let rig = Rig::patient().await;
    let encrypt = json!({"KeyId": rig.key().await, "Plaintext": PLAIN});
    let role = "arn:aws:iam::111122223333:role/path/keys";
    let form = format!("Action=AssumeRole&Version=2011-06-15&RoleArn={}&RoleSessionName=me", role.replace(':', "%3A").replace('/', "%2F"));
    let session = Client::of_session(&rig.client, &rig.client.sts(&form).await.text);
    rig.proxy.seen();
    session.done("Encrypt", &encrypt).await;
    assert_eq!(rig.proxy.seen()[0].body["requestMetadata"]["awsPrincipalArn"], role);
}
