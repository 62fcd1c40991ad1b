//! A control plane that dies at any step of a change to a linked key store finds its way when it is back.
//!
//! What AWS did is finished, what it did not is undone, and the next try of the same does what it should. That AWS has done nothing is
//! believed only when it is late, so that half of each test waits for that.

use holdfast_sim_kms::When;
use serde_json::{Value, json};

use super::site::{Linked, STORES};
use crate::rest::text;

#[test]
fn a_new_key_store_that_aws_made_is_there_and_one_that_it_did_not_is_not() {
    let mut linked = Linked::start();
    let key = linked.source_key("a key");
    let new = |linked: &Linked, name| linked.new_store(name, &key, true);
    let body = new(&linked, "made");
    linked.crash(("CreateCustomKeyStore", When::After), ("POST", STORES, &body));
    let shown =
        linked.until_shown(&format!("{STORES}?name=made"), |page| page["resources"][0]["aws_param"]["custom_key_store_id"].is_string());
    let shown = &shown["resources"][0];
    assert_eq!((&shown["local_hosted_params"]["linked_state"], text(shown, "/aws_param/connection_state")), (&json!(true), "DISCONNECTED"));
    assert_eq!(stores_in_aws(&linked), ["made"]);
    linked.wait_for_nodes();
    linked.connect(&format!("{STORES}/{}", text(shown, "/id")));

    let body = new(&linked, "not made");
    linked.crash(("CreateCustomKeyStore", When::Before), ("POST", STORES, &body));
    linked.until_shown(&format!("{STORES}?name=not%20made"), |page| page["total"] == 0);
    assert_eq!(stores_in_aws(&linked), ["made"]);
    linked.wait_for_nodes();
    linked.rest().post(STORES, &body);
    assert_eq!(stores_in_aws(&linked), ["made", "not made"]);
}

#[test]
fn a_key_store_that_was_being_linked_is_linked_or_unlinked_as_aws_has_it() {
    let mut linked = Linked::start();
    let key = linked.source_key("a key");
    let mut paths = Vec::new();
    for name in ["first", "second"] {
        let made = linked.rest().post(STORES, &linked.new_store(name, &key, false));
        paths.push(format!("{STORES}/{}", text(&made, "/id")));
    }
    let link = json!({ "aws_param": { "xks_proxy_uri_endpoint": linked.endpoint() } });
    linked.crash(("CreateCustomKeyStore", When::After), ("POST", &format!("{}/link", paths[0]), &link));
    linked.until_shown(&paths[0], |shown| shown["aws_param"]["custom_key_store_id"].is_string());
    linked.wait_for_nodes();
    linked.connect(&paths[0]);

    linked.crash(("CreateCustomKeyStore", When::Before), ("POST", &format!("{}/link", paths[1]), &link));
    linked.until_shown(&paths[1], |shown| shown["local_hosted_params"]["linked_state"] == false);
    assert_eq!(stores_in_aws(&linked), ["first"]);
    linked.wait_for_nodes();
    linked.rest().post(&format!("{}/link", paths[1]), &link);
    assert_eq!(stores_in_aws(&linked), ["first", "second"]);
}

#[test]
fn a_change_is_kept_if_aws_took_it_and_taken_back_if_not() {
    let mut linked = Linked::start();
    let store = linked.linked_store("old");
    linked.crash(("UpdateCustomKeyStore", When::After), ("PATCH", &store.path, &json!({ "name": "new" })));
    let settled = |name: &'static str| move |shown: &Value| shown["name"] == name && shown["aws_param"]["custom_key_store_name"] == name;
    linked.until_shown(&store.path, settled("new"));

    let moved = json!({ "name": "newest", "aws_param": { "xks_proxy_uri_path": "/moved/kms/xks/v1" } });
    linked.wait_for_nodes();
    linked.crash(("UpdateCustomKeyStore", When::Before), ("PATCH", &store.path, &moved));
    let shown = linked.until_shown(&store.path, settled("new"));
    assert_eq!(shown["aws_param"]["xks_proxy_uri_path"], store.created["aws_param"]["xks_proxy_uri_path"]);
    linked.wait_for_nodes();
    linked.connect(&store.path);
    assert_eq!(text(&linked.rest().patch(&store.path, &moved), "/name"), "newest");
    assert_eq!(stores_in_aws(&linked), ["newest"]);
}

