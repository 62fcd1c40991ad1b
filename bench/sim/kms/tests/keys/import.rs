//! Imported key material. It is wrapped here by `aws-lc-rs`, as a customer wraps it.

use std::time::SystemTime;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    key_wrap::{AES_256, AesKek, KeyWrapPadded},
    rand,
    rsa::{KeyPair as RsaKeyPair, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
        EcdsaKeyPair, KeyPair,
    },
};
use aws_sdk_kms::{
    Client,
    error::SdkError,
    operation::import_key_material::{ImportKeyMaterialError, ImportKeyMaterialOutput, builders::ImportKeyMaterialFluentBuilder},
    primitives::{Blob, DateTime},
    types::{
        AlgorithmSpec::{self, RsaAesKeyWrapSha1, RsaAesKeyWrapSha256, RsaesOaepSha1, RsaesOaepSha256, RsaesPkcs1V15},
        ExpirationModelType, ImportState, ImportType, IncludeKeyMaterial, KeyMaterialState, KeySpec, KeyState, KeyUsageType,
        MacAlgorithmSpec, OriginType,
        WrappingKeySpec::{self, Rsa2048, Rsa3072, Rsa4096},
    },
};
use data_encoding::HEXLOWER;

use crate::rig::{Refused, Rig};

type Imported = Result<ImportKeyMaterialOutput, SdkError<ImportKeyMaterialError>>;

#[tokio::test]
async fn an_imported_mac_key_makes_the_published_macs() {
    let rig = Rig::start().await;
    for ((spec, algorithm, len), (wrapping, size), mac) in [
        ((KeySpec::Hmac224, MacAlgorithmSpec::HmacSha224, 28), (RsaesOaepSha1, Rsa2048), MAC_224),
        ((KeySpec::Hmac256, MacAlgorithmSpec::HmacSha256, 32), (RsaesOaepSha256, Rsa2048), MAC_256),
        ((KeySpec::Hmac384, MacAlgorithmSpec::HmacSha384, 48), (RsaesOaepSha256, Rsa2048), MAC_384),
        ((KeySpec::Hmac512, MacAlgorithmSpec::HmacSha512, 64), (RsaesOaepSha256, Rsa4096), MAC_512),
    ] {
        let id = rig.key_of(OriginType::External, spec, KeyUsageType::GenerateVerifyMac).await;
        assert_eq!(rig.state(&id).await, KeyState::PendingImport);
        let material: Vec<u8> = (0..len).collect();
        lasting(&rig.kms, &id, &material, (wrapping, size)).await.send().await.unwrap();
        let message = Blob::new("Sample message for keylen<blocklen");
        let made = rig.kms.generate_mac().key_id(&id).mac_algorithm(algorithm).message(message).send().await.unwrap();
        assert_eq!(HEXLOWER.encode(made.mac.unwrap().as_ref()), mac);
    }
}

#[tokio::test]
async fn an_imported_key_pair_has_its_own_public_key() {
    let rig = Rig::start().await;
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_public = AsDer::<PublicKeyX509Der<'_>>::as_der(rsa.public_key()).unwrap().as_ref().to_vec();
    let rsa_private = AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).unwrap().as_ref().to_vec();
    let mut cases = vec![(KeySpec::Rsa2048, (RsaAesKeyWrapSha256, Rsa2048), rsa_private, rsa_public)];
    for (spec, wrapping, curve) in [
        (KeySpec::EccNistP256, (RsaesOaepSha256, Rsa2048), &ECDSA_P256_SHA256_ASN1_SIGNING),
        (KeySpec::EccNistP384, (RsaAesKeyWrapSha1, Rsa2048), &ECDSA_P384_SHA384_ASN1_SIGNING),
        (KeySpec::EccNistP521, (RsaesOaepSha256, Rsa3072), &ECDSA_P521_SHA512_ASN1_SIGNING),
        (KeySpec::EccSecgP256K1, (RsaesOaepSha1, Rsa2048), &ECDSA_P256K1_SHA256_ASN1_SIGNING),
    ] {
        let pair = EcdsaKeyPair::generate(curve).unwrap();
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap().as_ref().to_vec();
        cases.push((spec, wrapping, pair.to_pkcs8v1().unwrap().as_ref().to_vec(), public));
    }
    for (spec, wrapping, private, public) in cases {
        let id = rig.key_of(OriginType::External, spec.clone(), KeyUsageType::SignVerify).await;
        assert_eq!(rig.kms.get_public_key().key_id(&id).send().await.name(), "KMSInvalidStateException");
        let done = lasting(&rig.kms, &id, &private, wrapping).await.send().await.unwrap();
        assert_eq!(done.key_material_id, None);
        let shown = rig.kms.get_public_key().key_id(&id).send().await.unwrap().public_key.unwrap();
        assert_eq!(shown.as_ref(), public, "{spec:?}");
    }
}

