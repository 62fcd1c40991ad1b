//! Key tasks: what the control plane asks of key material (design §2). Executors: `local`, and `partition` for each group.
//!
//! Holds: the tasks of a key source run one after another on a thread of their own, never on one that answers requests, so that a token
//! that hangs holds up nobody else's; every task gets exactly one result; a repeat of a task id gets the first result again; one that
//! can't start by its deadline doesn't start.

mod local;
mod partition;
mod reseal;
mod wrap;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io, iter,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use holdfast_keys::pkcs11::Groups;
use holdfast_proto::{
    seal::SealRing,
    sync::{KeyTask, KeyTaskError, KeyTaskFailure, KeyTaskResult, key_task_result::Outcome},
};
use tokio::sync::mpsc::UnboundedSender;

use self::partition::OnPartitions;

/// The threads, by what tasks may name as their target; they end when this drops.
pub struct Tasks(BTreeMap<String, SyncSender<Job>>);

struct Job {
    task: KeyTask,
    deadline: Instant,
    reply: UnboundedSender<KeyTaskResult>,
}

/// Does the tasks of one target.
enum Executor {
    Local(Arc<SealRing>),
    Partitions(OnPartitions),
}

/// Results by task id, the newest last.
#[derive(Default)]
struct Recent(VecDeque<(KeyTask, KeyTaskResult)>);

impl Tasks {
    /// Starts a thread for local keys and one for each group.
    ///
    /// # Errors
    /// Where one can't be started.
    pub fn start(seals: Arc<SealRing>, groups: &Groups) -> io::Result<Self> {
        let mut threads = BTreeMap::from([(LOCAL.to_owned(), spawn(Executor::Local(seals))?)]);
        for name in groups.names() {
            if let Some(group) = groups.group(&name) {
                threads.insert(name, spawn(Executor::Partitions(OnPartitions::new(Arc::clone(group))?))?);
            }
        }
        Ok(Self(threads))
    }

    /// Queues a task that was just received. Its result goes to `reply`, and nowhere once that is closed.
    pub fn run(&self, task: KeyTask, reply: UnboundedSender<KeyTaskResult>) {
        let deadline = Instant::now() + Duration::from_millis(task.deadline_ms).min(LONGEST_DEADLINE);
        let Some(thread) = self.0.get(&task.target) else {
            let outcome = failure(KeyTaskFailure::Unsupported, &format!("this node has no key source {:?}", task.target));
            // Nobody waits for the result of a stream that is gone.
            let _ = reply.send(KeyTaskResult { id: task.id, outcome: Some(outcome) });
            return;
        };
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = thread.try_send(Job { task, deadline, reply }) {
            let outcome = failure(KeyTaskFailure::Unavailable, "too many key tasks are waiting on this node");
            let _ = job.reply.send(KeyTaskResult { id: job.task.id, outcome: Some(outcome) });
        }
    }
}

/// What tasks may name as their target on a node with these groups.
#[must_use]
pub fn targets(groups: &Groups) -> Vec<String> {
    iter::once(LOCAL.to_owned()).chain(groups.names()).collect()
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn spawn(executor: Executor) -> io::Result<SyncSender<Job>> {
    let (sender, jobs) = mpsc::sync_channel(QUEUE);
    thread::Builder::new().name("holdfast-tasks".into()).spawn(move || run(&jobs, &executor))?;
    Ok(sender)
}

fn run(jobs: &Receiver<Job>, executor: &Executor) {
    let mut recent = Recent::default();
    for job in jobs {
        if job.reply.is_closed() {
            continue;
        }
        let _ = job.reply.send(recent.answer(job.task, job.deadline, executor));
    }
}

impl Executor {
    fn outcome(&self, task: &KeyTask, deadline: Instant) -> Outcome {
        match self {
            Self::Local(seals) => local::outcome(task, seals),
            Self::Partitions(partitions) => partitions.outcome(task, deadline),
        }
    }
}

impl Recent {
    fn answer(&mut self, task: KeyTask, deadline: Instant, executor: &Executor) -> KeyTaskResult {
        let known = self.0.iter().rev().find(|(before, _)| before.id == task.id);
        if let Some((before, result)) = known {
            if before.task == task.task {
                return result.clone();
            }
            let outcome = failure(KeyTaskFailure::Refused, "another task had this id");
            return KeyTaskResult { id: task.id, outcome: Some(outcome) };
        }
        let outcome = if Instant::now() < deadline {
            executor.outcome(&task, deadline)
        } else {
            failure(KeyTaskFailure::Deadline, "the task waited past its deadline")
        };
        let done = !matches!(outcome, Outcome::Error(_));
        let result = KeyTaskResult { id: task.id.clone(), outcome: Some(outcome) };
        if done {
            if self.0.len() == REMEMBERED {
                self.0.pop_front();
            }
            self.0.push_back((task, result.clone()));
        }
        result
    }
}

fn failure(failure: KeyTaskFailure, detail: &str) -> Outcome {
    Outcome::Error(KeyTaskError { failure: failure.into(), detail: detail.into() })
}

/// The key source that every data plane has.
pub(crate) const LOCAL: &str = "local";

/// Tasks that wait, at most.
const QUEUE: usize = 256;

/// Results kept for repeats. A repeat comes within a task's deadline.
const REMEMBERED: usize = 512;

/// No caller waits for longer.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
