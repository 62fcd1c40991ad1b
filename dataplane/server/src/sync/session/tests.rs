use std::sync::Arc;

use holdfast_proto::{
    records::{Key, Record, RecordName, StoreHeader, Version},
    state::VersionState,
    sync::{Begin, Chunk, Commit, ControlMessage, Fleet, KeyTask},
};
use proptest::{prelude::*, sample::Index};

use super::*;
use crate::live::tests::{Maker, at, key, key_id, path, store_id};

pub(crate) fn control(body: Body) -> ControlMessage {
    ControlMessage { body: Some(body) }
}

/// A whole push as a control plane would send it, in chunks of two changes.
pub(crate) fn push(from: Option<(Revision, &RecordSet)>, to: (Revision, &RecordSet)) -> Vec<ControlMessage> {
    let nothing = RecordSet::default();
    let changes: Vec<_> = to.1.since(from.map_or(&nothing, |(_, set)| set)).iter().map(wire::Change::from).collect();
    let begin = Begin {
        revision: Some(to.0.into()),
        base: from.map(|(revision, _)| revision.into()),
        changes: changes.len() as u64,
        committed_at_ms: 7,
    };
    let mut messages = vec![control(Body::Begin(begin))];
    messages.extend(changes.chunks(2).map(|changes| control(Body::Chunk(Chunk { changes: changes.to_vec() }))));
    messages.push(control(Body::Commit(Commit { revision: Some(to.0.into()), digest: to.1.digest().to_vec() })));
    messages
}

/// What a session makes of some messages: what it installed, and why it refused.
fn feed(session: &mut Session, messages: impl IntoIterator<Item = ControlMessage>) -> (Vec<Install>, Vec<NackReason>) {
    let (mut installed, mut refused) = (Vec::new(), Vec::new());
    for message in messages {
        match session.handle(message) {
            Some(Effect::Install(install)) => installed.push(install),
            Some(Effect::Refuse(nack)) => refused.push(nack.reason()),
            Some(Effect::RunTask(_) | Effect::SetFleet(_) | Effect::Confirm) | None => {}
        }
    }
    (installed, refused)
}

pub(crate) fn set(changes: impl IntoIterator<Item = Change>) -> RecordSet {
    RecordSet::default().apply(changes).unwrap().0
}

/// A session that holds store 1 at revision 5.
fn holding() -> (Session, RecordSet) {
    let held = set(Maker::new().store(1, 2));
    (Session::new(at(5), held.clone(), false), held)
}

pub(crate) fn blocked(held: &RecordSet) -> RecordSet {
    held.apply([Change::Upsert(Record::Key(Key { blocked: true, ..key(1, 0) }))]).unwrap().0
}

/// Each of these must be refused for that reason and leave everything as it was.
fn refuses(messages: Vec<ControlMessage>, reason: NackReason) {
    let (mut session, held) = holding();
    let (installed, refused) = feed(&mut session, messages);
    assert!(installed.is_empty());
    assert_eq!(refused, [reason], "one refusal, and silence about the rest of the push");
    assert_eq!((session.revision, session.records.digest()), (at(5), held.digest()));
}

#[test]
fn a_push_on_what_we_hold_is_installed() {
    let (mut session, held) = holding();
    let next = blocked(&held);
    let (installed, refused) = feed(&mut session, push(Some((at(5), &held)), (at(6), &next)));
    assert!(refused.is_empty());
    assert_eq!((installed[0].revision, installed[0].committed_at_ms), (at(6), Some(7)));
    assert_eq!(installed[0].records.digest(), next.digest());
    assert_eq!(session.revision(), at(6));
}

