//! How well each member of a group serves a key: real encryptions and decryptions under it, kept for a while.
//!
//! Holds: what is told is at most a minute old (XKS proxy API specification, GetHealthStatus) and of the member's present generation.
//! The first answer runs its checks under its own deadline; from then on, as long as answers are asked for, the `keeper` refreshes
//! them beside the requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use tokio::{sync::oneshot, time::timeout_at};

use super::{
    job::{Answer, Fault, Outcome, Ticket, Work},
    key::{GroupKey, Posting, Task, now},
    reference::Reference,
    status::Condition,
};

/// A member of a group, as health answers tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberHealth {
    /// The partition's id: the configured one, else UUIDv5 of manufacturer and serial number; its name while neither is known.
    pub id: String,
    /// Model, firmware and serial number.
    pub model: String,
    /// How it is.
    pub state: HealthState,
}

/// XKS proxy API specification, GetHealthStatus, `healthStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// Up, with the sessions that it was asked for, and its last check, not older than a minute, was fine.
    Active,
    /// Suspect; or up, but with fewer sessions, or excluded for this key.
    Degraded,
    /// The rest.
    Unavailable,
}

/// The checks of one key on every member.
pub(super) struct Checks {
    last: Box<[ArcSwapOption<Checked>]>,
    born: Instant,
    /// Milliseconds from `born`.
    asked: AtomicU64,
    run: AtomicU64,
    watched: AtomicBool,
}

/// The most sessions that a member had: where their number is not configured, fewer than that are too few.
#[derive(Default)]
pub(crate) struct MostSessions(AtomicU32);

struct Checked {
    at: Instant,
    generation: u64,
    fine: bool,
}

impl GroupKey {
    /// How each member of the group serves the key, in the order of the configuration; at most a minute old.
    pub async fn health(&self, deadline: Instant) -> Vec<MemberHealth> {
        self.checks.ask(now());
        if !self.checks.watched.swap(true, Ordering::AcqRel) {
            self.group.watch(self.weak());
        }
        let members = 0..self.holders.len();
        let due: Vec<usize> = members.clone().filter(|at| self.may_serve(*at, None) && self.checked(*at).is_none()).collect();
        if !due.is_empty()
            && let Ok(reference) = self.reference(deadline).await
        {
            // All of them before the first is waited for.
            let waits: Vec<_> = due.into_iter().filter_map(|at| self.check(at, reference.as_ref(), deadline)).collect();
            for wait in waits {
                // One that does not come back in time leaves its member unchecked.
                let _ = timeout_at(deadline.into(), wait).await;
            }
        }
        members.filter_map(|at| self.member_health(at)).collect()
    }

    /// Checks the key on every member that is up, without waiting.
    pub(super) fn refresh(&self) {
        self.checks.ran(now());
        let reference = self.reference.load_full();
        if self.is_alone() || reference.is_some() {
            for at in 0..self.holders.len() {
                self.check(at, reference.as_ref(), now() + CHECK_WITHIN);
            }
        }
    }

    /// Its checks were not refreshed for long.
    pub(super) fn is_due(&self) -> bool {
        self.checks.is_due(now())
    }

    /// Somebody has asked for its health lately. If not, whoever asks next has it watched again.
    pub(super) fn is_wanted(&self) -> bool {
        let wanted = self.checks.is_wanted(now());
        self.checks.watched.fetch_and(wanted, Ordering::AcqRel);
        wanted
    }

    fn check(&self, at: usize, reference: Option<&Arc<Reference>>, deadline: Instant) -> Option<oneshot::Receiver<()>> {
        let (done, wait) = oneshot::channel();
        let posting = self.posting(at, reference)?;
        let (key, posted) = (self.weak(), posting.clone());
        let answer = Answer::new(move |outcome| {
            if let Some(key) = key.upgrade() {
                key.learn(&posted, &outcome);
                key.checks.keep(&posted, &outcome);
            }
            // Where nobody waits, the cache has it.
            let _ = done.send(());
        });
        let task = Task { work: Arc::new(Work::Check), ticket: Ticket::new(deadline), answer };
        self.post(&posting, task).ok().map(|_| wait)
    }

