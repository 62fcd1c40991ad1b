//! The bodies of the four operations: requests as KMS writes them, answers taken apart.
//!
//! Holds: a request made here is complete and good; a case changes what it is about. `Sealed` exists only
//! once every length and encoding in an Encrypt answer is what the protocol says.

use serde_json::{Map, Value, json};

use crate::answer::{Answer, Stop, Verdict, ensure};
use crate::arithmetic::{base64, unbase64};

/// The four operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Health,
    Metadata,
    Encrypt,
    Decrypt,
}

impl Operation {
    /// As it stands in paths and in case names.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Metadata => "metadata",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
        }
    }
}

/// What is given to Encrypt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plain {
    pub(crate) text: Vec<u8>,
    pub(crate) aad: Option<Vec<u8>>,
    /// Whether the integrity value is asked for.
    pub(crate) integrity: bool,
}

impl Plain {
    pub(crate) fn new(text: &[u8]) -> Self {
        Self { text: text.to_vec(), ..Self::default() }
    }

    pub(crate) fn with_aad(mut self, aad: &[u8]) -> Self {
        self.aad = Some(aad.to_vec());
        self
    }

    pub(crate) const fn with_integrity(mut self) -> Self {
        self.integrity = true;
        self
    }

    /// The body of Encrypt.
    pub(crate) fn request(&self) -> Value {
        let mut body = json!({
            "requestMetadata": request_metadata(Operation::Encrypt),
            "plaintext": base64(&self.text),
            "encryptionAlgorithm": "AES_GCM",
        });
        if let Some(aad) = &self.aad {
            body["additionalAuthenticatedData"] = json!(base64(aad));
        }
        if self.integrity {
            body["ciphertextDataIntegrityValueAlgorithm"] = json!("SHA_256");
        }
        body
    }
}

/// What Encrypt gave back, beside what it was given.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) plain: Plain,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) iv: Vec<u8>,
    pub(crate) tag: Vec<u8>,
    pub(crate) metadata: Option<Vec<u8>>,
    pub(crate) integrity: Option<Vec<u8>>,
}

impl Sealed {
    /// Takes an answer of Encrypt apart.
    pub(crate) fn read(plain: Plain, answer: &Answer) -> Verdict<Self> {
        let body = answer.ok()?;
        let sealed = Self {
            ciphertext: required(&body, "ciphertext")?,
            iv: required(&body, "initializationVector")?,
            tag: required(&body, "authenticationTag")?,
            metadata: decoded(&body, "ciphertextMetadata")?,
            integrity: decoded(&body, "ciphertextDataIntegrityValue")?,
            plain,
        };
        ensure(
            sealed.ciphertext.len() == sealed.plain.text.len(),
            "a ciphertext as long as the plaintext",
            format_args!("{} bytes for {}", sealed.ciphertext.len(), sealed.plain.text.len()),
        )?;
        ensure(matches!(sealed.iv.len(), 12 | 16), "an IV of 12 or 16 bytes", sealed.iv.len())?;
        ensure(sealed.tag.len() == 16, "a tag of 16 bytes", sealed.tag.len())?;
        let metadata = sealed.metadata.as_ref().map_or(0, Vec::len);
        ensure(metadata <= 20, "at most 20 bytes of metadata", metadata)?;
        Ok(sealed)
    }

    /// The body of the Decrypt that gives the plaintext back.
    pub(crate) fn request(&self) -> Value {
        let mut body = json!({
            "requestMetadata": request_metadata(Operation::Decrypt),
            "ciphertext": base64(&self.ciphertext),
            "initializationVector": base64(&self.iv),
            "authenticationTag": base64(&self.tag),
            "encryptionAlgorithm": "AES_GCM",
        });
        if let Some(aad) = &self.plain.aad {
            body["additionalAuthenticatedData"] = json!(base64(aad));
        }
        if let Some(metadata) = &self.metadata {
            body["ciphertextMetadata"] = json!(base64(metadata));
        }
        body
    }

    /// Expects the plaintext in an answer of Decrypt.
    pub(crate) fn opened(&self, answer: &Answer) -> Verdict {
        let body = answer.ok()?;
        let plaintext = required(&body, "plaintext")?;
        ensure(plaintext == self.plain.text, "the plaintext that was encrypted", format_args!("{} other bytes", plaintext.len()))
    }

    /// The metadata, or the reason why the case can't be asked.
    pub(crate) fn metadata(&self) -> Verdict<&[u8]> {
        match self.metadata.as_deref() {
            Some(metadata) if !metadata.is_empty() => Ok(metadata),
            Some(_) | None => Err(Stop::LeftOut("Encrypt gives no ciphertextMetadata".into())),
        }
    }
}

/// `requestMetadata` with every member that the operation requires, and nothing else.
pub(crate) fn request_metadata(operation: Operation) -> Value {
    let mut metadata = json!({
        "kmsOperation": match operation {
            Operation::Health => "KmsHealthCheck",
            Operation::Metadata => "DescribeKey",
            Operation::Encrypt => "Encrypt",
            Operation::Decrypt => "Decrypt",
        },
        "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
    });
    match operation {
        Operation::Health => {}
        Operation::Metadata => metadata["awsPrincipalArn"] = json!(PRINCIPAL),
        Operation::Encrypt | Operation::Decrypt => {
            metadata["awsPrincipalArn"] = json!(PRINCIPAL);
            metadata["kmsKeyArn"] = json!(KEY_ARN);
        }
    }
    metadata
}

/// The body of an operation that needs nothing but `requestMetadata`.
pub(crate) fn bare_request(operation: Operation) -> Value {
    json!({ "requestMetadata": request_metadata(operation) })
}

/// `body` without the member at this JSON pointer.
pub(crate) fn without(body: &Value, pointer: &str) -> Value {
    let mut body = body.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(Value::Object(members)) = body.pointer_mut(parent) {
        members.remove(name);
    }
    body
}

/// `body` with this member at this JSON pointer, new or in place of its own.
pub(crate) fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(Value::Object(members)) = body.pointer_mut(parent) {
        members.insert(name.to_owned(), value);
    }
    body
}

/// A member of an answer that is base64, if it is there.
fn decoded(body: &Map<String, Value>, name: &str) -> Verdict<Option<Vec<u8>>> {
    match body.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => match unbase64(text) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(Stop::wrong(format!("{name} in canonical base64"), text)),
        },
        Some(other) => Err(Stop::wrong(format!("{name} a string"), other.to_string())),
    }
}

fn required(body: &Map<String, Value>, name: &str) -> Verdict<Vec<u8>> {
    decoded(body, name)?.ok_or_else(|| Stop::wrong(format!("a member {name}"), "none"))
}

const PRINCIPAL: &str = "arn:aws:iam::123456789012:user/Alice";
const KEY_ARN: &str = "arn:aws:kms:us-east-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
