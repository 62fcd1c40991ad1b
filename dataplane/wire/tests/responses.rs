//! What we answer: the four responses, and every refusal.

#![cfg(test)]

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_wire::limits::MAX_ERROR_MESSAGE_CHARS;
use holdfast_wire::message::{
    DecryptResponse, EkmFleetDetail, EkmHealth, EncryptResponse, HealthResponse, KeyStatus, KeyUsages, MetadataResponse,
};
use holdfast_wire::path::BadPath;
use holdfast_wire::refusal::{ErrorName, Fault, Refusal, Unsupported};
use holdfast_wire::sigv4::AuthError;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn an_encrypt_response_leaves_out_what_is_absent() {
    let response = EncryptResponse { ciphertext: b"", iv: &[1; 12], tag: &[2; 16], ciphertext_metadata: b"", cdiv: None };
    let expected = json!({
        "ciphertext": "",
        "initializationVector": "AQEBAQEBAQEBAQEB",
        "authenticationTag": "AgICAgICAgICAgICAgICAg==",
    });
    assert_eq!(read(&response.to_json()), expected);
}

#[test]
fn a_metadata_response_is_the_specifications() {
    let response = |usages, status| read(&MetadataResponse { usages, status }.to_json());
    assert_eq!(
        response(KeyUsages::EncryptDecrypt, KeyStatus::Enabled),
        json!({"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": "ENABLED"})
    );
    let disabled = response(KeyUsages::Decrypt, KeyStatus::Disabled);
    assert_eq!((&disabled["keyUsage"], &disabled["keyStatus"]), (&json!(["DECRYPT"]), &json!("DISABLED")));
    let encrypt = response(KeyUsages::Encrypt, KeyStatus::Enabled);
    assert_eq!(encrypt["keyUsage"], json!(["ENCRYPT"]));
}

#[test]
fn a_health_response_tells_of_ten_key_managers_at_most() {
    let detail = |health| EkmFleetDetail { id: "p\"1", model: "Luna\n7", health };
    let some = [EkmHealth::Active, EkmHealth::Degraded, EkmHealth::Unavailable].map(detail);
    let health = |details| {
        read(
            &HealthResponse { fleet_size: NonZeroU32::MIN, proxy_vendor: "Vendor", proxy_model: "Holdfast", ekm_vendor: "Maker", details }
                .to_json(),
        )
    };
    let row = |word| json!({"id": "p\"1", "model": "Luna\n7", "healthStatus": word});
    assert_eq!(
        health(&some),
        json!({
            "xksProxyFleetSize": 1,
            "xksProxyVendor": "Vendor",
            "xksProxyModel": "Holdfast",
            "ekmVendor": "Maker",
            "ekmFleetDetails": [row("ACTIVE"), row("DEGRADED"), row("UNAVAILABLE")],
        })
    );
    let many = health(&[detail(EkmHealth::Active); 12]);
    assert_eq!(many["ekmFleetDetails"].as_array().unwrap().len(), 10);
}

proptest! {
    #[test]
    fn what_is_answered_can_be_read(
        ciphertext in prop::collection::vec(any::<u8>(), 0..400),
        metadata in prop::collection::vec(any::<u8>(), 1..=20),
        iv: [u8; 16],
        tag: [u8; 16],
        cdiv: [u8; 32],
    ) {
        let response = EncryptResponse {
            ciphertext: &ciphertext,
            iv: &iv,
            tag: &tag,
            ciphertext_metadata: &metadata,
            cdiv: Some(&cdiv),
        };
        let expected = json!({
            "ciphertext": STANDARD.encode(&ciphertext),
            "initializationVector": STANDARD.encode(iv),
            "authenticationTag": STANDARD.encode(tag),
            "ciphertextMetadata": STANDARD.encode(&metadata),
            "ciphertextDataIntegrityValue": STANDARD.encode(cdiv),
        });
        let json = response.to_json();
        prop_assert_eq!(read(&json), expected);
        let payload = ciphertext.len() + iv.len() + metadata.len();
        prop_assert!(json.capacity() <= 208 + payload.div_ceil(3) * 4, "it had to grow");
        let plain = DecryptResponse { plaintext: &ciphertext }.to_json();
        prop_assert_eq!(read(&plain), json!({"plaintext": STANDARD.encode(&ciphertext)}));
    }

    /// A buffer that had to grow would leave a copy of the plaintext behind.
    #[test]
    fn a_decrypt_response_fits_its_first_buffer(plaintext in prop::collection::vec(any::<u8>(), 0..5_000)) {
        let json = DecryptResponse { plaintext: &plaintext }.to_json();
        prop_assert!(json.capacity() <= 20 + plaintext.len().div_ceil(3) * 4);
    }
}

#[test]
fn every_refusal_is_a_short_printable_json_error() {
    for refusal in all() {
        let (status, name) = refusal.wire();
        let message = refusal.message();
        assert!(message.chars().all(|c| (' '..='~').contains(&c)), "{message}");
        assert!(!message.is_empty() && message.len() <= MAX_ERROR_MESSAGE_CHARS);
        assert_eq!(read(&refusal.body()), json!({"errorName": name.as_str(), "errorMessage": message}));
        assert!((400..=503).contains(&status));
    }
}

