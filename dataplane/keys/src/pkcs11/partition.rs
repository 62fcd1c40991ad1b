//! A partition's supervisor: the one thread that decides how the partition is. It makes no C call and waits for none.
//!
//! Always holds:
//! - [`State`] says which state follows; this file does what a state asks for when it is entered, `watch` what comes due in it.
//! - The generation moves when a connection was opened, and a connection is opened only when every gate of the one before is over: no
//!   thread can use a session or an object handle of an earlier generation.
//! - No thread is joined. One that hangs is given up through its gate, as long as the leaks that causes are within their bounds.
//! - Whoever asked gets an answer: jobs left in a closed queue, key tasks whose time is over.

use std::{
    mem,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use tracing::{info, warn};

use super::{
    clocks::{CANARY, Clocks, PIN_POLL, REFILL},
    crew::Roster,
    errands::{Agenda, Busy, Chore, Hand},
    front::{Front, Order},
    gate::Gate,
    job::Job,
    settings::{PartitionSettings, SESSIONS},
    start::{Pkcs11Fault, Problem},
    state::{Event, State},
    status::Condition,
    steward::Steward,
    worker::{self, Crew, Report},
};

/// A partition whose code runs in this process.
pub(crate) struct Partition;

/// The thread's own.
pub(super) struct Supervisor {
    pub(super) settings: PartitionSettings,
    state_dir: PathBuf,
    pub(super) front: Arc<Front>,
    pub(super) reports: Sender<Report>,
    pub(super) state: State,
    /// None while nothing is connected.
    pub(super) connection: Option<Connection>,
    pub(super) roster: Roster,
    pub(super) hand: Option<Hand>,
    hands: u64,
    pub(super) agenda: Agenda,
    /// Queues that were closed, until nobody can add to them any more.
    pub(super) leftovers: Vec<Receiver<Job>>,
    /// Since when the connection is being ended.
    pub(super) closing: Option<Instant>,
    pub(super) clocks: Clocks,
    /// Where `start` waits, until the first try is decided.
    pub(super) verdict: Option<Sender<Result<(), Vec<Pkcs11Fault>>>>,
    /// Most sessions that the token allows this process, as it said last.
    pub(super) limit: Option<u32>,
    /// Sessions that were there when it was said last that some are missing.
    pub(super) short: Option<u32>,
}

/// What a generation works with.
pub(super) struct Connection {
    pub(super) crew: Arc<Crew>,
    pub(super) jobs: Receiver<Job>,
    /// Until the first worker has its session.
    pub(super) queue: Option<Sender<Job>>,
}

impl Partition {
    /// Opens the partition, on threads of its own; back within `timeouts.open`. One whose token can't be reached is down, and connected
    /// once it can.
    ///
    /// # Errors
    /// Whatever is wrong with its configuration: it is not started.
    pub(crate) fn start(
        settings: PartitionSettings,
        state_dir: &Path,
        front: Arc<Front>,
        orders: Receiver<Order>,
    ) -> Result<(), Vec<Pkcs11Fault>> {
        let (verdict, decided) = bounded(1);
        let limit = settings.timeouts.open + DECISION;
        let (mut supervisor, heard) = Supervisor::new(settings, state_dir, front);
        supervisor.verdict = Some(verdict);
        Self::launch(supervisor, orders, heard)?;
        // Without a verdict in time it is not connected yet, and goes on trying.
        decided.recv_timeout(limit).unwrap_or(Ok(()))
    }

    /// Opens a partition that was started before, in a process that has ended since. Back at once: whatever is wrong with it now, its
    /// configuration too, makes it down, or leaves the refused PIN alone, as if it had run all the time.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn resume(
        settings: PartitionSettings,
        state_dir: &Path,
        front: Arc<Front>,
        orders: Receiver<Order>,
    ) -> Result<(), Vec<Pkcs11Fault>> {
        let (supervisor, heard) = Supervisor::new(settings, state_dir, front);
        Self::launch(supervisor, orders, heard)
    }

    fn launch(supervisor: Supervisor, orders: Receiver<Order>, heard: Receiver<Report>) -> Result<(), Vec<Pkcs11Fault>> {
        let name = supervisor.settings.name.clone();
        match thread::Builder::new().name(format!("{name}/0")).spawn(move || supervisor.run(&orders, &heard)) {
            Ok(_) => Ok(()),
            Err(error) => Err(vec![Pkcs11Fault::new(&name, Problem::Unreachable { why: format!("no thread to be had: {error}") })]),
        }
    }
}

impl Supervisor {
    fn new(settings: PartitionSettings, state_dir: &Path, front: Arc<Front>) -> (Self, Receiver<Report>) {
        let (reports, heard) = unbounded();
        let supervisor = Self {
            state_dir: state_dir.to_owned(),
            reports,
            state: State::Waiting,
            connection: None,
            roster: Roster::new(settings.sessions.map_or(SESSIONS, u32::from), settings.timeouts.open),
            hand: None,
            hands: 0,
            agenda: Agenda::new(Arc::clone(&front.name)),
            leftovers: Vec::new(),
            closing: None,
            clocks: Clocks::new(settings.timeouts.open),
            verdict: None,
            limit: None,
            short: None,
            settings,
            front,
        };
        (supervisor, heard)
    }

