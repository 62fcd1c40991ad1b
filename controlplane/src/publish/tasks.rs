//! Key tasks: work on key material, which only data planes do (design §2).
//!
//! Always holds: one node is asked at a time, and another only when the first was lost or said that another may help; all are asked under
//! the same id, so that a repeat gives the same result. An answer counts only on the stream on which the task was sent.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_proto::{
    kinds::KeyKind,
    records::{KeyUsage, LocalBlob, PartitionKey, SourceKey},
    sync::{self as wire, KeyTaskFailure, control_message, key_task, key_task_result::Outcome, source_key},
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tracing::warn;
use uuid::Uuid;

use super::nodes::{Link, LinkId, Nodes};

/// Work for a data plane.
#[derive(Clone, Debug)]
pub struct KeyTask {
    /// Chosen once for this work: a repeat under the same id gives the same result. A key that is made gets it as its id.
    pub id: Uuid,
    /// Where the key is or is to be: `local`, or a partition group.
    pub target: String,
    /// How long to wait, over all nodes that are asked.
    pub deadline: Duration,
    /// What to do.
    pub work: Work,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Work {
    /// Make a key.
    Generate {
        /// What it is. Partitions make AES-256 only.
        kind: KeyKind,
        /// What it may be used for.
        usage: KeyUsage,
        /// Never wrapped for export.
        unexportable: bool,
        /// Its `CKA_LABEL` on a partition; empty: its id.
        label: String,
    },
    /// Tell what a key is.
    Inspect(SourceKey),
    /// Encrypt something for health checks.
    HealthCiphertext(SourceKey),
    /// Tell all secret keys of the target, a partition group.
    List,
    /// Seal local keys under the node's first key seal.
    Reseal(Vec<LocalBlob>),
    /// Wrap a key's material for ImportKeyMaterial of AWS KMS.
    Wrap {
        /// The key. One that is unexportable is refused.
        source: SourceKey,
        /// SubjectPublicKeyInfo, DER, as GetParametersForImport gave it.
        public_key: Vec<u8>,
        /// AWS's name, as in `RSA_AES_KEY_WRAP_SHA_256`.
        algorithm: &'static str,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The key that was made.
    Generated(SourceKey),
    /// What a key is.
    Attributes(KeyAttributes),
    /// A ciphertext for health checks.
    HealthCiphertext(Vec<u8>),
    /// The keys of a partition group.
    Listed(Vec<ListedKey>),
    /// The same keys, each sealed anew, in the same order.
    Resealed(Vec<LocalBlob>),
    /// The material, which only the private key to the task's public key unwraps.
    Wrapped(Vec<u8>),
}

/// What a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAttributes {
    /// Such as `AES`.
    pub algorithm: String,
    /// Its length.
    pub bits: u32,
    /// What it may be used for.
    pub usage: KeyUsage,
    /// Never wrapped for export.
    pub unexportable: bool,
    /// Of a key on an elliptic curve, by its SEC 2 name.
    pub curve: String,
    /// Of a key on a partition: what its token tells, by PKCS#11 names, as in `("CKA_SENSITIVE", true)`.
    pub token: Vec<(String, bool)>,
}

/// A key of a partition group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// Its name.
    pub key: PartitionKey,
    /// What it is.
    pub attributes: KeyAttributes,
}

/// Why nothing came of it. Details are the node's words; none is secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// Nobody to ask.
    #[error("no connected data plane serves {target}")]
    NoNode {
        /// What was asked for.
        target: String,
        /// What connected data planes do serve.
        served: Vec<String>,
    },
    /// No answer in time. The work may have been done; ask again under the same id.
    #[error("no data plane answered in time")]
    Deadline,
    /// Every node that serves the target was asked, and none could do it now.
    #[error("no connected data plane can do this now: {detail}")]
    Unavailable {
        /// The last one's words.
        detail: String,
    },
    /// Asking again can't help.
    #[error("the data plane refused: {detail}")]
    Refused {
        /// Its words.
        detail: String,
    },
    /// The node's software or its token can't do this.
    #[error("the data plane can't do this: {detail}")]
    Unsupported {
        /// Its words.
        detail: String,
    },
    /// The answer does not fit the task: a defect, or two versions that do not go together.
    #[error("the data plane's answer doesn't fit the task")]
    Malformed,
}

/// Tasks that wait for an answer.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    waiting: Mutex<HashMap<(LinkId, Uuid), Vec<Waiter>>>,
}

type Waiter = oneshot::Sender<Option<Outcome>>;

