//! TLS: which versions and suites are spoken, and which are not.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{CipherSuite, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::answer::{Stop, Verdict, ensure};
use crate::hello::{Reply, SSL_3, TLS_1_0, TLS_1_1, TLS_1_2, Version, client_hello, reply};
use crate::plan::Plan;
use crate::suite::Suite;
use crate::tls::{BOTH, ONLY_12, ONLY_13, Offer};
use crate::wire::Wire;

pub(crate) fn cases(plan: &mut Plan) {
    plan.case("tls.version-1.2", |suite| spoken(suite, Offer { versions: ONLY_12, ..Offer::PLAIN }, ProtocolVersion::TLSv1_2));
    plan.case("tls.version-1.3", |suite| spoken(suite, Offer { versions: ONLY_13, ..Offer::PLAIN }, ProtocolVersion::TLSv1_3));
    for (name, version) in OLD {
        let name = format!("tls.{name}-refused");
        plan.case(name, move |suite| refused(suite, version));
    }
    plan.measured("tls.one-of-the-four-suites", LIMIT, one_of_four);
    plan.case("tls.no-alpn", no_alpn);
    plan.measured("tls.second-connection", LIMIT, second_connection);
    plan.case("tls.plain-http-is-not-answered", plain_http);
}

async fn metadata(suite: &Suite, wire: &mut Wire) -> Verdict {
    let request = suite.metadata_draft().sign()?;
    wire.send(&request).await?.ok().map(drop)
}

async fn spoken(suite: Arc<Suite>, offer: Offer, version: ProtocolVersion) -> Verdict {
    let mut wire = suite.wire_with(&offer).await?;
    let spoken = wire.tls().protocol_version();
    ensure(spoken == Some(version), &format!("{version:?}"), format_args!("{spoken:?}"))?;
    metadata(&suite, &mut wire).await
}

/// The same hello twice: with TLS 1.2 it must be taken, or its refusal with an old version would say nothing.
async fn refused(suite: Arc<Suite>, version: Version) -> Verdict {
    match say(&suite, TLS_1_2).await? {
        Reply::ServerHello(TLS_1_2) => {}
        other => {
            let got = format!("{other:?}");
            return Err(Stop::wrong("a ServerHello to the same hello for TLS 1.2", got));
        }
    }
    match say(&suite, version).await? {
        Reply::Refused => Ok(()),
        other => Err(Stop::wrong("an alert or the end", format!("{other:?}"))),
    }
}

async fn say(suite: &Suite, version: Version) -> Verdict<Reply> {
    let host = suite.target.host.as_str();
    let name = host.parse::<IpAddr>().is_err().then_some(host);
    let mut stream = suite.tcp().await?;
    let broke = |error: std::io::Error| Stop::wrong("an open connection", error.to_string());
    let hello = client_hello(version, name);
    stream.write_all(&hello).await.map_err(broke)?;
    let mut bytes = Vec::new();
    let mut some = [0; 64];
    while bytes.len() < REPLY_BYTES {
        // An end by reset refuses as well as one by FIN.
        match timeout(QUIET, stream.read(&mut some)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(count)) => bytes.extend(some.iter().take(count)),
            Err(_) => return Err(Stop::wrong("a reply to a ClientHello", "silence")),
        }
        if bytes.first() == Some(&ALERT) {
            break;
        }
    }
    Ok(reply(&bytes))
}

/// Each of the four is offered alone.
async fn one_of_four(suite: Arc<Suite>) -> Verdict<String> {
    let mut taken = Vec::new();
    for only in FOUR {
        let offer = Offer { versions: BOTH, suite: Some(only), ..Offer::PLAIN };
        if let Ok(mut wire) = suite.wire_with(&offer).await {
            metadata(&suite, &mut wire).await?;
            taken.push(only.as_str().unwrap_or_default());
        }
    }
    if taken.is_empty() { Err(Stop::wrong("one of the four suites", "none")) } else { Ok(taken.join(" ")) }
}

async fn no_alpn(suite: Arc<Suite>) -> Verdict {
    let offer = Offer { alpn: &[], ..Offer::PLAIN };
    let mut wire = suite.wire_with(&offer).await?;
    metadata(&suite, &mut wire).await
}

/// With what the first connection left behind; whether the proxy resumes it or not, both must work.
async fn second_connection(suite: Arc<Suite>) -> Verdict<String> {
    let mut notes = Vec::new();
    for versions in [ONLY_12, ONLY_13] {
        let config = suite.config(&Offer { versions, resume: true, ..Offer::PLAIN })?;
        let mut wire = Wire::new(suite.tls(&config).await?);
        metadata(&suite, &mut wire).await?;
        let mut wire = Wire::new(suite.tls(&config).await?);
        metadata(&suite, &mut wire).await?;
        notes.push(match wire.tls().handshake_kind() {
            Some(HandshakeKind::Resumed) => "resumed",
            _ => "not resumed",
        });
    }
    Ok(format!("1.2 {}, 1.3 {}", notes[0], notes[1]))
}

/// HTTPS only: a request in the clear must not be carried out, whatever else is said to it.
async fn plain_http(suite: Arc<Suite>) -> Verdict {
    let mut stream = suite.tcp().await?;
    let bytes = suite.metadata_draft().sign()?.http1();
    let mut heard = Vec::new();
    // The proxy may end the connection at any point.
    let talk = async {
        let _ = stream.write_all(&bytes).await;
        let _ = stream.read_to_end(&mut heard).await;
    };
    let _ = timeout(QUIET, talk).await;
    let text = String::from_utf8_lossy(&heard);
    ensure(!text.starts_with("HTTP/1.1 2"), "no answer in the clear", &text)
}

const OLD: [(&str, Version); 3] = [("ssl-3.0", SSL_3), ("version-1.0", TLS_1_0), ("version-1.1", TLS_1_1)];

/// The suites of which AWS KMS wants one.
const FOUR: [CipherSuite; 4] = [
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
];

/// A record's header and as much of a `ServerHello` as names its version.
const REPLY_BYTES: usize = 11;
const ALERT: u8 = 21;
const QUIET: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(5);
