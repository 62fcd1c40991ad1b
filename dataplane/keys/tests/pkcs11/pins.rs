//! A PIN that a token refused is not tried again.

use std::{env, fs, os::unix::process::ExitStatusExt as _, process::Command, thread};

use holdfast_keys::pkcs11::{TokenAdmin, admin::forget_refused_pin, settings::PartitionSettings, start::Problem};

use crate::fixture::{PIN, Tokens, on_simulator, on_softhsm};

fn open(tokens: &Tokens, settings: &PartitionSettings) -> Option<Problem> {
    let faults = TokenAdmin::open(settings, &tokens.state_dir()).err()?;
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    Some(fault.problem.clone())
}

fn set_pin(tokens: &Tokens, pin: &str) {
    fs::write(tokens.path("pin-one"), pin).unwrap();
}

#[test]
fn a_refused_pin_is_tried_again_once_it_changes_or_someone_says_so() {
    on_softhsm(&["one"], |tokens| {
        let settings = tokens.partition("one");
        assert!(!forget_refused_pin(&settings, &tokens.state_dir()).unwrap(), "never seen, never refused");
        set_pin(tokens, "wrong");
        assert!(matches!(open(tokens, &settings), Some(Problem::PinRefused { why }) if why == "CKR_PIN_INCORRECT"));
        assert!(matches!(open(tokens, &settings), Some(Problem::PinRefusedBefore { why }) if why == "CKR_PIN_INCORRECT"));
        set_pin(tokens, PIN);
        assert_eq!(open(tokens, &settings), None);
        // The wrong one was refused before the good one was taken; what the token says of it now is asked once more.
        set_pin(tokens, "wrong");
        assert!(matches!(open(tokens, &settings), Some(Problem::PinRefused { .. })));
        assert!(forget_refused_pin(&settings, &tokens.state_dir()).unwrap());
        assert!(!forget_refused_pin(&settings, &tokens.state_dir()).unwrap());
        assert!(matches!(open(tokens, &settings), Some(Problem::PinRefused { .. })));
        let kept: Vec<_> =
            fs::read_dir(tokens.state_dir().join("pkcs11")).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
        assert!(!kept.iter().any(|content| content.windows(5).any(|part| part == b"wrong")), "no PIN is on disk");
    });
}

