//! The formats of what lies in a store's directory, and the steps from each to the next.
//!
//! Always holds: a step is one atomic batch that also writes the format's number, so that a step which was cut short begins afresh; a step
//! knows the forms of its time by itself, and none of the types of today, which go on changing. A field that is added to an entry needs
//! no step, but a default.

use std::io;

use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};
use uuid::Uuid;

/// Brings a tree from one format to the next.
pub(super) type Migration = fn(&Tree) -> io::Result<()>;

/// The format that this version writes.
pub(crate) const FORMAT: u32 = 2;

/// One step for each format before ours, oldest first: the one at index n leads from format n + 1.
pub(super) const MIGRATIONS: [Migration; FORMAT as usize - 1] = [index_external_ids];

/// Where a tree's format lies; keys that begin with zero are the store's own.
pub(super) const FORMAT_KEY: &[u8] = &[0, 0];

/// Format 2 finds a HYOK key by its external id without looking at all keys of its key store.
fn index_external_ids(tree: &Tree) -> io::Result<()> {
    #[derive(Deserialize)]
    enum Old<'a> {
        HyokKey { id: Uuid, store: Uuid, external_id: &'a str },
    }
    #[derive(Serialize)]
    enum New<'a> {
        ExternalId { store: Uuid, external_id: &'a str, key: Uuid },
    }
    const HYOK_KEY: u8 = 3;
    const EXTERNAL_ID: u8 = 12;

    let mut batch = Batch::default();
    for value in tree.scan_prefix([HYOK_KEY]).values() {
        let value = value?;
        let Old::HyokKey { id, store, external_id } = serde_json::from_slice(&value)?;
        let name = [&[EXTERNAL_ID], store.as_bytes().as_slice(), external_id.as_bytes()].concat();
        batch.insert(name, serde_json::to_vec(&New::ExternalId { store, external_id, key: id })?);
    }
    batch.insert(FORMAT_KEY, &2_u32.to_be_bytes());
    Ok(tree.apply_batch(batch)?)
}

#[cfg(test)]
mod tests;
