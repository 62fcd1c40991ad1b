//! Encryption with a key's own material.

use std::collections::HashMap;

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_sdk_kms::{
    Client,
    primitives::Blob,
    types::{
        AlgorithmSpec::RsaesOaepSha256 as Wrapping,
        DataKeySpec,
        EncryptionAlgorithmSpec::{RsaesOaepSha1, RsaesOaepSha256},
        KeySpec, KeyUsageType, OriginType, RecipientInfo,
        WrappingKeySpec::Rsa2048,
    },
};

use crate::{
    import::lasting,
    rig::{Refused, Rig},
};

#[tokio::test]
async fn what_a_symmetric_key_encrypts_it_decrypts_in_the_same_context_only() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    let encrypt = kms.encrypt().key_id(&id).plaintext(Blob::new("plain")).encryption_context("a", "1").encryption_context("b", "2");
    let ciphertext = encrypt.send().await.unwrap().ciphertext_blob.unwrap();
    let decrypt = |context: &[(&str, &str)]| {
        let context: HashMap<_, _> = context.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        kms.decrypt().ciphertext_blob(ciphertext.clone()).set_encryption_context(Some(context))
    };
    let decrypted = decrypt(&[("b", "2"), ("a", "1")]).send().await.unwrap();
    assert_eq!(decrypted.plaintext, Some(Blob::new("plain")));
    assert_eq!(decrypted.key_material_id, rig.describe(&id).await.current_key_material_id);
    assert_eq!(decrypted.key_id, rig.describe(&id).await.arn);
    for context in [&[][..], &[("a", "1")], &[("a", "1"), ("b", "3")], &[("a1", ""), ("b", "2")]] {
        assert_eq!(decrypt(context).send().await.name(), "InvalidCiphertextException");
    }
    let other = rig.symmetric().await;
    assert_eq!(decrypt(&[("a", "1"), ("b", "2")]).key_id(other).send().await.name(), "IncorrectKeyException");
    let torn = Blob::new([&ciphertext.as_ref()[..ciphertext.as_ref().len() - 1], b"!"].concat());
    assert_eq!(decrypt(&[("a", "1"), ("b", "2")]).ciphertext_blob(torn).send().await.name(), "InvalidCiphertextException");
}

#[tokio::test]
async fn a_dry_run_tells_of_a_key_of_another_usage_and_nobody_is_a_recipient() {
    let rig = Rig::start().await;
    let (signing, own) = (rig.key(KeySpec::Rsa2048, KeyUsageType::SignVerify).await, rig.symmetric().await);
    let encrypt = |id: &str| rig.kms.encrypt().key_id(id).plaintext(Blob::new("plain"));
    assert_eq!(encrypt(&own).dry_run(true).send().await.name(), "DryRunOperationException");
    assert_eq!(encrypt(&signing).dry_run(true).send().await.name(), "InvalidKeyUsageException");
    let data_key = rig.kms.generate_data_key().key_id(&signing).key_spec(DataKeySpec::Aes256).dry_run(true);
    assert_eq!(data_key.send().await.name(), "InvalidKeyUsageException");
    let ciphertext = encrypt(&own).send().await.unwrap().ciphertext_blob.unwrap();
    let re_encrypt = |to: &str| rig.kms.re_encrypt().ciphertext_blob(ciphertext.clone()).destination_key_id(to).dry_run(true);
    assert_eq!(re_encrypt(&own).send().await.name(), "DryRunOperationException");
    assert_eq!(re_encrypt(&signing).send().await.name(), "InvalidKeyUsageException");
    let recipient = RecipientInfo::builder().attestation_document(Blob::new("enclave")).build();
    let random = rig.kms.generate_random().number_of_bytes(1).recipient(recipient);
    assert_eq!(random.send().await.name(), "UnsupportedOperationException");
}

#[tokio::test]
async fn a_ciphertext_of_a_key_that_is_not_there_is_denied() {
    let rig = Rig::start().await;
    let id = rig.symmetric().await;
    let ciphertext = rig.kms.encrypt().key_id(&id).plaintext(Blob::new("plain")).send().await.unwrap().ciphertext_blob.unwrap();
    let decrypt = |kms: &Client| kms.decrypt().ciphertext_blob(ciphertext.clone());
    assert_eq!(decrypt(&rig.kms_in("us-east-1")).send().await.name(), "AccessDeniedException");
    rig.kms.schedule_key_deletion().key_id(&id).pending_window_in_days(7).send().await.unwrap();
    assert_eq!(decrypt(&rig.kms).send().await.name(), "KMSInvalidStateException");
    rig.days(8);
    assert_eq!(decrypt(&rig.kms).send().await.name(), "AccessDeniedException");
    assert_eq!(decrypt(&rig.kms).key_id(&id).send().await.name(), "NotFoundException");
}

#[tokio::test]
async fn ciphertexts_from_before_a_rotation_decrypt() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    let before = kms.generate_data_key().key_id(&id).key_spec(DataKeySpec::Aes256).send().await.unwrap();
    kms.rotate_key_on_demand().key_id(&id).send().await.unwrap();
    let after = kms.generate_data_key().key_id(&id).number_of_bytes(64).send().await.unwrap();
    assert_ne!(before.key_material_id, after.key_material_id);
    assert_eq!(after.plaintext.as_ref().unwrap().as_ref().len(), 64);
    for made in [before, after] {
        assert_eq!(plaintext(kms, made.ciphertext_blob.unwrap()).await, made.plaintext.unwrap());
    }
}

