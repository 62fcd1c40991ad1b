//! The listener: plain HTTP/1.1, one URL for three services; who is asked follows from the request.
//!
//! Always holds: an operation runs only for a verified caller; every answer has a request id; a call that is abandoned gets no answer.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE, request::Parts};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use uuid::Uuid;

use crate::{
    call::Call,
    cloudhsm,
    control::Control,
    error::{AwsException, ErrorName},
    faults::{Abandoned, When},
    kms,
    settings::SimSettings,
    shared::Shared,
    sigv4, stores, sts, switches,
    xks::health,
};

/// A running simulator; it ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Sim {
    addr: SocketAddr,
    shared: Arc<Shared>,
    control: Control,
    ending: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

/// Why a simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address is not of this machine alone.
    #[error("{0} is not on loopback: nothing here is protected from others")]
    NotLoopback(SocketAddr),
    /// The address can't be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The certificates that proxies are checked with are none.
    #[error("the certificates of the proxies' authority can't be used: {0}")]
    ProxyCa(String),
    /// The client certificate's authority can't be made.
    #[error("cannot make the client certificate's authority")]
    ClientCa(#[source] rcgen::Error),
    /// The state file is there and can't be read, or can't be written.
    #[error("cannot use the state file {}", path.display())]
    StateFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: io::Error,
    },
}

