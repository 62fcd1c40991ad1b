//! What one request leaves behind: numbers, a log line, an audit record.
//!
//! Holds: all three are written when the trail drops, so that a request whose client went away, or whose handler panicked, leaves
//! them too. On the way it only borrows: a success that nobody audits copies nothing. Never holds a payload.

mod caller;

use std::{
    net::IpAddr,
    time::{Instant, SystemTime},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use holdfast_wire::{message::RequestMetadata, path::Route, refusal::Refusal};
use tracing::{debug, info};

use crate::{
    audit::{Audit, Record},
    live::Store,
    metrics::Metrics,
};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered with what was asked for.
    Ok,
    /// Answered with a refusal.
    Refused(Refusal),
    /// Not answered: the client was gone, or the handler panicked.
    Aborted,
}

/// Where trails end.
#[derive(Debug)]
pub(crate) struct Ledgers<'r> {
    pub(crate) metrics: &'r Metrics,
    pub(crate) audit: &'r Audit,
    pub(crate) log: &'r RefusalLog,
}

/// The trail of one request.
pub(crate) struct Trail<'r> {
    ledgers: Ledgers<'r>,
    started: Instant,
    peer: IpAddr,
    /// What the path names.
    pub(crate) route: Option<Route<'r>>,
    /// The key store, once found.
    pub(crate) store: Option<&'r Store>,
    /// Whose signature verified.
    pub(crate) access_key: Option<&'r str>,
    /// The whole body: says who asked where the request was refused before it was parsed.
    pub(crate) body: Option<&'r [u8]>,
    /// Who asked.
    pub(crate) caller: Option<RequestMetadata<'r>>,
    /// How it ended.
    pub(crate) outcome: Outcome,
}

/// Keeps refusals from flooding the log.
#[derive(Debug)]
pub(crate) struct RefusalLog {
    bucket: DefaultDirectRateLimiter,
}

impl Outcome {
    /// The word in logs and audit records.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused(_) => "refused",
            Self::Aborted => "aborted",
        }
    }

    const fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Ok | Self::Aborted => None,
        }
    }
}

impl<'r> Trail<'r> {
    /// A trail that begins at `started`.
    pub(crate) const fn begin(ledgers: Ledgers<'r>, started: Instant, peer: IpAddr) -> Self {
        let (route, store, access_key, body, caller) = (None, None, None, None, None);
        Self { ledgers, started, peer, route, store, access_key, body, caller, outcome: Outcome::Aborted }
    }

    /// Who asked, where the body says so at all.
    fn find_caller(&mut self) {
        if self.caller.is_none() {
            self.caller = self.body.and_then(caller::claimed);
        }
    }

    fn log(&self, micros: u64) {
        let caller = self.caller.as_ref();
        let request = caller.map(|caller| shown(&caller.kms_request_id)).filter(|id| !id.is_empty());
        let principal = caller.and_then(|caller| caller.aws_principal_arn.as_deref()).map(shown);
        let store = self.store.map(|store| store.name.as_str());
        let operation = self.route.map(|route| route.operation.as_str());
        let outcome = self.outcome.as_str();
        match self.outcome.refusal() {
            None => debug!(kmsRequestId = request, principal, store, operation, outcome, micros, "request"),
            Some(refusal) => {
                info!(kmsRequestId = request, principal, store, operation, outcome, reason = refusal.label(), micros, "request");
            }
        }
    }

    fn record(&self, micros: u64) -> Record {
        let caller = self.caller.as_ref();
        let refusal = self.outcome.refusal();
        let told = |member: Option<&str>| member.filter(|text| !text.is_empty()).map(|text| shown(text).into());
        let key = self.route.map(|route| route.key).filter(|key| !key.is_empty());
        Record {
            time: SystemTime::now(),
            kms_request_id: told(caller.map(|caller| &*caller.kms_request_id)),
            store: self.store.map(|store| store.name.as_str().into()),
            store_id: self.store.map(|store| store.id.0),
            external_key_id: key.map(Into::into),
            aws_principal_arn: told(caller.and_then(|caller| caller.aws_principal_arn.as_deref())),
            kms_key_arn: told(caller.and_then(|caller| caller.kms_key_arn.as_deref())),
            kms_operation: told(caller.map(|caller| &*caller.kms_operation)),
            aws_source_vpc: told(caller.and_then(|caller| caller.aws_source_vpc.as_deref())),
            aws_source_vpce: told(caller.and_then(|caller| caller.aws_source_vpce.as_deref())),
            kms_via_service: told(caller.and_then(|caller| caller.kms_via_service.as_deref())),
            operation: self.route.map(|route| route.operation.as_str()),
            outcome: self.outcome.as_str(),
            error_name: refusal.map(|refusal| refusal.wire().1.as_str()),
            reason: refusal.map(|refusal| refusal.label()),
            access_key_id: self.access_key.map(Into::into),
            peer: self.peer,
            micros,
        }
    }
}

impl Drop for Trail<'_> {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let store = self.store.map(|store| store.metrics.as_ref());
        self.ledgers.metrics.request(store, self.route.map(|route| route.operation), self.outcome, took);

        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let failed = self.outcome != Outcome::Ok;
        let logged = if failed {
            tracing::enabled!(tracing::Level::INFO) && self.ledgers.log.admits()
        } else {
            tracing::enabled!(tracing::Level::DEBUG)
        };
        let audited = self.ledgers.audit.is_on() && (failed || self.store.is_some_and(|store| store.success_audit));
        if logged || audited {
            self.find_caller();
        }
        if logged {
            self.log(micros);
        }
        if audited {
            self.ledgers.audit.write(self.record(micros));
        }
    }
}

impl Default for RefusalLog {
    fn default() -> Self {
        Self { bucket: RateLimiter::direct(Quota::per_second(REFUSALS_PER_SECOND)) }
    }
}

impl RefusalLog {
    fn admits(&self) -> bool {
        self.bucket.check().is_ok()
    }
}

/// A text of the request, no longer than a log line bears. It may come from somebody who did not authenticate.
fn shown(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_SHOWN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// As long as a principal's ARN may be (XKS, `awsPrincipalArn`).
const LONGEST_SHOWN: usize = 2_048;

/// Refusals in the log. All of them are in the metrics and the audit trail.
const REFUSALS_PER_SECOND: std::num::NonZeroU32 = std::num::NonZeroU32::new(100).unwrap();
