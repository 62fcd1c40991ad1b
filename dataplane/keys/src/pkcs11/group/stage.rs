//! A group whose partitions are played by a test: the real fronts, queues, keys and files, and the test at the sessions' end.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded, unbounded};
use holdfast_proto::records::PartitionKey;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::{
    super::{
        front::{Front, Order},
        job::{Done, Encrypted, Fault, Job, Outcome, Proof, Work},
        key::{GroupKey, ToDecrypt, ToEncrypt, TokenSealed, now},
        settings::{PartitionSettings, PinSource, TokenSelector},
        status::Condition,
    },
    Group, Member,
};
use crate::{Iv, KeyFault, Sealed};

pub(crate) struct Stage {
    pub(crate) dir: TempDir,
    pub(crate) group: Arc<Group>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) nudges: Receiver<()>,
}

/// A partition as its sessions see it.
pub(crate) struct Token {
    pub(crate) front: Arc<Front>,
    jobs: Receiver<Job>,
    pub(crate) orders: Receiver<Order>,
}

impl Stage {
    /// With partitions that are up and have room for some jobs.
    pub(crate) fn of(members: usize) -> Self {
        Self::with_queues(&vec![8; members])
    }

    pub(crate) fn with_queues(capacities: &[usize]) -> Self {
        Self::resumed(tempfile::tempdir().unwrap(), capacities)
    }

    /// A new start with an old state directory.
    pub(crate) fn resumed(dir: TempDir, capacities: &[usize]) -> Self {
        Self::begun(dir, capacities, None)
    }

    /// Of tokens of this vendor.
    pub(crate) fn of_vendor(members: usize, vendor: &str) -> Self {
        Self::begun(tempfile::tempdir().unwrap(), &vec![8; members], Some(vendor))
    }

    fn begun(dir: TempDir, capacities: &[usize], vendor: Option<&str>) -> Self {
        let tokens: Vec<Token> = capacities.iter().enumerate().map(|(at, capacity)| Token::new(at, *capacity)).collect();
        let settings = |name: &str| PartitionSettings { vendor: vendor.map(str::to_owned), ..settings(name) };
        let members = tokens.iter().map(|token| Member::new(Arc::clone(&token.front), &settings(&token.front.name))).collect();
        let (nudge, nudges) = bounded(1);
        Self { group: Group::new("pair", members, dir.path(), nudge), dir, tokens, nudges }
    }

    pub(crate) fn key(&self) -> Arc<GroupKey> {
        self.group.key(&PartitionKey { group: "pair".into(), cka_id: [1].into(), label: "key".into() })
    }

    /// The one member that has a job.
    pub(crate) fn asked(&self) -> usize {
        let asked: Vec<usize> = (0..self.tokens.len()).filter(|at| !self.tokens[*at].is_idle()).collect();
        assert_eq!(asked.len(), 1, "asked: {asked:?}");
        asked[0]
    }

    /// A key that every member has proved.
    pub(crate) fn proved_key(&self) -> Arc<GroupKey> {
        let key = self.key();
        let proof = key.adopt_for_tests(proof(1));
        for (at, token) in self.tokens.iter().enumerate() {
            proof.prove(at, token.front.generation());
        }
        key
    }
}

impl Token {
    fn new(at: usize, capacity: usize) -> Self {
        let (orders, ordered) = unbounded();
        let (queue, jobs) = bounded(capacity);
        let front = Front::new(&format!("p{at}"), "pair", orders);
        front.set_generation(1);
        front.set_queue(Some(queue));
        front.set_condition(Condition::Up);
        Self { front, jobs, orders: ordered }
    }

    /// Connected anew: handles and proofs of before are void.
    pub(crate) fn reconnect(&self) {
        self.front.set_generation(self.front.generation() + 1);
    }

    /// The next job, begun.
    pub(crate) fn begin(&self) -> Job {
        let job = self.take();
        assert!(job.ticket.start(), "it was taken back");
        job
    }

    /// The next job, not begun.
    pub(crate) fn take(&self) -> Job {
        self.jobs.try_recv().expect("a job")
    }

    /// The next job, begun, where the other side is another thread.
    pub(crate) fn wait(&self) -> Job {
        let job = self.jobs.recv_timeout(Duration::from_secs(10)).expect("a job");
        assert!(job.ticket.start(), "it was taken back");
        job
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(crate) fn answer(&self, outcome: Outcome) {
        self.begin().answer.give(outcome);
    }
}

/// Polls once: it still waits.
pub(crate) async fn waits<F: Future>(mut request: Pin<&mut F>) {
    poll_fn(|context| {
        assert!(request.as_mut().poll(context).is_pending(), "it is over");
        Poll::Ready(())
    })
    .await;
}

/// 200 ms from now, as requests have it.
pub(crate) fn soon() -> Instant {
    now() + Duration::from_millis(200)
}

pub(crate) async fn encrypt(key: &GroupKey) -> Result<TokenSealed, KeyFault> {
    encrypt_until(key, soon()).await
}

pub(crate) async fn encrypt_until(key: &GroupKey, deadline: Instant) -> Result<TokenSealed, KeyFault> {
    key.encrypt(ToEncrypt { aad: b"aad".to_vec(), plaintext: Zeroizing::new(b"text".to_vec()), integrity: None }, deadline).await
}

pub(crate) async fn decrypt(key: &GroupKey) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
    key.decrypt(ToDecrypt { iv: vec![0; 12], aad: vec![], ciphertext: vec![9], tag: [8; 16] }, soon()).await
}

/// A good answer that can be told from others.
pub(crate) fn encrypted(mark: u8) -> Outcome {
    Ok(Done::Encrypted(Encrypted { iv: vec![mark; 12], ciphertext: vec![mark], tag: [mark; 16], integrity: None, tries: 1 }))
}

pub(crate) fn sealed(mark: u8) -> Result<TokenSealed, KeyFault> {
    let sealed = Sealed { iv: Iv::from([mark; 12]), ciphertext: vec![mark], tag: [mark; 16] };
    Ok(TokenSealed { sealed, integrity: None, tries: 1 })
}

pub(crate) fn proof(mark: u8) -> Proof {
    Proof { iv: vec![mark; 12], ciphertext: vec![mark; 32], tag: [mark; 16] }
}

pub(crate) fn token_fault() -> Outcome {
    Err(Fault::Token("CKR_DEVICE_ERROR".into()))
}

pub(crate) fn is_encryption(job: &Job) -> bool {
    matches!(&*job.work, Work::Encrypt(what) if what.aad == b"aad" && what.plaintext.as_slice() == b"text")
}

fn settings(name: &str) -> PartitionSettings {
    PartitionSettings::new(name.into(), "module".into(), TokenSelector::Slot(0), PinSource::Env("PIN".into()))
}
