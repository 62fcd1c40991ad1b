//! Linked mode: clients of AWS KMS, CloudHSM v2 and STS, and how AWS's answers are read.
//!
//! Always holds: a client acts with the credentials of the KMS container's connection, in the container's role where it has one, and only if
//! AWS told that they are of the container's account (`caller`); what AWS
//! refuses becomes an [`AwsError`] with AWS's own name and request id. `core` decides what is done.

mod account;
mod caller;
mod error;
#[cfg(test)]
pub(crate) mod fake;
pub mod import;
pub mod keys;
mod once;
pub mod stores;

use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_config::{
    BehaviorVersion, SdkConfig,
    identity::IdentityCache,
    retry::RetryConfig,
    timeout::{TimeoutConfig, TimeoutConfigBuilder},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use self::{account::AccountKey, caller::Callers};
pub use self::{
    account::{Account, Credentials},
    caller::WrongAccount,
    error::{AwsError, AwsFault},
    once::{once, unless_throttled},
};

/// Where AWS is, if not where it usually is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSettings {
    /// URL of KMS instead of the region's own.
    pub kms_endpoint: Option<String>,
    /// URL of CloudHSM v2 instead of the region's own.
    pub cloudhsmv2_endpoint: Option<String>,
    /// URL of STS instead of the usual ones.
    pub sts_endpoint: Option<String>,
    /// Root certificates to trust instead of the host's, PEM.
    pub ca_file: Option<PathBuf>,
    /// How long one try of a call may take, and so how long after a crash something may still be made that was asked for before.
    pub attempt_timeout: Duration,
    /// How long after AWS was last asked to do something that it is not seen to have done it has not done it; no less than
    /// `attempt_timeout`. AWS takes up to minutes to know of a key everywhere (KMS Developer Guide, eventual consistency).
    pub settled_after: Duration,
}

impl AwsSettings {
    /// AWS is where it usually is.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            kms_endpoint: None,
            cloudhsmv2_endpoint: None,
            sts_endpoint: None,
            ca_file: None,
            attempt_timeout: ATTEMPT,
            settled_after: SETTLED,
        }
    }
}

impl Default for AwsSettings {
    fn default() -> Self {
        Self::new()
    }
}

/// Why AWS can't be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum AwsSettingsFault {
    /// The root certificates.
    #[error("can't read the root certificates for AWS in {}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The HTTP client would not have them.
    #[error("the root certificates for AWS are no PEM certificates")]
    Tls,
}

/// Makes clients of AWS.
#[derive(Debug)]
pub struct Aws {
    settings: AwsSettings,
    http: SharedHttpClient,
    /// Made once, so that credentials that AWS hands out are used until they expire.
    accounts: Mutex<HashMap<AccountKey, SdkConfig>>,
    callers: Arc<Callers>,
}

impl Aws {
    /// Reads the root certificates; asks nobody.
    ///
    /// # Errors
    /// [`AwsSettingsFault`].
    pub fn new(settings: AwsSettings) -> Result<Self, AwsSettingsFault> {
        let mut trust = TrustStore::default();
        if let Some(path) = &settings.ca_file {
            let pem = fs::read(path).map_err(|cause| AwsSettingsFault::CaFile { path: path.clone(), cause })?;
            if !pem.windows(PEM_BEGIN.len()).any(|at| at == PEM_BEGIN) {
                return Err(AwsSettingsFault::Tls);
            }
            trust = TrustStore::empty().with_pem_certificate(pem);
        }
        let tls = TlsContext::builder().with_trust_store(trust).build().map_err(|_| AwsSettingsFault::Tls)?;
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(tls).build_https();
        Ok(Self { settings, http, accounts: Mutex::default(), callers: Arc::default() })
    }

    /// Whether KMS is asked elsewhere than at AWS: AWS itself calls external key stores on port 443 only.
    #[must_use]
    pub const fn kms_is_elsewhere(&self) -> bool {
        self.settings.kms_endpoint.is_some()
    }

    /// How long one try of a call may take.
    #[must_use]
    pub const fn attempt_timeout(&self) -> Duration {
        self.settings.attempt_timeout
    }

