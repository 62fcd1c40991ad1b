//! What jobs do: operations and their parameters.
//!
//! Always holds: a job has the parameters of its own operation and of no other; what a backup here can't do is refused, not ignored.

use super::missing;
use crate::{
    core::{CoreError, kms_containers},
    store::{
        View,
        entry::{BackupParams, JobParams, KeyRotationParams, SynchronizationParams},
    },
};

/// What a job does, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// See [`JobParams::XksCredentialRotation`].
    XksCredentialRotation,
    /// See [`JobParams::KeyRotation`].
    KeyRotation,
    /// See [`JobParams::Synchronization`].
    Synchronization,
    /// See [`JobParams::DatabaseBackup`].
    DatabaseBackup,
}

/// What a client says of what a job does: at most one of these, that of the job's operation.
#[derive(Clone, Debug, Default)]
pub struct GivenParams {
    /// The cloud whose key stores get new credentials.
    pub xks_credential_rotation: Option<Option<String>>,
    /// Which keys are rotated, and how.
    pub key_rotation: Option<GivenKeyRotation>,
    /// What is synchronized.
    pub synchronization: Option<GivenSynchronization>,
    /// How backups are made.
    pub database_backup: Option<GivenBackup>,
}

/// See [`KeyRotationParams`].
#[derive(Clone, Debug, Default)]
pub struct GivenKeyRotation {
    /// `aws`.
    pub cloud_name: Option<String>,
    /// Days (`44d`) or hours (`22h`).
    pub expiration: Option<String>,
    /// Days or hours.
    pub expire_in: Option<String>,
    /// Days or hours.
    pub rotation_after: Option<String>,
    /// The replaced key keeps its alias.
    pub retain_alias: Option<bool>,
    /// The key stays and gets new material.
    pub rotate_material: Option<bool>,
}

/// See [`SynchronizationParams`].
#[derive(Clone, Debug, Default)]
pub struct GivenSynchronization {
    /// `aws`.
    pub cloud_name: Option<String>,
    /// Names or ids of KMS containers.
    pub kms: Option<Vec<String>>,
    /// All of them.
    pub synchronize_all: Option<bool>,
}

/// See [`BackupParams`]. Most of what clients know is refused unless it is off.
#[derive(Clone, Debug, Default)]
pub struct GivenBackup {
    /// Free text.
    pub description: Option<String>,
    /// How many of this job's backups are kept; 0: all.
    pub retention_count: Option<u32>,
    /// A key of the client's own: refused.
    pub backup_key: Option<String>,
    /// `system`.
    pub scope: Option<String>,
    /// Where a copy would be sent.
    pub connection: Option<String>,
    /// Send a copy: refused.
    pub do_scp: bool,
    /// Restore only with the same HSM: refused.
    pub tied_to_hsm: bool,
    /// Only a part: refused.
    pub filtered: bool,
}

impl Operation {
    /// The API's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::XksCredentialRotation => "cckm_xks_credential_rotation",
            Self::KeyRotation => "cckm_key_rotation",
            Self::Synchronization => "cckm_synchronization",
            Self::DatabaseBackup => "database_backup",
        }
    }

    pub(super) fn of(word: &str) -> Result<Self, CoreError> {
        let known = || {
            let words = Self::ALL.map(Self::as_str).join(", ");
            CoreError::Invalid { field: "operation", detail: format!("must be one of {words}") }
        };
        Self::ALL.into_iter().find(|operation| operation.as_str() == word).ok_or_else(known)
    }

    /// What its parameters are called.
    const fn params(self) -> &'static str {
        match self {
            Self::XksCredentialRotation => "cckm_xks_credential_rotation_params",
            Self::KeyRotation => "cckm_key_rotation_params",
            Self::Synchronization => "cckm_synchronization_params",
            Self::DatabaseBackup => "database_backup_params",
        }
    }

    const ALL: [Self; 4] = [Self::XksCredentialRotation, Self::KeyRotation, Self::Synchronization, Self::DatabaseBackup];
}

impl From<&JobParams> for Operation {
    fn from(params: &JobParams) -> Self {
        match params {
            JobParams::XksCredentialRotation => Self::XksCredentialRotation,
            JobParams::KeyRotation(_) => Self::KeyRotation,
            JobParams::Synchronization(_) => Self::Synchronization,
            JobParams::DatabaseBackup(_) => Self::DatabaseBackup,
        }
    }
}

/// The parameters of a new job.
pub(super) fn new(view: &View, operation: Operation, given: &GivenParams) -> Result<JobParams, CoreError> {
    let blank = match operation {
        Operation::XksCredentialRotation => JobParams::XksCredentialRotation,
        Operation::KeyRotation => JobParams::KeyRotation(KeyRotationParams::default()),
        Operation::Synchronization => JobParams::Synchronization(SynchronizationParams::default()),
        Operation::DatabaseBackup => JobParams::DatabaseBackup(BackupParams::default()),
    };
    let made = changed(view, blank, given)?;
    match &made {
        JobParams::Synchronization(made) if made.kms.is_empty() && !made.synchronize_all => Err(missing("cckm_synchronization_params.kms")),
        JobParams::Synchronization(_) | JobParams::XksCredentialRotation | JobParams::KeyRotation(_) | JobParams::DatabaseBackup(_) => {
            Ok(made)
        }
    }
}

