//! The test plays the supervisors.

use std::pin::pin;

use tokio::time::advance;

use super::super::status::Condition;
use super::{
    stage::{Stage, Token, waits},
    *,
};

fn attributes(label: &str) -> KeyAttributes {
    KeyAttributes { label: label.into(), cka_id: vec![1], key_type: "CKK_AES".into(), bits: Some(256), attributes: Vec::new() }
}

type TaskAnswer = tokio::sync::oneshot::Sender<Result<TokenTaskDone, TokenTaskError>>;

fn ordered(token: &Token) -> (TokenTask, TaskAnswer) {
    match token.orders.try_recv().unwrap() {
        Order::Task(task, answer) => (task, answer),
        Order::Overdue | Order::Stop => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_goes_to_the_first_member_that_is_up_and_on_to_the_next_where_that_can_not() {
    let stage = Stage::of(3);
    stage.tokens[0].front.set_condition(Condition::Suspect);
    let mut request = pin!(stage.group.list());
    waits(request.as_mut()).await;
    let unavailable = TokenTaskError::Unavailable { partition: "p1".into(), why: "CKR_DEVICE_ERROR".into() };
    let (task, answer) = ordered(&stage.tokens[1]);
    assert_eq!(task, TokenTask::List);
    answer.send(Err(unavailable)).unwrap();
    waits(request.as_mut()).await;
    let (_, hung) = ordered(&stage.tokens[2]);
    advance(Duration::from_secs(10)).await;
    waits(request.as_mut()).await;
    let (_, answer) = ordered(&stage.tokens[0]);
    answer.send(Ok(TokenTaskDone::Keys(vec![attributes("one")]))).unwrap();
    assert_eq!(request.await, Ok(vec![attributes("one")]));
    drop(hung);
}

#[tokio::test(start_paused = true)]
async fn what_one_member_refuses_is_refused() {
    let stage = Stage::of(2);
    let name = PartitionKey { group: "pair".into(), cka_id: [1].into(), label: "key".into() };
    let mut request = pin!(stage.group.inspect(&name));
    waits(request.as_mut()).await;
    let (_, answer) = ordered(&stage.tokens[0]);
    answer.send(Err(TokenTaskError::Refused("two keys".into()))).unwrap();
    assert_eq!(request.await, Err(TokenTaskError::Refused("two keys".into())));
    assert!(stage.tokens[1].orders.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_ends_is_unavailable() {
    let stage = Stage::of(1);
    let mut request = pin!(stage.group.list());
    waits(request.as_mut()).await;
    drop(ordered(&stage.tokens[0]));
    assert!(matches!(request.await, Err(TokenTaskError::Unavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_generated_only_where_no_other_member_would_lack_it() {
    let usage = KeyUsage { encrypt: true, decrypt: true };
    let alone = Stage::of(1);
    let mut request = pin!(alone.group.generate(&[1], "key", usage));
    waits(request.as_mut()).await;
    let (task, answer) = ordered(&alone.tokens[0]);
    assert_eq!(task, TokenTask::Generate(NewKey { cka_id: [1].into(), label: "key".into(), encrypt: true, decrypt: true }));
    answer.send(Ok(TokenTaskDone::Key(attributes("key")))).unwrap();
    assert_eq!(request.await, Ok(attributes("key")));

    let pair = Stage::of(2);
    let Err(TokenTaskError::Refused(text)) = pair.group.generate(&[1], "key", usage).await else { unreachable!() };
    assert!(text.contains("group pair has 2 partitions") && text.contains("holdfast partition generate"), "{text}");
    assert!(pair.tokens.iter().all(|token| token.orders.is_empty()));

    // Tokens that copy their keys to each other. One that is late may have made it: nobody else is asked.
    let cluster = Stage::of_vendor(2, "cloudhsm");
    let mut request = pin!(cluster.group.generate(&[1], "key", usage));
    waits(request.as_mut()).await;
    let (_, hung) = ordered(&cluster.tokens[0]);
    advance(Duration::from_secs(10)).await;
    assert!(matches!(request.await, Err(TokenTaskError::Deadline { .. })));
    assert!(cluster.tokens[1].orders.is_empty());
    drop(hung);
}
