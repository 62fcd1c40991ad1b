//! A partition in a process of its own, on the simulated HSM or another module, for one test at a time.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    num::NonZeroU32,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded, unbounded};
use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::super::{Host, start};
use crate::pkcs11::{
    Pkcs11Fault,
    front::{Front, Order},
    handles::{KeyName, MemberKey},
    job::{Answer, Decrypt, Done, Encrypt, Encrypted, Job, Outcome, Ticket, Work},
    settings::{Isolation, PartitionSettings, PinSource, TokenSelector},
    status::{TokenTask, TokenTaskDone, TokenTaskError},
};

/// A token of the simulated HSM, and its partition. One at a time: a machine with much else to do makes calls overdue.
pub(super) struct Scene {
    _alone: MutexGuard<'static, ()>,
    pub(super) directory: TempDir,
    pub(super) front: Arc<Front>,
    pub(super) changes: Receiver<()>,
}

impl Scene {
    /// Up.
    pub(super) fn new(sessions: u32) -> Self {
        let scene = Self::started(sessions, "a").unwrap();
        scene.until_up();
        scene
    }

    pub(super) fn started(sessions: u32, token: &str) -> Result<Self, Vec<Pkcs11Fault>> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("sim.toml"), TOKEN).unwrap();
        Self::of(directory, &["HOLDFAST_SIM_HSM=sim.toml"], &beside("libholdfast_sim_hsm.so"), (sessions, token))
    }

    /// A module whose configuration is a file in the directory, named by a variable.
    pub(super) fn of(
        directory: TempDir,
        variables: &[&str],
        module: &Path,
        (sessions, token): (u32, &str),
    ) -> Result<Self, Vec<Pkcs11Fault>> {
        static MACHINE: Mutex<()> = Mutex::new(());
        // A test that failed left nothing half done: its processes are its own.
        let alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        let path = |name: &str| directory.path().join(name);
        fs::write(path("pin"), "1234\n").unwrap();
        let (changed, changes) = bounded(1);
        let (orders, ordered) = unbounded();
        let front = Front::watched("p", "p", orders, changed);
        let mut settings =
            PartitionSettings::new("p".into(), module.into(), TokenSelector::Label(token.into()), PinSource::File(path("pin")));
        settings.sessions = NonZeroU32::new(sessions);
        settings.isolation = Isolation::Process;
        let variables = variables.iter().map(|variable| {
            let (name, file) = variable.split_once('=').unwrap();
            format!("{name}={}", path(file).display()).into()
        });
        let keyhost = ["env".into()].into_iter().chain(variables).chain([beside("../examples/keyhost")]).collect();
        start(Host { settings, state_dir: path("state"), keyhost }, Arc::clone(&front), ordered)?;
        Ok(Self { _alone: alone, directory, front, changes })
    }

    /// Waits until it is taken: on a machine that does a lot else, calls become overdue now and then.
    pub(super) fn submit(&self, work: &Work) -> Receiver<Outcome> {
        let mut taken = None;
        self.until("it takes work", |front| {
            let (job, outcome) = job("k", work.clone());
            taken = front.submit(job).ok().map(|()| outcome);
            taken.is_some()
        });
        taken.unwrap()
    }

    pub(super) fn run(&self, work: &Work) -> Outcome {
        self.submit(work).recv_timeout(PATIENCE).unwrap()
    }

    pub(super) fn encrypt(&self, plaintext: &[u8]) -> Encrypted {
        match self.run(&encryption(plaintext)) {
            Ok(Done::Encrypted(encrypted)) => encrypted,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn until(&self, what: &str, mut holds: impl FnMut(&Front) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(&self.front) {
            assert!(Instant::now() < end, "{what}: {:?}", self.front.status());
            // Counters change without a nudge.
            let _ = self.changes.recv_timeout(Duration::from_millis(20));
        }
    }

    pub(super) fn until_up(&self) {
        self.until("it comes up", |front| front.condition().is_up());
    }

    pub(super) fn task(&self, task: TokenTask) -> Result<TokenTaskDone, TokenTaskError> {
        let (give, result) = oneshot::channel();
        self.front.order(Order::Task(task, give));
        result.blocking_recv().unwrap()
    }

    /// What the simulated HSM answers.
    pub(super) fn sim(&self, command: &Value) -> Value {
        let mut stream = UnixStream::connect(self.directory.path().join("control")).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["ok"], true, "{command}: {answer}");
        answer
    }

    pub(super) fn until_hanging(&self, calls: u64) {
        while self.sim(&json!({"partition": "a", "fault": "status"}))["hanging"] != calls {
            thread::yield_now();
        }
    }

    pub(super) fn children(&self) -> Vec<Pid> {
        processes_of(self.directory.path())
    }

    pub(super) fn child(&self) -> Pid {
        let children = self.children();
        assert_eq!(children.len(), 1, "{children:?}");
        children[0]
    }

    /// Comes up anew with another process. The first one is gone, and no zombie.
    pub(super) fn until_replaced(&self, old: Pid, generation: u64) {
        self.until("it comes up anew", |front| front.condition().is_up() && front.generation() > generation);
        until_gone(old);
        assert_ne!(self.child(), old);
        self.encrypt(b"after");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.front.order(Order::Stop);
    }
}