#[test]
fn everything_at_once_replaces_what_we_hold_and_shares_what_is_the_same() {
    let (mut session, held) = holding();
    let next = blocked(&held);
    let (installed, _) = feed(&mut session, push(None, (at(6), &next)));
    assert_eq!((installed[0].records.digest(), installed[0].committed_at_ms), (next.digest(), None));
    let shared = |k| {
        let at = |set: &RecordSet| set.store(store_id(1)).unwrap().key(key_id(k)).unwrap().clone();
        Arc::ptr_eq(&at(&held), &at(&installed[0].records))
    };
    assert!(shared(1) && !shared(0));
    // Stores that are not in it are gone.
    let (installed, _) = feed(&mut session, push(None, (at(7), &RecordSet::default())));
    assert_eq!(installed[0].records.stores().count(), 0);
}

#[test]
fn going_back_is_refused() {
    let (_, held) = holding();
    refuses(push(None, (at(4), &blocked(&held))), NackReason::Revision);
    refuses(push(Some((at(5), &held)), (at(4), &blocked(&held))), NackReason::Revision);
    refuses(push(Some((at(5), &held)), (at(5), &blocked(&held))), NackReason::Revision);
}

#[test]
fn everything_may_come_again_under_the_same_revision() {
    let (mut session, held) = holding();
    let (installed, refused) = feed(&mut session, push(None, (at(5), &blocked(&held))));
    assert!(refused.is_empty());
    assert_eq!(installed[0].revision, at(5));
}

#[test]
fn a_push_on_another_base_is_refused() {
    let (_, held) = holding();
    refuses(push(Some((at(3), &held)), (at(6), &blocked(&held))), NackReason::Base);
}

#[test]
fn another_digest_is_refused() {
    let (_, held) = holding();
    let mut messages = push(Some((at(5), &held)), (at(6), &blocked(&held)));
    let Some(ControlMessage { body: Some(Body::Commit(commit)) }) = messages.last_mut() else { panic!("a commit") };
    commit.digest[0] ^= 1;
    refuses(messages, NackReason::Digest);
}

#[test]
fn what_does_not_decode_is_refused() {
    let messages = [
        control(Body::Begin(Begin { revision: Some(at(6).into()), base: Some(at(5).into()), changes: 2, committed_at_ms: 0 })),
        control(Body::Chunk(Chunk { changes: vec![wire::Change { body: None }] })),
        control(Body::Chunk(Chunk { changes: vec![wire::Change { body: None }] })),
        control(Body::Commit(Commit { revision: Some(at(6).into()), digest: vec![] })),
    ];
    refuses(messages.into(), NackReason::Undecodable);
}

fn raw_push(changes: &[Change]) -> Vec<ControlMessage> {
    let begin = Begin { revision: Some(at(6).into()), base: Some(at(5).into()), changes: changes.len() as u64, committed_at_ms: 0 };
    let chunk = Chunk { changes: changes.iter().map(wire::Change::from).collect() };
    let commit = Commit { revision: Some(at(6).into()), digest: vec![0; 32] };
    vec![control(Body::Begin(begin)), control(Body::Chunk(chunk)), control(Body::Commit(commit))]
}

#[test]
fn two_stores_on_one_path_are_refused() {
    let maker = Maker::new();
    let header = StoreHeader { uri_path: path(1), ..maker.header(2) };
    refuses(raw_push(&[Change::Upsert(Record::Store(header))]), NackReason::Duplicate);
}

#[test]
fn a_record_without_its_parent_is_refused() {
    refuses(raw_push(&[Change::Upsert(Record::Key(key(9, 1)))]), NackReason::Orphan);
    refuses(raw_push(&[Change::Delete(RecordName::Store(store_id(9)))]), NackReason::Orphan);
}

#[test]
fn messages_out_of_order_are_refused() {
    let (_, held) = holding();
    let whole = push(Some((at(5), &held)), (at(6), &blocked(&held)));
    let without_begin = whole[1..].to_vec();
    let without_chunks = vec![whole[0].clone(), whole.last().unwrap().clone()];
    let twice = vec![whole[0].clone(), whole[1].clone(), whole[1].clone(), whole.last().unwrap().clone()];
    let mut other_commit = whole.clone();
    *other_commit.last_mut().unwrap() = push(None, (at(9), &held)).pop().unwrap();
    for messages in [without_begin, without_chunks, twice, other_commit, vec![control(Body::Begin(Begin::default()))]] {
        refuses(messages, NackReason::Sequence);
    }
}

