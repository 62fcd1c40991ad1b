//! One piece of work for one session, and what comes of it.
//!
//! Holds: a job is answered at most once; one that was given up before a session started on it never starts. Made by `group`, done by
//! a partition's workers, here or in a process of its own: everything in it but the answer can cross to that process.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use holdfast_proto::records::KeyUsage;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::handles::MemberKey;
use crate::{Iv, TAG_LENGTH};

/// What a session is to do under one key.
pub(crate) struct Job {
    /// The key, on this partition.
    pub(crate) key: Arc<MemberKey>,
    /// Must decrypt first to what it was made of: the member has not proved this key in its present generation.
    pub(crate) proof: Option<Arc<Proof>>,
    /// What to do. Shared with other attempts at the same, on other members.
    pub(crate) work: Arc<Work>,
    /// Shared with whoever waits.
    pub(crate) ticket: Arc<Ticket>,
    /// Where the outcome goes.
    pub(crate) answer: Answer,
}

/// Takes one outcome.
pub(crate) struct Answer(Box<dyn FnOnce(Outcome) + Send>);

/// What comes of a job.
pub(crate) type Outcome = Result<Done, Fault>;

/// The kinds of work.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Work {
    /// AES-256-GCM, a fresh IV by the vendor's rule.
    Encrypt(Encrypt),
    /// AES-256-GCM.
    Decrypt(Decrypt),
    /// Looks the key up and tells what it may be used for.
    Describe,
    /// Encrypts and decrypts a text of our own: a health check.
    Check,
    /// Encrypts a text of our own, for other members to prove the key by decrypting it: its usage must allow both.
    MakeProof,
}

/// An encryption.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Encrypt {
    pub(crate) aad: Vec<u8>,
    pub(crate) plaintext: Zeroizing<Vec<u8>>,
    /// Asks for SHA-256 over this ‖ IV ‖ ciphertext ‖ tag, computed before the result is decrypted again and compared.
    pub(crate) integrity: Option<Vec<u8>>,
}

/// A decryption.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Decrypt {
    /// 12 or 16 bytes.
    pub(crate) iv: Vec<u8>,
    pub(crate) aad: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) tag: [u8; TAG_LENGTH],
}

/// Work that was done.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Done {
    /// Of [`Work::Encrypt`].
    Encrypted(Encrypted),
    /// Of [`Work::Decrypt`].
    Decrypted(Zeroizing<Vec<u8>>),
    /// Of [`Work::Describe`].
    Described(#[serde(with = "usage")] KeyUsage),
    /// Of [`Work::Check`].
    Checked,
    /// Of [`Work::MakeProof`].
    Proof(Proof),
}

/// What a token's encryption gives.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Encrypted {
    /// 12 or 16 bytes.
    pub(crate) iv: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) tag: [u8; TAG_LENGTH],
    /// What [`Encrypt::integrity`] asked for.
    pub(crate) integrity: Option<[u8; 32]>,
    /// How often the key has encrypted for this, or may have: 1, and one more for each try that failed, its own check or otherwise.
    pub(crate) tries: u32,
}

/// A ciphertext of a known text under a key: whoever decrypts it has the same key material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) iv: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) tag: [u8; TAG_LENGTH],
}

/// Why work was not done, by whose fault it is (design §5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    /// The caller's: what came to be decrypted does not verify.
    Input,
    /// The key's usage does not allow this.
    Usage,
    /// The token has no such key, more than one, or it is no AES-256 key. The text says which.
    Missing(String),
    /// The key here is not the key that made the proof.
    NotProved,
    /// What was encrypted did not decrypt to the plaintext, twice.
    SelfCheck,
    /// The deadline was over before a session started on it.
    Expired,
    /// The session broke.
    Session,
    /// The token failed, or the partition was stopped with the job on it. The text is for operators.
    Token(String),
}

/// How far a job is; shared by the session and by whoever waits for it.
pub(crate) struct Ticket {
    state: AtomicU8,
    made: Instant,
    /// Nanoseconds from `made` to the start.
    waited: AtomicU64,
    /// When whoever waits stops waiting.
    pub(crate) deadline: Instant,
}

impl Ticket {
    /// Of a job that waits.
    pub(crate) fn new(deadline: Instant) -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(WAITING), made: now(), waited: AtomicU64::new(0), deadline })
    }

    /// A session takes the job. False: it was given up, leave it.
    pub(crate) fn start(&self) -> bool {
        let waited = now().saturating_duration_since(self.made).as_nanos();
        self.waited.store(u64::try_from(waited).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.state.compare_exchange(WAITING, STARTED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whoever waits takes the job back. False: it was started.
    pub(crate) fn give_up(&self) -> bool {
        self.state.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// A session has started on it.
    pub(crate) fn is_started(&self) -> bool {
        self.state.load(Ordering::Acquire) == STARTED
    }

    /// How long a session has had it; none while it waits.
    pub(crate) fn running(&self) -> Option<Duration> {
        let since_made = || now().saturating_duration_since(self.made);
        self.is_started().then(|| since_made().saturating_sub(Duration::from_nanos(self.waited.load(Ordering::Relaxed))))
    }
}

impl Answer {
    /// Answers by calling `take`, on the thread that did the work: it must not block.
    pub(crate) fn new(take: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(Box::new(take))
    }

    /// Answers.
    pub(crate) fn give(self, outcome: Outcome) {
        (self.0)(outcome);
    }
}

impl Fault {
    /// The label in metrics.
    pub(crate) const fn class(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Usage => "usage",
            Self::Missing(_) => "key",
            Self::NotProved => "not_proved",
            Self::SelfCheck => "self_check",
            Self::Expired => "expired",
            Self::Session => "session",
            Self::Token(_) => "token",
        }
    }
}

impl TryFrom<&Encrypted> for Iv {
    type Error = crate::BadIvLength;

    fn try_from(encrypted: &Encrypted) -> Result<Self, crate::BadIvLength> {
        Self::try_from(encrypted.iv.as_slice())
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job(..)")
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Done(..)")
    }
}

/// The clock that deadlines are on: tokio's, which a test can stop. On threads without a runtime it is the system's.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Work crosses to another process as if it were not shared.
pub(crate) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Work;

    pub(crate) fn serialize<S: Serializer>(work: &Arc<Work>, serializer: S) -> Result<S::Ok, S::Error> {
        work.as_ref().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Work>, D::Error> {
        Work::deserialize(deserializer).map(Arc::new)
    }
}

/// `KeyUsage` is of a crate without serde.
mod usage {
    use holdfast_proto::records::KeyUsage;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(usage: &KeyUsage, serializer: S) -> Result<S::Ok, S::Error> {
        (usage.encrypt, usage.decrypt).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<KeyUsage, D::Error> {
        let (encrypt, decrypt) = <(bool, bool)>::deserialize(deserializer)?;
        Ok(KeyUsage { encrypt, decrypt })
    }
}

const WAITING: u8 = 0;
const STARTED: u8 = 1;
const GIVEN_UP: u8 = 2;
