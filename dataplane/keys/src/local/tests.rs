//! What a sealed local key holds to.

use holdfast_proto::seal::Seal;
use proptest::prelude::*;

use super::*;

fn ring() -> SealRing {
    SealRing::new(Seal::generate().unwrap(), Vec::new())
}

fn usage(encrypt: bool, decrypt: bool) -> KeyUsage {
    KeyUsage { encrypt, decrypt }
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

const fn aes() -> NewLocalKey {
    NewLocalKey { kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true }
}

fn key(seals: &SealRing, usage: KeyUsage) -> LocalKey {
    LocalKey::open(seals, &generate(seals, Uuid::from_u128(7), usage, true).unwrap()).unwrap()
}

#[test]
fn a_blob_with_altered_id_usage_or_exportability_does_not_open() {
    let seals = ring();
    let honest = generate(&seals, Uuid::from_u128(1), usage(false, true), true).unwrap();
    assert!(LocalKey::open(&seals, &honest).is_ok());
    let altered = [
        LocalBlob { id: Uuid::from_u128(2), ..honest.clone() },
        LocalBlob { usage: usage(true, true), ..honest.clone() },
        LocalBlob { usage: usage(false, false), ..honest.clone() },
        LocalBlob { usage: usage(true, false), ..honest.clone() },
        LocalBlob { unexportable: false, ..honest.clone() },
    ];
    for blob in altered {
        assert_eq!(LocalKey::open(&seals, &blob).unwrap_err(), OpenLocalError::Seal(OpenError::Refused), "{blob:?}");
    }
    let other = LocalBlob { kind: KeyKind::HmacSha256, ..honest.clone() };
    assert_eq!(LocalKey::open(&seals, &other).unwrap_err(), OpenLocalError::Kind(KeyKind::HmacSha256));
    assert_eq!(check(&seals, &other), Err(OpenLocalError::Seal(OpenError::Refused)));
}

#[test]
fn a_seal_that_is_not_loaded_says_which() {
    let seals = ring();
    let blob = generate(&seals, Uuid::from_u128(1), KeyUsage::BOTH, true).unwrap();
    let error = LocalKey::open(&ring(), &blob).unwrap_err();
    assert_eq!(error, OpenLocalError::Seal(OpenError::UnknownSeal(seals.id())));
}

#[test]
fn only_32_bytes_are_a_key() {
    let seals = ring();
    let id = Uuid::from_u128(1);
    for length in [0, 16, 31, 33] {
        let sealed = seals.seal(&binding(id, aes()), &vec![1; length]).unwrap().into();
        let blob = LocalBlob { id, kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true, sealed };
        assert_eq!(LocalKey::open(&seals, &blob).unwrap_err(), OpenLocalError::Length(length));
    }
}

#[test]
fn usage_is_enforced_by_the_key_itself() {
    let seals = ring();
    assert_eq!(key(&seals, usage(false, true)).encrypt(b"", b"x"), Err(KeyFault::Key));
    let sealed = key(&seals, KeyUsage::BOTH).encrypt(b"", b"x").unwrap();
    let encrypt_only = key(&seals, usage(true, false));
    assert_eq!(encrypt_only.decrypt(&sealed.iv, b"", &sealed.ciphertext, &sealed.tag), Err(KeyFault::Key));
}

#[test]
fn an_iv_or_tag_of_another_length_is_the_callers_fault() {
    let key = key(&ring(), KeyUsage::BOTH);
    let sealed = key.encrypt(b"aad", b"text").unwrap();
    for (iv, tag) in [(&sealed.iv[..11], &sealed.tag[..]), (&sealed.iv[..], &sealed.tag[..12]), (&[0; 13], &sealed.tag[..]), (&[], &[])] {
        assert_eq!(key.decrypt(iv, b"aad", &sealed.ciphertext, tag), Err(KeyFault::Input));
    }
}

#[test]
fn the_same_plaintext_never_gives_the_same_ciphertext() {
    let key = key(&ring(), KeyUsage::BOTH);
    let (one, two) = (key.encrypt(b"aad", b"text").unwrap(), key.encrypt(b"aad", b"text").unwrap());
    assert_ne!(one.iv, two.iv);
    assert_ne!(one.ciphertext, two.ciphertext);
}

/// NIST's AES-256-GCM known answer (GCM specification, test case 16), opened by a sealed key of that material.
#[test]
fn the_cipher_is_aes_256_gcm() {
    let seals = ring();
    let id = Uuid::from_u128(16);
    let material = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    let sealed = seals.seal(&binding(id, aes()), &material).unwrap().into();
    let key = LocalKey::open(&seals, &LocalBlob { id, kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true, sealed }).unwrap();
    let ciphertext = hex(concat!(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa",
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
    ));
    let plaintext = hex(concat!(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    ));
    let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let opened = key.decrypt(&hex("cafebabefacedbaddecaf888"), &aad, &ciphertext, &hex("76fc6ece0f4e1768cddf8853bb2d551b"));
    assert_eq!(*opened.unwrap(), plaintext);
}

/// Written by the version before this one.
#[test]
fn a_key_that_was_sealed_before_there_were_kinds_opens() {
    let seal = concat!(
        "holdfast-seal 1\nid 23ff6fd8-70db-45d4-800d-ad4fe7af854b\n",
        "key e6a34629fd1daecc3967df18928c260d90d84fce30d96bb85fbdaf2c106aaab3\n"
    );
    let seals = SealRing::new(Seal::from_text(seal).unwrap(), Vec::new());
    let sealed = hex(concat!(
        "0123ff6fd870db45d4800dad4fe7af854b13517df80c9df42c80a0bec9ef257503a4b08d199607558e28080462b494d2f6c97b79a706dcbf8b1a12",
        "6c3854c78614201556205f889b0a490a3a07"
    ));
    let NewLocalKey { kind, usage, unexportable } = aes();
    let blob = LocalBlob { id: Uuid::from_u128(0x0123_4567), kind, usage, unexportable, sealed: sealed.into() };
    check(&seals, &blob).unwrap();
    let (iv, tag) = (hex("5793a5a2cd301c9750457e8d"), hex("f3679efc42b930e11a3648b04a6b6610"));
    let opened = LocalKey::open(&seals, &blob).unwrap().decrypt(&iv, b"aad", &hex("ed71c885aba18df4aed72ad34fcb32e5f7f4ee97"), &tag);
    assert_eq!(opened.unwrap().as_slice(), b"written before kinds");
}

#[test]
fn a_key_of_each_kind_opens_as_that_kind_alone() {
    let seals = ring();
    for kind in KeyKind::ALL {
        let blob = make(&seals, Uuid::from_u128(1), NewLocalKey { kind, ..aes() }).unwrap();
        check(&seals, &blob).unwrap();
        assert_eq!(LocalKey::open(&seals, &blob).is_ok(), kind == KeyKind::Aes256, "{kind}");
        for other in KeyKind::ALL.into_iter().filter(|other| *other != kind) {
            let refused = check(&seals, &LocalBlob { kind: other, ..blob.clone() });
            assert_eq!(refused, Err(OpenLocalError::Seal(OpenError::Refused)), "{kind} as {other}");
        }
        let wrong = seals.seal(&binding(blob.id, NewLocalKey { kind, ..aes() }), &[1; 7]).unwrap();
        assert_eq!(check(&seals, &LocalBlob { sealed: wrong.into(), ..blob }), Err(OpenLocalError::Material(kind)));
    }
}

#[test]
fn a_key_does_not_print() {
    assert_eq!(format!("{:?}", key(&ring(), KeyUsage::BOTH)), "LocalKey(..)");
}

proptest! {
    #[test]
    fn what_is_encrypted_decrypts_and_any_change_does_not(
        aad in prop::collection::vec(any::<u8>(), 0..64),
        plaintext in prop::collection::vec(any::<u8>(), 1..128),
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let key = key(&ring(), KeyUsage::BOTH);
        let sealed = key.encrypt(&aad, &plaintext).unwrap();
        let opened = key.decrypt(&sealed.iv, &aad, &sealed.ciphertext, &sealed.tag).unwrap();
        prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
        let mut all = [&sealed.iv[..], &sealed.tag[..], &aad[..], &sealed.ciphertext[..]].concat();
        let at = at.index(all.len());
        all[at] ^= 1 << bit;
        let (iv, rest) = all.split_at(12);
        let (tag, rest) = rest.split_at(16);
        let (bent_aad, bent_text) = rest.split_at(aad.len());
        prop_assert_eq!(key.decrypt(iv, bent_aad, bent_text, tag), Err(KeyFault::Input));
    }

    #[test]
    fn no_bytes_open_as_a_key(sealed in prop::collection::vec(any::<u8>(), 0..128)) {
        let blob = LocalBlob { id: Uuid::nil(), kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true, sealed: sealed.into() };
        prop_assert!(LocalKey::open(&ring(), &blob).is_err());
    }
}
