//! What an operator asks of one partition.

use holdfast_keys::pkcs11::{
    TokenAdmin,
    admin::AdminError,
    settings::{PinSource, TokenSelector},
    start::Problem,
};
use holdfast_proto::records::KeyUsage;

use crate::fixture::on_softhsm;

#[test]
fn a_key_is_made_once_and_described_by_its_attributes() {
    on_softhsm(&["one"], |tokens| {
        let admin = TokenAdmin::open(&tokens.partition("one"), &tokens.state_dir()).unwrap();
        assert_eq!(admin.keys().unwrap(), []);
        let made = admin.generate(b"\x01\xff", "first", KeyUsage::BOTH).unwrap();
        assert_eq!((made.label.as_str(), made.cka_id.as_slice()), ("first", &b"\x01\xff"[..]));
        assert_eq!((made.key_type.as_str(), made.bits), ("CKK_AES", Some(256)));
        for set in
            ["TOKEN", "PRIVATE", "SENSITIVE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "LOCAL", "ENCRYPT", "DECRYPT", "WRAP", "UNWRAP"]
        {
            assert!(made.has(&format!("CKA_{set}")), "{set}: {made:?}");
        }
        assert!(!made.has("CKA_EXTRACTABLE"), "{made:?}");
        assert_eq!(made.usage(), KeyUsage::BOTH);
        assert_eq!(admin.generate(b"\x01\xff", "first", KeyUsage::BOTH).unwrap(), made);
        assert_eq!(admin.keys().unwrap(), [made]);

        let decrypting = KeyUsage { encrypt: false, decrypt: true };
        for (label, usage, told) in [("other", KeyUsage::BOTH, "\"first\""), ("first", decrypting, "CKA_ENCRYPT=true")] {
            let AdminError::Refused(why) = admin.generate(b"\x01\xff", label, usage).unwrap_err() else { panic!("{label}") };
            assert!(why.contains("01ff") && why.contains(told), "{why}");
        }
        assert_eq!(admin.generate(b"\x02", "second", decrypting).unwrap().usage(), decrypting);
        assert!(matches!(admin.generate(b"", "third", KeyUsage::BOTH).unwrap_err(), AdminError::Refused(_)));
    });
}

#[test]
fn a_token_is_named_by_label_serial_number_or_slot() {
    on_softhsm(&["one", "two"], |tokens| {
        let settings = tokens.partition("two");
        let admin = TokenAdmin::open(&settings, &tokens.state_dir()).unwrap();
        let facts = admin.facts().clone();
        assert_eq!((facts.label.as_str(), facts.manufacturer.as_str()), ("two", "SoftHSM project"));
        assert_eq!((admin.limits().vendor, admin.limits().vendor_tested), ("softhsm", true));

        let mut by_serial = settings.clone();
        by_serial.token = TokenSelector::Serial(facts.serial.clone());
        let found = TokenAdmin::open(&by_serial, &tokens.state_dir()).unwrap();
        assert_eq!(*found.facts(), facts, "the id is the token's own");

        let mut by_slot = settings.clone();
        by_slot.token = TokenSelector::Slot(99_999_999);
        by_slot.name = "elsewhere".into();
        let faults = TokenAdmin::open(&by_slot, &tokens.state_dir()).unwrap_err();
        let [fault] = faults.as_slice() else { panic!("{faults:?}") };
        assert!(fault.is_configuration());
        let Problem::NoSuchToken { existing, .. } = &fault.problem else { panic!("{fault}") };
        assert_eq!(existing.len(), 2);
        let slot = existing.iter().find(|token| token.contains(&facts.serial)).unwrap().rsplit_once("slot ").unwrap().1;
        by_slot.token = TokenSelector::Slot(slot.parse().unwrap());
        assert_eq!(TokenAdmin::open(&by_slot, &tokens.state_dir()).unwrap().facts().serial, facts.serial);

        let mut named = settings;
        named.id = Some(uuid::Uuid::from_u128(7));
        assert_eq!(TokenAdmin::open(&named, &tokens.state_dir()).unwrap().facts().id, uuid::Uuid::from_u128(7));
    });
}

#[test]
fn a_token_that_was_never_there_is_a_mistake_and_one_that_was_is_gone() {
    on_softhsm(&["one"], |tokens| {
        let missing = TokenAdmin::open(&tokens.partition("other"), &tokens.state_dir()).unwrap_err();
        let told = missing.first().unwrap().to_string();
        assert!(missing.first().unwrap().is_configuration() && told.contains("\"one\""), "{told}");

        let settings = tokens.partition("one");
        drop(TokenAdmin::open(&settings, &tokens.state_dir()).unwrap());
        // SoftHSM looks at its directory whenever it is asked for its slots.
        std::fs::rename(tokens.path("tokens"), tokens.path("away")).unwrap();
        std::fs::create_dir(tokens.path("tokens")).unwrap();
        let gone = TokenAdmin::open(&settings, &tokens.state_dir()).unwrap_err();
        assert!(gone.iter().all(|fault| !fault.is_configuration()), "{gone:?}");
    });
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    on_softhsm(&["one"], |tokens| {
        let mut settings = tokens.partition("one");
        settings.vendor = Some("nobody".into());
        settings.pin = PinSource::File(tokens.path("no-such-pin"));
        settings.module = tokens.path("no-such-module.so");
        let faults = TokenAdmin::open(&settings, &tokens.state_dir()).unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        for part in ["nobody", "no-such-pin", "no-such-module.so"] {
            assert!(told.iter().any(|fault| fault.contains(part) && fault.contains("\"one\"")), "{part}: {told:?}");
        }
        assert_eq!(told.len(), 3, "{told:?}");

        settings.module = "/etc/passwd".into();
        let faults = TokenAdmin::open(&settings, &tokens.state_dir()).unwrap_err();
        assert!(faults.iter().any(|fault| matches!(fault.problem, Problem::ModuleBroken { .. })), "{faults:?}");
    });
}

#[test]
fn two_tokens_of_one_label_have_to_be_told_apart() {
    on_softhsm(&["one", "one"], |tokens| {
        let faults = TokenAdmin::open(&tokens.partition("one"), &tokens.state_dir()).unwrap_err();
        let [fault] = faults.as_slice() else { panic!("{faults:?}") };
        assert!(matches!(&fault.problem, Problem::TokenTwice { existing, .. } if existing.len() == 2), "{fault}");
        assert!(fault.is_configuration());
    });
}
