//! Partitions in `dataplane.toml`: what a start looks at, and what it starts with all the same.

use std::{fs, path::Path};

use serde_json::json;

use super::{rig::Dev, simulator::Simulator, softhsm};
use crate::{
    process::{Ended, Holdfast, run_with},
    site::Site,
};

#[test]
fn every_fault_of_every_partition_is_listed_at_once() {
    let hsm = Simulator::new(&["good", "bare", "twins", "short"], "");
    let text = fs::read_to_string(hsm.path().join("sim.toml")).unwrap();
    let mut text: String =
        text.replace("\n[[partition]]\nlabel = \"bare\"", "\n[[partition]]\nmechanisms = [\"CKM_AES_KEY_GEN\"]\nlabel = \"bare\"");
    // The last partition's keys are the last in the file.
    text += "[[partition.key]]\nid = \"04\"\nlabel = \"small\"\nbits = 128\n[[partition.key]]\nid = \"05\"\nlabel = \"oneway\"\ndecrypt = false\n";
    let at = text.find("label = \"short\"").unwrap();
    let at = text[..at].rfind("[[partition]]").unwrap();
    text.insert_str(at, "[[partition.key]]\nid = \"06\"\nlabel = \"holdfast-health\"\n\n");
    fs::write(hsm.path().join("sim.toml"), text).unwrap();

    let site = Site::new();
    let (_control, config) = site.with_one_node();
    let wrong_pin = hsm.path().join("wrong-pin");
    fs::write(&wrong_pin, "0000\n").unwrap();
    let mut partitions =
        format!("\n[[module]]\nname = \"sim\"\npath = {:?}\n[[module]]\nname = \"none\"\npath = \"/no/such/module.so\"\n", hsm.module());
    let partition = |name: &str, more: &str| format!("[[partition]]\nname = {name:?}\npin_file = {:?}\n{more}\n", hsm.pin());
    partitions += &partition("p-module", "module = \"none\"\ntoken_label = \"x\"");
    partitions += &partition("p-token", "module = \"sim\"\ntoken_label = \"elsewhere\"");
    partitions += &partition("p-bare", "module = \"sim\"\ntoken_label = \"bare\"");
    partitions += &partition("p-twins", "module = \"sim\"\ntoken_label = \"twins\"");
    partitions += &partition("p-small", "module = \"sim\"\ntoken_label = \"short\"\ngroup = \"small\"");
    partitions += &format!("[[partition]]\nname = \"p-pin\"\npin_file = {wrong_pin:?}\nmodule = \"sim\"\ntoken_label = \"good\"\n");
    partitions += "[[group]]\nname = \"small\"\nhealth_key = \"small\"\n";
    let whole = fs::read_to_string(&config).unwrap() + &partitions;
    fs::write(&config, whole).unwrap();

    let ended = dataplane(&["--check"], &config, &hsm);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    for (partition, word) in [
        ("p-module", "/no/such/module.so"),
        ("p-token", "good"),
        ("p-bare", "CKM_AES_GCM"),
        ("p-twins", "holdfast-health"),
        ("p-small", "AES-256"),
        ("p-pin", "retry-login"),
    ] {
        let lines: Vec<_> = ended.stderr.lines().filter(|line| line.contains(partition)).collect();
        assert!(matches!(lines[..], [line] if line.contains(word)), "{partition}: {word} in\n{}", ended.stderr);
    }
    // A start says the same, and stops.
    let started = dataplane(&[], &config, &hsm);
    assert_eq!(started.status.code(), Some(1), "{}", started.stderr);
    for partition in ["p-module", "p-token", "p-bare", "p-twins", "p-small", "p-pin"] {
        assert!(started.stderr.contains(partition), "{partition} in\n{}", started.stderr);
    }
}

#[test]
fn a_token_that_is_away_fails_the_check_and_does_not_keep_a_data_plane_from_starting() {
    let hsm = Simulator::new(&["watch", "only"], "");
    let site = Site::new();
    let (_control, config) = site.with_one_node();
    let text = format!(
        "\n[[module]]\nname = \"sim\"\npath = {:?}\n[[partition]]\nname = \"only\"\nmodule = \"sim\"\ntoken_label = \"only\"\npin_file = {:?}\n",
        hsm.module(),
        hsm.pin()
    );
    let whole = fs::read_to_string(&config).unwrap() + &text;
    fs::write(&config, whole).unwrap();
    let ended = dataplane(&["--check"], &config, &hsm);
    assert!(ended.status.success(), "{}", ended.stderr);
    let start = || {
        let (name, value) = hsm.environment();
        Holdfast::start_with(&["dataplane".as_ref(), "--config".as_ref(), config.as_os_str()], &[(name, value.as_str())])
    };
    let mut first = start();
    first.wait_for("the partition is up");
    hsm.fault("only", json!({ "fault": "remove-token" }));
    first.wait_for("the partition is down");
    assert_eq!(first.stop().0.code(), Some(0));

    let ended = dataplane(&["--check"], &config, &hsm);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("only"), "{}", ended.stderr);
    let mut second = start();
    second.wait_for_listener("xks");
    hsm.clear("only");
    second.wait_for("the partition is up");
    assert_eq!(second.stop().0.code(), Some(0));
}

