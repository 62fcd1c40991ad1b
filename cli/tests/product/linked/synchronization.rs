//! What is found in AWS, and the jobs that look for it; and what jobs do by themselves.

use std::{
    thread,
    time::{Duration, Instant},
};

use holdfast_sim_kms::When;
use serde_json::{Value, json};

use super::{
    parity::jobs_alike,
    site::{CONNECTION, KMS, Linked, REGIONS, STORES},
};
use crate::rest::{connection, container, text};

#[test]
fn a_connection_leads_to_an_account_and_to_a_role_whose_names_a_client_swaps() {
    let linked = Linked::start();
    let account = |role: &str, id: &str| {
        let body = json!({ "connection": CONNECTION, "assume_role_arn": role, "assume_role_external_id": id });
        linked.rest().post("cckm/aws/accounts", &body)
    };
    let told = account("", "");
    assert_eq!(told["account_id"], linked.sim().settings().account_id);
    assert!(told["regions"].as_array().unwrap().len() >= 5, "{told}");
    let taken_on = || linked.switches().calls().iter().filter(|call| *call == "AssumeRole").count();
    assert_eq!(taken_on(), 0);
    let role = format!("arn:aws:iam::{}:role/keys", linked.sim().settings().account_id);
    for _ in 0..2 {
        assert_eq!(account("tenant-7", &role), told);
    }
    assert_eq!(taken_on(), 1, "what was handed out lasts");
    let alone = json!({ "connection": CONNECTION, "assume_role_external_id": "tenant-7" });
    assert_eq!(linked.rest().send("POST", "cckm/aws/accounts", alone.to_string().as_bytes()).status, 400);
}

#[test]
fn what_is_in_aws_appears_follows_its_changes_and_is_told_when_it_is_gone() {
    let linked = Linked::start();
    let key = made_key(&linked);
    linked.kms("CreateAlias", &json!({ "AliasName": "alias/found", "TargetKeyId": key }));
    let remote = remote_store(&linked, "theirs");
    let cluster = cluster_store(&linked, "on-cluster");

    let job = synchronize(&linked, &json!({ "kms": [KMS], "regions": [], "synchronize_all": false }));
    let account = &linked.sim().settings().account_id;
    let detail: Value = REGIONS.iter().map(|region| (format!("{account}/{region}"), DONE.into())).collect::<serde_json::Map<_, _>>().into();
    assert_eq!((&job["overall_status"], &job["detailed_status"]), (&"completed".into(), &detail));
    let shown = found_key(&linked, &key);
    assert_eq!((&shown["key_material_origin"], &shown["aws_param"]["Alias"]), (&"native".into(), &json!(["alias/found"])));
    let (store, on_cluster) = (found_store(&linked, &remote), found_store(&linked, &cluster));
    assert_eq!((&store["type"], &store["name"]), (&"REMOTE".into(), &"theirs".into()));
    assert_eq!((&on_cluster["type"], &on_cluster["name"]), (&"CloudHSM".into(), &"on-cluster".into()));

    // What has not changed is not touched; what has is.
    linked.kms("DisableKey", &json!({ "KeyId": key }));
    linked.kms("UpdateCustomKeyStore", &json!({ "CustomKeyStoreId": remote, "NewCustomKeyStoreName": "renamed" }));
    synchronize(&linked, &json!({}));
    assert_eq!(found_key(&linked, &key)["aws_param"]["KeyState"], "Disabled");
    assert_eq!(found_store(&linked, &remote)["name"], "renamed");
    assert_eq!(found_store(&linked, &cluster)["updatedAt"], on_cluster["updatedAt"]);

    linked.kms("ScheduleKeyDeletion", &json!({ "KeyId": key, "PendingWindowInDays": 7 }));
    linked.kms("DeleteCustomKeyStore", &json!({ "CustomKeyStoreId": remote }));
    linked.switches().advance(Duration::from_secs(8 * 86_400));
    synchronize(&linked, &json!({ "synchronize_all": true }));
    assert_eq!(found_key(&linked, &key)["gone"], true);
    assert_eq!(found_store(&linked, &remote)["gone"], true);
    assert_eq!(found_store(&linked, &cluster)["gone"], false);

    // A container whose connection AWS refuses is named, and keeps no other of its account from being read.
    let mut stranger = connection("stranger", "not the secret");
    stranger["access_key_id"] = linked.sim().settings().access_key_id.as_str().into();
    linked.rest().post("connectionmgmt/services/aws/connections", &stranger);
    let mut same = container("same account", "stranger");
    (same["account_id"], same["regions"]) = (account.as_str().into(), json!(["us-east-1"]));
    linked.rest().post("cckm/aws/kms", &same);
    let late = made_key(&linked);
    let job = synchronize(&linked, &json!({ "kms": [KMS, "same account"], "regions": ["us-east-1"] }));
    let told = text(&job, &format!("/detailed_status/{account}~1us-east-1"));
    assert!(told.starts_with("failed: KMS container same account: AWS ") && told.contains("Signature"), "{told}");
    found_key(&linked, &late);

    for (body, member) in [
        (json!({ "synchronize_all": true, "kms": [KMS] }), "kms"),
        (json!({ "synchronize_all": true, "regions": ["us-east-1"] }), "regions"),
        (json!({ "kms": [KMS], "regions": ["sa-east-1"] }), "regions"),
    ] {
        let refused = linked.rest().send("POST", JOBS, body.to_string().as_bytes());
        assert!(refused.status == 400 && refused.text().contains(member), "{}", refused.text());
    }
}

