//! Which certificate a client is shown.
//! Holds: never empty, so that a client without SNI or with an unknown name gets the first one.

use std::sync::Arc;

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// All certificates of a listener.
#[derive(Debug)]
pub(super) struct Certificates {
    first: Arc<CertifiedKey>,
    /// All, the first among them, with their names.
    named: Vec<Named>,
}

impl Certificates {
    /// None without a certificate.
    pub(super) fn new(certified: Vec<CertifiedKey>) -> Option<Self> {
        let named: Vec<Named> = certified.into_iter().map(Named::new).collect();
        Some(Self { first: Arc::clone(&named.first()?.key), named })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // With an ECDSA and an RSA certificate of one name, the client's algorithms decide.
        let signs = |key: &CertifiedKey| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let asked = hello.server_name().map(str::to_ascii_lowercase);
        let named = asked.and_then(|name| self.named.iter().find(|one| one.covers(&name) && signs(&one.key)));
        if let Some(named) = named {
            return Some(Arc::clone(&named.key));
        }
        if signs(&self.first) {
            return Some(Arc::clone(&self.first));
        }
        self.named.iter().find(|one| signs(&one.key)).map(|one| Arc::clone(&one.key))
    }
}

#[derive(Debug)]
struct Named {
    key: Arc<CertifiedKey>,
    /// DNS names of the subject alternative names, lower-case; `*.` in front of some.
    names: Vec<String>,
}

impl Named {
    fn new(key: CertifiedKey) -> Self {
        let names = key.end_entity_cert().map_or_else(|_| Vec::new(), |certificate| dns_names(certificate));
        Self { key: Arc::new(key), names }
    }

    fn covers(&self, asked: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            // A wildcard stands for one label (RFC 6125 §6.4.3).
            Some(parent) => asked.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => name == asked,
        })
    }
}

fn dns_names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else { return Vec::new() };
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}
