//! What the four request bodies may say, and which refusal each breach is.

#![cfg(test)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_wire::message::{DecryptRequest, EncryptRequest, HealthRequest, MetadataRequest};
use holdfast_wire::path::Operation;
use holdfast_wire::refusal::{Fault, Refusal, Unsupported};
use proptest::prelude::*;
use serde_json::{Value, json};

fn body(operation: Operation) -> Value {
    let metadata = json!({
        "awsPrincipalArn": "arn:aws:iam::123456789012:user/Alice",
        "kmsOperation": "Encrypt",
        "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
        "kmsKeyArn": "arn:aws:kms:us-east-2:123456789012:/key/1234abcd",
        "awsSourceVpc": "vpc-1",
        "awsSourceVpce": "vpce-1",
        "kmsViaService": "ebs",
    });
    match operation {
        Operation::Health | Operation::Metadata => json!({"requestMetadata": metadata}),
        Operation::Encrypt => json!({
            "requestMetadata": metadata,
            "plaintext": "SGVsbG8gV29ybGQh",
            "encryptionAlgorithm": "AES_GCM",
            "additionalAuthenticatedData": "cHJvamVjdD1uaWxl",
            "ciphertextDataIntegrityValueAlgorithm": "SHA_256",
        }),
        Operation::Decrypt => json!({
            "requestMetadata": metadata,
            "ciphertext": "ghxkK1txeDNn3q8Y",
            "encryptionAlgorithm": "AES_GCM",
            "additionalAuthenticatedData": "cHJvamVjdD1uaWxl",
            "initializationVector": "HMrlRw85cAJUd5Ax",
            "authenticationTag": "vBxN2ncH1oEkR8WVXpmyYQ==",
            "ciphertextMetadata": "a2V5X3ZlcnNpb249MQ==",
        }),
    }
}

fn parse(operation: Operation, body: &[u8]) -> Result<(), Refusal> {
    match operation {
        Operation::Health => HealthRequest::parse(body).map(drop),
        Operation::Metadata => MetadataRequest::parse(body).map(drop),
        Operation::Encrypt => EncryptRequest::parse(body).map(drop),
        Operation::Decrypt => DecryptRequest::parse(body).map(drop),
    }
}

/// The operation's usual body after one edit.
fn edited(operation: Operation, edit: impl FnOnce(&mut Value)) -> Result<(), Refusal> {
    let mut body = body(operation);
    edit(&mut body);
    parse(operation, body.to_string().as_bytes())
}

fn with(operation: Operation, member: &str, value: Value) -> Result<(), Refusal> {
    edited(operation, |body| body[member] = value)
}

const fn refused(field: &'static str, fault: Fault) -> Result<(), Refusal> {
    Err(Refusal::Validation { field, fault })
}

const fn unsupported(what: Unsupported) -> Result<(), Refusal> {
    Err(Refusal::Unsupported { what })
}

#[test]
fn an_encrypt_request_is_read_whole() {
    let text = body(Operation::Encrypt).to_string();
    let read = EncryptRequest::parse(text.as_bytes()).unwrap();
    assert_eq!(read.plaintext.as_bytes(), b"Hello World!");
    assert_eq!(read.aad.as_bytes(), b"project=nile");
    assert!(read.wants_cdiv);
    let request = read.request;
    assert_eq!(request.kms_operation, "Encrypt");
    assert_eq!(request.kms_request_id, "4112f4d6-db54-4af4-ae30-c55a22a8dfae");
    let arn = "arn:aws:iam::123456789012:user/Alice";
    assert_eq!(request.aws_principal_arn.as_deref(), Some(arn));
    let key = "arn:aws:kms:us-east-2:123456789012:/key/1234abcd";
    assert_eq!(request.kms_key_arn.as_deref(), Some(key));
    assert_eq!(request.aws_source_vpc.as_deref(), Some("vpc-1"));
    assert_eq!(request.aws_source_vpce.as_deref(), Some("vpce-1"));
    assert_eq!(request.kms_via_service.as_deref(), Some("ebs"));
}

