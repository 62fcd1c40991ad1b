//! The planes as two processes, from the shipped example configurations.

use std::{fs, net::TcpStream, process::Command};

use holdfast_bench::plan::End;
use tempfile::TempDir;

use crate::{
    process::{alone, run},
    site::{Site, assert_all_right, plan, run_load, start_data_plane},
};

#[test]
fn traffic_goes_on_without_the_control_plane_restarts_of_the_data_plane_included() {
    let _alone = alone();
    let site = Site::new();
    let (mut control, config) = site.with_one_node();

    let mut data = start_data_plane(&config);
    let xks = data.wait_for_listener("xks");
    control.wait_for("the demo key store is ready");
    assert_all_right(&site.load(xks));

    // Traffic while the control plane dies: the run spans its end.
    let spanning = plan(vec![site.target(xks)], End::Stopped);
    let stop = spanning.stop.clone();
    let spanning = std::thread::spawn(move || run_load(spanning));
    control.kill();
    assert_all_right(&site.load(xks));
    stop.cancel();
    assert_all_right(&spanning.join().unwrap());

    // Restarted alone, the data plane serves what it last knew to be good, keys made before included.
    assert_eq!(data.stop().0.code(), Some(0));
    let mut data = start_data_plane(&config);
    data.wait_for("serving the last-good snapshot");
    let xks = data.wait_for_listener("xks");
    assert_all_right(&site.load(xks));
    site.conforms(xks);
}

#[test]
fn a_drain_goes_on_accepting_until_a_second_signal_ends_its_delay() {
    let _alone = alone();
    let site = Site::new();
    let (mut control, config) = site.with_one_node();
    let text = fs::read_to_string(&config).unwrap().replace("drain_delay_seconds = 0", "drain_delay_seconds = 600");
    fs::write(&config, text).unwrap();
    let mut data = start_data_plane(&config);
    let (xks, ops) = (data.wait_for_listener("xks"), data.wait_for_listener("ops"));
    control.wait_for("the demo key store is ready");
    assert_eq!(status(&format!("http://{ops}/readyz")), "200");

    data.signal("TERM");
    data.wait_for("draining");
    assert_all_right(&site.load(xks));
    for path in ["readyz", "ping"] {
        assert_eq!(status(&format!("http://{ops}/{path}")), "503", "{path}");
    }
    data.signal("TERM");
    assert_eq!(data.ended().0.code(), Some(0));
    assert!(TcpStream::connect(xks).is_err(), "still listening");
}

#[test]
fn a_control_plane_lists_all_faults_of_its_configuration() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("controlplane.toml");
    fs::write(&config, "colour = 1\n[api]\nlisten = \"here\"\n").unwrap();
    let ended = run(&["controlplane".as_ref(), "--config".as_ref(), config.as_os_str()]);
    assert_eq!(ended.status.code(), Some(1));
    for fault in [":1: colour is not a setting", ":1: data_dir is missing", ":3: api.listen must be", "sync.listen is missing"] {
        assert!(ended.stderr.contains(fault), "{fault} in\n{}", ended.stderr);
    }
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

fn status(url: &str) -> String {
    let output = Command::new("curl").args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", url]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
