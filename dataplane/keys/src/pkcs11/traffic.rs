//! A partition's metrics. The label is the partition's configured name: a closed set.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::status::{Condition, PartitionStatus};

/// The handles that each call touches.
pub(crate) struct Traffic {
    label: Arc<str>,
    calls: Histogram,
    faults: [(&'static str, Counter); CLASSES.len()],
}

impl Traffic {
    /// Registers the handles with the process's recorder; without one they do nothing.
    pub(crate) fn register(partition: &str) -> Self {
        let label: Arc<str> = partition.into();
        let faults = CLASSES.map(|class| (class, counter!(FAULTS, "partition" => Arc::clone(&label), "class" => class)));
        Self { calls: histogram!(CALLS, "partition" => Arc::clone(&label)), faults, label }
    }

    /// One job: how long a session had it, and the class of its fault.
    pub(crate) fn record(&self, took: Duration, fault: Option<&'static str>) {
        self.calls.record(took.as_secs_f64());
        if let Some((_, counter)) = fault.and_then(|fault| self.faults.iter().find(|(class, _)| *class == fault)) {
            counter.increment(1);
        }
    }

    /// Brings the gauges up to date.
    pub(crate) fn gauges(&self, status: &PartitionStatus) {
        let set = |name: &'static str, value: f64| gauge!(name, "partition" => Arc::clone(&self.label)).set(value);
        set(UP, f64::from(u8::from(status.condition.is_up())));
        set(SUSPECT, f64::from(u8::from(status.condition == Condition::Suspect)));
        set(SESSIONS, status.sessions.into());
        set(QUEUE, status.queued.into());
        set(IN_USE, status.in_use.into());
        set(LEAKED, status.leaked.into());
        set(EXCLUDED, u32::try_from(status.excluded.len()).unwrap_or(u32::MAX).into());
        // Exact up to 2^53 reconnections.
        set(GENERATION, status.generation as f64);
    }
}

/// Why a request was given to a second member, or once more to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// The first one failed.
    Fault,
    /// The first one has begun and is slow.
    Slow,
    /// The first one has not begun.
    Waiting,
}

/// How often requests of a group were given on.
pub(crate) struct SecondTries {
    fault: Counter,
    slow: Counter,
    waiting: Counter,
}

impl SecondTries {
    /// Registers the handles with the process's recorder; without one they do nothing.
    pub(crate) fn register(group: &str) -> Self {
        let label: Arc<str> = group.into();
        let of = |reason: &'static str| counter!(SECOND_TRIES, "group" => Arc::clone(&label), "reason" => reason);
        Self { fault: of("fault"), slow: of("slow"), waiting: of("waiting") }
    }

    /// One more.
    pub(crate) fn count(&self, why: Again) {
        match why {
            Again::Fault => self.fault.increment(1),
            Again::Slow => self.slow.increment(1),
            Again::Waiting => self.waiting.increment(1),
        }
    }
}

/// Says what the metrics mean, to the process's recorder.
pub(crate) fn describe() {
    describe_histogram!(CALLS, metrics::Unit::Seconds, "How long a session worked on a job.");
    describe_counter!(FAULTS, "Jobs that failed, by whose fault it was.");
    describe_gauge!(UP, "1 while the partition takes work.");
    describe_gauge!(SUSPECT, "1 while a call is overdue.");
    describe_gauge!(SESSIONS, "Sessions that work.");
    describe_gauge!(QUEUE, "Jobs that wait.");
    describe_gauge!(IN_USE, "Jobs that a session works on.");
    describe_gauge!(LEAKED, "Sessions given up on since the start, each in a call that did not come back.");
    describe_gauge!(EXCLUDED, "Keys that the partition may not serve, since their material differs from its group's.");
    describe_counter!(SECOND_TRIES, "Requests given to a second member of a group, or once more to the same, by what the first one did.");
    describe_gauge!(GENERATION, "Moves with each new connection to the token.");
}

const CALLS: &str = "holdfast_partition_call_seconds";
const FAULTS: &str = "holdfast_partition_faults_total";
const SECOND_TRIES: &str = "holdfast_group_second_tries_total";
const UP: &str = "holdfast_partition_up";
const SUSPECT: &str = "holdfast_partition_suspect";
const SESSIONS: &str = "holdfast_partition_sessions";
const QUEUE: &str = "holdfast_partition_queue";
const IN_USE: &str = "holdfast_partition_in_use";
const LEAKED: &str = "holdfast_partition_leaked_sessions";
const EXCLUDED: &str = "holdfast_partition_excluded_keys";
const GENERATION: &str = "holdfast_partition_generation";

/// `Fault::class`, all of them.
const CLASSES: [&str; 8] = ["input", "usage", "key", "not_proved", "self_check", "expired", "session", "token"];
