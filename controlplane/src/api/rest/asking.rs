//! Who asks over REST, and how answers go out.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use axum::{
    Json,
    extract::{ConnectInfo, FromRequestParts, Path},
    http::{HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    access::{Permit, Right},
    api::{
        Api,
        call::{Call, Origin, bearer},
        error::Refusal,
    },
    audit::Via,
    core::Applied,
    names::NodeName,
};

/// Who asks, as the request says.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    authorization: Option<String>,
    peer: Option<IpAddr>,
}

/// The last thing that a path names. One that is no text names nothing; that is told only when it is known who asks.
#[derive(Clone, Debug)]
pub(super) struct Named(pub(super) String);

/// An answer, with the nodes that have not applied the change yet: in `Holdfast-Pending-Nodes` (design §7.5), absent where there are none.
#[derive(Clone, Debug)]
pub(super) struct Changed<T> {
    value: T,
    pending: Vec<NodeName>,
}

impl Asking {
    /// For calls that need no token.
    pub(super) const fn stranger(&self) -> Origin<'static> {
        Origin { via: Via::Rest, token: None, peer: self.peer }
    }
}

impl Api {
    /// [`Api::call`] for REST.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn rest<R: Right, T, F>(
        &self,
        asking: &Asking,
        call: Call,
        act: impl FnOnce(Permit<R>) -> F + Send,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Refusal>> + Send,
    {
        let token = bearer(asking.authorization.as_deref());
        self.call(Origin { token, ..asking.stranger() }, call, act).await
    }
}

impl<T> Changed<T> {
    /// What became of `applied`, as `render` tells it.
    pub(super) fn new<V>(applied: Applied<V>, render: impl FnOnce(V) -> T) -> Self {
        Self { value: render(applied.value), pending: applied.pending }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asking {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let authorization = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        Ok(Self { authorization, peer })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        Ok(path.map_or_else(|_| Self(String::new()), |Path(name)| Self(name)))
    }
}

/// 200 with the object.
impl<T: Serialize> IntoResponse for Changed<T> {
    fn into_response(self) -> Response {
        with_pending((StatusCode::OK, Json(self.value)).into_response(), &self.pending)
    }
}

/// 204 for what is gone.
pub(super) fn gone(applied: &Applied<()>) -> Response {
    with_pending(StatusCode::NO_CONTENT.into_response(), &applied.pending)
}

fn with_pending(mut response: Response, pending: &[NodeName]) -> Response {
    let names = pending.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
    // Node names have no characters that a header can't.
    if let Some(value) = Some(names).filter(|names| !names.is_empty()).and_then(|names| HeaderValue::try_from(names).ok()) {
        response.headers_mut().insert(PENDING_NODES, value);
    }
    response
}

/// Nodes that have not applied a change yet.
const PENDING_NODES: HeaderName = HeaderName::from_static("holdfast-pending-nodes");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_lag_are_named_in_a_header_and_none_is_no_header() {
        let node = |name: &str| NodeName::try_from(name).unwrap();
        let header = |pending| gone(&Applied { value: (), pending }).headers().get(PENDING_NODES).cloned();
        assert_eq!(header(vec![node("a"), node("b")]).unwrap(), "a, b");
        assert_eq!(header(Vec::new()), None);
    }
}
