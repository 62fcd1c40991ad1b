//! Says when a token's key has encrypted so often on this node that it should be rotated (design §6). Local keys rotate by themselves.
//! Holds: each making of a version is said in the log once; the gauge counts those that still encrypt. Looked at by the keeper.

use std::collections::HashSet;

use tracing::warn;

use super::gauges;
use crate::live::{CountName, Key, ROTATION_DUE, Snapshot, Source, Version};

/// Versions that were said to be due.
#[derive(Debug, Default)]
pub(super) struct Wear(HashSet<CountName>);

impl Wear {
    /// Looks at every version that encrypts on a token.
    pub(super) fn look(&mut self, snapshot: &Snapshot) {
        let keys = snapshot.stores().flat_map(|store| store.keys.values().map(move |key| (store, key)));
        let mut due = 0_u32;
        for (store, key, version) in keys.filter_map(|(store, key)| Some((store, key, due_version(key)?))) {
            due = due.saturating_add(1);
            if self.0.insert(CountName { key: key.id, version: version.number, tag: version.tag }) {
                let (key, version, encryptions) = (key.id.0, version.number, version.count.used());
                warn!(store = store.name, %key, version, encryptions, "a key on a token has encrypted 2^31 times on this node: rotate it");
            }
        }
        gauges::rotation_due(due);
    }
}

fn due_version(key: &Key) -> Option<&Version> {
    let active = key.active.as_deref()?;
    (matches!(active.key, Ok(Source::Partition(_))) && active.count.used() >= ROTATION_DUE).then_some(active)
}
