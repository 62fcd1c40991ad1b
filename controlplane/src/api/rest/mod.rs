//! REST, in the forms that existing clients of this API know. Thin: parse, ask, answer.
//!
//! One file per resource; [`asking`] says who asks, [`body`] what, [`list`] and [`envelope`] give answers their common forms.

mod accounts;
mod asking;
mod body;
mod connections;
mod containers;
mod envelope;
mod jobs;
mod key_stores;
mod keys;
mod list;
mod luna;
mod openapi;
mod page;
mod status;
mod synchronization;
mod templates;
mod tokens;
mod vault_keys;
mod virtual_keys;
mod whole_body;

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::{
        HeaderMap,
        header::CONTENT_TYPE,
        uri::{PathAndQuery, Uri},
    },
    middleware::from_fn,
    response::{IntoResponse, Response},
};
use tonic::Status;
use utoipa_axum::router::OpenApiRouter;

use super::{
    Api,
    error::{Kind, Refusal},
};

/// All REST paths; the rest is refused in JSON.
pub(super) fn router(api: Arc<Api>) -> Router {
    let (paths, description) = resources().split_for_parts();
    paths
        .merge(page::router(openapi::whole(description)))
        .fallback(async |headers: HeaderMap| nothing_here(&headers))
        .method_not_allowed_fallback(async || Refusal::new(Kind::Method, "this path has no such method"))
        .layer(from_fn(whole_body::take_in))
        .with_state(api)
}

/// The answer at a path that nothing is at, to a gRPC client in its own terms (gRPC over HTTP/2: an unknown method).
fn nothing_here(headers: &HeaderMap) -> Response {
    if is_grpc(headers) {
        return Status::unimplemented("there is no such service").into_http();
    }
    Refusal::new(Kind::NotFound, "Resource not found: there is nothing at this path").into_response()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|asked| asked.as_bytes().starts_with(b"application/grpc"))
}

/// Takes a `/` off the end of a path under `/api/`: clients put one there (contract §0).
pub(super) fn without_last_slash(mut request: Request) -> Request {
    let uri = request.uri();
    if let Some(path) = uri.path().strip_suffix('/').filter(|path| path.starts_with("/api/")) {
        let rest = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = PathAndQuery::try_from(rest).ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// All resources, with what describes them.
fn resources() -> OpenApiRouter<Arc<Api>> {
    let resources = OpenApiRouter::new()
        .merge(accounts::routes())
        .merge(connections::routes())
        .merge(containers::routes())
        .merge(jobs::routes())
        .merge(key_stores::routes())
        .merge(keys::routes())
        .merge(luna::routes())
        .merge(status::routes())
        .merge(synchronization::routes())
        .merge(templates::routes())
        .merge(tokens::routes())
        .merge(vault_keys::routes())
        .merge(virtual_keys::routes());
    OpenApiRouter::new().nest("/api/v1", resources)
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::HeaderValue};

    use super::*;

    #[test]
    fn at_a_path_that_is_not_there_a_client_is_told_so_in_its_own_terms() {
        let asked = |kind: &'static str| nothing_here(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]));
        for kind in ["application/grpc", "application/grpc+proto"] {
            let answer = asked(kind);
            assert_eq!((answer.status().as_u16(), &answer.headers()["grpc-status"]), (200, &HeaderValue::from_static("12")), "{kind}");
        }
        for answer in [asked("application/json"), nothing_here(&HeaderMap::new())] {
            assert_eq!((answer.status().as_u16(), answer.headers().get("grpc-status")), (404, None));
        }
    }

    #[test]
    fn a_slash_at_the_end_of_a_path_makes_no_difference() {
        let path = |uri: &str| without_last_slash(Request::builder().uri(uri).body(Body::empty()).unwrap()).uri().to_string();
        assert_eq!(path("/api/v1/cckm/aws/kms/?name=x/"), "/api/v1/cckm/aws/kms?name=x/");
        assert_eq!(path("https://h:1/api/v1/a/?"), "https://h:1/api/v1/a?");
        for same in ["/api/v1/a", "/api/v1/a?b=c/", "/", "/other/"] {
            assert_eq!(path(same), same);
        }
    }
}
