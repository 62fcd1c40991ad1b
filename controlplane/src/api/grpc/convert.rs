//! Between the admin protocol and `core`. What comes in is checked here.

use data_encoding::HEXLOWER_PERMISSIVE;
use holdfast_proto::{admin as wire, ids::Revision};
use serde_json::{Map, Value};

use super::Refusal;
use crate::{
    core::source_keys::ExistingKey,
    names::NodeName,
    publish::{Configuration, NodeView, PartitionReport},
};

pub(super) fn node(node: &NodeView) -> wire::Node {
    let report = node.report.clone().unwrap_or_default();
    let (configuration, detail) = match &node.configuration {
        Configuration::Unknown => ("unknown", String::new()),
        Configuration::UpToDate => ("up-to-date", String::new()),
        Configuration::Pushing(revision) => ("pushing", revision.to_string()),
        Configuration::Refused { revision, reason, detail } => ("refused", format!("{revision}: {reason:?}: {detail}")),
        Configuration::Ahead(revision) => ("ahead", revision.to_string()),
    };
    let unusable = node.unusable.iter().map(|key| wire::UnusableKey {
        store_id: key.store.to_string(),
        key_id: key.key.map(|id| id.to_string()).unwrap_or_default(),
        version: key.version,
        reason: key.reason.clone(),
    });
    let listeners = report.listeners.iter().map(|listener| wire::Listener {
        address: listener.address.clone(),
        client_certificates: listener.client_certificates.as_str().into(),
    });
    wire::Node {
        name: node.name.to_string(),
        fingerprint: node.fingerprint.to_string(),
        enrolled_ms: node.enrolled_ms,
        connected: node.connected,
        away: node.away,
        last_seen_ms: node.last_seen_ms.unwrap_or(0),
        applied: node.applied.map(revision),
        durable: node.durable.map(revision),
        configuration: configuration.into(),
        detail,
        unusable: unusable.collect(),
        listeners: listeners.collect(),
        software_version: report.software_version,
        ready: report.ready,
        targets: report.targets.into_iter().collect(),
        snapshot_age_ms: u64::try_from(report.snapshot_age.as_millis()).unwrap_or(u64::MAX),
        clock_offset_ms: report.clock_offset_ms,
        partitions: report.partitions.into_iter().map(partition).collect(),
    }
}

fn partition(partition: PartitionReport) -> wire::NodePartition {
    let PartitionReport { name, group, condition, detail, id, label, manufacturer, model, firmware, serial, excluded_keys } = partition;
    wire::NodePartition { name, group, condition, detail, id, label, manufacturer, model, firmware, serial, excluded_keys }
}

pub(super) fn texts(names: Vec<NodeName>) -> Vec<String> {
    names.into_iter().map(String::from).collect()
}

pub(super) fn existing_key(field: &str, key: &wire::ExistingKey) -> Result<ExistingKey, Refusal> {
    let cka_id = HEXLOWER_PERMISSIVE.decode(key.cka_id.as_bytes()).map_err(|_| Refusal::invalid(field, "cka_id must be hexadecimal"))?;
    ExistingKey::new(&cka_id, &key.label).map_err(|e| Refusal::invalid(field, e))
}

/// Empty means absent.
pub(super) fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// The same, of what is taken along.
pub(super) fn said(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// A policy document; empty means absent.
pub(super) fn document(field: &str, text: &str) -> Result<Option<Map<String, Value>>, Refusal> {
    let parsed = given(text).map(serde_json::from_str).transpose();
    parsed.map_err(|_| Refusal::invalid(field, "must be a JSON object"))
}

const fn revision(revision: Revision) -> wire::Revision {
    wire::Revision { epoch: revision.epoch, counter: revision.counter }
}

pub(super) const NS_PER_MS: u64 = 1_000_000;
