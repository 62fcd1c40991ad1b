//! A certificate is verified once for each target; afterwards it is recognised.
//!
//! A generator that shares the machine with the server would otherwise spend a good part of each new connection
//! on the same chain. Holds: the first certificate was verified in full, and every handshake's signature is.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Verifies the certificates of one target, whose name never changes.
#[derive(Debug)]
pub(crate) struct Recognising {
    full: Arc<WebPkiServerVerifier>,
    verified: OnceLock<CertificateDer<'static>>,
}

impl Recognising {
    pub(crate) const fn new(full: Arc<WebPkiServerVerifier>) -> Self {
        Self { full, verified: OnceLock::new() }
    }
}

impl ServerCertVerifier for Recognising {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.verified.get() == Some(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self.full.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        // Another connection may have been first; a second certificate of the same target is verified each time.
        let _ = self.verified.set(end_entity.clone().into_owned());
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.full.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.full.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.full.supported_verify_schemes()
    }
}
