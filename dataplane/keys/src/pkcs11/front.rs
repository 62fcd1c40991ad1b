//! What everybody else sees of a partition, wherever its code runs.
//!
//! Holds: all of it can be read at any time without waiting; jobs are taken only while the partition is up and its queue has room. The
//! partition's own threads (`partition`, or `isolation` for one with a process of its own) are the only writers but for
//! [`Front::overdue`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::{Notify, futures::Notified, oneshot};

use super::{
    job::{Fault, Job},
    key::now,
    status::{Condition, PartitionStatus, TokenFacts, TokenTask, TokenTaskDone, TokenTaskError},
    traffic::Traffic,
};

/// A partition as requests, tasks and operators reach it.
pub(crate) struct Front {
    /// The configured name.
    pub(crate) name: Arc<str>,
    /// The configured group.
    pub(crate) group: Arc<str>,
    /// Calls and faults, for metrics.
    pub(crate) traffic: Traffic,
    condition: ArcSwap<Condition>,
    /// Since when it has been suspect, the last time that it was.
    suspected: ArcSwapOption<Instant>,
    /// Woken when a suspicion ends.
    verdict: Notify,
    queue: ArcSwapOption<Sender<Job>>,
    facts: ArcSwapOption<TokenFacts>,
    generation: AtomicU64,
    sessions: AtomicU32,
    in_use: AtomicU32,
    leaked: AtomicU32,
    orders: Sender<Order>,
    changed: Option<Sender<()>>,
}

/// What a partition's supervisor is asked from outside.
pub(crate) enum Order {
    /// A call that a request waits for is overdue. The partition is suspect already.
    Overdue,
    /// Work on the token beside requests.
    Task(TokenTask, oneshot::Sender<Result<TokenTaskDone, TokenTaskError>>),
    /// End.
    Stop,
}

/// A job that was not taken comes back.
pub(crate) enum Refused {
    /// The queue is full.
    Full(Box<Job>),
    /// The partition is not up.
    NotUp(Box<Job>),
}

impl Front {
    /// Of a partition that starts. Its supervisor listens to the other end of `orders`.
    pub(crate) fn new(name: &str, group: &str, orders: Sender<Order>) -> Arc<Self> {
        Arc::new(Self::unwatched(name, group, orders))
    }

    /// The same, with a channel that is nudged when the condition, the facts or the generation change.
    pub(crate) fn watched(name: &str, group: &str, orders: Sender<Order>, changed: Sender<()>) -> Arc<Self> {
        Arc::new(Self { changed: Some(changed), ..Self::unwatched(name, group, orders) })
    }

    fn unwatched(name: &str, group: &str, orders: Sender<Order>) -> Self {
        Self {
            name: name.into(),
            group: group.into(),
            traffic: Traffic::register(name),
            condition: ArcSwap::from_pointee(Condition::Starting),
            suspected: ArcSwapOption::empty(),
            verdict: Notify::new(),
            queue: ArcSwapOption::empty(),
            facts: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            sessions: AtomicU32::new(0),
            in_use: AtomicU32::new(0),
            leaked: AtomicU32::new(0),
            orders,
            changed: None,
        }
    }

