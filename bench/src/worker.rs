//! One worker of a load run: it takes slots one after another, each sent to the next target.
//!
//! Holds: at most one request of a worker is out; what it measures starts at the slot's due time (or when it
//! was sent, if that was earlier) and ends when the whole answer was read, before the answer is checked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::chain;
use crate::connection::ConnectionError;
use crate::lane::{Answer, Lane};
use crate::load::Findings;
use crate::message::{Body, EncryptAnswer, WrongAnswer, check_plaintext, refusal};
use crate::plan::{Check, Connections, LoadPlan, Operation};
use crate::report::Failure;
use crate::schedule::{Schedule, Slot};

/// One worker: a lane to each target, and the bodies that it sends.
#[derive(Debug)]
pub(crate) struct Worker {
    index: u64,
    caller: Caller,
    lanes: Vec<Lane>,
    encrypt: Body,
    metadata: Body,
    health: Body,
}

impl Worker {
    pub(crate) fn new(index: usize, plan: Arc<LoadPlan>, findings: Arc<Findings>) -> Self {
        Self {
            index: index as u64,
            lanes: plan.targets.iter().map(Lane::new).collect(),
            encrypt: Body::new(Operation::Encrypt, plan.shape),
            metadata: Body::new(Operation::Metadata, plan.shape),
            health: Body::new(Operation::Health, plan.shape),
            caller: Caller { plan, findings },
        }
    }

    /// Opens its connections and encrypts what Decrypt will need. What fails here is tried again when needed.
    pub(crate) async fn prepared(mut self) -> Self {
        let plan = Arc::clone(&self.caller.plan);
        for lane in &mut self.lanes {
            if plan.workload.decrypts() {
                self.encrypt.renew(self.index);
                self.caller.prime(lane, &self.encrypt).await;
            } else if plan.reuse == Connections::Kept {
                // A failure shows when the first request is sent.
                let _ = lane.connect(plan.patience).await;
            }
        }
        self
    }

    /// Sends what the schedule hands out until it ends.
    pub(crate) async fn work(mut self, schedule: Arc<Schedule>) {
        while let Some(slot) = schedule.next().await {
            let at = usize::try_from(slot.number).unwrap_or(0) % self.lanes.len();
            let operation = self.caller.plan.workload.pick(slot.number);
            match operation {
                Operation::Encrypt => self.encrypt(at, slot).await,
                Operation::Decrypt => self.decrypt(at, slot).await,
                Operation::Metadata => self.ask(at, slot, operation).await,
                Operation::Health => self.ask(at, slot, operation).await,
            }
        }
    }

    /// Encrypts a plaintext of its own and, where the plan says so, has it decrypted and compares.
    async fn encrypt(&mut self, at: usize, slot: Slot) {
        let Self { caller, lanes, encrypt, .. } = self;
        let elsewhere = match caller.plan.check {
            Check::Answer | Check::RoundTrip => at,
            Check::CrossNode => (at + 1) % lanes.len(),
        };
        let Some(lane) = lanes.get_mut(at) else {
            return;
        };
        encrypt.renew(slot.number);
        let answered = caller.call(lane, Operation::Encrypt, encrypt, slot).await;
        if !answered || caller.plan.check == Check::Answer {
            return;
        }
        let Some(mut back) = caller.undo(lane) else {
            return;
        };
        back.renew(slot.number);
        let now = Slot { due: Instant::now(), ..slot };
        if let Some(lane) = lanes.get_mut(elsewhere)
            && caller.call(lane, Operation::Decrypt, &back, now).await
        {
            caller.compare(lane, encrypt.plaintext());
        }
    }

    /// Decrypts what this worker encrypted on the same target when it started.
    async fn decrypt(&mut self, at: usize, slot: Slot) {
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        if lane.primed.is_none() {
            self.encrypt.renew(self.index);
            self.caller.prime(lane, &self.encrypt).await;
        }
        // Taken out for the call; put back whatever it gave.
        let Some(mut primed) = lane.primed.take() else {
            return;
        };
        primed.body.renew(slot.number);
        let call = self.caller.call(lane, Operation::Decrypt, &primed.body, slot);
        if call.await {
            self.caller.compare(lane, &primed.plaintext);
        }
        lane.primed = Some(primed);
    }

