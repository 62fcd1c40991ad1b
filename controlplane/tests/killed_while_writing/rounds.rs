//! Rounds of writing, killing and looking.

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    env,
    hash::BuildHasher,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use holdfast_controlplane::store::{
    CommitError, ReadError, Store, View,
    entry::{CountEntry, Entry},
    sled::SledStore,
};
use holdfast_proto::ids::KeyId;
use uuid::Uuid;

use crate::plan::{Dice, State, WRITERS};

pub(crate) fn run() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", dir] => write(Path::new(dir)),
        ["--rounds", rounds] => an_answered_write_survives_kill_9(rounds.parse().expect("a number of rounds")),
        _ => {
            an_answered_write_survives_kill_9(ROUNDS);
            an_answered_write_survives_a_full_disk();
        }
    }
}

fn an_answered_write_survives_kill_9(rounds: u32) {
    let dir = tempfile::tempdir().unwrap();
    drop(SledStore::create(dir.path(), 1).unwrap());
    let seed = RandomState::new().hash_one(0);
    let mut dice = Dice(seed);
    for round in 0..rounds {
        let mut child = start(&mut Command::new(env::current_exe().unwrap()), dir.path());
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let (began, begun) = mpsc::channel();
        let reader = thread::spawn(move || last_answers(answers.map_while(Result::ok).inspect(|_| _ = began.send(()))));
        // Any moment will do, also while it opens the store; but on a busy machine every second round must get as far as writing.
        if round % 2 == 1 {
            begun.recv().expect("a write was answered");
        }
        thread::sleep(Duration::from_micros(u64::from(dice.below(LONGEST_ROUND_MICROS))));
        child.kill().unwrap();
        child.wait().unwrap();
        check(dir.path(), &reader.join().unwrap(), &format!("round {round}, seed {seed}"));
    }
    let commits = SledStore::open(dir.path()).unwrap().head().revision().counter;
    assert!(commits >= u64::from(rounds / 2), "it was killed while it wrote, not before: {commits} commits");
    say(&format!("an_answered_write_survives_kill_9 ... ok ({rounds} rounds, {commits} commits)"));
}

fn an_answered_write_survives_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    drop(SledStore::create(dir.path(), 1).unwrap());
    // No file may grow past 2 MiB; to fail is the write's to tell, not a signal's.
    let limited = "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\"";
    let mut shell = Command::new("sh");
    let mut child = start(shell.arg("-c").arg(limited).arg(env::current_exe().unwrap()), dir.path());
    let mut lines: Vec<_> = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    assert!(child.wait().unwrap().success(), "it ended by itself");
    assert_eq!(lines.pop().as_deref(), Some(OUT_OF_ORDER));
    check(dir.path(), &last_answers(lines.into_iter()), "a full disk");
    say("an_answered_write_survives_a_full_disk ... ok");
}

fn start(command: &mut Command, dir: &Path) -> Child {
    command.arg("write").arg(dir).stdout(Stdio::piped()).spawn().unwrap()
}

/// The last commit of each writer that was answered.
fn last_answers(lines: impl Iterator<Item = String>) -> BTreeMap<u8, u64> {
    // A line that was cut off is no answer.
    let parsed = lines.filter_map(|line| {
        let (writer, commit) = line.strip_suffix('.')?.split_once(' ')?;
        Some((writer.parse().ok()?, commit.parse().ok()?))
    });
    parsed.collect()
}

fn check(dir: &Path, answered: &BTreeMap<u8, u64>, when: &str) {
    let store: Arc<dyn Store> = Arc::new(SledStore::open(dir).unwrap());
    let view = runtime().block_on(View::of(&store)).unwrap();
    let mut commits = 0;
    for (writer, found) in State::found(&view.virtual_keys().unwrap()) {
        let last = answered.get(&writer).copied().unwrap_or(0);
        assert!(found.commits >= last, "{when}: commit {last} of writer {writer} was answered, the store has {}", found.commits);
        assert_eq!(found, State::after(writer, found.commits), "{when}: writer {writer} left a half");
        commits += found.commits;
    }
    assert_eq!(view.revision().counter, commits, "{when}: each commit moved the revision by one");
    view.counts().unwrap();
}

/// The process that is killed.
fn write(dir: &Path) {
    let store: Arc<dyn Store> = Arc::new(SledStore::open(dir).unwrap());
    let runtime = runtime();
    let view = runtime.block_on(View::of(&store)).unwrap();
    let states = State::found(&view.virtual_keys().unwrap());
    drop(view);
    let writers: Vec<_> = states.into_iter().map(|(writer, state)| runtime.spawn(write_on(Arc::clone(&store), writer, state))).collect();
    for writer in writers {
        runtime.block_on(writer).unwrap();
    }
    // Only a failed write gets here.
    assert!(matches!(runtime.block_on(View::of(&store)), Err(ReadError::Broken(_))));
    say(OUT_OF_ORDER);
}

/// Goes on until a write fails.
async fn write_on(store: Arc<dyn Store>, writer: u8, mut state: State) {
    loop {
        let mut next = state.clone();
        let changes = next.step(writer);
        match store.commit(store.head().revision(), changes).await {
            Ok(_) => {
                state = next;
                say(&format!("{writer} {}.", state.commits));
            }
            // Another writer was first.
            Err(CommitError::Conflict { .. }) => {}
            Err(CommitError::Io(_) | CommitError::Broken(_)) => return,
            Err(error @ CommitError::Encode(_)) => panic!("{error}"),
        }
        // May be lost; must not spoil what lies beside it.
        _ = store.note(vec![note(writer, state.commits)]);
    }
}

fn note(writer: u8, reserved: u64) -> Entry {
    let node = format!("node-{writer}").as_str().try_into().unwrap();
    Entry::Count(CountEntry { key: KeyId(Uuid::nil()), version: 0, tag: [0; 4], node, reserved, lost: 0 })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(usize::from(WRITERS)).build().unwrap()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

const ROUNDS: u32 = 30;
const LONGEST_ROUND_MICROS: u32 = 250_000;
const OUT_OF_ORDER: &str = "out of order";
