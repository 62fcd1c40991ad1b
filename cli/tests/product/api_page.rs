//! The browsable page of the API in headless Chromium.

use std::process::Command;

use tempfile::TempDir;

use crate::{client, http::Http, process::Holdfast};

#[test]
fn the_page_lists_every_operation_loads_nothing_from_elsewhere_and_the_browser_has_no_complaint() {
    let folder = TempDir::new().unwrap();
    let mut dev = Holdfast::start(&client::dev_arguments(folder.path()));
    dev.wait_for("curl --aws-sigv4");
    let handout = client::handout(folder.path());
    let at = client::api(&handout);
    let mut http = Http::tls(at, handout["api"]["ca"].as_str().unwrap().as_ref());
    let description = http.send("GET", "/api/v1/openapi.json", &[], &[]).json();
    assert_eq!(description["openapi"].as_str().unwrap().rsplit_once('.').unwrap().0, "3.1");
    let moved = http.send("GET", "/api/v1/docs/", &[], &[]);
    assert_eq!((moved.status, moved.header("location")), (303, Some("/api/v1/docs/index.html")));

    let profile = folder.path().join("profile");
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--ignore-certificate-errors"])
        // Every name but ours leads nowhere.
        .args(["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost", "--enable-logging=stderr", "--v=0"])
        .args(["--virtual-time-budget=30000", "--dump-dom", &format!("--user-data-dir={}", profile.display())])
        .arg(format!("https://localhost:{}/api/v1/docs/", at.port()))
        .output()
        .unwrap();
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let complaints: Vec<_> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    for (path, item) in description["paths"].as_object().unwrap() {
        assert!(dom.contains(&format!("data-path=\"{path}\"")), "{path} in\n{dom}\n{log}");
        for (_, operation) in item.as_object().unwrap() {
            let summary = operation["summary"].as_str().unwrap().trim_end_matches('.');
            assert!(dom.contains(summary), "{summary} in\n{dom}");
        }
    }
}
