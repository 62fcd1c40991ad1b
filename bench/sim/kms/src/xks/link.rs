//! Connections to proxies: TLS 1.2 or 1.3 with the cipher suites of the specification and no others, HTTP/1.1, kept alive.
//!
//! Always holds: one request at a time on a connection; connections are shared by requests to the same address in the same region with the
//! same client certificate; a request is sent again only if nothing of it went out, on a kept connection that turned out to be closed.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore, SupportedCipherSuite,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{
            self,
            cipher_suite::{
                TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS13_AES_256_GCM_SHA384,
                TLS13_CHACHA20_POLY1305_SHA256,
            },
        },
    },
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ProxyError;
use crate::{serve::SimError, shared::Shared};

/// All connections to proxies.
#[derive(Debug)]
pub(crate) struct Links {
    roots: Arc<RootCertStore>,
    configs: Mutex<HashMap<(String, bool), Arc<ClientConfig>>>,
    idle: Mutex<HashMap<Key, Vec<SendRequest<Full<Bytes>>>>>,
}

/// Which connection is wanted.
pub(super) struct Wanted<'w> {
    /// Host, and the port unless it is 443.
    pub(super) authority: &'w str,
    pub(super) region: &'w str,
    /// Whether the client certificate is shown.
    pub(super) certificate: bool,
}

/// Nothing of the request was sent.
struct Unsent(ProxyError);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    authority: String,
    region: String,
    certificate: bool,
}

impl Links {
    /// With the certificates that a proxy's must chain to; the host's without `pem`.
    ///
    /// # Errors
    /// `pem` has no certificate, or one that can't be read.
    pub(crate) fn new(pem: Option<&[u8]>) -> Result<Self, SimError> {
        let mut roots = RootCertStore::empty();
        match pem {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| SimError::ProxyCa(error.to_string()))?;
                    roots.add(certificate).map_err(|error| SimError::ProxyCa(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(SimError::ProxyCa("it has no certificate".into()));
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        Ok(Self { roots: Arc::new(roots), configs: Mutex::default(), idle: Mutex::default() })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// No connection, no TLS, or no answer of HTTP.
    pub(super) async fn send(
        &self,
        shared: &Shared,
        wanted: &Wanted<'_>,
        request: Request<Bytes>,
    ) -> Result<(StatusCode, Bytes), ProxyError> {
        let key = Key { authority: wanted.authority.to_owned(), region: wanted.region.to_owned(), certificate: wanted.certificate };
        if let Some(kept) = self.take(&key).await
            && let Ok(answer) = self.send_on(kept, &key, request.clone()).await
        {
            return answer;
        }
        let fresh = self.connect(shared, wanted).await?;
        self.send_on(fresh, &key, request).await.unwrap_or_else(|Unsent(error)| Err(error))
    }

    async fn send_on(
        &self,
        mut connection: SendRequest<Full<Bytes>>,
        key: &Key,
        request: Request<Bytes>,
    ) -> Result<Result<(StatusCode, Bytes), ProxyError>, Unsent> {
        let response = match connection.try_send_request(request.map(Full::new)).await {
            Ok(response) => response,
            Err(error) if error.message().is_some() => return Err(Unsent(fault(error.error()))),
            // The proxy may have read it, and done what it asks.
            Err(error) => return Ok(Err(fault(error.error()))),
        };
        let status = response.status();
        let Ok(body) = Limited::new(response.into_body(), MAX_ANSWER).collect().await else {
            return Ok(Err(ProxyError::Unreadable("it broke off or is too long".into())));
        };
        lock(&self.idle).entry(key.clone()).or_default().push(connection);
        Ok(Ok((status, body.to_bytes())))
    }

    /// A kept connection that is still open.
    async fn take(&self, key: &Key) -> Option<SendRequest<Full<Bytes>>> {
        loop {
            let mut kept = lock(&self.idle).get_mut(key)?.pop()?;
            if kept.ready().await.is_ok() {
                return Some(kept);
            }
        }
    }

    async fn connect(&self, shared: &Shared, wanted: &Wanted<'_>) -> Result<SendRequest<Full<Bytes>>, ProxyError> {
        let (host, port) = wanted.authority.rsplit_once(':').unwrap_or((wanted.authority, "443"));
        let unreachable = |error: io::Error| ProxyError::Unreachable(error.to_string());
        let port = port.parse().map_err(|_| ProxyError::Unreachable("it has no port".into()))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| ProxyError::Tls(error.to_string()))?;
        let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let connector = TlsConnector::from(self.config(shared, wanted)?);
        let stream = connector.connect(name, stream).await.map_err(|error| fault(&error))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| fault(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a proxy's connection ended");
            }
        });
        Ok(sender)
    }

    fn config(&self, shared: &Shared, wanted: &Wanted<'_>) -> Result<Arc<ClientConfig>, ProxyError> {
        let key = (wanted.region.to_owned(), wanted.certificate);
        if let Some(config) = lock(&self.configs).get(&key) {
            return Ok(Arc::clone(config));
        }
        let broken = |error: &dyn std::error::Error| ProxyError::Tls(error.to_string());
        let provider = CryptoProvider { cipher_suites: SUITES.to_vec(), ..aws_lc_rs::default_provider() };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| broken(&error))?
            .with_root_certificates(Arc::clone(&self.roots));
        let config = if wanted.certificate {
            let (chain, key) = shared.client_ca.issue(wanted.region).map_err(|error| broken(&error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| broken(&error))?
        } else {
            builder.with_no_client_auth()
        };
        let config = Arc::new(config);
        lock(&self.configs).insert(key, Arc::clone(&config));
        Ok(config)
    }
}

/// TLS alerts may come when the handshake seems over, so every error is searched for one.
fn fault(error: &(dyn std::error::Error + 'static)) -> ProxyError {
    let mut at = Some(error);
    while let Some(cause) = at {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inside = inner.is_some_and(|inner| inner.downcast_ref::<rustls::Error>().is_some());
        if inside || cause.downcast_ref::<rustls::Error>().is_some() {
            return ProxyError::Tls(cause.to_string());
        }
        at = cause.source();
    }
    ProxyError::Unreachable(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Specification, "XKS proxy API"; a proxy has to have one of them.
const SUITES: [SupportedCipherSuite; 4] = [
    TLS13_AES_256_GCM_SHA384,
    TLS13_CHACHA20_POLY1305_SHA256,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
];
/// Twice what the longest answer of the specification needs.
const MAX_ANSWER: usize = 64 << 10;
