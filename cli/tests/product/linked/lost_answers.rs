//! AWS did what it was asked about a key store, and its answer is lost; or it did not, and does not tell.
//!
//! What AWS has is kept here, whatever AWS says to what is asked later; nothing that AWS may use is withdrawn while it is not known. That
//! AWS has not done a thing is believed only when it is late, so that some of this waits for that.

use std::thread;

use holdfast_sim_kms::When;
use serde_json::{Value, json};

use super::{
    busy::Busy,
    site::{KMS, Linked, STORES, Setup, Store},
};
use crate::{http::Answer, rest::text};

#[test]
fn a_key_store_whose_making_aws_did_not_answer_is_linked_and_asked_for_once() {
    let linked = Linked::start();
    let key = linked.source_key("a key");
    let answer = lost(&linked, ("CreateCustomKeyStore", When::After), ("POST", STORES, &linked.new_store("made", &key, true)));
    assert!(answer.is_good(), "{} {}", answer.status, answer.text());
    let made = answer.json();
    assert_eq!(made["aws_param"]["custom_key_store_id"], in_aws(&linked, "made")["CustomKeyStoreId"]);
    assert_eq!(asked(&linked, "CreateCustomKeyStore"), 1, "AWS would refuse a second one for its name");
    linked.connect(&format!("{STORES}/{}", text(&made, "/id")));

    // AWS does not tell at first, either.
    let there = linked.rest().post(STORES, &linked.new_store("there", &key, false));
    let path = format!("{STORES}/{}", text(&there, "/id"));
    linked.switches().refuse("DescribeCustomKeyStores", "KMSInternalException", SDK_TRIES);
    let link = json!({ "aws_param": { "xks_proxy_uri_endpoint": linked.endpoint() } });
    let answer = lost(&linked, ("CreateCustomKeyStore", When::After), ("POST", &format!("{path}/link"), &link));
    assert_eq!(answer.status, 503, "{}", answer.text());
    let shown = linked.until_shown(&path, |shown| shown["aws_param"]["custom_key_store_id"].is_string());
    assert_eq!(shown["aws_param"]["custom_key_store_id"], in_aws(&linked, "there")["CustomKeyStoreId"]);
    assert_eq!(asked(&linked, "CreateCustomKeyStore"), 2);
    linked.connect(&path);
}

#[test]
fn no_call_of_aws_fails_where_it_took_a_credential_and_its_answer_and_all_later_ones_are_lost() {
    let linked = Linked::start_with(Setup { nodes: 2, ..Setup::default() });
    let store = linked.connected_store("busy");
    let before = linked.signs_with(&store);
    let busy = Busy::with(&linked, &store);
    busy.goes_on(&linked);
    linked.switches().refuse("DescribeCustomKeyStores", "KMSInternalException", SDK_TRIES);
    let held = linked.switches().hold("UpdateCustomKeyStore", When::After);
    let call = linked.begin("POST", &format!("{}/rotate-credential", store.path), &Value::Null);
    linked.block_on(held.reached());
    linked.switches().throttle("UpdateCustomKeyStore", 100);
    held.abandon();
    let answer = call.join().unwrap().unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    busy.goes_on(&linked);
    let shown = linked.until_shown(&store.path, |shown| shown["credential_version"] == 2);
    assert!(shown.get("failure").is_none_or(Value::is_null), "{shown}");
    let live = linked.rest().get(&format!("{}/credentials", store.path));
    let now = linked.signs_with(&store);
    assert!(live["total"] == 2 && live["resources"][1]["access_key_id"] == now && now != before, "{live}");
    assert_eq!(asked(&linked, "UpdateCustomKeyStore"), 1);
    busy.goes_on(&linked);
    busy.failed_never();
}

