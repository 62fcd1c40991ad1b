//! What becomes of keys where AWS did something and its answer was lost, or where it refuses to let be seen or finished what was begun.
//!
//! Nothing here is destroyed over that, nothing is done twice, what was begun ends when AWS allows it, and whoever does not want to wait for
//! that gives it up.

use std::time::Duration;

use holdfast_sim_kms::When;
use serde_json::{Value, json};

use super::{
    site::{Linked, Setup, Store},
    upload::{exportable, native, upload},
};
use crate::{
    http::Answer,
    rest::{hyok_key, text},
};

#[test]
fn a_hyok_key_that_aws_makes_late_or_that_cannot_be_looked_for_stays_and_is_finished() {
    let linked = hasty();
    let store = linked.connected_store("a store");
    // AWS makes it when nobody waits for it any more.
    let held = linked.switches().hold("CreateKey", When::Before);
    let call = linked.begin("POST", MAKE, &new_key(&store, "late"));
    linked.block_on(held.reached());
    let answer = call.join().unwrap().unwrap();
    assert!(answer.status >= 500, "{} {}", answer.status, answer.text());
    held.abandon();
    let key = only(&linked, |key| key["custom_key_store_name"] == "a store");
    let external = text(&key, "/aws_param/XksKeyConfiguration/Id");
    let tags = json!([{ "TagKey": "holdfast-key", "TagValue": key["id"] }]);
    linked
        .kms("CreateKey", &json!({ "CustomKeyStoreId": store.in_aws, "Origin": "EXTERNAL_KEY_STORE", "XksKeyId": external, "Tags": tags }));
    let shown = linked.until_shown(&path(&key), |shown| shown["linked_state"] == true);
    assert_eq!(shown["aws_param"]["Alias"], json!(["alias/late"]));
    assert_eq!(linked.round_trip("alias/late"), HELLO);

    linked.switches().refuse("ListKeys", DENIED, u32::MAX);
    let answer = lost(&linked, "CreateKey", ("POST", MAKE, &new_key(&store, "unread")));
    assert_ne!(answer.status, 200, "{}", answer.text());
    let key = only(&linked, |key| key["linked_state"] == false && key["failure"].is_string());
    assert!(text(&key, "/failure").contains(DENIED), "{key}");
    // Each look waits twice as long as the one before: the last of these is long after AWS could still be making it.
    let looks = called(&linked, "ListKeys");
    linked.wait_until("the control plane looked again and again", |linked| called(linked, "ListKeys") >= looks + 7);
    assert_eq!(linked.rest().get(&path(&key))["linked_state"], false, "it stays");
    linked.switches().accept("ListKeys");
    let shown = linked.until_shown(&path(&key), |shown| shown["linked_state"] == true);
    assert_eq!((&shown["aws_param"]["Alias"], &shown["failure"]), (&json!(["alias/unread"]), &Value::Null));
    assert_eq!(linked.round_trip("alias/unread"), HELLO);
    assert_eq!(keys_in_aws(&linked), 2);
}

#[test]
fn a_key_that_cannot_be_finished_is_given_up_by_its_deletion_and_takes_nothing_along() {
    let mut linked = hasty();
    let store = linked.connected_store("a store");
    linked.switches().refuse("ListResourceTags", DENIED, u32::MAX);
    lost(&linked, "CreateKey", ("POST", "cckm/aws/keys", &native("", "")));
    let key = only(&linked, |key| key["failure"].is_string());
    assert!(text(&key, "/failure").contains(&format!("holdfast-key = {}", text(&key, "/id"))), "what is left is said: {key}");
    let counted = "holdfast_aws_steps_begun{object=\"key\"} 1";
    assert!(linked.metrics().lines().any(|line| line == counted), "{}", linked.metrics());
    linked.rest().delete(&path(&key));
    assert_eq!(linked.rest().send("GET", &path(&key), b"").status, 404);
    assert_eq!(keys_in_aws(&linked), 1, "AWS keeps what it has made");

    lost(&linked, "CreateKey", ("POST", MAKE, &new_key(&store, "given-up")));
    let key = only(&linked, |key| key["failure"].is_string());
    given_up(&linked, &key);
    let shown = linked.rest().get(&path(&key));
    assert_eq!((&shown["linked_state"], &shown["failure"]), (&json!(false), &Value::Null), "only its link was given up");
    // AWS has a key for it, which is what it is linked to then.
    linked.switches().accept("ListResourceTags");
    let shown = linked.rest().post(&format!("{}/link", path(&key)), &json!({ "aws_param": { "Alias": "again" } }));
    assert_eq!((&shown["linked_state"], &shown["aws_param"]["Alias"]), (&json!(true), &json!(["alias/again"])));
    assert_eq!(linked.round_trip("alias/again"), HELLO);
    assert_eq!(keys_in_aws(&linked), 2);
}

