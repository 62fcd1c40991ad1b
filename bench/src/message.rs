//! XKS request bodies and what their answers must say, written apart from the product's own code.
//!
//! Bodies are templates with places that are overwritten for each request, so that no two requests are alike
//! (each has its own `kmsRequestId`, and each Encrypt its own plaintext) and none is built from scratch.

use std::borrow::Cow;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::plan::{Operation, Shape};

/// One operation's body, and for Encrypt the plaintext in it.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    id_at: Option<usize>,
    plaintext: String,
    plaintext_at: usize,
}

impl Body {
    /// The body of an operation that carries nothing of its own, or of Encrypt.
    pub(crate) fn new(operation: Operation, shape: Shape) -> Self {
        Self::of(match operation {
            Operation::Health => health(),
            Operation::Metadata => format!(
                r#"{{"requestMetadata":{{"awsPrincipalArn":"{PRINCIPAL}","kmsOperation":"DescribeKey","kmsRequestId":"{REQUEST_ID}"}}}}"#
            ),
            Operation::Encrypt => return Self::encrypt(shape),
            Operation::Decrypt => String::new(),
        })
    }

    fn encrypt(shape: Shape) -> Self {
        let plaintext = STANDARD.encode(vec![0xa5; shape.plaintext]);
        let mut text = format!(r#"{{{},"plaintext":""#, request_metadata("Encrypt"));
        let plaintext_at = text.len();
        text.push_str(&plaintext);
        text.push_str(r#"","encryptionAlgorithm":"AES_GCM""#);
        text.push_str(&aad_member(shape));
        text.push_str(if shape.cdiv { CDIV_MEMBER } else { "" });
        text.push('}');
        Self { plaintext, plaintext_at, ..Self::of(text) }
    }

    /// The Decrypt that undoes `answer`, an answer to an Encrypt of this shape.
    pub(crate) fn decrypt(answer: &EncryptAnswer<'_>, shape: Shape) -> Self {
        let metadata = answer.ciphertext_metadata.as_ref();
        let metadata = metadata.map_or_else(String::new, |m| format!(r#","ciphertextMetadata":"{m}""#));
        let text = format!(
            r#"{{{},"ciphertext":"{}","initializationVector":"{}","authenticationTag":"{}","encryptionAlgorithm":"AES_GCM"{}{metadata}}}"#,
            request_metadata("Decrypt"),
            answer.ciphertext,
            answer.initialization_vector,
            answer.authentication_tag,
            aad_member(shape),
        );
        Self::of(text)
    }

    /// Makes the body that of request `number`: its request id and, where there is room, its plaintext say so.
    pub(crate) fn renew(&mut self, number: u64) {
        if let Some(at) = self.id_at {
            overwrite(&mut self.bytes, at, format!("{number:012x}").as_bytes());
        }
        // Six bytes are eight characters of base64 with no padding among them.
        let [_, _, six @ ..] = number.to_be_bytes();
        if self.plaintext.len() > 8 {
            let text = STANDARD.encode(six);
            overwrite(&mut self.bytes, self.plaintext_at, text.as_bytes());
            self.plaintext.replace_range(..text.len(), &text);
        }
    }

    fn of(text: String) -> Self {
        let id_at = text.find(REQUEST_ID).map(|at| at + REQUEST_ID.len() - 12);
        Self { bytes: text.into_bytes(), id_at, plaintext: String::new(), plaintext_at: 0 }
    }

    /// What is sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The plaintext of an Encrypt, as base64.
    pub(crate) fn plaintext(&self) -> &str {
        &self.plaintext
    }
}

/// The body of one Encrypt.
#[must_use]
pub fn encrypt_body(shape: Shape) -> Vec<u8> {
    Body::new(Operation::Encrypt, shape).bytes
}

/// What an Encrypt answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EncryptAnswer<'a> {
    #[serde(borrow)]
    ciphertext: Cow<'a, str>,
    #[serde(borrow)]
    initialization_vector: Cow<'a, str>,
    #[serde(borrow)]
    authentication_tag: Cow<'a, str>,
    ciphertext_metadata: Option<String>,
    ciphertext_data_integrity_value: Option<String>,
}

impl<'a> EncryptAnswer<'a> {
    /// Reads an answer and checks its CDIV against one computed from its own fields.
    pub(crate) fn checked(bytes: &'a [u8], shape: Shape) -> Result<Self, WrongAnswer> {
        let answer: Self = serde_json::from_slice(bytes).map_err(|_| WrongAnswer::Unreadable)?;
        match (&answer.ciphertext_data_integrity_value, shape.cdiv) {
            (None, false) => Ok(answer),
            (None, true) => Err(WrongAnswer::CdivMissing),
            (Some(_), false) => Err(WrongAnswer::CdivUnasked),
            (Some(said), true) if *said == answer.integrity_value(shape)? => Ok(answer),
            (Some(_), true) => Err(WrongAnswer::CdivDiffers),
        }
    }

    /// base64(SHA-256(AAD ‖ metadata ‖ IV ‖ ciphertext ‖ tag)), XKS specification, "Encrypt".
    fn integrity_value(&self, shape: Shape) -> Result<String, WrongAnswer> {
        let mut hash = Context::new(&SHA256);
        hash.update(&aad(shape));
        let metadata = self.ciphertext_metadata.as_deref().unwrap_or_default();
        let fields = [metadata, &self.initialization_vector, &self.ciphertext, &self.authentication_tag];
        for field in fields {
            let bytes = STANDARD.decode(field.as_bytes());
            hash.update(&bytes.map_err(|_| WrongAnswer::Unreadable)?);
        }
        Ok(STANDARD.encode(hash.finish()))
    }
}

/// Whether a Decrypt's answer is this plaintext (both as base64).
pub(crate) fn check_plaintext(bytes: &[u8], expected: &str) -> Result<(), WrongAnswer> {
    let answer: DecryptAnswer<'_> = serde_json::from_slice(bytes).map_err(|_| WrongAnswer::Unreadable)?;
    match answer.plaintext == expected {
        true => Ok(()),
        false => Err(WrongAnswer::PlaintextDiffers),
    }
}

/// The `errorName` and `errorMessage` of a refusal, as far as there are any.
pub(crate) fn refusal(bytes: &[u8]) -> (String, String) {
    let answer: ErrorAnswer = serde_json::from_slice(bytes).unwrap_or_default();
    (answer.error_name, answer.error_message.unwrap_or_default())
}

/// How an answer of status 200 can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WrongAnswer {
    /// Not the JSON of such an answer.
    Unreadable,
    /// Decrypt gave something else than was encrypted.
    PlaintextDiffers,
    /// The CDIV is not that of the fields beside it.
    CdivDiffers,
    /// A CDIV was asked for and not given.
    CdivMissing,
    /// A CDIV was given and not asked for.
    CdivUnasked,
}

impl WrongAnswer {
    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable answer",
            Self::PlaintextDiffers => "plaintext differs",
            Self::CdivDiffers => "CDIV differs",
            Self::CdivMissing => "CDIV missing",
            Self::CdivUnasked => "CDIV not asked for",
        }
    }
}

