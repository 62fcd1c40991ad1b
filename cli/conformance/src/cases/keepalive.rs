//! A connection that outlives a refusal: KMS keeps its connections, and one bad request must not cost it one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::answer::{Refusal, Verdict, ensure};
use crate::message::{Operation, Plain, bare_request, with};
use crate::plan::Plan;
use crate::sign::Signed;
use crate::suite::Suite;
use crate::wire::Wire;

/// Makes a request that is refused.
type Bad = fn(&Suite) -> Verdict<Signed>;

pub(crate) fn cases(plan: &mut Plan) {
    for (name, status, bad) in REFUSED {
        let name = format!("http.keep-alive.after-{name}");
        plan.case(name, move |suite| good_after(suite, status, bad));
    }
    plan.case("http.keep-alive.200-requests", many);
    plan.case("http.keep-alive.across-2-idle-seconds", idle);
    plan.case("http.connection-close-is-honoured", close);
    plan.case("http.pipelining.in-order", pipelined);
    plan.case("http.pipelining.refusals-between", pipelined_refusals);
}

async fn good(suite: &Suite, wire: &mut Wire) -> Verdict {
    let request = suite.metadata_draft().sign()?;
    wire.send(&request).await?.ok().map(drop)
}

async fn good_after(suite: Arc<Suite>, status: u16, bad: Bad) -> Verdict {
    let mut wire = suite.wire().await?;
    for _ in 0..3 {
        let answer = wire.send(&bad(&suite)?).await?;
        ensure(answer.status == status, &status.to_string(), &answer)?;
        let next = good(&suite, &mut wire).await;
        next.map_err(|stop| stop.at("the next request on the connection"))?;
    }
    Ok(())
}

async fn many(suite: Arc<Suite>) -> Verdict {
    let mut wire = suite.wire().await?;
    for _ in 0..200 {
        good(&suite, &mut wire).await?;
    }
    Ok(())
}

async fn idle(suite: Arc<Suite>) -> Verdict {
    let mut wire = suite.wire().await?;
    good(&suite, &mut wire).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    good(&suite, &mut wire).await
}

async fn close(suite: Arc<Suite>) -> Verdict {
    let mut request = suite.metadata_draft().sign()?;
    request.add("connection", "close");
    let mut wire = suite.wire().await?;
    wire.send(&request).await?.ok()?;
    let ended = wire.ends_within(Duration::from_secs(1)).await;
    ensure(ended, "an end of the connection after the answer", "none within 1 s")
}

/// Four requests in one go; each answer must be to its own request.
async fn pipelined(suite: Arc<Suite>) -> Verdict {
    let mut bytes = Vec::new();
    let mut members = Vec::new();
    let encrypt = Plain::new(b"text").request();
    for (operation, body, member) in [
        (Operation::Health, bare_request(Operation::Health), "xksProxyFleetSize"),
        (Operation::Encrypt, encrypt, "ciphertext"),
        (Operation::Metadata, bare_request(Operation::Metadata), "keySpec"),
        (Operation::Health, bare_request(Operation::Health), "ekmVendor"),
    ] {
        bytes.extend(suite.draft(operation, &body).sign()?.http1());
        members.push(member);
    }
    let mut wire = suite.wire().await?;
    wire.write(&bytes).await?;
    for member in members {
        let answer = wire.read().await?;
        let body = answer.ok()?;
        ensure(body.contains_key(member), &format!("a member {member}"), &answer)?;
    }
    Ok(())
}

async fn pipelined_refusals(suite: Arc<Suite>) -> Verdict {
    let mut bytes = Vec::new();
    let mut statuses = Vec::new();
    for (_, status, bad) in REFUSED {
        bytes.extend(bad(&suite)?.http1());
        bytes.extend(suite.metadata_draft().sign()?.http1());
        statuses.extend([status, 200]);
    }
    let mut wire = suite.wire().await?;
    wire.write(&bytes).await?;
    for (at, status) in statuses.into_iter().enumerate() {
        let read = wire.read().await;
        let answer = read.map_err(|stop| stop.at(&format!("answer {at}")))?;
        ensure(answer.status == status, &format!("{status} as answer {at}"), &answer)?;
    }
    Ok(())
}

/// Name, status, request.
const REFUSED: [(&str, u16, Bad); 6] = [
    ("401", 401, |suite| {
        let mut draft = suite.metadata_draft();
        draft.secret.push('A');
        draft.sign()
    }),
    ("400", 400, |suite| {
        let body = json!({"requestMetadata": {}});
        suite.draft(Operation::Metadata, &body).sign()
    }),
    ("404-key", Refusal::KeyNotFound.wire().0, |suite| {
        let mut draft = suite.metadata_draft();
        draft.path = suite.path_of(Operation::Metadata, "no-such-key.conformance");
        draft.sign()
    }),
    ("404-path", Refusal::UriPath.wire().0, |suite| {
        let mut request = suite.metadata_draft().unsigned();
        request.path.push_str("?x=1");
        Ok(request)
    }),
    ("405", 405, |suite| {
        let mut draft = suite.metadata_draft();
        draft.method = "PUT".into();
        draft.sign()
    }),
    ("501-algorithm", Refusal::Unsupported.wire().0, |suite| {
        let body = Plain::new(b"text").request();
        let body = with(&body, "/encryptionAlgorithm", json!("AES_CBC"));
        suite.draft(Operation::Encrypt, &body).sign()
    }),
];
