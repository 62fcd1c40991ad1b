//! One node's end of the configuration stream, without I/O: what came in, what goes out next, and when to look again.
//!
//! Always holds: at most one push is in flight; a push is made against what the node said it holds and against nothing else; a refused
//! push is not sent again within [`OFFER_AGAIN`]; no push goes back in revisions. Whatever does not fit ends the stream, since a new
//! Hello puts everything right. `service` drives it: inputs are its methods, [`Session::poll`] is asked after each of them.

use std::{
    iter::Peekable,
    sync::Arc,
    time::{Duration, Instant},
    vec,
};

use holdfast_proto::{
    ids::Revision,
    records::Change,
    snapshot::RecordSet,
    sync::{self as wire, NackReason, control_message::Body},
};
use prost::Message;

use super::built::{Built, Recent};

/// One stream's state.
#[derive(Debug)]
pub(crate) struct Session {
    target: Arc<Built>,
    held: Option<Held>,
    flight: Option<Flight>,
    refused: Option<Refused>,
    /// Everything is to be sent, though the node may hold it.
    whole: bool,
    /// When that was done last.
    whole_at: Option<Instant>,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Send this, then poll again.
    Send(Body),
    /// Nothing to send before this, unless something comes in.
    At(Instant),
    /// Nothing to send until something comes in.
    Wait,
}

/// How far the node is, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It hasn't said Hello yet.
    Greeting,
    /// It holds the newest configuration.
    UpToDate,
    /// The push of this revision is on its way, or about to be.
    Pushing(Revision),
    /// It refused a push and keeps what it has.
    Refused(Refused),
    /// It holds a greater revision than the control plane's, or another configuration under the same one. It keeps what it has.
    Ahead(Revision),
}

/// A push that a node refused. It outlives the stream, so that reconnecting doesn't make the control plane push at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Of the push.
    pub(crate) revision: Revision,
    /// Why.
    pub(crate) reason: NackReason,
    /// The node's own words.
    pub(crate) detail: String,
    /// When the push was begun.
    pub(crate) offered_at: Instant,
    /// A Hello, a reload or `resync` has asked for another try.
    pub(crate) again: bool,
}

/// What an acknowledgement changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acked {
    /// What the node answers requests from.
    pub(crate) applied: Revision,
    /// What it would find after a restart.
    pub(crate) durable: Option<Revision>,
    /// The push that this ended: when its newest change was committed, milliseconds since 1970.
    pub(crate) committed_at_ms: Option<u64>,
}

/// The node said something that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolFault {
    /// Something else before Hello.
    #[error("the first message must be Hello")]
    NoHello,
    /// A field that must be there isn't.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Acknowledged what it was not sent, or not yet in full.
    #[error("revision {0} was acknowledged but not sent in full")]
    NotSent(Revision),
    /// Durable before applied.
    #[error("revision {durable} can't be durable when {applied} is applied")]
    DurableFirst {
        /// Said to be durable.
        durable: Revision,
        /// Said to be applied.
        applied: Revision,
    },
}

/// What the node holds, as it said itself.
#[derive(Debug)]
struct Held {
    /// None: it holds nothing.
    revision: Option<Revision>,
    /// The build with the same digest, where it is remembered.
    known: Option<Arc<Built>>,
    /// The first revision of which it is known that the node means ours by it. What it has on disk may be older, and of a control plane
    /// whose directory was put back since: under the same number, something else.
    from: Revision,
}

/// A push that was begun.
#[derive(Debug)]
struct Flight {
    built: Arc<Built>,
    base: Option<Revision>,
    rest: Peekable<vec::IntoIter<Change>>,
    offered_at: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Changes,
    Sent,
}

impl Session {
    /// A session that says nothing until Hello. `refused` is what the node refused on an earlier stream.
    pub(crate) const fn new(target: Arc<Built>, refused: Option<Refused>) -> Self {
        Self { target, held: None, flight: None, refused, whole: false, whole_at: None }
    }

    /// Takes a newer configuration over; what is in flight is finished first.
    pub(crate) fn configure(&mut self, target: Arc<Built>) {
        self.target = target;
    }

