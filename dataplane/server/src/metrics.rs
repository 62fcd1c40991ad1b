//! What operators can see in numbers.
//!
//! Owns the names and labels of the data plane's metrics and the handles that the request path touches.
//! Holds: labels are closed sets: operations, outcomes, refusal kinds, and the first 1,000 key stores by name, `other` after them;
//! never a key, a principal or a path. A request that succeeds touches three handles that were registered before it came.

mod clock;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_keys::pkcs11::Groups;
use holdfast_wire::path::Operation;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

pub use self::clock::ClockOffsets;
use crate::{sync::gauges::PROPAGATION, trail::Outcome};

/// The process's metrics as Prometheus reads them.
#[derive(Clone, Debug)]
pub struct Exporter(PrometheusHandle);

/// Another recorder was installed in this process before ours.
#[derive(Debug, thiserror::Error)]
#[error("the metrics recorder was not installed")]
pub struct InstallError(#[source] BuildError);

/// The handles of one data plane.
#[derive(Debug)]
pub struct Metrics {
    latency: PerOperation<Histogram>,
    with_certificate: Counter,
    without_certificate: Counter,
    handshake_timeouts: Counter,
    handshake_errors: Counter,
    peer_refusals: Counter,
    connections: Gauge,
    audit_dropped: Counter,
    clock_offset: Gauge,
    clock: ClockOffsets,
    /// For requests that named no key store of ours.
    nowhere: StoreMetrics,
    /// Key stores that have a label of their own.
    labels: Mutex<HashSet<Arc<str>>>,
}

/// The handles of one key store. Kept from snapshot to snapshot.
#[derive(Debug)]
pub struct StoreMetrics {
    name: Arc<str>,
    label: Arc<str>,
    succeeded: PerOperation<Counter>,
}

/// How a TLS handshake went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// Done, with a client certificate.
    WithCertificate,
    /// Done, without.
    WithoutCertificate,
    /// Not done in time.
    TimedOut,
    /// Ended by either side.
    Failed,
}

/// Installs the process's one metrics recorder, or finds the one that this function installed before: the recorder is the only
/// global of the data plane, and the control plane in the same process writes to it too.
///
/// # Errors
/// [`InstallError`] where some other code installed a recorder.
pub fn install() -> Result<Exporter, InstallError> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(exporter) = installed.as_ref() {
        return Ok(exporter.clone());
    }
    let builder = PrometheusBuilder::new().set_buckets(&LATENCY_BUCKETS).map_err(InstallError)?;
    let builder = builder.set_buckets_for_metric(Matcher::Full(PROPAGATION.into()), &PROPAGATION_BUCKETS).map_err(InstallError)?;
    let exporter = Exporter(builder.install_recorder().map_err(InstallError)?);
    describe();
    *installed = Some(exporter.clone());
    Ok(exporter)
}

impl Exporter {
    /// The text that Prometheus scrapes.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

impl Metrics {
    /// Registers the handles with the installed recorder; without one they do nothing.
    #[must_use]
    pub fn register() -> Self {
        Self {
            latency: PerOperation::of(|operation| histogram!(LATENCY, "operation" => operation)),
            with_certificate: counter!(HANDSHAKES, "client_certificate" => "present"),
            without_certificate: counter!(HANDSHAKES, "client_certificate" => "absent"),
            handshake_timeouts: counter!(HANDSHAKE_FAILURES, "reason" => "timeout"),
            handshake_errors: counter!(HANDSHAKE_FAILURES, "reason" => "error"),
            peer_refusals: counter!(PEER_REFUSALS),
            connections: gauge!(CONNECTIONS),
            audit_dropped: counter!(AUDIT_DROPPED),
            clock_offset: gauge!(CLOCK_OFFSET),
            clock: ClockOffsets::default(),
            nowhere: StoreMetrics::new("".into(), "none".into()),
            labels: Mutex::default(),
        }
    }

    /// The handles of the key store called `name`: those of `old` unless it was called otherwise.
    #[must_use]
    pub fn store(&self, old: Option<&Arc<StoreMetrics>>, name: &str) -> Arc<StoreMetrics> {
        if let Some(same) = old.filter(|old| &*old.name == name) {
            return Arc::clone(same);
        }
        let name: Arc<str> = name.into();
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        let own = labels.contains(&name) || labels.len() < MAX_STORE_LABELS;
        let label = if own {
            labels.insert(Arc::clone(&name));
            Arc::clone(&name)
        } else {
            "other".into()
        };
        Arc::new(StoreMetrics::new(name, label))
    }

    /// How far our clock is from that of authenticated requests.
    #[must_use]
    pub const fn clock(&self) -> &ClockOffsets {
        &self.clock
    }

    /// One authenticated request, our clock less its date, in whole seconds.
    pub(crate) fn clock_offset(&self, seconds: i64) {
        self.clock.record(seconds);
    }

    /// One request, however it ended.
    pub(crate) fn request(&self, store: Option<&StoreMetrics>, operation: Option<Operation>, outcome: Outcome, took: Duration) {
        if let Outcome::Refused(refusal) = outcome {
            counter!(REFUSALS, "kind" => refusal.label()).increment(1);
        }
        // A path that isn't one of this API is no request to any key store.
        let Some(operation) = operation else { return };
        self.latency.at(operation).record(took.as_secs_f64());
        let store = store.unwrap_or(&self.nowhere);
        match outcome {
            Outcome::Ok => store.succeeded.at(operation).increment(1),
            Outcome::Refused(refusal) => store.ended(operation, refusal.wire().1.as_str()).increment(1),
            Outcome::Aborted => store.ended(operation, outcome.as_str()).increment(1),
        }
    }

