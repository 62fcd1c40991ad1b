//! Linked HYOK keys through REST, and what AWS has of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::site::{AWS_PATIENCE, KMS, Linked, STORES, Setup};
use crate::{
    http::Answer,
    process::alone,
    rest::{hyok_key, text},
};

#[test]
fn a_linked_key_is_used_blocked_and_changed_and_aws_has_it_all() {
    let linked = Linked::start();
    let store = linked.connected_store("a store");
    let mut new = hyok_key(&store.id, &store.source_key, "as it is made");
    new["local_hosted_params"]["linked_state"] = true.into();
    new["aws_param"]["Alias"] = "alias/one".into();
    new["aws_param"]["Tags"] = json!([{ "TagKey": "team", "TagValue": "blue" }]);
    let made = linked.rest().post(KEYS_MADE, &new);
    let (path, in_aws) = (path(&made), text(&made, "/aws_param/KeyID").to_owned());
    assert_eq!((&made["linked_state"], &made["blocked"], &made["gone"]), (&json!(true), &json!(false), &json!(false)));
    assert_eq!(made["aws_param"]["XksKeyConfiguration"]["Id"], made["id"]);
    assert_eq!(linked.round_trip(&in_aws), PLAIN);

    // Whoever wants it refused has two ways, and each comes back as it was.
    linked.rest().act(&format!("{path}/block"));
    assert_eq!(refused_by_kms(&linked, &in_aws), "KMSInvalidStateException");
    linked.rest().act(&format!("{path}/unblock"));
    let shown = linked.rest().act(&format!("{path}/disable"));
    assert_eq!((&shown["aws_param"]["Enabled"], text(&shown, "/aws_param/KeyState")), (&json!(false), "Disabled"));
    assert_eq!(refused_by_kms(&linked, &in_aws), "DisabledException");
    linked.rest().act(&format!("{path}/enable"));
    assert_eq!(linked.round_trip(&in_aws), PLAIN);

    linked.rest().post(&format!("{path}/add-alias"), &json!({ "alias": "two" }));
    linked.rest().post(&format!("{path}/delete-alias"), &json!({ "alias": "alias/one" }));
    linked.rest().post(&format!("{path}/add-tags"), &json!({ "tags": [{ "tag_key": "cost", "tag_value": "7" }] }));
    let shown = linked.rest().post(&format!("{path}/remove-tags"), &json!({ "tags": ["team"] }));
    assert_eq!(shown["aws_param"]["Tags"], json!([{ "TagKey": "cost", "TagValue": "7" }]), "the one by which it is found is nobody's");
    linked.rest().post(&format!("{path}/update-description"), &json!({ "description": "as it is" }));
    let described = linked.kms("DescribeKey", &json!({ "KeyId": "alias/two" }));
    assert_eq!(text(&described, "/KeyMetadata/KeyId"), in_aws);
    assert_eq!(text(&described, "/KeyMetadata/Description"), "as it is");
    let tags = linked.kms("ListResourceTags", &json!({ "KeyId": in_aws }));
    assert_eq!(tags["Tags"], json!([{ "TagKey": "cost", "TagValue": "7" }, { "TagKey": "holdfast-key", "TagValue": made["id"] }]));

    // Read twice, and found by what AWS calls it.
    let read = linked.rest().get(&path);
    assert_eq!(read["aws_param"]["Alias"], json!(["alias/two"]));
    for filter in [format!("keyid={in_aws}"), "alias=two".into(), "tags=cost".into(), "linked_state=true".into()] {
        let found = linked.rest().get(&format!("cckm/aws/keys?{filter}&region=us-east-1"));
        assert_eq!((&found["total"], &found["resources"][0]["id"]), (&json!(1), &made["id"]), "{filter}");
    }
    let everything = format!("{read}{}", linked.rest().get("cckm/aws/keys?limit=-1"));
    for secret in [&linked.sim().settings().secret_access_key, text(&store.created, "/secret_access_key")] {
        assert!(!everything.contains(secret));
    }
}

#[test]
fn aws_has_its_answers_within_its_own_patience() {
    // Whatever else loads the machine waits.
    let _alone = alone();
    // The specification's 250 ms, and one more try.
    let linked = Linked::start_with(Setup { proxy_patience: AWS_PATIENCE, ..Setup::default() });
    let key = linked.linked_key(&linked.connected_store("a store"), "in-time");
    for _ in 0..10 {
        assert_eq!(linked.round_trip(text(&key, "/aws_param/KeyID")), PLAIN);
    }
}

