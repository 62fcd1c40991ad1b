//! Making keys, and what can be seen and changed of them.

use aws_sdk_kms::{
    primitives::Blob,
    types::{
        EncryptionAlgorithmSpec, KeyManagerType, KeySpec, KeyState, KeyUsageType, MacAlgorithmSpec, OriginType, SigningAlgorithmSpec, Tag,
    },
};

use crate::rig::{Refused, Rig};

#[tokio::test]
async fn a_key_without_members_is_symmetric_and_has_the_default_policy() {
    let rig = Rig::start().await;
    let made = rig.kms.create_key().send().await.unwrap().key_metadata.unwrap();
    assert_eq!(made.key_spec, Some(KeySpec::SymmetricDefault));
    assert_eq!(made.key_usage, Some(KeyUsageType::EncryptDecrypt));
    assert_eq!(made.origin, Some(OriginType::AwsKms));
    assert_eq!(made.key_state, Some(KeyState::Enabled));
    assert_eq!(made.key_manager, Some(KeyManagerType::Customer));
    assert_eq!(made.encryption_algorithms(), [EncryptionAlgorithmSpec::SymmetricDefault]);
    assert_eq!(made.aws_account_id.as_deref(), Some("111122223333"));
    assert_eq!(made.arn.as_deref(), Some(format!("arn:aws:kms:eu-central-1:111122223333:key/{}", made.key_id).as_str()));
    assert_eq!(made.description.as_deref(), Some(""));
    assert_eq!(made.multi_region, Some(false));
    assert_eq!(made.current_key_material_id.as_ref().map(String::len), Some(64));
    assert!(made.enabled && made.deletion_date.is_none() && made.expiration_model.is_none() && made.multi_region_configuration.is_none());
    let policy = rig.kms.get_key_policy().key_id(&made.key_id).send().await.unwrap();
    assert_eq!(policy.policy_name.as_deref(), Some("default"));
    assert!(policy.policy.unwrap().contains("\"Id\" : \"key-default-1\""));
    assert_eq!(rig.describe(&made.key_id).await, made);
}

#[tokio::test]
async fn each_spec_has_the_algorithms_of_its_usage() {
    let rig = Rig::start().await;
    for (spec, sha) in [
        (KeySpec::EccNistP256, SigningAlgorithmSpec::EcdsaSha256),
        (KeySpec::EccNistP384, SigningAlgorithmSpec::EcdsaSha384),
        (KeySpec::EccNistP521, SigningAlgorithmSpec::EcdsaSha512),
        (KeySpec::EccSecgP256K1, SigningAlgorithmSpec::EcdsaSha256),
    ] {
        let id = rig.key(spec, KeyUsageType::SignVerify).await;
        assert_eq!(rig.describe(&id).await.signing_algorithms(), [sha]);
    }
    for (spec, mac) in [
        (KeySpec::Hmac224, MacAlgorithmSpec::HmacSha224),
        (KeySpec::Hmac256, MacAlgorithmSpec::HmacSha256),
        (KeySpec::Hmac384, MacAlgorithmSpec::HmacSha384),
        (KeySpec::Hmac512, MacAlgorithmSpec::HmacSha512),
    ] {
        let id = rig.key(spec, KeyUsageType::GenerateVerifyMac).await;
        assert_eq!(rig.describe(&id).await.mac_algorithms(), [mac]);
    }
    let id = rig.key(KeySpec::Rsa2048, KeyUsageType::EncryptDecrypt).await;
    let both = [EncryptionAlgorithmSpec::RsaesOaepSha1, EncryptionAlgorithmSpec::RsaesOaepSha256];
    assert_eq!(rig.describe(&id).await.encryption_algorithms(), both);
}

#[tokio::test]
async fn a_usage_that_the_spec_does_not_have_is_refused() {
    let rig = Rig::start().await;
    for (spec, usage) in [
        (KeySpec::SymmetricDefault, KeyUsageType::SignVerify),
        (KeySpec::EccNistP256, KeyUsageType::EncryptDecrypt),
        (KeySpec::Rsa2048, KeyUsageType::GenerateVerifyMac),
        (KeySpec::Hmac256, KeyUsageType::EncryptDecrypt),
    ] {
        assert_eq!(rig.kms.create_key().key_spec(spec).key_usage(usage).send().await.name(), "ValidationException");
    }
    assert_eq!(rig.kms.create_key().key_spec(KeySpec::Rsa2048).send().await.name(), "ValidationException");
    let unknown = || rig.kms.create_key().key_spec("RSA_1024".into());
    assert_eq!(unknown().send().await.name(), "ValidationException");
    assert!(unknown().send().await.text().starts_with("1 validation error detected: Value 'RSA_1024' failed to satisfy constraint:"));
    assert_eq!(rig.kms.list_keys().send().await.unwrap().keys().len(), 0);
}

