//! The proxy's half of the double encryption.
//!
//! Always holds: what a proxy encrypted is taken only if its sizes are as the specification says and its integrity value (CDIV) is right.
//! CDIV = SHA-256(AAD ‖ ciphertextMetadata ‖ IV ‖ ciphertext ‖ tag), specification, "Encrypt".

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{Context, SHA256},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{Asked, ProxyError, Target, ask};
use crate::call::Call;

/// What a proxy made of a plaintext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) iv: Vec<u8>,
    pub(crate) tag: Vec<u8>,
    /// Empty where the proxy gave none.
    pub(crate) metadata: Vec<u8>,
}

/// Which external key is used, and for which KMS key.
pub(crate) struct Use<'u> {
    pub(crate) target: &'u Target,
    pub(crate) key_arn: &'u str,
    pub(crate) xks_key_id: &'u str,
    /// Bound to the ciphertext; empty is not sent.
    pub(crate) aad: &'u [u8],
}

/// Has the proxy encrypt.
///
/// # Errors
/// Those of [`ask`], and an answer that is not as the specification says.
pub(crate) async fn encrypt(call: &Call, with: &Use<'_>, plaintext: &[u8]) -> Result<Sealed, ProxyError> {
    let mut body = json!({
        "requestMetadata": request_metadata(call, with),
        "plaintext": BASE64_STANDARD.encode(plaintext),
        "encryptionAlgorithm": "AES_GCM",
        "ciphertextDataIntegrityValueAlgorithm": "SHA_256",
    });
    put(&mut body, "additionalAuthenticatedData", with.aad);
    let suffix = format!("/keys/{}/encrypt", with.xks_key_id);
    let answer = ask(&call.shared, with.target, &Asked { suffix: &suffix, body }).await?;
    let sealed = Sealed {
        ciphertext: bytes(&answer, "ciphertext")?,
        iv: bytes(&answer, "initializationVector")?,
        tag: bytes(&answer, "authenticationTag")?,
        metadata: if answer["ciphertextMetadata"].is_null() { Vec::new() } else { bytes(&answer, "ciphertextMetadata")? },
    };
    let fits = sealed.ciphertext.len() == plaintext.len()
        && [12, 16].contains(&sealed.iv.len())
        && sealed.tag.len() == 16
        && sealed.metadata.len() <= 20;
    if !fits {
        return Err(ProxyError::Unreadable("a part of the ciphertext has the wrong length".into()));
    }
    let claimed = bytes(&answer, "ciphertextDataIntegrityValue")?;
    if verify_slices_are_equal(&claimed, &integrity(with.aad, &sealed)).is_err() {
        return Err(ProxyError::Unreadable("its ciphertextDataIntegrityValue is wrong".into()));
    }
    Ok(sealed)
}

/// Has the proxy decrypt.
///
/// # Errors
/// Those of [`ask`], and an answer that is not as the specification says.
pub(crate) async fn decrypt(call: &Call, with: &Use<'_>, sealed: &Sealed) -> Result<Vec<u8>, ProxyError> {
    let mut body = json!({
        "requestMetadata": request_metadata(call, with),
        "ciphertext": BASE64_STANDARD.encode(&sealed.ciphertext),
        "encryptionAlgorithm": "AES_GCM",
        "initializationVector": BASE64_STANDARD.encode(&sealed.iv),
        "authenticationTag": BASE64_STANDARD.encode(&sealed.tag),
    });
    put(&mut body, "additionalAuthenticatedData", with.aad);
    put(&mut body, "ciphertextMetadata", &sealed.metadata);
    let suffix = format!("/keys/{}/decrypt", with.xks_key_id);
    let answer = ask(&call.shared, with.target, &Asked { suffix: &suffix, body }).await?;
    let plaintext = bytes(&answer, "plaintext")?;
    if plaintext.len() == sealed.ciphertext.len() {
        Ok(plaintext)
    } else {
        Err(ProxyError::Unreadable("the plaintext has the wrong length".into()))
    }
}

/// Via no other service of AWS, and from no VPC.
fn request_metadata(call: &Call, with: &Use<'_>) -> Value {
    json!({
        "awsPrincipalArn": call.caller.principal,
        "kmsOperation": call.operation,
        "kmsRequestId": call.request_id,
        "kmsKeyArn": with.key_arn,
    })
}

fn put(body: &mut Value, name: &str, part: &[u8]) {
    if !part.is_empty() {
        body[name] = BASE64_STANDARD.encode(part).into();
    }
}

fn bytes(answer: &Value, name: &str) -> Result<Vec<u8>, ProxyError> {
    let decoded = answer[name].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
    decoded.ok_or_else(|| ProxyError::Unreadable(format!("{name} is not there or is not base64")))
}

fn integrity(aad: &[u8], sealed: &Sealed) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    for part in [aad, &sealed.metadata, &sealed.iv, &sealed.ciphertext, &sealed.tag] {
        hash.update(part);
    }
    let mut value = [0; 32];
    value.copy_from_slice(hash.finish().as_ref());
    value
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn the_known_answer_of_the_specification_is_reached() {
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
        let sealed = Sealed {
            ciphertext: hex("821c642b5b71783367deaf18"),
            iv: hex("1ccae5470f39700254779031"),
            tag: hex("bc1c4dda7707d6812447c5955e99b261"),
            metadata: b"key_version=1".to_vec(),
        };
        let value = integrity(b"project=nile,department=marketing", &sealed);
        assert_eq!(BASE64_STANDARD.encode(value), "qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc=");
    }
}