/// The specification's table: each name has one status. Ours adds 405, for which it has no name.
#[test]
fn each_name_has_the_status_of_the_specification() {
    for refusal in all() {
        let (status, name) = refusal.wire();
        let expected = match name {
            ErrorName::ValidationException
            | ErrorName::InvalidStateException
            | ErrorName::InvalidCiphertextException
            | ErrorName::InvalidKeyUsageException => 400,
            ErrorName::AuthenticationFailedException => 401,
            ErrorName::AccessDeniedException => 403,
            ErrorName::KeyNotFoundException | ErrorName::InvalidUriPathException => 404,
            ErrorName::ThrottlingException => 429,
            ErrorName::InternalException => 500,
            ErrorName::UnsupportedOperationException if refusal == Refusal::MethodNotAllowed => 405,
            ErrorName::UnsupportedOperationException => 501,
            ErrorName::DependencyTimeoutException => 503,
        };
        assert_eq!(status, expected, "{refusal:?}");
    }
}

#[test]
fn a_stranger_can_not_tell_one_failed_authentication_from_another() {
    let bodies: BTreeSet<_> = all().into_iter().filter(|refusal| refusal.wire().0 == 401).map(|refusal| refusal.body()).collect();
    assert_eq!(bodies.len(), 1);
    assert_eq!(Refusal::UnknownStore.body(), Refusal::BadPath(BadPath::Prefix).body());
}

#[test]
fn labels_tell_refusals_apart() {
    let refusals = all();
    let labels: BTreeSet<_> = refusals.iter().map(Refusal::label).collect();
    assert_eq!(labels.len(), refusals.len());
    let word = |label: &&str| label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    assert!(labels.iter().all(word));
}

#[test]
fn a_validation_message_names_its_field() {
    let refusal = Refusal::Validation { field: "kmsRequestId", fault: Fault::Missing };
    assert_eq!(refusal.message(), "kmsRequestId is missing.");
}

/// One of each variant. The `match` in [`next`] keeps it whole.
fn all() -> Vec<Refusal> {
    let first = Refusal::BadPath(BadPath::TooLong);
    std::iter::successors(Some(first), |refusal| next(*refusal)).collect()
}

const fn next(refusal: Refusal) -> Option<Refusal> {
    Some(match refusal {
        Refusal::BadPath(_) => Refusal::UnknownStore,
        Refusal::UnknownStore => Refusal::MethodNotAllowed,
        Refusal::MethodNotAllowed => Refusal::BodyTooLarge,
        Refusal::BodyTooLarge => Refusal::BodyTimeout,
        Refusal::BodyTimeout => Refusal::BodyIncomplete,
        Refusal::BodyIncomplete => Refusal::Unauthenticated(AuthError::WrongSignature),
        Refusal::Unauthenticated(_) => Refusal::NoClientCertificate,
        Refusal::NoClientCertificate => Refusal::WrongClientCertificate,
        Refusal::WrongClientCertificate => Refusal::AccessDenied,
        Refusal::AccessDenied => Refusal::StoreBlocked,
        Refusal::StoreBlocked => Refusal::KeyBlocked,
        Refusal::KeyBlocked => Refusal::QuotaExceeded,
        Refusal::QuotaExceeded => Refusal::TooManyInFlight,
        Refusal::TooManyInFlight => Refusal::QueueFull,
        Refusal::QueueFull => Refusal::NotStarted,
        Refusal::NotStarted => Refusal::KeyNotFound,
        Refusal::KeyNotFound => Refusal::KeyUsage,
        Refusal::KeyUsage => Refusal::Validation { field: "body", fault: Fault::NotJson },
        Refusal::Validation { .. } => Refusal::InvalidCiphertext,
        Refusal::InvalidCiphertext => Refusal::WrongIvLength,
        Refusal::WrongIvLength => Refusal::WrongTagLength,
        Refusal::WrongTagLength => Refusal::MetadataTooLong,
        Refusal::MetadataTooLong => Refusal::UnknownVersion,
        Refusal::UnknownVersion => Refusal::Unsupported { what: Unsupported::LongAad },
        Refusal::Unsupported { .. } => Refusal::EncryptionLimit,
        Refusal::EncryptionLimit => Refusal::KeyUnusable,
        Refusal::KeyUnusable => Refusal::SnapshotTooOld,
        Refusal::SnapshotTooOld => Refusal::NoSnapshot,
        Refusal::NoSnapshot => Refusal::KeyManagerDown,
        Refusal::KeyManagerDown => Refusal::KeyManagerTimeout,
        Refusal::KeyManagerTimeout => Refusal::SelfCheckFailed,
        Refusal::SelfCheckFailed => Refusal::Internal,
        Refusal::Internal => return None,
    })
}

fn read(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}
