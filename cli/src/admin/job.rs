//! `holdfast job`: what runs when.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use holdfast_proto::admin::{
    BackupParams, CreateJobRequest, DeleteJobRequest, GetJobRequest, Job, KeyRotationParams, ListJobsRequest, SynchronizationParams,
    UpdateJobRequest,
};
use serde_json::json;

use super::{
    Admin, At, Out,
    shown::{moment, moment_or, yes_or_no},
    whole,
};
use crate::failure::Failure;

/// Jobs that run by themselves: backups, rotation of credentials and keys in AWS, synchronisation with it
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast job list")]
pub(crate) struct JobArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Lists jobs
    #[command(after_help = "Example: holdfast job list --json")]
    List,
    /// Shows a job
    #[command(after_help = "Example: holdfast job show nightly")]
    Show(Named),
    /// Keeps a job. Those that rotate do so with what they are enabled for: `holdfast keystore enable-rotation`, `holdfast aws-key enable-rotation`
    #[command(after_help = "\
Examples:
  holdfast job create nightly --operation synchronization --run-at '0 2 * * *' --all
  holdfast job create monthly --operation credential-rotation --run-at '0 3 1 * *'
  holdfast job create weekly --operation backup --run-at '0 4 * * sun' --keep 8")]
    Create {
        /// Its name
        name: String,
        /// What it does
        #[arg(long, value_enum)]
        operation: Operation,
        /// Minute, hour, day of month, month, day of week, in UTC
        #[arg(long, value_name = "CRON")]
        run_at: String,
        /// Does not run until it is enabled
        #[arg(long)]
        disabled: bool,
        #[command(flatten)]
        given: Given,
    },
    /// Changes what is given and leaves the rest
    #[command(after_help = "Example: holdfast job update nightly --run-at '30 2 * * *'")]
    Update {
        /// The job, by id or name
        job: String,
        /// A new name
        #[arg(long)]
        name: Option<String>,
        /// Minute, hour, day of month, month, day of week, in UTC
        #[arg(long, value_name = "CRON")]
        run_at: Option<String>,
        /// Whether it runs
        #[arg(long, value_name = "true|false")]
        enabled: Option<bool>,
        #[command(flatten)]
        given: Given,
    },
    /// Deletes a job; backups that it made stay
    #[command(after_help = "Example: holdfast job delete nightly")]
    Delete(Named),
}

#[derive(Args, Debug)]
struct Named {
    /// The job, by id or name
    job: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Operation {
    /// Rotates the credentials of linked key stores that are enabled for it
    CredentialRotation,
    /// Rotates keys in AWS that are enabled for it
    KeyRotation,
    /// Reads what there is in AWS
    Synchronization,
    /// Writes a backup of the control plane
    Backup,
}

#[derive(Args, Debug)]
struct Given {
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// It does not run before, as 2027-01-31T09:00:00Z
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// It does not run after
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// Synchronisation: a KMS container, by id or name; repeatable
    #[arg(long, value_name = "CONTAINER", conflicts_with = "all")]
    kms: Vec<String>,
    /// Synchronisation: all KMS containers
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    rotation: Rotation,
    /// Backup: how many of this job's are kept; 0: all
    #[arg(long, value_name = "N")]
    keep: Option<u32>,
}

/// Which keys are rotated, and how.
#[derive(Args, Debug)]
struct Rotation {
    /// Key rotation: new material expires after days or hours, as 44d or 22h
    #[arg(long, value_name = "PERIOD")]
    expiration: Option<String>,
    /// Key rotation: only keys that expire within days or hours
    #[arg(long, value_name = "PERIOD")]
    expire_in: Option<String>,
    /// Key rotation: only keys that were not rotated for days or hours
    #[arg(long, value_name = "PERIOD")]
    rotation_after: Option<String>,
    /// Key rotation: the replaced key keeps an alias
    #[arg(long, value_name = "true|false")]
    retain_alias: Option<bool>,
    /// Key rotation: the key stays and gets new material
    #[arg(long, value_name = "true|false")]
    rotate_material: Option<bool>,
}

impl Operation {
    /// As the API calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::CredentialRotation => "cckm_xks_credential_rotation",
            Self::KeyRotation => "cckm_key_rotation",
            Self::Synchronization => "cckm_synchronization",
            Self::Backup => "database_backup",
        }
    }
}

impl Given {
    fn synchronization(&self) -> Option<SynchronizationParams> {
        let is_given = self.all || !self.kms.is_empty();
        is_given.then(|| SynchronizationParams { kms: self.kms.clone(), synchronize_all: self.all })
    }

