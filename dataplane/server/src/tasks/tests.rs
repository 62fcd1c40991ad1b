use holdfast_keys::local::LocalKey;
use holdfast_proto::{
    kinds::KeyKind,
    records::{KeyUsage, PartitionKey, SourceKey},
    seal::Seal,
    sync::{GenerateKey, InspectKey, MakeHealthCiphertext, key_task::Task},
};
use tokio::sync::mpsc::unbounded_channel;

use super::{
    local::{HEALTH_AAD, HEALTH_FORMAT, HEALTH_TEXT},
    *,
};
use crate::live::tests::no_groups;

fn ring() -> Arc<SealRing> {
    Arc::new(SealRing::new(Seal::generate().unwrap(), Vec::new()))
}

fn generate(id: u8) -> KeyTask {
    let task =
        Task::Generate(GenerateKey { usage: Some(KeyUsage::BOTH.into()), unexportable: true, label: String::new(), kind: String::new() });
    KeyTask { id: vec![id; 16], deadline_ms: 10_000, target: LOCAL.into(), task: Some(task) }
}

fn generated(result: &KeyTaskResult) -> SourceKey {
    match result.outcome.clone() {
        Some(Outcome::Generated(source)) => source.try_into().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn failed(result: &KeyTaskResult) -> KeyTaskFailure {
    match &result.outcome {
        Some(Outcome::Error(error)) => error.failure(),
        other => panic!("{other:?}"),
    }
}

fn ask(seals: &Arc<SealRing>, task: KeyTask) -> KeyTaskResult {
    Recent::default().answer(task, soon(), &local(seals))
}

fn local(seals: &Arc<SealRing>) -> Executor {
    Executor::Local(Arc::clone(seals))
}

fn soon() -> Instant {
    Instant::now() + LONGEST_DEADLINE
}

#[test]
fn a_repeated_task_gives_the_same_key() {
    let seals = ring();
    let tasks = Tasks::start(Arc::clone(&seals), &no_groups()).unwrap();
    let (reply, mut results) = unbounded_channel();
    for task in [generate(1), generate(2), generate(1)] {
        tasks.run(task, reply.clone());
    }
    let [one, two, again] = std::array::from_fn(|_| results.blocking_recv().unwrap());
    assert_eq!(one, again);
    assert_ne!(generated(&one), generated(&two));
    let SourceKey::Local(blob) = generated(&one) else { panic!("local") };
    assert_eq!((blob.id.as_bytes(), blob.unexportable), (&[1; 16], true));
    assert!(LocalKey::open(&seals, &blob).is_ok());
}

#[test]
fn another_task_under_a_used_id_is_refused() {
    let seals = ring();
    let mut recent = Recent::default();
    recent.answer(generate(1), soon(), &local(&seals));
    let task =
        Task::Generate(GenerateKey { usage: Some(KeyUsage::BOTH.into()), unexportable: false, label: String::new(), kind: String::new() });
    assert_eq!(failed(&recent.answer(KeyTask { task: Some(task), ..generate(1) }, soon(), &local(&seals))), KeyTaskFailure::Refused);
}

#[test]
fn old_results_are_forgotten_one_by_one() {
    let seals = ring();
    let mut recent = Recent::default();
    for n in 0..u128::try_from(REMEMBERED).unwrap() + 3 {
        recent.answer(KeyTask { id: n.to_be_bytes().into(), ..generate(0) }, soon(), &local(&seals));
    }
    assert_eq!(recent.0.len(), REMEMBERED);
    assert_eq!(recent.0[0].0.id, 3_u128.to_be_bytes());
}

#[test]
fn inspect_tells_what_the_seal_binds() {
    let seals = ring();
    let source = generated(&ask(&seals, generate(1)));
    let inspect = |source: &SourceKey| KeyTask { task: Some(Task::Inspect(InspectKey { source: Some(source.into()) })), ..generate(2) };
    let Some(Outcome::Attributes(attributes)) = ask(&seals, inspect(&source)).outcome else { panic!("attributes") };
    assert_eq!((attributes.algorithm.as_str(), attributes.bits, attributes.unexportable), ("AES", 256, true));
    let SourceKey::Local(mut blob) = source.clone() else { panic!("local") };
    blob.unexportable = false;
    assert_eq!(failed(&ask(&seals, inspect(&SourceKey::Local(blob)))), KeyTaskFailure::Refused);
    // Another node may have the seal.
    assert_eq!(failed(&ask(&ring(), inspect(&source))), KeyTaskFailure::Unavailable);
}

#[test]
fn a_key_of_another_kind_is_made_and_told_and_does_not_encrypt() {
    let seals = ring();
    for (kind, algorithm, bits, curve) in [
        (KeyKind::Rsa2048, "RSA", 2048, ""),
        (KeyKind::EcSecp256k1, "EC", 256, "secp256k1"),
        (KeyKind::HmacSha384, "HMAC-SHA384", 384, ""),
        (KeyKind::Aes128, "AES", 128, ""),
    ] {
        let (usage, label) = (Some(KeyUsage::BOTH.into()), String::new());
        let make = Task::Generate(GenerateKey { usage, unexportable: false, label, kind: kind.to_wire() });
        let source = generated(&ask(&seals, KeyTask { task: Some(make), ..generate(1) }));
        let SourceKey::Local(blob) = &source else { panic!("local") };
        assert_eq!((blob.kind, blob.unexportable), (kind, false));
        let inspect = Task::Inspect(InspectKey { source: Some((&source).into()) });
        let Some(Outcome::Attributes(told)) = ask(&seals, KeyTask { task: Some(inspect), ..generate(2) }).outcome else {
            panic!("attributes of {kind}")
        };
        assert_eq!((told.algorithm.as_str(), told.bits, told.curve.as_str(), told.unexportable), (algorithm, bits, curve, false));
        let encrypt = Task::HealthCiphertext(MakeHealthCiphertext { source: Some((&source).into()) });
        assert_eq!(failed(&ask(&seals, KeyTask { task: Some(encrypt), ..generate(3) })), KeyTaskFailure::Refused);
    }
    let (usage, label, kind) = (Some(KeyUsage::BOTH.into()), String::new(), "tdes".into());
    let unknown = Task::Generate(GenerateKey { usage, unexportable: true, label, kind });
    assert_eq!(failed(&ask(&seals, KeyTask { task: Some(unknown), ..generate(1) })), KeyTaskFailure::Unsupported);
}

#[test]
fn a_health_ciphertext_opens_under_its_key() {
    let seals = ring();
    let source = generated(&ask(&seals, generate(1)));
    let make = Task::HealthCiphertext(MakeHealthCiphertext { source: Some((&source).into()) });
    let Some(Outcome::HealthCiphertext(made)) = ask(&seals, KeyTask { task: Some(make), ..generate(2) }).outcome else {
        panic!("ciphertext")
    };
    let SourceKey::Local(blob) = source else { panic!("local") };
    let key = LocalKey::open(&seals, &blob).unwrap();
    assert_eq!(made[0], HEALTH_FORMAT);
    assert_eq!(*key.decrypt(&made[1..13], HEALTH_AAD, &made[29..], &made[13..29]).unwrap(), HEALTH_TEXT);
}

#[test]
fn what_this_node_has_no_key_source_for_is_unsupported() {
    let seals = ring();
    let (reply, mut results) = unbounded_channel();
    Tasks::start(Arc::clone(&seals), &no_groups()).unwrap().run(KeyTask { target: "group-1".into(), ..generate(1) }, reply);
    assert_eq!(failed(&results.blocking_recv().unwrap()), KeyTaskFailure::Unsupported);
    let partition = SourceKey::Partition(PartitionKey { group: "g".into(), cka_id: vec![1].into(), label: String::new() });
    let inspect = Task::Inspect(InspectKey { source: Some((&partition).into()) });
    assert_eq!(failed(&ask(&seals, KeyTask { task: Some(inspect), ..generate(1) })), KeyTaskFailure::Unsupported);
    assert_eq!(failed(&ask(&seals, KeyTask { task: None, ..generate(1) })), KeyTaskFailure::Unsupported);
}

#[test]
fn malformed_tasks_are_refused() {
    let seals = ring();
    let no_usage = Task::Generate(GenerateKey { usage: None, unexportable: true, label: String::new(), kind: String::new() });
    let no_source = Task::Inspect(InspectKey { source: None });
    for task in [
        KeyTask { id: vec![1; 15], ..generate(1) },
        KeyTask { task: Some(no_usage), ..generate(1) },
        KeyTask { task: Some(no_source), ..generate(1) },
    ] {
        assert_eq!(failed(&ask(&seals, task)), KeyTaskFailure::Refused);
    }
}

#[test]
fn a_task_that_waited_past_its_deadline_does_not_start_and_may_come_again() {
    let seals = ring();
    let mut recent = Recent::default();
    assert_eq!(failed(&recent.answer(generate(1), Instant::now(), &local(&seals))), KeyTaskFailure::Deadline);
    assert!(matches!(generated(&recent.answer(generate(1), soon(), &local(&seals))), SourceKey::Local(_)));
}
