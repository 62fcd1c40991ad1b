//! The test plays the tokens. What waits for a token runs on a thread of its own.

use std::{pin::pin, sync::atomic::Ordering, thread};

use tokio::time::advance;

use super::super::{
    group::stage::{Stage, Token, decrypt, encrypt, encrypted, is_encryption, proof, sealed, token_fault, waits},
    job::Job,
    status::Condition,
};
use super::*;

#[tokio::test(start_paused = true)]
async fn the_first_member_makes_the_proof_and_the_others_verify_it_once_in_each_generation() {
    let stage = Stage::of(2);
    let key = stage.key();
    let [first, second] = stage.tokens.as_slice() else { unreachable!() };
    second.front.in_use().store(1, Ordering::Relaxed);

    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    assert!(second.is_idle());
    let making = first.begin();
    assert!(matches!(*making.work, Work::MakeProof) && making.proof.is_none());
    making.answer.give(Ok(Done::Proof(proof(5))));
    waits(request.as_mut()).await;
    first.answer(encrypted(1));
    assert_eq!(request.await, sealed(1));

    first.front.in_use().store(2, Ordering::Relaxed);
    assert_eq!(on(&stage, 1).await, Some(proof(5)));
    assert_eq!(on(&stage, 1).await, None);
    second.reconnect();
    assert_eq!(on(&stage, 1).await, Some(proof(5)));
    assert_eq!(on(&stage, 1).await, None);
    second.front.in_use().store(3, Ordering::Relaxed);
    assert_eq!(on(&stage, 0).await, None);
    first.reconnect();
    assert_eq!(on(&stage, 0).await, Some(proof(5)));
}

/// One good encryption on a member; the proof that it got.
async fn on(stage: &Stage, at: usize) -> Option<Proof> {
    let key = stage.key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    let job = stage.tokens[at].begin();
    assert!(is_encryption(&job));
    let proof = job.proof.as_deref().cloned();
    job.answer.give(encrypted(3));
    assert_eq!(request.await, sealed(3));
    proof
}

#[tokio::test(start_paused = true)]
async fn many_first_requests_make_one_proof() {
    let stage = Stage::of(2);
    let key = stage.key();
    let mut first = pin!(encrypt(&key));
    let mut second = pin!(encrypt(&key));
    waits(first.as_mut()).await;
    waits(second.as_mut()).await;
    stage.tokens[0].answer(Ok(Done::Proof(proof(1))));
    assert!(stage.tokens.iter().all(Token::is_idle));
    waits(first.as_mut()).await;
    waits(second.as_mut()).await;
    for token in &stage.tokens {
        token.answer(encrypted(1));
    }
    assert_eq!(first.await, sealed(1));
    assert_eq!(second.await, sealed(1));
}

