//! The program.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::client::Client;

/// A running program, and its first line.
fn started(arguments: &[&str]) -> (Child, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_holdfast-kms-sim"))
        .args(["--listen", "127.0.0.1:0"])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

fn client(first: &Value) -> Client {
    let text = |name: &str| first[name].as_str().unwrap().to_owned();
    Client {
        authority: text("url").strip_prefix("http://").unwrap().to_owned(),
        access_key_id: text("access_key_id"),
        secret: text("secret_access_key"),
        session_token: None,
        region: text("region"),
        skew: 0,
        scope: None,
    }
}

fn ended(mut child: Child) -> Option<i32> {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap().code()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn the_first_line_is_all_that_a_client_needs_and_a_signal_ends_it() {
    let (child, first) = started(&["--region", "eu-south-2"]);
    assert_eq!(first["region"], "eu-south-2");
    client(&first).done("ListKeys", &json!({})).await;
    assert_eq!(ended(child), Some(0));
}

#[tokio::test]
async fn the_access_key_can_be_given_and_what_was_made_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (secret, state) = (dir.path().join("secret"), dir.path().join("state.json"));
    fs::write(&secret, "a-secret-of-the-test\n").unwrap();
    let arguments = ["--access-key-id", "AKIAAAAAAAAAAAAAAAAA", "--secret-access-key-file", text(&secret), "--state-file", text(&state)];
    let (child, first) = started(&arguments);
    assert_eq!(
        (first["access_key_id"].as_str(), first["secret_access_key"].as_str()),
        (Some("AKIAAAAAAAAAAAAAAAAA"), Some("a-secret-of-the-test"))
    );
    let key = client(&first).done("CreateKey", &json!({})).await["KeyMetadata"]["KeyId"].clone();
    assert_eq!(ended(child), Some(0));
    let (child, first) = started(&arguments);
    client(&first).done("DescribeKey", &json!({"KeyId": key})).await;
    assert_eq!(ended(child), Some(0));
}

#[test]
fn a_start_that_is_impossible_ends_with_its_reason() {
    let cases: [(&[&str], &str); 3] = [
        (&["--proxy-ca", "/nowhere/ca.pem"], "cannot read /nowhere/ca.pem"),
        (&["--account", "1234"], "an account has 12 digits"),
        (&["--access-key-id", "AKIA"], "--secret-access-key-file"),
    ];
    for (arguments, reason) in cases {
        let ended =
            Command::new(env!("CARGO_BIN_EXE_holdfast-kms-sim")).args(["--listen", "127.0.0.1:0"]).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && said.contains(reason), "{said}");
    }
}
