//! What a partition's supervisor does as time passes: it finds calls that take too long, gives up on those that hang, and does what is due.
//!
//! Always holds: a thread is given up only while that keeps the leaks within their bounds; otherwise the partition waits, exhausted, for
//! one of its calls to come back.

use std::time::{Duration, Instant};

use crossbeam_channel::TryRecvError;
use tracing::warn;

use super::{
    clocks::{CANARY, OVERDUE, STUCK, STUCK_MOST},
    errands::Chore,
    partition::{OVERDUE_TEXT, STOPPED, Supervisor},
    start::Problem,
    state::{Event, State},
    status::Condition,
    steward::Errand,
    worker,
};

impl Supervisor {
    /// Looks at everything that time changes. False: it has stopped.
    pub(super) fn look_around(&mut self, now: Instant) -> bool {
        self.answer_leftovers();
        self.agenda.expire(now);
        if let Some(since) = self.closing {
            self.drain(now, since);
        }
        match self.state {
            State::Opening => self.watch_steward(now),
            State::Staffing => {
                self.watch_stuck(now);
                self.staff();
            }
            State::Up => {
                let late = self.canary_is_late(now);
                if self.roster.look(now, OVERDUE) || late {
                    self.apply(Event::Overdue, OVERDUE_TEXT);
                }
                self.watch_stuck(now);
                self.watch_steward(now);
                self.send(now);
                self.staff();
            }
            State::Suspect => {
                self.roster.look(now, OVERDUE);
                self.watch_steward(now);
                self.send(now);
            }
            State::Exhausted if self.closing.is_none() => {
                self.roster.look(now, OVERDUE);
                if self.roster.has_a_free_one() {
                    self.send(now);
                }
            }
            State::Waiting | State::Refused if now >= self.clocks.due => self.apply(Event::Due, ""),
            State::Waiting | State::Refused | State::Draining | State::Exhausted => {}
            State::Stopping => return self.closing.is_some(),
        }
        true
    }

