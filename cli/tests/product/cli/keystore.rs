//! A key store from its making to its end, and what AWS is told of it.

use std::fs;

use serde_json::Value;

use super::{Shell, mode, text};

#[test]
fn a_key_store_lives_its_whole_life_by_commands() {
    let shell = Shell::new();
    let file = shell.path("credential.json");
    let out = file.to_str().unwrap();
    let made = shell.json(&["keystore", "create", "payments", "--region", "eu-central-1", "--quota", "1800", "--out", out]);
    assert_eq!(mode(&file), 0o600);
    assert_eq!(made.get("secret_access_key"), None, "printed though it went to a file");
    let credential: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let secret = text(&credential["secret_access_key"]).to_owned();

    let (key, external) = shell.key("payments", "invoices");
    let place = shell.data_plane();
    let mut test = vec!["keystore", "test", "payments", "--credential", out, "--key", &external];
    test.extend(place.iter().map(String::as_str));
    let steps = shell.json(&test);
    let names: Vec<_> = steps.as_array().unwrap().iter().map(|step| text(&step["step"])).collect();
    assert_eq!(names, ["connect", "GetHealthStatus", "GetKeyMetadata", "Encrypt", "Decrypt"]);

    let blocked = shell.json(&["keystore", "block", "payments"]);
    assert!(blocked["key_store"]["blocked"] == true && blocked["pending_nodes"] == Value::Array(vec![]), "{blocked}");
    let ended = shell.run(&test);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("InvalidStateException") && ended.stdout.contains("FAILED"), "{}{}", ended.stdout, ended.stderr);
    shell.good(&["keystore", "unblock", "payments"]);
    shell.good(&test);

    shell.good(&["hyok", "block", &key]);
    assert!(shell.run(&test).stderr.contains("DISABLED"));
    shell.good(&["hyok", "unblock", &key]);
    assert_eq!(shell.json(&["hyok", "rotate", &key])["version"], 1);

    let more = shell.json(&["keystore", "rotate-credential", "payments"]);
    assert_ne!(text(&more["secret_access_key"]), secret);
    assert_eq!(shell.json(&["credential", "list", "payments"]).as_array().unwrap().len(), 2);
    shell.good(&["credential", "delete", "payments", text(&credential["access_key_id"])]);
    let error = shell.run(&test);
    assert!(error.stderr.contains("XksProxyIncorrectAuthenticationCredentialException"), "{}", error.stderr);

    shell.json(&["keystore", "update", "payments", "--quota", "0", "--audit-successes", "true"]);
    let shown = shell.json(&["keystore", "show", "payments"]);
    assert!(shown["quota"] == 0 && shown["success_audit"] == true && shown["region"] == "eu-central-1", "{shown}");
    assert_eq!(shell.refused(&["keystore", "delete", "payments"], 5)["code"], "refused");
    shell.good(&["hyok", "delete", &key]);
    shell.good(&["keystore", "delete", "payments"]);
    assert_eq!(shell.refused(&["keystore", "show", "payments"], 3)["code"], "not-found");
}

#[test]
fn a_test_with_a_new_credential_leaves_none_behind() {
    let shell = Shell::new();
    let before = shell.json(&["credential", "list", "demo"]);
    let place = shell.data_plane();
    let mut test = vec!["keystore", "test", "demo", "--new-credential"];
    test.extend(place.iter().map(String::as_str));
    let table = shell.good(&test);
    assert!(table.contains("GetHealthStatus  ok"), "{table}");
    let ids = |all: &Value| all.as_array().unwrap().iter().map(|one| text(&one["id"]).to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&shell.json(&["credential", "list", "demo"])), ids(&before));

    let ended = shell.run(&["keystore", "test", "demo", "--new-credential", "--endpoint", "https://localhost:1"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("XKS_PROXY_NOT_REACHABLE"), "{}", ended.stderr);
    assert_eq!(ids(&shell.json(&["credential", "list", "demo"])), ids(&before));
}

#[test]
fn the_aws_configuration_has_the_secret_only_when_it_is_given() {
    let shell = Shell::new();
    let handout = shell.path("data/dev.json");
    let secret = text(&shell.handout()["xks"]["secret_access_key"]).to_owned();
    let export = ["keystore", "export-aws-config", "demo", "--endpoint", "https://xks.example"];

    let bare = shell.run(&export);
    let input: Value = serde_json::from_str(&bare.stdout).unwrap();
    assert!(bare.stderr.contains("--credential FILE") && !bare.stdout.contains(&secret), "{}", bare.stderr);
    assert_eq!(input["CustomKeyStoreType"], "EXTERNAL_KEY_STORE");
    assert_eq!(input["XksProxyConnectivity"], "PUBLIC_ENDPOINT");
    assert_eq!(input["XksProxyUriPath"], shell.handout()["xks"]["prefix"]);

    let out = shell.path("aws.json");
    let mut whole = export.to_vec();
    whole.extend(["--credential", handout.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert!(!shell.good(&whole).contains(&secret));
    assert_eq!(mode(&out), 0o600);
    let input: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(input["XksProxyAuthenticationCredential"]["RawSecretAccessKey"], secret.as_str());
    assert_eq!(shell.run(&whole).status.code(), Some(1), "a file was overwritten");

    let without_endpoint = shell.run(&["keystore", "export-aws-config", "demo"]);
    assert_eq!(without_endpoint.status.code(), Some(2), "{}", without_endpoint.stderr);
}
