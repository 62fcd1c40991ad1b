//! The API's description for programs, `/api/v1/openapi.json`, and a page to browse it, `/api/v1/docs/`. Neither needs a token.
//!
//! Always holds: the page loads nothing from elsewhere, and its policy says so to the browser.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::Path,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerFile};

use crate::api::error::{Kind, Refusal};

/// The description and the page.
pub(super) fn router<S: Clone + Send + Sync + 'static>(description: OpenApi) -> Router<S> {
    let description = Arc::new(description);
    // The validator that the page would ask otherwise is on the internet.
    let config = Arc::new(Config::from(DESCRIPTION).validator_url("none").doc_expansion("list"));
    let file = async move |Path(name): Path<String>| page(&name, config);
    Router::new()
        .route(DESCRIPTION, get(async move || Json(&*description).into_response()))
        // Links within the page need a file name: a slash at the end is taken off before routing.
        .route("/api/v1/docs", get(async || Redirect::to("/api/v1/docs/index.html")))
        .route("/api/v1/docs/{file}", get(file))
}

fn page(name: &str, config: Arc<Config<'static>>) -> Result<Response, Refusal> {
    // It fails only where one of its own files is no text.
    let found = utoipa_swagger_ui::serve(name, config).ok().flatten();
    let SwaggerFile { bytes, content_type, .. } =
        found.ok_or_else(|| Refusal::new(Kind::NotFound, "Resource not found: the page has no such file"))?;
    let mut response = (([(header::CONTENT_TYPE, content_type)]), bytes.into_owned()).into_response();
    response.headers_mut().extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    Ok(response)
}

const DESCRIPTION: &str = "/api/v1/openapi.json";
/// The page draws its icons from `data:` URLs in its style sheet, and one of its elements has a style of its own: that one, by its hash.
const HEADERS: [(HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-hashes' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];
