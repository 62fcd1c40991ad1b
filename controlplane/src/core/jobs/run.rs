//! Runs backup jobs.
//!
//! Always holds: what is wanted is read from the store and what was done from the folder, afresh each time; a change of a job is only a
//! nudge to look. Only one control plane runs on a store, so nothing is run twice.

use std::{collections::BTreeMap, error::Error, path::PathBuf, sync::Arc, time::Duration};

use holdfast_proto::secret::Secret;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    due::{Done, RETRY_AFTER, Timed, due},
    folder::{BackupFault, BackupPlace, Folder},
    moment,
    schedule::Schedule,
};
use crate::{
    access::{Permit, Who},
    audit::{Audit, Record, Via},
    core::{Core, CoreError},
    files::{self, FileError},
    store::entry::{EntryName, JobConfigEntry, JobParams},
};

/// Runs what is due.
pub struct Runner {
    core: Arc<Core>,
    audit: Audit,
    /// When a job failed last; held while jobs run, so that they take turns.
    failed: Mutex<BTreeMap<Uuid, OffsetDateTime>>,
}

/// A job did not do what it should.
#[derive(Debug, thiserror::Error)]
enum RunFault {
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
}

impl Runner {
    /// Runs jobs of `core`'s store; each run is in `audit`.
    #[must_use]
    pub fn new(core: Arc<Core>, audit: Audit) -> Self {
        Self { core, audit, failed: Mutex::default() }
    }

    /// Runs what is due, when it is, for ever.
    pub(crate) async fn keep_running(self: Arc<Self>) {
        let mut nudge = self.core.store.head().watch();
        loop {
            let seen = *nudge.borrow_and_update();
            let now = OffsetDateTime::now_utc();
            let next = self.run_due(now).await.unwrap_or_else(|error| {
                tracing::warn!(error = &error as &dyn Error, "which jobs are due was not found out; tried again later");
                None
            });
            let wait = next.and_then(|next| Duration::try_from(next - OffsetDateTime::now_utc()).ok());
            // The clock of the host may be set meanwhile.
            let until = tokio::time::Instant::now() + wait.map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT));
            while let Ok(changed) = tokio::time::timeout_at(until, nudge.changed()).await {
                if changed.is_err() {
                    return;
                }
                let names = self.core.store.head().changed_since(seen).map(|changed| changed.names);
                if names.is_none_or(|names| names.iter().any(|name| matches!(name, EntryName::JobConfig(_)))) {
                    break;
                }
            }
        }
    }

    /// Runs what is due at `now`, and tells when to look again.
    ///
    /// # Errors
    /// [`CoreError::Read`]. A job that fails is logged, and tried again later.
    pub async fn run_due(&self, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, CoreError> {
        let mut failed = self.failed.lock().await;
        let wanted: Vec<_> = self.core.view().await?.job_configs()?.into_iter().filter_map(|job| timed(&job, now).zip(Some(job))).collect();
        if wanted.is_empty() {
            failed.clear();
            return Ok(None);
        }
        let times: Vec<_> = wanted.iter().map(|(times, _)| times.clone()).collect();
        let ran = match self.ran().await {
            Ok(ran) => ran,
            Err(fault) => {
                tracing::error!(error = &fault as &dyn Error, "no backup job runs; tried again later");
                return Ok(Some(now + RETRY_AFTER));
            }
        };
        let mut done = Done { ran, failed: std::mem::take(&mut *failed) };
        for (id, at) in due(&times, &done, now).jobs {
            let Some((_, job)) = wanted.iter().find(|(_, job)| job.id == id) else { continue };
            if self.run(job, at).await {
                done.failed.remove(&id);
                done.ran.insert(id, at);
            } else {
                done.failed.insert(id, now);
            }
        }
        let next = due(&times, &done, now).next;
        *failed = done.failed;
        Ok(next)
    }

    /// Whether the job did what it should.
    async fn run(&self, job: &JobConfigEntry, at: OffsetDateTime) -> bool {
        let (who, id) = (Who::System("job").to_string(), job.id.to_string());
        let record = Record { who: &who, via: Via::System, peer: None, operation: "job_config.run", target: &id };
        let begun = self.audit.begin(record, None);
        let result = self.back_up(job, at).await;
        begun.end(if result.is_ok() { "ok" } else { "failed" });
        metrics::counter!("holdfast_backups_total", "outcome" => if result.is_ok() { "ok" } else { "failed" }).increment(1);
        match &result {
            Ok(path) => tracing::info!(job = %job.id, path = %path.display(), "a backup was made"),
            Err(fault) => tracing::error!(error = fault as &dyn Error, job = %job.id, "a backup job failed; tried again later"),
        }
        result.is_ok()
    }

    async fn back_up(&self, job: &JobConfigEntry, at: OffsetDateTime) -> Result<PathBuf, RunFault> {
        let JobParams::DatabaseBackup(params) = &job.params else { return Err(RunFault::NoPlace) };
        let place = self.place()?;
        let passphrase = Secret::new(files::read(&place.passphrase_file)?.trim_end().to_owned());
        let backup = self.core.backup(&Permit::system("job"), &passphrase).await?;
        let (name, id, keep) = (job.name.clone(), job.id, params.retention_count);
        let kept = tokio::task::spawn_blocking(move || {
            let folder = Folder(&place.dir);
            let path = folder.write(&name, (id, at), |file| backup.write_to(file))?;
            folder.prune(id, keep)?;
            Ok(path)
        });
        kept.await.map_err(|_| RunFault::BrokenOff)?
    }

    /// The last time for which each job has a backup.
    async fn ran(&self) -> Result<BTreeMap<Uuid, OffsetDateTime>, RunFault> {
        let place = self.place()?;
        let read = tokio::task::spawn_blocking(move || Folder(&place.dir).newest());
        Ok(read.await.map_err(|_| RunFault::BrokenOff)??)
    }

    fn place(&self) -> Result<BackupPlace, RunFault> {
        self.core.backup_place.clone().ok_or(RunFault::NoPlace)
    }
}

/// A job's times, if it is one that runs here.
fn timed(job: &JobConfigEntry, now: OffsetDateTime) -> Option<Timed> {
    match &job.params {
        JobParams::DatabaseBackup(_) if !job.disabled => {}
        JobParams::DatabaseBackup(_) | JobParams::XksCredentialRotation | JobParams::KeyRotation(_) | JobParams::Synchronization(_) => {
            return None;
        }
    }
    Some(Timed {
        id: job.id,
        schedule: Schedule::parse(&job.run_at, now).ok()?,
        since: OffsetDateTime::from_unix_timestamp_nanos(job.stamps.updated_ns.into()).ok()?,
        start: moment(job.start_date.as_deref()),
        end: moment(job.end_date.as_deref()),
    })
}

const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