/// The parameters with what is given put in.
pub(super) fn changed(view: &View, old: JobParams, given: &GivenParams) -> Result<JobParams, CoreError> {
    only_of(Operation::from(&old), given)?;
    Ok(match old {
        JobParams::XksCredentialRotation => {
            aws("cckm_xks_credential_rotation_params.cloud_name", given.xks_credential_rotation.as_ref().and_then(Option::as_deref))?;
            JobParams::XksCredentialRotation
        }
        JobParams::KeyRotation(old) => {
            JobParams::KeyRotation(given.key_rotation.as_ref().map_or(Ok(old.clone()), |given| rotation(old, given))?)
        }
        JobParams::Synchronization(old) => {
            JobParams::Synchronization(given.synchronization.as_ref().map_or(Ok(old.clone()), |given| synchronization(view, old, given))?)
        }
        JobParams::DatabaseBackup(old) => {
            JobParams::DatabaseBackup(given.database_backup.as_ref().map_or(Ok(old.clone()), |given| backup(old, given))?)
        }
    })
}

fn only_of(operation: Operation, given: &GivenParams) -> Result<(), CoreError> {
    let present = [
        (Operation::XksCredentialRotation, given.xks_credential_rotation.is_some()),
        (Operation::KeyRotation, given.key_rotation.is_some()),
        (Operation::Synchronization, given.synchronization.is_some()),
        (Operation::DatabaseBackup, given.database_backup.is_some()),
    ];
    match present.into_iter().find(|(of, present)| *present && *of != operation) {
        Some((other, _)) => {
            let detail = format!("belongs to another operation than {}", operation.as_str());
            Err(CoreError::Invalid { field: other.params(), detail })
        }
        None => Ok(()),
    }
}

fn rotation(old: KeyRotationParams, given: &GivenKeyRotation) -> Result<KeyRotationParams, CoreError> {
    aws("cckm_key_rotation_params.cloud_name", given.cloud_name.as_deref())?;
    Ok(KeyRotationParams {
        expiration: period("cckm_key_rotation_params.expiration", given.expiration.as_ref(), old.expiration)?,
        expire_in: period("cckm_key_rotation_params.expire_in", given.expire_in.as_ref(), old.expire_in)?,
        rotation_after: period("cckm_key_rotation_params.rotation_after", given.rotation_after.as_ref(), old.rotation_after)?,
        retain_alias: given.retain_alias.unwrap_or(old.retain_alias),
        rotate_material: given.rotate_material.or(old.rotate_material),
    })
}

fn synchronization(view: &View, old: SynchronizationParams, given: &GivenSynchronization) -> Result<SynchronizationParams, CoreError> {
    aws("cckm_synchronization_params.cloud_name", given.cloud_name.as_deref())?;
    let synchronize_all = given.synchronize_all.unwrap_or(old.synchronize_all);
    let kms = match (&given.kms, synchronize_all) {
        (Some(kms), true) if !kms.is_empty() => {
            return Err(CoreError::invalid("cckm_synchronization_params.kms", "can't be given together with synchronize_all"));
        }
        (Some(_) | None, true) => Vec::new(),
        (Some(kms), false) => kms.clone(),
        (None, false) => old.kms,
    };
    kms.iter().try_for_each(|kms| kms_containers::find(view, kms).map(drop))?;
    if kms.is_empty() && !synchronize_all {
        return Err(missing("cckm_synchronization_params.kms"));
    }
    Ok(SynchronizationParams { kms, synchronize_all })
}

fn backup(old: BackupParams, given: &GivenBackup) -> Result<BackupParams, CoreError> {
    let refused = [
        (given.do_scp, "database_backup_params.do_scp", "backups are not sent anywhere: take them from backup_dir"),
        (given.tied_to_hsm, "database_backup_params.tiedToHSM", "backups are sealed under a passphrase, and tied to no HSM"),
        (
            given.backup_key.is_some(),
            "database_backup_params.backupKey",
            "backups are sealed under the passphrase in backup_passphrase_file",
        ),
        (given.filtered, "database_backup_params.filters", "a backup here always has everything"),
        (
            given.scope.as_deref().is_some_and(|scope| scope != SYSTEM),
            "database_backup_params.scope",
            "must be system: there is one domain",
        ),
        (given.connection.is_some(), "database_backup_params.connection", "backups are not sent anywhere: take them from backup_dir"),
    ];
    if let Some((_, field, detail)) = refused.into_iter().find(|(asked, ..)| *asked) {
        return Err(CoreError::invalid(field, detail));
    }
    Ok(BackupParams {
        description: given.description.clone().unwrap_or(old.description),
        retention_count: given.retention_count.unwrap_or(old.retention_count),
    })
}

fn aws(field: &'static str, cloud: Option<&str>) -> Result<(), CoreError> {
    match cloud {
        None | Some("aws") => Ok(()),
        Some(_) => Err(CoreError::invalid(field, "must be aws")),
    }
}

/// Days or hours.
fn period(field: &'static str, given: Option<&String>, old: Option<String>) -> Result<Option<String>, CoreError> {
    let Some(text) = given else { return Ok(old) };
    let number = text.strip_suffix(['d', 'h']).and_then(|number| number.parse::<u16>().ok());
    match number {
        Some(1..) => Ok(Some(text.clone())),
        Some(0) | None => Err(CoreError::invalid(field, "must be days, such as 44d, or hours, such as 22h")),
    }
}

/// The one scope of backups.
const SYSTEM: &str = "system";
