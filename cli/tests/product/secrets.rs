//! Plaintext and secrets are nowhere that they must not be: the product runs with the most talkative log, and everything that it left behind is searched.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client,
    process::{Holdfast, alone},
};

#[test]
fn no_log_audit_metric_or_file_has_a_plaintext_or_a_secret() {
    let _alone = alone();
    let folder = TempDir::new().unwrap();
    let mut dev = Holdfast::start_with(&client::dev_arguments(folder.path()), &[("HOLDFAST_LOG", "trace")]);
    dev.wait_for("curl --aws-sigv4");
    let handout = client::handout(folder.path());

    // A plaintext that nothing else looks like, in the clear and as it travels.
    let (plaintext, encoded) = ("Quokka-Marzipan-4711", "UXVva2thLU1hcnppcGFuLTQ3MTE=");
    let sealed = client::ask(&handout, "encrypt", json!({ "plaintext": encoded, "encryptionAlgorithm": "AES_GCM" }));
    let mut again = sealed.clone();
    again["encryptionAlgorithm"] = "AES_GCM".into();
    assert_eq!(client::ask(&handout, "decrypt", again.clone())["plaintext"], encoded);
    // Failures are logged and audited with more detail than successes.
    again["authenticationTag"] = "AAAAAAAAAAAAAAAAAAAAAA==".into();
    assert_eq!(client::ask(&handout, "decrypt", again)["errorName"], "InvalidCiphertextException");
    assert_eq!(client::ask(&handout, "encrypt", json!({ "plaintext": encoded }))["errorName"], "ValidationException");
    let mut stranger = handout.clone();
    stranger["xks"]["secret_access_key"] = "Z".repeat(43).into();
    assert_eq!(client::ask(&stranger, "encrypt", json!({}))["errorName"], "AuthenticationFailedException");

    let metrics = Command::new("curl").args(["--silent", &format!("{}/metrics", text(&handout["ops"]["url"]))]).output().unwrap();
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    assert!(metrics.contains("holdfast_"), "{metrics}");
    let (status, output) = dev.stop();
    assert!(status.success());

    let secrets = [plaintext, encoded, text(&handout["xks"]["secret_access_key"]), text(&handout["api"]["password"])];
    for secret in secrets {
        assert!(secret.len() > 15, "too short to search for");
        // The curl line is printed for people to paste, with the demo credential.
        let mut log = output.lines().filter(|line| !line.starts_with("curl "));
        assert_eq!(log.find(|line| line.contains(secret)), None, "in the log");
        assert!(!metrics.contains(secret), "in the metrics");
        search(folder.path(), secret);
    }
    assert!(output.contains("4112f4d6-db54-4af4-ae30-c55a22a8dfae"), "the log names each request's kmsRequestId");
}

/// Every file but `dev.json`, which is there to hand secrets to its owner.
pub(crate) fn search(folder: &Path, secret: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, secret);
        } else if path.file_name().unwrap() != "dev.json" {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "in {}", path.display());
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
