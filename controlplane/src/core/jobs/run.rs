//! Runs jobs when they are due.
//!
//! Always holds: what is wanted and what was done is read afresh each time; a change of a job is only a nudge to look. Only one control
//! plane runs on a store, and one run of a job goes on at a time, so nothing is run twice; jobs don't wait for each other. Each run's end
//! is noted, in the audit file, and counted; one that failed is in the log as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{sync::watch, task::JoinSet};
use uuid::Uuid;

use super::{
    due::{Done, Timed, due},
    moment, nanoseconds,
    params::Operation,
    schedule::Schedule,
    work::RunFault,
};
use crate::{
    access::Who,
    audit::{Audit, Record, Via},
    clock::now_ns,
    core::{Core, CoreError},
    store::entry::{Entry, EntryName, JobConfigEntry, JobRanEntry},
};

/// Runs what is due.
pub struct Runner {
    pub(super) core: Arc<Core>,
    audit: Audit,
    /// When a run failed last, or was begun.
    failed: Mutex<BTreeMap<Uuid, OffsetDateTime>>,
    /// Jobs that run.
    running: watch::Sender<BTreeSet<Uuid>>,
    /// Held while it is found out what to run.
    turn: tokio::sync::Mutex<()>,
}

/// A job that runs, until this is dropped.
struct Running {
    runner: Arc<Runner>,
    job: JobConfigEntry,
    /// The time for which it runs.
    at: OffsetDateTime,
}

impl Runner {
    /// Runs jobs of `core`'s store; each run is in `audit`.
    #[must_use]
    pub fn new(core: Arc<Core>, audit: Audit) -> Self {
        let (failed, running, turn) = (Mutex::default(), watch::Sender::default(), tokio::sync::Mutex::default());
        Self { core, audit, failed, running, turn }
    }

