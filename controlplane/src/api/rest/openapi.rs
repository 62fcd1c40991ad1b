//! The API's description (OpenAPI 3.1), made of what the handlers say of themselves.

use utoipa::{IntoResponses, ToSchema};

/// The body of every refusal (contract §1.3).
#[derive(ToSchema)]
pub(super) struct Refused {
    /// A number for the kind.
    #[expect(dead_code, reason = "describes the API only")]
    code: u32,
    /// The kind's name, and what is wrong with what.
    #[schema(rename = "codeDesc", examples("NCERRResourceNotFound: Resource not found: key store"))]
    #[expect(dead_code, reason = "describes the API only")]
    description: String,
}

/// How a call that needs a token may be refused: add it to the `responses` of each.
#[derive(IntoResponses)]
pub(super) enum Refusals {
    /// A member is malformed or out of range; the text names it.
    #[response(status = 400)]
    Invalid(#[to_schema] Refused),
    /// There is no valid token.
    #[response(status = 401)]
    Unauthorized(#[to_schema] Refused),
    /// The caller's roles don't allow it.
    #[response(status = 403)]
    Forbidden(#[to_schema] Refused),
    /// There is no such thing.
    #[response(status = 404)]
    NotFound(#[to_schema] Refused),
    /// A name is taken, the state does not allow it, or a race was lost. Nothing changed.
    #[response(status = 409)]
    Conflict(#[to_schema] Refused),
    /// The body is over 1 MiB.
    #[response(status = 413)]
    TooLarge(#[to_schema] Refused),
    /// Too many tries.
    #[response(status = 429)]
    TooMany(#[to_schema] Refused),
    /// No data plane is connected that could do it.
    #[response(status = 503)]
    Unavailable(#[to_schema] Refused),
}
