//! Multi-Region keys.

use std::time::{Duration, Instant};

use aws_sdk_kms::{
    Client,
    types::{
        AlgorithmSpec::RsaesOaepSha256, ImportType, IncludeKeyMaterial, KeyMaterialState, KeyMetadata, KeyState, MultiRegionKeyType,
        OriginType, WrappingKeySpec::Rsa2048,
    },
};

use crate::{
    import::lasting,
    rig::{Refused, Rig, describe},
};

const THERE: &str = "us-east-1";

#[tokio::test]
async fn a_replica_is_made_and_shares_its_primary_keys_material() {
    let rig = Rig::start().await;
    let (id, there) = (multi_region(&rig, OriginType::AwsKms).await, rig.kms_in(THERE));
    assert!(id.starts_with("mrk-"));
    let made = rig.kms.replicate_key().key_id(&id).replica_region(THERE).description("other").send().await.unwrap();
    let replica = made.replica_key_metadata.unwrap();
    assert_eq!((replica.key_id.as_str(), replica.key_state.as_ref()), (id.as_str(), Some(&KeyState::Creating)));
    assert!(made.replica_policy.unwrap().contains("key-default-1"));
    assert_eq!((made.replica_tags, replica.current_key_material_id), (None, None));
    let replica = soon(&rig, &there, &id).await;
    assert_eq!(replica.key_state, Some(KeyState::Enabled));
    assert_eq!(replica.arn.as_deref(), Some(format!("arn:aws:kms:{THERE}:111122223333:key/{id}").as_str()));
    assert_eq!((role(&rig.describe(&id).await), role(&replica)), (MultiRegionKeyType::Primary, MultiRegionKeyType::Replica));
    let set = replica.multi_region_configuration.unwrap();
    assert_eq!(set.primary_key.unwrap().region.as_deref(), Some("eu-central-1"));
    assert_eq!(set.replica_keys.unwrap()[0].region.as_deref(), Some(THERE));
    assert_eq!(rig.kms.replicate_key().key_id(&id).replica_region(THERE).send().await.name(), "AlreadyExistsException");
    assert_eq!(there.replicate_key().key_id(&id).replica_region("us-west-2").send().await.name(), "UnsupportedOperationException");
    rig.kms.rotate_key_on_demand().key_id(&id).send().await.unwrap();
    assert_eq!(rig.describe(&id).await.current_key_material_id, describe(&there, &id).await.current_key_material_id);
    assert_eq!(there.rotate_key_on_demand().key_id(&id).send().await.name(), "UnsupportedOperationException");
    assert_eq!(rig.kms.replicate_key().key_id(&id).replica_region("there").send().await.name(), "ValidationException");
    let single = rig.symmetric().await;
    assert_eq!(rig.kms.replicate_key().key_id(&single).replica_region(THERE).send().await.name(), "UnsupportedOperationException");
}

#[tokio::test]
async fn the_primary_region_changes_after_a_moment() {
    let rig = Rig::start().await;
    let (id, there) = (multi_region(&rig, OriginType::AwsKms).await, rig.kms_in(THERE));
    rig.kms.replicate_key().key_id(&id).replica_region(THERE).send().await.unwrap();
    soon(&rig, &there, &id).await;
    assert_eq!(rig.kms.update_primary_region().key_id(&id).primary_region("us-west-2").send().await.name(), "NotFoundException");
    rig.kms.update_primary_region().key_id(&id).primary_region(THERE).send().await.unwrap();
    assert_eq!((rig.state(&id).await, describe(&there, &id).await.key_state), (KeyState::Updating, Some(KeyState::Updating)));
    let after = soon(&rig, &there, &id).await;
    assert_eq!((role(&after), role(&rig.describe(&id).await)), (MultiRegionKeyType::Primary, MultiRegionKeyType::Replica));
    assert_eq!((after.key_state, rig.state(&id).await), (Some(KeyState::Enabled), KeyState::Enabled));
}

#[tokio::test]
async fn a_primary_region_that_is_asked_for_twice_is_under_way() {
    let rig = Rig::start().await;
    let (id, there) = (multi_region(&rig, OriginType::AwsKms).await, rig.kms_in(THERE));
    rig.kms.replicate_key().key_id(&id).replica_region(THERE).send().await.unwrap();
    soon(&rig, &there, &id).await;
    let ask = || rig.kms.update_primary_region().key_id(&id).primary_region(THERE).send();
    let begun = Instant::now();
    let (one, other) = tokio::join!(ask(), ask());
    // After half a second it is over, and the key that is asked of is a replica.
    let in_time = begun.elapsed() < Duration::from_millis(500);
    assert!((one.is_ok() && other.is_ok()) || !in_time, "{one:?} {other:?}");
    assert_eq!(role(&soon(&rig, &there, &id).await), MultiRegionKeyType::Primary);
}

#[tokio::test]
async fn a_replica_that_is_being_made_can_be_scheduled_for_deletion_and_stays_so() {
    let rig = Rig::start().await;
    let (id, there) = (multi_region(&rig, OriginType::AwsKms).await, rig.kms_in(THERE));
    rig.kms.replicate_key().key_id(&id).replica_region(THERE).send().await.unwrap();
    there.schedule_key_deletion().key_id(&id).send().await.unwrap();
    assert_eq!(soon(&rig, &there, &id).await.key_state, Some(KeyState::PendingDeletion));
}

