//! What every store must do, claim by claim; each is put to memory and to sled.

use std::sync::Mutex;

use proptest::{collection::vec, prelude::*, test_runner::Config};
use tempfile::TempDir;

use super::*;

/// A store, and the folder it lies in.
struct Subject {
    store: Option<Arc<dyn Store>>,
    dir: Option<TempDir>,
}

impl Subject {
    fn all() -> [Self; 2] {
        let dir = tempfile::tempdir().unwrap();
        let sled = SledStore::create(dir.path(), EPOCH).unwrap();
        [Self { store: Some(Arc::new(MemoryStore::new(EPOCH))), dir: None }, Self { store: Some(Arc::new(sled)), dir: Some(dir) }]
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.store.as_ref().unwrap()
    }

    /// Closes and opens it again, where that means something.
    fn reopen(&mut self) {
        if let Some(dir) = &self.dir {
            self.store = None;
            self.store = Some(Arc::new(SledStore::open(dir.path()).unwrap()));
        }
    }

    async fn commit(&self, changes: Vec<EntryChange>) -> Result<Revision, CommitError> {
        self.store().commit(self.store().head().revision(), changes).await
    }

    fn ids(&self, within: Within) -> Vec<EntryName> {
        self.store().scan(within).unwrap().iter().map(Entry::name).collect()
    }
}

#[tokio::test]
async fn of_several_steps_on_one_entry_the_last_counts() {
    for subject in &mut Subject::all() {
        let (one, other) = (credential(1, 1), CredentialEntry { generation: 9, ..credential(1, 1) });
        let name = Entry::Credential(one.clone()).name();
        let put = |entry: &CredentialEntry| EntryChange::put(Entry::Credential(entry.clone()));
        let delete = || EntryChange::Delete(name.clone());
        let table = [
            (vec![put(&one), put(&other)], Some(9)),
            (vec![put(&one), delete()], None),
            (vec![delete(), put(&one)], Some(1)),
            (vec![delete(), put(&one), delete(), put(&other)], Some(9)),
        ];
        for (changes, left) in table {
            subject.commit(changes).await.unwrap();
            subject.reopen();
            let found = subject.store().read(&name).unwrap();
            assert_eq!(found.map(|entry| if let Entry::Credential(c) = entry { c.generation } else { 0 }), left);
        }
    }
}

#[tokio::test]
async fn a_scan_is_in_order_and_ends_where_the_next_key_store_or_kind_begins() {
    for subject in Subject::all() {
        // Neighbours whose names differ in the last bit only, and those around the ends of the range.
        let stores = [0, 1, 2, 0x00ff, 0x0100, u128::MAX - 1, u128::MAX];
        let keys = [u128::MAX, 0, 0xff, 1];
        let entries = stores.into_iter().flat_map(|store| keys.map(|key| hyok_key(store, key)).into_iter().chain([key_store(store)]));
        subject.commit(puts(entries.rev().collect())).await.unwrap();
        for store in stores {
            let names = [0, 1, 0xff, u128::MAX].map(|key| EntryName::HyokKey(store_id(store), key_id(key)));
            assert_eq!(subject.ids(Within::HyokKeys(store_id(store))), names, "{store}");
            assert_eq!(subject.ids(Within::Credentials(store_id(store))), []);
        }
        assert_eq!(subject.ids(Within::KeyStores), stores.map(|store| EntryName::KeyStore(store_id(store))));
        assert_eq!(subject.ids(Within::VirtualKeys), []);
    }
}

#[tokio::test]
async fn a_key_s_index_is_its_key_store_s_alone() {
    for subject in Subject::all() {
        let index = |store, name: &str, key| {
            let external_id = ExternalKeyId::try_from(name).unwrap();
            Entry::ExternalId(ExternalIdEntry { store: store_id(store), external_id, key: key_id(key) })
        };
        subject.commit(puts(vec![index(1, "a", 1), index(1, "ab", 2), index(2, "a", 3)])).await.unwrap();
        let view = View::of(subject.store()).await.unwrap();
        let named = |store, name: &str| view.key_of_external_id(store_id(store), &ExternalKeyId::try_from(name).unwrap()).unwrap();
        assert_eq!((named(1, "a"), named(1, "ab"), named(2, "a")), (Some(key_id(1)), Some(key_id(2)), Some(key_id(3))));
        assert_eq!((named(2, "ab"), named(3, "a"), named(1, "b")), (None, None, None));
    }
}

#[tokio::test]
async fn a_commit_of_nothing_moves_the_revision_and_a_note_does_not() {
    for subject in &mut Subject::all() {
        let start = subject.store().head().revision();
        subject.store().note(notes()).unwrap();
        subject.reopen();
        assert_eq!(subject.store().head().revision(), start);
        assert_eq!(subject.commit(Vec::new()).await.unwrap(), start.next());
        subject.reopen();
        assert_eq!(subject.store().head().revision(), start.next());
        for note in notes() {
            assert_eq!(subject.store().read(&note.name()).unwrap(), Some(note));
        }
        subject.store().forget_notes(notes().iter().map(Entry::name).collect()).unwrap();
        subject.reopen();
        assert_eq!((subject.ids(Within::Counts), subject.store().head().revision()), (vec![], start.next()));
    }
}

