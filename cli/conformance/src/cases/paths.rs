//! Which paths exist, which are refused before anything else, and which methods they take.

use std::sync::Arc;

use serde_json::Value;

use crate::answer::{Refusal, Stop, Verdict, ensure};
use crate::message::{Operation, bare_request};
use crate::plan::Plan;
use crate::suite::Suite;

/// Makes a path from the target's prefix and key id.
type Path = fn(&str, &str) -> String;

pub(crate) fn cases(plan: &mut Plan) {
    for (name, path) in BEFORE_AUTHENTICATION {
        plan.case(format!("path.{name}"), move |suite| unsigned(suite, path));
    }
    for (name, path) in NO_SUCH_PATH {
        plan.case(format!("path.{name}"), move |suite| signed(suite, path));
    }
    plan.case("path.prefix.other-case", prefix_in_other_case);
    plan.case("path.key-id.129-characters", |suite| no_key(suite, "k".repeat(129)));
    // The only character outside [A-Za-z0-9._-] that SigV4's canonical path leaves as it is.
    plan.case("path.key-id.tilde", |suite| no_key(suite, "~conformance".to_owned()));
    plan.case("path.key-id.longest-is-looked-up", longest_key_id);
    for operation in [Operation::Metadata, Operation::Encrypt, Operation::Decrypt] {
        let name = format!("{}.unknown-key", operation.word());
        plan.case(name, move |suite| unknown_key(suite, operation));
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let name = format!("method.{}", method.to_lowercase());
        plan.case(name, move |suite| other_method(suite, method));
    }
}

async fn unsigned(suite: Arc<Suite>, path: Path) -> Verdict {
    let mut request = suite.metadata_draft().unsigned();
    request.path = path(&suite.target.prefix, &suite.target.key_id);
    let answer = suite.send(&request).await?;
    answer.refused(Refusal::UriPath)
}

async fn signed(suite: Arc<Suite>, path: Path) -> Verdict {
    let mut draft = suite.metadata_draft();
    draft.path = path(&suite.target.prefix, &suite.target.key_id);
    let answer = suite.send(&draft.sign()?).await?;
    answer.refused(Refusal::UriPath)
}

/// Only a part of the prefix before `/kms/xks/v1` can be written in another case.
async fn prefix_in_other_case(suite: Arc<Suite>) -> Verdict {
    let (own, fixed) = suite.target.prefix.split_at(suite.target.prefix.len() - "/kms/xks/v1".len());
    let swapped: String = own.chars().map(swap_case).collect();
    if swapped == own {
        return Err(Stop::LeftOut("the prefix has no letter of its own".into()));
    }
    let mut draft = suite.metadata_draft();
    draft.path = format!("{swapped}{fixed}/keys/{}/metadata", suite.target.key_id);
    let answer = suite.send(&draft.sign()?).await?;
    answer.refused(Refusal::UriPath)
}

fn swap_case(letter: char) -> char {
    if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() }
}

/// A key id that can't exist: whether the path or the key is unknown, nobody can tell.
async fn no_key(suite: Arc<Suite>, id: String) -> Verdict {
    let mut draft = suite.metadata_draft();
    draft.path = suite.path_of(Operation::Metadata, &id);
    let answer = suite.send(&draft.sign()?).await?;
    answer.refused_as(&[Refusal::KeyNotFound, Refusal::UriPath])
}

/// An id of 128 characters, or as long as 256 for the whole path allow.
async fn longest_key_id(suite: Arc<Suite>) -> Verdict {
    let around = suite.path_of(Operation::Metadata, "").len();
    let mut draft = suite.metadata_draft();
    draft.path = suite.path_of(Operation::Metadata, &"k".repeat(128_usize.min(256 - around)));
    let answer = suite.send(&draft.sign()?).await?;
    answer.refused(Refusal::KeyNotFound)
}

async fn unknown_key(suite: Arc<Suite>, operation: Operation) -> Verdict {
    let body: Value = suite.good_body(operation).await?;
    let mut draft = suite.draft(operation, &body);
    draft.path = suite.path_of(operation, "no-such-key.conformance");
    let answer = suite.send(&draft.sign()?).await?;
    answer.refused(Refusal::KeyNotFound)
}

