//! A control plane that dies at any step of a change to a key in AWS finds its way when it is back.
//!
//! What AWS did is finished, what it did not is undone or done again, and the next try of the same does what it should. That AWS has not
//! made a key is believed only when it is late, so that some of this waits for that.

use holdfast_sim_kms::When;
use serde_json::{Value, json};

use super::site::{Linked, Store};
use crate::rest::{hyok_key, text};

#[test]
fn a_new_key_that_aws_made_is_finished_and_one_that_it_did_not_is_withdrawn() {
    let mut linked = Linked::start();
    let store = linked.connected_store("a store");
    for (operation, alias) in [("CreateKey", "one"), ("CreateAlias", "two")] {
        linked.crash((operation, When::After), ("POST", MAKE, &new_key(&store, alias)));
        made(&linked, alias);
    }
    // The key is there, and gets its alias.
    linked.crash(("CreateAlias", When::Before), ("POST", MAKE, &new_key(&store, "three")));
    made(&linked, "three");

    let keys = keys_in_aws(&linked);
    linked.crash(("CreateKey", When::Before), ("POST", MAKE, &new_key(&store, "four")));
    linked.until_shown("cckm/aws/keys?linked_state=false&custom_key_store_name=a%20store", |page| page["total"] == 0);
    assert_eq!(keys_in_aws(&linked), keys);
    linked.wait_for_nodes();
    linked.rest().post(MAKE, &new_key(&store, "four"));
    made(&linked, "four");
    assert_eq!(keys_in_aws(&linked), keys + 1);
}

#[test]
fn a_key_that_was_being_linked_is_linked_or_unlinked_as_aws_has_it() {
    let mut linked = Linked::start();
    let store = linked.connected_store("a store");
    let key = unlinked(&linked, &store);
    let link = json!({ "aws_param": { "Alias": "late" } });
    linked.crash(("CreateKey", When::Before), ("POST", &format!("{key}/link"), &link));
    let answer = linked.rest().send("POST", &format!("{key}/link"), link.to_string().as_bytes());
    assert_eq!(answer.status, 409, "nobody knows yet: {}", answer.text());
    linked.wait_for_nodes();
    linked.wait_until("it may be linked again", |linked| {
        linked.rest().send("POST", &format!("{key}/link"), link.to_string().as_bytes()).status == 200
    });
    assert_eq!(linked.rest().get(&key)["aws_param"]["Alias"], json!(["alias/late"]));
    assert_eq!(keys_in_aws(&linked), 1);

    let key = unlinked(&linked, &store);
    linked.crash(("CreateKey", When::After), ("POST", &format!("{key}/link"), &json!({ "aws_param": { "Alias": "later" } })));
    let shown = linked.until_shown(&key, |shown| shown["linked_state"] == true);
    assert_eq!((&shown["aws_param"]["Alias"], keys_in_aws(&linked)), (&json!(["alias/later"]), 2));
}

#[test]
fn after_a_crash_a_key_shows_what_aws_made_of_each_change_and_may_be_changed_again() {
    let mut linked = Linked::start();
    let store = linked.connected_store("a store");
    let key = format!("cckm/aws/keys/{}", text(&linked.linked_key(&store, "changed"), "/id"));
    let changes = [
        ("DisableKey", "disable", Value::Null, "/aws_param/KeyState", json!("Disabled")),
        ("EnableKey", "enable", Value::Null, "/aws_param/KeyState", json!("Enabled")),
        ("CreateAlias", "add-alias", json!({ "alias": "more" }), "/aws_param/Alias/1", json!("alias/more")),
        ("DeleteAlias", "delete-alias", json!({ "alias": "more" }), "/aws_param/Alias", json!(["alias/changed"])),
        ("TagResource", "add-tags", json!({ "tags": [{ "tag_key": "a", "tag_value": "b" }] }), "/aws_param/Tags/0/TagKey", json!("a")),
        ("UntagResource", "remove-tags", json!({ "tags": ["a"] }), "/aws_param/Tags", json!([])),
        ("UpdateKeyDescription", "update-description", json!({ "description": "new" }), "/aws_param/Description", json!("new")),
        ("ScheduleKeyDeletion", "schedule-deletion", json!({ "days": 9 }), "/aws_param/KeyState", json!("PendingDeletion")),
        ("CancelKeyDeletion", "cancel-deletion", Value::Null, "/aws_param/KeyState", json!("Disabled")),
    ];
    for change in changes {
        crashes_over(&mut linked, &key, change);
    }
}

