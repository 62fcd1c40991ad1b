//! Source keys by what clients call them, and what uses one.

use holdfast_proto::records::SourceKey;
use uuid::Uuid;

use super::parse_cm_id;
use crate::{
    core::CoreError,
    store::{ReadError, View, entry::SourceKeyEntry},
};

/// Which source keys are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// All.
    All,
    /// Local ones.
    Local,
    /// Those on partitions.
    OnPartitions,
}

/// A source key that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Its id in either form, or its name where no other has that.
    pub name: &'a str,
    /// Where it must be.
    pub among: Among,
}

impl Among {
    /// Whether a key is meant.
    #[must_use]
    pub const fn has(self, entry: &SourceKeyEntry) -> bool {
        match (self, &entry.key) {
            (Self::All, _) | (Self::Local, SourceKey::Local(_)) | (Self::OnPartitions, SourceKey::Partition(_)) => true,
            (Self::Local, SourceKey::Partition(_)) | (Self::OnPartitions, SourceKey::Local(_)) => false,
        }
    }
}

/// The source key that is wanted.
pub(super) fn wanted(view: &View, wanted: Wanted<'_>) -> Result<SourceKeyEntry, CoreError> {
    let found = find(view, wanted.name)?;
    if wanted.among.has(&found) { Ok(found) } else { Err(CoreError::NotFound("source key")) }
}

/// A source key by its id as `vault/keys2` tells it, its UUID, or its name where no other has that.
pub(in crate::core) fn find(view: &View, name: &str) -> Result<SourceKeyEntry, CoreError> {
    let id = parse_cm_id(name).or_else(|| Uuid::try_parse(name).ok());
    if let Some(found) = id.map(|id| view.source_key(id)).transpose()?.flatten() {
        return Ok(found);
    }
    let mut named = view.source_keys()?.into_iter().filter(|entry| !name.is_empty() && entry.name == name);
    match (named.next(), named.next()) {
        (None, _) => Err(CoreError::NotFound("source key")),
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(CoreError::State(format!("more than one source key is named {name:?}; use an id"))),
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
