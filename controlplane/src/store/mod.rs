//! Where the intended state is kept: the trait, its two implementers, and typed reads over either.
//!
//! Always holds: a commit is atomic and moves the revision by one; what was not durably written is never seen by a reader, so no node is
//! ever told of a revision that a crash could take back; a lost race changes nothing. `core` writes; `publish` reads.

pub(crate) mod encoding;
pub mod entry;
mod head;
pub mod memory;
pub mod seal;
pub mod sled;
mod view;

use std::{future::Future, io, pin::Pin, sync::Arc};

use holdfast_proto::ids::{KeyId, Revision, StoreId};

use self::entry::{Entry, EntryChange, EntryName};
pub use self::{
    head::{Changed, Head},
    view::View,
};

/// Keeps entries. Use it as `Arc<dyn Store>`; read it through a [`View`].
pub trait Store: Send + Sync + 'static {
    /// Where the store stands: its revision, the nudge when that moves, and what changed.
    fn head(&self) -> &Arc<Head>;

    /// One entry.
    ///
    /// # Errors
    /// [`ReadError`].
    fn read(&self, name: &EntryName) -> Result<Option<Entry>, ReadError>;

    /// All entries of a kind or in a key store, in the order of their names.
    ///
    /// # Errors
    /// [`ReadError`].
    fn scan(&self, within: Within) -> Result<Vec<Entry>, ReadError>;

    /// Everything that lies in the store, notes too, as it lies there and in that order; not the store's own format and revision. Don't
    /// call it without a [`View`], which keeps writers out meanwhile: `View::copy`.
    ///
    /// # Errors
    /// [`ReadError`].
    fn copy(&self) -> Result<Vec<RawEntry>, ReadError>;

    /// Writes all of `changes`, or nothing. Answers once they are durable, with the new revision. Goes on to its end when the future is
    /// dropped. Don't hold a [`View`] meanwhile: it would wait for ever.
    fn commit(&self, expected: Revision, changes: Vec<EntryChange>) -> CommitFuture;

    /// Writes entries beside the configuration (such as [`EntryName::NodeSeen`], [`EntryName::SignIns`]): the revision does not move, and a crash may
    /// lose the last of them.
    ///
    /// # Errors
    /// [`ReadError`] as for a read.
    fn note(&self, entries: Vec<Entry>) -> Result<(), ReadError>;

    /// Removes notes. What isn't there is no error.
    ///
    /// # Errors
    /// [`ReadError`] as for a read.
    fn forget_notes(&self, names: Vec<EntryName>) -> Result<(), ReadError>;
}

/// What [`Store::commit`] answers.
pub type CommitFuture = Pin<Box<dyn Future<Output = Result<Revision, CommitError>> + Send>>;

/// An entry as it lies in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEntry {
    /// Its name, encoded; in the order of names.
    pub(crate) key: Box<[u8]>,
    /// The entry, encoded.
    pub(crate) value: Box<[u8]>,
}