/// Signed, so that it makes no difference whether a proxy looks at the method or the signature first.
async fn other_method(suite: Arc<Suite>, method: &'static str) -> Verdict {
    for operation in [Operation::Health, Operation::Metadata, Operation::Encrypt, Operation::Decrypt] {
        let mut draft = suite.draft(operation, &bare_request(operation));
        draft.method = method.into();
        draft.body.clear();
        let answer = suite.send(&draft.sign()?).await?;
        let refused = ensure(answer.status == 405, "405", &answer);
        refused.map_err(|stop| stop.at(operation.word()))?;
    }
    Ok(())
}

/// Must be 404 though the request carries no signature.
const BEFORE_AUTHENTICATION: [(&str, Path); 21] = [
    ("percent.letter", |p, k| format!("{p}/keys/{k}/%65ncrypt")),
    ("percent.slash", |p, k| format!("{p}/keys%2F{k}/encrypt")),
    ("percent.in-key-id", |p, k| format!("{p}/keys/{k}%20/encrypt")),
    ("percent.dots", |p, _| format!("{p}/keys/%2e%2e/health")),
    ("percent.nul", |p, k| format!("{p}/keys/{k}%00/metadata")),
    ("percent.in-prefix", |p, _| format!("{}/health", p.replacen("/k", "/%6b", 1))),
    ("percent.malformed", |p, k| format!("{p}/keys/{k}%zz/metadata")),
    ("percent.at-the-end", |p, _| format!("{p}/health%")),
    ("double-slash.leading", |p, _| format!("/{p}/health")),
    ("double-slash.in-prefix", |p, _| format!("{}/health", p.replacen("/kms/", "/kms//", 1))),
    ("double-slash.before-operation", |p, _| format!("{p}//health")),
    ("double-slash.empty-key-id", |p, _| format!("{p}/keys//metadata")),
    ("double-slash.after-key-id", |p, k| format!("{p}/keys/{k}//metadata")),
    ("dot", |p, _| format!("{p}/./health")),
    ("dot-dot", |p, _| format!("{p}/keys/../health")),
    ("dot-dot.out-of-prefix", |p, _| format!("{p}/../../../..{p}/health")),
    ("key-id.dot", |p, _| format!("{p}/keys/./metadata")),
    ("key-id.dot-dot", |p, _| format!("{p}/keys/../metadata")),
    ("query", |p, _| format!("{p}/health?x=1")),
    ("query.on-a-key", |p, k| format!("{p}/keys/{k}/encrypt?x-id=Encrypt")),
    ("too-long", |p, _| format!("{p}/keys/{}/metadata", "k".repeat(260))),
];

/// Must be 404 even for a good signature.
const NO_SUCH_PATH: [(&str, Path); 15] = [
    ("root", |_, _| "/".into()),
    ("prefix-alone", |p, _| p.into()),
    ("prefix-alone.with-slash", |p, _| format!("{p}/")),
    ("unknown-below-prefix", |p, _| format!("{p}/status")),
    ("unknown-operation", |p, k| format!("{p}/keys/{k}/sign")),
    ("operation-in-upper-case", |p, _| format!("{p}/HEALTH")),
    ("keys-alone", |p, _| format!("{p}/keys")),
    ("key-without-operation", |p, k| format!("{p}/keys/{k}")),
    ("operation-without-key", |p, _| format!("{p}/keys/encrypt")),
    ("longer-than-an-operation", |p, k| format!("{p}/keys/{k}/encrypt/more")),
    ("slash-at-the-end", |p, _| format!("{p}/health/")),
    ("slash-at-the-end.on-a-key", |p, k| format!("{p}/keys/{k}/metadata/")),
    ("unknown-prefix", |_, _| "/no-such-store-conformance/kms/xks/v1/health".into()),
    ("prefix-extended", |p, _| format!("/conformance{p}/health")),
    ("another-version", |p, _| format!("{}2/health", p.strip_suffix('1').unwrap_or(p))),
];
