//! Rounds of writing, killing and looking.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use holdfast_controlplane::store::{
    Store, View,
    entry::{Entry, EntryChange, KeyPlaceEntry, Stamps, VirtualKeyEntry},
    sled::SledStore,
};
use holdfast_proto::ids::{KeyId, StoreId};
use uuid::Uuid;

pub(crate) fn run() {
    let mut arguments = env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("write-until-killed"), Some(dir)) => write_until_killed(Path::new(&dir)),
        _ => an_answered_write_survives_kill_9(),
    }
}

fn an_answered_write_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    drop(SledStore::create(dir.path(), 1).unwrap());
    for round in 1..=ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["write-until-killed".as_ref(), dir.path().as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed after more answers each round, at whatever it is doing then.
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut answered = 0_u64;
        for _ in 0..round * 3 {
            answered = answers.next().unwrap().unwrap().parse().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for late in answers.map_while(Result::ok) {
            answered = late.parse().unwrap_or(answered);
        }
        check(dir.path(), answered);
    }
    writeln!(std::io::stdout(), "an_answered_write_survives_kill_9 ... ok").unwrap();
}

/// Each commit of counter n writes `WIDTH` entries that all say n, over those of n - 1.
fn check(dir: &Path, answered: u64) {
    let store: Arc<dyn Store> = Arc::new(SledStore::open(dir).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let view = runtime.block_on(View::of(&store)).unwrap();
    let counter = view.revision().counter;
    assert!(counter >= answered, "answered {answered}, but the store stands at {counter}");
    let keys = view.virtual_keys().unwrap();
    assert_eq!(keys.len(), usize::try_from(WIDTH).unwrap());
    assert!(keys.iter().all(|key| key.stamps.updated_ns == counter), "a torn write at {counter}");
}

fn write_until_killed(dir: &Path) {
    let store: Arc<dyn Store> = Arc::new(SledStore::open(dir).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut out = std::io::stdout();
    loop {
        let now = store.head().revision();
        let changes = (0..WIDTH).map(|id| EntryChange::Put(entry(id, now.next().counter))).collect();
        let done = runtime.block_on(async { store.commit(now, changes).await }).unwrap();
        writeln!(out, "{}", done.counter).unwrap();
        out.flush().unwrap();
    }
}

fn entry(id: u128, counter: u64) -> Entry {
    let backs = KeyPlaceEntry { key: KeyId(Uuid::from_u128(id)), store: StoreId(Uuid::from_u128(1)) };
    let stamps = Stamps { created_ns: 0, updated_ns: counter };
    Entry::VirtualKey(VirtualKeyEntry { id: Uuid::from_u128(id), silent: true, backs: Some(backs), versions: Vec::new(), stamps })
}

const ROUNDS: usize = 12;
const WIDTH: u128 = 40;