#[tokio::test(start_paused = true)]
async fn a_member_with_another_key_is_excluded_until_it_is_connected_anew() {
    let stage = Stage::of(2);
    let key = stage.key();
    let [first, second] = stage.tokens.as_slice() else { unreachable!() };
    first.front.in_use().store(1, Ordering::Relaxed);
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    first.answer(Ok(Done::Proof(proof(1))));
    waits(request.as_mut()).await;
    second.answer(Err(Fault::NotProved));
    waits(request.as_mut()).await;
    first.answer(encrypted(1));
    assert_eq!(request.await, sealed(1));
    assert!(stage.group.excluded(0).is_empty());
    assert_eq!(stage.group.excluded(1), [key.name.to_string()]);

    assert_eq!(on(&stage, 0).await, None);
    first.front.set_condition(Condition::Down("gone".into()));
    assert_eq!(encrypt(&key).await, Err(KeyFault::Token));
    first.front.set_condition(Condition::Suspect);
    assert_eq!(encrypt(&key).await, Err(KeyFault::Late));
    assert!(second.is_idle());

    second.reconnect();
    assert!(stage.group.excluded(1).is_empty());
    assert_eq!(on(&stage, 1).await, Some(proof(1)));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_every_member_is_excluded_for_is_missing() {
    let stage = Stage::of(2);
    let key = stage.key();
    stage.group.book().keep(&key.name, proof(1));
    drop(key);
    let key = stage.key();
    let mut request = pin!(encrypt(&key));
    for _ in 0..2 {
        waits(request.as_mut()).await;
        stage.tokens[stage.asked()].answer(Err(Fault::NotProved));
    }
    assert_eq!(request.await, Err(KeyFault::Missing));
    assert_eq!(encrypt(&key).await, Err(KeyFault::Missing));
}

#[tokio::test(start_paused = true)]
async fn a_proof_holds_over_a_restart_in_which_its_maker_is_down() {
    let stage = Stage::of(2);
    let key = stage.key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    stage.tokens[0].answer(Ok(Done::Proof(proof(4))));
    waits(request.as_mut()).await;
    assert!(stage.nudges.try_recv().is_ok(), "somebody has to write it");
    stage.group.book().save();
    let Stage { dir, .. } = stage;

    let again = Stage::resumed(dir, &[8, 8]);
    again.tokens[0].front.set_condition(Condition::Down("gone".into()));
    let key = again.key();
    let mut request = pin!(encrypt(&key));
    waits(request.as_mut()).await;
    let job = again.tokens[1].begin();
    assert!(is_encryption(&job));
    assert_eq!(job.proof.as_deref(), Some(&proof(4)));
    job.answer.give(Err(Fault::NotProved));
    assert_eq!(request.await, Err(KeyFault::Token));
    assert_eq!(again.group.excluded(1), [key.name.to_string()]);
}

#[tokio::test(start_paused = true)]
async fn a_first_member_that_can_not_make_the_proof_leaves_it_to_the_next() {
    for outcome in [None, Some(token_fault()), Some(Err(Fault::Missing("no such key".into())))] {
        let stage = Stage::of(2);
        let key = stage.key();
        let mut request = pin!(encrypt(&key));
        waits(request.as_mut()).await;
        let making = stage.tokens[0].begin();
        match outcome {
            Some(outcome) => making.answer.give(outcome),
            None => advance(Duration::from_millis(100)).await,
        }
        waits(request.as_mut()).await;
        let making = stage.tokens[1].begin();
        assert!(matches!(*making.work, Work::MakeProof));
        stage.tokens[0].front.set_condition(Condition::Suspect);
        making.answer.give(Ok(Done::Proof(proof(2))));
        waits(request.as_mut()).await;
        stage.tokens[1].answer(encrypted(2));
        assert_eq!(request.await, sealed(2));
    }
}

#[tokio::test(start_paused = true)]
async fn why_nobody_makes_a_proof_is_told() {
    let table = [
        (token_fault(), KeyFault::Token),
        (Err(Fault::Missing("none".into())), KeyFault::Missing),
        (Err(Fault::Expired), KeyFault::NotStarted),
        (Ok(Done::Checked), KeyFault::Token),
    ];
    for (outcome, told) in table {
        let stage = Stage::of(2);
        let key = stage.key();
        let mut request = pin!(decrypt(&key));
        for token in &stage.tokens {
            waits(request.as_mut()).await;
            token.answer(outcome.clone());
        }
        assert_eq!(request.await.unwrap_err(), told);
    }
    let full = Stage::with_queues(&[0, 0]);
    assert_eq!(encrypt(&full.key()).await, Err(KeyFault::Full));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_can_not_be_proved_is_served_by_the_first_member_that_is_up() {
    let stage = Stage::of(2);
    let key = stage.key();
    let [first, second] = stage.tokens.as_slice() else { unreachable!() };
    first.front.in_use().store(3, Ordering::Relaxed);
    let mut request = pin!(decrypt(&key));
    waits(request.as_mut()).await;
    first.answer(Err(Fault::Usage));
    waits(request.as_mut()).await;
    let job = first.begin();
    assert!(job.proof.is_none());
    job.answer.give(Err(Fault::Input));
    assert_eq!(request.await.unwrap_err(), KeyFault::Input);

    // No other member's, while that one is up: what fails there is tried there again.
    let mut request = pin!(decrypt(&key));
    for _ in 0..2 {
        waits(request.as_mut()).await;
        first.answer(token_fault());
    }
    assert_eq!(request.await.unwrap_err(), KeyFault::Token);
    assert!(second.is_idle());

    // Elsewhere it may be that the key is another one, not that the caller is wrong.
    first.front.set_condition(Condition::Down("gone".into()));
    let mut request = pin!(decrypt(&key));
    waits(request.as_mut()).await;
    second.answer(Err(Fault::Input));
    assert_eq!(request.await.unwrap_err(), KeyFault::Token);

    // Its usage may have changed by now.
    first.front.set_condition(Condition::Up);
    advance(Duration::from_secs(10)).await;
    let mut request = pin!(decrypt(&key));
    waits(request.as_mut()).await;
    let looking = first.begin();
    assert!(matches!(*looking.work, Work::MakeProof));
    // One request looks; others go by what was known.
    let mut beside = pin!(decrypt(&key));
    waits(beside.as_mut()).await;
    first.answer(Err(Fault::Input));
    assert_eq!(beside.await.unwrap_err(), KeyFault::Input);
    // And so does it where it learns nothing.
    looking.answer.give(Err(Fault::Session));
    second.front.set_condition(Condition::Down("gone".into()));
    waits(request.as_mut()).await;
    first.answer(Err(Fault::Input));
    assert_eq!(request.await.unwrap_err(), KeyFault::Input);
}

#[tokio::test(start_paused = true)]
async fn alone_there_is_nothing_to_prove() {
    let stage = Stage::of(1);
    assert_eq!(on(&stage, 0).await, None);
    let key = stage.key();
    thread::spawn(move || key.establish()).join().unwrap();
    assert!(stage.tokens[0].is_idle());
}

#[test]
fn at_the_start_every_member_proves_the_key_or_is_excluded() {
    let stage = Stage::of(3);
    let key = stage.key();
    let proving = thread::spawn({
        let key = Arc::clone(&key);
        move || key.establish()
    });
    let [first, second, third] = stage.tokens.as_slice() else { unreachable!() };
    first.wait().answer.give(Ok(Done::Proof(proof(1))));
    assert_eq!(give(second.wait(), described()), Some(proof(1)));
    assert_eq!(give(third.wait(), Err(Fault::NotProved)), Some(proof(1)));
    proving.join().unwrap();
    let excluded: Vec<_> = (0..3).map(|at| stage.group.excluded(at).len()).collect();
    assert_eq!(excluded, [0, 0, 1]);
    // Nobody is asked twice.
    thread::spawn(move || key.establish()).join().unwrap();
    assert!(stage.tokens.iter().all(Token::is_idle));
}

#[test]
fn a_proof_that_every_member_failed_is_replaced_where_they_agree() {
    let (stage, key) = disputed(&[true, true]);
    let settling = thread::spawn({
        let key = Arc::clone(&key);
        move || key.challenge()
    });
    let [first, second] = stage.tokens.as_slice() else { unreachable!() };
    let making = first.wait();
    assert!(matches!(*making.work, Work::MakeProof));
    making.answer.give(Ok(Done::Proof(proof(2))));
    assert_eq!(give(second.wait(), described()), Some(proof(2)));
    settling.join().unwrap();
    assert_eq!(stage.group.book().proof(&key.name), Some(proof(2)));
    assert!(stage.group.excluded(0).is_empty() && stage.group.excluded(1).is_empty());
}

#[test]
fn a_proof_that_every_member_failed_stays_where_they_differ() {
    let (stage, key) = disputed(&[true, true]);
    let settling = thread::spawn({
        let key = Arc::clone(&key);
        move || {
            key.challenge();
            // Not by the same failures.
            key.challenge();
        }
    });
    let [first, second] = stage.tokens.as_slice() else { unreachable!() };
    first.wait().answer.give(Ok(Done::Proof(proof(2))));
    second.wait().answer.give(Err(Fault::NotProved));
    settling.join().unwrap();
    assert_eq!(stage.group.book().proof(&key.name), Some(proof(1)));
    assert_eq!((stage.group.excluded(0).len(), stage.group.excluded(1).len()), (1, 1));
}

#[test]
fn a_proof_is_in_question_only_when_every_member_is_up_and_failed_it() {
    let (stage, key) = disputed(&[true, false]);
    key.challenge();
    assert!(stage.tokens.iter().all(Token::is_idle));
    let (stage, key) = disputed(&[true, true]);
    stage.tokens[1].front.set_condition(Condition::Down("gone".into()));
    key.challenge();
    assert!(stage.tokens.iter().all(Token::is_idle));
}

/// Two members, some of which have failed the proof.
fn disputed(failed: &[bool]) -> (Stage, Arc<GroupKey>) {
    let stage = Stage::of(2);
    stage.group.book().keep(&stage.key().name, proof(1));
    let key = stage.key();
    let reference = key.reference.load_full();
    for (at, _) in failed.iter().enumerate().filter(|(_, failed)| **failed) {
        let posting = key.posting(at, reference.as_ref()).unwrap();
        key.learn(&posting, &Err(Fault::NotProved));
    }
    (stage, key)
}

fn give(job: Job, outcome: Outcome) -> Option<Proof> {
    let proof = job.proof.as_deref().cloned();
    job.answer.give(outcome);
    proof
}

fn described() -> Outcome {
    Ok(Done::Described(holdfast_proto::records::KeyUsage { encrypt: true, decrypt: true }))
}
