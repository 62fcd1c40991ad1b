//! Source keys by what clients call them, and what uses one.

use uuid::Uuid;

use super::parse_cm_id;
use crate::{
    core::CoreError,
    store::{ReadError, View, entry::SourceKeyEntry},
};

/// A source key by its id as `vault/keys2` tells it, its UUID, or its name where no other has that.
pub(in crate::core) fn find(view: &View, wanted: &str) -> Result<SourceKeyEntry, CoreError> {
    let id = parse_cm_id(wanted).or_else(|| Uuid::try_parse(wanted).ok());
    if let Some(found) = id.map(|id| view.source_key(id)).transpose()?.flatten() {
        return Ok(found);
    }
    let mut named = view.source_keys()?.into_iter().filter(|entry| !wanted.is_empty() && entry.name == wanted);
    match (named.next(), named.next()) {
        (None, _) => Err(CoreError::NotFound("source key")),
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(CoreError::State(format!("more than one source key is named {wanted:?}; use an id"))),
    }
}

/// What uses a source key, in words for people; none: nothing.
pub(in crate::core) fn in_use(view: &View, source: Uuid) -> Result<Option<String>, ReadError> {
    if let Some(key_store) = view.key_stores()?.into_iter().find(|key_store| key_store.health_key == source) {
        return Ok(Some(format!("it is the health check key of key store {}", key_store.name)));
    }
    let uses = |key: &crate::store::entry::VirtualKeyEntry| key.versions.iter().any(|version| version.source == source);
    let Some(virtual_key) = view.virtual_keys()?.into_iter().find(uses) else { return Ok(None) };
    let hyok = virtual_key.backs.map(|place| view.hyok_key(place.store, place.key)).transpose()?.flatten();
    Ok(Some(match hyok {
        Some(key) => format!("the HYOK key {} encrypts or decrypts with it", key.external_id),
        None => format!("the virtual key {} has a version on it", virtual_key.id),
    }))
}
