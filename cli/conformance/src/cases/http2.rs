//! HTTP/2, where the proxy offers it by ALPN: `:authority` takes the place of `host` in the signature.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::answer::{Refusal, Verdict, ensure};
use crate::arithmetic::pattern;
use crate::message::{Operation, Plain, Sealed};
use crate::plan::Plan;
use crate::sign::{Scope, Signed};
use crate::suite::Suite;

/// Changes a request that was good.
type Change = fn(&mut Signed);

pub(crate) fn cases(plan: &mut Plan) {
    plan.case("http2.four-operations", four_operations);
    plan.case("http2.largest-round-trip", largest);
    for (name, change) in ACCEPTED {
        let name = format!("http2.{name}");
        plan.case(name, move |suite| accepted(suite, change));
    }
    plan.case("http2.list-says-authority", list_says_authority);
    plan.case("http2.list-says-authority.another-authority", list_says_another);
    for (name, change) in REFUSED {
        let name = format!("http2.{name}");
        plan.case(name, move |suite| refused(suite, change));
    }
    plan.case("http2.authority-unsigned", authority_unsigned);
    plan.case("http2.goes-on-after-refusals", after_refusals);
    plan.case("http2.50-streams-at-once", many_streams);
}

/// A good request for HTTP/2: without `host`, which `:authority` stands for.
fn request(suite: &Suite) -> Verdict<Signed> {
    let mut request = suite.metadata_draft().sign()?;
    request.remove("host");
    Ok(request)
}

async fn four_operations(suite: Arc<Suite>) -> Verdict {
    let mut streams = suite.streams().await?;
    for operation in [Operation::Health, Operation::Metadata, Operation::Encrypt, Operation::Decrypt] {
        let body = suite.good_body(operation).await?;
        let mut request = suite.draft(operation, &body).sign()?;
        request.remove("host");
        let answer = streams.send(&request).await?;
        answer.ok().map_err(|stop| stop.at(operation.word()))?;
    }
    Ok(())
}

async fn largest(suite: Arc<Suite>) -> Verdict {
    let mut streams = suite.streams().await?;
    let plain = Plain::new(&pattern(4_300)).with_aad(&pattern(8_192));
    let mut encrypt = suite.draft(Operation::Encrypt, &plain.request()).sign()?;
    encrypt.remove("host");
    let sealed = Sealed::read(plain, &streams.send(&encrypt).await?)?;
    let mut decrypt = suite.draft(Operation::Decrypt, &sealed.request()).sign()?;
    decrypt.remove("host");
    sealed.opened(&streams.send(&decrypt).await?)
}

async fn accepted(suite: Arc<Suite>, change: Change) -> Verdict {
    let mut streams = suite.streams().await?;
    let mut request = request(&suite)?;
    change(&mut request);
    streams.send(&request).await?.ok().map(drop)
}

async fn refused(suite: Arc<Suite>, change: Change) -> Verdict {
    let mut streams = suite.streams().await?;
    let mut request = request(&suite)?;
    change(&mut request);
    let answer = streams.send(&request).await?;
    answer.refused(Refusal::Authentication)
}

/// Signed by hand: the list has `:authority` where it mostly has `host`.
fn authority_listed(suite: &Suite) -> Signed {
    let draft = suite.metadata_draft();
    let mut request = draft.by_hand(&Scope { day: draft.at, terminator: "aws4_request", host_name: ":authority" });
    request.remove("host");
    request
}

async fn list_says_authority(suite: Arc<Suite>) -> Verdict {
    let mut streams = suite.streams().await?;
    let request = authority_listed(&suite);
    streams.send(&request).await?.ok().map(drop)
}

async fn list_says_another(suite: Arc<Suite>) -> Verdict {
    let mut streams = suite.streams().await?;
    let mut request = authority_listed(&suite);
    request.authority = "elsewhere.example".into();
    let answer = streams.send(&request).await?;
    answer.refused(Refusal::Authentication)
}

async fn authority_unsigned(suite: Arc<Suite>) -> Verdict {
    let mut streams = suite.streams().await?;
    let mut draft = suite.metadata_draft();
    draft.unsigned.push("host");
    let mut request = draft.sign()?;
    request.remove("host");
    let answer = streams.send(&request).await?;
    answer.refused(Refusal::Authentication)
}

async fn after_refusals(suite: Arc<Suite>) -> Verdict {
    let mut streams = suite.streams().await?;
    let mut unsigned = request(&suite)?;
    unsigned.remove("authorization");
    let answer = streams.send(&unsigned).await?;
    answer.refused(Refusal::Authentication)?;
    let mut elsewhere = request(&suite)?;
    elsewhere.path.push_str("?x=1");
    streams.send(&elsewhere).await?.refused(Refusal::UriPath)?;
    let mut draft = suite.metadata_draft();
    draft.method = "PUT".into();
    let mut put = draft.sign()?;
    put.remove("host");
    let answer = streams.send(&put).await?;
    ensure(answer.status == 405, "405", &answer)?;
    streams.send(&request(&suite)?).await?.ok().map(drop)
}

async fn many_streams(suite: Arc<Suite>) -> Verdict {
    let streams = suite.streams().await?;
    let mut running = JoinSet::new();
    for at in 0..50 {
        let plain = Plain::new(&pattern(at + 1)).with_integrity();
        let mut request = suite.draft(Operation::Encrypt, &plain.request()).sign()?;
        request.remove("host");
        let mut streams = streams.clone();
        running.spawn(async move { Sealed::read(plain, &streams.send(&request).await?) });
    }
    for sealed in running.join_all().await {
        super::encrypt::check_cdiv(&sealed?)?;
    }
    Ok(())
}

const ACCEPTED: [(&str, Change); 2] = [
    ("good", |_| {}),
    ("host-beside-it.equal", |r| {
        let authority = r.authority.clone();
        r.add("host", authority);
    }),
];

const REFUSED: [(&str, Change); 7] = [
    ("host-beside-it.other", |r| r.add("host", "elsewhere.example")),
    // The signature fits the host header, but `:authority` is what counts.
    ("authority-other.host-as-signed", |r| {
        let signed = std::mem::replace(&mut r.authority, "elsewhere.example".into());
        r.add("host", signed);
    }),
    ("authority-other", |r| r.authority = "elsewhere.example".into()),
    ("unsigned", |r| r.remove("authorization")),
    ("tampered.body", |r| r.body.push(b' ')),
    ("doubled.authorization", |r| {
        let own = r.header("authorization").to_owned();
        r.add("authorization", own);
    }),
    ("doubled.date", |r| {
        let own = r.header("x-amz-date").to_owned();
        r.add("x-amz-date", own);
    }),
];
