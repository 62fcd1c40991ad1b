//! Scheduled jobs.
//!
//! Always holds: dates are kept as they were sent; a job's operation is the kind of its parameters.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Stamps;

/// What runs when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobConfigEntry {
    /// The job configuration.
    pub id: Uuid,
    /// Unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Minute, hour, day of month, month, day of week, in UTC, as it was sent.
    pub run_at: String,
    /// Where it runs.
    pub run_on: String,
    /// It does not run.
    pub disabled: bool,
    /// It does not run before (RFC 3339, as it was sent).
    pub start_date: Option<String>,
    /// It does not run after (RFC 3339, as it was sent).
    pub end_date: Option<String>,
    /// What it does.
    pub params: JobParams,
    /// When made and changed.
    pub stamps: Stamps,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobParams {
    /// Rotates the credentials of linked key stores that are labelled with it.
    XksCredentialRotation,
    /// Rotates keys in AWS that are labelled with it.
    KeyRotation(KeyRotationParams),
    /// Reads what there is in AWS.
    Synchronization(SynchronizationParams),
    /// Writes a backup of this control plane.
    DatabaseBackup(BackupParams),
}

/// Which keys are rotated, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotationParams {
    /// When new key material expires: days (`44d`) or hours (`22h`).
    pub expiration: Option<String>,
    /// Only keys that expire within.
    pub expire_in: Option<String>,
    /// Only keys that were not rotated for that long.
    pub rotation_after: Option<String>,
    /// The replaced key keeps its alias.
    pub retain_alias: bool,
    /// The key stays and gets new material.
    pub rotate_material: Option<bool>,
}

/// What is synchronized.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SynchronizationParams {
    /// KMS containers, as they were sent; empty with `synchronize_all`.
    pub kms: Vec<String>,
    /// All of them.
    pub synchronize_all: bool,
}

/// How backups are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupParams {
    /// Free text.
    pub description: String,
    /// How many of this job's backups are kept; 0: all.
    pub retention_count: u32,
}
