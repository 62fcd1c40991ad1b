//! A small HTTP/1.1 client over one kept connection, in the clear or over TLS. It adds nothing to what a test has it send but `Host`
//! and `Content-Length`, and it shares no code with the product.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;

/// Where to connect, and the connection once there is one.
pub(crate) struct Http {
    at: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    stream: Option<BufReader<Box<dyn Stream>>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn plain(at: SocketAddr) -> Self {
        Self { at, tls: None, stream: None }
    }

    /// To `localhost`, whose certificate the authority in this file signed.
    pub(crate) fn tls(at: SocketAddr, ca: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&fs::read(ca).unwrap()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Self { at, tls: Some(Arc::new(config)), stream: None }
    }

    /// Sends one request. A kept connection that the server closed meanwhile is opened anew, as every client does.
    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let request = self.request(method, path, headers, body);
        if let Some(mut kept) = self.stream.take()
            && kept.get_mut().write_all(&request).is_ok()
            && let Some(answer) = read(&mut kept)
        {
            return self.keep(kept, answer);
        }
        self.send_anew(&request).unwrap_or_else(|| panic!("{method} {path}: closed without an answer"))
    }

    /// Sends one request once, to a server that may die over it: none when it did.
    pub(crate) fn send_once(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        let request = self.request(method, path, headers, body);
        self.send_anew(&request)
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\n", self.at.port());
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        [request.as_bytes(), body].concat()
    }

    /// On a new connection; none when it was closed before the first byte of an answer.
    fn send_anew(&mut self, request: &[u8]) -> Option<Answer> {
        let mut stream = self.connect();
        stream.get_mut().write_all(request).ok()?;
        let answer = read(&mut stream)?;
        Some(self.keep(stream, answer))
    }

    fn keep(&mut self, stream: BufReader<Box<dyn Stream>>, answer: Answer) -> Answer {
        self.stream = (answer.header("connection") != Some("close")).then_some(stream);
        answer
    }

    fn connect(&self) -> BufReader<Box<dyn Stream>> {
        let tcp = TcpStream::connect(self.at).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        BufReader::new(match &self.tls {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::try_from("localhost").unwrap();
                Box::new(StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), tcp))
            }
        })
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// `None` when the connection was closed before the first byte.
fn read(stream: &mut BufReader<Box<dyn Stream>>) -> Option<Answer> {
    let first = line(stream)?;
    let status = first.split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = Vec::new();
    while let Some(line) = line(stream).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if answer.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(&line(stream).unwrap(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).unwrap();
            if size == 0 {
                break;
            }
            answer.body.extend(&chunk[..size]);
        }
    } else {
        answer.body = vec![0; answer.header("content-length").map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut answer.body).unwrap();
    }
    Some(answer)
}

fn line(stream: &mut BufReader<Box<dyn Stream>>) -> Option<String> {
    let mut line = String::new();
    match stream.read_line(&mut line) {
        Ok(1..) => Some(line.trim_end().to_owned()),
        // An end without a TLS close is an error there.
        Ok(_) | Err(_) => None,
    }
}

/// Far longer than any answer should take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
