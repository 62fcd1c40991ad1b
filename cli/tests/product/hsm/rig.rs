//! `holdfast dev` on PKCS#11 partitions.

use std::{
    cell::RefCell,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use holdfast_bench::target::Target;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::{dev_arguments, handout},
    http::Http,
    process::{Holdfast, run},
};

/// A running `dev`, and its directory.
pub(crate) struct Dev {
    pub(crate) process: Holdfast,
    folder: TempDir,
    environment: (&'static str, String),
    specs: Vec<String>,
    /// A connection to the ops port.
    ops: RefCell<Http>,
}

impl Dev {
    /// Starts and waits until it serves.
    pub(crate) fn start(environment: (&'static str, String), specs: Vec<String>) -> Self {
        let folder = TempDir::new().unwrap();
        Self::start_in(folder, environment, specs)
    }

    /// Ends and starts once more on the same directory.
    pub(crate) fn restart(self) -> Self {
        self.restart_after(|_| {})
    }

    /// Ends, and starts once more when `change` was done to its directory.
    pub(crate) fn restart_after(self, change: impl FnOnce(&Path)) -> Self {
        let Self { process, folder, environment, specs, .. } = self;
        let (status, seen) = process.stop();
        assert_eq!(status.code(), Some(0), "{seen}");
        change(folder.path());
        Self::start_in(folder, environment, specs)
    }

    /// `dev.json`.
    pub(crate) fn handout(&self) -> Value {
        handout(self.folder.path())
    }

    /// The demo of a group, in the form of a whole handout.
    pub(crate) fn group(&self, group: &str) -> Value {
        let handout = self.handout();
        let partitions = handout["partitions"].as_array().unwrap();
        partitions.iter().find(|one| one["group"] == group).unwrap_or_else(|| panic!("{handout}")).clone()
    }

    /// The demo of a group, to put load on.
    pub(crate) fn target(&self, group: &str) -> Target {
        Target::parse(&self.group(group)["xks"].to_string(), self.folder.path()).unwrap()
    }

    /// The strict suite passes whole on a group's key.
    pub(crate) fn conforms(&self, group: &str) {
        let target = self.folder.path().join("target.json");
        fs::write(&target, self.group(group)["xks"].to_string()).unwrap();
        let ended = run(&["conformance".as_ref(), "--target".as_ref(), target.as_os_str()]);
        assert!(ended.status.success(), "{}", ended.stdout);
    }

    /// A line of `/metrics`: the value of the metric whose name and labels it starts with.
    pub(crate) fn metric(&self, name: &str, partition: &str) -> f64 {
        let text = self.metrics();
        let found = text.lines().find(|line| line.starts_with(name) && line.contains(&format!("partition=\"{partition}\"")));
        found.and_then(|line| line.rsplit_once(' ')).unwrap_or_else(|| panic!("no {name} of {partition} in\n{text}")).1.parse().unwrap()
    }

    /// Waits until `good`, by looking again and again.
    pub(crate) fn until(&self, what: &str, good: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !good(self) {
            assert!(Instant::now() < end, "waited {PATIENCE:?} until {what}; metrics:\n{}", self.metrics());
            // Only so that looking does not take the processor from what is waited for.
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// XKS requests so far, however they ended.
    pub(crate) fn requests(&self) -> f64 {
        self.sum("holdfast_requests_total{", "")
    }

    /// XKS requests that were answered with what was asked.
    pub(crate) fn answered(&self) -> f64 {
        self.sum("holdfast_requests_total{", "outcome=\"ok\"")
    }

    fn sum(&self, name: &str, with: &str) -> f64 {
        let text = self.metrics();
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(with));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }

    fn metrics(&self) -> String {
        let answer = self.ops.borrow_mut().send("GET", "/metrics", &[], &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text().to_owned()
    }

    fn start_in(folder: TempDir, environment: (&'static str, String), specs: Vec<String>) -> Self {
        let mut arguments = dev_arguments(folder.path());
        for spec in &specs {
            arguments.extend(["--partition".to_owned(), spec.clone()]);
        }
        let mut process = Holdfast::start_with(&arguments, &[(environment.0, environment.1.as_str())]);
        process.wait_for("curl --aws-sigv4");
        let ops = handout(folder.path())["ops"]["url"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        Self { process, folder, environment, specs, ops: RefCell::new(Http::plain(ops)) }
    }
}

/// Far longer than anything that a test waits for should take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
