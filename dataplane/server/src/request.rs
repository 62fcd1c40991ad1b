//! The one request path (design §4).
//!
//! [`Responder::serve`] can't fail: whatever comes, it answers. Holds: one snapshot per request; nothing is looked at before the step
//! ahead of it has let the request pass; what a step learned is handed on as a proof (`Authenticated`, `AllowedKey`). From the body
//! on a request of a local key does not wait for anything, so it runs to its end on the core that it came to; one of a token's key waits
//! for the token alone, and ends there when its client goes away.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use holdfast_wire::{
    message::{DecryptRequest, EncryptRequest, HealthRequest, MetadataRequest},
    path::{self, BadPath, Operation, Route},
    refusal::Refusal,
    sigv4::{self, AuthError, Authenticated, Head},
};
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{ALLOW, CONNECTION, CONTENT_TYPE},
    request::Parts,
};
use http_body::Body;
use http_body_util::Full;

use crate::{
    audit::Audit,
    authorize::{KnownKey, Use},
    body::{self, BodyFault},
    deadline::Deadline,
    drain::Drain,
    live::{Live, Snapshot, Store},
    metrics::Metrics,
    ops,
    signing::{self, SigningKeys},
    tls::Identity,
    trail::{Ledgers, Outcome, RefusalLog, Trail},
};

/// Answers requests. One per data plane.
pub(crate) struct Responder {
    pub(crate) live: Arc<Live>,
    pub(crate) signing: Arc<SigningKeys>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) audit: Audit,
    pub(crate) drain: Arc<Drain>,
    /// Ready data planes, as the control plane counts them.
    pub(crate) fleet: Arc<AtomicU32>,
    /// In flight at once, for stores that name no number.
    pub(crate) in_flight: u32,
    pub(crate) log: RefusalLog,
    /// A listener has ended without a drain.
    pub(crate) broken: Arc<AtomicBool>,
}

/// What the connection knows about the client of a request.
pub(crate) struct Client<'c> {
    /// Where it comes from.
    pub(crate) peer: IpAddr,
    /// Who it is by its certificate.
    pub(crate) identity: Option<&'c Identity>,
    /// To be called as soon as a request of it authenticates.
    pub(crate) known: &'c (dyn Fn() + Sync),
}

impl Responder {
    /// Answers.
    pub(crate) async fn serve<B>(&self, client: Client<'_>, request: Request<B>, deadline: Deadline) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (head, incoming) = request.into_parts();
        if head.uri.path() == PING && matches!(head.method, Method::GET | Method::HEAD) {
            return self.ping();
        }
        let ledgers = Ledgers { metrics: &self.metrics, audit: &self.audit, log: &self.log };
        let mut trail = Trail::begin(ledgers, deadline.started(), client.peer);
        let target = head.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let route = path::parse(target);
        trail.route = route.ok();

        // Read for refusals of the head too, or the connection could not be used again.
        let body = body::read(incoming, deadline).await;
        let close = body.is_err() && head.version != Version::HTTP_2;
        let body = body.as_ref().map_err(|fault| *fault);
        let mut response = match self.answer(&client, &Call { head: &head, route, body, deadline }, trail).await {
            Ok(json) => respond(StatusCode::OK, json),
            Err(refusal) => refused(refusal),
        };
        if close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn answer<'r>(&'r self, client: &Client<'_>, call: &Call<'r>, trail: Trail<'r>) -> Result<Bytes, Refusal> {
        // A reference of its own, not the swap's guard, of which a thread has few: this may wait for a token.
        let snapshot = self.live.load_full();
        // Declared after the snapshot, which it borrows from.
        let mut trail = trail;
        let answer = self.judge(client, call, &snapshot, &mut trail).await;
        trail.outcome = answer.as_ref().map_or_else(|refusal| Outcome::Refused(*refusal), |_| Outcome::Ok);
        answer
    }

