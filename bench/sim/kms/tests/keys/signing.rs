//! Signatures and MACs with a key's own material, checked by `aws-lc-rs` on this side.

use aws_lc_rs::{
    digest,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256K1_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, RSA_PKCS1_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
    },
};
use aws_sdk_kms::{
    primitives::Blob,
    types::{KeySpec, KeyUsageType, MacAlgorithmSpec, MessageType, SigningAlgorithmSpec},
};

use crate::rig::{Refused, Rig};

#[tokio::test]
async fn signatures_verify_under_the_public_key() {
    let rig = Rig::start().await;
    let rsa = rig.key(KeySpec::Rsa2048, KeyUsageType::SignVerify).await;
    let mut cases: Vec<(String, SigningAlgorithmSpec, &'static dyn VerificationAlgorithm)> = vec![
        (rsa.clone(), SigningAlgorithmSpec::RsassaPkcs1V15Sha256, &RSA_PKCS1_2048_8192_SHA256),
        (rsa, SigningAlgorithmSpec::RsassaPssSha512, &RSA_PSS_2048_8192_SHA512),
    ];
    let curves: [(KeySpec, SigningAlgorithmSpec, &'static dyn VerificationAlgorithm); 4] = [
        (KeySpec::EccNistP256, SigningAlgorithmSpec::EcdsaSha256, &ECDSA_P256_SHA256_ASN1),
        (KeySpec::EccNistP384, SigningAlgorithmSpec::EcdsaSha384, &ECDSA_P384_SHA384_ASN1),
        (KeySpec::EccNistP521, SigningAlgorithmSpec::EcdsaSha512, &ECDSA_P521_SHA512_ASN1),
        (KeySpec::EccSecgP256K1, SigningAlgorithmSpec::EcdsaSha256, &ECDSA_P256K1_SHA256_ASN1),
    ];
    for (spec, algorithm, witness) in curves {
        cases.push((rig.key(spec, KeyUsageType::SignVerify).await, algorithm, witness));
    }
    for (id, algorithm, witness) in cases {
        let public = rig.kms.get_public_key().key_id(&id).send().await.unwrap().public_key.unwrap();
        let signed = rig.kms.sign().key_id(&id).signing_algorithm(algorithm.clone()).message(Blob::new("message")).send().await.unwrap();
        let signature = signed.signature.unwrap();
        assert!(UnparsedPublicKey::new(witness, public.as_ref()).verify(b"message", signature.as_ref()).is_ok(), "{algorithm:?}");
        let verify = |message: &str| {
            let verify = rig.kms.verify().key_id(&id).signing_algorithm(algorithm.clone()).message(Blob::new(message));
            verify.signature(signature.clone())
        };
        assert!(verify("message").send().await.unwrap().signature_valid);
        assert_eq!(verify("massage").send().await.name(), "KMSInvalidSignatureException");
    }
}

#[tokio::test]
async fn a_digest_is_signed_as_it_is() {
    let rig = Rig::start().await;
    let id = rig.key(KeySpec::EccNistP256, KeyUsageType::SignVerify).await;
    let public = rig.kms.get_public_key().key_id(&id).send().await.unwrap().public_key.unwrap();
    let sign = |message: &[u8]| {
        let sign = rig.kms.sign().key_id(&id).signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
        sign.message(Blob::new(message)).message_type(MessageType::Digest)
    };
    let hash = digest::digest(&digest::SHA256, b"message");
    let signature = sign(hash.as_ref()).send().await.unwrap().signature.unwrap();
    let witness = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public.as_ref());
    assert!(witness.verify(b"message", signature.as_ref()).is_ok());
    assert_eq!(sign(b"no digest").send().await.name(), "ValidationException");
}

#[tokio::test]
async fn a_key_signs_only_with_what_its_spec_and_usage_allow() {
    let rig = Rig::start().await;
    let sign = |id: &str, algorithm| rig.kms.sign().key_id(id).signing_algorithm(algorithm).message(Blob::new("m"));
    let curve = rig.key(KeySpec::EccNistP256, KeyUsageType::SignVerify).await;
    assert_eq!(sign(&curve, SigningAlgorithmSpec::EcdsaSha512).send().await.name(), "InvalidKeyUsageException");
    let symmetric = rig.symmetric().await;
    let refused = sign(&symmetric, SigningAlgorithmSpec::EcdsaSha256).send().await;
    let arn = rig.describe(&symmetric).await.arn.unwrap();
    assert_eq!(refused.text(), format!("{arn} key usage is ENCRYPT_DECRYPT which is not valid for Sign."));
    assert_eq!(rig.kms.get_public_key().key_id(&symmetric).send().await.name(), "UnsupportedOperationException");
    let dry = sign(&curve, SigningAlgorithmSpec::EcdsaSha256).dry_run(true).send().await;
    assert_eq!(dry.name(), "DryRunOperationException");
    let long = sign(&curve, SigningAlgorithmSpec::EcdsaSha256).message(Blob::new(vec![0; 4097])).send().await;
    assert_eq!(long.name(), "ValidationException");
}

#[tokio::test]
async fn a_mac_is_the_same_each_time_and_verifies_for_its_message_only() {
    let rig = Rig::start().await;
    for (spec, algorithm, len) in [
        (KeySpec::Hmac224, MacAlgorithmSpec::HmacSha224, 28),
        (KeySpec::Hmac256, MacAlgorithmSpec::HmacSha256, 32),
        (KeySpec::Hmac384, MacAlgorithmSpec::HmacSha384, 48),
        (KeySpec::Hmac512, MacAlgorithmSpec::HmacSha512, 64),
    ] {
        let id = rig.key(spec, KeyUsageType::GenerateVerifyMac).await;
        let mac = || rig.kms.generate_mac().key_id(&id).mac_algorithm(algorithm.clone()).message(Blob::new("message"));
        let made = mac().send().await.unwrap().mac.unwrap();
        assert_eq!((made.as_ref().len(), &mac().send().await.unwrap().mac.unwrap()), (len, &made));
        let verify = |message: &str| rig.kms.verify_mac().key_id(&id).mac_algorithm(algorithm.clone()).message(Blob::new(message));
        assert!(verify("message").mac(made.clone()).send().await.unwrap().mac_valid);
        assert_eq!(verify("massage").mac(made).send().await.name(), "KMSInvalidMacException");
    }
}
