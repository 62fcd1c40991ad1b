mod world;

use holdfast_proto::records::RecordName;
use proptest::prelude::*;

use self::world::*;
use super::*;
use crate::publish::fixtures::{built, key, key_id, revision, store, store_id, version};

#[test]
fn a_node_that_holds_nothing_gets_everything() {
    let mut world = World::new();
    world.step(Op::Connect);
    assert!(matches!(world.session().poll(Instant::now()), Next::Wait), "pushed before Hello");
    world.deliver_to_control();
    let now = world.now;
    let begin = begin(world.session().poll(now));
    assert_eq!((begin.base, begin.changes), (None, 1));
}

#[test]
fn an_equal_digest_means_up_to_date_and_nothing_is_sent() {
    let mut world = World::connected();
    world.step(Op::Connect);
    assert!(world.deliver_to_control());
    assert_eq!(world.send(), Err(None));
    assert_eq!(world.session().standing(), Standing::UpToDate);
}

#[test]
fn a_remembered_digest_gets_the_difference_and_an_unknown_one_everything() {
    let mut world = World::connected();
    world.step(Op::Lose);
    world.step(Op::Commit(key(1, 1, false)));
    world.step(Op::Connect);
    world.deliver_to_control();
    let now = world.now;
    let difference = begin(world.session().poll(now));
    assert_eq!((difference.base.map(Revision::from), difference.changes), (Some(revision(1)), 1));

    world.step(Op::RestartControl);
    world.step(Op::Connect);
    world.deliver_to_control();
    let everything = begin(world.session().poll(now));
    assert_eq!((everything.base, everything.changes), (None, 2));
}

#[test]
fn an_old_revision_with_the_same_digest_is_moved_on_by_an_empty_push() {
    let mut world = World::connected();
    world.step(Op::Lose);
    world.step(Op::Commit(key(1, 1, false)));
    world.step(Op::Commit(Change::Delete(RecordName::Key(store_id(1), key_id(1)))));
    world.step(Op::Connect);
    world.deliver_to_control();
    assert_eq!(world.send(), Ok(()));
    let Some(Body::Begin(empty)) = world.link.as_ref().unwrap().to_node.front() else { panic!("no Begin") };
    assert_eq!((empty.base.map(Revision::from), empty.changes), (Some(revision(1)), 0));
    world.settle();
    assert_eq!(world.node.applied.unwrap().0, revision(3));
}

#[test]
fn a_newer_push_waits_for_the_answer_to_the_former_and_overtakes_those_between() {
    let mut world = World::connected();
    world.step(Op::Commit(key(1, 1, false)));
    assert_eq!(world.send(), Ok(()));
    world.step(Op::Commit(key(1, 2, false)));
    world.step(Op::Commit(key(1, 3, false)));
    assert_eq!((world.send(), world.send()), (Ok(()), Ok(())), "chunk and commit of the first");
    assert_eq!(world.send(), Err(None), "nothing before the answer");
    while world.deliver_to_node() {}
    assert!(world.deliver_to_control());
    let now = world.now;
    let next = begin(world.session().poll(now));
    assert_eq!((next.revision.map(Revision::from), next.changes), (Some(revision(4)), 2));
}

#[test]
fn a_refused_push_waits_a_minute_and_to_be_asked_for() {
    let mut world = World::connected();
    world.step(Op::Mood(NackReason::Undecodable));
    world.step(Op::Commit(key(1, 1, false)));
    world.settle();
    assert!(matches!(world.session().standing(), Standing::Refused(refused) if refused.detail == "mood"));
    world.step(Op::Pass(600));
    assert_eq!(world.send(), Err(None), "nobody asked");
    world.step(Op::Reload);
    world.step(Op::Mood(NackReason::Duplicate));
    world.settle();
    world.step(Op::Reload);
    assert_eq!(world.send(), Err(Some(world.now + OFFER_AGAIN)), "asked, but too soon");
    world.step(Op::Pass(60));
    world.settle();
    assert_eq!(world.session().standing(), Standing::UpToDate);
}

