//! The layout of the workspace: dependencies point one way, and the tools that judge the product share no code with it.
#![cfg(test)]

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

/// What each crate may depend on, of ours.
const ALLOWED: &[(&str, &[&str])] = &[
    ("holdfast-proto", &[]),
    ("holdfast-wire", &[]),
    ("holdfast-keys", &["holdfast-proto"]),
    ("holdfast-dataplane", &["holdfast-keys", "holdfast-proto", "holdfast-wire"]),
    ("holdfast-controlplane", &["holdfast-proto"]),
    ("holdfast-conformance", &[]),
    ("holdfast-bench", &[]),
    ("holdfast", &["holdfast-conformance", "holdfast-controlplane", "holdfast-dataplane", "holdfast-proto"]),
];

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let (_, allowed) = ALLOWED.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is not in the table"));
        seen.insert(name);
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            // Tests and benches may look at what they judge; nothing that ships may.
            let ships = dependency["kind"].as_str() != Some("dev");
            if on.starts_with("holdfast") && ships {
                assert!(allowed.contains(&on), "{name} must not depend on {on}");
            }
        }
    }
    assert_eq!(seen.len(), ALLOWED.len(), "the table names a crate that is gone");
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for package in metadata()["packages"].as_array().unwrap() {
        let manifest = std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", package["name"]);
    }
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
