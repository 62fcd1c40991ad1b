//! The control plane's own certificate authority: it signs one server certificate and one client certificate for each node.
//!
//! Always holds: all keys are ECDSA P-256; a server certificate can't be a client's and a node's can't be a server's (RFC 5280 §4.2.1.12);
//! a node's certificate has its name as common name and as its only DNS name; certificates that are signed can't sign.

use std::{net::IpAddr, time::Duration};

use aws_lc_rs::{
    digest::{SHA256, digest},
    error::Unspecified,
    rand,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};
use zeroize::Zeroizing;

use crate::{names::NodeName, store::entry::Fingerprint};

/// A certificate authority.
pub struct Authority {
    certificate_pem: String,
    key_pem: Zeroizing<String>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PKCS#8 PEM.
    pub key_pem: Zeroizing<String>,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
}

/// Making or reading a certificate failed.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A name can't stand in a certificate.
    #[error("{name:?} can't be a name in a certificate")]
    Name {
        /// The name.
        name: String,
        /// Why.
        #[source]
        cause: rcgen::Error,
    },
    /// Only the control plane has this name.
    #[error("{name:?} is the control plane's own name")]
    Reserved {
        /// The name.
        name: String,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Random,
    /// Generating or signing failed, or a PEM text holds something else.
    #[error("certificate operation failed")]
    Certificate(#[from] rcgen::Error),
}

impl Authority {
    /// A new authority with a key of its own.
    ///
    /// # Errors
    /// [`PkiError`] where the generator fails.
    pub fn generate() -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params("Holdfast CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate_pem = params.self_signed(&key)?.pem();
        let key_pem = Zeroizing::new(key.serialize_pem());
        Ok(Self { certificate_pem, key_pem, issuer: Issuer::new(params, key) })
    }

    /// The authority whose certificate and key these are.
    ///
    /// # Errors
    /// [`PkiError`] where they don't parse.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, KeyPair::from_pem(key_pem)?)?;
        Ok(Self { certificate_pem: certificate_pem.into(), key_pem: Zeroizing::new(key_pem.into()), issuer })
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's key, PKCS#8 PEM.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The control plane's server certificate: for its own name, which no other certificate has, and those of [`Authority::server`].
    ///
    /// # Errors
    /// [`PkiError::Name`] for a name that can't stand in a certificate.
    pub fn control_plane(&self, names: &[String]) -> Result<Issued, PkiError> {
        let own = [CONTROL_PLANE.to_owned()];
        self.server_for(own.iter().chain(names))
    }

    /// A server certificate for `localhost`, 127.0.0.1, ::1 and `names` (host names or IP addresses), none of them the control plane's own.
    ///
    /// # Errors
    /// [`PkiError::Name`] for a name that can't stand in a certificate.
    pub fn server(&self, names: &[String]) -> Result<Issued, PkiError> {
        if let Some(name) = names.iter().find(|name| name.eq_ignore_ascii_case(CONTROL_PLANE)) {
            return Err(PkiError::Reserved { name: name.clone() });
        }
        self.server_for(names.iter())
    }

    /// The client certificate of a node.
    ///
    /// # Errors
    /// [`PkiError`] where the generator fails.
    pub fn node(&self, name: &NodeName) -> Result<Issued, PkiError> {
        let mut params = params(name.as_str());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![alternative_name(name.as_str())?];
        self.issue(params)
    }

    fn server_for<'n>(&self, names: impl Iterator<Item = &'n String>) -> Result<Issued, PkiError> {
        let mut params = params("Holdfast server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in ["localhost", "127.0.0.1", "::1"].into_iter().chain(names.map(String::as_str)) {
            let name = alternative_name(name)?;
            if !params.subject_alt_names.contains(&name) {
                params.subject_alt_names.push(name);
            }
        }
        self.issue(params)
    }

    fn issue(&self, mut params: CertificateParams) -> Result<Issued, PkiError> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial(OffsetDateTime::now_utc())?);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        Ok(Issued { certificate_pem: certificate.pem(), key_pem, fingerprint: fingerprint(certificate.der()) })
    }
}

/// Whether a certificate (PEM) is the control plane's, by its own name.
pub(crate) fn names_control_plane(pem: &str) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return false };
    let names = certificate.subject_alternative_name().ok().flatten();
    names.is_some_and(|names| names.value.general_names.contains(&GeneralName::DNSName(CONTROL_PLANE)))
}

/// SHA-256 over a certificate's DER: what a node is registered under.
#[must_use]
pub fn fingerprint(der: &[u8]) -> Fingerprint {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, der).as_ref());
    Fingerprint(out)
}

/// When a certificate with this serial number was issued, milliseconds since 1970; zero for a serial number of another form.
#[must_use]
pub fn issued_ms(raw_serial: &[u8]) -> u64 {
    // DER drops leading zeros (X.690 §8.3.2).
    let Some(time) = raw_serial.len().checked_sub(SERIAL_RANDOM).filter(|length| *length <= 8) else { return 0 };
    raw_serial[..time].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte))
}

