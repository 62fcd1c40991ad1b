//! What operators see in numbers.

use holdfast_dataplane::settings::ClientCertificates;

use crate::{
    client::{Connection, Connector, Signer, ops, path, plain},
    rig::{Rig, STORE, Subject},
};

/// The value of a series; none where there is no such series.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let mut lines = metrics.lines().filter_map(|line| line.rsplit_once(' '));
    lines.find(|(name, _)| *name == series).map(|(_, value)| value.parse().unwrap())
}

#[tokio::test]
async fn requests_are_counted_by_store_operation_and_outcome() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    for _ in 0..2 {
        assert_eq!(connection.call("metadata", &plain("metadata")).await.status, 200);
    }
    let stranger = Signer { secret: "x".repeat(43), ..Signer::default() };
    connection.send(stranger.request(&path("metadata"), &plain("metadata").to_string())).await;
    assert_eq!(connection.receive().await.unwrap().status, 401);

    let metrics = ops(rig.plane.ops_addr().unwrap(), "/metrics").await.1;
    let store = &rig.records.store(STORE).unwrap().header().name;
    for (operation, outcome, count) in
        [("GetKeyMetadata", "ok", 2.0), ("GetKeyMetadata", "AuthenticationFailedException", 1.0), ("Encrypt", "ok", 0.0)]
    {
        let series = format!(r#"holdfast_requests_total{{store="{store}",operation="{operation}",outcome="{outcome}"}}"#);
        assert_eq!(value(&metrics, &series), Some(count), "{series} in:\n{metrics}");
    }
    // These are shared with all other tests.
    for series in
        [r#"holdfast_refusals_total{kind="auth_wrong_signature"}"#, r#"holdfast_request_seconds_count{operation="GetKeyMetadata"}"#]
    {
        assert!(value(&metrics, series) >= Some(1.0), "{series} in:\n{metrics}");
    }
}

#[tokio::test]
async fn handshakes_are_counted_with_and_without_client_certificate() {
    let rig = Rig::with(
        |settings, files| {
            settings.listeners[0].client_certificates = ClientCertificates::Request;
            settings.listeners[0].client_ca = vec![files.path("ca.pem")];
        },
        |_| (),
    )
    .await;
    let kms = rig.files.ca.sign(&Subject::client(&["cks.kms.us-east-1.amazonaws.com"]));
    let ops_addr = rig.plane.ops_addr().unwrap();
    for (connector, certificate) in [(Connector::new(&rig), "absent"), (Connector::showing(&rig, &kms), "present")] {
        let series = format!(r#"holdfast_tls_handshakes_total{{client_certificate="{certificate}"}}"#);
        let before = value(&ops(ops_addr, "/metrics").await.1, &series).unwrap();
        assert_eq!(connector.connect(rig.addr()).await.call("metadata", &plain("metadata")).await.status, 200);
        let after = value(&ops(ops_addr, "/metrics").await.1, &series).unwrap();
        assert!(after >= before + 1.0, "{series}: {before}, then {after}");
    }
}
