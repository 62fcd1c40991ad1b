use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use cryptoki_sys::{
    CKR_DEVICE_ERROR, CKR_FUNCTION_FAILED, CKR_KEY_HANDLE_INVALID, CKR_SESSION_COUNT, CKR_SESSION_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN,
};
use holdfast_proto::records::KeyUsage;

use super::*;
use crate::{
    fixture::{PIN, Tokens, on_simulator, on_softhsm},
    pkcs11::{
        handles::KeyName,
        preflight::{Connected, check_health_key, connect},
        start::Problem,
        status::NewKey,
    },
};

fn connected(tokens: &Tokens) -> Connected {
    connect(&tokens.partition("one"), &tokens.state_dir(), Gate::open()).unwrap()
}

fn by_label(label: &str) -> KeyName {
    KeyName { cka_id: Box::default(), label: label.into() }
}

fn simulated(iv: &str, more: &str) -> String {
    format!("control = \"control\"\n[[partition]]\nlabel = \"one\"\npin = {PIN:?}\niv = {iv:?}\n{more}\n{KEYS}")
}

/// The keys of simulated tokens.
const KEYS: &str = "
[[partition.key]]
id = \"01\"
label = \"both\"
value = \"4242424242424242424242424242424242424242424242424242424242424242\"
[[partition.key]]
id = \"02\"
label = \"encrypts\"
decrypt = false
[[partition.key]]
id = \"03\"
label = \"decrypts\"
encrypt = false
";

fn opening<'a>(sealed: &'a RawSealed, aad: &'a [u8]) -> Opening<'a> {
    Opening { iv: &sealed.iv, aad, ciphertext: &sealed.ciphertext, tag: &sealed.tag }
}

fn round_trips(session: &Session, key: u64) {
    for (aad, plaintext) in [(&b""[..], &b""[..]), (b"", b"x"), (&[7; 8_192], &[9; 4_300])] {
        let one = session.encrypt(key, aad, plaintext).unwrap();
        let two = session.encrypt(key, aad, plaintext).unwrap();
        assert_ne!(*one.iv, *two.iv);
        assert_eq!(one.ciphertext.len(), plaintext.len());
        for sealed in [one, two] {
            assert_eq!(*session.decrypt(key, opening(&sealed, aad)).unwrap(), plaintext);
        }
    }
}

/// As anyone else decrypts it who has the key of the simulated tokens.
fn opens_elsewhere(sealed: &RawSealed, aad: &[u8], plaintext: &[u8]) {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[0x42; 32]).unwrap());
    let mut opened = vec![0; plaintext.len()];
    let nonce = Nonce::try_assume_unique_for_key(&sealed.iv).unwrap();
    key.open_separate_gather(nonce, Aad::from(aad), &sealed.ciphertext, &sealed.tag, &mut opened).unwrap();
    assert_eq!(opened, plaintext);
}

#[test]
fn what_softhsm_encrypts_it_decrypts_with_an_iv_of_ours() {
    on_softhsm(&["one"], |tokens| {
        let Connected { anchor, .. } = connected(tokens);
        anchor.generate(&NewKey { cka_id: [1].into(), label: "key".into(), encrypt: true, decrypt: true }).unwrap();
        let key = anchor.find(&by_label("key")).unwrap().handle.handle();
        round_trips(&anchor, key);
        let sealed = anchor.encrypt(key, b"aad", b"text").unwrap();
        assert_eq!(sealed.iv.len(), IV_LENGTH);

        // Not the caller's, until a canary says so: SoftHSM answers CKR_GENERAL_ERROR.
        let wrong_tag = Opening { tag: &[0; TAG_LENGTH], ..opening(&sealed, b"aad") };
        assert_eq!(anchor.decrypt(key, wrong_tag).unwrap_err().class, Class::Unsure);
        assert_eq!(*anchor.decrypt(key, opening(&sealed, b"aad")).unwrap(), b"text", "the session goes on");
        let endless = Opening { iv: &[1; 17], ..opening(&sealed, b"aad") };
        assert_eq!(anchor.decrypt(key, endless).unwrap_err().class, Class::Input);
        assert_eq!(anchor.encrypt(key + 1_000, b"", b"text").err().unwrap().class, Class::Key);
    });
}