#[test]
fn a_decrypt_request_is_read_whole() {
    let text = body(Operation::Decrypt).to_string();
    let read = DecryptRequest::parse(text.as_bytes()).unwrap();
    assert_eq!(read.ciphertext.as_bytes()[..3], [0x82, 0x1c, 0x64]);
    assert_eq!(read.iv.as_bytes()[..3], [0x1c, 0xca, 0xe5]);
    assert_eq!(read.iv.as_bytes().len(), 12);
    assert_eq!(read.tag[..3], [0xbc, 0x1c, 0x4d]);
    assert_eq!(read.aad.unwrap().as_bytes(), b"project=nile");
    assert_eq!(read.ciphertext_metadata.as_bytes(), b"key_version=1");
}

#[test]
fn every_required_member_is_required_and_a_null_one_is_missing() {
    for (operation, members) in REQUIRED {
        for field in members {
            let missing = refused(field, Fault::Missing);
            let gone = edited(operation, |body| drop(parent(body, field).remove(*field)));
            assert_eq!(gone, missing, "{operation:?} without {field}");
            let null = edited(operation, |body| parent(body, field)[*field] = Value::Null);
            assert_eq!(null, missing, "{operation:?} with {field} null");
        }
    }
}

#[test]
fn every_optional_member_may_be_absent_or_null() {
    for (operation, members) in OPTIONAL {
        for field in members {
            let gone = edited(operation, |body| drop(parent(body, field).remove(*field)));
            assert_eq!(gone, Ok(()), "{operation:?} without {field}");
            let null = edited(operation, |body| parent(body, field)[*field] = Value::Null);
            assert_eq!(null, Ok(()), "{operation:?} with {field} null");
        }
    }
}

#[test]
fn every_member_has_its_type() {
    for (operation, members) in REQUIRED.into_iter().chain(OPTIONAL) {
        for field in members {
            for wrong in [json!(1), json!(-1), json!(1.5), json!(true), json!([]), json!(["a"])] {
                let got = edited(operation, |body| parent(body, field)[*field] = wrong.clone());
                assert_eq!(got, refused(field, Fault::Mistyped), "{operation:?} {field} {wrong}");
            }
            let wrong = if *field == SECTION { json!("text") } else { json!({"a": {}}) };
            let got = edited(operation, |body| parent(body, field)[*field] = wrong);
            assert_eq!(got, refused(field, Fault::Mistyped), "{operation:?} {field}");
        }
    }
}

#[test]
fn no_known_member_is_there_twice() {
    for (operation, members) in REQUIRED.into_iter().chain(OPTIONAL) {
        let text = body(operation).to_string();
        for field in members {
            let value = parent(&mut body(operation), field)[*field].to_string();
            let once = format!("\"{field}\":{value}");
            for first in [once.clone(), format!("\"{field}\":null"), format!("\"{field}\":7")] {
                let twice = text.replace(&once, &format!("{first},{once}"));
                assert_ne!(twice, text);
                let got = parse(operation, twice.as_bytes());
                assert_eq!(got, refused(field, Fault::Duplicate), "{operation:?} {twice}");
            }
            // The same name, spelled with an escape.
            let escaped = format!("\"\\u{:04x}{}\"", u32::from(field.as_bytes()[0]), &field[1..]);
            let twice = text.replace(&once, &format!("{once},{escaped}:{value}"));
            let got = parse(operation, twice.as_bytes());
            assert_eq!(got, refused(field, Fault::Duplicate), "{operation:?} {twice}");
        }
    }
}

#[test]
fn unknown_members_are_ignored_at_any_level() {
    let odd = json!({"a": [1, {"plaintext": 2}], "requestMetadata": null});
    for operation in Operation::ALL {
        let got = edited(operation, |body| {
            body["futureMember"] = odd.clone();
            body[SECTION]["futureMember"] = odd.clone();
            body[SECTION]["plaintext"] = json!(1);
            body["kmsOperation"] = json!(1);
            body[""] = json!([]);
        });
        assert_eq!(got, Ok(()), "{operation:?}");
    }
}

#[test]
fn a_member_of_another_operation_is_unknown() {
    let got = with(Operation::Metadata, "plaintext", json!(1));
    assert_eq!(got, Ok(()));
    let got = with(Operation::Encrypt, "ciphertext", json!(1));
    assert_eq!(got, Ok(()));
}

