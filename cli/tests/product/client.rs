//! `curl` as a client of what `holdfast dev` started: it shares no code with us.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use serde_json::{Value, json};

/// Arguments of a `holdfast dev` on free ports.
pub(crate) fn dev_arguments(directory: &Path) -> Vec<String> {
    let mut arguments = vec!["dev".to_owned(), "--data-dir".into(), directory.display().to_string()];
    for listener in ["xks", "api", "sync", "ops"] {
        arguments.extend([format!("--{listener}-listen"), "127.0.0.1:0".into()]);
    }
    arguments
}

/// What `dev.json` says.
pub(crate) fn handout(directory: &Path) -> Value {
    serde_json::from_slice(&fs::read(directory.join("dev.json")).unwrap()).unwrap()
}

/// Where the API is.
pub(crate) fn api(handout: &Value) -> SocketAddr {
    let (_, port) = handout["api"]["url"].as_str().unwrap().rsplit_once(':').unwrap();
    ([127, 0, 0, 1], port.parse().unwrap()).into()
}

/// Calls `operation` on the demo key.
pub(crate) fn ask(handout: &Value, operation: &str, mut body: Value) -> Value {
    let xks = |field: &str| handout["xks"][field].as_str().unwrap();
    body["requestMetadata"] = json!({
        "awsPrincipalArn": "arn:aws:iam::123456789012:user/alice",
        "kmsOperation": "Encrypt",
        "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
        "kmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    });
    let url = format!("https://{}:{}{}/keys/{}/{operation}", xks("host"), handout["xks"]["port"], xks("prefix"), xks("key_id"));
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--aws-sigv4", &format!("aws:amz:{}:kms-xks-proxy", xks("region"))])
        .args(["--user", &format!("{}:{}", xks("access_key_id"), xks("secret_access_key"))])
        .args(["--cacert", xks("ca"), "-H", "Content-Type: application/json", "-d", &body.to_string(), &url])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}
