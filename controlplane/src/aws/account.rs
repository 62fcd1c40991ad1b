//! As whom AWS is asked.

use std::{fmt, sync::Arc, time::Duration};

use aws_config::{SdkConfig, default_provider::credentials::DefaultCredentialsChain, sts::AssumeRoleProvider, timeout::TimeoutConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future};
use holdfast_proto::secret::Secret;
use uuid::Uuid;

use super::caller::{Callers, OfAccount, Owner, WrongAccount};
use crate::store::entry::{AssumeRole, AwsCloud, AwsConnectionEntry, KmsContainerEntry, StsEndpoints};

/// As whom AWS is asked: a connection, in the role of a KMS container where it has one.
#[derive(Clone, Debug)]
pub struct Account {
    connection: Uuid,
    /// Moves when the connection changes.
    changed_ns: u64,
    credentials: Credentials,
    /// Taken on one after another: the connection's, then the container's.
    roles: Vec<AssumeRole>,
    cloud: AwsCloud,
    region: Option<String>,
    sts_endpoints: StsEndpoints,
    /// Whose the credentials must be; none: anyone's, since it is asked whose they are.
    owner: Option<Owner>,
}

/// What a connection acts with.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// An access key.
    AccessKey {
        /// Its public half.
        id: String,
        /// Its secret half.
        secret: Arc<Secret>,
    },
    /// What the host has: environment, profile, or the role of its instance or container.
    Host,
}

/// What a client's configuration depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AccountKey {
    connection: Uuid,
    changed_ns: u64,
    roles: Vec<(String, Option<String>)>,
    region: String,
    owner: Option<Owner>,
}

impl AccountKey {
    /// Of the same connection, before it changed.
    pub(super) fn is_older(&self, other: &Self) -> bool {
        self.connection == other.connection && self.changed_ns < other.changed_ns
    }
}

impl Account {
    /// The account of a connection, and of a KMS container with it.
    #[must_use]
    pub fn new(connection: &AwsConnectionEntry, container: Option<&KmsContainerEntry>, credentials: Credentials) -> Self {
        let roles = [Some(&connection.assume_role), container.map(|kms| &kms.assume_role)];
        let owner = |kms: &KmsContainerEntry| Owner {
            account_id: kms.account_id.clone(),
            container: kms.name.clone(),
            connection: connection.name.clone(),
        };
        Self {
            connection: connection.id,
            changed_ns: connection.stamps.updated_ns,
            credentials,
            roles: roles.into_iter().flatten().filter(|role| role.arn.is_some()).cloned().collect(),
            cloud: connection.cloud,
            region: connection.region.clone(),
            sts_endpoints: connection.sts_endpoints,
            owner: container.map(owner),
        }
    }

    /// The same, whosever its credentials are.
    #[must_use]
    pub(super) fn of_anyone(self) -> Self {
        Self { owner: None, ..self }
    }

    /// Whether `told`, as AWS tells it, is the account that its KMS container is of.
    ///
    /// # Errors
    /// [`WrongAccount`].
    pub fn check(&self, told: &str) -> Result<(), WrongAccount> {
        self.owner.as_ref().map_or(Ok(()), |owner| owner.check(told))
    }

    /// The account of the role that it acts in, which is in the role's name; none without a role.
    pub(super) fn of_role(&self) -> Option<&str> {
        self.roles.last()?.arn.as_deref()?.split(':').nth(4)
    }

    /// The public half of the access key that it acts with, where there is one and no role.
    pub(super) fn access_key_id(&self) -> Option<&str> {
        match &self.credentials {
            Credentials::AccessKey { id, .. } if self.roles.is_empty() => Some(id),
            Credentials::AccessKey { .. } | Credentials::Host => None,
        }
    }

    /// The same in one more role.
    #[must_use]
    pub fn in_role(mut self, role: AssumeRole) -> Self {
        if role.arn.is_some() {
            self.roles.push(role);
        }
        self
    }

    /// Where STS is asked: the connection's region, or the one that its partition had first.
    #[must_use]
    pub fn sts_region(&self) -> &str {
        let first = match self.cloud {
            AwsCloud::Commercial => "us-east-1",
            AwsCloud::UsGov => "us-gov-west-1",
            AwsCloud::China => "cn-north-1",
        };
        match (self.sts_endpoints, self.cloud) {
            (StsEndpoints::Legacy, AwsCloud::Commercial) => first,
            (StsEndpoints::Legacy | StsEndpoints::Regional, _) => self.region.as_deref().unwrap_or(first),
        }
    }

    pub(super) fn key(&self, region: &str) -> AccountKey {
        let roles = self.roles.iter().filter_map(|role| Some((role.arn.clone()?, role.external_id.clone()))).collect();
        let (connection, changed_ns, owner) = (self.connection, self.changed_ns, self.owner.clone());
        AccountKey { connection, changed_ns, roles, region: region.into(), owner }
    }

    /// `base` with these credentials.
    pub(super) fn config(&self, base: &SdkConfig, sts_endpoint: Option<&str>, callers: &Arc<Callers>) -> SdkConfig {
        let mut sts = base.clone().into_builder();
        sts.set_region(aws_config::Region::new(self.sts_region().to_owned()));
        sts.set_endpoint_url(sts_endpoint.map(str::to_owned));
        let sts = sts.build();
        let mut provider = match &self.credentials {
            Credentials::AccessKey { id, secret } => {
                let key = aws_credential_types::Credentials::new(id, secret.expose(), None, None, "connection");
                SharedCredentialsProvider::new(key)
            }
            Credentials::Host => SharedCredentialsProvider::new(HostCredentials),
        };
        for role in &self.roles {
            provider = SharedCredentialsProvider::new(InRole { role: role.clone(), of: provider, sts: sts.clone() });
        }
        if let Some(owner) = self.owner.clone() {
            let attempt = base.timeout_config().and_then(TimeoutConfig::operation_attempt_timeout);
            let patience = attempt.map_or(PATIENCE, |attempt| PATIENCE.min(attempt * 3 / 4));
            provider = SharedCredentialsProvider::new(OfAccount { of: provider, owner, sts, callers: Arc::clone(callers), patience });
        }
        base.clone().into_builder().credentials_provider(provider).build()
    }
}

/// What the host has, found out when it is needed.
struct HostCredentials;

/// The credentials of a role, asked for when they are needed; the client keeps them until they expire.
struct InRole {
    role: AssumeRole,
    of: SharedCredentialsProvider,
    sts: SdkConfig,
}

impl ProvideCredentials for HostCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { DefaultCredentialsChain::builder().build().await.provide_credentials().await })
    }
}

impl ProvideCredentials for InRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let arn = self.role.arn.clone().ok_or_else(|| CredentialsError::invalid_configuration("a role without ARN"))?;
            let mut builder = AssumeRoleProvider::builder(arn).session_name("holdfast").configure(&self.sts);
            if let Some(id) = &self.role.external_id {
                builder = builder.external_id(id);
            }
            builder.build_from_provider(self.of.clone()).await.provide_credentials().await
        })
    }
}

impl fmt::Debug for HostCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostCredentials")
    }
}

impl fmt::Debug for InRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InRole").field("role", &self.role.arn).finish_non_exhaustive()
    }
}

/// With credentials that are known to be of the right account.
const PATIENCE: Duration = Duration::from_secs(15);
