//! Certificates: by name, and new ones under way.

use std::{fs, process::Command};

use rustls_pki_types::CertificateDer;

use crate::{
    client::{Connection, Connector, plain},
    rig::{Rig, Subject},
};

/// The certificate that a new connection is shown.
async fn shown(rig: &Rig, name: &str) -> std::io::Result<CertificateDer<'static>> {
    let connection = Connector::new(rig).try_connect(rig.addr(), name).await?;
    let chain = connection.stream.get_ref().1.peer_certificates().unwrap();
    Ok(chain[0].clone().into_owned())
}

/// Connects until another certificate is shown: the watch takes as long as the operating system takes.
async fn until_changed(rig: &Rig, from: &CertificateDer<'_>) {
    while shown(rig, "localhost").await.unwrap() == *from {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_name_asked_for_picks_the_certificate_and_the_first_is_for_all_others() {
    let names = ["127.0.0.1", "first.test"];
    let rig = Rig::with(
        |settings, files| {
            files.write_pair("first", &files.ca.sign(&Subject::server(&names)));
            files.write_pair("second", &files.ca.sign(&Subject::server(&["second.test", "*.wild.test"])));
            settings.listeners[0].certificates = vec![files.pair("first"), files.pair("second")];
        },
        |_| (),
    )
    .await;
    let first = shown(&rig, "first.test").await.unwrap();
    let second = shown(&rig, "second.test").await.unwrap();
    assert_ne!(first, second);
    assert_eq!(shown(&rig, "a.wild.test").await.unwrap(), second);
    // No SNI for an address.
    assert_eq!(shown(&rig, "127.0.0.1").await.unwrap(), first);
    for unknown in ["unknown.test", "a.b.wild.test", "wild.test"] {
        let error = shown(&rig, unknown).await.unwrap_err();
        assert!(error.to_string().contains("first.test"), "shown a certificate of another name: {error}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_picked_up_and_no_connection_lost() {
    let rig = Rig::start().await;
    let mut before = Connection::open(&rig).await;
    let old = shown(&rig, "localhost").await.unwrap();
    rig.files.write_pair("server", &rig.files.ca.sign(&Subject::server(&["localhost"])));
    until_changed(&rig, &old).await;
    assert_eq!(before.call("metadata", &plain("metadata")).await.status, 200);
}

#[tokio::test]
async fn a_file_that_holds_no_key_changes_nothing_and_the_next_good_one_does() {
    let rig = Rig::start().await;
    let old = shown(&rig, "localhost").await.unwrap();
    fs::write(rig.files.path("server.key"), "no key").unwrap();
    assert!(Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status().unwrap().success());
    assert_eq!(shown(&rig, "localhost").await.unwrap(), old);
    let mut connection = Connection::open(&rig).await;
    assert_eq!(connection.call("metadata", &plain("metadata")).await.status, 200);
    rig.files.write_pair("server", &rig.files.ca.sign(&Subject::server(&["localhost"])));
    until_changed(&rig, &old).await;
}

#[tokio::test]
async fn everything_that_is_wrong_at_the_start_is_said_at_once() {
    let rig = Rig::start().await;
    let mut settings = rig.files.settings();
    settings.state_dir = rig.files.path("another");
    settings.listeners[0].addr = rig.addr();
    settings.listeners[0].client_cn_patterns = vec!["kms.amazonaws.com".into()];
    settings.key_seals = ["ca.pem", "absent"].map(|name| rig.files.path(name).into()).into();
    settings.ops = rig.plane.ops_addr();
    let errors = holdfast_dataplane::DataPlane::start(settings).await.unwrap_err();
    let text = errors.to_string();
    for part in ["<region>", "cannot listen", "absent", "holds no key seal"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert_eq!(text.lines().count(), 5, "{text}");
}
