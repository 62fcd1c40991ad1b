//! Key tasks: what the control plane asks of key material (design §2). The executor so far is `local`.
//!
//! Holds: tasks run one after another on a thread of their own, never on one that answers requests; every task gets exactly one
//! result; a repeat of a task id gets the first result again; one that can't start by its deadline doesn't start.

mod local;

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use holdfast_proto::{
    seal::SealRing,
    sync::{KeyTask, KeyTaskError, KeyTaskFailure, KeyTaskResult, key_task_result::Outcome},
};
use tokio::sync::mpsc::UnboundedSender;

/// The thread; it ends when the last clone drops.
#[derive(Clone)]
pub struct Tasks(SyncSender<Job>);

struct Job {
    task: KeyTask,
    deadline: Instant,
    reply: UnboundedSender<KeyTaskResult>,
}

/// Results by task id, the newest last.
#[derive(Default)]
struct Recent(VecDeque<(KeyTask, KeyTaskResult)>);

impl Tasks {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where it can't be started.
    pub fn start(seals: Arc<SealRing>) -> io::Result<Self> {
        let (sender, jobs) = mpsc::sync_channel(QUEUE);
        thread::Builder::new().name("holdfast-tasks".into()).spawn(move || run(&jobs, &seals))?;
        Ok(Self(sender))
    }

    /// Queues a task that was just received. Its result goes to `reply`, and nowhere once that is closed.
    pub fn run(&self, task: KeyTask, reply: UnboundedSender<KeyTaskResult>) {
        let deadline = Instant::now() + Duration::from_millis(task.deadline_ms).min(LONGEST_DEADLINE);
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = self.0.try_send(Job { task, deadline, reply }) {
            let outcome = failure(KeyTaskFailure::Unavailable, "too many key tasks are waiting on this node");
            // Nobody waits for the result of a stream that is gone.
            let _ = job.reply.send(KeyTaskResult { id: job.task.id, outcome: Some(outcome) });
        }
    }

    /// What tasks may name as their target.
    #[must_use]
    pub fn targets() -> Vec<String> {
        vec![LOCAL.into()]
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tasks(..)")
    }
}

fn run(jobs: &Receiver<Job>, seals: &SealRing) {
    let mut recent = Recent::default();
    for job in jobs {
        if job.reply.is_closed() {
            continue;
        }
        let _ = job.reply.send(recent.answer(job.task, Instant::now() < job.deadline, seals));
    }
}

impl Recent {
    fn answer(&mut self, task: KeyTask, in_time: bool, seals: &SealRing) -> KeyTaskResult {
        let known = self.0.iter().rev().find(|(before, _)| before.id == task.id);
        if let Some((before, result)) = known {
            if before.task == task.task && before.target == task.target {
                return result.clone();
            }
            let outcome = failure(KeyTaskFailure::Refused, "another task had this id");
            return KeyTaskResult { id: task.id, outcome: Some(outcome) };
        }
        let outcome = match (in_time, task.target.as_str()) {
            (false, _) => failure(KeyTaskFailure::Deadline, "the task waited past its deadline"),
            (true, LOCAL) => local::outcome(&task, seals),
            (true, other) => failure(KeyTaskFailure::Unsupported, &format!("this node has no key source {other:?}")),
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
const LOCAL: &str = "local";

/// Tasks that wait, at most.
const QUEUE: usize = 256;

/// Results kept for repeats. A repeat comes within a task's deadline.
const REMEMBERED: usize = 512;

/// No caller waits for longer.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
