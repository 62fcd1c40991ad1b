//! What a restore refuses, and that it leaves nothing behind then.

use std::{fs, path::Path};

use holdfast_controlplane::{
    ControlPlane, EnrollOptions, InitError, RestoreError, RestoreOptions, Restored, backup::BackupFault, enroll, names::NodeName, restore,
    store::sled::OpenError,
};
use holdfast_proto::{
    admin::{BackupRequest, ListNodesRequest},
    secret::Secret,
};
use tonic::Code;

use crate::plane::{Plane, settings};

async fn backup(plane: &Plane, passphrase: &str) -> Result<Vec<u8>, tonic::Status> {
    let mut chunks = plane.admin().await.maintenance.backup(BackupRequest { passphrase: passphrase.into() }).await?.into_inner();
    let mut file = Vec::new();
    while let Some(chunk) = chunks.message().await? {
        file.extend(chunk.data);
    }
    Ok(file)
}

fn restored(dir: &Path, file: &[u8], passphrase: &str) -> Result<Restored, RestoreError> {
    restore(dir, file, &Secret::new(passphrase.into()), &RestoreOptions::default())
}

#[tokio::test]
async fn what_does_not_open_or_has_no_room_is_refused_and_nothing_is_left_behind() {
    let plane = Plane::with_demo().await;
    assert_eq!(backup(&plane, "too short").await.unwrap_err().code(), Code::InvalidArgument);
    let file = backup(&plane, PASSPHRASE).await.unwrap();
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deep/restored");

    let bent = {
        let mut bent = file.clone();
        *bent.last_mut().unwrap() ^= 1;
        bent
    };
    let newer = [b"holdfast-backup 2\n", &file[18..]].concat();
    assert!(matches!(restored(&dir, &file, "wrong horse battery"), Err(RestoreError::Backup(BackupFault::Passphrase))));
    assert!(matches!(restored(&dir, &file[..file.len() - 1], PASSPHRASE), Err(RestoreError::Backup(BackupFault::Cut))));
    assert!(matches!(restored(&dir, &bent, PASSPHRASE), Err(RestoreError::Backup(_))));
    assert!(matches!(restored(&dir, &newer, PASSPHRASE), Err(RestoreError::Backup(BackupFault::Newer { .. }))));
    assert!(!dir.exists());

    // A folder with something in it stays as it is, a data directory above all.
    let occupied = parent.path().join("occupied");
    fs::create_dir(&occupied).unwrap();
    fs::write(occupied.join("thesis.txt"), "years").unwrap();
    assert!(matches!(restored(&occupied, &file, PASSPHRASE), Err(RestoreError::Directory(InitError::Occupied { .. }))));
    assert_eq!(fs::read_dir(&occupied).unwrap().count(), 1);
    let taken = restored(&plane.data(), &file, PASSPHRASE);
    assert!(matches!(taken, Err(RestoreError::Directory(InitError::Open(OpenError::Initialised { .. })))));

    // An empty folder that was there is left there, empty.
    let empty = parent.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(restored(&empty, &bent, PASSPHRASE).is_err());
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_restored_is_the_same_control_plane_in_a_new_epoch() {
    let plane = Plane::with_demo().await;
    let node = plane.enrolled("node-1");
    let file = backup(&plane, PASSPHRASE).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("restored");
    let options = RestoreOptions { server_names: vec!["cp.example.com".into()], ..RestoreOptions::default() };
    let report = restore(&to, file.as_slice(), &Secret::new(PASSPHRASE.into()), &options).unwrap();
    assert!(report.revision > report.header.revision && report.revision.counter == 0);
    assert_eq!(report.control_seals, [to.join("control-seal")]);
    for name in ["ca.crt", "ca.key", "control-seal"] {
        assert_eq!(fs::read(to.join(name)).unwrap(), fs::read(plane.data().join(name)).unwrap(), "{name}");
    }
    assert_ne!(fs::read(to.join("server.crt")).unwrap(), fs::read(plane.data().join("server.crt")).unwrap());

    // Without a key seal nobody can be enrolled but with one that is given.
    let name = NodeName::try_from("node-2").unwrap();
    assert!(matches!(enroll(&to, &name, &dir.path().join("node-2"), EnrollOptions::default()), Err(InitError::File(_))));
    let key_seal = Some(plane.data().join("key-seal"));
    enroll(&to, &name, &dir.path().join("node-2"), EnrollOptions { key_seal, ..EnrollOptions::default() }).unwrap();

    // The same password signs in, and a node that was enrolled before is let in.
    let (data, report) = (plane.data(), plane.report.clone());
    plane.running.drain().await;
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&to, &data).unwrap();
    let running = ControlPlane::start(settings(&data)).await.unwrap();
    let plane = Plane { dir: plane.dir, report, running };
    let _node = crate::node::Node::connect(&node, plane.running.sync_addr()).await.unwrap();
    assert_eq!(plane.admin().await.nodes.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes.len(), 1);
}

const PASSPHRASE: &str = "correct horse battery staple";
