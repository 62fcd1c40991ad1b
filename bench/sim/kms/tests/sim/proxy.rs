//! A proxy to do wrong with: TLS, the four calls of the specification with made-up encryption, and a mood.
//!
//! What it "encrypts" is the plaintext turned over bit by bit: the tests here are about what goes wrong; real proxies are tried elsewhere.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use aws_lc_rs::digest::{SHA256, digest};
use aws_sigv4::{
    http_request::{PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig, SupportedCipherSuite,
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::{Value, json};
use time::{PrimitiveDateTime, macros::format_description};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
};
use tokio_rustls::TlsAcceptor;

/// What the proxy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As the specification says.
    Well,
    /// No answer.
    Silent,
    /// This status and error name.
    Refusing(u16, &'static str),
    /// 200, and no JSON.
    Babbling,
    /// A wrong integrity value.
    Lying,
    /// The ciphertext is too short.
    Cutting,
    /// Its key managers are away, and its keys disabled.
    Away,
    /// Reads a request, and closes its connection instead of an answer.
    HangingUp,
    /// Keeps a request for [`Proxy::go_on`], then does as the specification says.
    Waiting,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) body: Value,
    /// Whether the signature is that of [`SECRET`], and how many seconds its date is off.
    pub(crate) signature: Result<i64, String>,
    /// As the signature names them.
    pub(crate) signed_headers: String,
    /// The client certificate, if one was shown.
    pub(crate) certificate: Option<Vec<u8>>,
    /// Counts connections, from 0.
    pub(crate) connection: usize,
}

/// A running proxy.
pub(crate) struct Proxy {
    port: u16,
    pub(crate) ca_pem: String,
    inside: Arc<Inside>,
    accepting: tokio::task::JoinHandle<()>,
}

struct Inside {
    mood: Mutex<Mood>,
    seen: Mutex<Vec<Seen>>,
    /// A request is being kept.
    keeps: Notify,
    go_on: Notify,
    /// Every open connection listens to it.
    leave: watch::Sender<()>,
}

impl Proxy {
    /// One that asks for no client certificate.
    pub(crate) async fn start() -> Self {
        Self::asking_for(None).await
    }

    /// One that wants a client certificate of this authority, PEM.
    pub(crate) async fn asking_for(client_ca: Option<&str>) -> Self {
        Self::with(tls(client_ca, default_provider())).await
    }

    /// One that has this cipher suite only.
    pub(crate) async fn with_suite(suite: SupportedCipherSuite) -> Self {
        Self::with(tls(None, CryptoProvider { cipher_suites: vec![suite], ..default_provider() })).await
    }

    async fn with((ca_pem, config): (String, ServerConfig)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mood, leave) = (Mutex::new(Mood::Well), watch::Sender::new(()));
        let inside = Arc::new(Inside { mood, seen: Mutex::default(), keeps: Notify::new(), go_on: Notify::new(), leave });
        let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&inside)));
        Self { port, ca_pem, inside, accepting }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub(crate) fn feel(&self, mood: Mood) {
        *self.inside.mood.lock().unwrap() = mood;
    }

    /// What arrived since this was asked last.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.inside.seen.lock().unwrap())
    }

    /// Waits until a request is kept.
    pub(crate) async fn keeps_one(&self) {
        self.inside.keeps.notified().await;
    }

    /// Lets the kept request go on.
    pub(crate) fn go_on(&self) {
        self.inside.go_on.notify_one();
    }

    /// Closes all connections, without having said so in an answer.
    pub(crate) async fn leave(&self) {
        self.inside.leave.send_replace(());
        self.inside.leave.closed().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, inside: Arc<Inside>) {
    for connection in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, inside) = (tls.clone(), Arc::clone(&inside));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| Some(chain.first()?.to_vec()));
            let mut leave = inside.leave.subscribe();
            let service = service_fn(|request| {
                let (inside, certificate) = (Arc::clone(&inside), certificate.clone());
                async move {
                    let (head, body) = take(request).await;
                    inside.seen.lock().unwrap().push(Seen {
                        path: head.uri.path().to_owned(),
                        body: serde_json::from_slice(&body).unwrap(),
                        signature: checked(&head, &body),
                        signed_headers: signed_headers(&head),
                        certificate,
                        connection,
                    });
                    let mood = *inside.mood.lock().unwrap();
                    match mood {
                        Mood::HangingUp => return Err("gone"),
                        Mood::Waiting => {
                            inside.keeps.notify_one();
                            inside.go_on.notified().await;
                        }
                        Mood::Well | Mood::Silent | Mood::Refusing(..) | Mood::Babbling | Mood::Lying | Mood::Cutting | Mood::Away => {}
                    }
                    Ok(answer(mood, head.uri.path(), &body).await)
                }
            });
            let mut served = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            // A client that goes away is no error here.
            tokio::select! {
                _ = served.as_mut() => {}
                _ = leave.changed() => {
                    served.as_mut().graceful_shutdown();
                    let _ = served.await;
                }
            }
        });
    }
}

