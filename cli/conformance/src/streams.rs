//! One HTTP/2 connection over TLS.
//!
//! Holds: `:authority` is the request's own, and a `host` header goes beside it only if the case left one.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::answer::{Answer, Stop, Verdict};
use crate::sign::Signed;

/// An HTTP/2 connection; clones are more handles on the same one.
#[derive(Clone)]
pub(crate) struct Streams {
    sender: SendRequest<Full<Bytes>>,
}

impl Streams {
    pub(crate) async fn new(stream: TlsStream<TcpStream>) -> Verdict<Self> {
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(|error| broke(&error))?;
        // Its end shows in the requests that it no longer carries.
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn send(&mut self, request: &Signed) -> Verdict<Answer> {
        let start = Instant::now();
        let mut builder =
            http::Request::builder().method(request.method.as_str()).uri(format!("https://{}{}", request.authority, request.path));
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let body = Full::new(Bytes::from(request.body.clone()));
        let message = builder.body(body).map_err(|error| Stop::wrong("a request that can be sent", error.to_string()))?;
        let answer = self.sender.send_request(message).await.map_err(|error| broke(&error))?;
        let status = answer.status().as_u16();
        let header = |(n, v): (&http::HeaderName, &http::HeaderValue)| {
            let value = String::from_utf8_lossy(v.as_bytes()).into_owned();
            (n.as_str().to_owned(), value)
        };
        let headers = answer.headers().iter().map(header).collect();
        let body = answer.into_body().collect().await.map_err(|error| broke(&error))?;
        Ok(Answer { status, headers, body: body.to_bytes().to_vec(), elapsed: start.elapsed() })
    }
}

fn broke(error: &hyper::Error) -> Stop {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    Stop::wrong("an answer over HTTP/2", text)
}
