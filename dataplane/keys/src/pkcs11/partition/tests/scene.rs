//! A test in a process of its own with a module in it: modules are configured by the environment, which a process reads once.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::unbounded;
use holdfast_proto::records::KeyUsage;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::pkcs11::{
    admin::TokenAdmin,
    front::{Front, Order, Refused},
    handles::{KeyName, MemberKey},
    job::{Answer, Decrypt, Done, Encrypt, Encrypted, Fault, Job, Outcome, Proof, Ticket, Work},
    partition::Partition,
    settings::{PartitionSettings, PinSource, TokenSelector},
    start::Pkcs11Fault,
    status::{Condition, TokenTask, TokenTaskDone, TokenTaskError},
};

/// The child's side of a test.
pub(super) struct Scene {
    directory: PathBuf,
    module: PathBuf,
}

/// A partition that was started.
pub(super) struct Running {
    pub(super) front: Arc<Front>,
}

/// A job under way.
pub(super) struct Asked {
    pub(super) ticket: Arc<Ticket>,
    outcome: mpsc::Receiver<Outcome>,
}

/// Runs `body` in a child process with SoftHSM, whose one token `a` has the health key and a key `k`.
pub(super) fn softhsm(test: &str, body: fn(&Scene)) {
    let prepare = |directory: &PathBuf, child: &mut Command| {
        let tokens = directory.join("tokens");
        fs::create_dir(&tokens).unwrap();
        let file = directory.join("softhsm2.conf");
        fs::write(&file, format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display())).unwrap();
        child.env("SOFTHSM2_CONF", &file);
        let mut tool = Command::new("softhsm2-util");
        tool.args(["--init-token", "--free", "--label", "a", "--so-pin", "12345678", "--pin", PIN]).env("SOFTHSM2_CONF", &file);
        assert!(tool.output().unwrap().status.success());
    };
    play(test, prepare, |directory| {
        let scene = Scene { directory, module: "/usr/lib/softhsm/libsofthsm2.so".into() };
        let admin = scene.admin();
        for label in ["holdfast-health", "k"] {
            admin.generate(label.as_bytes(), label, KeyUsage::BOTH).unwrap();
        }
        drop(admin);
        body(&scene);
    });
}

/// Runs `body` in a child process with the simulator, whose one token `a` has the health key and keys `k` and `l`. `more` is added to its
/// configuration.
pub(super) fn sim(test: &str, more: &str, body: fn(&Scene)) {
    let prepare = |directory: &PathBuf, child: &mut Command| {
        let key = |id: u32, label| format!("[[partition.key]]\nid = '0{id}'\nlabel = '{label}'\nseed = '{label}'\n");
        let keys = [key(1, "holdfast-health"), key(2, "k"), key(3, "l")].concat();
        let file = directory.join("sim.toml");
        fs::write(&file, format!("control = 'control'\n[[partition]]\nlabel = 'a'\npin = '{PIN}'\n{more}\n{keys}")).unwrap();
        child.env("HOLDFAST_SIM_HSM", file);
    };
    // `cargo test` builds the library of a dependency beside the tests, under its plain name.
    play(test, prepare, |directory| {
        let module = env::current_exe().unwrap().parent().unwrap().join("libholdfast_sim_hsm.so");
        body(&Scene { directory, module });
    });
}

fn play(test: &str, prepare: impl FnOnce(&PathBuf, &mut Command), body: impl FnOnce(PathBuf)) {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return body(directory.into());
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("pin"), PIN).unwrap();
    let mut child = Command::new(env::current_exe().unwrap());
    child.args([test, "--nocapture", "--test-threads=1"]).env(DIRECTORY, directory.path());
    prepare(&directory.path().to_owned(), &mut child);
    let output = child.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{}: {text}", output.status);
}

impl Scene {
    /// A partition on the token `a`, with two sessions.
    pub(super) fn settings(&self) -> PartitionSettings {
        let pin = PinSource::File(self.directory.join("pin"));
        let settings = PartitionSettings::new("p".into(), self.module.clone(), TokenSelector::Label("a".into()), pin);
        PartitionSettings { sessions: Some(2.try_into().unwrap()), ..settings }
    }

    /// The partition with these settings.
    pub(super) fn start(&self, settings: PartitionSettings) -> Result<Running, Vec<Pkcs11Fault>> {
        let (orders, ordered) = unbounded();
        let front = Front::new(&settings.name, &settings.group, orders);
        Partition::start(settings, &self.directory.join("state"), Arc::clone(&front), ordered)?;
        Ok(Running { front })
    }

    /// The partition, with all of its sessions.
    pub(super) fn up(&self) -> Running {
        let running = self.start(self.settings()).unwrap();
        running.until_up(2);
        running
    }

    pub(super) fn admin(&self) -> TokenAdmin {
        TokenAdmin::open(&self.settings(), &self.directory.join("state")).unwrap()
    }

    pub(super) fn write_pin(&self, pin: &str) {
        fs::write(self.directory.join("pin"), pin).unwrap();
    }

