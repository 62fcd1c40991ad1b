//! HSMs as admins know them: servers, connections, and partitions that were added.

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
    /// When made and changed.
    pub stamps: Stamps,
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
    /// The connection by which it was added.
    pub connection: Uuid,
    /// When made and changed.
    pub stamps: Stamps,
}