#[tokio::test]
async fn material_that_waits_for_its_rotation_does_not_tell_when_its_key_expires() {
    let rig = Rig::start().await;
    let id = pending(&rig).await;
    lasting(&rig.kms, &id, &[1; 32], (RsaesOaepSha256, Rsa2048)).await.send().await.unwrap();
    let in_a_week = DateTime::from(SystemTime::now() + std::time::Duration::from_hours(7 * 24));
    let second = lasting(&rig.kms, &id, &[2; 32], (RsaesOaepSha256, Rsa2048)).await.import_type(ImportType::NewKeyMaterial);
    second.expiration_model(ExpirationModelType::KeyMaterialExpires).valid_to(in_a_week).send().await.unwrap();
    let told = async || {
        let described = rig.describe(&id).await;
        (described.expiration_model, described.valid_to.is_some())
    };
    assert_eq!(told().await, (Some(ExpirationModelType::KeyMaterialDoesNotExpire), false));
    rig.kms.rotate_key_on_demand().key_id(&id).send().await.unwrap();
    assert_eq!(told().await, (Some(ExpirationModelType::KeyMaterialExpires), true));
}

#[tokio::test]
async fn material_of_another_spec_is_incorrect() {
    let rig = Rig::start().await;
    let hmac = rig.key_of(OriginType::External, KeySpec::Hmac384, KeyUsageType::GenerateVerifyMac).await;
    let curve = rig.key_of(OriginType::External, KeySpec::EccNistP256, KeyUsageType::SignVerify).await;
    let other_curve = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap().to_pkcs8v1().unwrap();
    for (id, material) in [(&hmac, &[1; 47][..]), (&curve, &[1; 32]), (&curve, other_curve.as_ref())] {
        let refused = lasting(&rig.kms, id, material, (RsaesOaepSha256, Rsa2048)).await.send().await;
        assert_eq!(refused.name(), "IncorrectKeyMaterialException");
        assert_eq!(rig.state(id).await, KeyState::PendingImport);
    }
}

#[tokio::test]
async fn what_was_wrapped_otherwise_does_not_open() {
    let rig = Rig::start().await;
    let id = pending(&rig).await;
    let parameters = rig.kms.get_parameters_for_import().key_id(&id).wrapping_algorithm(RsaesOaepSha256).wrapping_key_spec(Rsa2048);
    let parameters = parameters.send().await.unwrap();
    let wrapped = wrap(&parameters.public_key.unwrap(), &[7; 32], &RsaesOaepSha1);
    let import = rig.kms.import_key_material().key_id(&id).import_token(parameters.import_token.unwrap());
    let import = import.encrypted_key_material(Blob::new(wrapped)).expiration_model(ExpirationModelType::KeyMaterialDoesNotExpire);
    assert_eq!(import.send().await.name(), "InvalidCiphertextException");
}