    fn member_health(&self, at: usize) -> Option<MemberHealth> {
        let (holder, member) = (self.holders.get(at)?, self.group.members().get(at)?);
        let facts = holder.front.facts();
        let id = facts.as_ref().map(|facts| facts.id).or(member.id);
        let state = match *holder.front.condition() {
            Condition::Up if self.is_excluded(at) => HealthState::Degraded,
            Condition::Up => match self.checked(at) {
                Some(true) if member.is_short_of_sessions() => HealthState::Degraded,
                Some(true) => HealthState::Active,
                Some(false) | None => HealthState::Unavailable,
            },
            Condition::Suspect => HealthState::Degraded,
            Condition::Starting | Condition::Down(_) | Condition::PinRefused(_) | Condition::Exhausted => HealthState::Unavailable,
        };
        Some(MemberHealth {
            id: id.map_or_else(|| holder.front.name.to_string(), |id| id.to_string()),
            model: facts.map_or_else(String::new, |facts| format!("{} {} {}", facts.model, facts.firmware, facts.serial)),
            state,
        })
    }

    /// The outcome of the last check that still counts.
    fn checked(&self, at: usize) -> Option<bool> {
        let generation = self.holders.get(at).map(|holder| holder.front.generation())?;
        let last = self.checks.last.get(at)?.load();
        let age = |last: &Checked| now().saturating_duration_since(last.at);
        let counts = |last: &&Checked| last.generation == generation && age(last) < if last.fine { FINE_FOR } else { FAILED_FOR };
        last.as_deref().filter(counts).map(|last| last.fine)
    }
}

impl Checks {
    pub(super) fn new(members: usize, born: Instant) -> Self {
        let last = (0..members).map(|_| ArcSwapOption::empty()).collect();
        Self { last, born, asked: AtomicU64::new(0), run: AtomicU64::new(0), watched: AtomicBool::new(false) }
    }

    fn keep(&self, posted: &Posting, outcome: &Outcome) {
        let fine = match outcome {
            Ok(_) => true,
            Err(Fault::Input | Fault::Usage | Fault::Missing(_) | Fault::NotProved) => false,
            Err(Fault::SelfCheck | Fault::Session | Fault::Token(_)) => false,
            // Nobody came to it: that tells nothing of the key, and what was known grows old.
            Err(Fault::Expired) => return,
        };
        if let Some(last) = self.last.get(posted.at) {
            last.store(Some(Arc::new(Checked { at: now(), generation: posted.generation, fine })));
        }
    }

    fn ask(&self, now: Instant) {
        self.asked.store(self.age(now), Ordering::Relaxed);
    }

    fn ran(&self, now: Instant) {
        self.run.store(self.age(now), Ordering::Relaxed);
    }

    fn is_wanted(&self, now: Instant) -> bool {
        self.age(now).saturating_sub(self.asked.load(Ordering::Relaxed)) < millis(WATCHED_FOR)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.age(now).saturating_sub(self.run.load(Ordering::Relaxed)) >= millis(REFRESH_EACH)
    }

    fn age(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.born))
    }
}

impl MostSessions {
    /// Fewer than there were, or than `asked`.
    pub(crate) fn are_more_than(&self, sessions: u32, asked: Option<u32>) -> bool {
        sessions < asked.unwrap_or_else(|| self.0.fetch_max(sessions, Ordering::Relaxed))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How old a good check may be (XKS proxy API specification, GetHealthStatus: one minute).
const FINE_FOR: Duration = Duration::from_secs(60);

/// For how long a failed check is told before the next one is run by whoever asks.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// How often checks are refreshed.
pub(super) const REFRESH_EACH: Duration = Duration::from_secs(20);

/// For how long after somebody asked.
const WATCHED_FOR: Duration = Duration::from_secs(300);

/// How long a refreshing check may wait in a queue.
const CHECK_WITHIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
