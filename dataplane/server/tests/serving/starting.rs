//! What a start insists on.

use std::fs;

use holdfast_dataplane::{DataPlane, StartError};

use crate::rig::Rig;

#[tokio::test]
async fn a_start_whose_crash_would_go_unseen_is_refused() {
    let rig = Rig::start().await;
    let mut settings = rig.files.settings();
    settings.state_dir = rig.files.path("other");
    // In the way of the counts: nothing can be written there.
    fs::create_dir_all(settings.state_dir.join("counts.tmp")).unwrap();
    let refused = DataPlane::start(settings.clone()).await.unwrap_err();
    assert!(matches!(refused.0.as_slice(), [StartError::State(_)]), "{refused}");
    fs::remove_dir(settings.state_dir.join("counts.tmp")).unwrap();
    DataPlane::start(settings).await.unwrap();
}
