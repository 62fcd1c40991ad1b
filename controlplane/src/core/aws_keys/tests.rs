//! Keys and an AWS that refuses.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use holdfast_proto::{
    ids::{ExternalKeyId, KeyId},
    state::VersionState,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    access::Trail,
    aws::{
        AwsSettings,
        fake::{self, CONTAINER, REGION},
    },
    publish::tests::estate::{Estate, hyok_key, place, store_id, virtual_key},
    store::entry::{Entry, EntryChange, HyokKeyEntry, ImportEntry, KeyStep, Stamps, UploadedFrom},
};

const KEY: Uuid = Uuid::from_u128(7);

/// As AWS tells of a key in this state, whatever else it is asked.
fn told(operation: &str, state: &str) -> Option<(u16, Value)> {
    let key = json!({ "KeyId": "in-aws", "Arn": "arn", "KeyState": state, "Origin": "EXTERNAL", "KeySpec": "SYMMETRIC_DEFAULT" });
    let answer = match operation {
        // Which the fake tells by itself.
        "GetCallerIdentity" => return None,
        "DescribeKey" => json!({ "KeyMetadata": key }),
        "GetKeyPolicy" => json!({ "Policy": "{}" }),
        _ => json!({}),
    };
    Some((200, answer))
}

#[tokio::test]
async fn a_key_whose_first_import_is_taken_up_in_vain_is_deleted_in_aws_only_while_it_has_no_material() {
    for (state, withdrawn) in [("PendingImport", true), ("Enabled", false), ("Disabled", false)] {
        let (estate, asked) = (Estate::new().await, Arc::new(Mutex::new(Vec::new())));
        let answers = {
            let asked = Arc::clone(&asked);
            move |operation: &str, _: &Value| {
                asked.lock().unwrap().push(operation.to_owned());
                told(operation, state)
            }
        };
        let core = fake::core(&estate, AwsSettings::new(), answers).await;
        // Someone deleted the source key since.
        let from = UploadedFrom { source_key: Uuid::from_u128(99), name: "k".into(), tier_as_sent: None, valid_to_ns: None, made: false };
        let import = ImportEntry {
            from: from.clone(),
            new_material: None,
            description: None,
            key_material_id: None,
            before: Vec::new(),
            rotate: false,
        };
        let known = KeyInAws { key_id: "in-aws".into(), state: "PendingImport".into(), ..KeyInAws::default() };
        let kind = AwsKeyKind::Imported { source: Some(from) };
        let entry = AwsKeyEntry::new(KEY, Place { kms: CONTAINER, region: REGION }, kind, ForAws::default());
        let entry = AwsKeyEntry { told: Some(known), doing: Some(KeyStep::Import(import)), ..entry };
        estate.commit(vec![EntryChange::put(Entry::AwsKey(Box::new(entry)))]).await;
        core.take_up_import(&Trail::system("test"), KEY).await.unwrap();
        assert_eq!(asked.lock().unwrap().iter().any(|operation| operation == "ScheduleKeyDeletion"), withdrawn, "{state}");
        let left = core.view().await.unwrap().aws_key(KEY).unwrap();
        assert_eq!(left.is_none(), withdrawn, "{state}");
        assert!(left.is_none_or(|left| left.doing.is_none() && left.failure.is_some()));
    }
}

#[tokio::test]
async fn a_key_whose_alias_aws_refuses_is_taken_back_unless_aws_has_it_for_long() {
    for (age_s, withdrawn) in [(60, true), (3_600, false)] {
        let (estate, asked) = (Estate::new().await, Arc::new(Mutex::new(Vec::new())));
        let made_s = now_ns() / 1_000_000_000 - age_s;
        let answers = {
            let asked = Arc::clone(&asked);
            move |operation: &str, _: &Value| {
                asked.lock().unwrap().push(operation.to_owned());
                let key = json!({ "KeyId": "in-aws", "Arn": "arn", "KeyState": "Enabled", "Origin": "AWS_KMS", "CreationDate": made_s });
                match operation {
                    "ListKeys" => Some((200, json!({ "Keys": [{ "KeyId": "in-aws" }] }))),
                    "ListResourceTags" => Some((200, json!({ "Tags": [{ "TagKey": OUR_TAG, "TagValue": KEY }] }))),
                    "DescribeKey" => Some((200, json!({ "KeyMetadata": key }))),
                    "CreateAlias" => fake::error("AlreadyExistsException"),
                    other => told(other, "Enabled"),
                }
            }
        };
        let core = fake::core(&estate, AwsSettings::new(), answers).await;
        let for_aws = ForAws { alias: "taken".into(), ..ForAws::default() };
        let entry = AwsKeyEntry::new(KEY, Place { kms: CONTAINER, region: REGION }, AwsKeyKind::Native, for_aws);
        let begun = AwsKeyEntry { doing: Some(KeyStep::Create), ..entry };
        estate.commit(vec![EntryChange::put(Entry::AwsKey(Box::new(begun)))]).await;
        let turn = core.keys_at_work.turn(KEY).await;
        core.finish_creation(&Trail::system("test"), KEY, turn).await.unwrap_err();
        assert_eq!(asked.lock().unwrap().iter().any(|operation| operation == "ScheduleKeyDeletion"), withdrawn, "{age_s}");
        let left = core.view().await.unwrap().aws_key(KEY).unwrap();
        assert_eq!(left.is_none(), withdrawn, "{age_s}");
        assert!(left.is_none_or(|left| left.doing.is_none() && left.failure.unwrap().contains("AlreadyExistsException")));
    }
}

