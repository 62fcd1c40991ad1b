//! Carries out a load plan: prepares every worker, then starts the schedule, then gathers the findings.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::task::{JoinError, JoinSet, spawn_blocking};

use crate::plan::{LoadPlan, Stalled};
use crate::report::LoadReport;
use crate::schedule::Schedule;
use crate::stalls::Watch;
use crate::worker::Worker;

/// Runs a plan to its end on the calling Tokio runtime (which needs its time and I/O drivers).
///
/// Failing requests do not end the run: they are counted in the report. A lost connection is opened again.
///
/// # Errors
/// When the plan has no target or no connection, or a worker panicked.
pub async fn run(plan: LoadPlan) -> Result<LoadReport, LoadError> {
    if plan.targets.is_empty() || plan.connections == 0 {
        return Err(LoadError::NothingToDo);
    }
    let plan = Arc::new(plan);
    let watch = (plan.stalled == Stalled::Apart).then(Watch::start);
    let stalls = watch.as_ref().map(Watch::stalls);
    let findings = Arc::new(Findings(Mutex::new(LoadReport::new(stalls)?)));
    let mut preparing = JoinSet::new();
    for index in 0..plan.connections {
        let worker = Worker::new(index, Arc::clone(&plan), Arc::clone(&findings));
        preparing.spawn(worker.prepared());
    }
    let workers = preparing.join_all().await;

    let stop = plan.stop.child_token();
    // When this future is dropped, the pacer must not go on.
    let _guard = stop.clone().drop_guard();
    let schedule = Arc::new(Schedule::start(&plan, stop));
    let paced = Arc::clone(&schedule);
    let pacer = spawn_blocking(move || paced.pace());
    let mut running = JoinSet::new();
    for worker in workers {
        running.spawn(worker.work(Arc::clone(&schedule)));
    }
    while let Some(ended) = running.join_next().await {
        ended?;
    }
    pacer.await?;

    let over = Instant::now();
    let findings = Arc::into_inner(findings).ok_or(LoadError::NothingToDo)?;
    let mut report = findings.into_inner();
    report.elapsed = over.saturating_duration_since(schedule.counted_from());
    for slot in schedule.unsent() {
        report.unsent += 1;
        if slot.counts {
            let operation = plan.workload.pick(slot.number);
            report.record_latency(operation, over.saturating_duration_since(slot.due));
        }
    }
    Ok(report)
}

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No target, or no connection to one.
    #[error("a load run takes at least one target and one connection")]
    NothingToDo,
    /// A worker did not come to its end.
    #[error("a worker of the load run failed")]
    Worker(#[from] JoinError),
    /// No room for latencies.
    #[error("cannot make a histogram")]
    Histogram(#[from] hdrhistogram::CreationError),
}

/// The report while workers write to it. The lock is held for one count at a time.
#[derive(Debug)]
pub(crate) struct Findings(Mutex<LoadReport>);

impl Findings {
    pub(crate) fn lock(&self) -> MutexGuard<'_, LoadReport> {
        // A report is whole between any two counts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn into_inner(self) -> LoadReport {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
