//! The layout of the workspace: dependencies point one way, and the tools that judge the product share no code with it.
#![cfg(test)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

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
    ("holdfast-sim-kms", &[]),
    (
        "holdfast",
        &["holdfast-conformance", "holdfast-controlplane", "holdfast-dataplane", "holdfast-keys", "holdfast-proto", "holdfast-sim-kms"],
    ),
];

/// Crates with `unsafe`, each in its one file for it: the workspace's lints written out, with `unsafe_code` denied where that forbids it.
const MAY_HOLD_UNSAFE: &[(&str, &str)] = &[("holdfast-keys", "src/pkcs11/ffi.rs"), ("holdfast-sim-hsm", "src/ffi.rs")];

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
        if !MAY_HOLD_UNSAFE.iter().any(|(holder, _)| *holder == name) {
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

#[test]
fn unsafe_stays_in_one_file_of_a_crate_that_may_hold_it() {
    for package in metadata()["packages"].as_array().unwrap() {
        let Some((name, file)) = MAY_HOLD_UNSAFE.iter().find(|(holder, _)| package["name"] == *holder) else { continue };
        let root = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
        let found: Vec<PathBuf> = sources(root).into_iter().filter(|source| holds_unsafe(source)).collect();
        assert_eq!(found, [root.join(file)], "{name}");
    }
}

/// All Rust files below a crate's directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (below, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.chain(below.iter().filter(|path| !path.ends_with("target")).flat_map(|path| sources(path))).collect()
}

/// The keyword, in code.
fn holds_unsafe(source: &Path) -> bool {
    let text = std::fs::read_to_string(source).unwrap();
    let code = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')).any(|word| word == "unsafe")
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
