//! How far a job is, in the words of its detail (contract §7.8).
//!
//! Always holds: what a word says of a region is read back from it, so that a restart goes on with what had not ended.

use std::collections::BTreeMap;

use super::targets::Target;
use crate::{
    aws::AwsError,
    core::CoreError,
    store::entry::{SyncJobEntry, SyncStatus},
};

/// Why a region was not read, or not whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RegionFault {
    /// Someone broke the job off.
    #[error("cancelled")]
    Cancelled,
    /// It could not be listed, or nothing of it kept.
    #[error("{0}")]
    Broken(String),
    /// All else was read.
    #[error("{count} could not be read, the first because of {first}")]
    Some { count: usize, first: String },
    /// The work on it ended without a word.
    #[error("the work was broken off by a fault of the control plane; its log says more")]
    Fault,
}

/// What a region's detail says while it is not begun or not ended.
pub(super) const IN_PROGRESS: &str = "in progress";
/// What it says when all was read.
pub(super) const DONE: &str = "region synchronized successfully";
/// What it says first of a region that was not read whole.
const FAILED: &str = "failed: ";

/// What it says while AWS is given time.
pub(super) fn paused(error: &AwsError) -> String {
    format!("{IN_PROGRESS}; waits a while, since {error}")
}

/// What it says of the end.
pub(super) fn ended(result: &Result<(), RegionFault>) -> String {
    match result {
        Ok(()) => DONE.into(),
        Err(fault) => format!("{FAILED}{fault}"),
    }
}

/// Whether a region's detail says that it ended.
pub(super) fn has_ended(text: Option<&String>) -> bool {
    text.is_some_and(|text| text == DONE || text.starts_with(FAILED))
}

/// The job with all that is to be done in its detail.
pub(super) fn begun(job: SyncJobEntry, targets: &[Target]) -> SyncJobEntry {
    let told = |target: &Target| {
        let name = target.name();
        let before = job.detail.get(&name).filter(|text| has_ended(Some(text))).cloned();
        (name, before.unwrap_or_else(|| IN_PROGRESS.into()))
    };
    let detail: BTreeMap<_, _> = targets.iter().map(told).collect();
    // What ended in a container that is no more stays told.
    let others = job.detail.iter().filter(|(name, text)| has_ended(Some(text)) && !detail.contains_key(*name));
    let detail = others.map(|(name, text)| (name.clone(), text.clone())).chain(detail.clone()).collect();
    SyncJobEntry { detail, ..job }
}

/// The job with its end.
pub(super) fn finished(job: SyncJobEntry) -> SyncJobEntry {
    let whole = job.detail.values().all(|text| text == DONE);
    SyncJobEntry { status: if whole { SyncStatus::Completed } else { SyncStatus::Failed }, ..job }
}

impl From<CoreError> for RegionFault {
    fn from(error: CoreError) -> Self {
        match &error {
            CoreError::Aws(error) => Self::Broken(error.to_string()),
            // Causes inside are for the log, not for a job's readers.
            CoreError::Read(_) | CoreError::Commit(_) | CoreError::Unsealed(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a region was not synchronized");
                Self::Broken(error.to_string())
            }
            other => Self::Broken(other.to_string()),
        }
    }
}