#[test]
fn a_job_waits_where_aws_throttles_tells_what_aws_refuses_and_ends_when_it_is_broken_off() {
    let linked = Linked::start();
    let here = json!({ "kms": [KMS], "regions": ["us-east-1"] });
    // One more than the client tries by itself.
    linked.switches().throttle("ListKeys", 7);
    let job = begun(&linked, &here);
    let detail = format!("/detailed_status/{}~1us-east-1", linked.sim().settings().account_id);
    let says = |shown: &Value, words: &str| shown.pointer(&detail).and_then(Value::as_str).is_some_and(|text| text.contains(words));
    linked.until_shown(&job, |shown| says(shown, "AWS KMS ListKeys: ThrottlingException"));
    assert!(says(&ended(&linked, &job), DONE));

    linked.switches().refuse("ListKeys", "AccessDeniedException", 1);
    let refused = synchronize(&linked, &here);
    assert!(refused["overall_status"] == "failed" && says(&refused, "failed: AWS KMS ListKeys: AccessDeniedException"), "{refused}");

    // Between two of them it is broken off.
    (0..2).for_each(|_| drop(made_key(&linked)));
    let held = linked.switches().hold("DescribeKey", When::Before);
    let job = begun(&linked, &here);
    linked.block_on(held.reached());
    for spelling in ["in_progress", "in%20progress"] {
        assert_eq!(linked.rest().get(&format!("{JOBS}?overall_status={spelling}"))["total"], 1, "{spelling}");
    }
    assert_eq!(linked.rest().act(&format!("{job}/cancel"))["abort"], true);
    held.release();
    let cancelled = ended(&linked, &job);
    assert!(cancelled["overall_status"] == "failed" && cancelled["abort"] == true, "{cancelled}");
    assert_eq!(linked.rest().get(&format!("{JOBS}?overall_status=completed&kms={KMS}"))["total"], 1);
    let done = text(&linked.rest().get(&format!("{JOBS}?overall_status=completed")), "/resources/0/id").to_owned();
    assert_eq!(linked.rest().send("POST", &format!("{JOBS}/{done}/cancel"), b"").status, 409);
}

#[test]
fn a_job_that_a_crash_broke_off_goes_on_after_the_restart() {
    let mut linked = Linked::start();
    let keys: Vec<_> = (0..3).map(|_| made_key(&linked)).collect();
    let held = linked.switches().hold("DescribeKey", When::After);
    let job = begun(&linked, &json!({ "synchronize_all": true }));
    linked.block_on(held.reached());
    linked.kill_control_plane();
    held.abandon();
    linked.restart_control_plane();
    assert_eq!(ended(&linked, &job)["overall_status"], "completed");
    for key in &keys {
        assert_eq!(found_key(&linked, key)["gone"], false);
    }
}

#[test]
fn scheduled_jobs_rotate_what_carries_them_and_one_that_fails_keeps_no_other_from_its_turn() {
    let linked = Linked::start();
    let stores = [linked.connected_store("one"), linked.connected_store("two")];
    let key = text(&linked.linked_key(&stores[0], "rotated"), "/id").to_owned();
    let found = made_key(&linked);
    let job = |name: &str, params: Value| {
        let mut body = json!({ "name": name, "operation": name, "run_at": "* * * * *", "disabled": true });
        body[format!("{name}_params")] = params;
        text(&linked.rest().post(CONFIGS, &body), "/id").to_owned()
    };
    let credentials = job("cckm_xks_credential_rotation", json!({ "cloud_name": "aws" }));
    let keys = job("cckm_key_rotation", json!({ "cloud_name": "aws", "aws_param": { "retain_alias": false } }));
    for store in &stores {
        linked.rest().post(&format!("{}/enable-credential-rotation-job", store.path), &json!({ "job_config_id": credentials }));
    }
    linked.rest().post(&format!("cckm/aws/keys/{key}/enable-rotation-job"), &json!({ "job_config_id": keys }));
    let looks = job("cckm_synchronization", json!({ "cloud_name": "aws", "kms": [KMS], "synchronize_all": false }));

    linked.switches().refuse("UpdateCustomKeyStore", "KMSInvalidStateException", 1);
    let disabled = |job: &str, disabled: bool| _ = linked.rest().patch(&format!("{CONFIGS}/{job}"), &json!({ "disabled": disabled }));
    // Last, so that no minute turns before all is set up; what is counted below runs once.
    [&keys, &looks, &credentials].into_iter().for_each(|job| disabled(job, false));
    let rotated = ran(&linked, &credentials);
    disabled(&credentials, true);
    let (credentials, keys, looks) = (rotated, ran(&linked, &keys), ran(&linked, &looks));
    jobs_alike(&linked);
    assert_eq!(credentials["status"], "failed");
    let failure = text(&credentials, "/failure");
    assert!(failure.starts_with("1 of 2 failed, the first key store ") && failure.contains("KMSInvalidStateException"), "{failure}");
    let counts = stores.each_ref().map(|store| linked.rest().get(&format!("{}/credentials", store.path))["total"].as_u64().unwrap());
    // The one that failed was withdrawn.
    assert!(counts == [1, 2] || counts == [2, 1], "{counts:?}");
    assert_eq!((&keys["status"], &looks["status"]), (&"completed".into(), &"completed".into()), "{keys} {looks}");
    assert!(linked.rest().get(&format!("cckm/aws/keys/{key}/versions"))["total"].as_u64().unwrap() >= 2);
    assert_eq!(found_key(&linked, &found)["key_material_origin"], "native");

    let carried = linked.rest().send("DELETE", &format!("{CONFIGS}/cckm_key_rotation"), b"");
    assert!(carried.status == 409 && carried.text().contains("alias/rotated"), "{}", carried.text());
    linked.rest().act(&format!("cckm/aws/keys/{key}/disable-rotation-job"));
    linked.rest().delete(&format!("{CONFIGS}/cckm_key_rotation"));
}

