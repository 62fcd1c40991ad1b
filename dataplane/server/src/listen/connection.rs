//! One connection, from its TLS handshake to its end.
//!
//! Holds: HTTP/1.1 or HTTP/2 is what ALPN agreed on, never guessed; a client that takes too long is cut off by the connection's timer.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

use super::{
    Listener, Timeouts,
    peers::Place,
    timer::{Over, Timer},
    watched::{Activity, Watched},
};
use crate::{
    chain::chain,
    deadline::{BUDGET, Deadline, first_budget},
    drain::{Drain, Phase},
    metrics::Handshake,
    request::{Client, Responder},
    tls::{ALPN_H2, Identity},
};

/// Serves a connection to its end.
pub(super) async fn run(listener: &Listener, stream: TcpStream, place: Place) {
    let accepted = Instant::now();
    let metrics = &listener.responder.metrics;
    let acceptor = TlsAcceptor::from(listener.tls.config());
    let stream = match timeout(listener.timeouts.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            metrics.handshake(Handshake::Failed);
            return debug!(error = %chain(&error), peer = %place.ip(), "TLS handshake failed");
        }
        Err(_) => return metrics.handshake(Handshake::TimedOut),
    };
    let handshake = accepted.elapsed();
    let tls = stream.get_ref().1;
    let identity = match listener.tls.identify(tls.peer_certificates()) {
        Ok(identity) => identity,
        Err(error) => {
            metrics.handshake(Handshake::Failed);
            return debug!(error = %chain(&error), peer = %place.ip(), "client certificate is no longer good");
        }
    };
    metrics.handshake(if identity.is_some() { Handshake::WithCertificate } else { Handshake::WithoutCertificate });
    let is_h2 = tls.alpn_protocol() == Some(ALPN_H2);
    let connection = Arc::new(Connection {
        responder: Arc::clone(&listener.responder),
        identity,
        first_budget: first_budget(handshake),
        activity: Arc::default(),
        peer: place.ip(),
        known: AtomicBool::new(false),
        place: Mutex::new(Some(place)),
    });
    if is_h2 { h2(connection, stream, listener.timeouts).await } else { h1(connection, stream, listener.timeouts).await }
}

/// What all requests of a connection share.
struct Connection {
    responder: Arc<Responder>,
    identity: Option<Identity>,
    /// Of its first request.
    first_budget: Duration,
    activity: Arc<Activity>,
    peer: std::net::IpAddr,
    /// A request authenticated.
    known: AtomicBool,
    /// Until then.
    place: Mutex<Option<Place>>,
}

impl Connection {
    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let first = self.activity.begin() == 0;
        let deadline = Deadline::start(if first { self.first_budget } else { BUDGET });
        let _answering = Answering(&self.activity);
        let client = Client { peer: self.peer, identity: self.identity.as_ref(), known: &|| self.become_known() };
        Ok(self.responder.serve(client, request, deadline).await)
    }

    fn become_known(&self) {
        if !self.known.load(Ordering::Relaxed) {
            self.known.store(true, Ordering::Relaxed);
            drop(self.place.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

struct Answering<'a>(&'a Activity);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn h1(connection: Arc<Connection>, stream: TlsStream<TcpStream>, timeouts: Timeouts) {
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&connection.activity)));
    let serving = Arc::clone(&connection);
    let service = service_fn(move |request| Arc::clone(&serving).serve(request));
    let mut builder = http1::Builder::new();
    // Hyper's own would also end connections that idle between requests.
    builder.header_read_timeout(None).max_buf_size(BUFFER_BYTES).max_header_size(HEAD_BYTES);
    let timer = Timer::new(&connection.activity, &connection.known, timeouts);
    drive(builder.serve_connection(io, service), timer.seeing_heads(), &connection.responder.drain).await;
}

async fn h2(connection: Arc<Connection>, stream: TlsStream<TcpStream>, timeouts: Timeouts) {
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&connection.activity)));
    let serving = Arc::clone(&connection);
    let service = service_fn(move |request| Arc::clone(&serving).serve(request));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS).max_header_list_size(H2_HEAD_BYTES);
    let timer = Timer::new(&connection.activity, &connection.known, timeouts);
    drive(builder.serve_connection(io, service), timer, &connection.responder.drain).await;
}

/// Runs a connection until it ends, the drain ends it, or its client takes too long.
async fn drive<C: GracefulConnection>(connection: C, timer: Timer<'_>, drain: &Arc<Drain>)
where
    C::Error: std::error::Error + 'static,
{
    let mut connection = pin!(connection);
    let mut timer = pin!(timer);
    let mut listed = None;
    let mut closing = false;
    let ended = poll_fn(|cx| {
        // On the list before the phase is looked at, so that no step is missed.
        listed.get_or_insert_with(|| Drain::list(drain, cx.waker()));
        match drain.phase() {
            Phase::Serving | Phase::Leaving => {}
            Phase::Closing if closing => {}
            Phase::Closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            Phase::Closed => return Poll::Ready(Ok(())),
        }
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            match timer.as_mut().poll_over(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Over::AtOnce) => return Poll::Ready(Ok(())),
                Poll::Ready(Over::AfterThis) => connection.as_mut().graceful_shutdown(),
            }
        }
    });
    if let Err(error) = ended.await {
        debug!(error = %chain(&error), "connection ended");
    }
}

/// Most bytes of one head. The longest that KMS sends has some 2 KiB.
const HEAD_BYTES: usize = 16 * 1_024;
const H2_HEAD_BYTES: u32 = 16 * 1_024;
/// A head and what of a body comes with it.
const BUFFER_BYTES: usize = 64 * 1_024;
/// Requests at once on an HTTP/2 connection.
const STREAMS: u32 = 128;
