//! What a listener needs to do TLS, and how it changes while connections go on.
//!
//! Owns: reading certificates, keys and client CAs, and the one [`ServerConfig`] that new connections get. Holds: TLS 1.2 and 1.3
//! only, no 0-RTT; a changed configuration is built whole before it replaces the old one, and comes with a new session store and a
//! new ticket key, so that nobody resumes a session whose certificates are no longer wanted; a bad file changes nothing.
//! Called by `listen` for each connection and by [`reload`].

mod certificates;
mod identity;
pub(crate) mod reload;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs as provider},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use zeroize::Zeroizing;

pub use self::identity::BadPattern;
pub(crate) use self::identity::Identity;
use self::{
    certificates::Certificates,
    identity::{CnPattern, KmsVerifier},
};
use crate::settings::{CertificateFiles, ClientCertificates, ListenerSettings};

/// A listener's TLS, as it is now.
pub(crate) struct Tls {
    current: ArcSwap<ServerConfig>,
    sources: Sources,
    /// Digest of the files behind `current`.
    loaded: Mutex<[u8; 32]>,
}

/// What became of a reload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reloaded {
    /// The files are as they were.
    Unchanged,
    /// New connections get the new files.
    Swapped,
}

/// Why a listener's TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file that doesn't hold what it should.
    #[error("{} holds no usable {what}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why.
        #[source]
        cause: pem::Error,
    },
    /// A certificate that can't be used with its key.
    #[error("cannot use the certificate {} with the key {}", chain.display(), key.display())]
    Pair {
        /// The certificate's file.
        chain: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        cause: rustls::Error,
    },
    /// A client CA that is no trust anchor.
    #[error("cannot trust {}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: rustls::Error,
    },
    /// Client certificates are asked for, and no CA signs them.
    #[error("the listener asks for client certificates and has no client CA")]
    NoClientCa,
    /// No certificate to show.
    #[error("the listener has no certificate")]
    NoCertificate,
    /// A pattern for common names.
    #[error("the client certificate pattern {pattern:?} is not usable")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        #[source]
        cause: BadPattern,
    },
    /// The TLS library refuses the whole.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

impl Tls {
    /// Reads everything.
    ///
    /// # Errors
    /// All that is wrong, not just the first thing.
    pub(crate) fn load(settings: &ListenerSettings) -> Result<Self, Vec<TlsError>> {
        let sources = Sources::of(settings)?;
        let files = sources.read()?;
        let config = sources.build(&files)?;
        Ok(Self { current: ArcSwap::from_pointee(config), loaded: Mutex::new(files.digest()), sources })
    }

    /// The configuration for a new connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Who a client is, by the certificate that it showed in this handshake or in the one that it resumed.
    ///
    /// # Errors
    /// [`rustls::Error`] for a certificate that is no longer good.
    pub(crate) fn identify(&self, chain: Option<&[CertificateDer<'_>]>) -> Result<Option<Identity>, rustls::Error> {
        chain.and_then(<[_]>::first).map(|end_entity| Identity::of_resumable(end_entity, &self.sources.patterns)).transpose()
    }

    /// Reads everything again. With `anyway` the configuration is replaced even where no file has changed.
    ///
    /// # Errors
    /// All that is wrong; the configuration stays as it was.
    pub(crate) fn reload(&self, anyway: bool) -> Result<Reloaded, Vec<TlsError>> {
        let files = self.sources.read()?;
        let digest = files.digest();
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if !anyway && *loaded == digest {
            return Ok(Reloaded::Unchanged);
        }
        self.current.store(Arc::new(self.sources.build(&files)?));
        *loaded = digest;
        Ok(Reloaded::Swapped)
    }

    /// The directories to watch.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.sources.pairs.iter().flat_map(|pair| [&pair.chain, &pair.key]);
        pairs.chain(&self.sources.client_ca).filter_map(|file| file.parent())
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("pairs", &self.sources.pairs).finish_non_exhaustive()
    }
}

/// Which files, and what is made of them.
struct Sources {
    pairs: Vec<CertificateFiles>,
    client_certificates: ClientCertificates,
    client_ca: Vec<PathBuf>,
    patterns: Arc<[CnPattern]>,
    provider: Arc<CryptoProvider>,
}

/// What the files held, all read before anything is built.
struct Files {
    /// As many as `Sources::pairs`.
    pairs: Vec<(Vec<u8>, Zeroizing<Vec<u8>>)>,
    /// As many as `Sources::client_ca`.
    client_ca: Vec<Vec<u8>>,
}

