//! Synchronisation jobs: what there is in AWS is read and taken into the entries here.
//!
//! Always holds: a job that is in progress is worked on, by this process or by the next; its regions end one by one, each told in its
//! detail, and it is completed only if all were read whole. At most one job looks at a region of an account at a time.

mod gone;
mod progress;
mod region;
mod scheduled;
mod targets;
mod worker;

use std::collections::BTreeSet;

use uuid::Uuid;

pub(super) use self::worker::Syncing;
use super::{Core, CoreError, aws_names, kms_containers, write::Plan};
use crate::{
    access::{Manage, Permit, Read},
    clock::now_ns,
    store::{
        ReadError, View,
        entry::{Entry, EntryChange, EntryName, KmsContainerEntry, Stamps, SyncJobEntry, SyncStatus},
    },
};

/// Where a client wants to have it looked. All empty: everywhere.
#[derive(Clone, Debug, Default)]
pub struct GivenSync {
    /// Names or ids of KMS containers; empty: all.
    pub kms: Vec<String>,
    /// Only these regions; empty: all of each container's.
    pub regions: Vec<String>,
    /// Everywhere.
    pub synchronize_all: bool,
}

impl Core {
    /// Begins a job. The oldest of those that ended go where there are many.
    ///
    /// # Errors
    /// [`CoreError::Invalid`] for a region that a named container does not have, or any of both together with `synchronize_all`;
    /// [`CoreError::NotFound`] for a container; [`CoreError::TooMany`] while too many jobs are in progress.
    pub async fn start_sync(&self, permit: &Permit<Manage>, given: GivenSync) -> Result<SyncJobEntry, CoreError> {
        let id = Uuid::new_v4();
        let plan = |view: &View| added(view, new(view, id, &given)?);
        let (job, _) = self.writer.change(permit.trail(), plan).await?;
        self.syncing.nudge();
        Ok(job)
    }

    /// All jobs, the newest last.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn sync_jobs(&self, _permit: &Permit<Read>) -> Result<Vec<SyncJobEntry>, CoreError> {
        let mut jobs = self.view().await?.sync_jobs()?;
        jobs.sort_by_key(|job| (job.stamps.created_ns, job.id));
        Ok(jobs)
    }

    /// A job.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn sync_job(&self, _permit: &Permit<Read>, wanted: &str) -> Result<SyncJobEntry, CoreError> {
        find(&self.view().await?, wanted)
    }

    /// Breaks a job off: what was read stays, and what is being read is read to the end of that object.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for a job that has ended by itself.
    pub async fn cancel_sync(&self, permit: &Permit<Manage>, wanted: &str) -> Result<SyncJobEntry, CoreError> {
        let plan = |view: &View| {
            let job = find(view, wanted)?;
            match (job.status, job.abort) {
                (_, true) => Ok(Plan { changes: Vec::new(), answer: job }),
                (SyncStatus::InProgress, false) => {
                    let job = SyncJobEntry { abort: true, stamps: job.stamps.touched(now_ns()), ..job };
                    Ok(Plan { changes: vec![EntryChange::put(Entry::SyncJob(job.clone()))], answer: job })
                }
                (SyncStatus::Completed | SyncStatus::Failed, false) => {
                    Err(CoreError::State("the synchronization job has ended already".into()))
                }
            }
        };
        let (job, _) = self.writer.change(permit.trail(), plan).await?;
        self.syncing.cancel(job.id);
        Ok(job)
    }

    /// Waits until a job has ended, and tells how.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::Read`].
    pub(super) async fn sync_ended(&self, id: Uuid) -> Result<SyncJobEntry, CoreError> {
        let mut moves = self.store.head().watch();
        loop {
            moves.borrow_and_update();
            let job = self.view().await?.sync_job(id)?.ok_or(MISSING)?;
            match job.status {
                SyncStatus::InProgress => {}
                SyncStatus::Completed | SyncStatus::Failed => return Ok(job),
            }
            // The store outlives whoever asks it.
            if moves.changed().await.is_err() {
                return Ok(job);
            }
        }
    }
}

fn find(view: &View, wanted: &str) -> Result<SyncJobEntry, CoreError> {
    Uuid::try_parse(wanted).ok().map(|id| view.sync_job(id)).transpose()?.flatten().ok_or(MISSING)
}

