//! Job configurations, and what runs them ([`Runner`]).
//!
//! Always holds: a job's schedule was read by what runs it; a backup job is taken only where there is somewhere to put its backups; a job
//! that is to rotate something stays.

mod backups;
mod due;
mod folder;
mod params;
mod run;
mod schedule;
mod work;

use std::collections::BTreeMap;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use self::schedule::Schedule;
pub use self::{
    folder::{BackupFault, BackupPlace},
    params::{GivenBackup, GivenKeyRotation, GivenParams, GivenSynchronization, Operation},
    run::Runner,
};
use super::{Core, CoreError, aws_names, write::Plan};
use crate::{
    access::{Manage, Permit, Read, Right},
    clock::now_ns,
    store::{
        View,
        entry::{AwsKeyEntry, Entry, EntryChange, EntryName, JobConfigEntry, JobParams, JobRanEntry, Stamps},
    },
};

/// What a client says of a job. What is absent stays as it is; of a new one, it gets its default.
#[derive(Clone, Debug, Default)]
pub struct GivenJob {
    /// Unique, 1–256 characters.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Never changes.
    pub operation: Option<String>,
    /// Five fields of cron, in UTC.
    pub run_at: Option<String>,
    /// Where it runs; `any`.
    pub run_on: Option<String>,
    /// It does not run.
    pub disabled: Option<bool>,
    /// RFC 3339; [`UNSET`]: none.
    pub start_date: Option<String>,
    /// RFC 3339; [`UNSET`]: none.
    pub end_date: Option<String>,
    /// What it does.
    pub params: GivenParams,
}

impl Core {
    /// Keeps a new job.
    ///
    /// # Errors
    /// [`CoreError::Invalid`]; [`CoreError::NotFound`] for a KMS container; [`CoreError::Exists`] for the name.
    pub async fn create_job_config(&self, permit: &Permit<Manage>, given: GivenJob) -> Result<JobConfigEntry, CoreError> {
        let id = Uuid::new_v4();
        let plan = |view: &View| {
            let operation = Operation::of(given.operation.as_deref().ok_or_else(|| missing("operation"))?)?;
            let name = given.name.clone().ok_or_else(|| missing("name"))?;
            let run_at = given.run_at.clone().ok_or_else(|| missing("run_at"))?;
            let blank = JobConfigEntry {
                id,
                name,
                description: String::new(),
                run_at,
                run_on: ANYWHERE.into(),
                disabled: false,
                start_date: None,
                end_date: None,
                params: params::new(view, operation, &given.params)?,
                stamps: Stamps::new(now_ns()),
            };
            self.has_a_place(&blank)?;
            keep(view, changed(blank, &given)?)
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// All jobs.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn job_configs(&self, _permit: &Permit<Read>) -> Result<Vec<JobConfigEntry>, CoreError> {
        Ok(self.view().await?.job_configs()?)
    }

    /// A job by its id or name.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn job_config(&self, _permit: &Permit<Read>, wanted: &str) -> Result<JobConfigEntry, CoreError> {
        find(&self.view().await?, wanted)
    }

    /// Changes what is given of a job.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::Invalid`], also for another operation; [`CoreError::Exists`] for the name.
    pub async fn change_job_config(&self, permit: &Permit<Manage>, wanted: &str, given: GivenJob) -> Result<JobConfigEntry, CoreError> {
        let plan = |view: &View| {
            let old = find(view, wanted)?;
            let operation = Operation::from(&old.params);
            if given.operation.as_deref().is_some_and(|other| other != operation.as_str()) {
                return Err(CoreError::invalid("operation", "can't be changed"));
            }
            let params = params::changed(view, old.params.clone(), &given.params)?;
            let stamps = old.stamps.touched(now_ns());
            keep(view, changed(JobConfigEntry { params, stamps, ..old }, &given)?)
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// How jobs last ended, by their ids.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn last_runs<R: Right>(&self, _permit: &Permit<R>) -> Result<BTreeMap<Uuid, JobRanEntry>, CoreError> {
        Ok(self.view().await?.jobs_ran()?.into_iter().map(|ran| (ran.job, ran)).collect())
    }

    /// Deletes a job. Backups that it made stay.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] while it is to rotate something.
    pub async fn delete_job_config(&self, permit: &Permit<Manage>, wanted: &str) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let entry = find(view, wanted)?;
            let mut changes = unlabelled(view, entry.id)?;
            changes.push(EntryChange::Delete(EntryName::JobConfig(entry.id)));
            Ok(Plan { changes, answer: entry.id })
        };
        let (id, _) = self.writer.change(permit.trail(), plan).await?;
        self.store.forget_notes(vec![EntryName::JobRan(id)])?;
        Ok(())
    }

    fn has_a_place(&self, job: &JobConfigEntry) -> Result<(), CoreError> {
        match &job.params {
            JobParams::DatabaseBackup(_) if self.backup_place.is_none() => Err(CoreError::invalid(
                "operation",
                "database_backup needs backup_dir and backup_passphrase_file in the control plane's settings",
            )),
            JobParams::DatabaseBackup(_) | JobParams::XksCredentialRotation | JobParams::KeyRotation(_) | JobParams::Synchronization(_) => {
                Ok(())
            }
        }
    }
}