    /// How long nothing can come due.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        match self.state {
            State::Draining | State::Stopping => DRAIN,
            State::Waiting | State::Refused => {
                let left = self.clocks.due.saturating_duration_since(now);
                if self.leftovers.is_empty() { left } else { left.min(WATCH) }
            }
            State::Opening | State::Staffing | State::Up | State::Suspect | State::Exhausted => WATCH,
        }
    }

    /// Those who waited for a session of a connection that is gone.
    fn answer_leftovers(&mut self) {
        self.leftovers.retain(|queue| {
            loop {
                match queue.try_recv() {
                    Ok(job) if job.ticket.start() => job.answer.give(Err(worker::reconnecting())),
                    // It was taken back.
                    Ok(_) => {}
                    // Somebody who looked the queue up before it was closed may still add to it.
                    Err(TryRecvError::Empty) => return true,
                    Err(TryRecvError::Disconnected) => return false,
                }
            }
        });
    }

    /// Waits until nobody can enter the module any more, and gives up those who hang in it.
    fn drain(&mut self, now: Instant, since: Instant) {
        let steward = u32::from(self.hand.as_ref().is_some_and(|hand| !hand.gate.look().is_over()));
        let left = self.roster.not_over() + steward;
        let patience = if self.state == State::Stopping { STOP } else { STUCK };
        let impatient = now.saturating_duration_since(since) >= patience;
        if left > 0 && !impatient {
            return;
        }
        if left > 0 && self.state != State::Stopping && !self.may_leak(left, ANCHOR_AND_WORKER) {
            // When one of them comes back, the others may as well: they get their time anew.
            self.closing = Some(now);
            return self.apply(Event::LeaksSpent, HANGS);
        }
        let mut leaked = self.roster.give_up_all(&self.front);
        if self.hand.take().is_some_and(|hand| hand.gate.abandon()) {
            leaked += 1;
        }
        self.leaked(leaked);
        self.count_sessions();
        self.closing = None;
        match self.state {
            State::Stopping => self.tell(Condition::Down(STOPPED.into()), ""),
            State::Opening
            | State::Staffing
            | State::Up
            | State::Suspect
            | State::Draining
            | State::Waiting
            | State::Refused
            | State::Exhausted => self.apply(Event::Drained, ""),
        }
    }

    /// Workers that hang, in a job or in opening their session.
    fn watch_stuck(&mut self, now: Instant) {
        let stuck = self.roster.stuck(now, STUCK);
        if stuck == 0 {
            return;
        }
        if self.may_leak(stuck, ANCHOR_AND_WORKER) {
            self.give_up(now, STUCK, stuck);
            if self.state == State::Staffing {
                self.apply(Event::Unseated, "a session could not be opened in time");
            }
        } else if !self.roster.has_a_free_one() {
            self.apply(Event::LeaksSpent, HANGS);
        }
    }

    /// The token works and all workers hang: half of them are replaced at once, the others if they go on hanging.
    pub(super) fn replace_stuck(&mut self, now: Instant) {
        let half = self.roster.stuck(now, OVERDUE).div_ceil(2);
        if half > 0 && !self.roster.has_a_free_one() && self.may_leak(half, ANCHOR_AND_WORKER) {
            self.give_up(now, OVERDUE, half);
        }
    }

    fn give_up(&mut self, now: Instant, than: Duration, most: u32) {
        let leaked = self.roster.give_up_stuck((now, than), most, &self.front);
        self.leaked(leaked);
        self.count_sessions();
    }

    /// A steward that takes longer than it may.
    fn watch_steward(&mut self, now: Instant) {
        let Some(hand) = &mut self.hand else { return };
        let (gate, Some(busy)) = (hand.gate.look(), &mut hand.busy) else { return };
        let (chore, allowed) = (busy.chore, busy.allowed);
        if !busy.is_stuck(now) {
            // One that may not be given up, and only its canary could tell that the token works.
            let hopeless = allowed.is_none() && self.state == State::Suspect;
            if hopeless && (busy.has_taken(now) > STUCK_MOST || !self.has_leaks_left(1)) {
                self.apply(Event::LeaksSpent, HANGS);
            }
            return;
        }
        busy.allowed = None;
        let why = Problem::Timeout(allowed.unwrap_or_default()).to_string();
        match chore {
            // It is in `C_Initialize` or looks for the token. A second thread would only hang beside it. One that has ended without a word
            // panicked there.
            Chore::Open if gate.call == 0 && !gate.is_over() => {
                self.tell(Condition::Down(why), "");
                self.decide();
            }
            Chore::Open if self.may_leak(1, ANCHOR_AND_WORKER) => {
                self.give_up_steward();
                self.clocks.opening_hung();
                self.apply(Event::OpenFailed, &why);
            }
            Chore::Open => self.apply(Event::LeaksSpent, HANGS),
            Chore::Attach | Chore::Canary | Chore::Task => {
                self.agenda.give_up_present();
                if self.may_leak(1, self.roster.sessions().saturating_add(1)) {
                    self.give_up_steward();
                    self.clocks.canary_hung();
                    self.attach(now);
                }
            }
        }
    }

    fn give_up_steward(&mut self) {
        if self.hand.take().is_some_and(|hand| hand.gate.abandon()) {
            self.leaked(1);
        }
    }

    fn leaked(&self, leaked: u32) {
        if leaked > 0 {
            self.count_leaked(leaked);
            let (partition, generation) = (&*self.front.name, self.front.generation());
            warn!(partition, generation, leaked, reason = HANGS, "sessions were given up");
        }
    }

    /// The next errand, if the steward is free: a canary that is due, else a key task.
    fn send(&mut self, now: Instant) {
        let Some(hand) = self.hand.as_mut().filter(|hand| hand.is_free()) else { return };
        if now >= self.clocks.due {
            self.clocks.due = now + CANARY;
            hand.send(Errand::Canary, now, self.clocks.canary());
        } else if self.state == State::Up
            && let Some((task, allowed)) = self.agenda.next(now)
        {
            hand.send(Errand::Task(task), now, allowed);
        }
    }

    fn canary_is_late(&self, now: Instant) -> bool {
        let busy = self.hand.as_ref().and_then(|hand| hand.busy);
        busy.is_some_and(|busy| busy.chore == Chore::Canary && busy.has_taken(now) > OVERDUE)
    }
}

/// How often calls are looked at: how much later than [`OVERDUE`] one may be found.
const WATCH: Duration = Duration::from_millis(25);

/// How often threads that are sent home are looked at.
const DRAIN: Duration = Duration::from_millis(5);

/// How long calls may take when the partition is stopped.
const STOP: Duration = Duration::from_secs(1);

/// Sessions that a connection has at least.
const ANCHOR_AND_WORKER: u32 = 2;

const HANGS: &str = "calls do not come back";