#[test]
fn a_newer_begin_replaces_an_unfinished_push() {
    let (mut session, held) = holding();
    let next = blocked(&held);
    let mut messages = push(Some((at(5), &held)), (at(6), &set(Maker::new().store(2, 4))));
    messages.pop();
    messages.extend(push(Some((at(5), &held)), (at(7), &next)));
    let (installed, refused) = feed(&mut session, messages);
    assert!(refused.is_empty());
    assert_eq!((installed.len(), installed[0].revision, installed[0].records.digest()), (1, at(7), next.digest()));
}

#[test]
fn a_push_after_a_refused_one_is_taken() {
    let (mut session, held) = holding();
    let next = blocked(&held);
    let mut messages = push(Some((at(3), &held)), (at(6), &next));
    messages.extend(push(Some((at(5), &held)), (at(6), &next)));
    let (installed, refused) = feed(&mut session, messages);
    assert_eq!((installed.len(), refused), (1, vec![NackReason::Base]));
}

#[test]
fn a_delta_that_does_not_fit_makes_the_next_hello_ask_for_everything() {
    let (mut session, held) = holding();
    let hello = session.hello(at(4), vec!["local".into()]);
    assert_eq!((hello.applied, hello.durable), (Some(at(5).into()), Some(at(4).into())));
    assert_eq!(hello.digest, held.digest());
    feed(&mut session, raw_push(&[Change::Upsert(Record::Key(key(9, 1)))]));
    let hello = session.hello(at(4), Vec::new());
    assert_eq!((hello.applied, hello.digest.len()), (None, 0));
    feed(&mut session, push(None, (at(6), &held)));
    assert_eq!(session.hello(at(4), Vec::new()).digest, held.digest());
}

#[test]
fn a_node_that_holds_nothing_says_so() {
    let session = Session::new(Revision::default(), RecordSet::default(), false);
    let hello = session.hello(Revision::default(), Vec::new());
    assert_eq!((hello.protocol, hello.applied, hello.durable, hello.digest.len()), (1, None, None, 0));
}

#[test]
fn tasks_and_fleet_pass_through_and_unknown_messages_are_passed_over() {
    let (mut session, _) = holding();
    assert!(matches!(session.handle(control(Body::Fleet(Fleet { ready_nodes: 0 }))), Some(Effect::SetFleet(1))));
    assert!(matches!(session.handle(control(Body::Fleet(Fleet { ready_nodes: 4 }))), Some(Effect::SetFleet(4))));
    assert!(matches!(session.handle(control(Body::KeyTask(KeyTask::default()))), Some(Effect::RunTask(_))));
    assert!(session.handle(ControlMessage { body: None }).is_none());
}

#[test]
fn an_unusable_key_does_not_hold_back_a_block_on_another_store() {
    let maker = Maker::new();
    let held = set([maker.store(1, 1), maker.store(2, 1)].concat());
    let mut session = Session::new(at(1), held.clone(), false);
    let live = maker.live();
    live.install(held.clone(), at(1));
    let foreign = Maker::new().version(1, 0, 1, VersionState::Active);
    let retired = Version { state: VersionState::Retired, ..held_version(&held) };
    let changes = [
        Change::Upsert(Record::Version(retired)),
        Change::Upsert(Record::Version(foreign)),
        Change::Upsert(Record::Key(Key { blocked: true, ..key(2, 0) })),
    ];
    let next = held.apply(changes).unwrap().0;
    let (mut installed, refused) = feed(&mut session, push(Some((at(1), &held)), (at(2), &next)));
    assert!(refused.is_empty());
    let install = installed.pop().unwrap();
    let snapshot = live.install(install.records, install.revision);
    assert!(snapshot.store(path(2).as_str()).unwrap().keys["k0"].blocked);
    assert_eq!(snapshot.unusable().count(), 1);
}

