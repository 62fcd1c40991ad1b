//! How a data plane stops (design §4): first it says that it is not ready, then it accepts no more, then it closes what is left.
//!
//! Holds: phases only go forward. Connections look at the phase whenever they run, which costs one atomic load; those that sleep are
//! woken by the list of wakers here, so that no connection has to wait on a lock that all of them share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::Waker,
};

use tokio::sync::Notify;

/// How far the stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// No stop.
    Serving,
    /// Not ready; accepting still.
    Leaving,
    /// Accepting no more; connections end after what is in flight.
    Closing,
    /// Connections end at once.
    Closed,
}

/// The phase, and who must hear of it.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    phase: AtomicU8,
    sleepers: Mutex<HashMap<u64, Waker>>,
    next: AtomicU64,
    /// For the accept loops.
    closing: Notify,
}

/// A connection on the list.
#[derive(Debug)]
pub(crate) struct Listed {
    drain: Arc<Drain>,
    number: u64,
}

impl Drain {
    /// The phase now.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Leaving,
            2 => Phase::Closing,
            3.. => Phase::Closed,
        }
    }

    /// The stop has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.phase() > Phase::Serving
    }

    /// Goes on to `phase`, never back, and wakes everybody.
    pub(crate) fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.closing.notify_waiters();
        // Woken outside the lock: a waker may run anything.
        let sleepers: Vec<Waker> = self.lock().values().cloned().collect();
        sleepers.iter().for_each(Waker::wake_by_ref);
    }

    /// Waits for the end of accepting.
    pub(crate) async fn closing(&self) {
        loop {
            let notified = self.closing.notified();
            if self.phase() >= Phase::Closing {
                return;
            }
            notified.await;
        }
    }

    /// Wakes `waker` at each step until what is returned drops.
    pub(crate) fn list(self: &Arc<Self>, waker: &Waker) -> Listed {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, waker.clone());
        Listed { drain: Arc::clone(self), number }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Waker>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.drain.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_go_forward() {
        let drain = Drain::default();
        for (asked, then) in [
            (Phase::Serving, Phase::Serving),
            (Phase::Closing, Phase::Closing),
            (Phase::Leaving, Phase::Closing),
            (Phase::Closed, Phase::Closed),
            (Phase::Serving, Phase::Closed),
        ] {
            drain.advance(asked);
            assert_eq!(drain.phase(), then);
        }
    }

    #[tokio::test]
    async fn waiting_for_the_end_of_accepting_ends_with_it() {
        let drain = Arc::new(Drain::default());
        let waiting = tokio::spawn({
            let drain = Arc::clone(&drain);
            async move { drain.closing().await }
        });
        drain.advance(Phase::Leaving);
        assert!(!waiting.is_finished());
        drain.advance(Phase::Closing);
        waiting.await.unwrap();
    }
}
