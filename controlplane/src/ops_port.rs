//! Plain HTTP for operators: `/livez`, `/readyz`, `/metrics`. Nothing here changes anything.

use std::io;

use axum::{Router, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::settings::Render;

/// Answers until `stop`; not ready once `draining`.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Option<Render>,
    draining: CancellationToken,
    stop: CancellationToken,
) -> io::Result<()> {
    let ready = async move || {
        if draining.is_cancelled() { (StatusCode::SERVICE_UNAVAILABLE, "draining\n") } else { (StatusCode::OK, "ready\n") }
    };
    let render = async move || metrics.map(|render| (render.0)()).unwrap_or_default();
    let app = Router::new().route("/livez", get(async || "live\n")).route("/readyz", get(ready)).route("/metrics", get(render));
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await
}
