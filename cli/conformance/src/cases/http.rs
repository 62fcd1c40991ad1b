//! HTTP/1.1 beyond one tidy request: framing, interim answers, and requests that try to hide another.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Refusal, Verdict, ensure};
use crate::arithmetic::pattern;
use crate::message::{Operation, Plain, Sealed};
use crate::plan::Plan;
use crate::sign::Signed;
use crate::suite::Suite;

/// The framing of a request that hides another: its last header lines, and how its own body is written.
type Framing = fn(&Signed, usize) -> (String, Vec<u8>);

pub(crate) fn cases(plan: &mut Plan) {
    plan.case("http.chunked.one-chunk", |suite| chunked(suite, 64 * 1024));
    plan.case("http.chunked.7-byte-chunks", |suite| chunked(suite, 7));
    plan.case("http.chunked.with-extension-and-trailer", extension_and_trailer);
    plan.case("http.chunked.1-mib-is-unsupported", chunked_oversized);
    plan.case("http.expect-100-continue", expect);
    plan.case("http.expect-100-continue.body-without-waiting", expect_without_waiting);
    plan.case("http.written-byte-by-byte", byte_by_byte);
    plan.case("http.head-and-body-apart", apart);
    plan.case("http.request-given-up-halfway", given_up);
    for (name, framing) in HIDDEN {
        let name = format!("http.{name}.no-second-answer");
        plan.case(name, move |suite| hidden(suite, framing));
    }
}

async fn chunked(suite: Arc<Suite>, size: usize) -> Verdict {
    let plain = Plain::new(&pattern(1_000)).with_aad(&pattern(500));
    let request = suite.draft(Operation::Encrypt, &plain.request()).sign()?;
    let mut bytes = request.head(CHUNKED);
    bytes.extend(request.chunked(size));
    let answer = suite.wire().await?.exchange(&bytes, false).await?;
    suite.open(&Sealed::read(plain, &answer)?).await
}

/// No length says beforehand that the body will be too large.
async fn chunked_oversized(suite: Arc<Suite>) -> Verdict {
    let plain = Plain::new(&pattern(1024 * 1024));
    let request = suite.draft(Operation::Encrypt, &plain.request()).sign()?;
    let mut bytes = request.head(CHUNKED);
    bytes.extend(request.chunked(8 * 1024));
    let answer = suite.wire().await?.exchange(&bytes, false).await?;
    answer.refused(Refusal::Unsupported)
}

/// RFC 9112 §7.1.1 and §7.1.2: both may be there, both may be ignored.
async fn extension_and_trailer(suite: Arc<Suite>) -> Verdict {
    let request = suite.metadata_draft().sign()?;
    let mut bytes = request.head(CHUNKED);
    let start = format!("{:x};name=value\r\n", request.body.len());
    bytes.extend_from_slice(start.as_bytes());
    bytes.extend_from_slice(&request.body);
    bytes.extend_from_slice(b"\r\n0\r\nx-trailer: value\r\n\r\n");
    let mut wire = suite.wire().await?;
    wire.exchange(&bytes, false).await?.ok()?;
    let request = suite.metadata_draft().sign()?;
    wire.send(&request).await?.ok().map(drop)
}

async fn expect(suite: Arc<Suite>) -> Verdict {
    let request = suite.metadata_draft().sign()?;
    let mut wire = suite.wire().await?;
    let head = request.head(&format!("expect: 100-continue\r\n{}", request.length()));
    wire.write(&head).await?;
    let interim = wire.read().await?;
    ensure(interim.status == 100, "100 before the body", &interim)?;
    wire.write(&request.body).await?;
    wire.read().await?.ok().map(drop)
}

/// A client need not wait (RFC 9110 §10.1.1).
async fn expect_without_waiting(suite: Arc<Suite>) -> Verdict {
    let request = suite.metadata_draft().sign()?;
    let mut bytes = request.head(&format!("expect: 100-continue\r\n{}", request.length()));
    bytes.extend_from_slice(&request.body);
    let mut wire = suite.wire().await?;
    wire.exchange(&bytes, false).await?.ok().map(drop)
}

async fn byte_by_byte(suite: Arc<Suite>) -> Verdict {
    let request = suite.metadata_draft().sign()?;
    let mut wire = suite.wire().await?;
    for byte in request.http1() {
        wire.write(&[byte]).await?;
    }
    wire.read().await?.ok().map(drop)
}

async fn apart(suite: Arc<Suite>) -> Verdict {
    let request = suite.metadata_draft().sign()?;
    let mut wire = suite.wire().await?;
    wire.write(&request.head(&request.length())).await?;
    tokio::time::sleep(Duration::from_millis(50)).await;
    wire.write(&request.body).await?;
    wire.read().await?.ok().map(drop)
}

/// A client that goes away in the middle of its body leaves no trace for the next one.
async fn given_up(suite: Arc<Suite>) -> Verdict {
    for _ in 0..10 {
        let request = suite.metadata_draft().sign()?;
        let mut wire = suite.wire().await?;
        let bytes = request.http1();
        let half = bytes.get(..bytes.len() - 10).unwrap_or_default();
        wire.write(half).await?;
    }
    let request = suite.metadata_draft().sign()?;
    suite.send(&request).await?.ok().map(drop)
}

/// One request whose framing is in doubt, with a good and signed one right behind it: whoever takes the
/// bytes for two requests would answer the second. One answer, or none and the end, are both right.
async fn hidden(suite: Arc<Suite>, framing: Framing) -> Verdict {
    let outer = suite.metadata_draft().sign()?;
    let health = suite.good_body(Operation::Health).await?;
    let inner = suite.draft(Operation::Health, &health).sign()?.http1();
    let (lines, body) = framing(&outer, inner.len());
    let mut bytes = outer.head(&lines);
    bytes.extend(body);
    bytes.extend(inner);
    let mut wire = suite.wire().await?;
    wire.write(&bytes).await?;
    let quiet = Duration::from_secs(1);
    let mut answers = 0;
    while wire.read_or_end(quiet).await.is_some() {
        answers += 1;
    }
    ensure(answers <= 1, "at most one answer", format_args!("{answers}"))
}

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

const HIDDEN: [(&str, Framing); 6] = [
    // By the chunks the second request begins after the first's body; by the length it is part of it.
    ("cl-te", |outer, inner| {
        let body = outer.chunked(1_024);
        let length = body.len() + inner;
        (format!("content-length: {length}\r\n{CHUNKED}"), body)
    }),
    ("te-cl", |outer, inner| {
        let body = outer.chunked(1_024);
        let length = body.len() + inner;
        (format!("{CHUNKED}content-length: {length}\r\n"), body)
    }),
    // The other way round: by the length the second request begins here.
    ("cl-te.length-of-the-body", |outer, _| {
        let body = outer.chunked(1_024);
        let length = body.len();
        (format!("content-length: {length}\r\n{CHUNKED}"), body)
    }),
    ("two-lengths", |outer, inner| {
        let own = outer.body.len();
        let both = own + inner;
        (format!("content-length: {own}\r\ncontent-length: {both}\r\n"), outer.body.clone())
    }),
    ("unknown-coding", |outer, inner| {
        let body = outer.chunked(1_024);
        let length = body.len() + inner;
        (format!("transfer-encoding: xchunked\r\ncontent-length: {length}\r\n"), body)
    }),
    ("space-before-colon", |outer, inner| {
        let body = outer.chunked(1_024);
        let length = body.len() + inner;
        (format!("transfer-encoding : chunked\r\ncontent-length: {length}\r\n"), body)
    }),
];
