//! Rotation, by the clock and on demand.

use aws_sdk_kms::types::{IncludeKeyMaterial, KeyMaterialState, KeySpec, KeyUsageType, OriginType, RotationType};

use crate::rig::{Refused, Rig};

#[tokio::test]
async fn a_key_rotates_each_time_its_period_is_over() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    let first = rig.describe(&id).await.current_key_material_id;
    assert!(!kms.get_key_rotation_status().key_id(&id).send().await.unwrap().key_rotation_enabled);
    kms.enable_key_rotation().key_id(&id).rotation_period_in_days(90).send().await.unwrap();
    let status = kms.get_key_rotation_status().key_id(&id).send().await.unwrap();
    assert_eq!((status.key_rotation_enabled, status.rotation_period_in_days), (true, Some(90)));
    rig.days(89);
    assert_eq!(rig.describe(&id).await.current_key_material_id, first);
    rig.days(92);
    let rotations = kms.list_key_rotations().key_id(&id).send().await.unwrap().rotations.unwrap();
    assert_eq!(rotations.len(), 2);
    assert!(rotations.iter().all(|rotation| rotation.rotation_type == Some(RotationType::Automatic)));
    assert_eq!(rotations[0].key_material_state, Some(KeyMaterialState::NonCurrent));
    assert_eq!(rotations[1].key_material_id, rig.describe(&id).await.current_key_material_id);
    kms.disable_key_rotation().key_id(&id).send().await.unwrap();
    rig.days(1000);
    assert_eq!(kms.list_key_rotations().key_id(&id).send().await.unwrap().rotations().len(), 2);
}

#[tokio::test]
async fn a_rotation_on_demand_makes_new_material_current() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    let first = rig.describe(&id).await.current_key_material_id;
    let rotated = kms.rotate_key_on_demand().key_id(&id).send().await.unwrap();
    assert_eq!(rotated.key_id, rig.describe(&id).await.arn);
    let second = rig.describe(&id).await.current_key_material_id;
    assert_ne!(first, second);
    let list = || kms.list_key_rotations().key_id(&id);
    assert_eq!(list().send().await.unwrap().rotations().len(), 1);
    let all = list().include_key_material(IncludeKeyMaterial::AllKeyMaterial).send().await.unwrap().rotations.unwrap();
    let ids: Vec<_> = all.iter().map(|kept| kept.key_material_id.clone()).collect();
    assert_eq!(ids, [first, second]);
    assert_eq!((all[0].rotation_type.clone(), all[1].rotation_type.clone()), (None, Some(RotationType::OnDemand)));
    for _ in 1..25 {
        kms.rotate_key_on_demand().key_id(&id).send().await.unwrap();
    }
    assert_eq!(kms.rotate_key_on_demand().key_id(&id).send().await.name(), "LimitExceededException");
}

#[tokio::test]
async fn a_disabled_key_does_not_rotate() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    kms.enable_key_rotation().key_id(&id).send().await.unwrap();
    kms.disable_key().key_id(&id).send().await.unwrap();
    assert_eq!(kms.enable_key_rotation().key_id(&id).send().await.name(), "DisabledException");
    assert_eq!(kms.disable_key_rotation().key_id(&id).send().await.name(), "DisabledException");
    assert_eq!(kms.rotate_key_on_demand().key_id(&id).send().await.name(), "DisabledException");
    rig.days(400);
    assert_eq!(kms.list_key_rotations().key_id(&id).send().await.unwrap().rotations().len(), 0);
    kms.enable_key().key_id(&id).send().await.unwrap();
    assert_eq!(kms.list_key_rotations().key_id(&id).send().await.unwrap().rotations().len(), 1);
}

#[tokio::test]
async fn a_key_that_was_disabled_for_several_periods_rotates_once_and_begins_its_period_anew() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    kms.enable_key_rotation().key_id(&id).rotation_period_in_days(90).send().await.unwrap();
    kms.disable_key().key_id(&id).send().await.unwrap();
    rig.days(10 * 90 + 40);
    kms.enable_key().key_id(&id).send().await.unwrap();
    assert_eq!(kms.list_key_rotations().key_id(&id).send().await.unwrap().rotations().len(), 1);
    rig.days(89);
    assert_eq!(kms.list_key_rotations().key_id(&id).send().await.unwrap().rotations().len(), 1);
    rig.days(1);
    assert_eq!(kms.list_key_rotations().key_id(&id).send().await.unwrap().rotations().len(), 2);
}

#[tokio::test]
async fn no_rotation_on_demand_begins_just_before_an_automatic_one() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    kms.enable_key_rotation().key_id(&id).rotation_period_in_days(90).send().await.unwrap();
    rig.days(89);
    kms.rotate_key_on_demand().key_id(&id).send().await.unwrap();
    rig.sim.control().advance(std::time::Duration::from_mins(23 * 60 + 45));
    assert_eq!(kms.rotate_key_on_demand().key_id(&id).send().await.name(), "ConflictException");
    rig.sim.control().advance(std::time::Duration::from_mins(15));
    kms.rotate_key_on_demand().key_id(&id).send().await.unwrap();
    assert_eq!(kms.list_key_rotations().key_id(&id).send().await.unwrap().rotations().len(), 3);
}

#[tokio::test]
async fn only_symmetric_keys_with_material_of_aws_rotate_by_themselves() {
    let rig = Rig::start().await;
    let kms = &rig.kms;
    let signing = rig.key(KeySpec::EccNistP256, KeyUsageType::SignVerify).await;
    let imported = rig.key_of(OriginType::External, KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt).await;
    for id in [&signing, &imported] {
        assert_eq!(kms.enable_key_rotation().key_id(id).send().await.name(), "UnsupportedOperationException");
    }
    assert_eq!(kms.rotate_key_on_demand().key_id(&signing).send().await.name(), "UnsupportedOperationException");
    let mac = rig.key(KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac).await;
    for id in [&signing, &mac] {
        let status = kms.get_key_rotation_status().key_id(id).send().await.unwrap();
        assert_eq!((status.key_rotation_enabled, status.rotation_period_in_days), (false, None));
    }
    let id = rig.symmetric().await;
    for days in [89, 2561] {
        assert_eq!(kms.enable_key_rotation().key_id(&id).rotation_period_in_days(days).send().await.name(), "ValidationException");
    }
}

#[tokio::test]
async fn the_longest_leap_of_the_clock_makes_up_for_some_rotations_only() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    kms.enable_key_rotation().key_id(&id).rotation_period_in_days(90).send().await.unwrap();
    rig.sim.control().advance(std::time::Duration::MAX);
    assert_eq!(kms.list_key_rotations().key_id(&id).send().await.unwrap().rotations().len(), 41);
    rig.days(90);
    assert_eq!(kms.list_key_rotations().key_id(&id).send().await.unwrap().rotations().len(), 42);
}
