//! What a node says of itself: status every ten seconds and when a partition changes, and what it can't serve with each acknowledgement.

use std::collections::HashMap;

use holdfast_keys::pkcs11::{
    Groups,
    status::{Condition, PartitionStatus, TokenFacts},
};
use holdfast_proto::{
    ids::{CredentialId, Revision, StoreId},
    sync::{self as wire, ClientCertificates, EncryptionCount},
};

use super::{ListenerReport, Parts};
use crate::{
    chain::chain,
    live::{CountName, Counted, Snapshot, UnusableKey},
    settings, tasks,
};

/// What was reported on one stream.
#[derive(Debug, Default)]
pub(super) struct Reports {
    counts: HashMap<CountName, u64>,
    uses: HashMap<(StoreId, CredentialId), u64>,
    partitions: Vec<wire::Partition>,
}

impl Reports {
    /// A partition is not as it was reported.
    pub(super) fn are_stale(&self, groups: &Groups) -> bool {
        self.partitions != partitions(groups)
    }

    /// The status now: one message, or more where many counts have moved since the last.
    pub(super) fn next(&mut self, parts: &Parts, leaving: bool, durable: Revision) -> Vec<wire::NodeStatus> {
        let applied = parts.live.load().revision;
        self.partitions = partitions(&parts.groups);
        let status = wire::NodeStatus {
            ready: !leaving && applied > Revision::default(),
            listeners: parts.listeners.iter().map(listener).collect(),
            targets: tasks::targets(&parts.groups),
            applied: Some(applied.into()),
            durable: Some(durable.into()),
            snapshot_age_ms: u64::try_from(parts.live.age().as_millis()).unwrap_or(u64::MAX),
            // Measured as our clock less theirs, in seconds.
            clock_offset_ms: parts.metrics.clock().median().map_or(0, |seconds| -1_000 * i64::from(seconds)),
            counts: Vec::new(),
            partitions: self.partitions.clone(),
            credential_uses: Vec::new(),
        };
        let counts = self.moved(parts.live.ledger().counted());
        let uses = self.used(&parts.live.load());
        let pieces = counts.len().div_ceil(COUNTS_AT_ONCE).max(uses.len().div_ceil(COUNTS_AT_ONCE)).max(1);
        let piece = |at: usize| wire::NodeStatus { counts: piece(&counts, at), credential_uses: piece(&uses, at), ..status.clone() };
        (0..pieces).map(piece).collect()
    }

    fn used(&mut self, snapshot: &Snapshot) -> Vec<wire::CredentialUse> {
        let callers = snapshot.stores().flat_map(|store| store.credentials.values().map(|caller| (store.id, caller)));
        let used = callers.filter_map(|(store, caller)| Some(((store, caller.credential.id), caller.used_ms()?)));
        let moved = used.filter(|(name, used_ms)| self.uses.insert(*name, *used_ms) != Some(*used_ms));
        let told = moved.map(|((store, credential), used_ms)| wire::CredentialUse {
            store_id: store.0.as_bytes().to_vec(),
            credential_id: credential.0.as_bytes().to_vec(),
            used_ms,
        });
        told.collect()
    }

    fn moved(&mut self, counted: Vec<Counted>) -> Vec<EncryptionCount> {
        let moved = counted.into_iter().filter(|c| self.counts.insert(c.name, c.reserved) != Some(c.reserved));
        moved.map(count).collect()
    }
}

/// The part of what moved that goes into one message.
fn piece<T: Clone>(all: &[T], at: usize) -> Vec<T> {
    all.chunks(COUNTS_AT_ONCE).nth(at).unwrap_or_default().to_vec()
}

/// What goes with an acknowledgement: all that `snapshot` can't serve, or the first of it where that would not fit a message.
pub(super) fn unusable(snapshot: &Snapshot) -> Vec<wire::UnusableKey> {
    snapshot.unusable().take(UNUSABLE_AT_ONCE).map(unusable_key).collect()
}

fn unusable_key(unusable: &UnusableKey) -> wire::UnusableKey {
    wire::UnusableKey {
        store_id: unusable.store.0.as_bytes().to_vec(),
        key_id: unusable.key.map_or_else(Vec::new, |key| key.0.as_bytes().to_vec()),
        version: unusable.version,
        reason: chain(&unusable.reason),
    }
}

fn listener(listener: &ListenerReport) -> wire::Listener {
    let client_certificates = match listener.client_certificates {
        settings::ClientCertificates::Off => ClientCertificates::Off,
        settings::ClientCertificates::Request => ClientCertificates::Request,
        settings::ClientCertificates::Require => ClientCertificates::Require,
    };
    wire::Listener { address: listener.addr.to_string(), client_certificates: client_certificates.into() }
}