/// How asking one node ended.
enum Asked {
    Answered(Result<Done, TaskError>),
    /// Ask another.
    NotHere(String),
}

impl Tasks {
    /// Has a task done.
    pub(super) async fn run(&self, nodes: &Nodes, task: KeyTask) -> Result<Done, TaskError> {
        let until = Instant::now() + task.deadline;
        let mut asked = Vec::new();
        let mut detail = None;
        loop {
            let links = nodes.links(&task.target);
            let Some((name, link)) = links.into_iter().find(|(_, link)| !asked.contains(&link.id)) else {
                let no_node = || TaskError::NoNode { target: task.target, served: nodes.targets() };
                return Err(detail.map_or_else(no_node, |detail| TaskError::Unavailable { detail }));
            };
            asked.push(link.id);
            let answer = timeout_at(until, self.ask(&link, &task, until)).await;
            self.forget_closed(link.id, task.id);
            match answer {
                Err(_) => return Err(TaskError::Deadline),
                Ok(Asked::Answered(answer)) => return answer,
                Ok(Asked::NotHere(words)) => {
                    warn!(node = %name, task = %task.id, detail = words, "key task not done here; asking another node");
                    detail = Some(words);
                }
            }
        }
    }

    /// An answer came in.
    pub(super) fn answered(&self, link: LinkId, result: &wire::KeyTaskResult) {
        let Ok(id) = Uuid::from_slice(&result.id) else { return };
        let waiters = self.lock().remove(&(link, id)).unwrap_or_default();
        for waiter in waiters {
            // Who no longer waits has run into its deadline.
            _ = waiter.send(result.outcome.clone());
        }
    }

    /// A stream has ended: nothing will be answered on it any more.
    pub(super) fn lost(&self, link: LinkId) {
        self.lock().retain(|(on, _), _| *on != link);
    }

    async fn ask(&self, link: &Link, task: &KeyTask, until: Instant) -> Asked {
        let (waiter, answer) = oneshot::channel();
        self.lock().entry((link.id, task.id)).or_default().push(waiter);
        let message = wire::ControlMessage { body: Some(control_message::Body::KeyTask(task.to_wire(until))) };
        let answered = async {
            link.out.send(Ok(message)).await.ok()?;
            answer.await.ok()
        };
        // The stream may have ended before the waiter was there to be swept.
        let answer = tokio::select! {
            answer = answered => answer,
            () = link.end.cancelled() => None,
        };
        answer.map_or_else(|| Asked::NotHere("its stream ended".into()), |outcome| task.judge(outcome))
    }

