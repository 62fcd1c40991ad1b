//! What a node says of itself: status every ten seconds, and what it can't serve with each acknowledgement.

use std::collections::HashMap;

use holdfast_keys::pkcs11::status::{Condition, PartitionStatus, TokenFacts};
use holdfast_proto::{
    ids::Revision,
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
}

impl Reports {
    /// The status now: one message, or more where many counts have moved since the last.
    pub(super) fn next(&mut self, parts: &Parts, leaving: bool, durable: Revision) -> Vec<wire::NodeStatus> {
        let applied = parts.live.load().revision;
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
            partitions: parts.groups.status().into_iter().map(partition).collect(),
        };
        let moved = self.moved(parts.live.ledger().counted());
        if moved.is_empty() {
            return vec![status];
        }
        moved.chunks(COUNTS_AT_ONCE).map(|counts| wire::NodeStatus { counts: counts.to_vec(), ..status.clone() }).collect()
    }

    fn moved(&mut self, counted: Vec<Counted>) -> Vec<EncryptionCount> {
        let moved = counted.into_iter().filter(|c| self.counts.insert(c.name, c.reserved) != Some(c.reserved));
        moved.map(count).collect()
    }
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
    use holdfast_proto::ids::KeyId;
    use uuid::Uuid;

    use super::*;

    fn counted(key: u128, reserved: u64) -> Counted {
        Counted { name: CountName { key: KeyId(Uuid::from_u128(key)), version: 0, tag: [0; 4] }, reserved }
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