impl Sim {
    /// Starts a simulator.
    ///
    /// # Errors
    /// The address is not on loopback or is taken, or the state file can't be read.
    pub async fn start(settings: SimSettings) -> Result<Self, SimError> {
        let wanted = settings.listen;
        if !wanted.ip().is_loopback() {
            return Err(SimError::NotLoopback(wanted));
        }
        let refused = |cause| SimError::Listen { addr: wanted, cause };
        let shared = Shared::open(settings)?;
        let listener = TcpListener::bind(wanted).await.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        let (ending, ended) = watch::channel(false);
        stores::take_up(&shared);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared), ended));
        Ok(Self { addr, control: Control::new(Arc::clone(&shared)), shared, ending, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of all three services.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// How it was set up.
    #[must_use]
    pub fn settings(&self) -> &SimSettings {
        &self.shared.settings
    }

    /// PEM of the authority that issues the client certificate that proxies are shown.
    #[must_use]
    pub fn client_ca(&self) -> &str {
        self.shared.client_ca.certificate_pem()
    }

    /// Its switches.
    #[must_use]
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// Ends it: its port is free and every connection closed when this returns.
    pub async fn stop(self) {
        self.ending.send_replace(true);
        // Only a panic of the listener can end it otherwise, and then there is nothing left to wait for.
        let _ = self.accepting.await;
        self.shared.stop();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut ended: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    connections.spawn(health::keep_checking(Arc::clone(&shared)));
    loop {
        tokio::select! {
            // Told to end, or the simulator was dropped.
            _ = ended.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, Arc::clone(&shared)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection's answers may be late");
    }
    let served = service_fn(move |request| serve(Arc::clone(&shared), peer, request));
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), served).await {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Which of the services is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Kms,
    CloudHsm,
    Sts,
}

impl Service {
    /// By the header of the JSON services; STS has none.
    fn of(head: &Parts) -> Option<(Self, String)> {
        let Some(target) = head.headers.get("x-amz-target") else { return Some((Self::Sts, String::new())) };
        let (prefix, operation) = target.to_str().ok()?.split_once('.')?;
        match prefix {
            "TrentService" => Some((Self::Kms, operation.into())),
            "BaldrApiService" => Some((Self::CloudHsm, operation.into())),
            _ => None,
        }
    }

    /// As in a signature's scope.
    const fn scope(self) -> &'static str {
        match self {
            Self::Kms => "kms",
            Self::CloudHsm => "cloudhsm",
            Self::Sts => "sts",
        }
    }
}

async fn serve(shared: Arc<Shared>, peer: SocketAddr, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Abandoned> {
    let request_id = Uuid::new_v4();
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else { return Err(Abandoned) };
    let body = body.to_bytes();
    if switches::is_ours(head.uri.path()) {
        let (status, answer) = switches::answer(&shared, peer, &head, &body);
        return Ok(respond(status.as_u16(), ("application/json", request_id), answer.to_string()));
    }
    let Some((service, operation)) = Service::of(&head) else {
        return Ok(refused(Service::Kms, &AwsException::new(ErrorName::UnknownOperation, ""), request_id));
    };
    let answered = answer(&shared, &head, &body, (service, operation, request_id)).await?;
    Ok(answered.unwrap_or_else(|error| refused(service, &error, request_id)))
}

async fn answer(
    shared: &Arc<Shared>,
    head: &Parts,
    body: &[u8],
    (service, operation, request_id): (Service, String, Uuid),
) -> Result<Result<Response<Full<Bytes>>, AwsException>, Abandoned> {
    let caller = match sigv4::verify(shared, head, body, service.scope()) {
        Ok(caller) => caller,
        Err(error) => return Ok(Err(error)),
    };
    let asked = match Asked::read(service, operation, body) {
        Ok(asked) => asked,
        Err(error) => return Ok(Err(error)),
    };
    let region = caller.region.clone();
    let call = Call { shared: Arc::clone(shared), operation: asked.operation, region, caller, request_id };
    shared.faults.note(&call.operation);
    shared.faults.wait(&call.operation, When::Before).await?;
    let done = match shared.faults.meet(&call.operation) {
        Ok(()) => done(&call, service, &asked.members).await,
        Err(error) => Err(error),
    };
    shared.faults.wait(&call.operation, When::After).await?;
    Ok(done)
}

async fn done(call: &Call, service: Service, members: &Members) -> Result<Response<Full<Bytes>>, AwsException> {
    match (service, members) {
        (Service::Kms, Members::Json(body)) => Ok(json(&kms::answer(call, body).await?, call.request_id)),
        (Service::CloudHsm, Members::Json(body)) => Ok(json(&cloudhsm::answer(call, body)?, call.request_id)),
        (Service::Sts, Members::Form(form)) => Ok(respond(200, (XML, call.request_id), sts::answer(call, form)?)),
        (Service::Kms | Service::CloudHsm, Members::Form(_)) | (Service::Sts, Members::Json(_)) => {
            Err(AwsException::new(ErrorName::Serialization, "The body is of another protocol."))
        }
    }
}

/// What a request asks for.
struct Asked {
    operation: String,
    members: Members,
}

enum Members {
    Json(Value),
    Form(sts::Form),
}

impl Asked {
    fn read(service: Service, operation: String, body: &[u8]) -> Result<Self, AwsException> {
        let unreadable = |message: String| AwsException::new(ErrorName::Serialization, message);
        match service {
            Service::Kms | Service::CloudHsm => {
                let body: &[u8] = if body.is_empty() { b"{}" } else { body };
                let members = serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
                Ok(Self { operation, members: Members::Json(members) })
            }
            Service::Sts => {
                let form: sts::Form = serde_urlencoded::from_bytes(body).map_err(|error| unreadable(error.to_string()))?;
                let operation = form.get("Action").cloned().ok_or_else(|| AwsException::missing("action"))?;
                Ok(Self { operation, members: Members::Form(form) })
            }
        }
    }
}

fn json(value: &Value, request_id: Uuid) -> Response<Full<Bytes>> {
    respond(200, (JSON, request_id), value.to_string())
}

fn refused(service: Service, error: &AwsException, request_id: Uuid) -> Response<Full<Bytes>> {
    tracing::debug!(%error, %request_id, "refused");
    match service {
        Service::Kms | Service::CloudHsm => {
            let body = json!({"__type": error.name(), "message": error.message()});
            let mut response = respond(error.status(), (JSON, request_id), body.to_string());
            if let Ok(name) = error.name().parse() {
                response.headers_mut().insert("x-amzn-errortype", name);
            }
            response
        }
        Service::Sts => {
            let (status, body) = sts::refusal(error, request_id);
            respond(status, (XML, request_id), body)
        }
    }
}

fn respond(status: u16, (content_type, request_id): (&'static str, Uuid), body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    if let Ok(id) = request_id.to_string().parse() {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// AWS takes far less; a body past this ends its connection.
const MAX_BODY: usize = 1 << 20;
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
const JSON: &str = "application/x-amz-json-1.1";
const XML: &str = "text/xml";