    pub(crate) fn handshake(&self, how: Handshake) {
        match how {
            Handshake::WithCertificate => self.with_certificate.increment(1),
            Handshake::WithoutCertificate => self.without_certificate.increment(1),
            Handshake::TimedOut => self.handshake_timeouts.increment(1),
            Handshake::Failed => self.handshake_errors.increment(1),
        }
    }

    pub(crate) fn peer_refused(&self) {
        self.peer_refusals.increment(1);
    }

    pub(crate) const fn connections(&self) -> &Gauge {
        &self.connections
    }

    pub(crate) fn audit_dropped(&self) {
        self.audit_dropped.increment(1);
    }

    /// Folds latencies into their buckets, where they would pile up between scrapes, and brings gauges up to date. For ever.
    pub(crate) async fn upkeep(&self, exporter: Exporter, groups: &Groups) {
        let mut ticks = tokio::time::interval(UPKEEP);
        for tick in 0_u64.. {
            ticks.tick().await;
            exporter.0.run_upkeep();
            groups.export_metrics();
            if let Some(median) = self.clock.median() {
                self.clock_offset.set(f64::from(median));
            }
            if tick.is_multiple_of(UPKEEPS_PER_FADE) {
                self.clock.fade();
            }
        }
    }
}

impl StoreMetrics {
    fn new(name: Arc<str>, label: Arc<str>) -> Self {
        let succeeded =
            PerOperation::of(|operation| counter!(REQUESTS, "store" => Arc::clone(&label), "operation" => operation, "outcome" => "ok"));
        Self { name, label, succeeded }
    }

    fn ended(&self, operation: Operation, outcome: &'static str) -> Counter {
        counter!(REQUESTS, "store" => Arc::clone(&self.label), "operation" => operation.as_str(), "outcome" => outcome)
    }
}

/// One handle for each operation.
#[derive(Debug)]
struct PerOperation<T> {
    health: T,
    metadata: T,
    encrypt: T,
    decrypt: T,
}

impl<T> PerOperation<T> {
    fn of(make: impl Fn(&'static str) -> T) -> Self {
        let make = |operation: Operation| make(operation.as_str());
        Self {
            health: make(Operation::Health),
            metadata: make(Operation::Metadata),
            encrypt: make(Operation::Encrypt),
            decrypt: make(Operation::Decrypt),
        }
    }

    const fn at(&self, operation: Operation) -> &T {
        match operation {
            Operation::Health => &self.health,
            Operation::Metadata => &self.metadata,
            Operation::Encrypt => &self.encrypt,
            Operation::Decrypt => &self.decrypt,
        }
    }
}

fn describe() {
    Groups::describe_metrics();
    metrics::describe_counter!(REQUESTS, "Requests by key store, operation and outcome: ok, the error's name, or aborted.");
    metrics::describe_histogram!(LATENCY, metrics::Unit::Seconds, "From a request's head to its answer.");
    metrics::describe_counter!(REFUSALS, "Refusals by kind, finer than the error's name.");
    metrics::describe_counter!(HANDSHAKES, "TLS handshakes that succeeded, with and without client certificate.");
    metrics::describe_counter!(HANDSHAKE_FAILURES, "TLS handshakes that did not.");
    metrics::describe_counter!(PEER_REFUSALS, "Connections closed at once: too many of one address without an authenticated request.");
    metrics::describe_gauge!(CONNECTIONS, "Connections open.");
    metrics::describe_counter!(AUDIT_DROPPED, "Audit records lost: the queue was full, or the file could not be written.");
    metrics::describe_gauge!(
        CLOCK_OFFSET,
        metrics::Unit::Seconds,
        "Median of our clock less the date of authenticated requests; refused past 300 either way."
    );
}

const REQUESTS: &str = "holdfast_requests_total";
const LATENCY: &str = "holdfast_request_seconds";
const REFUSALS: &str = "holdfast_refusals_total";
const HANDSHAKES: &str = "holdfast_tls_handshakes_total";
const HANDSHAKE_FAILURES: &str = "holdfast_tls_handshake_failures_total";
const PEER_REFUSALS: &str = "holdfast_peer_refusals_total";
const CONNECTIONS: &str = "holdfast_connections";
const AUDIT_DROPPED: &str = "holdfast_audit_dropped_total";
const CLOCK_OFFSET: &str = "holdfast_clock_offset_seconds";

/// Upper bounds in seconds: fine where a local key answers, with the deadline (200 ms) and KMS's own (250 ms) among them.
const LATENCY_BUCKETS: [f64; 14] = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 1.0];
/// Upper bounds in seconds: a block is to be in use within 0.1 s, an admin's answer waits 5 s for it, a node is away after 600.
const PROPAGATION_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0];
const MAX_STORE_LABELS: usize = 1_000;
const UPKEEP: Duration = Duration::from_secs(1);
const UPKEEPS_PER_FADE: u64 = 60;

static INSTALLED: Mutex<Option<Exporter>> = Mutex::new(None);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thousand_and_first_store_is_other() {
        let metrics = Metrics::register();
        for n in 0..MAX_STORE_LABELS {
            let name = n.to_string();
            assert_eq!(&*metrics.store(None, &name).label, name);
        }
        assert_eq!(&*metrics.store(None, "late").label, "other");
        assert_eq!(&*metrics.store(None, "7").label, "7");
    }

    #[test]
    fn a_store_keeps_its_handles_until_it_is_renamed() {
        let metrics = Metrics::register();
        let first = metrics.store(None, "a");
        assert!(Arc::ptr_eq(&first, &metrics.store(Some(&first), "a")));
        assert!(!Arc::ptr_eq(&first, &metrics.store(Some(&first), "b")));
    }
}
