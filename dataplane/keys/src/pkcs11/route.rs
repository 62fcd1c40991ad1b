//! One request's way through a group: which member, when another one, and what is told at the end (design §5).
//!
//! Holds: a request's work is begun on two members at most, at most twice in all; the first good answer wins, whichever member it is
//! from; a fault ends the request only when nobody else may still answer. What nobody waits for any more and no session has begun
//! never runs.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, time::timeout_at};

use super::{
    clocks,
    job::{Answer, Done, Fault, Outcome, Ticket, Work},
    key::{GroupKey, NotPosted, Posting, Task, now},
    reference::Reference,
    traffic::Again,
};
use crate::KeyFault;

/// A request under way.
pub(super) struct Race<'k> {
    key: &'k GroupKey,
    reference: Option<Arc<Reference>>,
    /// One for all attempts.
    work: Arc<Work>,
    attempts: [Option<Attempt>; 2],
    /// Members that need not be asked again.
    tried: Vec<usize>,
    /// The gravest of what members failed with.
    failed: Option<KeyFault>,
    /// A member has begun the work and failed or is slow, and another one was asked: that was the second time, there is no third.
    again: bool,
    /// How often members that failed may have done the work.
    wasted: u32,
    deadline: Instant,
}

/// What was done, and by whom.
pub(super) struct Won {
    pub(super) done: Done,
    pub(super) at: usize,
    pub(super) generation: u64,
    /// How often others may have done it, too.
    pub(super) wasted: u32,
}

/// The work on one member. Dropped, it is taken back if no session has begun.
pub(super) struct Attempt {
    pub(super) posted: Posting,
    ticket: Arc<Ticket>,
    answer: oneshot::Receiver<Outcome>,
}

/// What an outcome means for the request.
enum Verdict {
    Won(Won),
    /// No other member would say otherwise.
    Lost(KeyFault),
    /// Others may do better.
    Failed(KeyFault, Retry),
}

/// Where a request may go after a fault.
#[derive(Clone, Copy)]
enum Retry {
    /// Time is over.
    No,
    /// The work was not begun: to any member that was not asked yet, as often as there are such.
    Passed,
    /// The work was begun: once more, elsewhere or, where nobody else serves, at the same place.
    Once,
}

impl<'k> Race<'k> {
    pub(super) fn new(key: &'k GroupKey, reference: Option<Arc<Reference>>, work: Work) -> Self {
        Self {
            key,
            reference,
            work: Arc::new(work),
            attempts: [None, None],
            tried: Vec::new(),
            failed: None,
            again: false,
            wasted: 0,
            deadline: now(),
        }
    }

    /// Runs to its end. Half of the time is for the first member.
    pub(super) async fn run(mut self, deadline: Instant) -> Result<Won, KeyFault> {
        self.deadline = deadline;
        let begun = now();
        if begun >= deadline {
            return Err(KeyFault::NotStarted);
        }
        let half = begun + deadline.saturating_duration_since(begun) / 2;
        let mut until = half;
        self.attempts = [Some(self.begin(half).await?), None];
        loop {
            match timeout_at(until.into(), answered(&mut self.attempts)).await {
                Ok((attempt, outcome)) => match self.judge(&attempt, outcome) {
                    Verdict::Won(won) => return Ok(won),
                    Verdict::Lost(fault) => return Err(fault),
                    Verdict::Failed(fault, retry) => self.go_on(attempt.posted.at, fault, retry).await?,
                },
                Err(_) if until < deadline => {
                    until = deadline;
                    self.half_time();
                }
                Err(_) => return Err(self.over()),
            }
        }
    }

    /// Asks the best member there is. Where whoever could serve is suspect, a canary is under way that clears such a member within
    /// [`VERDICT`], or doesn't: the request waits for that, since on a busy machine healthy calls may be late too.
    async fn begin(&self, until: Instant) -> Result<Attempt, KeyFault> {
        match self.submit() {
            Err(KeyFault::Late) => self.begin_after_verdict(until).await,
            begun => begun,
        }
    }

    async fn begin_after_verdict(&self, until: Instant) -> Result<Attempt, KeyFault> {
        loop {
            let mut verdicts: Vec<_> = self.key.holders.iter().map(|holder| Box::pin(holder.front.verdict())).collect();
            // Listening before asking, so that none is missed.
            verdicts.iter_mut().for_each(|verdict| _ = verdict.as_mut().enable());
            let fault = match self.submit() {
                Ok(attempt) => return Ok(attempt),
                Err(fault) => fault,
            };
            if fault != KeyFault::Late || now() >= until {
                return Err(fault);
            }
            let untried = self.key.holders.iter().enumerate().filter(|(at, _)| !self.tried.contains(at));
            // None is suspect any more: the verdict came just now.
            let Some(latest) = untried.filter_map(|(_, holder)| holder.front.suspected()).max() else { continue };
            let due = (latest + VERDICT).min(until);
            if now() >= due {
                return Err(fault);
            }
            let ended = std::future::poll_fn(|context| {
                let ended = verdicts.iter_mut().any(|verdict| verdict.as_mut().poll(context).is_ready());
                if ended { Poll::Ready(()) } else { Poll::Pending }
            });
            // Either way it is asked again.
            _ = timeout_at(due.into(), ended).await;
        }
    }

