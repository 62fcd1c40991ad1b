//! Faults by the control socket, in one process.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::scene::{self, encrypt, find, in_child, label, login, play, refused};
use cryptoki::{error::RvError, object::Attribute};

#[test]
fn a_hanging_partition_holds_up_no_other_until_it_is_cleared() {
    play("a_hanging_partition_holds_up_no_other_until_it_is_cleared", TWO, |scene| {
        let (a, b) = (scene.logged_in("a"), scene.logged_in("b"));
        let (key_a, key_b) = (find(&a, "k"), find(&b, "k"));
        let slot_a = scene.slot("a");
        scene.fault(r#"{"partition": "a", "fault": "hang"}"#);
        let pkcs11 = scene.pkcs11.clone();
        let hung = thread::spawn(move || encrypt(&a, key_a, b"x"));
        let info = thread::spawn(move || pkcs11.get_token_info(slot_a).map(|_| ()));
        scene.until_hanging("a", 2);
        assert!(encrypt(&b, key_b, b"x").is_ok());
        assert_eq!(scene.pkcs11.get_slots_with_token().unwrap().len(), 2);
        assert_eq!(scene.status("a")["faults"][0]["fault"], "hang");
        scene.fault(r#"{"partition": "a", "fault": "clear"}"#);
        hung.join().unwrap().unwrap();
        info.join().unwrap().unwrap();
        assert_eq!(scene.status("a")["hanging"], 0);
    });
}

#[test]
fn a_hang_ends_by_itself_and_takes_only_so_many_calls() {
    play("a_hang_ends_by_itself_and_takes_only_so_many_calls", TWO, |scene| {
        let a = scene.logged_in("a");
        let key = find(&a, "k");
        let start = Instant::now();
        scene.fault(r#"{"partition": "a", "fault": "hang", "ms": 120, "on": "crypto"}"#);
        encrypt(&a, key, b"x").unwrap();
        assert!(start.elapsed() >= Duration::from_millis(120));
        scene.fault(r#"{"partition": "a", "fault": "hang", "calls": 1, "on": "C_Encrypt"}"#);
        let hung = thread::spawn(move || encrypt(&a, key, b"x"));
        scene.until_hanging("a", 1);
        let second = scene.session("a");
        assert!(encrypt(&second, key, b"x").is_ok(), "the one call that hangs was taken");
        scene.fault(r#"{"partition": "a", "fault": "clear"}"#);
        hung.join().unwrap().unwrap();
    });
}

#[test]
fn a_slow_partition_takes_longer_for_each_call() {
    play("a_slow_partition_takes_longer_for_each_call", TWO, |scene| {
        let a = scene.logged_in("a");
        let key = find(&a, "k");
        let took = || {
            let start = Instant::now();
            encrypt(&a, key, b"x").unwrap();
            start.elapsed()
        };
        scene.fault(r#"{"partition": "a", "fault": "slow", "ms": 60, "calls": 1, "on": "crypto"}"#);
        assert!(took() >= Duration::from_millis(60));
        scene.fault(r#"{"partition": "a", "fault": "slow", "ms": 60, "on": "crypto"}"#);
        // C_EncryptInit does not travel by itself; the length query and the encryption do.
        assert!(took() >= Duration::from_millis(120));
        scene.fault(r#"{"partition": "a", "fault": "clear"}"#);
        assert_eq!(scene.status("a")["faults"].as_array().unwrap().len(), 0);
    });
}

#[test]
fn an_error_is_answered_as_often_and_as_long_as_asked() {
    play("an_error_is_answered_as_often_and_as_long_as_asked", TWO, |scene| {
        let (a, b) = (scene.logged_in("a"), scene.logged_in("b"));
        let (key_a, key_b) = (find(&a, "k"), find(&b, "k"));
        scene.fault(r#"{"partition": "a", "fault": "error", "rv": "CKR_DEVICE_ERROR", "calls": 2}"#);
        refused(encrypt(&a, key_a, b"x"), RvError::DeviceError);
        assert!(encrypt(&b, key_b, b"x").is_ok());
        refused(encrypt(&a, key_a, b"x"), RvError::DeviceError);
        assert!(encrypt(&a, key_a, b"x").is_ok());
        scene.fault(r#"{"partition": "a", "fault": "error", "rv": 257, "on": "C_Encrypt"}"#);
        refused(encrypt(&a, key_a, b"x"), RvError::UserNotLoggedIn);
        refused(encrypt(&a, key_a, b"x"), RvError::UserNotLoggedIn);
        assert!(a.find_objects(&[]).is_ok(), "only the named function is reached");
        scene.fault(r#"{"partition": "a", "fault": "clear"}"#);
        assert!(encrypt(&a, key_a, b"x").is_ok(), "the failed operation is over");
        scene.fault(r#"{"partition": "a", "fault": "error", "rv": "CKR_GENERAL_ERROR", "ms": 1000}"#);
        refused(encrypt(&a, key_a, b"x"), RvError::GeneralError);
        let start = Instant::now();
        while encrypt(&a, key_a, b"x").is_err() {
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    });
}

#[test]
fn lost_sessions_take_the_login_with_them() {
    play("lost_sessions_take_the_login_with_them", TWO, |scene| {
        let (a, b) = (scene.logged_in("a"), scene.logged_in("b"));
        let key = find(&a, "k");
        scene.fault(r#"{"partition": "SERIAL-A", "fault": "lose-sessions"}"#);
        refused(encrypt(&a, key, b"x"), RvError::SessionHandleInvalid);
        assert!(encrypt(&b, find(&b, "k"), b"x").is_ok());
        let again = scene.session("a");
        refused(encrypt(&again, key, b"x"), RvError::UserNotLoggedIn);
        login(&again, "1234").unwrap();
        assert!(encrypt(&again, key, b"x").is_ok(), "the key's handle stayed");
        refused(encrypt(&a, key, b"x"), RvError::SessionHandleInvalid);
    });
}

#[test]
fn a_call_in_progress_learns_that_its_session_is_lost() {
    play("a_call_in_progress_learns_that_its_session_is_lost", TWO, |scene| {
        let a = scene.logged_in("a");
        let key = find(&a, "k");
        scene.fault(r#"{"partition": "a", "fault": "hang"}"#);
        let hung = thread::spawn(move || encrypt(&a, key, b"x"));
        scene.until_hanging("a", 1);
        scene.fault(r#"{"partition": "a", "fault": "lose-sessions"}"#);
        scene.fault(r#"{"partition": "a", "fault": "clear"}"#);
        refused(hung.join().unwrap(), RvError::SessionHandleInvalid);
    });
}

#[test]
fn a_removed_token_is_gone_until_it_is_put_back() {
    play("a_removed_token_is_gone_until_it_is_put_back", TWO, |scene| {
        let a = scene.logged_in("a");
        let slot = scene.slot("a");
        let key = find(&a, "k");
        scene.fault(r#"{"partition": "a", "fault": "remove-token"}"#);
        refused(encrypt(&a, key, b"x"), RvError::DeviceRemoved);
        refused(scene.pkcs11.get_token_info(slot), RvError::TokenNotPresent);
        refused(scene.pkcs11.open_rw_session(slot), RvError::TokenNotPresent);
        assert_eq!(scene.pkcs11.get_slots_with_token().unwrap().len(), 1);
        assert_eq!(scene.pkcs11.get_all_slots().unwrap().len(), 2);
        assert!(!scene.pkcs11.get_slot_info(slot).unwrap().token_present());
        scene.fault(r#"{"partition": "a", "fault": "clear"}"#);
        refused(encrypt(&a, key, b"x"), RvError::SessionHandleInvalid);
        assert!(encrypt(&scene.logged_in("a"), key, b"x").is_ok());
    });
}

#[test]
fn reused_handles_name_other_keys_and_other_sessions() {
    play("reused_handles_name_other_keys_and_other_sessions", TWO, |scene| {
        let old = scene.logged_in("a");
        let (key, other) = (find(&old, "k"), find(&old, "other"));
        let number = old.handle();
        scene.fault(r#"{"partition": "a", "fault": "reuse-handles"}"#);
        refused(encrypt(&old, key, b"x"), RvError::SessionHandleInvalid);
        let new = scene.logged_in("a");
        assert_eq!(new.handle(), number, "the number of a lost session is given out again");
        assert_eq!((label(&new, key).unwrap(), label(&new, other).unwrap()), ("other".to_owned(), "k".to_owned()));
        let both = [find(&new, "k"), find(&new, "other")];
        assert_eq!(both, [other, key]);
        // Through the old session's handle a caller that noticed nothing meets the wrong key, and no error.
        assert_eq!(old.find_objects(&[Attribute::Label(b"k".to_vec())]).unwrap(), [other]);
    });
}

#[test]
fn a_call_in_progress_does_not_meet_the_session_that_got_its_handle() {
    play("a_call_in_progress_does_not_meet_the_session_that_got_its_handle", TWO, |scene| {
        let old = scene.logged_in("a");
        let (key, number) = (find(&old, "k"), old.handle());
        scene.fault(r#"{"partition": "a", "fault": "hang", "calls": 1}"#);
        // It outlives the assertions: closing it would close the session that has its handle then.
        let hung = thread::spawn(move || (encrypt(&old, key, b"x"), old));
        scene.until_hanging("a", 1);
        scene.fault(r#"{"partition": "a", "fault": "reuse-handles"}"#);
        let new = scene.logged_in("a");
        assert_eq!(new.handle(), number);
        scene.fault(r#"{"partition": "a", "fault": "clear"}"#);
        let (answer, _old) = hung.join().unwrap();
        refused(answer, RvError::SessionHandleInvalid);
        assert!(encrypt(&new, find(&new, "k"), b"x").is_ok());
    });
}

#[test]
fn wrong_pins_are_counted() {
    play("wrong_pins_are_counted", TWO, |scene| {
        let a = scene.session("a");
        refused(login(&a, "0000"), RvError::PinIncorrect);
        login(&a, "1234").unwrap();
        a.logout().unwrap();
        refused(login(&a, ""), RvError::PinIncorrect);
        let counted = scene.control(r#"{"partition": "a", "fault": "wrong-pin"}"#);
        assert_eq!(counted, serde_json::json!({"ok": true, "attempts": 2, "logins": 1}));
        assert_eq!(scene.control(r#"{"partition": "b", "fault": "wrong-pin"}"#)["attempts"], 0);
    });
}

#[test]
fn a_status_counts_calls_sessions_and_logins() {
    play("a_status_counts_calls_sessions_and_logins", TWO, |scene| {
        let a = scene.logged_in("a");
        encrypt(&a, find(&a, "k"), b"x").unwrap();
        let status = scene.status("a");
        assert_eq!(status["ok"], true);
        assert_eq!((&status["calls"]["C_EncryptInit"], &status["calls"]["C_Encrypt"]), (&1.into(), &2.into()));
        assert_eq!(
            (&status["sessions"], &status["logged_in"], &status["logins"], &status["processes"]),
            (&1.into(), &1.into(), &1.into(), &1.into())
        );
        let all = scene.control(r#"{"fault": "status"}"#);
        assert_eq!((all["partitions"][0]["serial"].as_str(), all["partitions"][1]["partition"].as_str()), (Some("SERIAL-A"), Some("b")));
    });
}

#[test]
fn a_wrong_command_is_refused_by_name() {
    play("a_wrong_command_is_refused_by_name", TWO, |scene| {
        let cases = [
            (r#"{"partition": "a", "fault": "nonsense"}"#, "nonsense"),
            (r#"{"partition": "a", "fault": "hang", "colour": 1}"#, "colour"),
            (r#"{"partition": "c", "fault": "hang"}"#, "\"c\""),
            (r#"{"fault": "hang"}"#, "partition"),
            (r#"{"partition": "a", "fault": "hang", "rv": 5}"#, "rv"),
            (r#"{"partition": "a", "fault": "error"}"#, "rv"),
            (r#"{"partition": "a", "fault": "error", "rv": "CKR_NONSENSE"}"#, "CKR_NONSENSE"),
            (r#"{"partition": "a", "fault": "slow"}"#, "ms"),
            (r#"{"partition": "a", "fault": "slow", "ms": 1, "on": "C_Nonsense"}"#, "C_Nonsense"),
            (r#"{"partition": "a", "fault": "hang", "calls": 0}"#, "calls"),
            (r#"{"partition": "a", "fault": "clear", "ms": 1}"#, "ms"),
            (r#"{"partition": "a", "fault": "crash", "ms": 0}"#, "no process"),
            ("nonsense", "expected"),
        ];
        for (command, named) in cases {
            let answer = scene.control(command);
            assert_eq!(answer["ok"], false, "{command}");
            assert!(answer["error"].as_str().unwrap().contains(named), "{command}: {answer}");
        }
        let a = scene.logged_in("a");
        assert!(encrypt(&a, find(&a, "k"), b"x").is_ok(), "none of them did anything");
    });
}

#[test]
fn a_crash_ends_the_process_at_the_next_call() {
    const TEST: &str = "a_crash_ends_the_process_at_the_next_call";
    if in_child() {
        return scene::Scene::enter(TEST, |scene| {
            let (a, b) = (scene.logged_in("a"), scene.logged_in("b"));
            let key = find(&a, "k");
            scene.fault(r#"{"partition": "a", "fault": "crash"}"#);
            encrypt(&b, find(&b, "k"), b"x").unwrap();
            eprintln!("alive so far");
            let (done, never) = mpsc::channel::<()>();
            let _answered = encrypt(&a, key, b"x");
            drop(done);
            never.recv().unwrap();
        });
    }
    crashes(TEST);
}

#[test]
fn a_crash_at_once_needs_no_call() {
    const TEST: &str = "a_crash_at_once_needs_no_call";
    if in_child() {
        return scene::Scene::enter(TEST, |scene| {
            let _a = scene.logged_in("a");
            eprintln!("alive so far");
            scene.fault(r#"{"partition": "a", "fault": "crash", "ms": 0}"#);
            let (_open, never) = mpsc::channel::<()>();
            never.recv().unwrap();
        });
    }
    crashes(TEST);
}

fn crashes(test: &str) {
    use std::os::unix::process::ExitStatusExt as _;
    let directory = tempfile::tempdir().unwrap();
    let output = scene::again(test, TWO, directory.path().to_owned());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.signal() == Some(6) && told.contains("alive so far"), "{}: {told}", output.status);
}

const TWO: &str = "control = 'control'
    [[partition]]\nlabel = 'a'\nserial = 'SERIAL-A'\npin = '1234'
    [[partition.key]]\nid = '01'\nlabel = 'k'\n[[partition.key]]\nid = '02'\nlabel = 'other'
    [[partition]]\nlabel = 'b'\npin = '1234'\n[[partition.key]]\nid = '01'\nlabel = 'k'";
