//! What the tests of partitions do with a token and with a partition on it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::unbounded;
use holdfast_proto::records::KeyUsage;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::{
    fixture::{PIN, Tokens},
    pkcs11::{
        admin::TokenAdmin,
        front::{Front, Order, Refused},
        handles::{KeyName, MemberKey},
        job::{Answer, Decrypt, Done, Encrypt, Encrypted, Fault, Job, Outcome, Proof, Ticket, Work},
        partition::Partition,
        settings::PartitionSettings,
        start::Pkcs11Fault,
        status::{Condition, TokenTask, TokenTaskDone, TokenTaskError},
    },
};

/// A token `a` with a health key and a key `k`; of the simulator, with a key `l` too.
pub(super) struct Scene<'a> {
    tokens: &'a Tokens,
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

/// A configuration of the simulator with the token `a`, and whatever is to be told of it.
pub(super) fn one(more: &str) -> String {
    let key = |id: u32, label| format!("[[partition.key]]\nid = '0{id}'\nlabel = '{label}'\nseed = '{label}'\n");
    let keys = [key(1, "holdfast-health"), key(2, "k"), key(3, "l")].concat();
    format!("control = 'control'\n[[partition]]\nlabel = 'a'\npin = '{PIN}'\n{more}\n{keys}")
}

impl<'a> Scene<'a> {
    /// On the simulator.
    pub(super) fn sim(tokens: &'a Tokens) -> Self {
        Self { tokens }
    }

    /// On SoftHSM, where the keys are made first.
    pub(super) fn softhsm(tokens: &'a Tokens) -> Self {
        let scene = Self { tokens };
        let admin = scene.admin();
        for label in ["holdfast-health", "k"] {
            admin.generate(label.as_bytes(), label, KeyUsage::BOTH).unwrap();
        }
        scene
    }

    /// A partition on the token `a`, with two sessions.
    pub(super) fn settings(&self) -> PartitionSettings {
        PartitionSettings { name: "p".into(), sessions: Some(2.try_into().unwrap()), ..self.tokens.partition("a") }
    }

    /// The partition with these settings.
    pub(super) fn start(&self, settings: PartitionSettings) -> Result<Running, Vec<Pkcs11Fault>> {
        let (orders, ordered) = unbounded();
        let front = Front::new(&settings.name, &settings.group, orders);
        Partition::start(settings, &self.tokens.state_dir(), Arc::clone(&front), ordered)?;
        Ok(Running { front })
    }

    /// The partition, with all of its sessions.
    pub(super) fn up(&self) -> Running {
        let running = self.start(self.settings()).unwrap();
        running.until_up(2);
        running
    }

    pub(super) fn admin(&self) -> TokenAdmin {
        TokenAdmin::open(&self.settings(), &self.tokens.state_dir()).unwrap()
    }

    pub(super) fn write_pin(&self, pin: &str) {
        fs::write(self.tokens.path("pin-a"), pin).unwrap();
    }

    /// What the simulator's control socket answers.
    pub(super) fn control(&self, command: &str) -> serde_json::Value {
        let mut stream = UnixStream::connect(self.tokens.path("control")).unwrap();
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
    /// Hands a job in, as soon as the partition takes it: a busy machine makes it suspect now and then.
    pub(super) fn submit(&self, key: &Arc<MemberKey>, work: Work, deadline: Duration) -> Asked {
        let work = Arc::new(work);
        loop {
            self.until(Condition::is_up);
            if let Some(asked) = self.try_submit(key, (Arc::clone(&work), None), deadline) {
                return asked;
            }
        }
    }

    /// The same, with a proof that the key must pass first.
    pub(super) fn submit_with(&self, key: &Arc<MemberKey>, proof: Arc<Proof>, work: Work) -> Asked {
        self.try_submit(key, (Arc::new(work), Some(proof)), LONG).expect("the partition is up")
    }

    fn try_submit(&self, key: &Arc<MemberKey>, (work, proof): (Arc<Work>, Option<Arc<Proof>>), deadline: Duration) -> Option<Asked> {
        let (sender, outcome) = mpsc::channel();
        let ticket = Ticket::new(Instant::now() + deadline);
        let answer = Answer::new(move |outcome| drop(sender.send(outcome)));
        let job = Job { key: Arc::clone(key), proof, work, ticket: Arc::clone(&ticket), answer };
        match self.front.submit(job) {
            Ok(()) => Some(Asked { ticket, outcome }),
            Err(Refused::Full(_)) => panic!("the queue is full"),
            Err(Refused::NotUp(_)) => None,
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
        match self.try_submit(key, (Arc::new(decryption(sealed)), None), LONG)?.outcome() {
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

impl Drop for Running {
    /// A module does not bear it that its process exits while a call runs.
    fn drop(&mut self) {
        self.front.order(Order::Stop);
        let start = Instant::now();
        while *self.front.condition() != Condition::Down("stopped".into()) && start.elapsed() < LONG {
            thread::park_timeout(Duration::from_millis(1));
        }
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

pub(super) const LONG: Duration = Duration::from_secs(20);
