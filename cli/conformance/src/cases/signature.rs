//! SigV4, changed after signing: whatever the signature covers, and the `Authorization` header itself.
//!
//! Holds: each request here was good before the one change that it is named after.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, Refusal, Verdict};
use crate::message::Operation;
use crate::plan::Plan;
use crate::sign::{Signed, stamp};
use crate::suite::Suite;

/// Changes a request behind its signature's back.
type Change = fn(&mut Signed);

pub(crate) fn cases(plan: &mut Plan) {
    for (name, change) in REFUSED {
        let name = format!("sigv4.{name}");
        plan.case(name, move |suite| refused(suite, change));
    }
    for (name, change) in ACCEPTED {
        let name = format!("sigv4.{name}");
        plan.case(name, move |suite| accepted(suite, change));
    }
    plan.case("sigv4.tampered.path.another-operation", another_operation);
    plan.case("sigv4.tampered.path.another-key", another_key);
    plan.case("sigv4.tampered.method", another_method);
    plan.case("sigv4.date.a-minute-later", later_date);
}

async fn answer_to(suite: &Suite, change: Change) -> Verdict<Answer> {
    let mut draft = suite.metadata_draft();
    draft.headers.push(("x-conformance".into(), "signed".into()));
    let mut request = draft.sign()?;
    change(&mut request);
    suite.send(&request).await
}

async fn refused(suite: Arc<Suite>, change: Change) -> Verdict {
    let answer = answer_to(&suite, change).await?;
    answer.refused(Refusal::Authentication)
}

async fn accepted(suite: Arc<Suite>, change: Change) -> Verdict {
    answer_to(&suite, change).await?.ok().map(drop)
}

async fn another_operation(suite: Arc<Suite>) -> Verdict {
    let mut request = suite.metadata_draft().sign()?;
    request.path = suite.path(Operation::Health);
    let answer = suite.send(&request).await?;
    answer.refused(Refusal::Authentication)
}

/// 401 and not 404: which keys exist is nobody's business without a signature.
async fn another_key(suite: Arc<Suite>) -> Verdict {
    let mut request = suite.metadata_draft().sign()?;
    request.path = suite.path_of(Operation::Metadata, "no-such-key.conformance");
    let answer = suite.send(&request).await?;
    answer.refused(Refusal::Authentication)
}

async fn another_method(suite: Arc<Suite>) -> Verdict {
    let mut draft = suite.metadata_draft();
    draft.method = "PUT".into();
    let mut request = draft.sign()?;
    request.method = "POST".into();
    let answer = suite.send(&request).await?;
    answer.refused(Refusal::Authentication)
}

async fn later_date(suite: Arc<Suite>) -> Verdict {
    let draft = suite.metadata_draft();
    let mut request = draft.sign()?;
    request.set("x-amz-date", stamp(draft.at + Duration::from_secs(60)));
    let answer = suite.send(&request).await?;
    answer.refused(Refusal::Authentication)
}

/// Changes the signature's own text.
fn resign(request: &mut Signed, change: impl FnOnce(&str) -> String) {
    request.rewrite(|old| match old.split_once("Signature=") {
        Some((start, signature)) => format!("{start}Signature={}", change(signature)),
        None => old.to_owned(),
    });
}

/// Takes one of the three parts of `Authorization` away.
fn without_part(request: &mut Signed, name: &str) {
    request.rewrite(|old| {
        let (algorithm, parts) = old.split_once(' ').unwrap_or_default();
        let kept: Vec<_> = parts.split(", ").filter(|part| !part.starts_with(name)).collect();
        format!("{algorithm} {}", kept.join(", "))
    });
}

/// Adds the header once more, with its own value or another.
fn double(request: &mut Signed, name: &str, other: Option<&str>) {
    let own = request.header(name).to_owned();
    request.add(name, other.unwrap_or(&own));
}

