//! The four request bodies, parsed.

use std::borrow::Cow;

use super::bytes::{self, Payload, Plaintext, Short};
use super::members::{METADATA, Member, not_base64, read, refuse};
use crate::limits::{
    IV_BYTES, LONG_IV_BYTES, MAX_AAD_BYTES, MAX_CIPHERTEXT_METADATA_BYTES, MAX_PLAINTEXT_BYTES, MAX_PRINCIPAL_ARN_CHARS, TAG_BYTES,
};
use crate::refusal::{Fault, Refusal, Unsupported};

/// Who asked AWS KMS for what (XKS, `requestMetadata`). Which members are there depends on the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestMetadata<'r> {
    /// `awsPrincipalArn`, at most 2,048 characters: an ARN, a service principal or `AWS Internal`.
    /// `None` only in a health request that leaves it out.
    pub aws_principal_arn: Option<Cow<'r, str>>,
    /// `kmsOperation`: any text.
    pub kms_operation: Cow<'r, str>,
    /// `kmsRequestId`: opaque, for the log.
    pub kms_request_id: Cow<'r, str>,
    /// `kmsKeyArn`: always there for Encrypt and Decrypt.
    pub kms_key_arn: Option<Cow<'r, str>>,
    /// `awsSourceVpc`.
    pub aws_source_vpc: Option<Cow<'r, str>>,
    /// `awsSourceVpce`.
    pub aws_source_vpce: Option<Cow<'r, str>>,
    /// `kmsViaService`.
    pub kms_via_service: Option<Cow<'r, str>>,
}

/// The body of `GetHealthStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRequest<'r> {
    /// `requestMetadata`.
    pub request: RequestMetadata<'r>,
}

/// The body of `GetKeyMetadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataRequest<'r> {
    /// `requestMetadata`.
    pub request: RequestMetadata<'r>,
}

/// The body of Encrypt. Its algorithm is `AES_GCM`.
#[derive(Debug, PartialEq, Eq)]
pub struct EncryptRequest<'r> {
    /// `requestMetadata`.
    pub request: RequestMetadata<'r>,
    /// `plaintext`: 0 to 65,536 bytes.
    pub plaintext: Plaintext,
    /// `additionalAuthenticatedData`: up to 65,535 bytes; empty when absent.
    pub aad: Payload,
    /// Whether the response must carry `ciphertextDataIntegrityValue`, by SHA-256.
    pub wants_cdiv: bool,
}

/// The body of Decrypt. Its algorithm is `AES_GCM`.
#[derive(Debug, PartialEq, Eq)]
pub struct DecryptRequest<'r> {
    /// `requestMetadata`.
    pub request: RequestMetadata<'r>,
    /// `ciphertext`: 0 to 65,536 bytes.
    pub ciphertext: Payload,
    /// `initializationVector`: 12 or 16 bytes.
    pub iv: Short<LONG_IV_BYTES>,
    /// `authenticationTag`.
    pub tag: [u8; TAG_BYTES],
    /// `additionalAuthenticatedData`: up to 65,535 bytes. Absent and empty differ in legacy formats only.
    pub aad: Option<Payload>,
    /// `ciphertextMetadata`: up to 20 bytes; empty when absent.
    pub ciphertext_metadata: Short<MAX_CIPHERTEXT_METADATA_BYTES>,
}

impl<'r> HealthRequest<'r> {
    /// Reads a body. Only `kmsOperation` and `kmsRequestId` are required.
    ///
    /// # Errors
    /// [`Refusal::Validation`], naming the field.
    pub fn parse(body: &'r [u8]) -> Result<Self, Refusal> {
        let body = read(body, &[])?;
        let request = RequestMetadata::parse(body.metadata.required()?, Needs::Operation)?;
        Ok(Self { request })
    }
}

impl<'r> MetadataRequest<'r> {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Refusal::Validation`], naming the field.
    pub fn parse(body: &'r [u8]) -> Result<Self, Refusal> {
        let body = read(body, &[])?;
        let request = RequestMetadata::parse(body.metadata.required()?, Needs::Principal)?;
        Ok(Self { request })
    }
}

impl<'r> EncryptRequest<'r> {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Refusal::Validation`] naming the field, or [`Refusal::Unsupported`] for another algorithm or a
    /// payload over our limits.
    pub fn parse(body: &'r [u8]) -> Result<Self, Refusal> {
        let body = read(body, &[PLAINTEXT, ALGORITHM, AAD, CDIV_ALGORITHM])?;
        let [plaintext, algorithm, aad, cdiv] = body.members;
        let request = RequestMetadata::parse(body.metadata.required()?, Needs::KeyArn)?;
        let plaintext = bytes::plaintext(plaintext.required(PLAINTEXT)?).map_err(not_base64(PLAINTEXT))?;
        let algorithm = algorithm.required(ALGORITHM)?;
        let aad = optional_bytes(aad, AAD)?.unwrap_or_default();
        let cdiv = cdiv.optional(CDIV_ALGORITHM)?;

        supported(algorithm == AES_GCM, Unsupported::EncryptionAlgorithm)?;
        let sha_256 = cdiv.as_ref().is_none_or(|name| name == SHA_256);
        supported(sha_256, Unsupported::CdivAlgorithm)?;
        let short = plaintext.as_bytes().len() <= MAX_PLAINTEXT_BYTES;
        supported(short, Unsupported::LongPlaintext)?;
        supported(aad.as_bytes().len() <= MAX_AAD_BYTES, Unsupported::LongAad)?;
        Ok(Self { request, plaintext, aad, wants_cdiv: cdiv.is_some() })
    }
}