#[tokio::test]
async fn of_many_writers_at_one_revision_exactly_one_wins() {
    for subject in Subject::all() {
        let start = subject.store().head().revision();
        let writes: Vec<_> = (1..=20).map(|n| subject.store().commit(start, vec![EntryChange::put(key_store(n))])).collect();
        let mut won = 0;
        for write in writes {
            match write.await {
                Ok(revision) => won += usize::from(revision == start.next()),
                Err(error) => assert!(matches!(error, CommitError::Conflict { now } if now == start.next())),
            }
        }
        assert_eq!(won, 1);
        assert_eq!(subject.ids(Within::KeyStores).len(), 1);
    }
}

#[tokio::test]
async fn a_view_keeps_writers_out_and_a_write_begun_is_ended_though_nobody_waits() {
    for subject in Subject::all() {
        let store = subject.store();
        let view = View::of(store).await.unwrap();
        let mut nudge = store.head().watch();
        drop(store.commit(view.revision(), vec![EntryChange::put(key_store(1))]));
        tokio::task::yield_now().await;
        assert_eq!(view.key_stores().unwrap(), []);
        drop(view);
        nudge.changed().await.unwrap();
        assert_eq!(View::of(store).await.unwrap().key_stores().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_copy_is_the_whole_of_it() {
    for subject in Subject::all() {
        subject.commit(puts(one_of_each())).await.unwrap();
        subject.store().note(notes()).unwrap();
        let mut entries: Vec<_> = one_of_each().into_iter().chain(notes()).map(|entry| (entry.name().to_key(), entry)).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let copy = View::of(subject.store()).await.unwrap().copy().unwrap();
        let copied = copy.into_iter().map(|raw| (raw.key.clone().into_vec(), serde_json::from_slice(&raw.value).unwrap()));
        assert_eq!(copied.collect::<Vec<(_, Entry)>>(), entries);
    }
}

#[test]
fn what_does_not_decode_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::create(dir.path(), EPOCH).unwrap();
    let name = EntryName::KeyStore(store_id(1));
    store.put_raw(&name.to_key(), b"{\"KeyStore\":{\"id\":7}}");
    assert!(matches!(store.read(&name), Err(ReadError::Decode(_))));
    assert!(matches!(store.scan(Within::KeyStores), Err(ReadError::Decode(_))));
}

/// A step of the model.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(bool, u8, u8)>),
    Stale(u8),
    Note(u8, u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec((any::<bool>(), 0..4_u8, 0..4_u8), 0..8).prop_map(Step::Commit),
        1 => (0..4_u8).prop_map(Step::Stale),
        1 => (0..4_u8, 0..4_u8).prop_map(|(key, node)| Step::Note(key, node)),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn memory_and_sled_hold_what_a_plain_map_would(steps in vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for subject in &mut Subject::all() {
                follow(subject, &steps).await;
            }
        });
    }
}

async fn follow(subject: &mut Subject, steps: &[Step]) {
    let model = Mutex::new(BTreeMap::new());
    let put = |entry: Entry| model.lock().unwrap().insert(entry.name(), entry);
    let mut revision = subject.store().head().revision();
    for (number, step) in (0_u64..).zip(steps) {
        match step {
            Step::Commit(steps) => {
                let mut changes = Vec::new();
                for (keep, store, id) in steps {
                    let entry = Entry::Credential(CredentialEntry { generation: number, ..credential((*store).into(), (*id).into()) });
                    if *keep {
                        changes.push(EntryChange::put(entry.clone()));
                        put(entry);
                    } else {
                        changes.push(EntryChange::Delete(entry.name()));
                        model.lock().unwrap().remove(&entry.name());
                    }
                }
                let done = subject.store().commit(revision, changes).await.unwrap();
                assert_eq!(done, revision.next());
                revision = done;
            }
            Step::Stale(n) => {
                let stale = Revision { counter: revision.counter.wrapping_sub(1), ..revision };
                let lost = subject.store().commit(stale, vec![EntryChange::put(key_store((*n).into()))]).await;
                assert!(matches!(lost, Err(CommitError::Conflict { now }) if now == revision));
            }
            Step::Note(key, node) => {
                let node = node_name(&format!("n{node}"));
                let note =
                    Entry::Count(CountEntry { key: key_id((*key).into()), version: 0, tag: [0; 4], node, reserved: number, lost: 0 });
                subject.store().note(vec![note.clone()]).unwrap();
                put(note);
            }
            Step::Reopen => subject.reopen(),
        }
        assert_eq!(subject.store().head().revision(), revision);
    }
    subject.reopen();
    let mut found = Vec::new();
    for within in (0..4).map(|n| Within::Credentials(store_id(n))).chain([Within::Counts, Within::KeyStores]) {
        found.extend(subject.store().scan(within).unwrap());
    }
    let model = model.into_inner().unwrap();
    assert_eq!(found.len(), model.len());
    for entry in found {
        assert_eq!(model.get(&entry.name()), Some(&entry));
        assert_eq!(subject.store().read(&entry.name()).unwrap(), Some(entry));
    }
}
