//! Whether a connection leads to the account that a KMS container is of, looked at before it is to be used for it.
//!
//! Always holds: what is known to be wrong is refused; that AWS can't be asked now is not, since AWS is asked again before anything is done
//! by the connection. AWS is asked only where something of the container is in AWS: without linked mode nothing depends on AWS.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    core::{Core, CoreError},
    store::{
        ReadError, View,
        entry::{AwsConnectionEntry, KmsContainerEntry},
    },
};

impl Core {
    /// Whether a changed connection leads where the KMS containers are that use it.
    ///
    /// # Errors
    /// [`CoreError::State`], which names both accounts.
    pub(in crate::core) async fn check_connection(&self, connection: &AwsConnectionEntry) -> Result<(), CoreError> {
        let containers = self.view().await?.kms_containers()?;
        let end = Instant::now() + PATIENCE;
        for container in containers.into_iter().filter(|container| container.connection == connection.id) {
            self.check_account(connection, &container, end).await?;
        }
        Ok(())
    }

    /// Whether a container's connection leads to its account.
    ///
    /// # Errors
    /// As [`Core::check_connection`]; [`CoreError::NotFound`] for the connection.
    pub(in crate::core) async fn check_container(&self, container: &KmsContainerEntry) -> Result<(), CoreError> {
        let connection = self.view().await?.aws_connection(container.connection)?.ok_or(CoreError::NotFound("AWS connection"))?;
        self.check_account(&connection, container, Instant::now() + PATIENCE).await
    }

    async fn check_account(&self, connection: &AwsConnectionEntry, container: &KmsContainerEntry, end: Instant) -> Result<(), CoreError> {
        let account = match self.account(connection, Some(container)) {
            Ok(account) => account,
            // It leads nowhere yet.
            Err(CoreError::State(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let told = match self.aws.known_caller(&account) {
            Some(told) => told,
            None if !is_used(&self.view().await?, container)? => return Ok(()),
            None => match tokio::time::timeout_at(end, self.aws.caller(&account)).await {
                Ok(Ok(told)) => told,
                Ok(Err(error)) => {
                    let (connection, kms) = (&connection.name, &container.name);
                    tracing::warn!(%error, connection, kms, "whether an AWS connection leads to its KMS container's account is not known");
                    return Ok(());
                }
                Err(_) => {
                    let (connection, kms) = (&connection.name, &container.name);
                    tracing::warn!(connection, kms, "AWS did not tell in time whether a connection leads to its KMS container's account");
                    return Ok(());
                }
            },
        };
        account.check(&told).map_err(|wrong| CoreError::State(wrong.to_string()))
    }
}

/// Whether something of a container is in AWS.
fn is_used(view: &View, container: &KmsContainerEntry) -> Result<bool, ReadError> {
    let stores = view.aws_key_stores()?.iter().any(|store| store.kms == container.id);
    Ok(stores || view.aws_keys()?.iter().any(|key| key.kms == container.id))
}

/// A client waits.
const PATIENCE: Duration = Duration::from_secs(5);