#[tokio::test]
async fn a_hyok_key_that_aws_refuses_goes_unless_its_id_was_chosen_since_aws_may_know_that_from_before() {
    for chosen in [false, true] {
        let estate = Estate::new().await;
        let answers = |operation: &str, _: &Value| match operation {
            "GetCallerIdentity" => None,
            _ => fake::error("XksKeyInvalidConfigurationException"),
        };
        let core = fake::core(&estate, AwsSettings::new(), answers).await;
        let EntryChange::Put(put) = hyok_key(1, 7, false) else { panic!("not a key") };
        let Entry::HyokKey(key) = *put else { panic!("not a key") };
        let own = ExternalKeyId::try_from(KEY.to_string().as_str()).unwrap();
        let external_id = if chosen { key.external_id.clone() } else { own };
        let key = HyokKeyEntry { external_id, stamps: Stamps::default(), ..key };
        let entry =
            AwsKeyEntry::new(KEY, Place { kms: CONTAINER, region: REGION }, AwsKeyKind::Hyok { store: store_id(1).0 }, ForAws::default());
        let begun = AwsKeyEntry { doing: Some(KeyStep::Create), ..entry };
        let entries = [Entry::HyokKey(key), Entry::AwsKey(Box::new(begun))].map(EntryChange::put);
        let entries = entries.into_iter().chain([virtual_key(1, 7, &[VersionState::Active]), place(1, 7)]);
        estate.commit(entries.collect()).await;
        let turn = core.keys_at_work.turn(KEY).await;
        let refused = core.make_in_aws(&Trail::system("test"), KEY, turn).await.unwrap_err().to_string();
        assert!(refused.contains("KMS CreateKey"), "{refused}");
        let view = core.view().await.unwrap();
        assert_eq!((view.aws_key(KEY).unwrap(), view.find_hyok_key(KeyId(KEY)).unwrap().is_some()), (None, chosen));
    }
}

#[tokio::test]
async fn what_was_begun_with_a_key_that_aws_has_no_more_is_over() {
    let estate = Estate::new().await;
    let core = fake::core(&estate, AwsSettings::new(), |operation: &str, _: &Value| told(operation, "Enabled")).await;
    let key = |id| AwsKeyEntry {
        told: Some(KeyInAws { key_id: "in-aws".into(), ..KeyInAws::default() }),
        ..AwsKeyEntry::new(id, Place { kms: CONTAINER, region: REGION }, AwsKeyKind::Native, ForAws::default())
    };
    let successor = key(Uuid::from_u128(8));
    let rotate = KeyStep::Rotate { successor: successor.id, disable: true, retain_alias: false };
    for step in [KeyStep::Change, rotate] {
        let gone = AwsKeyEntry { gone: true, doing: Some(step), failure: Some("no".into()), ..key(KEY) };
        let entries = [gone, successor.clone()].map(|entry| EntryChange::put(Entry::AwsKey(Box::new(entry))));
        estate.commit(entries.into()).await;
        core.take_up(KEY, core.keys_at_work.turn(KEY).await).await.unwrap();
        let over = core.view().await.unwrap().aws_key(KEY).unwrap().unwrap();
        assert_eq!((over.doing, over.failure), (None, None));
    }
}

#[tokio::test]
async fn a_step_that_aws_has_not_answered_for_long_says_so_and_can_be_given_up() {
    let estate = Estate::new().await;
    let core =
        fake::core(&estate, AwsSettings { attempt_timeout: Duration::from_secs(1), ..AwsSettings::new() }, |_: &str, _: &Value| None).await;
    let why = CoreError::Unavailable("AWS is away".into());
    for (ago_ns, stands) in [(60_000_000_000, false), (3_600_000_000_000, true)] {
        let stamps = Stamps { created_ns: 0, updated_ns: now_ns() - ago_ns };
        let entry = AwsKeyEntry::new(KEY, Place { kms: CONTAINER, region: REGION }, AwsKeyKind::Native, ForAws::default());
        let entry = AwsKeyEntry { doing: Some(KeyStep::Create), stamps, ..entry };
        estate.commit(vec![EntryChange::put(Entry::AwsKey(Box::new(entry)))]).await;
        core.stands_still(&Trail::system("test"), KEY, &why).await.unwrap();
        let now = core.view().await.unwrap().aws_key(KEY).unwrap().unwrap();
        assert_eq!(steps::stands(&now), stands, "{:?}", now.failure);
    }
    core.delete_key(&crate::access::Permit::system("test"), KEY).await.unwrap();
    assert_eq!(core.view().await.unwrap().aws_key(KEY).unwrap(), None);
}
