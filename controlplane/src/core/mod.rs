//! Every admin operation, once; REST and gRPC are thin over this.
//!
//! Always holds: an operation demands the proof that `access` hands out; it judges the state it reads by pure functions and commits all
//! its changes at once, or none; what blocks or deletes answers when connected nodes have applied it, and names those that have not.

mod asked;
mod at_work;
mod aws_accounts;
pub mod aws_connections;
pub mod aws_key_stores;
pub mod aws_keys;
mod aws_names;
pub mod backup;
pub mod credentials;
pub mod demo;
mod draw;
mod health;
pub mod hsm;
pub mod hyok_keys;
pub mod import;
pub mod jobs;
pub mod key_stores;
pub mod kms_containers;
pub mod nodes;
pub mod partitions;
pub mod policy_templates;
pub mod reseal;
pub mod rotation;
pub mod source_keys;
mod state;
pub mod synchronization;
pub mod users;
pub mod virtual_keys;
pub mod write;

use std::{sync::Arc, time::Duration};

use holdfast_proto::{
    ids::{BadName, Revision},
    seal::SealFailed,
};

pub use self::{backup::BackedUpFiles, write::Writer};
use crate::{
    access::password::HashFailed,
    aws::{Aws, AwsError, AwsFault},
    files::FileError,
    names::NodeName,
    publish::Publisher,
    store::{
        CommitError, ReadError, Store, View,
        seal::{ControlSeal, SecretUnopened},
    },
};

/// The admin operations.
pub struct Core {
    store: Arc<dyn Store>,
    writer: Arc<Writer>,
    seal: ControlSeal,
    publisher: Publisher,
    /// Nudged when a key is left to be made.
    making: tokio::sync::Notify,
    files: Option<BackedUpFiles>,
    health_checks: health::HealthChecks,
    backup_place: Option<jobs::BackupPlace>,
    aws: Arc<Aws>,
    /// Keys in AWS, by their ids here.
    keys_at_work: at_work::AtWork,
    keys_asked: asked::Asked,
    /// Key stores with a counterpart in AWS, or that are about to have one.
    stores_at_work: at_work::AtWork,
    stores_asked: asked::Asked,
    syncing: synchronization::Syncing,
}

/// A change that is committed, with the nodes that have not applied it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied<T> {
    /// What became of the object.
    pub value: T,
    /// Connected nodes that had not applied it in time, and registered nodes that are not connected.
    pub pending: Vec<NodeName>,
}

