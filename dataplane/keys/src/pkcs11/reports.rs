//! What a partition's supervisor makes of what its threads tell it.
//!
//! Always holds: who was given up, or is of an earlier generation, is not listened to.

use std::{sync::Arc, time::Instant};

use crossbeam_channel::bounded;
use tracing::warn;

use super::{
    clocks::{CANARY, OVERDUE, REFILL},
    fault::{CallError, Class},
    partition::{Connection, Supervisor},
    settings::SESSIONS,
    start::{Pkcs11Fault, Problem},
    state::{Event, State},
    status::{TokenTaskDone, TokenTaskError},
    steward::{News, Opened, TaskFault},
    turns::computing_at_once,
    worker::{Crew, Report},
};

impl Supervisor {
    pub(super) fn reported(&mut self, report: Report) {
        match report {
            Report::Seated(number) => {
                self.roster.seated(number);
                self.count_sessions();
                if self.roster.sessions() == self.roster.wanted() {
                    self.short = None;
                }
                self.apply(Event::Seated, "connected");
                self.staff();
            }
            Report::Left(number, why) => self.left(number, why),
            Report::Lost(generation, why) if generation == self.front.generation() => self.apply(Event::Lost, &why),
            Report::Doubt(generation) if generation == self.front.generation() && self.state == State::Up => {
                self.clocks.due = Instant::now();
            }
            Report::Lost(..) | Report::Doubt(_) => {}
            Report::Steward(number, news) => {
                // One that was given up is not listened to.
                if let Some(hand) = self.hand.as_mut().filter(|hand| hand.number == number) {
                    hand.busy = None;
                    self.told(news);
                }
            }
        }
    }

    fn told(&mut self, news: News) {
        match news {
            News::Opened(opened) => {
                self.clocks.opening_came_back();
                self.opened(opened);
            }
            News::NotOpened(faults) => {
                self.clocks.opening_came_back();
                self.hand = None;
                self.not_opened(faults);
            }
            News::Canary(Ok(took)) if took < OVERDUE => {
                self.clocks.canary_came_back();
                self.clocks.due = Instant::now() + CANARY;
                self.apply(Event::CanaryInTime, "a canary came back in time");
            }
            News::Canary(Ok(_)) => {
                self.apply(Event::CanaryLate, "a canary came back late");
                self.clocks.due = Instant::now() + self.clocks.probes.take();
            }
            News::Canary(Err(error)) => self.apply(Event::Lost, &error.to_string()),
            News::Task(result) => self.task_done(result),
        }
    }

    fn task_done(&mut self, result: Result<TokenTaskDone, TaskFault>) {
        let lost = result.as_ref().err().is_some_and(TaskFault::is_lost);
        let result = result.map_err(|fault| match fault {
            TaskFault::Call(error) => self.agenda.unavailable(&error.to_string()),
            TaskFault::Refused(why) => TokenTaskError::Refused(why),
        });
        let why = result.as_ref().err().map_or_else(String::new, ToString::to_string);
        self.agenda.answer(result);
        if lost {
            self.apply(Event::Lost, &why);
        }
    }

    /// Connected: a new generation begins. Nothing of the one before is left.
    fn opened(&mut self, opened: Opened) {
        if !matches!(self.state, State::Opening | State::Exhausted) {
            return;
        }
        let Opened { token, facts, canary, computes_here } = opened;
        let generation = self.front.generation() + 1;
        self.front.set_generation(generation);
        self.front.set_facts(facts);
        self.limit = token.max_sessions();
        let most = self.limit.map_or(u32::MAX, |limit| limit.saturating_sub(1).max(1));
        let wanted = self.settings.sessions.map_or(SESSIONS.min(most), u32::from);
        self.roster.renew(wanted, if computes_here { computing_at_once().min(wanted) } else { wanted });
        self.clocks.refill = Instant::now();
        let crew = Crew { generation, token, canary, front: Arc::clone(&self.front), reports: self.reports.clone() };
        let room = usize::try_from(wanted).unwrap_or(usize::MAX).saturating_mul(QUEUED);
        let (queue, jobs) = bounded(room);
        self.connection = Some(Connection { crew: Arc::new(crew), jobs, queue: Some(queue) });
        self.apply(Event::Opened, "connected");
    }

    fn not_opened(&mut self, faults: Vec<Pkcs11Fault>) {
        let refused = faults.iter().any(|fault| matches!(fault.problem, Problem::PinRefused { .. } | Problem::PinRefusedBefore { .. }));
        let why = faults.iter().map(|fault| fault.problem.to_string()).collect::<Vec<_>>().join("; ");
        let event = if refused { Event::PinRefused } else { Event::OpenFailed };
        if faults.iter().any(Pkcs11Fault::is_configuration)
            && let Some(verdict) = self.verdict.take()
            // Heard: start-up ends here, and nobody is going to use this partition.
            && verdict.send(Err(faults)).is_ok()
        {
            return self.apply(Event::Stop, &why);
        }
        self.apply(event, &why);
    }

    fn left(&mut self, number: u64, why: Option<CallError>) {
        if !self.roster.left(number) {
            return;
        }
        self.count_sessions();
        if self.connection.is_none() {
            return;
        }
        match why {
            None => {}
            Some(error) if matches!(error.class, Class::Login | Class::Token) => return self.apply(Event::Lost, &error.to_string()),
            // `CKR_SESSION_COUNT` above all: it goes on with fewer.
            Some(error) => {
                self.clocks.refill = Instant::now() + REFILL;
                let sessions = self.roster.sessions();
                if sessions == 0 {
                    return self.apply(Event::Unseated, &format!("no session beside the one that keeps the login: {error}"));
                }
                if self.short.replace(sessions) != Some(sessions) {
                    let (partition, wanted) = (&*self.front.name, self.roster.wanted());
                    warn!(partition, generation = self.front.generation(), sessions, wanted, reason = %error, "fewer sessions than asked for");
                }
            }
        }
        self.staff();
    }
}

/// Jobs that may wait, for each session (design section 4).
const QUEUED: usize = 4;
