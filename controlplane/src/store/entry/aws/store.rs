//! Custom key stores in AWS, and what was begun with them.

use std::collections::BTreeSet;

use holdfast_proto::ids::UriPath;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::{
    encoding::checked,
    entry::{AddressEntry, Stamps},
};

/// A custom key store in AWS KMS (CustomKeyStoresListEntry API).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsKeyStoreEntry {
    /// Of a linked key store: its [`StoreId`](holdfast_proto::ids::StoreId).
    pub id: Uuid,
    /// Its KMS container.
    pub kms: Uuid,
    /// Its region.
    pub region: String,
    /// As AWS calls it.
    pub name: String,
    /// AWS's id, as in `cks-` and 17 digits; none: AWS has not been seen to have it.
    pub custom_key_store_id: Option<String>,
    /// What stands behind it.
    pub kind: AwsKeyStoreKind,
    /// As AWS last told it.
    pub state: ConnectionState,
    /// AWS's connection error code, with [`ConnectionState::Failed`].
    pub connection_error: Option<String>,
    /// What was begun in AWS and is not known to be done.
    pub doing: Option<KeyStoreStep>,
    /// How it was before what was begun, where that changes it.
    #[serde(default)]
    pub before: Option<BeforeEntry>,
    /// Credentials that AWS may sign with as well: it would not tell whether it took them.
    #[serde(default)]
    pub unsure_credentials: BTreeSet<Uuid>,
    /// Why what was last begun did not come to its end, or can't, or how AWS has it otherwise than it is here, for people.
    pub failure: Option<String>,
    /// The job configuration that rotates its credential.
    pub rotation_job: Option<Uuid>,
    /// AWS has it no more.
    pub gone: bool,
    /// When AWS last told of it, nanoseconds since 1970; 0: never.
    pub synced_ns: u64,
    /// When made and changed.
    pub stamps: Stamps,
}

/// What stands behind a custom key store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AwsKeyStoreKind {
    /// A key store of ours, under the same id.
    Linked {
        /// The credential with which AWS signs, as far as is known.
        credential: Option<Uuid>,
    },
    /// Another external key store proxy.
    Remote {
        /// Where it is.
        address: AddressEntry,
        /// Its path prefix.
        uri_path: String,
        /// Its credential's access key id.
        access_key_id: Option<String>,
    },
    /// An AWS CloudHSM cluster.
    CloudHsm {
        /// The cluster.
        cluster_id: String,
        /// The cluster's trust anchor, PEM.
        trust_anchor_certificate: String,
        /// As the client sent it, and wants it back.
        linked_as_sent: bool,
    },
}

/// Whether AWS KMS can reach a custom key store (CustomKeyStoresListEntry API, ConnectionState).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionState {
    /// It can.
    Connected,
    /// It tries.
    Connecting,
    /// It does not.
    #[default]
    Disconnected,
    /// It is about to let go.
    Disconnecting,
    /// It tried in vain.
    Failed,
}

/// What was begun with a custom key store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyStoreStep {
    /// A new one: CreateCustomKeyStore. Where AWS has it not, all of it is withdrawn.
    Create,
    /// One for a key store that was there: CreateCustomKeyStore. Where AWS has it not, the key store is unlinked again.
    Link,
    /// UpdateCustomKeyStore; what is intended stands in the key store.
    Update,
    /// ConnectCustomKeyStore.
    Connect,
    /// DisconnectCustomKeyStore.
    Disconnect,
    /// DeleteCustomKeyStore.
    Delete,
    /// UpdateCustomKeyStore with a credential that the data planes have.
    RotateCredential(Uuid),
}

/// What a key store was before a change that AWS has not confirmed: what it is again if AWS does not take the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BeforeEntry {
    /// Of a key store of ours.
    Linked {
        /// Its name.
        name: String,
        /// Where AWS found it.
        address: AddressEntry,
        /// Its path prefix.
        #[serde(with = "checked")]
        uri_path: UriPath,
    },
    /// Of one on a CloudHSM cluster.
    CloudHsm {
        /// Its name.
        name: String,
        /// Its cluster.
        cluster_id: String,
    },
}

impl ConnectionState {
    /// As AWS and this API spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "CONNECTED",
            Self::Connecting => "CONNECTING",
            Self::Disconnected => "DISCONNECTED",
            Self::Disconnecting => "DISCONNECTING",
            Self::Failed => "FAILED",
        }
    }
}
