//! The planes as processes of their own, laid out as a user would from the shipped examples; only ports differ.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use holdfast_bench::{
    load,
    plan::{Check, End, LoadPlan, Workload},
    report::LoadReport,
    target::Target,
};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::process::{Holdfast, run};

/// A folder with a control plane's data directory in it.
pub(crate) struct Site(TempDir);

impl Site {
    /// `holdfast controlplane init --demo`.
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("controlplane");
        let ended = run(&["controlplane".as_ref(), "init".as_ref(), "--demo".as_ref(), "--data-dir".as_ref(), data.as_os_str()]);
        assert!(ended.status.success(), "{}", ended.stderr);
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The shipped `controlplane.toml`.
    pub(crate) fn start_control_plane(&self) -> Holdfast {
        start_control_plane(&self.control_plane_config(""))
    }

    /// The shipped `controlplane.toml`, with more lines at its end.
    pub(crate) fn control_plane_config(&self, more: &str) -> PathBuf {
        let config = self.path("controlplane.toml");
        fs::write(&config, any_ports(&shipped("controlplane.toml")) + "\n" + more).unwrap();
        config
    }

    /// A running control plane, and the configuration of the one node that is enrolled.
    pub(crate) fn with_one_node(&self) -> (Holdfast, PathBuf) {
        let mut control = self.start_control_plane();
        let sync = control.wait_for_listener("sync");
        self.enroll("node-1", sync);
        (control, self.data_plane_config(sync))
    }

    /// `holdfast node enroll`; what it wrote starts as it is, but for its fixed ports.
    pub(crate) fn enroll(&self, name: &str, sync: SocketAddr) -> PathBuf {
        let endpoint = format!("https://localhost:{}", sync.port());
        let (data, out) = (self.path("controlplane"), self.path(name));
        let ended = run(&[
            "node".as_ref(),
            "enroll".as_ref(),
            name.as_ref(),
            "--data-dir".as_ref(),
            data.as_os_str(),
            "--out".as_ref(),
            out.as_os_str(),
            "--sync-endpoint".as_ref(),
            endpoint.as_ref(),
        ]);
        assert!(ended.status.success(), "{}", ended.stderr);
        let config = out.join("dataplane.toml");
        check(&config);
        let text = any_ports(&fs::read_to_string(&config).unwrap()) + "\n[log]\nformat = \"json\"\n";
        fs::write(&config, text).unwrap();
        config
    }

    /// The shipped `dataplane.toml`, for `node-1`.
    fn data_plane_config(&self, sync: SocketAddr) -> PathBuf {
        let config = self.path("dataplane.toml");
        let text = any_ports(&shipped("dataplane.toml")).replace("https://localhost:8445", &format!("https://localhost:{}", sync.port()));
        fs::write(&config, text).unwrap();
        check(&config);
        config
    }

    /// What `init --demo` handed out.
    pub(crate) fn handout(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("controlplane/demo.json")).unwrap()).unwrap()
    }

    /// The demo key store on the node that listens at `xks`.
    pub(crate) fn target(&self, xks: SocketAddr) -> Target {
        Target::parse(&Value::Object(self.xks(xks)).to_string(), self.0.path()).unwrap()
    }

    /// A mix of all operations that checks each answer.
    pub(crate) fn load(&self, xks: SocketAddr) -> LoadReport {
        run_load(plan(vec![self.target(xks)], End::Requests(400)))
    }

    /// The strict suite passes whole.
    pub(crate) fn conforms(&self, xks: SocketAddr) {
        let target = self.path("target.json");
        fs::write(&target, Value::Object(self.xks(xks)).to_string()).unwrap();
        let ended = run(&["conformance".as_ref(), "--target".as_ref(), target.as_os_str()]);
        assert!(ended.status.success(), "{}", ended.stdout);
    }

    fn xks(&self, at: SocketAddr) -> Map<String, Value> {
        let mut xks = self.handout()["xks"].as_object().unwrap().clone();
        xks.insert("port".into(), at.port().into());
        xks
    }
}

pub(crate) fn start_control_plane(config: &Path) -> Holdfast {
    Holdfast::start(&["controlplane".as_ref(), "--config".as_ref(), config.as_os_str()])
}

/// Makes a configuration keep the ports that it was given at its first start.
pub(crate) fn keep_ports(config: &Path, running: &Holdfast) {
    let text = fs::read_to_string(config).unwrap();
    let mut section = String::new();
    let mut kept = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
        }
        let is_free = line.starts_with("listen") && line.contains("127.0.0.1:0");
        kept.push(if is_free { format!("listen = \"{}\"", running.listening[&section]) } else { line.to_owned() });
    }
    fs::write(config, kept.join("\n")).unwrap();
}

pub(crate) fn start_data_plane(config: &Path) -> Holdfast {
    Holdfast::start(&["dataplane".as_ref(), "--config".as_ref(), config.as_os_str()])
}

/// A mix of all operations on `targets` in turn; what one encrypts the next must decrypt.
pub(crate) fn plan(targets: Vec<Target>, end: End) -> LoadPlan {
    let mut plan = LoadPlan::new(targets);
    plan.workload = Workload::Mix;
    plan.check = Check::CrossNode;
    plan.end = end;
    plan
}

pub(crate) fn run_load(plan: LoadPlan) -> LoadReport {
    tokio::runtime::Runtime::new().unwrap().block_on(load::run(plan)).unwrap()
}

pub(crate) fn assert_all_right(report: &LoadReport) {
    assert!(report.answered() > 0);
    let failures: Vec<_> = report.failures().collect();
    assert!(failures.is_empty() && report.wrong() == 0, "{failures:?}");
}

fn check(config: &Path) {
    let checked = run(&["dataplane".as_ref(), "--check".as_ref(), "--config".as_ref(), config.as_os_str()]);
    assert!(checked.status.success(), "{}", checked.stderr);
}

fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)).unwrap()
}

fn any_ports(text: &str) -> String {
    let line = |line: &str| match line.split_once("127.0.0.1:") {
        Some((before, _)) if line.starts_with("listen") => format!("{before}127.0.0.1:0\""),
        _ if line.starts_with("format") => "format = \"json\"".to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
