//! Credentials of linked key stores: rotated while AWS and the nodes look on.

use serde_json::{Value, json};

use super::{
    busy::Busy,
    site::{AWS_PATIENCE, Linked, STORES, Setup},
};
use crate::{process::alone, rest::text};

#[test]
fn no_call_of_aws_fails_while_the_credential_is_rotated_and_old_ones_are_deleted() {
    let _alone = alone();
    let linked = Linked::start_with(Setup { nodes: 2, proxy_patience: AWS_PATIENCE, ..Setup::default() });
    let store = linked.connected_store("busy");
    let busy = Busy::with(&linked, &store);
    let mut versions = Vec::new();
    for _ in 0..3 {
        busy.goes_on(&linked);
        let rotated = linked.rest().act(&format!("{}/rotate-credential", store.path));
        assert_eq!(linked.signs_with(&store), rotated["access_key_id"]);
        versions.push(rotated["credential_version"].as_u64().unwrap());
        let oldest = text(&rotated, "/oldest_credentials_id");
        linked.rest().delete(&format!("{}/credentials/{oldest}", store.path));
    }
    busy.failed_never();
    assert_eq!(versions, [2, 3, 4]);
}

#[test]
fn a_node_that_does_not_take_a_credential_keeps_aws_from_being_told_of_it() {
    let mut linked = Linked::start_with(Setup { nodes: 2, ..Setup::default() });
    let store = linked.connected_store("careful");
    let before = linked.signs_with(&store);
    linked.kill_node(1);
    let answer = linked.rest().send("POST", &format!("{}/rotate-credential", store.path), b"");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("node-2") && !answer.text().contains("node-1"), "{}", answer.text());
    assert_eq!(linked.rest().get(&format!("{}/credentials", store.path))["total"], 1, "it is withdrawn");
    assert_eq!(linked.signs_with(&store), before);
    assert!(linked.switches().calls().iter().all(|call| call != "UpdateCustomKeyStore"));

    linked.start_node(1);
    linked.wait_for_nodes();
    let rotated = linked.rest().act(&format!("{}/rotate-credential", store.path));
    assert_eq!((&rotated["credential_count"], &rotated["credential_version"]), (&json!(2), &json!(2)));
    assert_eq!(linked.signs_with(&store), rotated["access_key_id"]);
}

#[test]
fn what_aws_refuses_is_withdrawn_what_it_signs_with_stays_and_one_that_is_given_is_told_to_it() {
    let linked = Linked::start();
    let store = linked.linked_store("given");
    linked.switches().refuse("UpdateCustomKeyStore", "XksProxyIncorrectAuthenticationCredentialException", 1);
    let answer = linked.rest().send("POST", &format!("{}/rotate-credential", store.path), b"");
    assert!(answer.status == 422 && answer.text().contains("XksProxyIncorrectAuthenticationCredentialException"), "{}", answer.text());
    let credentials = linked.rest().get(&format!("{}/credentials", store.path));
    assert_eq!((&credentials["total"], &linked.rest().get(&store.path)["credential_version"]), (&json!(1), &json!(1)));

    // One more, which AWS is not told of: the first is still the one.
    let spare = linked.rest().post(&format!("{}/credentials", store.path), &json!({}));
    let first = text(&credentials, "/resources/0/id");
    let answer = linked.rest().send("DELETE", &format!("{}/credentials/{first}", store.path), b"");
    assert!(answer.status == 409 && answer.text().contains("AWS signs with"), "{}", answer.text());
    linked.rest().delete(&format!("{}/credentials/{}", store.path, text(&spare, "/id")));

    let given = json!({ "name": "given and renamed", "aws_param": { "access_key_id": "ABCDEFGHIJKLMNOPQRST", "secret_access_key": "s".repeat(43) } });
    let shown = linked.rest().patch(&store.path, &given);
    assert!(!shown.to_string().contains(&"s".repeat(43)), "{shown}");
    assert_eq!((linked.signs_with(&store), text(&shown, "/name")), (json!("ABCDEFGHIJKLMNOPQRST"), "given and renamed"));
    linked.rest().delete(&format!("{}/credentials/{first}", store.path));
    linked.connect(&store.path);
}

#[test]
fn only_a_linked_key_store_is_given_a_job_of_the_right_kind_and_a_job_in_use_stays() {
    let linked = Linked::start();
    let store = linked.linked_store("by the week");
    let key = linked.source_key("another key");
    let unlinked = linked.rest().post(STORES, &linked.new_store("unlinked", &key, false));
    let unlinked = format!("{STORES}/{}", text(&unlinked, "/id"));
    let right = linked.rest().post("scheduler/job-configs", &job("right", "cckm_xks_credential_rotation"));
    let wrong = linked.rest().post("scheduler/job-configs", &job("wrong", "cckm_key_rotation"));
    let (right, wrong) = (text(&right, "/id"), text(&wrong, "/id"));
    for (path, job, status) in
        [(&unlinked, right, 409), (&store.path, wrong, 400), (&store.path, "no-such-job", 400), (&store.path, "", 400)]
    {
        let body = json!({ "job_config_id": job }).to_string();
        let answer = linked.rest().send("POST", &format!("{path}/enable-credential-rotation-job"), body.as_bytes());
        assert_eq!(answer.status, status, "{path} {job}: {}", answer.text());
    }
    let answer = linked.rest().send("POST", &format!("{unlinked}/disable-credential-rotation-job"), b"");
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(linked.rest().get(&store.path).get("labels").is_none());

    linked.rest().post(&format!("{}/enable-credential-rotation-job", store.path), &json!({ "job_config_id": right }));
    assert_eq!(linked.rest().get(&store.path)["labels"], json!({ "job_config_id": right }));
    let job = format!("scheduler/job-configs/{right}");
    assert_eq!(linked.rest().send("DELETE", &job, b"").status, 409);
    let shown = linked.rest().act(&format!("{}/disable-credential-rotation-job", store.path));
    assert!(shown.get("labels").is_none(), "{shown}");
    linked.rest().delete(&job);
}

/// A job for one operation or the other (contract §13).
fn job(name: &str, operation: &str) -> Value {
    json!({
        "name": name, "operation": operation, "run_at": "0 9 * * fri",
        "cckm_xks_credential_rotation_params": if operation == "cckm_key_rotation" { Value::Null } else { json!({ "cloud_name": "aws" }) },
        "cckm_key_rotation_params": if operation == "cckm_key_rotation" { json!({ "cloud_name": "aws" }) } else { Value::Null },
    })
}