#[tokio::test]
async fn wrapping_that_aws_does_not_take_for_the_spec_is_refused() {
    let rig = Rig::start().await;
    let rsa = rig.key_of(OriginType::External, KeySpec::Rsa4096, KeyUsageType::EncryptDecrypt).await;
    let curve = rig.key_of(OriginType::External, KeySpec::EccNistP521, KeyUsageType::SignVerify).await;
    let (symmetric, own) = (pending(&rig).await, rig.symmetric().await);
    for (id, algorithm) in [
        (&rsa, RsaesOaepSha256),
        (&curve, RsaesOaepSha256),
        (&symmetric, RsaAesKeyWrapSha256),
        (&symmetric, RsaesPkcs1V15),
        (&own, RsaesOaepSha256),
    ] {
        let asked = rig.kms.get_parameters_for_import().key_id(id).wrapping_algorithm(algorithm).wrapping_key_spec(Rsa2048);
        assert_eq!(asked.send().await.name(), "UnsupportedOperationException");
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_own_key_and_for_a_day() {
    let rig = Rig::start().await;
    let (id, other) = (pending(&rig).await, pending(&rig).await);
    let import = lasting(&rig.kms, &id, &[7; 32], (RsaesOaepSha256, Rsa2048)).await;
    assert_eq!(import.clone().key_id(&other).send().await.name(), "InvalidImportTokenException");
    rig.days(1);
    assert_eq!(import.send().await.name(), "ExpiredImportTokenException");
}

#[tokio::test]
async fn expired_material_is_gone_until_the_same_is_imported_again() {
    let rig = Rig::start().await;
    let id = pending(&rig).await;
    let expiring = async |days: u64| -> Imported {
        let import = symmetric(&rig.kms, &id, &[7; 32]).await.expiration_model(ExpirationModelType::KeyMaterialExpires);
        import.valid_to(in_days(days)).send().await
    };
    assert_eq!(expiring(366).await.name(), "ValidationException");
    assert_eq!(symmetric(&rig.kms, &id, &[7; 32]).await.send().await.name(), "ValidationException");
    expiring(2).await.unwrap();
    let described = rig.describe(&id).await;
    assert_eq!(described.key_state, Some(KeyState::Enabled));
    assert_eq!(described.expiration_model, Some(ExpirationModelType::KeyMaterialExpires));
    assert!(described.valid_to.is_some());
    rig.days(3);
    assert_eq!(rig.state(&id).await, KeyState::PendingImport);
    assert_eq!(forever(&rig, &id, [8; 32]).await.name(), "IncorrectKeyMaterialException");
    forever(&rig, &id, [7; 32]).await.unwrap();
    let described = rig.describe(&id).await;
    assert_eq!(described.expiration_model, Some(ExpirationModelType::KeyMaterialDoesNotExpire));
    assert_eq!((described.key_state, described.valid_to), (Some(KeyState::Enabled), None));
}

#[tokio::test]
async fn deleted_material_leaves_the_key_pending_import() {
    let rig = Rig::start().await;
    let id = pending(&rig).await;
    let imported = forever(&rig, &id, [7; 32]).await.unwrap();
    let deleted = rig.kms.delete_imported_key_material().key_id(&id).send().await.unwrap();
    assert_eq!(deleted.key_material_id, imported.key_material_id);
    let described = rig.describe(&id).await;
    assert_eq!((described.key_state, described.expiration_model), (Some(KeyState::PendingImport), None));
    assert_eq!(described.current_key_material_id, imported.key_material_id);
    let all = materials(&rig, &id).await;
    assert_eq!(all, [(imported.key_material_id.clone(), Some(KeyMaterialState::Current), Some(ImportState::PendingImport))]);
    rig.kms.delete_imported_key_material().key_id(&id).send().await.unwrap();
    let again = forever(&rig, &id, [7; 32]).await.unwrap();
    assert_eq!(again.key_material_id, imported.key_material_id);
    assert_eq!(rig.state(&id).await, KeyState::Enabled);
    let own = rig.symmetric().await;
    assert_eq!(rig.kms.delete_imported_key_material().key_id(&own).send().await.name(), "UnsupportedOperationException");
}

#[tokio::test]
async fn new_material_waits_for_its_rotation() {
    let rig = Rig::start().await;
    let id = pending(&rig).await;
    let first = forever(&rig, &id, [1; 32]).await.unwrap().key_material_id;
    assert_eq!(rig.kms.rotate_key_on_demand().key_id(&id).send().await.name(), "KMSInvalidStateException");
    let new = async |byte: u8| {
        let import = symmetric(&rig.kms, &id, &[byte; 32]).await.import_type(ImportType::NewKeyMaterial);
        import.expiration_model(ExpirationModelType::KeyMaterialDoesNotExpire).key_material_description("new").send().await
    };
    assert_eq!(new(1).await.name(), "IncorrectKeyMaterialException");
    let second = new(2).await.unwrap().key_material_id;
    assert_eq!(new(3).await.name(), "KMSInvalidStateException");
    assert_eq!(rig.describe(&id).await.current_key_material_id, first);
    rig.kms.rotate_key_on_demand().key_id(&id).send().await.unwrap();
    assert_eq!(rig.describe(&id).await.current_key_material_id, second);
    let imported = Some(ImportState::Imported);
    let states = [Some(KeyMaterialState::NonCurrent), Some(KeyMaterialState::Current)];
    assert_eq!(materials(&rig, &id).await, [(first.clone(), states[0].clone(), imported.clone()), (second, states[1].clone(), imported)]);
    rig.kms.delete_imported_key_material().key_id(&id).key_material_id(first.unwrap()).send().await.unwrap();
    assert_eq!(rig.state(&id).await, KeyState::PendingImport);
}

async fn pending(rig: &Rig) -> String {
    rig.key_of(OriginType::External, KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt).await
}

async fn forever(rig: &Rig, id: &str, material: [u8; 32]) -> Imported {
    lasting(&rig.kms, id, &material, (RsaesOaepSha256, Rsa2048)).await.send().await
}

async fn symmetric(kms: &Client, id: &str, material: &[u8]) -> ImportKeyMaterialFluentBuilder {
    import(kms, id, material, (RsaesOaepSha256, Rsa2048)).await
}

pub(crate) async fn lasting(
    kms: &Client,
    id: &str,
    material: &[u8],
    wrapping: (AlgorithmSpec, WrappingKeySpec),
) -> ImportKeyMaterialFluentBuilder {
    import(kms, id, material, wrapping).await.expiration_model(ExpirationModelType::KeyMaterialDoesNotExpire)
}

async fn import(
    kms: &Client,
    id: &str,
    material: &[u8],
    (algorithm, size): (AlgorithmSpec, WrappingKeySpec),
) -> ImportKeyMaterialFluentBuilder {
    let asked = kms.get_parameters_for_import().key_id(id).wrapping_algorithm(algorithm.clone()).wrapping_key_spec(size);
    let parameters = asked.send().await.unwrap();
    let wrapped = wrap(&parameters.public_key.unwrap(), material, &algorithm);
    kms.import_key_material().key_id(id).import_token(parameters.import_token.unwrap()).encrypted_key_material(Blob::new(wrapped))
}

/// Every material: its id, state and import state, oldest first.
async fn materials(rig: &Rig, id: &str) -> Vec<(Option<String>, Option<KeyMaterialState>, Option<ImportState>)> {
    let list = rig.kms.list_key_rotations().key_id(id).include_key_material(IncludeKeyMaterial::AllKeyMaterial).send().await.unwrap();
    list.rotations.unwrap().into_iter().map(|kept| (kept.key_material_id, kept.key_material_state, kept.import_state)).collect()
}

fn wrap(public: &Blob, material: &[u8], algorithm: &AlgorithmSpec) -> Vec<u8> {
    let oaep = if [RsaesOaepSha1, RsaAesKeyWrapSha1].contains(algorithm) { &OAEP_SHA1_MGF1SHA1 } else { &OAEP_SHA256_MGF1SHA256 };
    let public = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(public.as_ref()).unwrap()).unwrap();
    let encrypt = |plain: &[u8]| {
        let mut room = vec![0; public.ciphertext_size()];
        public.encrypt(oaep, plain, &mut room, None).unwrap().to_vec()
    };
    if ![RsaAesKeyWrapSha1, RsaAesKeyWrapSha256].contains(algorithm) {
        return encrypt(material);
    }
    let mut kek = [0; 32];
    rand::fill(&mut kek).unwrap();
    let mut room = vec![0; material.len() + 15];
    let wrapped = AesKek::new(&AES_256, &kek).unwrap().wrap_with_padding(material, &mut room).unwrap();
    [encrypt(&kek), wrapped.to_vec()].concat()
}

fn in_days(days: u64) -> DateTime {
    DateTime::from(SystemTime::now() + std::time::Duration::from_secs(days * 86_400))
}

// NIST, "Example Values": HMAC with SHA-224, -256, -384 and -512, key length below block length; the key is 00 01 02 ….
const MAC_224: &str = "e3d249a8cfb67ef8b7a169e9a0a599714a2cecba65999a51beb8fbbe";
const MAC_256: &str = "a28cf43130ee696a98f14a37678b56bcfcbdd9e5cf69717fecf5480f0ebdf790";
const MAC_384: &str = "6eb242bdbb582ca17bebfa481b1e23211464d2b7f8c20b9ff2201637b93646af5ae9ac316e98db45d9cae773675eeed0";
const MAC_512: &str = concat!(
    "fd44c18bda0bb0a6ce0e82b031bf2818f6539bd56ec00bdc10a8a2d730b3634d",
    "e2545d639b0f2cf710d0692c72a1896f1f211c2b922d1a96c392e07e7ea9fedc"
);
