//! A process with the built module in it. The module is configured by the environment, so that each test runs itself again as a child
//! process with that set, and drives the module there through `cryptoki`, as an application would.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, AttributeType, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use serde_json::Value;

/// The child's side of a test.
pub(crate) struct Scene {
    pub(crate) pkcs11: Pkcs11,
    directory: PathBuf,
    test: &'static str,
}

/// A further process of the same scene that encrypts when told to.
pub(crate) struct Worker {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Runs `body` in a child process whose module has this configuration, and expects it to end well.
pub(crate) fn play(test: &'static str, config: &str, body: fn(&Scene)) {
    if env::var_os(DIRECTORY).is_some() {
        return Scene::enter(test, body);
    }
    let directory = tempfile::tempdir().unwrap();
    let output = again(test, config, directory.path().to_owned());
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{}: {text}", output.status);
}

/// Runs the test again as a child process in `directory`.
pub(crate) fn again(test: &str, config: &str, directory: PathBuf) -> Output {
    let file = directory.join("sim.toml");
    fs::write(&file, config).unwrap();
    child(test).env("HOLDFAST_SIM_HSM", file).env(DIRECTORY, directory).output().unwrap()
}

/// Whether this is the child, for tests that look at how it ends.
pub(crate) fn in_child() -> bool {
    env::var_os(DIRECTORY).is_some()
}

impl Scene {
    /// The scene that this child process is in.
    pub(crate) fn enter(test: &'static str, body: fn(&Scene)) {
        let scene = Self { pkcs11: load().unwrap(), directory: env::var_os(DIRECTORY).unwrap().into(), test };
        if env::var_os(WORKER).is_some() { scene.work() } else { body(&scene) }
    }

    /// The slot whose token has this label.
    pub(crate) fn slot(&self, label: &str) -> Slot {
        let slots = self.pkcs11.get_slots_with_token().unwrap();
        slots.into_iter().find(|slot| self.pkcs11.get_token_info(*slot).unwrap().label() == label).unwrap()
    }

    /// A read-write session, not logged in.
    pub(crate) fn session(&self, label: &str) -> Session {
        self.pkcs11.open_rw_session(self.slot(label)).unwrap()
    }

    /// A read-write session, logged in.
    pub(crate) fn logged_in(&self, label: &str) -> Session {
        let session = self.session(label);
        login(&session, "1234").unwrap();
        session
    }

    /// What the control socket answers.
    pub(crate) fn control(&self, command: &str) -> Value {
        tell(&self.directory.join("control"), command)
    }

    /// The same, which must be fine.
    pub(crate) fn fault(&self, command: &str) {
        assert_eq!(self.control(command), serde_json::json!({"ok": true}), "{command}");
    }

    /// The status of a partition.
    pub(crate) fn status(&self, label: &str) -> Value {
        self.control(&serde_json::json!({"partition": label, "fault": "status"}).to_string())
    }

    /// Returns when so many calls of a partition hang.
    pub(crate) fn until_hanging(&self, label: &str, calls: u64) {
        while self.status(label)["hanging"] != calls {
            std::thread::yield_now();
        }
    }

    /// Starts a further process in this scene, with a session on the partition `a`.
    pub(crate) fn worker(&self) -> Worker {
        Worker::start(self.test, &self.directory)
    }

    /// The socket of that process alone.
    pub(crate) fn own_socket(&self, worker: &Worker) -> PathBuf {
        self.directory.join(format!("control.{}", worker.process.id()))
    }

    /// What a worker does.
    fn work(&self) {
        let session = self.logged_in("a");
        let key = find(&session, "k");
        answer("ready");
        for _order in std::io::stdin().lines() {
            match encrypt(&session, key, b"x") {
                Ok(_) => answer("ok"),
                Err(error) => answer(&format!("{error:?}")),
            }
        }
    }
}

impl Worker {
    /// Starts the process of a scene in `directory`, which has its configuration.
    pub(crate) fn start(test: &str, directory: &Path) -> Self {
        let mut command = child(test);
        command.env("HOLDFAST_SIM_HSM", directory.join("sim.toml")).env(DIRECTORY, directory).env(WORKER, "1");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut worker = Self { orders: process.stdin.take(), process, answers };
        assert_eq!(worker.answer(), "ready");
        worker
    }

    /// Tells it to encrypt once.
    pub(crate) fn order(&mut self) {
        self.orders.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Its answer to that: `ok`, the failure, or nothing when it died.
    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        while self.answers.read_line(&mut line).unwrap() > 0 {
            if let Some(at) = line.find('@') {
                return line[at + 1..].trim_end().to_owned();
            }
            line.clear();
        }
        String::new()
    }

    /// Ends it, and tells whether it ended well.
    pub(crate) fn end(mut self) -> bool {
        drop(self.orders.take());
        self.process.wait().unwrap().success()
    }
}

/// What the control socket at `path` answers.
pub(crate) fn tell(path: &Path, command: &str) -> Value {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(format!("{command}\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

/// Loads and initializes the built module.
pub(crate) fn load() -> Result<Pkcs11, Error> {
    // `cargo test` builds the library beside the tests, under its plain name.
    let module = env::current_exe().unwrap().parent().unwrap().join("libholdfast_sim_hsm.so");
    let pkcs11 = Pkcs11::new(module).unwrap();
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    Ok(pkcs11)
}

pub(crate) fn login(session: &Session, pin: &str) -> Result<(), Error> {
    session.login(UserType::User, Some(&AuthPin::new(pin.into())))
}

/// The key with this label.
pub(crate) fn find(session: &Session, label: &str) -> ObjectHandle {
    let found = session.find_objects(&[Attribute::Label(label.into())]).unwrap();
    assert_eq!(found.len(), 1, "keys with label {label}");
    found[0]
}

/// The label of a key.
pub(crate) fn label(session: &Session, key: ObjectHandle) -> Result<String, Error> {
    match session.get_attributes(key, &[AttributeType::Label])?.as_slice() {
        [Attribute::Label(label)] => Ok(String::from_utf8(label.clone()).unwrap()),
        other => panic!("{other:?}"),
    }
}

/// Encrypts under an IV of twelve zeros and without AAD; gives the IV as it was afterwards, and the ciphertext.
pub(crate) fn encrypt(session: &Session, key: ObjectHandle, data: &[u8]) -> Result<([u8; 12], Vec<u8>), Error> {
    let mut iv = [0; 12];
    let params = GcmParams::new(&mut iv, b"", 128.into())?;
    let sealed = session.encrypt(&Mechanism::AesGcm(params), key, data)?;
    Ok((iv, sealed))
}

/// Decrypts without AAD.
pub(crate) fn decrypt(session: &Session, key: ObjectHandle, iv: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut iv = iv.to_vec();
    let params = GcmParams::new(&mut iv, b"", 128.into())?;
    session.decrypt(&Mechanism::AesGcm(params), key, sealed)
}

/// That a call failed with this value.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Error>, wanted: RvError) {
    match result {
        Err(Error::Pkcs11(found, _)) => assert_eq!(format!("{found:?}"), format!("{wanted:?}")),
        other => panic!("{other:?}, not {wanted:?}"),
    }
}

fn child(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([test, "--nocapture", "--test-threads=1"]);
    command
}

fn answer(text: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("\n@{text}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

const DIRECTORY: &str = "HOLDFAST_SIM_TEST_DIRECTORY";
const WORKER: &str = "HOLDFAST_SIM_TEST_WORKER";
