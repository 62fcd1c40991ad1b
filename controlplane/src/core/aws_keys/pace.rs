//! When which key is looked at next, as a pure function of what there is and when it was last looked at.
//!
//! Always holds: a key that is being looked at is not due; a key that waits for the one that is to replace it is looked at when that is made,
//! or is known not to be made.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use tokio::task;
use uuid::Uuid;

use super::deletion::is_pending;
use crate::{
    clock::now_ns,
    store::entry::{AwsKeyEntry, KeyStep},
};

/// When keys are looked at next.
#[derive(Debug, Default)]
pub(super) struct Pace {
    next: HashMap<Uuid, Next>,
    /// The keys that are being looked at.
    begun: HashMap<task::Id, Uuid>,
}

#[derive(Debug)]
struct Next {
    why: Why,
    at: Instant,
    tries: u32,
}

/// Why a key is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Something was begun with it.
    Doing,
    /// AWS changes it by itself, and soon.
    Moving,
    /// Someone who changed another key in AWS asked for it.
    Asked,
    /// AWS is to delete it or its material, at this time, nanoseconds since 1970; 0: AWS has not said when.
    Dying(u64),
}

impl Pace {
    /// The keys whose time has come, the longest due first, and when that of the next one comes. Keys that need no look any more are
    /// forgotten.
    pub(super) fn due(&mut self, (keys, asked): (&[AwsKeyEntry], &BTreeSet<Uuid>), now: Instant) -> (VecDeque<Uuid>, Instant) {
        self.keep((keys, asked), now);
        let begun: HashSet<_> = self.begun.values().collect();
        let mut waiting: Vec<_> = self.next.iter().filter(|(id, _)| !begun.contains(id)).map(|(id, next)| (next.at, *id)).collect();
        waiting.sort();
        let later = waiting.split_off(waiting.partition_point(|(at, _)| *at <= now));
        let next = later.first().map_or(now + LONGEST_PAUSE, |(at, _)| *at);
        (waiting.into_iter().map(|(_, id)| id).collect(), next)
    }

    /// A key is being looked at.
    pub(super) fn begun(&mut self, id: Uuid, look: task::Id) {
        self.begun.insert(look, id);
    }

    /// A key was looked at.
    pub(super) fn tried(&mut self, look: task::Id, now: Instant) {
        if let Some(next) = self.begun.remove(&look).and_then(|id| self.next.get_mut(&id)) {
            next.tries = next.tries.saturating_add(1);
            next.at = now + pause(next.why, next.tries);
        }
    }

    /// Someone else works on a key, and tells when it is left: until then there is nothing to look at.
    pub(super) fn put_off(&mut self, id: Uuid, now: Instant) {
        if let Some(next) = self.next.get_mut(&id) {
            next.at = now + pause(next.why, next.tries);
        }
    }

    fn keep(&mut self, (keys, asked): (&[AwsKeyEntry], &BTreeSet<Uuid>), now: Instant) {
        let wanted = wanted(keys, asked);
        let begun: HashSet<_> = self.begun.values().collect();
        // One that is there for another reason than before begins anew.
        self.next.retain(|id, next| wanted.get(id) == Some(&next.why) || begun.contains(id));
        for (id, why) in wanted {
            self.next.entry(id).or_insert_with(|| Next { why, at: now + pause(why, 0), tries: 0 });
        }
    }
}

fn wanted(keys: &[AwsKeyEntry], asked: &BTreeSet<Uuid>) -> HashMap<Uuid, Why> {
    let doing: HashSet<_> = keys.iter().filter(|key| key.doing.is_some()).map(|key| key.id).collect();
    let waits = |key: &AwsKeyEntry| matches!(&key.doing, Some(KeyStep::Rotate { successor, .. }) if doing.contains(successor));
    let asked = |key: &AwsKeyEntry| (asked.contains(&key.id) && key.in_aws().is_some()).then_some(Why::Asked);
    keys.iter().filter(|key| !waits(key)).filter_map(|key| Some((key.id, asked(key).or_else(|| why(key))?))).collect()
}

fn why(key: &AwsKeyEntry) -> Option<Why> {
    if key.doing.is_some() {
        return Some(Why::Doing);
    }
    let told = key.in_aws()?;
    match told.state.as_str() {
        "Creating" | "Updating" => Some(Why::Moving),
        _ if is_pending(told) => Some(Why::Dying(told.deletion_ns.unwrap_or_default())),
        "PendingImport" => None,
        _ if told.valid_to_ns.is_some() => Some(Why::Dying(told.valid_to_ns.unwrap_or_default())),
        _ => None,
    }
}

/// How long to wait before a look, after so many in vain.
fn pause(why: Why, tries: u32) -> Duration {
    let growing = SHORTEST_PAUSE.saturating_mul(1_u32 << tries.min(16));
    match why {
        Why::Doing | Why::Moving | Why::Asked => growing.min(LONGEST_PAUSE),
        Why::Dying(at_ns) => (Duration::from_nanos(at_ns.saturating_sub(now_ns())) + LONGEST_PAUSE).min(LONGEST_OF_DYING),
    }
}

