//! What a partition does while nothing goes wrong, and what keeps it from starting.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use holdfast_proto::records::KeyUsage;

use super::scene::{self, Scene, decryption, encryption, key};
use crate::fixture::{PIN, on_simulator, on_softhsm};
use crate::pkcs11::{
    fault::Class,
    gate::Gate,
    handles::KeyName,
    job::{Done, Fault, Work},
    preflight::{Connected, connect},
    settings::TokenSelector,
    start::Problem,
    status::{Condition, NewKey, TokenTask, TokenTaskDone, TokenTaskError},
};

#[test]
fn a_partition_does_every_kind_of_work() {
    on_softhsm(&["a"], |tokens| {
        let scene = Scene::softhsm(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        assert!(matches!(running.ask(&k, Work::Check), Ok(Done::Checked)));
        assert!(matches!(running.ask(&k, Work::Describe), Ok(Done::Described(KeyUsage::BOTH))));
        assert_eq!(k.found(1).unwrap().usage, KeyUsage::BOTH);
        let status = running.front.status();
        assert_eq!((status.generation, status.sessions, status.in_use, status.queued, status.leaked), (1, 2, 0, 0, 0));
        assert_eq!(status.facts.unwrap().label, "a");
        assert!(matches!(running.encrypt(&key("none"), "x"), Err(Fault::Missing(why)) if why.contains("none")));
        running.until(Condition::is_up);
    });
}

#[test]
fn a_key_that_was_deleted_does_not_live_on_in_its_copy() {
    on_softhsm(&["a"], |tokens| {
        let scene = Scene::softhsm(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        let copied = k.found(1).unwrap().copied.unwrap();
        let Connected { token, .. } = connect(&tokens.partition("a"), &tokens.state_dir(), Gate::open()).unwrap();
        let session = token.open(true, Gate::open()).unwrap();
        assert_eq!(session.find(&k.name).unwrap().handle, copied.original);
        // Ends any object by its handle.
        session.end_copy(copied.original);
        assert!(matches!(running.ask(&k, Work::Describe), Err(Fault::Missing(_))));
        assert_eq!(k.found(1), None);
        assert!(matches!(running.encrypt(&k, "x"), Err(Fault::Missing(_))));
        assert_eq!(session.encrypt(copied.copy.handle(), b"", b"x").err().unwrap().class, Class::Key, "the copy is gone");
    });
}

#[test]
fn an_encryption_with_integrity_hashes_what_it_gives_out() {
    on_softhsm(&["a"], |tokens| {
        let scene = Scene::softhsm(tokens);
        let running = scene.up();
        let Work::Encrypt(mut work) = encryption("text") else { unreachable!() };
        work.integrity = Some(b"prefix".to_vec());
        let Ok(Done::Encrypted(sealed)) = running.ask(&key("k"), Work::Encrypt(work)) else { panic!() };
        let hashed = [b"prefix".as_slice(), &sealed.iv, &sealed.ciphertext, &sealed.tag].concat();
        assert_eq!(sealed.integrity.unwrap(), digest(&SHA256, &hashed).as_ref());
        assert_eq!(sealed.tries, 1);
        assert_eq!(running.decrypt(&key("k"), &sealed).unwrap(), "text");
    });
}

#[test]
fn an_encryption_that_fails_its_own_check_is_done_once_more() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let checked = || {
            let Work::Encrypt(mut work) = encryption("text") else { unreachable!() };
            work.integrity = Some(Vec::new());
            running.ask(&key("k"), Work::Encrypt(work))
        };
        // A tag that does not verify, of a ciphertext that is the token's own.
        for rv in ["CKR_ENCRYPTED_DATA_INVALID", "CKR_GENERAL_ERROR"] {
            scene.fault(&format!(r#""fault": "error", "rv": "{rv}", "calls": 1, "on": "C_Decrypt""#));
            assert!(matches!(checked(), Ok(Done::Encrypted(sealed)) if sealed.tries == 2), "{rv}");
        }
        // The session breaks before it could tell: what the key encrypted for nothing counts.
        scene.fault(r#""fault": "error", "rv": "CKR_OPERATION_NOT_INITIALIZED", "calls": 1, "on": "C_Decrypt""#);
        assert!(matches!(checked(), Ok(Done::Encrypted(sealed)) if sealed.tries == 2));
        scene.fault(r#""fault": "error", "rv": "CKR_ENCRYPTED_DATA_INVALID", "calls": 2, "on": "C_Decrypt""#);
        assert!(matches!(checked(), Err(Fault::SelfCheck)));
        assert!(matches!(checked(), Ok(Done::Encrypted(sealed)) if sealed.tries == 1));
        assert_eq!(running.front.generation(), 1);
    });
}

#[test]
fn a_wrong_tag_is_the_callers_fault_and_leaves_the_partition_up() {
    // SoftHSM answers CKR_GENERAL_ERROR: a canary tells.
    on_softhsm(&["a"], |tokens| {
        let scene = Scene::softhsm(tokens);
        let running = scene.up();
        let k = key("k");
        let good = running.encrypt(&k, "text").unwrap();
        let mut bad = good.clone();
        bad.tag[0] ^= 1;
        assert_eq!(running.decrypt(&k, &bad), Err(Fault::Input));
        assert_eq!(running.decrypt(&key("holdfast-health"), &good), Err(Fault::Input), "another key");
        assert_eq!(running.decrypt(&k, &good).unwrap(), "text");
        running.until(Condition::is_up);
        assert_eq!(running.front.generation(), 1);
    });
}

#[test]
fn a_key_is_proved_by_a_ciphertext_of_its_own_alone() {
    on_softhsm(&["a"], |tokens| {
        let scene = Scene::softhsm(tokens);
        let running = scene.up();
        let Ok(Done::Proof(proof)) = running.ask(&key("k"), Work::MakeProof) else { panic!() };
        let proof = Arc::new(proof);
        let proved = |label: &str| running.submit_with(&key(label), Arc::clone(&proof), encryption("x")).outcome();
        assert!(proved("k").is_ok());
        assert!(matches!(proved("holdfast-health"), Err(Fault::NotProved)));
        running.until(Condition::is_up);
    });
}

#[test]
fn a_usage_that_the_token_does_not_allow_is_refused() {
    on_softhsm(&["a"], |tokens| {
        let scene = Scene::softhsm(tokens);
        scene.admin().generate(b"e", "e", KeyUsage { encrypt: true, decrypt: false }).unwrap();
        let running = scene.up();
        let e = key("e");
        let sealed = running.encrypt(&e, "x").unwrap();
        assert_eq!(running.decrypt(&e, &sealed), Err(Fault::Usage));
        assert!(matches!(running.ask(&e, Work::Describe), Ok(Done::Described(KeyUsage { encrypt: true, decrypt: false }))));
    });
}

#[test]
fn a_job_past_its_deadline_or_taken_back_is_not_begun() {
    on_softhsm(&["a"], |tokens| {
        let scene = Scene::softhsm(tokens);
        let running = scene.up();
        assert!(matches!(running.submit(&key("k"), encryption("x"), Duration::ZERO).outcome(), Err(Fault::Expired)));
    });
}

#[test]
fn key_tasks_list_inspect_and_generate() {
    on_softhsm(&["a"], |tokens| {
        let scene = Scene::softhsm(tokens);
        let running = scene.up();
        let new = NewKey { cka_id: b"new".as_slice().into(), label: "new".into(), encrypt: true, decrypt: true };
        let Ok(TokenTaskDone::Key(made)) = running.task(TokenTask::Generate(new.clone())) else { panic!() };
        assert_eq!(made.usage(), KeyUsage::BOTH);
        let Ok(TokenTaskDone::Key(again)) = running.task(TokenTask::Generate(new)) else { panic!() };
        assert_eq!(again, made, "one that is there is the result");
        let Ok(TokenTaskDone::Keys(all)) = running.task(TokenTask::List) else { panic!() };
        let mut labels: Vec<_> = all.iter().map(|key| key.label.as_str()).collect();
        labels.sort_unstable();
        assert_eq!(labels, ["holdfast-health", "k", "new"]);
        let name = |label: &str| KeyName { cka_id: Box::default(), label: label.into() };
        assert_eq!(running.task(TokenTask::Inspect(name("new"))), Ok(TokenTaskDone::Key(made)));
        assert!(matches!(running.task(TokenTask::Inspect(name("none"))), Err(TokenTaskError::Refused(why)) if why.contains("none")));
        running.works(&key("new"));
        running.until(Condition::is_up);
    });
}

#[test]
fn a_partition_that_is_stopped_takes_nothing_and_has_no_session() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        running.works(&key("k"));
        assert_eq!(scene.count("sessions"), 3);
        running.stop();
        assert_eq!(scene.count("sessions"), 0);
        assert_eq!(running.front.status().sessions, 0);
        assert_eq!(scene.up().front.generation(), 1, "another partition on the same token");
    });
}

