//! What AWS KMS itself asks of a key store when it connects to it and uses a key, one step after another, with times.
//!
//! Owns: the steps and their order. Holds: the steps stop at the first that fails, as KMS would; unlike the suite's cases they judge what
//! was set up (endpoint, path, credential, key), not the proxy.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::timeout;

use crate::Options;
use crate::answer::{Answer, Stop, Verdict, clip, ensure};
use crate::cases::encrypt::check_cdiv;
use crate::message::{Operation, Plain, Sealed, bare_request};
use crate::suite::Suite;
use crate::target::Target;
use crate::wire::Wire;

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Connect and ask for the health; the target's key is not used.
    Health,
    /// Then look at the key, encrypt with it and decrypt.
    Key,
}

/// One step that was taken.
#[derive(Clone, Debug)]
pub struct Step {
    /// `connect`, or the operation's name in the XKS specification.
    pub name: &'static str,
    /// How long it took.
    pub elapsed: Duration,
    /// What it said, on one line; or why it failed.
    pub outcome: Result<String, StepError>,
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// No connection, no TLS, or no answer.
    #[error("{0}")]
    Unreachable(String),
    /// The proxy refused.
    #[error("{status} {name}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// `errorName`; empty where there was none.
        name: String,
        /// `errorMessage`; empty where there was none.
        message: String,
    },
    /// An answer that the specification does not allow, or that does not fit what was asked.
    #[error("{0}")]
    Wrong(String),
}

/// Takes the steps. The last one that comes back may have failed, no other.
pub async fn probe(target: Target, depth: Depth) -> Vec<Step> {
    let begun = Instant::now();
    let connected = match Suite::new(target, Options::default()) {
        Ok(suite) => timeout(LIMIT, suite.wire()).await.map_err(|_| too_late()).and_then(|wire| match wire {
            Ok(wire) => Ok((suite, wire)),
            Err(stop) => Err(StepError::Unreachable(stop.to_string())),
        }),
        Err(why) => Err(StepError::Unreachable(why)),
    };
    let elapsed = begun.elapsed();
    let (suite, wire) = match connected {
        Ok(connected) => connected,
        Err(error) => return vec![Step { name: CONNECT, elapsed, outcome: Err(error) }],
    };
    let tls = wire.tls().protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS").replace('_', ".");
    let mut probe = Probe { suite, wire, steps: vec![Step { name: CONNECT, elapsed, outcome: Ok(tls) }] };
    // A step that failed is among the steps.
    let _ = probe.operations(depth).await;
    probe.steps
}

struct Probe {
    suite: Suite,
    wire: Wire,
    steps: Vec<Step>,
}

/// A step failed, and is noted.
struct Failed;

impl Probe {
    async fn operations(&mut self, depth: Depth) -> Result<(), Failed> {
        self.step(Operation::Health, &bare_request(Operation::Health), health).await?;
        if depth == Depth::Health {
            return Ok(());
        }
        self.step(Operation::Metadata, &bare_request(Operation::Metadata), metadata).await?;
        let plain = Plain::new(b"a data key would stand here, 32 B").with_aad(b"project=nile,department=marketing").with_integrity();
        let request = plain.request();
        let sealed = self.step(Operation::Encrypt, &request, |answer| sealed(plain, answer)).await?;
        self.step(Operation::Decrypt, &sealed.request(), |answer| {
            sealed.opened(answer)?;
            Ok(("the plaintext came back".to_owned(), ()))
        })
        .await
    }

    /// Asks, judges, and notes how it went.
    async fn step<T>(
        &mut self,
        operation: Operation,
        body: &Value,
        judge: impl FnOnce(&Answer) -> Verdict<(String, T)>,
    ) -> Result<T, Failed> {
        let begun = Instant::now();
        let answered = timeout(LIMIT, self.ask(operation, body)).await.map_err(|_| too_late());
        let elapsed = begun.elapsed();
        let judged = answered.and_then(|answer| {
            let answer = answer.map_err(|stop| StepError::Unreachable(stop.to_string()))?;
            if answer.status == 200 { judge(&answer).map_err(|stop| StepError::Wrong(stop.to_string())) } else { Err(refused(&answer)) }
        });
        let (outcome, value) = match judged {
            Ok((said, value)) => (Ok(said), Ok(value)),
            Err(error) => (Err(error), Err(Failed)),
        };
        self.steps.push(Step { name: name(operation), elapsed, outcome });
        value
    }

    async fn ask(&mut self, operation: Operation, body: &Value) -> Verdict<Answer> {
        if !self.wire.is_reusable() {
            self.wire = self.suite.wire().await?;
        }
        let request = self.suite.draft(operation, body).sign()?;
        self.wire.send(&request).await
    }
}

fn health(answer: &Answer) -> Verdict<(String, ())> {
    let body = answer.ok()?;
    let members = body.get("ekmFleetDetails").and_then(Value::as_array).ok_or_else(|| Stop::wrong("ekmFleetDetails", "none"))?;
    let states: Vec<_> = members.iter().filter_map(|member| member.get("healthStatus")?.as_str()).collect();
    ensure(states.iter().any(|state| *state != "UNAVAILABLE"), "a member that is not UNAVAILABLE", states.join(", "))?;
    let size = body.get("xksProxyFleetSize").and_then(Value::as_u64).ok_or_else(|| Stop::wrong("xksProxyFleetSize", "none"))?;
    Ok((format!("fleet of {size}, key managers {}", states.join(", ")), ()))
}

fn metadata(answer: &Answer) -> Verdict<(String, ())> {
    let body = answer.ok()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or("none");
    let (spec, status) = (text("keySpec"), text("keyStatus"));
    ensure(spec == "AES_256", "keySpec AES_256", spec)?;
    ensure(status == "ENABLED", "keyStatus ENABLED", status)?;
    let usages: Vec<_> = body.get("keyUsage").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    ensure(["ENCRYPT", "DECRYPT"].iter().all(|needed| usages.contains(needed)), "keyUsage ENCRYPT and DECRYPT", usages.join(", "))?;
    Ok((format!("{spec} {status}, {}", usages.join(", ")), ()))
}

fn sealed(plain: Plain, answer: &Answer) -> Verdict<(String, Sealed)> {
    let sealed = Sealed::read(plain, answer)?;
    check_cdiv(&sealed)?;
    Ok((format!("{} bytes, integrity value right", sealed.ciphertext.len()), sealed))
}

fn refused(answer: &Answer) -> StepError {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| clip(body.get(name).and_then(Value::as_str).unwrap_or_default());
    StepError::Refused { status: answer.status, name: text("errorName"), message: text("errorMessage") }
}

fn too_late() -> StepError {
    StepError::Unreachable(format!("nothing came within {} s", LIMIT.as_secs()))
}

const fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Health => "GetHealthStatus",
        Operation::Metadata => "GetKeyMetadata",
        Operation::Encrypt => "Encrypt",
        Operation::Decrypt => "Decrypt",
    }
}

const CONNECT: &str = "connect";
/// Far more than AWS KMS waits, so that what is slow can be told from what is not there.
const LIMIT: Duration = Duration::from_secs(10);
