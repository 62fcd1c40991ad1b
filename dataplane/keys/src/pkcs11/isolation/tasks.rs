//! Tasks that a child works on.
//!
//! Holds: each is answered once: with what the child says, or that it did not in time, or that it is gone.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::pkcs11::{
    settings::PartitionSettings,
    status::{KeyAttributes, TokenTaskDone, TokenTaskError},
};

/// Where a task's result goes.
pub(super) type Reply = oneshot::Sender<Result<TokenTaskDone, TokenTaskError>>;

/// See above.
pub(super) struct Tasks {
    partition: String,
    /// How long a child may take: it keeps to the partition's limit itself.
    limit: Duration,
    so_far: u64,
    waiting: HashMap<u64, Waiting>,
}

struct Waiting {
    reply: Reply,
    until: Instant,
    keys: Vec<KeyAttributes>,
}

impl Tasks {
    pub(super) fn new(settings: &PartitionSettings) -> Self {
        Self {
            partition: settings.name.clone(),
            limit: settings.timeouts.task.saturating_add(LENIENCE),
            so_far: 0,
            waiting: HashMap::new(),
        }
    }

    /// Gives a task a number.
    pub(super) fn add(&mut self, reply: Reply, now: Instant) -> u64 {
        self.so_far += 1;
        self.waiting.insert(self.so_far, Waiting { reply, until: now + self.limit, keys: Vec::new() });
        self.so_far
    }

    /// A part of a list came.
    pub(super) fn keys(&mut self, task: u64, keys: Vec<KeyAttributes>) {
        if let Some(waiting) = self.waiting.get_mut(&task) {
            waiting.keys.extend(keys);
        }
    }

    /// A task was done.
    pub(super) fn done(&mut self, task: u64, result: Result<TokenTaskDone, TokenTaskError>) {
        let Some(waiting) = self.waiting.remove(&task) else { return };
        let whole = result.map(|done| match done {
            TokenTaskDone::Keys(last) => TokenTaskDone::Keys(waiting.keys.into_iter().chain(last).collect()),
            TokenTaskDone::Key(key) => TokenTaskDone::Key(key),
        });
        // Whoever asked may have gone.
        let _ = waiting.reply.send(whole);
    }

    /// When the next one is overdue.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.until).min()
    }

    /// Answers those that are overdue.
    pub(super) fn expire(&mut self, now: Instant) {
        let partition = &self.partition;
        for (_, waiting) in self.waiting.extract_if(|_, waiting| waiting.until <= now) {
            let _ = waiting.reply.send(Err(TokenTaskError::Deadline { partition: partition.clone() }));
        }
    }

    /// The child is gone.
    pub(super) fn fail(&mut self, why: &str) {
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.reply.send(Err(self::unavailable(&self.partition, why)));
        }
    }

    /// That there is no child.
    pub(super) fn refuse(&self, reply: Reply, why: &str) {
        let _ = reply.send(Err(unavailable(&self.partition, why)));
    }
}

fn unavailable(partition: &str, why: &str) -> TokenTaskError {
    TokenTaskError::Unavailable { partition: partition.to_owned(), why: why.to_owned() }
}

/// Beyond the partition's own limit.
const LENIENCE: Duration = Duration::from_secs(1);
