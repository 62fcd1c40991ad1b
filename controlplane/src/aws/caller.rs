//! Whose credentials those are that AWS is asked with.
//!
//! Always holds: what is asked for a KMS container is signed only with credentials of that container's account, as AWS itself tells (STS
//! GetCallerIdentity API, which needs no permission): a key that another account has not is not gone. An access key never changes its
//! account, so that AWS tells once of each.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_config::{SdkConfig, identity::IdentityCache};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future};

use super::{AwsError, AwsFault};

/// The account that a KMS container is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    /// 12 digits.
    pub(super) account_id: String,
    /// The container's name.
    pub(super) container: String,
    /// The name of its connection.
    pub(super) connection: String,
}

/// A connection leads to another account than its KMS container is of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the AWS connection {connection} leads to the account {told}, but the KMS container {container} is of the account {wanted}")]
pub struct WrongAccount {
    /// The connection's name.
    pub connection: String,
    /// Where it leads.
    pub told: String,
    /// The container's name.
    pub container: String,
    /// The container's account.
    pub wanted: String,
}

/// The accounts of access keys, as far as AWS has told.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<HashMap<String, String>>);

/// The credentials of `of`, if they are of the owner's account.
pub(super) struct OfAccount {
    pub(super) of: SharedCredentialsProvider,
    pub(super) owner: Owner,
    /// How STS is asked.
    pub(super) sts: SdkConfig,
    pub(super) callers: Arc<Callers>,
    /// How long it may take; less than a try of a call, of which nobody would know else that it was not made.
    pub(super) patience: Duration,
}

/// The account that a client's credentials are of.
pub(super) async fn told(sts: &aws_sdk_sts::Client) -> Result<String, AwsError> {
    let told = sts.get_caller_identity().send().await.map_err(AwsError::of("STS GetCallerIdentity"))?;
    told.account.ok_or_else(|| unread("the answer names no account"))
}

impl Callers {
    /// The account of an access key, if AWS has told.
    pub(super) fn known(&self, access_key_id: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(access_key_id).cloned()
    }

    /// AWS told.
    pub(super) fn keep(&self, access_key_id: &str, account_id: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(access_key_id.to_owned(), account_id.to_owned());
    }
}

impl OfAccount {
    async fn checked(&self) -> Result<aws_credential_types::Credentials, CredentialsError> {
        let credentials = self.of.provide_credentials().await?;
        let id = credentials.access_key_id();
        let told = match self.callers.known(id) {
            Some(told) => told,
            None => {
                let provider = SharedCredentialsProvider::new(credentials.clone());
                let config =
                    self.sts.clone().into_builder().credentials_provider(provider).identity_cache(IdentityCache::no_cache()).build();
                let told = told(&aws_sdk_sts::Client::new(&config)).await.map_err(CredentialsError::provider_error)?;
                self.callers.keep(id, &told);
                told
            }
        };
        self.owner.check(&told).map_err(CredentialsError::provider_error)?;
        Ok(credentials)
    }
}

impl Owner {
    /// Whether it is this account.
    pub(super) fn check(&self, told: &str) -> Result<(), WrongAccount> {
        if told == self.account_id {
            return Ok(());
        }
        let Self { account_id, container, connection } = self.clone();
        Err(WrongAccount { connection, told: told.to_owned(), container, wanted: account_id })
    }
}

impl ProvideCredentials for OfAccount {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let late = || unread("it is not known in time whose the credentials are");
            let checked = tokio::time::timeout(self.patience, self.checked()).await;
            checked.unwrap_or_else(|_| Err(CredentialsError::provider_error(late())))
        })
    }
}

impl fmt::Debug for OfAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfAccount").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// STS did not tell what it is asked for.
fn unread(message: &str) -> AwsError {
    AwsError { call: "STS GetCallerIdentity", fault: AwsFault::Unreached, code: None, message: message.into(), request_id: None }
}

/// Roles have a new access key each hour, at least.
const MOST_KNOWN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_s_account_will_do_and_any_other_is_named_with_both_ends() {
        let owner = Owner { account_id: "111122223333".into(), container: "kms".into(), connection: "aws".into() };
        assert_eq!(owner.check("111122223333"), Ok(()));
        let text = owner.check("444455556666").unwrap_err().to_string();
        for named in ["connection aws", "account 444455556666", "container kms", "account 111122223333"] {
            assert!(text.contains(named), "{text}");
        }
        assert!(owner.check("").is_err());
    }

    #[test]
    fn what_aws_told_of_an_access_key_is_known_from_then_on() {
        let callers = Callers::default();
        assert_eq!(callers.known("AKIA1"), None);
        callers.keep("AKIA1", "111122223333");
        assert_eq!((callers.known("AKIA1").as_deref(), callers.known("AKIA2")), (Some("111122223333"), None));
        (0..2 * MOST_KNOWN).for_each(|n| callers.keep(&n.to_string(), "1"));
        assert!(callers.0.lock().unwrap().len() <= MOST_KNOWN);
    }
}
