//! Keys, nodes, and what shells and readers of manuals get.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::{Shell, mode, text};
use crate::process::{Holdfast, run};

#[test]
fn source_and_virtual_keys_are_made_shown_and_deleted_by_name() {
    let shell = Shell::new();
    shell.good(&["key", "create", "ledger", "--unexportable", "--undeletable"]);
    let key = shell.json(&["key", "show", "ledger"]);
    assert!(key["undeletable"] == true && key["size"] == 256, "{key}");
    shell.refused(&["key", "delete", "ledger"], 5);

    let backed = shell.json(&["virtual-key", "create", "ledger"]);
    let id = text(&backed["id"]);
    assert_eq!(shell.json(&["virtual-key", "versions", id]).as_array().unwrap().len(), 1);
    shell.good(&["virtual-key", "set-deletable", id, "true"]);
    shell.good(&["virtual-key", "delete", id]);
    shell.good(&["key", "update", "ledger", "--undeletable", "false"]);
    shell.good(&["key", "delete", "ledger"]);
    shell.refused(&["key", "show", "ledger"], 3);
}

#[test]
fn nodes_are_listed_resynced_and_forgotten() {
    let shell = Shell::new();
    let nodes = shell.json(&["node", "list"]);
    assert!(nodes[0]["name"] == "dev" && nodes[0]["connected"] == true, "{nodes}");
    assert!(shell.good(&["node", "list"]).contains("connected"));
    shell.good(&["node", "resync", "dev"]);
    shell.refused(&["node", "resync", "nobody"], 3);
    shell.good(&["node", "forget", "dev"]);
    assert_eq!(shell.json(&["node", "list"]), json!([]));
}

#[test]
fn what_was_backed_up_is_there_after_a_restore() {
    let shell = Shell::new();
    shell.good(&["keystore", "create", "payments", "--region", "eu-central-1"]);
    let (backup, phrase, data) = (shell.path("backup"), shell.path("phrase"), shell.path("restored"));
    fs::write(&phrase, "eleven herons over the estuary\n").unwrap();
    let (backup, phrase, data) = (backup.to_str().unwrap(), phrase.to_str().unwrap(), data.to_str().unwrap());
    let made = shell.json(&["backup", "--out", backup, "--passphrase-file", phrase]);
    assert_eq!(made["bytes"], fs::metadata(backup).unwrap().len());
    assert_eq!(mode(backup.as_ref()), 0o600);
    assert_eq!(shell.run(&["backup", "--out", backup, "--passphrase-file", phrase]).status.code(), Some(1), "a file was overwritten");
    let seals = shell.json(&["reseal"]);
    assert!(seals.as_array().unwrap().iter().any(|seal| seal["kind"] == "control" && seal["first"] == true), "{seals}");

    let wrong = shell.path("wrong");
    fs::write(&wrong, "twelve herons over the estuary\n").unwrap();
    let restore = |phrase: &str| shell.run(&["restore", "--data-dir", data, "--from", backup, "--passphrase-file", phrase]);
    assert_eq!(restore(wrong.to_str().unwrap()).status.code(), Some(1));
    let restored = restore(phrase);
    assert!(restored.status.success() && restored.stdout.contains("key seal"), "{}{}", restored.stdout, restored.stderr);
    assert_eq!(restore(phrase).status.code(), Some(1), "a data directory was overwritten");

    let config = shell.path("restored.toml");
    fs::write(
        &config,
        format!("data_dir = {data:?}\n[api]\nlisten = \"127.0.0.1:0\"\n[sync]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n"),
    )
    .unwrap();
    let mut control = Holdfast::start(&["controlplane", "--config", config.to_str().unwrap()]);
    let (api, password, session) = (control.wait_for_listener("api"), shell.path("password"), shell.path("other.json"));
    fs::write(&password, text(&shell.handout()["api"]["password"])).unwrap();
    let (server, session) = (format!("https://localhost:{}", api.port()), session.to_str().unwrap());
    let handout = shell.handout();
    let login = ["login", "--server", &server, "--ca", text(&handout["api"]["ca"]), "--session", session];
    shell.good(&[&login[..], &["--password-file", password.to_str().unwrap()]].concat());
    let shown = shell.json(&["keystore", "show", "payments", "--session", session]);
    assert_eq!(shown["region"], "eu-central-1");
}

#[test]
fn every_shell_gets_completions_and_every_command_a_man_page() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(&["completions", shell]);
        assert!(ended.status.success() && ended.stdout.contains("export-aws-config"), "{shell}: {}", ended.stderr);
    }
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("man1");
    let ended = run(&["man", "--out", out.to_str().unwrap()]);
    assert!(ended.status.success(), "{}", ended.stderr);
    let page = fs::read_to_string(out.join("holdfast-keystore-create.1")).unwrap();
    assert!(page.contains("max\\-credentials") && page.contains("Example"), "{page}");
}
