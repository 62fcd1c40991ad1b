//! Encrypt: what must work, what comes back, its limits, and the integrity value's arithmetic.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::answer::{Refusal, Stop, Verdict, ensure};
use crate::arithmetic::{base64, integrity_value, pattern};
use crate::message::{Operation, Plain, Sealed, with};
use crate::plan::Plan;
use crate::suite::Suite;

pub(crate) fn cases(plan: &mut Plan) {
    for (name, text, aad) in SIZES {
        plan.case(format!("encrypt.{name}"), move |suite| round_trip(suite, text, aad));
    }
    plan.case("encrypt.aad.empty-is-absent", empty_aad_is_absent);
    plan.case("encrypt.plaintext.64-kib-works-or-501", large_plaintext);
    plan.case("encrypt.plaintext.1-mib-is-unsupported", oversized);
    plan.case("encrypt.aad.65536-bytes-is-unsupported", endless_aad);
    for (name, value) in PRINCIPALS {
        let name = format!("encrypt.principal.{name}");
        plan.case(name, move |suite| accepted(suite, "awsPrincipalArn", json!(value)));
    }
    plan.case("encrypt.principal.2048-characters", |suite| accepted(suite, "awsPrincipalArn", json!(long_arn("iam", "user/"))));
    plan.case("encrypt.key-arn.2048-characters", |suite| accepted(suite, "kmsKeyArn", json!(long_arn("kms", "key/"))));
    plan.case("encrypt.kms-operation.any", any_operation);
    plan.case("encrypt.request-id.opaque", any_request_id);
    plan.case("encrypt.optional-members", optional_members);
    plan.case("encrypt.cdiv.matches", cdiv_matches);
    plan.case("encrypt.cdiv.matches-empty-plaintext", cdiv_of_nothing);
    plan.case("encrypt.cdiv.matches-without-aad", cdiv_without_aad);
    plan.case("encrypt.cdiv.absent-unless-asked", cdiv_absent);
    for (name, pointer, value) in OTHER_ALGORITHMS {
        let name = format!("encrypt.{name}");
        plan.case(name, move |suite| unsupported(suite, pointer, value));
    }
    plan.measured("encrypt.iv.unique-over-200", Duration::from_secs(10), unique);
}

async fn round_trip(suite: Arc<Suite>, text: usize, aad: Option<usize>) -> Verdict {
    let mut plain = Plain::new(&pattern(text)).with_integrity();
    plain.aad = aad.map(pattern);
    let sealed = suite.encrypt(plain).await?;
    suite.open(&sealed).await
}

async fn empty_aad_is_absent(suite: Arc<Suite>) -> Verdict {
    let mut sealed = suite.encrypt(Plain::new(b"text").with_aad(b"")).await?;
    sealed.plain.aad = None;
    suite.open(&sealed).await?;
    let mut sealed = suite.encrypt(Plain::new(b"text")).await?;
    sealed.plain.aad = Some(Vec::new());
    suite.open(&sealed).await
}

async fn large_plaintext(suite: Arc<Suite>) -> Verdict {
    let plain = Plain::new(&pattern(64 * 1024));
    let answer = suite.call(Operation::Encrypt, &plain.request()).await?;
    if answer.status == 200 {
        let sealed = Sealed::read(plain, &answer)?;
        suite.open(&sealed).await
    } else {
        answer.refused(Refusal::Unsupported)
    }
}

async fn oversized(suite: Arc<Suite>) -> Verdict {
    let plain = Plain::new(&pattern(1024 * 1024));
    let answer = suite.call(Operation::Encrypt, &plain.request()).await?;
    answer.refused(Refusal::Unsupported)
}

/// The AAD's length is bound in two bytes: one more than they hold can't be.
async fn endless_aad(suite: Arc<Suite>) -> Verdict {
    let plain = Plain::new(b"text").with_aad(&pattern(65_536));
    let answer = suite.call(Operation::Encrypt, &plain.request()).await?;
    answer.refused(Refusal::Unsupported)
}

/// Encrypts with one member of `requestMetadata` replaced.
async fn accepted(suite: Arc<Suite>, name: &'static str, value: Value) -> Verdict {
    let plain = Plain::new(b"text");
    let body = with(&plain.request(), &format!("/requestMetadata/{name}"), value);
    let answer = suite.call(Operation::Encrypt, &body).await?;
    Sealed::read(plain, &answer).map(drop)
}

async fn any_operation(suite: Arc<Suite>) -> Verdict {
    let long = "x".repeat(300);
    for word in ["Encrypt", "Decrypt", "GenerateDataKeyPairWithoutPlaintext", "ReEncryptTo", "AnOperationOf2031", "äöü 鍵", long.as_str()]
    {
        let tried = accepted(Arc::clone(&suite), "kmsOperation", json!(word)).await;
        tried.map_err(|stop| stop.at(word))?;
    }
    Ok(())
}

async fn any_request_id(suite: Arc<Suite>) -> Verdict {
    let long = "4112f4d6-".repeat(20);
    for id in ["1", "a\"b\\c\n{}", "{\"errorName\":1}", long.as_str()] {
        let tried = accepted(Arc::clone(&suite), "kmsRequestId", json!(id)).await;
        tried.map_err(|stop| stop.at(id))?;
    }
    Ok(())
}

