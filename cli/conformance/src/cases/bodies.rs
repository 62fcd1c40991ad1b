//! Bodies as text: JSON that is unusual but legal, and text that is no good JSON.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::answer::{Refusal, Stop, Verdict, ensure};
use crate::message::{Operation, Plain, Sealed, bare_request, with};
use crate::plan::Plan;
use crate::suite::Suite;

use Operation::{Decrypt, Encrypt, Health, Metadata};

pub(crate) fn cases(plan: &mut Plan) {
    for operation in [Health, Metadata, Encrypt, Decrypt] {
        let word = operation.word();
        plan.case(format!("{word}.body.empty"), move |suite| refused_text(suite, operation, String::new()));
        plan.case(format!("{word}.body.not-json"), move |suite| not_json(suite, operation));
        plan.case(format!("{word}.body.unknown-members"), move |suite| unknown_members(suite, operation));
        plan.case(format!("{word}.body.duplicate.requestMetadata"), move |suite| duplicate(suite, operation, "requestMetadata"));
        plan.case(format!("{word}.body.duplicate.kmsRequestId"), move |suite| duplicate(suite, operation, "kmsRequestId"));
    }
    plan.case("encrypt.body.duplicate.plaintext", |suite| duplicate(suite, Encrypt, "plaintext"));
    plan.case("encrypt.body.duplicate.escaped-name", duplicate_escaped);
    plan.case("decrypt.body.duplicate.ciphertext", |suite| duplicate(suite, Decrypt, "ciphertext"));
    plan.case("decrypt.body.duplicate.ciphertextMetadata", |suite| duplicate(suite, Decrypt, "ciphertextMetadata"));
    plan.case("encrypt.json.escaped-solidus-in-base64", escaped_solidus);
    plan.case("encrypt.json.unicode-escapes-in-base64", unicode_escapes);
    plan.case("decrypt.json.unicode-escapes-in-base64", unicode_escapes_decrypt);
    plan.case("encrypt.json.escaped-member-name", escaped_name);
    plan.case("encrypt.json.white-space", white_space);
    plan.case("encrypt.json.any-order", any_order);
    plan.case("metadata.json.invalid-utf-8", invalid_utf8);
    plan.case("metadata.json.lone-surrogate", lone_surrogate);
    plan.case("metadata.json.deep-nesting", deep_nesting);
}

async fn refused_text(suite: Arc<Suite>, operation: Operation, text: String) -> Verdict {
    let answer = suite.call_of(operation, &text).await?;
    answer.refused(Refusal::Validation)
}

async fn not_json(suite: Arc<Suite>, operation: Operation) -> Verdict {
    let good = suite.good_body(operation).await?.to_string();
    let cut = good.get(..good.len() - 1).unwrap_or_default();
    for (label, text) in [
        ("its end cut off", cut.to_owned()),
        ("text behind it", format!("{good}x")),
        ("a second one behind it", format!("{good}{good}")),
        ("in an array", format!("[{good}]")),
        ("null", "null".to_owned()),
        ("a string", "\"text\"".to_owned()),
        ("a form", "a=b&c=d".to_owned()),
    ] {
        let tried = refused_text(Arc::clone(&suite), operation, text).await;
        tried.map_err(|stop: Stop| stop.at(label))?;
    }
    Ok(())
}

