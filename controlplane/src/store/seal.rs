//! The control seal: secrets are sealed here before a store sees them, and opened here for whoever publishes them.
//!
//! Always holds: a sealed secret opens only as the secret of the credential it was sealed for.

use std::sync::Arc;

use holdfast_proto::{
    ids::CredentialId,
    seal::{OpenError, SealFailed, SealRing},
    secret::Secret,
};

use super::entry::{CredentialEntry, SealedSecret};

/// Seals and opens the control plane's secrets.
#[derive(Clone, Debug)]
pub struct ControlSeal(Arc<SealRing>);

/// Why a secret was not opened.
#[derive(Debug, thiserror::Error)]
#[error("the secret of credential {id} does not open under the control seal")]
pub struct SecretUnopened {
    id: CredentialId,
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

    /// Seals the secret of credential `id`.
    ///
    /// # Errors
    /// [`SealFailed`] without randomness.
    pub fn seal(&self, id: CredentialId, secret: &Secret) -> Result<SealedSecret, SealFailed> {
        self.0.seal(&aad(id), secret.expose().as_bytes()).map(SealedSecret)
    }

    /// Opens the secret of a credential.
    ///
    /// # Errors
    /// [`SecretUnopened`] where the seal is another one or the entry was altered.
    pub fn open(&self, credential: &CredentialEntry) -> Result<Secret, SecretUnopened> {
        let fail = |cause| SecretUnopened { id: credential.id, cause };
        let opened = self.0.open(&aad(credential.id), &credential.secret.0).map_err(|e| fail(SecretFault::Seal(e)))?;
        let text = std::str::from_utf8(&opened).map_err(|_| fail(SecretFault::Text))?;
        Ok(Secret::new(text.to_owned()))
    }
}

fn aad(id: CredentialId) -> Vec<u8> {
    [b"holdfast credential ".as_slice(), id.0.as_bytes()].concat()
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
    fn a_sealed_secret_opens_only_for_its_credential() {
        let seal = ControlSeal::new(Arc::new(SealRing::new(Seal::generate().unwrap(), Vec::new())));
        let id = CredentialId(Uuid::from_u128(1));
        let secret = seal.seal(id, &Secret::new("sesame".into())).unwrap();
        let mut entry = CredentialEntry {
            id,
            store: StoreId(Uuid::from_u128(2)),
            access_key_id: AccessKeyId::try_from("ABCDEFGHIJKLMNOP2345").unwrap(),
            secret,
            generation: 1,
            stamps: Stamps::default(),
        };
        assert_eq!(seal.open(&entry).unwrap().expose(), "sesame");
        assert!(!serde_json::to_string(&entry).unwrap().contains("sesame"));
        entry.id = CredentialId(Uuid::from_u128(3));
        assert!(seal.open(&entry).is_err());
    }
}