const REFUSED: [(&str, Change); 48] = [
    ("signature.truncated-by-1", |r| {
        resign(r, |s| s.get(..63).unwrap_or_default().into());
    }),
    ("signature.truncated-to-half", |r| {
        resign(r, |s| s.get(..32).unwrap_or_default().into());
    }),
    ("signature.empty", |r| resign(r, |_| String::new())),
    ("signature.extended", |r| resign(r, |s| format!("{s}00"))),
    ("signature.upper-case", |r| resign(r, str::to_uppercase)),
    ("signature.first-digit", |r| {
        resign(r, |s| {
            let first = if s.starts_with('0') { "1" } else { "0" };
            format!("{first}{}", s.get(1..).unwrap_or_default())
        });
    }),
    ("signature.last-digit", |r| {
        resign(r, |s| {
            let last = if s.ends_with('0') { "1" } else { "0" };
            format!("{}{last}", s.get(..63).unwrap_or_default())
        });
    }),
    ("signature.zero", |r| resign(r, |_| "0".repeat(64))),
    ("signature.not-hexadecimal", |r| resign(r, |_| "g".repeat(64))),
    ("authorization.missing", |r| r.remove("authorization")),
    ("authorization.empty", |r| r.set("authorization", "")),
    ("authorization.garbage", |r| r.set("authorization", "=,;=/,,=")),
    ("authorization.basic", |r| r.set("authorization", "Basic dXNlcjpwYXNz")),
    ("authorization.algorithm-alone", |r| r.set("authorization", "AWS4-HMAC-SHA256")),
    ("authorization.8000-characters", |r| {
        r.set("authorization", format!("AWS4-HMAC-SHA256 {}", "a".repeat(8_000)));
    }),
    ("authorization.not-ascii", |r| {
        r.rewrite(|old| old.replace("Credential=", "Credential=\u{e9}"));
    }),
    ("authorization.other-algorithm", |r| {
        r.rewrite(|old| old.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"));
    }),
    ("authorization.no-algorithm", |r| {
        r.rewrite(|old| old.replace("AWS4-HMAC-SHA256 ", ""));
    }),
    ("authorization.no-credential", |r| without_part(r, "Credential=")),
    ("authorization.no-signed-headers", |r| without_part(r, "SignedHeaders=")),
    ("authorization.no-signature", |r| without_part(r, "Signature=")),
    ("authorization.two-signatures", |r| {
        r.rewrite(|old| format!("{old}, Signature={}", "0".repeat(64)));
    }),
    ("authorization.signed-headers-empty", |r| {
        r.rewrite(|old| {
            let (start, rest) = old.split_once("SignedHeaders=").unwrap_or_default();
            let (_, signature) = rest.split_once(", ").unwrap_or_default();
            format!("{start}SignedHeaders=, {signature}")
        });
    }),
    ("scope.terminator.missing", |r| r.rewrite(|old| old.replace("/aws4_request", ""))),
    ("scope.terminator.replaced", |r| {
        r.rewrite(|old| old.replace("/aws4_request", "/aws4"));
    }),
    ("scope.one-part-more", |r| {
        r.rewrite(|old| old.replace("/aws4_request", "/aws4_request/more"));
    }),
    ("scope.day-replaced", |r| {
        let day = r.header("x-amz-date").get(..8).unwrap_or_default().to_owned();
        r.rewrite(|old| old.replace(&format!("/{day}/"), "/20200101/"));
    }),
    ("date.missing", |r| r.remove("x-amz-date")),
    ("date.empty", |r| r.set("x-amz-date", "")),
    ("date.extended-format", |r| r.set("x-amz-date", "2026-01-01T00:00:00Z")),
    ("date.no-such-day", |r| r.set("x-amz-date", "20260231T000000Z")),
    ("date.not-ascii-digits", |r| r.set("x-amz-date", "2026010\u{661}T000000Z")),
    ("date.only-in-date-header", |r| {
        let date = r.header("x-amz-date").to_owned();
        r.remove("x-amz-date");
        r.add("date", date);
    }),
    ("tampered.body", |r| {
        if let Some(byte) = r.body.iter_mut().find(|byte| **byte == b'D') {
            *byte = b'E';
        }
    }),
    ("tampered.body.white-space-added", |r| r.body.push(b' ')),
    ("tampered.body.emptied", |r| r.body.clear()),
    ("tampered.host", |r| r.set("host", "elsewhere.example")),
    ("tampered.signed-header.changed", |r| r.set("x-conformance", "other")),
    ("tampered.signed-header.removed", |r| r.remove("x-conformance")),
    ("tampered.signed-header.doubled", |r| r.add("x-conformance", "more")),
    ("tampered.signed-header.listed-only", |r| {
        r.rewrite(|old| old.replace(";x-conformance,", ";x-conformance;x-listed,"));
    }),
    ("doubled.authorization.same", |r| double(r, "authorization", None)),
    ("doubled.authorization.other", |r| {
        double(r, "authorization", Some("Basic dXNlcjpwYXNz"));
    }),
    ("doubled.host.same", |r| double(r, "host", None)),
    ("doubled.host.other", |r| double(r, "host", Some("elsewhere.example"))),
    ("doubled.authorization.other-first", |r| {
        r.headers.insert(0, ("authorization".into(), "Basic dXNlcjpwYXNz".into()));
    }),
    ("doubled.date.same", |r| double(r, "x-amz-date", None)),
    ("doubled.date.other", |r| double(r, "x-amz-date", Some("20200101T000000Z"))),
];

const ACCEPTED: [(&str, Change); 2] = [
    ("unsigned-header-added", |r| r.add("x-forwarded-for", "203.0.113.9")),
    ("header-names-in-any-case", |r| {
        for (name, _) in &mut r.headers {
            *name = name.to_uppercase();
        }
    }),
];
