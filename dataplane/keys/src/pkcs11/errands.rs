//! The supervisor's side of a steward: what it is at, for how long it may be, and the key tasks that wait for it.
//!
//! Always holds: a steward has one errand at a time; every key task is answered once, at the latest when its time is over. Nothing here
//! makes a C call or waits.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use tokio::sync::oneshot;

use super::{
    gate::Gate,
    status::{TokenTask, TokenTaskDone, TokenTaskError},
    steward::Errand,
};

/// A steward as its supervisor knows it.
pub(super) struct Hand {
    pub(super) number: u64,
    pub(super) gate: Arc<Gate>,
    /// None once it is being sent home.
    pub(super) errands: Option<Sender<Errand>>,
    pub(super) busy: Option<Busy>,
}

/// What a steward is at.
#[derive(Clone, Copy)]
pub(super) struct Busy {
    pub(super) chore: Chore,
    pub(super) since: Instant,
    /// How long it may be at it; none: it may not be given up, so there is no end.
    pub(super) allowed: Option<Duration>,
}

/// The kinds of errand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    Open,
    /// Of a steward that took the place of another one: it opens its session first.
    Attach,
    Canary,
    Task,
}

/// The key tasks of a partition.
pub(super) struct Agenda {
    partition: Arc<str>,
    waiting: VecDeque<Waiting>,
    present: Option<Reply>,
}

/// Where the result of a key task goes.
pub(super) type Reply = oneshot::Sender<Result<TokenTaskDone, TokenTaskError>>;

struct Waiting {
    task: TokenTask,
    reply: Reply,
    until: Instant,
}

impl Hand {
    /// At its first errand.
    pub(super) const fn new(number: u64, gate: Arc<Gate>, errands: Sender<Errand>, busy: Busy) -> Self {
        Self { number, gate, errands: Some(errands), busy: Some(busy) }
    }

    /// Sends it on an errand. It must be free.
    pub(super) fn send(&mut self, errand: Errand, now: Instant, allowed: Duration) {
        let chore = match &errand {
            Errand::Canary => Chore::Canary,
            Errand::Task(_) => Chore::Task,
        };
        if let Some(errands) = &self.errands {
            self.busy = Some(Busy { chore, since: now, allowed: Some(allowed) });
            // One whose thread has ended is found stuck.
            let _ = errands.send(errand);
        }
    }

    /// It has nothing to do.
    pub(super) const fn is_free(&self) -> bool {
        self.busy.is_none() && self.errands.is_some()
    }

    /// No more errands, and no call begins but the one that ends the session.
    pub(super) fn dismiss(&mut self) {
        self.errands = None;
        self.gate.close();
    }
}

impl Busy {
    /// It has been at it for longer than allowed.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        self.allowed.is_some_and(|allowed| self.has_taken(now) > allowed)
    }

    pub(super) fn has_taken(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl Agenda {
    pub(super) const fn new(partition: Arc<str>) -> Self {
        Self { partition, waiting: VecDeque::new(), present: None }
    }

    /// A task that may wait and be done until then.
    pub(super) fn add(&mut self, task: TokenTask, reply: Reply, until: Instant) {
        self.waiting.push_back(Waiting { task, reply, until });
    }

    /// The next task that somebody waits for, and how long it may take. It is the present one from here on.
    pub(super) fn next(&mut self, now: Instant) -> Option<(TokenTask, Duration)> {
        self.expire(now);
        loop {
            let Waiting { task, reply, until } = self.waiting.pop_front()?;
            if !reply.is_closed() {
                self.present = Some(reply);
                return Some((task, until.saturating_duration_since(now)));
            }
        }
    }

    /// Answers the present task.
    pub(super) fn answer(&mut self, result: Result<TokenTaskDone, TokenTaskError>) {
        if let Some(reply) = self.present.take() {
            // Nobody may be waiting any more.
            let _ = reply.send(result);
        }
    }

    /// The present task did not come back in time.
    pub(super) fn give_up_present(&mut self) {
        let error = self.late();
        self.answer(Err(error));
    }

    /// Answers those whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        let (over, waiting): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.until <= now);
        self.waiting = waiting;
        for Waiting { reply, .. } in over {
            let _ = reply.send(Err(self.late()));
        }
    }

    /// Answers all: the partition is not available.
    pub(super) fn refuse_all(&mut self, why: &str) {
        let error = self.unavailable(why);
        let replies = self.present.take().into_iter().chain(std::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.reply));
        for reply in replies {
            let _ = reply.send(Err(error.clone()));
        }
    }

    pub(super) fn unavailable(&self, why: &str) -> TokenTaskError {
        TokenTaskError::Unavailable { partition: self.partition.to_string(), why: why.to_owned() }
    }

    fn late(&self) -> TokenTaskError {
        TokenTaskError::Deadline { partition: self.partition.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn every_task_is_answered_once_by_its_end() {
        let now = Instant::now();
        let mut agenda = Agenda::new("p".into());
        let mut heard = Vec::new();
        for seconds in 1..=4 {
            let (reply, hears) = oneshot::channel();
            agenda.add(TokenTask::List, reply, now + SECOND * seconds);
            heard.push(hears);
        }
        assert_eq!(agenda.next(now).unwrap(), (TokenTask::List, SECOND));
        agenda.answer(Ok(TokenTaskDone::Keys(Vec::new())));
        assert_eq!(heard[0].try_recv().unwrap(), Ok(TokenTaskDone::Keys(Vec::new())));
        agenda.expire(now + SECOND * 2);
        assert_eq!(heard[1].try_recv().unwrap(), Err(TokenTaskError::Deadline { partition: "p".into() }));
        assert_eq!(agenda.next(now + SECOND * 2).unwrap().1, SECOND);
        agenda.refuse_all("why");
        for hears in &mut heard[2..] {
            let expected = TokenTaskError::Unavailable { partition: "p".into(), why: "why".into() };
            assert_eq!(hears.try_recv().unwrap(), Err(expected), "the present one and those that wait");
        }
        agenda.give_up_present();
        assert!(agenda.next(now).is_none());
    }

    #[test]
    fn a_task_that_nobody_waits_for_is_not_begun() {
        let now = Instant::now();
        let mut agenda = Agenda::new("p".into());
        let (reply, hears) = oneshot::channel();
        agenda.add(TokenTask::List, reply, now + SECOND);
        drop(hears);
        assert!(agenda.next(now).is_none());
    }

    #[test]
    fn one_that_may_not_be_given_up_is_never_stuck() {
        let now = Instant::now();
        let busy = Busy { chore: Chore::Canary, since: now, allowed: Some(SECOND) };
        assert!(!busy.is_stuck(now + SECOND));
        assert!(busy.is_stuck(now + SECOND * 2));
        assert!(!Busy { allowed: None, ..busy }.is_stuck(now + SECOND * 2_000));
    }
}
