//! A control plane, a node and a link between them, small enough to be driven through every order of events.

use std::collections::{HashMap, VecDeque};

use holdfast_proto::snapshot::Digest;

use super::*;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// What a node does with pushes, by the same rules as the real one.
#[derive(Default)]
pub(super) struct Node {
    pub(super) applied: Option<(Revision, RecordSet)>,
    pub(super) durable: Option<(Revision, RecordSet)>,
    pub(super) receiving: Option<(wire::Begin, Vec<Change>)>,
    pub(super) moods: VecDeque<NackReason>,
}

pub(super) enum FromNode {
    Hello(wire::Hello),
    Ack(wire::Ack),
    Nack(wire::Nack),
}

pub(super) struct Link {
    pub(super) session: Session,
    pub(super) to_node: VecDeque<Body>,
    pub(super) to_control: VecDeque<FromNode>,
    pub(super) unanswered: usize,
}

/// A control plane, a node, and a link that comes and goes.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) newest: Arc<Built>,
    pub(super) recent: Recent,
    pub(super) refused: Option<Refused>,
    pub(super) link: Option<Link>,
    pub(super) node: Node,
    /// Revision of a final refusal → before when it must not be begun again.
    pub(super) shunned: HashMap<Revision, Instant>,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Commit(Change),
    SendSome(usize),
    DeliverToNode,
    DeliverToControl,
    Persist,
    Connect,
    Lose,
    CrashNode,
    RestartControl,
    HelloAgain,
    Reload,
    Resync,
    Pass(u64),
    Mood(NackReason),
    Bend,
}

impl Node {
    pub(super) fn hello(&self) -> wire::Hello {
        wire::Hello {
            applied: self.applied.as_ref().map(|(r, _)| (*r).into()),
            durable: self.durable.as_ref().map(|(r, _)| (*r).into()),
            digest: self.applied.as_ref().map(|(_, set)| set.digest().to_vec()).unwrap_or_default(),
            ..wire::Hello::default()
        }
    }

    pub(super) fn ack(&self) -> FromNode {
        let of = |held: &Option<(Revision, RecordSet)>| held.as_ref().map(|(r, _)| (*r).into());
        FromNode::Ack(wire::Ack { applied: of(&self.applied), durable: of(&self.durable), unusable: Vec::new() })
    }

    pub(super) fn take(&mut self, message: Body) -> Option<FromNode> {
        match message {
            Body::Begin(begin) => {
                self.receiving = None;
                if let Some(reason) = self.moods.pop_front() {
                    return Some(nack(begin.revision, reason));
                }
                let applied = self.applied.as_ref().map(|(r, _)| *r);
                let offered = begin.revision.map(Revision::from);
                if applied > offered || (applied == offered && begin.base.is_some()) {
                    return Some(nack(begin.revision, NackReason::Revision));
                }
                if begin.base.is_some() && begin.base.map(Revision::from) != applied {
                    return Some(nack(begin.revision, NackReason::Base));
                }
                self.receiving = Some((begin, Vec::new()));
                None
            }
            Body::Chunk(chunk) => {
                assert!(chunk.encoded_len() <= (1 << 20));
                if let Some((_, changes)) = &mut self.receiving {
                    changes.extend(chunk.changes.into_iter().map(|change| Change::try_from(change).unwrap()));
                }
                None
            }
            Body::Commit(commit) => {
                let (begin, changes) = self.receiving.take()?;
                assert_eq!(begin.revision, commit.revision);
                assert_eq!(begin.changes, changes.len() as u64);
                let old = self.applied.as_ref().filter(|_| begin.base.is_some()).map(|(_, set)| set.clone()).unwrap_or_default();
                match old.apply(changes) {
                    Ok((set, _)) if set.digest() == commit.digest.as_slice() => {
                        self.applied = Some((commit.revision.unwrap().into(), set));
                        Some(self.ack())
                    }
                    Ok(_) | Err(_) => Some(nack(commit.revision, NackReason::Digest)),
                }
            }
            Body::KeyTask(_) | Body::Fleet(_) | Body::Current(_) => unreachable!("the session sends pushes only"),
        }
    }
}

pub(super) fn nack(revision: Option<wire::Revision>, reason: NackReason) -> FromNode {
    FromNode::Nack(wire::Nack { revision, reason: reason.into(), detail: "mood".into() })
}

impl World {
    pub(super) fn new() -> Self {
        let newest = built([store(1, false)], 1);
        let mut recent = Recent::default();
        recent.push(Arc::clone(&newest));
        let (node, shunned) = (Node::default(), HashMap::new());
        Self { now: Instant::now(), newest, recent, refused: None, link: None, node, shunned }
    }