#[test]
fn a_copy_serves_all_sessions_as_the_tokens_key_does_and_ends_with_its_own() {
    on_softhsm(&["one"], |tokens| {
        let Connected { token, anchor, .. } = connected(tokens);
        assert!(token.vendor().session_copies);
        anchor.generate(&NewKey { cka_id: [1].into(), label: "key".into(), encrypt: true, decrypt: true }).unwrap();
        let original = anchor.find(&by_label("key")).unwrap().handle;
        let [maker, other] = [(); 2].map(|()| token.open(false, Gate::open()).unwrap());
        let copy = maker.copy(original).unwrap().unwrap();
        assert_ne!(copy, original);
        let sealed = other.encrypt(copy.handle(), b"aad", b"text").unwrap();
        assert_eq!(*anchor.decrypt(original.handle(), opening(&sealed, b"aad")).unwrap(), b"text");
        round_trips(&maker, copy.handle());
        // No copy is a key of the token.
        assert_eq!(other.find(&by_label("key")).unwrap().handle, original);
        assert_eq!(other.list().unwrap().len(), 1);

        let second = other.copy(original).unwrap().unwrap();
        other.end_copy(second);
        assert_eq!(other.encrypt(second.handle(), b"", b"text").err().unwrap().class, Class::Key);
        drop(maker);
        assert_eq!(other.encrypt(copy.handle(), b"", b"text").err().unwrap().class, Class::Key);
    });
}

#[test]
fn a_callers_iv_is_what_the_ciphertext_has() {
    on_simulator(&simulated("caller", ""), |tokens| {
        let Connected { token, anchor, .. } = connected(tokens);
        assert_eq!(token.vendor().name, "holdfast-sim");
        let key = anchor.find(&by_label("both")).unwrap().handle.handle();
        round_trips(&anchor, key);
        opens_elsewhere(&anchor.encrypt(key, b"aad", b"text").unwrap(), b"aad", b"text");
    });
}

#[test]
fn an_iv_that_the_token_writes_to_the_buffer_is_what_the_ciphertext_has() {
    on_simulator(&simulated("token", "manufacturer = \"Holdfast Simulator (fills IV)\""), |tokens| {
        let Connected { token, anchor, .. } = connected(tokens);
        assert_eq!(token.vendor().name, "holdfast-sim-fills");
        let key = anchor.find(&by_label("both")).unwrap().handle.handle();
        round_trips(&anchor, key);
        opens_elsewhere(&anchor.encrypt(key, b"aad", b"text").unwrap(), b"aad", b"text");
    });
}

fn appended(length: usize) -> String {
    simulated("appended", &format!("manufacturer = \"Holdfast Simulator (appends IV)\"\niv_len = {length}"))
}

#[test]
fn an_iv_of_12_bytes_that_the_token_appends_is_what_the_ciphertext_has() {
    on_simulator(&appended(12), |tokens| {
        let Connected { token, anchor, .. } = connected(tokens);
        assert_eq!(token.vendor().name, "holdfast-sim-appends");
        let key = anchor.find(&by_label("both")).unwrap().handle.handle();
        round_trips(&anchor, key);
        opens_elsewhere(&anchor.encrypt(key, b"aad", b"text").unwrap(), b"aad", b"text");
    });
}

#[test]
fn an_iv_of_16_bytes_that_the_token_appends_is_what_the_ciphertext_has() {
    on_simulator(&appended(16), |tokens| {
        let Connected { anchor, .. } = connected(tokens);
        let key = anchor.find(&by_label("both")).unwrap().handle.handle();
        round_trips(&anchor, key);
        assert_eq!(anchor.encrypt(key, b"", b"text").unwrap().iv.len(), Iv::MOST);
    });
}

/// What an encryption says on a token that does not do as this row of the vendor table has it.
fn misjudged(tokens: &Tokens, row: &str) -> Class {
    let mut settings = tokens.partition("one");
    settings.vendor = Some(row.into());
    let Connected { anchor, .. } = connect(&settings, &tokens.state_dir(), Gate::open()).unwrap();
    let key = anchor.find(&by_label("both")).unwrap().handle.handle();
    anchor.encrypt(key, b"", b"text").err().unwrap().class
}