async fn optional_members(suite: Arc<Suite>) -> Verdict {
    let plain = Plain::new(b"text");
    let mut body = plain.request();
    for (name, value) in [("awsSourceVpc", "vpc-1234567890abcdef0"), ("awsSourceVpce", "vpce-1234567890abcdef0"), ("kmsViaService", "ebs")]
    {
        body = with(&body, &format!("/requestMetadata/{name}"), json!(value));
    }
    let answer = suite.call(Operation::Encrypt, &body).await?;
    Sealed::read(plain, &answer).map(drop)
}

async fn cdiv_matches(suite: Arc<Suite>) -> Verdict {
    for size in [1, 16, 4_300] {
        let plain = Plain::new(&pattern(size)).with_aad(b"project=nile,department=marketing");
        cdiv(&suite, plain).await?;
    }
    Ok(())
}

async fn cdiv_of_nothing(suite: Arc<Suite>) -> Verdict {
    cdiv(&suite, Plain::new(b"").with_aad(b"project=nile")).await
}

async fn cdiv_without_aad(suite: Arc<Suite>) -> Verdict {
    cdiv(&suite, Plain::new(b"text")).await
}

async fn cdiv(suite: &Suite, plain: Plain) -> Verdict {
    let sealed = suite.encrypt(plain.with_integrity()).await?;
    check_cdiv(&sealed)
}

/// Expects the integrity value that these bytes have.
pub(crate) fn check_cdiv(sealed: &Sealed) -> Verdict {
    let expected = integrity_value([
        sealed.plain.aad.as_deref().unwrap_or_default(),
        sealed.metadata.as_deref().unwrap_or_default(),
        &sealed.iv,
        &sealed.ciphertext,
        &sealed.tag,
    ]);
    match &sealed.integrity {
        Some(value) if *value == expected => Ok(()),
        Some(value) => Err(Stop::wrong(format!("ciphertextDataIntegrityValue {}", base64(&expected)), base64(value))),
        None => Err(Stop::wrong("a ciphertextDataIntegrityValue", "none")),
    }
}

async fn cdiv_absent(suite: Arc<Suite>) -> Verdict {
    let answer = suite.call(Operation::Encrypt, &Plain::new(b"text").request()).await?;
    let body = answer.ok()?;
    ensure(!body.contains_key("ciphertextDataIntegrityValue"), "no ciphertextDataIntegrityValue", &answer)
}

async fn unsupported(suite: Arc<Suite>, pointer: &'static str, value: &'static str) -> Verdict {
    let body = with(&Plain::new(b"text").request(), pointer, json!(value));
    let answer = suite.call(Operation::Encrypt, &body).await?;
    answer.refused(Refusal::Unsupported)
}

/// One plaintext 200 times over one connection: every IV new, every ciphertext other.
async fn unique(suite: Arc<Suite>) -> Verdict<String> {
    let mut wire = suite.wire().await?;
    let plain = Plain::new(&pattern(64));
    let mut ivs = HashSet::new();
    let mut ciphertexts = HashSet::new();
    for _ in 0..200 {
        let draft = suite.draft(Operation::Encrypt, &plain.request());
        let answer = wire.send(&draft.sign()?).await?;
        let sealed = Sealed::read(plain.clone(), &answer)?;
        ivs.insert(sealed.iv);
        ciphertexts.insert(sealed.ciphertext);
    }
    ensure(ivs.len() == 200, "200 different IVs", ivs.len())?;
    ensure(ciphertexts.len() == 200, "200 different ciphertexts", ciphertexts.len())?;
    Ok(String::new())
}

/// An ARN of exactly 2,048 characters.
pub(crate) fn long_arn(service: &str, resource: &str) -> String {
    let start = format!("arn:aws:{service}::123456789012:{resource}");
    let rest = 2_048_usize.saturating_sub(start.len());
    start + &"a".repeat(rest)
}

/// Name, plaintext bytes, AAD bytes.
const SIZES: [(&str, usize, Option<usize>); 11] = [
    ("minimal", 16, None),
    ("aad", 16, Some(33)),
    ("plaintext.empty", 0, None),
    ("plaintext.empty-with-aad", 0, Some(33)),
    ("plaintext.1-byte", 1, None),
    ("plaintext.15-bytes", 15, Some(1)),
    ("plaintext.17-bytes", 17, Some(15)),
    ("plaintext.255-bytes", 255, Some(255)),
    ("plaintext.4300-bytes", 4_300, None),
    ("aad.8192-bytes", 32, Some(8_192)),
    ("plaintext.4300-bytes-with-aad-8192", 4_300, Some(8_192)),
];

const PRINCIPALS: [(&str, &str); 3] = [
    ("service", "ebs.amazonaws.com"),
    ("aws-internal", "AWS Internal"),
    ("assumed-role", "arn:aws:sts::123456789012:assumed-role/Admin/session+=,.@-"),
];

/// Name, member, value that no proxy knows.
const OTHER_ALGORITHMS: [(&str, &str, &str); 4] = [
    ("algorithm.other", "/encryptionAlgorithm", "AES_CBC"),
    ("algorithm.lower-case", "/encryptionAlgorithm", "aes_gcm"),
    ("cdiv.algorithm.other", "/ciphertextDataIntegrityValueAlgorithm", "SHA_512"),
    ("cdiv.algorithm.lower-case", "/ciphertextDataIntegrityValueAlgorithm", "sha_256"),
];