#[test]
fn a_credential_stays_after_a_fault_of_aws_until_it_is_late() {
    let linked = Linked::start();
    let store = linked.connected_store("faulty");
    linked.switches().refuse("UpdateCustomKeyStore", "KMSInternalException", 1);
    let answer = linked.rest().send("POST", &format!("{}/rotate-credential", store.path), b"");
    assert_eq!(answer.status, 503, "{}", answer.text());
    let credentials = format!("{}/credentials", store.path);
    assert_eq!(linked.rest().get(&credentials)["total"], 2, "AWS may sign with it yet");
    let left = linked.until_shown(&credentials, |page| page["total"] == 1);
    assert_eq!(left["resources"][0]["access_key_id"], linked.signs_with(&store));
    assert!(text(&linked.rest().get(&store.path), "/failure").contains("did not take the new credential"));
    linked.rest().act(&format!("{}/rotate-credential", store.path));
}

#[test]
fn key_stores_of_which_aws_does_not_answer_do_not_keep_others_from_being_followed() {
    let linked = Linked::start_with(Setup { attempt_seconds: 60, settled_seconds: 60, ..Setup::default() });
    let hung: Vec<Store> = (0..LOOKS_AT_ONCE).map(|n| linked.linked_store(&format!("hung {n}"))).collect();
    let other = linked.linked_store("other");
    let clients: Vec<_> = hung.iter().map(|store| (linked.another_rest(), store.path.clone())).collect();
    let begun: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(n, (mut rest, path))| {
            let held = linked.switches().hold("UpdateCustomKeyStore", When::Before);
            let renamed = json!({ "name": format!("renamed {n}") }).to_string();
            let call = thread::spawn(move || rest.send("PATCH", &path, renamed.as_bytes()));
            linked.block_on(held.reached());
            (held, call)
        })
        .collect();
    linked.connect(&other.path);
    assert!(begun.iter().all(|(_, call)| !call.is_finished()), "it was seen while the others hang");
    for (held, call) in begun {
        held.release();
        let answer = call.join().unwrap();
        assert!(answer.is_good(), "{} {}", answer.status, answer.text());
    }
}

#[test]
fn what_aws_refuses_to_tell_of_can_be_given_up_and_takes_nothing_with_it_that_aws_may_use() {
    let linked = Linked::start();
    let (rotated, key) = (linked.linked_store("rotated"), linked.source_key("a key"));
    linked.switches().refuse("DescribeCustomKeyStores", "AccessDeniedException", u32::MAX);
    let rotate = format!("{}/rotate-credential", rotated.path);
    let answer = lost(&linked, ("UpdateCustomKeyStore", When::After), ("POST", &rotate, &Value::Null));
    assert_eq!(answer.status, 503, "{}", answer.text());
    let new = linked.new_store("never made", &key, true);
    let answer = lost(&linked, ("CreateCustomKeyStore", When::Before), ("POST", STORES, &new));
    assert_eq!(answer.status, 503, "{}", answer.text());
    let made = linked.rest().get(&format!("{STORES}?name=never%20made"));
    let made = format!("{STORES}/{}", text(&made, "/resources/0/id"));
    let answer = linked.rest().send("DELETE", &made, b"");
    assert!(answer.status == 422 && answer.text().contains("AccessDenied"), "not yet: {} {}", answer.status, answer.text());

    let shown = linked.until_shown(&rotated.path, |shown| !shown["failure"].is_null());
    assert!(text(&shown, "/failure").contains("it is not known whether AWS did take the new credential"), "{shown}");
    linked.wait_until("it can be given up", |linked| linked.rest().send("DELETE", &made, b"").status == 204);
    assert_eq!(linked.rest().send("GET", &made, b"").status, 404);
    let credentials = format!("{}/credentials", rotated.path);
    let both = linked.rest().get(&credentials);
    assert_eq!(both["total"], 2, "AWS signs with one of them");
    for credential in both["resources"].as_array().unwrap() {
        let answer = linked.rest().send("DELETE", &format!("{credentials}/{}", text(credential, "/id")), b"");
        assert!(answer.status == 409 && answer.text().contains("AWS signs with"), "{}", answer.text());
    }

    linked.switches().accept("DescribeCustomKeyStores");
    synchronize(&linked);
    assert!(linked.rest().get(&rotated.path)["failure"].is_null(), "AWS tells again");
    linked.rest().delete(&format!("{credentials}/{}", text(&both, "/resources/0/id")));
    assert_eq!(linked.rest().get(&credentials)["resources"][0]["access_key_id"], linked.signs_with(&rotated));
    linked.connect(&rotated.path);
}

