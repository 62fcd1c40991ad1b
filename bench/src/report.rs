//! What a load run found: answers, failures by kind, latency.
//!
//! Holds: a request is counted once, as an answer of status 200 (which has a latency) or as a failure; only an
//! answer that turns out wrong is both. One that a stall of the machine disturbed is neither, where the plan keeps those
//! apart. Latency is in nanoseconds, to three digits, up to a minute.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::{CreationError, Histogram};
use serde_json::{Value, json};

use crate::message::WrongAnswer;
use crate::plan::Operation;
use crate::stalls::Stalls;

/// The findings of one run.
#[derive(Debug)]
pub struct LoadReport {
    /// The time that the counted part took.
    pub elapsed: Duration,
    /// Requests of an open loop that were due and never sent, since no connection was free in time. The time
    /// they had waited is among the latencies, as the least that it could have become.
    pub unsent: u64,
    /// The longest time between two answers of status 200, one after the other; where stalls are kept apart, less the time that the
    /// machine stood still.
    pub longest_pause: Duration,
    /// Requests, however they ended, during which the machine stood still, where the plan keeps them apart: neither answers nor
    /// failures of this report.
    pub disturbed: u64,
    disturbed_failures: BTreeMap<(Operation, Failure), Failures>,
    stalls: Option<Stalls>,
    last_answer: Option<Instant>,
    /// An empty histogram, for those below to start as.
    blank: Histogram<u64>,
    latencies: BTreeMap<Operation, Histogram<u64>>,
    handshakes: Option<Histogram<u64>>,
    failures: BTreeMap<(Operation, Failure), Failures>,
}

/// One way to fail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// An answer with another status than 200.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The `errorName`; empty where the body had none.
        error_name: String,
    },
    /// Status 200, but not what it had to say.
    Wrong(WrongAnswer),
    /// No TCP connection.
    Connect,
    /// The TLS handshake failed.
    Handshake,
    /// The connection ended before the answer.
    Lost,
    /// The answer was not HTTP/1.1.
    Malformed,
    /// No answer within the plan's patience.
    Late,
}

/// How often one failure happened, and what was said the first time.
#[derive(Clone, Debug, Default)]
struct Failures {
    count: u64,
    first: String,
}

impl Failures {
    fn count_one(&mut self, said: impl FnOnce() -> String) {
        if self.count == 0 {
            self.first = said();
        }
        self.count += 1;
    }
}

impl LoadReport {
    pub(crate) fn new(stalls: Option<Stalls>) -> Result<Self, CreationError> {
        Ok(Self {
            disturbed: 0,
            disturbed_failures: BTreeMap::new(),
            stalls,
            elapsed: Duration::ZERO,
            unsent: 0,
            longest_pause: Duration::ZERO,
            last_answer: None,
            blank: Histogram::new_with_bounds(LOWEST, HIGHEST, 3)?,
            latencies: BTreeMap::new(),
            handshakes: None,
            failures: BTreeMap::new(),
        })
    }

