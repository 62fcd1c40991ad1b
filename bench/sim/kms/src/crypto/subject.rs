//! The key of a cryptographic operation: found, checked, and used.
//!
//! Always holds: only a key that may be used now becomes a [`Subject`]; a request to a proxy is made without the state's lock and within the
//! store's request quota.

use std::time::Instant;

use super::envelope::{Content, Envelope};
use crate::{
    call::{Call, required},
    error::{AwsException, ErrorName},
    keys::{
        demand::Demand,
        find,
        metadata::shown_state,
        native::{self, Context, Native},
        spec::EncryptionAlgorithm,
    },
    state::{Key, Origin, Region},
    stores::target_of,
    xks::{
        ProxyError, Target,
        crypt::{self, Sealed, Use},
    },
};

/// A key that may be used now.
pub(super) struct Subject {
    key: Key,
    /// Of a key in an external key store.
    external: Option<External>,
}

struct External {
    target: Target,
    xks_key_id: String,
}

/// What is encrypted or decrypted, and how.
pub(super) struct Text<'t> {
    pub(super) algorithm: EncryptionAlgorithm,
    pub(super) context: &'t Context,
    pub(super) bytes: &'t [u8],
}

/// What came of it.
pub(super) struct Made {
    pub(super) bytes: Vec<u8>,
    /// Told of symmetric keys in KMS's own key store only.
    pub(super) material_id: Option<String>,
}

impl Subject {
    /// The key of this name.
    pub(super) fn find(call: &Call, name: &str) -> Result<Self, AwsException> {
        call.look(|region| Self::usable(call, region, find::key_or_alias(region, call, name)?))
    }

    /// The key that made a ciphertext, which must be the named one, if one is named.
    pub(super) fn of_ciphertext(
        call: &Call,
        name: Option<&str>,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Self, AwsException> {
        if algorithm != EncryptionAlgorithm::SymmetricDefault {
            return Self::find(call, required(name, "keyId")?);
        }
        let made_by = Envelope::read(ciphertext).ok_or_else(invalid)?.key_id;
        call.look(|region| {
            let key = match name {
                Some(name) => find::key_or_alias(region, call, name)?,
                None => region.keys.get(&made_by).ok_or_else(of_nobody)?,
            };
            if key.id != made_by {
                let text = "The key ID in the request does not identify a CMK that can perform this operation.";
                return Err(AwsException::new(ErrorName::IncorrectKey, text));
            }
            Self::usable(call, region, key)
        })
    }

    fn usable(call: &Call, region: &Region, key: &Key) -> Result<Self, AwsException> {
        Demand::Use.check_state(key, shown_state(region, key))?;
        let external = match (key.origin, &key.xks_key_id) {
            (Origin::ExternalKeyStore, Some(xks_key_id)) => {
                let store = key.store_id.as_ref().and_then(|id| region.stores.get(id));
                let target = store.and_then(|store| target_of(&call.region, store)).ok_or_else(|| lost(key))?;
                Some(External { target, xks_key_id: xks_key_id.clone() })
            }
            (Origin::ExternalKeyStore, None) => return Err(lost(key)),
            (Origin::AwsKms | Origin::External | Origin::AwsCloudHsm, _) => None,
        };
        Ok(Self { key: key.clone(), external })
    }

    /// The key's ARN.
    pub(super) fn arn(&self) -> &str {
        &self.key.arn
    }

    /// Fails unless the key is for encryption, with this algorithm and context.
    pub(super) fn check(&self, call: &Call, text: &Text<'_>) -> Result<(), AwsException> {
        let operation = &call.operation;
        native::checked(&self.key, &Native { algorithm: text.algorithm, text: text.bytes, context: text.context, operation })
    }

    /// Encrypts: the plaintext of the client becomes a ciphertext for the client.
    pub(super) async fn encrypt(&self, call: &Call, text: &Text<'_>) -> Result<Made, AwsException> {
        let Text { algorithm, context, bytes } = *text;
        let inner = native::encrypt(&self.key, &Native { algorithm, text: bytes, context, operation: &call.operation })?;
        if algorithm != EncryptionAlgorithm::SymmetricDefault {
            return Ok(Made { bytes: inner.text, material_id: None });
        }
        let content = match &self.external {
            None => Content::Once(inner.text),
            Some(external) => {
                let aad = aad(context);
                let with = self.with(call, external, &aad)?;
                Content::Twice(crypt::encrypt(call, &with, &inner.text).await.map_err(|error| error.at_crypto())?)
            }
        };
        let envelope = Envelope { key_id: self.key.id.clone(), content };
        let bytes = envelope.write().ok_or_else(|| AwsException::new(ErrorName::KmsInternal, "The ciphertext can't be written."))?;
        Ok(Made { bytes, material_id: self.told(inner.material_id) })
    }

    /// Decrypts: the other way round.
    pub(super) async fn decrypt(&self, call: &Call, text: &Text<'_>) -> Result<Made, AwsException> {
        let Text { algorithm, context, bytes } = *text;
        let inner = if algorithm == EncryptionAlgorithm::SymmetricDefault {
            let content = Envelope::read(bytes).ok_or_else(invalid)?.content;
            match (content, &self.external) {
                (Content::Once(inner), None) => inner,
                (Content::Twice(sealed), Some(external)) => self.opened(call, external, (context, &sealed)).await?,
                (Content::Once(_), Some(_)) | (Content::Twice(_), None) => return Err(invalid()),
            }
        } else {
            bytes.to_vec()
        };
        let done = native::decrypt(&self.key, &Native { algorithm, text: &inner, context, operation: &call.operation });
        // What is wrong with the inner half of two is told like what is wrong with the outer one.
        let done = if self.external.is_some() { done.map_err(|_| ProxyError::NotOurs.at_crypto())? } else { done? };
        Ok(Made { bytes: done.text, material_id: self.told(done.material_id) })
    }

    async fn opened(&self, call: &Call, external: &External, (context, sealed): (&Context, &Sealed)) -> Result<Vec<u8>, AwsException> {
        let aad = aad(context);
        let with = self.with(call, external, &aad)?;
        crypt::decrypt(call, &with, sealed).await.map_err(|error| error.at_crypto())
    }

    /// One request of the store's quota.
    fn with<'u>(&'u self, call: &Call, external: &'u External, aad: &'u [u8]) -> Result<Use<'u>, AwsException> {
        if !call.shared.rates.take(&external.target.store_id, Instant::now()) {
            let text = "You have exceeded the request rate quota of the custom key store. Reduce the frequency of your calls.";
            return Err(AwsException::new(ErrorName::Throttling, text));
        }
        Ok(Use { target: &external.target, key_arn: &self.key.arn, xks_key_id: &external.xks_key_id, aad })
    }

    fn told(&self, material_id: Option<String>) -> Option<String> {
        material_id.filter(|_| matches!(self.key.origin, Origin::AwsKms | Origin::External))
    }
}

/// The encryption context as the proxy gets it: sorted, `name=value`, joined by commas; nothing if it is empty.
fn aad(context: &Context) -> Vec<u8> {
    let pairs: Vec<_> = context.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(",").into_bytes()
}

fn lost(key: &Key) -> AwsException {
    AwsException::new(ErrorName::KmsInvalidState, format!("{} is unavailable.", key.arn))
}

fn of_nobody() -> AwsException {
    let text = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.";
    AwsException::new(ErrorName::AccessDenied, text)
}

fn invalid() -> AwsException {
    AwsException::new(ErrorName::InvalidCiphertext, "")
}