/// A job by its id or name.
pub(super) fn find(view: &View, wanted: &str) -> Result<JobConfigEntry, CoreError> {
    if let Some(found) = Uuid::try_parse(wanted).ok().map(|id| view.job_config(id)).transpose()?.flatten() {
        return Ok(found);
    }
    view.job_configs()?.into_iter().find(|entry| entry.name == wanted).ok_or(CoreError::NotFound("job configuration"))
}

fn keep(view: &View, entry: JobConfigEntry) -> Result<Plan<JobConfigEntry>, CoreError> {
    if view.job_configs()?.iter().any(|other| other.id != entry.id && other.name == entry.name) {
        return Err(CoreError::Exists { what: "job configuration", name: entry.name });
    }
    Ok(Plan { changes: vec![EntryChange::put(Entry::JobConfig(entry.clone()))], answer: entry })
}

/// Takes a job's label off keys that are about to go, so that these don't hold the job. Refuses where others carry it.
fn unlabelled(view: &View, job: Uuid) -> Result<Vec<EntryChange>, CoreError> {
    if let Some(store) = view.aws_key_stores()?.iter().find(|store| store.rotation_job == Some(job)) {
        return Err(CoreError::State(format!("the job rotates the credential of the key store {}; disable that first", store.name)));
    }
    let keys: Vec<_> = view.aws_keys()?.into_iter().filter(|key| key.rotation_job.as_ref().is_some_and(|label| label.job == job)).collect();
    if let Some(key) = keys.iter().find(|key| work::is_there(key)) {
        return Err(CoreError::State(format!("the job rotates the key {}; disable that first", work::name(key))));
    }
    let unlabelled = |key: AwsKeyEntry| AwsKeyEntry { rotation_job: None, stamps: key.stamps.touched(now_ns()), ..key };
    Ok(keys.into_iter().map(|key| EntryChange::put(Entry::AwsKey(Box::new(unlabelled(key))))).collect())
}

/// The job with what is given put in, but for what it does.
fn changed(old: JobConfigEntry, given: &GivenJob) -> Result<JobConfigEntry, CoreError> {
    let entry = JobConfigEntry {
        name: given.name.clone().unwrap_or(old.name),
        description: given.description.clone().unwrap_or(old.description),
        run_at: given.run_at.clone().unwrap_or(old.run_at),
        run_on: given.run_on.clone().unwrap_or(old.run_on),
        disabled: given.disabled.unwrap_or(old.disabled),
        start_date: date("start_date", given.start_date.as_deref(), old.start_date)?,
        end_date: date("end_date", given.end_date.as_deref(), old.end_date)?,
        ..old
    };
    aws_names::name("name", &entry.name)?;
    aws_names::name("run_on", &entry.run_on)?;
    Schedule::parse(&entry.run_at, OffsetDateTime::now_utc()).map_err(|detail| CoreError::Invalid { field: "run_at", detail })?;
    let (start, end) = (moment(entry.start_date.as_deref()), moment(entry.end_date.as_deref()));
    if start.zip(end).is_some_and(|(start, end)| end < start) {
        return Err(CoreError::invalid("end_date", "must not be before start_date"));
    }
    Ok(entry)
}

/// A date is kept as it was sent.
fn date(field: &'static str, given: Option<&str>, old: Option<String>) -> Result<Option<String>, CoreError> {
    match given {
        None => Ok(old),
        Some(UNSET) => Ok(None),
        Some(text) if moment(Some(text)).is_some() => Ok(Some(text.into())),
        Some(_) => Err(CoreError::invalid(field, "must be a date and time as in RFC 3339, such as 2026-01-31T09:00:00Z")),
    }
}

fn moment(text: Option<&str>) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text?, &Rfc3339).ok()
}

fn nanoseconds(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos()).unwrap_or(0)
}

fn missing(field: &'static str) -> CoreError {
    CoreError::invalid(field, "is missing")
}

/// What clients send for a date that is not set.
pub const UNSET: &str = "0001-01-01T00:00:00Z";
/// Where a job runs by default.
const ANYWHERE: &str = "any";
