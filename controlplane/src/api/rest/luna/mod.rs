//! HSMs (contract §14): servers and connections as they were given, partitions that were added, and the keys on them.

mod connections;
mod keys;
mod partitions;
mod servers;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use crate::api::Api;

/// These files' paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    let connected = OpenApiRouter::new().merge(servers::routes()).merge(connections::routes());
    connected.merge(partitions::routes()).merge(keys::routes())
}