pub(super) fn job(label: &str, work: Work) -> (Job, Receiver<Outcome>) {
    let (give, outcome) = bounded(1);
    let key = MemberKey::new(KeyName { cka_id: Box::default(), label: label.into() });
    let ticket = Ticket::new(Instant::now() + Duration::from_millis(200));
    // A test that ended does not wait any more.
    let answer = Answer::new(move |outcome| drop(give.send(outcome)));
    (Job { key, proof: None, work: Arc::new(work), ticket, answer }, outcome)
}

pub(super) fn encryption(plaintext: &[u8]) -> Work {
    Work::Encrypt(Encrypt { aad: b"aad".to_vec(), plaintext: plaintext.to_vec().into(), integrity: None })
}

pub(super) fn decryption(sealed: &Encrypted) -> Work {
    let Encrypted { iv, ciphertext, tag, .. } = sealed.clone();
    Work::Decrypt(Decrypt { iv, aad: b"aad".to_vec(), ciphertext, tag })
}

/// A file that cargo built beside this program.
pub(super) fn beside(file: &str) -> PathBuf {
    env::current_exe().unwrap().parent().unwrap().join(file)
}

/// Those whose environment names the directory.
pub(super) fn processes_of(directory: &Path) -> Vec<Pid> {
    let named = directory.as_os_str().as_encoded_bytes();
    let is_of = |pid: &OsStr| {
        let environment = fs::read(Path::new("/proc").join(pid).join("environ")).unwrap_or_default();
        environment.windows(named.len()).any(|window| window == named)
    };
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let pids = entries.filter(|pid| is_of(pid)).filter_map(|pid| Pid::from_raw(pid.to_str()?.parse().ok()?));
    pids.collect()
}

/// Not even a zombie is left.
pub(super) fn until_gone(process: Pid) {
    let end = Instant::now() + PATIENCE;
    while Path::new("/proc").join(process.as_raw_nonzero().to_string()).exists() {
        assert!(Instant::now() < end, "{process:?} is still there");
        thread::yield_now();
    }
}

pub(super) const TOKEN: &str = "control = 'control'
    [[partition]]\nlabel = 'a'\npin = '1234'
    [[partition.key]]\nid = '01'\nlabel = 'k'\nseed = 's'
    [[partition.key]]\nid = '02'\nlabel = 'holdfast-health'\nseed = 'h'";

/// For what takes a moment, on a machine that does a lot else.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) const PARENT: &str = "HOLDFAST_KEYHOST_TEST_PARENT";