#[test]
fn what_is_not_a_json_object_is_refused() {
    for text in [
        "",
        " ",
        "null",
        "[]",
        "\"a\"",
        "1",
        "{",
        "{}}",
        "{} {}",
        "{\"a\":}",
        "{'a':1}",
        "{\"a\":1,}",
        "\u{feff}{}",
        "{\"a\":\"\u{1}\"}",
        "{\"requestMetadata\":{\"kmsOperation\":\"\\ud800\"}}",
        "{\"a\":01}",
        "{\"a\":\"\\x41\"}",
    ] {
        for operation in Operation::ALL {
            let got = parse(operation, text.as_bytes());
            assert_eq!(got, refused("body", Fault::NotJson), "{operation:?} {text:?}");
        }
    }
    // Not UTF-8, in a member that is skipped.
    let got = parse(Operation::Encrypt, b"{\"a\":\"\xff\"}");
    assert_eq!(got, refused("body", Fault::NotJson));
    assert_eq!(parse(Operation::Health, b"{}"), refused(SECTION, Fault::Missing));
}

/// 100,000 levels would end the thread if they were followed by recursion.
#[test]
fn deep_nesting_is_skipped_or_refused() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let text = body(Operation::Encrypt).to_string();
    let unknown = text.replacen('{', &format!("{{\"future\":{deep},"), 1);
    assert_eq!(parse(Operation::Encrypt, unknown.as_bytes()), Ok(()));
    let known = text.replace("\"SGVsbG8gV29ybGQh\"", &deep);
    let got = parse(Operation::Encrypt, known.as_bytes());
    assert_eq!(got, refused("plaintext", Fault::Mistyped));
}

#[test]
fn health_needs_operation_and_request_id_only() {
    let least = br#"{"requestMetadata":{"kmsOperation":"KmsHealthCheck","kmsRequestId":"r"}}"#;
    assert_eq!(parse(Operation::Health, least), Ok(()));
    let got = parse(Operation::Metadata, least);
    assert_eq!(got, refused("awsPrincipalArn", Fault::Missing));
}

#[test]
fn any_operation_name_and_principal_are_accepted() {
    for name in ["", "Zukünftig", "ReEncryptTo", "AWS Internal", "ec2.amazonaws.com"] {
        let got = edited(Operation::Decrypt, |body| {
            body[SECTION]["kmsOperation"] = json!(name);
            body[SECTION]["awsPrincipalArn"] = json!(name);
        });
        assert_eq!(got, Ok(()));
    }
}

#[test]
fn a_principal_has_up_to_2048_characters() {
    for letter in ["a", "é", "𝄞"] {
        for operation in [Operation::Metadata, Operation::Encrypt, Operation::Decrypt] {
            let arn = |chars| {
                let arn = letter.repeat(chars);
                edited(operation, |body| body[SECTION]["awsPrincipalArn"] = json!(arn))
            };
            assert_eq!(arn(2_048), Ok(()));
            assert_eq!(arn(2_049), refused("awsPrincipalArn", Fault::TooLong));
        }
    }
}

#[test]
fn json_escapes_in_base64_are_legal() {
    let text = body(Operation::Encrypt).to_string().replace("SGVsbG8gV29ybGQh", r"\u002b\/\u002B/+\/8=");
    let read = EncryptRequest::parse(text.as_bytes()).unwrap();
    assert_eq!(read.plaintext.as_bytes(), STANDARD.decode("+/+/+/8=").unwrap());

    let text = body(Operation::Decrypt).to_string().replace("HMrlRw85cAJUd5Ax", r"HMrlRw\u00385cAJUd5A\/");
    let read = DecryptRequest::parse(text.as_bytes()).unwrap();
    assert_eq!(read.iv.as_bytes(), STANDARD.decode("HMrlRw85cAJUd5A/").unwrap());
}