#[test]
fn a_key_is_deleted_by_aws_when_its_days_are_over_and_serves_until_then() {
    let linked = Linked::start();
    let store = linked.connected_store("a store");
    let made = linked.linked_key(&store, "doomed");
    let (path, in_aws) = (path(&made), text(&made, "/aws_param/KeyID").to_owned());
    for days in [json!({}), json!({ "days": 6 }), json!({ "days": 31 })] {
        refused(&linked, &format!("{path}/schedule-deletion"), &days, (400, "days"));
    }
    linked.rest().post(&format!("{path}/schedule-deletion"), &json!({ "days": 7 }));
    refused(&linked, &format!("{path}/schedule-deletion"), &json!({ "days": 7 }), (409, "is pending deletion"));
    let shown = linked.rest().act(&format!("{path}/cancel-deletion"));
    assert_eq!((text(&shown, "/aws_param/KeyState"), &shown["deletion_date"]), ("Disabled", &Value::Null));
    linked.rest().act(&format!("{path}/enable"));
    assert_eq!(linked.round_trip(&in_aws), PLAIN);

    linked.rest().post(&format!("{path}/schedule-deletion"), &json!({ "days": 7 }));
    let answer = linked.rest().send("DELETE", &path, b"");
    assert_eq!(answer.status, 409, "{}", answer.text());
    linked.switches().advance(Duration::from_hours(8 * 24));
    // Whoever asks AWS finds out.
    let answer = linked.rest().send("POST", &format!("{path}/enable"), b"");
    assert!(answer.status == 422 && answer.text().contains("NotFoundException"), "{} {}", answer.status, answer.text());
    let shown = linked.rest().get(&path);
    assert_eq!((&shown["gone"], &shown["linked_state"]), (&json!(true), &json!(false)));
    refused(&linked, &format!("{path}/disable"), &Value::Null, (409, "not linked"));
    // AWS may be given the same key anew.
    let again = linked.rest().post(&format!("{path}/link"), &json!({ "aws_param": { "Alias": "risen" } }));
    assert_eq!((&again["gone"], &again["linked_state"], &again["id"]), (&json!(false), &json!(true), &made["id"]));
    assert_ne!(again["aws_param"]["KeyID"], in_aws);
    assert_eq!(linked.round_trip("alias/risen"), PLAIN);
}

#[test]
fn what_is_not_linked_or_not_connected_is_refused_and_nothing_is_left_behind() {
    let linked = Linked::start();
    let store = linked.linked_store("a store");
    let unlinked = path(&linked.rest().post(KEYS_MADE, &hyok_key(&store.id, &store.source_key, "unlinked")));
    for (action, body) in [
        ("enable", Value::Null),
        ("disable", Value::Null),
        ("add-alias", json!({ "alias": "a" })),
        ("add-tags", json!({ "tags": [{ "tag_key": "a", "tag_value": "b" }] })),
        ("update-description", json!({ "description": "d" })),
        ("policy", json!({})),
        ("schedule-deletion", json!({ "days": 7 })),
        ("cancel-deletion", Value::Null),
    ] {
        refused(&linked, &format!("{unlinked}/{action}"), &body, (409, "not linked"));
    }
    let mut new = hyok_key(&store.id, &store.source_key, "too early");
    new["local_hosted_params"]["linked_state"] = true.into();
    refused(&linked, KEYS_MADE, &new, (409, "DISCONNECTED"));
    refused(&linked, &format!("{unlinked}/link"), &json!({}), (409, "DISCONNECTED"));
    linked.connect(&store.path);

    // What AWS would not take, and what it does not.
    new["aws_param"]["Tags"] = json!([{ "TagKey": "odd", "TagValue": "a b" }]);
    refused(&linked, KEYS_MADE, &new, (400, "odd"));
    new["aws_param"]["Tags"] = Value::Null;
    new["aws_param"]["Alias"] = "taken".into();
    linked.rest().post(KEYS_MADE, &new);
    refused(&linked, KEYS_MADE, &new, (409, "taken"));
    new["aws_param"]["Alias"] = "free".into();
    linked.switches().refuse("CreateKey", "InvalidArnException", 1);
    refused(&linked, KEYS_MADE, &new, (422, "KMS CreateKey: InvalidArnException"));
    linked.switches().refuse("CreateAlias", "InvalidAliasNameException", 1);
    refused(&linked, KEYS_MADE, &new, (422, "KMS CreateAlias: InvalidAliasNameException"));
    assert_eq!(linked.rest().get("cckm/aws/keys?linked_state=true")["total"], 1);
    assert_eq!(linked.rest().get(&format!("cckm/aws/keys?custom_key_store_id={}", store.id))["total"], 2);
    let shown = linked.rest().post(KEYS_MADE, &new);
    assert_eq!(shown["aws_param"]["Alias"], json!(["alias/free"]));

    let linked_now = path(&shown);
    refused(&linked, &format!("{linked_now}/link"), &json!({}), (409, "linked already"));
    refused(&linked, &format!("{linked_now}/add-tags"), &json!({ "tags": [{ "tag_key": "odd", "tag_value": "a:b" }] }), (400, "odd"));
    refused(&linked, &format!("{linked_now}/remove-tags"), &json!({ "tags": ["holdfast-key"] }), (400, "reserved"));
    refused(&linked, &format!("{linked_now}/delete-alias"), &json!({ "alias": "taken" }), (400, "no alias"));
    refused(&linked, &format!("{STORES}/{}/create-aws-key", store.id), &json!({}), (409, "CloudHSM"));
    assert_eq!(text(&linked.kms("DescribeKey", &json!({ "KeyId": "alias/taken" })), "/KeyMetadata/KeyState"), "Enabled");

    // What AWS tells of a key that it can't reach is over when it can again.
    linked.rest().act(&format!("{}/disconnect", store.path));
    linked.until_shown(&store.path, |shown| shown["aws_param"]["connection_state"] == "DISCONNECTED");
    let shown = linked.rest().post(&format!("{linked_now}/update-description"), &json!({ "description": "out of reach" }));
    assert_eq!((text(&shown, "/aws_param/KeyState"), &shown["aws_param"]["Enabled"]), ("Unavailable", &json!(false)));
    linked.connect(&store.path);
    linked.until_shown(&linked_now, |shown| shown["aws_param"]["KeyState"] == "Enabled" && shown["aws_param"]["Enabled"] == true);
}