#[test]
fn a_partitions_own_process_logs_as_the_data_plane_does() {
    let hsm = Simulator::new(&["apart"], "");
    let site = Site::new();
    let (_control, config) = site.with_one_node();
    let text = format!(
        "\n[[module]]\nname = \"sim\"\npath = {:?}\n[[partition]]\nname = \"apart\"\nmodule = \"sim\"\ntoken_label = \"apart\"\npin_file = {:?}\nisolation = \"process\"\n",
        hsm.module(),
        hsm.pin()
    );
    let whole = fs::read_to_string(&config).unwrap();
    assert!(whole.contains("format = \"json\""), "{whole}");
    fs::write(&config, whole + &text).unwrap();
    let (name, value) = hsm.environment();
    let mut data = Holdfast::start_with(&["dataplane".as_ref(), "--config".as_ref(), config.as_os_str()], &[(name, value.as_str())]);
    data.wait_for("the partition is up");
    data.wait_for_listener("xks");
    let (status, seen) = data.stop();
    assert_eq!(status.code(), Some(0), "{seen}");
    let odd: Vec<_> = seen.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_err()).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

#[test]
fn a_token_that_hangs_is_listed_as_that_beside_the_others() {
    let hsm = Simulator::new(&["watch", "hung", "well"], "");
    // Holds the simulator's control socket.
    let _watch = Dev::start(hsm.environment(), vec![hsm.spec("watch", "")]);
    let site = Site::new();
    let (_control, config) = site.with_one_node();
    let mut text = fs::read_to_string(&config).unwrap() + &format!("\n[[module]]\nname = \"sim\"\npath = {:?}\n", hsm.module());
    for name in ["hung", "well"] {
        text += &format!("[[partition]]\nname = {name:?}\nmodule = \"sim\"\ntoken_label = {name:?}\npin_file = {:?}\n", hsm.pin());
        text += "open_timeout_seconds = 2\n";
    }
    fs::write(&config, text).unwrap();
    let (name, value) = hsm.environment();
    let config = config.display().to_string();
    let list = || run_with(&["partition", "list", "--config", &config], &[(name, &value)]);
    assert_eq!(list().status.code(), Some(0));
    // Known to be in a slot of its own, the other is found without a word to the one that hangs.
    hsm.fault("hung", json!({ "fault": "hang" }));
    let ended = list();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("partition \"hung\": the token did not answer within 2 s"), "{}", ended.stdout);
    assert!(ended.stdout.contains("serial-well") && !ended.stdout.contains("partition \"well\""), "{}", ended.stdout);
}

#[test]
fn a_key_seal_may_lie_under_a_tokens_key() {
    let hsm = softhsm::SoftHsm::with_tokens(&["safe"]);
    for label in ["holdfast-health", "seal"] {
        hsm.import("safe", label, &[9; 32]);
    }
    let (name, value) = hsm.environment();
    let environment = [(name, value.as_str())];
    let site = Site::new();
    let (mut control, config) = site.with_one_node();
    let text = format!(
        "\n[[module]]\nname = \"soft\"\npath = {:?}\n[[partition]]\nname = \"safe\"\nmodule = \"soft\"\ntoken_label = \"safe\"\npin_file = {:?}\n",
        softhsm::MODULE,
        hsm.pin()
    );
    let whole = fs::read_to_string(&config).unwrap() + &text;
    fs::write(&config, &whole).unwrap();
    let plain = site.path("node-1/key-seal");
    let sealed = site.path("node-1/key-seal.sealed");
    let [seal, out, at] = [&plain, &sealed, &config].map(|path| path.display().to_string());
    let arguments = ["partition", "seal", "--config", &at, "--key-seal", &seal, "--group", "safe", "--label", "seal", "--out", &out];
    let ended = run_with(&arguments, &environment);
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    fs::remove_file(&plain).unwrap();
    let keys = format!("[[keys.partition_seal]]\nfile = {sealed:?}\ngroup = \"safe\"\nlabel = \"seal\"\n");
    fs::write(&config, whole.replace("seals = [\"node-1/key-seal\"]\n", "").replace("[keys]\n", &keys)).unwrap();

    let mut data = Holdfast::start_with(&["dataplane".as_ref(), "--config".as_ref(), config.as_os_str()], &environment);
    let xks = data.wait_for_listener("xks");
    // Local keys open, since the seal did.
    control.wait_for("the demo key store is ready");
    let report = site.load(xks);
    crate::site::assert_all_right(&report);
    assert_eq!(data.stop().0.code(), Some(0));
}

fn dataplane(more: &[&str], config: &Path, hsm: &Simulator) -> Ended {
    let (name, value) = hsm.environment();
    let mut arguments = vec!["dataplane".to_owned()];
    arguments.extend(more.iter().map(|&more| more.to_owned()));
    arguments.extend(["--config".into(), config.display().to_string()]);
    run_with(&arguments, &[(name, value.as_str())])
}