    /// How long after AWS was last asked what it is not seen to have done is not done: [`AwsSettings::settled_after`].
    #[must_use]
    pub const fn settled_after(&self) -> Duration {
        self.settings.settled_after
    }

    /// KMS of a region.
    #[must_use]
    pub fn kms(&self, account: &Account, region: &str) -> aws_sdk_kms::Client {
        let config = aws_sdk_kms::config::Builder::from(&self.config(account, region));
        aws_sdk_kms::Client::from_conf(with(config, &self.settings.kms_endpoint, aws_sdk_kms::config::Builder::endpoint_url).build())
    }

    /// CloudHSM v2 of a region.
    #[must_use]
    pub fn cloud_hsm(&self, account: &Account, region: &str) -> aws_sdk_cloudhsmv2::Client {
        let config = aws_sdk_cloudhsmv2::config::Builder::from(&self.config(account, region));
        let config = with(config, &self.settings.cloudhsmv2_endpoint, aws_sdk_cloudhsmv2::config::Builder::endpoint_url);
        aws_sdk_cloudhsmv2::Client::from_conf(config.build())
    }

    /// STS, as the account's connection would have it.
    #[must_use]
    pub fn sts(&self, account: &Account) -> aws_sdk_sts::Client {
        let region = account.sts_region().to_owned();
        let config = aws_sdk_sts::config::Builder::from(&self.config(account, &region));
        aws_sdk_sts::Client::from_conf(with(config, &self.settings.sts_endpoint, aws_sdk_sts::config::Builder::endpoint_url).build())
    }

    /// The AWS account that an account's credentials are of: STS is asked (GetCallerIdentity API).
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn caller(&self, account: &Account) -> Result<String, AwsError> {
        let told = caller::told(&self.sts(&account.clone().of_anyone())).await?;
        if let Some(id) = account.access_key_id() {
            self.callers.keep(id, &told);
        }
        Ok(told)
    }

    /// The same as far as it is known without asking: a role's account is in its name.
    #[must_use]
    pub fn known_caller(&self, account: &Account) -> Option<String> {
        account.of_role().map(str::to_owned).or_else(|| self.callers.known(account.access_key_id()?))
    }

    fn config(&self, account: &Account, region: &str) -> SdkConfig {
        let key = account.key(region);
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if !accounts.contains_key(&key) {
            // What a connection was before is not asked with any more.
            accounts.retain(|other, _| !other.is_older(&key));
            if accounts.len() >= MOST_CONFIGS {
                accounts.clear();
            }
        }
        let made = || account.config(&self.base(region), self.settings.sts_endpoint.as_deref(), &self.callers);
        accounts.entry(key).or_insert_with(made).clone()
    }

    fn base(&self, region: &str) -> SdkConfig {
        let mut base = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(self.http.clone())
            // A role's credentials are for all clients, not for one call.
            .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS).build())
            .region(aws_config::Region::new(region.to_owned()))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts(self.settings.attempt_timeout));
        // Who takes a role on asks for the time; the default is the system's.
        base.set_time_source(Some(Default::default()));
        base.build()
    }
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    let operation = attempt.saturating_mul(ATTEMPTS_IN_TIME);
    TimeoutConfigBuilder::new()
        .connect_timeout(CONNECT.min(attempt))
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

