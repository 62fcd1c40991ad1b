//! What the module does without a fault: tokens, PINs, sessions, keys, and AES-GCM by each IV rule.

use std::time::{Duration, Instant};

use crate::scene::{self, decrypt, encrypt, find, in_child, label, load, login, play, refused};
use cryptoki::{
    error::{Error, RvError},
    mechanism::{Mechanism, MechanismType},
    object::{Attribute, AttributeType, KeyType, ObjectClass},
};

#[test]
fn a_token_shows_what_is_configured() {
    let config = r#"
        [[partition]]
        label = "a"
        serial = "S-1"
        manufacturer = "SafeNet"
        model = "Luna"
        firmware = "7.8"
        pin = "1234"
        sessions = 5
        mechanisms = ["CKM_AES_GCM"]
        [[partition]]
        label = "b"
        pin = "1234"
    "#;
    play("a_token_shows_what_is_configured", config, |scene| {
        let info = scene.pkcs11.get_token_info(scene.slot("a")).unwrap();
        assert_eq!((info.manufacturer_id(), info.model(), info.serial_number()), ("SafeNet", "Luna", "S-1"));
        assert_eq!((info.firmware_version().major(), info.firmware_version().minor()), (7, 8));
        assert!(matches!(info.max_session_count(), cryptoki::slot::Limit::Max(5)));
        assert!(info.login_required() && info.token_initialized() && info.user_pin_initialized() && !info.user_pin_locked());
        assert_eq!(scene.pkcs11.get_mechanism_list(scene.slot("a")).unwrap(), [MechanismType::AES_GCM]);
        let both = scene.pkcs11.get_mechanism_list(scene.slot("b")).unwrap();
        assert_eq!(both, [MechanismType::AES_KEY_GEN, MechanismType::AES_GCM]);
        assert!(scene.pkcs11.get_mechanism_info(scene.slot("b"), MechanismType::AES_GCM).unwrap().encrypt());
        refused(scene.pkcs11.get_mechanism_info(scene.slot("a"), MechanismType::AES_KEY_GEN), RvError::MechanismInvalid);
        assert_eq!(scene.pkcs11.get_slots_with_token().unwrap().len(), 2);
        refused(load().map(|_| ()), RvError::CryptokiAlreadyInitialized);
    });
}

#[test]
fn what_the_module_does_not_do_it_says_so() {
    play("what_the_module_does_not_do_it_says_so", ONE, |scene| {
        let session = scene.logged_in("a");
        refused(session.digest(&Mechanism::Sha256, b"x"), RvError::FunctionNotSupported);
        refused(session.copy_object(find(&session, "k"), &[]), RvError::FunctionNotSupported);
    });
}

#[test]
fn a_configuration_fault_is_told_with_its_field() {
    if in_child() {
        return refused(load().map(|_| ()), RvError::ArgumentsBad);
    }
    let cases = [
        ("[[partition]]\nlabel = 'a'\npin = '1'\nlatency_ms = 'x'", "line 4 (latency_ms = 'x')"),
        ("[[partition]]\nlabel = 'a'\npin = '1'\nnonsense = 1", "nonsense"),
        ("[[partition]]\nlabel = ''\npin = '1'", "partition[0].label"),
        ("[[partition]]\nlabel = 'a'\nserial = 's s'\npin = '1'", "partition[0].serial"),
        ("[[partition]]\nlabel = 'a'\nserial = 's'\npin = '1'\n[[partition]]\nlabel = 'b'\nserial = 's'\npin = '1'", "partition[1].serial"),
        ("[[partition]]\nlabel = 'a'\npin = '1'\nfirmware = '7'", "partition[0].firmware"),
        ("[[partition]]\nlabel = 'a'\npin = '1'\niv = 'token'\niv_len = 12", "partition[0].iv_len"),
        ("[[partition]]\nlabel = 'a'\npin = '1'\nbad_tag = 'CKR_NONSENSE'", "CKR_NONSENSE"),
        ("[[partition]]\nlabel = 'a'\npin = '1'\n[[partition.key]]\nid = '01'\nlabel = 'k'\nvalue = '00'", "partition[0].key[0].value"),
        ("", "partition: at least one"),
    ];
    for (config, named) in cases {
        let directory = tempfile::tempdir().unwrap();
        let output = scene::again("a_configuration_fault_is_told_with_its_field", config, directory.path().to_owned());
        let told = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<_> = told.lines().filter(|line| line.starts_with("holdfast-sim-hsm: ")).collect();
        assert!(output.status.success() && matches!(lines.as_slice(), [line] if line.contains(named)), "{named}: {told}");
    }
}