#[test]
fn a_resync_sends_everything_to_a_node_that_is_up_to_date_once_a_minute() {
    let mut world = World::connected();
    world.step(Op::Bend);
    world.step(Op::Resync);
    let now = world.now;
    let begin = begin(world.session().poll(now));
    assert_eq!((begin.base, begin.changes), (None, 1));
    let mut world = World::connected();
    world.step(Op::Bend);
    world.step(Op::Resync);
    world.settle();
    assert_eq!(world.digest_of_node(), world.newest.digest, "a bent node is put right");
    world.step(Op::Resync);
    assert_eq!(world.send(), Err(Some(world.now + OFFER_AGAIN)));
    world.step(Op::Commit(key(1, 1, false)));
    assert_eq!(world.send(), Ok(()), "what is newer does not wait");
}

#[test]
fn a_newer_configuration_does_not_wait_for_a_refused_one() {
    let mut world = World::connected();
    world.step(Op::Mood(NackReason::Undecodable));
    world.step(Op::Commit(key(1, 1, false)));
    world.settle();
    world.step(Op::Commit(store(1, true)));
    assert_eq!(world.send(), Ok(()));
}

#[test]
fn a_wrong_base_is_answered_by_everything_at_once_and_only_once() {
    for reason in [NackReason::Base, NackReason::Digest] {
        let mut world = World::connected();
        world.step(Op::Mood(reason));
        world.step(Op::Commit(key(1, 1, false)));
        let before = world.now;
        world.settle();
        assert_eq!((world.session().standing(), world.now), (Standing::UpToDate, before));

        world.step(Op::Mood(reason));
        world.step(Op::Mood(reason));
        world.step(Op::Commit(key(1, 2, false)));
        world.settle();
        assert!(matches!(world.session().standing(), Standing::Refused(_)));
    }
}

#[test]
fn a_node_that_is_ahead_is_left_alone() {
    let mut world = World::connected();
    world.node.applied.as_mut().unwrap().0 = revision(9);
    world.step(Op::Connect);
    world.deliver_to_control();
    assert_eq!(world.send(), Err(None));
    assert_eq!(world.session().standing(), Standing::Ahead(revision(9)));
}

#[test]
fn nothing_is_concluded_from_the_revision_of_an_unknown_configuration() {
    for (applied, digest) in [(1, vec![9; 32]), (9, built([store(1, false)], 1).digest.to_vec())] {
        let mut world = World::new();
        world.step(Op::Connect);
        let applied = Some(revision(applied).into());
        let hello = wire::Hello { applied, durable: applied, digest, ..wire::Hello::default() };
        let recent = world.recent.clone();
        assert_eq!(world.session().hello(&hello, &recent), Ok(None));
        assert_eq!(world.session().ack(&wire::Ack { applied, durable: applied, unusable: Vec::new() }), Ok(None));
    }
}

#[test]
fn what_lies_on_a_disk_counts_only_from_the_first_revision_that_is_known_to_be_ours() {
    let (five, nine) = (built([store(1, false)], 5), built([store(1, false), key(1, 1, false)], 9));
    let mut recent = Recent::default();
    recent.push(Arc::clone(&five));
    let said = |applied: u64, durable: u64| wire::Ack {
        applied: Some(revision(applied).into()),
        durable: Some(revision(durable).into()),
        unusable: Vec::new(),
    };
    // What the node holds → whether its disk is believed before the push, while that is not on disk, and when it is.
    let table = [
        (5, 5, five.digest, [Some(5), Some(5), Some(9)]),
        (5, 4, five.digest, [None, None, Some(9)]),
        (6, 6, five.digest, [None, None, Some(9)]),
        (5, 5, [0; 32], [None, None, Some(9)]),
    ];
    for (applied, durable, digest, believed) in table {
        let mut session = Session::new(Arc::clone(&nine), None);
        let (a, d) = (Some(revision(applied).into()), Some(revision(durable).into()));
        let hello = wire::Hello { applied: a, durable: d, digest: digest.to_vec(), ..wire::Hello::default() };
        let told = [session.hello(&hello, &recent).unwrap(), pushed(&mut session, &said(9, durable)), session.ack(&said(9, 9)).unwrap()];
        let counters = told.map(|acked| Some(acked?.durable?.counter));
        assert_eq!(counters, believed, "{applied} {durable}");
    }
}

