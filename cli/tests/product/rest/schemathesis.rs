//! `schemathesis` against the description of the API, with a data plane connected: what it makes up meets no 5xx and no answer that is
//! not described. `make test` installs it, pinned, beside what cargo builds.

use std::{env, process::Command};

use holdfast_proto::admin::CreateApiTokenRequest;

use super::Site;
use crate::{admin::Admin, client, hsm::simulator::Simulator, process::alone};

#[test]
fn whatever_is_asked_is_answered_as_described() {
    let _alone = alone();
    let exe = env::current_exe().unwrap();
    let tool = exe.ancestors().nth(3).unwrap().join("schemathesis/bin/schemathesis");
    assert!(tool.is_file(), "there is no {}: make test installs it", tool.display());
    // With a partition, so that no answer depends on something that is not configured.
    let hsm = Simulator::new(&["only"], "");
    let (name, value) = hsm.environment();
    let mut site = Site::start_with(&["--partition".to_owned(), hsm.spec("only", "")], &[(name, &value)]);
    // A tool's token outlives a run on a slow machine; an admin's sign-in might not.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let token = runtime.block_on(async {
        let mut admin = Admin::sign_in(client::api(&site.handout).port(), &site.handout["api"]).await;
        let token = CreateApiTokenRequest { name: "schemathesis".into(), roles: vec!["admin".into()], life_seconds: 3_600 };
        let token = admin.request(token);
        admin.client.access.create_api_token(token).await.unwrap().into_inner().token
    });
    let keys = site.rest.get("vault/keys2")["total"].as_u64();
    let output = Command::new(tool)
        .args(["run", "--no-color", "--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--generation-deterministic"])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"])
        .args(["--warnings", "off", "--suppress-health-check", "all", "--continue-on-failure"])
        .args(["--tls-verify", site.handout["api"]["ca"].as_str().unwrap()])
        .args(["-H", &format!("Authorization: Bearer {token}")])
        .arg(format!("https://localhost:{}/api/v1/openapi.json", client::api(&site.handout).port()))
        .current_dir(site.folder.path())
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
    // Not all was refused for want of a token, or of a data plane.
    site.rest.token = token;
    assert!(site.rest.get("vault/keys2")["total"].as_u64() > keys, "no key was made");
}