#[test]
fn a_pin_locks_after_so_many_wrong_tries() {
    let config = "[[partition]]\nlabel = 'a'\npin = '1234'\npin_tries = 2";
    play("a_pin_locks_after_so_many_wrong_tries", config, |scene| {
        let session = scene.session("a");
        refused(login(&session, "0000"), RvError::PinIncorrect);
        assert!(scene.pkcs11.get_token_info(scene.slot("a")).unwrap().user_pin_final_try());
        login(&session, "1234").unwrap();
        refused(login(&session, "1234"), RvError::UserAlreadyLoggedIn);
        session.logout().unwrap();
        refused(session.logout(), RvError::UserNotLoggedIn);
        refused(login(&session, "0000"), RvError::PinIncorrect);
        refused(login(&session, "0000"), RvError::PinIncorrect);
        refused(login(&session, "1234"), RvError::PinLocked);
        assert!(scene.pkcs11.get_token_info(scene.slot("a")).unwrap().user_pin_locked());
    });
}

#[test]
fn the_login_is_of_the_token_and_ends_with_the_last_session() {
    play("the_login_is_of_the_token_and_ends_with_the_last_session", ONE, |scene| {
        let first = scene.logged_in("a");
        let second = scene.session("a");
        assert!(encrypt(&second, find(&second, "k"), b"x").is_ok());
        first.close().unwrap();
        assert!(encrypt(&second, find(&second, "k"), b"x").is_ok());
        second.close().unwrap();
        let third = scene.session("a");
        assert!(third.find_objects(&[]).unwrap().is_empty(), "private keys are not to be seen");
    });
}

#[test]
fn a_private_key_is_of_no_use_without_login() {
    play("a_private_key_is_of_no_use_without_login", ONE, |scene| {
        let session = scene.logged_in("a");
        let key = find(&session, "k");
        session.logout().unwrap();
        refused(encrypt(&session, key, b"x"), RvError::UserNotLoggedIn);
        refused(label(&session, key), RvError::UserNotLoggedIn);
        refused(session.generate_key(&Mechanism::AesKeyGen, &[Attribute::ValueLen(32.into())]), RvError::UserNotLoggedIn);
    });
}

#[test]
fn no_more_sessions_than_configured() {
    let config = "[[partition]]\nlabel = 'a'\npin = '1234'\nsessions = 2\n[[partition]]\nlabel = 'b'\npin = '1234'";
    play("no_more_sessions_than_configured", config, |scene| {
        let (first, _second) = (scene.session("a"), scene.session("a"));
        refused(scene.pkcs11.open_rw_session(scene.slot("a")), RvError::SessionCount);
        let _others = [scene.session("b"), scene.session("b"), scene.session("b")];
        first.close().unwrap();
        scene.session("a");
    });
}

#[test]
fn a_key_has_the_attributes_that_it_was_given() {
    let config = "[[partition]]\nlabel = 'a'\npin = '1234'
        [[partition.key]]\nid = 'c0de'\nlabel = 'k'\nvalue = '000102030405060708090a0b0c0d0e0f'\ndecrypt = false";
    play("a_key_has_the_attributes_that_it_was_given", config, |scene| {
        let session = scene.logged_in("a");
        let key = find(&session, "k");
        let wanted = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Id(vec![0xc0, 0xde]),
            Attribute::ValueLen(16.into()),
            Attribute::Encrypt(true),
            Attribute::Decrypt(false),
            Attribute::Wrap(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::AlwaysSensitive(true),
            Attribute::NeverExtractable(true),
            Attribute::Local(true),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Modifiable(true),
        ];
        let kinds: Vec<AttributeType> = wanted.iter().map(Attribute::attribute_type).collect();
        assert_eq!(session.get_attributes(key, &kinds).unwrap(), wanted);
        assert!(session.get_attributes(key, &[AttributeType::Value]).unwrap().is_empty(), "it is sensitive");
        assert_eq!(session.find_objects(&wanted).unwrap(), [key]);
        assert!(session.find_objects(&[Attribute::Id(vec![1])]).unwrap().is_empty());
        let sealed = encrypt(&session, key, b"x").unwrap();
        refused(decrypt(&session, key, &sealed.0, &sealed.1), RvError::KeyFunctionNotPermitted);
        session.update_attributes(key, &[Attribute::Label(b"new".to_vec()), Attribute::Decrypt(true)]).unwrap();
        assert_eq!(decrypt(&session, find(&session, "new"), &sealed.0, &sealed.1).unwrap(), b"x");
    });
}