/// Sends a push whole and takes its acknowledgement.
fn pushed(session: &mut Session, ack: &wire::Ack) -> Option<Acked> {
    while let Next::Send(_) = session.poll(Instant::now()) {}
    session.ack(ack).unwrap()
}

#[test]
fn what_can_not_have_been_acknowledged_ends_the_stream() {
    let ack = |applied, durable: Option<u64>| wire::Ack {
        applied: Some(revision(applied).into()),
        durable: durable.map(|d| revision(d).into()),
        unusable: Vec::new(),
    };
    let fresh = Session::new(built([store(1, false)], 1), None).ack(&ack(1, None));
    assert_eq!(fresh.unwrap_err(), ProtocolFault::NoHello);
    let mut world = World::connected();
    world.step(Op::Commit(key(1, 1, false)));
    assert_eq!(world.send(), Ok(()));
    let session = world.session();
    assert_eq!(session.ack(&ack(2, None)).unwrap_err(), ProtocolFault::NotSent(revision(2)), "before Commit was sent");
    assert_eq!(session.ack(&ack(7, None)).unwrap_err(), ProtocolFault::NotSent(revision(7)));
    assert!(matches!(session.ack(&ack(1, Some(2))).unwrap_err(), ProtocolFault::DurableFirst { .. }));
    assert_eq!(session.ack(&wire::Ack::default()).unwrap_err(), ProtocolFault::Missing("applied"));
}

#[test]
fn chunks_stay_within_a_mebibyte_and_carry_everything() {
    let sizes = [600_000, 500_000, 1_000_000, 20, 1_048_000, 30];
    let versions = sizes.iter().zip(0..).map(|(size, number)| version(1, 1, number, *size));
    let mut world = World::new();
    world.newest = built([store(1, false), key(1, 1, false)].into_iter().chain(versions), 1);
    world.step(Op::Connect);
    world.settle();
    assert_eq!(world.digest_of_node(), world.newest.digest);
}

fn any_op() -> impl Strategy<Value = Op> {
    let change = prop_oneof![
        (1..3u8, any::<bool>()).prop_map(|(s, blocked)| store(s, blocked)),
        (1..3u8, 1..4u8, any::<bool>()).prop_map(|(s, k, blocked)| key(s, k, blocked)),
        (1..3u8, 1..4u8, 0..3u32).prop_map(|(s, k, n)| version(s, k, n, 61)),
        (2..3u8).prop_map(|s| Change::Delete(RecordName::Store(store_id(s)))),
        (1..3u8, 1..4u8).prop_map(|(s, k)| Change::Delete(RecordName::Key(store_id(s), key_id(k)))),
    ];
    let reason = prop_oneof![Just(NackReason::Undecodable), Just(NackReason::Base), Just(NackReason::Digest), Just(NackReason::Sequence)];
    prop_oneof![
        6 => change.prop_map(Op::Commit),
        8 => (1..4usize).prop_map(Op::SendSome),
        12 => Just(Op::DeliverToNode),
        8 => Just(Op::DeliverToControl),
        3 => Just(Op::Persist),
        4 => Just(Op::Connect),
        1 => Just(Op::Lose),
        1 => Just(Op::CrashNode),
        1 => Just(Op::RestartControl),
        1 => Just(Op::HelloAgain),
        1 => Just(Op::Reload),
        1 => Just(Op::Resync),
        2 => (1..70u64).prop_map(Op::Pass),
        2 => reason.prop_map(Op::Mood),
        1 => Just(Op::Bend),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Each step asserts that one push is in flight at most and that none is repeated too soon (`World::send`).
    #[test]
    fn whatever_happens_the_node_ends_at_the_newest_configuration(ops in prop::collection::vec(any_op(), 0..120)) {
        let mut world = World::new();
        for op in ops {
            world.step(op);
        }
        world.node.moods.clear();
        if world.link.is_none() {
            world.step(Op::Connect);
        }
        world.settle();
        // A bent node is found out by the next push; a refused push is overtaken by it.
        world.step(Op::Commit(key(1, 77, false)));
        world.settle();
        prop_assert_eq!(world.digest_of_node(), world.newest.digest);
        prop_assert_eq!(world.node.applied.as_ref().map(|(r, _)| *r), Some(world.newest.revision));
        prop_assert_eq!(world.session().standing(), Standing::UpToDate);
    }
}
