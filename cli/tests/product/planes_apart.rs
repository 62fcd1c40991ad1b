//! The planes as two processes, from the shipped example configurations.

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

#[test]
fn traffic_goes_on_without_the_control_plane_restarts_of_the_data_plane_included() {
    let site = Site::new();
    let mut control = site.start_control_plane();
    let sync = control.wait_for_listener("sync");
    site.enroll("node-1", sync);
    let config = site.data_plane_config(sync);

    let checked = run(&["dataplane".as_ref(), "--check".as_ref(), "--config".as_ref(), config.as_os_str()]);
    assert!(checked.status.success(), "{}", checked.stderr);

    let mut data = start_data_plane(&config);
    let xks = data.wait_for_listener("xks");
    control.wait_for("the demo key store is ready");
    assert_all_right(&site.load(xks));

    // Traffic while the control plane dies: the run spans its end.
    let spanning = site.plan(xks, End::Stopped);
    let stop = spanning.stop.clone();
    let spanning = std::thread::spawn(move || run_load(spanning));
    control.kill();
    assert_all_right(&site.load(xks));
    stop.cancel();
    assert_all_right(&spanning.join().unwrap());

    // Restarted alone, the data plane serves what it last knew to be good, keys made before included.
    assert_eq!(data.stop().0.code(), Some(0));
    let mut data = start_data_plane(&config);
    let xks = data.wait_for_listener("xks");
    data.wait_for("last-good configuration loaded");
    assert_all_right(&site.load(xks));
    site.conforms(xks);
}

#[test]
fn check_lists_everything_that_is_wrong_and_starts_nothing() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("dataplane.toml");
    let text = "state_dir = \"state\"\ncolour = 1\n[[xks]]\nlisten = \"127.0.0.1:0\"\n[[xks.certificate]]\nchain = \"no.crt\"\n[keys]\nseals = [\"no-seal\"]\n";
    fs::write(&config, text).unwrap();
    let ended = run(&["dataplane".as_ref(), "--check".as_ref(), "--config".as_ref(), config.as_os_str()]);
    assert_eq!(ended.status.code(), Some(1));
    for fault in ["dataplane.toml:2: colour is not a setting", "dataplane.toml:5: xks.certificate.key is missing"] {
        assert!(ended.stderr.contains(fault), "{fault} in\n{}", ended.stderr);
    }

    // Well formed, but nothing that it names is there: all of that at once, too.
    let text = text.replace("colour = 1\n", "").replace("chain = \"no.crt\"\n", "chain = \"no.crt\"\nkey = \"no.key\"\n");
    fs::write(&config, text).unwrap();
    let ended = run(&["dataplane".as_ref(), "--check".as_ref(), "--config".as_ref(), config.as_os_str()]);
    assert_eq!(ended.status.code(), Some(1));
    for file in ["no.crt", "no.key", "no-seal"] {
        assert!(ended.stderr.contains(file), "{file} in\n{}", ended.stderr);
    }
}

/// A folder with the shipped examples, as a user would lay them out; only ports differ.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let ended = run(&["controlplane".as_ref(), "init".as_ref(), "--demo".as_ref(), "--data-dir".as_ref(), folder.path().join("controlplane").as_os_str()]);
        assert!(ended.status.success(), "{}", ended.stderr);
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn start_control_plane(&self) -> Holdfast {
        let config = self.path("controlplane.toml");
        fs::write(&config, any_ports(&shipped("controlplane.toml"))).unwrap();
        Holdfast::start(&["controlplane".as_ref(), "--config".as_ref(), config.as_os_str()])
    }

    fn enroll(&self, name: &str, sync: SocketAddr) {
        let endpoint = format!("https://localhost:{}", sync.port());
        let (data, out) = (self.path("controlplane"), self.path(name));
        let ended = run(&[
            "node".as_ref(), "enroll".as_ref(), name.as_ref(), "--data-dir".as_ref(), data.as_os_str(),
            "--out".as_ref(), out.as_os_str(), "--sync-endpoint".as_ref(), endpoint.as_ref(),
        ]);
        assert!(ended.status.success(), "{}", ended.stderr);
        // What enroll wrote starts as it is, but for its fixed ports.
        let ready = out.join("dataplane.toml");
        let checked = run(&["dataplane".as_ref(), "--check".as_ref(), "--config".as_ref(), ready.as_os_str()]);
        assert!(checked.status.success(), "{}", checked.stderr);
    }

    fn data_plane_config(&self, sync: SocketAddr) -> PathBuf {
        let config = self.path("dataplane.toml");
        let text = any_ports(&shipped("dataplane.toml")).replace("https://localhost:8445", &format!("https://localhost:{}", sync.port()));
        fs::write(&config, text).unwrap();
        config
    }

    fn xks(&self, at: SocketAddr) -> Map<String, Value> {
        let demo: Value = serde_json::from_slice(&fs::read(self.path("controlplane/demo.json")).unwrap()).unwrap();
        let mut xks = demo["xks"].as_object().unwrap().clone();
        xks.insert("port".into(), at.port().into());
        xks
    }

    fn plan(&self, at: SocketAddr, end: End) -> LoadPlan {
        let target = Target::parse(&Value::Object(self.xks(at)).to_string(), self.0.path()).unwrap();
        let mut plan = LoadPlan::new(vec![target]);
        plan.workload = Workload::Mix;
        plan.check = Check::RoundTrip;
        plan.end = end;
        plan
    }

    fn load(&self, at: SocketAddr) -> LoadReport {
        run_load(self.plan(at, End::Requests(400)))
    }

    fn conforms(&self, at: SocketAddr) {
        let target = self.path("target.json");
        fs::write(&target, Value::Object(self.xks(at)).to_string()).unwrap();
        let ended = run(&["conformance".as_ref(), "--target".as_ref(), target.as_os_str()]);
        assert!(ended.status.success(), "{}", ended.stdout);
    }
}

fn start_data_plane(config: &Path) -> Holdfast {
    Holdfast::start(&["dataplane".as_ref(), "--config".as_ref(), config.as_os_str()])
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

fn run_load(plan: LoadPlan) -> LoadReport {
    tokio::runtime::Runtime::new().unwrap().block_on(load::run(plan)).unwrap()
}

fn assert_all_right(report: &LoadReport) {
    assert!(report.answered() > 0);
    let failures: Vec<_> = report.failures().collect();
    assert!(failures.is_empty() && report.wrong() == 0, "{failures:?}");
}
