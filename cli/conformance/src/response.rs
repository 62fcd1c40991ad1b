//! A small, strict reader of HTTP/1.1 responses (RFC 9112).
//!
//! Holds: it never guesses. A response whose framing is in doubt (two lengths, a length beside chunks, a line
//! without CRLF) is an error, since a proxy in front would guess as well.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::answer::Answer;

/// Reads one response after another from the same stream.
#[derive(Default)]
pub(crate) struct Responses {
    unread: Vec<u8>,
}

/// What a reader found instead of a response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoResponse {
    #[error("the connection ended")]
    Ended,
    #[error("the connection broke: {0}")]
    Broke(#[from] std::io::Error),
    #[error("a malformed response: {0}")]
    Malformed(&'static str),
}

/// Where a body ends.
enum Framing {
    Empty,
    Length(usize),
    Chunked,
    ToTheEnd,
}

impl Responses {
    /// The next response, interim ones (1xx) included. `to_head` says that it answers a HEAD.
    pub(crate) async fn next(&mut self, from: &mut (impl AsyncRead + Unpin), to_head: bool) -> Result<Answer, NoResponse> {
        let mut lines = Vec::new();
        loop {
            let line = self.line(from).await?;
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let mut lines = lines.into_iter();
        let first = lines.next();
        let status = first.as_deref().and_then(status).ok_or(NoResponse::Malformed("status line"))?;
        let headers: Vec<_> = lines.map(|line| header(&line).ok_or(NoResponse::Malformed("header line"))).collect::<Result<_, _>>()?;
        let body = match framing(status, &headers, to_head)? {
            Framing::Empty => Vec::new(),
            Framing::Length(length) => self.take(from, length).await?,
            Framing::Chunked => self.chunks(from).await?,
            Framing::ToTheEnd => self.rest(from).await?,
        };
        Ok(Answer { status, headers, body, elapsed: Duration::ZERO })
    }

    async fn line(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<String, NoResponse> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(|_| NoResponse::Malformed("bytes in a line"));
            }
            if self.unread.len() > HEAD_LIMIT {
                return Err(NoResponse::Malformed("endless line"));
            }
            self.more(from).await?;
        }
    }

    async fn take(&mut self, from: &mut (impl AsyncRead + Unpin), length: usize) -> Result<Vec<u8>, NoResponse> {
        while self.unread.len() < length {
            self.more(from).await?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    async fn chunks(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, NoResponse> {
        let mut body = Vec::new();
        loop {
            let line = self.line(from).await?;
            let digits = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(digits.trim(), 16).map_err(|_| NoResponse::Malformed("chunk size"))?;
            if size == 0 {
                while !self.line(from).await?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(from, size).await?);
            if !self.line(from).await?.is_empty() {
                return Err(NoResponse::Malformed("end of a chunk"));
            }
        }
    }

    async fn rest(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, NoResponse> {
        loop {
            match self.more(from).await {
                Ok(()) => {}
                Err(NoResponse::Ended) => return Ok(std::mem::take(&mut self.unread)),
                Err(other) => return Err(other),
            }
        }
    }

    async fn more(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<(), NoResponse> {
        let mut some = [0; 4096];
        match from.read(&mut some).await? {
            0 => Err(NoResponse::Ended),
            count => {
                self.unread.extend(some.iter().take(count));
                Ok(())
            }
        }
    }
}

fn status(line: &str) -> Option<u16> {
    let code = line.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    code.parse().ok().filter(|code| (100..=599).contains(code))
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let good = !name.is_empty() && !name.contains([' ', '\t']);
    good.then(|| (name.to_ascii_lowercase(), value.trim().to_owned()))
}

fn framing(status: u16, headers: &[(String, String)], to_head: bool) -> Result<Framing, NoResponse> {
    if to_head || status < 200 || status == 204 || status == 304 {
        return Ok(Framing::Empty);
    }
    let all = |name: &str| -> Vec<&str> {
        let of_name = headers.iter().filter(|(n, _)| n == name);
        of_name.map(|(_, value)| value.as_str()).collect()
    };
    match (all("content-length").as_slice(), all("transfer-encoding").as_slice()) {
        ([length], []) => match length.parse() {
            Ok(length) if length <= BODY_LIMIT => Ok(Framing::Length(length)),
            Ok(_) | Err(_) => Err(NoResponse::Malformed("content-length")),
        },
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        ([], []) => Ok(Framing::ToTheEnd),
        (_, _) => Err(NoResponse::Malformed("framing in doubt")),
    }
}

/// No line of a response may be longer.
const HEAD_LIMIT: usize = 64 * 1024;
/// No body of a response may be longer.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_responses_in_one_read_are_told_apart() {
        let mut stream: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}\
            HTTP/1.1 400 Bad\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n";
        let mut responses = Responses::default();
        let mut seen = Vec::new();
        while let Ok(answer) = responses.next(&mut stream, false).await {
            seen.push((answer.status, answer.body));
        }
        assert_eq!(seen, [(100, b"".to_vec()), (200, b"{}".to_vec()), (400, b"abc".to_vec())]);
    }

    #[tokio::test]
    async fn doubtful_framing_is_an_error() {
        for head in [
            "Content-Length: 1\r\nContent-Length: 2",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Content-Length: -1",
            "Content-Length : 1",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\nxx");
            let mut stream = text.as_bytes();
            let read = Responses::default().next(&mut stream, false).await;
            assert!(matches!(read, Err(NoResponse::Malformed(_))), "{head}");
        }
    }
}
