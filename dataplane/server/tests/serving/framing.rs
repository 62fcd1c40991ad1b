//! HTTP as clients really speak it, and as some should not.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    client::{Connection, Connector, Signer, encrypt, ops, path, plain},
    rig::{PATH, Rig},
};

fn metadata() -> (String, String) {
    (path("metadata"), plain("metadata").to_string())
}

#[tokio::test]
async fn a_refusal_does_not_cost_the_connection_however_the_request_was_cut() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let body = plain("x").to_string();
    for (request, status) in [
        (Signer::default().request("/nowhere/kms/xks/v1/health", &body), 404),
        (Signer::default().request(&path("metadata"), "{}"), 400),
        (Signer::default().request(&path("metadata"), "not json"), 400),
        (Signer { secret: "x".repeat(43), ..Signer::default() }.request(&path("metadata"), &body), 401),
        (format!("PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", path("encrypt")), 405),
        (Signer::default().request(&path("metadata"), &body), 200),
    ] {
        let (head, rest) = request.split_at(request.find("\r\n\r\n").unwrap() + 4);
        connection.send(head).await;
        connection.send(rest).await;
        assert_eq!(connection.receive().await.unwrap().status, status, "{request}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let (path, body) = metadata();
    let good = Signer::default().request(&path, &body);
    let bad = Signer::default().request("/nowhere/kms/xks/v1/health", &body);
    connection.send([good.as_str(), &bad, &good].concat()).await;
    for status in [200, 404, 200] {
        assert_eq!(connection.receive().await.unwrap().status, status);
    }
}

#[tokio::test]
async fn a_chunked_body_is_a_body() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let (path, body) = metadata();
    let headers = Signer::default().headers(&path, &body);
    let (one, two) = body.split_at(10);
    let (one, two) = (format!("{:x}\r\n{one}\r\n", one.len()), format!("{:x}\r\n{two}\r\n0\r\n\r\n", two.len()));
    connection.send(format!("POST {path} HTTP/1.1\r\n{headers}Transfer-Encoding: chunked\r\n\r\n{one}")).await;
    connection.send(two).await;
    assert_eq!(connection.receive().await.unwrap().status, 200);
    assert_eq!(connection.call("metadata", &plain("metadata")).await.status, 200);
}

#[tokio::test]
async fn who_expects_100_continue_gets_it_and_then_an_answer() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let (path, body) = metadata();
    let request = Signer::default().request(&path, &body).replacen("\r\n", "\r\nExpect: 100-continue\r\n", 1);
    let (head, rest) = request.split_at(request.find("\r\n\r\n").unwrap() + 4);
    connection.send(head).await;
    assert_eq!(connection.receive().await.unwrap().status, 100);
    connection.send(rest).await;
    assert_eq!(connection.receive().await.unwrap().status, 200);
    // What is refused by its head does not cost the connection either.
    connection.send(head.replace(PATH, "/nowhere/kms/xks/v1")).await;
    assert_eq!(connection.receive().await.unwrap().status, 100);
    connection.send(rest).await;
    assert_eq!(connection.receive().await.unwrap().status, 404);
    assert_eq!(connection.call("metadata", &plain("metadata")).await.status, 200);
}

#[tokio::test]
async fn after_two_lengths_no_second_request_is_answered() {
    let rig = Rig::start().await;
    let (path, body) = metadata();
    let headers = Signer::default().headers(&path, &body);
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let second = Signer::default().request(&path, &body);
    for lengths in ["Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"] {
        let mut connection = Connection::open(&rig).await;
        connection.send(format!("POST {path} HTTP/1.1\r\n{headers}{lengths}\r\n{chunked}{second}")).await;
        let first = connection.receive().await;
        assert!(first.is_none_or(|first| first.header("connection") == Some("close")));
        assert!(connection.is_closed().await, "{lengths}");
    }
}

