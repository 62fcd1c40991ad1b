//! The node's end of the configuration stream as a state machine without I/O: a message comes in, at most one effect goes out.
//!
//! Holds: nothing of a push counts before its commit, and a refused push changes nothing; revisions never go back; at most one push
//! is under way, and a newer Begin replaces an unfinished one. A nack is only for a structurally wrong push (design §7.4): whether
//! this host can serve a key is not looked at here. Driven by `client`, one session per stream.

use std::mem;

use holdfast_proto::{
    ids::Revision,
    records::{Change, Undecodable},
    snapshot::{Digest, RecordSet, Reject},
    sync::{self as wire, NackReason, control_message::Body},
};

/// One stream's state.
#[derive(Debug)]
pub struct Session {
    revision: Revision,
    records: RecordSet,
    push: Push,
    /// A push on top of what we hold did not fit it: ask for everything.
    doubtful: bool,
}

/// What to do about a message.
#[derive(Debug)]
pub enum Effect {
    /// Swap this in, then acknowledge it.
    Install(Install),
    /// Say no.
    Refuse(wire::Nack),
    /// Do this, and send the result.
    RunTask(wire::KeyTask),
    /// So many nodes are ready, at least 1.
    SetFleet(u32),
    /// There is nothing newer than what this node holds.
    Confirm,
}

/// A checked push.
#[derive(Debug)]
pub struct Install {
    /// What it leads to.
    pub revision: Revision,
    /// Everything that holds from now on.
    pub records: RecordSet,
    /// When its newest change was committed, milliseconds since 1970. None where that isn't known, and for everything at once, which comes
    /// when the node asks for it and not when something changes.
    pub committed_at_ms: Option<u64>,
}

#[derive(Debug)]
enum Push {
    /// None under way.
    Idle,
    /// Changes are coming in.
    Receiving(Receiving),
    /// It was refused; the rest of it is passed over in silence.
    Refused,
}

#[derive(Debug)]
struct Receiving {
    revision: Revision,
    /// On top of what we hold; else everything.
    delta: bool,
    announced: u64,
    received: u64,
    committed_at_ms: u64,
    /// By chunk, so that each one's memory goes as it is applied.
    chunks: Vec<Vec<Change>>,
}

