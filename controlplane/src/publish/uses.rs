//! When credentials last signed a request that was authenticated, over all nodes.
//!
//! Always holds: what is noted never goes back, and is of credentials that are published; it moves no revision. Nodes tell every ten
//! seconds at most, so that is how often a note is written.

use std::collections::HashMap;

use holdfast_proto::{
    ids::{CredentialId, StoreId},
    snapshot::RecordSet,
    sync::CredentialUse,
};
use uuid::Uuid;

use crate::store::{
    ReadError,
    entry::{CredentialUsedEntry, Entry, EntryName},
};

/// What was noted, as far as it was asked for in this process's life.
#[derive(Debug, Default)]
pub(super) struct Uses(HashMap<(StoreId, CredentialId), u64>);

impl Uses {
    /// Takes a node's report at `now_ms`, which its clock may be ahead of; `read` gives what an earlier process noted. Gives what is to be
    /// noted.
    pub(super) fn report(
        &mut self,
        told: &[CredentialUse],
        published: &RecordSet,
        now_ms: u64,
        read: impl Fn(&EntryName) -> Result<Option<Entry>, ReadError>,
    ) -> Result<Vec<Entry>, ReadError> {
        let mut notes = Vec::new();
        for told in told {
            let (Ok(store), Ok(id)) = (Uuid::from_slice(&told.store_id), Uuid::from_slice(&told.credential_id)) else { continue };
            let (store, credential) = (StoreId(store), CredentialId(id));
            if !published.store(store).is_some_and(|store| store.credentials().any(|one| one.id == credential)) {
                self.0.remove(&(store, credential));
                continue;
            }
            let known = match self.0.get(&(store, credential)) {
                Some(known) => *known,
                None => match read(&EntryName::CredentialUsed(store, credential))? {
                    Some(Entry::CredentialUsed(noted)) => noted.used_ms,
                    Some(_) | None => 0,
                },
            };
            let used_ms = told.used_ms.min(now_ms);
            self.0.insert((store, credential), known.max(used_ms));
            if used_ms > known {
                notes.push(Entry::CredentialUsed(CredentialUsedEntry { store, credential, used_ms }));
            }
        }
        Ok(notes)
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::{
        ids::AccessKeyId,
        records::{Change, Credential, Record},
        secret::Secret,
    };

    use super::*;
    use crate::publish::fixtures::{store, store_id};

    fn id(n: u8) -> CredentialId {
        CredentialId(Uuid::from_bytes([n; 16]))
    }

    /// A key store with credentials 1 and 2.
    fn published() -> RecordSet {
        let credential = |n: u8, access_key_id: &str| {
            let access_key_id = AccessKeyId::try_from(access_key_id).unwrap();
            let secret = Secret::new("s".repeat(43));
            Change::Upsert(Record::Credential(Credential { id: id(n), store: store_id(1), access_key_id, secret, generation: 1 }))
        };
        let records = [store(1, false), credential(1, "ABCDEFGHIJKLMNOP2345"), credential(2, "ABCDEFGHIJKLMNOP2346")];
        RecordSet::default().apply(records).unwrap().0
    }

    fn told(credential: u8, used_ms: u64) -> [CredentialUse; 1] {
        let (store_id, credential_id) = (store_id(1).0.as_bytes().to_vec(), id(credential).0.as_bytes().to_vec());
        [CredentialUse { store_id, credential_id, used_ms }]
    }

    fn noted(uses: &mut Uses, told: &[CredentialUse], earlier: Option<u64>) -> Vec<u64> {
        let read = |name: &EntryName| match (name, earlier) {
            (EntryName::CredentialUsed(store, credential), Some(used_ms)) => {
                Ok(Some(Entry::CredentialUsed(CredentialUsedEntry { store: *store, credential: *credential, used_ms })))
            }
            _ => Ok(None),
        };
        let notes = uses.report(told, &published(), 1_000, read).unwrap();
        notes.into_iter().map(|note| if let Entry::CredentialUsed(note) = note { note.used_ms } else { panic!("{note:?}") }).collect()
    }

    #[test]
    fn the_latest_use_over_all_nodes_and_restarts_is_noted_and_never_goes_back() {
        let mut uses = Uses::default();
        assert_eq!(noted(&mut uses, &told(1, 100), None), [100]);
        assert_eq!(noted(&mut uses, &told(1, 90), None), [0; 0]);
        assert_eq!(noted(&mut uses, &told(1, 110), None), [110]);
        assert_eq!(noted(&mut uses, &told(2, 100), Some(200)), [0; 0], "an earlier process noted more");
        assert_eq!(noted(&mut uses, &told(2, 201), Some(7)), [201]);
    }

    #[test]
    fn a_clock_that_is_ahead_is_cut_and_what_is_not_published_is_not_noted() {
        let mut uses = Uses::default();
        assert_eq!(noted(&mut uses, &told(1, 5_000), None), [1_000]);
        assert_eq!(noted(&mut uses, &told(3, 100), None), [0; 0]);
        let broken = [CredentialUse { store_id: vec![1], credential_id: Vec::new(), used_ms: 1 }];
        assert_eq!(noted(&mut uses, &broken, None), [0; 0]);
    }
}
