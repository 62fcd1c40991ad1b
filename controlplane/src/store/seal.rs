//! The control seal: secrets are sealed here before a store sees them, and opened here for whoever publishes them.
//!
//! Always holds: a sealed secret opens only as the secret of the entry it was sealed for.

use std::{fmt, sync::Arc};

use holdfast_proto::{
    ids::CredentialId,
    seal::{OpenError, Seal, SealFailed, SealRing, sealed_under},
    secret::Secret,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::entry::{CredentialEntry, Entry, SealedSecret};

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

/// Why a secret was not brought under another seal.
#[derive(Debug, thiserror::Error)]
pub enum ResealFailed {
    /// It does not open.
    #[error(transparent)]
    Unopened(#[from] SecretUnopened),
    /// It can't be sealed.
    #[error(transparent)]
    Seal(#[from] SealFailed),
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

    /// The ids of its seals; the first seals.
    #[must_use]
    pub fn ids(&self) -> Vec<Uuid> {
        self.0.seals().map(Seal::id).collect()
    }

    /// The texts of its seals, for a backup that is sealed itself; the first seals.
    pub(crate) fn texts(&self) -> Vec<Zeroizing<String>> {
        self.0.seals().map(Seal::to_text).collect()
    }

    /// Seals a secret for the entry it is of.
    ///
    /// # Errors
    /// [`SealFailed`] without randomness.
    pub fn seal(&self, of: SecretOf, secret: &Secret) -> Result<SealedSecret, SealFailed> {
        self.0.seal(&of.aad(), secret.expose().as_bytes()).map(SealedSecret)
    }

    /// Brings a secret under the first seal, opening it on the way; false where it lies there already.
    ///
    /// # Errors
    /// [`ResealFailed`].
    pub fn reseal(&self, of: SecretOf, sealed: &mut SealedSecret) -> Result<bool, ResealFailed> {
        if sealed.seal() == Some(self.0.id()) {
            return Ok(false);
        }
        let secret = self.open(of, sealed)?;
        *sealed = self.seal(of, &secret)?;
        Ok(true)
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

impl SealedSecret {
    /// The seal that it lies under; none where it is damaged.
    #[must_use]
    pub fn seal(&self) -> Option<Uuid> {
        sealed_under(&self.0)
    }
}

/// The secrets of an entry, each with whose it is.
pub(crate) fn secrets(entry: &mut Entry) -> Vec<(SecretOf, &mut SealedSecret)> {
    match entry {
        Entry::Credential(e) => vec![(SecretOf::Credential(e.id), &mut e.secret)],
        Entry::Demo(e) => vec![(SecretOf::Credential(e.credential.id), &mut e.credential.secret)],
        Entry::SigningKey(e) => vec![(SecretOf::SigningKey(e.id), &mut e.secret)],
        Entry::AwsConnection(e) => {
            let access = e.secret.iter_mut().map(|secret| (SecretOf::AwsConnection(e.id), secret));
            let anywhere = e.role_anywhere.iter_mut().filter_map(|role| role.private_key.as_mut());
            access.chain(anywhere.map(|secret| (SecretOf::RoleAnywhere(e.id), secret))).collect()
        }
        Entry::KeyStore(_)
        | Entry::HyokKey(_)
        | Entry::KeyPlace(_)
        | Entry::ExternalId(_)
        | Entry::VirtualKey(_)
        | Entry::SourceKey(_)
        | Entry::Node(_)
        | Entry::User(_)
        | Entry::NodeSeen(_)
        | Entry::Count(_)
        | Entry::CredentialUsed(_)
        | Entry::ApiToken(_)
        | Entry::SignIns(_)
        | Entry::TokenUsed(_)
        | Entry::KmsContainer(_)
        | Entry::PolicyTemplate(_)
        | Entry::JobConfig(_)
        | Entry::AwsKeyStore(_)
        | Entry::AwsKey(_)
        | Entry::SyncJob(_)
        | Entry::JobRan(_)
        | Entry::ConnectionUsed(_)
        | Entry::HsmServer(_)
        | Entry::HsmConnection(_)
        | Entry::Partition(_) => Vec::new(),
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
    use holdfast_proto::ids::{AccessKeyId, StoreId};

    use super::*;
    use crate::store::entry::Stamps;

    /// A secret that is not named here is not resealed, and lost with the seal that it lies under.
    #[test]
    fn both_secrets_of_an_aws_connection_are_known_and_each_is_brought_under_a_new_seal() {
        let (old, new) = (Seal::generate().unwrap(), Seal::generate().unwrap());
        let again = |seal: &Seal| Seal::from_text(&seal.to_text()).unwrap();
        let id = Uuid::from_u128(1);
        let mut ring = ControlSeal::new(Arc::new(SealRing::new(again(&old), Vec::new())));
        let sealed = |ring: &ControlSeal, of, text: &str| serde_json::to_value(ring.seal(of, &Secret::new(text.into())).unwrap()).unwrap();
        let entry = serde_json::json!({"AwsConnection": {
            "id": id, "name": "aws", "description": null, "access_key_id": null, "region": null, "labels": {}, "meta": {}, "products": [],
            "assume_role": {"arn": null, "external_id": null}, "sts_endpoints": "legacy", "cloud": "aws",
            "secret": sealed(&ring, SecretOf::AwsConnection(id), "sesame"),
            "role_anywhere": {"role_arn": "", "certificate": "", "profile_arn": "", "trust_anchor_arn": "",
                "private_key": sealed(&ring, SecretOf::RoleAnywhere(id), "open")},
            "stamps": {"created_ns": 1, "updated_ns": 1},
        }});
        let mut entry: Entry = serde_json::from_value(entry).unwrap();
        ring = ControlSeal::new(Arc::new(SealRing::new(again(&new), vec![old])));
        for (of, secret) in secrets(&mut entry) {
            assert!(ring.reseal(of, secret).unwrap());
        }
        let alone = ControlSeal::new(Arc::new(SealRing::new(new, Vec::new())));
        let opened: Vec<_> =
            secrets(&mut entry).into_iter().map(|(of, secret)| alone.open(of, secret).unwrap().expose().to_owned()).collect();
        assert_eq!(opened, ["sesame", "open"]);
    }

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
            version: 1,
            stamps: Stamps::default(),
        };
        assert_eq!(seal.open_credential(&entry).unwrap().expose(), "sesame");
        assert!(!serde_json::to_string(&entry).unwrap().contains("sesame"));
        assert!(seal.open(SecretOf::SigningKey(id.0), &entry.secret).is_err());
        entry.id = CredentialId(Uuid::from_u128(3));
        assert!(seal.open_credential(&entry).is_err());
    }
}
