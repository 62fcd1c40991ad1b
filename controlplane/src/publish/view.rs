//! A node as people see it, and how what it reported is read.
//!
//! A node's report is for people and metrics, so that a part of it which does not parse is left out instead of ending the stream.

use std::{collections::BTreeSet, time::Duration};

use holdfast_proto::{
    ids::{KeyId, Revision, StoreId},
    sync::{self as wire, NackReason},
};
use uuid::Uuid;

use super::session::Standing;
use crate::{names::NodeName, store::entry::Fingerprint};

/// One registered node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub name: NodeName,
    /// SHA-256 over the certificate it came with last.
    pub fingerprint: Fingerprint,
    /// When that certificate was issued, milliseconds since 1970.
    pub enrolled_ms: u64,
    /// It has a stream now.
    pub connected: bool,
    /// Unseen for ten minutes (design §7.5): nothing waits for it any more.
    pub away: bool,
    /// When it was last heard of, milliseconds since 1970; none: never since it was registered.
    pub last_seen_ms: Option<u64>,
    /// The revision from which it answers requests.
    pub applied: Option<Revision>,
    /// The revision that it would find after a restart.
    pub durable: Option<Revision>,
    /// How far its configuration is.
    pub configuration: Configuration,
    /// What it can't serve.
    pub unusable: Vec<UnusableKey>,
    /// What it said of itself; the newest of this process's life.
    pub report: Option<NodeReport>,
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeReport {
    /// Of its binary.
    pub software_version: String,
    /// It answers requests.
    pub ready: bool,
    /// Where it listens for KMS.
    pub listeners: Vec<Listener>,
    /// Key sources that it can serve: `local` and partition groups.
    pub targets: BTreeSet<String>,
    /// Key seals that it holds; the first seals. Empty: its version doesn't tell.
    pub key_seals: Vec<Uuid>,
    /// How long ago it last knew to be up to date.
    pub snapshot_age: Duration,
    /// KMS's clock against the node's, milliseconds.
    pub clock_offset_ms: i64,
    /// Its PKCS#11 tokens.
    pub partitions: Vec<PartitionReport>,
}

/// A PKCS#11 token, as its node tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionReport {
    /// The configured name.
    pub name: String,
    /// The target that it serves, with its like.
    pub group: String,
    /// A word: up, suspect, down.
    pub condition: String,
    /// Why, where it isn't up.
    pub detail: String,
    /// Its facts; empty while the token was never seen: id,
    pub id: String,
    /// label,
    pub label: String,
    /// manufacturer,
    pub manufacturer: String,
    /// model,
    pub model: String,
    /// firmware version,
    pub firmware: String,
    /// and serial number.
    pub serial: String,
    /// Keys that it may not serve, since their material differs from its group's.
    pub excluded_keys: Vec<String>,
}

/// A listener for KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port.
    pub address: String,
    /// What it asks of clients.
    pub client_certificates: ClientCertificates,
}

/// What a listener asks of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No certificate.
    Off,
    /// One, if the client has it.
    Request,
    /// One.
    Require,
}

/// A key that a node can't serve; its requests answer `InternalException`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableKey {
    /// Its key store.
    pub store: StoreId,
    /// None: the key store's health key.
    pub key: Option<KeyId>,
    /// The version.
    pub version: u32,
    /// The node's words.
    pub reason: String,
}

/// How far a node's configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// Not connected, or nothing said yet.
    Unknown,
    /// It holds the newest.
    UpToDate,
    /// A push is on its way.
    Pushing(Revision),
    /// It refused a push and keeps what it has.
    Refused {
        /// Of the push.
        revision: Revision,
        /// Why.
        reason: NackReason,
        /// The node's words.
        detail: String,
    },
    /// It holds a greater revision than the control plane's and takes nothing: an old data directory was put back.
    Ahead(Revision),
}

impl From<Standing> for Configuration {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Greeting => Self::Unknown,
            Standing::UpToDate => Self::UpToDate,
            Standing::Pushing(revision) => Self::Pushing(revision),
            Standing::Refused(refused) => Self::Refused { revision: refused.revision, reason: refused.reason, detail: refused.detail },
            Standing::Ahead(revision) => Self::Ahead(revision),
        }
    }
}

impl ClientCertificates {
    /// As it is written in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Request => "request",
            Self::Require => "require",
        }
    }
}

impl NodeReport {
    pub(super) fn hello(&mut self, hello: &wire::Hello) {
        self.software_version = text(&hello.software_version);
        self.targets = targets(&hello.targets);
        self.key_seals = hello.key_seals.iter().take(MOST_LISTED).filter_map(|id| Uuid::from_slice(id).ok()).collect();
    }

    pub(super) fn status(&mut self, status: &wire::NodeStatus) {
        self.ready = status.ready;
        self.targets = targets(&status.targets);
        self.snapshot_age = Duration::from_millis(status.snapshot_age_ms);
        self.clock_offset_ms = status.clock_offset_ms;
        let listener = |listener: &wire::Listener| Listener {
            address: text(&listener.address),
            client_certificates: match listener.client_certificates() {
                wire::ClientCertificates::Off => ClientCertificates::Off,
                wire::ClientCertificates::Request => ClientCertificates::Request,
                wire::ClientCertificates::Require => ClientCertificates::Require,
            },
        };
        self.listeners = status.listeners.iter().take(MOST_LISTED).map(listener).collect();
        self.partitions = status.partitions.iter().take(MOST_LISTED).map(partition).collect();
    }
}

pub(super) fn unusable(keys: &[wire::UnusableKey]) -> Vec<UnusableKey> {
    let parse = |key: &wire::UnusableKey| {
        let id = if key.key_id.is_empty() { None } else { Some(KeyId(Uuid::from_slice(&key.key_id).ok()?)) };
        let store = StoreId(Uuid::from_slice(&key.store_id).ok()?);
        Some(UnusableKey { store, key: id, version: key.version, reason: text(&key.reason) })
    };
    keys.iter().filter_map(parse).collect()
}

fn partition(partition: &wire::Partition) -> PartitionReport {
    PartitionReport {
        name: text(&partition.name),
        group: text(&partition.group),
        condition: text(&partition.condition),
        detail: text(&partition.detail),
        id: text(&partition.id),
        label: text(&partition.label),
        manufacturer: text(&partition.manufacturer),
        model: text(&partition.model),
        firmware: text(&partition.firmware),
        serial: text(&partition.serial),
        excluded_keys: partition.excluded_keys.iter().take(MOST_LISTED).map(|key| text(key)).collect(),
    }
}

fn targets(targets: &[String]) -> BTreeSet<String> {
    targets.iter().take(MOST_LISTED).map(|target| text(target)).collect()
}

fn text(text: &str) -> String {
    text.chars().take(MOST_CHARACTERS).collect()
}

/// Listeners, targets, partitions and keys of each kept of a report.
const MOST_LISTED: usize = 256;

/// Characters kept of a text in a report.
const MOST_CHARACTERS: usize = 300;
