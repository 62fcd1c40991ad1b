//! The test plays the tokens; the clock stands still unless it is moved.

use std::{pin::pin, sync::atomic::Ordering, time::Duration};

use tokio::time::advance;

use super::super::{
    group::stage::{Stage, Token, decrypt, encrypt, encrypt_until, encrypted, is_encryption, sealed, soon, token_fault, waits},
    job::{Done, Encrypted, Fault},
    key::TokenSealed,
    status::Condition,
};
use super::*;

const HALF: Duration = Duration::from_millis(100);

/// The same, with encryptions that were for nothing, or may have been.
fn after(wasted: u32, sealed: Result<TokenSealed, KeyFault>) -> Result<TokenSealed, KeyFault> {
    sealed.map(|sealed| TokenSealed { tries: sealed.tries + wasted, ..sealed })
}

#[tokio::test(start_paused = true)]
async fn the_member_with_the_least_to_do_is_asked_and_equals_in_turn() {
    let stage = Stage::of(3);
    let key = stage.proved_key();
    for (busy, expected) in [([0, 0, 0], [2, 2, 2]), ([1, 0, 1], [0, 6, 0]), ([3, 2, 1], [0, 0, 6])] {
        for (token, busy) in stage.tokens.iter().zip(busy) {
            token.front.in_use().store(busy, Ordering::Relaxed);
        }
        let mut asked = [0; 3];
        for _ in 0..6 {
            let mut request = pin!(encrypt(&key));
            waits(request.as_mut()).await;
            let at = stage.asked();
            asked[at] += 1;
            stage.tokens[at].answer(encrypted(1));
            assert_eq!(request.await, sealed(1));
        }
        assert_eq!(asked, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_in_one_queue_and_gets_what_the_token_made() {
    let stage = Stage::of(1);
    let key = stage.key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    let job = stage.tokens[0].begin();
    assert!(is_encryption(&job));
    assert!(job.proof.is_none());
    job.answer.give(encrypted(7));
    assert_eq!(request.await, sealed(7));
}

#[tokio::test(start_paused = true)]
async fn where_all_are_suspect_a_request_waits_for_the_first_verdict_and_no_longer() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    stage.tokens[0].front.set_condition(Condition::Suspect);
    advance(VERDICT / 2).await;
    stage.tokens[1].front.overdue();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    // Cleared: it is begun there.
    stage.tokens[1].front.set_condition(Condition::Up);
    waits(request.as_mut()).await;
    stage.tokens[1].answer(encrypted(3));
    assert_eq!(request.await, sealed(3));

    // Not cleared in time: refused, and from then on at once.
    stage.tokens[1].front.overdue();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    advance(VERDICT).await;
    assert_eq!(request.await, Err(KeyFault::Late));
    let before = now();
    assert_eq!((encrypt(&key).await, now() - before), (Err(KeyFault::Late), Duration::ZERO));
    assert!(stage.tokens.iter().all(Token::is_idle));
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_tried_once_more_elsewhere() {
    for second in [encrypted(2), token_fault(), Err(Fault::Session)] {
        let stage = Stage::of(3);
        let key = stage.proved_key();
        stage.tokens[2].front.set_condition(Condition::Suspect);
        stage.tokens[1].front.in_use().store(1, Ordering::Relaxed);
        let expected = if second.is_ok() { after(1, sealed(2)) } else { Err(KeyFault::Token) };
        let mut request = pin!(encrypt(&key));
        waits(request.as_mut()).await;
        stage.tokens[0].answer(token_fault());
        waits(request.as_mut()).await;
        assert!(stage.tokens[0].is_idle());
        let again = stage.tokens[1].begin();
        assert!(is_encryption(&again));
        again.answer.give(second);
        assert_eq!(request.await, expected);
        assert!(stage.tokens.iter().all(Token::is_idle));
    }
}

#[tokio::test(start_paused = true)]
async fn alone_a_member_that_is_still_up_is_asked_again_once() {
    let faults = [(token_fault(), KeyFault::Token), (Err(Fault::Session), KeyFault::Token), (Err(Fault::SelfCheck), KeyFault::SelfCheck)];
    for (fault, told) in faults {
        let stage = Stage::of(1);
        let key = stage.key();
        let mut request = pin!(encrypt(&key));
        waits(request.as_mut()).await;
        stage.tokens[0].answer(fault.clone());
        waits(request.as_mut()).await;
        stage.tokens[0].answer(fault.clone());
        assert_eq!(request.await, Err(told));

        let mut request = pin!(encrypt(&key));
        waits(request.as_mut()).await;
        stage.tokens[0].front.set_condition(Condition::Down("gone".into()));
        stage.tokens[0].answer(fault);
        assert_eq!(request.await, Err(told));
        assert!(stage.tokens[0].is_idle());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_makes_its_partition_suspect_and_the_work_starts_elsewhere() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    let hung = stage.tokens[0].begin();
    advance(HALF - Duration::from_millis(1)).await;
    waits(request.as_mut()).await;
    assert!(stage.tokens[1].is_idle());
    advance(Duration::from_millis(1)).await;
    waits(request.as_mut()).await;
    assert_eq!(*stage.tokens[0].front.condition(), Condition::Suspect);
    assert!(matches!(stage.tokens[0].orders.try_recv(), Ok(super::super::front::Order::Overdue)));
    stage.tokens[1].answer(encrypted(2));
    assert_eq!(request.await, after(1, sealed(2)));
    hung.answer.give(encrypted(1));
}

#[tokio::test(start_paused = true)]
async fn the_first_good_answer_wins_even_the_late_ones() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    for (other, wasted) in [(None, 0), (Some(token_fault()), 1), (Some(Err(Fault::NotProved)), 0)] {
        stage.tokens[0].front.set_condition(Condition::Up);
        stage.tokens[1].front.in_use().store(1, Ordering::Relaxed);
        let mut request = pin!(encrypt(&key));
        waits(request.as_mut()).await;
        let slow = stage.tokens[0].begin();
        advance(HALF).await;
        waits(request.as_mut()).await;
        let second = stage.tokens[1].take();
        if let Some(fault) = other {
            assert!(second.ticket.start());
            second.answer.give(fault);
            waits(request.as_mut()).await;
            slow.answer.give(encrypted(1));
            assert_eq!(request.await, after(wasted, sealed(1)));
        } else {
            slow.answer.give(encrypted(1));
            assert_eq!(request.await, after(wasted, sealed(1)));
            assert!(!second.ticket.start(), "nobody waits for it");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_no_session_began_is_taken_back_and_does_not_make_suspect() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    advance(HALF).await;
    waits(request.as_mut()).await;
    assert!(!stage.tokens[0].take().ticket.start());
    assert!(stage.tokens[0].front.is_up());
    stage.tokens[1].answer(encrypted(2));
    assert_eq!(request.await, sealed(2));
}

#[tokio::test(start_paused = true)]
async fn work_that_was_taken_back_comes_back_when_it_fails_elsewhere() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    for (fault, wasted) in [(token_fault(), 1), (Err(Fault::Missing("none".into())), 0)] {
        stage.tokens[1].front.in_use().store(1, Ordering::Relaxed);
        let mut request = pin!(encrypt(&key));
        waits(request.as_mut()).await;
        advance(HALF).await;
        waits(request.as_mut()).await;
        assert!(!stage.tokens[0].take().ticket.start());
        stage.tokens[1].answer(fault);
        waits(request.as_mut()).await;
        stage.tokens[0].answer(encrypted(1));
        assert_eq!(request.await, after(wasted, sealed(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_fault_the_others_verdict_is_waited_for() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    stage.tokens[1].front.overdue();
    stage.tokens[0].answer(token_fault());
    waits(request.as_mut()).await;
    assert!(stage.tokens.iter().all(Token::is_idle));
    stage.tokens[1].front.set_condition(Condition::Up);
    waits(request.as_mut()).await;
    stage.tokens[1].answer(encrypted(2));
    assert_eq!(request.await, after(1, sealed(2)));

    // No verdict in time: once more in the same place.
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    let at = stage.asked();
    stage.tokens[1 - at].front.overdue();
    stage.tokens[at].answer(token_fault());
    waits(request.as_mut()).await;
    advance(VERDICT).await;
    waits(request.as_mut()).await;
    stage.tokens[at].answer(encrypted(3));
    assert_eq!(request.await, after(1, sealed(3)));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_only_just_begun_is_not_overdue() {
    let stage = Stage::of(1);
    let key = stage.key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    advance(Duration::from_millis(90)).await;
    let job = stage.tokens[0].begin();
    advance(Duration::from_millis(20)).await;
    waits(request.as_mut()).await;
    assert!(stage.tokens[0].front.is_up());
    advance(Duration::from_millis(90)).await;
    assert_eq!(request.await, Err(KeyFault::Late));
    assert_eq!(*stage.tokens[0].front.condition(), Condition::Suspect);
    drop(job);
}

#[tokio::test(start_paused = true)]
async fn with_nobody_else_work_keeps_its_place_until_the_deadline() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    stage.tokens[1].front.set_condition(Condition::Down("gone".into()));
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    advance(HALF).await;
    waits(request.as_mut()).await;
    advance(HALF).await;
    assert_eq!(request.await, Err(KeyFault::NotStarted));
    assert!(!stage.tokens[0].take().ticket.start());
    assert!(stage.tokens[0].front.is_up());
}

#[tokio::test(start_paused = true)]
async fn begun_and_unanswered_is_late() {
    let stage = Stage::of(1);
    let key = stage.key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    let job = stage.tokens[0].begin();
    advance(2 * HALF).await;
    assert_eq!(request.await, Err(KeyFault::Late));
    drop(job);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_sends_to_the_next_and_full_queues_refuse() {
    let stage = Stage::with_queues(&[1, 1]);
    let key = stage.proved_key();
    let mut first = pin!(encrypt(&key));
    waits(first.as_mut()).await;
    let mut second = pin!(encrypt(&key));
    waits(second.as_mut()).await;
    assert_eq!(encrypt(&key).await, Err(KeyFault::Full));
    for token in &stage.tokens {
        token.answer(encrypted(3));
    }
    assert_eq!(first.await, sealed(3));
    assert_eq!(second.await, sealed(3));
}

#[tokio::test(start_paused = true)]
async fn who_is_down_and_who_is_suspect_decides_what_is_told() {
    let down = || Condition::Down("gone".into());
    let cases = [
        (Condition::Suspect, Condition::Suspect, KeyFault::Late),
        (down(), down(), KeyFault::Token),
        (Condition::Starting, Condition::Exhausted, KeyFault::Token),
        (Condition::PinRefused("no".into()), down(), KeyFault::Token),
        (down(), Condition::Suspect, KeyFault::Late),
    ];
    for (first, second, told) in cases {
        let stage = Stage::of(2);
        stage.tokens[0].front.set_condition(first);
        stage.tokens[1].front.set_condition(second);
        assert_eq!(encrypt(&stage.proved_key()).await, Err(told));
        assert_eq!(encrypt(&stage.key()).await, Err(told));
    }
}

#[tokio::test(start_paused = true)]
async fn what_all_members_answer_is_told_as_whose_fault_it_is() {
    let table = [
        (Fault::Input, KeyFault::Input, 1),
        (Fault::Usage, KeyFault::Key, 3),
        (Fault::Missing("none".into()), KeyFault::Missing, 3),
        (Fault::NotProved, KeyFault::Missing, 3),
        (Fault::SelfCheck, KeyFault::SelfCheck, 2),
        (Fault::Expired, KeyFault::NotStarted, 1),
        (Fault::Session, KeyFault::Token, 2),
        (Fault::Token("CKR_DEVICE_ERROR".into()), KeyFault::Token, 2),
    ];
    for (fault, told, asked) in table {
        let stage = Stage::of(3);
        let key = stage.proved_key();
        let mut request = pin!(decrypt(&key));
        for _ in 0..asked {
            waits(request.as_mut()).await;
            stage.tokens[stage.asked()].answer(Err(fault.clone()));
        }
        assert_eq!(request.await.unwrap_err(), told, "{fault:?}");
        assert!(stage.tokens.iter().all(Token::is_idle));
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_faults_the_graver_is_told() {
    for (first, second, told) in [
        (token_fault(), Err(Fault::Missing("none".into())), KeyFault::Token),
        (Err(Fault::Missing("none".into())), token_fault(), KeyFault::Token),
        (Err(Fault::SelfCheck), token_fault(), KeyFault::SelfCheck),
        (Err(Fault::Usage), Err(Fault::NotProved), KeyFault::Key),
    ] {
        let stage = Stage::of(2);
        let key = stage.proved_key();
        let mut request = pin!(encrypt(&key));
        waits(request.as_mut()).await;
        let at = stage.asked();
        stage.tokens[at].answer(first);
        waits(request.as_mut()).await;
        stage.tokens[1 - at].front.set_condition(Condition::Suspect);
        stage.tokens[at].front.set_condition(Condition::Suspect);
        stage.tokens[1 - at].answer(second);
        assert_eq!(request.await, Err(told));
    }
}

#[tokio::test(start_paused = true)]
async fn an_input_fault_needs_no_second_opinion() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    let mut request = pin!(decrypt(&key));
    waits(request.as_mut()).await;
    stage.tokens[0].answer(Err(Fault::Input));
    assert_eq!(request.await.unwrap_err(), KeyFault::Input);
    assert!(stage.tokens[1].is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_some_members_lack_is_served_by_the_others() {
    let stage = Stage::of(3);
    let key = stage.proved_key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    stage.tokens[0].answer(Err(Fault::Missing("no such key".into())));
    waits(request.as_mut()).await;
    let next = stage.asked();
    stage.tokens[next].answer(Err(Fault::Missing("no such key".into())));
    waits(request.as_mut()).await;
    let last = stage.asked();
    assert_ne!(next, last);
    stage.tokens[last].answer(encrypted(3));
    assert_eq!(request.await, sealed(3));
    // For a while the one that has it is asked first, busy or not.
    stage.tokens[last].front.in_use().store(5, Ordering::Relaxed);
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    stage.tokens[last].answer(encrypted(4));
    assert_eq!(request.await, sealed(4));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_all_members_lack_is_missing() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    let mut request = pin!(encrypt(&key));
    for _ in 0..2 {
        waits(request.as_mut()).await;
        let at = stage.asked();
        stage.tokens[at].answer(Err(Fault::Missing("no such key".into())));
    }
    assert_eq!(request.await, Err(KeyFault::Missing));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_takes_its_work_back() {
    let stage = Stage::of(1);
    let key = stage.key();
    {
        let mut request = pin!(encrypt(&key));
        waits(request.as_mut()).await;
    }
    assert!(!stage.tokens[0].take().ticket.start());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_dropped_is_a_fault_of_the_token() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    drop(stage.tokens[0].begin());
    waits(request.as_mut()).await;
    stage.tokens[1].answer(encrypted(2));
    assert_eq!(request.await, after(1, sealed(2)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_generation_that_proved_nothing_does_not_count() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    let job = stage.tokens[0].begin();
    assert!(job.proof.is_none());
    stage.tokens[0].reconnect();
    job.answer.give(encrypted(1));
    waits(request.as_mut()).await;
    stage.tokens[1].answer(encrypted(2));
    assert_eq!(request.await, after(1, sealed(2)));
}

#[tokio::test(start_paused = true)]
async fn a_ciphertext_that_a_key_without_proof_did_not_open_is_not_the_callers_fault() {
    let stage = Stage::of(2);
    let key = stage.proved_key();
    let mut request = pin!(decrypt(&key));
    waits(request.as_mut()).await;
    let job = stage.tokens[0].begin();
    stage.tokens[0].reconnect();
    job.answer.give(Err(Fault::Input));
    waits(request.as_mut()).await;
    stage.tokens[1].answer(Ok(Done::Decrypted(b"text".to_vec().into())));
    assert_eq!(request.await.unwrap().as_slice(), b"text");
}

#[tokio::test(start_paused = true)]
async fn an_iv_that_no_response_can_carry_is_the_tokens_fault() {
    let stage = Stage::of(1);
    let key = stage.key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    let odd = Encrypted { iv: vec![0; 13], ciphertext: vec![], tag: [0; 16], integrity: None, tries: 1 };
    stage.tokens[0].answer(Ok(Done::Encrypted(odd)));
    assert_eq!(request.await, Err(KeyFault::Token));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_over_starts_nothing() {
    let stage = Stage::of(1);
    let key = stage.key();
    let deadline = soon();
    advance(3 * HALF).await;
    assert_eq!(encrypt_until(&key, deadline).await, Err(KeyFault::NotStarted));
    assert!(stage.tokens[0].is_idle());
}
