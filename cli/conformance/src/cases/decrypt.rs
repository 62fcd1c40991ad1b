//! Decrypt: what must open, and the lengths that its inputs must have.

use std::sync::Arc;

use serde_json::json;

use crate::answer::{Refusal, Stop, Verdict};
use crate::arithmetic::{base64, pattern};
use crate::cases::encrypt::long_arn;
use crate::message::{Operation, Plain, with};
use crate::plan::Plan;
use crate::suite::Suite;

pub(crate) fn cases(plan: &mut Plan) {
    plan.case("decrypt.again-on-another-connection", again);
    plan.case("decrypt.plaintext.4300-bytes-with-aad-8192", largest);
    plan.case("decrypt.plaintext.empty", empty);
    plan.case("decrypt.every-byte-value", every_byte);
    plan.case("decrypt.optional-members.each-combination", combinations);
    plan.case("decrypt.principal.2048-characters", |suite| opened_with(suite, "awsPrincipalArn", long_arn("iam", "role/")));
    plan.case("decrypt.key-arn.2048-characters", |suite| opened_with(suite, "kmsKeyArn", long_arn("kms", "key/")));
    plan.case("decrypt.principal.service", |suite| opened_with(suite, "awsPrincipalArn", "ebs.amazonaws.com".into()));
    plan.case("decrypt.principal.aws-internal", |suite| opened_with(suite, "awsPrincipalArn", "AWS Internal".into()));
    plan.case("decrypt.kms-operation.any", |suite| opened_with(suite, "kmsOperation", "AnOperationOf2031".into()));
    plan.case("decrypt.cdiv-algorithm-is-no-member", foreign_member);
    for (name, pointer, lengths) in LENGTHS {
        let name = format!("decrypt.{name}");
        plan.case(name, move |suite| wrong_length(suite, pointer, lengths));
    }
    plan.case("decrypt.algorithm.other", |suite| unsupported(suite, "AES_CBC"));
    plan.case("decrypt.algorithm.lower-case", |suite| unsupported(suite, "aes_gcm"));
    plan.case("decrypt.ciphertext.1-mib-is-refused", oversized);
    plan.case("decrypt.key.another", another_key);
}

async fn again(suite: Arc<Suite>) -> Verdict {
    let sealed = suite.encrypt(Plain::new(b"text").with_aad(b"project=nile")).await?;
    for _ in 0..3 {
        let request = suite.draft(Operation::Decrypt, &sealed.request()).sign()?;
        let answer = suite.wire().await?.send(&request).await?;
        sealed.opened(&answer)?;
    }
    Ok(())
}

async fn largest(suite: Arc<Suite>) -> Verdict {
    let plain = Plain::new(&pattern(4_300)).with_aad(&pattern(8_192));
    suite.open(&suite.encrypt(plain).await?).await
}

async fn empty(suite: Arc<Suite>) -> Verdict {
    suite.open(&suite.encrypt(Plain::new(b"")).await?).await
}

async fn every_byte(suite: Arc<Suite>) -> Verdict {
    let all: Vec<u8> = (0..=255).collect();
    let plain = Plain::new(&all).with_aad(&all);
    suite.open(&suite.encrypt(plain).await?).await
}

/// AAD and integrity value on or off in Encrypt, and every set of optional `requestMetadata` in Decrypt.
async fn combinations(suite: Arc<Suite>) -> Verdict {
    const OPTIONAL: [(&str, &str); 3] =
        [("awsSourceVpc", "vpc-1234567890abcdef0"), ("awsSourceVpce", "vpce-1234567890abcdef0"), ("kmsViaService", "ebs")];
    let mut wire = suite.wire().await?;
    for set in 0..32_u8 {
        let mut plain = Plain::new(b"text");
        if set & 8 != 0 {
            plain = plain.with_aad(b"project=nile");
        }
        if set & 16 != 0 {
            plain = plain.with_integrity();
        }
        let sealed = suite.encrypt(plain).await?;
        let mut body = sealed.request();
        for (bit, (name, value)) in OPTIONAL.iter().enumerate() {
            if set & (1 << bit) != 0 {
                body = with(&body, &format!("/requestMetadata/{name}"), json!(value));
            }
        }
        let request = suite.draft(Operation::Decrypt, &body).sign()?;
        let answer = wire.send(&request).await?;
        let opened = sealed.opened(&answer);
        opened.map_err(|stop| stop.at(&format!("set {set:05b}")))?;
    }
    Ok(())
}

