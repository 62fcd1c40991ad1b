//! HYOK keys that a scheduled job rotates: they get new versions, what the old ones sealed opens, and a run that can't end as it should says
//! so.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::site::Linked;
use crate::rest::text;

#[test]
fn a_job_gives_a_key_a_new_version_that_seals_and_what_was_sealed_before_opens() {
    let linked = Linked::start();
    let (key, path) = key(&linked, "rotated");
    let old = sealed(&linked, &key);
    assert!(is_by(&old, 0) && !is_by(&old, 1));
    let job = rotation_job(&linked, &path);
    let versions = format!("{path}/versions");
    linked.until_shown_within(&format!("{versions}?version=1"), NEXT_RUN, |page| page["resources"][0]["state"] == "active");
    let ran = linked.until_shown(&job, |shown| shown["last_run"].is_object())["last_run"].clone();
    assert_eq!((text(&ran, "/status"), &ran["failure"], &ran["is_final"]), ("completed", &Value::Null, &Value::Null));
    // It goes by the minute.
    let shown = linked.rest().act(&format!("{path}/disable-rotation-job"));
    assert_eq!((&shown["labels"], text(&shown, "/rotation_status")), (&Value::Null, "ROTATED"));

    assert_eq!(opened(&linked, &old), PLAIN);
    let new = sealed(&linked, &key);
    assert!(!is_by(&new, 0), "it is by a version after the first");
    assert_eq!(opened(&linked, &new), PLAIN);
    let page = linked.rest().get(&versions);
    let made_on: Vec<_> = page["resources"].as_array().unwrap().iter().map(|version| text(version, "/source_key_id")).collect();
    assert!(made_on.len() >= 2 && made_on[0] != made_on[1], "{page}");
}

#[test]
fn a_run_that_can_not_rotate_a_key_ends_as_failed_and_is_counted_and_the_key_stays_as_it_is() {
    let mut linked = Linked::start();
    let (key, path) = key(&linked, "not rotated");
    let old = sealed(&linked, &key);
    // Who would make the new source key.
    linked.kill_node(0);
    let job = rotation_job(&linked, &path);
    let shown = linked.until_shown_within(&job, NEXT_RUN, |shown| shown["last_run"].is_object());
    let failure = text(&shown, "/last_run/failure");
    assert_eq!((text(&shown, "/last_run/status"), &shown["last_run"]["is_final"]), ("failed", &false.into()));
    assert!(failure.starts_with("1 of 1 failed, the first key alias/not-rotated"), "{failure}");
    let counted =
        |line: &str| line.starts_with("holdfast_jobs_total{") && line.contains("\"cckm_key_rotation\"") && line.contains("\"failed\"");
    assert!(linked.metrics().lines().any(counted), "{}", linked.metrics());
    assert_eq!(linked.rest().get(&format!("{path}/versions"))["total"], 1);

    linked.start_node(0);
    linked.wait_for_nodes();
    assert_eq!(opened(&linked, &old), PLAIN);
    assert!(is_by(&sealed(&linked, &key), 0));
}

/// A linked key; AWS's id of it, and its path.
fn key(linked: &Linked, name: &str) -> (String, String) {
    let key = linked.linked_key(&linked.connected_store(name), &name.replace(' ', "-"));
    (text(&key, "/aws_param/KeyID").to_owned(), format!("cckm/aws/keys/{}", text(&key, "/id")))
}

/// Has a job rotate a key at each full minute; the job's path.
fn rotation_job(linked: &Linked, key: &str) -> String {
    let job = linked.rest().post(
        "scheduler/job-configs",
        &json!({
            "name": "by the minute", "operation": "cckm_key_rotation", "run_at": "* * * * *",
            "cckm_key_rotation_params": { "cloud_name": "aws", "aws_param": { "retain_alias": false } },
        }),
    );
    let enable = json!({ "job_config_id": job["id"], "auto_rotate_disable_encrypt": false, "auto_rotate_key_source": "local" });
    let shown = linked.rest().post(&format!("{key}/enable-rotation-job"), &enable);
    assert_eq!(shown["labels"]["job_config_id"], job["id"]);
    format!("scheduler/job-configs/{}", text(&job, "/id"))
}

fn sealed(linked: &Linked, key: &str) -> Value {
    linked.kms("Encrypt", &json!({ "KeyId": key, "Plaintext": PLAIN }))["CiphertextBlob"].clone()
}

fn opened(linked: &Linked, sealed: &Value) -> String {
    text(&linked.kms("Decrypt", &json!({ "CiphertextBlob": sealed })), "/Plaintext").to_owned()
}

/// Whether the proxy's metadata, which is in the ciphertext as it came, names this version: 1, the version in four bytes, and four of a tag.
fn is_by(sealed: &Value, version: u8) -> bool {
    let bytes = BASE64_STANDARD.decode(sealed.as_str().unwrap()).unwrap();
    bytes.windows(5).any(|window| window == [1, 0, 0, 0, version])
}

const PLAIN: &str = "aGVsbG8=";
/// Until the next minute, and what a job takes then.
const NEXT_RUN: Duration = Duration::from_secs(150);
