//! As whom AWS is asked for what is in a KMS container, and which account that is.

mod check;
mod regions;

use std::sync::Arc;

use super::{
    Core, CoreError,
    aws_connections::{self, assume_role},
    aws_names::{self, ArnOf},
};
use crate::{
    access::{Permit, Read},
    aws::{Account, Credentials},
    store::{
        View,
        entry::{AssumeRole, AwsConnectionEntry, KmsContainerEntry},
        seal::SecretOf,
    },
};

/// An AWS account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsAccount {
    /// 12 digits, as AWS told it.
    pub id: String,
    /// The regions of its partition, always in the same order.
    pub regions: Vec<&'static str>,
}

impl Core {
    /// The account that a connection leads to, in a role where one is given: AWS is asked (STS GetCallerIdentity API).
    ///
    /// # Errors
    /// [`CoreError::NotFound`] for the connection, which goes by its name or id; [`CoreError::Invalid`] for the role;
    /// [`CoreError::State`] for a connection that can't be used; [`CoreError::Aws`].
    pub async fn aws_account(&self, _permit: &Permit<Read>, connection: &str, role: AssumeRole) -> Result<AwsAccount, CoreError> {
        let role = assume_role(AssumeRole::default(), &told_apart(role))?;
        if role.arn.is_none() && role.external_id.is_some() {
            return Err(CoreError::invalid("assume_role_arn", "is missing, while there is an external id"));
        }
        let own_role = role.arn.is_some();
        let (id, account, cloud) = {
            let view = self.view().await?;
            let connection = aws_connections::find(&view, connection)?;
            (connection.id, self.account(&connection, None)?.in_role(role), connection.cloud)
        };
        let told = self.aws.caller(&account).await;
        // A role of the asker's own may fail where the connection does well.
        if told.is_ok() || !own_role {
            self.note_connection(id, told.as_ref().err());
        }
        Ok(AwsAccount { id: told?, regions: regions::of(cloud).collect() })
    }

    /// As whom AWS is asked for what is in this container: nothing is asked of another account than the container's.
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

/// The role and its external id, also where they were sent the wrong way round, as one client does (contract §4).
fn told_apart(sent: AssumeRole) -> AssumeRole {
    let is_role = |text: &Option<String>| text.as_deref().is_some_and(|text| aws_names::arn("assume_role_arn", ArnOf::Role, text).is_ok());
    if is_role(&sent.external_id) && !is_role(&sent.arn) {
        return AssumeRole { arn: sent.external_id, external_id: sent.arn };
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_and_its_external_id_are_told_apart_by_their_form() {
        let (arn, id) = (Some("arn:aws:iam::123456789012:role/keys".to_owned()), Some("tenant-7".to_owned()));
        let right = AssumeRole { arn: arn.clone(), external_id: id.clone() };
        assert_eq!(told_apart(right.clone()), right);
        assert_eq!(told_apart(AssumeRole { arn: id.clone(), external_id: arn.clone() }), right);
        let alone = AssumeRole { arn: arn.clone(), external_id: None };
        assert_eq!(told_apart(alone.clone()), alone);
        assert_eq!(told_apart(AssumeRole { arn: None, external_id: arn }), alone);
        let neither = AssumeRole { arn: id.clone(), external_id: id };
        assert_eq!(told_apart(neither.clone()), neither);
    }
}