    /// Runs what is due, when it is, for ever.
    pub(crate) async fn keep_running(self: Arc<Self>) {
        let mut nudge = self.core.store.head().watch();
        let mut runs = JoinSet::new();
        loop {
            let seen = *nudge.borrow_and_update();
            let next = self.begin_due(OffsetDateTime::now_utc(), &mut runs).await.unwrap_or_else(|error| {
                tracing::warn!(error = &error as &dyn Error, "which jobs are due was not found out; tried again later");
                None
            });
            let wait = next.and_then(|next| Duration::try_from(next - OffsetDateTime::now_utc()).ok());
            // The clock of the host may be set meanwhile.
            let until = tokio::time::Instant::now() + wait.map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT));
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => break,
                    // One that failed is due again.
                    Some(ended) = runs.join_next() => {
                        if let Err(panic) = ended {
                            tracing::error!(error = &panic as &dyn Error, "a job broke down; tried again later");
                        }
                        break;
                    }
                    changed = nudge.changed() => {
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
        }
    }

    /// Runs what is due at `now`, to its end.
    ///
    /// # Errors
    /// [`CoreError::Read`]. A job that fails is logged, and tried again later.
    pub async fn run_due(self: &Arc<Self>, now: OffsetDateTime) -> Result<(), CoreError> {
        let mut runs = JoinSet::new();
        self.begin_due(now, &mut runs).await?;
        while runs.join_next().await.is_some() {}
        // Some may have been begun by whoever looks all the time.
        _ = self.running.subscribe().wait_for(BTreeSet::is_empty).await;
        Ok(())
    }

    /// Begins what is due at `now`, and tells when to look again.
    async fn begin_due(self: &Arc<Self>, now: OffsetDateTime, runs: &mut JoinSet<()>) -> Result<Option<OffsetDateTime>, CoreError> {
        let _turn = self.turn.lock().await;
        // Read first: the end of a run is noted before it is no longer among these.
        let running = self.running.borrow().clone();
        let (jobs, ran) = {
            let view = self.core.view().await?;
            (view.job_configs()?, view.jobs_ran()?)
        };
        let wanted: Vec<_> = jobs.into_iter().filter_map(|job| timed(&job, now).zip(Some(job))).collect();
        let times: Vec<_> = wanted.iter().map(|(times, _)| times.clone()).collect();
        let done = self.done(&wanted, &ran).await;
        let due = due(&times, &done, now);
        for (id, at) in due.jobs {
            let Some((_, job)) = wanted.iter().find(|(_, job)| job.id == id && !running.contains(&id)) else { continue };
            self.running.send_modify(|running| _ = running.insert(id));
            self.failed().insert(id, now);
            runs.spawn(Running { runner: Arc::clone(self), job: job.clone(), at }.run());
        }
        Ok(due.next)
    }

    /// What was done: backups as their folder tells, the rest as was noted.
    async fn done(&self, wanted: &[(Timed, JobConfigEntry)], ran: &[JobRanEntry]) -> Done {
        let mut done = Done { ran: BTreeMap::new(), failed: self.failed().clone() };
        for ran in ran {
            let is_over = ran.failure.is_none() || ran.is_final;
            match (is_over, time(ran.due_ns), time(ran.ended_ns)) {
                (true, Some(due), _) => _ = done.ran.insert(ran.job, due),
                // Of before a restart.
                (false, _, Some(ended)) => _ = done.failed.entry(ran.job).or_insert(ended),
                (true, None, _) | (false, _, None) => {}
            }
        }
        let backups: Vec<_> = wanted.iter().filter(|(_, job)| Operation::from(&job.params) == Operation::DatabaseBackup).collect();
        if backups.is_empty() {
            return done;
        }
        match self.backups_made().await {
            Ok(kept) => backups.into_iter().for_each(|(_, job)| match kept.get(&job.id) {
                Some(at) => _ = done.ran.insert(job.id, *at),
                None => _ = done.ran.remove(&job.id),
            }),
            // A run that is due will fail of the same, and say so.
            Err(fault) => tracing::warn!(error = &fault as &dyn Error, "which backups there are is not known"),
        }
        done
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, BTreeMap<Uuid, OffsetDateTime>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    async fn run(self) {
        let Self { runner, job, at } = &self;
        let (who, id) = (Who::System("job").to_string(), job.id.to_string());
        let record = Record { who: &who, via: Via::System, peer: None, operation: "job_config.run", target: &id };
        let begun = runner.audit.begin(record, None);
        let result = runner.work(job, *at).await;
        let outcome = if result.is_ok() { "ok" } else { "failed" };
        begun.end(outcome);
        let operation = Operation::from(&job.params).as_str();
        metrics::counter!("holdfast_jobs_total", "operation" => operation, "outcome" => outcome).increment(1);
        match &result {
            Ok(()) => tracing::info!(job = %job.id, name = job.name, operation, "a job ran"),
            Err(fault) => {
                let again = fault.may_pass();
                tracing::error!(error = fault as &dyn Error, job = %job.id, name = job.name, operation, again, "a job failed");
            }
        }
        let is_final = result.as_ref().is_err_and(|fault| !fault.may_pass());
        let is_over = result.is_ok() || is_final;
        let failure = result.err().map(|fault| chain(&fault));
        let ran = JobRanEntry { job: job.id, due_ns: nanoseconds(*at), ended_ns: now_ns(), failure, is_final };
        match runner.core.store.note(vec![Entry::JobRan(ran)]) {
            Ok(()) if is_over => _ = runner.failed().remove(&job.id),
            Ok(()) => {}
            Err(error) => tracing::warn!(error = &error as &dyn Error, job = %job.id, "how a job ended was not noted"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.runner.running.send_modify(|running| _ = running.remove(&self.job.id));
    }
}

/// A job's times, if it is to run at all.
fn timed(job: &JobConfigEntry, now: OffsetDateTime) -> Option<Timed> {
    if job.disabled {
        return None;
    }
    Some(Timed {
        id: job.id,
        schedule: Schedule::parse(&job.run_at, now).ok()?,
        since: time(job.stamps.updated_ns)?,
        start: moment(job.start_date.as_deref()),
        end: moment(job.end_date.as_deref()),
    })
}

fn time(ns: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(ns.into()).ok()
}

/// A fault with its causes, for people.
fn chain(fault: &RunFault) -> String {
    let (mut text, mut cause) = (fault.to_string(), fault.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::{super::due::RETRY_AFTER, *};
    use crate::{
        aws::AwsSettings,
        core::synchronization::tests::job,
        publish::tests::estate::Estate,
        store::entry::{EntryChange, JobParams, JobRunEntry, Stamps, SyncJobEntry, SyncStatus, SynchronizationParams},
    };

    const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    #[tokio::test]
    async fn a_run_whose_synchronization_was_cancelled_is_over_and_not_tried_again() {
        let estate = Estate::new().await;
        let config = JobConfigEntry {
            id: Uuid::from_u128(1),
            name: "looks".into(),
            description: String::new(),
            run_at: "0 12 * * *".into(),
            run_on: "any".into(),
            disabled: false,
            start_date: None,
            end_date: None,
            params: JobParams::Synchronization(SynchronizationParams { kms: Vec::new(), synchronize_all: true }),
            stamps: Stamps::new(nanoseconds(NOON - time::Duration::DAY)),
        };
        let run = JobRunEntry { job: config.id, due_ns: nanoseconds(NOON) };
        // It broke off what may pass, too.
        let cancelled = SyncJobEntry { status: SyncStatus::Failed, abort: true, again: ["1/a".into()].into(), run: Some(run), ..job(&[]) };
        let entries = [Entry::JobConfig(config), Entry::SyncJob(cancelled)];
        estate.commit(entries.into_iter().map(EntryChange::put).collect()).await;
        let core = Arc::new(estate.core(AwsSettings::new()).await);
        let runner = Arc::new(Runner::new(Arc::clone(&core), Audit::unread()));
        let ran = async || core.view().await.unwrap().jobs_ran().unwrap();
        runner.run_due(NOON).await.unwrap();
        let first = ran().await;
        assert_eq!((first[0].failure.as_deref(), first[0].is_final), (Some("the synchronization was cancelled"), true));
        runner.run_due(NOON + RETRY_AFTER * 2).await.unwrap();
        assert_eq!(ran().await, first);
        // Of before a restart, too.
        let runner = Arc::new(Runner::new(Arc::clone(&core), Audit::unread()));
        runner.run_due(NOON + RETRY_AFTER * 2).await.unwrap();
        assert_eq!((ran().await, core.view().await.unwrap().sync_jobs().unwrap().len()), (first, 1));
    }
}
