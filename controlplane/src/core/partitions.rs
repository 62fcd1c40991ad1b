//! Partitions that admins added: each is a token that a connected data plane reports, under the id that the data planes report.
//!
//! Always holds: a partition names one group; it stays while a key store is on its group or a source key was made on it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Core, CoreError, hsm, write::Plan};
use crate::{
    access::{Manage, Permit, Read},
    clock::now_ns,
    names::NodeName,
    publish::{NodeView, PartitionReport},
    store::{
        View,
        entry::{Entry, EntryChange, EntryName, HsmConnectionEntry, PartitionEntry, Stamps, Tier},
    },
};

/// A partition, with what connected data planes tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// The partition.
    pub entry: PartitionEntry,
    /// Its token, as one of them tells; none where none is connected that has it.
    pub report: Option<PartitionReport>,
    /// Connected data planes that reach it.
    pub nodes: Vec<NodeName>,
}

/// Which partition to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddPartition {
    /// The first one that this connection (id or name) names and that is not added yet.
    Connection(String),
    /// The one of this id, label or serial number.
    Named(String),
}

impl Core {
    /// All added partitions.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn partitions(&self, _permit: &Permit<Read>) -> Result<Vec<PartitionView>, CoreError> {
        let entries = self.view().await?.partitions()?;
        let reported = reported(&self.publisher.nodes());
        Ok(entries.into_iter().map(|entry| seen(entry, &reported)).collect())
    }

    /// One added partition, by its id or a label that no other has.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn partition(&self, _permit: &Permit<Read>, wanted: &str) -> Result<PartitionView, CoreError> {
        let entry = find(&self.view().await?, wanted)?;
        Ok(seen(entry, &reported(&self.publisher.nodes())))
    }

    /// Adds a partition that a connected data plane reports.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound` for the connection; `Unavailable` where no connected data plane has any partition; `Invalid` where none has
    /// this one, with those that are there; `Exists` where it was added before.
    pub async fn add_partition(&self, permit: &Permit<Manage>, wanted: &AddPartition) -> Result<PartitionView, CoreError> {
        let reported = reported(&self.publisher.nodes());
        if reported.is_empty() {
            return Err(CoreError::Unavailable("no connected data plane reports a partition: configure one and connect it first".into()));
        }
        let now_ns = now_ns();
        let plan = |view: &View| {
            let (found, connection) = match wanted {
                AddPartition::Named(name) => (matching(&reported, |seen| is_named(seen, name)), None),
                AddPartition::Connection(name) => {
                    let connection = hsm::find_connection(view, name)?;
                    (matching(&reported, |seen| is_connected(seen, &connection)), Some(connection.id))
                }
            };
            let field = if connection.is_some() { "connection" } else { "partition" };
            if found.is_empty() {
                let there: Vec<_> = reported.values().map(|seen| for_people(&seen.report)).collect();
                let detail = format!("no connected data plane has that partition; they have {}", there.join("; "));
                return Err(CoreError::Invalid { field, detail });
            }
            let mut fresh = Vec::new();
            for (id, seen) in found {
                if view.partition(id)?.is_none() {
                    fresh.push((id, seen));
                }
            }
            let (id, seen) = match fresh.as_slice() {
                [] => return Err(CoreError::Exists { what: "partition", name: wanted.as_str().into() }),
                [(id, seen), rest @ ..] if rest.is_empty() || connection.is_some() => (*id, *seen),
                [..] => return Err(CoreError::Invalid { field, detail: "more than one partition is named so; use an id".into() }),
            };
            let PartitionReport { group, label, serial, .. } = seen.report.clone();
            let entry = PartitionEntry { id, group, label, serial, connection, stamps: Stamps::new(now_ns) };
            Ok(Plan { changes: vec![EntryChange::put(Entry::Partition(entry.clone()))], answer: entry })
        };
        let (entry, _) = self.writer.change(permit.trail(), plan).await?;
        Ok(seen(entry, &reported))
    }

    /// Forgets a partition. Its token is left as it is.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State` while something uses it.
    pub async fn remove_partition(&self, permit: &Permit<Manage>, wanted: &str) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let entry = find(view, wanted)?;
            if let Some(key) = view.source_keys()?.into_iter().find(|key| key.partition == Some(entry.id)) {
                return Err(CoreError::State(format!("the source key {:?} was made on that partition; delete it first", key.name)));
            }
            let others = view.partitions()?.iter().any(|other| other.id != entry.id && other.group == entry.group);
            let tier = Tier::Partition(entry.group.clone());
            if !others && let Some(key_store) = view.key_stores()?.into_iter().find(|key_store| key_store.tier == tier) {
                return Err(CoreError::State(format!("the key store {} is on that partition", key_store.name)));
            }
            Ok(Plan { changes: vec![EntryChange::Delete(EntryName::Partition(entry.id))], answer: () })
        };
        self.writer.change(permit.trail(), plan).await.map(drop)
    }
}