#[test]
fn connecting_and_disconnecting_are_seen_to_their_end_whether_aws_began_or_not() {
    let mut linked = Linked::start();
    let store = linked.linked_store("reached");
    let (connect, disconnect) = (format!("{}/connect", store.path), format!("{}/disconnect", store.path));
    let state = |state: &'static str| move |shown: &Value| shown["aws_param"]["connection_state"] == state;
    let nothing = json!({});
    linked.crash(("ConnectCustomKeyStore", When::After), ("POST", &connect, &nothing));
    linked.until_shown(&store.path, state("CONNECTED"));
    linked.crash(("DisconnectCustomKeyStore", When::After), ("POST", &disconnect, &nothing));
    linked.until_shown(&store.path, state("DISCONNECTED"));

    linked.crash(("ConnectCustomKeyStore", When::Before), ("POST", &connect, &nothing));
    // As long as it is not known nothing else is begun; then it can be.
    linked.wait_until("it may be connected", |linked| linked.rest().send("POST", &connect, b"{}").status == 200);
    linked.until_shown(&store.path, state("CONNECTED"));
    linked.crash(("DisconnectCustomKeyStore", When::Before), ("POST", &disconnect, &nothing));
    linked.wait_until("it may be disconnected", |linked| linked.rest().send("POST", &disconnect, b"").status == 200);
    linked.until_shown(&store.path, state("DISCONNECTED"));
}

#[test]
fn a_credential_is_kept_if_aws_took_it_and_withdrawn_if_not() {
    let mut linked = Linked::start();
    let store = linked.connected_store("rotated");
    let (rotate, credentials) = (format!("{}/rotate-credential", store.path), format!("{}/credentials", store.path));
    linked.crash(("UpdateCustomKeyStore", When::After), ("POST", &rotate, &Value::Null));
    linked.until_shown(&store.path, |shown| shown["credential_version"] == 2);
    let both = linked.rest().get(&credentials);
    assert_eq!((&both["total"], &both["resources"][1]["access_key_id"]), (&json!(2), &linked.signs_with(&store)));
    linked.wait_for_nodes();

    linked.crash(("UpdateCustomKeyStore", When::Before), ("POST", &rotate, &Value::Null));
    let left = linked.until_shown(&credentials, |page| page["total"] == 2);
    assert_eq!(left["resources"][1]["access_key_id"], linked.signs_with(&store));
    assert_eq!(linked.rest().get(&store.path)["credential_version"], 2);
    linked.wait_for_nodes();
    let rotated = linked.rest().act(&rotate);
    assert_eq!((&rotated["credential_version"], &rotated["access_key_id"]), (&json!(3), &linked.signs_with(&store)));
}

#[test]
fn a_key_store_is_gone_if_aws_deleted_it_and_stays_if_not() {
    let mut linked = Linked::start();
    let store = linked.linked_store("deleted");
    linked.crash(("DeleteCustomKeyStore", When::After), ("DELETE", &store.path, &Value::Null));
    linked.until_shown(&format!("{STORES}?name=deleted"), |page| page["total"] == 0);

    linked.wait_for_nodes();
    let store = linked.linked_store("not deleted");
    linked.crash(("DeleteCustomKeyStore", When::Before), ("DELETE", &store.path, &Value::Null));
    linked.wait_until("it can be used again", |linked| linked.rest().send("POST", &format!("{}/connect", store.path), b"{}").status == 200);
    linked.until_shown(&store.path, |shown| shown["aws_param"]["connection_state"] == "CONNECTED");
    linked.rest().act(&format!("{}/disconnect", store.path));
    linked.until_shown(&store.path, |shown| shown["aws_param"]["connection_state"] == "DISCONNECTED");
    linked.rest().delete(&store.path);
    assert!(stores_in_aws(&linked).is_empty());
}

/// The names of AWS's custom key stores, in order.
pub(super) fn stores_in_aws(linked: &Linked) -> Vec<String> {
    let told = linked.kms("DescribeCustomKeyStores", &json!({}));
    let mut names: Vec<_> =
        told["CustomKeyStores"].as_array().unwrap().iter().map(|store| text(store, "/CustomKeyStoreName").to_owned()).collect();
    names.sort();
    names
}