async fn take(request: Request<Incoming>) -> (Parts, Bytes) {
    let (head, body) = request.into_parts();
    (head, body.collect().await.unwrap().to_bytes())
}

async fn answer(mood: Mood, path: &str, body: &[u8]) -> Response<Full<Bytes>> {
    match mood {
        Mood::Silent => std::future::pending().await,
        Mood::Refusing(status, name) => respond(status, json!({"errorName": name}).to_string()),
        Mood::Babbling => respond(200, "<html>".into()),
        Mood::Well | Mood::HangingUp | Mood::Waiting | Mood::Lying | Mood::Cutting | Mood::Away => {
            respond(200, made(mood, path, &serde_json::from_slice(body).unwrap()).to_string())
        }
    }
}

fn made(mood: Mood, path: &str, body: &Value) -> Value {
    let bytes = |name: &str| BASE64_STANDARD.decode(body[name].as_str().unwrap_or_default()).unwrap();
    let turned = |bytes: &[u8]| bytes.iter().map(|byte| !byte).collect::<Vec<_>>();
    match path.rsplit('/').next().unwrap() {
        "health" => {
            let status = if mood == Mood::Away { "UNAVAILABLE" } else { "ACTIVE" };
            json!({"xksProxyFleetSize": 1, "xksProxyVendor": "test", "xksProxyModel": "1", "ekmVendor": "test",
                "ekmFleetDetails": [{"id": "a", "model": "b", "healthStatus": status}]})
        }
        "metadata" => {
            let status = if mood == Mood::Away { "DISABLED" } else { "ENABLED" };
            json!({"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": status})
        }
        "encrypt" => {
            let mut ciphertext = turned(&bytes("plaintext"));
            if mood == Mood::Cutting {
                ciphertext.pop();
            }
            let (iv, tag, metadata) = (vec![1; 12], vec![2; 16], vec![3; 9]);
            let whole = [bytes("additionalAuthenticatedData"), metadata.clone(), iv.clone(), ciphertext.clone(), tag.clone()].concat();
            let mut integrity = digest(&SHA256, &whole).as_ref().to_vec();
            if mood == Mood::Lying {
                integrity[0] ^= 1;
            }
            let text = |bytes: Vec<u8>| BASE64_STANDARD.encode(bytes);
            json!({"ciphertext": text(ciphertext), "initializationVector": text(iv), "authenticationTag": text(tag),
                "ciphertextMetadata": text(metadata), "ciphertextDataIntegrityValue": text(integrity)})
        }
        "decrypt" => json!({"plaintext": BASE64_STANDARD.encode(turned(&bytes("ciphertext")))}),
        other => panic!("{other}"),
    }
}

fn respond(status: u16, body: String) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap()
}

fn signed_headers(head: &Parts) -> String {
    let authorization = head.headers["authorization"].to_str().unwrap();
    authorization.split([',', ' ']).find_map(|part| part.strip_prefix("SignedHeaders=")).unwrap().to_owned()
}

/// Signs again and compares.
fn checked(head: &Parts, body: &[u8]) -> Result<i64, String> {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let authorization = header("authorization");
    let part = |name: &str| authorization.split([',', ' ']).find_map(|part| part.strip_prefix(name)).unwrap_or_default();
    let scope: Vec<_> = part("Credential=").split('/').collect();
    let [ACCESS_KEY_ID, _, region, "kms-xks-proxy", "aws4_request"] = scope[..] else { return Err(authorization.into()) };
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let at = PrimitiveDateTime::parse(header("x-amz-date"), format).unwrap().assume_utc();
    let identity = Credentials::new(ACCESS_KEY_ID, SECRET, None, None, "test").into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    let params = SigningParams::builder().identity(&identity).region(region).name("kms-xks-proxy").time(at.into()).settings(settings);
    let names: BTreeSet<_> = part("SignedHeaders=").split(';').collect();
    let signed = head.headers.iter().filter(|(name, _)| names.contains(name.as_str()) && *name != "x-amz-date");
    let signed = signed.map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let uri = format!("https://{}{}", header("host"), head.uri);
    let request = SignableRequest::new("POST", uri, signed, SignableBody::Bytes(body)).unwrap();
    let (_, signature) = sign(request, &params.build().unwrap().into()).unwrap().into_parts();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    if signature == part("Signature=") { Ok(at.unix_timestamp() - i64::try_from(now).unwrap()) } else { Err("wrong signature".into()) }
}

fn tls(client_ca: Option<&str>, provider: CryptoProvider) -> (String, ServerConfig) {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "proxy CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = params.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(params, ca_key)).unwrap();
    let provider = Arc::new(provider);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = builder.with_single_cert(vec![leaf.der().clone()], key.into()).unwrap();
    // A resumed session shows no client certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    (ca_pem, config)
}

pub(crate) const ACCESS_KEY_ID: &str = "ABCDEFGHIJKLMNOP2345";
pub(crate) const SECRET: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