#[test]
fn zeros_that_the_token_did_not_replace_are_no_iv() {
    // The second encryption would use them again.
    on_simulator(&simulated("caller", ""), |tokens| assert_eq!(misjudged(tokens, "holdfast-sim-fills"), Class::Token));
}

#[test]
fn an_iv_that_nobody_expected_is_not_taken_for_ciphertext() {
    on_simulator(&appended(16), |tokens| {
        assert_eq!(misjudged(tokens, "holdfast-sim"), Class::Token);
        assert_eq!(misjudged(tokens, "cloudhsm"), Class::Token);
    });
}

#[test]
fn a_key_does_only_what_its_usage_allows() {
    on_simulator(&simulated("caller", ""), |tokens| {
        let Connected { anchor, .. } = connected(tokens);
        let encrypts = anchor.find(&by_label("encrypts")).unwrap();
        assert_eq!(encrypts.usage, KeyUsage { encrypt: true, decrypt: false });
        let sealed = anchor.encrypt(encrypts.handle.handle(), b"", b"text").unwrap();
        assert_eq!(anchor.decrypt(encrypts.handle.handle(), opening(&sealed, b"")).unwrap_err().class, Class::Usage);
        let decrypts = anchor.find(&by_label("decrypts")).unwrap();
        assert_eq!(decrypts.usage, KeyUsage { encrypt: false, decrypt: true });
        assert_eq!(anchor.encrypt(decrypts.handle.handle(), b"", b"text").err().unwrap().class, Class::Usage);
        // This token names a bad tag as such.
        assert_eq!(anchor.decrypt(decrypts.handle.handle(), opening(&sealed, b"")).unwrap_err().class, Class::Input);
    });
}

