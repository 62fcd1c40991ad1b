//! The layout of the workspace: dependencies point one way, and the tools that judge the product share no code with it.
#![cfg(test)]

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;
use toml_edit::DocumentMut;

/// What each crate may depend on, of ours.
const ALLOWED: &[(&str, &[&str])] = &[
    ("holdfast-proto", &[]),
    ("holdfast-wire", &[]),
    ("holdfast-keys", &["holdfast-proto"]),
    ("holdfast-dataplane", &["holdfast-keys", "holdfast-proto", "holdfast-wire"]),
    ("holdfast-controlplane", &["holdfast-proto"]),
    ("holdfast-conformance", &[]),
    ("holdfast-bench", &[]),
    ("holdfast-sim-hsm", &[]),
    ("holdfast", &["holdfast-conformance", "holdfast-controlplane", "holdfast-dataplane", "holdfast-keys", "holdfast-proto"]),
];

/// Crates with `unsafe` in their one file for it: the workspace's lints written out, with `unsafe_code` denied where that forbids it.
const MAY_HOLD_UNSAFE: &[&str] = &["holdfast-sim-hsm"];

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
    let metadata = metadata();
    let workspace = manifest(&format!("{}/Cargo.toml", metadata["workspace_root"].as_str().unwrap()));
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let own = manifest(package["manifest_path"].as_str().unwrap());
        if !MAY_HOLD_UNSAFE.contains(&name) {
            assert_eq!(own["lints"]["workspace"].as_bool(), Some(true), "{name}");
            continue;
        }
        for (tool, lints) in workspace["workspace"]["lints"].as_table().unwrap() {
            for (lint, level) in lints.as_table().unwrap() {
                let wanted = if lint == "unsafe_code" { "\"deny\"".to_owned() } else { level.to_string().trim().to_owned() };
                assert_eq!(own["lints"][tool][lint].to_string().trim(), wanted, "{name}: {tool} {lint}");
            }
        }
    }
}

fn manifest(path: &str) -> DocumentMut {
    std::fs::read_to_string(path).unwrap().parse().unwrap()
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