    async fn judge<'r>(
        &self,
        client: &Client<'_>,
        call: &Call<'r>,
        snapshot: &'r Snapshot,
        trail: &mut Trail<'r>,
    ) -> Result<Bytes, Refusal> {
        let route = call.route?;
        if !is_loaded(snapshot) {
            return Err(Refusal::NoSnapshot);
        }
        let store: &Store = snapshot.store(route.uri_path).ok_or(Refusal::UnknownStore)?;
        trail.store = Some(store);
        if call.head.method != Method::POST {
            return Err(Refusal::MethodNotAllowed);
        }
        let body = call.body?;
        trail.body = Some(body);

        let authenticated = self.authenticate(call, store, body)?;
        (client.known)();
        self.metrics.clock_offset(authenticated.clock_offset().seconds());
        trail.access_key = Some(authenticated.access_key());
        certificate(store, client.identity)?;
        self.usable(store, route.operation)?;

        if route.operation != Operation::Health {
            store.limits.spend().map_err(|_| Refusal::QuotaExceeded)?;
        }
        let _in_flight = store.limits.enter(self.in_flight).map_err(|_| Refusal::TooManyInFlight)?;
        if call.deadline.passed() {
            return Err(Refusal::NotStarted);
        }
        let asked = Asked { store, route, authenticated, deadline: call.deadline };
        self.perform(asked, trail).await
    }

    fn authenticate<'r>(&self, call: &Call<'r>, store: &Store, body: &'r [u8]) -> Result<Authenticated<'r>, AuthError> {
        let head = Head {
            method: call.head.method.as_str(),
            path: call.head.uri.path(),
            authority: call.authority(),
            headers: &call.head.headers,
        };
        let claim = sigv4::claim(&head)?;
        let (caller, now) = (store.credentials.get(claim.access_key()), SystemTime::now());
        let request = signing::Request { head: &head, body, region: &store.region, now };
        let authenticated = self.signing.verify(claim, caller.map(|caller| &caller.credential), &request)?;
        if let Some(caller) = caller {
            caller.signed(now);
        }
        Ok(authenticated)
    }

    /// Whether the store may be used at all. Metadata tells of a block instead of refusing.
    fn usable(&self, store: &Store, operation: Operation) -> Result<(), Refusal> {
        if store.blocked && operation != Operation::Metadata {
            return Err(Refusal::StoreBlocked);
        }
        match store.max_snapshot_age {
            Some(most) if self.live.age() > most => Err(Refusal::SnapshotTooOld),
            Some(_) | None => Ok(()),
        }
    }

    async fn perform<'r>(&self, asked: Asked<'r>, trail: &mut Trail<'r>) -> Result<Bytes, Refusal> {
        let Asked { store, route, authenticated, deadline } = asked;
        let body = authenticated.body();
        match route.operation {
            Operation::Health => {
                trail.caller = Some(HealthRequest::parse(body)?.request);
                ops::health::run(store, self.fleet.load(Ordering::Relaxed), deadline).await
            }
            Operation::Metadata => {
                trail.caller = Some(MetadataRequest::parse(body)?.request);
                ops::metadata::run(KnownKey::find(store, route.key)?, deadline).await
            }
            Operation::Encrypt => {
                let request = EncryptRequest::parse(body)?;
                let answer = match KnownKey::find(store, route.key).and_then(|key| key.allow(Use::Encrypt)) {
                    Ok(key) => ops::encrypt::run(key, &request, deadline).await,
                    Err(refusal) => Err(refusal),
                };
                trail.caller = Some(request.request);
                answer
            }
            Operation::Decrypt => {
                let request = DecryptRequest::parse(body)?;
                let answer = match KnownKey::find(store, route.key).and_then(|key| key.allow(Use::Decrypt)) {
                    Ok(key) => ops::decrypt::run(key, &request, deadline).await,
                    Err(refusal) => Err(refusal),
                };
                trail.caller = Some(request.request);
                answer
            }
        }
    }

    fn ping(&self) -> Response<Full<Bytes>> {
        if self.is_ready() {
            respond(StatusCode::OK, Bytes::from_static(br#"{"status":"ready"}"#))
        } else {
            respond(StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(br#"{"status":"not ready"}"#))
        }
    }

    /// A load balancer may send requests here: there is a snapshot, all listeners accept, and no drain has begun.
    pub(crate) fn is_ready(&self) -> bool {
        !self.broken.load(Ordering::Relaxed) && !self.drain.has_begun() && is_loaded(&self.live.load())
    }
}

/// What a request asks for, and the proof that it may ask.
struct Asked<'r> {
    store: &'r Store,
    route: Route<'r>,
    authenticated: Authenticated<'r>,
    deadline: Deadline,
}

/// One request, as far as it was read.
struct Call<'r> {
    head: &'r Parts,
    route: Result<Route<'r>, BadPath>,
    body: Result<&'r Bytes, BodyFault>,
    deadline: Deadline,
}

impl<'r> Call<'r> {
    /// `:authority`; over HTTP/1.1 the `Host` header alone counts.
    fn authority(&self) -> Option<&'r str> {
        let authority = || self.head.uri.authority().map(http::uri::Authority::as_str);
        if self.head.version == Version::HTTP_2 { authority() } else { None }
    }
}

/// What the store demands of client certificates, and what every store demands of one that is there.
fn certificate(store: &Store, identity: Option<&Identity>) -> Result<(), Refusal> {
    match identity {
        None if store.mtls_enabled => Err(Refusal::NoClientCertificate),
        Some(identity) if identity.region() != store.region => Err(Refusal::WrongClientCertificate),
        None | Some(_) => Ok(()),
    }
}

/// Revision zero is the snapshot before the first.
fn is_loaded(snapshot: &Snapshot) -> bool {
    snapshot.revision != holdfast_proto::ids::Revision::default()
}

fn refused(refusal: Refusal) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(refusal.wire().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = respond(status, refusal.body().into());
    if refusal == Refusal::MethodNotAllowed {
        // RFC 9110 §15.5.6.
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

fn respond(status: StatusCode, json: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(json));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Polled by load balancers, without authentication (XKS, transport).
pub(crate) const PING: &str = "/ping";