/// How the job's first run ended.
fn ran(linked: &Linked, job: &str) -> Value {
    let end = Instant::now() + Duration::from_secs(150);
    loop {
        let shown = linked.rest().get(&format!("{CONFIGS}/{job}"));
        if let Some(ran) = shown.get("last_run") {
            return ran.clone();
        }
        assert!(Instant::now() < end, "{shown}");
        // Only so that looking does not take the processor from what is waited for: it is due at the next full minute.
        thread::sleep(Duration::from_millis(200));
    }
}

/// Begins a job; its path.
pub(super) fn begun(linked: &Linked, body: &Value) -> String {
    let job = linked.rest().post(JOBS, body);
    assert_eq!((&job["overall_status"], job.get("detailed_status")), (&"in progress".into(), None));
    format!("{JOBS}/{}", text(&job, "/id"))
}

pub(super) fn ended(linked: &Linked, job: &str) -> Value {
    linked.until_shown(job, |shown| shown["overall_status"] != "in progress")
}

fn synchronize(linked: &Linked, body: &Value) -> Value {
    let job = begun(linked, body);
    ended(linked, &job)
}

/// A key that AWS has and nobody told us of; its id in AWS.
pub(super) fn made_key(linked: &Linked) -> String {
    text(&linked.kms("CreateKey", &json!({ "Description": "made elsewhere" })), "/KeyMetadata/KeyId").to_owned()
}

/// An external key store that AWS has, of a proxy that is not linked to it here; its id in AWS.
pub(super) fn remote_store(linked: &Linked, name: &str) -> String {
    let health = linked.source_key("health");
    let proxy = linked.rest().post(STORES, &linked.new_store("not linked", &health, false));
    linked.wait_for_nodes();
    let credential = json!({ "AccessKeyId": proxy["access_key_id"], "RawSecretAccessKey": proxy["secret_access_key"] });
    let body = json!({
        "CustomKeyStoreName": name, "CustomKeyStoreType": "EXTERNAL_KEY_STORE", "XksProxyConnectivity": "PUBLIC_ENDPOINT",
        "XksProxyUriEndpoint": linked.endpoint(), "XksProxyUriPath": proxy["aws_param"]["xks_proxy_uri_path"],
        "XksProxyAuthenticationCredential": credential,
    });
    text(&linked.kms("CreateCustomKeyStore", &body), "/CustomKeyStoreId").to_owned()
}

/// A key store on a cluster that AWS has; its id in AWS.
pub(super) fn cluster_store(linked: &Linked, name: &str) -> String {
    let unused = linked.rest().post(&format!("{STORES}/get-unused-cloudhsm-clusters"), &json!({ "kms": KMS, "region": "us-east-1" }));
    let body = json!({
        "CustomKeyStoreName": name, "CustomKeyStoreType": "AWS_CLOUDHSM", "CloudHsmClusterId": unused["resources"][0]["ClusterId"],
        "KeyStorePassword": "kmsuser-password",
        "TrustAnchorCertificate": unused["resources"][0]["Certificates"]["ClusterCertificate"],
    });
    text(&linked.kms("CreateCustomKeyStore", &body), "/CustomKeyStoreId").to_owned()
}

fn found_key(linked: &Linked, key_id: &str) -> Value {
    let found = linked.rest().get(&format!("cckm/aws/keys?keyid={key_id}&region=us-east-1"));
    assert_eq!(found["total"], 1, "{found}");
    found["resources"][0].clone()
}

pub(super) fn found_store(linked: &Linked, in_aws: &str) -> Value {
    let found = linked.rest().get(&format!("{STORES}?custom_key_store_id={in_aws}"));
    assert_eq!(found["total"], 1, "{found}");
    found["resources"][0].clone()
}

const JOBS: &str = "cckm/aws/custom-key-stores/synchronization-jobs";
const CONFIGS: &str = "scheduler/job-configs";
const DONE: &str = "region synchronized successfully";