/// Why an operation was not done. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// There is no such thing.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// Something else has this name.
    #[error("{what} {name} exists already")]
    Exists {
        /// What.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A value is out of range or malformed.
    #[error("{field}: {detail}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The state it is in does not allow that.
    #[error("{0}")]
    State(String),
    /// It is asked too often.
    #[error("{0}")]
    TooMany(&'static str),
    /// Others kept changing the configuration.
    #[error("the configuration was changed by someone else meanwhile; try again")]
    Raced,
    /// No connected data plane serves this key source.
    #[error("no data plane that serves {target} is connected: keys can't be made or looked at{}", instead(.served))]
    NoNode {
        /// The key source.
        target: String,
        /// What connected data planes do serve.
        served: Vec<String>,
    },
    /// Data planes serve the key source, but none can do it now.
    #[error("no connected data plane can do this now: {0}")]
    Unavailable(String),
    /// A data plane would not do it.
    #[error("the data plane refused: {0}")]
    Refused(String),
    /// No data plane did it in time.
    #[error("no data plane answered in time")]
    Deadline,
    /// The store can't be read.
    #[error("the store can't be read")]
    Read(#[from] ReadError),
    /// The store can't be written.
    #[error("the store can't be written")]
    Commit(#[source] CommitError),
    /// Not all data planes have what AWS is about to use. It was withdrawn.
    #[error("{what} is not on all data planes, so AWS was not told of it: {} did not take it in time", names(.nodes))]
    NotEverywhere {
        /// What they lack.
        what: &'static str,
        /// Those that lack it.
        nodes: Vec<NodeName>,
    },
    /// AWS did not do it.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// A secret can't be sealed.
    #[error("a secret can't be sealed")]
    Seal(#[from] SealFailed),
    /// A password can't be hashed.
    #[error("a password can't be hashed")]
    Hash(#[from] HashFailed),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Random,
    /// The data directory's files can't be read.
    #[error("the data directory can't be read")]
    Files(#[from] FileError),
    /// A secret opens under no control seal that is loaded.
    #[error("a secret does not open")]
    Unsealed(#[source] SecretUnopened),
}

impl Core {
    /// The operations over a store, with a publisher that serves the same store.
    #[must_use]
    pub fn new(writer: Arc<Writer>, seal: ControlSeal, publisher: Publisher, aws: Arc<Aws>) -> Self {
        Self {
            store: Arc::clone(writer.store()),
            writer,
            seal,
            publisher,
            making: tokio::sync::Notify::new(),
            files: None,
            health_checks: health::HealthChecks::default(),
            backup_place: None,
            aws,
            keys_at_work: at_work::AtWork::default(),
            keys_asked: asked::Asked::new(),
            stores_at_work: at_work::AtWork::default(),
            stores_asked: asked::Asked::new(),
            syncing: synchronization::Syncing::default(),
        }
    }

    /// The same, with the data directory that backups are to hold.
    #[must_use]
    pub fn with_files(self, files: BackedUpFiles) -> Self {
        Self { files: Some(files), ..self }
    }

    /// The same, with somewhere for backup jobs to put their backups.
    #[must_use]
    pub fn with_backup_place(self, place: Option<jobs::BackupPlace>) -> Self {
        Self { backup_place: place, ..self }
    }

    /// Where it is published.
    #[must_use]
    pub const fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    async fn view(&self) -> Result<View, CoreError> {
        Ok(View::of(&self.store).await?)
    }

    /// Waits until connected nodes have applied `revision`; those that have not in time are named.
    async fn applied<T>(&self, value: T, revision: Revision) -> Applied<T> {
        Applied { value, pending: self.publisher.applied(revision, APPLIED_WITHIN).await }
    }
}

impl CoreError {
    /// A value that can't be, by its field and what is wrong with it.
    fn invalid(field: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid { field, detail: detail.into() }
    }

    /// Of what the value of `field` names: it must be there, else the request is wrong, not its path.
    fn of_named(self, field: &'static str, absent: &'static str) -> Self {
        match self {
            Self::NotFound(_) => Self::invalid(field, absent),
            other => other,
        }
    }

    /// The same may be done later, with nothing changed.
    const fn may_pass(&self) -> bool {
        match self {
            Self::NoNode { .. } | Self::NotEverywhere { .. } | Self::Unavailable(_) | Self::Deadline | Self::TooMany(_) | Self::Raced => {
                true
            }
            Self::Aws(error) => match error.fault {
                AwsFault::Throttled | AwsFault::Broken | AwsFault::Unreached | AwsFault::Unasked => true,
                AwsFault::Refused | AwsFault::Credentials => false,
            },
            Self::NotFound(_)
            | Self::Exists { .. }
            | Self::Invalid { .. }
            | Self::State(_)
            | Self::Refused(_)
            | Self::Read(_)
            | Self::Commit(_)
            | Self::Seal(_)
            | Self::Hash(_)
            | Self::Random
            | Self::Files(_)
            | Self::Unsealed(_) => false,
        }
    }
}

fn instead(served: &[String]) -> String {
    if served.is_empty() { String::new() } else { format!("; those that are connected serve {}", served.join(", ")) }
}

fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

fn bad_name(field: &'static str) -> impl FnOnce(BadName) -> CoreError {
    move |cause| CoreError::Invalid { field, detail: cause.to_string() }
}

/// Design §7.5.
const APPLIED_WITHIN: Duration = Duration::from_secs(5);
