//! `GetKeyMetadata`: whether an external key can back a KMS key.
//!
//! Always holds: an external key that passes is AES-256, enabled, and encrypts and decrypts.

use serde_json::{Value, json};

use super::{Asked, ProxyError, ask};
use crate::{
    call::Call,
    error::{AwsException, ErrorName},
    state::Region,
    stores::{find_connected, target_of},
};

/// Asks the store's proxy for an external key, for `CreateKey` with the origin `EXTERNAL_KEY_STORE`.
///
/// # Errors
/// `CustomKeyStoreNotFoundException`, `CustomKeyStoreInvalidStateException`, `XksKeyAlreadyInUseException`, `XksKeyNotFoundException`,
/// `XksKeyInvalidConfigurationException`, `UnsupportedOperationException` (the store is a CloudHSM store).
pub(crate) async fn describe(call: &Call, store_id: &str, xks_key_id: &str) -> Result<(), AwsException> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if !(1..=128).contains(&xks_key_id.len()) || !xks_key_id.bytes().all(fits) || xks_key_id == "." || xks_key_id == ".." {
        return Err(AwsException::invalid(format!(
            "1 validation error detected: Value '{xks_key_id}' at 'xksKeyId' failed to satisfy constraint: Member must satisfy regular \
             expression pattern: ^[a-zA-Z0-9-_.]+$"
        )));
    }
    let target = call.look(|region| {
        let store = find_connected(region, store_id)?;
        free(region, store_id, xks_key_id)?;
        target_of(&call.region, store)
            .ok_or_else(|| AwsException::new(ErrorName::UnsupportedOperation, format!("{store_id} is no external key store.")))
    })?;
    let body = json!({
        "requestMetadata": {"awsPrincipalArn": call.caller.principal, "kmsOperation": call.operation, "kmsRequestId": call.request_id}
    });
    let suffix = format!("/keys/{xks_key_id}/metadata");
    let answer = ask(&call.shared, &target, &Asked { suffix: &suffix, body }).await.map_err(|error| error.at_key())?;
    judge(&answer)
}

/// Fails if another KMS key of the store has this external key. To be asked once more when the key is made.
///
/// # Errors
/// `XksKeyAlreadyInUseException`.
pub(crate) fn free(region: &Region, store_id: &str, xks_key_id: &str) -> Result<(), AwsException> {
    let mut keys = region.keys.values();
    let used = keys.any(|key| key.store_id.as_deref() == Some(store_id) && key.xks_key_id.as_deref() == Some(xks_key_id));
    let text = format!("The external key {xks_key_id} is in use by another KMS key of the key store.");
    if used { Err(AwsException::new(ErrorName::XksKeyAlreadyInUse, text)) } else { Ok(()) }
}

fn judge(answer: &Value) -> Result<(), AwsException> {
    let (spec, status, usages) = (answer["keySpec"].as_str(), answer["keyStatus"].as_str(), answer["keyUsage"].as_array());
    let (Some(spec), Some(status), Some(usages)) = (spec, status, usages) else {
        return Err(ProxyError::Unreadable("the external key's metadata is not whole".into()).at_key());
    };
    if usages.len() > MOST_USAGES || !usages.iter().all(Value::is_string) {
        return Err(ProxyError::Unreadable(format!("keyUsage is no array of at most {MOST_USAGES} texts")).at_key());
    }
    let allows = |usage: &str| usages.iter().any(|one| one == usage);
    let wrong = if spec != "AES_256" {
        format!("The key spec of the external key must be AES_256. The key spec of specified external key is {spec}.")
    } else if status != "ENABLED" {
        format!("The status of the external key must be ENABLED. The status of specified external key is {status}.")
    } else if !allows("ENCRYPT") || !allows("DECRYPT") {
        let found: Vec<_> = usages.iter().filter_map(Value::as_str).collect();
        let found = found.join(", ");
        format!("The key usage of the external key must include ENCRYPT and DECRYPT. The key use of specified external key is {found}.")
    } else {
        return Ok(());
    };
    Err(AwsException::new(ErrorName::XksKeyInvalidConfiguration, wrong))
}

/// Specification, "GetKeyMetadata".
const MOST_USAGES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_key_is_aes_256_enabled_and_encrypts_and_decrypts() {
        let metadata = |spec: &str, status: &str, usages: Value| json!({"keySpec": spec, "keyStatus": status, "keyUsage": usages});
        let both = json!(["ENCRYPT", "DECRYPT"]);
        let (wrong, unreadable) = ("XksKeyInvalidConfigurationException", "CustomKeyStoreInvalidStateException");
        for (answer, refused) in [
            (metadata("AES_256", "ENABLED", both.clone()), None),
            (metadata("AES_256", "ENABLED", json!(["WRAP", "DECRYPT", "ENCRYPT"])), None),
            (metadata("AES_128", "ENABLED", both.clone()), Some(wrong)),
            (metadata("AES_256", "DISABLED", both.clone()), Some(wrong)),
            (metadata("AES_256", "ENABLED", json!(["ENCRYPT"])), Some(wrong)),
            (metadata("AES_256", "ENABLED", json!("ENCRYPT")), Some(unreadable)),
            (metadata("AES_256", "ENABLED", json!(["ENCRYPT", "DECRYPT", 3])), Some(unreadable)),
            (metadata("AES_256", "ENABLED", ["ENCRYPT", "DECRYPT"].repeat(6).into()), Some(unreadable)),
            (json!({"keySpec": "AES_256", "keyUsage": both}), Some(unreadable)),
        ] {
            let told = judge(&answer).err().map(|error| error.name().to_owned());
            assert_eq!(told.as_deref(), refused, "{answer}");
        }
    }
}
