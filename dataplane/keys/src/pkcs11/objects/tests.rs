use super::*;
use crate::{
    fixture::{PIN, on_simulator},
    pkcs11::{
        gate::Gate,
        preflight::{Connected, connect},
    },
};

const KEYS: [(&str, &str, &str); 5] =
    [("01", "one", ""), ("02", "two", ""), ("03", "two", ""), ("01", "three", ""), ("04", "short", "bits = 128")];

fn name(cka_id: &[u8], label: &str) -> KeyName {
    KeyName { cka_id: cka_id.into(), label: label.into() }
}

#[test]
fn exactly_one_aes_256_key_is_found_by_id_label_or_both() {
    let mut configuration = format!("[[partition]]\nlabel = \"one\"\npin = {PIN:?}\n");
    for (id, label, more) in KEYS {
        configuration += &format!("[[partition.key]]\nid = \"{id}\"\nlabel = \"{label}\"\n{more}\n");
    }
    on_simulator(&configuration, |tokens| {
        let Connected { anchor, .. } = connect(&tokens.partition("one"), &tokens.state_dir(), Gate::open()).unwrap();
        assert_eq!(anchor.list().unwrap().len(), KEYS.len());
        let by_label = anchor.find(&name(&[], "one")).unwrap();
        assert_eq!(anchor.find(&name(&[1], "one")).unwrap(), by_label);
        assert_ne!(anchor.find(&name(&[1], "three")).unwrap().handle, by_label.handle);
        assert_eq!(anchor.find(&name(&[2], "")).unwrap(), anchor.find(&name(&[2], "two")).unwrap());
        assert_eq!(anchor.find(&name(&[], "two")).unwrap_err(), FindError::Many);
        assert_eq!(anchor.find(&name(&[1], "")).unwrap_err(), FindError::Many);
        for missing in [name(&[9], ""), name(&[], "nine"), name(&[2], "one"), name(&[], "")] {
            assert_eq!(anchor.find(&missing).unwrap_err(), FindError::None, "{missing}");
        }
        assert_eq!(anchor.find(&name(&[], "short")).unwrap_err(), FindError::NotAes256("CKK_AES of 128 bits".into()));
        assert_eq!(anchor.attributes(&name(&[4], "")).unwrap().bits, Some(128));
    });
}
