//! PINs are tried once.

use std::fs;

use serde_json::json;

use super::{rig::Dev, simulator::Simulator};
use crate::{client::dev_arguments, process::run_with};

#[test]
fn a_wrong_pin_is_tried_once_over_restarts_until_it_changes_or_a_person_says_so() {
    let hsm = Simulator::new(&["watch", "token"], "");
    let (name, value) = hsm.environment();
    let environment = [(name, value.as_str())];
    // Holds the simulator's control socket while the others come and go.
    let _watch = Dev::start(hsm.environment(), vec![hsm.spec("watch", "")]);
    let tries = || hsm.fault("token", json!({ "fault": "wrong-pin" }))["attempts"].as_u64().unwrap();
    let pin = hsm.path().join("token-pin");
    let spec = hsm.spec("token", "").replace(&hsm.pin().display().to_string(), &pin.display().to_string());
    fs::write(&pin, "0000\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut start = dev_arguments(folder.path());
    start.extend(["--partition".to_owned(), spec.clone()]);

    for _ in 0..3 {
        let ended = run_with(&start, &environment);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains("PIN") && ended.stderr.contains("retry-login"), "{}", ended.stderr);
        assert_eq!(tries(), 1);
    }
    let state = folder.path().join("node/state").display().to_string();
    let partition = |verb: &str| run_with(&["partition", verb, "--partition", &spec, "--state-dir", &state], &environment);
    let ended = partition("retry-login");
    assert!(ended.status.success() && ended.stdout.contains("once more"), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(run_with(&start, &environment).status.code(), Some(1));
    assert!(!partition("list").status.success());
    assert_eq!(tries(), 2);
    // Another PIN is another try, by whoever comes first.
    fs::copy(hsm.pin(), &pin).unwrap();
    let ended = partition("list");
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(tries(), 2);
}
