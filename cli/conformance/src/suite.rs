//! What every case works with: the target, connections to it, and the requests that are good there.
//!
//! Holds: `send` and `call` share one connection, made anew when it can't be used again, since what a case does
//! to a connection is asked on connections of its own (`wire`); no answer that passes through `send` may
//! contain the secret access key.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Options;
use crate::answer::{Answer, Stop, Verdict, ensure};
use crate::message::{Operation, Plain, Sealed, bare_request};
use crate::sign::{Draft, Payload, Signed};
use crate::streams::Streams;
use crate::target::Target;
use crate::tls::{Offer, Trust};
use crate::wire::Wire;

/// One target, ready to be asked.
pub(crate) struct Suite {
    pub(crate) target: Target,
    pub(crate) options: Options,
    trust: Trust,
    plain: Arc<rustls::ClientConfig>,
    server_name: ServerName<'static>,
    /// The connection of the last `send`, if it can be used again.
    idle: Mutex<Option<Wire>>,
}

impl Suite {
    /// Reads the target's files; what is wrong with them as a sentence.
    pub(crate) fn new(target: Target, options: Options) -> Result<Self, String> {
        let trust = Trust::load(&target)?;
        let plain = trust.config(&Offer::PLAIN)?;
        let server_name = ServerName::try_from(target.host.clone()).map_err(|_| format!("{} is no host name", target.host))?;
        Ok(Self { target, options, trust, plain, server_name, idle: Mutex::new(None) })
    }