    /// What the simulator's control socket answers.
    pub(super) fn control(&self, command: &str) -> serde_json::Value {
        let mut stream = UnixStream::connect(self.directory.join("control")).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// A fault of the token: the fields beside its partition.
    pub(super) fn fault(&self, fields: &str) {
        assert_eq!(self.control(&format!(r#"{{"partition": "a", {fields}}}"#)), serde_json::json!({"ok": true}), "{fields}");
    }

    pub(super) fn clear(&self) {
        self.fault(r#""fault": "clear""#);
    }

    /// A count of the simulator.
    pub(super) fn count(&self, name: &str) -> u64 {
        let status = self.control(r#"{"partition": "a", "fault": "status"}"#);
        status[name].as_u64().or_else(|| status["calls"][name].as_u64()).unwrap_or(0)
    }
}

impl Running {
    /// Hands a job in, which must be taken.
    pub(super) fn submit(&self, key: &Arc<MemberKey>, work: Work, deadline: Duration) -> Asked {
        self.try_submit(key, (work, None), deadline).unwrap_or_else(|why| panic!("{why}: {:?}", self.front.condition()))
    }

    /// The same, with a proof that the key must pass first.
    pub(super) fn submit_with(&self, key: &Arc<MemberKey>, proof: Arc<Proof>, work: Work) -> Asked {
        self.try_submit(key, (work, Some(proof)), LONG).unwrap()
    }

    fn try_submit(
        &self,
        key: &Arc<MemberKey>,
        (work, proof): (Work, Option<Arc<Proof>>),
        deadline: Duration,
    ) -> Result<Asked, &'static str> {
        let (sender, outcome) = mpsc::channel();
        let ticket = Ticket::new(Instant::now() + deadline);
        let answer = Answer::new(move |outcome| drop(sender.send(outcome)));
        let job = Job { key: Arc::clone(key), proof, work, ticket: Arc::clone(&ticket), answer };
        match self.front.submit(job) {
            Ok(()) => Ok(Asked { ticket, outcome }),
            Err(Refused::Full(_)) => Err("the queue is full"),
            Err(Refused::NotUp(_)) => Err("the partition is not up"),
        }
    }

    /// Hands a job in and waits for its outcome.
    pub(super) fn ask(&self, key: &Arc<MemberKey>, work: Work) -> Outcome {
        self.submit(key, work, LONG).outcome()
    }

    pub(super) fn encrypt(&self, key: &Arc<MemberKey>, text: &str) -> Result<Encrypted, Fault> {
        self.ask(key, encryption(text)).map(|done| match done {
            Done::Encrypted(encrypted) => encrypted,
            _ => panic!("not what was asked"),
        })
    }

    pub(super) fn decrypt(&self, key: &Arc<MemberKey>, sealed: &Encrypted) -> Result<String, Fault> {
        self.ask(key, decryption(sealed)).map(|done| match done {
            Done::Decrypted(text) => String::from_utf8(text.to_vec()).unwrap(),
            _ => panic!("not what was asked"),
        })
    }

    /// Decrypts if the partition takes it; none: it did not, or failed.
    pub(super) fn try_decrypt(&self, key: &Arc<MemberKey>, sealed: &Encrypted) -> Option<String> {
        match self.try_submit(key, (decryption(sealed), None), LONG).ok()?.outcome() {
            Ok(Done::Decrypted(text)) => Some(String::from_utf8(text.to_vec()).unwrap()),
            Ok(_) => panic!("not what was asked"),
            Err(fault) => {
                assert!(matches!(fault, Fault::Token(_) | Fault::Session), "{fault:?}");
                None
            }
        }
    }

    /// Encrypts and decrypts, whatever the state of things.
    pub(super) fn works(&self, key: &Arc<MemberKey>) {
        let sealed = self.encrypt(key, "works").unwrap();
        assert_eq!(self.decrypt(key, &sealed).unwrap(), "works");
    }

    pub(super) fn task(&self, task: TokenTask) -> Result<TokenTaskDone, TokenTaskError> {
        let (reply, hears) = oneshot::channel();
        self.front.order(Order::Task(task, reply));
        hears.blocking_recv().unwrap()
    }

    pub(super) fn until_up(&self, sessions: u32) {
        self.until(Condition::is_up);
        until(|| self.front.status().sessions == sessions, || format!("{:?}", self.front.status()));
    }

    pub(super) fn until(&self, is_so: impl Fn(&Condition) -> bool) {
        until(|| is_so(&self.front.condition()), || format!("{:?}", self.front.status()));
    }

    pub(super) fn stop(&self) {
        self.front.order(Order::Stop);
        self.until(|condition| *condition == Condition::Down("stopped".into()));
    }
}

impl Asked {
    pub(super) fn outcome(&self) -> Outcome {
        self.outcome.recv_timeout(LONG).unwrap()
    }

    /// There is none within so long.
    pub(super) fn hangs_for(&self, long: Duration) -> bool {
        self.outcome.recv_timeout(long).is_err()
    }
}

/// Waits until something is so, which it must be soon.
pub(super) fn until(is_so: impl Fn() -> bool, now: impl Fn() -> String) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "{}", now());
        thread::park_timeout(Duration::from_millis(1));
    }
}

pub(super) fn key(label: &str) -> Arc<MemberKey> {
    MemberKey::new(KeyName { cka_id: Box::default(), label: label.into() })
}

pub(super) fn encryption(text: &str) -> Work {
    Work::Encrypt(Encrypt { aad: b"aad".to_vec(), plaintext: Zeroizing::new(text.into()), integrity: None })
}

pub(super) fn decryption(sealed: &Encrypted) -> Work {
    let Encrypted { iv, ciphertext, tag, .. } = sealed.clone();
    Work::Decrypt(Decrypt { iv, aad: b"aad".to_vec(), ciphertext, tag })
}

const DIRECTORY: &str = "HOLDFAST_KEYS_TEST_DIRECTORY";
const PIN: &str = "123456";
pub(super) const LONG: Duration = Duration::from_secs(20);
