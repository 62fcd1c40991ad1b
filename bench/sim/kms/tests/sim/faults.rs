//! The switches, in the process and on the wire.

use std::time::Duration;

use holdfast_sim_kms::When;
use http::Request;
use serde_json::{Value, json};

use crate::rig::{Rig, settled};

async fn keys(rig: &Rig) -> usize {
    rig.client.done("ListKeys", &json!({})).await["Keys"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_call_held_before_is_done_only_when_it_is_released() {
    let rig = Rig::start().await;
    let held = rig.sim.control().hold("CreateKey", When::Before);
    let client = rig.client.clone();
    let call = tokio::spawn(async move { client.done("CreateKey", &json!({})).await });
    held.reached().await;
    assert_eq!(keys(&rig).await, 0);
    held.release();
    call.await.unwrap();
    assert_eq!(keys(&rig).await, 1);
}

#[tokio::test]
async fn an_abandoned_call_is_undone_before_and_done_after_and_never_answered() {
    let rig = Rig::start().await;
    for (when, made) in [(When::Before, 0), (When::After, 1)] {
        let held = rig.sim.control().hold("CreateKey", when);
        let client = rig.client.clone();
        let call = tokio::spawn(async move { client.signed("kms", Some("TrentService.CreateKey"), "{}".into()).await });
        held.reached().await;
        held.abandon();
        assert!(call.await.unwrap().is_none(), "{when:?}");
        assert_eq!(keys(&rig).await, made, "{when:?}");
    }
}

#[tokio::test]
async fn a_call_whose_client_went_away_while_it_was_held_before_is_never_done() {
    let rig = Rig::start().await;
    let held = rig.sim.control().hold("CreateKey", When::Before);
    let client = rig.client.clone();
    let call = tokio::spawn(async move { client.signed("kms", Some("TrentService.CreateKey"), "{}".into()).await });
    held.reached().await;
    call.abort();
    assert!(call.await.is_err());
    drop(held);
    assert_eq!(keys(&rig).await, 0);
}

#[tokio::test]
async fn a_hold_that_is_dropped_before_its_call_comes_holds_nothing() {
    let rig = Rig::start().await;
    drop(rig.sim.control().hold("ListKeys", When::Before));
    rig.sim.control().hold("ListKeys", When::After).release();
    assert_eq!(keys(&rig).await, 0);
}

#[tokio::test]
async fn refusals_are_used_up_and_have_the_status_of_their_name() {
    let rig = Rig::start().await;
    let control = rig.sim.control();
    control.refuse("ListKeys", "KMSInternalException", 2);
    control.throttle("ListKeys", 1);
    for (status, name) in [(500, "KMSInternalException"), (500, "KMSInternalException"), (400, "ThrottlingException")] {
        let answer = rig.client.kms("ListKeys", &json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (status, name));
    }
    rig.client.done("ListKeys", &json!({})).await;
    control.refuse("GetCallerIdentity", "ExpiredTokenException", 1);
    let answer = rig.client.sts("Action=GetCallerIdentity").await;
    assert!(answer.status == 403 && answer.text.contains("<Code>ExpiredToken</Code>"), "{}", answer.text);
}

#[tokio::test]
async fn every_switch_works_on_the_wire() {
    let rig = Rig::start().await;
    let switch = async |name: &str, body: Value| {
        let answer = rig.client.switch(name, &body).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
    };
    switch("refuse", json!({"operation": "ListKeys", "code": "NotFoundException", "times": 1})).await;
    assert_eq!(rig.client.refused("ListKeys", &json!({})).await, "NotFoundException");
    switch("throttle", json!({"operation": "ListKeys", "times": 1})).await;
    assert_eq!(rig.client.refused("ListKeys", &json!({})).await, "ThrottlingException");
    let key = rig.key().await;
    let encrypt = json!({"KeyId": key, "Plaintext": "aGVsbG8="});
    switch("proxy", json!({"drop": 2})).await;
    assert_eq!(rig.client.refused("Encrypt", &encrypt).await, "KMSInvalidStateException");
    rig.client.done("Encrypt", &encrypt).await;
    switch("client_certificate", json!({"on": true})).await;
    switch("hold", json!({"operation": "ListKeys", "when": "after"})).await;
    let client = rig.client.clone();
    let call = tokio::spawn(async move { client.done("ListKeys", &json!({})).await });
    switch("release", json!({"operation": "ListKeys"})).await;
    call.await.unwrap();
    rig.client.done("ScheduleKeyDeletion", &json!({"KeyId": key, "PendingWindowInDays": 7})).await;
    switch("advance", json!({"seconds": 8 * 86_400})).await;
    assert_eq!(rig.client.refused("DescribeKey", &json!({"KeyId": key})).await, "NotFoundException");
    let store = rig.client.done("DescribeCustomKeyStores", &json!({})).await["CustomKeyStores"][0]["CustomKeyStoreId"].clone();
    let this = json!({"CustomKeyStoreId": store});
    rig.client.done("DisconnectCustomKeyStore", &this).await;
    settled(&rig.client, store.as_str().unwrap()).await;
    switch("fail_next_connect", json!({"code": "NETWORK_ERRORS"})).await;
    rig.client.done("ConnectCustomKeyStore", &this).await;
    assert_eq!(settled(&rig.client, store.as_str().unwrap()).await["ConnectionErrorCode"], "NETWORK_ERRORS");
    let state = rig.client.send(Request::get("/_sim/state").header("host", "x").body(String::new()).unwrap()).await.unwrap().json();
    assert_eq!(state["stores"][0]["connection_state"], "FAILED");
    assert_eq!(state["calls"].as_array().unwrap().len(), rig.sim.control().calls().len());
}

#[tokio::test]
async fn a_switch_that_is_wrong_is_refused() {
    let rig = Rig::start().await;
    assert_eq!(rig.client.switch("nothing", &json!({})).await.status, 404);
    assert_eq!(rig.client.switch("refuse", &json!({"operation": "ListKeys"})).await.status, 400);
    assert_eq!(rig.client.switch("release", &json!({"operation": "ListKeys"})).await.status, 409);
    let plain = Request::post("/_sim/advance").header("host", "x").header("content-type", "text/plain").body("{\"seconds\":1}".into());
    assert_eq!(rig.client.send(plain.unwrap()).await.unwrap().status, 415);
}

#[tokio::test]
async fn a_stopped_simulator_has_freed_its_port() {
    let rig = Rig::start().await;
    let mut settings = rig.sim.settings().clone();
    settings.listen = rig.sim.addr();
    settings.connect_delay = Duration::ZERO;
    rig.sim.stop().await;
    let again = holdfast_sim_kms::Sim::start(settings).await.unwrap();
    rig.client.done("ListKeys", &json!({})).await;
    again.stop().await;
}
