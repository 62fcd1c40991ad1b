//! What there is in AWS, and the jobs that look.

use uuid::Uuid;

use super::View;
use crate::store::{
    ReadError, Within,
    entry::{AwsKeyEntry, AwsKeyStoreEntry, EntryName, SyncJobEntry},
};

impl View {
    /// All custom key stores in AWS.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn aws_key_stores(&self) -> Result<Vec<AwsKeyStoreEntry>, ReadError> {
        self.all(Within::AwsKeyStores)
    }

    /// One of the custom key stores in AWS.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn aws_key_store(&self, id: Uuid) -> Result<Option<AwsKeyStoreEntry>, ReadError> {
        self.one(&EntryName::AwsKeyStore(id))
    }

    /// All keys in AWS.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn aws_keys(&self) -> Result<Vec<AwsKeyEntry>, ReadError> {
        self.all(Within::AwsKeys)
    }

    /// One of the keys in AWS.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn aws_key(&self, id: Uuid) -> Result<Option<AwsKeyEntry>, ReadError> {
        self.one(&EntryName::AwsKey(id))
    }

    /// All synchronisation jobs.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn sync_jobs(&self) -> Result<Vec<SyncJobEntry>, ReadError> {
        self.all(Within::SyncJobs)
    }

    /// One of the synchronisation jobs.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn sync_job(&self, id: Uuid) -> Result<Option<SyncJobEntry>, ReadError> {
        self.one(&EntryName::SyncJob(id))
    }
}
