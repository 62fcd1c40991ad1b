//! Every command of `deploy/docs/laptop.md`, as it stands there: the first block in a terminal of its own, the others one after another.
//! What a block of text after them says must be in what they print, and each command must end well, unless that text is an exception of AWS.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use tempfile::TempDir;

use super::aws;
use crate::process::{Holdfast, alone};

#[test]
fn the_laptop_tutorial_works_as_it_is_written() {
    let _alone = alone();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/docs/laptop.md")).unwrap();
    let steps = steps(&page);
    let folder = TempDir::new().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(aws::bin().join("aws"), bin.join("aws")).unwrap();
    // Free ports are all that the test has of its own.
    let ports = ["xks", "api", "sync", "ops", "kms-sim"].map(|listener| format!(" --{listener}-listen 127.0.0.1:0")).concat();
    let real = env!("CARGO_BIN_EXE_holdfast");
    fs::write(bin.join("holdfast"), format!("#!/bin/sh\n[ \"$1\" = dev ] && exec {real} \"$@\"{ports}\nexec {real} \"$@\"\n")).unwrap();
    fs::set_permissions(bin.join("holdfast"), fs::Permissions::from_mode(0o755)).unwrap();
    let shell = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let path = format!("{}:{}", bin.display(), env::var("PATH").unwrap());
        command.args(arguments).current_dir(folder.path()).env_clear().env("PATH", path).env("HOME", folder.path());
        command
    };

    let (first, others) = steps.split_first().unwrap();
    let mut dev = Holdfast::spawn(&mut shell("bash", &["-c", first.commands.trim_end()]));
    dev.wait_for("curl --aws-sigv4");
    let mut script = String::from("exec 2>&1\nset -o pipefail\ntrap 'failed=1' ERR\n");
    for step in others {
        script += &format!("failed=0\n{}\necho; echo \"{ENDED} $failed\"\n", step.commands);
    }
    // A page that waits for what never comes must not hang. What a reader's terminal has of another AWS is in nobody's way.
    let other_aws = [("AWS_PROFILE", "work"), ("AWS_SESSION_TOKEN", "of another key"), ("AWS_REGION", "ap-south-1")];
    let output = shell("timeout", &["1200", "bash", "-c", &script]).envs(other_aws).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let mut rest = output.as_str();
    for Step { commands, shown } in others {
        let Some((printed, after)) = rest.split_once(ENDED) else { panic!("never ended: {commands}\n{output}") };
        let (failed, after) = after.split_once('\n').unwrap();
        let shown = shown.as_deref().unwrap_or_default();
        for line in shown.lines() {
            assert!(printed.contains(line), "{commands}\nprinted no {line:?}:\n{printed}");
        }
        assert!(failed.trim() == "0" || shown.contains("Exception"), "{commands}\nprinted:\n{printed}");
        rest = after;
    }
    assert!(others.len() > 8 && others.iter().filter(|step| step.shown.is_some()).count() > 4, "the page has lost its blocks");
}

/// A block of commands.
struct Step {
    commands: String,
    /// The block of text after it.
    shown: Option<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: String = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        match language {
            "sh" => steps.push(Step { commands: block, shown: None }),
            "text" => steps.last_mut().unwrap().shown = Some(block),
            other => panic!("a block of {other:?}, which is not run"),
        }
    }
    steps
}

const ENDED: &str = "== ended with";
