//! Client certificates: which ones are KMS's, and of which region.
//!
//! Holds: an [`Identity`] was read from a certificate with exactly one common name, which one pattern matches; the handshake of any
//! other client certificate is ended. That the chain leads to a configured root is rustls's to check, which it does in full
//! handshakes only; a resumed one brings the same certificate back, so its dates are looked at again here.

use std::{sync::Arc, time::SystemTime};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::{certificate::X509Certificate, parse_x509_certificate, time::ASN1Time};

use crate::settings::REGION;

/// KMS of one region, as its client certificate shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    region: Box<str>,
}

/// A common name with a place for the region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CnPattern {
    before: Box<str>,
    after: Box<str>,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must contain {REGION} exactly once")]
pub struct BadPattern;

/// Why a client certificate is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NotKms {
    #[error("the certificate's subject has not exactly one common name")]
    CommonNames,
    #[error("the certificate's common name is not one of AWS KMS")]
    Stranger,
}

impl Identity {
    /// The region in the certificate's name.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// The identity in a certificate whose chain was verified, now or when the session was new.
    pub(super) fn of_resumable(end_entity: &CertificateDer<'_>, patterns: &[CnPattern]) -> Result<Self, Error> {
        let (_, certificate) = parse_x509_certificate(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = i64::try_from(now).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
        if !now.is_some_and(|now| certificate.validity().is_valid_at(now)) {
            return Err(CertificateError::Expired.into());
        }
        Self::of(&certificate, patterns).map_err(refusal)
    }

    fn of(certificate: &X509Certificate<'_>, patterns: &[CnPattern]) -> Result<Self, NotKms> {
        let mut names = certificate.subject().iter_common_name();
        let (Some(name), None) = (names.next(), names.next()) else { return Err(NotKms::CommonNames) };
        let name = name.as_str().map_err(|_| NotKms::CommonNames)?;
        let region = patterns.iter().find_map(|pattern| pattern.region(name)).ok_or(NotKms::Stranger)?;
        Ok(Self { region: region.into() })
    }
}

impl TryFrom<&str> for CnPattern {
    type Error = BadPattern;

    fn try_from(text: &str) -> Result<Self, BadPattern> {
        let (before, after) = text.split_once(REGION).ok_or(BadPattern)?;
        if after.contains(REGION) {
            return Err(BadPattern);
        }
        Ok(Self { before: before.into(), after: after.into() })
    }
}

impl CnPattern {
    /// The region in a name that matches.
    fn region<'n>(&self, name: &'n str) -> Option<&'n str> {
        let region = name.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        let is_region = !region.is_empty() && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        is_region.then_some(region)
    }
}

/// Rustls's verifier, and after it the common name.
#[derive(Debug)]
pub(super) struct KmsVerifier {
    chains: Arc<dyn ClientCertVerifier>,
    patterns: Arc<[CnPattern]>,
}

impl KmsVerifier {
    pub(super) fn new(chains: Arc<dyn ClientCertVerifier>, patterns: Arc<[CnPattern]>) -> Self {
        Self { chains, patterns }
    }
}

impl ClientCertVerifier for KmsVerifier {
    fn offer_client_auth(&self) -> bool {
        self.chains.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chains.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chains.verify_client_cert(end_entity, intermediates, now)?;
        let (_, certificate) = parse_x509_certificate(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        Identity::of(&certificate, &self.patterns).map(|_| verified).map_err(refusal)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

fn refusal(cause: NotKms) -> Error {
    CertificateError::Other(OtherError(Arc::new(cause))).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::CLIENT_CN_PATTERN;

    #[test]
    fn a_pattern_finds_the_region_and_nothing_else() {
        let pattern = CnPattern::try_from(CLIENT_CN_PATTERN).unwrap();
        assert_eq!(pattern.region("cks.kms.eu-west-1.amazonaws.com"), Some("eu-west-1"));
        for stranger in ["cks.kms..amazonaws.com", "cks.kms.a.b.amazonaws.com", "cks.kms.eu-west-1.amazonaws.com.evil", "kms", ""] {
            assert_eq!(pattern.region(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn a_pattern_has_one_place_for_the_region() {
        assert!(CnPattern::try_from("kms.amazonaws.com").is_err());
        assert!(CnPattern::try_from("<region>.<region>").is_err());
    }
}
