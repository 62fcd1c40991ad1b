//! Passwords: hashed with Argon2id (RFC 9106), generated where none is given.

use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use aws_lc_rs::{error::Unspecified, rand};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use holdfast_proto::secret::Secret;

/// A PHC string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed(String);

/// Hashing failed: no randomness, or no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hashing a password failed")]
pub struct HashFailed;

impl Hashed {
    /// Hashes `password` under a fresh salt. Slow by design: not on a request core.
    ///
    /// # Errors
    /// [`HashFailed`].
    pub fn new(password: &Secret) -> Result<Self, HashFailed> {
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|Unspecified| HashFailed)?;
        let salt = SaltString::encode_b64(&salt).map_err(|_| HashFailed)?;
        let hash = Argon2::default().hash_password(password.expose().as_bytes(), &salt).map_err(|_| HashFailed)?;
        Ok(Self(hash.to_string()))
    }

    /// One made by [`Hashed::new`].
    #[must_use]
    pub const fn stored(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the hash of `password`. Slow by design.
    #[must_use]
    pub fn verify(&self, password: &Secret) -> bool {
        PasswordHash::new(&self.0).is_ok_and(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok())
    }
}

/// A password of 24 characters that nobody has to type twice: 144 random bits.
///
/// # Errors
/// [`HashFailed`] without randomness.
pub fn generate() -> Result<Secret, HashFailed> {
    let mut bytes = zeroize::Zeroizing::new([0; 18]);
    rand::fill(bytes.as_mut()).map_err(|Unspecified| HashFailed)?;
    Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_argon2id_and_fits_its_password_only() {
        let password = generate().unwrap();
        let hashed = Hashed::new(&password).unwrap();
        assert!(hashed.as_str().starts_with("$argon2id$v=19$"));
        assert!(hashed.verify(&password));
        assert!(!hashed.verify(&generate().unwrap()));
        assert!(!Hashed::stored(String::new()).verify(&password));
        assert_eq!(password.expose().len(), 24);
    }
}
