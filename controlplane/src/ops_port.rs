//! Plain HTTP for operators: `/livez`, `/readyz`, `/metrics`. Nothing here changes anything.

use std::{io, sync::Arc};

use axum::{Router, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
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
pub(crate) async fn serve(listener: TcpListener, ops: Ops, stop: CancellationToken) -> io::Result<()> {
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
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await
}
