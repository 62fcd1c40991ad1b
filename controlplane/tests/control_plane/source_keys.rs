//! Source keys over gRPC: local ones of all kinds, and those on partitions.

use holdfast_proto::{
    admin::{
        self, AddPartitionRequest, AdoptPartitionKeyRequest, CreateKeyStoreRequest, CreateSourceKeyRequest, DeleteSourceKeyRequest,
        ExistingKey, GeneratePartitionKeyRequest, GetSourceKeyRequest, ListPartitionKeysRequest, ListPartitionsRequest,
        ListSourceKeysRequest, RemovePartitionRequest, SourceKey, UpdateSourceKeyRequest,
    },
    sync::{self, NodeStatus},
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    node::{Node, Partition, SOON, TokenKey},
    plane::{Admin, Plane},
};

fn asked(name: &str) -> CreateSourceKeyRequest {
    CreateSourceKeyRequest { name: name.into(), ..CreateSourceKeyRequest::default() }
}

async fn create(admin: &mut Admin, request: CreateSourceKeyRequest) -> SourceKey {
    admin.source_keys.create_source_key(request).await.unwrap().into_inner().source_key.unwrap()
}

async fn get(admin: &mut Admin, id: &str) -> SourceKey {
    let request = GetSourceKeyRequest { id: id.into() };
    admin.source_keys.get_source_key(request).await.unwrap().into_inner().source_key.unwrap()
}

async fn all(admin: &mut Admin) -> Vec<SourceKey> {
    admin.source_keys.list_source_keys(ListSourceKeysRequest {}).await.unwrap().into_inner().source_keys
}

