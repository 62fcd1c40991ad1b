//! `Encrypt`, `Decrypt`, `ReEncrypt`, `GenerateDataKey` and `GenerateDataKeyWithoutPlaintext`, for keys of every origin.
//!
//! Always holds: a key in an external key store encrypts twice, first with KMS's own material, then by its proxy, so that neither half alone
//! decrypts; what a symmetric key encrypts names the key. Source: KMS API reference; Developer Guide, "How external key stores work".

use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::subject::{Made, Subject, Text};
use crate::{
    call::{Call, required},
    draw,
    error::{AwsException, ErrorName},
    keys::{blob::Blob, native::Context, spec::EncryptionAlgorithm},
};

mod envelope;
mod subject;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptInput {
    key_id: Option<String>,
    plaintext: Option<Blob>,
    encryption_context: Option<Context>,
    encryption_algorithm: Option<EncryptionAlgorithm>,
    dry_run: Option<bool>,
}

/// `Encrypt`.
///
/// # Errors
/// Those of the API reference.
pub(crate) async fn encrypt(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let input: EncryptInput = call.input(body)?;
    let Blob(plaintext) = within(required(input.plaintext, "plaintext")?, "plaintext", MOST_PLAINTEXT)?;
    let context = checked(input.encryption_context)?;
    let algorithm = input.encryption_algorithm.unwrap_or(EncryptionAlgorithm::SymmetricDefault);
    let subject = Subject::find(call, &required(input.key_id, "keyId")?)?;
    let text = Text { algorithm, context: &context, bytes: &plaintext };
    subject.check(call, &text)?;
    dry(input.dry_run)?;
    let made = subject.encrypt(call, &text).await?;
    Ok(json!({"CiphertextBlob": Blob(made.bytes), "KeyId": subject.arn(), "EncryptionAlgorithm": algorithm}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DecryptInput {
    ciphertext_blob: Option<Blob>,
    key_id: Option<String>,
    encryption_context: Option<Context>,
    encryption_algorithm: Option<EncryptionAlgorithm>,
    recipient: Option<Value>,
    dry_run: Option<bool>,
}

/// `Decrypt`.
///
/// # Errors
/// Those of the API reference.
pub(crate) async fn decrypt(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let input: DecryptInput = call.input(body)?;
    no_recipient(input.recipient.as_ref())?;
    let Blob(ciphertext) = within(required(input.ciphertext_blob, "ciphertextBlob")?, "ciphertextBlob", MOST_CIPHERTEXT)?;
    let context = checked(input.encryption_context)?;
    let algorithm = input.encryption_algorithm.unwrap_or(EncryptionAlgorithm::SymmetricDefault);
    let subject = Subject::of_ciphertext(call, input.key_id.as_deref(), algorithm, &ciphertext)?;
    let text = Text { algorithm, context: &context, bytes: &ciphertext };
    subject.check(call, &text)?;
    dry(input.dry_run)?;
    let made = subject.decrypt(call, &text).await?;
    let mut answer = Map::new();
    answer.insert("Plaintext".into(), json!(Blob(made.bytes)));
    answer.insert("KeyId".into(), subject.arn().into());
    answer.insert("EncryptionAlgorithm".into(), json!(algorithm));
    put(&mut answer, "KeyMaterialId", made.material_id);
    Ok(answer.into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReEncryptInput {
    ciphertext_blob: Option<Blob>,
    source_key_id: Option<String>,
    source_encryption_context: Option<Context>,
    source_encryption_algorithm: Option<EncryptionAlgorithm>,
    destination_key_id: Option<String>,
    destination_encryption_context: Option<Context>,
    destination_encryption_algorithm: Option<EncryptionAlgorithm>,
    dry_run: Option<bool>,
}

/// `ReEncrypt`.
///
/// # Errors
/// Those of the API reference.
pub(crate) async fn re_encrypt(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let input: ReEncryptInput = call.input(body)?;
    let Blob(ciphertext) = within(required(input.ciphertext_blob, "ciphertextBlob")?, "ciphertextBlob", MOST_CIPHERTEXT)?;
    let (from_context, to_context) = (checked(input.source_encryption_context)?, checked(input.destination_encryption_context)?);
    let from_algorithm = input.source_encryption_algorithm.unwrap_or(EncryptionAlgorithm::SymmetricDefault);
    let to_algorithm = input.destination_encryption_algorithm.unwrap_or(EncryptionAlgorithm::SymmetricDefault);
    let to = Subject::find(call, &required(input.destination_key_id, "destinationKeyId")?)?;
    let from = Subject::of_ciphertext(call, input.source_key_id.as_deref(), from_algorithm, &ciphertext)?;
    let source = Text { algorithm: from_algorithm, context: &from_context, bytes: &ciphertext };
    from.check(call, &source)?;
    to.check(call, &Text { algorithm: to_algorithm, context: &to_context, bytes: &[] })?;
    dry(input.dry_run)?;
    let plain = from.decrypt(call, &source).await?;
    let made = to.encrypt(call, &Text { algorithm: to_algorithm, context: &to_context, bytes: &plain.bytes }).await?;
    let mut answer = Map::new();
    answer.insert("CiphertextBlob".into(), json!(Blob(made.bytes)));
    answer.insert("SourceKeyId".into(), from.arn().into());
    answer.insert("KeyId".into(), to.arn().into());
    answer.insert("SourceEncryptionAlgorithm".into(), json!(from_algorithm));
    answer.insert("DestinationEncryptionAlgorithm".into(), json!(to_algorithm));
    put(&mut answer, "SourceKeyMaterialId", plain.material_id);
    put(&mut answer, "DestinationKeyMaterialId", made.material_id);
    Ok(answer.into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataKeyInput {
    key_id: Option<String>,
    key_spec: Option<DataKeySpec>,
    number_of_bytes: Option<i64>,
    encryption_context: Option<Context>,
    recipient: Option<Value>,
    dry_run: Option<bool>,
}

#[derive(Clone, Copy, Deserialize)]
enum DataKeySpec {
    #[serde(rename = "AES_128")]
    Aes128,
    #[serde(rename = "AES_256")]
    Aes256,
}

/// `GenerateDataKey`.
///
/// # Errors
/// Those of the API reference.
pub(crate) async fn data_key(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let (mut answer, plaintext) = new_data_key(call, body).await?;
    answer.insert("Plaintext".into(), json!(Blob(plaintext)));
    Ok(answer.into())
}

/// `GenerateDataKeyWithoutPlaintext`.
///
/// # Errors
/// Those of the API reference.
pub(crate) async fn data_key_alone(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let (answer, _) = new_data_key(call, body).await?;
    Ok(answer.into())
}

async fn new_data_key(call: &Call, body: &Value) -> Result<(Map<String, Value>, Vec<u8>), AwsException> {
    let input: DataKeyInput = call.input(body)?;
    no_recipient(input.recipient.as_ref())?;
    let len = match (input.key_spec, input.number_of_bytes) {
        (Some(DataKeySpec::Aes128), None) => 16,
        (Some(DataKeySpec::Aes256), None) => 32,
        (None, Some(wanted)) => usize::try_from(wanted)
            .ok()
            .filter(|len| (1..=1024).contains(len))
            .ok_or_else(|| AwsException::out_of_range("numberOfBytes", wanted, (1, 1024)))?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(AwsException::invalid("Please specify either number of bytes or key spec."));
        }
    };
    let context = checked(input.encryption_context)?;
    let subject = Subject::find(call, &required(input.key_id, "keyId")?)?;
    let mut plaintext = vec![0; len];
    draw::fill(&mut plaintext);
    let text = Text { algorithm: EncryptionAlgorithm::SymmetricDefault, context: &context, bytes: &plaintext };
    subject.check(call, &text)?;
    dry(input.dry_run)?;
    let Made { bytes, material_id } = subject.encrypt(call, &text).await?;
    let mut answer = Map::new();
    answer.insert("CiphertextBlob".into(), json!(Blob(bytes)));
    answer.insert("KeyId".into(), subject.arn().into());
    put(&mut answer, "KeyMaterialId", material_id);
    Ok((answer, plaintext))
}

fn put(answer: &mut Map<String, Value>, name: &str, value: Option<String>) {
    if let Some(value) = value {
        answer.insert(name.to_owned(), value.into());
    }
}

fn within(blob: Blob, member: &str, most: usize) -> Result<Blob, AwsException> {
    let bound = if blob.0.is_empty() {
        "greater than or equal to 1".to_owned()
    } else if blob.0.len() > most {
        format!("less than or equal to {most}")
    } else {
        return Ok(blob);
    };
    Err(AwsException::invalid(format!(
        "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must have length {bound}"
    )))
}

/// AWS bounds the context by its JSON.
fn checked(context: Option<Context>) -> Result<Context, AwsException> {
    let context = context.unwrap_or_default();
    if json!(context).to_string().len() > MOST_CONTEXT {
        return Err(AwsException::invalid(format!("The encryption context is longer than {MOST_CONTEXT} characters.")));
    }
    Ok(context)
}

fn dry(run: Option<bool>) -> Result<(), AwsException> {
    if run == Some(true) {
        return Err(AwsException::new(ErrorName::DryRunOperation, "The request would have succeeded, but the DryRun option is set."));
    }
    Ok(())
}

/// Nitro enclaves are not simulated.
///
/// # Errors
/// `UnsupportedOperationException`: one is named.
pub(crate) fn no_recipient(recipient: Option<&Value>) -> Result<(), AwsException> {
    if recipient.is_some_and(|recipient| !recipient.is_null()) {
        return Err(AwsException::new(ErrorName::UnsupportedOperation, "Recipients (Nitro enclaves) are not simulated."));
    }
    Ok(())
}

const MOST_PLAINTEXT: usize = 4096;
const MOST_CIPHERTEXT: usize = 6144;
const MOST_CONTEXT: usize = 8192;
