//! The test plays the tokens; the clock stands still unless it is moved.

use std::pin::pin;

use tokio::time::advance;

use super::super::group::stage::{Stage, Token, soon, waits};
use super::*;

const BOTH: KeyUsage = KeyUsage { encrypt: true, decrypt: true };

async fn asked(stage: &Stage, key: &GroupKey, usage: KeyUsage) {
    let mut request = pin!(key.usage(soon()));
    waits(request.as_mut()).await;
    let job = stage.tokens[stage.asked()].begin();
    assert!(matches!(*job.work, Work::Describe));
    job.answer.give(Ok(Done::Described(usage)));
    assert_eq!(request.await, Ok(usage));
}

#[tokio::test(start_paused = true)]
async fn usage_is_the_tokens_kept_for_ten_seconds_of_one_connection() {
    let stage = Stage::of(1);
    let key = stage.key();
    asked(&stage, &key, BOTH).await;
    advance(Duration::from_secs(9)).await;
    assert_eq!(key.usage(soon()).await, Ok(BOTH));
    assert!(stage.tokens.iter().all(Token::is_idle));
    advance(Duration::from_secs(1)).await;
    asked(&stage, &key, KeyUsage { encrypt: false, decrypt: true }).await;
    stage.tokens[0].reconnect();
    asked(&stage, &key, BOTH).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_another_question_is_the_tokens_fault() {
    let stage = Stage::of(1);
    let key = stage.key();
    let mut request = pin!(key.usage(soon()));
    waits(request.as_mut()).await;
    stage.tokens[0].answer(Ok(Done::Checked));
    assert_eq!(request.await, Err(KeyFault::Token));
}

#[test]
fn a_key_is_one_value_while_somebody_holds_it() {
    let stage = Stage::of(1);
    let key = stage.key();
    assert!(Arc::ptr_eq(&key, &stage.key()));
    let gone = Arc::downgrade(&key);
    drop(key);
    assert!(gone.upgrade().is_none());
    assert!(stage.key().usage.load().is_none());
}
