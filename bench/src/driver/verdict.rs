//! Whether the measured ratios keep what Holdfast promises. Pure functions of the medians.
//!
//! Holds: each promise has a bound that must be kept and may have a closer one that is aimed at; what was not
//! measured (no peer was given) is neither kept nor broken, nor is a cost that is only stated.

pub mod hsm;
pub mod local;

use std::num::NonZeroU32;

use super::process::Kind;
use super::series::{Row, Sample, Test};

/// One promise and what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What is promised.
    pub name: String,
    /// The measured value, if there is one.
    pub measured: Option<f64>,
    /// What must be kept; none for a cost that is only stated.
    pub must: Option<Bound>,
    /// What is aimed at.
    pub aim: Option<Bound>,
}

/// A limit to a measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// How a measurement stands to its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to compare with.
    NotMeasured,
    /// There is nothing to keep.
    Stated,
    /// Beyond what must be kept.
    Missed,
    /// Within what must be kept.
    Kept,
    /// Within what is aimed at, too.
    Aimed,
}

impl Verdict {
    /// How the measurement stands.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match (self.measured, self.must, self.aim) {
            (None, _, _) => Outcome::NotMeasured,
            (Some(_), None, _) => Outcome::Stated,
            (Some(value), Some(must), _) if !must.holds(value) => Outcome::Missed,
            (Some(value), Some(_), Some(aim)) if aim.holds(value) => Outcome::Aimed,
            (Some(_), Some(_), _) => Outcome::Kept,
        }
    }

    fn stated(name: String, measured: Option<f64>) -> Self {
        Self { name, measured, must: None, aim: None }
    }
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
        }
    }
}

impl Outcome {
    /// The word in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotMeasured => "not measured",
            Self::Stated => "stated",
            Self::Missed => "MISSED",
            Self::Kept => "kept",
            Self::Aimed => "kept, aim reached",
        }
    }
}

/// The rows, by test and server.
struct Found<'r>(&'r [Row]);

impl Found<'_> {
    fn of(&self, test: Test, server: Kind) -> Option<&Row> {
        let rows = self.0.iter();
        let mut rows = rows.filter(|row| row.test == test && row.server == server);
        rows.next().filter(|row| !row.samples.is_empty())
    }

    /// One server's median over another's.
    fn ratio(&self, test: Test, (ours, theirs): (Kind, Kind), value: fn(&Sample) -> f64) -> Option<f64> {
        let ours = self.of(test, ours)?.median(value);
        let theirs = self.of(test, theirs)?.median(value);
        (theirs > 0.0).then(|| ours / theirs)
    }

    /// How much one server's median is above another's.
    fn above(&self, test: Test, (ours, theirs): (Kind, Kind), value: fn(&Sample) -> f64) -> Option<f64> {
        Some(self.of(test, ours)?.median(value) - self.of(test, theirs)?.median(value))
    }

    /// What Holdfast refused, lost or was never asked in time, over all tests.
    fn errors(&self) -> Option<f64> {
        let rows = self.0.iter().filter(|row| row.server.is_ours());
        let samples = rows.flat_map(|row| &row.samples);
        let errors: Vec<u64> = samples.map(|s| s.errors + s.unsent).collect();
        (!errors.is_empty()).then(|| errors.iter().sum::<u64>() as f64)
    }
}

/// The connections of the saturated tests.
pub const SATURATED: [u32; 2] = [8, 32];
/// The requests per second of the paced test.
pub const PACED: NonZeroU32 = match NonZeroU32::new(3_000) {
    Some(rate) => rate,
    None => NonZeroU32::MIN,
};

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn row(test: Test, server: Kind, rate: f64, cpu_us: f64) -> Row {
        let sample =
            Sample { rate, cpu_us, p50_us: 500.0, p99_us: 1_000.0, errors: 0, unsent: 0, client_cores: 0.0, foreign_cores: 0.0, tries: 1 };
        Row { test, server, samples: vec![sample] }
    }

    pub(super) fn outcome(verdicts: &[Verdict], name: &str) -> Outcome {
        verdicts.iter().find(|v| v.name == name).unwrap().outcome()
    }
}
