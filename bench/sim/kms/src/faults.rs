//! Faults that tests and people switch on: calls held back, refused or throttled, and what goes wrong on the way to a proxy.
//!
//! Always holds: without faults a call takes one lock, shortly; each hold is met by one call only, and one that nobody keeps any more
//! holds no call for ever.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::sync::watch;

use crate::error::{AwsException, ErrorName};

/// What goes wrong between AWS and a proxy; the default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyFaults {
    /// Added to each call, within what it may take.
    pub latency: Duration,
    /// So many of the next calls are lost on the way, which AWS notices by its timeout.
    pub drop: u32,
    /// Requests are signed with the credential before the last change, as in the minutes after `UpdateCustomKeyStore`.
    pub stale_credential: bool,
    /// Added to the date that requests are signed with, in seconds.
    pub clock_skew: i64,
    /// Requests have members that the specification does not name.
    pub unknown_members: bool,
}

/// Where a call is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Before anything was done.
    Before,
    /// When everything was done, before the answer.
    After,
}

/// The hold on the next call of an operation. When it is dropped, a call that is held ends as by [`Held::abandon`], and one that is yet to
/// come is not held.
///
/// A test that kills the client and means the call not to be done uses [`Held::abandon`]: a call that is released just after its client
/// went may still be done.
#[derive(Debug)]
pub struct Held {
    reached: watch::Receiver<bool>,
    verdict: watch::Sender<Option<Verdict>>,
}

impl Held {
    /// Waits until a call is held; at once if one was, and for ever if the simulator was stopped.
    pub async fn reached(&self) {
        if self.reached.clone().wait_for(|reached| *reached).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Lets the call go on (the next one, if none was held yet).
    pub fn release(self) {
        self.verdict.send_replace(Some(Verdict::GoOn));
    }

    /// Ends the call's connection without an answer; a call that was held before is never done.
    pub fn abandon(self) {
        self.verdict.send_replace(Some(Verdict::Abandon));
    }
}

/// The connection is to be closed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the call was abandoned")]
pub(crate) struct Abandoned;

/// All faults that are switched on, and what was called so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    holds: VecDeque<Hold>,
    refusals: Vec<Refusal>,
    calls: VecDeque<String>,
    proxy: ProxyFaults,
    connects: VecDeque<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    GoOn,
    Abandon,
}

#[derive(Debug)]
struct Hold {
    operation: String,
    when: When,
    reached: watch::Sender<bool>,
    verdict: watch::Receiver<Option<Verdict>>,
}

#[derive(Debug)]
struct Refusal {
    operation: String,
    code: String,
    times: u32,
}

impl Faults {
    /// Notes a call.
    pub(crate) fn note(&self, operation: &str) {
        let calls = &mut self.lock().calls;
        if calls.len() == KEPT_CALLS {
            calls.pop_front();
        }
        calls.push_back(operation.to_owned());
    }

    /// The calls so far, the last 100,000 of them.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.lock().calls.iter().cloned().collect()
    }

    /// Holds the next call of an operation.
    pub(crate) fn hold(&self, operation: &str, when: When) -> Held {
        let (reached_tx, reached) = watch::channel(false);
        let (verdict, verdict_rx) = watch::channel(None);
        self.lock().holds.push_back(Hold { operation: operation.to_owned(), when, reached: reached_tx, verdict: verdict_rx });
        Held { reached, verdict }
    }

    /// Waits while the call is held.
    ///
    /// # Errors
    /// It was abandoned.
    pub(crate) async fn wait(&self, operation: &str, when: When) -> Result<(), Abandoned> {
        let held = {
            let holds = &mut self.lock().holds;
            holds.retain(|hold| hold.verdict.has_changed().is_ok() || hold.verdict.borrow().is_some());
            let found = holds.iter().position(|hold| hold.operation == operation && hold.when == when);
            found.and_then(|at| holds.remove(at))
        };
        let Some(mut hold) = held else { return Ok(()) };
        hold.reached.send_replace(true);
        match hold.verdict.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Verdict::GoOn)) => Ok(()),
            Ok(Some(Verdict::Abandon) | None) | Err(_) => Err(Abandoned),
        }
    }

    /// Refuses the next calls of an operation.
    pub(crate) fn refuse(&self, operation: &str, code: &str, times: u32) {
        self.lock().refusals.push(Refusal { operation: operation.to_owned(), code: code.to_owned(), times });
    }

    /// Throttles the next calls of an operation.
    pub(crate) fn throttle(&self, operation: &str, times: u32) {
        let (_, name) = ErrorName::Throttling.wire();
        self.refuse(operation, name, times);
    }

    /// Refuses and throttles calls of an operation no more.
    pub(crate) fn accept(&self, operation: &str) {
        self.lock().refusals.retain(|refusal| refusal.operation != operation);
    }

    /// The refusal that this call was meant for.
    ///
    /// # Errors
    /// There is one.
    pub(crate) fn meet(&self, operation: &str) -> Result<(), AwsException> {
        let refusals = &mut self.lock().refusals;
        let Some(at) = refusals.iter().position(|refusal| refusal.operation == operation && refusal.times > 0) else { return Ok(()) };
        let refusal = &mut refusals[at];
        refusal.times -= 1;
        let refused = AwsException::injected(&refusal.code);
        if refusal.times == 0 {
            refusals.remove(at);
        }
        Err(refused)
    }

    /// Replaces what goes wrong on the way to a proxy.
    pub(crate) fn set_proxy(&self, faults: ProxyFaults) {
        self.lock().proxy = faults;
    }

    /// What goes wrong for this call to a proxy; one of the calls to be lost is used up.
    pub(crate) fn proxy_call(&self) -> ProxyFaults {
        let mut inner = self.lock();
        let now = inner.proxy.clone();
        inner.proxy.drop = inner.proxy.drop.saturating_sub(1);
        now
    }

    /// Lets the next connect end as FAILED with this `ConnectionErrorCode`.
    pub(crate) fn fail_connect(&self, code: &str) {
        self.lock().connects.push_back(code.to_owned());
    }

    /// The code that this connect is to fail with.
    pub(crate) fn connect_failure(&self) -> Option<String> {
        self.lock().connects.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A laptop's simulator may run for days.
const KEPT_CALLS: usize = 100_000;