/// Milliseconds since 1970 (8 bytes) and random (8 bytes): so a certificate tells when it was issued to the millisecond.
fn serial(now: OffsetDateTime) -> Result<SerialNumber, PkiError> {
    let ms = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    let mut serial = [0; 8 + SERIAL_RANDOM];
    rand::fill(&mut serial).map_err(|Unspecified| PkiError::Random)?;
    serial[..8].copy_from_slice(&ms.to_be_bytes());
    Ok(SerialNumber::from_slice(&serial))
}

fn params(common_name: &str) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = now - CLOCKS_APART;
    params.not_after = now + VALID_FOR;
    params
}

fn alternative_name(name: &str) -> Result<SanType, PkiError> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(name.try_into().map_err(|cause| PkiError::Name { name: name.into(), cause })?)),
    }
}

/// What nodes look for in the control plane's certificate. The zone is for private use (ICANN board resolution 2024.07.29.06).
pub const CONTROL_PLANE: &str = "control-plane.holdfast.internal";
const SERIAL_RANDOM: usize = 8;
/// A host whose clock is this much behind still takes a fresh certificate.
const CLOCKS_APART: Duration = Duration::from_hours(24);
/// Ten years: they live on hosts that nobody logs in to, and `node forget` revokes.
const VALID_FOR: Duration = Duration::from_hours(24 * 3652);

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::*;

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn what_an_authority_signs_verifies_after_it_was_read_again_and_cannot_sign() {
        let made = Authority::generate().unwrap();
        let authority = Authority::from_pem(made.certificate_pem(), made.key_pem()).unwrap();
        let issued = authority.node(&NodeName::try_from("node-1").unwrap()).unwrap();
        let (ca, leaf) = (der(made.certificate_pem()), der(&issued.certificate_pem));
        let (ca, leaf) = (parse_x509_certificate(&ca).unwrap().1, parse_x509_certificate(&leaf).unwrap().1);
        assert_eq!(leaf.issuer(), ca.subject());
        assert!(ca.is_ca() && !leaf.is_ca());
        let seconds = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
        assert!(seconds > 3650 * 86_400);
    }

    #[test]
    fn a_node_is_a_client_under_its_name_only_and_a_server_is_only_a_server() {
        let authority = Authority::generate().unwrap();
        let node = authority.node(&NodeName::try_from("node-1").unwrap()).unwrap();
        let server = authority.server(&["cp.example.com".into(), "10.0.0.9".into(), "localhost".into()]).unwrap();
        let (node_der, server_der) = (der(&node.certificate_pem), der(&server.certificate_pem));
        assert_eq!(node.fingerprint, fingerprint(&node_der));
        let (_, node) = parse_x509_certificate(&node_der).unwrap();
        let (_, server) = parse_x509_certificate(&server_der).unwrap();
        assert_eq!(node.subject().iter_common_name().next().unwrap().as_str().unwrap(), "node-1");
        assert_eq!(names(&node), ["node-1"]);
        assert_eq!(names(&server), ["localhost", "[127, 0, 0, 1]", "::1", "cp.example.com", "[10, 0, 0, 9]"]);
        let usage = |c: &X509Certificate<'_>| {
            let usage = c.extended_key_usage().unwrap().unwrap().value;
            (usage.client_auth, usage.server_auth)
        };
        assert_eq!((usage(&node), usage(&server)), ((true, false), (false, true)));
    }

    #[test]
    fn only_the_control_planes_certificate_has_its_own_name() {
        let authority = Authority::generate().unwrap();
        assert!(names_control_plane(&authority.control_plane(&["cp.example.com".into()]).unwrap().certificate_pem));
        assert!(!names_control_plane(&authority.server(&["cp.example.com".into()]).unwrap().certificate_pem));
        assert!(!names_control_plane("-----BEGIN CERTIFICATE-----"));
        let posing = authority.server(&["Control-Plane.holdfast.internal".into()]);
        assert!(matches!(posing, Err(PkiError::Reserved { .. })));
    }

    #[test]
    fn a_serial_number_tells_when_its_certificate_was_issued() {
        let before = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        let issued = Authority::generate().unwrap().node(&NodeName::try_from("node-1").unwrap()).unwrap();
        let after = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        let der = der(&issued.certificate_pem);
        let told = issued_ms(parse_x509_certificate(&der).unwrap().1.raw_serial());
        assert!((before..=after).contains(&i128::from(told)), "{before} {told} {after}");
        assert_eq!((issued_ms(&[1; 7]), issued_ms(&[1; 8]), issued_ms(&[1; 9]), issued_ms(&[1; 17])), (0, 0, 1, 0));
    }

    #[test]
    fn a_name_that_is_no_host_name_is_refused() {
        assert!(matches!(Authority::generate().unwrap().server(&["é".into()]), Err(PkiError::Name { .. })));
    }

    fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        let text = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => (*name).to_owned(),
            GeneralName::IPAddress(bytes) if bytes.len() == 16 => "::1".to_owned(),
            GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
            other => format!("{other:?}"),
        };
        names.value.general_names.iter().map(text).collect()
    }
}
