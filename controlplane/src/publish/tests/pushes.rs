//! What nodes are sent, and how far `applied` says they are.

use std::time::Duration;

use holdfast_proto::{
    snapshot::RecordSet,
    sync::{NackReason, NodeStatus},
};

use super::{
    estate::{Estate, SOON, hyok_key, key_id, key_store, name, store_id},
    node::{Node, attach},
};
use crate::{
    publish::Configuration,
    store::entry::{Entry, EntryChange, EntryName},
};

fn blocked(set: &RecordSet) -> bool {
    set.store(store_id(1)).unwrap().header().blocked
}

#[tokio::test]
async fn a_block_reaches_connected_nodes_and_the_others_are_named() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut here = Node::joined(&estate, &publisher, "here").await;
    let gone = Node::joined(&estate, &publisher, "gone").await;
    drop(gone);
    let revision = estate.commit(vec![key_store(1, true)]).await;
    let taken = tokio::spawn(async move {
        here.take_until(blocked).await;
        here
    });
    assert_eq!(publisher.applied(revision, SOON).await, [name("gone")]);
    taken.await.unwrap();
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_named_after_the_limit() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "slow").await;
    let revision = estate.commit(vec![key_store(1, true)]).await;
    node.receive().await;
    assert_eq!(publisher.applied(revision, Duration::from_millis(50)).await, [name("slow")]);
    node.ack(false).await;
    assert!(publisher.applied(revision, SOON).await.is_empty());
}

#[tokio::test]
async fn a_commit_that_changes_no_record_is_not_pushed_and_counts_as_applied() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    let revision = estate.delete(EntryName::Demo).await;
    assert!(publisher.applied(revision, SOON).await.is_empty());
    // Had anything been pushed for it, its Begin would come first.
    let next = estate.commit(vec![key_store(1, true)]).await;
    assert_eq!(node.take_push().await.revision, Some(next.into()));
}

#[tokio::test]
async fn a_node_that_comes_back_gets_only_the_difference() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let before = Node::joined(&estate, &publisher, "node-1").await;
    let revision = estate.commit(vec![key_store(1, true)]).await;
    let mut after = attach(&estate, &publisher, Some(&estate.enrol("node-1"))).await.unwrap();
    (after.set, after.applied) = (before.set.clone(), before.applied);
    after.hello().await;
    let begin = after.take_push().await;
    assert_eq!((begin.base, begin.changes), (before.applied.map(Into::into), 1));
    assert!(publisher.applied(revision, SOON).await.is_empty());
}

#[tokio::test]
async fn a_refused_push_is_shown_and_a_newer_one_goes_out() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    estate.commit(vec![key_store(1, true)]).await;
    let (set, applied) = (node.set.clone(), node.applied);
    let begin = node.receive().await;
    node.nack(&begin, NackReason::Undecodable).await;
    (node.set, node.applied) = (set, applied);
    // Its answer to a status comes after the refusal was booked.
    node.status(NodeStatus { ready: true, ..NodeStatus::default() }).await;
    node.until_fleet_is(1).await;
    let Configuration::Refused { reason, detail, .. } = publisher.nodes()[0].configuration.clone() else { panic!("not refused") };
    assert_eq!((reason, detail.as_str()), (NackReason::Undecodable, "no"));
    estate.commit(vec![key_store(1, false)]).await;
    estate.add_key(2).await;
    node.take_until(|set| set.store(store_id(1)).unwrap().key(key_id(2)).is_some()).await;
}

#[tokio::test]
async fn a_node_with_another_configuration_under_the_same_revision_is_put_right() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    let applied = node.applied;
    node = attach(&estate, &publisher, Some(&estate.enrol("node-1"))).await.unwrap();
    node.applied = applied;
    node.hello().await;
    let begin = node.take_push().await;
    assert_eq!((begin.base, begin.changes), (None, 2));
    assert!(node.applied > applied);
}

#[tokio::test]
async fn a_resync_sends_everything_again() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    assert!(publisher.resync(&name("node-1")) && !publisher.resync(&name("node-2")));
    let begin = node.take_push().await;
    assert_eq!((begin.base, begin.changes), (None, 2));
}

#[tokio::test]
async fn a_node_that_holds_the_newest_is_told_so_again_and_again() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    for _ in 0..2 {
        assert_eq!((node.current().await, node.applied.is_some()), (node.applied, true));
    }
    estate.commit(vec![key_store(1, true)]).await;
    node.take_until(blocked).await;
    assert_eq!(node.current().await, node.applied);
}

#[tokio::test]
async fn every_node_is_told_how_many_are_ready() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut a = Node::joined(&estate, &publisher, "a").await;
    let b = Node::joined(&estate, &publisher, "b").await;
    a.status(NodeStatus { ready: true, ..NodeStatus::default() }).await;
    a.until_fleet_is(1).await;
    b.status(NodeStatus { ready: true, ..NodeStatus::default() }).await;
    a.until_fleet_is(2).await;
    drop(b);
    a.until_fleet_is(1).await;
}

#[tokio::test]
async fn an_entry_that_cannot_be_published_does_not_hold_back_a_block() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    // No virtual key 9, and a secret under another seal; both in the same commit as the block.
    let EntryChange::Put(credential) = Estate::new().await.credential(1, 2) else { panic!("not a credential") };
    let Entry::Credential(credential) = *credential else { panic!("not a credential") };
    let broken = vec![hyok_key(1, 9, false), EntryChange::put(Entry::Credential(credential)), key_store(1, true)];
    estate.commit(broken).await;
    node.take_until(blocked).await;
    assert_eq!(node.set.store(store_id(1)).unwrap().credentials().count(), 1);
}