/// Members that no specification has yet, of every type, at every level.
async fn unknown_members(suite: Arc<Suite>, operation: Operation) -> Verdict {
    let mut body = suite.good_body(operation).await?;
    for (name, value) in [
        ("futureText", json!("x")),
        ("futureObject", json!({"a": {"b": [1, 2, {"c": null}]}})),
        ("futureArray", json!([[], {}])),
        ("futureNull", Value::Null),
        ("", json!(true)),
    ] {
        body = with(&body, &format!("/{name}"), value.clone());
        body = with(&body, &format!("/requestMetadata/{name}"), value);
    }
    // Numbers that fit no machine type are legal JSON all the same.
    let text = body.to_string().replacen('{', r#"{"futureNumber":123456789012345678901234567890,"futureFloat":-1.5e+300,"#, 1);
    let answer = suite.call_of(operation, &text).await?;
    answer.ok().map(drop)
}

/// The member stands twice, with the same value: which one counts must not matter to anyone.
async fn duplicate(suite: Arc<Suite>, operation: Operation, member: &str) -> Verdict {
    let good = suite.good_body(operation).await?;
    let pointers = [format!("/{member}"), format!("/requestMetadata/{member}")];
    let value = pointers.iter().find_map(|pointer| good.pointer(pointer));
    let value = value.map_or_else(|| json!("AAAA").to_string(), Value::to_string);
    let text = good.to_string();
    let name = format!("\"{member}\":");
    let text = if text.contains(&name) {
        text.replacen(&name, &format!("{name}{value},{name}"), 1)
    } else {
        text.replacen('{', &format!("{{{name}{value},{name}{value},"), 1)
    };
    let answer = suite.call_of(operation, &text).await?;
    answer.refused(Refusal::Validation)
}

async fn duplicate_escaped(suite: Arc<Suite>) -> Verdict {
    let good = suite.good_body(Encrypt).await?.to_string();
    let text = good.replacen('{', r#"{"plainte\u0078t":"AAAA","#, 1);
    refused_text(suite, Encrypt, text).await
}

/// Bytes whose base64 has `/` and `+` and padding.
const ODD_BYTES: [u8; 7] = [0xff, 0xff, 0xfe, 0xfb, 0xef, 0xbe, 0xfa];

async fn escaped_solidus(suite: Arc<Suite>) -> Verdict {
    let plain = Plain::new(&ODD_BYTES).with_aad(&ODD_BYTES);
    let text = plain.request().to_string().replace('/', r"\/");
    sealed_as(&suite, plain, &text).await
}

async fn unicode_escapes(suite: Arc<Suite>) -> Verdict {
    let plain = Plain::new(&ODD_BYTES).with_aad(&ODD_BYTES);
    let text = escape_base64(&plain.request());
    sealed_as(&suite, plain, &text).await
}

async fn unicode_escapes_decrypt(suite: Arc<Suite>) -> Verdict {
    let plain = Plain::new(&ODD_BYTES).with_aad(&ODD_BYTES);
    let sealed = suite.encrypt(plain).await?;
    let text = escape_base64(&sealed.request());
    sealed.opened(&suite.call_of(Decrypt, &text).await?)
}

fn escape_base64(body: &Value) -> String {
    let text = body.to_string();
    let text = text.replace('+', r"\u002b").replace('/', r"\u002F");
    text.replace('=', r"\u003d")
}

async fn escaped_name(suite: Arc<Suite>) -> Verdict {
    let plain = Plain::new(b"text");
    let text = plain.request().to_string();
    let text = text.replace("plaintext", r"pl\u0061intext");
    let text = text.replace("kmsRequestId", r"kms\u0052equestId");
    sealed_as(&suite, plain, &text).await
}

async fn white_space(suite: Arc<Suite>) -> Verdict {
    let plain = Plain::new(b"text").with_aad(b"project=nile");
    let text = plain.request().to_string();
    let text = text.replace("\",\"", "\" \t,\r\n \"").replace("\":", "\" : ");
    sealed_as(&suite, plain, &format!("\n {text} \r\n\t")).await
}

async fn any_order(suite: Arc<Suite>) -> Verdict {
    let plain = Plain::new(b"text");
    let body = plain.request();
    let members = body.as_object().into_iter().flatten();
    let mut members: Vec<_> = members.map(|(n, v)| format!("\"{n}\":{v}")).collect();
    for _ in 0..members.len() {
        members.rotate_left(1);
        sealed_as(&suite, plain.clone(), &format!("{{{}}}", members.join(","))).await?;
    }
    members.reverse();
    sealed_as(&suite, plain, &format!("{{{}}}", members.join(","))).await
}

/// Encrypts with this text for a body, and expects what went in to come back from Decrypt.
async fn sealed_as(suite: &Suite, plain: Plain, text: &str) -> Verdict {
    let answer = suite.call_of(Encrypt, text).await?;
    suite.open(&Sealed::read(plain, &answer)?).await
}

async fn invalid_utf8(suite: Arc<Suite>) -> Verdict {
    let text = bare_request(Metadata).to_string();
    let mut body = text.into_bytes();
    if let Some(byte) = body.iter_mut().find(|byte| **byte == b'A') {
        *byte = 0xff;
    }
    let draft = suite.draft_of(Metadata, body);
    let answer = suite.send(&draft.sign()?).await?;
    answer.refused(Refusal::Validation)
}

/// Half of a surrogate pair stands for no character (RFC 8259 §8.2).
async fn lone_surrogate(suite: Arc<Suite>) -> Verdict {
    let text = bare_request(Metadata).to_string();
    let text = text.replace("DescribeKey", r"Describe\ud800Key");
    refused_text(suite, Metadata, text).await
}

/// 20,000 brackets in an unknown member: ignored or refused, but it goes on serving.
async fn deep_nesting(suite: Arc<Suite>) -> Verdict {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let text = bare_request(Metadata).to_string();
    let text = text.replacen('{', &format!("{{\"future\":{deep},"), 1);
    let answer = suite.call_of(Metadata, &text).await?;
    ensure(matches!(answer.status, 200 | 400 | 501), "200, 400 or 501", &answer)?;
    let good = suite.call(Metadata, &bare_request(Metadata)).await?;
    good.ok().map(drop).map_err(|stop| stop.at("afterwards"))
}
