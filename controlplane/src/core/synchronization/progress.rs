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
    #[error("{text}")]
    Broken { text: String, may_pass: bool },
    /// All else was read; what AWS refuses to tell is no fault.
    #[error("{count} could not be read, the first because of {first}")]
    Some { count: usize, first: String },
    /// The work on it ended without a word.
    #[error("the work was broken off by a fault of the control plane; its log says more")]
    Fault,
}

/// What AWS refused to tell of a region that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Withheld {
    pub(super) keys: usize,
    /// Why, of the first.
    pub(super) first: Option<String>,
}

impl RegionFault {
    /// Whether it may do better when it is tried again.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::Broken { may_pass, .. } => *may_pass,
            Self::Some { .. } => true,
            Self::Cancelled | Self::Fault => false,
        }
    }

    /// The same, of one KMS container among several of the region.
    pub(super) fn by(self, container: &str) -> Self {
        match self {
            Self::Broken { text, may_pass } => Self::Broken { text: format!("KMS container {container}: {text}"), may_pass },
            Self::Cancelled | Self::Some { .. } | Self::Fault => self,
        }
    }
}

/// What a region's detail says while it is not begun or not ended.
pub(super) const IN_PROGRESS: &str = "in progress";
/// What it says first of a region that was read, and all it says where AWS told all.
pub(super) const DONE: &str = "region synchronized successfully";
/// What it says first of a region that was not read whole.
const FAILED: &str = "failed: ";

/// What it says while AWS is given time.
pub(super) fn paused(error: &AwsError) -> String {
    format!("{IN_PROGRESS}; waits a while, since {error}")
}

/// What it says of the end.
pub(super) fn ended(result: &Result<Withheld, RegionFault>) -> String {
    match result {
        Ok(Withheld { first: None, .. }) => DONE.into(),
        Ok(Withheld { first: Some(first), keys }) => {
            format!("{DONE}; AWS would not tell of {keys} of its keys, of the first because of {first}")
        }
        Err(fault) => format!("{FAILED}{fault}"),
    }
}

/// Whether a region's detail says that it ended.
pub(super) fn has_ended(text: Option<&String>) -> bool {
    text.is_some_and(|text| text.starts_with(DONE) || text.starts_with(FAILED))
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
    let whole = job.detail.values().all(|text| text.starts_with(DONE));
    SyncJobEntry { status: if whole { SyncStatus::Completed } else { SyncStatus::Failed }, ..job }
}

impl From<CoreError> for RegionFault {
    fn from(error: CoreError) -> Self {
        // Causes inside are for the log, not for a job's readers.
        if matches!(error, CoreError::Read(_) | CoreError::Commit(_) | CoreError::Unsealed(_)) {
            tracing::error!(error = &error as &dyn std::error::Error, "a region was not synchronized");
        }
        Self::Broken { text: error.to_string(), may_pass: error.may_pass() }
    }
}