fn with<B>(config: B, url: &Option<String>, set: impl FnOnce(B, String) -> B) -> B {
    match url {
        Some(url) => set(config, url.clone()),
        None => config,
    }
}

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// More regions and roles than this, and all are made anew: containers come and go.
const MOST_CONFIGS: usize = 512;
/// Throttling and faults of AWS pass; the pauses between these add up to some ten seconds.
const ATTEMPTS: u32 = 6;
const CONNECT: Duration = Duration::from_secs(5);
/// STS hands out the credentials of a role, and tells whose they are.
const CREDENTIALS: Duration = Duration::from_secs(20);
/// CreateCustomKeyStore tries the proxy before it answers.
const ATTEMPT: Duration = Duration::from_secs(20);
/// So many tries may take all of their time.
const ATTEMPTS_IN_TIME: u32 = 3;
/// A call that nobody waits for any more may end meanwhile, and all of AWS come to know of it.
const SETTLED: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::entry::{AssumeRole, AwsCloud, AwsConnectionEntry, Stamps, StsEndpoints};

    fn entry(changed_ns: u64, role: Option<&str>) -> AwsConnectionEntry {
        AwsConnectionEntry {
            id: Uuid::from_u128(1),
            name: "aws".into(),
            description: None,
            access_key_id: Some("AKIA1".into()),
            secret: None,
            assume_role: AssumeRole { arn: role.map(str::to_owned), external_id: None },
            region: None,
            sts_endpoints: StsEndpoints::default(),
            cloud: AwsCloud::default(),
            role_anywhere: None,
            labels: std::collections::BTreeMap::new(),
            meta: serde_json::Map::new(),
            products: Vec::new(),
            stamps: Stamps { created_ns: 0, updated_ns: changed_ns },
        }
    }

    fn connection(changed_ns: u64, role: Option<&str>) -> Account {
        let secret = Arc::new(holdfast_proto::secret::Secret::new("secret".into()));
        Account::new(&entry(changed_ns, role), None, Credentials::AccessKey { id: "AKIA1".into(), secret })
    }

    #[test]
    fn a_connection_that_changed_is_not_kept_as_it_was() {
        let aws = Aws::new(AwsSettings::new()).unwrap();
        let kept = || aws.accounts.lock().unwrap().len();
        for region in ["us-east-1", "eu-west-1"] {
            drop(aws.kms(&connection(1, None), region));
        }
        assert_eq!(kept(), 2);
        drop(aws.kms(&connection(2, None), "us-east-1"));
        assert_eq!(kept(), 1);
        // Whoever began before it changed is let end, and takes nothing from the others.
        drop(aws.kms(&connection(1, None), "us-east-1"));
        drop(aws.kms(&connection(2, None), "us-east-1"));
        assert_eq!(kept(), 2);
    }

    #[tokio::test]
    async fn what_is_signed_by_nobody_since_sts_does_not_tell_in_time_was_not_asked_and_may_be_asked_later() {
        let (asked, mut was_asked) = tokio::sync::mpsc::unbounded_channel();
        let kms = fake::start(move |operation: &str, _: &serde_json::Value| {
            asked.send(operation.to_owned()).unwrap();
            None
        });
        // Whoever accepts, and says nothing.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sts_endpoint = Some(format!("http://{}", silent.local_addr().unwrap()));
        let attempt_timeout = Duration::from_millis(400);
        let aws = Aws::new(AwsSettings { kms_endpoint: Some(kms.await), sts_endpoint, attempt_timeout, ..AwsSettings::new() }).unwrap();
        let container = crate::publish::tests::estate::kms_container(Uuid::from_u128(2), fake::ACCOUNT, &[fake::REGION]);
        let secret = Arc::new(holdfast_proto::secret::Secret::new("secret".into()));
        let account = Account::new(&entry(1, None), Some(&container), Credentials::AccessKey { id: "AKIA1".into(), secret });
        let refused = keys::list(&aws.kms(&account, fake::REGION)).await.unwrap_err();
        assert_eq!((refused.fault, refused.call), (AwsFault::Unasked, "STS GetCallerIdentity"), "{refused}");
        assert!(!refused.may_be_done() && !refused.was_asked());
        assert_eq!(was_asked.try_recv(), Err(tokio::sync::mpsc::error::TryRecvError::Empty));
    }

    #[test]
    fn whose_credentials_are_is_known_of_a_role_by_its_name_and_of_an_access_key_when_aws_told() {
        let aws = Aws::new(AwsSettings::new()).unwrap();
        let in_role = connection(1, Some("arn:aws:iam::444455556666:role/keys"));
        assert_eq!(aws.known_caller(&in_role).as_deref(), Some("444455556666"));
        assert_eq!(aws.known_caller(&connection(1, None)), None);
        aws.callers.keep("AKIA1", "111122223333");
        assert_eq!(aws.known_caller(&connection(1, None)).as_deref(), Some("111122223333"));
        assert_eq!(aws.known_caller(&in_role).as_deref(), Some("444455556666"));
    }
}
