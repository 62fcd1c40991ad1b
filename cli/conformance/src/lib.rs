//! A strict conformance suite for any AWS KMS external key store (XKS) proxy.
//!
//! It asks a running proxy every question that the AWS KMS External Key Store Proxy API Specification 1.0.3
//! has an answer to, from outside: over TLS, with signatures by the `aws-sigv4` crate.
//! It shares no code with Holdfast, since a mistake that both made would pass unseen.
//!
//! ```text
//! Target (which proxy) ─▶ run: cases one after another ─▶ Report (table for people, JSON for machines)
//! ```

mod answer;
mod arithmetic;
mod cases;
mod hello;
mod message;
mod plan;
mod probe;
mod report;
mod response;
mod sign;
mod streams;
mod suite;
mod target;
mod tls;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use self::plan::{Outcome, Plan, Planned};
pub use self::probe::{Depth, Step, StepError, probe};
pub use self::report::{Case, LeftOut, Report};
use self::suite::Suite;
pub use self::target::{ClientCertificate, Target, TargetError};

/// What a run may be told besides its target.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ask only cases whose name contains this.
    pub only: Option<String>,
    /// The path that a load balancer polls, on the target's own port; `None` leaves its cases out.
    pub ping_path: Option<String>,
    /// What is true of this proxy beyond its target.
    pub facts: Facts,
}

impl Default for Options {
    fn default() -> Self {
        Self { only: None, ping_path: Some("/ping".into()), facts: Facts::default() }
    }
}

/// Facts that some cases need. Such a case is left out, and said to be, when its fact is not given.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// External id of a blocked key in the target's key store.
    pub blocked_key_id: Option<String>,
    /// External id of another enabled key in the target's key store.
    pub second_key_id: Option<String>,
    /// Access key id and secret of another live credential of the target's key store.
    pub second_credential: Option<(String, String)>,
    /// Path, up to and with `/kms/xks/v1`, of another key store that the target's credential is not for.
    pub other_prefix: Option<String>,
}

/// Asks every case, one after another, and never fails itself: what goes wrong is a failed case.
///
/// Must be called within a tokio runtime with its clock and its I/O enabled.
pub async fn run(target: Target, options: Options) -> Report {
    let mut report = Report::default();
    let suite = match reach(target, options).await {
        Ok(suite) => suite,
        Err(detail) => {
            report.push(Case { name: "target.reachable".into(), ok: false, detail });
            report.left_out.push(LeftOut { name: "everything else".into(), reason: "the target can't be reached".into() });
            return report;
        }
    };
    let mut plan = Plan::default();
    cases::all(&mut plan);
    let wanted = |planned: &Planned| suite.options.only.as_deref().is_none_or(|part| planned.name.contains(part));
    let mut cases = plan.cases.into_iter().filter(wanted);
    while let Some(planned) = cases.next() {
        match planned.run(Arc::clone(&suite)).await {
            Outcome::LeftOut(left_out) => report.left_out.push(left_out),
            Outcome::Asked(case) => {
                let failed = (!case.ok).then(|| case.name.clone());
                report.push(case);
                let Some(after) = failed else { continue };
                if !suite.is_back_within(RESTART).await {
                    report.push(gone(&after));
                    let reason = "the target was gone";
                    report.left_out.extend(cases.map(|rest| LeftOut { name: rest.name, reason: reason.into() }));
                    break;
                }
            }
        }
    }
    report
}

/// The proxy went down, and nothing brought it up again: each case left would only say so once more.
fn gone(after: &str) -> Case {
    Case { name: "target.goes-on".into(), ok: false, detail: format!("expected a proxy that goes on, got none after {after}") }
}

/// Every case's name, in the order of asking.
#[must_use]
pub fn case_names() -> Vec<String> {
    let mut plan = Plan::default();
    cases::all(&mut plan);
    plan.cases.into_iter().map(|planned| planned.name).collect()
}

/// The suite, once the target has taken one TLS connection: otherwise each case would say the same.
async fn reach(target: Target, options: Options) -> Result<Arc<Suite>, String> {
    let suite = Arc::new(Suite::new(target, options)?);
    match timeout(REACH, suite.wire()).await {
        Ok(Ok(_)) => Ok(suite),
        Ok(Err(stop)) => Err(stop.to_string()),
        Err(_) => Err(format!("no TLS connection within {} s", REACH.as_secs())),
    }
}

/// How long whatever supervises a proxy that went down may take to bring it up again.
const RESTART: Duration = Duration::from_secs(3);
/// How long the first connection may take.
const REACH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_at_least_140_cases_with_names_of_their_own() {
        let names = case_names();
        let different: HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert!(names.len() >= 140, "{}", names.len());
        let dotted = |name: &String| name.contains('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
        assert_eq!(names.iter().find(|name| !dotted(name)), None);
    }
}