#[test]
fn a_rotation_that_aws_refuses_half_way_makes_no_second_new_key_and_ends_when_it_is_allowed_or_given_up() {
    let mut linked = Linked::start();
    exportable(&linked, "aes", ("AES", 256, ""));
    let mut body = upload("aes", "", "");
    body["aws_param"]["Alias"] = "rotated".into();
    let old = linked.rest().post("cckm/aws/upload-key", &body);
    let sources = vault(&linked) + 1;
    linked.switches().refuse("UpdateAlias", DENIED, u32::MAX);
    for run in 0..3 {
        refused(&linked, &format!("{}/rotate", path(&old)), &json!({}));
        assert_eq!((keys_in_aws(&linked), vault(&linked)), (2, sources), "run {run}");
    }
    linked.restart_control_plane();
    linked.wait_for_nodes();
    let tries = called(&linked, "UpdateAlias");
    linked.wait_until("it is gone on with", |linked| called(linked, "UpdateAlias") > tries + 1);
    assert_eq!((keys_in_aws(&linked), vault(&linked)), (2, sources), "after a restart");
    let shown = linked.rest().get(&path(&old));
    assert!(text(&shown, "/failure").contains("UpdateAlias") && shown["rotated_to"].is_null(), "{shown}");
    linked.switches().accept("UpdateAlias");
    let shown = linked.until_shown(&path(&old), |shown| shown["rotated_to"].is_string());
    assert_eq!((&shown["failure"], keys_in_aws(&linked)), (&Value::Null, 2));
    let new = linked.rest().get(&format!("cckm/aws/keys/{}", text(&shown, "/rotated_to")));
    assert_eq!((&new["aws_param"]["Alias"], text(&new, "/local_key_name").starts_with("aes-rotated-")), (&json!(["alias/rotated"]), true));

    linked.switches().refuse("DisableKey", DENIED, u32::MAX);
    refused(&linked, &format!("{}/rotate", path(&new)), &json!({ "disable_encrypt": true }));
    let shown = linked.until_shown(&path(&new), |shown| shown["failure"].is_string());
    assert!(text(&shown, "/failure").contains("DisableKey"), "{shown}");
    given_up(&linked, &new);
    let shown = linked.rest().get(&path(&new));
    assert!(text(&shown, "/failure").starts_with("given up: ") && shown["linked_state"] == true, "{shown}");
    let shown = linked.rest().post(&format!("{}/update-description", path(&new)), &json!({ "description": "kept" }));
    assert_eq!((&shown["failure"], &shown["aws_param"]["Enabled"], keys_in_aws(&linked)), (&Value::Null, &json!(true), 3));
}

#[test]
fn a_change_whose_outcome_aws_does_not_show_ends_with_the_reason_and_the_key_may_be_changed_again() {
    let mut linked = Linked::start();
    let key = linked.rest().post("cckm/aws/keys", &native("", ""));
    let enable = format!("{}/enable", path(&key));
    let disable = format!("{}/disable", path(&key));
    linked.switches().refuse("ListResourceTags", DENIED, u32::MAX);
    refused(&linked, &disable, &Value::Null);
    assert!(text(&linked.rest().get(&path(&key)), "/failure").contains("ListResourceTags"));
    linked.switches().accept("ListResourceTags");
    let shown = linked.rest().act(&enable);
    assert_eq!((&shown["failure"], &shown["aws_param"]["Enabled"]), (&Value::Null, &json!(true)));

    linked.switches().refuse("ListResourceTags", DENIED, u32::MAX);
    linked.crash(("DisableKey", When::After), ("POST", &disable, &Value::Null));
    linked.until_shown(&path(&key), |shown| shown["failure"].as_str().is_some_and(|why| why.contains("ListResourceTags")));
    linked.switches().accept("ListResourceTags");
    let shown = linked.rest().act(&enable);
    assert_eq!((&shown["failure"], &shown["aws_param"]["Enabled"]), (&Value::Null, &json!(true)));
}

#[test]
fn what_aws_did_and_did_not_answer_is_not_done_again_nor_told_to_have_failed() {
    let linked = Linked::start();
    let mut body = native("", "");
    body["aws_param"]["Alias"] = "short".into();
    let key = linked.rest().post("cckm/aws/keys", &body);
    // Each call of it that is done rotates once more.
    let answer = lost(&linked, "RotateKeyOnDemand", ("POST", &format!("{}/rotate-material", path(&key)), &Value::Null));
    assert!(answer.status >= 500, "{} {}", answer.status, answer.text());
    linked.until_shown(&path(&key), |shown| shown["rotated_at"].is_string());
    assert_eq!(linked.rest().get(&format!("{}/rotations", path(&key)))["total"], 2);
    assert_eq!(called(&linked, "RotateKeyOnDemand"), 1);
    // The second try of it is refused by AWS, as the alias is gone.
    let answer = lost(&linked, "DeleteAlias", ("POST", &format!("{}/delete-alias", path(&key)), &json!({ "alias": "short" })));
    assert_eq!((answer.status, called(&linked, "DeleteAlias")), (200, 2), "{}", answer.text());
    assert_eq!(linked.rest().get(&path(&key))["aws_param"]["Alias"], json!([]));
}

