//! A client of a few lines that sends what it is told to, well-formed or not. It signs by `aws-sigv4`.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs::default_provider};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::format_description};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::rig::{ACCESS_KEY, KEY, PATH, REGION, Rig, SECRET, Signed};

/// One connection.
pub(crate) struct Connection {
    pub(crate) stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// Signs requests.
pub(crate) struct Signer {
    pub(crate) access_key: String,
    pub(crate) secret: String,
    pub(crate) region: String,
    pub(crate) at: SystemTime,
}

/// How to connect.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Arc<ClientConfig>,
}

impl Connector {
    /// Trusts the rig's CA and shows no certificate.
    pub(crate) fn new(rig: &Rig) -> Self {
        Self::of(rig, None, |_| ())
    }

    /// Shows a certificate.
    pub(crate) fn showing(rig: &Rig, signed: &Signed) -> Self {
        Self::of(rig, Some(signed), |_| ())
    }

    pub(crate) fn of(rig: &Rig, signed: Option<&Signed>, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_root_certificates(roots(rig));
        let mut config = match signed {
            None => builder.with_no_client_auth(),
            Some(signed) => builder.with_client_auth_cert(signed.chain(), signed.key()).unwrap(),
        };
        config.resumption = Resumption::in_memory_sessions(8);
        change(&mut config);
        Self { config: Arc::new(config) }
    }

    pub(crate) async fn connect(&self, addr: SocketAddr) -> Connection {
        self.try_connect(addr, "localhost").await.unwrap()
    }

    pub(crate) async fn try_connect(&self, addr: SocketAddr, name: &str) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await?;
        Ok(Connection { stream, read: Vec::new() })
    }
}

impl Connection {
    /// A connection without a client certificate.
    pub(crate) async fn open(rig: &Rig) -> Self {
        Connector::new(rig).connect(rig.addr()).await
    }

    /// A connection that had its first request, which has less time than the others.
    pub(crate) async fn warm(rig: &Rig) -> Self {
        let mut connection = Self::open(rig).await;
        connection.call("metadata", &plain("metadata")).await;
        connection
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next answer; none where the connection ends before it.
    pub(crate) async fn receive(&mut self) -> Option<Answer> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                let head = String::from_utf8(self.read[..end].to_vec()).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                let length = header_of(&head, "content-length").map_or(0, |length| length.parse().unwrap());
                let whole = end + 4 + length;
                if self.read.len() >= whole {
                    let body = self.read[end + 4..whole].to_vec();
                    self.read.drain(..whole);
                    return Some(Answer { status, head, body });
                }
            }
            // The end may come without a close_notify.
            if self.stream.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Nothing more comes: the connection is at its end.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.receive().await.is_none()
    }

    /// Signs, sends, receives.
    pub(crate) async fn call(&mut self, operation: &str, body: &Value) -> Answer {
        self.send(Signer::default().request(&path(operation), &body.to_string())).await;
        self.receive().await.unwrap()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header_of(&self.head, name)
    }

    /// Status and `errorName`.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["errorName"].as_str().unwrap_or_default().to_owned())
    }

    /// A member that is base64.
    pub(crate) fn bytes(&self, member: &str) -> Vec<u8> {
        STANDARD.decode(self.json()[member].as_str().unwrap()).unwrap()
    }
}

impl Default for Signer {
    fn default() -> Self {
        Self { access_key: ACCESS_KEY.into(), secret: SECRET.into(), region: REGION.into(), at: SystemTime::now() }
    }
}

impl Signer {
    /// The headers of a signed POST: `Host`, `X-Amz-Date`, `Authorization`, each with its line end.
    pub(crate) fn headers(&self, path: &str, body: &str) -> String {
        let (date, authorization) = self.sign("POST", path, body);
        format!("Host: localhost\r\nX-Amz-Date: {date}\r\nAuthorization: {authorization}\r\n")
    }

    /// Date and `Authorization`.
    pub(crate) fn sign(&self, method: &str, path: &str, body: &str) -> (String, String) {
        let now = OffsetDateTime::from(self.at);
        let date = now.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap();
        let scope = format!("{}/{}/kms-xks-proxy/aws4_request", &date[..8], self.region);
        let canonical = format!("{method}\n{path}\n\nhost:localhost\nx-amz-date:{date}\n\nhost;x-amz-date\n{}", hex(body.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(canonical.as_bytes()));
        let key = generate_signing_key(&self.secret, self.at, &self.region, "kms-xks-proxy");
        let signature = calculate_signature(key, to_sign.as_bytes());
        let access_key = &self.access_key;
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}");
        (date, authorization)
    }

    /// A whole signed POST.
    pub(crate) fn request(&self, path: &str, body: &str) -> String {
        let headers = self.headers(path, body);
        format!("POST {path} HTTP/1.1\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }
}

/// Trusts the rig's CA.
pub(crate) fn roots(rig: &Rig) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(rig.files.ca.certificate.der().clone()).unwrap();
    roots
}

/// The path of an operation on the rig's key: `health`, `metadata`, `encrypt`, `decrypt`.
pub(crate) fn path(operation: &str) -> String {
    if operation == "health" { format!("{PATH}/health") } else { format!("{PATH}/keys/{KEY}/{operation}") }
}

pub(crate) fn metadata_of_request() -> Value {
    json!({
        "awsPrincipalArn": "arn:aws:iam::123456789012:user/Alice",
        "kmsOperation": "Encrypt",
        "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
        "kmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    })
}

pub(crate) fn plain(operation: &str) -> Value {
    json!({ "requestMetadata": metadata_of_request(), "operation": operation })
}

pub(crate) fn encrypt(plaintext: &[u8], aad: &[u8]) -> Value {
    json!({
        "requestMetadata": metadata_of_request(),
        "plaintext": STANDARD.encode(plaintext),
        "encryptionAlgorithm": "AES_GCM",
        "additionalAuthenticatedData": STANDARD.encode(aad),
        "ciphertextDataIntegrityValueAlgorithm": "SHA_256",
    })
}

/// The request that decrypts what an Encrypt answered.
pub(crate) fn decrypt(encrypted: &Answer, aad: &[u8]) -> Value {
    let encrypted = encrypted.json();
    json!({
        "requestMetadata": metadata_of_request(),
        "ciphertext": encrypted["ciphertext"],
        "initializationVector": encrypted["initializationVector"],
        "authenticationTag": encrypted["authenticationTag"],
        "ciphertextMetadata": encrypted["ciphertextMetadata"],
        "encryptionAlgorithm": "AES_GCM",
        "additionalAuthenticatedData": STANDARD.encode(aad),
    })
}

/// Decryptions of what was encrypted with the AAD `aad`, each with something changed.
pub(crate) fn altered(encrypted: &Answer) -> Vec<Value> {
    let good = decrypt(encrypted, b"aad");
    let mut altered = vec![decrypt(encrypted, b"other")];
    for (member, value) in [
        ("ciphertext", "AAAAAA=="),
        ("initializationVector", "AAAAAAAAAAAAAAAA"),
        ("initializationVector", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("authenticationTag", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("ciphertextMetadata", "AQAAAAAAAAAA"),
        ("ciphertextMetadata", "AA=="),
    ] {
        let mut one = good.clone();
        one[member] = value.into();
        altered.push(one);
    }
    let mut absent = good.clone();
    absent.as_object_mut().unwrap().remove("ciphertextMetadata");
    altered.push(absent);
    altered
}

/// GET on the ops port, on a connection of its own.
pub(crate) async fn ops(addr: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn header_of<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn find(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes.windows(sought.len()).position(|window| window == sought)
}

fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
