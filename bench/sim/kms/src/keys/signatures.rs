//! `Sign`, `Verify`, `GenerateMac`, `VerifyMac`, `GetPublicKey`.
//!
//! Always holds: the key's usage and the algorithm are checked before its material is touched; a signature or MAC that is not one is an
//! exception, as with AWS, never an answer.

use aws_lc_rs::hmac;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    blob::Blob,
    demand::Demand,
    find,
    material::Material,
    metadata::{key_id, shown_state},
    signing::{MessageType, NotSigned},
    spec::{KeyUsage, Kind, MacAlgorithm, SigningAlgorithm},
};
use crate::{
    call::{Call, required},
    error::{AwsException, ErrorName},
    state::Key,
};

/// `Sign`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn sign(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let input: SignInput = call.input(body)?;
    let algorithm = required(input.signing_algorithm, "signingAlgorithm")?;
    let message = checked_message(input.message, "message")?;
    let digest = digest(algorithm, &message, input.message_type)?;
    let (arn, material) = usable(call, &required(input.key_id, "keyId")?, |key| signs(call, key, algorithm))?;
    dry(input.dry_run)?;
    let signature = algorithm.sign(&material, &digest).map_err(|error| not_signed(algorithm, &error))?;
    Ok(json!({"KeyId": arn, "Signature": Blob(signature), "SigningAlgorithm": algorithm}))
}

/// `Verify`.
///
/// # Errors
/// Those of the API reference; `KMSInvalidSignatureException`: it is none.
pub(crate) fn verify(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let input: SignInput = call.input(body)?;
    let algorithm = required(input.signing_algorithm, "signingAlgorithm")?;
    let message = checked_message(input.message, "message")?;
    let signature = required(input.signature, "signature")?;
    let digest = digest(algorithm, &message, input.message_type)?;
    let (arn, material) = usable(call, &required(input.key_id, "keyId")?, |key| signs(call, key, algorithm))?;
    dry(input.dry_run)?;
    if !algorithm.verify(&material, &digest, &signature.0).map_err(|error| not_signed(algorithm, &error))? {
        return Err(AwsException::new(ErrorName::KmsInvalidSignature, ""));
    }
    Ok(json!({"KeyId": arn, "SignatureValid": true, "SigningAlgorithm": algorithm}))
}

/// `GenerateMac`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn generate_mac(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let input: MacInput = call.input(body)?;
    let algorithm = required(input.mac_algorithm, "macAlgorithm")?;
    let message = checked_message(input.message, "message")?;
    let (arn, material) = usable(call, &required(input.key_id, "keyId")?, |key| macs(call, key, algorithm))?;
    dry(input.dry_run)?;
    let mac = hmac::sign(&hmac_key(algorithm, &material), &message);
    Ok(json!({"KeyId": arn, "Mac": Blob(mac.as_ref().to_vec()), "MacAlgorithm": algorithm}))
}

/// `VerifyMac`.
///
/// # Errors
/// Those of the API reference; `KMSInvalidMacException`: it is none.
pub(crate) fn verify_mac(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let input: MacInput = call.input(body)?;
    let algorithm = required(input.mac_algorithm, "macAlgorithm")?;
    let message = checked_message(input.message, "message")?;
    let mac = required(input.mac, "mac")?;
    let (arn, material) = usable(call, &required(input.key_id, "keyId")?, |key| macs(call, key, algorithm))?;
    dry(input.dry_run)?;
    hmac::verify(&hmac_key(algorithm, &material), &message, &mac.0).map_err(|_| AwsException::new(ErrorName::KmsInvalidMac, ""))?;
    Ok(json!({"KeyId": arn, "MacValid": true, "MacAlgorithm": algorithm}))
}

