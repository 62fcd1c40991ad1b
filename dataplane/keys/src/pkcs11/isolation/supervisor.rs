//! The life of an isolated partition's children, one after another.
//!
//! Holds: this thread alone writes to the front (but for `Front::overdue`), and never waits for a child; a child that is given up on is
//! killed and collected, and only then forgotten; each connection of each child is a generation of its own here.
//!
//! The child's own supervisor is the judge of canaries. When a request here says that a call is overdue, the partition is suspect and
//! the child is sent a mark; on it, it is suspect in the child too, until a canary there comes back in time. The partition is up again
//! with the first report that is up and carries that mark: it was made after the overdue call was known. Older reports change nothing.

use std::{
    io,
    net::Shutdown,
    num::NonZeroU32,
    ops::ControlFlow,
    os::unix::net::UnixStream,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, at, bounded, never, select, unbounded};
use tracing::{info, warn};

use super::{
    Host,
    dispatcher::{Control, Dispatcher, Lane},
    frame::{Opening, Report, ToChild, ToParent},
    life::{self, Trouble},
    process::{End, Process},
    reader::Reader,
    slots::Slots,
    tasks::{Reply, Tasks},
};
use crate::pkcs11::{
    Pkcs11Fault,
    front::{Front, Order},
    settings::SESSIONS,
    start::Problem,
    state::{Pauses, jittered},
    status::{Condition, TokenTask},
};

/// Something about a child.
pub(super) struct Event {
    pub(super) incarnation: u64,
    pub(super) what: What,
}

/// See [`Event`].
pub(super) enum What {
    /// It said something that is not an outcome.
    Said(ToParent),
    /// It ended, or can't be talked to any more.
    Ended(String),
}

/// What [`super::start`] waits for.
pub(super) type Started = Sender<Result<(), Vec<Pkcs11Fault>>>;

/// See above.
pub(super) struct Supervisor {
    host: Host,
    front: Arc<Front>,
    events: (Sender<Event>, Receiver<Event>),
    /// Taken by the first child's answer.
    started: Option<Started>,
    child: Option<Incarnation>,
    /// Killed, and not collected yet.
    dying: Vec<Process>,
    tasks: Tasks,
    /// Children so far.
    incarnations: u64,
    pauses: Pauses,
    next_child: Option<Instant>,
}

/// A child.
struct Incarnation {
    number: u64,
    process: Process,
    stream: UnixStream,
    control: Sender<Control>,
    is_open: bool,
    /// Overdue calls so far.
    mark: u64,
    /// The child's generation that jobs are sent to it for.
    lane: Option<u64>,
    trouble: Trouble,
    /// When that trouble began; of none: since when nothing is wrong.
    since: Instant,
}

impl Supervisor {
    pub(super) fn new(host: Host, front: Arc<Front>, started: Started) -> Self {
        let tasks = Tasks::new(&host.settings);
        Self {
            host,
            front,
            events: unbounded(),
            started: Some(started),
            child: None,
            dying: Vec::new(),
            tasks,
            incarnations: 0,
            pauses: life::PAUSES,
            next_child: None,
        }
    }

