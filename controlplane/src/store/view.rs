//! Typed reads of one revision of a store.

use std::sync::Arc;

use holdfast_proto::ids::{CredentialId, ExternalKeyId, KeyId, Revision, StoreId};
use tokio::sync::OwnedRwLockReadGuard;
use uuid::Uuid;

use super::{
    RawEntry, ReadError, Store, Within,
    entry::{
        ApiTokenEntry, AwsConnectionEntry, AwsKeyEntry, AwsKeyStoreEntry, CountEntry, CredentialEntry, CredentialUsedEntry, DemoEntry,
        Entry, EntryName, ExternalIdEntry, HsmConnectionEntry, HsmServerEntry, HyokKeyEntry, JobConfigEntry, JobRanEntry, KeyPlaceEntry,
        KeyStoreEntry, KmsContainerEntry, NodeEntry, NodeSeenEntry, PartitionEntry, Pick, PolicyTemplateEntry, SignInsEntry,
        SigningKeyEntry, SourceKeyEntry, SyncJobEntry, TokenUsedEntry, UserEntry, VirtualKeyEntry,
    },
};
use crate::names::{NodeName, UserName};

/// A store at one revision: nothing is committed while this lives, so keep it short. Reads may wait for the disk; read much of it off the
/// request path.
pub struct View {
    store: Arc<dyn Store>,
    revision: Revision,
    _held: OwnedRwLockReadGuard<()>,
}

impl View {
    /// Waits for a write that is under way, then holds the store as it stands.
    ///
    /// # Errors
    /// [`ReadError::Broken`] after a failed write.
    pub async fn of(store: &Arc<dyn Store>) -> Result<Self, ReadError> {
        let held = store.head().hold().await;
        store.head().sound()?;
        Ok(Self { revision: store.head().revision(), store: Arc::clone(store), _held: held })
    }

    /// What the reads are of; what a commit built on them expects.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Any entry.
    ///
    /// # Errors
    /// [`ReadError`], as for all reads here.
    pub fn entry(&self, name: &EntryName) -> Result<Option<Entry>, ReadError> {
        self.store.read(name)
    }

