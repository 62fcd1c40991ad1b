//! Groups whose members differ, or lack a key.

use std::fs;

use super::{rig::Dev, softhsm::SoftHsm};
use crate::{
    client::{ask, dev_arguments},
    process::run_with,
};
use serde_json::json;

#[test]
fn of_two_tokens_with_equal_labels_and_different_material_the_second_is_excluded_and_reported() {
    let hsm = SoftHsm::with_tokens(&["first", "second"]);
    for token in ["first", "second"] {
        hsm.import(token, "holdfast-health", &[1; 32]);
    }
    hsm.import("first", "holdfast-demo", &[2; 32]);
    hsm.import("second", "holdfast-demo", &[3; 32]);
    let dev = Dev::start(hsm.environment(), vec![hsm.spec("first", ",group=g"), hsm.spec("second", ",group=g")]);
    let group = dev.group("g");
    let mut sealed = Vec::new();
    for _ in 0..20 {
        sealed.push(ask(&group, "encrypt", json!({ "plaintext": "aGVsbG8=", "encryptionAlgorithm": "AES_GCM" })));
    }
    // Whatever the second had encrypted, the first could not open.
    for mut body in sealed {
        body["encryptionAlgorithm"] = "AES_GCM".into();
        assert_eq!(ask(&group, "decrypt", body)["plaintext"], "aGVsbG8=");
    }
    dev.until("the second is reported", |dev| {
        dev.metric("holdfast_partition_excluded_keys", "second") == 1.0 && dev.metric("holdfast_partition_excluded_keys", "first") == 0.0
    });
    let (_, seen) = dev.process.stop();
    assert!(seen.lines().any(|line| line.contains("second") && line.contains("holdfast-demo")), "{seen}");
}

#[test]
fn a_lost_handout_is_written_anew_while_the_token_is_away() {
    let hsm = SoftHsm::with_tokens(&["away"]);
    let dev = Dev::start(hsm.environment(), vec![hsm.spec("away", "")]);
    let before = dev.group("away");
    let (here, gone) = (hsm.path().join("tokens"), hsm.path().join("gone"));
    let dev = dev.restart_after(|data| {
        fs::remove_file(data.join("dev.json")).unwrap();
        fs::rename(&here, &gone).unwrap();
        fs::create_dir(&here).unwrap();
    });
    let after = dev.group("away");
    assert_eq!((&after["xks"]["prefix"], &after["xks"]["key_id"]), (&before["xks"]["prefix"], &before["xks"]["key_id"]));
    assert_ne!(after["xks"]["access_key_id"], before["xks"]["access_key_id"]);
    let notes = dev.process.seen.lines().filter(|line| line.contains("dev.json was not there") || line.contains("when it comes back"));
    assert_eq!(notes.count(), 2, "{}", dev.process.seen);
}

#[test]
fn a_member_that_lacks_a_key_stops_dev_and_is_named() {
    let hsm = SoftHsm::with_tokens(&["first", "second"]);
    hsm.import("first", "holdfast-health", &[1; 32]);
    hsm.import("first", "holdfast-demo", &[2; 32]);
    hsm.import("second", "holdfast-health", &[1; 32]);
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = dev_arguments(folder.path());
    for token in ["first", "second"] {
        arguments.extend(["--partition".to_owned(), hsm.spec(token, ",group=g")]);
    }
    let (name, value) = hsm.environment();
    let ended = run_with(&arguments, &[(name, &value)]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("partition second") && ended.stderr.contains("holdfast-demo"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("partition first"), "{}", ended.stderr);
}