#[test]
fn a_key_store_that_vanished_in_aws_is_disconnected_gone_and_linked_anew() {
    let linked = Linked::start_with(Setup { attempt_seconds: 5, settled_seconds: 5, ..Setup::default() });
    let store = linked.connected_store("vanished");
    let by_hand = json!({ "CustomKeyStoreId": store.in_aws });
    linked.kms("DisconnectCustomKeyStore", &by_hand);
    linked.wait_until("AWS let go of it", |linked| in_aws(linked, "vanished")["ConnectionState"] == "DISCONNECTED");
    linked.kms("DeleteCustomKeyStore", &by_hand);
    assert_eq!(linked.rest().get(&store.path)["aws_param"]["connection_state"], "CONNECTED", "nobody has looked yet");
    // Of one that was made just now AWS may only not know everywhere yet.
    linked.wait_until("it is gone", |linked| {
        synchronize(linked);
        linked.rest().get(&store.path)["gone"] == true
    });
    let shown = linked.rest().get(&store.path);
    assert_eq!((&shown["gone"], text(&shown, "/aws_param/connection_state")), (&json!(true), "DISCONNECTED"));
    let answer = linked.rest().send("POST", &format!("{}/connect", store.path), b"{}");
    assert!(answer.status == 409 && answer.text().contains("link it first"), "{} {}", answer.status, answer.text());

    // It is changed here alone until then.
    assert_eq!(text(&linked.rest().patch(&store.path, &json!({ "name": "back" })), "/name"), "back");
    let link = json!({ "aws_param": { "xks_proxy_uri_endpoint": linked.endpoint() } });
    let shown = linked.rest().post(&format!("{}/link", store.path), &link);
    assert_eq!((&shown["gone"], &shown["aws_param"]["custom_key_store_id"]), (&json!(false), &in_aws(&linked, "back")["CustomKeyStoreId"]));
    linked.connect(&store.path);
}

#[test]
fn a_key_store_leaves_its_vpc_with_all_that_the_same_change_asks_for() {
    let linked = Linked::start();
    let store = linked.linked_store("private");
    let told = |connectivity: &str, rest: Value| {
        let aws = json!({
            "xks_proxy_connectivity": connectivity, "xks_proxy_uri_endpoint": linked.endpoint(), "xks_proxy_vpc_endpoint_service_name": SERVICE,
        });
        let mut body = rest;
        body["aws_param"] = aws;
        body
    };
    let shown = linked.rest().patch(&store.path, &told("VPC_ENDPOINT_SERVICE", json!({})));
    assert_eq!(text(&shown, "/aws_param/xks_proxy_vpc_endpoint_service_name"), SERVICE);
    assert_eq!(in_aws(&linked, "private")["XksProxyConfiguration"]["Connectivity"], "VPC_ENDPOINT_SERVICE");
    // Clients send the old name along (contract, §7.4).
    let rest = json!({ "name": "public", "enable_success_audit_event": true, "local_hosted_params": { "mtls_enabled": false } });
    let shown = linked.rest().patch(&store.path, &told("PUBLIC_ENDPOINT", rest));
    assert_eq!((text(&shown, "/name"), &shown["enable_success_audit_event"]), ("public", &json!(true)));
    assert_eq!(text(&shown, "/aws_param/xks_proxy_connectivity"), "PUBLIC_ENDPOINT");
    assert!(shown["aws_param"].get("xks_proxy_vpc_endpoint_service_name").is_none_or(Value::is_null), "{shown}");
    assert_eq!(in_aws(&linked, "public")["XksProxyConfiguration"]["Connectivity"], "PUBLIC_ENDPOINT");
    linked.connect(&store.path);
}