    /// Everything as it lies in the store. It is held meanwhile: a fraction of a second for 10,000 keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(crate) fn copy(&self) -> Result<Vec<RawEntry>, ReadError> {
        self.store.copy()
    }

    /// All key stores.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn key_stores(&self) -> Result<Vec<KeyStoreEntry>, ReadError> {
        self.all(Within::KeyStores)
    }

    /// One key store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn key_store(&self, id: StoreId) -> Result<Option<KeyStoreEntry>, ReadError> {
        self.one(&EntryName::KeyStore(id))
    }

    /// The credentials of a key store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credentials(&self, store: StoreId) -> Result<Vec<CredentialEntry>, ReadError> {
        self.all(Within::Credentials(store))
    }

    /// One credential.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credential(&self, store: StoreId, id: CredentialId) -> Result<Option<CredentialEntry>, ReadError> {
        self.one(&EntryName::Credential(store, id))
    }

    /// The HYOK keys of a key store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hyok_keys(&self, store: StoreId) -> Result<Vec<HyokKeyEntry>, ReadError> {
        self.all(Within::HyokKeys(store))
    }

    /// One HYOK key of a key store.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hyok_key(&self, store: StoreId, id: KeyId) -> Result<Option<HyokKeyEntry>, ReadError> {
        self.one(&EntryName::HyokKey(store, id))
    }

    /// A HYOK key, wherever it is.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn find_hyok_key(&self, id: KeyId) -> Result<Option<HyokKeyEntry>, ReadError> {
        match self.one::<KeyPlaceEntry>(&EntryName::KeyPlace(id))? {
            Some(place) => self.hyok_key(place.store, id),
            None => Ok(None),
        }
    }

    /// The HYOK key of a key store that has an external id.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn key_of_external_id(&self, store: StoreId, external_id: &ExternalKeyId) -> Result<Option<KeyId>, ReadError> {
        Ok(self.one::<ExternalIdEntry>(&EntryName::ExternalId(store, external_id.clone()))?.map(|index| index.key))
    }

    /// A virtual key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn virtual_key(&self, id: Uuid) -> Result<Option<VirtualKeyEntry>, ReadError> {
        self.one(&EntryName::VirtualKey(id))
    }

    /// All virtual keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn virtual_keys(&self) -> Result<Vec<VirtualKeyEntry>, ReadError> {
        self.all(Within::VirtualKeys)
    }

    /// A source key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn source_key(&self, id: Uuid) -> Result<Option<SourceKeyEntry>, ReadError> {
        self.one(&EntryName::SourceKey(id))
    }

    /// All source keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn source_keys(&self) -> Result<Vec<SourceKeyEntry>, ReadError> {
        self.all(Within::SourceKeys)
    }

    /// A node; its entry stays when it is forgotten.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn node(&self, name: &NodeName) -> Result<Option<NodeEntry>, ReadError> {
        self.one(&EntryName::Node(name.clone()))
    }

    /// All nodes, forgotten ones too.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn nodes(&self) -> Result<Vec<NodeEntry>, ReadError> {
        self.all(Within::Nodes)
    }

    /// What nodes last told before the control plane was started.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn nodes_seen(&self) -> Result<Vec<NodeSeenEntry>, ReadError> {
        self.all(Within::NodesSeen)
    }

    /// All encryption counts noted.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn counts(&self) -> Result<Vec<CountEntry>, ReadError> {
        self.all(Within::Counts)
    }

    /// The encryption counts noted of one key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn counts_of(&self, key: KeyId) -> Result<Vec<CountEntry>, ReadError> {
        self.all(Within::CountsOf(key))
    }

    /// A user.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn user(&self, name: &UserName) -> Result<Option<UserEntry>, ReadError> {
        self.one(&EntryName::User(name.clone()))
    }

    /// All users.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn users(&self) -> Result<Vec<UserEntry>, ReadError> {
        self.all(Within::Users)
    }

    /// What `init --demo` promised, if it was given.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn demo(&self) -> Result<Option<DemoEntry>, ReadError> {
        self.one(&EntryName::Demo)
    }

    /// All AWS connections.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn aws_connections(&self) -> Result<Vec<AwsConnectionEntry>, ReadError> {
        self.all(Within::AwsConnections)
    }

    /// One AWS connection.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn aws_connection(&self, id: Uuid) -> Result<Option<AwsConnectionEntry>, ReadError> {
        self.one(&EntryName::AwsConnection(id))
    }

    /// All KMS containers.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn kms_containers(&self) -> Result<Vec<KmsContainerEntry>, ReadError> {
        self.all(Within::KmsContainers)
    }

    /// One KMS container.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn kms_container(&self, id: Uuid) -> Result<Option<KmsContainerEntry>, ReadError> {
        self.one(&EntryName::KmsContainer(id))
    }

    /// All policy templates.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn policy_templates(&self) -> Result<Vec<PolicyTemplateEntry>, ReadError> {
        self.all(Within::PolicyTemplates)
    }

    /// One policy template.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn policy_template(&self, id: Uuid) -> Result<Option<PolicyTemplateEntry>, ReadError> {
        self.one(&EntryName::PolicyTemplate(id))
    }

    /// All job configurations.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn job_configs(&self) -> Result<Vec<JobConfigEntry>, ReadError> {
        self.all(Within::JobConfigs)
    }

    /// One job configuration.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn job_config(&self, id: Uuid) -> Result<Option<JobConfigEntry>, ReadError> {
        self.one(&EntryName::JobConfig(id))
    }

    /// All HSM servers.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hsm_servers(&self) -> Result<Vec<HsmServerEntry>, ReadError> {
        self.all(Within::HsmServers)
    }

    /// One HSM server.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hsm_server(&self, id: Uuid) -> Result<Option<HsmServerEntry>, ReadError> {
        self.one(&EntryName::HsmServer(id))
    }

    /// All HSM connections.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hsm_connections(&self) -> Result<Vec<HsmConnectionEntry>, ReadError> {
        self.all(Within::HsmConnections)
    }

    /// One HSM connection.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hsm_connection(&self, id: Uuid) -> Result<Option<HsmConnectionEntry>, ReadError> {
        self.one(&EntryName::HsmConnection(id))
    }

    /// All added partitions.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn partitions(&self) -> Result<Vec<PartitionEntry>, ReadError> {
        self.all(Within::Partitions)
    }

    /// One added partition.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn partition(&self, id: Uuid) -> Result<Option<PartitionEntry>, ReadError> {
        self.one(&EntryName::Partition(id))
    }

    /// All tool's tokens.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn api_tokens(&self) -> Result<Vec<ApiTokenEntry>, ReadError> {
        self.all(Within::ApiTokens)
    }

    /// One tool's token.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn api_token(&self, id: Uuid) -> Result<Option<ApiTokenEntry>, ReadError> {
        self.one(&EntryName::ApiToken(id))
    }

    /// A user's sign-ins that can be renewed.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn sign_ins(&self, user: Uuid) -> Result<Option<SignInsEntry>, ReadError> {
        self.one(&EntryName::SignIns(user))
    }

    /// All signing keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn signing_keys(&self) -> Result<Vec<SigningKeyEntry>, ReadError> {
        self.all(Within::SigningKeys)
    }

    /// One signing key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn signing_key(&self, id: Uuid) -> Result<Option<SigningKeyEntry>, ReadError> {
        self.one(&EntryName::SigningKey(id))
    }

    /// When the credentials of a key store were last used.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credentials_used(&self, store: StoreId) -> Result<Vec<CredentialUsedEntry>, ReadError> {
        self.all(Within::CredentialsUsed(store))
    }

    /// When a tool's token was last used.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn token_used(&self, token: Uuid) -> Result<Option<TokenUsedEntry>, ReadError> {
        self.one(&EntryName::TokenUsed(token))
    }

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

    /// How all job configurations last ended.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn jobs_ran(&self) -> Result<Vec<JobRanEntry>, ReadError> {
        self.all(Within::JobsRan)
    }

    fn one<T: Pick>(&self, name: &EntryName) -> Result<Option<T>, ReadError> {
        Ok(self.store.read(name)?.and_then(T::pick))
    }

    fn all<T: Pick>(&self, within: Within) -> Result<Vec<T>, ReadError> {
        Ok(self.store.scan(within)?.into_iter().filter_map(T::pick).collect())
    }
}
