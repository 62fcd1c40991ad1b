//! Takes a request's body in before anything else looks at the request.
//!
//! Always holds: who is refused early, such as one without a token, is answered on a connection that goes on, since nothing of the request
//! is left unread on it; one whose body is not taken in whole is told that the connection ends (RFC 9112 §9.3, §9.6).

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{
        HeaderValue, Version,
        header::{CONNECTION, CONTENT_LENGTH},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::timeout;

use super::is_grpc;
use crate::api::{
    LONGEST_BODY,
    error::{Kind, Refusal},
};

/// Goes on with the whole body, or refuses one that is too long or too slow. A gRPC client whose service is not there is not listened to.
pub(super) async fn take_in(request: Request, next: Next) -> Response {
    if is_grpc(request.headers()) && !request.uri().path().starts_with("/api/") {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let said = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<usize>().ok());
    let refusal = if said.is_some_and(|length| length > LONGEST_BODY) {
        Refusal::new(Kind::TooLarge, "the body is longer than 1 MiB")
    } else {
        match timeout(LONGEST_WAIT, to_bytes(body, LONGEST_BODY)).await {
            Ok(Ok(whole)) => return next.run(Request::from_parts(head, Body::from(whole))).await,
            Ok(Err(_)) => Refusal::new(Kind::TooLarge, "the body is longer than 1 MiB, or did not arrive whole"),
            Err(_) => Refusal::new(Kind::Late, format!("the body did not arrive whole within {} s", LONGEST_WAIT.as_secs())),
        }
    };
    let mut answer = refusal.into_response();
    // HTTP/2 ends the stream alone, and knows no such header (RFC 9113 §8.2.2).
    if head.version < Version::HTTP_2 {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// For 1 MiB over a slow line; nobody holds a connection for longer by sending a body bit by bit.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