#[tokio::test]
async fn a_ciphertext_moves_to_another_key() {
    let rig = Rig::start().await;
    let (from, to, kms) = (rig.symmetric().await, rig.key(KeySpec::Rsa2048, KeyUsageType::EncryptDecrypt).await, &rig.kms);
    let ciphertext = kms.encrypt().key_id(&from).plaintext(Blob::new("plain")).send().await.unwrap().ciphertext_blob.unwrap();
    let move_to = kms.re_encrypt().ciphertext_blob(ciphertext).destination_key_id(&to);
    let moved = move_to.destination_encryption_algorithm(RsaesOaepSha256).send().await.unwrap();
    assert_eq!((moved.source_key_id, moved.key_id), (rig.describe(&from).await.arn, rig.describe(&to).await.arn));
    let back = kms.re_encrypt().ciphertext_blob(moved.ciphertext_blob.unwrap()).source_key_id(&to).destination_key_id(&from);
    let back = back.source_encryption_algorithm(RsaesOaepSha256).send().await.unwrap();
    assert_eq!(plaintext(kms, back.ciphertext_blob.unwrap()).await, Blob::new("plain"));
}

#[tokio::test]
async fn an_rsa_key_decrypts_what_its_public_key_encrypted() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.key(KeySpec::Rsa2048, KeyUsageType::EncryptDecrypt).await, &rig.kms);
    let public = kms.get_public_key().key_id(&id).send().await.unwrap().public_key.unwrap();
    let public = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(public.as_ref()).unwrap()).unwrap();
    let mut room = vec![0; public.ciphertext_size()];
    let outside = Blob::new(public.encrypt(&OAEP_SHA256_MGF1SHA256, b"plain", &mut room, None).unwrap().to_vec());
    let decrypt = || kms.decrypt().ciphertext_blob(outside.clone()).encryption_algorithm(RsaesOaepSha256);
    assert_eq!(decrypt().key_id(&id).send().await.unwrap().plaintext, Some(Blob::new("plain")));
    assert_eq!(decrypt().send().await.name(), "ValidationException");
    assert_eq!(decrypt().key_id(&id).encryption_algorithm(RsaesOaepSha1).send().await.name(), "InvalidCiphertextException");
    assert_eq!(decrypt().key_id(&id).encryption_context("a", "b").send().await.name(), "ValidationException");
    let long = kms.encrypt().key_id(&id).encryption_algorithm(RsaesOaepSha256).plaintext(Blob::new([7; 191])).send().await;
    assert_eq!(long.text(), "Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes.");
}

#[tokio::test]
async fn a_key_encrypts_only_with_what_its_spec_and_usage_allow() {
    let rig = Rig::start().await;
    let encrypt = |id: &str| rig.kms.encrypt().key_id(id).plaintext(Blob::new("plain"));
    let symmetric = rig.symmetric().await;
    assert_eq!(encrypt(&symmetric).encryption_algorithm(RsaesOaepSha256).send().await.name(), "InvalidKeyUsageException");
    let rsa = rig.key(KeySpec::Rsa2048, KeyUsageType::EncryptDecrypt).await;
    assert_eq!(encrypt(&rsa).send().await.name(), "InvalidKeyUsageException");
    let mac = rig.key(KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac).await;
    assert_eq!(encrypt(&mac).send().await.name(), "InvalidKeyUsageException");
    assert_eq!(encrypt(&symmetric).plaintext(Blob::new(vec![0; 4097])).send().await.name(), "ValidationException");
    rig.kms.schedule_key_deletion().key_id(&symmetric).send().await.unwrap();
    let refused = encrypt(&symmetric).send().await;
    assert_eq!(refused.text(), format!("arn:aws:kms:eu-central-1:111122223333:key/{symmetric} is pending deletion."));
}

#[tokio::test]
async fn imported_material_decrypts_again_when_it_is_imported_again() {
    let rig = Rig::start().await;
    let id = rig.key_of(OriginType::External, KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt).await;
    let encrypt = || rig.kms.encrypt().key_id(&id).plaintext(Blob::new("plain"));
    assert_eq!(encrypt().send().await.name(), "KMSInvalidStateException");
    let import = async || lasting(&rig.kms, &id, &[7; 32], (Wrapping, Rsa2048)).await.send().await.unwrap();
    import().await;
    let ciphertext = encrypt().send().await.unwrap().ciphertext_blob.unwrap();
    rig.kms.delete_imported_key_material().key_id(&id).send().await.unwrap();
    let gone = rig.kms.decrypt().ciphertext_blob(ciphertext.clone()).send().await;
    assert_eq!(gone.text(), format!("arn:aws:kms:eu-central-1:111122223333:key/{id} is pending import."));
    import().await;
    assert_eq!(plaintext(&rig.kms, ciphertext).await, Blob::new("plain"));
}

#[tokio::test]
async fn a_replica_decrypts_what_its_primary_key_encrypted() {
    let rig = Rig::start().await;
    let id = rig.kms.create_key().multi_region(true).send().await.unwrap().key_metadata.unwrap().key_id;
    let ciphertext = rig.kms.encrypt().key_id(&id).plaintext(Blob::new("plain")).send().await.unwrap().ciphertext_blob.unwrap();
    rig.kms.replicate_key().key_id(&id).replica_region("us-east-1").send().await.unwrap();
    let there = rig.kms_in("us-east-1");
    let early = there.decrypt().ciphertext_blob(ciphertext.clone()).send().await;
    assert_eq!(early.name(), "KMSInvalidStateException");
    rig.days(1);
    assert_eq!(plaintext(&there, ciphertext).await, Blob::new("plain"));
}

async fn plaintext(kms: &Client, ciphertext: Blob) -> Blob {
    kms.decrypt().ciphertext_blob(ciphertext).send().await.unwrap().plaintext.unwrap()
}
