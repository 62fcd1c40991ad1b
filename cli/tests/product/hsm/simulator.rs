//! The PKCS#11 simulator, for the faults that a real token can't be made to show.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A simulator's configuration. What runs on it needs [`Simulator::environment`].
pub(crate) struct Simulator {
    folder: TempDir,
}

impl Simulator {
    /// With partitions of these labels, each with the same two keys, and `more` lines of configuration each.
    pub(crate) fn new(labels: &[&str], more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let mut text = format!("control = {:?}\n", folder.path().join("control"));
        for label in labels {
            text += &format!(
                "\n[[partition]]\nlabel = {label:?}\nserial = \"serial-{label}\"\npin = \"{PIN}\"\nstate = \"{label}.json\"\n{more}\n"
            );
            for (key, id, byte) in [("holdfast-health", "01", "11"), ("holdfast-demo", "02", "22"), ("another", "03", "33")] {
                text += &format!("[[partition.key]]\nid = {id:?}\nlabel = {key:?}\nvalue = {:?}\n", byte.repeat(32));
            }
        }
        fs::write(folder.path().join("sim.toml"), text).unwrap();
        fs::write(folder.path().join("pin"), format!("{PIN}\n")).unwrap();
        Self { folder }
    }

    pub(crate) fn environment(&self) -> (&'static str, String) {
        ("HOLDFAST_SIM_HSM", self.folder.path().join("sim.toml").display().to_string())
    }

    /// `--partition` of a token, with more fields.
    pub(crate) fn spec(&self, label: &str, more: &str) -> String {
        format!("module={},token={label},pin-file={}{more}", module().display(), self.pin().display())
    }

    pub(crate) fn pin(&self) -> PathBuf {
        self.folder.path().join("pin")
    }

    pub(crate) fn module(&self) -> PathBuf {
        module()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Has a partition show a fault; its answer.
    pub(crate) fn fault(&self, partition: &str, mut command: Value) -> Value {
        command["partition"] = json!(partition);
        let end = Instant::now() + PATIENCE;
        loop {
            match self.ask(&command) {
                Ok(answer) => {
                    let answer: Value = serde_json::from_str(&answer).unwrap();
                    assert_eq!(answer["ok"], true, "{command}: {answer}");
                    return answer;
                }
                Err(error) => assert!(Instant::now() < end, "nobody listens for faults: {error}"),
            }
            thread::sleep(BETWEEN_TRIES);
        }
    }

    /// Fails when the process that holds the socket is gone, or is killed meanwhile; then another takes it over.
    fn ask(&self, command: &Value) -> io::Result<String> {
        let mut control = UnixStream::connect(self.folder.path().join("control"))?;
        writeln!(control, "{command}")?;
        let mut line = String::new();
        match BufReader::new(control).read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line),
        }
    }

    /// Ends all faults of a partition.
    pub(crate) fn clear(&self, partition: &str) {
        self.fault(partition, json!({ "fault": "clear" }));
    }
}

/// A cdylib that a test depends on lies beside the test.
fn module() -> PathBuf {
    env::current_exe().unwrap().with_file_name("libholdfast_sim_hsm.so")
}

const PIN: &str = "1234";
/// Far longer than a process takes to notice that another is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// Only so that trying does not take the processor from what is waited for.
const BETWEEN_TRIES: Duration = Duration::from_millis(5);
