//! The admin API: one HTTPS listener for REST and gRPC.
//!
//! Always holds: TLS 1.2 or 1.3 by rustls on aws-lc-rs; a body over 1 MiB is refused; each call is in the audit file with its outcome.

mod call;
mod error;
mod grpc;
mod rest;
mod sign_in;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::{Router, middleware::map_request};
use axum_server::{
    Handle,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{
    access::Access,
    audit::Audit,
    connections::{Admission, ConnectionCaps, Connections},
    core::Core,
};

/// What the surfaces share.
pub(crate) struct Api {
    pub(crate) core: Arc<Core>,
    pub(crate) access: Arc<Access>,
    pub(crate) audit: Audit,
}

/// What the API is served on.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) tls: RustlsConfig,
    pub(crate) connections: ConnectionCaps,
}

/// The API can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The chain or key doesn't parse.
    #[error("the API's certificate or key is not PEM")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// They don't fit each other.
    #[error("the API's certificate and key can't be used")]
    Tls(#[source] rustls::Error),
    /// The socket.
    #[error("the API's socket can't be used")]
    Socket(#[source] io::Error),
    /// The gRPC API can't describe itself.
    #[error("the API's protocol files can't be used")]
    Descriptors(#[source] tonic_reflection::server::Error),
}

/// The listener's TLS, from a PEM chain and key.
pub(crate) fn tls(chain: &str, key: &str) -> Result<RustlsConfig, ApiError> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(ApiError::Pem)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(ApiError::Pem)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(ApiError::Tls)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(ApiError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(config)))
}

/// Serves until `handle` ends it.
pub(crate) async fn serve(door: Door, handle: Handle<SocketAddr>, api: Arc<Api>) -> Result<(), ApiError> {
    let paths = rest::router(Arc::clone(&api)).merge(grpc::router(api).map_err(ApiError::Descriptors)?);
    // Around the router, since it must happen before a path is looked up.
    let app = Router::new().fallback_service(paths).layer(map_request(async |request| rest::without_last_slash(request)));
    let connections = Admission(Connections::new("api", door.connections));
    let acceptor = RustlsAcceptor::new(door.tls).handshake_timeout(HANDSHAKE).acceptor(connections);
    let mut server = axum_server::from_tcp(door.listener).map_err(ApiError::Socket)?.acceptor(acceptor).handle(handle);
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    server.http_builder().http2().timer(TokioTimer::new()).keep_alive_interval(Some(KEEP_ALIVE));
    server.serve(app.into_make_service_with_connect_info::<SocketAddr>()).await.map_err(ApiError::Socket)
}

/// Longest body of a request.
const LONGEST_BODY: usize = 1 << 20;
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(60);
