//! One HTTP/1.1 connection over TLS, with every byte that goes out under the case's control.
//!
//! Holds: an answer is read while the request is still being written, so that a proxy which answers early
//! and closes is heard.

use std::future::pending;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::answer::{Answer, Stop, Verdict};
use crate::response::{NoResponse, Responses};
use crate::sign::Signed;

/// A connection on which requests are written as bytes.
pub(crate) struct Wire {
    stream: TlsStream<TcpStream>,
    responses: Responses,
    /// Whether the last exchange ended such that another may follow.
    reusable: bool,
}

impl Wire {
    pub(crate) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream, responses: Responses::default(), reusable: true }
    }

    /// The TLS session underneath.
    pub(crate) fn tls(&self) -> &rustls::ClientConnection {
        self.stream.get_ref().1
    }

    /// Whether another request may follow on this connection.
    pub(crate) const fn is_reusable(&self) -> bool {
        self.reusable
    }

    /// Sends a request and reads its final answer.
    pub(crate) async fn send(&mut self, request: &Signed) -> Verdict<Answer> {
        self.exchange(&request.http1(), request.method == "HEAD").await
    }

    /// Sends bytes and reads one final answer, interim ones skipped.
    pub(crate) async fn exchange(&mut self, bytes: &[u8], to_head: bool) -> Verdict<Answer> {
        let start = Instant::now();
        self.reusable = false;
        let mut written = false;
        let (mut read, mut write) = tokio::io::split(&mut self.stream);
        let answer = async {
            loop {
                let answer = self.responses.next(&mut read, to_head).await?;
                if answer.status >= 200 {
                    return Ok(answer);
                }
            }
        };
        let writing = async {
            // A proxy may answer and close before it has read everything; the answer is what counts.
            let _ = write.write_all(bytes).await;
            written = write.flush().await.is_ok();
            pending::<Result<Answer, NoResponse>>().await
        };
        let answered = tokio::select! {
            answer = answer => answer,
            answer = writing => answer,
        };
        let mut answer = answered.map_err(|none| unanswered(&none))?;
        answer.elapsed = start.elapsed();
        let closes = |value: &str| value.eq_ignore_ascii_case("close");
        self.reusable = written && !answer.header("connection").is_some_and(closes);
        Ok(answer)
    }

    /// Sends bytes and reads nothing.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Verdict {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let broke = |error: std::io::Error| Stop::wrong("an open connection", error.to_string());
        written.await.map_err(broke)
    }

    /// Reads the next answer, interim ones included.
    pub(crate) async fn read(&mut self) -> Verdict<Answer> {
        let next = self.responses.next(&mut self.stream, false);
        next.await.map_err(|none| unanswered(&none))
    }

    /// Reads the next answer unless the connection ends or stays quiet for that long.
    pub(crate) async fn read_or_end(&mut self, quiet: Duration) -> Option<Answer> {
        let next = self.responses.next(&mut self.stream, false);
        timeout(quiet, next).await.ok()?.ok()
    }

    /// Whether the proxy ends the connection within that time, saying nothing more.
    pub(crate) async fn ends_within(&mut self, limit: Duration) -> bool {
        let next = self.responses.next(&mut self.stream, false);
        matches!(timeout(limit, next).await, Ok(Err(NoResponse::Ended | NoResponse::Broke(_))))
    }
}

fn unanswered(none: &NoResponse) -> Stop {
    Stop::wrong("an answer", none.to_string())
}