    /// The node says what it holds. `Some`: what it has acknowledged by that, its digest being a known one.
    ///
    /// A second Hello on the same stream asks for a refused push again; while a push is in flight it says nothing else of use.
    ///
    /// # Errors
    /// [`ProtocolFault`] where the Hello contradicts itself.
    pub(crate) fn hello(&mut self, hello: &wire::Hello, recent: &Recent) -> Result<Option<Acked>, ProtocolFault> {
        self.offer_again();
        if self.flight.is_some() {
            return Ok(None);
        }
        if hello.digest.is_empty() {
            self.held = Some(Held { revision: None, known: None, from: Revision::default() });
            return Ok(None);
        }
        let applied = Revision::from(hello.applied.ok_or(ProtocolFault::Missing("applied"))?);
        let durable = hello.durable.map(Revision::from);
        in_order(applied, durable)?;
        let same = self.target.digest == hello.digest.as_slice();
        let known = if same { Some(&self.target) } else { recent.find(&hello.digest) };
        // Revisions greater than ours are not ours: an old data directory was put back.
        let known = known.filter(|known| applied <= known.revision).cloned();
        let held = self.held.insert(Held { revision: Some(applied), known, from: applied });
        Ok(held.acked(Acked { applied, durable, committed_at_ms: None }))
    }

    /// The node has applied a push, or written one to disk. `None`: it speaks of a configuration that isn't known here, so that nothing
    /// may be concluded from its revision.
    ///
    /// # Errors
    /// [`ProtocolFault`] where it can't have.
    pub(crate) fn ack(&mut self, ack: &wire::Ack) -> Result<Option<Acked>, ProtocolFault> {
        let held = self.held.as_mut().ok_or(ProtocolFault::NoHello)?;
        let applied = Revision::from(ack.applied.ok_or(ProtocolFault::Missing("applied"))?);
        let durable = ack.durable.map(Revision::from);
        in_order(applied, durable)?;
        let mut committed_at_ms = None;
        if let Some(flight) = self.flight.take_if(|f| f.built.revision == applied && f.stage == Stage::Sent) {
            committed_at_ms = Some(flight.built.committed_at_ms);
            let from = if held.known.is_some() { held.from } else { applied };
            *held = Held { revision: Some(applied), known: Some(flight.built), from };
            self.refused = None;
        } else if held.revision != Some(applied) {
            return Err(ProtocolFault::NotSent(applied));
        }
        Ok(held.acked(Acked { applied, durable, committed_at_ms }))
    }

    /// The node refused the push in flight and changed nothing. `None`: the nack is of no push in flight, or is answered by a full push.
    ///
    /// # Errors
    /// [`ProtocolFault`] before Hello or without a revision.
    pub(crate) fn nack(&mut self, nack: &wire::Nack) -> Result<Option<&Refused>, ProtocolFault> {
        let held = self.held.as_mut().ok_or(ProtocolFault::NoHello)?;
        let revision = Revision::from(nack.revision.ok_or(ProtocolFault::Missing("revision"))?);
        let Some(flight) = self.flight.take_if(|f| f.built.revision == revision) else {
            return Ok(None);
        };
        let reason = nack.reason();
        if flight.base.is_some() && matches!(reason, NackReason::Base | NackReason::Digest) {
            // It does not hold what was thought: send everything, once.
            held.known = None;
            return Ok(None);
        }
        let detail = nack.detail.chars().take(MAX_DETAIL).collect();
        Ok(Some(self.refused.insert(Refused { revision, reason, detail, offered_at: flight.offered_at, again: false })))
    }

    /// `node resync`: everything goes out, in its time, whatever the node says it holds.
    pub(crate) fn resync(&mut self) {
        self.offer_again();
        self.whole = true;
    }

    /// A reload: a refused push may go out again, in its time.
    pub(crate) fn offer_again(&mut self) {
        if let Some(refused) = &mut self.refused {
            refused.again = true;
        }
    }

