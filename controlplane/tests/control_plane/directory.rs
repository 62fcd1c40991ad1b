//! What `init` makes, what `start` needs, and what the directory does not give away.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use holdfast_controlplane::{
    ControlPlane, EnrollOptions, InitError, InitOptions, StartFault, enroll, init, names::NodeName, settings::Render,
    store::sled::OpenError,
};
use holdfast_proto::admin::CreateCredentialRequest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    node::SOON,
    plane::{Plane, data, made, settings},
};

#[tokio::test]
async fn init_keeps_secrets_to_the_owner_and_is_done_once() {
    let (dir, report) = made();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(data(&dir)), 0o700);
    for secret in ["control-seal", "key-seal", "ca.key", "server.key"] {
        assert_eq!(mode(data(&dir).join(secret)), 0o600, "{secret}");
    }
    let before = fs::read(&report.key_seal).unwrap();
    assert_ne!(before, fs::read(&report.control_seal).unwrap());
    assert!(matches!(init(&data(&dir), InitOptions::default()), Err(InitError::Open(OpenError::Initialised { .. }))));
    assert_eq!(fs::read(&report.key_seal).unwrap(), before);
}

#[test]
fn folders_that_were_there_become_the_owners_alone_and_strangers_keep_theirs() {
    let open = |dir: &Path| fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    let mode = |dir: &Path| fs::metadata(dir).unwrap().permissions().mode() & 0o7777;
    let [data, node, other] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    fs::write(other.path().join("thesis.txt"), "years").unwrap();
    [&data, &node, &other].into_iter().for_each(|dir| open(dir.path()));
    init(data.path(), InitOptions::default()).unwrap();
    let name = NodeName::try_from("node-1").unwrap();
    enroll(data.path(), &name, node.path(), EnrollOptions::default()).unwrap();
    assert!(init(other.path(), InitOptions::default()).is_err());
    assert!(enroll(data.path(), &name, other.path(), EnrollOptions::default()).is_err());
    assert_eq!([&data, &node, &other].map(|dir| mode(dir.path())), [0o700, 0o700, 0o755]);
    // Made by enroll itself.
    let fresh = other.path().join("node");
    enroll(data.path(), &name, &fresh, EnrollOptions::default()).unwrap();
    assert_eq!(mode(&fresh), 0o700);
}

#[test]
fn an_init_that_was_cut_short_is_done_again_and_a_strangers_folder_is_left_alone() {
    let (dir, report) = made();
    fs::rename(data(&dir).join("format"), data(&dir).join("unfinished")).unwrap();
    let before = fs::read(&report.key_seal).unwrap();
    init(&data(&dir), InitOptions::default()).unwrap();
    assert_ne!(fs::read(&report.key_seal).unwrap(), before);
    assert!(data(&dir).join("format").exists() && !data(&dir).join("unfinished").exists());
    let other = tempfile::tempdir().unwrap();
    for name in ["thesis.txt", "unfinished"] {
        fs::write(other.path().join(name), "years").unwrap();
        assert!(matches!(init(other.path(), InitOptions::default()), Err(InitError::Occupied { .. })));
    }
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 2);
}

#[test]
fn an_init_that_fails_leaves_its_mark_so_that_the_next_one_can_clear_up() {
    let dir = tempfile::tempdir().unwrap();
    let bad = InitOptions { server_names: vec!["naïve".into()], ..InitOptions::default() };
    assert!(matches!(init(dir.path(), bad), Err(InitError::Pki(_))));
    assert!(dir.path().join("key-seal").exists() && dir.path().join("unfinished").exists());
    init(dir.path(), InitOptions::default()).unwrap();
}

#[test]
fn a_half_restored_directory_keeps_its_keys() {
    let (dir, _) = made();
    fs::remove_file(data(&dir).join("format")).unwrap();
    let contents = || {
        let mut paths = files(&data(&dir));
        paths.sort();
        paths.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = contents();
    let refused = init(&data(&dir), InitOptions::default()).unwrap_err();
    assert!(matches!(refused, InitError::Occupied { .. }), "{refused:?}");
    assert!(before.len() > 6 && contents() == before);
}

#[tokio::test]
async fn a_start_lists_everything_that_is_in_its_way() {
    let (dir, report) = made();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(&report.control_seal, "nonsense").unwrap();
    let mut settings = settings(&data(&dir));
    settings.api_listen = taken.local_addr().unwrap();
    let errors = ControlPlane::start(settings).await.err().unwrap();
    assert!(matches!(errors.0[..], [StartFault::File(_), StartFault::Listen { what: "API", .. }]), "{errors:?}");
    let text = errors.to_string();
    assert!(text.contains("control-seal") && text.contains(&taken.local_addr().unwrap().to_string()) && !text.contains('\n'), "{text}");
    assert!(text.contains("in use"), "the cause is told: {text}");
}

#[tokio::test]
async fn a_directory_that_is_in_use_or_was_never_made_is_named() {
    let (dir, _) = made();
    let running = ControlPlane::start(settings(&data(&dir))).await.unwrap();
    let errors = ControlPlane::start(settings(&data(&dir))).await.err().unwrap();
    assert!(matches!(errors.0[..], [StartFault::Open(OpenError::InUse { .. })]), "{errors:?}");
    running.drain().await;
    let nowhere = dir.path().join("nowhere");
    let errors = ControlPlane::start(settings(&nowhere)).await.err().unwrap();
    assert!(matches!(errors.0[..], [StartFault::Open(OpenError::NotInitialised { .. })]), "{errors:?}");
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn no_secret_lies_in_the_clear_in_the_data_directory() {
    let plane = Plane::with_demo().await;
    let _node = plane.node("node-1").await;
    assert!(plane.running.demo_served(SOON).await.unwrap());
    let mut admin = plane.admin().await;
    let store =
        admin.key_stores.list_key_stores(holdfast_proto::admin::ListKeyStoresRequest {}).await.unwrap().into_inner().key_stores.remove(0);
    let created = admin.key_stores.create_credential(CreateCredentialRequest { key_store_id: store.id }).await.unwrap().into_inner();
    let secrets = [
        plane.report.admin_password.expose().to_owned(),
        plane.report.demo.as_ref().unwrap().secret.expose().to_owned(),
        plane.running.demo_credential().await.unwrap().secret.expose().to_owned(),
        created.secret_access_key,
    ];
    let dir = plane.data();
    plane.running.drain().await;
    let mut looked_at = 0;
    for file in files(&dir) {
        let bytes = fs::read(&file).unwrap();
        looked_at += bytes.len();
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{}", file.display());
        }
    }
    let id = created.credential.unwrap().access_key_id;
    let stored = files(&dir).iter().any(|file| fs::read(file).unwrap().windows(id.len()).any(|window| window == id.as_bytes()));
    assert!(stored && looked_at > 1_000, "what is looked through holds the entries");
}

#[tokio::test]
async fn the_ops_port_tells_that_it_lives_and_shows_the_callers_metrics() {
    let (dir, _) = made();
    let mut settings = settings(&data(&dir));
    settings.metrics = Some(Render(Arc::new(|| "holdfast_test 1\n".into())));
    let running = ControlPlane::start(settings).await.unwrap();
    let table = [("/livez", 200, "live\n"), ("/readyz", 200, "ready\n"), ("/metrics", 200, "holdfast_test 1\n"), ("/other", 404, "")];
    for (path, status, body) in table {
        let mut socket = TcpStream::connect(running.ops_addr().unwrap()).await.unwrap();
        socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    }
    running.drain().await;
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
