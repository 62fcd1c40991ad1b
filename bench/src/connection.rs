//! One HTTP/1.1 connection over TLS, one request at a time, one buffer: as cheap as a client can be.
//!
//! Holds: an answer is handed out only when it is whole; after any error the connection is not used again
//! (`exchange` takes it and gives it back with the answer).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::target::Target;

/// An open connection to a target.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    /// Where in `buffer` the last answer's body lies.
    body: std::ops::Range<usize>,
    keeps: bool,
}

impl Connection {
    /// Connects and shakes hands within `patience`.
    ///
    /// # Errors
    /// When either fails or takes longer.
    pub async fn open(target: &Target, patience: Duration) -> Result<Self, ConnectionError> {
        let opening = async {
            let tcp = target.connect().await.map_err(ConnectionError::Connect)?;
            tcp.set_nodelay(true).map_err(ConnectionError::Connect)?;
            TlsConnector::from(target.tls()).connect(target.server_name(), tcp).await.map_err(ConnectionError::Handshake)
        };
        let opened = timeout(patience, opening).await;
        Ok(Self { stream: opened.unwrap_or(Err(ConnectionError::Late))?, buffer: Vec::with_capacity(4_096), body: 0..0, keeps: true })
    }

    /// Sends one request and reads its answer within `patience`; gives its status.
    ///
    /// # Errors
    /// When the connection is lost, the answer is not HTTP/1.1 or too large, or time runs out.
    /// The connection must then be dropped.
    pub async fn exchange(&mut self, request: &[u8], patience: Duration) -> Result<u16, ConnectionError> {
        let answered = timeout(patience, async {
            self.stream.write_all(request).await?;
            self.stream.flush().await?;
            self.read_answer().await
        });
        answered.await.unwrap_or(Err(ConnectionError::Late))
    }

    /// The body of the last answer.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.buffer.get(self.body.clone()).unwrap_or_default()
    }

    /// Whether the server lets the connection be used again.
    #[must_use]
    pub const fn keeps(&self) -> bool {
        self.keeps
    }

    /// Ends the connection by a reset, so that a run of many connections does not use up all ports in `TIME_WAIT`.
    pub fn reset(self) {
        let _ = self.stream.get_ref().0.set_zero_linger();
    }

    async fn read_answer(&mut self) -> Result<u16, ConnectionError> {
        self.buffer.clear();
        let head = loop {
            self.fill().await?;
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
        };
        self.keeps = head.keeps;
        match head.length {
            Length::Known(length) => {
                let end = head.end + length;
                while self.buffer.len() < end {
                    self.fill().await?;
                }
                self.body = head.end..end;
            }
            Length::Chunked => self.read_chunks(head.end).await?,
        }
        Ok(head.status)
    }

    /// Reads a chunked body and moves its chunks together behind the head.
    async fn read_chunks(&mut self, start: usize) -> Result<(), ConnectionError> {
        let (mut at, mut end) = (start, start);
        loop {
            let rest = self.buffer.get(at..).unwrap_or_default();
            let size = httparse::parse_chunk_size(rest).map_err(|_| ConnectionError::Malformed)?;
            let httparse::Status::Complete((used, size)) = size else {
                self.fill().await?;
                continue;
            };
            let data = at + used;
            let size = usize::try_from(size).map_err(|_| ConnectionError::Malformed)?;
            let next = data.saturating_add(size).saturating_add(2);
            while self.buffer.len() < next {
                self.fill().await?;
            }
            if size == 0 {
                self.body = start..end;
                return Ok(());
            }
            self.buffer.copy_within(data..data + size, end);
            end += size;
            at = next;
        }
    }

    async fn fill(&mut self) -> Result<(), ConnectionError> {
        if self.buffer.len() > LARGEST_ANSWER {
            return Err(ConnectionError::Malformed);
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(ConnectionError::Closed(io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(()),
        }
    }
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// No TCP connection.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    /// The connection ended before its answer.
    #[error("the connection was lost")]
    Closed(#[from] io::Error),
    /// The answer was not HTTP/1.1, or larger than any XKS answer.
    #[error("the answer is not HTTP/1.1 of a sane size")]
    Malformed,
    /// Nothing came in time.
    #[error("no answer in time")]
    Late,
}

/// What the reader of a body needs of the head.
struct Head {
    status: u16,
    end: usize,
    length: Length,
    keeps: bool,
}

enum Length {
    Known(usize),
    Chunked,
}

impl Head {
    /// The head at the start of `bytes`, or `None` while it is incomplete.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, ConnectionError> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer.parse(bytes).map_err(|_| ConnectionError::Malformed)?;
        let (httparse::Status::Complete(end), Some(status)) = (parsed, answer.code) else {
            return Ok(None);
        };
        let mut head = Self { status, end, length: Length::Known(0), keeps: answer.version == Some(1) };
        for header in answer.headers.iter() {
            let value = header.value.trim_ascii();
            if header.name.eq_ignore_ascii_case("content-length") {
                let digits = str::from_utf8(value).ok();
                let length = digits.and_then(|d| d.parse().ok());
                let sane = length.filter(|length| *length <= LARGEST_ANSWER);
                head.length = Length::Known(sane.ok_or(ConnectionError::Malformed)?);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                head.length = Length::Chunked;
            } else if header.name.eq_ignore_ascii_case("connection") {
                head.keeps &= !value.eq_ignore_ascii_case(b"close");
            }
        }
        Ok(Some(head))
    }
}

/// An XKS answer is a few KiB; more than this is a mistake.
const LARGEST_ANSWER: usize = 1 << 20;
