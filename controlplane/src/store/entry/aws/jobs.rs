//! Synchronisation jobs, and how job configurations ended.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::entry::Stamps;

/// A synchronisation job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncJobEntry {
    /// The job.
    pub id: Uuid,
    /// The KMS containers, as the client named them.
    pub kms_as_sent: Vec<String>,
    /// The KMS containers.
    pub kms: Vec<Uuid>,
    /// Only these regions; empty: all of the containers'.
    pub regions: Vec<String>,
    /// Every container and region.
    pub synchronize_all: bool,
    /// How it stands.
    pub status: SyncStatus,
    /// By account and region: how it stands there.
    pub detail: BTreeMap<String, String>,
    /// Someone broke it off.
    pub abort: bool,
    /// By account and region: those that failed for a reason that may pass.
    #[serde(default)]
    pub again: BTreeSet<String>,
    /// By account and region: it looks at these only; none: at all that it is for.
    #[serde(default)]
    pub only: Option<BTreeSet<String>>,
    /// Whose it is; none: a client's.
    #[serde(default)]
    pub run: Option<JobRunEntry>,
    /// When made and changed.
    pub stamps: Stamps,
}

/// A run of a job configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRunEntry {
    /// The job configuration.
    pub job: Uuid,
    /// The time for which it runs, nanoseconds since 1970.
    pub due_ns: u64,
}

/// How a synchronisation job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncStatus {
    /// It runs, or will.
    InProgress,
    /// All regions were looked at.
    Completed,
    /// Not all were.
    Failed,
}

/// How the last run of a job configuration ended. A note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRanEntry {
    /// The job configuration.
    pub job: Uuid,
    /// The time for which it ran, nanoseconds since 1970.
    pub due_ns: u64,
    /// When it ended, nanoseconds since 1970.
    pub ended_ns: u64,
    /// Why it failed; none: it did what it should.
    pub failure: Option<String>,
    /// It failed, and is not tried again for the same time.
    #[serde(default)]
    pub is_final: bool,
}
