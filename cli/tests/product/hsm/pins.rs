//! PINs: tried once.

use serde_json::json;
use std::fs;

use super::simulator::Simulator;
use crate::{client::dev_arguments, process::run_with};

#[test]
fn a_wrong_pin_is_tried_once_over_restarts_until_it_changes_or_a_person_says_so() {
    let hsm = Simulator::new(&["token", "other"], "");
    let right = fs::read_to_string(hsm.pin()).unwrap();
    fs::write(hsm.pin(), "0000\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = dev_arguments(folder.path());
    arguments.extend(["--partition".to_owned(), hsm.spec("token", "")]);
    let state = folder.path().join("node/state");
    let (name, value) = hsm.environment();
    let environment = [(name, value.as_str())];
    let tries = |hsm: &Simulator| {
        let listed = run_with(
            &["partition", "list", "--json", "--partition", &hsm.spec("other", ""), "--state-dir", &state.display().to_string()],
            &environment,
        );
        drop(listed);
        hsm.wrong_pins("token")
    };

    for _ in 0..3 {
        let ended = run_with(&arguments, &environment);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains("PIN") && ended.stderr.contains("retry-login"), "{}", ended.stderr);
        assert_eq!(tries(&hsm), 1);
    }
    let retry = ["partition", "retry-login", "--partition", &hsm.spec("token", ""), "--state-dir", &state.display().to_string()];
    let ended = run_with(&retry, &environment);
    assert!(ended.status.success() && ended.stdout.contains("once more"), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(run_with(&arguments, &environment).status.code(), Some(1));
    assert_eq!(tries(&hsm), 2);
    // Another PIN is another try.
    fs::write(hsm.pin(), right).unwrap();
    let list = ["partition", "list", "--partition", &hsm.spec("token", ""), "--state-dir", &state.display().to_string()];
    let ended = run_with(&list, &environment);
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(tries(&hsm), 2);
    let _ = json!(null);
}
