use tokio::sync::mpsc;

use super::*;
use crate::publish::fixtures::revision;

fn entry(name: &str) -> NodeEntry {
    NodeEntry {
        name: NodeName::try_from(name).unwrap(),
        fingerprint: Fingerprint([1; 32]),
        enrolled_ms: 1,
        revoked_ms: None,
        registered: true,
    }
}

fn connect(nodes: &Nodes, name: &str) -> (Linked, CancellationToken) {
    let end = CancellationToken::new();
    // Nothing is sent in these tests.
    let (out, _) = mpsc::channel(1);
    (nodes.connect(&entry(name), out, end.clone()).0, end)
}

fn ack(nodes: &Nodes, linked: &Linked, applied: u64, durable: u64) -> Result<(), Unlinked> {
    let acked = Acked { applied: revision(applied), durable: Some(revision(durable)), committed_at_ms: None };
    nodes.acked(linked, Some(&acked), &[])
}

fn behind(nodes: &Nodes, at: u64) -> Vec<(String, bool)> {
    nodes.behind(revision(at)).into_iter().map(|(name, connected)| (name.as_str().into(), connected)).collect()
}

#[test]
fn a_node_that_lost_its_stream_holds_promotions_up_until_it_is_away() {
    let start = Instant::now();
    let nodes = Nodes::new(Vec::new(), Vec::new(), start);
    assert_eq!(nodes.durable_everywhere(), None, "nobody registered");
    let (a, _) = connect(&nodes, "a");
    let (b, _) = connect(&nodes, "b");
    ack(&nodes, &a, 9, 9).unwrap();
    assert_eq!(nodes.durable_everywhere(), None, "b has said nothing");
    ack(&nodes, &b, 9, 7).unwrap();
    assert_eq!(nodes.durable_everywhere(), Some(revision(7)));
    nodes.disconnect(&b);
    assert_eq!(nodes.durable_everywhere(), Some(revision(7)));

    let later = Instant::now() + AWAY_AFTER;
    nodes.look_round(later);
    assert_eq!(nodes.durable_everywhere(), None, "all are away: nothing is promoted");
    ack(&nodes, &a, 9, 9).unwrap();
    assert_eq!(nodes.durable_everywhere(), Some(revision(9)), "b is away, a was heard of again");
    let (_b, _) = connect(&nodes, "b");
    assert_eq!(nodes.durable_everywhere(), Some(revision(7)), "back, and behind");
}

#[test]
fn the_time_without_a_control_plane_makes_nobody_away() {
    let start = Instant::now();
    let noted = NodeSeenEntry { name: NodeName::try_from("a").unwrap(), seen_ms: 1, durable: revision(4) };
    let nodes = Nodes::new(vec![entry("a")], vec![noted], start);
    nodes.look_round(start + AWAY_AFTER - Duration::from_secs(1));
    assert_eq!(nodes.durable_everywhere(), Some(revision(4)));
    nodes.look_round(start + AWAY_AFTER);
    assert_eq!(nodes.durable_everywhere(), None);
    assert!(nodes.views()[0].away);
}

#[test]
fn a_replaced_link_ends_and_its_words_no_longer_count() {
    let nodes = Nodes::new(Vec::new(), Vec::new(), Instant::now());
    let (old, old_end) = connect(&nodes, "a");
    let (new, new_end) = connect(&nodes, "a");
    assert!(old_end.is_cancelled() && !new_end.is_cancelled());
    assert_eq!(ack(&nodes, &old, 9, 9), Err(Unlinked));
    nodes.disconnect(&old);
    assert!(nodes.any_connected(), "the new one is still there");
    assert!(nodes.forget(&new.name));
    assert!(new_end.is_cancelled());
    assert_eq!(ack(&nodes, &new, 9, 9), Err(Unlinked));
    assert!(nodes.views().is_empty() && !nodes.forget(&new.name));
}

#[test]
fn a_forgotten_node_s_late_stream_does_not_take_the_newly_enrolled_one_along() {
    let nodes = Nodes::new(Vec::new(), Vec::new(), Instant::now());
    let (forgotten, _) = connect(&nodes, "a");
    let (anew, anew_end) = connect(&nodes, "a");
    nodes.revoke(&forgotten);
    assert!(!anew_end.is_cancelled() && nodes.any_connected());
    ack(&nodes, &anew, 9, 9).unwrap();
    assert_eq!(nodes.durable_everywhere(), Some(revision(9)));
    nodes.revoke(&anew);
    assert!(nodes.views().is_empty());
}

#[test]
fn what_a_connected_node_applied_counts_and_what_a_lost_one_has_on_disk() {
    let nodes = Nodes::new(Vec::new(), Vec::new(), Instant::now());
    let (a, _) = connect(&nodes, "a");
    assert_eq!(behind(&nodes, 5), [("a".into(), true)]);
    ack(&nodes, &a, 5, 4).unwrap();
    assert_eq!(behind(&nodes, 5), []);
    nodes.disconnect(&a);
    assert_eq!(behind(&nodes, 5), [("a".into(), false)]);
}

#[test]
fn an_unknown_configuration_acknowledges_nothing() {
    let nodes = Nodes::new(Vec::new(), Vec::new(), Instant::now());
    let (a, _) = connect(&nodes, "a");
    ack(&nodes, &a, 5, 5).unwrap();
    let (a, _) = connect(&nodes, "a");
    nodes.hello(&a, &wire::Hello::default(), None).unwrap();
    assert_eq!(nodes.durable_everywhere(), None);
}

#[test]
fn only_connected_nodes_that_say_so_are_ready() {
    let nodes = Nodes::new(Vec::new(), Vec::new(), Instant::now());
    let ready = nodes.ready();
    let (a, _) = connect(&nodes, "a");
    let (_b, _) = connect(&nodes, "b");
    assert_eq!(*ready.borrow(), 0);
    nodes.status(&a, &wire::NodeStatus { ready: true, ..wire::NodeStatus::default() }).unwrap();
    assert_eq!(*ready.borrow(), 1);
    nodes.disconnect(&a);
    assert_eq!(*ready.borrow(), 0);
}

#[test]
fn a_sign_of_life_is_noted_once_a_minute_and_what_is_durable_when_it_changes() {
    let nodes = Nodes::new(Vec::new(), Vec::new(), Instant::now());
    let (a, _) = connect(&nodes, "a");
    let now = Instant::now();
    assert_eq!(nodes.look_round(now).len(), 1);
    nodes.status(&a, &wire::NodeStatus::default()).unwrap();
    assert_eq!(nodes.look_round(now).len(), 0);
    ack(&nodes, &a, 5, 5).unwrap();
    assert_eq!(nodes.look_round(now)[0].durable, revision(5));
}

#[test]
fn a_refusal_outlives_the_stream() {
    let nodes = Nodes::new(Vec::new(), Vec::new(), Instant::now());
    let (a, _) = connect(&nodes, "a");
    let refused = Refused {
        revision: revision(3),
        reason: wire::NackReason::Undecodable,
        detail: "no".into(),
        offered_at: Instant::now(),
        again: false,
    };
    nodes.standing(&a, Standing::Refused(refused.clone()), Some(&refused)).unwrap();
    assert!(matches!(&nodes.views()[0].configuration, Configuration::Refused { detail, .. } if detail == "no"));
    nodes.disconnect(&a);
    let (out, _) = mpsc::channel(1);
    assert_eq!(nodes.connect(&entry("a"), out, CancellationToken::new()).2, Some(refused));
}
