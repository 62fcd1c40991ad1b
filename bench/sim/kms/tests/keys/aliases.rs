//! Aliases, and how a key may be named.

use aws_sdk_kms::types::{KeySpec, KeyUsageType};

use crate::rig::{Refused, Rig};

#[tokio::test]
async fn an_alias_names_its_key_until_it_moves() {
    let rig = Rig::start().await;
    let (one, other, kms) = (rig.symmetric().await, rig.symmetric().await, &rig.kms);
    kms.create_alias().alias_name("alias/app").target_key_id(&one).send().await.unwrap();
    assert_eq!(rig.describe("alias/app").await.key_id, one);
    assert_eq!(rig.describe("arn:aws:kms:eu-central-1:111122223333:alias/app").await.key_id, one);
    let again = kms.create_alias().alias_name("alias/app").target_key_id(&other).send().await;
    assert_eq!(again.text(), "An alias with the name arn:aws:kms:eu-central-1:111122223333:alias/app already exists");
    kms.update_alias().alias_name("alias/app").target_key_id(&other).send().await.unwrap();
    assert_eq!(rig.describe("alias/app").await.key_id, other);
    assert_eq!(kms.list_aliases().key_id(&one).send().await.unwrap().aliases().len(), 0);
    let listed = kms.list_aliases().key_id(&other).send().await.unwrap();
    assert_eq!(listed.aliases()[0].alias_name.as_deref(), Some("alias/app"));
    assert_eq!(listed.aliases()[0].target_key_id.as_deref(), Some(other.as_str()));
    kms.delete_alias().alias_name("alias/app").send().await.unwrap();
    assert_eq!(kms.delete_alias().alias_name("alias/app").send().await.name(), "NotFoundException");
    let gone = kms.describe_key().key_id("alias/app").send().await;
    assert_eq!(gone.text(), "Alias arn:aws:kms:eu-central-1:111122223333:alias/app is not found.");
}

#[tokio::test]
async fn names_that_aws_does_not_take_are_refused() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    for (name, refusal) in [
        ("app", "ValidationException"),
        ("alias/", "ValidationException"),
        ("alias/a b", "ValidationException"),
        ("alias/a:b", "ValidationException"),
        ("alias/aws/app", "InvalidAliasNameException"),
    ] {
        assert_eq!(kms.create_alias().alias_name(name).target_key_id(&id).send().await.name(), refusal, "{name}");
    }
    kms.create_alias().alias_name("alias/app").target_key_id(&id).send().await.unwrap();
    assert_eq!(kms.create_alias().alias_name("alias/b").target_key_id("alias/app").send().await.name(), "ValidationException");
    for (name, refusal) in [
        ("", "ValidationException"),
        ("00000000-0000-4000-8000-000000000000", "NotFoundException"),
        ("arn:aws:kms:eu-central-1", "InvalidArnException"),
        ("arn:aws:s3:eu-central-1:111122223333:key/x", "InvalidArnException"),
        ("arn:aws:kms:us-east-1:111122223333:key/x", "NotFoundException"),
        ("arn:aws:kms:eu-central-1:444455556666:key/x", "NotFoundException"),
    ] {
        assert_eq!(kms.describe_key().key_id(name).send().await.name(), refusal, "{name}");
    }
    for name in ["fake-key-id", "134f2428cec14b25a1ae9048164dba47", "mrk-fake-key-id"] {
        assert_eq!(kms.describe_key().key_id(name).send().await.text(), format!("Invalid keyId '{name}'"));
    }
    assert_eq!(kms.disable_key().key_id("alias/app").send().await.name(), "NotFoundException");
}

#[tokio::test]
async fn an_alias_does_not_move_to_a_key_of_another_kind() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    kms.create_alias().alias_name("alias/app").target_key_id(&id).send().await.unwrap();
    for (spec, usage) in [(KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac), (KeySpec::EccNistP256, KeyUsageType::SignVerify)] {
        let other = rig.key(spec, usage).await;
        assert_eq!(kms.update_alias().alias_name("alias/app").target_key_id(&other).send().await.name(), "ValidationException");
    }
    assert_eq!(kms.update_alias().alias_name("alias/other").target_key_id(&id).send().await.name(), "NotFoundException");
    assert_eq!(rig.describe("alias/app").await.key_id, id);
}