impl Sources {
    fn of(settings: &ListenerSettings) -> Result<Self, Vec<TlsError>> {
        let mut wrong = Vec::new();
        if settings.certificates.is_empty() {
            wrong.push(TlsError::NoCertificate);
        }
        if settings.client_certificates != ClientCertificates::Off && settings.client_ca.is_empty() {
            wrong.push(TlsError::NoClientCa);
        }
        let patterns = settings
            .client_cn_patterns
            .iter()
            .map(|pattern| CnPattern::try_from(pattern.as_str()).map_err(|cause| TlsError::Pattern { pattern: pattern.clone(), cause }));
        let patterns = all(patterns, &mut wrong);
        settled(wrong)?;
        Ok(Self {
            pairs: settings.certificates.clone(),
            client_certificates: settings.client_certificates,
            client_ca: settings.client_ca.clone(),
            patterns: patterns.into(),
            provider: Arc::new(provider::default_provider()),
        })
    }

    fn read(&self) -> Result<Files, Vec<TlsError>> {
        let mut wrong = Vec::new();
        let read = |path: &PathBuf| std::fs::read(path).map_err(|cause| TlsError::Read { path: path.clone(), cause });
        let chains = all(self.pairs.iter().map(|pair| read(&pair.chain)), &mut wrong);
        let keys = all(self.pairs.iter().map(|pair| read(&pair.key).map(Zeroizing::new)), &mut wrong);
        let client_ca = all(self.client_ca.iter().map(read), &mut wrong);
        settled(wrong)?;
        Ok(Files { pairs: chains.into_iter().zip(keys).collect(), client_ca })
    }

    fn build(&self, files: &Files) -> Result<ServerConfig, Vec<TlsError>> {
        let mut wrong = Vec::new();
        let pairs = self.pairs.iter().zip(&files.pairs);
        let certified = all(pairs.map(|(paths, (chain, key))| self.certified(paths, chain, key)), &mut wrong);
        let mut roots = RootCertStore::empty();
        for (path, text) in self.client_ca.iter().zip(&files.client_ca) {
            wrong.extend(trust(&mut roots, path, text).err());
        }
        settled(wrong)?;
        self.assemble(certified, roots).map_err(|cause| vec![cause])
    }

    fn assemble(&self, certified: Vec<rustls::sign::CertifiedKey>, roots: RootCertStore) -> Result<ServerConfig, TlsError> {
        let certificates = Certificates::new(certified).ok_or(TlsError::NoCertificate)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(TlsError::Setup)?;
        let builder = match self.client_certificates {
            ClientCertificates::Off => builder.with_no_client_auth(),
            ClientCertificates::Request => builder.with_client_cert_verifier(self.verifier(roots, true)?),
            ClientCertificates::Require => builder.with_client_cert_verifier(self.verifier(roots, false)?),
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP_1_1.to_vec()];
        // Sessions are in tickets, sealed under a key of this configuration: no lock that all connections share.
        config.ticketer = provider::Ticketer::new().map_err(TlsError::Setup)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        config.max_early_data_size = 0;
        Ok(config)
    }

    fn verifier(&self, roots: RootCertStore, optional: bool) -> Result<Arc<KmsVerifier>, TlsError> {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider));
        let builder = if optional { builder.allow_unauthenticated() } else { builder };
        let chains = builder.build().map_err(|_| TlsError::NoClientCa)?;
        Ok(Arc::new(KmsVerifier::new(chains, Arc::clone(&self.patterns))))
    }

    fn certified(&self, paths: &CertificateFiles, chain: &[u8], key: &[u8]) -> Result<rustls::sign::CertifiedKey, TlsError> {
        let chain = certificates_in(&paths.chain, chain)?;
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|cause| TlsError::Pem { path: paths.key.clone(), what: "private key", cause })?;
        rustls::sign::CertifiedKey::from_der(chain, key, &self.provider).map_err(|cause| TlsError::Pair {
            chain: paths.chain.clone(),
            key: paths.key.clone(),
            cause,
        })
    }
}

impl Files {
    fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        let pairs = self.pairs.iter().flat_map(|(chain, key)| [chain.as_slice(), key.as_slice()]);
        for file in pairs.chain(self.client_ca.iter().map(Vec::as_slice)) {
            context.update(&file.len().to_be_bytes());
            context.update(file);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

fn trust(roots: &mut RootCertStore, path: &Path, text: &[u8]) -> Result<(), TlsError> {
    for certificate in certificates_in(path, text)? {
        roots.add(certificate).map_err(|cause| TlsError::ClientCa { path: path.into(), cause })?;
    }
    Ok(())
}

/// At least one.
fn certificates_in(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |cause| TlsError::Pem { path: path.into(), what: "certificate", cause };
    let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if found.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(found) }
}

/// The good ones; the others' errors go to `wrong`.
fn all<T>(tried: impl Iterator<Item = Result<T, TlsError>>, wrong: &mut Vec<TlsError>) -> Vec<T> {
    tried.filter_map(|one| one.map_err(|error| wrong.push(error)).ok()).collect()
}

fn settled(wrong: Vec<TlsError>) -> Result<(), Vec<TlsError>> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// HTTP/2 (RFC 9113 §3.2).
pub(crate) const ALPN_H2: &[u8] = b"h2";
/// HTTP/1.1 (RFC 7301 §6).
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

#[cfg(test)]
mod tests;