    /// Until it is told to stop, or the first child says that the configuration is wrong.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        if let Err(fault) = self.launch() {
            return self.answer(Err(vec![fault]));
        }
        let events = self.events.1.clone();
        loop {
            let wake = self.see_to(Instant::now()).map_or_else(never, at);
            select! {
                recv(orders) -> order => match order {
                    Ok(Order::Overdue) => self.overdue(),
                    Ok(Order::Task(task, reply)) => self.task(task, reply),
                    Ok(Order::Stop) | Err(_) => break,
                },
                recv(events) -> event => if event.is_ok_and(|event| self.hear(event).is_break()) { break },
                recv(wake) -> _ => {}
            }
        }
        self.stop();
    }

    /// Does what is due, and tells when it has to be called again.
    fn see_to(&mut self, now: Instant) -> Option<Instant> {
        self.collect();
        self.tasks.expire(now);
        if let Some(child) = &self.child
            && child.given_up(self.host.settings.timeouts.open).is_some_and(|due| due <= now)
        {
            let why = child.trouble.as_str();
            self.end(Condition::Down(why.to_owned()), why);
        }
        if self.next_child.is_some_and(|due| due <= now) {
            self.next_child = Some(now + UNKILLABLE);
            // A process that a driver holds fast can't be killed: not too many of those.
            if self.dying.len() < MOST_DYING
                && let Err(fault) = self.launch()
            {
                self.front.set_condition(Condition::Down(fault.to_string()));
                self.pause();
            }
        }
        let given_up = self.child.as_ref().and_then(|child| child.given_up(self.host.settings.timeouts.open));
        let collect = (!self.dying.is_empty()).then(|| now + COLLECT);
        [given_up, collect, self.tasks.next(), self.next_child].into_iter().flatten().min()
    }

    fn launch(&mut self) -> Result<(), Pkcs11Fault> {
        let fault = |error: io::Error| {
            let program = self.host.keyhost.first().cloned().unwrap_or_default();
            Pkcs11Fault::new(&self.front.name, Problem::Keyhost { program, why: error.to_string() })
        };
        let (process, stream) = Process::start(&self.host.keyhost).map_err(fault)?;
        let number = self.incarnations + 1;
        let control = match self.connect(number, &stream) {
            Ok(control) => control,
            Err(error) => {
                let fault = fault(error);
                self.dispose(process);
                return Err(fault);
            }
        };
        info!(partition = %self.front.name, pid = process.id(), "the partition's process was started");
        let (trouble, since) = (Trouble::Opening, Instant::now());
        self.child = Some(Incarnation { number, process, stream, control, is_open: false, mark: 0, lane: None, trouble, since });
        self.incarnations = number;
        self.next_child = None;
        Ok(())
    }

    /// Starts the threads that talk to a child.
    fn connect(&self, incarnation: u64, stream: &UnixStream) -> io::Result<Sender<Control>> {
        stream.set_read_timeout(Some(SILENT))?;
        stream.set_write_timeout(Some(DEAF))?;
        let (slots, places) = Slots::new(self.most_sessions());
        let (give, control) = unbounded();
        let (front, events) = (&self.front, &self.events.0);
        let reader = Reader { incarnation, front: Arc::clone(front), places, stream: stream.try_clone()?, events: events.clone() };
        let dispatcher =
            Dispatcher { incarnation, front: Arc::clone(front), slots, stream: stream.try_clone()?, control, events: events.clone() };
        let Host { settings, state_dir, keyhost: _ } = &self.host;
        let opening = Opening { settings: settings.clone(), state_dir: state_dir.clone(), is_resumed: self.started.is_none() };
        thread::Builder::new().name("keyhost-reader".into()).spawn(move || reader.run())?;
        thread::Builder::new().name("keyhost-writer".into()).spawn(move || dispatcher.run(opening))?;
        Ok(give)
    }

    fn hear(&mut self, event: Event) -> ControlFlow<()> {
        let Some(child) = self.child.as_mut().filter(|child| child.number == event.incarnation) else {
            return ControlFlow::Continue(());
        };
        match event.what {
            What::Said(ToParent::Report(report)) => self.report(report),
            What::Said(ToParent::Opened(Ok(report))) => {
                child.is_open = true;
                self.report(report);
                self.answer(Ok(()));
            }
            What::Said(ToParent::Opened(Err(faults))) if self.started.is_some() => {
                self.answer(Err(faults));
                return ControlFlow::Break(());
            }
            // Of a later one the configuration is not judged.
            What::Said(ToParent::Opened(Err(faults))) => {
                let why = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                self.end(Condition::Down(why.clone()), &why);
            }
            What::Said(ToParent::Keys(task, keys)) => self.tasks.keys(task, keys),
            What::Said(ToParent::TaskDone(task, result)) => self.tasks.done(task, result),
            // The reader's.
            What::Said(ToParent::Outcome(..)) => {}
            What::Ended(why) => self.end(Condition::Down(why.clone()), &why),
        }
        ControlFlow::Continue(())
    }

    fn report(&mut self, report: Report) {
        let Some(child) = self.child.as_mut().filter(|child| child.is_open) else { return };
        let front = &self.front;
        front.sessions().store(report.sessions, Ordering::Relaxed);
        front.leaked().store(report.leaked, Ordering::Relaxed);
        if let Some(facts) = report.facts
            && front.facts().as_deref() != Some(&facts)
        {
            front.set_facts(facts);
        }
        let is_outdated = report.condition.is_up() && report.mark < child.mark;
        let condition = if is_outdated { Condition::Suspect } else { report.condition };
        self.pauses = child.set_trouble(life::trouble(true, &condition, report.leaked), self.pauses);
        match condition {
            Condition::Up => self.serve(report.generation),
            Condition::Suspect => front.set_condition(Condition::Suspect),
            // What is shown says why the last child ended.
            Condition::Starting => {}
            Condition::Down(_) | Condition::PinRefused(_) | Condition::Exhausted => {
                front.set_condition(condition);
                if child.lane.take().is_some() {
                    front.set_queue(None);
                    child.tell(Control::Serve(None));
                }
            }
        }
    }

    /// Takes work.
    fn serve(&mut self, generation: u64) {
        let places = usize::try_from(self.most_sessions()).unwrap_or(usize::MAX).saturating_mul(QUEUE);
        let (Some(child), front) = (&mut self.child, &self.front) else { return };
        if child.lane != Some(generation) {
            let (queue, jobs) = bounded(places);
            front.set_queue(None);
            front.set_generation(front.generation() + 1);
            child.tell(Control::Serve(Some(Lane { generation, jobs })));
            child.lane = Some(generation);
            front.set_queue(Some(queue));
        }
        // Written only on a change: a request may be making it suspect just now.
        if !front.condition().is_up() {
            front.set_condition(Condition::Up);
        }
    }

    fn overdue(&mut self) {
        let Some(child) = self.child.as_mut().filter(|child| child.is_open) else { return };
        // A report from before may have been heard since the request made it suspect.
        if self.front.condition().is_up() {
            self.front.set_condition(Condition::Suspect);
        }
        child.mark += 1;
        child.tell(Control::Send(ToChild::Overdue(child.mark)));
        if child.trouble == Trouble::None {
            self.pauses = child.set_trouble(Trouble::Hung, self.pauses);
        }
    }

    fn task(&mut self, task: TokenTask, reply: Reply) {
        match self.child.as_ref().filter(|child| child.is_open) {
            Some(child) => {
                let number = self.tasks.add(reply, Instant::now());
                child.tell(Control::Send(ToChild::Task(number, task)));
            }
            None => self.tasks.refuse(reply, "its process was not started yet"),
        }
    }

    /// Gives a child up. Another one follows.
    fn end(&mut self, condition: Condition, why: &str) {
        let Some(mut child) = self.child.take() else { return };
        warn!(partition = %self.front.name, pid = child.process.id(), why, "the partition's process is given up and started anew");
        self.pauses = child.set_trouble(Trouble::Opening, self.pauses);
        self.front.set_condition(condition);
        self.let_go(child, why);
        // Nothing that a first child can't say is wrong with the configuration.
        self.answer(Ok(()));
        self.pause();
    }

    /// Ends the last child.
    fn stop(mut self) {
        let why = "it was stopped";
        self.front.set_condition(Condition::Down(why.to_owned()));
        self.front.set_queue(None);
        if let Some(child) = self.child.take() {
            child.tell(Control::Serve(None));
            child.tell(Control::Send(ToChild::Stop));
            let until = Instant::now() + FAREWELL;
            let is_end = |event: &Event| event.incarnation == child.number && matches!(event.what, What::Ended(_));
            while self.events.1.recv_deadline(until).is_ok_and(|event| !is_end(&event)) {}
            self.let_go(child, why);
        }
        let until = Instant::now() + FAREWELL;
        while !self.dying.is_empty() && Instant::now() < until {
            self.collect();
            thread::sleep(COLLECT);
        }
    }

    /// Kills a child. What it had is answered by the threads that talk to it.
    fn let_go(&mut self, child: Incarnation, why: &str) {
        self.front.set_queue(None);
        self.front.sessions().store(0, Ordering::Relaxed);
        // Whatever hung in it ends with it.
        self.front.leaked().store(0, Ordering::Relaxed);
        self.tasks.fail(why);
        // The reader must end even where the process can't be killed.
        let _ = child.stream.shutdown(Shutdown::Both);
        self.dispose(child.process);
    }

    fn dispose(&mut self, mut process: Process) {
        process.kill();
        self.dying.push(process);
        self.collect();
    }

    fn collect(&mut self) {
        let name = &self.front.name;
        self.dying.retain_mut(|process| match process.ended() {
            None => true,
            Some(End::Killed) => false,
            Some(End::Itself(status)) => {
                warn!(partition = %name, pid = process.id(), status, "the partition's process ended by itself");
                false
            }
        });
    }

    fn pause(&mut self) {
        let mut dice = [0; 2];
        // Without randomness the pause is whole.
        let _ = aws_lc_rs::rand::fill(&mut dice);
        self.next_child = Some(Instant::now() + jittered(self.pauses.take(), u16::from_le_bytes(dice)));
    }

    fn answer(&mut self, result: Result<(), Vec<Pkcs11Fault>>) {
        if let Some(started) = self.started.take() {
            // Whoever started it may have gone.
            let _ = started.send(result);
        }
    }

    fn most_sessions(&self) -> u32 {
        self.host.settings.sessions.map_or(SESSIONS, NonZeroU32::get)
    }
}

impl Incarnation {
    fn tell(&self, control: Control) {
        // A thread that has ended said so.
        let _ = self.control.send(control);
    }

    /// When it is killed, if nothing changes.
    fn given_up(&self, open: Duration) -> Option<Instant> {
        life::patience(self.trouble, open).map(|patience| self.since + patience)
    }

    /// A stable run ends the growth of pauses.
    fn set_trouble(&mut self, trouble: Trouble, mut pauses: Pauses) -> Pauses {
        if self.trouble != trouble {
            if self.trouble == Trouble::None && self.since.elapsed() >= life::STABLE {
                pauses.reset();
            }
            (self.trouble, self.since) = (trouble, Instant::now());
        }
        pauses
    }
}

/// A child says something every half second.
const SILENT: Duration = Duration::from_secs(2);

/// A child always reads.
const DEAF: Duration = Duration::from_secs(1);

/// For closing its sessions, and once more for the operating system to end it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Jobs that wait, for each session.
const QUEUE: usize = 4;

/// How often a killed child is looked for.
const COLLECT: Duration = Duration::from_millis(20);

const MOST_DYING: usize = 4;

/// How often it is looked whether one of so many has gone.
const UNKILLABLE: Duration = Duration::from_secs(1);
