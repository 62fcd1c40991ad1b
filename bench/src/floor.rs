//! The floor: what HTTPS costs here before any XKS work. Bare hyper and rustls read each request's body and
//! answer the bytes of an Encrypt answer, so that a real proxy can be measured in multiples of it.
//!
//! Holds: TLS, socket options and headers are those of a Holdfast data plane; nothing is verified or parsed.

mod sleepers;

pub use sleepers::Sleepers;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A floor server that is bound and does not serve yet.
pub struct Floor {
    listener: TcpListener,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    certificate: String,
}

impl Floor {
    /// Binds `address` with a certificate of its own (ECDSA P-256, for `localhost` and `127.0.0.1`).
    ///
    /// # Errors
    /// When the address cannot be bound or the certificate cannot be made.
    pub async fn bind(address: SocketAddr) -> Result<Self, FloorError> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let key = key.map_err(FloorError::Key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let listener = TcpListener::bind(address).await?;
        Ok(Self { address: listener.local_addr()?, listener, acceptor: TlsAcceptor::from(Arc::new(config)), certificate: made.cert.pem() })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificate, as PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A target file for it, with a credential that it does not look at. `ca` is where the certificate lies.
    #[must_use]
    pub fn target(&self, ca: &Path) -> Value {
        json!({
            "host": "localhost",
            "port": self.address.port(),
            "prefix": "/floor/kms/xks/v1",
            "access_key_id": "AKIAFLOORFLOORFLOORF",
            "secret_access_key": "not-a-secret-since-the-floor-checks-nothing",
            "key_id": "floor",
            "region": "us-east-1",
            "ca": ca,
        })
    }

    /// Answers every request alike; ends only when its future is dropped.
    pub async fn serve(self) {
        self.serve_with(|request| async {
            read(request).await;
            answer(200, ENCRYPT_ANSWER)
        })
        .await;
    }

    /// As `serve`, each answer after a sleep.
    pub async fn serve_after(self, sleepers: Sleepers) {
        self.serve_with(move |request| {
            let sleepers = sleepers.clone();
            async move {
                read(request).await;
                sleepers.nap().await;
                answer(200, ENCRYPT_ANSWER)
            }
        })
        .await;
    }

    pub(crate) async fn serve_with<F, A>(self, service: F)
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
        A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        loop {
            if let Ok((tcp, _)) = self.listener.accept().await {
                let connection = connection(self.acceptor.clone(), tcp, service.clone());
                tokio::spawn(connection);
            }
        }
    }
}

/// Reads a request's body. A client that goes away before that is whole gets no answer either way.
async fn read(request: Request<Incoming>) {
    let _ = request.into_body().collect().await;
}

/// An answer with the headers of a data plane.
pub(crate) fn answer(status: u16, body: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let json = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, json);
    answer
}

