//! The test plays the tokens; the clock stands still unless it is moved.

use std::pin::pin;

use tokio::time::advance;
use uuid::Uuid;

use super::super::{
    group::stage::{Stage, Token, soon, token_fault, waits},
    job::Done,
    status::TokenFacts,
};
use super::*;

fn states(health: &[MemberHealth]) -> Vec<HealthState> {
    health.iter().map(|member| member.state).collect()
}

/// Asks, and has every member that is asked answer.
async fn checked(stage: &Stage, key: &GroupKey, outcomes: &[Outcome]) -> Vec<HealthState> {
    let mut request = pin!(key.health(soon()));
    waits(request.as_mut()).await;
    for (token, outcome) in stage.tokens.iter().zip(outcomes) {
        let job = token.begin();
        assert!(matches!(*job.work, Work::Check));
        job.answer.give(outcome.clone());
    }
    states(&request.await)
}

#[tokio::test(start_paused = true)]
async fn a_check_is_run_once_and_told_for_a_minute() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    assert_eq!(checked(&stage, &key, &[Ok(Done::Checked), Ok(Done::Checked)]).await, [HealthState::Active; 2]);
    advance(Duration::from_secs(59)).await;
    assert_eq!(states(&key.health(soon()).await), [HealthState::Active; 2]);
    assert!(stage.tokens.iter().all(Token::is_idle));
    advance(Duration::from_secs(1)).await;
    assert_eq!(checked(&stage, &key, &[Ok(Done::Checked), Ok(Done::Checked)]).await, [HealthState::Active; 2]);
    // What was true of an earlier connection is not told of a new one.
    stage.tokens[0].reconnect();
    stage.tokens[1].reconnect();
    assert_eq!(checked(&stage, &key, &[Ok(Done::Checked), Err(Fault::NotProved)]).await, [HealthState::Active, HealthState::Degraded]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_is_told_for_a_second() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    let first = checked(&stage, &key, &[token_fault(), Err(Fault::Missing("none".into()))]).await;
    assert_eq!(first, [HealthState::Unavailable; 2]);
    assert_eq!(states(&key.health(soon()).await), [HealthState::Unavailable; 2]);
    advance(Duration::from_secs(1)).await;
    assert_eq!(checked(&stage, &key, &[Ok(Done::Checked), Ok(Done::Checked)]).await, [HealthState::Active; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_come_back_in_time_is_unavailable() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    let mut request = pin!(key.health(soon()));
    waits(request.as_mut()).await;
    let hung = stage.tokens[0].begin();
    stage.tokens[1].answer(Ok(Done::Checked));
    waits(request.as_mut()).await;
    advance(Duration::from_millis(200)).await;
    assert_eq!(states(&request.await), [HealthState::Unavailable, HealthState::Active]);
    drop(hung);
}

#[tokio::test(start_paused = true)]
async fn the_condition_comes_before_the_last_check() {
    let stage = Stage::of(1);
    let key = stage.key();
    assert_eq!(checked(&stage, &key, &[Ok(Done::Checked)]).await, [HealthState::Active]);
    let table = [
        (Condition::Starting, HealthState::Unavailable),
        (Condition::Up, HealthState::Active),
        (Condition::Suspect, HealthState::Degraded),
        (Condition::Down("gone".into()), HealthState::Unavailable),
        (Condition::PinRefused("no".into()), HealthState::Unavailable),
        (Condition::Exhausted, HealthState::Unavailable),
    ];
    for (condition, state) in table {
        stage.tokens[0].front.set_condition(condition);
        assert_eq!(states(&key.health(soon()).await), [state]);
    }
}

#[tokio::test(start_paused = true)]
async fn fewer_sessions_than_there_were_are_told() {
    let stage = Stage::of(1);
    let key = stage.key();
    let sessions = stage.tokens[0].front.sessions();
    sessions.store(4, Ordering::Relaxed);
    assert_eq!(checked(&stage, &key, &[Ok(Done::Checked)]).await, [HealthState::Active]);
    sessions.store(3, Ordering::Relaxed);
    assert_eq!(states(&key.health(soon()).await), [HealthState::Degraded]);
    sessions.store(4, Ordering::Relaxed);
    assert_eq!(states(&key.health(soon()).await), [HealthState::Active]);
    let most = MostSessions::default();
    assert!(most.are_more_than(7, Some(8)));
    assert!(!most.are_more_than(8, Some(8)));
}

#[tokio::test(start_paused = true)]
async fn a_member_is_named_by_what_its_token_says() {
    let stage = Stage::of(1);
    let key = stage.key();
    stage.tokens[0].front.set_condition(Condition::Starting);
    let unseen = key.health(soon()).await;
    assert_eq!(unseen, [MemberHealth { id: "p0".into(), model: String::new(), state: HealthState::Unavailable }]);
    let id = Uuid::from_u128(7);
    stage.tokens[0].front.set_facts(TokenFacts {
        id,
        label: "label".into(),
        manufacturer: "Maker".into(),
        model: "K7".into(),
        firmware: "7.8".into(),
        serial: "0042".into(),
    });
    assert_eq!(stage.group.vendor(), "Maker");
    let seen = key.health(soon()).await;
    assert_eq!(seen, [MemberHealth { id: id.to_string(), model: "K7 7.8 0042".into(), state: HealthState::Unavailable }]);
}

#[tokio::test(start_paused = true)]
async fn checks_are_refreshed_for_as_long_as_somebody_asks() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    assert!(stage.group.watched().is_empty());
    checked(&stage, &key, &[Ok(Done::Checked), Ok(Done::Checked)]).await;
    assert_eq!(stage.group.watched().len(), 1);
    for _ in 0..10 {
        advance(Duration::from_secs(20)).await;
        assert!(key.is_due());
        key.refresh();
        assert!(!key.is_due());
        stage.tokens.iter().for_each(|token| token.answer(Ok(Done::Checked)));
    }
    assert_eq!(states(&key.health(soon()).await), [HealthState::Active; 2]);
    assert!(stage.tokens.iter().all(Token::is_idle));
    advance(Duration::from_secs(300)).await;
    assert!(stage.group.watched().is_empty());
    checked(&stage, &key, &[Ok(Done::Checked), Ok(Done::Checked)]).await;
    assert_eq!(stage.group.watched().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_was_never_begun_tells_nothing() {
    let stage = Stage::of(1);
    let key = stage.key();
    checked(&stage, &key, &[Ok(Done::Checked)]).await;
    key.refresh();
    stage.tokens[0].take().answer.give(Err(Fault::Expired));
    assert_eq!(states(&key.health(soon()).await), [HealthState::Active]);
}
