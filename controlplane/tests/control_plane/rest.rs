//! REST, with the bytes that existing clients send.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::plane::{Answer, Plane};

const LOGIN: &str = "POST /api/v1/auth/tokens HTTP/1.1\r\n";

async fn login(plane: &Plane, password: &str) -> Answer {
    let head =
        format!("{LOGIN}authorization: Bearer stale.old.token\r\ncontent-type: application/json\r\ncontent-type: application/json\r\n");
    let body = format!(r#"{{"username":"admin","password":"{password}","auth_domain":"","domain":"","unknown":{{}}}}"#);
    plane.rest(&head, body.as_bytes()).await
}

#[tokio::test]
async fn a_login_ignores_authorization_and_takes_two_content_types() {
    let plane = Plane::with_demo().await;
    let answer = login(&plane, plane.report.admin_password.expose()).await;
    assert_eq!((answer.status, &answer.body["duration"], &answer.body["token_type"]), (200, &300.into(), &"Bearer".into()));
    assert_eq!(answer.body["jwt"].as_str().unwrap().split('.').count(), 3);
    // The refresh grant renews it, as often as it is asked.
    let refresh = serde_json::json!({"grant_type": "refresh_token", "refresh_token": answer.body["refresh_token"], "domain": "root"});
    for _ in 0..2 {
        let renewed = plane.rest(LOGIN, refresh.to_string().as_bytes()).await;
        assert_eq!((renewed.status, &renewed.body["duration"]), (200, &300.into()));
        assert_eq!(renewed.body["refresh_token_id"], answer.body["refresh_token_id"]);
        assert_ne!(renewed.body["jwt"], answer.body["jwt"]);
    }
    let refused = login(&plane, "wrong").await;
    assert_eq!((refused.status, &refused.body["code"]), (401, &1.into()));
    assert!(refused.body["codeDesc"].as_str().unwrap().starts_with("NCERRUnauthorized: "));
}

#[tokio::test]
async fn bad_input_is_refused_in_json_with_the_right_status() {
    let plane = Plane::with_demo().await;
    let long = format!(r#"{{"username":"{}"}}"#, "a".repeat(1 << 20));
    let elsewhere = r#"{"username":"admin","password":"x","domain":"other"}"#;
    let table: [(&str, &[u8], u16); 13] = [
        (LOGIN, br#"{"grant_type":"refresh_token","refresh_token":"hfr_x"}"#, 401),
        (LOGIN, br#"{"grant_type":"client_credential"}"#, 400),
        (LOGIN, br#"{"grant_type":"password","username":"admin"}"#, 401),
        (LOGIN, long.as_bytes(), 413),
        // One that takes no body.
        ("POST /api/v1/cckm/aws/keys/x/block HTTP/1.1\r\n", long.as_bytes(), 413),
        (LOGIN, b"{", 400),
        (LOGIN, br#"{"username":5}"#, 400),
        (LOGIN, br#"{"grant_type":"refresh_token"}"#, 400),
        (LOGIN, elsewhere.as_bytes(), 401),
        ("GET /api/v1/auth/tokens HTTP/1.1\r\n", b"", 405),
        // What is no text in a path names nothing, and nobody is told so before a sign-in.
        ("GET /api/v1/cckm/aws/keys/%ff HTTP/1.1\r\n", b"", 401),
        ("DELETE /api/v1/cckm/aws/custom-key-stores/%ff HTTP/1.1\r\n", b"", 401),
        ("GET /api/v1/cckm/aws/no-such-thing HTTP/1.1\r\n", b"", 404),
    ];
    for (head, body, status) in table {
        let answer = plane.rest(head, body).await;
        assert_eq!(answer.status, status, "{head}");
        assert!(answer.body["codeDesc"].as_str().unwrap().starts_with("NCERR"), "{head}");
    }
}

#[tokio::test]
async fn the_status_of_services_is_told_without_a_token() {
    let plane = Plane::with_demo().await;
    let answer = plane.rest("GET /api/v1/system/services/status HTTP/1.1\r\n", b"").await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &"started".into()));
    assert_eq!(answer.body["services"][0]["name"], "web");
}

#[tokio::test]
async fn a_connection_goes_on_after_a_refusal_whose_request_had_a_body() {
    let plane = Plane::with_demo().await;
    let mut stream = plane.tls().await;
    // No one needs their bodies, which many clients send apart from the head.
    let heads = [
        ("POST /api/v1/cckm/aws/keys/x/block HTTP/1.1\r\n", "401"),
        ("DELETE /api/v1/cckm/aws/keys/x HTTP/1.1\r\n", "401"),
        ("PUT /api/v1/auth/tokens HTTP/1.1\r\n", "405"),
        ("POST /api/v1/nowhere HTTP/1.1\r\n", "404"),
    ];
    for (head, status) in heads {
        let head = format!("{head}host: localhost\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(until(&mut stream, "\r\n\r\n").await.split(' ').nth(1), Some("100"), "{head}");
        stream.write_all(b"{\r\n}").await.unwrap();
        let answer = until(&mut stream, "}").await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}");
        assert!(!answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    }
    let long = format!("POST /api/v1/cckm/aws/keys/x/block HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", 2 << 20);
    stream.write_all(long.as_bytes()).await.unwrap();
    let mut answer = String::new();
    _ = stream.read_to_string(&mut answer).await;
    assert!(answer.contains(" 413 ") && answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

/// What comes until `end`.
async fn until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        answer.push(stream.read_u8().await.unwrap_or_else(|fault| panic!("{fault} after {}", String::from_utf8_lossy(&answer))));
    }
    String::from_utf8(answer).unwrap()
}