/// Why a push was refused; the text is for operators.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    #[error("the records after the push have another digest than announced")]
    Digest,
    #[error("revision {offered} is not newer than {held}, which this node holds")]
    Revision { offered: Revision, held: Revision },
    #[error("the push builds on revision {base}, but this node holds {held}")]
    Base { base: Revision, held: Revision },
    #[error(transparent)]
    Rejected(#[from] Reject),
    #[error("{0}")]
    Sequence(&'static str),
}

impl Session {
    /// A session of a node that holds `records` of `revision`; the zero revision holds nothing.
    ///
    /// `doubtful`: what an earlier session's [`Session::doubtful`] said at its end.
    #[must_use]
    pub const fn new(revision: Revision, records: RecordSet, doubtful: bool) -> Self {
        Self { revision, records, push: Push::Idle, doubtful }
    }

    /// What to say first, and again to be offered a refused push. `durable` is what is on disk.
    #[must_use]
    pub fn hello(&self, durable: Revision, targets: Vec<String>) -> wire::Hello {
        let holds = self.revision > Revision::default() && !self.doubtful;
        wire::Hello {
            protocol: PROTOCOL,
            software_version: env!("CARGO_PKG_VERSION").into(),
            applied: holds.then(|| self.revision.into()),
            durable: holds.then(|| durable.min(self.revision).into()),
            digest: if holds { self.records.digest().to_vec() } else { Vec::new() },
            targets,
            key_seals: Vec::new(),
        }
    }

    /// A push on top of what this node holds did not fit it, so the next Hello asks for everything.
    #[must_use]
    pub const fn doubtful(&self) -> bool {
        self.doubtful
    }

    /// What the node holds.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// A push has begun and isn't decided.
    #[must_use]
    pub const fn receiving(&self) -> bool {
        matches!(self.push, Push::Receiving(_))
    }

    /// Takes one message. A message of a kind that this version does not know has no effect. A commit of many records takes a while:
    /// not for a thread that answers requests.
    pub fn handle(&mut self, message: wire::ControlMessage) -> Option<Effect> {
        let about = self.about(&message);
        let done = match message.body? {
            Body::Begin(begin) => self.begin(&begin).map(|()| None),
            Body::Chunk(chunk) => self.chunk(chunk).map(|()| None),
            Body::Commit(commit) => self.commit(&commit),
            Body::KeyTask(task) => return Some(Effect::RunTask(task)),
            Body::Fleet(fleet) => return Some(Effect::SetFleet(fleet.ready_nodes.max(1))),
            Body::Current(current) => {
                let ours = current.revision.map(Revision::from) == Some(self.revision) && !self.receiving();
                return ours.then_some(Effect::Confirm);
            }
        };
        match done {
            Ok(install) => install.map(Effect::Install),
            Err(fault) => {
                let push = mem::replace(&mut self.push, Push::Refused);
                if let Push::Receiving(Receiving { delta: true, .. }) = push {
                    self.doubtful |= fault.doubts();
                }
                let detail = fault.to_string();
                Some(Effect::Refuse(wire::Nack { revision: Some(about.into()), reason: fault.reason().into(), detail }))
            }
        }
    }

    fn begin(&mut self, begin: &wire::Begin) -> Result<(), Fault> {
        self.push = Push::Idle;
        let offered = begin.revision.map(Revision::from).ok_or(NO_REVISION)?;
        let base = begin.base.map(Revision::from);
        let held = self.revision;
        // Everything may come again under the same revision: `node resync`, or a node that asked for it.
        if offered < held || (offered == held && base.is_some()) {
            return Err(Fault::Revision { offered, held });
        }
        if let Some(base) = base.filter(|base| *base != held) {
            return Err(Fault::Base { base, held });
        }
        self.push = Push::Receiving(Receiving {
            revision: offered,
            delta: base.is_some(),
            announced: begin.changes,
            received: 0,
            committed_at_ms: begin.committed_at_ms,
            chunks: Vec::new(),
        });
        Ok(())
    }

    fn chunk(&mut self, chunk: wire::Chunk) -> Result<(), Fault> {
        let push = match &mut self.push {
            Push::Receiving(push) => push,
            Push::Refused => return Ok(()),
            Push::Idle => return Err(Fault::Sequence("a chunk came without a begin")),
        };
        let count = u64::try_from(chunk.changes.len()).unwrap_or(u64::MAX);
        push.received = push.received.saturating_add(count);
        if push.received > push.announced {
            return Err(Fault::Sequence("more changes came than were announced"));
        }
        push.chunks.push(chunk.changes.into_iter().map(Change::try_from).collect::<Result<_, _>>()?);
        Ok(())
    }

    fn commit(&mut self, commit: &wire::Commit) -> Result<Option<Install>, Fault> {
        let push = match &mut self.push {
            Push::Receiving(push) => push,
            Push::Refused => return Ok(None),
            Push::Idle => return Err(Fault::Sequence("a commit came without a begin")),
        };
        if commit.revision.map(Revision::from) != Some(push.revision) {
            return Err(Fault::Sequence("the commit is of another revision than the begin"));
        }
        if push.received != push.announced {
            return Err(Fault::Sequence("fewer changes came than were announced"));
        }
        let changes = mem::take(&mut push.chunks).into_iter().flatten();
        let records = if push.delta { self.records.apply(changes)?.0 } else { RecordSet::default().apply(changes)?.0 };
        let digest: Digest = records.digest();
        if commit.digest != digest {
            return Err(Fault::Digest);
        }
        let records = if push.delta { records } else { shared(&self.records, records) };
        let committed_at_ms = Some(push.committed_at_ms).filter(|at| push.delta && *at > 0);
        let install = Install { revision: push.revision, records: records.clone(), committed_at_ms };
        (self.revision, self.records, self.push, self.doubtful) = (install.revision, records, Push::Idle, false);
        Ok(Some(install))
    }

    /// The revision that a nack of this message would be about.
    fn about(&self, message: &wire::ControlMessage) -> Revision {
        let named = match &message.body {
            Some(Body::Begin(begin)) => begin.revision.map(Revision::from),
            Some(Body::Commit(wire::Commit { revision, .. })) => match &self.push {
                Push::Receiving(push) => Some(push.revision),
                Push::Idle | Push::Refused => revision.map(Revision::from),
            },
            Some(Body::Chunk(_)) => match &self.push {
                Push::Receiving(push) => Some(push.revision),
                Push::Idle | Push::Refused => None,
            },
            Some(Body::KeyTask(_) | Body::Fleet(_) | Body::Current(_)) | None => None,
        };
        named.unwrap_or_default()
    }
}

impl Fault {
    const fn reason(&self) -> NackReason {
        match self {
            Self::Undecodable(_) => NackReason::Undecodable,
            Self::Digest => NackReason::Digest,
            Self::Revision { .. } => NackReason::Revision,
            Self::Base { .. } => NackReason::Base,
            Self::Rejected(Reject::Duplicate { .. }) => NackReason::Duplicate,
            Self::Rejected(Reject::Orphan(_)) => NackReason::Orphan,
            Self::Sequence(_) => NackReason::Sequence,
        }
    }

    /// For a push on top of what we hold: what we hold may not be what the sender thinks.
    const fn doubts(&self) -> bool {
        match self {
            Self::Digest | Self::Rejected(_) => true,
            Self::Undecodable(_) | Self::Revision { .. } | Self::Base { .. } | Self::Sequence(_) => false,
        }
    }
}

/// `new` with everything that it has in common with `old` taken from there, so that a full push costs memory only for what it changes.
fn shared(old: &RecordSet, new: RecordSet) -> RecordSet {
    if old.stores().next().is_none() {
        return new;
    }
    // The difference of two sets always applies (a property of `since`); without it, `new` does as well.
    old.apply(new.since(old)).map_or(new, |(shared, _)| shared)
}

/// The only version of the protocol so far.
const PROTOCOL: u32 = 1;

const NO_REVISION: Fault = Fault::Sequence("the begin has no revision");

#[cfg(test)]
pub(crate) mod tests;