    /// A TCP connection.
    pub(crate) async fn tcp(&self) -> Verdict<TcpStream> {
        let stream = TcpStream::connect((self.target.host.as_str(), self.target.port))
            .await
            .map_err(|error| Stop::wrong("a TCP connection", error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| Stop::wrong("a TCP connection", error.to_string()))?;
        Ok(stream)
    }

    /// Whether the proxy takes TLS connections, at once or within that time.
    pub(crate) async fn is_back_within(&self, limit: Duration) -> bool {
        let knock = async {
            while self.wire().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(limit, knock).await.is_ok()
    }

    /// A TLS connection with a configuration that the case keeps.
    pub(crate) async fn tls(&self, config: &Arc<rustls::ClientConfig>) -> Verdict<TlsStream<TcpStream>> {
        let tcp = self.tcp().await?;
        TlsConnector::from(Arc::clone(config))
            .connect(self.server_name.clone(), tcp)
            .await
            .map_err(|error| Stop::wrong("a TLS connection", error.to_string()))
    }

    /// The configuration for an offer.
    pub(crate) fn config(&self, offer: &Offer) -> Verdict<Arc<rustls::ClientConfig>> {
        let wrong = |error| Stop::wrong("a TLS client", error);
        self.trust.config(offer).map_err(wrong)
    }

    /// A new HTTP/1.1 connection.
    pub(crate) async fn wire(&self) -> Verdict<Wire> {
        Ok(Wire::new(self.tls(&self.plain).await?))
    }

    /// A new HTTP/1.1 connection that offers just this.
    pub(crate) async fn wire_with(&self, offer: &Offer) -> Verdict<Wire> {
        Ok(Wire::new(self.tls(&self.config(offer)?).await?))
    }

    /// A new HTTP/2 connection, if the proxy speaks it.
    pub(crate) async fn streams(&self) -> Verdict<Streams> {
        let stream = self.tls(&self.config(&Offer::HTTP2)?).await?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            Streams::new(stream).await
        } else {
            Err(Stop::LeftOut("ALPN does not offer h2".into()))
        }
    }

    /// The path of an operation on the target's key.
    pub(crate) fn path(&self, operation: Operation) -> String {
        self.path_of(operation, &self.target.key_id)
    }

    /// The path of an operation on this key.
    pub(crate) fn path_of(&self, operation: Operation, key_id: &str) -> String {
        let Target { prefix, .. } = &self.target;
        match operation {
            Operation::Health => format!("{prefix}/health"),
            Operation::Metadata | Operation::Encrypt | Operation::Decrypt => {
                format!("{prefix}/keys/{key_id}/{}", operation.word())
            }
        }
    }

    /// A good request, not yet signed.
    pub(crate) fn draft(&self, operation: Operation, body: &Value) -> Draft {
        self.draft_of(operation, body.to_string().into_bytes())
    }

    /// As [`Suite::draft`], with a body that need not be JSON.
    pub(crate) fn draft_of(&self, operation: Operation, body: Vec<u8>) -> Draft {
        Draft {
            method: "POST".into(),
            path: self.path(operation),
            host: self.target.authority(),
            at: SystemTime::now(),
            access_key_id: self.target.access_key_id.clone(),
            secret: self.target.secret_access_key.clone(),
            region: self.target.region.clone(),
            service: "kms-xks-proxy".into(),
            headers: vec![("content-type".into(), "application/json".into())],
            unsigned: Vec::new(),
            payload: Payload::Hashed,
            body,
        }
    }

    /// The cheapest good request of all, unsigned as yet: `GetKeyMetadata`.
    pub(crate) fn metadata_draft(&self) -> Draft {
        self.draft(Operation::Metadata, &bare_request(Operation::Metadata))
    }

    /// Sends a request; where it is no matter on which connection.
    pub(crate) async fn send(&self, request: &Signed) -> Verdict<Answer> {
        let answer = self.send_somehow(request).await?;
        let secret = self.target.secret_access_key.as_bytes();
        let leaks = answer.body.windows(secret.len()).any(|w| w == secret);
        ensure(!leaks, "no secret in an answer", "the secret access key")?;
        Ok(answer)
    }

    async fn send_somehow(&self, request: &Signed) -> Verdict<Answer> {
        let idle = self.idle.lock().await.take();
        let reused = idle.is_some();
        if let Some(mut wire) = idle {
            // The proxy may have ended it meanwhile; only a new connection can tell what it makes of the request.
            if let Ok(answer) = wire.send(request).await {
                self.keep(wire).await;
                return Ok(answer);
            }
        }
        let again = |stop: Stop| if reused { stop.at("again, after a connection broke") } else { stop };
        let mut wire = self.wire().await.map_err(again)?;
        let answer = wire.send(request).await.map_err(again)?;
        self.keep(wire).await;
        Ok(answer)
    }

    async fn keep(&self, wire: Wire) {
        if wire.is_reusable() {
            *self.idle.lock().await = Some(wire);
        }
    }

    /// Signs and sends a body.
    pub(crate) async fn call(&self, operation: Operation, body: &Value) -> Verdict<Answer> {
        self.send(&self.draft(operation, body).sign()?).await
    }

    /// Signs and sends a body that need not be JSON.
    pub(crate) async fn call_of(&self, operation: Operation, body: &str) -> Verdict<Answer> {
        let draft = self.draft_of(operation, body.as_bytes().to_vec());
        self.send(&draft.sign()?).await
    }

    /// Encrypts, and checks all that can be checked without decrypting.
    pub(crate) async fn encrypt(&self, plain: Plain) -> Verdict<Sealed> {
        let answer = self.call(Operation::Encrypt, &plain.request()).await?;
        Sealed::read(plain, &answer)
    }

    /// Decrypts and expects the plaintext.
    pub(crate) async fn open(&self, sealed: &Sealed) -> Verdict {
        let answer = self.call(Operation::Decrypt, &sealed.request()).await?;
        sealed.opened(&answer)
    }

    /// A good body for the operation; Decrypt's needs a ciphertext, which Encrypt makes.
    pub(crate) async fn good_body(&self, operation: Operation) -> Verdict<Value> {
        let plain = Plain::new(b"conformance").with_aad(b"project=nile");
        Ok(match operation {
            Operation::Health | Operation::Metadata => bare_request(operation),
            Operation::Encrypt => plain.with_integrity().request(),
            Operation::Decrypt => self.encrypt(plain).await?.request(),
        })
    }
}