    /// Queues a job.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Refused> {
        if !self.condition.load().is_up() {
            return Err(Refused::NotUp(Box::new(job)));
        }
        match self.queue.load().as_deref() {
            None => Err(Refused::NotUp(Box::new(job))),
            Some(queue) => queue.try_send(job).map_err(|refused| match refused {
                TrySendError::Full(job) => Refused::Full(Box::new(job)),
                TrySendError::Disconnected(job) => Refused::NotUp(Box::new(job)),
            }),
        }
    }

    /// Jobs that wait and that are being done.
    pub(crate) fn load(&self) -> usize {
        self.queued() + usize::try_from(self.in_use.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// A started job has not come back within half of its deadline (design §5): no new work goes here until a canary comes back in time.
    pub(crate) fn overdue(&self) {
        let before = self.condition.load();
        if before.is_up() {
            // Only from up: whatever the supervisor said meanwhile stands.
            let suspect = Arc::new(Condition::Suspect);
            // First since when: whoever sees it suspect must not see an earlier time.
            self.suspected.store(Some(Arc::new(now())));
            let was = self.condition.compare_and_swap(&before, suspect);
            if Arc::ptr_eq(&was, &before) {
                // A supervisor that is gone has nothing to do.
                let _ = self.orders.send(Order::Overdue);
            }
        }
    }

    /// Asks the supervisor.
    pub(crate) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// It takes work.
    pub(crate) fn is_up(&self) -> bool {
        self.condition.load().is_up()
    }

    /// The supervisor is gone, and with it all that was in a call but what it gave up. It was told to stop.
    pub(crate) fn has_ended(&self) -> bool {
        self.orders.send(Order::Stop).is_err()
    }

    /// How it is.
    pub(crate) fn condition(&self) -> Arc<Condition> {
        self.condition.load_full()
    }

    /// For the supervisor alone.
    pub(crate) fn set_condition(&self, condition: Condition) {
        let suspect = condition == Condition::Suspect;
        if suspect && **self.condition.load() != Condition::Suspect {
            self.suspected.store(Some(Arc::new(now())));
        }
        self.condition.store(Arc::new(condition));
        if !suspect {
            self.verdict.notify_waiters();
        }
        self.nudge();
    }

    /// Since when it is suspect; none where it isn't.
    pub(crate) fn suspected(&self) -> Option<Instant> {
        let since = self.suspected.load().as_deref().copied();
        since.filter(|_| **self.condition.load() == Condition::Suspect)
    }

    /// Waits for the end of a suspicion.
    pub(crate) fn verdict(&self) -> Notified<'_> {
        self.verdict.notified()
    }

    /// Where jobs go from now on. None closes the queue: whoever works it off sees its end.
    pub(crate) fn set_queue(&self, queue: Option<Sender<Job>>) {
        self.queue.store(queue.map(Arc::new));
    }

    /// What the token says of itself, once it was seen.
    pub(crate) fn facts(&self) -> Option<Arc<TokenFacts>> {
        self.facts.load_full()
    }

    /// For the supervisor alone.
    pub(crate) fn set_facts(&self, facts: TokenFacts) {
        self.facts.store(Some(Arc::new(facts)));
        self.nudge();
    }

    /// Object handles and proofs of another generation are void.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// For the supervisor alone, while no session works.
    pub(crate) fn set_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::SeqCst);
        self.nudge();
    }

    /// Sessions that work.
    pub(crate) const fn sessions(&self) -> &AtomicU32 {
        &self.sessions
    }

    /// Jobs that a session works on.
    pub(crate) const fn in_use(&self) -> &AtomicU32 {
        &self.in_use
    }

    /// Sessions given up on.
    pub(crate) const fn leaked(&self) -> &AtomicU32 {
        &self.leaked
    }

    /// A job was done, or not.
    pub(crate) fn record(&self, took: Duration, fault: Option<&Fault>) {
        self.traffic.record(took, fault.map(Fault::class));
    }

    /// The partition now. `excluded` is for the group to fill in.
    pub(crate) fn status(&self) -> PartitionStatus {
        PartitionStatus {
            name: self.name.to_string(),
            group: self.group.to_string(),
            condition: (*self.condition()).clone(),
            facts: self.facts().as_deref().cloned(),
            sessions: self.sessions.load(Ordering::Relaxed),
            queued: u32::try_from(self.queued()).unwrap_or(u32::MAX),
            in_use: self.in_use.load(Ordering::Relaxed),
            generation: self.generation(),
            leaked: self.leaked.load(Ordering::Relaxed),
            excluded: Vec::new(),
        }
    }

    fn nudge(&self) {
        if let Some(changed) = &self.changed {
            // Full: whoever watches will look anyway.
            let _ = changed.try_send(());
        }
    }

    fn queued(&self) -> usize {
        self.queue.load().as_deref().map_or(0, Sender::len)
    }
}
