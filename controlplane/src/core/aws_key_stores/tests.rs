//! Key stores and an AWS that does not tell.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_proto::ids::CredentialId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    access::{Permit, Trail},
    aws::{
        AwsSettings,
        fake::{self, CONTAINER, REGION},
    },
    clock::now_ns,
    core::Core,
    publish::tests::estate::{Estate, store_id},
    store::entry::{Entry, EntryChange, KeyStoreStep},
};

type Told = Arc<Mutex<Option<(u16, Value)>>>;

/// A linked key store with this begun, of whose two credentials AWS signs with the first; what AWS tells of key stores, and of whose the
/// credentials are.
async fn core(doing: Option<KeyStoreStep>, settled_after: Duration) -> (Estate, Arc<Core>, Told, Told) {
    let estate = Estate::new().await;
    let (stores, caller) = (Told::default(), Told::default());
    let settings = AwsSettings { attempt_timeout: Duration::from_millis(400), settled_after, ..AwsSettings::new() };
    let answers = {
        let (stores, caller) = (Arc::clone(&stores), Arc::clone(&caller));
        move |operation: &str, _: &Value| {
            let told = if operation == "GetCallerIdentity" { &caller } else { &stores };
            told.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    };
    let core = fake::core(&estate, settings, answers).await;
    let kind = AwsKeyStoreKind::Linked { credential: Some(Uuid::from_u128(1)) };
    let entry = AwsKeyStoreEntry::new((store_id(1).0, CONTAINER), REGION, ("store 1".into(), kind), Stamps::default());
    let entry = AwsKeyStoreEntry { custom_key_store_id: Some(IN_AWS.into()), doing, ..entry };
    estate.commit(vec![estate.credential(1, 2), put(entry)]).await;
    (estate, core, stores, caller)
}

fn tell(told: &Told, answer: Option<(u16, Value)>) {
    *told.lock().unwrap() = answer;
}

/// As AWS tells of the store while it signs with this.
fn signing_with(access_key_id: &str) -> Option<(u16, Value)> {
    let proxy = json!({ "Connectivity": "PUBLIC_ENDPOINT", "AccessKeyId": access_key_id, "UriPath": "/s1/kms/xks/v1" });
    let store = json!({
        "CustomKeyStoreId": IN_AWS, "CustomKeyStoreName": "store 1", "ConnectionState": "DISCONNECTED", "XksProxyConfiguration": proxy,
    });
    Some((200, json!({ "CustomKeyStores": [store], "Truncated": false })))
}

/// The same, without a word of the credential.
fn signing_with_it_knows_what() -> Option<(u16, Value)> {
    let (status, mut told) = signing_with("")?;
    told["CustomKeyStores"][0]["XksProxyConfiguration"].as_object_mut()?.remove("AccessKeyId");
    Some((status, told))
}

fn access_key(n: usize) -> String {
    "A".repeat(20 + n)
}

async fn entry(core: &Core) -> AwsKeyStoreEntry {
    found(&core.view().await.unwrap(), store_id(1).0).unwrap()
}

async fn until(core: &Core, is_so: impl Fn(&AwsKeyStoreEntry) -> bool) -> AwsKeyStoreEntry {
    let mut moves = core.store.head().watch();
    loop {
        moves.borrow_and_update();
        let now = entry(core).await;
        if is_so(&now) {
            return now;
        }
        moves.changed().await.unwrap();
    }
}

#[tokio::test]
async fn a_step_that_aws_lets_nobody_finish_says_so_and_goes_on_by_itself_when_aws_tells_again() {
    let (_estate, core, stores, _) = core(Some(KeyStoreStep::RotateCredential(Uuid::from_u128(2))), Duration::ZERO).await;
    tell(&stores, fake::error("UnrecognizedClientException"));
    core.look(store_id(1).0).await.unwrap_err();
    let stopped = entry(&core).await;
    let failure = stopped.failure.clone().unwrap();
    for part in ["UnrecognizedClientException", "it is tried again", "both credentials stay"] {
        assert!(failure.contains(part), "{failure}");
    }
    assert!(stands(&stopped) && idle(&stopped).unwrap_err().to_string().contains(&failure));
    core.look(store_id(1).0).await.unwrap_err();
    assert_eq!(entry(&core).await, stopped, "it is said once");
    let follower = tokio::spawn(Arc::clone(&core).keep_following_key_stores());
    tell(&stores, signing_with(&access_key(2)));
    let done = until(&core, |entry| entry.doing.is_none()).await;
    follower.abort();
    assert_eq!((done.doing, done.failure, done.kind), (None, None, AwsKeyStoreKind::Linked { credential: Some(Uuid::from_u128(2)) }));
}

#[tokio::test]
async fn a_step_that_can_not_be_finished_is_given_up_by_its_store_s_deletion_and_nothing_else_goes() {
    let (_estate, core, stores, _) = core(Some(KeyStoreStep::RotateCredential(Uuid::from_u128(2))), Duration::ZERO).await;
    let (permit, id) = (Permit::system("test"), store_id(1));
    tell(&stores, fake::error("UnrecognizedClientException"));
    let refused = core.delete_key_store(&permit, id).await.unwrap_err().to_string();
    assert!(refused.contains("is being found out"), "nobody was told yet what that means: {refused}");
    core.look(id.0).await.unwrap_err();
    let refused = core.delete_key_store(&permit, id).await.unwrap_err().to_string();
    assert!(refused.contains("is given up, and nothing else is changed"), "{refused}");
    let left = entry(&core).await;
    assert!(
        left.doing.is_none() && left.failure.is_some_and(|failure| failure.contains("not known whether AWS did take the new credential"))
    );
    assert_eq!(left.unsure_credentials, BTreeSet::from([Uuid::from_u128(2)]));
    assert_eq!(core.view().await.unwrap().credentials(id).unwrap().len(), 2);
}

#[tokio::test]
async fn a_deletion_deletes_nothing_where_aws_tells_again_of_what_could_not_be_finished() {
    let (_estate, core, stores, _) = core(Some(KeyStoreStep::Update), Duration::ZERO).await;
    tell(&stores, fake::error("UnrecognizedClientException"));
    core.look(store_id(1).0).await.unwrap_err();
    tell(&stores, signing_with(&access_key(1)));
    let refused = core.delete_key_store(&Permit::system("test"), store_id(1)).await.unwrap_err().to_string();
    assert!(refused.contains("AWS tells again"), "{refused}");
    assert!(core.view().await.unwrap().key_store(store_id(1)).unwrap().is_some());
}

#[tokio::test]
async fn an_aws_that_is_away_stops_a_step_only_when_it_is_away_for_long() {
    let (estate, core, _, caller) = core(Some(KeyStoreStep::Update), Duration::ZERO).await;
    tell(&caller, Some((503, Value::String("<no/>".into()))));
    let begun = async |ago_ns| {
        let stamps = Stamps { created_ns: 0, updated_ns: now_ns() - ago_ns };
        let entry = AwsKeyStoreEntry { stamps, ..entry(&core).await };
        estate.commit(vec![EntryChange::put(Entry::AwsKeyStore(entry))]).await;
        assert!(core.look(store_id(1).0).await.unwrap_err().may_pass());
        stands(&self::entry(&core).await)
    };
    assert_eq!((begun(60_000_000_000).await, begun(3_600_000_000_000).await), (false, true));
}

#[tokio::test]
async fn a_credential_that_aws_tells_of_soon_after_it_was_asked_may_be_the_one_before_and_both_are_kept() {
    for (settled_after, signs, unsure) in [(Duration::from_secs(60), 2, vec![1]), (Duration::ZERO, 1, Vec::new())] {
        let (estate, core, stores, _) = core(None, settled_after).await;
        let kind = AwsKeyStoreKind::Linked { credential: Some(Uuid::from_u128(2)) };
        let rotated = AwsKeyStoreEntry { kind, ..entry(&core).await };
        estate.commit(vec![put(rotated)]).await;
        core.ask_of_store(store_id(1).0, std::future::ready(Ok(()))).await.unwrap();
        tell(&stores, signing_with(&access_key(1)));
        core.find_out(&Trail::system("test"), store_id(1).0).await.unwrap();
        let after = entry(&core).await;
        assert_eq!(after.kind, AwsKeyStoreKind::Linked { credential: Some(Uuid::from_u128(signs)) });
        assert_eq!(after.unsure_credentials, unsure.into_iter().map(Uuid::from_u128).collect());
        let used = |n| crate::core::key_stores::is_used_by_aws(Some(&after), store_id(1), CredentialId(Uuid::from_u128(n)));
        assert_eq!((used(1), used(2)), (true, signs == 2));
    }
}

#[tokio::test]
async fn a_credential_of_which_aws_says_nothing_is_not_taken_for_refused() {
    let (_estate, core, stores, _) = core(Some(KeyStoreStep::RotateCredential(Uuid::from_u128(2))), Duration::ZERO).await;
    tell(&stores, signing_with_it_knows_what());
    assert!(!core.look(store_id(1).0).await.unwrap());
    for _ in 0..2 {
        let left = entry(&core).await;
        assert_eq!((left.doing, left.unsure_credentials), (None, BTreeSet::from([Uuid::from_u128(2)])));
        assert_eq!(left.kind, AwsKeyStoreKind::Linked { credential: Some(Uuid::from_u128(1)) });
        assert_eq!(core.view().await.unwrap().credentials(store_id(1)).unwrap().len(), 2);
        core.find_out(&Trail::system("test"), store_id(1).0).await.unwrap();
    }
}

#[tokio::test]
async fn a_credential_that_aws_signs_with_and_nobody_here_knows_is_told_until_it_is_replaced() {
    let (_estate, core, stores, _) = core(None, Duration::ZERO).await;
    let look = async |access_key_id: &str| {
        tell(&stores, signing_with(access_key_id));
        core.find_out(&Trail::system("test"), store_id(1).0).await.unwrap();
        entry(&core).await.failure
    };
    let failure = look("OTHER").await.unwrap();
    assert!(failure.contains("credential OTHER") && failure.contains("rotate the credential"), "{failure}");
    assert_eq!(look(&access_key(1)).await, None);
}

const IN_AWS: &str = "cks-0123456789abcdef0";