#[tokio::test]
async fn a_key_store_member_without_its_origin_is_refused() {
    let rig = Rig::start().await;
    let key = || rig.kms.create_key();
    assert_eq!(key().xks_key_id("x").send().await.name(), "ValidationException");
    assert_eq!(key().custom_key_store_id("cks-0").send().await.name(), "ValidationException");
    assert_eq!(key().origin(OriginType::ExternalKeyStore).xks_key_id("x").send().await.name(), "ValidationException");
    let in_store = || key().origin(OriginType::ExternalKeyStore).custom_key_store_id("cks-0");
    assert_eq!(in_store().send().await.name(), "ValidationException");
    assert_eq!(in_store().xks_key_id("x").multi_region(true).send().await.name(), "UnsupportedOperationException");
    assert_eq!(in_store().xks_key_id("x").send().await.name(), "CustomKeyStoreNotFoundException");
}

#[tokio::test]
async fn what_is_put_on_a_key_is_shown_again() {
    let rig = Rig::start().await;
    let tag = |key: &str, value: &str| Tag::builder().tag_key(key).tag_value(value).build().unwrap();
    let made = rig.kms.create_key().description("first").tags(tag("a", "1")).send().await.unwrap().key_metadata.unwrap();
    let (id, kms) = (made.key_id.as_str(), &rig.kms);
    kms.update_key_description().key_id(id).description("second").send().await.unwrap();
    kms.tag_resource().key_id(id).tags(tag("b", "2")).tags(tag("a", "3")).send().await.unwrap();
    kms.untag_resource().key_id(id).tag_keys("b").tag_keys("nobodys").send().await.unwrap();
    assert_eq!(rig.describe(id).await.description.as_deref(), Some("second"));
    assert_eq!(kms.list_resource_tags().key_id(id).send().await.unwrap().tags(), [tag("a", "3")]);
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}"#;
    kms.put_key_policy().key_id(id).policy(policy).send().await.unwrap();
    assert_eq!(kms.get_key_policy().key_id(id).send().await.unwrap().policy.as_deref(), Some(policy));
    assert_eq!(kms.list_key_policies().key_id(id).send().await.unwrap().policy_names(), ["default"]);
    assert_eq!(kms.put_key_policy().key_id(id).policy("{}").send().await.name(), "MalformedPolicyDocumentException");
    let other = kms.put_key_policy().key_id(id).policy_name("other").policy(policy).send().await;
    assert_eq!(other.name(), "UnsupportedOperationException");
    assert_eq!(kms.get_key_policy().key_id(id).policy_name("other").send().await.name(), "NotFoundException");
    assert_eq!(kms.tag_resource().key_id(id).tags(tag("aws:x", "")).send().await.name(), "TagException");
}

#[tokio::test]
async fn keys_are_listed_a_page_at_a_time_and_per_region() {
    let rig = Rig::start().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(rig.symmetric().await);
    }
    made.sort();
    let pages: Vec<_> = rig.kms.list_keys().into_paginator().page_size(2).items().send().collect::<Result<_, _>>().await.unwrap();
    let listed: Vec<_> = pages.into_iter().map(|key| key.key_id.unwrap()).collect();
    assert_eq!(listed, made);
    assert_eq!(rig.kms_in("us-east-1").list_keys().send().await.unwrap().keys().len(), 0);
    assert_eq!(rig.kms_in("us-east-1").describe_key().key_id(&made[0]).send().await.name(), "NotFoundException");
    assert_eq!(rig.kms.list_keys().marker("not one").send().await.name(), "InvalidMarkerException");
}

#[tokio::test]
async fn a_disabled_key_is_not_used() {
    let rig = Rig::start().await;
    let id = rig.key(KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac).await;
    let mac = || rig.kms.generate_mac().key_id(&id).mac_algorithm(MacAlgorithmSpec::HmacSha256).message(Blob::new("m"));
    rig.kms.disable_key().key_id(&id).send().await.unwrap();
    let described = rig.describe(&id).await;
    assert_eq!((described.key_state, described.enabled), (Some(KeyState::Disabled), false));
    assert_eq!(mac().send().await.name(), "DisabledException");
    rig.kms.enable_key().key_id(&id).send().await.unwrap();
    mac().send().await.unwrap();
}

#[tokio::test]
async fn random_bytes_have_the_length_that_was_asked_for() {
    let rig = Rig::start().await;
    let random = |len| rig.kms.generate_random().number_of_bytes(len);
    assert_eq!(random(1024).send().await.unwrap().plaintext.unwrap().as_ref().len(), 1024);
    assert_eq!(random(0).send().await.name(), "ValidationException");
    assert_eq!(random(1025).send().await.name(), "ValidationException");
}

#[tokio::test]
async fn keys_survive_a_restart_with_a_state_file() {
    let dir = tempfile::tempdir().unwrap();
    let settings =
        holdfast_sim_kms::SimSettings { state_file: Some(dir.path().join("state.json")), ..holdfast_sim_kms::SimSettings::new(None) };
    let rig = Rig::with(settings.clone()).await;
    let id = rig.key(KeySpec::EccNistP256, KeyUsageType::SignVerify).await;
    let (before, public) = (rig.describe(&id).await, rig.kms.get_public_key().key_id(&id).send().await.unwrap().public_key);
    rig.sim.stop().await;
    let rig = Rig::with(settings).await;
    assert_eq!(rig.describe(&id).await, before);
    assert_eq!(rig.kms.get_public_key().key_id(&id).send().await.unwrap().public_key, public);
}