#[test]
fn generated_and_created_keys_encrypt_until_they_are_destroyed() {
    play("generated_and_created_keys_encrypt_until_they_are_destroyed", "[[partition]]\nlabel = 'a'\npin = '1234'", |scene| {
        let session = scene.logged_in("a");
        let named = |name: &str| vec![Attribute::Label(name.into()), Attribute::Encrypt(true), Attribute::Decrypt(true)];
        let mut template = named("made");
        refused(session.generate_key(&Mechanism::AesKeyGen, &template), RvError::TemplateIncomplete);
        template.extend([Attribute::ValueLen(32.into()), Attribute::Token(true)]);
        let made = session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
        let (iv, sealed) = encrypt(&session, made, b"x").unwrap();
        assert_eq!(decrypt(&session, made, &iv, &sealed).unwrap(), b"x");
        let mut template = named("put");
        template.extend([Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES), Attribute::Value(vec![7; 32])]);
        let put = session.create_object(&template).unwrap();
        let twin = session.create_object(&template).unwrap();
        let (iv, sealed) = encrypt(&session, put, b"x").unwrap();
        assert_eq!(decrypt(&session, twin, &iv, &sealed).unwrap(), b"x");
        assert_eq!(session.find_objects(&[Attribute::Local(false)]).unwrap().len(), 2);
        session.destroy_object(twin).unwrap();
        refused(encrypt(&session, twin, b"x"), RvError::KeyHandleInvalid);
        let other = scene.session("a");
        session.close().unwrap();
        assert_eq!(other.find_objects(&[]).unwrap(), [made], "the other was a session object");
    });
}

#[test]
fn a_decryption_tells_a_wrong_tag_as_configured() {
    let config = "[[partition]]\nlabel = 'a'\npin = '1234'\n[[partition.key]]\nid = '01'\nlabel = 'k'
        [[partition]]\nlabel = 'b'\npin = '1234'\nbad_tag = 'CKR_GENERAL_ERROR'\n[[partition.key]]\nid = '01'\nlabel = 'k'";
    play("a_decryption_tells_a_wrong_tag_as_configured", config, |scene| {
        for (partition, told) in [("a", RvError::EncryptedDataInvalid), ("b", RvError::GeneralError)] {
            let session = scene.logged_in(partition);
            let key = find(&session, "k");
            let (iv, mut sealed) = encrypt(&session, key, b"secret").unwrap();
            assert_eq!(decrypt(&session, key, &iv, &sealed).unwrap(), b"secret");
            sealed[0] ^= 1;
            refused(decrypt(&session, key, &iv, &sealed), told);
            refused(decrypt(&session, key, &iv, &sealed[..15]), RvError::EncryptedDataLenRange);
            assert!(encrypt(&session, key, b"").is_ok(), "a failed operation is over");
        }
    });
}

#[test]
fn the_iv_comes_from_whom_the_partition_says() {
    let config = "[[partition]]\nlabel = 'caller'\npin = '1234'\n[[partition.key]]\nid = '01'\nlabel = 'k'\nseed = 's'
        [[partition]]\nlabel = 'token'\npin = '1234'\niv = 'token'\n[[partition.key]]\nid = '01'\nlabel = 'k'\nseed = 's'
        [[partition]]\nlabel = 'appended'\npin = '1234'\niv = 'appended'\n[[partition.key]]\nid = '01'\nlabel = 'k'\nseed = 's'";
    play("the_iv_comes_from_whom_the_partition_says", config, |scene| {
        let maker = |label| scene.pkcs11.get_token_info(scene.slot(label)).unwrap().manufacturer_id().to_owned();
        assert_eq!(maker("caller"), "Holdfast Simulator");
        assert_eq!(maker("token"), "Holdfast Simulator (fills IV)");
        assert_eq!(maker("appended"), "Holdfast Simulator (appends IV)");
        let caller = scene.logged_in("caller");
        let key = find(&caller, "k");
        let (iv, sealed) = encrypt(&caller, key, b"secret").unwrap();
        assert_eq!((iv, sealed.len()), ([0; 12], 22), "the caller's IV stays");
        let token = scene.logged_in("token");
        let (iv, sealed) = encrypt(&token, find(&token, "k"), b"secret").unwrap();
        assert_ne!(iv, [0; 12], "the token wrote its IV");
        assert_ne!(encrypt(&token, find(&token, "k"), b"secret").unwrap().0, iv, "each time another");
        assert_eq!(decrypt(&caller, key, &iv, &sealed).unwrap(), b"secret");
        let mut own = [7; 12];
        let params = cryptoki::mechanism::aead::GcmParams::new(&mut own, b"", 128.into()).unwrap();
        refused(token.encrypt(&Mechanism::AesGcm(params), find(&token, "k"), b"x"), RvError::MechanismParamInvalid);
        let appended = scene.logged_in("appended");
        let (iv, sealed) = encrypt(&appended, find(&appended, "k"), b"secret").unwrap();
        assert_eq!((iv, sealed.len()), ([0; 12], 6 + 16 + 16));
        let (sealed, iv) = sealed.split_at(22);
        assert_eq!(decrypt(&appended, find(&appended, "k"), iv, sealed).unwrap(), b"secret");
        assert_eq!(decrypt(&caller, key, iv, sealed).unwrap(), b"secret");
    });
}