    fn backup(&self) -> Option<BackupParams> {
        self.keep.map(|retention_count| BackupParams { retention_count, ..BackupParams::default() })
    }
}

impl Rotation {
    fn params(&self) -> Option<KeyRotationParams> {
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        let params = KeyRotationParams {
            expiration: text(&self.expiration),
            expire_in: text(&self.expire_in),
            rotation_after: text(&self.rotation_after),
            retain_alias: self.retain_alias,
            rotate_material: self.rotate_material,
        };
        Some(params).filter(|params| *params != KeyRotationParams::default())
    }
}

impl JobArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        self.at.run(&async |admin, out| match &self.verb {
            Verb::List => list(admin, out).await,
            Verb::Show(named) => show(out, admin.jobs.get_job(GetJobRequest { id: named.job.clone() }).await?.into_inner().job),
            Verb::Create { name, operation, run_at, disabled, given } => {
                let request = CreateJobRequest {
                    name: name.clone(),
                    description: text(&given.description),
                    operation: operation.name().to_owned(),
                    run_at: run_at.clone(),
                    disabled: *disabled,
                    start_date: text(&given.start),
                    end_date: text(&given.end),
                    key_rotation: given.rotation.params(),
                    synchronization: given.synchronization(),
                    backup: given.backup(),
                };
                show(out, admin.jobs.create_job(request).await?.into_inner().job)
            }
            Verb::Update { job, name, run_at, enabled, given } => {
                let request = UpdateJobRequest {
                    id: job.clone(),
                    name: text(name),
                    description: text(&given.description),
                    run_at: text(run_at),
                    disabled: enabled.map(|enabled| !enabled),
                    start_date: text(&given.start),
                    end_date: text(&given.end),
                    key_rotation: given.rotation.params(),
                    synchronization: given.synchronization(),
                    backup: given.backup(),
                };
                show(out, admin.jobs.update_job(request).await?.into_inner().job)
            }
            Verb::Delete(named) => {
                admin.jobs.delete_job(DeleteJobRequest { id: named.job.clone() }).await?;
                out.done(&json!({}), &format!("{} is deleted", named.job))
            }
        })
    }
}

async fn list(admin: &mut Admin, out: Out) -> Result<(), Failure> {
    let all = admin.jobs.list_jobs(ListJobsRequest {}).await?.into_inner().jobs;
    out.list(&all, ["NAME", "OPERATION", "RUNS AT", "ENABLED", "LAST RUN", "OUTCOME", "ID"], |job| {
        let (ran, outcome) = last_run(job);
        [job.name.clone(), job.operation.clone(), job.run_at.clone(), yes_or_no(!job.disabled), ran, outcome.to_owned(), job.id.clone()]
    })
}

/// When a job last ran, and how that ended.
fn last_run(job: &Job) -> (String, &'static str) {
    match &job.last_run {
        None => ("never".to_owned(), ""),
        Some(last) => (moment_or(last.ended_ms, ""), if last.failure.is_empty() { "ok" } else { "failed" }),
    }
}

fn show(out: Out, job: Option<Job>) -> Result<(), Failure> {
    let job = whole(job, "job")?;
    let rotation = job.key_rotation.clone().unwrap_or_default();
    let last = job.last_run.clone().unwrap_or_default();
    let places = job.synchronization.as_ref().map(|places| if places.synchronize_all { "all".to_owned() } else { places.kms.join(" ") });
    out.one(
        &job,
        [
            ("name", job.name.clone()),
            ("id", job.id.clone()),
            ("operation", job.operation.clone()),
            ("runs at", job.run_at.clone()),
            ("enabled", yes_or_no(!job.disabled)),
            ("description", job.description.clone()),
            ("starts", job.start_date.clone()),
            ("ends", job.end_date.clone()),
            ("KMS containers", places.unwrap_or_default()),
            ("expiration", rotation.expiration),
            ("expiring in", rotation.expire_in),
            ("not rotated for", rotation.rotation_after),
            ("retains alias", rotation.retain_alias.map(yes_or_no).unwrap_or_default()),
            ("new material", rotation.rotate_material.map(yes_or_no).unwrap_or_default()),
            ("keeps", job.backup.as_ref().map(|backup| backup.retention_count.to_string()).unwrap_or_default()),
            ("last run", moment_or(last.ended_ms, "")),
            ("it failed", last.failure.clone()),
            ("is tried again", if last.failure.is_empty() { String::new() } else { yes_or_no(!last.is_final) }),
            ("created", moment(job.created_ms)),
            ("updated", moment_or(job.updated_ms, "")),
        ],
    )
}
