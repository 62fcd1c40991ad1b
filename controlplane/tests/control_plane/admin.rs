//! gRPC, with a node connected.

use std::{fs, num::NonZeroU32};

use holdfast_controlplane::core::{CoreError, import::ImportKeyStore};
use holdfast_proto::{
    admin::{
        BlockHyokKeyRequest, BlockKeyStoreRequest, CreateCredentialRequest, CreateHyokKeyRequest, CreateKeyStoreRequest,
        DeleteCredentialRequest, ForgetNodeRequest, HyokKey, KeyStore, ListCredentialsRequest, ListHyokKeysRequest, ListKeyStoresRequest,
        ListNodesRequest, ResyncNodeRequest, RotateHyokKeyRequest, UnblockHyokKeyRequest,
    },
    ids::{AccessKeyId, ExternalKeyId, KeyId, StoreId, UriPath},
    kinds::KeyKind,
    records::{KeyUsage, LocalBlob, SourceKey},
    secret::Secret,
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    node::{Node, SOON, active},
    plane::{Admin, Plane},
};

/// A plane whose demo is served by `node-1`.
async fn serving() -> (Plane, Node, Admin) {
    let plane = Plane::with_demo().await;
    let node = plane.node("node-1").await;
    assert!(plane.running.demo_served(SOON).await.unwrap());
    let admin = plane.admin().await;
    (plane, node, admin)
}

async fn key_stores(admin: &mut Admin) -> Vec<KeyStore> {
    admin.key_stores.list_key_stores(ListKeyStoresRequest {}).await.unwrap().into_inner().key_stores
}

async fn keys(admin: &mut Admin, store: &str) -> Vec<HyokKey> {
    admin.hyok_keys.list_hyok_keys(ListHyokKeysRequest { key_store_id: store.into() }).await.unwrap().into_inner().keys
}

fn ids(key: &HyokKey) -> (StoreId, KeyId) {
    (StoreId(key.key_store_id.parse().unwrap()), KeyId(key.id.parse().unwrap()))
}

#[tokio::test]
async fn a_promised_demo_is_kept_once_a_node_is_there_whatever_restarts_before() {
    let plane = Plane::with_demo().await.restarted(|_| {}).await;
    let mut node = plane.node("node-1").await;
    assert!(plane.running.demo_served(SOON).await.unwrap());
    let demo = plane.report.demo.clone().unwrap();
    let held = node.holds(|set| set.at(&demo.uri_path).is_some_and(|store| store.keys().any(|key| key.active().is_some()))).await;
    let store = held.at(&demo.uri_path).unwrap();
    assert_eq!((store.header().name.as_str(), store.header().region.as_str()), ("demo", "eu-west-1"));
    let credential = store.credentials().next().unwrap();
    assert_eq!((&credential.access_key_id, credential.secret.expose()), (&demo.access_key_id, demo.secret.expose()));
    let key = store.keys().next().unwrap();
    assert_eq!(key.key().external_id, demo.external_id);
    for source in [&key.active().unwrap().source, &store.header().health_key] {
        assert!(matches!(source, SourceKey::Local(blob) if blob.unexportable && blob.usage == KeyUsage::BOTH));
    }
    node.leave();

    let plane = plane.restarted(|_| {}).await;
    let node = Node::connect(&plane.dir.path().join("node-1"), plane.running.sync_addr()).await.unwrap();
    assert!(plane.running.demo_served(SOON).await.unwrap());
    assert_eq!(node.held().stores().count(), 1);
}

#[tokio::test]
async fn a_lost_demo_secret_or_admin_password_is_replaced() {
    let (mut plane, mut node, mut admin) = serving().await;
    let path = plane.report.demo.clone().unwrap().uri_path;
    for _ in 0..25 {
        let fresh = plane.running.demo_credential().await.unwrap();
        let has = |c: &holdfast_proto::records::Credential| c.access_key_id == fresh.access_key_id && c.secret == fresh.secret;
        node.holds(|set| set.at(&path).is_some_and(|store| store.credentials().any(has))).await;
    }
    let store = key_stores(&mut admin).await.remove(0);
    let live = admin.key_stores.list_credentials(ListCredentialsRequest { key_store_id: store.id }).await.unwrap().into_inner().credentials;
    assert_eq!(live.len(), 20, "the oldest made room");

    plane.report.admin_password = plane.running.reset_admin_password().await.unwrap();
    plane.admin().await;
    plane.running.set_demo_quota(NonZeroU32::new(7)).await.unwrap();
    node.holds(|set| set.at(&path).is_some_and(|store| store.header().quota == NonZeroU32::new(7))).await;
}

