//! `holdfast dev`: one command, everything there.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use holdfast_bench::{
    plan::{End, LoadPlan},
    target::Target,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    admin::Admin,
    client::{self, ask, dev_arguments, handout},
    process::{Holdfast, alone, run},
    site::run_load,
};

#[test]
fn the_main_job_runs_on_embedded_defaults_and_conforms() {
    let _alone = alone();
    let folder = TempDir::new().unwrap();
    let mut dev = start(folder.path());
    dev.wait_for("curl --aws-sigv4");
    let json = folder.path().join("dev.json");
    assert_eq!(fs::metadata(&json).unwrap().permissions().mode() & 0o777, 0o600);

    let facts = folder.path().join("facts.json");
    fs::write(&facts, facts_of(folder.path()).to_string()).unwrap();
    let ended = run(&["conformance".as_ref(), "--target".as_ref(), json.as_os_str(), "--facts".as_ref(), facts.as_os_str()]);
    assert!(ended.status.success() && !ended.stdout.contains("not asked"), "{}", ended.stdout);

    let ended =
        run(&["conformance".as_ref(), "--json".as_ref(), "--only".as_ref(), "encrypt".as_ref(), "--target".as_ref(), json.as_os_str()]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let cases = report["cases"].as_array().unwrap();
    assert!(report["failed"] == 0 && report["passed"] == cases.len() && cases.iter().all(|case| case["ok"] == true), "{}", ended.stdout);

    let (status, _) = dev.stop();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_printed_curl_line_works_when_pasted() {
    let folder = TempDir::new().unwrap();
    let mut dev = start(folder.path());
    dev.wait_for("curl --aws-sigv4");
    let line = dev.seen.lines().find(|line| line.starts_with("curl --aws-sigv4")).unwrap().to_owned();
    let output = Command::new("bash").args(["-c", &format!("{line} --silent --show-error --fail-with-body")]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert!(answer["ciphertext"].is_string() && answer["authenticationTag"].is_string(), "{answer}");
}

#[test]
fn a_second_start_finds_everything_again() {
    let folder = TempDir::new().unwrap();
    let (before, sealed) = first_run(folder.path());

    let mut second = start(folder.path());
    second.wait_for("curl --aws-sigv4");
    let after = handout(folder.path());
    for field in ["prefix", "access_key_id", "secret_access_key", "key_id"] {
        assert_eq!(before["xks"][field], after["xks"][field], "{field}");
    }
    assert_eq!(before["api"]["password"], after["api"]["password"]);
    assert_eq!(decrypt(&after, &sealed), "aGVsbG8=");
}

#[test]
fn a_deleted_dev_json_gets_a_new_credential_and_dev_says_so() {
    let folder = TempDir::new().unwrap();
    let (before, sealed) = first_run(folder.path());
    fs::remove_file(folder.path().join("dev.json")).unwrap();

    let mut second = start(folder.path());
    second.wait_for("curl --aws-sigv4");
    assert!(second.seen.contains("new credential"), "{}", second.seen);
    let after = handout(folder.path());
    assert_ne!(before["xks"]["access_key_id"], after["xks"]["access_key_id"]);
    assert_eq!(before["xks"]["key_id"], after["xks"]["key_id"]);
    assert_eq!(decrypt(&after, &sealed), "aGVsbG8=");
}

#[test]
fn a_quota_throttles_what_is_over_it() {
    let _alone = alone();
    let folder = TempDir::new().unwrap();
    let mut arguments = dev_arguments(folder.path());
    arguments.extend(["--xks-quota".into(), "5".into()]);
    let mut dev = Holdfast::start(&arguments);
    dev.wait_for("curl --aws-sigv4");
    let mut plan = LoadPlan::new(vec![Target::read(&folder.path().join("dev.json")).unwrap()]);
    plan.end = End::Requests(200);
    let report = run_load(plan);
    assert!(report.answered() >= 5, "{report}");
    assert!(report.failed() > 100, "{report}");
    for (_, failure, _) in report.failures() {
        assert!(failure.to_string().contains("429 ThrottlingException"), "{failure}");
    }
}

#[test]
fn another_region_is_refused_on_a_second_start() {
    let folder = TempDir::new().unwrap();
    let mut arguments = dev_arguments(folder.path());
    arguments.extend(["--region".into(), "eu-west-1".into()]);
    let mut first = Holdfast::start(&arguments);
    first.wait_for("curl --aws-sigv4");
    assert_eq!(handout(folder.path())["xks"]["region"], "eu-west-1");
    assert!(encrypt(&handout(folder.path()))["ciphertext"].is_string());
    assert_eq!(first.stop().0.code(), Some(0));

    let last = arguments.len() - 1;
    arguments[last] = "us-west-2".into();
    let ended = run(&arguments);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("--region us-west-2") && ended.stderr.contains("eu-west-1"), "{}", ended.stderr);
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let folder = TempDir::new().unwrap();
    for flag in ["--xks-listen", "--api-listen", "--sync-listen", "--ops-listen"] {
        let mut arguments = dev_arguments(folder.path());
        let at = arguments.iter().position(|argument| argument == flag).unwrap();
        arguments[at + 1] = addr.clone();
        let ended = run(&arguments);
        assert_eq!(ended.status.code(), Some(1), "{flag}: {}", ended.stderr);
        let lines: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("holdfast: ")).collect();
        assert!(matches!(lines[..], [line] if line.contains(&addr)), "{flag}: {}", ended.stderr);
    }
}

#[test]
fn an_unusable_data_directory_is_one_clear_line() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let newer = folder.path().join("newer");
    fs::create_dir(&newer).unwrap();
    fs::write(newer.join("format"), "holdfast-dev 999\n").unwrap();
    let strange = folder.path().join("strange");
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("thesis.tex"), "").unwrap();
    for (directory, word) in [(file, "directory"), (newer, "999"), (strange, "empty")] {
        let ended = run(&dev_arguments(&directory));
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        let lines: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("holdfast: ")).collect();
        assert!(matches!(lines[..], [line] if line.contains(word)), "{}", ended.stderr);
    }
}

#[test]
fn bad_arguments_exit_with_2() {
    for arguments in [vec!["dev", "--xks-listen", "nowhere"], vec!["dev", "--xks-quota", "-1"], vec!["sing"]] {
        assert_eq!(run(&arguments).status.code(), Some(2), "{arguments:?}");
    }
}

fn facts_of(directory: &Path) -> Value {
    let handout = handout(directory);
    let (port, api) = (client::api(&handout).port(), handout["api"].clone());
    tokio::runtime::Runtime::new().unwrap().block_on(async { Admin::sign_in(port, &api).await.make_facts().await })
}

/// Starts and stops; what was handed out, and a ciphertext made under it.
fn first_run(directory: &Path) -> (Value, Value) {
    let mut first = start(directory);
    first.wait_for("curl --aws-sigv4");
    let handout = handout(directory);
    let sealed = encrypt(&handout);
    assert_eq!(first.stop().0.code(), Some(0));
    (handout, sealed)
}

fn start(directory: &Path) -> Holdfast {
    Holdfast::start(&dev_arguments(directory))
}

fn encrypt(handout: &Value) -> Value {
    ask(handout, "encrypt", json!({ "plaintext": "aGVsbG8=", "encryptionAlgorithm": "AES_GCM" }))
}

fn decrypt(handout: &Value, sealed: &Value) -> Value {
    let mut body = sealed.clone();
    body["encryptionAlgorithm"] = "AES_GCM".into();
    ask(handout, "decrypt", body)["plaintext"].take()
}
