//! A control plane in a directory of its own, and clients for its API over real TLS.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use holdfast_controlplane::{ControlPlane, DemoOptions, EnrollOptions, InitOptions, InitReport, Settings, enroll, init, names::NodeName};

use holdfast_proto::{admin::LoginRequest, admin_client::AdminClient};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::node::{Node, Partition};

/// A control plane and its directory.
pub(crate) struct Plane {
    pub(crate) dir: TempDir,
    pub(crate) report: InitReport,
    pub(crate) running: ControlPlane,
}

/// gRPC, logged in.
pub(crate) type Admin = AdminClient<InterceptedService<Channel, Bearer>>;

/// Adds the token.
#[derive(Clone)]
pub(crate) struct Bearer(pub(crate) String);

/// A REST answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Null where there is none.
    pub(crate) body: serde_json::Value,
    /// The same, byte for byte.
    pub(crate) text: String,
}

impl Plane {
    /// One with a promised demo.
    pub(crate) async fn with_demo() -> Self {
        let (dir, report) = made();
        let running = ControlPlane::start(settings(&data(&dir))).await.unwrap();
        Self { dir, report, running }
    }

    /// The same after a restart.
    pub(crate) async fn restarted(self, change: impl FnOnce(&mut Settings)) -> Self {
        self.running.drain().await;
        let mut settings = settings(&data(&self.dir));
        change(&mut settings);
        let running = ControlPlane::start(settings).await.unwrap();
        Self { running, ..self }
    }

    pub(crate) fn data(&self) -> PathBuf {
        data(&self.dir)
    }

    /// Enrolls a node and connects it.
    pub(crate) async fn node(&self, name: &str) -> Node {
        let out = self.enrolled(name);
        Node::connect(&out, self.running.sync_addr()).await.unwrap()
    }

    /// Enrolls a node that has a partition, and connects it.
    pub(crate) async fn node_with(&self, name: &str, partition: Partition) -> Node {
        let out = self.enrolled(name);
        Node::connect_with(&out, self.running.sync_addr(), Some(partition)).await.unwrap()
    }

    /// Enrolls a node.
    pub(crate) fn enrolled(&self, name: &str) -> PathBuf {
        let out = self.dir.path().join(name);
        let options = EnrollOptions { dataplane_toml: "# of a test\n".into(), ..EnrollOptions::default() };
        enroll(&self.data(), &NodeName::try_from(name).unwrap(), &out, options).unwrap();
        out
    }

    /// gRPC without a token.
    pub(crate) async fn stranger(&self) -> AdminClient<Channel> {
        AdminClient::new(channel(&self.data(), self.running.api_addr()).await)
    }

    /// gRPC as `admin`.
    pub(crate) async fn admin(&self) -> Admin {
        let password = self.report.admin_password.expose().to_owned();
        let login = LoginRequest { username: "admin".into(), password };
        let token = self.stranger().await.access.login(login).await.unwrap().into_inner();
        assert_eq!(token.duration, 300);
        self.with_token(&token.jwt).await
    }

    /// gRPC with a token.
    pub(crate) async fn with_token(&self, token: &str) -> Admin {
        AdminClient::new(InterceptedService::new(channel(&self.data(), self.running.api_addr()).await, Bearer(token.into())))
    }

    /// A connection to the API, for HTTP/1.1.
    pub(crate) async fn tls(&self) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.data().join("ca.crt")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let socket = TcpStream::connect(self.running.api_addr()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
    }

    /// Sends a request's bytes over HTTP/1.1.
    pub(crate) async fn rest(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.tls().await;
        let head = format!("{head}host: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses a long body may close before it has read all of it.
        _ = stream.write_all(body).await;
        _ = stream.flush().await;
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if body.is_empty() {
            return Answer { status, body: serde_json::Value::Null, text: String::new() };
        }
        assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
        Answer { status, body: serde_json::from_str(body).unwrap(), text: body.into() }
    }

    /// A REST call with a token; `body` is empty for none.
    pub(crate) async fn rest_as(&self, jwt: &str, call: &str, body: &str) -> Answer {
        let (method, path) = call.split_once(' ').unwrap();
        let head = format!("{method} /api/v1/{path} HTTP/1.1\r\nauthorization: Bearer {jwt}\r\ncontent-type: application/json\r\n");
        self.rest(&head, body.as_bytes()).await
    }

    /// A token of `admin`.
    pub(crate) async fn jwt(&self) -> String {
        let login = LoginRequest { username: "admin".into(), password: self.report.admin_password.expose().to_owned() };
        self.stranger().await.access.login(login).await.unwrap().into_inner().jwt
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.0).parse().unwrap());
        Ok(request)
    }
}

/// A directory with a promised demo.
pub(crate) fn made() -> (TempDir, InitReport) {
    let dir = tempfile::tempdir().unwrap();
    let demo = Some(DemoOptions { region: "eu-west-1".into(), quota: None });
    let report = init(&data(&dir), InitOptions { demo, ..InitOptions::default() }).unwrap();
    (dir, report)
}

/// Where [`made`] makes it.
pub(crate) fn data(dir: &TempDir) -> PathBuf {
    dir.path().join("controlplane")
}

/// On free ports.
pub(crate) fn settings(dir: &Path) -> Settings {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    Settings { ops_listen: Some(free), ..Settings::new(dir.into(), free, free) }
}

async fn channel(dir: &Path, at: SocketAddr) -> Channel {
    let ca = Certificate::from_pem(std::fs::read(dir.join("ca.crt")).unwrap());
    let tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("localhost");
    Endpoint::from_shared(format!("https://{at}")).unwrap().tls_config(tls).unwrap().connect().await.unwrap()
}
