//! Rotation under load, with two nodes and a network that comes and goes.

use std::{thread, time::Duration};

use holdfast_bench::plan::{End, Pace};
use holdfast_proto::admin::HyokKey;

use crate::{
    admin::Admin,
    gate::Gate,
    process::alone,
    site::{Site, assert_all_right, plan, run_load, start_data_plane},
};

#[test]
fn a_thousand_rotations_under_load_fail_no_decrypt_though_one_stream_stands_still() {
    let _alone = alone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let site = Site::new();
    let mut control = site.start_control_plane();
    let (sync, api) = (control.wait_for_listener("sync"), control.wait_for_listener("api"));
    let gate = runtime.block_on(Gate::before(sync));
    let mut one = start_data_plane(&site.enroll("node-1", sync));
    let mut two = start_data_plane(&site.enroll("node-2", gate.addr));
    control.wait_for("the demo key store is ready");

    let targets = vec![site.target(one.wait_for_listener("xks")), site.target(two.wait_for_listener("xks"))];
    let handout = site.handout();
    let mut admin = runtime.block_on(Admin::sign_in(api.port(), &handout["api"]));
    runtime.block_on(admin.until("both nodes have the key", async |admin| admin.nodes().await == 2 && admin.nodes_have_everything().await));

    let mut load = plan(targets, End::Stopped);
    // Beside it the rotations must get on.
    load.pace = Pace::Think { pause: PAUSE };
    let stop = load.stop.clone();
    let load = thread::spawn(move || run_load(load));

    runtime.block_on(async {
        let key = admin.key().await.id;
        for _ in 0..300 {
            admin.rotate(&key).await;
        }
        gate.shut();
        // What was on its way may still arrive; after that, no version that node-2 lacks may encrypt.
        admin.rotate(&key).await;
        let stuck = admin.key().await.active();
        for _ in 0..399 {
            admin.rotate(&key).await;
        }
        let key_now = admin.key().await;
        assert!(key_now.active() <= stuck + 2, "version {} encrypts, though a node stands still since {stuck}", key_now.active());
        gate.reopen();
        for _ in 0..300 {
            admin.rotate(&key).await;
        }
        admin.until("the newest version encrypts", Admin::newest_encrypts).await;
    });

    stop.cancel();
    let report = load.join().unwrap();
    assert_all_right(&report);

    let key = runtime.block_on(admin.key());
    assert_eq!(key.versions.len(), 1_001);
    assert_eq!(key.active(), 1_000);
    let retired = key.versions.iter().filter(|version| version.state == "retired").count();
    assert_eq!(retired, 1_000);
}

trait Versions {
    fn active(&self) -> u32;
}

impl Versions for HyokKey {
    fn active(&self) -> u32 {
        self.versions.iter().find(|version| version.state == "active").unwrap().number
    }
}

/// Between two requests of one connection.
const PAUSE: Duration = Duration::from_millis(20);
