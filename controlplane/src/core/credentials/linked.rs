//! Credentials of linked key stores: AWS signs with one of them.
//!
//! Always holds: AWS is told of a credential only when every registered data plane that is not away has it on disk, so that no call of AWS
//! is refused by any of them; one that AWS does not take is withdrawn; the one that AWS signs with is not deleted.

use holdfast_proto::ids::{CredentialId, Revision, StoreId};
use uuid::Uuid;

use super::{CreatedCredential, NewCredential, RotatedCredential, addable, oldest, sealed};
use crate::{
    access::{Manage, Permit},
    aws::stores::ProxyForAws,
    clock::now_ns,
    core::{
        Core, CoreError,
        aws_key_stores::{self, begun, idle, put},
        jobs,
        key_stores::{self, Needs, Operation, allowed},
        write::Plan,
    },
    store::{
        View,
        entry::{AwsKeyStoreEntry, Entry, EntryChange, JobParams, KeyStoreStep, Stamps},
    },
};

impl Core {
    /// Rotates the credential of a linked key store, for a job.
    ///
    /// # Errors
    /// As [`Core::rotate_credential`]; [`CoreError::State`] for one that is not linked.
    pub(crate) async fn rotate_linked_credential(&self, permit: &Permit<Manage>, store: StoreId) -> Result<(), CoreError> {
        let _turn = self.stores_at_work.turn(store.0).await;
        aws_key_stores::found(&self.view().await?, store.0)?;
        self.rotate_in_aws(permit, store).await.map(drop)
    }

    /// Has a job rotate the credential of a linked key store from now on, instead of any other; the job by its id or name.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for a key store that is not linked; [`CoreError::Invalid`] for another kind of job.
    pub async fn enable_credential_rotation_job(&self, permit: &Permit<Manage>, store: Uuid, job: &str) -> Result<(), CoreError> {
        self.set_rotation_job(permit, store, Some(job)).await
    }

    /// Has no job rotate the credential of a linked key store any more.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for a key store that is not linked.
    pub async fn disable_credential_rotation_job(&self, permit: &Permit<Manage>, store: Uuid) -> Result<(), CoreError> {
        self.set_rotation_job(permit, store, None).await
    }

    /// Whoever calls this has the store's turn.
    pub(super) async fn rotate_in_aws(&self, permit: &Permit<Manage>, store: StoreId) -> Result<(RotatedCredential, Revision), CoreError> {
        let (access_key_id, secret) = NewCredential::draw()?;
        let stamps = Stamps::new(now_ns());
        let new = NewCredential { access_key_id: access_key_id.clone(), secret: &secret, version: 1, stamps };
        let credential = sealed(&self.seal, store, new)?;
        let plan = |view: &View| {
            let key_store = key_stores::found(view, store)?;
            addable(view, &key_store, &credential.access_key_id)?;
            let entry = aws_key_stores::found(view, store.0)?;
            idle(&entry)?;
            let aws_id = entry.custom_key_store_id.clone().ok_or_else(|| CoreError::State("AWS does not have the key store yet".into()))?;
            let mut credential = credential.clone();
            credential.version = key_store.credential_version + 1;
            let entry = begun(&entry, KeyStoreStep::RotateCredential(credential.id.0));
            Ok(Plan { changes: vec![EntryChange::put(Entry::Credential(credential)), put(entry.clone())], answer: (entry, aws_id) })
        };
        let ((entry, aws_id), revision) = self.writer.change(permit.trail(), plan).await?;
        let proxy = ProxyForAws { credential: Some((access_key_id, secret.clone())), ..ProxyForAws::default() };
        let revision = self.told_when_there(permit.trail(), (&entry, &aws_id), (proxy, Needs::Credential, revision)).await?;
        let view = self.view().await?;
        let key_store = key_stores::found(&view, store)?;
        let credential = view.credential(store, credential.id)?.ok_or(CoreError::NotFound("credential"))?;
        let live = view.credentials(store)?;
        let oldest = oldest(&live).map_or(credential.id, |oldest| oldest.id);
        Ok((RotatedCredential { key_store, created: CreatedCredential { credential, secret }, count: live.len(), oldest }, revision))
    }

    /// Waits until every registered data plane that is not away has `revision` on disk.
    pub(in crate::core) async fn on_all(&self, revision: Revision, what: &'static str) -> Result<(), CoreError> {
        let nodes = self.publisher.everywhere(revision, ON_DISK_WITHIN).await;
        if !nodes.is_empty() {
            return Err(CoreError::NotEverywhere { what, nodes });
        }
        if self.publisher.nodes().iter().all(|node| node.away) {
            return Err(CoreError::Unavailable("none is registered that is not away".into()));
        }
        Ok(())
    }

    async fn set_rotation_job(&self, permit: &Permit<Manage>, store: Uuid, job: Option<&str>) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let entry = aws_key_stores::found(view, store)?;
            allowed(Operation::SetRotationJob, key_stores::aws_standing(view, &entry)?)?;
            let rotation_job = job.map(|job| rotation_job(view, job)).transpose()?;
            if entry.rotation_job == rotation_job {
                return Ok(Plan { changes: Vec::new(), answer: () });
            }
            let stamps = entry.stamps.touched(now_ns());
            Ok(Plan { changes: vec![put(AwsKeyStoreEntry { rotation_job, stamps, ..entry })], answer: () })
        };
        self.writer.change(permit.trail(), plan).await?;
        Ok(())
    }
}

fn rotation_job(view: &View, wanted: &str) -> Result<Uuid, CoreError> {
    let job = jobs::find(view, wanted).map_err(|error| error.of_named(JOB, "there is no such job configuration"))?;
    match job.params {
        JobParams::XksCredentialRotation => Ok(job.id),
        JobParams::DatabaseBackup(_) | JobParams::KeyRotation(_) | JobParams::Synchronization(_) => {
            Err(CoreError::invalid(JOB, "must be a job of the operation cckm_xks_credential_rotation"))
        }
    }
}

/// Why this credential may not go.
pub(super) fn unused_by_aws(entry: Option<&AwsKeyStoreEntry>, store: StoreId, id: CredentialId) -> Result<(), CoreError> {
    if key_stores::is_used_by_aws(entry, store, id) {
        return Err(CoreError::State("AWS signs with this credential; rotate the credential first".into()));
    }
    Ok(())
}

const JOB: &str = "job_config_id";
/// Data planes that are up take a change over in tens of milliseconds, and a second where their disk is slow.
const ON_DISK_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
