//! Policy templates.

use uuid::Uuid;

use super::CoreError;
use crate::store::{View, entry::PolicyTemplateEntry};

/// A template by its id or name.
pub(super) fn find(view: &View, wanted: &str) -> Result<PolicyTemplateEntry, CoreError> {
    if let Some(found) = Uuid::try_parse(wanted).ok().map(|id| view.policy_template(id)).transpose()?.flatten() {
        return Ok(found);
    }
    view.policy_templates()?.into_iter().find(|entry| entry.name == wanted).ok_or(CoreError::NotFound("policy template"))
}
