//! Key tasks.

use std::time::Duration;

use holdfast_proto::{
    kinds::KeyKind,
    records::{KeyUsage, LocalBlob, PartitionKey, SourceKey},
    sync::{self as wire, KeyTaskError, KeyTaskFailure, key_task_result::Outcome},
};
use uuid::Uuid;

use super::{
    estate::{Estate, SOON},
    node::Node,
};
use crate::publish::{Done, KeyTask, TaskError, Work};

fn task(target: &str) -> KeyTask {
    let work = Work::Generate { kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true, label: String::new() };
    KeyTask { id: Uuid::from_u128(77), target: target.into(), deadline: SOON, work }
}

fn made() -> SourceKey {
    SourceKey::Local(LocalBlob {
        id: Uuid::from_u128(77),
        kind: KeyKind::Aes256,
        usage: KeyUsage::BOTH,
        unexportable: true,
        sealed: vec![1; 61].into(),
    })
}

fn generated() -> Outcome {
    Outcome::Generated(wire::SourceKey::from(&made()))
}

fn failed(failure: KeyTaskFailure) -> Outcome {
    Outcome::Error(KeyTaskError { failure: failure.into(), detail: "because".into() })
}

#[tokio::test]
async fn a_task_is_done_by_a_node_that_serves_its_target() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    publisher.target("local").await;
    let running = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.run(task("local")).await }
    });
    let asked = node.task().await;
    assert_eq!((asked.id.as_slice(), asked.target.as_str()), (Uuid::from_u128(77).as_bytes().as_slice(), "local"));
    node.answer(&asked, generated()).await;
    assert_eq!(running.await.unwrap(), Ok(Done::Generated(made())));
}

#[tokio::test]
async fn without_a_node_that_serves_the_target_the_error_says_so() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    assert_eq!(publisher.run(task("local")).await, Err(TaskError::NoNode { target: "local".into(), served: Vec::new() }));
    let _node = Node::joined(&estate, &publisher, "node-1").await;
    publisher.target("local").await;
    assert_eq!(publisher.run(task("group")).await, Err(TaskError::NoNode { target: "group".into(), served: vec!["local".into()] }));
}

#[tokio::test]
async fn when_a_node_is_lost_or_unavailable_another_is_asked_under_the_same_id() {
    for lose in [true, false] {
        let estate = Estate::new().await;
        let publisher = estate.publish().await.publisher;
        let mut a = Node::joined(&estate, &publisher, "a").await;
        let mut b = Node::joined(&estate, &publisher, "b").await;
        let running = tokio::spawn({
            let publisher = publisher.clone();
            async move { publisher.run(task("local")).await }
        });
        let first = a.task().await;
        if lose {
            drop(a);
        } else {
            a.answer(&first, failed(KeyTaskFailure::Unavailable)).await;
        }
        let second = b.task().await;
        assert_eq!(second.id, first.id);
        b.answer(&second, generated()).await;
        assert_eq!(running.await.unwrap(), Ok(Done::Generated(made())));
    }
}

#[tokio::test]
async fn what_asking_again_can_not_help_is_answered_at_once() {
    let table = [
        (failed(KeyTaskFailure::Refused), TaskError::Refused { detail: "because".into() }),
        (failed(KeyTaskFailure::Unsupported), TaskError::Unsupported { detail: "because".into() }),
        (failed(KeyTaskFailure::Unavailable), TaskError::Unavailable { detail: "because".into() }),
        (failed(KeyTaskFailure::Deadline), TaskError::Deadline),
        (Outcome::HealthCiphertext(vec![1]), TaskError::Malformed),
    ];
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    publisher.target("local").await;
    for (outcome, error) in table {
        let running = tokio::spawn({
            let publisher = publisher.clone();
            async move { publisher.run(task("local")).await }
        });
        let asked = node.task().await;
        node.answer(&asked, outcome).await;
        assert_eq!(running.await.unwrap(), Err(error));
    }
}

#[tokio::test]
async fn a_key_that_was_not_asked_for_is_not_taken() {
    let blob =
        LocalBlob { id: Uuid::from_u128(77), kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true, sealed: vec![1; 61].into() };
    let only_encrypt = KeyUsage { encrypt: true, decrypt: false };
    let others = [
        SourceKey::Local(LocalBlob { id: Uuid::from_u128(78), ..blob.clone() }),
        SourceKey::Local(LocalBlob { usage: only_encrypt, ..blob.clone() }),
        SourceKey::Local(LocalBlob { kind: KeyKind::Aes128, ..blob.clone() }),
        SourceKey::Local(LocalBlob { unexportable: false, ..blob }),
        SourceKey::Partition(PartitionKey { group: "group".into(), cka_id: vec![1; 16].into(), label: "a".into() }),
    ];
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    publisher.target("local").await;
    for other in others {
        let running = tokio::spawn({
            let publisher = publisher.clone();
            async move { publisher.run(task("local")).await }
        });
        let asked = node.task().await;
        node.answer(&asked, Outcome::Generated(wire::SourceKey::from(&other))).await;
        assert_eq!(running.await.unwrap(), Err(TaskError::Malformed), "{other:?}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_not_waited_for() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    publisher.target("local").await;
    let hurried = KeyTask { deadline: Duration::from_millis(20), ..task("local") };
    assert_eq!(publisher.run(hurried).await, Err(TaskError::Deadline));
    let asked = node.task().await;
    node.answer(&asked, generated()).await;
    // The late answer is dropped, and the node can be asked again.
    let running = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.run(task("local")).await }
    });
    let again = node.task().await;
    node.answer(&again, generated()).await;
    assert!(running.await.unwrap().is_ok());
}

#[tokio::test]
async fn material_is_wrapped_for_the_public_key_that_was_given_and_nothing_else_is_taken_for_it() {
    let estate = Estate::new().await;
    let publisher = estate.publish().await.publisher;
    let mut node = Node::joined(&estate, &publisher, "node-1").await;
    publisher.target("local").await;
    let work = Work::Wrap { source: made(), public_key: vec![7; 3], algorithm: "RSAES_OAEP_SHA_256" };
    let answers = [
        (Outcome::Wrapped(vec![9; 4]), Ok(Done::Wrapped(vec![9; 4]))),
        (Outcome::Wrapped(Vec::new()), Err(TaskError::Malformed)),
        (Outcome::HealthCiphertext(vec![9; 4]), Err(TaskError::Malformed)),
    ];
    for (outcome, done) in answers {
        let task = KeyTask { work: work.clone(), ..task("local") };
        let running = tokio::spawn({
            let publisher = publisher.clone();
            async move { publisher.run(task).await }
        });
        let asked = node.task().await;
        let Some(wire::key_task::Task::Wrap(wrap)) = &asked.task else { panic!("{asked:?}") };
        assert_eq!(wrap.source, Some(wire::SourceKey::from(&made())));
        assert_eq!((wrap.public_key.as_slice(), wrap.algorithm.as_str()), (&[7; 3][..], "RSAES_OAEP_SHA_256"));
        node.answer(&asked, outcome).await;
        assert_eq!(running.await.unwrap(), done);
    }
}