/// Between two looks at what there is, too.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// Someone may take its deletion back, by other ways than ours.
const LONGEST_OF_DYING: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::aws_keys::Place,
        store::entry::{AwsKeyKind, ForAws, KeyInAws},
    };

    const NOBODY: BTreeSet<Uuid> = BTreeSet::new();

    fn key(id: u128, doing: Option<KeyStep>, state: &str) -> AwsKeyEntry {
        let place = Place { kms: Uuid::nil(), region: "us-east-1" };
        let told = KeyInAws { state: state.into(), ..KeyInAws::default() };
        AwsKeyEntry { doing, told: Some(told), ..AwsKeyEntry::new(Uuid::from_u128(id), place, AwsKeyKind::Native, ForAws::default()) }
    }

    /// A look that was begun; tasks have ids that nobody can make up.
    fn begun(pace: &mut Pace, looks: &mut task::JoinSet<()>, id: Uuid) -> task::Id {
        let look = looks.spawn(async {}).id();
        pace.begun(id, look);
        look
    }

    #[test]
    fn only_keys_on_which_something_is_left_or_moves_or_that_someone_asked_for_are_looked_at() {
        let gone = AwsKeyEntry { gone: true, ..key(1, None, "PendingDeletion") };
        assert_eq!((why(&key(1, None, "Enabled")), why(&gone)), (None, None));
        assert_eq!(why(&AwsKeyEntry { gone: true, ..key(1, None, "Creating") }), None, "nothing moves that AWS has no more");
        assert_eq!(why(&key(1, Some(KeyStep::Change), "Enabled")), Some(Why::Doing));
        assert_eq!(why(&key(1, None, "Creating")), Some(Why::Moving));
        assert_eq!(why(&key(1, None, "PendingDeletion")), Some(Why::Dying(0)));
        let asked = BTreeSet::from([Uuid::from_u128(1), Uuid::from_u128(2)]);
        assert_eq!(wanted(&[key(1, None, "Enabled"), key(3, None, "Enabled")], &asked), [(Uuid::from_u128(1), Why::Asked)].into());
        assert!(wanted(&[gone], &asked).is_empty());
    }

    #[test]
    fn a_key_waits_for_the_one_that_replaces_it_and_for_no_other() {
        let rotate = |successor| KeyStep::Rotate { successor: Uuid::from_u128(successor), disable: false, retain_alias: false };
        let (old, new) = (key(1, Some(rotate(2)), "Enabled"), key(2, Some(KeyStep::Create), "Enabled"));
        let whole = AwsKeyEntry { doing: None, ..new.clone() };
        let is_due = |keys: &[AwsKeyEntry]| wanted(keys, &NOBODY).contains_key(&old.id);
        assert!(!is_due(&[old.clone(), new.clone()]));
        assert!(is_due(&[old.clone(), whole]), "it is made");
        assert!(is_due(std::slice::from_ref(&old)), "it was withdrawn");
        assert!(is_due(&[old.clone(), AwsKeyEntry { id: Uuid::from_u128(3), ..new }]));
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_later_each_time_and_what_is_done_is_forgotten() {
        let (mut pace, mut looks, start) = (Pace::default(), task::JoinSet::new(), Instant::now());
        let left = [key(1, Some(KeyStep::Change), "Enabled")];
        let mut at = start;
        let mut waits = Vec::new();
        for _ in 0..10 {
            let (due, next) = pace.due((&left, &NOBODY), at);
            assert!(due.is_empty());
            waits.push(next - at);
            at = next;
            assert_eq!(pace.due((&left, &NOBODY), at).0, [left[0].id]);
            let look = begun(&mut pace, &mut looks, left[0].id);
            assert!(pace.due((&left, &NOBODY), at).0.is_empty(), "it is being looked at");
            pace.tried(look, at);
        }
        assert_eq!((waits[0], waits[1], waits[9]), (SHORTEST_PAUSE, SHORTEST_PAUSE * 2, LONGEST_PAUSE));
        pace.put_off(left[0].id, at);
        assert_eq!(
            pace.due((&left, &NOBODY), at),
            (VecDeque::new(), at + LONGEST_PAUSE),
            "one that someone works on is no reason to hurry"
        );
        assert_eq!(pace.due((&[key(1, None, "Enabled")], &NOBODY), at), (VecDeque::new(), at + LONGEST_PAUSE));
        assert!(pace.next.is_empty());
    }

    #[tokio::test]
    async fn a_look_that_takes_long_keeps_no_other_key_from_its_own() {
        let (mut pace, mut looks, start) = (Pace::default(), task::JoinSet::new(), Instant::now());
        let mut left = vec![key(1, Some(KeyStep::Change), "Enabled")];
        let (_, at) = pace.due((&left, &NOBODY), start);
        begun(&mut pace, &mut looks, left[0].id);
        left.push(key(2, Some(KeyStep::Change), "Enabled"));
        let (due, at) = pace.due((&left, &NOBODY), at);
        assert!(due.is_empty());
        assert_eq!(pace.due((&left, &NOBODY), at).0, [left[1].id]);
    }
}