#[test]
fn what_is_wrong_with_the_configuration_stops_the_start() {
    on_softhsm(&["a"], |tokens| {
        let scene = Scene::softhsm(tokens);
        let problem = |change: fn(&mut crate::pkcs11::settings::PartitionSettings)| {
            let mut settings = scene.settings();
            change(&mut settings);
            scene.start(settings).map(|_| ()).unwrap_err().remove(0).problem
        };
        assert!(matches!(problem(|settings| settings.module = "/none.so".into()), Problem::ModuleMissing { .. }));
        assert!(matches!(problem(|settings| settings.token = TokenSelector::Label("b".into())), Problem::NoSuchToken { .. }));
        assert!(matches!(problem(|settings| settings.health_key = "none".into()), Problem::HealthKeyMissing { .. }));
    });
}

#[test]
fn a_refused_pin_is_tried_once_and_again_when_it_has_changed() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        scene.write_pin("wrong");
        let problem = || scene.start(scene.settings()).map(|_| ()).unwrap_err().remove(0).problem;
        assert!(matches!(problem(), Problem::PinRefused { .. }));
        assert!(matches!(problem(), Problem::PinRefusedBefore { .. }));
        assert_eq!(scene.count("wrong_pins"), 1);
        scene.write_pin(PIN);
        let running = scene.up();
        running.works(&key("k"));
        // Refused later on, it is not tried over and over, and a better one is noticed.
        scene.write_pin("wrong too");
        scene.fault(r#""fault": "lose-sessions""#);
        let _ = running.encrypt(&key("k"), "x");
        running.until(|condition| matches!(condition, Condition::PinRefused(_)));
        assert_eq!(scene.count("wrong_pins"), 2);
        scene.write_pin(PIN);
        running.until_up(2);
        assert_eq!(scene.count("wrong_pins"), 2);
        running.works(&key("k"));
    });
}