    pub(super) fn step(&mut self, op: Op) {
        match op {
            Op::Commit(change) => self.commit(change),
            Op::SendSome(messages) => {
                let _sent = (0..messages).take_while(|_| self.send().is_ok()).count();
            }
            Op::DeliverToNode => _ = self.deliver_to_node(),
            Op::DeliverToControl => _ = self.deliver_to_control(),
            Op::Persist => {
                self.node.durable = self.node.applied.clone();
                if let Some(link) = self.link.as_mut().filter(|_| self.node.applied.is_some()) {
                    link.to_control.push_back(self.node.ack());
                }
            }
            Op::Connect => {
                self.node.receiving = None;
                let session = Session::new(Arc::clone(&self.newest), self.refused.clone());
                let to_control = VecDeque::from([FromNode::Hello(self.node.hello())]);
                self.link = Some(Link { session, to_node: VecDeque::new(), to_control, unanswered: 0 });
            }
            Op::Lose => self.link = None,
            Op::CrashNode => {
                self.link = None;
                self.node.applied = self.node.durable.clone();
            }
            Op::RestartControl => {
                self.link = None;
                self.refused = None;
                self.shunned.clear();
                self.recent = Recent::default();
                self.recent.push(Arc::clone(&self.newest));
            }
            Op::HelloAgain => {
                if let Some(link) = &mut self.link {
                    link.to_control.push_back(FromNode::Hello(self.node.hello()));
                }
            }
            Op::Reload => {
                if let Some(link) = &mut self.link {
                    link.session.offer_again();
                }
            }
            Op::Resync => {
                if let Some(link) = &mut self.link {
                    link.session.resync();
                }
            }
            Op::Pass(seconds) => self.now += SECOND * u32::try_from(seconds).unwrap(),
            Op::Mood(reason) => self.node.moods.push_back(reason),
            Op::Bend => {
                if let Some((_, set)) = &mut self.node.applied {
                    let bent = set.apply([store(1, true), key(1, 9, true)]);
                    *set = bent.map_or_else(|_| set.clone(), |(bent, _)| bent);
                }
            }
        }
    }

    pub(super) fn commit(&mut self, change: Change) {
        let Ok((set, _)) = self.newest.set.apply([change]) else { return };
        let next = Built::new(set, self.newest.revision.next(), 0);
        if next.digest == self.newest.digest {
            return;
        }
        self.newest = Arc::new(next);
        self.recent.push(Arc::clone(&self.newest));
        if let Some(link) = &mut self.link {
            link.session.configure(Arc::clone(&self.newest));
        }
    }

    /// One message from the session onto the link. `None`: it has nothing to send; then when it wants to be asked again.
    pub(super) fn send(&mut self) -> Result<(), Option<Instant>> {
        let link = self.link.as_mut().ok_or(None)?;
        match link.session.poll(self.now) {
            Next::Wait => Err(None),
            Next::At(time) => {
                assert!(time > self.now, "told to wait for what has passed");
                Err(Some(time))
            }
            Next::Send(body) => {
                if let Body::Begin(begin) = &body {
                    assert_eq!(link.unanswered, 0, "two pushes in flight");
                    link.unanswered = 1;
                    let revision = Revision::from(begin.revision.unwrap());
                    let shunned = self.shunned.get(&revision);
                    assert!(shunned.is_none_or(|until| self.now >= *until), "a refused push was sent again too soon");
                }
                link.to_node.push_back(body);
                Ok(())
            }
        }
    }

    pub(super) fn deliver_to_node(&mut self) -> bool {
        let Some(link) = &mut self.link else { return false };
        let Some(message) = link.to_node.pop_front() else { return false };
        link.to_control.extend(self.node.take(message));
        true
    }

    pub(super) fn deliver_to_control(&mut self) -> bool {
        let Some(link) = &mut self.link else { return false };
        let Some(message) = link.to_control.pop_front() else { return false };
        match message {
            FromNode::Hello(hello) => drop(link.session.hello(&hello, &self.recent).unwrap()),
            FromNode::Ack(ack) => {
                let acked = link.session.ack(&ack).unwrap();
                link.unanswered -= usize::from(acked.is_some_and(|acked| acked.committed_at_ms.is_some()));
            }
            FromNode::Nack(nack) => {
                link.unanswered = 0;
                if let Some(refused) = link.session.nack(&nack).unwrap() {
                    self.shunned.insert(refused.revision, refused.offered_at + OFFER_AGAIN);
                }
            }
        }
        self.refused = link.session.refused().cloned();
        true
    }

    /// Lets everything arrive, and time pass where only time is missing.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            let sent = self.send();
            if self.deliver_to_node() | self.deliver_to_control() || sent.is_ok() {
                continue;
            }
            match sent {
                Err(Some(time)) => self.now = time,
                Ok(()) | Err(None) => return,
            }
        }
        panic!("never comes to rest");
    }

    pub(super) fn connected() -> Self {
        let mut world = Self::new();
        world.step(Op::Connect);
        world.settle();
        world
    }

    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.link.as_mut().unwrap().session
    }

    pub(super) fn digest_of_node(&self) -> Digest {
        self.node.applied.as_ref().unwrap().1.digest()
    }
}

pub(super) fn begin(next: Next) -> wire::Begin {
    match next {
        Next::Send(Body::Begin(begin)) => begin,
        other => panic!("not a Begin: {other:?}"),
    }
}
