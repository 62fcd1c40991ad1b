use std::sync::Arc;

use holdfast_proto::ids::{ExternalKeyId, KeyId, Revision, StoreId};

use super::*;
use crate::store::{
    Store, View,
    sled::{OpenError, REVISION_KEY, SledStore, open_tree},
};

/// A directory as the first release of format 1 wrote it, by hand.
fn format_1() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let tree = open_tree(dir.path()).unwrap();
    let store = Uuid::from_u128(1);
    let mut batch = Batch::default();
    batch.insert(FORMAT_KEY, &1_u32.to_be_bytes());
    batch.insert(REVISION_KEY, &[5_u64.to_be_bytes(), 6_u64.to_be_bytes()].concat()[..]);
    let key_store = format!(
        r#"{{"KeyStore":{{"id":"{store}","name":"s","uri_path":"/s/kms/xks/v1","region":"us-east-1","tier":"local","blocked":false,"mtls_enabled":false,"success_audit":false,"quota":null,"in_flight":null,"max_snapshot_age_seconds":null,"max_credentials":2,"credential_version":1,"health_key":"{store}","stamps":{{"created_ns":1,"updated_ns":2}}}}}}"#
    );
    batch.insert([&[1], store.as_bytes().as_slice()].concat(), key_store.as_bytes());
    for n in [2, 3] {
        let id = Uuid::from_u128(n);
        let key = format!(
            r#"{{"HyokKey":{{"id":"{id}","store":"{store}","external_id":"key-{n}","name":"k","blocked":false,"virtual_key":"{id}","legacy":null,"stamps":{{"created_ns":1,"updated_ns":2}}}}}}"#
        );
        batch.insert([&[3], store.as_bytes().as_slice(), id.as_bytes()].concat(), key.as_bytes());
    }
    tree.apply_batch(batch).unwrap();
    tree.flush().unwrap();
    dir
}

#[tokio::test]
async fn a_directory_of_format_1_gets_its_index_once_and_keeps_its_revision() {
    let dir = format_1();
    for _ in 0..2 {
        let store: Arc<dyn Store> = Arc::new(SledStore::open(dir.path()).unwrap());
        let view = View::of(&store).await.unwrap();
        assert_eq!(view.revision(), Revision { epoch: 5, counter: 6 });
        let id = StoreId(Uuid::from_u128(1));
        let named = |name| view.key_of_external_id(id, &ExternalKeyId::try_from(name).unwrap()).unwrap();
        assert_eq!((named("key-2"), named("key-3")), (Some(KeyId(Uuid::from_u128(2))), Some(KeyId(Uuid::from_u128(3)))));
        assert_eq!(named("key-4"), None);
        assert_eq!((view.key_stores().unwrap().len(), view.hyok_keys(id).unwrap().len()), (1, 2));
    }
}

#[test]
fn a_step_that_fails_changes_nothing_and_is_named_by_its_directory() {
    let dir = format_1();
    let odd = [&[3], [9; 32].as_slice()].concat();
    open_tree(dir.path()).unwrap().insert(&odd, b"{}").unwrap();
    let refused = SledStore::open(dir.path()).err().unwrap();
    assert!(matches!(&refused, OpenError::Io { dir: named, .. } if named == dir.path()), "{refused:?}");
    let tree = open_tree(dir.path()).unwrap();
    assert_eq!(tree.get(FORMAT_KEY).unwrap().as_deref(), Some(1_u32.to_be_bytes().as_slice()));
    assert_eq!(tree.scan_prefix([12]).count(), 0);
    tree.remove(odd).unwrap();
    drop(tree);
    SledStore::open(dir.path()).unwrap();
}

#[test]
fn an_older_format_is_brought_up_step_by_step_and_only_once() {
    fn to_three(tree: &Tree) -> io::Result<()> {
        assert_eq!(tree.scan_prefix([12]).count(), 2);
        let mut batch = Batch::default();
        batch.insert(FORMAT_KEY, &3_u32.to_be_bytes());
        batch.insert(&[0, 9], b"three");
        Ok(tree.apply_batch(batch)?)
    }
    fn to_four(tree: &Tree) -> io::Result<()> {
        assert_eq!(tree.get([0, 9])?.as_deref(), Some(b"three".as_slice()));
        let mut batch = Batch::default();
        batch.insert(FORMAT_KEY, &4_u32.to_be_bytes());
        batch.remove(&[0, 9]);
        Ok(tree.apply_batch(batch)?)
    }
    let dir = format_1();
    for _ in 0..2 {
        drop(SledStore::open_migrating(dir.path(), 4, &[index_external_ids, to_three, to_four]).unwrap());
        let tree = open_tree(dir.path()).unwrap();
        assert_eq!(tree.get(FORMAT_KEY).unwrap().as_deref(), Some(4_u32.to_be_bytes().as_slice()));
        assert_eq!(tree.get([0, 9]).unwrap(), None);
    }
}
