//! Plain HTTP for operators: `/livez`, `/readyz`, `/metrics`. Nothing here changes anything.

use std::{io, net::TcpListener, pin::pin, sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, routing::get};
use axum_server::Handle;
use hyper_util::rt::TokioTimer;
use tokio_util::sync::CancellationToken;

use crate::{
    connections::{Admission, ConnectionCaps, Connections},
    settings::Render,
    store::{Store, View},
};

/// What is told.
pub(crate) struct Ops {
    /// Not ready once it is out of order: nothing can be changed or blocked then.
    pub(crate) store: Arc<dyn Store>,
    /// Renders `/metrics`.
    pub(crate) metrics: Option<Render>,
    /// Not ready once it is cancelled.
    pub(crate) draining: CancellationToken,
}

/// Answers until `stop`.
pub(crate) async fn serve((listener, caps): (TcpListener, ConnectionCaps), ops: Ops, stop: CancellationToken) -> io::Result<()> {
    let Ops { store, metrics, draining } = ops;
    let ready = async move || {
        if draining.is_cancelled() {
            return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        match View::of(&store).await {
            Ok(_) => (StatusCode::OK, "ready\n"),
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store is out of order\n"),
        }
    };
    let render = async move || metrics.map(|render| (render.0)()).unwrap_or_default();
    let app = Router::new().route("/livez", get(async || "live\n")).route("/readyz", get(ready)).route("/metrics", get(render));
    let handle = Handle::new();
    let admission = Admission(Connections::new("ops", caps));
    // A connection that says nothing must not keep its place: without the choice of HTTP/2, which waits for the first bytes for ever.
    let mut server = axum_server::from_tcp(listener)?.acceptor(admission).handle(handle.clone()).http1_only();
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut served = pin!(server.serve(app.into_make_service()));
    tokio::select! {
        ended = &mut served => return ended,
        () = stop.cancelled() => handle.graceful_shutdown(Some(LONGEST_DRAIN)),
    }
    served.await
}

/// From a connection's start, or its last answer, until the next request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_DRAIN: Duration = Duration::from_secs(1);
