//! What clients are told when something was not done: one table for REST and gRPC.
//!
//! Always holds: a client learns nothing of causes inside; those are logged here, once.

use std::{error::Error, fmt};

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tonic::{Code, Status};

use crate::{
    access::{Denied, LoginError, bearer::CallerError},
    aws::AwsFault,
    core::CoreError,
};

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    kind: Kind,
    text: String,
}

/// Kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Malformed or out of range.
    Invalid,
    /// No valid token, or no right login.
    Unauthorized,
    /// The caller's roles don't allow it.
    Forbidden,
    /// No such thing, or no such path.
    NotFound,
    /// The path exists, the method doesn't.
    Method,
    /// A name is taken, or a race was lost.
    Conflict,
    /// The state it is in does not allow that.
    State,
    /// The body is too long.
    TooLarge,
    /// The body did not arrive in time.
    Late,
    /// Too many tries.
    TooMany,
    /// AWS refused it.
    Aws,
    /// No data plane to do it now, or AWS does not answer.
    Unavailable,
    /// Our fault.
    Internal,
}

/// One row of the table.
struct Row {
    grpc: Code,
    http: StatusCode,
    code: u32,
    name: &'static str,
}

/// A refusal's body, as clients of this API know it.
#[derive(Serialize)]
struct Body {
    code: u32,
    #[serde(rename = "codeDesc")]
    description: String,
}

impl Refusal {
    /// A refusal with a text for the client.
    pub(super) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// A member that can't be, by its name and what is wrong with it.
    pub(super) fn invalid(member: &str, rule: impl fmt::Display) -> Self {
        Self::new(Kind::Invalid, format!("{member}: {rule}"))
    }

    /// What the client is told.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What the table calls it.
    pub(super) const fn name(&self) -> &'static str {
        self.kind.row().name
    }

    /// Logs the cause and hides it.
    fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error, "an admin call failed");
        Self::new(Kind::Internal, "internal error; the control plane's log says more")
    }
}

impl Kind {
    const fn row(self) -> Row {
        let (grpc, http, code, name) = match self {
            Self::Invalid => (Code::InvalidArgument, StatusCode::BAD_REQUEST, 9, "NCERRInvalidParamValue"),
            Self::Unauthorized => (Code::Unauthenticated, StatusCode::UNAUTHORIZED, 1, "NCERRUnauthorized"),
            Self::Forbidden => (Code::PermissionDenied, StatusCode::FORBIDDEN, 6, "NCERRForbidden"),
            Self::NotFound => (Code::NotFound, StatusCode::NOT_FOUND, 16, "NCERRResourceNotFound"),
            Self::Method => (Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED, 17, "NCERRMethodNotAllowed"),
            Self::Conflict => (Code::Aborted, StatusCode::CONFLICT, 18, "NCERRConflict"),
            Self::State => (Code::FailedPrecondition, StatusCode::CONFLICT, 18, "NCERRConflict"),
            Self::TooLarge => (Code::OutOfRange, StatusCode::PAYLOAD_TOO_LARGE, 19, "NCERRRequestTooLarge"),
            Self::Late => (Code::DeadlineExceeded, StatusCode::REQUEST_TIMEOUT, 23, "NCERRRequestTimeout"),
            Self::TooMany => (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS, 20, "NCERRTooManyRequests"),
            Self::Aws => (Code::FailedPrecondition, StatusCode::UNPROCESSABLE_ENTITY, 22, "NCERRAWSRefused"),
            Self::Unavailable => (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE, 21, "NCERRServiceUnavailable"),
            Self::Internal => (Code::Internal, StatusCode::INTERNAL_SERVER_ERROR, 2, "NCERRInternalServerError"),
        };
        Row { grpc, http, code, name }
    }
}

impl From<CoreError> for Refusal {
    fn from(error: CoreError) -> Self {
        let kind = match &error {
            // Clients look for these words.
            CoreError::NotFound(what) => return Self::new(Kind::NotFound, format!("Resource not found: {what}")),
            CoreError::Invalid { .. } => Kind::Invalid,
            CoreError::Exists { .. } | CoreError::Raced => Kind::Conflict,
            CoreError::State(_) | CoreError::Refused(_) => Kind::State,
            CoreError::TooMany(_) => Kind::TooMany,
            CoreError::Aws(error) => match error.fault {
                AwsFault::Refused | AwsFault::Credentials => Kind::Aws,
                AwsFault::Throttled | AwsFault::Broken | AwsFault::Unreached | AwsFault::Unasked => Kind::Unavailable,
            },
            CoreError::NoNode { .. } | CoreError::NotEverywhere { .. } | CoreError::Unavailable(_) | CoreError::Deadline => {
                Kind::Unavailable
            }
            CoreError::Read(_)
            | CoreError::Commit(_)
            | CoreError::Seal(_)
            | CoreError::Hash(_)
            | CoreError::Random
            | CoreError::Files(_)
            | CoreError::Unsealed(_) => {
                return Self::internal(&error);
            }
        };
        Self::new(kind, error.to_string())
    }
}

impl From<LoginError> for Refusal {
    fn from(error: LoginError) -> Self {
        let kind = match &error {
            LoginError::Wrong | LoginError::Bad(_) => Kind::Unauthorized,
            LoginError::Locked { .. } | LoginError::Crowded => Kind::TooMany,
            LoginError::Stopping => Kind::Unavailable,
            LoginError::Read(_) | LoginError::Key(_) | LoginError::Sign(_) | LoginError::Random(_) => return Self::internal(&error),
        };
        Self::new(kind, error.to_string())
    }
}

impl From<CallerError> for Refusal {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::Bad(bad) => Self::new(Kind::Unauthorized, bad.to_string()),
            CallerError::Read(_) => Self::internal(&error),
        }
    }
}

impl From<Denied> for Refusal {
    fn from(error: Denied) -> Self {
        Self::new(Kind::Forbidden, error.to_string())
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind.row().grpc, refusal.text)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let row = self.kind.row();
        let body = Body { code: row.code, description: format!("{}: {}", row.name, self.text) };
        (row.http, Json(body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_missing_thing_is_told_in_the_words_that_clients_look_for() {
        let response = Refusal::from(CoreError::NotFound("key store")).into_response();
        assert_eq!(response.status(), 404);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], 16);
        assert!(body["codeDesc"].as_str().unwrap().starts_with("NCERRResourceNotFound: Resource not found"));
    }

    #[test]
    fn causes_inside_are_not_told() {
        let cause = std::io::Error::other("/secret/place");
        let refusal = Refusal::from(CoreError::Read(crate::store::ReadError::Io(cause)));
        let status = Status::from(refusal);
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"));
    }

    #[test]
    fn a_crowded_sign_in_is_told_to_come_again_later() {
        let refusal = || Refusal::from(LoginError::Crowded);
        assert_eq!(refusal().into_response().status(), StatusCode::TOO_MANY_REQUESTS);
        let status = Status::from(refusal());
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().starts_with("too many sign-ins at once"), "{}", status.message());
    }

    #[test]
    fn both_surfaces_agree_on_whose_fault_it_is() {
        use Kind::*;
        for kind in
            [Invalid, Unauthorized, Forbidden, NotFound, Method, Conflict, State, TooLarge, Late, TooMany, Aws, Unavailable, Internal]
        {
            let row = kind.row();
            let ours = matches!(row.grpc, Code::Internal | Code::Unavailable);
            assert_eq!(row.http.is_server_error(), ours, "{kind:?}");
            assert!(row.name.starts_with("NCERR"), "{kind:?}");
        }
    }
}