fn new(view: &View, id: Uuid, given: &GivenSync) -> Result<SyncJobEntry, CoreError> {
    let GivenSync { kms, regions, synchronize_all } = given;
    for (field, there) in [("kms", !kms.is_empty()), ("regions", !regions.is_empty())] {
        if there && *synchronize_all {
            return Err(CoreError::invalid(field, "can't be given together with synchronize_all"));
        }
    }
    regions.iter().try_for_each(|region| aws_names::region("regions", region))?;
    let containers = containers(view, kms)?;
    for region in regions {
        let has = |container: &&KmsContainerEntry| container.regions.contains(region);
        // Of all containers, one is enough; of those that are named, each is meant.
        let without = containers.iter().find(|container| !has(container));
        if let Some(without) = without.filter(|_| !kms.is_empty()) {
            return Err(CoreError::invalid("regions", format!("{region} is not in the KMS container {}", without.name)));
        }
        if !containers.iter().any(|container| has(&container)) {
            return Err(CoreError::invalid("regions", format!("{region} is in no KMS container")));
        }
    }
    Ok(SyncJobEntry {
        id,
        kms_as_sent: kms.clone(),
        kms: containers.iter().map(|container| container.id).collect(),
        regions: regions.clone(),
        synchronize_all: *synchronize_all,
        status: SyncStatus::InProgress,
        detail: std::collections::BTreeMap::new(),
        abort: false,
        again: BTreeSet::new(),
        only: None,
        run: None,
        stamps: Stamps::new(now_ns()),
    })
}

/// One more job, and the oldest gone that there is no place for.
fn added(view: &View, job: SyncJobEntry) -> Result<Plan<SyncJobEntry>, CoreError> {
    let jobs = view.sync_jobs()?;
    if jobs.iter().filter(|job| job.status == SyncStatus::InProgress).count() >= MOST_IN_PROGRESS {
        return Err(CoreError::TooMany("too many synchronization jobs are in progress; wait until some have ended, or cancel them"));
    }
    let mut changes = crowded_out(jobs);
    changes.push(EntryChange::put(Entry::SyncJob(job.clone())));
    Ok(Plan { changes, answer: job })
}

/// Those that are named, each once; all where none is.
fn containers(view: &View, named: &[String]) -> Result<Vec<KmsContainerEntry>, CoreError> {
    if named.is_empty() {
        return Ok(view.kms_containers()?);
    }
    let mut seen = BTreeSet::new();
    let found: Result<Vec<_>, _> = named.iter().map(|name| kms_containers::find(view, name)).collect();
    Ok(found?.into_iter().filter(|container| seen.insert(container.id)).collect())
}

/// Deletes the oldest jobs that ended, so that with one more there are no more than [`MOST_JOBS`].
fn crowded_out(mut jobs: Vec<SyncJobEntry>) -> Vec<EntryChange> {
    let too_many = (jobs.len() + 1).saturating_sub(MOST_JOBS);
    jobs.retain(|job| job.status != SyncStatus::InProgress);
    jobs.sort_by_key(|job| job.stamps.created_ns);
    jobs.iter().take(too_many).map(|job| EntryChange::Delete(EntryName::SyncJob(job.id))).collect()
}

/// Changes a job, if it is still there.
fn change(view: &View, id: Uuid, with: impl FnOnce(SyncJobEntry) -> SyncJobEntry) -> Result<Plan<Option<SyncJobEntry>>, ReadError> {
    let Some(before) = view.sync_job(id)? else { return Ok(Plan { changes: Vec::new(), answer: None }) };
    let after = with(before.clone());
    if after == before {
        return Ok(Plan { changes: Vec::new(), answer: Some(after) });
    }
    let after = SyncJobEntry { stamps: before.stamps.touched(now_ns()), ..after };
    Ok(Plan { changes: vec![EntryChange::put(Entry::SyncJob(after.clone()))], answer: Some(after) })
}

const MISSING: CoreError = CoreError::NotFound("synchronization job");
/// Each looks at its own pace: more only wait for each other.
const MOST_IN_PROGRESS: usize = 50;
/// Jobs that are kept.
const MOST_JOBS: usize = 1_000;

#[cfg(test)]
pub(super) mod tests;
