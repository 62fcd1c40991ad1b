//! Backups by jobs.
//!
//! Always holds: the folder itself says what was done; a backup that was made is whole, and older ones go only after it is there.

use std::collections::BTreeMap;

use holdfast_proto::secret::Secret;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    folder::{BackupPlace, Folder},
    run::Runner,
    work::RunFault,
};
use crate::{
    access::Permit,
    files,
    store::entry::{BackupParams, JobConfigEntry},
};

impl Runner {
    pub(super) async fn back_up(&self, job: &JobConfigEntry, params: &BackupParams, at: OffsetDateTime) -> Result<(), RunFault> {
        let made = self.made(job, params, at).await;
        metrics::counter!("holdfast_backups_total", "outcome" => if made.is_ok() { "ok" } else { "failed" }).increment(1);
        made
    }

    /// The last time for which each job has a backup.
    pub(super) async fn backups_made(&self) -> Result<BTreeMap<Uuid, OffsetDateTime>, RunFault> {
        let place = self.place()?;
        let read = tokio::task::spawn_blocking(move || Folder(&place.dir).newest());
        Ok(read.await.map_err(|_| RunFault::BrokenOff)??)
    }

    async fn made(&self, job: &JobConfigEntry, params: &BackupParams, at: OffsetDateTime) -> Result<(), RunFault> {
        let place = self.place()?;
        let passphrase = Secret::new(files::read(&place.passphrase_file)?.trim_end().to_owned());
        let backup = self.core.backup(&Permit::system("job"), &passphrase).await?;
        let (name, id, keep) = (job.name.clone(), job.id, params.retention_count);
        let kept = tokio::task::spawn_blocking(move || {
            let folder = Folder(&place.dir);
            let path = folder.write(&name, (id, at), |file| backup.write_to(file))?;
            folder.prune(id, keep)?;
            Ok::<_, RunFault>(path)
        });
        let path = kept.await.map_err(|_| RunFault::BrokenOff)??;
        tracing::info!(job = %id, path = %path.display(), "a backup was made");
        Ok(())
    }

    fn place(&self) -> Result<BackupPlace, RunFault> {
        self.core.backup_place.clone().ok_or(RunFault::NoPlace)
    }
}