#[tokio::test]
async fn nothing_is_told_without_a_token_and_every_call_is_in_the_audit_file() {
    let plane = Plane::with_demo().await;
    let mut stranger = plane.stranger().await;
    let refused = stranger.key_stores.list_key_stores(ListKeyStoresRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    key_stores(&mut plane.admin().await).await;
    let missing = BlockHyokKeyRequest { id: Uuid::nil().to_string() };
    assert_eq!(plane.admin().await.hyok_keys.block_hyok_key(missing).await.unwrap_err().code(), Code::NotFound);
    let audit = fs::read_to_string(plane.data().join("audit/admin.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().map(|l| [&l["who"], &l["operation"], &l["outcome"]].map(|v| v.as_str().unwrap())).collect();
    let expected = [
        ["", "key_store.list", "NCERRUnauthorized"],
        ["holdfast (signing key)", "signing key", "ok"],
        ["admin", "login", "ok"],
        ["admin", "key_store.list", "ok"],
        ["admin", "login", "ok"],
        ["admin", "hyok_key.block", "NCERRResourceNotFound"],
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_block_has_been_applied_when_it_is_answered_and_names_nodes_that_are_not_there() {
    let (plane, node, mut admin) = serving().await;
    let store = key_stores(&mut admin).await.remove(0);
    let key = keys(&mut admin, &store.id).await.remove(0);
    let (store_id, key_id) = ids(&key);
    let blocked = |node: &Node| {
        let held = node.held();
        let store = held.store(store_id).unwrap();
        (store.header().blocked, store.key(key_id).unwrap().key().blocked)
    };
    for _ in 0..2 {
        let answer = admin.hyok_keys.block_hyok_key(BlockHyokKeyRequest { id: key.id.clone() }).await.unwrap().into_inner();
        assert!(answer.key.unwrap().blocked && answer.pending_nodes.is_empty());
        assert_eq!(blocked(&node), (false, true));
    }
    admin.hyok_keys.unblock_hyok_key(UnblockHyokKeyRequest { id: key.id.clone() }).await.unwrap();
    assert_eq!(blocked(&node), (false, false));

    let mut other = plane.node("node-2").await;
    other.holds(|set| set.store(store_id).is_some()).await;
    other.leave();
    let answer = admin.key_stores.block_key_store(BlockKeyStoreRequest { id: store.id.clone() }).await.unwrap().into_inner();
    assert!(answer.key_store.unwrap().blocked);
    assert_eq!(answer.pending_nodes, ["node-2"]);
    assert_eq!(blocked(&node), (true, false));
}

#[tokio::test]
async fn a_rotated_key_encrypts_under_its_new_version_once_the_nodes_have_it() {
    let (_plane, mut node, mut admin) = serving().await;
    let store = key_stores(&mut admin).await.remove(0);
    let key = keys(&mut admin, &store.id).await.remove(0);
    let (store_id, key_id) = ids(&key);
    for version in 1..=3 {
        let rotated =
            admin.hyok_keys.rotate_hyok_key(RotateHyokKeyRequest { id: key.id.clone(), ..Default::default() }).await.unwrap().into_inner();
        assert_eq!(rotated.version, version);
        node.holds(|set| active(set, store_id, key_id) == Some(version)).await;
    }
    let versions = keys(&mut admin, &store.id).await.remove(0).versions;
    let states: Vec<_> = versions.iter().map(|v| (v.number, v.state.as_str())).collect();
    assert_eq!(states, [(0, "retired"), (1, "retired"), (2, "retired"), (3, "active")]);
    let held = node.held();
    let mut tags: Vec<_> = held.store(store_id).unwrap().key(key_id).unwrap().versions().map(|v| v.tag).collect();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), 4);
}

#[tokio::test]
async fn a_worn_key_rotates_by_itself_and_once() {
    let plane = Plane::with_demo().await.restarted(|settings| settings.rotate_at = 1_000).await;
    let mut node = plane.node("node-1").await;
    assert!(plane.running.demo_served(SOON).await.unwrap());
    let key = keys(&mut plane.admin().await, &key_stores(&mut plane.admin().await).await[0].id).await.remove(0);
    let (store_id, key_id) = ids(&key);
    let held = node.holds(|set| active(set, store_id, key_id) == Some(0)).await;
    node.count(held.store(store_id).unwrap().key(key_id).unwrap().active().unwrap(), 1_000).await;
    let held = node.holds(|set| active(set, store_id, key_id) == Some(1)).await;
    assert_eq!(held.store(store_id).unwrap().key(key_id).unwrap().versions().count(), 2);
}

#[tokio::test]
async fn key_stores_keys_and_credentials_reach_the_node_and_conflicts_change_nothing() {
    let (_plane, mut node, mut admin) = serving().await;
    let request = CreateKeyStoreRequest {
        name: "taken over".into(),
        region: "us-east-1".into(),
        uri_path: "/old/kms/xks/v1".into(),
        access_key_id: "ABCDEFGHIJKLMNOPQRST".into(),
        secret_access_key: "s".repeat(43),
        quota: 5,
        ..CreateKeyStoreRequest::default()
    };
    let created = admin.key_stores.create_key_store(request.clone()).await.unwrap().into_inner();
    let store = created.key_store.unwrap();
    assert_eq!((store.uri_path.as_str(), created.access_key_id.as_str()), ("/old/kms/xks/v1", "ABCDEFGHIJKLMNOPQRST"));
    let store_id = StoreId(store.id.parse().unwrap());

    let new_key =
        CreateHyokKeyRequest { key_store_id: store.id.clone(), external_key_id: "old-key".into(), ..CreateHyokKeyRequest::default() };
    let key = admin.hyok_keys.create_hyok_key(new_key.clone()).await.unwrap().into_inner().key.unwrap();
    let (_, key_id) = ids(&key);
    let held = node.holds(|set| active(set, store_id, key_id) == Some(0)).await;
    let held = held.store(store_id).unwrap();
    assert_eq!((held.header().quota, held.credentials().next().unwrap().secret.expose()), (NonZeroU32::new(5), "s".repeat(43).as_str()));

    // The store is full after one more.
    let more = CreateCredentialRequest { key_store_id: store.id.clone() };
    let second = admin.key_stores.create_credential(more.clone()).await.unwrap().into_inner();
    let full = admin.key_stores.create_credential(more).await.unwrap_err();
    assert_eq!(full.code(), Code::FailedPrecondition);
    assert!(full.message().contains("ABCDEFGHIJKLMNOPQRST"), "{}", full.message());
    assert_eq!(node.held().store(store_id).unwrap().credentials().count(), 2);
    let gone = DeleteCredentialRequest { key_store_id: store.id.clone(), id: second.credential.unwrap().id };
    admin.key_stores.delete_credential(gone.clone()).await.unwrap();
    assert_eq!(node.held().store(store_id).unwrap().credentials().count(), 1);
    assert_eq!(admin.key_stores.delete_credential(gone).await.unwrap_err().code(), Code::NotFound);

    let before = node.held().digest();
    assert_eq!(admin.hyok_keys.create_hyok_key(new_key).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(admin.key_stores.create_key_store(request.clone()).await.unwrap_err().code(), Code::Aborted);
    let same_path = CreateKeyStoreRequest { name: "other".into(), ..request.clone() };
    assert_eq!(admin.key_stores.create_key_store(same_path).await.unwrap_err().code(), Code::Aborted);
    let table = [
        CreateKeyStoreRequest { name: String::new(), ..request.clone() },
        CreateKeyStoreRequest { region: "Mars".into(), ..request.clone() },
        CreateKeyStoreRequest { uri_path: "/x".into(), ..request.clone() },
        CreateKeyStoreRequest { access_key_id: String::new(), ..request.clone() },
        CreateKeyStoreRequest { secret_access_key: "short".into(), ..request.clone() },
        CreateKeyStoreRequest { max_credentials: 21, ..request.clone() },
    ];
    for bad in table {
        assert_eq!(admin.key_stores.create_key_store(bad).await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(key_stores(&mut admin).await.len(), 2);
    assert_eq!(node.held().digest(), before);
}

#[tokio::test]
async fn the_last_credential_of_a_key_store_stays() {
    let (_plane, node, mut admin) = serving().await;
    let store = key_stores(&mut admin).await.remove(0).id;
    let list = ListCredentialsRequest { key_store_id: store.clone() };
    let first = admin.key_stores.list_credentials(list).await.unwrap().into_inner().credentials.remove(0).id;
    let last = DeleteCredentialRequest { key_store_id: store.clone(), id: first };
    let refused = admin.key_stores.delete_credential(last.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("last credential"), "{}", refused.message());
    admin.key_stores.create_credential(CreateCredentialRequest { key_store_id: store }).await.unwrap();
    admin.key_stores.delete_credential(last).await.unwrap();
    assert_eq!(node.held().stores().map(|store| store.credentials().count()).sum::<usize>(), 1);
}

#[tokio::test]
async fn without_a_node_keys_cannot_be_made_and_the_answer_says_so() {
    let plane = Plane::with_demo().await;
    let request = CreateKeyStoreRequest { name: "a".into(), region: "us-east-1".into(), ..CreateKeyStoreRequest::default() };
    let refused = plane.admin().await.key_stores.create_key_store(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("local"), "{}", refused.message());
    assert!(key_stores(&mut plane.admin().await).await.is_empty());
}

#[tokio::test]
async fn a_forgotten_node_is_cut_off_and_its_certificate_refused() {
    let (plane, node, mut admin) = serving().await;
    let listed = admin.nodes.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes;
    assert_eq!((listed.len(), listed[0].name.as_str(), listed[0].connected), (1, "node-1", true));
    assert_eq!((listed[0].targets.as_slice(), listed[0].software_version.as_str()), (["local".to_owned()].as_slice(), "test"));
    admin.nodes.resync_node(ResyncNodeRequest { name: "node-1".into() }).await.unwrap();
    let forget = ForgetNodeRequest { name: "node-1".into() };
    admin.nodes.forget_node(forget.clone()).await.unwrap();
    assert_ne!(node.ended().await.code(), Code::Ok);
    assert!(Node::connect(&plane.dir.path().join("node-1"), plane.running.sync_addr()).await.is_err());
    assert!(admin.nodes.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes.is_empty());
    admin.nodes.forget_node(forget).await.unwrap();
    let resync = ResyncNodeRequest { name: "node-1".into() };
    assert_eq!(admin.nodes.resync_node(resync).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_node_that_never_connected_can_be_forgotten_and_enrolled_anew() {
    let plane = Plane::with_demo().await;
    let lost = plane.enrolled("node-1");
    let mut admin = plane.admin().await;
    admin.nodes.forget_node(ForgetNodeRequest { name: "node-1".into() }).await.unwrap();
    assert!(Node::connect(&lost, plane.running.sync_addr()).await.is_err());
    assert!(admin.nodes.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes.is_empty());
    let bad = ForgetNodeRequest { name: "no node!".into() };
    assert_eq!(admin.nodes.forget_node(bad).await.unwrap_err().code(), Code::InvalidArgument);

    let plane = plane.restarted(|_| {}).await;
    assert!(Node::connect(&lost, plane.running.sync_addr()).await.is_err());
    fs::rename(&lost, plane.dir.path().join("lost")).unwrap();
    plane.node("node-1").await;
}

/// The `n`th, with 1,500 keys.
fn import(n: u128) -> ImportKeyStore {
    ImportKeyStore {
        name: format!("import {n}"),
        uri_path: UriPath::try_from(format!("/import-{n}/kms/xks/v1").as_str()).unwrap(),
        region: "us-east-1".into(),
        credential: (AccessKeyId::try_from("ABCDEFGHIJKLMNOPQRST").unwrap(), Secret::new("s".repeat(43))),
        health: blob(n << 64),
        keys: (1..=1_500).map(|k| (ExternalKeyId::try_from(format!("key-{k}").as_str()).unwrap(), blob(n << 64 | k))).collect(),
    }
}

fn blob(n: u128) -> LocalBlob {
    LocalBlob { id: Uuid::from_u128(n), kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true, sealed: vec![1; 61].into() }
}

#[tokio::test]
async fn imported_key_stores_are_served_whole() {
    let (plane, mut node, mut admin) = serving().await;
    plane.running.import(vec![import(1), import(2)]).await.unwrap();
    node.holds(|set| set.stores().map(|store| store.keys().filter(|key| key.active().is_some()).count()).sum::<usize>() == 3_001).await;
    assert!(plane.running.import(vec![import(1)]).await.is_err());
    assert_eq!(key_stores(&mut admin).await.len(), 3);
}

#[tokio::test]
async fn an_import_with_an_id_that_comes_twice_is_refused_whole_and_publishing_goes_on() {
    let (plane, mut node, mut admin) = serving().await;
    plane.running.import(vec![import(1)]).await.unwrap();
    let spoil: [&dyn Fn(&mut ImportKeyStore); 4] = [
        &|store| store.keys[1_400].0 = store.keys[3].0.clone(),
        &|store| store.keys[1_400].1 = store.keys[3].1.clone(),
        &|store| store.keys[1_400].1 = store.health.clone(),
        &|store| store.keys[1_400].1 = import(1).keys[3].1.clone(),
    ];
    for (case, spoil) in spoil.iter().enumerate() {
        let mut spoilt = import(2);
        spoil(&mut spoilt);
        let refused = plane.running.import(vec![spoilt]).await.unwrap_err();
        assert!(matches!(refused, CoreError::Exists { .. }), "case {case}: {refused:?}");
        assert_eq!(key_stores(&mut admin).await.len(), 2, "case {case}");
    }
    plane.running.import(vec![import(2)]).await.unwrap();
    node.holds(|set| set.stores().map(|store| store.keys().count()).sum::<usize>() == 3_001).await;
}
