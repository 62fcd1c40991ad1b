//! The driver against the floor server's real binary.

use std::path::Path;
use std::time::Duration;

use holdfast_bench::driver::DriverError;
use holdfast_bench::driver::process::Server;
use holdfast_bench::driver::series::{Bench, Test, interleaved};

const FLOOR: &str = env!("CARGO_BIN_EXE_holdfast-floor");

#[test]
fn a_server_started_here_ends_with_its_handle() {
    let floor = Server::floor(Path::new(FLOOR)).unwrap();
    let process = format!("/proc/{}", floor.pid);
    assert!(Path::new(&process).exists());
    drop(floor);
    assert!(!Path::new(&process).exists());
}

#[test]
fn a_program_that_ends_at_once_is_reported_with_its_words() {
    // `holdfast-floor` has no subcommand `dev`.
    let error = Server::holdfast(Path::new(FLOOR)).unwrap_err();
    let DriverError::NotReady { said, .. } = error else {
        panic!("{error}");
    };
    assert!(said.contains("unexpected argument 'dev'"), "{said}");
}

#[test]
fn every_round_measures_every_server() {
    let floor = Server::floor(Path::new(FLOOR)).unwrap();
    let bench = Bench::new("wrk".into(), Duration::from_millis(100)).unwrap();
    let rows = interleaved(&bench, &[&floor, &floor], Test::Fresh(2), 2).unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row.samples.len(), 2);
        assert!(row.samples.iter().all(|s| s.rate > 0.0 && s.errors == 0));
    }
}

#[test]
fn a_sleeping_floor_answers_no_sooner_than_it_slept() {
    let nap = Duration::from_millis(20);
    let floor = Server::sleeping_floor(Path::new(FLOOR), nap, 2).unwrap();
    let bench = Bench::new("wrk".into(), Duration::from_millis(200)).unwrap();
    let sample = bench.measure(&floor, Test::Fresh(2)).unwrap();
    assert!(sample.p50_us >= 20_000.0 && sample.rate <= 100.0 && sample.errors == 0, "{sample:?}");
}
