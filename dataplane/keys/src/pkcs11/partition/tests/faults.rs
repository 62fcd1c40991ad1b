//! What a partition does when calls fail: which fault is told, and how it comes back.

use std::time::Instant;

use super::scene::{self, Scene, key};
use crate::fixture::on_simulator;
use crate::pkcs11::{clocks::CANARY, job::Fault, status::Condition};

#[test]
fn a_session_that_broke_is_opened_anew_and_the_job_done() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        for rv in ["CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED", "CKR_OPERATION_ACTIVE"] {
            scene.fault(&format!(r#""fault": "error", "rv": "{rv}", "calls": 1, "on": "C_Encrypt""#));
            running.works(&k);
        }
        assert_eq!((running.front.generation(), running.front.status().sessions), (1, 2));
        running.until(Condition::is_up);
    });
}

#[test]
fn a_token_whose_sessions_all_break_is_soon_down() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        let start = Instant::now();
        scene.fault(r#""fault": "error", "rv": "CKR_SESSION_HANDLE_INVALID", "on": "crypto""#);
        assert!(matches!(running.encrypt(&k, "x"), Err(Fault::Session)));
        running.until(|condition| matches!(condition, Condition::Down(why) if why.contains("CKR_SESSION_HANDLE_INVALID")));
        assert!(start.elapsed() < CANARY / 2, "long before the next canary is due");
        scene.clear();
        running.until_up(2);
        running.works(&k);
    });
}

#[test]
fn a_handle_that_went_stale_is_looked_up_once_more() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        let before = scene.count("C_FindObjectsInit");
        scene.fault(r#""fault": "error", "rv": "CKR_KEY_HANDLE_INVALID", "calls": 1, "on": "C_EncryptInit""#);
        running.works(&k);
        assert_eq!(scene.count("C_FindObjectsInit"), before + 1);
        scene.fault(r#""fault": "error", "rv": "CKR_KEY_HANDLE_INVALID", "calls": 2, "on": "C_EncryptInit""#);
        assert!(matches!(running.encrypt(&k, "x"), Err(Fault::Missing(_))));
        running.until(Condition::is_up);
    });
}

#[test]
fn a_token_that_fails_is_down_by_its_code_and_connected_again() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        for rv in ["CKR_DEVICE_ERROR", "CKR_USER_NOT_LOGGED_IN", "CKR_DEVICE_REMOVED"] {
            let generation = running.front.generation();
            scene.fault(&format!(r#""fault": "error", "rv": "{rv}", "on": "crypto""#));
            assert!(matches!(running.encrypt(&k, "x"), Err(Fault::Token(why)) if why.contains(rv)));
            running.until(|condition| matches!(condition, Condition::Down(why) if why.contains(rv)));
            scene.clear();
            running.until_up(2);
            assert!(running.front.generation() > generation, "{rv}");
            running.works(&k);
        }
        assert_eq!(running.front.status().leaked, 0);
    });
}

#[test]
fn one_failed_call_costs_one_request_and_a_reconnection() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        scene.fault(r#""fault": "error", "rv": "CKR_DEVICE_ERROR", "calls": 1, "on": "C_Decrypt""#);
        let sealed = running.encrypt(&key("k"), "x").unwrap();
        assert!(matches!(running.decrypt(&key("k"), &sealed), Err(Fault::Token(_))));
        scene::until(|| running.front.generation() == 2, || format!("{:?}", running.front.status()));
        running.until_up(2);
        assert_eq!(running.decrypt(&key("k"), &sealed).unwrap(), "x");
    });
}

#[test]
fn an_encryption_that_fails_oddly_is_never_the_callers_fault() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        let sealed = running.encrypt(&k, "x").unwrap();
        for rv in ["CKR_GENERAL_ERROR", "CKR_ENCRYPTED_DATA_INVALID", "CKR_DATA_INVALID"] {
            scene.fault(&format!(r#""fault": "error", "rv": "{rv}", "calls": 1, "on": "C_Encrypt""#));
            assert!(matches!(running.encrypt(&k, "x"), Err(Fault::Token(why)) if why.contains(rv)));
            running.until(Condition::is_up);
        }
        assert_eq!(running.front.generation(), 1);
        // Of a decryption, a canary tells: where it fails too, the token is at fault.
        scene.fault(r#""fault": "error", "rv": "CKR_GENERAL_ERROR", "calls": 1, "on": "C_Decrypt""#);
        assert_eq!(running.decrypt(&k, &sealed), Err(Fault::Input));
        scene.fault(r#""fault": "error", "rv": "CKR_GENERAL_ERROR", "on": "C_Decrypt""#);
        assert!(matches!(running.decrypt(&k, &sealed), Err(Fault::Token(_))));
        running.until(|condition| matches!(condition, Condition::Down(_)));
        scene.clear();
        running.until_up(2);
        assert_eq!(running.decrypt(&k, &sealed).unwrap(), "x");
    });
}

#[test]
fn sessions_that_were_lost_begin_another_generation() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        scene.fault(r#""fault": "lose-sessions""#);
        assert!(matches!(running.encrypt(&k, "x"), Err(Fault::Token(_))));
        scene::until(|| running.front.generation() == 2, || format!("{:?}", running.front.status()));
        running.until_up(2);
        running.works(&k);
        assert_eq!(scene.count("sessions"), 3);
    });
}

#[test]
fn handles_that_come_to_name_other_keys_never_serve() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let keys = [key("k"), key("l"), key("holdfast-health")];
        let sealed = keys.each_ref().map(|key| running.encrypt(key, &key.name.label).unwrap());
        for round in 0..6 {
            scene.fault(r#""fault": "reuse-handles""#);
            // Until it is connected again requests fail, but none meets another key.
            let until = running.front.generation() + 1;
            while running.front.generation() < until || !running.front.condition().is_up() {
                if running.front.condition().is_up() {
                    let turn = round % keys.len();
                    if let Some(text) = running.try_decrypt(&keys[turn], &sealed[turn]) {
                        assert_eq!(text, keys[turn].name.label);
                    }
                }
            }
            for (key, sealed) in keys.iter().zip(&sealed) {
                assert_eq!(running.decrypt(key, sealed).unwrap(), key.name.label);
                let again = running.encrypt(key, "again").unwrap();
                assert_eq!(running.decrypt(key, &again).unwrap(), "again");
            }
        }
    });
}

#[test]
fn a_token_that_is_removed_is_connected_again_when_it_is_back() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        scene.fault(r#""fault": "remove-token""#);
        assert!(matches!(running.encrypt(&key("k"), "x"), Err(Fault::Token(_))));
        running.until(|condition| matches!(condition, Condition::Down(_)));
        scene.clear();
        running.until_up(2);
        running.works(&key("k"));
        assert_eq!(scene.count("sessions"), 3);
    });
}
