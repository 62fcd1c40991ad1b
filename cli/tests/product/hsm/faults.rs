//! Faults under load. Holds for two partitions: no wrong answer, at most one request in a thousand fails, none is answered past 250 ms,
//! no phase is without progress, nothing is restarted. With one: the right refusals at once, and full recovery.

use std::{thread, time::Duration};

use holdfast_bench::{
    plan::{Check, End, LoadPlan, Pace, Stalled, Workload},
    report::{Failure, LoadReport},
};
use serde_json::{Value, json};

use super::{rig::Dev, simulator::Simulator};
use crate::{process::alone, site::run_load};

/// A fault that lasts until it is cleared, and how an operator sees it.
fn lasting() -> Vec<Value> {
    vec![
        json!({ "fault": "hang" }),
        json!({ "fault": "slow", "ms": 500 }),
        json!({ "fault": "error", "rv": "CKR_DEVICE_ERROR" }),
        json!({ "fault": "error", "rv": "CKR_SESSION_HANDLE_INVALID" }),
        json!({ "fault": "error", "rv": "CKR_USER_NOT_LOGGED_IN" }),
        json!({ "fault": "remove-token" }),
    ]
}

/// Faults that are over at once, and leave a partition without what it had.
fn sudden() -> Vec<Value> {
    vec![json!({ "fault": "lose-sessions" }), json!({ "fault": "reuse-handles" })]
}

#[test]
fn with_two_partitions_no_fault_of_one_is_felt() {
    two_partitions("", sudden());
}

#[test]
fn with_two_isolated_partitions_no_fault_or_crash_of_one_is_felt() {
    let mut faults = sudden();
    faults.push(json!({ "fault": "crash", "ms": 0 }));
    two_partitions(",isolation=process", faults);
}

fn two_partitions(isolation: &str, sudden: Vec<Value>) {
    let _alone = alone();
    let hsm = Simulator::new(&["one", "two"], "latency_ms = 1");
    let more = format!(",group=pair{isolation}");
    let dev = Dev::start(hsm.environment(), vec![hsm.spec("one", &more), hsm.spec("two", &more)]);
    let pid = dev.process.id();
    let load = Load::start(&dev, "pair");
    for fault in lasting() {
        hsm.fault("two", fault.clone());
        dev.until(&format!("two is out of service by {fault}"), |dev| dev.metric("holdfast_partition_up", "two") == 0.0);
        load.gets_on(&dev);
        hsm.clear("two");
        dev.until(&format!("two is back after {fault}"), |dev| dev.metric("holdfast_partition_up", "two") == 1.0);
        load.gets_on(&dev);
    }
    for fault in sudden {
        let before = dev.metric("holdfast_partition_generation", "two");
        hsm.fault("two", fault.clone());
        dev.until(&format!("two is connected anew after {fault}"), |dev| {
            dev.metric("holdfast_partition_generation", "two") > before && dev.metric("holdfast_partition_up", "two") == 1.0
        });
        load.gets_on(&dev);
    }
    let report = load.stop();
    assert_eq!(felt(&report), Vec::<String>::new(), "{report}");
    assert!(report.disturbed * 5 <= report.answered(), "the machine stands still too often to judge: {report}");
    assert_eq!(dev.process.id(), pid);
}

#[test]
fn with_two_partitions_a_fault_of_both_is_felt() {
    let _alone = alone();
    let hsm = Simulator::new(&["one", "two"], "latency_ms = 1");
    let dev = Dev::start(hsm.environment(), vec![hsm.spec("one", ",group=pair"), hsm.spec("two", ",group=pair")]);
    let load = Load::start(&dev, "pair");
    load.gets_on(&dev);
    for partition in ["one", "two"] {
        hsm.fault(partition, json!({ "fault": "hang" }));
    }
    for partition in ["one", "two"] {
        dev.until("both are out of service", |dev| dev.metric("holdfast_partition_up", partition) == 0.0);
    }
    let before = dev.requests();
    dev.until("requests are refused", |dev| dev.requests() > before + 50.0);
    let report = load.stop();
    assert!(felt(&report).iter().any(|claim| claim.starts_with("failed")), "{report}");
}