    async fn ask(&mut self, at: usize, slot: Slot, operation: Operation) {
        let body = match operation {
            Operation::Metadata => &mut self.metadata,
            Operation::Health | Operation::Encrypt | Operation::Decrypt => &mut self.health,
        };
        body.renew(slot.number);
        if let Some(lane) = self.lanes.get_mut(at) {
            self.caller.call(lane, operation, body, slot).await;
        }
    }
}

/// A ciphertext to decrypt again and again.
#[derive(Debug)]
pub(crate) struct Primed {
    body: Body,
    plaintext: String,
}

/// Sends requests and counts what comes of them.
#[derive(Debug)]
struct Caller {
    plan: Arc<LoadPlan>,
    findings: Arc<Findings>,
}

impl Caller {
    /// Sends one request; whether it was answered with status 200.
    async fn call(&self, lane: &mut Lane, operation: Operation, body: &Body, slot: Slot) -> bool {
        let begun = slot.due.min(Instant::now());
        let plan = &self.plan;
        let sent = lane.exchange(operation, body.bytes(), plan.reuse, plan.patience);
        let outcome = sent.await;
        let latency = begun.elapsed();
        if let Err(ConnectionError::Connect(_) | ConnectionError::Handshake(_)) = outcome {
            // A target that is down must not be asked thousands of times a second.
            sleep(RECONNECT_PAUSE).await;
        }
        let mut findings = self.findings.lock();
        match outcome {
            Ok(answer) if answer.status == 200 => {
                if slot.counts {
                    findings.record(operation, begun, latency);
                    if let Some(time) = answer.handshake {
                        findings.record_handshake(time);
                    }
                }
                true
            }
            Ok(Answer { status, .. }) => {
                let (error_name, said) = refusal(lane.body());
                findings.fail_since(begun, operation, Failure::Refused { status, error_name }, || said);
                false
            }
            Err(error) => {
                findings.fail_since(begun, operation, failure(&error), || chain(&error));
                false
            }
        }
    }

    /// Encrypts once, uncounted, so that the lane has something to decrypt.
    async fn prime(&self, lane: &mut Lane, encrypt: &Body) {
        let slot = Slot { number: 0, due: Instant::now(), counts: false };
        if self.call(lane, Operation::Encrypt, encrypt, slot).await
            && let Some(body) = self.undo(lane)
        {
            let plaintext = encrypt.plaintext().to_owned();
            lane.primed = Some(Primed { body, plaintext });
        }
    }

    /// The Decrypt of the Encrypt that the lane answered last, whose CDIV is checked.
    fn undo(&self, lane: &Lane) -> Option<Body> {
        let shape = self.plan.shape;
        let checked = EncryptAnswer::checked(lane.body(), shape);
        let undone = checked.map(|answer| Body::decrypt(&answer, shape));
        self.kept(Operation::Encrypt, undone)
    }

    /// Compares the lane's last answer, to a Decrypt, with the plaintext.
    fn compare(&self, lane: &Lane, plaintext: &str) {
        let compared = check_plaintext(lane.body(), plaintext);
        self.kept(Operation::Decrypt, compared);
    }

    fn kept<T>(&self, operation: Operation, checked: Result<T, WrongAnswer>) -> Option<T> {
        let count = |wrong| {
            let failure = Failure::Wrong(wrong);
            self.findings.lock().fail(operation, failure, String::new);
        };
        checked.map_err(count).ok()
    }
}

fn failure(error: &ConnectionError) -> Failure {
    match error {
        ConnectionError::Connect(_) => Failure::Connect,
        ConnectionError::Handshake(_) => Failure::Handshake,
        ConnectionError::Closed(_) => Failure::Lost,
        ConnectionError::Malformed => Failure::Malformed,
        ConnectionError::Late => Failure::Late,
    }
}

const RECONNECT_PAUSE: Duration = Duration::from_millis(10);