    /// What to send now, or when to ask again. Begins a push where one is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Next {
        if let Some(flight) = &mut self.flight {
            return flight.next().map_or(Next::Wait, Next::Send);
        }
        let Some(held) = &mut self.held else { return Next::Wait };
        let behind = held.behind(&self.target);
        // A node takes everything under the revision that it holds, too.
        let whole = self.whole && (behind || held.revision == Some(self.target.revision));
        if !behind && !whole {
            return Next::Wait;
        }
        if let Some(at) = self.whole_at.map(|at| at + OFFER_AGAIN).filter(|at| whole && !behind && now < *at) {
            return Next::At(at);
        }
        match self.refused.as_ref().filter(|refused| refused.revision == self.target.revision) {
            Some(refused) if !refused.again => return Next::Wait,
            Some(refused) if now < refused.offered_at + OFFER_AGAIN => return Next::At(refused.offered_at + OFFER_AGAIN),
            Some(_) | None => {}
        }
        if whole {
            (held.known, self.whole, self.whole_at) = (None, false, Some(now));
        }
        let (flight, begin) = Flight::begin(held, &self.target, now);
        self.flight = Some(flight);
        Next::Send(begin)
    }

    /// How far the node is.
    pub(crate) fn standing(&self) -> Standing {
        let Some(held) = &self.held else {
            return Standing::Greeting;
        };
        if let Some(flight) = &self.flight {
            return Standing::Pushing(flight.built.revision);
        }
        match (held.revision, &self.refused) {
            _ if held.is(&self.target) => Standing::UpToDate,
            (Some(revision), _) if revision >= self.target.revision => Standing::Ahead(revision),
            (_, Some(refused)) if refused.revision == self.target.revision => Standing::Refused(refused.clone()),
            (_, _) => Standing::Pushing(self.target.revision),
        }
    }

    /// The push that the node refused last and has not taken since.
    pub(crate) const fn refused(&self) -> Option<&Refused> {
        self.refused.as_ref()
    }
}

impl Held {
    fn is(&self, target: &Built) -> bool {
        self.revision == Some(target.revision) && self.known.as_ref().is_some_and(|known| known.digest == target.digest)
    }

    /// What may be concluded from the node's words.
    fn acked(&self, mut said: Acked) -> Option<Acked> {
        said.durable = said.durable.filter(|durable| *durable >= self.from);
        self.known.is_some().then_some(said)
    }

    fn behind(&self, target: &Built) -> bool {
        self.revision.is_none_or(|revision| revision < target.revision)
    }
}

impl Flight {
    fn begin(held: &Held, target: &Arc<Built>, now: Instant) -> (Self, Body) {
        let (base, changes) = match (&held.known, held.revision) {
            (Some(known), Some(revision)) => (Some(revision), target.set.since(&known.set)),
            (_, _) => (None, target.set.since(&RecordSet::default())),
        };
        let begin = Body::Begin(wire::Begin {
            revision: Some(target.revision.into()),
            base: base.map(Into::into),
            changes: u64::try_from(changes.len()).unwrap_or(u64::MAX),
            committed_at_ms: target.committed_at_ms,
        });
        let rest = changes.into_iter().peekable();
        (Self { built: Arc::clone(target), base, rest, offered_at: now, stage: Stage::Changes }, begin)
    }

    fn next(&mut self) -> Option<Body> {
        if self.stage == Stage::Sent {
            return None;
        }
        let mut chunk = wire::Chunk::default();
        let mut size = 0;
        while let Some(change) = self.rest.peek() {
            let change = wire::Change::from(change);
            let length = change.encoded_len();
            size += length + 1 + prost::length_delimiter_len(length);
            if size > MAX_CHUNK && !chunk.changes.is_empty() {
                break;
            }
            chunk.changes.push(change);
            self.rest.next();
        }
        if !chunk.changes.is_empty() {
            return Some(Body::Chunk(chunk));
        }
        self.stage = Stage::Sent;
        Some(Body::Commit(wire::Commit { revision: Some(self.built.revision.into()), digest: self.built.digest.to_vec() }))
    }
}

fn in_order(applied: Revision, durable: Option<Revision>) -> Result<(), ProtocolFault> {
    match durable.filter(|durable| *durable > applied) {
        Some(durable) => Err(ProtocolFault::DurableFirst { durable, applied }),
        None => Ok(()),
    }
}

/// The same push is offered no more often (design §7.4).
pub(crate) const OFFER_AGAIN: Duration = Duration::from_secs(60);

/// Encoded bytes of changes in one chunk (design §7.3).
const MAX_CHUNK: usize = 1 << 20;

/// Characters kept of a nack's detail.
const MAX_DETAIL: usize = 300;

#[cfg(test)]
mod tests;
