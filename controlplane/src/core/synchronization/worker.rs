//! Works on synchronisation jobs.
//!
//! Always holds: what is to be done is read from the store, so that a job goes on after a restart with the regions that had not ended; a
//! job is worked on once at a time; a region that panics ends as failed.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    change,
    progress::{self, RegionFault, Withheld},
    targets::{self, Target},
};
use crate::{
    access::Trail,
    core::{Core, CoreError},
    store::entry::{SyncJobEntry, SyncStatus},
};

/// How a region ended.
type RegionEnd = Result<Withheld, RegionFault>;

/// Of a region of an account.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// What this process works on.
pub(in crate::core) struct Syncing {
    nudge: Notify,
    /// Jobs that are worked on, with what breaks them off.
    running: Mutex<HashMap<Uuid, CancellationToken>>,
    /// By account and region: held by who looks there.
    turns: Mutex<HashMap<(String, String), Turn>>,
    /// Held while AWS is asked for something, and not while a region waits for AWS.
    pub(super) calls: Semaphore,
}

/// One region for one job.
pub(super) struct Look {
    pub(super) job: Uuid,
    pub(super) target: Target,
    pub(super) cancelled: CancellationToken,
    /// Of this region alone.
    pub(super) trail: Trail,
}

/// A job that this process works on, until it is dropped.
struct Running {
    core: Arc<Core>,
    job: Uuid,
    cancelled: CancellationToken,
}

impl Syncing {
    /// There is a new job.
    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Breaks off the work on a job.
    pub(super) fn cancel(&self, job: Uuid) {
        if let Some(running) = self.running().get(&job) {
            running.cancel();
        }
    }

    /// What is held while a region is looked at.
    pub(super) fn turn(&self, target: &Target) -> Turn {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry((target.account.clone(), target.region.clone())).or_default())
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Syncing {
    fn default() -> Self {
        Self { nudge: Notify::new(), running: Mutex::default(), turns: Mutex::default(), calls: Semaphore::new(CALLS_AT_ONCE) }
    }
}

impl Core {
    /// Works on jobs that are in progress, those that a restart broke off first, for ever.
    pub(crate) async fn keep_synchronizing(self: Arc<Self>) {
        let mut jobs = JoinSet::new();
        loop {
            match self.sync_jobs_to_run().await {
                Ok(runs) => runs.into_iter().for_each(|run| drop(jobs.spawn(run.run()))),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no synchronization job was looked for; tried again later");
                }
            }
            tokio::select! {
                () = self.syncing.nudge.notified() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = reap(&mut jobs) => {}
            }
        }
    }

    async fn sync_jobs_to_run(self: &Arc<Self>) -> Result<Vec<Running>, CoreError> {
        let jobs = self.view().await?.sync_jobs()?;
        let mut running = self.syncing.running();
        let mut runs = Vec::new();
        for job in jobs.into_iter().filter(|job| job.status == SyncStatus::InProgress) {
            if let Entry::Vacant(free) = running.entry(job.id) {
                let cancelled = free.insert(CancellationToken::new()).clone();
                runs.push(Running { core: Arc::clone(self), job: job.id, cancelled });
            }
        }
        Ok(runs)
    }

    /// Keeps what a region's detail says now.
    pub(super) async fn tell_region(&self, look: &Look, text: String) -> Result<(), CoreError> {
        let told = |mut job: SyncJobEntry| {
            job.detail.insert(look.target.name(), text.clone());
            job
        };
        self.writer.change(&look.trail, |view| Ok(change(view, look.job, told)?)).await?;
        Ok(())
    }

    /// Keeps how a region ended.
    async fn region_ended(&self, job: Uuid, trail: &Trail, (region, result): (&str, &RegionEnd)) -> Result<(), CoreError> {
        let told = |mut job: SyncJobEntry| {
            job.detail.insert(region.into(), progress::ended(result));
            if result.as_ref().is_err_and(RegionFault::may_pass) {
                job.again.insert(region.into());
            }
            job
        };
        self.writer.change(trail, |view| Ok(change(view, job, told)?)).await?;
        Ok(())
    }
}

impl Running {
    async fn run(self) {
        if let Err(error) = self.to_its_end().await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, job = %self.job, "a synchronization job stopped; it goes on in a while");
        }
    }

    async fn to_its_end(&self) -> Result<(), CoreError> {
        let (core, trail) = (&self.core, Trail::system(REASON));
        let Some((job, targets)) = self.begin(&trail).await? else { return Ok(()) };
        // A job may have been broken off before it was taken up.
        if job.abort {
            self.cancelled.cancel();
        }
        let (mut regions, mut names) = (JoinSet::new(), HashMap::new());
        for target in targets.into_iter().filter(|target| !progress::has_ended(job.detail.get(&target.name()))) {
            let (name, cancelled) = (target.name(), self.cancelled.clone());
            let look = Look { job: self.job, target, cancelled, trail: Trail::system(REASON) };
            names.insert(regions.spawn(Arc::clone(core).look_at_region(look)).id(), name);
        }
        while let Some(ended) = regions.join_next_with_id().await {
            let (id, result) = ended.unwrap_or_else(|panic| (panic.id(), Err(RegionFault::Fault)));
            let Some(name) = names.get(&id) else { continue };
            match &result {
                Ok(_) => tracing::info!(job = %self.job, region = name, "a region is synchronized"),
                Err(fault) => tracing::warn!(job = %self.job, region = name, error = %fault, "a region is not synchronized"),
            }
            core.region_ended(self.job, &trail, (name, &result)).await?;
        }
        let (job, _) = core.writer.change(&trail, |view| Ok(change(view, self.job, progress::finished)?)).await?;
        let outcome = match job.map(|job| job.status) {
            Some(SyncStatus::Completed) => "ok",
            Some(SyncStatus::Failed | SyncStatus::InProgress) | None => "failed",
        };
        metrics::counter!("holdfast_synchronizations_total", "outcome" => outcome).increment(1);
        tracing::info!(job = %self.job, outcome, "a synchronization job ended");
        Ok(())
    }

    /// The job, with its targets in its detail; none where it is no more.
    async fn begin(&self, trail: &Trail) -> Result<Option<(SyncJobEntry, Vec<Target>)>, CoreError> {
        let plan = |view: &crate::store::View| {
            let Some(job) = view.sync_job(self.job)? else {
                return Ok(crate::core::write::Plan { changes: Vec::new(), answer: None });
            };
            let targets = targets::of(&job, view.kms_containers()?);
            let plan = change(view, self.job, |job| progress::begun(job, &targets))?;
            Ok(crate::core::write::Plan { changes: plan.changes, answer: plan.answer.map(|job| (job, targets)) })
        };
        Ok(self.core.writer.change(trail, plan).await?.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.core.syncing.running().remove(&self.job);
    }
}

/// Takes what ended off the set, for ever.
async fn reap(jobs: &mut JoinSet<()>) {
    while let Some(ended) = jobs.join_next().await {
        if let Err(panic) = ended {
            tracing::error!(error = &panic as &dyn std::error::Error, "a synchronization job broke down; it goes on in a while");
        }
    }
    std::future::pending::<()>().await;
}

const REASON: &str = "synchronization";
/// Of all jobs: a region that AWS throttles keeps no other from its turn.
pub(super) const CALLS_AT_ONCE: usize = 4;
/// How soon a job that could not be kept is taken up again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