fn partitions(groups: &Groups) -> Vec<wire::Partition> {
    groups.status().into_iter().map(partition).collect()
}

fn partition(status: PartitionStatus) -> wire::Partition {
    let condition = status.condition.as_str().into();
    let detail = match status.condition {
        Condition::Down(why) | Condition::PinRefused(why) => why,
        Condition::Starting | Condition::Up | Condition::Suspect | Condition::Exhausted => String::new(),
    };
    let told = wire::Partition { name: status.name, group: status.group, condition, detail, ..wire::Partition::default() };
    let told = wire::Partition { excluded_keys: status.excluded, ..told };
    match status.facts {
        None => told,
        Some(TokenFacts { id, label, manufacturer, model, firmware, serial }) => {
            wire::Partition { id: id.to_string(), label, manufacturer, model, firmware, serial, ..told }
        }
    }
}

fn count(counted: Counted) -> EncryptionCount {
    let CountName { key, version, tag } = counted.name;
    EncryptionCount { key_id: key.0.as_bytes().to_vec(), version, reserved: counted.reserved, tag: tag.into() }
}

/// Keeps a message well under gRPC's usual 4 MiB.
const COUNTS_AT_ONCE: usize = 20_000;
const UNUSABLE_AT_ONCE: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use holdfast_proto::{ids::KeyId, snapshot::RecordSet};
    use uuid::Uuid;

    use super::*;
    use crate::live::tests::{Maker, at, path, store_id};

    fn counted(key: u128, reserved: u64) -> Counted {
        Counted { name: CountName { key: KeyId(Uuid::from_u128(key)), version: 0, tag: [0; 4] }, reserved }
    }

    #[test]
    fn a_partition_is_told_with_why_it_is_not_up() {
        let facts = TokenFacts {
            id: Uuid::from_u128(7),
            label: "label".into(),
            manufacturer: "maker".into(),
            model: "model".into(),
            firmware: "2.6".into(),
            serial: "123".into(),
        };
        let mut status = PartitionStatus {
            name: "p".into(),
            group: "g".into(),
            condition: Condition::Down("C_Login: CKR_DEVICE_REMOVED".into()),
            facts: None,
            sessions: 0,
            queued: 0,
            in_use: 0,
            generation: 1,
            leaked: 0,
            excluded: vec!["key".into()],
        };
        let told = partition(status.clone());
        assert_eq!((told.name.as_str(), told.group.as_str(), told.condition.as_str()), ("p", "g", "down"));
        assert_eq!(
            (told.detail.as_str(), told.id.as_str(), &told.excluded_keys[..]),
            ("C_Login: CKR_DEVICE_REMOVED", "", &["key".to_owned()][..])
        );
        (status.condition, status.facts) = (Condition::Up, Some(facts));
        let told = partition(status);
        assert_eq!((told.condition.as_str(), told.detail.as_str(), told.id), ("up", "", Uuid::from_u128(7).to_string()));
        let token = [told.label, told.manufacturer, told.model, told.firmware, told.serial];
        assert_eq!(token, ["label", "maker", "model", "2.6", "123"]);
    }

    #[test]
    fn only_uses_of_credentials_that_moved_are_reported_again() {
        let maker = Maker::new();
        let live = maker.live();
        let snapshot = live.install(RecordSet::default().apply([maker.store(1, 0), maker.store(2, 0)].concat()).unwrap().0, at(1));
        let signed =
            |n, at| snapshot.store(path(n).as_str()).unwrap().credentials.values().for_each(|caller| caller.signed(UNIX_EPOCH + at));
        let mut reports = Reports::default();
        assert!(reports.used(&snapshot).is_empty());
        signed(1, Duration::from_secs(5));
        let used = reports.used(&snapshot);
        assert_eq!((used.len(), used[0].used_ms, used[0].store_id.as_slice()), (1, 5_000, store_id(1).0.as_bytes().as_slice()));
        assert!(reports.used(&snapshot).is_empty());
        signed(2, Duration::from_secs(6));
        assert_eq!(reports.used(&snapshot).len(), 1);
        assert_eq!(Reports::default().used(&snapshot).len(), 2);
    }

    #[test]
    fn only_counts_that_moved_are_reported_again() {
        let mut reports = Reports::default();
        assert_eq!(reports.moved(vec![counted(1, 5), counted(2, 5)]).len(), 2);
        assert!(reports.moved(vec![counted(1, 5), counted(2, 5)]).is_empty());
        let moved = reports.moved(vec![counted(1, 5), counted(2, 6)]);
        assert_eq!((moved.len(), moved[0].reserved, moved[0].key_id.as_slice()), (1, 6, Uuid::from_u128(2).as_bytes().as_slice()));
        assert_eq!(Reports::default().moved(vec![counted(1, 5)]).len(), 1);
    }
}
