//! Keys in a CloudHSM key store.

use aws_sdk_kms::{
    primitives::Blob,
    types::{ConnectionStateType, KeyState, OriginType},
};

use crate::rig::{Refused, Rig};

#[tokio::test]
async fn a_key_in_a_cloud_hsm_store_works_while_the_store_is_connected() {
    let rig = Rig::start().await;
    let (store, cluster) = store(&rig).await;
    let create = || rig.kms.create_key().origin(OriginType::AwsCloudhsm).custom_key_store_id(&store);
    assert_eq!(create().send().await.name(), "CustomKeyStoreInvalidStateException");
    rig.kms.connect_custom_key_store().custom_key_store_id(&store).send().await.unwrap();
    until(&rig, &store, ConnectionStateType::Connected).await;
    let key = create().send().await.unwrap().key_metadata.unwrap();
    assert_eq!((key.origin, key.key_state), (Some(OriginType::AwsCloudhsm), Some(KeyState::Enabled)));
    assert_eq!((key.custom_key_store_id, key.cloud_hsm_cluster_id), (Some(store.clone()), Some(cluster)));
    assert_eq!(key.current_key_material_id, None);
    let encrypt = || rig.kms.encrypt().key_id(&key.key_id).plaintext(Blob::new("plain"));
    let ciphertext = encrypt().send().await.unwrap().ciphertext_blob.unwrap();
    assert_eq!(rig.kms.rotate_key_on_demand().key_id(&key.key_id).send().await.name(), "UnsupportedOperationException");
    assert_eq!(rig.kms.get_key_rotation_status().key_id(&key.key_id).send().await.name(), "UnsupportedOperationException");
    assert_eq!(create().multi_region(true).send().await.name(), "UnsupportedOperationException");
    rig.kms.disconnect_custom_key_store().custom_key_store_id(&store).send().await.unwrap();
    until(&rig, &store, ConnectionStateType::Disconnected).await;
    assert_eq!(rig.state(&key.key_id).await, KeyState::Unavailable);
    assert_eq!(encrypt().send().await.name(), "KMSInvalidStateException");
    rig.kms.connect_custom_key_store().custom_key_store_id(&store).send().await.unwrap();
    until(&rig, &store, ConnectionStateType::Connected).await;
    let decrypted = rig.kms.decrypt().ciphertext_blob(ciphertext).send().await.unwrap();
    assert_eq!(decrypted.plaintext, Some(Blob::new("plain")));
}

#[tokio::test]
async fn an_external_key_does_not_belong_in_a_cloud_hsm_store() {
    let rig = Rig::start().await;
    let (store, _) = store(&rig).await;
    rig.kms.connect_custom_key_store().custom_key_store_id(&store).send().await.unwrap();
    until(&rig, &store, ConnectionStateType::Connected).await;
    let create = rig.kms.create_key().origin(OriginType::ExternalKeyStore).custom_key_store_id(&store).xks_key_id("x");
    assert_eq!(create.send().await.name(), "ValidationException");
    rig.kms.generate_random().number_of_bytes(1).custom_key_store_id(&store).send().await.unwrap();
}

/// A store of the region's first cluster that fits; its id and the cluster's.
async fn store(rig: &Rig) -> (String, String) {
    let clusters = rig.cloud_hsm().describe_clusters().send().await.unwrap().clusters.unwrap();
    let fits = clusters
        .into_iter()
        .find(|cluster| cluster.hsms().len() >= 2 && cluster.state.as_ref().is_some_and(|state| state.as_str() == "ACTIVE"));
    let cluster = fits.unwrap();
    let id = cluster.cluster_id.unwrap();
    let create = rig.kms.create_custom_key_store().custom_key_store_name("hsm").cloud_hsm_cluster_id(&id);
    let create =
        create.key_store_password("kmsuser-password").trust_anchor_certificate(cluster.certificates.unwrap().cluster_certificate.unwrap());
    (create.send().await.unwrap().custom_key_store_id.unwrap(), id)
}

/// Waits until a store has this state; the simulator moves it there without delay.
async fn until(rig: &Rig, store: &str, wanted: ConnectionStateType) {
    loop {
        let described = rig.kms.describe_custom_key_stores().custom_key_store_id(store).send().await.unwrap();
        let state = described.custom_key_stores()[0].connection_state.clone().unwrap();
        if state == wanted {
            return;
        }
        assert!(matches!(state, ConnectionStateType::Connecting | ConnectionStateType::Disconnecting), "{state:?}");
    }
}
