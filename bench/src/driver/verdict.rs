//! Whether the measured ratios keep what Holdfast promises. Pure functions of the medians.
//!
//! Holds: each promise has a bound that must be kept and may have a closer one that is aimed at; what was not
//! measured (no peer was given) is neither kept nor broken.

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
    /// What must be kept.
    pub must: Bound,
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
        match (self.measured, self.aim) {
            (None, _) => Outcome::NotMeasured,
            (Some(value), _) if !self.must.holds(value) => Outcome::Missed,
            (Some(value), Some(aim)) if aim.holds(value) => Outcome::Aimed,
            (Some(_), _) => Outcome::Kept,
        }
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
            Self::Missed => "MISSED",
            Self::Kept => "kept",
            Self::Aimed => "kept, aim reached",
        }
    }
}

/// Judges all rows of a bench run.
#[must_use]
pub fn judge(rows: &[Row]) -> Vec<Verdict> {
    let found = Found(rows);
    let mut verdicts = Vec::new();
    for connections in SATURATED {
        let test = Test::Saturated(connections);
        let mut add = |what: &str, measured, must, aim| {
            let name = format!("{what}, c={connections}");
            verdicts.push(Verdict { name, measured, must, aim: Some(aim) });
        };
        let cpu = found.ratio(test, Kind::Floor, |sample| sample.cpu_us);
        add("CPU per request / floor", cpu, Bound::AtMost(1.8), Bound::AtMost(1.5));
        let rate = found.ratio(test, Kind::Floor, |sample| sample.rate);
        add("rate / floor", rate, Bound::AtLeast(0.6), Bound::AtLeast(0.7));
        let rate = found.ratio(test, Kind::Peer, |sample| sample.rate);
        add("rate / peer", rate, Bound::AtLeast(6.0), Bound::AtLeast(7.0));
    }
    let mut add = |name: &str, measured, must, aim| {
        let name = name.into();
        verdicts.push(Verdict { name, measured, must, aim });
    };
    let paced = found.ratio(Test::Paced(PACED), Kind::Peer, |sample| sample.p99_us);
    let third = Some(Bound::AtMost(0.333));
    add("p99 at 3,000/s / peer", paced, Bound::AtMost(0.5), third);
    let first = found.of(Test::Fresh(FRESH[0]), Kind::Holdfast);
    let first = first.map(|row| row.median(|sample| sample.p50_us) / 1e3);
    add("first answer, new connection, p50, ms", first, Bound::AtMost(2.0), None);
    let fresh = found.of(Test::Fresh(FRESH[1]), Kind::Holdfast);
    let fresh = fresh.map(|row| row.median(|sample| sample.rate));
    add("new connections per second", fresh, Bound::AtLeast(2_500.0), None);
    add("refused or lost requests", found.errors(), Bound::AtMost(0.0), None);
    verdicts
}

/// The rows, by test and server.
struct Found<'r>(&'r [Row]);

impl Found<'_> {
    fn of(&self, test: Test, server: Kind) -> Option<&Row> {
        let rows = self.0.iter();
        let mut rows = rows.filter(|row| row.test == test && row.server == server);
        rows.next().filter(|row| !row.samples.is_empty())
    }

    /// Holdfast's median over another's.
    fn ratio(&self, test: Test, other: Kind, value: fn(&Sample) -> f64) -> Option<f64> {
        let ours = self.of(test, Kind::Holdfast)?.median(value);
        let theirs = self.of(test, other)?.median(value);
        (theirs > 0.0).then(|| ours / theirs)
    }

    /// What Holdfast refused, lost or was never asked in time, over all tests.
    fn errors(&self) -> Option<f64> {
        let rows = self.0.iter().filter(|row| row.server == Kind::Holdfast);
        let samples = rows.flat_map(|row| &row.samples);
        let errors: Vec<u64> = samples.map(|s| s.errors + s.unsent).collect();
        (!errors.is_empty()).then(|| errors.iter().sum::<u64>() as f64)
    }
}

/// The connections of the saturated tests.
pub const SATURATED: [u32; 2] = [8, 32];
/// The clients of the tests of new connections: one for latency, many for the rate.
pub const FRESH: [u32; 2] = [1, 16];
/// The requests per second of the paced test.
pub const PACED: NonZeroU32 = match NonZeroU32::new(3_000) {
    Some(rate) => rate,
    None => NonZeroU32::MIN,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn row(test: Test, server: Kind, rate: f64, cpu_us: f64) -> Row {
        let sample =
            Sample { rate, cpu_us, p50_us: 500.0, p99_us: 1_000.0, errors: 0, unsent: 0, client_cores: 0.0, foreign_cores: 0.0, tries: 1 };
        Row { test, server, samples: vec![sample] }
    }

    fn outcome(rows: &[Row], name: &str) -> Outcome {
        let verdicts = judge(rows);
        verdicts.iter().find(|v| v.name == name).unwrap().outcome()
    }

    #[test]
    fn ratios_are_held_against_both_bounds() {
        let test = Test::Saturated(8);
        for (rate, cpu, by_rate, by_cpu) in [
            (59.0, 18.1, Outcome::Missed, Outcome::Missed),
            (60.0, 18.0, Outcome::Kept, Outcome::Kept),
            (70.0, 15.0, Outcome::Aimed, Outcome::Aimed),
        ] {
            let rows = [row(test, Kind::Floor, 100.0, 10.0), row(test, Kind::Holdfast, rate, cpu)];
            assert_eq!(outcome(&rows, "rate / floor, c=8"), by_rate);
            assert_eq!(outcome(&rows, "CPU per request / floor, c=8"), by_cpu);
        }
    }

    #[test]
    fn without_a_peer_nothing_is_said_about_it() {
        let rows = [row(Test::Saturated(8), Kind::Holdfast, 100.0, 10.0)];
        assert_eq!(outcome(&rows, "rate / peer, c=8"), Outcome::NotMeasured);
        assert_eq!(outcome(&rows, "p99 at 3,000/s / peer"), Outcome::NotMeasured);
    }

    #[test]
    fn one_refusal_is_one_too_many() {
        let mut refused = row(Test::Fresh(1), Kind::Holdfast, 1.0, 1.0);
        assert_eq!(outcome(std::slice::from_ref(&refused), "refused or lost requests"), Outcome::Kept);
        refused.samples[0].errors = 1;
        assert_eq!(outcome(&[refused], "refused or lost requests"), Outcome::Missed);
    }
}
