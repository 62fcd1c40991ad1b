//! SigV4, signed consistently but with something that must not be accepted; and what must be.
//!
//! Holds: each request here is signed over exactly what it carries, so that only the rule under test can
//! refuse it. What is changed after signing stands in `signature`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::answer::{Answer, Refusal, Stop, Verdict, ensure};
use crate::message::Operation;
use crate::plan::Plan;
use crate::sign::{Draft, Payload, Scope};
use crate::suite::Suite;

/// Changes a request before it is signed.
type Change = fn(&mut Draft);

pub(crate) fn cases(plan: &mut Plan) {
    for (name, change) in REFUSED {
        let name = format!("sigv4.{name}");
        plan.case(name, move |suite| refused(suite, change));
    }
    for (name, change) in ACCEPTED {
        let name = format!("sigv4.{name}");
        plan.case(name, move |suite| accepted(suite, change));
    }
    plan.case("sigv4.scope.yesterday", other_day);
    plan.case("sigv4.scope.terminator.other", other_terminator);
    plan.case("sigv4.scope.by-hand-control", control);
    plan.case("sigv4.unknown-access-key.answered-as-wrong-secret", alike);
    plan.case("sigv4.second-credential", second_credential);
    plan.case("sigv4.credential-of-another-store", other_store);
    for operation in [Operation::Health, Operation::Metadata, Operation::Encrypt, Operation::Decrypt] {
        let name = format!("sigv4.required-for.{}", operation.word());
        plan.case(name, move |suite| required(suite, operation));
    }
}

async fn answer_to(suite: &Suite, change: Change) -> Verdict<Answer> {
    let mut draft = suite.metadata_draft();
    change(&mut draft);
    suite.send(&draft.sign()?).await
}

async fn refused(suite: Arc<Suite>, change: Change) -> Verdict {
    let answer = answer_to(&suite, change).await?;
    answer.refused(Refusal::Authentication)
}

async fn accepted(suite: Arc<Suite>, change: Change) -> Verdict {
    answer_to(&suite, change).await?.ok().map(drop)
}

/// The date is today's, the scope and the key derived for it are yesterday's.
async fn other_day(suite: Arc<Suite>) -> Verdict {
    let draft = suite.metadata_draft();
    let request = draft.by_hand(&Scope { day: draft.at - DAY, terminator: "aws4_request", host_name: "host" });
    let answer = suite.send(&request).await?;
    answer.refused(Refusal::Authentication)
}

async fn other_terminator(suite: Arc<Suite>) -> Verdict {
    let draft = suite.metadata_draft();
    let request = draft.by_hand(&Scope { day: draft.at, terminator: "aws5_request", host_name: "host" });
    let answer = suite.send(&request).await?;
    answer.refused(Refusal::Authentication)
}

/// Shows that what the two cases above send is refused for its scope, not for how it is made.
async fn control(suite: Arc<Suite>) -> Verdict {
    let draft = suite.metadata_draft();
    let request = draft.by_hand(&Scope { day: draft.at, terminator: "aws4_request", host_name: "host" });
    suite.send(&request).await?.ok().map(drop)
}

/// Nobody may learn which access keys exist.
async fn alike(suite: Arc<Suite>) -> Verdict {
    let unknown = answer_to(&suite, |d| d.access_key_id = UNKNOWN_ID.into()).await?;
    let wrong = answer_to(&suite, |d| d.secret = UNKNOWN_SECRET.into()).await?;
    ensure(
        (unknown.status, &unknown.body) == (wrong.status, &wrong.body),
        "the same answer to an unknown access key as to a wrong secret",
        format_args!("{unknown} and {wrong}"),
    )
}

async fn second_credential(suite: Arc<Suite>) -> Verdict {
    let Some((id, secret)) = suite.options.facts.second_credential.clone() else {
        return Err(Stop::LeftOut("no second_credential was given".into()));
    };
    let mut draft = suite.metadata_draft();
    draft.access_key_id = id;
    draft.secret = secret;
    suite.send(&draft.sign()?).await?.ok().map(drop)
}

