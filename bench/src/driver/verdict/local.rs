//! What is promised of local keys.

use super::{Bound, Found, PACED, SATURATED, Verdict};
use crate::driver::process::Kind;
use crate::driver::series::{Row, Test};

/// Judges the rows of local keys.
#[must_use]
pub fn judge(rows: &[Row]) -> Vec<Verdict> {
    let found = Found(rows);
    let mut verdicts = Vec::new();
    for connections in SATURATED {
        let test = Test::Saturated(connections);
        let mut add = |what: &str, measured, must, aim| {
            let name = format!("{what}, c={connections}");
            verdicts.push(Verdict { name, measured, must: Some(must), aim: Some(aim) });
        };
        let cpu = found.ratio(test, (Kind::Holdfast, Kind::Floor), |sample| sample.cpu_us);
        add("CPU per request / floor", cpu, Bound::AtMost(1.8), Bound::AtMost(1.5));
        let rate = found.ratio(test, (Kind::Holdfast, Kind::Floor), |sample| sample.rate);
        add("rate / floor", rate, Bound::AtLeast(0.6), Bound::AtLeast(0.7));
        let rate = found.ratio(test, (Kind::Holdfast, Kind::Peer), |sample| sample.rate);
        add("rate / peer", rate, Bound::AtLeast(6.0), Bound::AtLeast(7.0));
    }
    let mut add = |name: &str, measured, must, aim| {
        let name = name.into();
        verdicts.push(Verdict { name, measured, must: Some(must), aim });
    };
    let paced = found.ratio(Test::Paced(PACED), (Kind::Holdfast, Kind::Peer), |sample| sample.p99_us);
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

/// The clients of the tests of new connections: one for latency, many for the rate.
pub const FRESH: [u32; 2] = [1, 16];
#[cfg(test)]
mod tests {
    use super::super::{Outcome, tests::row};
    use super::*;

    fn outcome(rows: &[Row], name: &str) -> Outcome {
        super::super::tests::outcome(&judge(rows), name)
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
