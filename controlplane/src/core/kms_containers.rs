//! KMS containers.

use uuid::Uuid;

use super::CoreError;
use crate::store::{View, entry::KmsContainerEntry};

/// A container by its id or name.
pub(super) fn find(view: &View, wanted: &str) -> Result<KmsContainerEntry, CoreError> {
    if let Some(found) = Uuid::try_parse(wanted).ok().map(|id| view.kms_container(id)).transpose()?.flatten() {
        return Ok(found);
    }
    view.kms_containers()?.into_iter().find(|entry| entry.name == wanted).ok_or(CoreError::NotFound("KMS container"))
}
