//! Every member of every request: missing, and of another type.
//!
//! Holds: one table says which members an operation has (contract, `requestMetadata` and the operations); a
//! member of the table that is missing (if required) or mistyped (always) is a `ValidationException`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::answer::{Refusal, Stop, Verdict};
use crate::message::{Operation, with, without};
use crate::plan::Plan;
use crate::suite::Suite;

use Operation::{Decrypt, Encrypt, Health, Metadata};

pub(crate) fn cases(plan: &mut Plan) {
    for (operation, required, optional) in MEMBERS {
        for pointer in required {
            plan.case(name("missing", operation, pointer), move |suite| missing(suite, operation, pointer));
            plan.case(name("mistyped", operation, pointer), move |suite| mistyped(suite, operation, pointer, true));
        }
        for pointer in optional {
            plan.case(name("mistyped", operation, pointer), move |suite| mistyped(suite, operation, pointer, false));
        }
    }
    for (operation, pointer) in BASE64 {
        plan.case(name("not-base64", operation, pointer), move |suite| not_base64(suite, operation, pointer));
    }
}

fn name(what: &str, operation: Operation, pointer: &str) -> String {
    let member = pointer.rsplit('/').next().unwrap_or_default();
    format!("{}.{what}.{member}", operation.word())
}

async fn missing(suite: Arc<Suite>, operation: Operation, pointer: &str) -> Verdict {
    let body = without(&suite.good_body(operation).await?, pointer);
    let answer = suite.call(operation, &body).await?;
    answer.refused(Refusal::Validation)
}

/// `null` stands for a missing member where the member may be missing, so it is tried on required ones only.
async fn mistyped(suite: Arc<Suite>, operation: Operation, pointer: &str, required: bool) -> Verdict {
    let good = suite.good_body(operation).await?;
    let mut values = vec![json!(5), json!(true), json!(["a"])];
    if pointer == "/requestMetadata" {
        values.push(json!("text"));
    } else {
        values.push(json!({"a": "b"}));
    }
    if required {
        values.push(Value::Null);
    }
    each(
        &suite,
        operation,
        values.into_iter().map(|value| {
            let label = value.to_string();
            (label, with(&good, pointer, value))
        }),
    )
    .await
}

async fn not_base64(suite: Arc<Suite>, operation: Operation, pointer: &str) -> Verdict {
    let good = suite.good_body(operation).await?;
    each(&suite, operation, NOT_BASE64.into_iter().map(|text| (text.to_owned(), with(&good, pointer, json!(text))))).await
}

/// Sends each body, and expects `ValidationException` each time.
async fn each(suite: &Suite, operation: Operation, bodies: impl Iterator<Item = (String, Value)>) -> Verdict {
    for (label, body) in bodies {
        let answer = suite.call(operation, &body).await?;
        let refused = answer.refused(Refusal::Validation);
        refused.map_err(|stop: Stop| stop.at(&label))?;
    }
    Ok(())
}

type Members = &'static [&'static str];

/// Operation, required members, optional members; as JSON pointers.
const MEMBERS: [(Operation, Members, Members); 4] = [
    (Health, &["/requestMetadata", "/requestMetadata/kmsOperation", "/requestMetadata/kmsRequestId"], &[]),
    (
        Metadata,
        &["/requestMetadata", "/requestMetadata/awsPrincipalArn", "/requestMetadata/kmsOperation", "/requestMetadata/kmsRequestId"],
        &["/requestMetadata/awsSourceVpc", "/requestMetadata/awsSourceVpce"],
    ),
    (
        Encrypt,
        &[
            "/requestMetadata",
            "/requestMetadata/awsPrincipalArn",
            "/requestMetadata/kmsOperation",
            "/requestMetadata/kmsRequestId",
            "/requestMetadata/kmsKeyArn",
            "/plaintext",
            "/encryptionAlgorithm",
        ],
        &[
            "/requestMetadata/awsSourceVpc",
            "/requestMetadata/awsSourceVpce",
            "/requestMetadata/kmsViaService",
            "/additionalAuthenticatedData",
            "/ciphertextDataIntegrityValueAlgorithm",
        ],
    ),
    (
        Decrypt,
        &[
            "/requestMetadata",
            "/requestMetadata/awsPrincipalArn",
            "/requestMetadata/kmsOperation",
            "/requestMetadata/kmsRequestId",
            "/requestMetadata/kmsKeyArn",
            "/ciphertext",
            "/initializationVector",
            "/authenticationTag",
            "/encryptionAlgorithm",
        ],
        &[
            "/requestMetadata/awsSourceVpc",
            "/requestMetadata/awsSourceVpce",
            "/requestMetadata/kmsViaService",
            "/additionalAuthenticatedData",
            "/ciphertextMetadata",
        ],
    ),
];

const BASE64: [(Operation, &str); 7] = [
    (Encrypt, "/plaintext"),
    (Encrypt, "/additionalAuthenticatedData"),
    (Decrypt, "/ciphertext"),
    (Decrypt, "/initializationVector"),
    (Decrypt, "/authenticationTag"),
    (Decrypt, "/additionalAuthenticatedData"),
    (Decrypt, "/ciphertextMetadata"),
];

/// Not RFC 4648 §4: other characters, the alphabet of §5, padding missing, misplaced or too much.
const NOT_BASE64: [&str; 10] = ["!!!!", "a", "YWI", "YWJj=", "YQ===", "=YWJ", "YW=j", "_-_-", "YWJj\n", "YW Jj"];
