//! The command line of `holdfast-load`, against the floor server.

use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Output};

use holdfast_bench::floor::{Floor, FloorError};
use tempfile::TempDir;

/// Starts a floor server on the test's runtime and writes its target file.
async fn floor() -> Result<TempDir, FloorError> {
    let floor = Floor::bind((Ipv4Addr::LOCALHOST, 0).into()).await?;
    let folder = tempfile::tempdir()?;
    let certificate = folder.path().join("ca.pem");
    std::fs::write(&certificate, floor.certificate())?;
    std::fs::write(folder.path().join("target.json"), floor.target(&certificate).to_string())?;
    tokio::spawn(floor.serve());
    Ok(folder)
}

fn load(folder: &TempDir, flags: &[&str]) -> io::Result<Output> {
    let target = folder.path().join("target.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-load"));
    command.arg("--target").arg(target).args(["--duration", "0.1", "--warmup", "0"]).args(flags);
    command.output()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_failures_ends_well_and_reports_as_json() {
    let folder = floor().await.unwrap();
    let output = load(&folder, &["--rate", "500", "--cdiv", "--json"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["answered"], 50);
    assert_eq!(report["failures"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_with_failures_ends_badly_and_names_them() {
    let folder = floor().await.unwrap();
    let output = load(&folder, &["--closed", "--check"]).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("x encrypt: CDIV not asked for"), "{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pace_must_be_said_and_said_once() {
    let folder = floor().await.unwrap();
    for flags in [&[][..], &["--closed", "--rate", "5"]] {
        assert_eq!(load(&folder, flags).unwrap().status.code(), Some(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrk_script_needs_no_other_flag() {
    let folder = floor().await.unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-load"));
    let output = command.arg("wrk-script").arg(folder.path().join("target.json")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let script = String::from_utf8(output.stdout).unwrap();
    assert!(script.contains("wrk.path = \"/floor/kms/xks/v1/keys/floor/encrypt\""), "{script}");
    assert!(script.contains("/us-east-1/kms-xks-proxy/aws4_request"), "{script}");
}
