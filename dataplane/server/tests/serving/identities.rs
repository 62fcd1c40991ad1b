//! Client certificates: none, good, and all that is wrong with some.

use holdfast_dataplane::settings::ClientCertificates;
use rustls::{HandshakeKind, version::TLS12};

use crate::{
    client::{Connector, Signer, path, plain},
    rig::{Authority, Files, Rig, Signed, Subject},
};

const KMS: &str = "cks.kms.us-east-1.amazonaws.com";

async fn rig(mode: ClientCertificates, mtls_enabled: bool) -> Rig {
    let settings = |settings: &mut holdfast_dataplane::Settings, files: &Files| {
        settings.listeners[0].client_certificates = mode;
        settings.listeners[0].client_ca = vec![files.path("ca.pem")];
    };
    Rig::with(settings, |header| header.mtls_enabled = mtls_enabled).await
}

fn kms(rig: &Rig) -> Signed {
    rig.files.ca.sign(&Subject::client(&[KMS]))
}

/// The status of one request; none where the handshake is ended.
async fn status(rig: &Rig, connector: &Connector) -> Option<u16> {
    let mut connection = connector.try_connect(rig.addr(), "localhost").await.ok()?;
    let request = Signer::default().request(&path("metadata"), &plain("metadata").to_string());
    // With TLS 1.3 a client learns only from the first read that it was refused.
    tokio::io::AsyncWriteExt::write_all(&mut connection.stream, request.as_bytes()).await.ok()?;
    Some(connection.receive().await?.status)
}

#[tokio::test]
async fn without_client_certificates_a_store_that_demands_one_serves_nobody() {
    let mut rig = rig(ClientCertificates::Off, true).await;
    let shown = Connector::showing(&rig, &kms(&rig));
    assert_eq!(status(&rig, &shown).await, Some(401));
    rig.alter(|header| header.mtls_enabled = false);
    assert_eq!(status(&rig, &shown).await, Some(200));
}

#[tokio::test]
async fn requested_certificates_may_be_absent_unless_the_store_demands_one() {
    let mut rig = rig(ClientCertificates::Request, false).await;
    let (none, good) = (Connector::new(&rig), Connector::showing(&rig, &kms(&rig)));
    assert_eq!((status(&rig, &none).await, status(&rig, &good).await), (Some(200), Some(200)));
    rig.alter(|header| header.mtls_enabled = true);
    assert_eq!((status(&rig, &none).await, status(&rig, &good).await), (Some(401), Some(200)));
}

#[tokio::test]
async fn required_certificates_must_be_there() {
    let rig = rig(ClientCertificates::Require, false).await;
    assert_eq!(status(&rig, &Connector::new(&rig)).await, None);
    assert_eq!(status(&rig, &Connector::showing(&rig, &kms(&rig))).await, Some(200));
}

#[tokio::test]
async fn kms_of_another_region_is_not_authenticated() {
    let rig = rig(ClientCertificates::Request, false).await;
    let elsewhere = rig.files.ca.sign(&Subject::client(&["cks.kms.eu-west-1.amazonaws.com"]));
    assert_eq!(status(&rig, &Connector::showing(&rig, &elsewhere)).await, Some(401));
}

#[tokio::test]
async fn a_certificate_that_is_not_kmss_ends_the_handshake() {
    let rig = rig(ClientCertificates::Request, false).await;
    let ca = &rig.files.ca;
    for (what, signed) in [
        ("another name", ca.sign(&Subject::client(&["kms.us-east-1.amazonaws.com"]))),
        ("no name", ca.sign(&Subject::client(&[]))),
        ("two names", ca.sign(&Subject::client(&[KMS, KMS]))),
        ("another CA", Authority::new().sign(&Subject::client(&[KMS]))),
        ("expired", ca.sign(&Subject { years: (2020, 2021), ..Subject::client(&[KMS]) })),
        ("not yet good", ca.sign(&Subject { years: (2090, 2100), ..Subject::client(&[KMS]) })),
    ] {
        assert_eq!(status(&rig, &Connector::showing(&rig, &signed)).await, None, "{what}");
    }
}

#[tokio::test]
async fn a_resumed_session_keeps_its_client_certificate() {
    let rig = rig(ClientCertificates::Require, true).await;
    let signed = kms(&rig);
    for only_tls_12 in [false, true] {
        let connector = Connector::of(&rig, Some(&signed), |config| {
            if only_tls_12 {
                let mut old = rustls::ClientConfig::builder_with_provider(std::sync::Arc::clone(config.crypto_provider()))
                    .with_protocol_versions(&[&TLS12])
                    .unwrap()
                    .with_root_certificates(crate::client::roots(&rig))
                    .with_client_auth_cert(signed.chain(), signed.key())
                    .unwrap();
                old.resumption = rustls::client::Resumption::in_memory_sessions(8);
                *config = old;
            }
        });
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let mut connection = connector.connect(rig.addr()).await;
            assert_eq!(connection.call("metadata", &plain("metadata")).await.status, 200);
            assert_eq!(connection.stream.get_ref().1.handshake_kind(), Some(kind), "TLS 1.2: {only_tls_12}");
        }
    }
}
