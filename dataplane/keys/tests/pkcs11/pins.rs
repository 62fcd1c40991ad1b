//! A PIN that a token refused is not tried again.

use std::fs;

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
    let configuration = format!("[[partition]]\nlabel = \"one\"\npin = {PIN:?}\npin_tries = 3\n");
    on_simulator(&configuration, |tokens| {
        let settings = tokens.partition("one");
        set_pin(tokens, "wrong");
        for _ in 0..10 {
            assert!(open(tokens, &settings).is_some());
        }
        set_pin(tokens, PIN);
        assert_eq!(open(tokens, &settings), None, "the token is not locked");
    });
}
