//! Synchronisation jobs that job configurations begin.
//!
//! Always holds: a run of a job configuration has one job at a time; after a restart it goes on with that. What is tried again are the
//! regions that failed for a reason that may pass, and nothing once someone broke it off.

use uuid::Uuid;

use super::{GivenSync, added, new};
use crate::{
    access::{Manage, Permit},
    core::{Core, CoreError, write::Plan},
    store::{
        View,
        entry::{JobRunEntry, SyncJobEntry, SyncStatus},
    },
};

/// What is next for a run.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// There was no job of it.
    Begin,
    /// This job goes on, or ended for good.
    Keep(Box<SyncJobEntry>),
    /// What this one has left is tried again.
    Again(Box<SyncJobEntry>),
}

impl Core {
    /// The job of a run, begun where it is not in progress; its id.
    ///
    /// # Errors
    /// As [`Core::start_sync`].
    pub(in crate::core) async fn run_sync(&self, permit: &Permit<Manage>, run: JobRunEntry, given: GivenSync) -> Result<Uuid, CoreError> {
        let id = Uuid::new_v4();
        let plan = |view: &View| {
            let only = match next(view.sync_jobs()?, run) {
                Next::Begin => None,
                Next::Keep(job) => return Ok(Plan { changes: Vec::new(), answer: *job }),
                Next::Again(job) => Some(job.again),
            };
            added(view, SyncJobEntry { only, run: Some(run), ..new(view, id, &given)? })
        };
        let (job, _) = self.writer.change(permit.trail(), plan).await?;
        self.syncing.nudge();
        Ok(job.id)
    }
}

fn next(jobs: Vec<SyncJobEntry>, run: JobRunEntry) -> Next {
    let last = jobs.into_iter().filter(|job| job.run == Some(run)).max_by_key(|job| job.stamps.created_ns);
    let Some(job) = last.map(Box::new) else { return Next::Begin };
    match job.status {
        SyncStatus::Failed if !job.abort && !job.again.is_empty() => Next::Again(job),
        SyncStatus::InProgress | SyncStatus::Completed | SyncStatus::Failed => Next::Keep(job),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::synchronization::tests::job;

    const RUN: JobRunEntry = JobRunEntry { job: Uuid::from_u128(1), due_ns: 7 };

    fn made(created_ns: u64, status: SyncStatus, again: &[&str]) -> SyncJobEntry {
        let again = again.iter().map(ToString::to_string).collect();
        let stamps = crate::store::entry::Stamps::new(created_ns);
        SyncJobEntry { status, again, run: Some(RUN), stamps, ..job(&[]) }
    }

    #[test]
    fn a_run_goes_on_with_its_job_and_tries_again_only_what_may_pass_and_nothing_that_was_broken_off() {
        let failed = made(1, SyncStatus::Failed, &["1/a"]);
        let others =
            [SyncJobEntry { run: None, ..failed.clone() }, SyncJobEntry { run: Some(JobRunEntry { due_ns: 8, ..RUN }), ..failed.clone() }];
        assert_eq!(next(others.to_vec(), RUN), Next::Begin);
        for kept in [
            made(1, SyncStatus::InProgress, &[]),
            made(1, SyncStatus::Completed, &[]),
            made(1, SyncStatus::Failed, &[]),
            SyncJobEntry { abort: true, ..failed.clone() },
        ] {
            assert_eq!(next(others.iter().cloned().chain([kept.clone()]).collect(), RUN), Next::Keep(Box::new(kept)));
        }
        assert_eq!(next(vec![failed.clone()], RUN), Next::Again(Box::new(failed.clone())));
        let later = made(2, SyncStatus::Completed, &[]);
        assert_eq!(next(vec![later.clone(), failed], RUN), Next::Keep(Box::new(later)), "the last one counts");
    }
}