impl AddPartition {
    fn as_str(&self) -> &str {
        match self {
            Self::Connection(name) | Self::Named(name) => name,
        }
    }
}

/// An added partition by its id, or a label that no other has.
pub(super) fn find(view: &View, wanted: &str) -> Result<PartitionEntry, CoreError> {
    if let Some(found) = Uuid::try_parse(wanted).ok().map(|id| view.partition(id)).transpose()?.flatten() {
        return Ok(found);
    }
    let mut named = view.partitions()?.into_iter().filter(|entry| !wanted.is_empty() && entry.label == wanted);
    match (named.next(), named.next()) {
        (None, _) => Err(CoreError::NotFound("partition")),
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(CoreError::State(format!("more than one partition is labelled {wanted:?}; use an id"))),
    }
}

/// A token, as connected data planes report it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    report: PartitionReport,
    nodes: Vec<NodeName>,
}

/// The tokens that connected data planes have seen, by their ids.
fn reported(nodes: &[NodeView]) -> BTreeMap<Uuid, Seen> {
    let mut reported: BTreeMap<Uuid, Seen> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.connected) {
        for report in node.report.iter().flat_map(|report| &report.partitions) {
            // A token that was never seen has no id.
            let Ok(id) = Uuid::try_parse(&report.id) else { continue };
            let fresh = || Seen { report: report.clone(), nodes: Vec::new() };
            reported.entry(id).or_insert_with(fresh).nodes.push(node.name.clone());
        }
    }
    reported
}

fn seen(entry: PartitionEntry, reported: &BTreeMap<Uuid, Seen>) -> PartitionView {
    let (report, nodes) = reported.get(&entry.id).map_or((None, Vec::new()), |seen| (Some(seen.report.clone()), seen.nodes.clone()));
    PartitionView { entry, report, nodes }
}

fn matching(reported: &BTreeMap<Uuid, Seen>, is: impl Fn(&PartitionReport) -> bool) -> Vec<(Uuid, &Seen)> {
    reported.iter().filter(|(_, seen)| is(&seen.report)).map(|(id, seen)| (*id, seen)).collect()
}

fn is_named(report: &PartitionReport, name: &str) -> bool {
    let id = Uuid::try_parse(name).ok().map(|id| id.to_string());
    !name.is_empty() && (id.as_deref() == Some(&report.id) || report.label == name || report.serial == name)
}

/// Whether a connection names this token: by serial number and label where it has both.
fn is_connected(report: &PartitionReport, connection: &HsmConnectionEntry) -> bool {
    let fits = |given: &str, told: &str| given.is_empty() || given == told;
    connection.partitions.iter().any(|named| fits(&named.serial, &report.serial) && fits(&named.label, &report.label))
}

fn for_people(report: &PartitionReport) -> String {
    format!("{:?} (serial {}, id {}, group {})", report.label, report.serial, report.id, report.group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::entry::ConnectedPartition;

    fn report(label: &str, serial: &str) -> PartitionReport {
        let [name, group, condition, detail, manufacturer, model, firmware] = std::array::from_fn(|_| String::new());
        let (label, serial, id) = (label.into(), serial.into(), Uuid::from_u128(7).to_string());
        PartitionReport { name, group, condition, detail, id, label, manufacturer, model, firmware, serial, excluded_keys: Vec::new() }
    }

    #[test]
    fn a_token_is_named_by_its_id_label_or_serial_number() {
        let id = Uuid::from_u128(7);
        for name in ["token", "42", &id.to_string(), &id.simple().to_string().to_uppercase()] {
            assert!(is_named(&report("token", "42"), name), "{name}");
        }
        for name in ["", "toke", "4", &Uuid::nil().to_string()] {
            assert!(!is_named(&report("token", "42"), name), "{name}");
        }
        assert!(!is_named(&report("", ""), ""));
    }

    #[test]
    fn a_connection_names_a_token_by_all_that_it_says_of_it() {
        let connected = |label: &str, serial: &str| {
            let partitions = vec![ConnectedPartition { label: label.into(), serial: serial.into(), hostname: String::new() }];
            is_connected(&report("token", "42"), &HsmConnectionEntry { partitions, ..hsm::tests::connection() })
        };
        assert!(connected("token", "42") && connected("", "42") && connected("token", ""));
        assert!(!connected("other", "42") && !connected("token", "43") && !connected("other", ""));
        assert!(!is_connected(&report("token", "42"), &hsm::tests::connection()));
    }
}
