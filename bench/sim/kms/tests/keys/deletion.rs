//! Deletion by the simulator's clock.

use aws_sdk_kms::types::KeyState;

use crate::rig::{Refused, Rig};

#[tokio::test]
async fn a_key_goes_when_its_waiting_period_is_over() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    kms.create_alias().alias_name("alias/app").target_key_id(&id).send().await.unwrap();
    let scheduled = kms.schedule_key_deletion().key_id(&id).pending_window_in_days(7).send().await.unwrap();
    assert_eq!(scheduled.key_state, Some(KeyState::PendingDeletion));
    assert_eq!(scheduled.pending_window_in_days, Some(7));
    let described = rig.describe(&id).await;
    assert_eq!(described.deletion_date, scheduled.deletion_date);
    let again = kms.schedule_key_deletion().key_id(&id).send().await;
    assert_eq!(again.text(), format!("arn:aws:kms:eu-central-1:111122223333:key/{id} is pending deletion."));
    rig.days(6);
    assert_eq!(rig.state(&id).await, KeyState::PendingDeletion);
    rig.days(1);
    assert_eq!(kms.describe_key().key_id(&id).send().await.name(), "NotFoundException");
    assert_eq!(kms.list_keys().send().await.unwrap().keys().len(), 0);
    assert_eq!(kms.list_aliases().send().await.unwrap().aliases().len(), 0);
}

#[tokio::test]
async fn a_cancelled_deletion_leaves_the_key_disabled() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    assert_eq!(kms.cancel_key_deletion().key_id(&id).send().await.name(), "KMSInvalidStateException");
    kms.schedule_key_deletion().key_id(&id).send().await.unwrap();
    rig.days(29);
    kms.cancel_key_deletion().key_id(&id).send().await.unwrap();
    rig.days(100);
    let described = rig.describe(&id).await;
    assert_eq!((described.key_state, described.deletion_date), (Some(KeyState::Disabled), None));
}

#[tokio::test]
async fn a_key_that_is_pending_deletion_is_not_changed() {
    let rig = Rig::start().await;
    let (id, kms) = (rig.symmetric().await, &rig.kms);
    kms.schedule_key_deletion().key_id(&id).send().await.unwrap();
    for refusal in [
        kms.enable_key().key_id(&id).send().await.name(),
        kms.disable_key().key_id(&id).send().await.name(),
        kms.update_key_description().key_id(&id).description("x").send().await.name(),
        kms.untag_resource().key_id(&id).tag_keys("x").send().await.name(),
        kms.create_alias().alias_name("alias/x").target_key_id(&id).send().await.name(),
        kms.enable_key_rotation().key_id(&id).send().await.name(),
        kms.rotate_key_on_demand().key_id(&id).send().await.name(),
    ] {
        assert_eq!(refusal, "KMSInvalidStateException");
    }
    let policy = kms.get_key_policy().key_id(&id).send().await.unwrap().policy.unwrap();
    kms.put_key_policy().key_id(&id).policy(policy).send().await.unwrap();
}

#[tokio::test]
async fn a_waiting_period_has_7_to_30_days() {
    let rig = Rig::start().await;
    let id = rig.symmetric().await;
    for days in [6, 31] {
        let scheduled = rig.kms.schedule_key_deletion().key_id(&id).pending_window_in_days(days).send().await;
        assert_eq!(scheduled.name(), "ValidationException");
    }
    assert_eq!(rig.state(&id).await, KeyState::Enabled);
}
