//! Tells when a client has taken too long.
//!
//! Holds: a client that stops in the middle of a head is cut off soon, one that idles between requests late, one that never
//! authenticates after a fixed time whatever it sends, and none of this costs a timer per request.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep};

use super::{Timeouts, watched::Activity};

/// The timer of a connection. Set once and looked at again when it fires, not once per request.
pub(super) struct Timer<'c> {
    activity: &'c Activity,
    /// A request authenticated.
    known: &'c AtomicBool,
    timeouts: Timeouts,
    /// Heads are seen as such; over HTTP/2 bytes may be anything.
    sees_heads: bool,
    sleep: Pin<Box<Sleep>>,
    waits: Waits,
    /// For a stranger, whatever it does.
    last: Instant,
    leaving: bool,
}

/// How a connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// After what is being answered. Told once; the timer goes on.
    AfterThis,
    /// At once.
    AtOnce,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// For nothing yet.
    Unset,
    /// For the end of this head.
    Head { requests: u32 },
    /// For something to be sent, after so many reads.
    Anything { reads: u32 },
}

impl<'c> Timer<'c> {
    /// For a connection that begins now.
    pub(super) fn new(activity: &'c Activity, known: &'c AtomicBool, timeouts: Timeouts) -> Self {
        let last = Instant::now() + timeouts.unknown;
        let sleep = Box::pin(sleep(timeouts.stranger));
        Self { activity, known, timeouts, sees_heads: false, sleep, waits: Waits::Unset, last, leaving: false }
    }

    /// The same, where what is sent outside a request is the head of one.
    pub(super) fn seeing_heads(self) -> Self {
        Self { sees_heads: true, ..self }
    }

    /// Ready when the connection must end.
    pub(super) fn poll_over(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Over> {
        let in_head = self.sees_heads && self.activity.is_in_head();
        match self.waits {
            Waits::Head { requests } if in_head && requests == self.activity.requests() => {
                return if self.sleep.is_elapsed() { Poll::Ready(Over::AtOnce) } else { Poll::Pending };
            }
            Waits::Anything { reads } if !in_head => {
                if !self.sleep.is_elapsed() {
                    return Poll::Pending;
                }
                // Nothing since the timer was set; else it is set anew.
                if reads == self.activity.reads() {
                    return Poll::Ready(Over::AtOnce);
                }
            }
            Waits::Unset | Waits::Head { .. } | Waits::Anything { .. } => {}
        }
        self.set(in_head, cx)
    }

    fn set(mut self: Pin<&mut Self>, in_head: bool, cx: &mut Context<'_>) -> Poll<Over> {
        let now = Instant::now();
        let known = self.known.load(Ordering::Relaxed);
        if !known && now >= self.last {
            if self.leaving {
                return Poll::Ready(Over::AtOnce);
            }
            self.leaving = true;
            // What is being answered takes no longer; a client that does not read it would.
            self.last = now + self.timeouts.header;
            return Poll::Ready(Over::AfterThis);
        }
        let limit = if in_head {
            self.waits = Waits::Head { requests: self.activity.requests() };
            self.timeouts.header
        } else {
            self.waits = Waits::Anything { reads: self.activity.reads() };
            if known { self.timeouts.idle } else { self.timeouts.stranger }
        };
        let until = if known { now + limit } else { self.last.min(now + limit) };
        self.sleep.as_mut().reset(until);
        // It fires by waking the connection, unless it has already.
        if self.sleep.as_mut().poll(cx).is_ready() { self.poll_over(cx) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::time::timeout;

    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        handshake: Duration::from_secs(1),
        header: Duration::from_secs(1),
        stranger: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        unknown: Duration::from_secs(300),
    };

    /// What the timer says to a client that sends something every second, and when.
    async fn busy(timer: &mut Pin<&mut Timer<'_>>, activity: &Activity, seconds: u32) -> Option<Over> {
        for _ in 0..seconds {
            activity.sent();
            activity.begin();
            activity.end();
            if let Ok(over) = timeout(Duration::from_secs(1), poll_fn(|cx| timer.as_mut().poll_over(cx))).await {
                return Some(over);
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_ends_after_five_minutes_whatever_it_sends() {
        for sees_heads in [false, true] {
            let (activity, known) = (Activity::default(), AtomicBool::new(false));
            let timer = Timer { sees_heads, ..Timer::new(&activity, &known, TIMEOUTS) };
            let mut timer = std::pin::pin!(timer);
            let start = Instant::now();
            assert_eq!(busy(&mut timer, &activity, 299).await, None);
            assert_eq!(busy(&mut timer, &activity, 3).await, Some(Over::AfterThis));
            assert_eq!(start.elapsed().as_secs(), 300);
            assert_eq!(busy(&mut timer, &activity, 3).await, Some(Over::AtOnce));
            assert_eq!(start.elapsed().as_secs(), 301);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_authenticated_stays_until_it_idles() {
        let (activity, known) = (Activity::default(), AtomicBool::new(false));
        let mut timer = std::pin::pin!(Timer::new(&activity, &known, TIMEOUTS).seeing_heads());
        assert_eq!(busy(&mut timer, &activity, 290).await, None);
        known.store(true, Ordering::Relaxed);
        assert_eq!(busy(&mut timer, &activity, 1_000).await, None);
        let start = Instant::now();
        assert_eq!(poll_fn(|cx| timer.as_mut().poll_over(cx)).await, Over::AtOnce);
        assert!(start.elapsed() >= TIMEOUTS.idle - Duration::from_secs(1), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_that_idles_ends_sooner() {
        let (activity, known) = (Activity::default(), AtomicBool::new(false));
        let mut timer = std::pin::pin!(Timer::new(&activity, &known, TIMEOUTS));
        let start = Instant::now();
        assert_eq!(poll_fn(|cx| timer.as_mut().poll_over(cx)).await, Over::AtOnce);
        assert_eq!(start.elapsed().as_secs(), 10);
    }
}