#[test]
fn what_is_not_base64_is_refused() {
    for (operation, field) in [
        (Operation::Encrypt, "plaintext"),
        (Operation::Encrypt, AAD),
        (Operation::Decrypt, "ciphertext"),
        (Operation::Decrypt, "initializationVector"),
        (Operation::Decrypt, "authenticationTag"),
        (Operation::Decrypt, "ciphertextMetadata"),
        (Operation::Decrypt, AAD),
    ] {
        let long = "!".repeat(400);
        for wrong in ["a", "ab", "abc", "ab==cd==", "abcd=", "ab c", "ab\ncd==", "ab-_", "====", "YWJjZA=", "YWJjZB==", "é", &long] {
            let got = with(operation, field, json!(wrong));
            assert_eq!(got, refused(field, Fault::NotBase64), "{field} {wrong:?}");
        }
    }
}

#[test]
fn an_empty_plaintext_works() {
    assert_eq!(with(Operation::Encrypt, "plaintext", json!("")), Ok(()));
    assert_eq!(with(Operation::Decrypt, "ciphertext", json!("")), Ok(()));
}

#[test]
fn an_empty_aad_is_told_from_an_absent_one_for_legacy_formats() {
    let mut body = body(Operation::Decrypt);
    body[AAD] = json!("");
    let text = body.to_string();
    assert!(DecryptRequest::parse(text.as_bytes()).unwrap().aad.is_some());
    body[AAD] = Value::Null;
    let text = body.to_string();
    assert!(DecryptRequest::parse(text.as_bytes()).unwrap().aad.is_none());
}

#[test]
fn lengths_of_iv_tag_and_metadata_are_the_protocols() {
    let long = [17, 32, 48, 49, 64, 100];
    for bytes in (0..12).chain(13..16).chain(long) {
        let got = with(Operation::Decrypt, "initializationVector", base64(bytes));
        assert_eq!(got, Err(Refusal::WrongIvLength), "{bytes}");
    }
    for bytes in [12, 16] {
        assert_eq!(with(Operation::Decrypt, "initializationVector", base64(bytes)), Ok(()));
    }
    for bytes in (0..16).chain(long) {
        let got = with(Operation::Decrypt, "authenticationTag", base64(bytes));
        assert_eq!(got, Err(Refusal::WrongTagLength), "{bytes}");
    }
    for bytes in [21, 48, 49, 100] {
        let got = with(Operation::Decrypt, "ciphertextMetadata", base64(bytes));
        assert_eq!(got, Err(Refusal::MetadataTooLong), "{bytes}");
    }
    for bytes in 0..=20 {
        assert_eq!(with(Operation::Decrypt, "ciphertextMetadata", base64(bytes)), Ok(()));
    }
}

#[test]
fn other_algorithms_are_not_supported() {
    for operation in [Operation::Encrypt, Operation::Decrypt] {
        for name in ["AES_CBC", "aes_gcm", "AES_GCM ", ""] {
            let got = with(operation, "encryptionAlgorithm", json!(name));
            assert_eq!(got, unsupported(Unsupported::EncryptionAlgorithm));
        }
    }
    for name in ["SHA_384", "sha_256", ""] {
        let got = with(Operation::Encrypt, CDIV, json!(name));
        assert_eq!(got, unsupported(Unsupported::CdivAlgorithm));
    }
    // Shape comes first: one body, one answer.
    let got = edited(Operation::Encrypt, |body| {
        body["encryptionAlgorithm"] = json!("AES_CBC");
        body["plaintext"] = json!("!");
    });
    assert_eq!(got, refused("plaintext", Fault::NotBase64));
}

#[test]
fn payloads_end_at_our_limits() {
    for (operation, field, most, what) in [
        (Operation::Encrypt, "plaintext", 65_536, Unsupported::LongPlaintext),
        (Operation::Encrypt, AAD, 65_535, Unsupported::LongAad),
        (Operation::Decrypt, "ciphertext", 65_536, Unsupported::LongCiphertext),
        (Operation::Decrypt, AAD, 65_535, Unsupported::LongAad),
    ] {
        assert_eq!(with(operation, field, base64(most)), Ok(()), "{field}");
        let got = with(operation, field, base64(most + 1));
        assert_eq!(got, unsupported(what), "{field}");
    }
}

