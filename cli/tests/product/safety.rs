//! What keeps the control plane safe, with the real planes as processes: a backup that is restored elsewhere, and new seals.

use std::fs;

use holdfast_bench::{plan::End, target::Target};
use holdfast_controlplane::{RestoreOptions, restore};
use holdfast_proto::{seal::Seal, secret::Secret};

use crate::{
    admin::Admin,
    process::{Holdfast, alone},
    site::{Site, assert_all_right, plan, run_load, start_data_plane},
};

#[test]
fn a_node_that_is_ahead_takes_what_was_restored_elsewhere_and_goes_on_serving_it() {
    let _alone = alone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let site = Site::new();
    let (mut control, config) = site.with_one_node();
    let (sync, api) = (control.wait_for_listener("sync"), control.wait_for_listener("api"));
    let mut data = start_data_plane(&config);
    let xks = data.wait_for_listener("xks");
    control.wait_for("the demo key store is ready");
    let handout = site.handout();
    let mut admin = runtime.block_on(Admin::sign_in(api.port(), &handout["api"]));
    runtime.block_on(admin.until("the key encrypts", Admin::newest_encrypts));

    let backup = runtime.block_on(admin.backup(PASSPHRASE));
    let header = String::from_utf8_lossy(&backup[..1_000]).into_owned();
    let key_seal = Seal::from_text(&fs::read_to_string(site.path("controlplane/key-seal")).unwrap()).unwrap();
    assert!(header.contains(&key_seal.id().to_string()), "{header}");
    // What the backup does not know of: a rotation that nodes have, and a block.
    let key = runtime.block_on(admin.key());
    runtime.block_on(async {
        admin.rotate(&key.id).await;
        admin.until("the new version encrypts", Admin::newest_encrypts).await;
        admin.block(&key.id).await;
    });
    assert_eq!(control.stop().0.code(), Some(0));
    fs::rename(site.path("controlplane"), site.path("lost")).unwrap();

    let dir = site.path("controlplane");
    let restored = restore(&dir, backup.as_slice(), &Secret::new(PASSPHRASE.into()), &RestoreOptions::default()).unwrap();
    assert_eq!(restored.header.key_seals, [key_seal.id()]);
    assert!(restored.revision.epoch > restored.header.revision.epoch && !dir.join("key-seal").exists());
    fs::copy(site.path("lost/demo.json"), dir.join("demo.json")).unwrap();

    // The same address, as a name in front of it would give.
    let text = fs::read_to_string(site.path("controlplane.toml")).unwrap();
    let at = format!("[sync]\nlisten = \"{sync}\"");
    let text = text.replace("[sync]\nlisten = \"127.0.0.1:0\"", &at);
    assert!(text.contains(&at), "{text}");
    fs::write(site.path("controlplane.toml"), text).unwrap();
    let mut control = Holdfast::start(&["controlplane".as_ref(), "--config".as_ref(), site.path("controlplane.toml").as_os_str()]);
    let api = control.wait_for_listener("api");
    let mut admin = runtime.block_on(Admin::sign_in(api.port(), &handout["api"]));
    runtime.block_on(admin.until("the node has what was restored", Admin::nodes_have_everything));
    let now = runtime.block_on(admin.key());
    assert_eq!((now.versions.len(), now.blocked), (key.versions.len(), false));
    assert_all_right(&site.load(xks));
}

#[test]
fn what_lies_under_old_seals_is_brought_under_new_ones_while_requests_go_on() {
    let _alone = alone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let site = Site::new();
    let (mut control, config) = site.with_one_node();
    let sync = control.wait_for_listener("sync");
    let data = start_data_plane(&config);
    control.wait_for("the demo key store is ready");
    let handout = site.handout();

    // Both planes get a new seal in front of the old one.
    drop(data);
    assert_eq!(control.stop().0.code(), Some(0));
    let (new_control, new_key) = (Seal::generate().unwrap(), Seal::generate().unwrap());
    fs::write(site.path("new-control-seal"), new_control.to_text().as_bytes()).unwrap();
    fs::write(site.path("new-key-seal"), new_key.to_text().as_bytes()).unwrap();
    let settings = site.path("controlplane.toml");
    let text = fs::read_to_string(&settings).unwrap().replace("[sync]\nlisten = \"127.0.0.1:0\"", &format!("[sync]\nlisten = \"{sync}\""));
    let with = |seals: &str| format!("{text}\n[keys]\ncontrol_seals = [{seals}]\n");
    fs::write(&settings, with("\"new-control-seal\", \"controlplane/control-seal\"")).unwrap();
    let node = fs::read_to_string(&config).unwrap();
    let old = node.lines().find(|line| line.starts_with("seals = ")).unwrap().to_owned();
    let both = old.replace("seals = [", &format!("seals = [{:?}, ", site.path("new-key-seal").to_str().unwrap()));
    fs::write(&config, node.replace(&old, &both)).unwrap();

    let start = || Holdfast::start(&["controlplane".as_ref(), "--config".as_ref(), settings.as_os_str()]);
    let mut control = start();
    let api = control.wait_for_listener("api");
    let mut data = start_data_plane(&config);
    let xks = data.wait_for_listener("xks");
    let mut admin = runtime.block_on(Admin::sign_in(api.port(), &handout["api"]));
    runtime.block_on(admin.until("the node is there", Admin::nodes_have_everything));

    let spanning = plan(vec![site.target(xks)], End::Stopped);
    let stop = spanning.stop.clone();
    let spanning = std::thread::spawn(move || run_load(spanning));
    let seals = runtime.block_on(admin.reseal());
    let of = |kind: &str, first: bool| seals.iter().find(|seal| seal.kind == kind && seal.first == first).unwrap().clone();
    for (kind, id) in [("control", new_control.id()), ("key", new_key.id())] {
        let (new, old) = (of(kind, true), of(kind, false));
        assert_eq!((new.seal_id, old.sealed), (id.to_string(), 0), "{kind}");
        assert!(new.sealed > 0 && new.rewritten > 0, "{kind}");
    }
    let again = runtime.block_on(admin.reseal());
    assert!(again.iter().all(|seal| seal.rewritten == 0 && seal.first), "{again:?}");
    runtime.block_on(admin.until("the node has it all", Admin::nodes_have_everything));
    stop.cancel();
    assert_all_right(&spanning.join().unwrap());

    // The old ones may go.
    assert_eq!(data.stop().0.code(), Some(0));
    assert_eq!(control.stop().0.code(), Some(0));
    fs::write(&settings, with("\"new-control-seal\"")).unwrap();
    let new = format!("seals = [{:?}]", site.path("new-key-seal").to_str().unwrap());
    fs::write(&config, fs::read_to_string(&config).unwrap().replace(&both, &new)).unwrap();
    let mut control = start();
    let api = control.wait_for_listener("api");
    let mut data = start_data_plane(&config);
    let xks = data.wait_for_listener("xks");
    let mut admin = runtime.block_on(Admin::sign_in(api.port(), &handout["api"]));
    runtime.block_on(admin.until("the node is there", Admin::nodes_have_everything));
    let target: Target = site.target(xks);
    assert_all_right(&run_load(plan(vec![target], End::Requests(100))));
}

const PASSPHRASE: &str = "correct horse battery staple";