/// `GetPublicKey`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn public_key(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let id = key_id(call, body)?;
    let key = call.look(|region| find::key_or_alias(region, call, &id).cloned())?;
    if key.spec.kind() != Kind::Asymmetric {
        let message = format!("{} is not an asymmetric KMS key.", key.arn);
        return Err(AwsException::new(ErrorName::UnsupportedOperation, message));
    }
    Demand::Use.check(&key)?;
    let public = key.current().and_then(|(_, material)| material.public_key()).ok_or_else(|| no_material(&key))?;
    let mut members = Map::new();
    members.insert("KeyId".into(), key.arn.into());
    members.insert("PublicKey".into(), json!(Blob(public)));
    members.insert("CustomerMasterKeySpec".into(), json!(key.spec));
    members.insert("KeySpec".into(), json!(key.spec));
    members.insert("KeyUsage".into(), json!(key.usage));
    match key.usage {
        KeyUsage::EncryptDecrypt => members.insert("EncryptionAlgorithms".into(), json!(key.spec.encryption_algorithms())),
        KeyUsage::SignVerify => members.insert("SigningAlgorithms".into(), json!(key.spec.signing_algorithms())),
        KeyUsage::GenerateVerifyMac => None,
    };
    Ok(Value::Object(members))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SignInput {
    key_id: Option<String>,
    message: Option<Blob>,
    message_type: Option<MessageType>,
    signing_algorithm: Option<SigningAlgorithm>,
    signature: Option<Blob>,
    dry_run: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MacInput {
    key_id: Option<String>,
    message: Option<Blob>,
    mac_algorithm: Option<MacAlgorithm>,
    mac: Option<Blob>,
    dry_run: Option<bool>,
}

/// The ARN and the current material of a key that passes `check` and may be used.
fn usable(call: &Call, name: &str, check: impl Fn(&Key) -> Result<(), AwsException>) -> Result<(String, Material), AwsException> {
    call.look(|region| {
        let key = find::key_or_alias(region, call, name)?;
        check(key)?;
        Demand::Use.check_state(key, shown_state(region, key))?;
        let (_, material) = key.current().ok_or_else(|| no_material(key))?;
        Ok((key.arn.clone(), material.clone()))
    })
}

fn signs(call: &Call, key: &Key, algorithm: SigningAlgorithm) -> Result<(), AwsException> {
    used_for(call, key, KeyUsage::SignVerify)?;
    if key.spec.signing_algorithms().contains(&algorithm) { Ok(()) } else { Err(other_algorithm(key, &json!(algorithm))) }
}

fn macs(call: &Call, key: &Key, algorithm: MacAlgorithm) -> Result<(), AwsException> {
    used_for(call, key, KeyUsage::GenerateVerifyMac)?;
    if key.spec.mac_algorithms().contains(&algorithm) { Ok(()) } else { Err(other_algorithm(key, &json!(algorithm))) }
}

fn used_for(call: &Call, key: &Key, usage: KeyUsage) -> Result<(), AwsException> {
    if key.usage == usage {
        return Ok(());
    }
    let message = format!("{} key usage is {} which is not valid for {}.", key.arn, key.usage.name(), call.operation);
    Err(AwsException::new(ErrorName::InvalidKeyUsage, message))
}

fn other_algorithm(key: &Key, algorithm: &Value) -> AwsException {
    let message = format!("Algorithm {} is incompatible with key spec {}.", algorithm.as_str().unwrap_or_default(), key.spec.name());
    AwsException::new(ErrorName::InvalidKeyUsage, message)
}

fn no_material(key: &Key) -> AwsException {
    AwsException::new(ErrorName::KmsInvalidState, format!("{} is pending import.", key.arn))
}

fn checked_message(message: Option<Blob>, member: &str) -> Result<Vec<u8>, AwsException> {
    let message = required(message, member)?.0;
    if (1..=MAX_MESSAGE).contains(&message.len()) {
        return Ok(message);
    }
    let bound = if message.is_empty() { "greater than or equal to 1".to_owned() } else { format!("less than or equal to {MAX_MESSAGE}") };
    Err(AwsException::invalid(format!(
        "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must have length {bound}"
    )))
}

fn digest(algorithm: SigningAlgorithm, message: &[u8], of: Option<MessageType>) -> Result<aws_lc_rs::digest::Digest, AwsException> {
    algorithm.digest(message, of.unwrap_or_default()).map_err(|error| not_signed(algorithm, &error))
}

fn not_signed(algorithm: SigningAlgorithm, error: &NotSigned) -> AwsException {
    match error {
        NotSigned::DigestLength => {
            let algorithm = json!(algorithm);
            AwsException::invalid(format!("Digest is invalid length for algorithm {}.", algorithm.as_str().unwrap_or_default()))
        }
        NotSigned::OtherSpec => AwsException::new(ErrorName::InvalidKeyUsage, error.to_string()),
        NotSigned::Refused => AwsException::new(ErrorName::KmsInternal, error.to_string()),
    }
}

fn dry(run: Option<bool>) -> Result<(), AwsException> {
    if run == Some(true) {
        return Err(AwsException::new(ErrorName::DryRunOperation, "The request would have succeeded, but the DryRun option is set."));
    }
    Ok(())
}

fn hmac_key(algorithm: MacAlgorithm, material: &Material) -> hmac::Key {
    let algorithm = match algorithm {
        MacAlgorithm::Sha224 => hmac::HMAC_SHA224,
        MacAlgorithm::Sha256 => hmac::HMAC_SHA256,
        MacAlgorithm::Sha384 => hmac::HMAC_SHA384,
        MacAlgorithm::Sha512 => hmac::HMAC_SHA512,
    };
    hmac::Key::new(algorithm, material.bytes())
}

const MAX_MESSAGE: usize = 4096;
