//! What each writer writes: a fixed sequence of commits that create, replace and delete, so that the state after the n-th is known.
//!
//! Always holds: each commit also puts the writer's own mark, which says n.

use std::collections::BTreeMap;

use holdfast_controlplane::store::entry::{Entry, EntryChange, EntryName, Stamps, VirtualKeyEntry};
use uuid::Uuid;

/// One writer's entries as they should be after some of its commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Commits made.
    pub(crate) commits: u64,
    /// By number, with the commit that wrote it last.
    pub(crate) entries: BTreeMap<u32, u64>,
}

impl State {
    /// After `commits`.
    pub(crate) fn after(writer: u8, commits: u64) -> Self {
        let mut state = Self::default();
        while state.commits < commits {
            state.step(writer);
        }
        state
    }

    /// The next commit of `writer`, which this becomes the state after.
    pub(crate) fn step(&mut self, writer: u8) -> Vec<EntryChange> {
        self.commits += 1;
        let mut dice = Dice((u64::from(writer) << 56) ^ self.commits);
        let mut changes = vec![EntryChange::put(entry(writer, MARK, self.commits))];
        let (puts, deletes) = match dice.below(4) {
            0 => (1, 0),
            1 => (0, 5),
            2 => (WIDTH, 0),
            _ => (WIDTH / 2, WIDTH / 2),
        };
        for _ in 0..deletes {
            let number = dice.below(NUMBERS);
            self.entries.remove(&number);
            changes.push(EntryChange::Delete(name(writer, number)));
        }
        for _ in 0..puts {
            let number = dice.below(NUMBERS);
            self.entries.insert(number, self.commits);
            changes.push(EntryChange::put(entry(writer, number, self.commits)));
        }
        changes
    }

    /// What a store holds of each writer, and nothing else of theirs.
    pub(crate) fn found(keys: &[VirtualKeyEntry]) -> BTreeMap<u8, Self> {
        let mut found: BTreeMap<u8, Self> = (0..WRITERS).map(|writer| (writer, Self::default())).collect();
        for key in keys {
            let (writer, number) = parts(key.id);
            let state = found.get_mut(&writer).expect("a writer of ours");
            if number == MARK {
                state.commits = key.stamps.updated_ns;
            } else {
                state.entries.insert(number, key.stamps.updated_ns);
            }
        }
        found
    }
}

/// splitmix64, for a sequence that is the same in each process.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(end)).unwrap()
    }
}

fn entry(writer: u8, number: u32, commit: u64) -> Entry {
    let stamps = Stamps { created_ns: 0, updated_ns: commit };
    Entry::VirtualKey(VirtualKeyEntry::silent(id(writer, number), None, stamps))
}

fn name(writer: u8, number: u32) -> EntryName {
    EntryName::VirtualKey(id(writer, number))
}

fn id(writer: u8, number: u32) -> Uuid {
    Uuid::from_u128(u128::from(writer) << 64 | u128::from(number))
}

fn parts(id: Uuid) -> (u8, u32) {
    let id = id.as_u128();
    (u8::try_from(id >> 64).unwrap(), u32::try_from(id & 0xffff_ffff).unwrap())
}

/// Tasks that write at once.
pub(crate) const WRITERS: u8 = 4;
/// Numbers of a writer's entries.
const NUMBERS: u32 = 200;
const MARK: u32 = u32::MAX;
const WIDTH: u32 = 40;