#[test]
fn with_one_partition_each_fault_is_told_at_once_and_is_over_when_it_is_over() {
    let _alone = alone();
    let hsm = Simulator::new(&["only"], "latency_ms = 1");
    let dev = Dev::start(hsm.environment(), vec![hsm.spec("only", "")]);
    for fault in lasting() {
        let load = Load::start(&dev, "only");
        hsm.fault("only", fault.clone());
        dev.until(&format!("out of service by {fault}"), |dev| dev.metric("holdfast_partition_up", "only") == 0.0);
        let served = dev.requests();
        dev.until("requests are refused", |dev| dev.requests() > served + 50.0);
        hsm.clear("only");
        dev.until(&format!("back after {fault}"), |dev| dev.metric("holdfast_partition_up", "only") == 1.0);
        let report = load.stop();
        assert_eq!(report.wrong(), 0, "{fault}: {report}");
        assert!(report.failed() > 0, "{fault}: {report}");
        for (operation, failure, _) in report.failures() {
            let Failure::Refused { status, error_name } = failure else { panic!("{fault}: {operation:?} {failure}") };
            let right = match status {
                429 => "ThrottlingException",
                500 => "InternalException",
                503 => "DependencyTimeoutException",
                other => panic!("{fault}: {operation:?} {other} {error_name}"),
            };
            assert_eq!(error_name, right, "{fault}");
        }
        // All is well again, at once.
        let mut plan = plan(&dev, "only");
        plan.end = End::Requests(200);
        let report = run_load(plan);
        assert_eq!((report.failed(), report.wrong()), (0, 0), "after {fault}: {report}");
    }
}

#[test]
fn a_module_that_hangs_does_not_keep_the_program_from_ending() {
    let _alone = alone();
    let hsm = Simulator::new(&["only"], "latency_ms = 1");
    let dev = Dev::start(hsm.environment(), vec![hsm.spec("only", "")]);
    let load = Load::start(&dev, "only");
    hsm.fault("only", json!({ "fault": "hang" }));
    dev.until("the hang is seen", |dev| dev.metric("holdfast_partition_up", "only") == 0.0);
    load.stop();
    let (status, seen) = dev.process.stop();
    assert_eq!(status.code(), Some(0), "{seen}");
}

/// What a client noticed, of what it must not notice while one of two partitions is left.
fn felt(report: &LoadReport) -> Vec<String> {
    let late: u64 = report.failures().filter(|(_, failure, _)| **failure == Failure::Late).map(|(_, _, count)| count).sum();
    let claims = [
        ("wrong", report.wrong(), 0),
        ("past 250 ms", late, 0),
        ("failed", report.failed(), report.answered() / 1_000),
        ("ms without an answer", report.longest_pause.as_millis().try_into().unwrap(), 500),
    ];
    claims.iter().filter(|(_, found, most)| found > most).map(|(claim, found, most)| format!("{claim}: {found}, not {most}")).collect()
}

/// A load beside what a test does.
struct Load {
    stop: tokio_util::sync::CancellationToken,
    run: thread::JoinHandle<LoadReport>,
}

impl Load {
    fn start(dev: &Dev, group: &str) -> Self {
        let plan = plan(dev, group);
        Self { stop: plan.stop.clone(), run: thread::spawn(move || run_load(plan)) }
    }

    /// Waits for a hundred answers.
    fn gets_on(&self, dev: &Dev) {
        let before = dev.answered();
        dev.until("the load gets on", |dev| dev.answered() >= before + 100.0);
    }

    fn stop(self) -> LoadReport {
        self.stop.cancel();
        self.run.join().unwrap()
    }
}

/// Every ciphertext is decrypted again, old ones too. The load gives way to whatever else the machine does, and what a machine that
/// stands still does to a request is told apart: neither is a fault of ours.
fn plan(dev: &Dev, group: &str) -> LoadPlan {
    let mut plan = LoadPlan::new(vec![dev.target(group)]);
    plan.workload = Workload::Mix;
    plan.check = Check::RoundTrip;
    plan.connections = 4;
    plan.pace = Pace::Think { pause: Duration::from_millis(10) };
    plan.stalled = Stalled::Apart;
    // KMS waits no longer.
    plan.patience = Duration::from_millis(250);
    plan
}