/// What to scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// All key stores.
    KeyStores,
    /// The credentials of a key store.
    Credentials(StoreId),
    /// The HYOK keys of a key store.
    HyokKeys(StoreId),
    /// All virtual keys.
    VirtualKeys,
    /// All source keys.
    SourceKeys,
    /// All registered nodes.
    Nodes,
    /// All users.
    Users,
    /// All notes of what nodes told.
    NodesSeen,
    /// All encryption counts.
    Counts,
    /// The encryption counts of one key.
    CountsOf(KeyId),
    /// When the credentials of a key store were last used.
    CredentialsUsed(StoreId),
    /// All AWS connections.
    AwsConnections,
    /// All KMS containers.
    KmsContainers,
    /// All policy templates.
    PolicyTemplates,
    /// All job configurations.
    JobConfigs,
    /// All HSM servers.
    HsmServers,
    /// All HSM connections.
    HsmConnections,
    /// All added partitions.
    Partitions,
    /// All custom key stores in AWS.
    AwsKeyStores,
    /// All keys in AWS.
    AwsKeys,
    /// All synchronisation jobs.
    SyncJobs,
    /// How all job configurations last ended.
    JobsRan,
    /// How AWS last answered by all connections.
    ConnectionsUsed,
    /// All tool's tokens.
    ApiTokens,
    /// All signing keys.
    SigningKeys,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Someone else was first. Nothing changed.
    #[error("the configuration has moved to revision {now}")]
    Conflict {
        /// Where the store stands.
        now: Revision,
    },
    /// The disk failed under the write: whether it is there will be known after a restart. Nothing more is read or written until then.
    #[error("writing the store failed; restart to find out what was written")]
    Io(#[source] io::Error),
    /// An earlier write failed.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// An entry could not be encoded.
    #[error("an entry can't be encoded")]
    Encode(#[source] serde_json::Error),
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk failed.
    #[error("reading the store failed")]
    Io(#[source] io::Error),
    /// What lies there is not an entry.
    #[error("the store holds an entry that does not decode")]
    Decode(#[source] serde_json::Error),
    /// An earlier write failed.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// A write failed, so that what the disk holds is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is out of order since a write failed; restart")]
pub struct Broken;

impl EntryName {
    /// The key under which the entry lies, in the order of names.
    fn to_key(&self) -> Vec<u8> {
        let (kind, parts): (u8, [&[u8]; 3]) = match self {
            Self::KeyStore(store) => (KEY_STORE, [store.0.as_bytes(), &[], &[]]),
            Self::Credential(store, id) => (CREDENTIAL, [store.0.as_bytes(), id.0.as_bytes(), &[]]),
            Self::HyokKey(store, id) => (HYOK_KEY, [store.0.as_bytes(), id.0.as_bytes(), &[]]),
            Self::KeyPlace(id) => (KEY_PLACE, [id.0.as_bytes(), &[], &[]]),
            Self::ExternalId(store, id) => (EXTERNAL_ID, [store.0.as_bytes(), id.as_str().as_bytes(), &[]]),
            Self::VirtualKey(id) => (VIRTUAL_KEY, [id.as_bytes(), &[], &[]]),
            Self::SourceKey(id) => (SOURCE_KEY, [id.as_bytes(), &[], &[]]),
            Self::Node(name) => (NODE, [name.as_str().as_bytes(), &[], &[]]),
            Self::User(name) => (USER, [name.as_str().as_bytes(), &[], &[]]),
            Self::Demo => (DEMO, [&[], &[], &[]]),
            Self::NodeSeen(name) => (NODE_SEEN, [name.as_str().as_bytes(), &[], &[]]),
            Self::Count(key, version, node) => (COUNT, [key.0.as_bytes(), &version.to_be_bytes(), node.as_str().as_bytes()]),
            Self::CredentialUsed(store, id) => (CREDENTIAL_USED, [store.0.as_bytes(), id.0.as_bytes(), &[]]),
            Self::ApiToken(id) => (API_TOKEN, [id.as_bytes(), &[], &[]]),
            Self::SignIns(user) => (SIGN_INS, [user.as_bytes(), &[], &[]]),
            Self::SigningKey(id) => (SIGNING_KEY, [id.as_bytes(), &[], &[]]),
            Self::TokenUsed(id) => (TOKEN_USED, [id.as_bytes(), &[], &[]]),
            Self::AwsConnection(id) => (AWS_CONNECTION, [id.as_bytes(), &[], &[]]),
            Self::KmsContainer(id) => (KMS_CONTAINER, [id.as_bytes(), &[], &[]]),
            Self::PolicyTemplate(id) => (POLICY_TEMPLATE, [id.as_bytes(), &[], &[]]),
            Self::JobConfig(id) => (JOB_CONFIG, [id.as_bytes(), &[], &[]]),
            Self::HsmServer(id) => (HSM_SERVER, [id.as_bytes(), &[], &[]]),
            Self::HsmConnection(id) => (HSM_CONNECTION, [id.as_bytes(), &[], &[]]),
            Self::Partition(id) => (PARTITION, [id.as_bytes(), &[], &[]]),
            Self::AwsKeyStore(id) => (AWS_KEY_STORE, [id.as_bytes(), &[], &[]]),
            Self::AwsKey(id) => (AWS_KEY, [id.as_bytes(), &[], &[]]),
            Self::SyncJob(id) => (SYNC_JOB, [id.as_bytes(), &[], &[]]),
            Self::JobRan(id) => (JOB_RAN, [id.as_bytes(), &[], &[]]),
            Self::ConnectionUsed(id) => (CONNECTION_USED, [id.as_bytes(), &[], &[]]),
        };
        [&[kind], parts[0], parts[1], parts[2]].concat()
    }
}

impl Within {
    /// What the keys of all entries within begin with.
    fn prefix(self) -> Vec<u8> {
        match self {
            Self::KeyStores => vec![KEY_STORE],
            Self::Credentials(store) => [&[CREDENTIAL], store.0.as_bytes().as_slice()].concat(),
            Self::HyokKeys(store) => [&[HYOK_KEY], store.0.as_bytes().as_slice()].concat(),
            Self::VirtualKeys => vec![VIRTUAL_KEY],
            Self::SourceKeys => vec![SOURCE_KEY],
            Self::Nodes => vec![NODE],
            Self::Users => vec![USER],
            Self::NodesSeen => vec![NODE_SEEN],
            Self::Counts => vec![COUNT],
            Self::CountsOf(key) => [&[COUNT], key.0.as_bytes().as_slice()].concat(),
            Self::CredentialsUsed(store) => [&[CREDENTIAL_USED], store.0.as_bytes().as_slice()].concat(),
            Self::AwsConnections => vec![AWS_CONNECTION],
            Self::KmsContainers => vec![KMS_CONTAINER],
            Self::PolicyTemplates => vec![POLICY_TEMPLATE],
            Self::JobConfigs => vec![JOB_CONFIG],
            Self::HsmServers => vec![HSM_SERVER],
            Self::HsmConnections => vec![HSM_CONNECTION],
            Self::Partitions => vec![PARTITION],
            Self::AwsKeyStores => vec![AWS_KEY_STORE],
            Self::AwsKeys => vec![AWS_KEY],
            Self::SyncJobs => vec![SYNC_JOB],
            Self::JobsRan => vec![JOB_RAN],
            Self::ConnectionsUsed => vec![CONNECTION_USED],
            Self::ApiTokens => vec![API_TOKEN],
            Self::SigningKeys => vec![SIGNING_KEY],
        }
    }
}

// First byte of a key. Zero is the store's own.
const KEY_STORE: u8 = 1;
const CREDENTIAL: u8 = 2;
const HYOK_KEY: u8 = 3;
const KEY_PLACE: u8 = 4;
const VIRTUAL_KEY: u8 = 5;
const SOURCE_KEY: u8 = 6;
const NODE: u8 = 7;
const USER: u8 = 8;
const DEMO: u8 = 9;
const NODE_SEEN: u8 = 10;
const COUNT: u8 = 11;
const EXTERNAL_ID: u8 = 12;
const CREDENTIAL_USED: u8 = 13;
const API_TOKEN: u8 = 14;
const SIGN_INS: u8 = 15;
const SIGNING_KEY: u8 = 16;
const TOKEN_USED: u8 = 17;
const AWS_CONNECTION: u8 = 18;
const KMS_CONTAINER: u8 = 19;
const POLICY_TEMPLATE: u8 = 20;
const JOB_CONFIG: u8 = 21;
const HSM_SERVER: u8 = 22;
const HSM_CONNECTION: u8 = 23;
const PARTITION: u8 = 24;
const AWS_KEY_STORE: u8 = 25;
const AWS_KEY: u8 = 26;
const SYNC_JOB: u8 = 27;
const JOB_RAN: u8 = 28;
const CONNECTION_USED: u8 = 29;

#[cfg(test)]
mod tests;