    /// After a fault: asks another member where it may. Err: nobody is left that could answer.
    async fn go_on(&mut self, at: usize, fault: KeyFault, retry: Retry) -> Result<(), KeyFault> {
        self.fail(fault);
        self.wasted += match (retry, fault) {
            (Retry::No | Retry::Passed, _) => 0,
            (Retry::Once, KeyFault::SelfCheck) => SELF_CHECKS,
            (Retry::Once, _) => 1,
        };
        self.tried.push(at);
        let next = match retry {
            Retry::No => None,
            Retry::Passed => self.submit().map_err(|fault| self.fail(fault)).ok(),
            Retry::Once if self.again => None,
            Retry::Once => {
                self.again = true;
                self.key.group.count(Again::Fault);
                // Nothing is under way: it was the only attempt, or a second one would have been counted.
                let elsewhere = self.begin(self.deadline).await.map_err(|fault| self.fail(fault));
                elsewhere.or_else(|()| self.post(at).map_err(|_| ())).ok()
            }
        };
        if let Some(attempt) = next {
            let free = self.attempts.iter_mut().find(|slot| slot.is_none());
            free.map(|slot| *slot = Some(attempt)).unwrap_or_default();
        }
        let waits = self.attempts.iter().any(Option::is_some);
        if waits { Ok(()) } else { Err(self.failed.unwrap_or(KeyFault::Token)) }
    }

    /// Half of the time is over: whoever has not answered gets a second beside it, if nobody had one yet.
    fn half_time(&mut self) {
        let [Some(first), None] = &self.attempts else { return };
        let (at, started) = (first.posted.at, first.ticket.is_started());
        self.report_overdue(first);
        if self.again {
            return;
        }
        self.tried.push(at);
        // Where nobody else takes it, a place in this queue is still better than none.
        if let Ok(second) = self.submit() {
            self.key.group.count(if started { Again::Slow } else { Again::Waiting });
            // Not begun here in time: it is taken back and runs there. Should it fail there, here is as good as any other place.
            match self.attempts[0].take_if(|first| first.ticket.give_up()) {
                Some(_) => self.tried.retain(|tried| *tried != at),
                None => self.again = true,
            }
            self.attempts[1] = Some(second);
        }
    }

    /// The time is over.
    fn over(&mut self) -> KeyFault {
        let mut begun = false;
        for attempt in self.attempts.iter().flatten() {
            if !attempt.ticket.give_up() {
                begun = true;
                self.report_overdue(attempt);
            }
        }
        if begun { KeyFault::Late } else { KeyFault::NotStarted }
    }

    /// A session that has had the work for long makes its partition suspect. One that has only just taken it does not: then it is the
    /// queue that is long.
    fn report_overdue(&self, attempt: &Attempt) {
        if attempt.ticket.running().is_some_and(|running| running >= OVERDUE)
            && let Some(holder) = self.key.holders.get(attempt.posted.at)
        {
            holder.front.overdue();
        }
    }

    fn judge(&self, attempt: &Attempt, outcome: Outcome) -> Verdict {
        let posted = &attempt.posted;
        self.key.learn(posted, &outcome);
        match outcome {
            Ok(done) if self.key.is_sound(posted) => {
                let beside = self.attempts.iter().flatten().filter(|attempt| !attempt.ticket.give_up()).count();
                let wasted = self.wasted.saturating_add(u32::try_from(beside).unwrap_or(u32::MAX));
                Verdict::Won(Won { done, at: posted.at, generation: posted.generation, wasted })
            }
            Ok(_) => Verdict::Failed(KeyFault::Token, Retry::Once),
            // By a key that was not proved since the member was connected anew.
            Err(Fault::Input) if !self.key.is_sound(posted) => Verdict::Failed(KeyFault::Token, Retry::Once),
            Err(Fault::Input) if self.may_be_wrong_key(posted.at) => Verdict::Lost(KeyFault::Token),
            Err(Fault::Input) => Verdict::Lost(KeyFault::Input),
            Err(Fault::Usage) => Verdict::Failed(KeyFault::Key, Retry::Passed),
            Err(Fault::Missing(_) | Fault::NotProved) => Verdict::Failed(KeyFault::Missing, Retry::Passed),
            Err(Fault::SelfCheck) => Verdict::Failed(KeyFault::SelfCheck, Retry::Once),
            Err(Fault::Session | Fault::Token(_)) => Verdict::Failed(KeyFault::Token, Retry::Once),
            Err(Fault::Expired) => Verdict::Failed(KeyFault::NotStarted, Retry::No),
        }
    }

