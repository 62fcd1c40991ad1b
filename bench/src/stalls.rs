//! When the machine itself stood still: a thread that ticks, and notes for how long it was not let run.
//!
//! Holds: only the ticks of this process count, so that a server that hangs or is slow can't look like a machine that stalls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, park_timeout, spawn};
use std::time::{Duration, Instant};

/// The thread that ticks; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    stalls: Stalls,
    thread: Option<JoinHandle<()>>,
}

/// The stalls that were noted so far.
#[derive(Clone, Debug)]
pub(crate) struct Stalls(Arc<Mutex<Noted>>);

#[derive(Debug)]
struct Noted {
    /// When a tick was due and when it came, of those that came late; in order.
    stalls: Vec<(Instant, Instant)>,
    last_tick: Instant,
    ended: bool,
}

impl Watch {
    /// Ticks from now on.
    pub(crate) fn start() -> Self {
        let stalls = Stalls::none(Instant::now());
        let noted = stalls.clone();
        let thread = spawn(move || {
            while noted.tick(Instant::now()) {
                park_timeout(TICK);
            }
        });
        Self { stalls, thread: Some(thread) }
    }

    pub(crate) fn stalls(&self) -> Stalls {
        self.stalls.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stalls.lock().ended = true;
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}

impl Stalls {
    fn none(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Noted { stalls: Vec::new(), last_tick: now, ended: false })))
    }

    /// Whether the machine stood still for so much of the time between two moments that what happened then says nothing about others.
    pub(crate) fn disturb(&self, from: Instant, to: Instant) -> bool {
        self.within(from, to) > TOO_LONG
    }

    /// How much of the time between two moments, of which `to` is about now, the machine stood still.
    pub(crate) fn within(&self, from: Instant, to: Instant) -> Duration {
        let noted = self.lock();
        // The stall that is going on, when this thread runs again before the one that ticks.
        let open = late(noted.last_tick, to);
        let recent = noted.stalls.iter().rev().take_while(|(_, end)| *end > from);
        recent.copied().chain(open).map(|(begin, end)| end.min(to).saturating_duration_since(begin.max(from))).sum()
    }

    /// Notes that the thread runs; whether it is to go on.
    fn tick(&self, now: Instant) -> bool {
        let mut noted = self.lock();
        let last = std::mem::replace(&mut noted.last_tick, now);
        noted.stalls.extend(late(last, now));
        !noted.ended
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        // What is noted is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From when the next tick was due until it came, or `now`, if it is late.
fn late(last: Instant, now: Instant) -> Option<(Instant, Instant)> {
    let due = last + TICK;
    (now.saturating_duration_since(due) > TOLERANCE).then_some((due, now))
}

const TICK: Duration = Duration::from_millis(5);
/// More than a free machine ever wakes a thread too late.
const TOLERANCE: Duration = Duration::from_millis(1);
/// As much as an answer may lose to other processes on its way before it says nothing about the server: a fifth of the 200 ms in which
/// a proxy answers.
const TOO_LONG: Duration = Duration::from_millis(40);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_a_tick_is_late_is_summed_where_it_overlaps() {
        let start = Instant::now();
        let stalls = Stalls::none(start);
        for at in [5, 11, 36, 41, 61, 66] {
            assert!(stalls.tick(start + ms(at)));
        }
        let within = |from, to| stalls.within(start + ms(from), start + ms(to));
        assert_eq!(within(0, 11), ms(0), "a millisecond is no stall");
        assert_eq!(within(0, 66), ms(20 + 15));
        assert_eq!(within(26, 66), ms(10 + 15));
        assert_eq!(within(61, 66), ms(0));
    }

    #[test]
    fn a_stall_that_goes_on_counts_already() {
        let start = Instant::now();
        let stalls = Stalls::none(start);
        assert!(!stalls.disturb(start, start + ms(45)));
        assert!(stalls.disturb(start, start + ms(46)));
        assert!(!stalls.disturb(start + ms(10), start + ms(50)), "only what is within");
    }

    #[test]
    fn a_watch_ticks_until_it_is_dropped() {
        let watch = Watch::start();
        let stalls = watch.stalls();
        let first = stalls.lock().last_tick;
        while stalls.lock().last_tick == first {
            std::thread::yield_now();
        }
        drop(watch);
        assert_eq!(Arc::strong_count(&stalls.0), 1, "the thread is gone");
    }
}