#[tokio::test]
async fn a_body_over_the_cap_is_501_and_the_end() {
    let rig = Rig::start().await;
    for length in [256 * 1_024 + 1, 300_000, 3_000_000] {
        let mut connection = Connection::open(&rig).await;
        let head = format!("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n", path("encrypt"));
        connection.send(head).await;
        if length < 1_000_000 {
            connection.send(vec![b'x'; length]).await;
        }
        let answer = connection.receive().await.unwrap();
        assert_eq!(answer.refusal(), (501, "UnsupportedOperationException".into()), "{length}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(connection.is_closed().await);
    }
    let mut connection = Connection::open(&rig).await;
    let whole = Signer::default().request(&path("metadata"), &" ".repeat(256 * 1_024));
    connection.send(whole).await;
    assert_eq!(connection.receive().await.unwrap().refusal(), (400, "ValidationException".into()));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_400_and_the_end() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let (path, body) = metadata();
    let request = Signer::default().request(&path, &body);
    connection.send(&request[..request.len() - 1]).await;
    let answer = connection.receive().await.unwrap();
    assert_eq!(answer.refusal(), (400, "ValidationException".into()));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(connection.is_closed().await);
}

#[tokio::test]
async fn half_a_head_is_cut_off_while_an_idle_connection_stays() {
    let rig = Rig::with(|settings, _| settings.header_timeout = Duration::from_millis(100), |_| ()).await;
    let mut idle = Connection::open(&rig).await;
    assert_eq!(idle.call("metadata", &plain("metadata")).await.status, 200);
    let mut fresh = Connection::open(&rig).await;
    let mut half = Connection::open(&rig).await;
    half.send("POST /p1/kms/xks/v1/health HT").await;
    assert!(half.is_closed().await);
    // Both have idled for as long as the other was let to stop.
    assert_eq!(idle.call("metadata", &plain("metadata")).await.status, 200);
    assert_eq!(fresh.call("metadata", &plain("metadata")).await.status, 200);
    idle.send("POST /p1").await;
    assert!(idle.is_closed().await);
}

#[tokio::test]
async fn a_stranger_that_stays_silent_is_sent_away_and_a_known_client_is_not() {
    let rig = Rig::with(|settings, _| settings.stranger_timeout = Duration::from_millis(100), |_| ()).await;
    let mut known = Connection::open(&rig).await;
    assert_eq!(known.call("metadata", &plain("metadata")).await.status, 200);
    let mut silent = Connection::open(&rig).await;
    assert!(silent.is_closed().await);
    assert_eq!(known.call("metadata", &plain("metadata")).await.status, 200);
}

#[tokio::test]
async fn open_handshakes_hold_nobody_up() {
    let rig = Rig::start().await;
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(rig.addr()).await.unwrap();
        // The start of a handshake record that never ends.
        stream.write_all(&[22, 3, 1]).await.unwrap();
        open.push(stream);
    }
    let mut connection = Connection::open(&rig).await;
    assert_eq!(connection.call("metadata", &plain("metadata")).await.status, 200);
}

#[tokio::test]
async fn an_address_brings_so_many_strangers_and_no_more() {
    let rig = Rig::with(|settings, _| settings.per_peer = 2, |_| ()).await;
    let connector = Connector::new(&rig);
    let mut one = connector.connect(rig.addr()).await;
    let _two = connector.connect(rig.addr()).await;
    assert!(connector.try_connect(rig.addr(), "localhost").await.is_err());
    // One that is known counts no more.
    assert_eq!(one.call("metadata", &plain("metadata")).await.status, 200);
    let mut three = connector.connect(rig.addr()).await;
    assert_eq!(three.call("metadata", &plain("metadata")).await.status, 200);
}

#[tokio::test]
async fn ping_needs_no_signature_and_tells_readiness() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    connection.send("GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(connection.receive().await.unwrap().status, 200);
    let ops_addr = rig.plane.ops_addr().unwrap();
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/ping", 200), ("/metrics", 200), ("/else", 404)] {
        assert_eq!(ops(ops_addr, path).await.0, status, "{path}");
    }
    assert!(ops(ops_addr, "/metrics").await.1.contains("holdfast_tls_handshakes_total"));
}

#[tokio::test]
async fn http2_is_served_under_authority() {
    let rig = Rig::start().await;
    let connector = Connector::of(&rig, None, |config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let stream = connector.connect(rig.addr()).await.stream;
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let running = tokio::spawn(connection);
    let body = encrypt(b"text", b"aad").to_string();
    let path = path("encrypt");
    let (date, authorization) = Signer::default().sign("POST", &path, &body);
    let request = |host: Option<&str>| {
        let mut request = http::Request::post(format!("https://localhost{path}"))
            .header("x-amz-date", &date)
            .header("authorization", &authorization)
            .body(Full::new(Bytes::from(body.clone())))
            .unwrap();
        request.headers_mut().extend(host.map(|host| (http::header::HOST, host.parse().unwrap())));
        request
    };
    for (host, status) in [(None, 200), (Some("localhost"), 200), (Some("elsewhere"), 401), (None, 200)] {
        let answer = sender.clone().send_request(request(host)).await.unwrap();
        assert_eq!(answer.status(), status, "{host:?}");
        assert!(!answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    drop(sender);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_is_audited() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let (path, body) = metadata();
    let request = Signer::default().request(&path, &body).replacen("\r\n", "\r\nExpect: 100-continue\r\n", 1);
    connection.send(&request[..request.find("\r\n\r\n").unwrap() + 4]).await;
    assert_eq!(connection.receive().await.unwrap().status, 100);
    drop(connection);
    rig.plane.drain(std::future::pending()).await;
    let audit = rig.files.audit();
    let record: serde_json::Value = serde_json::from_str(audit.lines().next().unwrap()).unwrap();
    assert_eq!((&record["operation"], &record["externalKeyId"]), (&"GetKeyMetadata".into(), &"k1".into()), "{record}");
    assert!(record["outcome"] == "aborted" || record["reason"] == "body_incomplete", "{record}");
}
