//! As whom AWS is asked for what is in a KMS container.

use std::sync::Arc;

use super::{Core, CoreError};
use crate::{
    aws::{Account, Credentials},
    store::{
        View,
        entry::{AwsConnectionEntry, KmsContainerEntry},
        seal::SecretOf,
    },
};

impl Core {
    /// As whom AWS is asked for what is in this container.
    ///
    /// # Errors
    /// [`CoreError::State`] for a connection that can't be used; [`CoreError::Unsealed`].
    pub(super) fn account_of(&self, view: &View, container: &KmsContainerEntry) -> Result<Account, CoreError> {
        let connection = view.aws_connection(container.connection)?.ok_or(CoreError::NotFound("AWS connection"))?;
        self.account(&connection, Some(container))
    }

    /// As whom AWS is asked by this connection.
    ///
    /// # Errors
    /// [`CoreError::State`] for a connection that can't be used; [`CoreError::Unsealed`].
    pub(super) fn account(&self, connection: &AwsConnectionEntry, container: Option<&KmsContainerEntry>) -> Result<Account, CoreError> {
        if connection.role_anywhere.is_some() {
            let text = format!("the AWS connection {} is for IAM Roles Anywhere, which is kept and not used yet", connection.name);
            return Err(CoreError::State(text));
        }
        let credentials = match (&connection.access_key_id, &connection.secret) {
            (Some(id), Some(sealed)) => {
                let secret = self.seal.open(SecretOf::AwsConnection(connection.id), sealed).map_err(CoreError::Unsealed)?;
                Credentials::AccessKey { id: id.clone(), secret: Arc::new(secret) }
            }
            (Some(_) | None, _) => Credentials::Host,
        };
        Ok(Account::new(connection, container, credentials))
    }
}