async fn opened_with(suite: Arc<Suite>, name: &'static str, value: String) -> Verdict {
    let sealed = suite.encrypt(Plain::new(b"text")).await?;
    let pointer = format!("/requestMetadata/{name}");
    let body = with(&sealed.request(), &pointer, json!(value));
    sealed.opened(&suite.call(Operation::Decrypt, &body).await?)
}

async fn foreign_member(suite: Arc<Suite>) -> Verdict {
    let sealed = suite.encrypt(Plain::new(b"text")).await?;
    let pointer = "/ciphertextDataIntegrityValueAlgorithm";
    let body = with(&sealed.request(), pointer, json!("SHA_512"));
    sealed.opened(&suite.call(Operation::Decrypt, &body).await?)
}

async fn wrong_length(suite: Arc<Suite>, pointer: &'static str, lengths: &'static [usize]) -> Verdict {
    let sealed = suite.encrypt(Plain::new(b"text").with_aad(b"project=nile")).await?;
    for &length in lengths {
        let value = base64(&pattern(length));
        let body = with(&sealed.request(), pointer, json!(value));
        let answer = suite.call(Operation::Decrypt, &body).await?;
        let refused = answer.refused(Refusal::InvalidCiphertext);
        refused.map_err(|stop| stop.at(&format!("{length} bytes")))?;
    }
    Ok(())
}

async fn unsupported(suite: Arc<Suite>, algorithm: &'static str) -> Verdict {
    let sealed = suite.encrypt(Plain::new(b"text")).await?;
    let body = with(&sealed.request(), "/encryptionAlgorithm", json!(algorithm));
    let answer = suite.call(Operation::Decrypt, &body).await?;
    answer.refused(Refusal::Unsupported)
}

async fn oversized(suite: Arc<Suite>) -> Verdict {
    let mut sealed = suite.encrypt(Plain::new(b"text")).await?;
    sealed.ciphertext = pattern(1024 * 1024);
    let answer = suite.call(Operation::Decrypt, &sealed.request()).await?;
    // A proxy without a limit of its own here sees a ciphertext that does not fit its tag.
    answer.refused_as(&[Refusal::Unsupported, Refusal::InvalidCiphertext])
}

async fn another_key(suite: Arc<Suite>) -> Verdict {
    let Some(key) = suite.options.facts.second_key_id.clone() else {
        return Err(Stop::LeftOut("no second_key_id was given".into()));
    };
    let sealed = suite.encrypt(Plain::new(b"text")).await?;
    let mut draft = suite.draft(Operation::Decrypt, &sealed.request());
    draft.path = suite.path_of(Operation::Decrypt, &key);
    let answer = suite.send(&draft.sign()?).await?;
    answer.refused(Refusal::InvalidCiphertext)
}

/// Name, member, lengths in bytes that are good base64 and no good ciphertext.
///
/// An IV of 16 bytes is passed on by some proxies, but the tag can't fit it.
const LENGTHS: [(&str, &str, &[usize]); 10] = [
    ("iv.empty", "/initializationVector", &[0]),
    ("iv.too-short", "/initializationVector", &[1, 11]),
    ("iv.13-to-15-bytes", "/initializationVector", &[13, 14, 15]),
    ("iv.16-bytes", "/initializationVector", &[16]),
    ("iv.too-long", "/initializationVector", &[17, 32, 256]),
    ("tag.empty", "/authenticationTag", &[0]),
    ("tag.too-short", "/authenticationTag", &[4, 12, 15]),
    ("tag.too-long", "/authenticationTag", &[17, 32]),
    ("metadata.20-bytes-of-nothing", "/ciphertextMetadata", &[20]),
    ("metadata.too-long", "/ciphertextMetadata", &[21, 256]),
];