#[test]
fn a_policy_that_was_begun_is_put_to_its_end() {
    let mut linked = Linked::start();
    let store = linked.connected_store("a store");
    let key = format!("cckm/aws/keys/{}", text(&linked.linked_key(&store, "ruled"), "/id"));
    let template = linked.rest().post("cckm/aws/templates", &json!({ "name": "rules", "kms": "kms", "key_users": ["alice"] }));
    let path = format!("{key}/policy");
    let carries = |shown: &Value| shown["aws_param"]["Tags"][0]["TagValue"] == template["id"] && shown["key_users"].is_array();
    let plain = |shown: &Value| shown["aws_param"]["Tags"] == json!([]) && shown["aws_param"]["Policy"]["Id"] == "key-default-1";
    for (operation, when) in
        [("PutKeyPolicy", When::Before), ("PutKeyPolicy", When::After), ("TagResource", When::Before), ("TagResource", When::After)]
    {
        linked.crash((operation, when), ("POST", &path, &json!({ "policytemplate": "rules" })));
        linked.until_shown(&key, carries);
        linked.rest().post(&path, &json!({}));
        linked.until_shown(&key, plain);
    }
}

/// Has the control plane die over a change before AWS makes it, and again when AWS has: only then is it shown.
pub(super) fn crashes_over(linked: &mut Linked, key: &str, (operation, action, body, member, value): (&str, &str, Value, &str, Value)) {
    let path = format!("{key}/{action}");
    let before = linked.rest().get(key).pointer(member).cloned();
    linked.crash((operation, When::Before), ("POST", &path, &body));
    assert_eq!(linked.rest().good("GET", key, b"").pointer(member), before.as_ref(), "{operation}");
    crash_again(linked, (operation, When::After), (&path, &body));
    linked.until_shown(key, |shown| shown.pointer(member) == Some(&value));
}

/// Has the control plane die over a change as soon as nothing that was begun before keeps that from being made.
fn crash_again(linked: &mut Linked, (operation, when): (&str, When), (path, body): (&str, &Value)) {
    until_idle(linked, path.rsplit_once('/').unwrap().0);
    linked.crash((operation, when), ("POST", path, body));
}

/// Waits until nothing is under way with a key: only then it is changed, be it by what it has already.
pub(super) fn until_idle(linked: &Linked, key: &str) {
    linked.wait_until("nothing is under way", |linked| {
        let description = linked.rest().good("GET", key, b"")["aws_param"]["Description"].clone();
        let same = json!({ "description": description }).to_string();
        linked.rest().send("POST", &format!("{key}/update-description"), same.as_bytes()).status != 409
    });
}

fn new_key(store: &Store, alias: &str) -> Value {
    let mut new = hyok_key(&store.id, &store.source_key, "a key");
    new["local_hosted_params"]["linked_state"] = true.into();
    new["aws_param"]["Alias"] = alias.into();
    new
}

fn unlinked(linked: &Linked, store: &Store) -> String {
    let made = linked.rest().post(MAKE, &hyok_key(&store.id, &store.source_key, "a key"));
    format!("cckm/aws/keys/{}", text(&made, "/id"))
}

/// Waits until a key of an alias is there, linked, and does what it should.
pub(super) fn made(linked: &Linked, alias: &str) {
    let page = linked.until_shown(&format!("cckm/aws/keys?alias={alias}"), |page| page["total"] == 1);
    assert_eq!((&page["resources"][0]["linked_state"], &page["resources"][0]["failure"]), (&json!(true), &Value::Null));
    let sealed = linked.kms("Encrypt", &json!({ "KeyId": format!("alias/{alias}"), "Plaintext": "aGVsbG8=" }));
    let opened = linked.kms("Decrypt", &json!({ "CiphertextBlob": sealed["CiphertextBlob"] }));
    assert_eq!(opened["Plaintext"], "aGVsbG8=");
}

/// How many keys AWS has that customers manage.
pub(super) fn keys_in_aws(linked: &Linked) -> usize {
    linked.kms("ListKeys", &json!({}))["Keys"].as_array().unwrap().len()
}

const MAKE: &str = "cckm/aws/create-hyok-key";
