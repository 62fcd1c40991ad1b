//! Tokens for tests: real ones of SoftHSM, or the simulator's.
//!
//! A module reads its configuration from the environment, which is the whole process's, and stays initialised for as long as the process
//! lives. So a test runs its body in a process of its own, which is this test binary again with that one test selected:
//!
//! ```ignore
//! #[test]
//! fn a_key_is_found_by_its_label() {
//!     on_softhsm(&["one", "two"], |tokens| {
//!         let admin = TokenAdmin::open(&tokens.partition("one"), &tokens.state_dir()).unwrap();
//!         …
//!     });
//! }
//! ```
//!
//! The test function holds nothing but that call: in the outer process it makes the tokens, starts the inner one and waits; in the inner one
//! it runs the body. A panic in the body fails the test, with the inner process's output. Tokens, PIN file and state directory are in a
//! directory that is gone afterwards. Calls that hang on purpose don't keep the inner process from ending.
//!
//! Included by the tests of `tests/pkcs11` and, since most of what they test is not public, by the library's own (`lib.rs`).

use std::{
    any, env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

use holdfast_keys::pkcs11::settings::{PartitionSettings, PinSource, TokenSelector};

/// What the body of a test finds.
pub(crate) struct Tokens {
    directory: PathBuf,
    module: PathBuf,
}

impl Tokens {
    /// Settings of the token with this label: a partition of the same name, with a PIN file of its own that holds [`PIN`].
    pub(crate) fn partition(&self, label: &str) -> PartitionSettings {
        let pin = self.path(&format!("pin-{label}"));
        if !pin.exists() {
            fs::write(&pin, PIN).unwrap();
        }
        PartitionSettings::new(label.into(), self.module.clone(), TokenSelector::Label(label.into()), PinSource::File(pin))
    }

    /// For `Pkcs11Settings::state_dir` and its like.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// Gives the simulator one command and waits for its answer. Its configuration must say `control = "control"`.
    pub(crate) fn control(&self, command: &str) -> String {
        let mut control = UnixStream::connect(self.path("control")).unwrap();
        writeln!(control, "{command}").unwrap();
        let mut answer = String::new();
        BufReader::new(control).read_line(&mut answer).unwrap();
        assert!(answer.contains("\"ok\":true"), "{command}: {answer}");
        answer
    }

    /// A path in the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Runs a test on tokens of SoftHSM that have these labels and no keys.
pub(crate) fn on_softhsm(labels: &[&str], body: impl FnOnce(&Tokens)) {
    assert!(Path::new(SOFTHSM).exists(), "{SOFTHSM} is missing: install the Debian package softhsm2");
    run(Path::new(SOFTHSM), "SOFTHSM2_CONF", body, |directory| {
        let tokens = directory.join("tokens");
        fs::create_dir(&tokens).unwrap();
        let configuration = directory.join("configuration");
        let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        fs::write(&configuration, text).unwrap();
        for label in labels {
            let output = Command::new("softhsm2-util")
                .args(["--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", PIN])
                .env("SOFTHSM2_CONF", &configuration)
                .output()
                .expect("softhsm2-util is missing: install the Debian package softhsm2");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    });
}

/// Runs a test on the simulator (`deploy/docs/sim-hsm.md`), configured by this TOML text. Give its tokens the PIN [`PIN`].
pub(crate) fn on_simulator(configuration: &str, body: impl FnOnce(&Tokens)) {
    // A cdylib that a test depends on lies beside the test.
    let module = env::current_exe().unwrap().with_file_name("libholdfast_sim_hsm.so");
    run(&module, "HOLDFAST_SIM_HSM", body, |directory| fs::write(directory.join("configuration"), configuration).unwrap());
}

/// Runs the body in a process whose environment has `variable` name the file `configuration`.
fn run<Body: FnOnce(&Tokens)>(module: &Path, variable: &str, body: Body, prepare: impl FnOnce(&Path)) {
    if let Some(directory) = env::var_os(INNER) {
        let tokens = Tokens { directory: directory.into(), module: module.into() };
        body(&tokens);
        // An inner process that found no such test would end well, too.
        fs::write(tokens.path(DONE), "").unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    prepare(directory.path());
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test_of::<Body>(), "--nocapture", "--test-threads=1"])
        .env(INNER, directory.path())
        .env(variable, directory.path().join("configuration"))
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].map(|told| String::from_utf8_lossy(&told).into_owned()).concat();
    assert!(output.status.success(), "{told}");
    assert!(directory.path().join(DONE).exists(), "the body did not run: the test must hold this one call\n{told}");
}

/// The name of the test that holds a closure: `crate::module::test::{{closure}}` without both ends.
fn test_of<Body>() -> &'static str {
    let name = any::type_name::<Body>();
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    name.split_once("::{{closure}}").map_or(name, |(name, _)| name)
}

/// The user PIN of every token.
pub(crate) const PIN: &str = "fixture-1234";

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Set in inner processes alone: the test's directory.
const INNER: &str = "HOLDFAST_TEST_TOKENS";

const DONE: &str = "done";