#[test]
fn a_native_key_is_replaced_by_a_job_with_material_of_where_the_job_says() {
    let linked = Linked::start();
    let key = linked.rest().post("cckm/aws/keys", &native("", ""));
    let job = json!({
        "name": "rotate", "description": "", "operation": "cckm_key_rotation", "run_at": "* * * * *", "run_on": "", "disabled": false,
        "start_date": "0001-01-01T00:00:00Z", "end_date": "0001-01-01T00:00:00Z",
        "cckm_key_rotation_params": { "cloud_name": "aws", "expiration": null, "expire_in": null, "aws_param": { "retain_alias": false } },
    });
    let job = linked.rest().post("scheduler/job-configs", &job);
    let mut enable = json!({ "job_config_id": job["id"], "auto_rotate_disable_encrypt": false, "auto_rotate_key_source": "elsewhere" });
    let path = path(&key);
    let answer = linked.rest().send("POST", &format!("{path}/enable-rotation-job"), enable.to_string().as_bytes());
    assert_eq!(answer.status, 400, "{}", answer.text());
    enable["auto_rotate_key_source"] = "ciphertrust".into();
    linked.rest().post(&format!("{path}/enable-rotation-job"), &enable);
    let old = linked.until_shown_within(&path, NEXT_RUN, |shown| shown["rotated_to"].is_string());
    let new = linked.rest().get(&format!("cckm/aws/keys/{}", text(&old, "/rotated_to")));
    assert_eq!((text(&new, "/aws_param/Origin"), text(&new, "/key_material_origin")), ("EXTERNAL", "cckm"), "{new}");
}

/// A rig whose control plane waits as short as it may.
fn hasty() -> Linked {
    Linked::start_with(Setup { attempt_seconds: 5, settled_seconds: 30, ..Setup::default() })
}

/// Has AWS do what a request makes the control plane ask for, and its answer lost; what the request is answered.
fn lost(linked: &Linked, operation: &str, (method, path, body): (&'static str, &str, &Value)) -> Answer {
    let held = linked.switches().hold(operation, When::After);
    let call = linked.begin(method, path, body);
    linked.block_on(held.reached());
    held.abandon();
    call.join().unwrap().unwrap()
}

fn refused(linked: &Linked, path: &str, body: &Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = linked.rest().send("POST", path, body.as_bytes());
    assert!(answer.status == 422 && answer.text().contains(DENIED), "{path}: {} {}", answer.status, answer.text());
}

/// A deletion that ends what was begun with a key, and not the key.
fn given_up(linked: &Linked, key: &Value) {
    let answer = linked.rest().send("DELETE", &path(key), b"");
    assert!(answer.status == 409 && answer.text().contains("is given up, and the key stays"), "{} {}", answer.status, answer.text());
}

/// The one key like this.
fn only(linked: &Linked, like: impl Fn(&Value) -> bool) -> Value {
    let found = |page: &Value| -> Vec<Value> { page["resources"].as_array().unwrap().iter().filter(|key| like(key)).cloned().collect() };
    let page = linked.until_shown(ALL, |page| found(page).len() == 1);
    found(&page).remove(0)
}

fn new_key(store: &Store, alias: &str) -> Value {
    let mut new = hyok_key(&store.id, &store.source_key, "a key");
    new["local_hosted_params"]["linked_state"] = true.into();
    new["aws_param"]["Alias"] = alias.into();
    new
}

fn path(key: &Value) -> String {
    format!("cckm/aws/keys/{}", text(key, "/id"))
}

/// How many source keys there are.
fn vault(linked: &Linked) -> u64 {
    linked.rest().get("vault/keys2?limit=1")["total"].as_u64().unwrap()
}

/// How often AWS was asked.
fn called(linked: &Linked, operation: &str) -> usize {
    linked.switches().calls().iter().filter(|call| *call == operation).count()
}

/// How many keys AWS has that customers manage.
fn keys_in_aws(linked: &Linked) -> usize {
    linked.kms("ListKeys", &json!({}))["Keys"].as_array().unwrap().len()
}

const MAKE: &str = "cckm/aws/create-hyok-key";
const ALL: &str = "cckm/aws/keys?limit=-1";
const DENIED: &str = "AccessDeniedException";
const HELLO: &str = "aGVsbG8=";
/// Until the next minute, and what a job takes then.
const NEXT_RUN: Duration = Duration::from_secs(150);
