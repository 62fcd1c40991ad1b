//! A script for wrk: one Encrypt, signed once, sent over and over at almost no cost to the client.
//!
//! The signature is static and good for five minutes (the XKS clock window), so the script must be used
//! soon after it was written. Its last output line, which starts with `MARK`, is for programs.

use std::fmt::Write as _;
use std::time::SystemTime;

use serde_json::Value;

use crate::message::Body;
use crate::plan::{Operation, Shape};
use crate::signer::{CONTENT_TYPE, Signer};
use crate::target::Target;

/// The Lua script that makes wrk send one Encrypt to `target`, signed as of `now`.
#[must_use]
pub fn script(target: &Target, shape: Shape, now: SystemTime) -> String {
    let path = Operation::Encrypt.path(target);
    let body = Body::new(Operation::Encrypt, shape);
    let mut signer = Signer::new(target);
    let signed = signer.sign(&path, body.bytes(), now);
    let mut lua = format!(
        "-- wrk -t1 -c8 -d5s -s FILE https://{}\n-- One Encrypt with a static signature of {}: servers take it for five minutes from then.\n",
        target.authority(),
        signed.date
    );
    let text = String::from_utf8_lossy(body.bytes());
    for (name, value) in [
        ("method", "POST"),
        ("path", &path),
        ("headers[\"Host\"]", &target.authority()),
        ("headers[\"content-type\"]", CONTENT_TYPE),
        ("headers[\"x-amz-date\"]", signed.date),
        ("headers[\"authorization\"]", signed.authorization),
        ("body", &text),
    ] {
        // A JSON string without control characters is a Lua string too.
        let _ = writeln!(lua, "wrk.{name} = {}", Value::from(value));
    }
    let _ = write!(lua, "{DONE}");
    lua
}

/// What wrk found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WrkResult {
    /// Answers, whatever their status.
    pub requests: u64,
    /// How long the run took, in microseconds.
    pub duration_us: u64,
    /// Connections, reads and writes that failed, and answers that came too late or with another status than 2xx or 3xx.
    pub errors: u64,
    /// Median latency in a closed loop, in microseconds.
    pub p50_us: f64,
    /// The 99th percentile, in microseconds.
    pub p99_us: f64,
}

impl WrkResult {
    /// Finds the result in wrk's output.
    #[must_use]
    pub fn parse(output: &str) -> Option<Self> {
        let line = output.lines().find_map(|line| line.strip_prefix(MARK))?;
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [requests, duration, errors, p50, p99] = fields.as_slice() else {
            return None;
        };
        Some(Self {
            requests: requests.parse().ok()?,
            duration_us: duration.parse().ok()?,
            errors: errors.parse().ok()?,
            p50_us: p50.parse().ok()?,
            p99_us: p99.parse().ok()?,
        })
    }

    /// Answers per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests as f64 * 1e6 / self.duration_us.max(1) as f64
    }
}

const MARK: &str = "holdfast-wrk ";

const DONE: &str = r#"function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("holdfast-wrk %d %d %d %.0f %.0f\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_last_line_reads_back() {
        let printed = "Running 1s test\nholdfast-wrk 1000 2000000 3 120 900\n";
        let result = WrkResult::parse(printed).unwrap();
        assert_eq!((result.requests, result.errors), (1_000, 3));
        assert!((result.rate() - 500.0).abs() < f64::EPSILON);
        assert!(DONE.contains(MARK));
    }

    #[test]
    fn output_without_the_line_is_no_result() {
        assert_eq!(WrkResult::parse("unable to connect"), None);
    }
}
