//! What is promised of keys on PKCS#11 tokens, and what a process of its own costs.

use super::{Bound, Found, PACED, SATURATED, Verdict};
use crate::driver::process::Kind;
use crate::driver::series::{Row, Test};

/// Judges the rows of keys on tokens.
#[must_use]
pub fn judge(rows: &[Row]) -> Vec<Verdict> {
    let found = Found(rows);
    let peer = (Kind::Holdfast, Kind::Peer);
    let mut verdicts = Vec::new();
    let mut add = |name: String, measured, must, aim| verdicts.push(Verdict { name, measured, must: Some(must), aim });
    for (connections, (must, aim)) in SATURATED.into_iter().zip([(2.4, 3.0), (3.0, 4.0)]) {
        let rate = found.ratio(Test::Saturated(connections), peer, |sample| sample.rate);
        add(format!("rate / peer, c={connections}"), rate, Bound::AtLeast(must), Some(Bound::AtLeast(aim)));
    }
    let p99 = found.ratio(Test::Paced(PACED), peer, |sample| sample.p99_us);
    add("p99 at 3,000/s / peer".into(), p99, Bound::AtMost(0.6), None);
    let waiting = |server| found.ratio(Test::Waiting(WAITING), (server, Kind::Floor), |sample| sample.rate);
    add("rate / floor, waiting".into(), waiting(Kind::Holdfast), Bound::AtLeast(0.9), None);
    // So many connections at once are handshakes first, for longer than the first of their requests may wait: those are not promised.
    let (burst, steady): (Vec<Row>, Vec<Row>) = rows.iter().cloned().partition(|row| row.test == Test::Waiting(WAITING));
    add("refused or lost requests".into(), Found(&steady).errors(), Bound::AtMost(0.0), None);
    verdicts.push(Verdict::stated("refused or lost requests, waiting".into(), Found(&burst).errors()));
    verdicts.push(Verdict::stated("isolated: rate / floor, waiting".into(), waiting(Kind::Isolated)));
    let cost = (Kind::Isolated, Kind::Holdfast);
    for test in SATURATED.map(Test::Saturated).into_iter().chain([Test::Paced(PACED)]) {
        let cpu = found.above(test, cost, |sample| sample.cpu_us);
        verdicts.push(Verdict::stated(format!("isolated: CPU us more, {}", test.name()), cpu));
        let p50 = found.above(test, cost, |sample| sample.p50_us);
        verdicts.push(Verdict::stated(format!("isolated: p50 us more, {}", test.name()), p50));
    }
    verdicts
}

/// The connections of the test of waiting servers.
pub const WAITING: u32 = 256;

#[cfg(test)]
mod tests {
    use super::super::{Outcome, tests::row};
    use super::*;

    fn outcome(rows: &[Row], name: &str) -> Outcome {
        super::super::tests::outcome(&judge(rows), name)
    }

    #[test]
    fn each_number_of_connections_has_bounds_of_its_own() {
        let both = |connections, rate| {
            let test = Test::Saturated(connections);
            [row(test, Kind::Peer, 10.0, 1.0), row(test, Kind::Holdfast, rate, 1.0)]
        };
        for (rate, at_8, at_32) in [
            (23.0, Outcome::Missed, Outcome::Missed),
            (25.0, Outcome::Kept, Outcome::Missed),
            (30.0, Outcome::Aimed, Outcome::Kept),
            (40.0, Outcome::Aimed, Outcome::Aimed),
        ] {
            assert_eq!(outcome(&both(8, rate), "rate / peer, c=8"), at_8);
            assert_eq!(outcome(&both(32, rate), "rate / peer, c=32"), at_32);
        }
    }

    #[test]
    fn a_slow_process_of_its_own_breaks_no_promise_but_refusals_on_open_connections_do() {
        let test = Test::Waiting(WAITING);
        let mut rows = [row(test, Kind::Floor, 100.0, 1.0), row(test, Kind::Holdfast, 90.0, 1.0), row(test, Kind::Isolated, 1.0, 1.0)];
        assert_eq!(outcome(&rows, "rate / floor, waiting"), Outcome::Kept);
        assert_eq!(outcome(&rows, "isolated: rate / floor, waiting"), Outcome::Stated);
        rows[2].samples[0].errors = 1;
        assert_eq!(outcome(&rows, "refused or lost requests, waiting"), Outcome::Stated);
        rows[2] = row(Test::Saturated(8), Kind::Isolated, 1.0, 1.0);
        assert_eq!(outcome(&rows, "refused or lost requests"), Outcome::Kept);
        rows[2].samples[0].errors = 1;
        assert_eq!(outcome(&rows, "refused or lost requests"), Outcome::Missed);
    }

    #[test]
    fn the_cost_of_a_process_is_what_it_takes_beyond_the_other() {
        let test = Test::Saturated(8);
        let verdicts = judge(&[row(test, Kind::Holdfast, 1.0, 30.0), row(test, Kind::Isolated, 1.0, 42.5)]);
        let cpu = verdicts.iter().find(|v| v.name == "isolated: CPU us more, saturated, c=8").unwrap();
        assert_eq!((cpu.measured, cpu.outcome()), (Some(12.5), Outcome::Stated));
    }
}
