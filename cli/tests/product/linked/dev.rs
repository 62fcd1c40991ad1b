//! `holdfast dev --with-kms-sim`: an AWS KMS of one's own.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::kms::Kms;
use crate::{
    client::{dev_arguments, handout},
    http::Http,
    process::{Holdfast, run},
    rest::{Rest, key_store, source_key, text},
};

#[test]
fn a_simulator_beside_dev_is_the_aws_of_its_control_plane_and_is_found_again() {
    let folder = TempDir::new().unwrap();
    let dev = start(folder.path());
    let before = handout(folder.path());
    let sim = &before["kms_sim"];
    assert_eq!(sim["region"], before["xks"]["region"]);
    for file in ["dev.json", "kms-sim/env"] {
        assert_eq!(fs::metadata(folder.path().join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let mut rest = Rest::sign_in(&before, "admin", text(&before, "/api/password"));
    let containers = rest.get("cckm/aws/kms?name=kms-sim");
    assert_eq!((&containers["total"], &containers["resources"][0]["connection"]), (&json!(1), &json!("kms-sim")));
    let stores = rest.get("cckm/aws/custom-key-stores?name=demo");
    assert_eq!(stores["resources"][0]["kms"], "kms-sim");

    let source = text(&rest.post("vault/keys2", &source_key("health")), "/id").to_owned();
    let mut strict = key_store("strict", "kms-sim", &source);
    (strict["linked_state"], strict["local_hosted_params"]["mtls_enabled"]) = (true.into(), true.into());
    strict["aws_param"]["xks_proxy_uri_endpoint"] = format!("https://localhost:{}", before["xks"]["port"]).into();
    let answers = [false, true].map(|on| {
        show_certificate(&before, on);
        rest.send("POST", "cckm/aws/custom-key-stores", strict.to_string().as_bytes()).status
    });
    assert_eq!(answers, [422, 201], "a key store that demands AWS's certificate is linked when the simulator shows one");

    let key = made(&mut kms(&before));
    assert_eq!(dev.stop().0.code(), Some(0));
    let _dev = start(folder.path());
    let after = handout(folder.path());
    assert_eq!(before["kms_sim"]["access_key_id"], after["kms_sim"]["access_key_id"]);
    let described = kms(&after).call("DescribeKey", &json!({ "KeyId": key })).unwrap();
    assert_eq!(described["KeyMetadata"]["KeyId"], key.as_str());
}

#[test]
fn a_start_that_does_not_ask_for_the_simulator_goes_on_with_the_one_that_was_there() {
    let folder = TempDir::new().unwrap();
    let dev = start(folder.path());
    let before = handout(folder.path());
    let key = made(&mut kms(&before));
    assert_eq!(dev.stop().0.code(), Some(0));
    let mut dev = Holdfast::start(&any_port(dev_arguments(folder.path())));
    dev.wait_for("the simulator of AWS KMS runs again");
    dev.wait_for("curl --aws-sigv4");
    let after = handout(folder.path());
    let environment = fs::read_to_string(folder.path().join("kms-sim/env")).unwrap();
    assert!(environment.contains(text(&after, "/kms_sim/url")), "{environment}");
    assert_eq!(before["kms_sim"]["access_key_id"], after["kms_sim"]["access_key_id"]);
    kms(&after).call("DescribeKey", &json!({ "KeyId": key })).unwrap();
    let mut rest = Rest::sign_in(&after, "admin", text(&after, "/api/password"));
    let account = rest.post("cckm/aws/accounts", &json!({ "connection": "kms-sim" }));
    assert_eq!(account["account_id"], "111122223333", "the control plane's AWS is the simulator");
}

#[test]
fn without_a_simulator_there_is_no_place_for_it_to_listen() {
    let folder = TempDir::new().unwrap();
    let ended = run(&any_port(dev_arguments(folder.path())));
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("goes with --with-kms-sim"), "{}", ended.stderr);
}

#[test]
fn a_port_in_use_is_told_with_what_moves_it() {
    let (folder, taken) = (TempDir::new().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let mut arguments = dev_arguments(folder.path());
    arguments.extend(["--with-kms-sim".to_owned(), "--kms-sim-listen".into(), taken.local_addr().unwrap().to_string()]);
    let ended = run(&arguments);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(["already in use", "-listen"].iter().all(|words| ended.stderr.contains(words)), "{}", ended.stderr);
}

#[test]
fn a_lost_access_key_is_replaced_in_the_connection() {
    let folder = TempDir::new().unwrap();
    let dev = start(folder.path());
    let before = handout(folder.path());
    assert_eq!(dev.stop().0.code(), Some(0));
    fs::remove_file(folder.path().join("dev.json")).unwrap();
    let _dev = start(folder.path());
    let after = handout(folder.path());
    assert_ne!(before["kms_sim"]["access_key_id"], after["kms_sim"]["access_key_id"]);
    let mut rest = Rest::sign_in(&after, "admin", text(&after, "/api/password"));
    let connection = &rest.get("connectionmgmt/services/aws/connections?name=kms-sim")["resources"][0];
    assert_eq!(connection["access_key_id"], after["kms_sim"]["access_key_id"]);
}

pub(super) fn start(folder: &Path) -> Holdfast {
    let mut arguments = any_port(dev_arguments(folder));
    arguments.push("--with-kms-sim".into());
    let mut dev = Holdfast::start(&arguments);
    dev.wait_for("curl --aws-sigv4");
    dev
}

fn any_port(mut arguments: Vec<String>) -> Vec<String> {
    arguments.extend(["--kms-sim-listen", "127.0.0.1:0"].map(str::to_owned));
    arguments
}

fn show_certificate(handout: &Value, on: bool) {
    let body = json!({ "on": on }).to_string();
    let headers = [("content-type", "application/json")];
    let answer = Http::plain(sim_at(handout)).send("POST", "/_sim/client_certificate", &headers, body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn sim_at(handout: &Value) -> SocketAddr {
    text(handout, "/kms_sim/url").strip_prefix("http://").unwrap().parse().unwrap()
}

fn kms(handout: &Value) -> Kms {
    let sim = |member: &str| text(handout, &format!("/kms_sim/{member}")).to_owned();
    Kms::new(sim_at(handout), (&sim("access_key_id"), &sim("secret_access_key")), &sim("region"))
}

fn made(kms: &mut Kms) -> String {
    text(&kms.call("CreateKey", &json!({})).unwrap(), "/KeyMetadata/KeyId").to_owned()
}
