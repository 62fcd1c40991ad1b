//! TLS towards the proxy: which authorities are trusted, and one client configuration per purpose.
//!
//! Holds: no provider is installed for the process; the certificate is always verified; sessions are
//! resumed only where a case is about that, so that each connection stands for a first one.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, ConfigBuilder, RootCertStore, SupportedProtocolVersion, WantsVerifier};

use crate::target::{ClientCertificate, Target};

/// What every connection to one target shares.
pub(crate) struct Trust {
    roots: Arc<RootCertStore>,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// What one connection offers.
#[derive(Clone, Copy)]
pub(crate) struct Offer {
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    /// The only cipher suite offered, or all.
    pub(crate) suite: Option<CipherSuite>,
    pub(crate) alpn: &'static [&'static str],
    pub(crate) resume: bool,
}

impl Offer {
    /// HTTP/1.1 over whatever TLS the proxy likes best.
    pub(crate) const PLAIN: Self = Self { versions: BOTH, suite: None, alpn: &["http/1.1"], resume: false };
    /// HTTP/2 first.
    pub(crate) const HTTP2: Self = Self { alpn: &["h2", "http/1.1"], ..Self::PLAIN };
}

impl Trust {
    /// Reads the files that the target names; what is wrong with them as a sentence.
    pub(crate) fn load(target: &Target) -> Result<Self, String> {
        let bundle = match &target.ca {
            Some(file) => file.as_path(),
            None => SYSTEM_BUNDLES
                .iter()
                .map(Path::new)
                .find(|file| file.exists())
                .ok_or("no ca was given and the system has no bundle of authorities")?,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(bundle)?);
        if roots.is_empty() {
            return Err(format!("{} holds no certificate", bundle.display()));
        }
        let client = target.client.as_ref().map(identity).transpose()?;
        Ok(Self { roots: Arc::new(roots), client })
    }

    /// A client configuration for this offer; what is wrong with it as a sentence.
    pub(crate) fn config(&self, offer: &Offer) -> Result<Arc<ClientConfig>, String> {
        let mut provider = aws_lc_rs::default_provider();
        if let Some(only) = offer.suite {
            provider.cipher_suites.retain(|s| s.suite() == only);
        }
        let builder = builder(provider, offer.versions)
            .map_err(|error| format!("no TLS client for this: {error}"))?
            .with_root_certificates(Arc::clone(&self.roots));
        let mut config = match &self.client {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| format!("client certificate unusable: {error}"))?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = offer.alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        if !offer.resume {
            config.resumption = Resumption::disabled();
        }
        Ok(Arc::new(config))
    }
}

fn builder(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions)
}

fn identity(files: &ClientCertificate) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| format!("{}: {error}", files.key.display()))?;
    Ok((certificates(&files.chain)?, key))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let explain = |error| format!("{}: {error}", file.display());
    let found = CertificateDer::pem_file_iter(file).map_err(explain)?;
    found.collect::<Result<_, _>>().map_err(explain)
}

/// TLS 1.2 and 1.3.
pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
/// TLS 1.2 alone.
pub(crate) const ONLY_12: &[&SupportedProtocolVersion] = &[&TLS12];
/// TLS 1.3 alone.
pub(crate) const ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];

/// Where systems keep their authorities: Debian and Alpine, Red Hat, SUSE.
const SYSTEM_BUNDLES: [&str; 3] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];
