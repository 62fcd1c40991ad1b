//! AWS connections.

use uuid::Uuid;

use super::CoreError;
use crate::store::{View, entry::AwsConnectionEntry};

/// A connection by its id or name.
pub(super) fn find(view: &View, wanted: &str) -> Result<AwsConnectionEntry, CoreError> {
    if let Some(found) = Uuid::try_parse(wanted).ok().map(|id| view.aws_connection(id)).transpose()?.flatten() {
        return Ok(found);
    }
    view.aws_connections()?.into_iter().find(|entry| entry.name == wanted).ok_or(CoreError::NotFound("AWS connection"))
}
