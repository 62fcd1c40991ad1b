//! Asking a proxy for its health, as AWS does at create, update and connect.

use crate::{
    call::Call,
    state::External,
    xks::{ProxyError, health::ask},
};

/// Asks for the health of the proxy that `external` names.
pub(super) async fn health(call: &Call, store_id: &str, external: &External) -> Result<(), ProxyError> {
    // A credential that is being given now can't be stale.
    let mut target = super::target(&call.region, store_id, external);
    target.previous = None;
    ask(&call.shared, &target, (&call.operation, call.request_id)).await
}
