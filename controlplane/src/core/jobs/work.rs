//! What a run of a job does.
//!
//! Always holds: one key store or key that fails keeps no other from its turn, and is in the log by its name; what was done for a time is
//! not done again when the same time is tried once more.

use std::error::Error;

use holdfast_proto::ids::{CredentialId, StoreId};
use time::OffsetDateTime;

use super::{folder::BackupFault, nanoseconds, run::Runner};
use crate::{
    access::Permit,
    core::{CoreError, synchronization::GivenSync},
    files::FileError,
    store::{
        ReadError, View,
        entry::{
            AwsKeyEntry, AwsKeyStoreEntry, AwsKeyStoreKind, JobConfigEntry, JobParams, JobRunEntry, KeyInAws, SyncStatus,
            SynchronizationParams,
        },
    },
};

/// A job did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunFault {
    #[error("there is nowhere to put it: backup_dir and backup_passphrase_file are not both set")]
    NoPlace,
    #[error("the backup was not made")]
    Made(#[from] CoreError),
    #[error("the passphrase can't be read")]
    Passphrase(#[from] FileError),
    #[error("the backup was not kept")]
    Kept(#[from] BackupFault),
    #[error("the work was broken off")]
    BrokenOff,
    #[error("what there is to do was not found out")]
    Unread(#[from] ReadError),
    #[error(transparent)]
    Some(Box<Failures>),
    #[error("the synchronization was not begun")]
    NotBegun(#[source] CoreError),
    #[error("not all regions were synchronized: {told}")]
    Synchronization { told: String, may_pass: bool },
    #[error("the synchronization was cancelled")]
    Cancelled,
}

impl RunFault {
    /// Whether it is to be tried again for the same time.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::Synchronization { may_pass, .. } => *may_pass,
            Self::Cancelled => false,
            Self::NoPlace
            | Self::Made(_)
            | Self::Passphrase(_)
            | Self::Kept(_)
            | Self::BrokenOff
            | Self::Unread(_)
            | Self::Some(_)
            | Self::NotBegun(_) => true,
        }
    }
}

/// Some of the objects that a run is about failed, or all.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {all} failed, the first {what} {name}")]
pub(super) struct Failures {
    failed: usize,
    all: usize,
    what: &'static str,
    name: String,
    #[source]
    cause: CoreError,
}

/// How a run is with the objects it is about.
struct Tally {
    what: &'static str,
    all: usize,
    failed: usize,
    first: Option<(String, CoreError)>,
}

impl Runner {
    /// Does what a job is for.
    pub(super) async fn work(&self, job: &JobConfigEntry, at: OffsetDateTime) -> Result<(), RunFault> {
        match &job.params {
            JobParams::XksCredentialRotation => self.rotate_credentials(job, at).await,
            JobParams::KeyRotation(_) => self.rotate_keys(job, at).await,
            JobParams::Synchronization(params) => self.synchronize(job, params, at).await,
            JobParams::DatabaseBackup(params) => self.back_up(job, params, at).await,
        }
    }

    async fn rotate_credentials(&self, job: &JobConfigEntry, at: OffsetDateTime) -> Result<(), RunFault> {
        let stores: Vec<_> = {
            let view = self.core.view().await?;
            let mut due = Vec::new();
            for store in view.aws_key_stores()?.into_iter().filter(|store| store.rotation_job == Some(job.id) && !store.gone) {
                if !has_credential_since(&view, &store, nanoseconds(at))? {
                    due.push(store);
                }
            }
            due
        };
        let mut tally = Tally::of("key store");
        for store in stores {
            let rotated = self.core.rotate_linked_credential(&Permit::system("job"), StoreId(store.id)).await;
            tally.add(job, store.name, rotated);
        }
        tally.end()
    }

    async fn rotate_keys(&self, job: &JobConfigEntry, at: OffsetDateTime) -> Result<(), RunFault> {
        let keys: Vec<_> =
            self.core.view().await?.aws_keys()?.into_iter().filter(|key| wants_rotation(key, job, nanoseconds(at))).collect();
        let mut tally = Tally::of("key");
        for key in keys {
            let rotated = self.core.rotate_key_by_job(&Permit::system("job"), key.id).await.map(drop);
            tally.add(job, name(&key), rotated);
        }
        tally.end()
    }

    async fn synchronize(&self, job: &JobConfigEntry, params: &SynchronizationParams, at: OffsetDateTime) -> Result<(), RunFault> {
        let given = GivenSync { kms: params.kms.clone(), regions: Vec::new(), synchronize_all: params.synchronize_all };
        let run = JobRunEntry { job: job.id, due_ns: nanoseconds(at) };
        let begun = self.core.run_sync(&Permit::system("job"), run, given).await.map_err(RunFault::NotBegun)?;
        let ended = self.core.sync_ended(begun).await.map_err(RunFault::NotBegun)?;
        match ended.status {
            SyncStatus::Completed => Ok(()),
            SyncStatus::InProgress | SyncStatus::Failed if ended.abort => Err(RunFault::Cancelled),
            SyncStatus::InProgress | SyncStatus::Failed => {
                let failed = ended.detail.iter().filter(|(_, text)| text.starts_with("failed"));
                let told: Vec<_> = failed.map(|(region, text)| format!("{region} {text}")).collect();
                Err(RunFault::Synchronization { told: told.join("; "), may_pass: !ended.again.is_empty() })
            }
        }
    }
}

impl Tally {
    const fn of(what: &'static str) -> Self {
        Self { what, all: 0, failed: 0, first: None }
    }

    fn add(&mut self, job: &JobConfigEntry, name: String, result: Result<(), CoreError>) {
        self.all += 1;
        let Err(cause) = result else { return };
        tracing::error!(error = &cause as &dyn Error, job = %job.id, object = self.what, name, "a job could not rotate this");
        self.failed += 1;
        self.first.get_or_insert((name, cause));
    }

    fn end(self) -> Result<(), RunFault> {
        let Self { what, all, failed, first } = self;
        first.map_or(Ok(()), |(name, cause)| Err(RunFault::Some(Box::new(Failures { failed, all, what, name, cause }))))
    }
}

/// Whether AWS signs with a credential of the store that was made since.
fn has_credential_since(view: &View, store: &AwsKeyStoreEntry, since_ns: u64) -> Result<bool, ReadError> {
    let AwsKeyStoreKind::Linked { credential: Some(id) } = &store.kind else { return Ok(false) };
    let credential = view.credential(StoreId(store.id), CredentialId(*id))?;
    Ok(credential.is_some_and(|credential| credential.stamps.created_ns >= since_ns))
}

/// Whether a job is to rotate a key, for a time; how old or near its end it must be for that is looked at when it is its turn. One that was
/// made or rotated since was rotated for that time already.
fn wants_rotation(key: &AwsKeyEntry, job: &JobConfigEntry, at_ns: u64) -> bool {
    let label = key.rotation_job.as_ref().is_some_and(|label| label.job == job.id);
    let before = key.stamps.created_ns < at_ns && key.rotated_ns.is_none_or(|rotated| rotated < at_ns);
    label && before && key.told.is_some() && key.rotated_to.is_none() && is_there(key)
}

/// Whether AWS has the key, and is not about to delete it.
pub(super) fn is_there(key: &AwsKeyEntry) -> bool {
    let deleted = |told: &KeyInAws| told.deletion_ns.is_some() || told.state.ends_with("Deletion");
    !key.gone && !key.told.as_ref().is_some_and(deleted)
}

/// As people know it.
pub(super) fn name(key: &AwsKeyEntry) -> String {
    let told = key.told.as_ref();
    told.and_then(|told| told.aliases.first().or(Some(&told.arn)).cloned()).unwrap_or_else(|| key.id.to_string())
}
