//! When a pending version becomes active.

use holdfast_proto::{
    ids::KeyId,
    snapshot::RecordSet,
    state::VersionState::{self, Active, Pending, Retired},
    sync::{EncryptionCount, NodeStatus},
};
use uuid::Uuid;

use super::{
    estate::{Estate, SOON, key_id, store_id},
    node::Node,
};

fn state(set: &RecordSet, key: KeyId, number: u32) -> Option<VersionState> {
    let key = set.store(store_id(1))?.key(key)?;
    key.versions().find(|version| version.number == number).map(|version| version.state)
}

#[tokio::test]
async fn a_first_version_is_active_after_two_pushes_to_the_only_node() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    estate.add_key(2).await;
    let taken = tokio::spawn(async move {
        node.take_push().await;
        assert_eq!(state(&node.set, key_id(2), 0), Some(Pending));
        node.take_push().await;
        assert_eq!(state(&node.set, key_id(2), 0), Some(Active));
        node
    });
    assert!(publisher.promoted(key_id(2), SOON).await);
    taken.await.unwrap();
}

#[tokio::test]
async fn nothing_is_promoted_before_every_registered_node_has_it_on_disk() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut a = Node::joined(&estate, &publisher, "a").await;
    let mut b = Node::joined(&estate, &publisher, "b").await;
    let revision = estate.add_key(2).await;
    a.take_push().await;
    b.receive().await;
    b.ack(false).await;
    assert!(publisher.applied(revision, SOON).await.is_empty());
    // One more round trip of both, after which a promotion that came too early would have been made.
    estate.add_key(3).await;
    a.take_push().await;
    b.receive().await;
    b.ack(false).await;
    assert_eq!(state(&a.set, key_id(3), 0), Some(Pending));
    assert_eq!((estate.states(2).await, estate.states(3).await), (vec![Pending], vec![Pending]));

    b.ack(true).await;
    let active = |set: &RecordSet| state(set, key_id(2), 0) == Some(Active) && state(set, key_id(3), 0) == Some(Active);
    tokio::join!(a.take_until(active), b.take_until(active));
}

#[tokio::test]
async fn with_one_stream_paused_a_thousand_rotations_wait_and_then_the_newest_is_active() {
    const ROTATIONS: u32 = 1_000;
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut quick = Node::joined(&estate, &publisher, "quick").await;
    let mut paused = Node::joined(&estate, &publisher, "paused").await;
    estate.add_key(2).await;
    let first = |set: &RecordSet| state(set, key_id(2), 0) == Some(Active);
    tokio::join!(quick.take_until(first), paused.take_until(first));

    let newest = |set: &RecordSet| state(set, key_id(2), ROTATIONS) == Some(Active);
    let quick = tokio::spawn(async move {
        let pending = |set: &RecordSet| state(set, key_id(2), ROTATIONS) == Some(Pending);
        quick.take_until(pending).await;
        assert_eq!(state(&quick.set, key_id(2), 0), Some(Active), "the first goes on encrypting");
        quick
    });
    for _ in 0..ROTATIONS {
        estate.rotate(2).await;
    }
    let mut quick = quick.await.unwrap();
    assert_eq!(estate.states(2).await[..2], [Active, Pending]);
    tokio::join!(paused.take_until(newest), quick.take_until(newest));
    let states = estate.states(2).await;
    assert!(states[..states.len() - 1].iter().all(|state| *state == Retired));
    assert_eq!((states.len(), states.last()), (1_001, Some(&Active)));
}

#[tokio::test]
async fn a_version_that_a_node_can_t_open_stays_pending_until_it_can() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut a = Node::joined(&estate, &publisher, "a").await;
    let mut b = Node::joined(&estate, &publisher, "b").await;
    estate.add_key(2).await;
    let first = |set: &RecordSet| state(set, key_id(2), 0) == Some(Active);
    tokio::join!(a.take_until(first), b.take_until(first));

    estate.rotate(2).await;
    a.take_push().await;
    b.receive().await;
    b.ack_without(store_id(1), key_id(2), 1).await;
    // Another key is promoted meanwhile, so that the promoter has looked at both.
    estate.add_key(3).await;
    let other = |set: &RecordSet| state(set, key_id(3), 0) == Some(Active);
    while !other(&b.set) {
        a.take_push().await;
        b.receive().await;
        b.ack_without(store_id(1), key_id(2), 1).await;
    }
    assert_eq!(estate.states(2).await, [Active, Pending]);

    b.ack(true).await;
    let second = |set: &RecordSet| state(set, key_id(2), 1) == Some(Active);
    tokio::join!(a.take_until(second), b.take_until(second));
}

#[tokio::test]
async fn a_key_that_has_encrypted_too_often_is_called_due() {
    let estate = Estate::new().await;
    let mut running = estate.publish_rotating_at(100).await;
    let mut a = Node::joined(&estate, &running.publisher, "a").await;
    let mut b = Node::joined(&estate, &running.publisher, "b").await;
    estate.add_key(2).await;
    let active = |set: &RecordSet| state(set, key_id(2), 0) == Some(Active);
    tokio::join!(a.take_until(active), b.take_until(active));
    let count = EncryptionCount { key_id: key_id(2).0.as_bytes().to_vec(), version: 0, reserved: 50, tag: vec![0; 4] };
    for node in [&a, &b] {
        node.status(NodeStatus { counts: vec![count.clone()], ..NodeStatus::default() }).await;
    }
    let due = tokio::time::timeout(SOON, running.rotations_due.recv()).await.unwrap();
    assert_eq!(due, Some(Uuid::from_u128(2)));
    assert_eq!(running.publisher.encryptions(key_id(2), 0, [0; 4]), 100);
}
