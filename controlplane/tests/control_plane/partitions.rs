//! Keys on partitions: demos of partition groups, and key stores and keys that are taken over from another proxy.

use std::{num::NonZeroU32, time::Duration};

use holdfast_controlplane::{DemoCredential, DemoOptions, ExistingKey, PartitionDemo, core::CoreError};
use holdfast_proto::{
    admin::{
        self, CreateHyokKeyRequest, CreateKeyStoreRequest, ListCredentialsRequest, ListHyokKeysRequest, ListKeyStoresRequest,
        ListNodesRequest, RotateHyokKeyRequest,
    },
    ids::{KeyId, StoreId},
    records::{Credential, Legacy, LegacyFormat, PartitionKey, SourceKey},
    sync::{self, KeyUsage, NodeStatus},
};
use tonic::Code;

use crate::{
    node::{Node, Partition, SOON, TokenKey, active},
    plane::{Admin, Plane},
};

/// The group `blue` with keys of all sorts.
fn blue() -> Partition {
    let odd = |cka_id, label, change: fn(&mut sync::KeyAttributes)| {
        let mut key = TokenKey::new(cka_id, label);
        change(&mut key.attributes);
        key
    };
    let keys = vec![
        TokenKey::new(1, "holdfast-health"),
        TokenKey::new(2, "holdfast-demo"),
        TokenKey::new(3, "old"),
        TokenKey::new(4, "health"),
        odd(5, "short", |key| key.bits = 128),
        odd(6, "another kind", |key| key.algorithm = "DES3".into()),
        odd(7, "half", |key| key.usage = Some(KeyUsage { encrypt: false, decrypt: true })),
    ];
    Partition { group: "blue", keys, busy: 0, copies: 1 }
}

fn existing(cka_id: u8, label: &str) -> ExistingKey {
    ExistingKey::new(&[cka_id], label).unwrap()
}

fn demo() -> PartitionDemo {
    PartitionDemo { group: "blue".into(), health: existing(1, "holdfast-health"), key: existing(2, "holdfast-demo") }
}

fn options() -> DemoOptions {
    DemoOptions { region: "eu-west-1".into(), quota: NonZeroU32::new(9) }
}

fn on_blue(cka_id: &[u8], label: &str) -> SourceKey {
    SourceKey::Partition(PartitionKey { group: "blue".into(), cka_id: cka_id.into(), label: label.into() })
}

async fn made(plane: &Plane) -> DemoCredential {
    plane.running.make_partition_demo(demo(), options(), SOON).await.unwrap().unwrap()
}

async fn key_stores(admin: &mut Admin) -> Vec<admin::KeyStore> {
    admin.key_stores.list_key_stores(ListKeyStoresRequest {}).await.unwrap().into_inner().key_stores
}

#[tokio::test]
async fn a_group_s_demo_is_made_of_its_keys_once_a_node_serves_it_and_only_once() {
    let plane = Plane::with_demo().await;
    let making = plane.running.make_partition_demo(demo(), options(), SOON);
    let (shown, node) = tokio::join!(making, plane.node_with("node-1", blue()));
    let shown = shown.unwrap().unwrap();
    assert!(plane.running.partition_demo_served("blue", SOON).await.unwrap());
    let held = node.held();
    let store = held.at(&shown.uri_path).unwrap();
    assert!(shown.uri_path.as_str().starts_with("/demo-") && shown.uri_path != plane.report.demo.as_ref().unwrap().uri_path);
    let header = store.header();
    assert_eq!((header.name.as_str(), header.region.as_str(), header.quota), ("demo-blue", "eu-west-1", NonZeroU32::new(9)));
    assert_eq!(header.health_key, on_blue(&[1], "holdfast-health"));
    let credential = store.credentials().next().unwrap();
    assert_eq!((&credential.access_key_id, &credential.secret), (&shown.access_key_id, &shown.secret));
    let key = store.keys().next().unwrap();
    assert_eq!((&key.key().external_id, &key.active().unwrap().source), (&shown.external_id, &on_blue(&[2], "holdfast-demo")));

    assert!(plane.running.demo_served(SOON).await.unwrap());
    let digest = node.held().digest();
    node.leave();
    // Nothing is asked of a node for what is there.
    let plane = plane.restarted(|_| {}).await;
    assert!(plane.running.make_partition_demo(demo(), options(), Duration::ZERO).await.unwrap().is_none());
    let node = Node::connect_with(&plane.dir.path().join("node-1"), plane.running.sync_addr(), Some(blue())).await.unwrap();
    assert!(plane.running.partition_demo_served("blue", SOON).await.unwrap());
    assert_eq!(node.held().digest(), digest);
}

