//! Who is let in.

use tonic::Code;

use super::{
    estate::{Estate, name},
    node::{Node, attach},
};
use crate::pki::{Authority, issued_ms};

#[tokio::test]
async fn a_node_is_registered_at_its_first_contact_and_gets_everything() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    assert!(publisher.nodes().is_empty());
    let issued = estate.enrol("node-1");
    let mut node = attach(&estate, &publisher, Some(&issued)).await.unwrap();
    node.hello().await;
    let begin = node.take_push().await;
    assert_eq!((begin.base, begin.changes), (None, 2));
    let entry = estate.registered("node-1").await;
    assert_eq!((entry.fingerprint, entry.registered, entry.revoked_ms), (issued.fingerprint, true, None));
    let views = publisher.nodes();
    assert_eq!((views[0].name.as_str(), views[0].connected), ("node-1", true));
    assert_eq!(views[0].report.as_ref().unwrap().software_version, "1.2.3");
}

#[tokio::test]
async fn strangers_are_not_heard() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let stranger = Authority::generate().unwrap().node(&name("node-1")).unwrap();
    let server = estate.authority.server(&[]).unwrap();
    for certificate in [None, Some(&stranger), Some(&server)] {
        assert!(attach(&estate, &publisher, certificate).await.is_err());
    }
    assert!(publisher.nodes().is_empty());
}

#[tokio::test]
async fn a_forgotten_node_is_cut_off_and_refused_until_it_is_enrolled_anew() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let issued = estate.enrol("node-1");
    let mut node = attach(&estate, &publisher, Some(&issued)).await.unwrap();
    node.hello().await;
    node.take_push().await;

    let entry = estate.registered("node-1").await;
    let issued_at = entry.enrolled_ms;
    estate.tombstone(entry, issued_at).await;
    assert!(publisher.forget(&name("node-1")));
    assert_eq!(node.ending().await, Code::Aborted);
    let refused = attach(&estate, &publisher, Some(&issued)).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(publisher.nodes().is_empty());

    let again = later_certificate(&estate, issued_at);
    let mut node = attach(&estate, &publisher, Some(&again)).await.unwrap();
    node.hello().await;
    node.take_push().await;
    let entry = estate.registered("node-1").await;
    assert_eq!((entry.registered, entry.revoked_ms), (true, Some(issued_at)), "older certificates stay refused");
}

#[tokio::test]
async fn a_new_stream_of_a_node_replaces_the_old_one() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut old = Node::joined(&estate, &publisher, "node-1").await;
    let mut new = Node::joined(&estate, &publisher, "node-1").await;
    assert_eq!(old.ending().await, Code::Aborted);
    assert_eq!(publisher.nodes().len(), 1);
    assert!(publisher.nodes()[0].connected);
    estate.add_key(2).await;
    new.take_push().await;
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_stream() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = attach(&estate, &publisher, Some(&estate.enrol("node-1"))).await.unwrap();
    node.ack(true).await;
    assert_eq!(node.ending().await, Code::InvalidArgument);
}

#[tokio::test]
async fn draining_ends_the_streams() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    let ending = tokio::spawn(async move { node.ending().await });
    publisher.drain().await;
    assert_eq!(ending.await.unwrap(), Code::Unavailable);
}

/// Issued in a later millisecond than `issued_at`.
fn later_certificate(estate: &Estate, issued_at: u64) -> crate::pki::Issued {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    use x509_parser::prelude::{FromDer, X509Certificate};
    loop {
        let issued = estate.enrol("node-1");
        let der = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
        if issued_ms(X509Certificate::from_der(&der).unwrap().1.raw_serial()) > issued_at {
            return issued;
        }
    }
}