#[test]
fn what_someone_changes_in_aws_of_a_linked_key_store_is_told_until_it_is_changed_back() {
    let linked = Linked::start();
    let store = linked.linked_store("moved");
    let by_hand = |connectivity: &str, service: Option<&str>| {
        let change = json!({
            "CustomKeyStoreId": store.in_aws, "XksProxyConnectivity": connectivity, "XksProxyUriEndpoint": linked.endpoint(),
            "XksProxyVpcEndpointServiceName": service,
        });
        linked.kms("UpdateCustomKeyStore", &change);
        synchronize(&linked);
        linked.rest().get(&store.path)["failure"].clone()
    };
    let failure = by_hand("VPC_ENDPOINT_SERVICE", Some(SERVICE));
    assert!(failure.as_str().is_some_and(|text| text.contains("connectivity VPC_ENDPOINT_SERVICE")), "{failure}");
    assert_eq!(by_hand("PUBLIC_ENDPOINT", None), Value::Null);
}

#[test]
fn a_key_store_that_is_deleted_while_its_region_is_synchronized_does_not_fail_the_job() {
    let linked = Linked::start();
    let store = linked.linked_store("deleted");
    let held = linked.switches().hold("DeleteCustomKeyStore", When::Before);
    let call = linked.begin("DELETE", &store.path, &Value::Null);
    linked.block_on(held.reached());
    let before = asked(&linked, "DescribeCustomKeyStores");
    let job = begin_synchronization(&linked);
    linked.wait_until("the list was asked for", |linked| asked(linked, "DescribeCustomKeyStores") > before);
    held.release();
    assert_eq!(call.join().unwrap().unwrap().status, 204);
    assert_eq!(linked.until_shown(&job, |job| job["overall_status"] != "in progress")["overall_status"], "completed");
}

/// Has AWS keep its answer to a call for itself, before it did it or after, and lets go of the call; what is answered here.
fn lost(linked: &Linked, (operation, when): (&str, When), (method, path, body): (&'static str, &str, &Value)) -> Answer {
    let held = linked.switches().hold(operation, when);
    let call = linked.begin(method, path, body);
    linked.block_on(held.reached());
    held.abandon();
    call.join().unwrap().unwrap()
}

fn asked(linked: &Linked, operation: &str) -> usize {
    linked.switches().calls().iter().filter(|call| *call == operation).count()
}

fn in_aws(linked: &Linked, name: &str) -> Value {
    linked.kms("DescribeCustomKeyStores", &json!({ "CustomKeyStoreName": name }))["CustomKeyStores"][0].clone()
}

fn begin_synchronization(linked: &Linked) -> String {
    let here = json!({ "kms": [KMS], "regions": ["us-east-1"], "synchronize_all": false });
    let job = linked.rest().post(&format!("{STORES}/synchronization-jobs"), &here);
    format!("{STORES}/synchronization-jobs/{}", text(&job, "/id"))
}

fn synchronize(linked: &Linked) {
    let job = begin_synchronization(linked);
    assert_eq!(linked.until_shown(&job, |job| job["overall_status"] != "in progress")["overall_status"], "completed");
}

/// So many tries the SDK makes of a call that AWS is at fault for.
const SDK_TRIES: u32 = 6;
/// As many key stores of a region are looked at in AWS at once.
const LOOKS_AT_ONCE: usize = 4;
const SERVICE: &str = "com.amazonaws.vpce.us-east-1.vpce-svc-0123456789abcdef0";