async fn other_store(suite: Arc<Suite>) -> Verdict {
    let Some(prefix) = &suite.options.facts.other_prefix else {
        return Err(Stop::LeftOut("no other_prefix was given".into()));
    };
    let body = suite.good_body(Operation::Health).await?;
    let mut draft = suite.draft(Operation::Health, &body);
    draft.path = format!("{prefix}/health");
    let answer = suite.send(&draft.sign()?).await?;
    answer.refused(Refusal::Authentication)
}

async fn required(suite: Arc<Suite>, operation: Operation) -> Verdict {
    let body = suite.good_body(operation).await?;
    let request = suite.draft(operation, &body).unsigned();
    let answer = suite.send(&request).await?;
    answer.refused(Refusal::Authentication)
}

fn shifted(draft: &mut Draft, forward: bool, by: u64) {
    let now = SystemTime::now();
    let by = Duration::from_secs(by);
    draft.at = if forward { now + by } else { now - by };
}

const REFUSED: [(&str, Change); 18] = [
    ("wrong-secret", |d| d.secret = UNKNOWN_SECRET.into()),
    ("wrong-secret.last-character", |d| {
        let last = if d.secret.pop() == Some('A') { 'B' } else { 'A' };
        d.secret.push(last);
    }),
    ("unknown-access-key", |d| d.access_key_id = UNKNOWN_ID.into()),
    ("access-key.in-lower-case", |d| d.access_key_id.make_ascii_lowercase()),
    ("access-key.empty", |d| d.access_key_id.clear()),
    // Seconds are cut off in the date, so a future date needs one more to be past the limit on arrival.
    ("replay-window.past-301s", |d| shifted(d, false, 301)),
    ("replay-window.past-1-hour", |d| shifted(d, false, 3_600)),
    ("replay-window.past-1-day", |d| shifted(d, false, 86_400)),
    ("replay-window.future-303s", |d| shifted(d, true, 303)),
    ("replay-window.future-1-day", |d| shifted(d, true, 86_400)),
    ("scope.region.other", |d| d.region = "xx-nowhere-9".into()),
    ("scope.region.in-upper-case", |d| d.region.make_ascii_uppercase()),
    ("scope.service.kms", |d| d.service = "kms".into()),
    ("scope.service.in-upper-case", |d| d.service.make_ascii_uppercase()),
    ("unsigned.host", |d| d.unsigned.push("host")),
    ("unsigned.date", |d| d.unsigned.push("x-amz-date")),
    ("unsigned.host-and-date", |d| d.unsigned.extend(["host", "x-amz-date"])),
    ("unsigned.body", |d| {
        d.payload = Payload::Unsigned;
        d.headers.push(("x-amz-content-sha256".into(), "UNSIGNED-PAYLOAD".into()));
    }),
];

const ACCEPTED: [(&str, Change); 9] = [
    ("good", |_| {}),
    ("replay-window.past-290s", |d| shifted(d, false, 290)),
    ("replay-window.future-290s", |d| shifted(d, true, 290)),
    ("signed-headers.only-host-and-date", |d| d.unsigned.push("content-type")),
    ("signed-headers.more", |d| {
        for name in ["accept", "x-amz-target", "x-forwarded-for", "a-first", "zz-last"] {
            d.headers.push((name.into(), "some value; a=b, c".into()));
        }
    }),
    ("signed-headers.forty", |d| {
        let more = (0..40).map(|n| (format!("x-conformance-{n}"), n.to_string()));
        d.headers.extend(more);
    }),
    ("signed-headers.empty-value", |d| {
        d.headers.push(("x-conformance".into(), String::new()));
    }),
    ("signed-headers.white-space-folded", |d| {
        d.headers.push(("x-conformance".into(), "  a   b    c  ".into()));
    }),
    ("signed-headers.content-sha256", |d| {
        let hash = crate::arithmetic::hex(&crate::arithmetic::sha256(&[&d.body]));
        d.headers.push(("x-amz-content-sha256".into(), hash));
    }),
];

const DAY: Duration = Duration::from_secs(86_400);
/// Well-formed, and nobody's.
const UNKNOWN_ID: &str = "CONFORMANCE234567ABCDEF";
/// Well-formed, and nobody's.
const UNKNOWN_SECRET: &str = "ConformanceConformanceConformanceConformance=";
