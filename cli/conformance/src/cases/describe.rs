//! What a proxy says about itself and its keys: `GetKeyMetadata`, `GetHealthStatus`, the load balancer's path.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::answer::{Refusal, Stop, Verdict, ensure};
use crate::cases::encrypt::long_arn;
use crate::message::{Operation, bare_request, with};
use crate::plan::Plan;
use crate::suite::Suite;

pub(crate) fn cases(plan: &mut Plan) {
    plan.case("metadata.shape", shape);
    plan.case("metadata.key-usage", key_usage);
    plan.case("metadata.optional-members", optional_members);
    plan.case("metadata.members-of-other-operations-ignored", foreign_members);
    plan.case("metadata.principal.2048-characters", |suite| {
        accepted(suite, Operation::Metadata, "awsPrincipalArn", long_arn("iam", "user/"))
    });
    plan.case("metadata.principal.service", |suite| accepted(suite, Operation::Metadata, "awsPrincipalArn", "ebs.amazonaws.com".into()));
    plan.case("metadata.principal.aws-internal", |suite| accepted(suite, Operation::Metadata, "awsPrincipalArn", "AWS Internal".into()));
    for operation in [Operation::Metadata, Operation::Health] {
        let name = format!("{}.kms-operation.any", operation.word());
        plan.case(name, move |suite| accepted(suite, operation, "kmsOperation", "AnOperationOf2031".into()));
    }
    plan.case("metadata.blocked-key-is-disabled", blocked_metadata);
    for operation in [Operation::Encrypt, Operation::Decrypt] {
        plan.case(format!("{}.blocked-key", operation.word()), move |suite| blocked(suite, operation));
    }
    plan.case("health.shape", health_shape);
    plan.case("health.fleet-size", fleet_size);
    plan.case("health.fleet-details", fleet_details);
    plan.case("health.not-unavailable-throughout", some_member_up);
    plan.case("ping.unauthenticated", ping);
    plan.case("ping.no-certificate-of-health-by-post", ping_is_no_operation);
}

async fn describe(suite: &Suite) -> Verdict<Map<String, Value>> {
    let body = bare_request(Operation::Metadata);
    suite.call(Operation::Metadata, &body).await?.ok()
}

async fn shape(suite: Arc<Suite>) -> Verdict {
    let body = describe(&suite).await?;
    let is = |name: &str, good: &[&str]| {
        let value = body.get(name).and_then(Value::as_str).unwrap_or("none");
        ensure(good.contains(&value), &format!("{name} {}", good.join(" or ")), value)
    };
    is("keySpec", &["AES_256"])?;
    is("keyStatus", &["ENABLED"])
}

async fn key_usage(suite: Arc<Suite>) -> Verdict {
    let body = describe(&suite).await?;
    let usage = body.get("keyUsage").and_then(Value::as_array);
    let usage = usage.ok_or_else(|| Stop::wrong("keyUsage an array", "none"))?;
    let words: HashSet<_> = usage.iter().filter_map(Value::as_str).collect();
    ensure(words.len() == usage.len(), "keyUsage of different strings", json!(usage))?;
    ensure(usage.len() <= 10, "at most ten usages", usage.len())?;
    ensure(words.contains("ENCRYPT") && words.contains("DECRYPT"), "ENCRYPT and DECRYPT among the usages", json!(usage))
}

async fn optional_members(suite: Arc<Suite>) -> Verdict {
    let mut body = bare_request(Operation::Metadata);
    body = with(&body, "/requestMetadata/awsSourceVpc", json!("vpc-1234567890abcdef0"));
    body = with(&body, "/requestMetadata/awsSourceVpce", json!("vpce-1234567890abcdef0"));
    let answer = suite.call(Operation::Metadata, &body).await?;
    answer.ok().map(drop)
}

async fn foreign_members(suite: Arc<Suite>) -> Verdict {
    let mut body = bare_request(Operation::Metadata);
    body = with(&body, "/requestMetadata/kmsViaService", json!("ebs"));
    body = with(&body, "/requestMetadata/kmsKeyArn", json!("arn:aws:kms:x"));
    body = with(&body, "/plaintext", json!("aGk="));
    let answer = suite.call(Operation::Metadata, &body).await?;
    answer.ok().map(drop)
}