#[test]
fn debug_shows_no_payload() {
    let secret = STANDARD.encode([222, 173, 190, 239]);
    let mut encrypt = body(Operation::Encrypt);
    encrypt["plaintext"] = json!(secret);
    encrypt[AAD] = json!(secret);
    let mut decrypt = body(Operation::Decrypt);
    decrypt["ciphertext"] = json!(secret);
    decrypt[AAD] = json!(secret);
    let (encrypt, decrypt) = (encrypt.to_string(), decrypt.to_string());
    let shown =
        format!("{:?} {:?}", EncryptRequest::parse(encrypt.as_bytes()).unwrap(), DecryptRequest::parse(decrypt.as_bytes()).unwrap());
    for leak in ["222, 173", "dead", &secret] {
        assert!(!shown.to_lowercase().contains(&leak.to_lowercase()), "{shown}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(body in prop::collection::vec(any::<u8>(), 0..500)) {
        for operation in Operation::ALL {
            prop_assert!(parse(operation, &body).is_err());
        }
    }

    /// A good body with some bytes changed: read or refused, never a panic.
    #[test]
    fn no_damage_makes_a_parser_panic(
        which in 0..4_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let operation = Operation::ALL[which];
        let mut text = body(operation).to_string().into_bytes();
        for (at, byte) in damage {
            let at = at.index(text.len());
            text[at] = byte;
        }
        if let Err(refusal) = parse(operation, &text) {
            prop_assert!(matches!(refusal.wire().0, 400 | 501));
        }
    }

    #[test]
    fn payloads_arrive_as_they_were_sent(
        plaintext in prop::collection::vec(any::<u8>(), 0..500),
        aad in prop::collection::vec(any::<u8>(), 0..500),
    ) {
        let mut body = body(Operation::Encrypt);
        body["plaintext"] = json!(STANDARD.encode(&plaintext));
        body[AAD] = json!(STANDARD.encode(&aad));
        let text = body.to_string();
        let read = EncryptRequest::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(read.plaintext.as_bytes(), plaintext);
        prop_assert_eq!(read.aad.as_bytes(), aad);
    }
}

/// The object that holds a member: the body, or its `requestMetadata`.
fn parent<'b>(body: &'b mut Value, field: &str) -> &'b mut serde_json::Map<String, Value> {
    let inner = body[SECTION].get(field).is_some();
    let object = if inner { &mut body[SECTION] } else { body };
    object.as_object_mut().unwrap()
}

fn base64(bytes: usize) -> Value {
    json!(STANDARD.encode(vec![7; bytes]))
}

const SECTION: &str = "requestMetadata";
const AAD: &str = "additionalAuthenticatedData";
const CDIV: &str = "ciphertextDataIntegrityValueAlgorithm";

type Members = (Operation, &'static [&'static str]);

const REQUIRED: [Members; 4] = [
    (Operation::Health, &["requestMetadata", "kmsOperation", "kmsRequestId"]),
    (Operation::Metadata, &["requestMetadata", "awsPrincipalArn", "kmsOperation", "kmsRequestId"]),
    (
        Operation::Encrypt,
        &["requestMetadata", "awsPrincipalArn", "kmsOperation", "kmsRequestId", "kmsKeyArn", "plaintext", "encryptionAlgorithm"],
    ),
    (
        Operation::Decrypt,
        &[
            "requestMetadata",
            "awsPrincipalArn",
            "kmsOperation",
            "kmsRequestId",
            "kmsKeyArn",
            "ciphertext",
            "initializationVector",
            "authenticationTag",
            "encryptionAlgorithm",
        ],
    ),
];

const OPTIONAL: [Members; 4] = [
    (Operation::Health, &["awsPrincipalArn", "kmsKeyArn", "awsSourceVpc", "awsSourceVpce", "kmsViaService"]),
    (Operation::Metadata, &["kmsKeyArn", "awsSourceVpc", "awsSourceVpce", "kmsViaService"]),
    (Operation::Encrypt, &["awsSourceVpc", "awsSourceVpce", "kmsViaService", AAD, CDIV]),
    (Operation::Decrypt, &["awsSourceVpc", "awsSourceVpce", "kmsViaService", AAD, "ciphertextMetadata"]),
];