fn held_version(held: &RecordSet) -> Version {
    held.store(store_id(1)).unwrap().key(key_id(0)).unwrap().versions().next().unwrap().clone()
}

/// How to spoil a push.
#[derive(Clone, Debug)]
enum Spoil {
    Nothing,
    Drop(Index),
    Double(Index),
    Swap(Index, Index),
    Stop(Index),
    Digest,
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let index = any::<Index>;
    prop_oneof![
        3 => Just(Spoil::Nothing),
        1 => index().prop_map(Spoil::Drop),
        1 => index().prop_map(Spoil::Double),
        1 => (index(), index()).prop_map(|(a, b)| Spoil::Swap(a, b)),
        1 => index().prop_map(Spoil::Stop),
        1 => Just(Spoil::Digest),
    ]
}

fn spoiled(mut messages: Vec<ControlMessage>, how: &Spoil) -> Vec<ControlMessage> {
    let length = messages.len();
    match how {
        Spoil::Nothing => {}
        Spoil::Drop(at) => drop(messages.remove(at.index(length))),
        Spoil::Double(at) => messages.insert(at.index(length), messages[at.index(length)].clone()),
        Spoil::Swap(a, b) => messages.swap(a.index(length), b.index(length)),
        Spoil::Stop(at) => messages.truncate(at.index(length)),
        Spoil::Digest => {
            if let Some(ControlMessage { body: Some(Body::Commit(commit)) }) = messages.last_mut() {
                commit.digest.reverse();
            }
        }
    }
    messages
}

/// A world of sets that a control plane may push: by number, over two stores and their keys.
fn world(maker: &Maker, n: u8) -> RecordSet {
    let base = set([maker.store(1, 2), maker.store(2, n % 3)].concat());
    base.apply([Change::Upsert(Record::Key(Key { blocked: n % 2 == 1, ..key(1, 0) }))]).unwrap().0
}

proptest! {
    /// The model: what is held is what the last complete push, newer than the one before, led to. All else changes nothing.
    #[test]
    fn whatever_comes_only_whole_and_newer_pushes_change_anything(
        pushes in prop::collection::vec((0..6u8, 0..8u64, any::<bool>(), spoil()), 1..8),
    ) {
        let maker = Maker::new();
        let worlds: Vec<RecordSet> = (0..6).map(|n| world(&maker, n)).collect();
        let mut session = Session::new(Revision::default(), RecordSet::default(), false);
        for (n, counter, delta, how) in pushes {
            let target = &worlds[usize::from(n)];
            let held = (session.revision, session.records.clone());
            let base = delta.then_some((held.0, &held.1));
            let newer = if delta { at(counter) > held.0 } else { at(counter) >= held.0 };
            for message in spoiled(push(base, (at(counter), target)), &how) {
                let before = (session.revision, session.records.digest());
                match session.handle(message) {
                    Some(Effect::Install(install)) => {
                        prop_assert!(newer, "revision {} over {}", install.revision, before.0);
                        prop_assert_eq!(install.revision, at(counter));
                        prop_assert_eq!(install.records.digest(), target.digest());
                        prop_assert_eq!((session.revision, session.records.digest()), (at(counter), target.digest()));
                    }
                    Some(Effect::Refuse(_)) | None => prop_assert_eq!((session.revision, session.records.digest()), before),
                    Some(Effect::RunTask(_) | Effect::SetFleet(_) | Effect::Confirm) => prop_assert!(false, "nobody asked for that"),
                }
            }
            if matches!(how, Spoil::Nothing) {
                let arrived = session.revision == at(counter) && session.records.digest() == target.digest();
                prop_assert_eq!(arrived, newer || (held.0 == at(counter) && held.1.digest() == target.digest()));
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..16)) {
        use prost::Message;
        let (mut session, held) = holding();
        for bytes in bytes {
            if let Ok(message) = ControlMessage::decode(bytes.as_slice()) {
                session.handle(message);
            }
        }
        prop_assert_eq!(session.records.digest(), held.digest());
    }
}
