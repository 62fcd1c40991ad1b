//! HSMs as admins know them: servers, connections, and partitions that were added.
//!
//! Servers and connections are kept for who asks; data planes reach their tokens by their own configuration, and hold the PINs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Stamps;

/// A network HSM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HsmServerEntry {
    /// The server.
    pub id: Uuid,
    /// Its host name or address; unique.
    pub hostname: String,
    /// Its certificate, as it was given.
    #[serde(default)]
    pub certificate: String,
    /// `NTLS` or `STC`, as it was given.
    #[serde(default)]
    pub channel: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Free text pairs.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whatever JSON its maker likes to keep with it.
    #[serde(default)]
    pub meta: Option<serde_json::Value>,
    /// When made and changed.
    pub stamps: Stamps,
}

/// How to reach partitions of HSMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HsmConnectionEntry {
    /// The connection.
    pub id: Uuid,
    /// Unique.
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// What it is for, as in `cckm`.
    #[serde(default)]
    pub products: Vec<String>,
    /// The partitions that it reaches.
    #[serde(default)]
    pub partitions: Vec<ConnectedPartition>,
    /// They are one high-availability group.
    #[serde(default)]
    pub is_ha_enabled: bool,
    /// Free text pairs.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whatever JSON its maker likes to keep with it.
    #[serde(default)]
    pub meta: Option<serde_json::Value>,
    /// When made and changed.
    pub stamps: Stamps,
}

/// A partition as a connection names it. At least one of label and serial number is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectedPartition {
    /// The token's label.
    pub label: String,
    /// The token's serial number.
    pub serial: String,
    /// The server that it is on, if that was said.
    #[serde(default)]
    pub hostname: String,
}

/// A partition that an admin added: it names a group of the data planes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionEntry {
    /// The partition's id, as data planes tell it.
    pub id: Uuid,
    /// The group that serves its keys.
    pub group: String,
    /// The token's label.
    pub label: String,
    /// The token's serial number.
    pub serial: String,
    /// The connection by which it was added, if by one.
    #[serde(default)]
    pub connection: Option<Uuid>,
    /// When made and changed.
    pub stamps: Stamps,
}
