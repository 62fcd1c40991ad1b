//! The process of an isolated partition: the same partition, with a socket for its requests.
//!
//! Holds: it ends when its parent does, or says so, or says what can't be; it is never ended by the signals that ask a parent to drain;
//! and it ends at once, by SIGKILL of its own: what a module would run at an orderly exit could hang in the threads that hang in it.

use std::{
    convert::Infallible,
    io,
    os::{fd::AsFd as _, unix::net::UnixStream},
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rustix::process::{Signal, getpid, kill_process, set_parent_process_death_signal};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tracing::{error, warn};

use super::{
    frame::{Broken, Do, Inbox, JobId, Opening, Outbox, Report, ToChild, ToParent},
    members::Members,
};
use crate::pkcs11::{
    front::{Front, Order, Refused},
    job::{Answer, Fault, Job, Outcome, Ticket},
    partition::Partition,
    status::{TokenTask, TokenTaskDone, TokenTaskError},
};

/// The process can't be what it was started as.
#[derive(Debug, thiserror::Error)]
pub enum KeyhostError {
    /// Its standard input is not the socket of a parent.
    #[error("standard input is no socket: holdfast starts this by itself, for partitions with a process of their own")]
    NoParent(#[source] io::Error),
    /// The operating system refused something.
    #[error("cannot prepare the process of a partition")]
    System(#[source] io::Error),
    /// The parent did not begin as it should.
    #[error("the parent did not say which partition this is: {0}")]
    NoOpening(String),
}

/// `holdfast keyhost`: serves one partition to the process that started this one, over standard input. Comes back only when it can't
/// begin; it ends with its parent, by a signal of its own.
///
/// # Errors
/// It was not started by a parent, or the operating system refused something.
pub fn keyhost() -> Result<Infallible, KeyhostError> {
    outlive_signals().map_err(KeyhostError::System)?;
    // The end of the socket says the same, but not to a process that is stopped.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| KeyhostError::System(error.into()))?;
    let stream = parent().map_err(KeyhostError::NoParent)?;
    let mut inbox = Inbox::new();
    let opening = match inbox.next(&mut &stream) {
        Ok(ToChild::Open(opening)) => *opening,
        Ok(ToChild::Do(_) | ToChild::Task(..) | ToChild::Overdue(_) | ToChild::Stop) => {
            return Err(KeyhostError::NoOpening("it said something else".into()));
        }
        Err(broken) => return Err(KeyhostError::NoOpening(broken.to_string())),
    };
    let mut keyhost = Keyhost::start(opening, &stream).map_err(KeyhostError::System)?;
    loop {
        match inbox.next(&mut &stream) {
            Ok(said) => keyhost.hear(said),
            Err(Broken::Closed) => die(),
            Err(broken) => {
                error!(partition = %keyhost.front.name, error = %broken, "the parent can't be understood");
                die();
            }
        }
    }
}

/// What the thread that reads knows.
struct Keyhost {
    front: Arc<Front>,
    says: Sender<ToParent>,
    members: Members,
    /// The last [`ToChild::Overdue`].
    mark: Arc<AtomicU64>,
    changed: Sender<()>,
}

impl Keyhost {
    /// Starts the threads that open the partition, look after it, and write to the parent.
    fn start(opening: Opening, stream: &UnixStream) -> io::Result<Self> {
        let Opening { settings, state_dir, is_resumed } = opening;
        let (orders, partition_orders) = unbounded();
        let (changed, changes) = bounded(1);
        let front = Front::watched(&settings.name, &settings.group, orders, changed.clone());
        let (says, said) = unbounded();
        let mark = Arc::new(AtomicU64::new(0));
        let writer = stream.try_clone()?;
        spawn("keyhost-writer", move || write(&said, &writer))?;
        let lookout = Lookout { front: Arc::clone(&front), mark: Arc::clone(&mark) };
        let (opened, reports) = (says.clone(), says.clone());
        let first = lookout.clone();
        spawn("keyhost-lookout", move || lookout.report(&changes, &reports))?;
        let opens = Arc::clone(&front);
        spawn("keyhost-opener", move || {
            let start = if is_resumed { Partition::resume } else { Partition::start };
            let started = start(settings, &state_dir, opens, partition_orders);
            // Without a parent there is nobody to tell.
            let _ = opened.send(ToParent::Opened(started.map(|()| first.look())));
        })?;
        Ok(Self { front, says, members: Members::default(), mark, changed })
    }

    fn hear(&mut self, said: ToChild) {
        match said {
            ToChild::Do(job) => self.job(*job),
            ToChild::Task(number, task) => self.task(number, task),
            ToChild::Overdue(mark) => {
                // Suspect first, then the mark: a report with it was made after that.
                self.front.overdue();
                self.mark.store(mark, Ordering::SeqCst);
                let _ = self.changed.try_send(());
            }
            ToChild::Stop => self.stop(),
            ToChild::Open(_) => warn!(partition = %self.front.name, "the parent named a partition twice"),
        }
    }

    fn job(&mut self, job: Do) {
        let reply =
            Reply { id: job.id, generation: job.generation, front: Arc::clone(&self.front), says: self.says.clone(), is_given: false };
        if reply.is_outdated() {
            return reply.give(Err(Fault::Token(ANEW.into())));
        }
        let Some(deadline) = Instant::now().checked_add(job.left) else { return };
        let job = Job {
            key: self.members.key(job.key),
            proof: job.proof.map(Arc::new),
            work: job.work,
            ticket: Ticket::new(deadline),
            answer: Answer::new(move |outcome| reply.give(outcome)),
        };
        let (job, why) = match self.front.submit(job) {
            Ok(()) => return,
            Err(Refused::Full(job)) => (job, "the queue of the partition's process is full"),
            Err(Refused::NotUp(job)) => (job, "the partition is not up"),
        };
        job.answer.give(Err(Fault::Token(why.into())));
    }

    fn task(&self, number: u64, task: TokenTask) {
        let (give, result) = oneshot::channel();
        self.front.order(Order::Task(task, give));
        let partition = self.front.name.to_string();
        let unavailable = |why: &str| TokenTaskError::Unavailable { partition: partition.clone(), why: why.to_owned() };
        let no_thread = ToParent::TaskDone(number, Err(unavailable("no thread can be started")));
        let dropped = Err(unavailable("it ended meanwhile"));
        let says = self.says.clone();
        // The partition has a limit for each task, so the thread ends.
        let waits = spawn("keyhost-task", move || tell_task(number, result.blocking_recv().unwrap_or(dropped), &says));
        if waits.is_err() {
            let _ = self.says.send(no_thread);
        }
    }

    /// Closes the sessions, if they can be closed in time, and ends.
    fn stop(&self) -> ! {
        self.front.order(Order::Stop);
        let until = Instant::now() + FAREWELL;
        while self.front.sessions().load(Ordering::SeqCst) > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        die()
    }
}

/// Looks at the partition for the parent.
#[derive(Clone)]
struct Lookout {
    front: Arc<Front>,
    mark: Arc<AtomicU64>,
}

impl Lookout {
    fn look(&self) -> Report {
        // The mark first: whatever is seen after it was so after the overdue call was known.
        let mark = self.mark.load(Ordering::SeqCst);
        let front = &self.front;
        Report {
            mark,
            condition: (*front.condition()).clone(),
            facts: front.facts().as_deref().cloned(),
            generation: front.generation(),
            sessions: front.sessions().load(Ordering::Relaxed),
            leaked: front.leaked().load(Ordering::Relaxed),
        }
    }

    /// Tells each change, and twice a second that there is none.
    fn report(&self, changes: &Receiver<()>, says: &Sender<ToParent>) {
        let mut told: Option<(Report, Instant)> = None;
        loop {
            let report = self.look();
            if !told.as_ref().is_some_and(|(last, when)| *last == report && when.elapsed() < BEAT) {
                if says.send(ToParent::Report(report.clone())).is_err() {
                    return;
                }
                told = Some((report, Instant::now()));
            }
            // Counters change without a word.
            let _ = changes.recv_timeout(LOOK);
        }
    }
}

/// Answers one job, with a fault if nobody else does.
struct Reply {
    id: JobId,
    /// That the parent asked for.
    generation: u64,
    front: Arc<Front>,
    says: Sender<ToParent>,
    is_given: bool,
}

impl Reply {
    fn give(mut self, outcome: Outcome) {
        self.is_given = true;
        // It may have moved after the job was queued; a session of the next one works only after that.
        let outcome = if self.is_outdated() { Err(Fault::Token(ANEW.into())) } else { outcome };
        let _ = self.says.send(ToParent::Outcome(self.id, outcome));
    }

    fn is_outdated(&self) -> bool {
        self.front.generation() != self.generation
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.is_given {
            let _ = self.says.send(ToParent::Outcome(self.id, Err(Fault::Token("the job was dropped".into()))));
        }
    }
}

/// A long list goes in pieces.
fn tell_task(number: u64, result: Result<TokenTaskDone, TokenTaskError>, says: &Sender<ToParent>) {
    let last = match result {
        Ok(TokenTaskDone::Keys(keys)) => {
            for piece in keys.chunks(PIECE) {
                let _ = says.send(ToParent::Keys(number, piece.to_vec()));
            }
            Ok(TokenTaskDone::Keys(Vec::new()))
        }
        other => other,
    };
    let _ = says.send(ToParent::TaskDone(number, last));
}

/// The one thread that writes to the parent. It waits for a parent that is slow to read: nothing that may not wait waits for it.
fn write(said: &Receiver<ToParent>, mut stream: &UnixStream) {
    let mut outbox = Outbox::new();
    while let Ok(first) = said.recv() {
        add(&mut outbox, &first);
        while outbox.has_room()
            && let Ok(next) = said.try_recv()
        {
            add(&mut outbox, &next);
        }
        if outbox.send(&mut stream).is_err() {
            die();
        }
    }
}

fn add(outbox: &mut Outbox, frame: &ToParent) {
    let Err(unfit) = outbox.add(frame) else { return };
    error!(error = %unfit, "an answer to the parent is unfit");
    let instead = match frame {
        ToParent::Outcome(id, _) => ToParent::Outcome(*id, Err(Fault::Token("the outcome is too large".into()))),
        ToParent::Keys(task, _) | ToParent::TaskDone(task, _) => {
            ToParent::TaskDone(*task, Err(TokenTaskError::Refused("what the token tells is too large".into())))
        }
        ToParent::Opened(_) | ToParent::Report(_) => die(),
    };
    // Fits: it is short.
    let _ = outbox.add(&instead);
}

/// The parent drains when it is asked to end, and needs this process for that. The handlers stay when what they were made with is gone.
fn outlive_signals() -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let _context = runtime.enter();
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// The parent's socket. Standard input itself is left as it is: it ends with the process.
fn parent() -> io::Result<UnixStream> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    stream.peer_addr()?;
    Ok(stream)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
}

fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    process::abort()
}

const ANEW: &str = "the partition was connected anew";

/// How often the parent hears something.
const BEAT: Duration = Duration::from_millis(500);

/// How often counters are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// For closing sessions.
const FAREWELL: Duration = Duration::from_millis(1500);

/// Keys of a list in one frame.
const PIECE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkcs11::job::Done;

    const ID: JobId = JobId { place: 1, turn: 1 };

    /// What the parent is told of a job of generation 1, if `end` ends it while the partition is in generation `now`.
    fn told(now: u64, end: impl FnOnce(Reply)) -> Outcome {
        let (says, said) = unbounded();
        let front = Front::new("p", "p", unbounded().0);
        front.set_generation(now);
        end(Reply { id: ID, generation: 1, front, says, is_given: false });
        let Ok(ToParent::Outcome(ID, outcome)) = said.try_recv() else { panic!("nothing was said of the job") };
        assert!(said.try_recv().is_err(), "it was answered twice");
        outcome
    }

    #[test]
    fn what_a_session_of_another_generation_did_is_not_told() {
        assert!(matches!(told(1, |reply| reply.give(Ok(Done::Checked))), Ok(Done::Checked)));
        for outcome in [Ok(Done::Checked), Err(Fault::Input)] {
            assert_eq!(told(2, |reply| reply.give(outcome)).unwrap_err(), Fault::Token(ANEW.into()));
        }
    }

    #[test]
    fn a_job_that_is_dropped_is_answered() {
        assert!(matches!(told(1, drop), Err(Fault::Token(_))));
    }
}
