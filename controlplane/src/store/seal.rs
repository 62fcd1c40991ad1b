//! The control seal: secrets are sealed here before a store sees them, and opened here for whoever publishes them.
//!
//! Always holds: a sealed secret opens only as the secret of the entry it was sealed for.

use std::{fmt, sync::Arc};

use holdfast_proto::{
    ids::CredentialId,
    seal::{OpenError, SealFailed, SealRing},
    secret::Secret,
};

use uuid::Uuid;

use super::entry::{CredentialEntry, SealedSecret};

/// Seals and opens the control plane's secrets.
#[derive(Clone, Debug)]
pub struct ControlSeal(Arc<SealRing>);

/// Whose secret it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretOf {
    /// A credential's secret half.
    Credential(CredentialId),
    /// An AWS connection's secret access key.
    AwsConnection(Uuid),
    /// The private key of an AWS connection's certificate, for IAM Roles Anywhere.
    RoleAnywhere(Uuid),
    /// The private half of a key that signs sign-in tokens.
    SigningKey(Uuid),
}

/// Why a secret was not opened.
#[derive(Debug, thiserror::Error)]
#[error("the secret of {of} does not open under the control seal")]
pub struct SecretUnopened {
    of: SecretOf,
    #[source]
    cause: SecretFault,
}

/// What was wrong with a sealed secret.
#[derive(Debug, thiserror::Error)]
enum SecretFault {
    #[error(transparent)]
    Seal(OpenError),
    #[error("it is not text")]
    Text,
}

impl ControlSeal {
    /// Uses `ring`: its first seal seals, all open.
    #[must_use]
    pub const fn new(ring: Arc<SealRing>) -> Self {
        Self(ring)
    }

    /// Seals a secret for the entry it is of.
    ///
    /// # Errors
    /// [`SealFailed`] without randomness.
    pub fn seal(&self, of: SecretOf, secret: &Secret) -> Result<SealedSecret, SealFailed> {
        self.0.seal(&of.aad(), secret.expose().as_bytes()).map(SealedSecret)
    }

    /// Opens a secret for the entry it is of.
    ///
    /// # Errors
    /// [`SecretUnopened`] where the seal is another one or the entry was altered.
    pub fn open(&self, of: SecretOf, sealed: &SealedSecret) -> Result<Secret, SecretUnopened> {
        let fail = |cause| SecretUnopened { of, cause };
        let opened = self.0.open(&of.aad(), &sealed.0).map_err(|e| fail(SecretFault::Seal(e)))?;
        let text = std::str::from_utf8(&opened).map_err(|_| fail(SecretFault::Text))?;
        Ok(Secret::new(text.to_owned()))
    }

    /// Opens the secret of a credential.
    ///
    /// # Errors
    /// As [`ControlSeal::open`].
    pub fn open_credential(&self, credential: &CredentialEntry) -> Result<Secret, SecretUnopened> {
        self.open(SecretOf::Credential(credential.id), &credential.secret)
    }
}

impl SecretOf {
    fn aad(self) -> Vec<u8> {
        let (kind, id) = match self {
            Self::Credential(id) => ("credential", id.0),
            Self::AwsConnection(id) => ("aws connection", id),
            Self::RoleAnywhere(id) => ("roles anywhere", id),
            Self::SigningKey(id) => ("signing key", id),
        };
        [b"holdfast ".as_slice(), kind.as_bytes(), b" ", id.as_bytes()].concat()
    }
}

impl fmt::Display for SecretOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(id) => write!(f, "credential {id}"),
            Self::AwsConnection(id) => write!(f, "AWS connection {id}"),
            Self::RoleAnywhere(id) => write!(f, "AWS connection {id} (private key)"),
            Self::SigningKey(id) => write!(f, "signing key {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::{
        ids::{AccessKeyId, StoreId},
        seal::Seal,
    };
    use uuid::Uuid;

    use super::*;
    use crate::store::entry::Stamps;

    #[test]
    fn a_sealed_secret_opens_only_for_its_entry() {
        let seal = ControlSeal::new(Arc::new(SealRing::new(Seal::generate().unwrap(), Vec::new())));
        let id = CredentialId(Uuid::from_u128(1));
        let secret = seal.seal(SecretOf::Credential(id), &Secret::new("sesame".into())).unwrap();
        let mut entry = CredentialEntry {
            id,
            store: StoreId(Uuid::from_u128(2)),
            access_key_id: AccessKeyId::try_from("ABCDEFGHIJKLMNOP2345").unwrap(),
            secret,
            generation: 1,
            stamps: Stamps::default(),
        };
        assert_eq!(seal.open_credential(&entry).unwrap().expose(), "sesame");
        assert!(!serde_json::to_string(&entry).unwrap().contains("sesame"));
        assert!(seal.open(SecretOf::SigningKey(id.0), &entry.secret).is_err());
        entry.id = CredentialId(Uuid::from_u128(3));
        assert!(seal.open_credential(&entry).is_err());
    }
}