#[test]
fn fewer_sessions_than_asked_for_serve_as_well() {
    on_simulator(&scene::one("sessions = 3"), |tokens| {
        let scene = Scene::sim(tokens);
        let mut settings = scene.settings();
        settings.sessions = Some(9.try_into().unwrap());
        let running = scene.start(settings).unwrap();
        running.until_up(2);
        running.works(&key("k"));
        running.stop();
        let mut settings = scene.settings();
        settings.sessions = None;
        let running = scene.start(settings).unwrap();
        running.until_up(2);
        assert_eq!(scene.count("sessions"), 3, "one less than the token allows, and the anchor");
    });
}

#[test]
fn without_a_session_that_works_a_partition_is_down_and_says_why() {
    on_simulator(&scene::one("sessions = 1"), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.start(scene.settings()).unwrap();
        running.until(|condition| matches!(condition, Condition::Down(why) if why.contains("CKR_SESSION_COUNT")));
    });
}

#[test]
fn keys_are_looked_up_once_not_for_each_request() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        let before = scene.count("C_FindObjects");
        let sealed = running.encrypt(&k, "x").unwrap();
        let encryptions = scene.count("C_Encrypt");
        for _ in 0..20 {
            running.encrypt(&k, "x").unwrap();
            assert!(matches!(running.ask(&k, decryption(&sealed)), Ok(Done::Decrypted(_))));
        }
        assert_eq!(scene.count("C_FindObjects"), before);
        assert_eq!(scene.count("C_Encrypt"), encryptions + 20, "two C calls are enough");
    });
}
