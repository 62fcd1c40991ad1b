//! Data planes, as the store knows them.

use holdfast_proto::ids::{KeyId, Revision};
use serde::{Deserialize, Serialize};

use crate::{
    names::NodeName,
    store::encoding::{KeyIdDef, RevisionDef},
};

/// A registered data plane. It is its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// Common name and DNS name in its certificate.
    pub name: NodeName,
    /// SHA-256 over the certificate's DER.
    pub fingerprint: Fingerprint,
    /// When that certificate was issued, milliseconds since 1970.
    pub enrolled_ms: u64,
    /// When the name was last forgotten, milliseconds since 1970: certificates issued until then are refused.
    #[serde(default)]
    pub revoked_ms: Option<u64>,
    /// Not forgotten.
    pub registered: bool,
}

/// SHA-256 over a certificate's DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

/// What a node last told, kept for the next start of the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSeenEntry {
    /// The node.
    pub name: NodeName,
    /// When, milliseconds since 1970.
    pub seen_ms: u64,
    /// What it then held on disk.
    #[serde(with = "RevisionDef")]
    pub durable: Revision,
}

/// How many encryptions one node reserved under one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountEntry {
    /// The HYOK key.
    #[serde(with = "KeyIdDef")]
    pub key: KeyId,
    /// The version's number.
    pub version: u32,
    /// Ties the count to this making of the version number.
    pub tag: [u8; 4],
    /// Who counted.
    pub node: NodeName,
    /// Encryptions, those in `lost` too.
    pub reserved: u64,
    /// How many of them the node had counted before it lost its state, so that it doesn't tell them any more.
    #[serde(default)]
    pub lost: u64,
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