#[test]
fn each_crypto_call_takes_its_latency_beside_the_others() {
    let config = "[[partition]]\nlabel = 'a'\npin = '1234'\nlatency_ms = 100\n[[partition.key]]\nid = '01'\nlabel = 'k'";
    play("each_crypto_call_takes_its_latency_beside_the_others", config, |scene| {
        let first = scene.logged_in("a");
        let key = find(&first, "k");
        let sessions: Vec<_> = std::iter::once(first).chain((1..16).map(|_| scene.session("a"))).collect();
        let start = Instant::now();
        std::thread::scope(|threads| {
            for session in sessions {
                threads.spawn(move || encrypt(&session, key, b"x").unwrap());
            }
        });
        let took = start.elapsed();
        // cryptoki asks for the length first, so that each encryption is two calls of 100 ms; one after another they would take 3.2 s.
        assert!((Duration::from_millis(200)..Duration::from_millis(1600)).contains(&took), "{took:?}");
    });
}

#[test]
fn a_second_initialization_is_refused_and_one_after_finalization_starts_afresh() {
    play("a_second_initialization_is_refused_and_one_after_finalization_starts_afresh", ONE, |scene| {
        let session = scene.logged_in("a");
        scene.pkcs11.clone().finalize().unwrap();
        let again = load().unwrap();
        assert!(matches!(session.get_session_info(), Err(Error::Pkcs11(RvError::SessionHandleInvalid, _))));
        assert_eq!(again.get_slots_with_token().unwrap().len(), 1);
    });
}

#[test]
fn keys_and_pin_counts_in_a_state_file_outlive_the_process() {
    const TEST: &str = "keys_and_pin_counts_in_a_state_file_outlive_the_process";
    let body = |scene: &scene::Scene| {
        let session = scene.session("a");
        let lasting = |session: &cryptoki::session::Session| session.find_objects(&[Attribute::Label(b"made".to_vec())]).unwrap();
        if scene.pkcs11.get_token_info(scene.slot("a")).unwrap().user_pin_count_low() {
            refused(login(&session, "0000"), RvError::PinIncorrect);
            return refused(login(&session, "1234"), RvError::PinLocked);
        }
        login(&session, "1234").unwrap();
        if lasting(&session).is_empty() {
            let template = [Attribute::Label(b"made".to_vec()), Attribute::ValueLen(32.into()), Attribute::Token(true)];
            session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
        }
        session.logout().unwrap();
        refused(login(&session, "0000"), RvError::PinIncorrect);
        assert_eq!(lasting(&session).len(), 0);
    };
    if in_child() {
        return scene::Scene::enter(TEST, body);
    }
    let directory = tempfile::tempdir().unwrap();
    let config = "[[partition]]\nlabel = 'a'\npin = '1234'\npin_tries = 2\nstate = 'a.json'\n[[partition.key]]\nid = '01'\nlabel = 'k'";
    let mut made = Vec::new();
    for _ in 0..2 {
        let output = scene::again(TEST, config, directory.path().to_owned());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let state: serde_json::Value = serde_json::from_slice(&std::fs::read(directory.path().join("a.json")).unwrap()).unwrap();
        made.push(state["keys"].clone());
    }
    assert_eq!(made[0], made[1], "the same keys, with the same values");
    assert_eq!(made[0].as_array().unwrap().len(), 2);
}

const ONE: &str = "[[partition]]\nlabel = 'a'\npin = '1234'\n[[partition.key]]\nid = '01'\nlabel = 'k'";