#[tokio::test]
async fn a_primary_key_goes_after_its_last_replica() {
    let rig = Rig::start().await;
    let (id, there) = (multi_region(&rig, OriginType::AwsKms).await, rig.kms_in(THERE));
    rig.kms.replicate_key().key_id(&id).replica_region(THERE).send().await.unwrap();
    soon(&rig, &there, &id).await;
    let scheduled = rig.kms.schedule_key_deletion().key_id(&id).pending_window_in_days(10).send().await.unwrap();
    assert_eq!((scheduled.key_state, scheduled.deletion_date), (Some(KeyState::PendingReplicaDeletion), None));
    assert_eq!(rig.describe(&id).await.pending_deletion_window_in_days, Some(10));
    rig.days(100);
    assert_eq!(rig.state(&id).await, KeyState::PendingReplicaDeletion);
    there.schedule_key_deletion().key_id(&id).pending_window_in_days(7).send().await.unwrap();
    rig.days(8);
    assert_eq!(there.describe_key().key_id(&id).send().await.name(), "NotFoundException");
    assert_eq!(rig.state(&id).await, KeyState::PendingDeletion);
    rig.days(10);
    assert_eq!(rig.kms.describe_key().key_id(&id).send().await.name(), "NotFoundException");
}

#[tokio::test]
async fn a_whole_set_goes_in_one_leap_of_the_clock() {
    let rig = Rig::start().await;
    let (id, there) = (multi_region(&rig, OriginType::AwsKms).await, rig.kms_in(THERE));
    rig.kms.replicate_key().key_id(&id).replica_region(THERE).send().await.unwrap();
    soon(&rig, &there, &id).await;
    for kms in [&rig.kms, &there] {
        kms.schedule_key_deletion().key_id(&id).pending_window_in_days(7).send().await.unwrap();
    }
    rig.days(14);
    assert_eq!(there.describe_key().key_id(&id).send().await.name(), "NotFoundException");
    assert_eq!(rig.kms.describe_key().key_id(&id).send().await.name(), "NotFoundException");
}

#[tokio::test]
async fn a_replica_without_the_material_that_becomes_current_is_not_used() {
    let rig = Rig::start().await;
    let (id, there) = (multi_region(&rig, OriginType::External).await, rig.kms_in(THERE));
    let put = async |kms: &Client, byte: u8, what: ImportType| {
        lasting(kms, &id, &[byte; 32], (RsaesOaepSha256, Rsa2048)).await.import_type(what).send().await.unwrap();
    };
    put(&rig.kms, 1, ImportType::NewKeyMaterial).await;
    put(&rig.kms, 2, ImportType::NewKeyMaterial).await;
    rig.kms.replicate_key().key_id(&id).replica_region(THERE).send().await.unwrap();
    soon(&rig, &there, &id).await;
    put(&there, 1, ImportType::ExistingKeyMaterial).await;
    assert_eq!(describe(&there, &id).await.key_state, Some(KeyState::Enabled));
    rig.kms.rotate_key_on_demand().key_id(&id).send().await.unwrap();
    assert_eq!(describe(&there, &id).await.key_state, Some(KeyState::PendingImport));
    put(&there, 2, ImportType::ExistingKeyMaterial).await;
    assert_eq!(describe(&there, &id).await.key_state, Some(KeyState::Enabled));
}

#[tokio::test]
async fn imported_material_goes_into_each_key_of_the_set() {
    let rig = Rig::start().await;
    let (id, there) = (multi_region(&rig, OriginType::External).await, rig.kms_in(THERE));
    let put = async |kms: &Client, byte: u8, what: ImportType| {
        lasting(kms, &id, &[byte; 32], (RsaesOaepSha256, Rsa2048)).await.import_type(what).send().await
    };
    put(&rig.kms, 1, ImportType::NewKeyMaterial).await.unwrap();
    rig.kms.replicate_key().key_id(&id).replica_region(THERE).send().await.unwrap();
    assert_eq!(soon(&rig, &there, &id).await.key_state, Some(KeyState::PendingImport));
    assert_eq!(put(&there, 2, ImportType::NewKeyMaterial).await.name(), "IncorrectKeyMaterialException");
    put(&there, 1, ImportType::ExistingKeyMaterial).await.unwrap();
    assert_eq!(describe(&there, &id).await.key_state, Some(KeyState::Enabled));
    put(&rig.kms, 2, ImportType::NewKeyMaterial).await.unwrap();
    assert_eq!(last_state(&rig.kms, &id).await, KeyMaterialState::PendingMultiRegionImportAndRotation);
    assert_eq!(rig.kms.rotate_key_on_demand().key_id(&id).send().await.name(), "KMSInvalidStateException");
    put(&there, 2, ImportType::ExistingKeyMaterial).await.unwrap();
    assert_eq!(last_state(&rig.kms, &id).await, KeyMaterialState::PendingRotation);
    rig.kms.rotate_key_on_demand().key_id(&id).send().await.unwrap();
    assert_eq!((last_state(&rig.kms, &id).await, last_state(&there, &id).await), (KeyMaterialState::Current, KeyMaterialState::Current));
    assert_eq!(describe(&there, &id).await.key_state, Some(KeyState::Enabled));
}

async fn multi_region(rig: &Rig, origin: OriginType) -> String {
    rig.kms.create_key().origin(origin).multi_region(true).send().await.unwrap().key_metadata.unwrap().key_id
}

/// The key when its passing state is over.
async fn soon(rig: &Rig, kms: &Client, id: &str) -> KeyMetadata {
    rig.sim.control().advance(Duration::from_secs(5));
    describe(kms, id).await
}

async fn last_state(kms: &Client, id: &str) -> KeyMaterialState {
    let list = kms.list_key_rotations().key_id(id).include_key_material(IncludeKeyMaterial::AllKeyMaterial).send().await.unwrap();
    list.rotations.unwrap().pop().unwrap().key_material_state.unwrap()
}

fn role(key: &KeyMetadata) -> MultiRegionKeyType {
    key.multi_region_configuration.clone().unwrap().multi_region_key_type.unwrap()
}