    /// Answers that counted, over all operations.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.latencies.values().map(Histogram::len).sum()
    }

    /// Answers per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.answered() as f64 / seconds } else { 0.0 }
    }

    /// Requests that failed in any way, those of the warm-up included.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().map(|f| f.count).sum()
    }

    /// Answers of status 200 that were wrong.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        let wrong = self.failures();
        let wrong = wrong.filter(|(_, failure, _)| matches!(failure, Failure::Wrong(_)));
        wrong.map(|(_, _, count)| count).sum()
    }

    /// Each way to fail that was seen, with how often.
    pub fn failures(&self) -> impl Iterator<Item = (Operation, &Failure, u64)> {
        let found = self.failures.iter();
        found.map(|((operation, failure), f)| (*operation, failure, f.count))
    }

    /// The latencies of one operation, in nanoseconds.
    #[must_use]
    pub fn latencies(&self, operation: Operation) -> Option<&Histogram<u64>> {
        self.latencies.get(&operation)
    }

    /// The latency over all operations that a fraction `quantile` of the answers stayed within.
    #[must_use]
    pub fn latency(&self, quantile: f64) -> Duration {
        let mut all = self.blank.clone();
        for one in self.latencies.values() {
            // Cannot fail: all histograms have the same bounds.
            let _ = all.add(one);
        }
        Duration::from_nanos(all.value_at_quantile(quantile))
    }

    /// Times from before the TCP connection to the end of the handshake; runs of fresh connections have them.
    #[must_use]
    pub const fn handshakes(&self) -> Option<&Histogram<u64>> {
        self.handshakes.as_ref()
    }

    /// The report for programs. Latencies are in microseconds.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let operations = self.latencies.iter().map(|(operation, latencies)| {
            let value = json!({ "answered": latencies.len(), "latency_us": quantiles(latencies) });
            (operation.as_str().to_owned(), value)
        });
        let failures = self.failures.iter().map(|((operation, failure), f)| {
            json!({ "operation": operation.as_str(), "failure": failure.to_string(), "count": f.count, "first": f.first })
        });
        json!({
            "elapsed_s": self.elapsed.as_secs_f64(),
            "answered": self.answered(),
            "rate": self.rate(),
            "failed": self.failed(),
            "wrong": self.wrong(),
            "unsent": self.unsent,
            "disturbed": self.disturbed,
            "longest_pause_us": micros(nanos(self.longest_pause)),
            "operations": operations.collect::<serde_json::Map<_, _>>(),
            "handshake_us": self.handshakes.as_ref().map(quantiles),
            "failures": failures.collect::<Vec<_>>(),
        })
    }

    /// Counts an answer of status 200 to a request that began at `begun`.
    pub(crate) fn record(&mut self, operation: Operation, begun: Instant, latency: Duration) {
        let now = Instant::now();
        if let Some(last) = self.last_answer.replace(now) {
            self.longest_pause = self.longest_pause.max((now - last).saturating_sub(self.stalled(last)));
        }
        if self.is_disturbed(begun) {
            self.disturbed += 1;
        } else {
            self.record_latency(operation, latency);
        }
    }

    /// Counts the latency alone.
    pub(crate) fn record_latency(&mut self, operation: Operation, latency: Duration) {
        let latencies = self.latencies.entry(operation);
        let histogram = latencies.or_insert_with(|| self.blank.clone());
        histogram.saturating_record(nanos(latency));
    }

    pub(crate) fn record_handshake(&mut self, time: Duration) {
        let histogram = self.handshakes.get_or_insert_with(|| self.blank.clone());
        histogram.saturating_record(nanos(time));
    }

    /// Counts a failure whenever it began; `said` is asked for its words the first time only.
    pub(crate) fn fail(&mut self, operation: Operation, failure: Failure, said: impl FnOnce() -> String) {
        self.failures.entry((operation, failure)).or_default().count_one(said);
    }

    /// Counts the failure of a request that began at `begun`.
    pub(crate) fn fail_since(&mut self, begun: Instant, operation: Operation, failure: Failure, said: impl FnOnce() -> String) {
        if self.is_disturbed(begun) {
            self.disturbed += 1;
            self.disturbed_failures.entry((operation, failure)).or_default().count_one(said);
        } else {
            self.fail(operation, failure, said);
        }
    }

    fn is_disturbed(&self, begun: Instant) -> bool {
        self.stalls.as_ref().is_some_and(|stalls| stalls.disturb(begun, Instant::now()))
    }

    fn stalled(&self, since: Instant) -> Duration {
        self.stalls.as_ref().map_or(Duration::ZERO, |stalls| stalls.within(since, Instant::now()))
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let (answered, rate) = (self.answered(), self.rate());
        writeln!(f, "{answered} answers in {seconds:.1} s: {rate:.0}/s")?;
        writeln!(f, "{:<10}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}", "us", "answers", "p50", "p90", "p99", "p99.9", "max")?;
        let operations = self.latencies.iter().map(|(o, h)| (o.as_str(), h));
        let handshakes = self.handshakes.iter().map(|h| ("handshake", h));
        for (name, histogram) in operations.chain(handshakes) {
            write!(f, "{name:<10}{:>10}", histogram.len())?;
            for (_, quantile) in QUANTILES {
                write!(f, "{:>9.0}", micros(histogram.value_at_quantile(quantile)))?;
            }
            writeln!(f)?;
        }
        if self.unsent > 0 {
            writeln!(f, "{} requests were due and never sent", self.unsent)?;
        }
        for ((operation, failure), found) in &self.failures {
            let (operation, count) = (operation.as_str(), found.count);
            writeln!(f, "{count} x {operation}: {failure} ({})", found.first)?;
        }
        if self.disturbed > 0 {
            writeln!(f, "{} requests while the machine stood still", self.disturbed)?;
        }
        for ((operation, failure), found) in &self.disturbed_failures {
            let (operation, count) = (operation.as_str(), found.count);
            writeln!(f, "of these {count} x {operation}: {failure} ({})", found.first)?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, error_name } => write!(f, "{status} {error_name}"),
            Self::Wrong(wrong) => f.write_str(wrong.as_str()),
            Self::Connect => f.write_str("no connection"),
            Self::Handshake => f.write_str("no TLS handshake"),
            Self::Lost => f.write_str("connection lost"),
            Self::Malformed => f.write_str("malformed answer"),
            Self::Late => f.write_str("no answer in time"),
        }
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Value {
    let values = QUANTILES.map(|(name, quantile)| {
        let value = micros(histogram.value_at_quantile(quantile));
        (name.to_owned(), Value::from(value))
    });
    values.into_iter().collect::<serde_json::Map<_, _>>().into()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
const LOWEST: u64 = 1_000;
const HIGHEST: u64 = 60_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_kind_and_keep_their_first_words() {
        let mut report = LoadReport::new(None).unwrap();
        let refused = || Failure::Refused { status: 429, error_name: "ThrottlingException".into() };
        report.fail(Operation::Encrypt, refused(), || "first".into());
        report.fail(Operation::Encrypt, refused(), || "second".into());
        let wrong = Failure::Wrong(WrongAnswer::PlaintextDiffers);
        report.fail(Operation::Decrypt, wrong, String::new);
        assert_eq!((report.failed(), report.wrong()), (3, 1));
        let shown = report.to_string();
        assert!(shown.contains("2 x encrypt: 429 ThrottlingException (first)"), "{shown}");
    }

    #[test]
    fn latencies_keep_three_digits_from_a_microsecond_to_a_minute() {
        let mut report = LoadReport::new(None).unwrap();
        report.record_latency(Operation::Encrypt, Duration::from_micros(123));
        report.record_latency(Operation::Health, Duration::from_secs(3_600));
        let near = report.latency(0.5).as_nanos();
        assert!((122_400..=123_600).contains(&near), "{near}");
        assert!(report.latency(1.0) >= Duration::from_secs(60));
        assert_eq!(report.answered(), 2);
    }
}