    fn run(mut self, orders: &Receiver<Order>, heard: &Receiver<Report>) {
        while self.look_around(Instant::now()) {
            select! {
                recv(orders) -> order => self.ordered(order.unwrap_or(Order::Stop)),
                // It never ends: the supervisor has a sender of its own.
                recv(heard) -> report => report.into_iter().for_each(|report| self.reported(report)),
                default(self.pause(Instant::now())) => {}
            }
        }
    }

    fn ordered(&mut self, order: Order) {
        match order {
            Order::Overdue => self.apply(Event::Overdue, OVERDUE_TEXT),
            Order::Stop => self.apply(Event::Stop, STOPPING),
            Order::Task(task, reply) => match self.state {
                State::Staffing | State::Up | State::Suspect => {
                    self.agenda.add(task, reply, Instant::now() + self.settings.timeouts.task);
                }
                State::Opening | State::Draining | State::Waiting | State::Refused | State::Exhausted | State::Stopping => {
                    let error = self.agenda.unavailable(&reason(&self.front.condition()));
                    // Whoever asked may be gone.
                    let _ = reply.send(Err(error));
                }
            },
        }
    }

    /// Goes to the next state and does what it asks for.
    pub(super) fn apply(&mut self, event: Event, why: &str) {
        let Some(next) = self.state.after(event) else { return };
        let before = mem::replace(&mut self.state, next);
        let now = Instant::now();
        match next {
            State::Opening => self.open(now),
            State::Staffing => self.staff(),
            State::Up => self.up(before, now, why),
            State::Suspect => self.suspect(now, why),
            State::Draining => {
                self.end_connection(now, why);
                self.tell(Condition::Down(why.into()), "");
            }
            State::Waiting => self.wait(event, now, why),
            State::Refused => {
                self.clocks.due = now + PIN_POLL;
                self.tell(Condition::PinRefused(why.into()), "");
                self.decide();
            }
            State::Exhausted => {
                self.agenda.refuse_all(why);
                self.clocks.due = now;
                self.tell(Condition::Exhausted, why);
                self.decide();
            }
            State::Stopping => {
                self.end_connection(now, why);
                self.tell(Condition::Down(why.into()), "");
                self.decide();
            }
        }
    }

    fn up(&mut self, before: State, now: Instant, why: &str) {
        if let Some(queue) = self.connection.as_mut().and_then(|connection| connection.queue.take()) {
            self.front.set_queue(Some(queue));
        }
        if before == State::Staffing {
            self.clocks.up_since = Some(now);
            self.clocks.due = now + CANARY;
        }
        self.tell(Condition::Up, why);
        self.decide();
        self.replace_stuck(now);
        self.roster.forgive(now);
    }

    fn suspect(&mut self, now: Instant, why: &str) {
        self.clocks.probes.reset();
        self.clocks.due = now;
        // A canary is not blamed for a task that it waits for, nor kept waiting by one for long.
        if let Some(Busy { chore: Chore::Task, since, allowed: Some(allowed) }) = self.hand.as_mut().and_then(|hand| hand.busy.as_mut()) {
            *allowed = (*allowed).min(now.saturating_duration_since(*since) + self.clocks.canary());
        }
        if *self.front.condition() == Condition::Suspect {
            // A request was the first to find out.
            let (partition, generation) = (&*self.front.name, self.front.generation());
            warn!(partition, generation, reason = why, "the partition is suspect");
        }
        self.tell(Condition::Suspect, why);
    }

    /// Nothing is connected. The first try after a stable connection is made at once.
    fn wait(&mut self, event: Event, now: Instant, why: &str) {
        self.forget_connection();
        self.clocks.due = now + self.clocks.before_next_try(now);
        if event == Event::OpenFailed {
            self.tell(Condition::Down(why.into()), "");
        }
        self.decide();
    }

    /// Sends everybody home, who end their sessions while they still may.
    fn end_connection(&mut self, now: Instant, why: &str) {
        self.front.set_queue(None);
        if let Some(connection) = self.connection.take() {
            self.leftovers.push(connection.jobs);
        }
        self.roster.close();
        if let Some(hand) = &mut self.hand {
            hand.dismiss();
        }
        self.agenda.refuse_all(why);
        self.closing = Some(now);
    }

    /// All gates are over.
    fn forget_connection(&mut self) {
        self.roster.give_up_all(&self.front);
        self.count_sessions();
        self.hand = None;
        self.closing = None;
    }

    /// A steward that connects.
    fn open(&mut self, now: Instant) {
        let (settings, state_dir) = (self.settings.clone(), self.state_dir.clone());
        let busy = Busy { chore: Chore::Open, since: now, allowed: Some(self.clocks.opening()) };
        let open = move |steward: Steward| steward.open(&settings, &state_dir);
        if let Err(why) = self.engage(busy, open) {
            self.apply(Event::OpenFailed, &why);
        }
    }