#[test]
fn each_fault_of_a_call_has_its_class() {
    on_simulator(&simulated("caller", ""), |tokens| {
        let Connected { anchor, .. } = connected(tokens);
        let key = anchor.find(&by_label("both")).unwrap().handle.handle();
        let sealed = anchor.encrypt(key, b"", b"text").unwrap();
        for (name, rv, class) in [
            ("CKR_DEVICE_ERROR", CKR_DEVICE_ERROR, Class::Token),
            ("CKR_FUNCTION_FAILED", CKR_FUNCTION_FAILED, Class::Unsure),
            ("CKR_KEY_HANDLE_INVALID", CKR_KEY_HANDLE_INVALID, Class::Key),
            ("CKR_SESSION_HANDLE_INVALID", CKR_SESSION_HANDLE_INVALID, Class::Session),
            ("CKR_USER_NOT_LOGGED_IN", CKR_USER_NOT_LOGGED_IN, Class::Login),
        ] {
            for function in ["C_EncryptInit", "C_DecryptInit"] {
                tokens.control(&format!(r#"{{"partition":"one","fault":"error","rv":"{name}","calls":1,"on":"{function}"}}"#));
                let failed = match function {
                    "C_EncryptInit" => anchor.encrypt(key, b"", b"text").err().unwrap(),
                    _ => anchor.decrypt(key, opening(&sealed, b"")).unwrap_err(),
                };
                assert_eq!((failed.function, failed.rv, failed.class), (function, rv, class));
            }
        }
        assert_eq!(*anchor.decrypt(key, opening(&sealed, b"")).unwrap(), b"text");
        assert!(anchor.is_logged_in().unwrap());
        tokens.control(r#"{"partition":"one","fault":"lose-sessions"}"#);
        assert_eq!(anchor.is_logged_in().unwrap_err().class, Class::Session);
    });
}

#[test]
fn a_dropped_session_is_closed_and_a_leaked_one_never() {
    on_simulator(&simulated("caller", "sessions = 3"), |tokens| {
        let Connected { token, anchor, .. } = connected(tokens);
        assert_eq!(token.max_sessions(), Some(3));
        let one = token.open(false, Gate::open()).unwrap();
        let two = token.open(false, Gate::open()).unwrap();
        assert_eq!(token.open(false, Gate::open()).err().unwrap().rv, CKR_SESSION_COUNT);
        drop(one);
        let three = token.open(false, Gate::open()).unwrap();
        assert!(three.is_logged_in().unwrap(), "the login is the token's");
        three.leak();
        assert_eq!(token.open(false, Gate::open()).err().unwrap().rv, CKR_SESSION_COUNT);
        drop(two);
        let given_up = Gate::open();
        let four = token.open(false, Arc::clone(&given_up)).unwrap();
        assert!(given_up.abandon());
        drop(four);
        assert_eq!(token.open(false, Gate::open()).err().unwrap().rv, CKR_SESSION_COUNT, "given up, so not closed");
        assert!(anchor.is_logged_in().unwrap());
    });
}

#[test]
fn a_closed_gate_lets_nothing_through_but_the_end_of_the_session() {
    on_simulator(&simulated("caller", "sessions = 2"), |tokens| {
        let Connected { token, anchor, .. } = connected(tokens);
        let key = anchor.find(&by_label("both")).unwrap().handle.handle();
        let gate = Gate::open();
        let session = token.open(false, Arc::clone(&gate)).unwrap();
        let sealed = session.encrypt(key, b"", b"text").unwrap();
        let calls = gate.look().call;
        gate.close();
        assert_eq!(session.encrypt(key, b"", b"text").err(), Some(CallError::closed()));
        assert_eq!(session.decrypt(key, opening(&sealed, b"")).err(), Some(CallError::closed()));
        assert_eq!(session.is_logged_in(), Err(CallError::closed()));
        assert_eq!(token.open(false, Arc::clone(&gate)).err(), Some(CallError::closed()));
        assert_eq!(gate.look().call, calls);
        drop(session);
        assert!(token.open(false, Gate::open()).is_ok(), "it was closed");
    });
}

#[test]
fn a_token_without_what_is_needed_is_told_before_a_pin_is_tried() {
    on_simulator(&simulated("caller", "mechanisms = [\"CKM_AES_KEY_GEN\"]"), |tokens| {
        let faults = connect(&tokens.partition("one"), &tokens.state_dir(), Gate::open()).err().unwrap();
        let [fault] = faults.as_slice() else { panic!("{faults:?}") };
        assert_eq!(fault.problem, Problem::NoMechanism { mechanisms: vec!["CKM_AES_GCM".into()] });
        assert!(fault.is_configuration());
    });
}

#[test]
fn the_key_for_health_checks_must_be_able_to_do_both() {
    on_simulator(&simulated("caller", ""), |tokens| {
        let Connected { anchor, .. } = connected(tokens);
        let problem = |label: &str| {
            let mut settings = tokens.partition("one");
            settings.health_key = label.into();
            check_health_key(&settings, &anchor).map_err(|fault| fault.problem)
        };
        assert_eq!(problem("both").unwrap().usage, KeyUsage::BOTH);
        assert!(matches!(problem("none"), Err(Problem::HealthKeyMissing { label }) if label == "none"));
        assert!(matches!(problem("encrypts"), Err(Problem::HealthKeyWrong { why, .. }) if why == "lacks CKA_DECRYPT"));
        assert!(matches!(problem("decrypts"), Err(Problem::HealthKeyWrong { why, .. }) if why == "lacks CKA_ENCRYPT"));
    });
}

#[test]
fn a_module_that_wants_more_room_gets_it_once() {
    on_simulator(&simulated("caller", ""), |tokens| {
        let Connected { anchor, .. } = connected(tokens);
        let session = anchor.handle().unwrap();
        let run = |finish| {
            let steps = Steps { init: |_, _| CKR_OK, finish, ..ENCRYPT };
            let operation = Operation::new(session, 0, IvField::Null, b"");
            anchor.run(&steps, operation, b"text", 4).map(|(_, output)| output.len())
        };
        let wanting = |_: &Functions, _: &mut Operation, _: &[u8], output: &mut [u8]| match output.len() {
            8.. => (CKR_OK, 8),
            _ => (CKR_BUFFER_TOO_SMALL, 8),
        };
        assert_eq!(run(wanting), Ok(8));
        let class = |finish| run(finish).unwrap_err().class;
        assert_eq!(class(|_, _, _, output| (CKR_BUFFER_TOO_SMALL, output.len() + 1)), Class::Session, "once");
        assert_eq!(class(|_, _, _, _| (CKR_BUFFER_TOO_SMALL, usize::MAX)), Class::Session, "within reason");
        assert_eq!(class(|_, _, _, output| (CKR_OK, output.len() + 1)), Class::Token, "more than there was room for");
    });
}
