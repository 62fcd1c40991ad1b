//! The verbs against a running `holdfast dev`, as a person and as a script use them.

mod client_certificate;
mod keystore;
mod session;
mod upkeep;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::dev_arguments,
    process::{Ended, Holdfast, run_with},
};

/// A `holdfast dev`, and a shell that is signed in there.
struct Shell {
    _dev: Holdfast,
    folder: TempDir,
}

impl Shell {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut dev = Holdfast::start(&dev_arguments(&folder.path().join("data")));
        dev.wait_for("curl --aws-sigv4");
        let shell = Self { _dev: dev, folder };
        let data = shell.path("data");
        shell.good(&["login", "--dev", data.to_str().unwrap()]);
        shell
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn handout(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("data/dev.json")).unwrap()).unwrap()
    }

    fn session(&self) -> PathBuf {
        self.path("config/session.json")
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        run_with(arguments, &[("HOLDFAST_SESSION", self.session().to_str().unwrap())])
    }

    /// What it printed, for people.
    fn good(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert!(ended.status.success(), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// What it printed, for programs.
    fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let text = self.good(&arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Expects this exit code; the error.
    fn refused(&self, arguments: &[&str], code: i32) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        error_of(&self.run(&arguments), code)
    }

    /// Makes a key that encrypts; its id and its external key id.
    fn key(&self, key_store: &str, name: &str) -> (String, String) {
        let key = self.json(&["hyok", "create", key_store, "--name", name]);
        let id = text(&key["id"]).to_owned();
        let end = Instant::now() + PATIENCE;
        while !self.json(&["hyok", "versions", &id]).as_array().unwrap().iter().any(|version| version["state"] == "active") {
            assert!(Instant::now() < end, "the key never encrypts");
        }
        (id, text(&key["external_key_id"]).to_owned())
    }

    /// The arguments that send `keystore test` to the data plane of `dev`.
    fn data_plane(&self) -> [String; 4] {
        let xks = &self.handout()["xks"];
        ["--endpoint".into(), format!("https://localhost:{}", xks["port"]), "--ca".into(), text(&xks["ca"]).into()]
    }
}

/// The error that a command with `--json` ended with.
fn error_of(ended: &Ended, code: i32) -> Value {
    assert_eq!(ended.status.code(), Some(code), "{}{}", ended.stdout, ended.stderr);
    let line = ended.stderr.lines().last().unwrap_or_default();
    let error: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}", ended.stderr));
    error["error"].clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Far longer than a key takes to be everywhere.
const PATIENCE: Duration = Duration::from_secs(60);