    /// A steward in place of one that was given up, in the same generation.
    pub(super) fn attach(&mut self, now: Instant) {
        let Some(crew) = self.connection.as_ref().map(|connection| Arc::clone(&connection.crew)) else { return };
        let busy = Busy { chore: Chore::Attach, since: now, allowed: Some(self.clocks.canary()) };
        if let Err(why) = self.engage(busy, move |steward| steward.attach(&crew.token, &crew.canary)) {
            self.apply(Event::Lost, &why);
        }
    }

    fn engage(&mut self, busy: Busy, begin: impl FnOnce(Steward) + Send + 'static) -> Result<(), String> {
        self.hands += 1;
        let (number, gate) = (self.hands, Gate::open());
        let (send, errands) = unbounded();
        let steward = Steward { number, gate: Arc::clone(&gate), errands, reports: self.reports.clone() };
        let thread = thread::Builder::new().name(format!("{}/s{number}", self.front.name));
        match thread.spawn(move || begin(steward)) {
            Ok(_) => {
                self.hand = Some(Hand::new(number, gate, send, busy));
                Ok(())
            }
            Err(error) => {
                self.hand = None;
                Err(format!("no thread to be had: {error}"))
            }
        }
    }

    /// Opens one more session if one is missing, unless another is being opened.
    pub(super) fn staff(&mut self) {
        let now = Instant::now();
        let Some(connection) = &self.connection else { return };
        if now < self.clocks.refill && self.roster.sessions() > 0 {
            return;
        }
        let Some(seat) = self.roster.hire(now) else { return };
        let (crew, jobs, number) = (Arc::clone(&connection.crew), connection.jobs.clone(), seat.number);
        let thread = thread::Builder::new().name(format!("{}/{number}", self.front.name));
        if let Err(error) = thread.spawn(move || worker::work(&crew, &seat, &jobs)) {
            self.roster.left(number);
            self.clocks.refill = now + REFILL;
            if self.roster.sessions() == 0 {
                self.apply(Event::Unseated, &format!("no thread to be had: {error}"));
            }
        }
    }

    /// `leaks` more sessions may be leaked, with this many others that have to be open beside all that were.
    pub(super) fn may_leak(&self, leaks: u32, others: u32) -> bool {
        let leaked = self.front.leaked().load(Ordering::Relaxed).saturating_add(leaks);
        self.has_leaks_left(leaks) && self.limit.is_none_or(|limit| leaked.saturating_add(others) <= limit)
    }

    /// The same, but for the token's own limit.
    pub(super) fn has_leaks_left(&self, leaks: u32) -> bool {
        let leaked = self.front.leaked().load(Ordering::Relaxed).saturating_add(leaks);
        leaked <= self.roster.wanted().saturating_mul(LEAKS)
    }

    pub(super) fn count_leaked(&self, leaks: u32) {
        self.front.leaked().fetch_add(leaks, Ordering::Relaxed);
    }

    pub(super) fn count_sessions(&self) {
        self.front.sessions().store(self.roster.sessions(), Ordering::Relaxed);
    }

    /// Says how the partition is, in the log too if that is news.
    pub(super) fn tell(&self, condition: Condition, why: &str) {
        let before = self.front.condition();
        if *before != condition {
            let (partition, generation, sessions) = (&*self.front.name, self.front.generation(), self.roster.sessions());
            match &condition {
                Condition::Up | Condition::Starting => info!(partition, generation, sessions, reason = why, "the partition is up"),
                Condition::Down(reason) if [STOPPING, STOPPED].contains(&reason.as_str()) => {
                    info!(partition, generation, "the partition is {reason}");
                }
                Condition::Down(reason) | Condition::PinRefused(reason) => {
                    warn!(partition, generation, reason, "the partition is {}", condition.as_str());
                }
                Condition::Suspect | Condition::Exhausted => {
                    warn!(partition, generation, reason = why, "the partition is {}", condition.as_str());
                }
            }
        }
        self.front.set_condition(condition);
    }

    /// The first try is decided: the partition starts, up or not.
    pub(super) fn decide(&mut self) {
        if let Some(verdict) = self.verdict.take() {
            let _ = verdict.send(Ok(()));
        }
    }
}

/// Why a condition is so, for whoever is refused.
fn reason(condition: &Condition) -> String {
    match condition {
        Condition::Down(why) | Condition::PinRefused(why) => why.clone(),
        Condition::Starting | Condition::Up | Condition::Suspect | Condition::Exhausted => format!("it is {}", condition.as_str()),
    }
}

/// Sessions that may be given up, for each one asked for (design section 5).
const LEAKS: u32 = 2;

/// How much longer than `timeouts.open` it may take until the supervisor has decided.
const DECISION: Duration = Duration::from_millis(250);

pub(super) const STOPPED: &str = "stopped";
const STOPPING: &str = "stopping";
pub(super) const OVERDUE_TEXT: &str = "a call takes longer than half of a request's deadline";

#[cfg(test)]
mod tests;
