//! Which request is due when.
//!
//! In an open loop one blocking thread (the pacer) releases slots at their time and any free worker takes the
//! next one. Holds: a slot's due time depends on its number alone, never on an answer.
//! Tokio's own timer would be a millisecond late; the pacer's sleep is not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::plan::{End, LoadPlan, Pace};

/// The slots of one run.
#[derive(Debug)]
pub(crate) struct Schedule {
    pace: Pace,
    end: End,
    warmup: Duration,
    start: Instant,
    taken: AtomicU64,
    released: AtomicU64,
    permits: Semaphore,
    stop: CancellationToken,
}

/// One request to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) number: u64,
    pub(crate) due: Instant,
    /// Whether its latency counts, which it does not during warm-up.
    pub(crate) counts: bool,
}

impl Schedule {
    /// A schedule that starts now.
    pub(crate) fn start(plan: &LoadPlan, stop: CancellationToken) -> Self {
        Self {
            pace: plan.pace,
            end: plan.end,
            warmup: plan.warmup,
            start: Instant::now(),
            taken: AtomicU64::new(0),
            released: AtomicU64::new(0),
            permits: Semaphore::new(0),
            stop,
        }
    }

    /// The next slot, when it may be sent; `None` when the run is over.
    pub(crate) async fn next(&self) -> Option<Slot> {
        let due = match self.pace {
            Pace::Open { rate } => {
                self.permits.acquire().await.ok()?.forget();
                let number = self.taken.fetch_add(1, Ordering::Relaxed);
                return Some(self.slot(number, self.due(number, rate.get())));
            }
            Pace::Closed => Instant::now(),
            Pace::Think { pause } => {
                tokio::time::sleep(pause).await;
                Instant::now()
            }
        };
        if self.stop.is_cancelled() || self.over_at(due) {
            return None;
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        (number < self.last()).then(|| self.slot(number, due))
    }

    /// Releases slots until the end; blocks its thread, and ends soon after `stop`.
    pub(crate) fn pace(&self) {
        let Pace::Open { rate } = self.pace else {
            return;
        };
        let mut number = 0;
        while number < self.last() && !self.stop.is_cancelled() {
            let due = self.due(number, rate.get());
            if self.over_at(due) {
                break;
            }
            let early = due.saturating_duration_since(Instant::now());
            if early > LEAD {
                sleep((early - LEAD).min(LONGEST_SLEEP));
                continue;
            }
            number += 1;
            self.released.store(number, Ordering::Relaxed);
            self.permits.add_permits(1);
        }
        self.wait_for_the_backlog();
        self.permits.close();
    }

    /// The due times of slots that were released and never sent, since the server could not keep up.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = Slot> {
        let Pace::Open { rate } = self.pace else {
            return Vec::new().into_iter();
        };
        let numbers = self.taken.load(Ordering::Relaxed)..self.released.load(Ordering::Relaxed);
        let slots = numbers.map(|n| self.slot(n, self.due(n, rate.get())));
        slots.collect::<Vec<_>>().into_iter()
    }

    /// When the part that counts began.
    pub(crate) fn counted_from(&self) -> Instant {
        self.start + self.warmup
    }

    /// Gives workers a moment to take what was released last, without letting a stalled server hold the run.
    fn wait_for_the_backlog(&self) {
        let until = Instant::now() + GRACE;
        let released = self.released.load(Ordering::Relaxed);
        // The count of permits would not do: one that is on its way to a worker is lost by closing.
        while self.taken.load(Ordering::Relaxed) < released && Instant::now() < until {
            sleep(Duration::from_millis(1));
        }
    }

    fn slot(&self, number: u64, due: Instant) -> Slot {
        let counts = due >= self.counted_from();
        Slot { number, due, counts }
    }

    fn due(&self, number: u64, rate: u32) -> Instant {
        let rate = u64::from(rate);
        let nanos = (number % rate).saturating_mul(1_000_000_000) / rate;
        self.start + Duration::from_secs(number / rate) + Duration::from_nanos(nanos)
    }

    fn over_at(&self, due: Instant) -> bool {
        match self.end {
            End::After(length) => due >= self.start + self.warmup + length,
            End::Requests(_) | End::Stopped => false,
        }
    }

    const fn last(&self) -> u64 {
        match self.end {
            End::Requests(count) => count,
            End::After(_) | End::Stopped => u64::MAX,
        }
    }
}

/// How early a slot may be released: Linux sleeps up to 50 µs longer than asked (its timer slack). A request
/// sent early counts from when it was sent.
const LEAD: Duration = Duration::from_micros(60);
/// How soon the pacer sees a stop.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);
/// How long the last slots may wait for a free connection before they count as unsent.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn open(rate: u32, end: End) -> Schedule {
        let mut plan = LoadPlan::new(Vec::new());
        plan.pace = Pace::Open { rate: NonZeroU32::new(rate).unwrap() };
        plan.end = end;
        plan.warmup = Duration::from_millis(10);
        Schedule::start(&plan, CancellationToken::new())
    }

    #[test]
    fn slots_are_due_at_even_distances_for_ever() {
        let schedule = open(3_000, End::Stopped);
        let at = |n| schedule.due(n, 3_000).duration_since(schedule.start);
        assert_eq!(at(0), Duration::ZERO);
        assert_eq!(at(1), Duration::from_nanos(333_333));
        assert_eq!(at(3_000_000_000_000), Duration::from_secs(1_000_000_000));
    }

    #[tokio::test]
    async fn a_slot_taken_late_keeps_its_due_time() {
        let schedule = open(1_000, End::Requests(40));
        schedule.pace();
        // The pacer has given up: nobody took a slot while it ran.
        assert!(schedule.next().await.is_none());
        let due: Vec<_> = schedule.unsent().collect();
        assert_eq!(due.len(), 40);
        for slot in due {
            assert_eq!(slot.due, schedule.due(slot.number, 1_000));
            assert_eq!(slot.counts, slot.number >= 10, "warm-up is 10 ms");
        }
    }

    #[tokio::test]
    async fn a_thinking_connection_pauses_before_each_request() {
        let mut plan = LoadPlan::new(Vec::new());
        plan.pace = Pace::Think { pause: Duration::from_millis(20) };
        plan.end = End::Requests(2);
        let schedule = Schedule::start(&plan, CancellationToken::new());
        assert!(schedule.next().await.is_some() && schedule.next().await.is_some());
        assert!(schedule.start.elapsed() >= Duration::from_millis(40));
        assert!(schedule.next().await.is_none());
    }

    #[tokio::test]
    async fn a_stopped_schedule_gives_no_more_slots() {
        let plan = LoadPlan::new(Vec::new());
        let schedule = Schedule::start(&plan, plan.stop.clone());
        assert_eq!(schedule.next().await.unwrap().number, 0);
        plan.stop.cancel();
        assert!(schedule.next().await.is_none());
    }
}
