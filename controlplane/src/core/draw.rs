//! What is drawn from the operating system's generator.

use aws_lc_rs::{error::Unspecified, rand};
use base64::{Engine, prelude::BASE64_STANDARD};
use holdfast_proto::{ids::AccessKeyId, secret::Secret};
use zeroize::Zeroizing;

use super::CoreError;

/// The tag of a version.
pub(super) fn tag() -> Result<[u8; 4], CoreError> {
    bytes()
}

/// A SigV4 access key id of 20 characters (100 bits).
pub(super) fn access_key_id() -> Result<AccessKeyId, CoreError> {
    let text = text::<20>(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")?;
    AccessKeyId::try_from(text.as_str()).map_err(|_| CoreError::Random)
}

/// A SigV4 secret access key: 264 bits as 44 characters, of the 43–64 of `[A-Za-z0-9/+=]` that AWS KMS takes (CreateCustomKeyStore API).
pub(super) fn secret_access_key() -> Result<Secret, CoreError> {
    let bytes = Zeroizing::new(bytes::<33>()?);
    Ok(Secret::new(BASE64_STANDARD.encode(bytes.as_ref())))
}

/// Eight characters that tell one demo's path from another's.
pub(super) fn suffix() -> Result<String, CoreError> {
    // Without look-alikes: 32 of them, so that each is as likely.
    text::<8>(b"abcdefghjkmnpqrstuvwxyz023456789")
}

fn text<const N: usize>(alphabet: &[u8; 32]) -> Result<String, CoreError> {
    let bytes = bytes::<N>()?;
    Ok(bytes.iter().map(|byte| char::from(alphabet[usize::from(byte & 31)])).collect())
}

fn bytes<const N: usize>() -> Result<[u8; N], CoreError> {
    let mut out = [0; N];
    rand::fill(&mut out).map_err(|Unspecified| CoreError::Random)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_is_drawn_has_the_form_that_kms_takes_and_does_not_repeat() {
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let (id, secret, suffix) = (access_key_id().unwrap(), secret_access_key().unwrap(), suffix().unwrap());
            assert_eq!((id.as_str().len(), secret.expose().len(), suffix.len()), (20, 44, 8));
            assert!(secret.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b"/+".contains(&b)));
            assert!(suffix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
            assert!(seen.insert(id.to_string()) && seen.insert(secret.expose().to_owned()) && seen.insert(suffix));
        }
    }
}