#[derive(Deserialize)]
struct DecryptAnswer<'a> {
    #[serde(borrow)]
    plaintext: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorAnswer {
    error_name: String,
    error_message: Option<String>,
}

fn health() -> String {
    format!(r#"{{"requestMetadata":{{"kmsOperation":"KmsHealthCheck","kmsRequestId":"{REQUEST_ID}"}}}}"#)
}

fn request_metadata(operation: &str) -> String {
    format!(
        r#""requestMetadata":{{"awsPrincipalArn":"{PRINCIPAL}","kmsOperation":"{operation}","kmsRequestId":"{REQUEST_ID}","kmsKeyArn":"{KEY}"}}"#
    )
}

fn aad_member(shape: Shape) -> String {
    match shape.aad {
        0 => String::new(),
        _ => format!(r#","additionalAuthenticatedData":"{}""#, STANDARD.encode(aad(shape))),
    }
}

fn aad(shape: Shape) -> Vec<u8> {
    b"project=nile,department=marketing,".iter().copied().cycle().take(shape.aad).collect()
}

/// Writes `text` over what lies at `at`; what would not fit is left out.
fn overwrite(bytes: &mut [u8], at: usize, text: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + text.len()) {
        place.copy_from_slice(text);
    }
}

/// The last twelve digits are the request's number.
const REQUEST_ID: &str = "00000000-0000-4000-8000-000000000000";
const PRINCIPAL: &str = "arn:aws:iam::123456789012:user/Alice";
const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const CDIV_MEMBER: &str = r#","ciphertextDataIntegrityValueAlgorithm":"SHA_256""#;

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answer of the XKS specification.
    const KNOWN: &str = r#"{"ciphertext":"ghxkK1txeDNn3q8Y","initializationVector":"HMrlRw85cAJUd5Ax",
        "authenticationTag":"vBxN2ncH1oEkR8WVXpmyYQ==","ciphertextMetadata":"a2V5X3ZlcnNpb249MQ==",
        "ciphertextDataIntegrityValue":"qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc="}"#;

    /// Its AAD is the first 33 bytes of ours.
    const SHAPE: Shape = Shape { plaintext: 12, aad: 33, cdiv: true };

    #[test]
    fn the_specifications_integrity_value_passes_and_any_other_does_not() {
        assert!(EncryptAnswer::checked(KNOWN.as_bytes(), SHAPE).is_ok());
        let forged = KNOWN.replace("HMrlRw85", "HMrlRw86");
        let refused = EncryptAnswer::checked(forged.as_bytes(), SHAPE);
        assert_eq!(refused.unwrap_err(), WrongAnswer::CdivDiffers);
    }

    #[test]
    fn an_integrity_value_must_come_exactly_when_asked_for() {
        let bare = r#"{"ciphertext":"","initializationVector":"","authenticationTag":""}"#;
        let wrong = EncryptAnswer::checked(bare.as_bytes(), SHAPE).unwrap_err();
        assert_eq!(wrong, WrongAnswer::CdivMissing);
        let unasked = Shape { cdiv: false, ..SHAPE };
        let wrong = EncryptAnswer::checked(KNOWN.as_bytes(), unasked).unwrap_err();
        assert_eq!(wrong, WrongAnswer::CdivUnasked);
    }

    #[test]
    fn every_request_differs_from_the_last_and_stays_json() {
        let mut body = Body::new(Operation::Encrypt, SHAPE);
        let mut seen = std::collections::BTreeSet::new();
        for number in [0, 1, 0xffff_ffff_ffff] {
            body.renew(number);
            let value: serde_json::Value = serde_json::from_slice(body.bytes()).unwrap();
            assert_eq!(value["plaintext"], body.plaintext());
            let id = value["requestMetadata"]["kmsRequestId"].as_str().unwrap();
            assert!(id.ends_with(&format!("{number:012x}")));
            assert!(seen.insert(body.plaintext().to_owned()));
        }
    }

    #[test]
    fn a_decrypt_hands_back_what_encrypt_answered() {
        let answer = EncryptAnswer::checked(KNOWN.as_bytes(), SHAPE).unwrap();
        let body = Body::decrypt(&answer, SHAPE);
        let value: serde_json::Value = serde_json::from_slice(body.bytes()).unwrap();
        assert_eq!(value["ciphertext"], "ghxkK1txeDNn3q8Y");
        assert_eq!(value["ciphertextMetadata"], "a2V5X3ZlcnNpb249MQ==");
        let aad = value["additionalAuthenticatedData"].as_str().unwrap();
        let aad = STANDARD.decode(aad).unwrap();
        assert_eq!(aad, b"project=nile,department=marketing");
    }
}