#[test]
fn a_wrong_pin_does_not_lock_a_token_however_often_a_node_starts() {
    on_simulator(SIMULATED, |tokens| {
        let settings = tokens.partition("one");
        set_pin(tokens, "wrong");
        for _ in 0..10 {
            assert!(open(tokens, &settings).is_some());
        }
        let told = tokens.control(r#"{"partition":"one","fault":"wrong-pin"}"#);
        assert!(told.contains("\"attempts\":1"), "{told}");
        set_pin(tokens, PIN);
        assert_eq!(open(tokens, &settings), None, "the token is not locked");
    });
}

#[test]
fn a_wrong_pin_is_tried_once_by_those_who_start_at_once() {
    on_simulator(SIMULATED, |tokens| {
        let settings = tokens.partition("one");
        set_pin(tokens, "wrong");
        thread::scope(|scope| {
            let opening: Vec<_> = (0..8).map(|_| scope.spawn(|| open(tokens, &settings))).collect();
            assert!(opening.into_iter().all(|opened| opened.join().unwrap().is_some()));
        });
        let told = tokens.control(r#"{"partition":"one","fault":"wrong-pin"}"#);
        assert!(told.contains("\"attempts\":1"), "{told}");
    });
}

/// Loads the module, which makes its control socket, and tries no PIN.
fn load(tokens: &Tokens) {
    let mut settings = tokens.partition("one");
    settings.vendor = Some("nobody".into());
    assert!(matches!(open(tokens, &settings), Some(Problem::UnknownVendor { .. })));
}

/// Waits until a login hangs.
fn hangs(tokens: &Tokens) {
    while !tokens.control(r#"{"partition":"one","fault":"status"}"#).contains("\"C_Login\":1") {
        thread::yield_now();
    }
}

#[test]
fn a_new_pin_whose_login_hangs_is_not_tried_again_until_the_token_has_answered() {
    on_simulator(SIMULATED, |tokens| {
        let settings = tokens.partition("one");
        load(tokens);
        tokens.control(r#"{"partition":"one","fault":"hang","on":"C_Login"}"#);
        thread::scope(|scope| {
            let first = scope.spawn(|| open(tokens, &settings));
            hangs(tokens);
            // As after a restart: on disk is all there is to know.
            assert!(matches!(open(tokens, &settings), Some(Problem::PinRefusedBefore { why }) if why.contains("did not come to its end")));
            tokens.control(r#"{"partition":"one","fault":"clear"}"#);
            assert_eq!(first.join().unwrap(), None);
        });
        assert_eq!(open(tokens, &settings), None, "the token took it");
        let told = tokens.control(r#"{"partition":"one","fault":"wrong-pin"}"#);
        assert!(told.contains("\"attempts\":0"), "{told}");
    });
}

#[test]
fn a_new_pin_is_not_tried_again_by_a_node_that_died_in_the_attempt() {
    on_simulator(SIMULATED, |tokens| {
        let settings = tokens.partition("one");
        if env::var_os(DIES).is_some() {
            open(tokens, &settings);
            return;
        }
        load(tokens);
        tokens.control(r#"{"partition":"one","fault":"crash","on":"C_Login"}"#);
        let node = Command::new(env::current_exe().unwrap()).args(env::args_os().skip(1)).env(DIES, "").output().unwrap();
        assert_eq!(node.status.signal(), Some(6), "{}", String::from_utf8_lossy(&node.stderr));
        assert!(matches!(open(tokens, &settings), Some(Problem::PinRefusedBefore { why }) if why.contains("did not come to its end")));
        assert!(forget_refused_pin(&settings, &tokens.state_dir()).unwrap());
        assert_eq!(open(tokens, &settings), None);
    });
}

#[test]
fn a_token_that_failed_at_a_login_is_asked_again_unless_it_may_have_meant_the_pin() {
    on_simulator(SIMULATED, |tokens| {
        let settings = tokens.partition("one");
        load(tokens);
        let fails = |rv: &str| tokens.control(&format!(r#"{{"partition":"one","fault":"error","rv":"{rv}","calls":1,"on":"C_Login"}}"#));
        fails("CKR_DEVICE_ERROR");
        assert!(matches!(open(tokens, &settings), Some(Problem::Unreachable { why }) if why == "C_Login: CKR_DEVICE_ERROR"));
        fails("CKR_GENERAL_ERROR");
        assert!(matches!(open(tokens, &settings), Some(Problem::PinRefused { why }) if why.contains("CKR_GENERAL_ERROR")));
        assert!(matches!(open(tokens, &settings), Some(Problem::PinRefusedBefore { .. })));
        assert!(forget_refused_pin(&settings, &tokens.state_dir()).unwrap());
        assert_eq!(open(tokens, &settings), None);
        // A PIN that the token took is not doubted for that.
        fails("CKR_GENERAL_ERROR");
        assert!(matches!(open(tokens, &settings), Some(Problem::Unreachable { .. })));
        assert_eq!(open(tokens, &settings), None);
        fails("CKR_PIN_EXPIRED");
        assert!(matches!(open(tokens, &settings), Some(Problem::PinRefused { why }) if why == "CKR_PIN_EXPIRED"));
        assert!(matches!(open(tokens, &settings), Some(Problem::PinRefusedBefore { why }) if why == "CKR_PIN_EXPIRED"));
    });
}

/// Set in the process that is to die in its attempt.
const DIES: &str = "HOLDFAST_TEST_DIES";

const SIMULATED: &str = "control = \"control\"\n[[partition]]\nlabel = \"one\"\npin = \"fixture-1234\"\npin_tries = 3\n";