#[tokio::test]
async fn a_key_of_each_kind_is_made_told_and_found_by_its_name() {
    let plane = Plane::with_demo().await;
    let _node = plane.node("node-1").await;
    let mut admin = plane.admin().await;
    let table = [
        ("", 0, "", "AES", 256, "", 60),
        ("aes", 128, "", "AES", 128, "", 60),
        ("RSA", 0, "", "RSA", 2048, "", 63),
        ("rsa", 4096, "", "RSA", 4096, "", 63),
        ("ec", 384, "", "EC", 384, "secp384r1", 3),
        ("ec", 0, "secp256k1", "EC", 256, "secp256k1", 3),
        ("hmac-sha384", 0, "", "HMAC-SHA384", 384, "", 384),
    ];
    for (n, (algorithm, size, curve, told, bits, on, mask)) in table.into_iter().enumerate() {
        let name = format!("key {n}");
        let request = CreateSourceKeyRequest { algorithm: algorithm.into(), size, curve: curve.into(), ..asked(&name) };
        let made = create(&mut admin, request).await;
        assert_eq!((made.algorithm.as_str(), made.size, made.curve.as_str()), (told, bits, on));
        assert_eq!((made.usage_mask, made.unexportable, made.undeletable, made.status.as_str()), (mask, false, false, "AVAILABLE"));
        assert_eq!(get(&mut admin, &name).await, made);
        assert_eq!(get(&mut admin, &made.id).await, made);
    }
    let plane = plane.restarted(|_| {}).await;
    let kept = all(&mut plane.admin().await).await;
    assert!(kept.iter().any(|key| key.algorithm == "EC" && key.curve == "secp256k1"), "{kept:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_named_and_nothing_is_made() {
    let plane = Plane::with_demo().await;
    let mut admin = plane.admin().await;
    let absent = admin.source_keys.create_source_key(asked("a")).await.unwrap_err();
    assert_eq!(absent.code(), Code::Unavailable);
    assert!(absent.message().contains("local"), "{}", absent.message());
    let _node = plane.node("node-1").await;
    assert!(plane.running.demo_served(SOON).await.unwrap());
    create(&mut admin, asked("taken")).await;
    let before = all(&mut admin).await;
    let table = [
        (CreateSourceKeyRequest { algorithm: "tdes".into(), ..asked("b") }, Code::InvalidArgument, "algorithm: "),
        (CreateSourceKeyRequest { size: 512, ..asked("b") }, Code::InvalidArgument, "size: "),
        (CreateSourceKeyRequest { usage_mask: 64, unexportable: true, ..asked("b") }, Code::InvalidArgument, "usageMask: "),
        (asked(&"x".repeat(257)), Code::InvalidArgument, "name: "),
        (asked("taken"), Code::Aborted, "source key taken exists"),
    ];
    for (bad, code, words) in table {
        let refused = admin.source_keys.create_source_key(bad).await.unwrap_err();
        assert_eq!(refused.code(), code, "{words}");
        assert!(refused.message().starts_with(words), "{}", refused.message());
    }
    assert_eq!(all(&mut admin).await, before);
    let unknown = GetSourceKeyRequest { id: Uuid::nil().to_string() };
    assert_eq!(admin.source_keys.get_source_key(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn an_undeletable_key_stays_until_that_is_taken_back_and_a_key_in_use_stays() {
    let plane = Plane::with_demo().await;
    let _node = plane.node("node-1").await;
    assert!(plane.running.demo_served(SOON).await.unwrap());
    let mut admin = plane.admin().await;
    let made = create(&mut admin, CreateSourceKeyRequest { undeletable: true, unexportable: true, ..asked("kept") }).await;
    let delete = |id: &str| DeleteSourceKeyRequest { id: id.into() };
    let refused = admin.source_keys.delete_source_key(delete(&made.id)).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "Key is not deletable"));

    let update = UpdateSourceKeyRequest {
        id: made.id.clone(),
        name: Some("renamed".into()),
        description: Some("d".into()),
        undeletable: Some(false),
    };
    let changed = admin.source_keys.update_source_key(update).await.unwrap().into_inner().source_key.unwrap();
    assert_eq!((changed.name.as_str(), changed.description.as_str(), changed.undeletable), ("renamed", "d", false));
    admin.source_keys.delete_source_key(delete("renamed")).await.unwrap();
    assert_eq!(admin.source_keys.delete_source_key(delete(&made.id)).await.unwrap_err().code(), Code::NotFound);

    for name in ["health of demo", "of demo"] {
        let used = get(&mut admin, name).await;
        let refused = admin.source_keys.delete_source_key(delete(&used.id)).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().starts_with("Key is not deletable: "), "{}", refused.message());
        let weaken = UpdateSourceKeyRequest { id: used.id.clone(), undeletable: Some(false), ..UpdateSourceKeyRequest::default() };
        assert_eq!(admin.source_keys.update_source_key(weaken).await.unwrap_err().code(), Code::FailedPrecondition);
        assert!(get(&mut admin, &used.id).await.undeletable);
    }
}

/// The id that nodes report for the partition of [`blue`].
pub(crate) const ID: &str = "5e1f0000-0000-4000-8000-00000000000b";

pub(crate) fn blue() -> Partition {
    let keys = vec![TokenKey::new(1, "there"), TokenKey::new(2, "twice"), TokenKey::new(3, "twice")];
    Partition { group: "blue", keys, busy: 0, copies: 1 }
}

/// A node that has it and says so.
pub(crate) async fn reporting(plane: &Plane, partition: Partition) -> (Node, Admin) {
    let node = plane.node_with("node-1", partition).await;
    let (name, group, condition) = ("one".into(), "blue".into(), "up".into());
    let (id, label, serial) = (ID.into(), "token".into(), "42".into());
    let told = sync::Partition { name, group, condition, id, label, serial, ..sync::Partition::default() };
    let targets = vec!["local".into(), "blue".into()];
    node.status(NodeStatus { ready: true, targets, partitions: vec![told], ..NodeStatus::default() }).await;
    let mut admin = plane.admin().await;
    let told = async {
        loop {
            let nodes = admin.nodes.list_nodes(admin::ListNodesRequest {}).await.unwrap().into_inner().nodes;
            if nodes.iter().any(|node| !node.partitions.is_empty()) {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, told).await.unwrap();
    (node, admin)
}

fn by(partition: &str) -> AddPartitionRequest {
    AddPartitionRequest { partition: partition.into(), connection: String::new() }
}

fn generate(label: &str) -> GeneratePartitionKeyRequest {
    GeneratePartitionKeyRequest { partition: "token".into(), label: label.into() }
}

/// Waits until a key is no longer being made.
async fn ended(admin: &mut Admin, id: &str) -> SourceKey {
    let ended = async {
        loop {
            let key = get(admin, id).await;
            if key.status != "in_progress" {
                return key;
            }
        }
    };
    tokio::time::timeout(SOON, ended).await.unwrap()
}

#[tokio::test]
async fn a_partition_is_added_by_what_nodes_report_once_and_goes_when_nothing_needs_it() {
    let plane = Plane::with_demo().await;
    let refused = plane.admin().await.partitions.add_partition(by("token")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let (_node, mut admin) = reporting(&plane, blue()).await;
    let unknown = admin.partitions.add_partition(by("other")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::InvalidArgument);
    assert!(unknown.message().contains("\"token\" (serial 42"), "{}", unknown.message());
    let both = AddPartitionRequest { partition: "token".into(), connection: "c".into() };
    assert_eq!(admin.partitions.add_partition(both).await.unwrap_err().code(), Code::InvalidArgument);
    let absent = AddPartitionRequest { partition: String::new(), connection: "c".into() };
    assert_eq!(admin.partitions.add_partition(absent).await.unwrap_err().code(), Code::NotFound);

    let added = admin.partitions.add_partition(by("42")).await.unwrap().into_inner().partition.unwrap();
    assert_eq!((added.id.as_str(), added.group.as_str(), added.nodes.as_slice()), (ID, "blue", ["node-1".to_owned()].as_slice()));
    assert_eq!(admin.partitions.add_partition(by(ID)).await.unwrap_err().code(), Code::Aborted);
    let listed = admin.partitions.list_partitions(ListPartitionsRequest {}).await.unwrap().into_inner().partitions;
    assert_eq!(listed, [added]);

    let key = admin.partitions.generate_partition_key(generate("k")).await.unwrap().into_inner().source_key.unwrap();
    let remove = RemovePartitionRequest { partition: "token".into() };
    assert_eq!(admin.partitions.remove_partition(remove.clone()).await.unwrap_err().code(), Code::FailedPrecondition);
    admin.source_keys.delete_source_key(DeleteSourceKeyRequest { id: key.id }).await.unwrap();
    admin.partitions.remove_partition(remove.clone()).await.unwrap();
    assert_eq!(admin.partitions.remove_partition(remove).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_key_is_made_on_a_partition_under_its_own_id_and_may_serve_a_key_store() {
    let plane = Plane::with_demo().await;
    let (_node, mut admin) = reporting(&plane, blue()).await;
    admin.partitions.add_partition(by("token")).await.unwrap();
    let begun = admin.partitions.generate_partition_key(generate("fresh")).await.unwrap().into_inner().source_key.unwrap();
    assert_eq!((begun.status.as_str(), begun.tier.as_str(), begun.label.as_str()), ("in_progress", "blue", "fresh"));
    let made = ended(&mut admin, &begun.id).await;
    assert_eq!((made.status.as_str(), made.unexportable), ("AVAILABLE", true));
    assert_eq!(made.cka_id, made.id.replace('-', ""));
    let list = ListPartitionKeysRequest { partition: "token".into() };
    let keys = admin.partitions.list_partition_keys(list).await.unwrap().into_inner().keys;
    let on_token = keys.iter().find(|key| key.label == "fresh").unwrap();
    assert_eq!((on_token.source_key_id.as_str(), on_token.size), (made.id.as_str(), 256));
    assert!(on_token.attributes.contains(&"CKA_WRAP".into()) && !on_token.attributes.contains(&"CKA_EXTRACTABLE".into()));
    assert!(keys.iter().filter(|key| key.label != "fresh").all(|key| key.source_key_id.is_empty()));
    assert_eq!(admin.partitions.generate_partition_key(generate("fresh")).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(admin.partitions.generate_partition_key(generate("")).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_key_whose_making_was_begun_is_made_after_a_restart() {
    let plane = Plane::with_demo().await;
    // More tries than are made before the restart: the first at once, then again and again.
    let (node, mut admin) = reporting(&plane, Partition { busy: u32::MAX, ..blue() }).await;
    admin.partitions.add_partition(by("token")).await.unwrap();
    let begun = admin.partitions.generate_partition_key(generate("later")).await.unwrap().into_inner().source_key.unwrap();
    assert_eq!(get(&mut admin, "later").await.status, "in_progress");
    node.leave();
    let plane = plane.restarted(|_| {}).await;
    let mut admin = plane.admin().await;
    assert_eq!(get(&mut admin, "later").await.status, "in_progress");
    let dir = plane.dir.path().join("node-1");
    let _node = Node::connect_with(&dir, plane.running.sync_addr(), Some(blue())).await.unwrap();
    let made = ended(&mut admin, "later").await;
    assert_eq!((made.status.as_str(), made.id.as_str()), ("AVAILABLE", begun.id.as_str()));
}

#[tokio::test]
async fn a_group_of_several_partitions_makes_no_key_and_says_why() {
    let plane = Plane::with_demo().await;
    let (_node, mut admin) = reporting(&plane, Partition { copies: 2, ..blue() }).await;
    admin.partitions.add_partition(by("token")).await.unwrap();
    let refused = admin.partitions.generate_partition_key(generate("k")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("more than one partition"), "{}", refused.message());
    assert!(all(&mut admin).await.iter().all(|key| key.label != "k"));
}

#[tokio::test]
async fn a_key_that_lies_on_a_partition_becomes_one_source_key() {
    let plane = Plane::with_demo().await;
    let (_node, mut admin) = reporting(&plane, blue()).await;
    admin.partitions.add_partition(by("token")).await.unwrap();
    let adopt = |cka_id: &str, label: &str| {
        let key = Some(ExistingKey { cka_id: cka_id.into(), label: label.into() });
        AdoptPartitionKeyRequest { partition: "token".into(), key }
    };
    let adopted = admin.partitions.adopt_partition_key(adopt("", "there")).await.unwrap().into_inner().source_key.unwrap();
    assert_eq!((adopted.cka_id.as_str(), adopted.label.as_str(), adopted.name.as_str()), ("01", "there", "there"));
    for (cka_id, label, code) in [
        ("01", "", Code::Aborted),
        ("01", "there", Code::Aborted),
        ("", "twice", Code::InvalidArgument),
        ("09", "", Code::InvalidArgument),
        ("", "", Code::InvalidArgument),
    ] {
        assert_eq!(admin.partitions.adopt_partition_key(adopt(cka_id, label)).await.unwrap_err().code(), code, "{cka_id} {label}");
    }
    // The same key by another way is the same source key.
    let health_check_key = Some(ExistingKey { cka_id: "01".into(), label: "there".into() });
    let (name, region, tier) = ("s".into(), "us-east-1".into(), "blue".into());
    admin
        .key_stores
        .create_key_store(CreateKeyStoreRequest { name, region, tier, health_check_key, ..CreateKeyStoreRequest::default() })
        .await
        .unwrap();
    assert_eq!(all(&mut admin).await.iter().filter(|key| key.label == "there").count(), 1);
    let refused = admin.source_keys.delete_source_key(DeleteSourceKeyRequest { id: adopted.id }).await.unwrap_err();
    assert!(refused.message().contains("health check key of key store s"), "{}", refused.message());
}
