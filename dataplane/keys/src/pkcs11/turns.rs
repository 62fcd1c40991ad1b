//! How many workers of a generation serve at once.
//!
//! A token across a network is served best by all sessions at once: their threads wait. One that computes on the caller's thread, as
//! SoftHSM does, is served best by a few for each core: with more of them the threads only contend for its locks and for time, until
//! calls take longer than half of a deadline though nothing is wrong. The others stand by, each with its session.
//!
//! Always holds: a turn is held by one seat or lies in the channel; who loses it to the supervisor, since its call is overdue, waits for
//! another before its next job.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crossbeam_channel::{Receiver, Sender, unbounded};

/// The turns of a generation.
pub(crate) struct Turns {
    give: Sender<()>,
    take: Receiver<()>,
}

/// A seat's share in them.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    held: AtomicBool,
}

impl Turns {
    /// So many at once.
    pub(crate) fn of(at_once: u32) -> Arc<Self> {
        let (give, take) = unbounded();
        let turns = Arc::new(Self { give, take });
        turns.add(at_once);
        turns
    }

    /// So many more: those who wait for one come to see that there is nothing left to do.
    pub(crate) fn add(&self, more: u32) {
        for _ in 0..more {
            // It can't fail: the other end is here.
            let _ = self.give.send(());
        }
    }
}

impl Turn {
    /// One that is not held yet.
    pub(crate) const fn new(turns: Arc<Turns>) -> Self {
        Self { turns, held: AtomicBool::new(false) }
    }

    /// Waits until it is held.
    pub(crate) fn hold(&self) {
        if !self.held.load(Ordering::Relaxed) && self.turns.take.recv().is_ok() {
            self.held.store(true, Ordering::Release);
        }
    }

    /// Lets another have it, if it is held.
    pub(crate) fn pass_on(&self) {
        if self.held.swap(false, Ordering::AcqRel) {
            self.turns.add(1);
        }
    }
}

/// How many serve best at once a token that computes on the caller's thread.
pub(crate) fn computing_at_once() -> u32 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(u32::MAX).saturating_mul(EACH)
}

/// For each core: while one of them waits, for a lock or for a file, the other one computes.
const EACH: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_passed_on_once() {
        let turns = Turns::of(1);
        let [one, two] = [(); 2].map(|()| Turn::new(Arc::clone(&turns)));
        one.hold();
        // It has it already.
        one.hold();
        assert!(turns.take.is_empty());
        one.pass_on();
        one.pass_on();
        two.pass_on();
        assert_eq!(turns.take.len(), 1);
        two.hold();
        assert!(turns.take.is_empty());
    }
}