    fn forget_closed(&self, link: LinkId, task: Uuid) {
        let mut waiting = self.lock();
        if let Some(waiters) = waiting.get_mut(&(link, task)) {
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                waiting.remove(&(link, task));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(LinkId, Uuid), Vec<Waiter>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyTask {
    fn to_wire(&self, until: Instant) -> wire::KeyTask {
        let left = until.saturating_duration_since(Instant::now());
        let task = match &self.work {
            Work::Generate { kind, usage, unexportable, label } => key_task::Task::Generate(wire::GenerateKey {
                usage: Some((*usage).into()),
                unexportable: *unexportable,
                label: label.clone(),
                kind: kind.to_wire(),
            }),
            Work::Inspect(source) => key_task::Task::Inspect(wire::InspectKey { source: Some(source.into()) }),
            Work::HealthCiphertext(source) => key_task::Task::HealthCiphertext(wire::MakeHealthCiphertext { source: Some(source.into()) }),
            Work::List => key_task::Task::List(wire::ListKeys {}),
            Work::Reseal(blobs) => key_task::Task::Reseal(wire::ResealKeys { keys: blobs.iter().filter_map(local_to_wire).collect() }),
            Work::Wrap { source, public_key, algorithm } => key_task::Task::Wrap(wire::WrapForImport {
                source: Some(source.into()),
                public_key: public_key.clone(),
                algorithm: (*algorithm).into(),
            }),
        };
        wire::KeyTask {
            id: self.id.as_bytes().to_vec(),
            deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            target: self.target.clone(),
            task: Some(task),
        }
    }

    fn judge(&self, outcome: Option<Outcome>) -> Asked {
        Asked::Answered(match (&self.work, outcome) {
            (_, Some(Outcome::Error(error))) => match (error.failure(), error.detail) {
                (KeyTaskFailure::Unavailable, detail) => return Asked::NotHere(detail),
                (KeyTaskFailure::Deadline, _) => Err(TaskError::Deadline),
                (KeyTaskFailure::Refused, detail) => Err(TaskError::Refused { detail }),
                (KeyTaskFailure::Unsupported, detail) => Err(TaskError::Unsupported { detail }),
                (KeyTaskFailure::Unspecified, _) => Err(TaskError::Malformed),
            },
            (Work::Generate { kind, usage, unexportable, .. }, Some(Outcome::Generated(source))) => match SourceKey::try_from(source) {
                Ok(made) if self.fits(&made, (*kind, *usage, *unexportable)) => Ok(Done::Generated(made)),
                Ok(_) | Err(_) => Err(TaskError::Malformed),
            },
            (Work::Inspect(_), Some(Outcome::Attributes(told))) => attributes(told).map(Done::Attributes),
            (Work::HealthCiphertext(_), Some(Outcome::HealthCiphertext(ciphertext))) => Ok(Done::HealthCiphertext(ciphertext)),
            (Work::List, Some(Outcome::Keys(list))) => {
                list.keys.into_iter().map(|key| self.listed(key)).collect::<Result<_, _>>().map(Done::Listed)
            }
            (Work::Reseal(blobs), Some(Outcome::Resealed(resealed))) => same_keys(blobs, resealed.keys).map(Done::Resealed),
            (Work::Wrap { .. }, Some(Outcome::Wrapped(wrapped))) if !wrapped.is_empty() => Ok(Done::Wrapped(wrapped)),
            (
                Work::Generate { .. } | Work::Inspect(_) | Work::HealthCiphertext(_) | Work::List | Work::Reseal(_) | Work::Wrap { .. },
                _,
            ) => Err(TaskError::Malformed),
        })
    }

    /// Whether a key is the one that was to be made. What a key in a partition may do only its token knows.
    fn fits(&self, made: &SourceKey, (kind, usage, unexportable): (KeyKind, KeyUsage, bool)) -> bool {
        match made {
            SourceKey::Local(blob) => {
                let asked = (self.id, kind, usage, unexportable);
                self.target == LOCAL && (blob.id, blob.kind, blob.usage, blob.unexportable) == asked
            }
            SourceKey::Partition(key) => key.group == self.target,
        }
    }

    fn listed(&self, listed: wire::ListedKey) -> Result<ListedKey, TaskError> {
        let (key, told) = (listed.key.ok_or(TaskError::Malformed)?, listed.attributes.ok_or(TaskError::Malformed)?);
        if key.group != self.target {
            return Err(TaskError::Malformed);
        }
        let key = PartitionKey { group: key.group, cka_id: key.cka_id.into(), label: key.label };
        Ok(ListedKey { key, attributes: attributes(told)? })
    }
}

fn local_to_wire(blob: &LocalBlob) -> Option<wire::LocalKey> {
    match wire::SourceKey::from(&SourceKey::Local(blob.clone())).body? {
        source_key::Body::Local(key) => Some(key),
        source_key::Body::Partition(_) => None,
    }
}

/// What came back, if it is the same keys in the same order, but for how they are sealed.
fn same_keys(asked: &[LocalBlob], resealed: Vec<wire::LocalKey>) -> Result<Vec<LocalBlob>, TaskError> {
    let parse = |key| match SourceKey::try_from(wire::SourceKey { body: Some(source_key::Body::Local(key)) }) {
        Ok(SourceKey::Local(blob)) => Ok(blob),
        Ok(SourceKey::Partition(_)) | Err(_) => Err(TaskError::Malformed),
    };
    let resealed: Vec<LocalBlob> = resealed.into_iter().map(parse).collect::<Result<_, _>>()?;
    let same = |(before, after): (&LocalBlob, &LocalBlob)| LocalBlob { sealed: before.sealed.clone(), ..after.clone() } == *before;
    if asked.len() == resealed.len() && asked.iter().zip(&resealed).all(same) { Ok(resealed) } else { Err(TaskError::Malformed) }
}

fn attributes(told: wire::KeyAttributes) -> Result<KeyAttributes, TaskError> {
    let wire::KeyAttributes { algorithm, bits, usage, unexportable, token, curve } = told;
    let usage = usage.ok_or(TaskError::Malformed)?.into();
    let token = token.into_iter().map(|attribute| (attribute.name, attribute.value)).collect();
    Ok(KeyAttributes { algorithm, bits, usage, unexportable, curve, token })
}

/// The target that makes software keys.
const LOCAL: &str = "local";
