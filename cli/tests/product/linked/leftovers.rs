//! What AWS refuses, or has no more, leaves nothing here: no source key that a rotation made for itself, no key that is waited for.

use std::time::Duration;

use holdfast_sim_kms::When;
use serde_json::{Value, json};

use super::{
    site::Linked,
    upload::{exportable, native, upload},
};
use crate::rest::text;

#[test]
fn a_rotation_that_aws_refuses_or_a_crash_ends_leaves_no_source_key_and_one_that_is_done_leaves_its_own() {
    let mut linked = Linked::start();
    exportable(&linked, "aes", ("AES", 256, ""));
    let key = linked.rest().post("cckm/aws/upload-key", &upload("aes", "", ""));
    let path = format!("cckm/aws/keys/{}", text(&key, "/id"));
    let before = vault(&linked);
    for operation in ["CreateKey", "GetParametersForImport", "ImportKeyMaterial"] {
        linked.switches().refuse(operation, "AccessDeniedException", 1);
        refused(&linked, &format!("{path}/rotate"));
        assert_eq!(vault(&linked), before, "{operation}");
    }
    linked.switches().refuse("ImportKeyMaterial", "AccessDeniedException", 1);
    refused(&linked, &format!("{path}/rotate-material"));
    assert_eq!(vault(&linked), before, "nothing was imported");

    linked.crash(("CreateKey", When::Before), ("POST", &format!("{path}/rotate"), &Value::Null));
    linked.wait_for_nodes();
    linked.until_shown(&path, |shown| shown["failure"] == "the new key was not made in AWS");
    assert_eq!(vault(&linked), before, "the new key was withdrawn");

    // AWS has the material then, which takes over at the next try.
    linked.switches().refuse("RotateKeyOnDemand", "AccessDeniedException", 1);
    refused(&linked, &format!("{path}/rotate-material"));
    assert_eq!(vault(&linked), before + 1);
    let shown = linked.rest().act(&format!("{path}/rotate-material"));
    let first = text(&shown, "/local_key_name").to_owned();
    assert!(first.starts_with("aes-rotated-"), "{shown}");
    linked.switches().throttle("RotateKeyOnDemand", 100);
    let answer = linked.rest().send("POST", &format!("{path}/rotate-material"), b"");
    assert_eq!((answer.status, vault(&linked)), (503, before + 2), "{}", answer.text());
    linked.switches().accept("RotateKeyOnDemand");
    let shown = linked.rest().act(&format!("{path}/rotate-material"));
    assert!(text(&shown, "/local_key_name").starts_with("aes-rotated-") && text(&shown, "/local_key_name") != first, "{shown}");
    let new = linked.rest().post(&format!("{path}/rotate"), &json!({}));
    assert!(text(&new, "/local_key_name").starts_with("aes-rotated-"), "{new}");
    assert_eq!(vault(&linked), before + 3);
}

#[test]
fn a_replica_that_aws_deletes_before_all_of_it_was_made_is_gone() {
    let linked = Linked::start();
    let mut body = native("", "");
    body["aws_param"]["MultiRegion"] = true.into();
    let primary = linked.rest().post("cckm/aws/keys", &body);
    let mut body = native("", "");
    body["replica_region"] = "eu-west-1".into();
    body["aws_param"]["Alias"] = "never".into();
    // A fault of AWS's own: it is tried again and again.
    linked.switches().refuse("CreateAlias", "KMSInternalException", u32::MAX);
    let replica = linked.rest().post(&format!("cckm/aws/keys/{}/replicate-key", text(&primary, "/id")), &body);
    let id = text(&replica, "/aws_param/KeyID");
    linked.wait_until("AWS has made the replica", |linked| {
        let told =
            linked.kms_in("eu-west-1").call("DescribeKey", &json!({ "KeyId": id })).unwrap_or_else(|refused| panic!("{}", refused.name));
        told["KeyMetadata"]["KeyState"] == "Enabled"
    });
    let scheduled = linked.kms_in("eu-west-1").call("ScheduleKeyDeletion", &json!({ "KeyId": id, "PendingWindowInDays": 7 }));
    assert!(scheduled.is_ok());
    linked.switches().advance(Duration::from_hours(8 * 24));
    let shown = linked.until_shown(&format!("cckm/aws/keys/{}", text(&replica, "/id")), |shown| shown["gone"] == true);
    assert_eq!(shown["failure"], Value::Null, "nobody waits for it any more");
}

fn refused(linked: &Linked, path: &str) {
    let answer = linked.rest().send("POST", path, b"{}");
    assert!(answer.status == 422 && answer.text().contains("AccessDeniedException"), "{path}: {} {}", answer.status, answer.text());
}

/// How many source keys there are.
fn vault(linked: &Linked) -> u64 {
    linked.rest().get("vault/keys2?limit=1")["total"].as_u64().unwrap()
}