#[tokio::test]
async fn a_group_s_demo_gets_a_new_credential_for_a_lost_secret_and_the_demos_quota() {
    let plane = Plane::with_demo().await;
    let mut node = plane.node_with("node-1", blue()).await;
    let first = made(&plane).await;
    assert!(plane.running.demo_served(SOON).await.unwrap());
    for _ in 0..25 {
        let fresh = plane.running.partition_demo_credential("blue").await.unwrap();
        assert_eq!((&fresh.uri_path, &fresh.region, &fresh.external_id), (&first.uri_path, &first.region, &first.external_id));
        let has = |c: &Credential| c.access_key_id == fresh.access_key_id && c.secret == fresh.secret;
        node.holds(|set| set.at(&first.uri_path).is_some_and(|store| store.credentials().any(has))).await;
    }
    let mut admin = plane.admin().await;
    let store = key_stores(&mut admin).await.into_iter().find(|store| store.name == "demo-blue").unwrap();
    let live = admin.key_stores.list_credentials(ListCredentialsRequest { key_store_id: store.id }).await.unwrap().into_inner().credentials;
    assert_eq!(live.len(), 20, "the oldest made room");

    for quota in [NonZeroU32::new(7), None] {
        plane.running.set_demo_quota(quota).await.unwrap();
        node.holds(|set| set.stores().count() == 2 && set.stores().all(|store| store.header().quota == quota)).await;
    }
    for absent in ["green", ""] {
        let refused = plane.running.partition_demo_credential(absent).await.unwrap_err();
        assert!(matches!(refused, CoreError::NotFound(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_partition_that_is_not_available_yet_is_asked_again_for_a_demo_and_not_for_an_admin() {
    let plane = Plane::with_demo().await;
    let _node = plane.node_with("node-1", Partition { busy: 2, ..blue() }).await;
    let refused = plane.admin().await.key_stores.create_key_store(taken_over()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("not connected yet"), "{}", refused.message());
    made(&plane).await;
}

#[tokio::test]
async fn a_group_s_demo_that_cannot_be_made_says_why_and_leaves_nothing() {
    let plane = Plane::with_demo().await;
    let node = plane.node_with("node-1", blue()).await;
    assert!(plane.running.demo_served(SOON).await.unwrap());
    let before = node.held().digest();
    let table = [
        (PartitionDemo { key: existing(5, "short"), ..demo() }, "AES with 128 bits"),
        (PartitionDemo { key: existing(6, "another kind"), ..demo() }, "DES3"),
        (PartitionDemo { health: existing(7, "half"), ..demo() }, "CKA_ENCRYPT is false"),
        (PartitionDemo { health: existing(9, "gone"), ..demo() }, "no such key"),
        (PartitionDemo { group: "green".into(), ..demo() }, "serve blue, local"),
    ];
    for (bad, words) in table {
        let refused = plane.running.make_partition_demo(bad, options(), Duration::from_millis(50)).await.unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
    assert_eq!(node.held().digest(), before);

    made(&plane).await;
    for anew in [PartitionDemo { key: existing(3, "old"), ..demo() }, PartitionDemo { health: existing(4, "health"), ..demo() }] {
        let refused = plane.running.make_partition_demo(anew, options(), SOON).await.unwrap_err();
        assert!(matches!(refused, CoreError::State(_)) && refused.to_string().contains("demo-blue"), "{refused}");
    }
}

fn key(cka_id: &str, label: &str) -> Option<admin::ExistingKey> {
    Some(admin::ExistingKey { cka_id: cka_id.into(), label: label.into() })
}

fn taken_over() -> CreateKeyStoreRequest {
    CreateKeyStoreRequest {
        name: "taken over".into(),
        region: "us-east-1".into(),
        tier: "blue".into(),
        uri_path: "/old/kms/xks/v1".into(),
        access_key_id: "ABCDEFGHIJKLMNOPQRST".into(),
        secret_access_key: "s".repeat(43),
        health_check_key: key("04", "health"),
        ..CreateKeyStoreRequest::default()
    }
}

#[tokio::test]
async fn a_key_of_another_proxy_keeps_its_id_path_credential_and_material() {
    let plane = Plane::with_demo().await;
    let mut node = plane.node_with("node-1", blue()).await;
    let mut admin = plane.admin().await;
    let created = admin.key_stores.create_key_store(taken_over()).await.unwrap().into_inner();
    let store = created.key_store.unwrap();
    assert_eq!((store.tier.as_str(), store.uri_path.as_str()), ("blue", "/old/kms/xks/v1"));
    let request = CreateHyokKeyRequest {
        key_store_id: store.id.clone(),
        external_key_id: "old".into(),
        legacy_format: "aws-sample".into(),
        // As the other proxy named it.
        source_key: key("", "old"),
        ..CreateHyokKeyRequest::default()
    };
    let made = admin.hyok_keys.create_hyok_key(request.clone()).await.unwrap().into_inner().key.unwrap();
    assert_eq!((made.legacy_format.as_str(), made.legacy_version), ("aws-sample", 0));
    let (store_id, key_id) = (StoreId(store.id.parse().unwrap()), KeyId(made.id.parse().unwrap()));
    let held = node.holds(|set| active(set, store_id, key_id) == Some(0)).await;
    let held = held.store(store_id).unwrap();
    assert_eq!(held.header().health_key, on_blue(&[4], "health"));
    assert_eq!(held.credentials().next().unwrap().access_key_id.as_str(), "ABCDEFGHIJKLMNOPQRST");
    let taken = held.key(key_id).unwrap();
    assert_eq!(taken.key().legacy, Some(Legacy { format: LegacyFormat::AwsSample, version: 0 }));
    assert_eq!(taken.active().unwrap().source, on_blue(&[], "old"));

    // A new version is made on the group; what is old stays legacy's.
    admin.hyok_keys.rotate_hyok_key(RotateHyokKeyRequest { id: made.id.clone(), ..Default::default() }).await.unwrap();
    let held = node.holds(|set| active(set, store_id, key_id) == Some(1)).await;
    let rotated = held.store(store_id).unwrap().key(key_id).unwrap();
    assert!(matches!(&rotated.active().unwrap().source, SourceKey::Partition(key) if key.group == "blue" && key.label == "made"));
    assert_eq!(rotated.key().legacy.unwrap().version, 0);

    // The same key under another id: what was known of it stays.
    let again = CreateHyokKeyRequest { external_key_id: "other".into(), legacy_format: String::new(), ..request };
    let again = admin.hyok_keys.create_hyok_key(again).await.unwrap().into_inner().key.unwrap();
    assert_eq!(again.legacy_format, "none");
}

#[tokio::test]
async fn a_key_that_will_not_do_is_refused_with_its_field_and_nothing_changes() {
    let plane = Plane::with_demo().await;
    let node = plane.node_with("node-1", blue()).await;
    assert!(plane.running.demo_served(SOON).await.unwrap());
    let mut admin = plane.admin().await;
    let store = admin.key_stores.create_key_store(taken_over()).await.unwrap().into_inner().key_store.unwrap();
    let good = CreateHyokKeyRequest { key_store_id: store.id.clone(), source_key: key("03", "old"), ..CreateHyokKeyRequest::default() };
    admin.hyok_keys.create_hyok_key(good.clone()).await.unwrap();
    let local = key_stores(&mut admin).await.into_iter().find(|store| store.tier == "local").unwrap().id;

    let count = async |admin: &mut Admin| {
        let list = ListHyokKeysRequest { key_store_id: store.id.clone() };
        (key_stores(admin).await.len(), admin.hyok_keys.list_hyok_keys(list).await.unwrap().into_inner().keys.len())
    };
    let before = count(&mut admin).await;
    let keys = [
        (CreateHyokKeyRequest { source_key: key("05", "short"), ..good.clone() }, "128 bits"),
        (CreateHyokKeyRequest { source_key: key("07", ""), ..good.clone() }, "CKA_ENCRYPT is false"),
        (CreateHyokKeyRequest { source_key: key("", ""), ..good.clone() }, "name a key"),
        (CreateHyokKeyRequest { source_key: key("0", ""), ..good.clone() }, "hexadecimal"),
        (CreateHyokKeyRequest { source_key: key("0g", ""), ..good.clone() }, "hexadecimal"),
        (CreateHyokKeyRequest { key_store_id: local, ..good.clone() }, "only a partition group"),
    ];
    for (bad, words) in keys {
        let refused = admin.hyok_keys.create_hyok_key(bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{words}");
        assert!(refused.message().starts_with("source_key: ") && refused.message().contains(words), "{}", refused.message());
    }
    let other = CreateKeyStoreRequest { name: "other".into(), uri_path: String::new(), ..taken_over() };
    let stores = [
        (CreateKeyStoreRequest { health_check_key: key("06", "another kind"), ..other.clone() }, "DES3"),
        (CreateKeyStoreRequest { tier: "local".into(), ..other.clone() }, "only a partition group"),
    ];
    for (bad, words) in stores {
        let refused = admin.key_stores.create_key_store(bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{words}");
        assert!(refused.message().starts_with("health_check_key: ") && refused.message().contains(words), "{}", refused.message());
    }
    let absent = admin.hyok_keys.create_hyok_key(CreateHyokKeyRequest { source_key: key("09", ""), ..good }).await.unwrap_err();
    assert_eq!(absent.code(), Code::FailedPrecondition);
    let unknown = admin.key_stores.create_key_store(CreateKeyStoreRequest { tier: "green".into(), ..other }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unavailable);
    assert!(unknown.message().contains("green") && unknown.message().contains("serve blue, local"), "{}", unknown.message());
    assert_eq!(count(&mut admin).await, before);
    drop(node);
}

#[tokio::test]
async fn admins_see_the_partitions_of_a_node_as_it_last_told() {
    let plane = Plane::with_demo().await;
    let node = plane.node_with("node-1", blue()).await;
    let up = sync::Partition {
        name: "one".into(),
        group: "blue".into(),
        condition: "up".into(),
        id: "f0".into(),
        label: "token".into(),
        manufacturer: "m".into(),
        model: "n".into(),
        firmware: "2.6".into(),
        serial: "s".into(),
        excluded_keys: vec!["\"old\" (id 03)".into()],
        ..sync::Partition::default()
    };
    let down = sync::Partition {
        name: "two".into(),
        condition: "down".into(),
        detail: "C_Login: CKR_DEVICE_ERROR".into(),
        ..sync::Partition::default()
    };
    node.status(NodeStatus { partitions: vec![up, down], ..NodeStatus::default() }).await;
    let mut admin = plane.admin().await;
    let told = async {
        loop {
            let listed = admin.nodes.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes.remove(0);
            if let [one, two] = listed.partitions.as_slice() {
                return (one.clone(), two.clone());
            }
        }
    };
    let (one, two) = tokio::time::timeout(SOON, told).await.unwrap();
    assert_eq!((one.name.as_str(), one.group.as_str(), one.condition.as_str()), ("one", "blue", "up"));
    let facts = [&one.id, &one.label, &one.manufacturer, &one.model, &one.firmware, &one.serial].map(String::as_str);
    assert_eq!((facts, one.excluded_keys.as_slice()), (["f0", "token", "m", "n", "2.6", "s"], ["\"old\" (id 03)".to_owned()].as_slice()));
    assert_eq!((two.condition.as_str(), two.detail.as_str()), ("down", "C_Login: CKR_DEVICE_ERROR"));
}