#[test]
fn a_policy_is_a_text_or_names_people_or_is_a_template_that_its_keys_follow() {
    let linked = Linked::start();
    let store = linked.connected_store("a store");
    let key = path(&linked.linked_key(&store, "ruled"));
    let policy = |body: &Value| linked.rest().post(&format!("{key}/policy"), body)["aws_param"]["Policy"].clone();
    let account = linked.sim().settings().account_id.clone();
    let own = json!({ "Version": "2012-10-17", "Id": "mine", "Statement": [{
        "Sid": "all", "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{account}:root") }, "Action": "kms:*", "Resource": "*" }] });
    assert_eq!(policy(&json!({ "Policy": own })), own);
    assert_eq!(policy(&json!({}))["Id"], "key-default-1");
    assert_eq!(policy(&json!({ "Policy": own.to_string() })), own);
    let both = json!({ "Policy": own, "key_users": ["alice"] });
    refused(&linked, &format!("{key}/policy"), &both, (400, "give one of"));
    refused(&linked, &format!("{key}/policy"), &json!({ "policytemplate": "none" }), (404, "policy template"));

    let made = linked.rest().post("cckm/aws/templates", &json!({ "name": "rules", "kms": KMS, "key_users": ["alice"] }));
    let template = format!("cckm/aws/templates/{}", text(&made, "/id"));
    assert_eq!(made["is_verified"], false);
    let shown = linked.rest().post(&format!("{key}/policy"), &json!({ "policytemplate": "rules" }));
    assert_eq!(shown["key_users"], json!([format!("arn:aws:iam::{account}:user/alice")]));
    assert_eq!(shown["aws_param"]["Tags"], json!([{ "TagKey": "cckm_policy_template_id", "TagValue": made["id"] }]));
    assert_eq!(linked.rest().get(&template)["is_verified"], true);
    assert_eq!(linked.rest().get(&format!("cckm/aws/keys?cckm_policy_template_id={}", text(&made, "/id")))["total"], 1);
    let carried = linked.rest().send("DELETE", &template, b"");
    assert!(carried.status == 409 && carried.text().contains("has one or more key associated"), "{}", carried.text());

    let change = json!({ "key_users": ["bob"], "auto_push": false });
    let answer = linked.rest().send("PATCH", &template, change.to_string().as_bytes());
    assert!(answer.status == 400 && answer.text().contains("auto_push"), "{}", answer.text());
    linked.rest().patch(&template, &json!({ "key_users": ["bob"], "auto_push": true }));
    assert_eq!(linked.rest().get(&key)["key_users"], json!([format!("arn:aws:iam::{account}:user/bob")]));

    // As a client does that deletes both.
    linked.rest().post(&format!("{key}/remove-tags"), &json!({ "tags": ["cckm_policy_template_id"] }));
    linked.rest().delete(&template);
}

fn path(key: &Value) -> String {
    format!("cckm/aws/keys/{}", text(key, "/id"))
}

fn refused(linked: &Linked, path: &str, body: &Value, (status, part): (u16, &str)) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = linked.rest().send("POST", path, body.as_bytes());
    assert!(answer.status == status && answer.text().contains(part), "{path} {body}: {} {}", answer.status, answer.text());
    answer
}

fn refused_by_kms(linked: &Linked, key: &str) -> String {
    linked.try_kms("Encrypt", &json!({ "KeyId": key, "Plaintext": PLAIN })).unwrap_err().name
}

const KEYS_MADE: &str = "cckm/aws/create-hyok-key";
const PLAIN: &str = "aGVsbG8=";
