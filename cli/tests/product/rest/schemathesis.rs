//! `schemathesis` against the description of the API, with a data plane connected: what it makes up meets no 5xx and no answer that is
//! not described. `make test` installs it, pinned, beside what cargo builds.

use std::{env, process::Command};

use super::Site;
use crate::{client, process::alone};

#[test]
fn whatever_is_asked_is_answered_as_described() {
    let _alone = alone();
    let exe = env::current_exe().unwrap();
    let tool = exe.ancestors().nth(3).unwrap().join("schemathesis/bin/schemathesis");
    assert!(tool.is_file(), "there is no {}: make test installs it", tool.display());
    let site = Site::start(&[]);
    let output = Command::new(tool)
        .args(["run", "--no-color", "--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--generation-deterministic"])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"])
        .args(["--warnings", "off", "--suppress-health-check", "all", "--continue-on-failure"])
        .args(["--tls-verify", site.handout["api"]["ca"].as_str().unwrap()])
        .args(["-H", &format!("Authorization: Bearer {}", site.rest.token)])
        .arg(format!("https://localhost:{}/api/v1/openapi.json", client::api(&site.handout).port()))
        .current_dir(site.folder.path())
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
}