    /// Nothing tells whether this member's key is the one that encrypted: where a ciphertext does not verify, that may be why.
    fn may_be_wrong_key(&self, at: usize) -> bool {
        at > 0 && self.reference.as_ref().is_some_and(|reference| reference.is_unprovable())
    }

    fn fail(&mut self, fault: KeyFault) {
        self.failed = self.failed.into_iter().chain([fault]).max_by_key(|fault| gravity(*fault));
    }

    /// Asks the best member that was not asked yet, or the next best where its queue is full.
    fn submit(&self) -> Result<Attempt, KeyFault> {
        let mut refused = Vec::new();
        let mut full = false;
        loop {
            let Some(at) = self.best(&refused) else {
                let fault = if full { KeyFault::Full } else { self.key.nobody(self.reference.as_ref(), &self.tried) };
                // One may have come up since it was looked at: then that is no answer.
                if self.best(&refused).is_none() {
                    return Err(fault);
                }
                continue;
            };
            match self.post(at) {
                Ok(attempt) => return Ok(attempt),
                Err(NotPosted::Full) => full = true,
                Err(NotPosted::NotServing) => {}
            }
            refused.push(at);
        }
    }

    /// Among those that serve, the one with the least to do; each in turn where they have the same. Of a key that can't be proved the
    /// first of those that serve, and no other.
    fn best(&self, refused: &[usize]) -> Option<usize> {
        let members = self.key.holders.len();
        let serves = |at: &usize| self.key.may_serve(*at, self.reference.as_ref());
        let open = |at: &usize| !self.tried.contains(at) && !refused.contains(at);
        let is_unprovable = self.reference.as_ref().is_some_and(|reference| reference.is_unprovable());
        if is_unprovable || members == 1 {
            return (0..members).find(serves).filter(open);
        }
        let (start, now) = (self.key.group.turn(), now());
        let turns = (0..members).map(|turn| (start.wrapping_add(turn)) % members).filter(|at| open(at) && serves(at));
        turns.min_by_key(|at| self.key.holders.get(*at).map(|holder| (holder.is_lacking(now), holder.front.load())))
    }

    fn post(&self, at: usize) -> Result<Attempt, NotPosted> {
        let posting = self.key.posting(at, self.reference.as_ref()).ok_or(NotPosted::NotServing)?;
        Attempt::post(self.key, posting, Arc::clone(&self.work), self.deadline)
    }
}

impl Attempt {
    /// Gives a member work that is waited for until a deadline.
    pub(super) fn post(key: &GroupKey, posted: Posting, work: Arc<Work>, deadline: Instant) -> Result<Self, NotPosted> {
        let ticket = Ticket::new(deadline);
        let (answer, outcome) = oneshot::channel();
        let answer = Answer::new(move |outcome| {
            // Nobody waits any more: the other member was first, or the deadline.
            let _ = answer.send(outcome);
        });
        key.post(&posted, Task { work, ticket: Arc::clone(&ticket), answer })?;
        Ok(Self { posted, ticket, answer: outcome })
    }

    /// The outcome, if it comes before `until`. Err: it did not; whether a session has begun.
    pub(super) async fn outcome(&mut self, until: Instant) -> Result<Outcome, bool> {
        match timeout_at(until.into(), &mut self.answer).await {
            Ok(outcome) => Ok(outcome.unwrap_or_else(|_| Err(dropped()))),
            Err(_) => Err(!self.ticket.give_up()),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.ticket.give_up();
    }
}

/// The next attempt that comes back; it is taken out.
async fn answered(attempts: &mut [Option<Attempt>; 2]) -> (Attempt, Outcome) {
    std::future::poll_fn(|context| {
        for slot in attempts.iter_mut() {
            let ready = slot.as_mut().map_or(Poll::Pending, |attempt| Pin::new(&mut attempt.answer).poll(context));
            if let Poll::Ready(outcome) = ready
                && let Some(attempt) = slot.take()
            {
                return Poll::Ready((attempt, outcome.unwrap_or_else(|_| Err(dropped()))));
            }
        }
        Poll::Pending
    })
    .await
}

fn dropped() -> Fault {
    Fault::Token("the job was dropped".into())
}

/// Of several faults, the one with more of this is told: that of a member that had the key and the work before that of one that had not.
pub(super) const fn gravity(fault: KeyFault) -> u8 {
    match fault {
        KeyFault::Missing => 0,
        KeyFault::Key => 1,
        KeyFault::NotStarted => 2,
        KeyFault::Full => 3,
        KeyFault::Token => 4,
        KeyFault::Late => 5,
        KeyFault::SelfCheck => 6,
        KeyFault::Input => 7,
    }
}

/// How often a member tries before it tells [`Fault::SelfCheck`].
const SELF_CHECKS: u32 = 2;

/// A call of a session that lasts this long is overdue: nearly half of the 200 ms that a request has (design §5), so that one which
/// was begun at once is found at half-time.
const OVERDUE: Duration = Duration::from_millis(80);

/// What a canary that clears a partition takes at most.
const VERDICT: Duration = clocks::OVERDUE;

#[cfg(test)]
mod tests;
