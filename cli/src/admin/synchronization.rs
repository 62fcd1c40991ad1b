//! `holdfast sync`: reads what there is in AWS.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{ArgGroup, Args, Subcommand};
use holdfast_proto::admin::{
    CancelSynchronizationRequest, GetSynchronizationRequest, ListSynchronizationsRequest, StartSynchronizationRequest, SynchronizationJob,
};

use super::{
    Admin, At, Out,
    shown::{moment, yes_or_no},
    whole,
};
use crate::failure::{Failure, Kind};

/// Synchronisation: reads the custom key stores and keys that there are in AWS KMS
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast sync start --all --wait")]
pub(crate) struct SyncArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Start(StartArgs),
    /// Lists synchronisation jobs
    #[command(after_help = "Example: holdfast sync list --json")]
    List,
    /// Shows how far a job is
    #[command(after_help = "Example: holdfast sync show 0b6c1f0e-50a1-4b7e-9c1d-7f7f9a1f3e55")]
    Show(Named),
    /// Breaks a job off; what it has read stays
    #[command(after_help = "Example: holdfast sync cancel 0b6c1f0e-50a1-4b7e-9c1d-7f7f9a1f3e55")]
    Cancel(Named),
}

/// Begins to read what there is in AWS KMS
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("where").required(true).args(["kms", "all"]))]
#[command(after_help = "\
Examples:
  holdfast sync start --all --wait
  holdfast sync start --kms main --region eu-west-1")]
struct StartArgs {
    /// A KMS container, by id or name; repeatable
    #[arg(long, value_name = "CONTAINER")]
    kms: Vec<String>,
    /// Only this region; repeatable [default: all of each container's]
    #[arg(long, conflicts_with = "all")]
    region: Vec<String>,
    /// All KMS containers and their regions
    #[arg(long)]
    all: bool,
    /// End only when the job has ended; fails where it does
    #[arg(long)]
    wait: bool,
    /// How long to wait for that
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, requires = "wait")]
    timeout: u64,
}

#[derive(Args, Debug)]
struct Named {
    /// The job's id
    job: String,
}

impl SyncArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| match &self.verb {
            Verb::Start(args) => args.run(admin, out).await,
            Verb::List => list(admin, out).await,
            Verb::Show(named) => show(out, &find(admin, &named.job).await?),
            Verb::Cancel(named) => {
                let request = CancelSynchronizationRequest { id: named.job.clone() };
                show(out, &whole(admin.synchronization.cancel_synchronization(request).await?.into_inner().job, "job")?)
            }
        })
    }
}

impl StartArgs {
    async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = StartSynchronizationRequest { kms: self.kms.clone(), regions: self.region.clone(), synchronize_all: self.all };
        let mut job = whole(admin.synchronization.start_synchronization(request).await?.into_inner().job, "job")?;
        let end = Instant::now() + Duration::from_secs(self.timeout);
        while self.wait && job.status == IN_PROGRESS {
            if Instant::now() >= end {
                return Err(Failure::of(Kind::Unreachable, format!("the job {} still runs after {} s", job.id, self.timeout)));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            job = find(admin, &job.id).await?;
        }
        show(out, &job)?;
        if self.wait && job.status == FAILED {
            return Err(Failure::new(format!("the job {} has failed: {}", job.id, detail(&job))));
        }
        Ok(())
    }
}

async fn find(admin: &mut Admin, id: &str) -> Result<SynchronizationJob, Failure> {
    let request = GetSynchronizationRequest { id: id.to_owned() };
    whole(admin.synchronization.get_synchronization(request).await?.into_inner().job, "job")
}

async fn list(admin: &mut Admin, out: Out) -> Result<(), Failure> {
    let all = admin.synchronization.list_synchronizations(ListSynchronizationsRequest {}).await?.into_inner().jobs;
    out.list(&all, ["BEGUN", "STATUS", "BROKEN OFF", "ID"], |job| {
        [moment(job.created_ms), job.status.clone(), yes_or_no(job.abort), job.id.clone()]
    })
}

fn show(out: Out, job: &SynchronizationJob) -> Result<(), Failure> {
    out.one(
        job,
        [
            ("id", job.id.clone()),
            ("status", job.status.clone()),
            ("detail", detail(job)),
            ("broken off", yes_or_no(job.abort)),
            ("begun", moment(job.created_ms)),
            ("updated", moment(job.updated_ms)),
        ],
    )
}

/// Each region, and how it stands there.
fn detail(job: &SynchronizationJob) -> String {
    job.detail.iter().map(|region| format!("{}: {}", region.place, region.status)).collect::<Vec<_>>().join("; ")
}

/// As the API calls them.
const IN_PROGRESS: &str = "in-progress";
const FAILED: &str = "failed";
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
