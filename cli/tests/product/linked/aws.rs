//! AWS's own clients, which ask the simulator: they share no code with us. `make aws-clients` installs them.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::site::Linked;

/// A shell's worth of environment for AWS's clients, and a folder that is their home.
pub(crate) struct Aws {
    environment: [(&'static str, String); 5],
    folder: TempDir,
}

/// A script that goes on until it is told to end.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Aws {
    pub(crate) fn of(linked: &Linked) -> Self {
        let folder = TempDir::new().unwrap();
        // Or version 1 of the CLI takes a URL for a place to read the argument from.
        fs::create_dir(folder.path().join(".aws")).unwrap();
        fs::write(folder.path().join(".aws/config"), "[default]\ncli_follow_urlparam = false\n").unwrap();
        let settings = linked.sim().settings();
        let environment = [
            ("HOME", folder.path().display().to_string()),
            ("AWS_ENDPOINT_URL", linked.sim().url()),
            ("AWS_DEFAULT_REGION", "us-east-1".into()),
            ("AWS_ACCESS_KEY_ID", settings.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", settings.secret_access_key.clone()),
        ];
        Self { environment, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `aws kms`, which must go well; what it printed.
    pub(crate) fn kms(&self, arguments: &[&str]) -> Value {
        let output = self.command("aws").arg("kms").args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "aws kms {arguments:?}: {said}");
        let text = str::from_utf8(&output.stdout).unwrap();
        if text.trim().is_empty() { Value::Null } else { serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")) }
    }

    /// `aws kms`, which must fail; what it said.
    pub(crate) fn kms_fails(&self, arguments: &[&str]) -> String {
        let output = self.command("aws").arg("kms").args(arguments).output().unwrap();
        assert!(!output.status.success(), "aws kms {arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// A script beside this file, to its end; what it printed.
    pub(crate) fn script<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S], input: &str) -> String {
        let mut child =
            self.python(name).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A script that prints a line when it is going, and more when its input has ended.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Running {
        let mut child = self.python(name).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), "going", "{name}");
        Running { child, lines }
    }

    fn python(&self, name: &str) -> Command {
        let mut command = self.command("python");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/product/linked").join(name));
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(bin().join(program));
        // Nothing of the host's own AWS configuration.
        command.env_clear().env("PATH", env::var_os("PATH").unwrap()).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Running {
    /// Ends its input; what it printed then.
    pub(crate) fn end(mut self) -> Value {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.lines.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `make aws-clients` puts programs, beside what cargo builds.
pub(crate) fn bin() -> PathBuf {
    let exe = env::current_exe().unwrap();
    let bin = exe.ancestors().nth(3).unwrap().join("aws-clients/bin");
    assert!(bin.join("aws").is_file(), "there is no {}: make test installs it", bin.display());
    bin
}
