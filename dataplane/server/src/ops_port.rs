//! Plain HTTP for operators and their machines: `/livez`, `/readyz`, `/ping`, `/metrics`.
//! Holds: nothing here changes anything; it goes on through a drain, so that the drain can be watched.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::sleep};
use tracing::{debug, warn};

use crate::{chain::chain, metrics::Exporter, request::Responder};

/// What the port tells about.
pub(crate) struct OpsPort {
    pub(crate) responder: Arc<Responder>,
    pub(crate) exporter: Exporter,
}

impl OpsPort {
    /// Answers until it is dropped, and its connections with it.
    pub(crate) async fn run(self, socket: TcpListener) {
        let port = Arc::new(self);
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let stream = match socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "cannot accept on the ops port");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let port = Arc::clone(&port);
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let port = Arc::clone(&port);
                    async move { Ok::<_, Infallible>(port.answer(&request)) }
                });
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(IDLE);
                if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                    debug!(error = %chain(&error), "ops connection ended");
                }
                drop(permit);
            });
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into());
        }
        match request.uri().path() {
            "/livez" => text(StatusCode::OK, "live\n".into()),
            "/readyz" | "/ping" if self.responder.is_ready() => text(StatusCode::OK, "ready\n".into()),
            "/readyz" | "/ping" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n".into()),
            "/metrics" => text(StatusCode::OK, self.exporter.render()),
            _ => text(StatusCode::NOT_FOUND, "try /livez, /readyz, /ping or /metrics\n".into()),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

const CONNECTIONS: usize = 256;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Between scrapes too: who scrapes more rarely connects again.
const IDLE: Duration = Duration::from_secs(120);