/// Asks with one member of `requestMetadata` replaced.
async fn accepted(suite: Arc<Suite>, operation: Operation, name: &'static str, value: String) -> Verdict {
    let body = with(&bare_request(operation), &format!("/requestMetadata/{name}"), json!(value));
    suite.call(operation, &body).await?.ok().map(drop)
}

async fn blocked_metadata(suite: Arc<Suite>) -> Verdict {
    let mut draft = suite.metadata_draft();
    draft.path = suite.path_of(Operation::Metadata, &blocked_key(&suite)?);
    let body = suite.send(&draft.sign()?).await?.ok()?;
    ensure(body.get("keyStatus") == Some(&json!("DISABLED")), "keyStatus DISABLED", json!(body))
}

async fn blocked(suite: Arc<Suite>, operation: Operation) -> Verdict {
    let key = blocked_key(&suite)?;
    let body = suite.good_body(operation).await?;
    let mut draft = suite.draft(operation, &body);
    draft.path = suite.path_of(operation, &key);
    let answer = suite.send(&draft.sign()?).await?;
    answer.refused(Refusal::InvalidState)
}

fn blocked_key(suite: &Suite) -> Verdict<String> {
    let key = suite.options.facts.blocked_key_id.clone();
    key.ok_or_else(|| Stop::LeftOut("no blocked_key_id was given".into()))
}

async fn health(suite: &Suite) -> Verdict<Map<String, Value>> {
    let body = bare_request(Operation::Health);
    suite.call(Operation::Health, &body).await?.ok()
}

async fn health_shape(suite: Arc<Suite>) -> Verdict {
    let body = health(&suite).await?;
    for name in ["xksProxyVendor", "xksProxyModel", "ekmVendor"] {
        let text = body.get(name).and_then(Value::as_str).unwrap_or_default();
        ensure(!text.is_empty(), &format!("a string {name}"), json!(body))?;
    }
    Ok(())
}

async fn fleet_size(suite: Arc<Suite>) -> Verdict {
    let body = health(&suite).await?;
    let size = body.get("xksProxyFleetSize").and_then(Value::as_u64);
    ensure(size.is_some_and(|size| size > 0), "xksProxyFleetSize an integer over 0", json!(body.get("xksProxyFleetSize")))
}

async fn fleet(suite: &Suite) -> Verdict<Vec<Value>> {
    let body = health(suite).await?;
    match body.get("ekmFleetDetails") {
        Some(Value::Array(members)) if (1..=10).contains(&members.len()) => Ok(members.clone()),
        other => Err(Stop::wrong("ekmFleetDetails of 1 to 10", json!(other).to_string())),
    }
}

async fn fleet_details(suite: Arc<Suite>) -> Verdict {
    for member in fleet(&suite).await? {
        for name in ["id", "model"] {
            ensure(
                member[name].as_str().is_some_and(|text| !text.is_empty()),
                &format!("a string {name} in each of ekmFleetDetails"),
                &member,
            )?;
        }
        let status = member["healthStatus"].as_str().unwrap_or("none");
        ensure(["ACTIVE", "DEGRADED", "UNAVAILABLE"].contains(&status), "healthStatus ACTIVE, DEGRADED or UNAVAILABLE", status)?;
    }
    Ok(())
}

/// 200 says that one of them is up.
async fn some_member_up(suite: Arc<Suite>) -> Verdict {
    let members = fleet(&suite).await?;
    let up = members.iter().any(|m| m["healthStatus"] != "UNAVAILABLE");
    ensure(up, "200 only while one is not UNAVAILABLE", json!(members))
}

async fn ping(suite: Arc<Suite>) -> Verdict {
    let mut request = suite.metadata_draft().unsigned();
    request.path = ping_path(&suite)?;
    request.method = "GET".into();
    request.headers.retain(|(name, _)| name == "host");
    request.body.clear();
    let answer = suite.send(&request).await?;
    ensure(answer.status == 200, "200", &answer)
}

/// The path is for a load balancer's GET; as an operation it does not exist.
async fn ping_is_no_operation(suite: Arc<Suite>) -> Verdict {
    let mut draft = suite.metadata_draft();
    draft.path = ping_path(&suite)?;
    let answer = suite.send(&draft.sign()?).await?;
    ensure(matches!(answer.status, 404 | 405), "404 or 405 to a POST", &answer)
}

fn ping_path(suite: &Suite) -> Verdict<String> {
    let path = suite.options.ping_path.clone();
    path.ok_or_else(|| Stop::LeftOut("no ping path was given".into()))
}