impl<'r> DecryptRequest<'r> {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Refusal::Validation`] naming the field; [`Refusal::WrongIvLength`], [`Refusal::WrongTagLength`]
    /// or [`Refusal::MetadataTooLong`]; [`Refusal::Unsupported`] for another algorithm or a payload over
    /// our limits.
    pub fn parse(body: &'r [u8]) -> Result<Self, Refusal> {
        let body = read(body, &[CIPHERTEXT, METADATA_BYTES, IV, TAG, ALGORITHM, AAD])?;
        let [ciphertext, metadata, iv, tag, algorithm, aad] = body.members;
        let request = RequestMetadata::parse(body.metadata.required()?, Needs::KeyArn)?;
        let ciphertext = bytes::payload(&ciphertext.required(CIPHERTEXT)?).map_err(not_base64(CIPHERTEXT))?;
        let metadata = match metadata.optional(METADATA_BYTES)? {
            Some(text) => bytes::short(&text).map_err(not_base64(METADATA_BYTES))?,
            None => Some(Short::EMPTY),
        };
        let iv = bytes::short(&iv.required(IV)?).map_err(not_base64(IV))?;
        let tag: Option<Short<TAG_BYTES>> = bytes::short(&tag.required(TAG)?).map_err(not_base64(TAG))?;
        let algorithm = algorithm.required(ALGORITHM)?;
        let aad = optional_bytes(aad, AAD)?;

        supported(algorithm == AES_GCM, Unsupported::EncryptionAlgorithm)?;
        let short = ciphertext.as_bytes().len() <= MAX_PLAINTEXT_BYTES;
        supported(short, Unsupported::LongCiphertext)?;
        let aad_bytes = aad.as_ref().map_or(0, |aad| aad.as_bytes().len());
        supported(aad_bytes <= MAX_AAD_BYTES, Unsupported::LongAad)?;
        let iv = iv.filter(|iv: &Short<_>| matches!(iv.as_bytes().len(), IV_BYTES | LONG_IV_BYTES));
        let tag = tag.and_then(|tag| tag.as_bytes().try_into().ok());
        Ok(Self {
            request,
            ciphertext,
            iv: iv.ok_or(Refusal::WrongIvLength)?,
            tag: tag.ok_or(Refusal::WrongTagLength)?,
            aad,
            ciphertext_metadata: metadata.ok_or(Refusal::MetadataTooLong)?,
        })
    }
}

/// Which members of `requestMetadata` a request requires; each needs those above as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    Operation,
    Principal,
    KeyArn,
}

impl<'r> RequestMetadata<'r> {
    fn parse(members: [Member<'r>; METADATA.len()], needs: Needs) -> Result<Self, Refusal> {
        let [principal, operation, request_id, key_arn, vpc, vpce, via] = members;
        let [principal_name, operation_name, request_id_name, key_arn_name, vpc_name, vpce_name, via_name] = METADATA;
        let principal = principal.optional(principal_name)?;
        if needs >= Needs::Principal && principal.is_none() {
            return Err(refuse(principal_name, Fault::Missing));
        }
        if principal.as_ref().is_some_and(|arn| is_long_arn(arn)) {
            return Err(refuse(principal_name, Fault::TooLong));
        }
        let kms_operation = operation.required(operation_name)?;
        let kms_request_id = request_id.required(request_id_name)?;
        let key_arn = key_arn.optional(key_arn_name)?;
        if needs >= Needs::KeyArn && key_arn.is_none() {
            return Err(refuse(key_arn_name, Fault::Missing));
        }
        Ok(Self {
            aws_principal_arn: principal,
            kms_operation,
            kms_request_id,
            kms_key_arn: key_arn,
            aws_source_vpc: vpc.optional(vpc_name)?,
            aws_source_vpce: vpce.optional(vpce_name)?,
            kms_via_service: via.optional(via_name)?,
        })
    }
}

/// Counted in characters, which matters only past the limit in bytes.
fn is_long_arn(arn: &str) -> bool {
    arn.len() > MAX_PRINCIPAL_ARN_CHARS && arn.chars().count() > MAX_PRINCIPAL_ARN_CHARS
}

fn optional_bytes(member: Member<'_>, field: &'static str) -> Result<Option<Payload>, Refusal> {
    member.optional(field)?.map(|text| bytes::payload(&text).map_err(not_base64(field))).transpose()
}

const fn supported(holds: bool, what: Unsupported) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::Unsupported { what }) }
}

const PLAINTEXT: &str = "plaintext";
const CIPHERTEXT: &str = "ciphertext";
const METADATA_BYTES: &str = "ciphertextMetadata";
const IV: &str = "initializationVector";
const TAG: &str = "authenticationTag";
const ALGORITHM: &str = "encryptionAlgorithm";
const AAD: &str = "additionalAuthenticatedData";
const CDIV_ALGORITHM: &str = "ciphertextDataIntegrityValueAlgorithm";
const AES_GCM: &str = "AES_GCM";
const SHA_256: &str = "SHA_256";