/// Why there is no floor server.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// The address cannot be bound.
    #[error("cannot listen")]
    Listen(#[from] io::Error),
    /// The certificate cannot be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The certificate's key cannot be used.
    #[error("cannot use the certificate's key: {0}")]
    Key(&'static str),
    /// rustls refuses the configuration.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

async fn connection<F, A>(acceptor: TlsAcceptor, tcp: TcpStream, service: F)
where
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response<Full<Bytes>>>,
{
    // What a client does wrong here ends its own connection and nothing else.
    let _ = tcp.set_nodelay(true);
    let Ok(tls) = acceptor.accept(tcp).await else {
        return;
    };
    let service = service_fn(move |request| {
        let answer = service(request);
        async { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(tls), service)
        .await;
}

/// Long enough for an idle connection to be kept for the length of a bench run.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
const ENCRYPT_ANSWER: &str = r#"{"ciphertext":"ghxkK1txeDNn3q8YghxkK1txeDNn3q8YghxkK1txeDM=","initializationVector":"HMrlRw85cAJUd5Ax","authenticationTag":"vBxN2ncH1oEkR8WVXpmyYQ==","ciphertextMetadata":"AQAAAAC8HE3a","ciphertextDataIntegrityValue":"qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc="}"#;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::plan::{Check, Connections, End, LoadPlan, Operation, Pace, Workload};
    use crate::report::Failure;
    use crate::target::Target;
    use crate::{LoadReport, run};

    async fn floor() -> (Floor, Target) {
        let floor = Floor::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), floor.certificate()).unwrap();
        let text = floor.target(Path::new("ca.pem")).to_string();
        let target = Target::parse(&text, folder.path()).unwrap();
        (floor, target)
    }

    async fn against_floor(change: impl FnOnce(&mut LoadPlan)) -> LoadReport {
        let (floor, target) = floor().await;
        tokio::spawn(floor.serve());
        let mut plan = LoadPlan::new(vec![target]);
        plan.end = End::Requests(100);
        change(&mut plan);
        run(plan).await.unwrap()
    }

    #[tokio::test]
    async fn each_request_of_a_closed_loop_is_counted_once() {
        let report = against_floor(|_| ()).await;
        assert_eq!((report.answered(), report.failed()), (100, 0));
        assert_eq!(report.latencies(Operation::Encrypt).unwrap().len(), 100);
        assert!(report.rate() > 0.0);
    }

    #[tokio::test]
    async fn sleepers_hold_up_every_answer_for_as_long() {
        let (floor, target) = floor().await;
        tokio::spawn(floor.serve_after(Sleepers::start(8, STALL).unwrap()));
        let mut plan = LoadPlan::new(vec![target]);
        plan.end = End::Requests(16);
        let report = run(plan).await.unwrap();
        assert_eq!((report.answered(), report.failed()), (16, 0));
        assert!(report.latency(0.0) >= STALL && report.elapsed >= 2 * STALL, "{report}");
    }

    #[tokio::test]
    async fn each_request_of_an_open_loop_is_counted_once() {
        let rate = NonZeroU32::new(2_000).unwrap();
        let report = against_floor(|plan| plan.pace = Pace::Open { rate }).await;
        assert_eq!((report.answered(), report.unsent), (100, 0));
        // The last is due 49.5 ms after the first.
        assert!(report.elapsed >= Duration::from_micros(49_400), "{report}");
    }

    #[tokio::test]
    async fn fresh_connections_shake_hands_for_every_request() {
        let report = against_floor(|plan| plan.reuse = Connections::Fresh).await;
        assert_eq!(report.handshakes().unwrap().len(), 100);
        assert!(against_floor(|_| ()).await.handshakes().is_none());
    }

    #[tokio::test]
    async fn checks_find_answers_that_are_wrong() {
        // The floor's CDIV belongs to no request, and it answers Decrypt with no plaintext.
        let report = against_floor(|plan| plan.check = Check::RoundTrip).await;
        assert_eq!(report.wrong(), 100);
        let report = against_floor(|plan| {
            plan.check = Check::RoundTrip;
            plan.shape.cdiv = false;
        });
        assert_eq!(report.await.wrong(), 100);
    }

    #[tokio::test]
    async fn a_mix_asks_for_each_operation_in_its_share() {
        let report = against_floor(|plan| plan.workload = Workload::Mix).await;
        let count = |operation| report.latencies(operation).map_or(0, hdrhistogram::Histogram::len);
        assert_eq!(count(Operation::Encrypt), 45);
        assert_eq!(count(Operation::Metadata), 5);
        assert_eq!(count(Operation::Health), 5);
    }

    #[tokio::test]
    async fn refusals_are_counted_by_status_and_name() {
        let (floor, target) = floor().await;
        let asked = Arc::new(AtomicU64::new(0));
        tokio::spawn(floor.serve_with(move |_| {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            async move {
                match number % 2 {
                    0 => answer(200, ENCRYPT_ANSWER),
                    _ => answer(429, r#"{"errorName":"ThrottlingException"}"#),
                }
            }
        }));
        let mut plan = LoadPlan::new(vec![target]);
        plan.end = End::Requests(10);
        let report = run(plan).await.unwrap();
        let refused = Failure::Refused { status: 429, error_name: "ThrottlingException".into() };
        let failures: Vec<_> = report.failures().collect();
        assert_eq!(failures, [(Operation::Encrypt, &refused, 5)]);
        assert_eq!(report.answered(), 5);
    }

    #[tokio::test]
    async fn a_stall_is_charged_to_every_request_that_was_due_in_it() {
        let (floor, target) = floor().await;
        let asked = Arc::new(AtomicU64::new(0));
        tokio::spawn(floor.serve_with(move |_| {
            let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                if first {
                    tokio::time::sleep(STALL).await;
                }
                answer(200, ENCRYPT_ANSWER)
            }
        }));
        let mut plan = LoadPlan::new(vec![target]);
        plan.connections = 1;
        plan.end = End::Requests(100);
        plan.pace = Pace::Open { rate: NonZeroU32::new(1_000).unwrap() };
        let report = run(plan).await.unwrap();
        // The first was due at 0 ms, the fiftieth at 49 ms: all of them waited for the end of the stall.
        let half_the_stall = u64::try_from((STALL / 2).as_nanos()).unwrap();
        let latencies = report.latencies(Operation::Encrypt).unwrap();
        let waited = latencies.count_between(half_the_stall, u64::MAX);
        assert!(waited >= 49, "only {waited} of 100 were charged: {report}");
    }

    #[tokio::test]
    async fn a_run_without_an_end_ends_when_it_is_told() {
        let (floor, target) = floor().await;
        let plan = LoadPlan::new(vec![target]);
        let stop = plan.stop.clone();
        let enough = Arc::new(AtomicU64::new(0));
        tokio::spawn(floor.serve_with(move |_| {
            if enough.fetch_add(1, Ordering::Relaxed) == 50 {
                stop.cancel();
            }
            async { answer(200, ENCRYPT_ANSWER) }
        }));
        let begun = Instant::now();
        let report = run(plan).await.unwrap();
        assert!(report.answered() > 50);
        assert!(report.elapsed <= begun.elapsed());
    }

    #[tokio::test]
    async fn a_target_that_is_down_is_a_failure_and_not_an_error() {
        let (floor, target) = floor().await;
        drop(floor);
        let mut plan = LoadPlan::new(vec![target]);
        plan.end = End::Requests(3);
        let report = run(plan).await.unwrap();
        assert_eq!((report.answered(), report.failed()), (0, 3));
    }

    const STALL: Duration = Duration::from_millis(100);
}
