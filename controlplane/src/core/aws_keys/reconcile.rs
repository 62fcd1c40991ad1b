//! Keeps keys in step with AWS: finishes what a crash or a failure left, and follows what AWS does by itself.
//!
//! Always holds: it takes no input, and reads what there is afresh each time; it never works on a key that someone works on; what fails is
//! tried again, later each time.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{deletion::is_pending, describe::put_told};
use crate::{
    access::Trail,
    core::{Core, CoreError, at_work::Turn, draw::now_ns},
    store::entry::{AwsKeyEntry, KeyStep},
};

/// When keys are looked at next.
#[derive(Default)]
struct Pace(HashMap<Uuid, Next>);

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
    /// AWS is to delete it or its material, at this time, nanoseconds since 1970; 0: AWS has not said when.
    Dying(u64),
}

impl Core {
    /// Keeps finishing and following keys in AWS.
    pub(crate) async fn keep_following_aws_keys(self: Arc<Self>) {
        let mut pace = Pace::default();
        loop {
            let wait = match self.follow_aws_keys(&mut pace).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "keys in AWS were not looked at; tried again later");
                    LONGEST_PAUSE
                }
            };
            tokio::select! {
                () = self.keys_at_work.left() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Looks at the keys whose time has come; how long until the next.
    async fn follow_aws_keys(&self, pace: &mut Pace) -> Result<Duration, CoreError> {
        let due = {
            let keys = self.view().await?.aws_keys()?;
            let mut due = pace.due(&keys, Instant::now());
            // What became of the new key comes before the old one that waits for it.
            let rotated = |id: &Uuid| keys.iter().any(|key| key.id == *id && matches!(key.doing, Some(KeyStep::Rotate { .. })));
            due.sort_by_key(rotated);
            due
        };
        for id in due {
            // Whoever works on it finishes it, or tells that it is left.
            let Some(turn) = self.keys_at_work.try_turn(id) else {
                pace.put_off(id, Instant::now());
                continue;
            };
            if let Err(error) = self.take_up(id, turn).await {
                tracing::warn!(error = &error as &dyn std::error::Error, key = %id, "a key is not in step with AWS; tried again later");
            }
            pace.tried(id, Instant::now());
        }
        let keys = self.view().await?.aws_keys()?;
        Ok(pace.next(&keys, Instant::now()))
    }

    async fn take_up(&self, id: Uuid, turn: Turn) -> Result<(), CoreError> {
        let trail = Trail::system("keys in AWS");
        let Some(entry) = self.view().await?.aws_key(id)? else {
            turn.done();
            return Ok(());
        };
        let taken = match (&entry.doing, &entry.told) {
            (Some(KeyStep::Create | KeyStep::Link), _) | (Some(KeyStep::Import(_)), None) => {
                // It ends its turn itself.
                return self.finish_creation(&trail, id, turn).await;
            }
            (Some(KeyStep::SetPolicy { policy, bypass_lockout_check }), _) => {
                let put = self.put_policy(&trail, id, (policy, *bypass_lockout_check)).await;
                self.taken_up(&trail, id, put).await
            }
            (Some(KeyStep::Change), _) if entry.gone => self.keep_told(&trail, id, &|entry| entry.doing = None).await.map(drop),
            (Some(KeyStep::Change), _) => self.look_again(&trail, id).await,
            (Some(KeyStep::Import(_)), Some(_)) => self.take_up_import(&trail, id).await,
            (Some(KeyStep::Rotate { .. }), _) => self.take_up_rotation(&trail, id).await,
            (None, _) => self.look_with_set(&trail, id, &put_told).await.map(drop),
        };
        // What is left is looked at when its time has come again.
        turn.done();
        taken
    }
}

impl Pace {
    /// The keys whose time has come; keys that need no look any more are forgotten.
    fn due(&mut self, keys: &[AwsKeyEntry], now: Instant) -> Vec<Uuid> {
        self.keep(keys, now);
        self.0.iter().filter(|(_, next)| next.at <= now).map(|(id, _)| *id).collect()
    }

    /// A key was looked at.
    fn tried(&mut self, id: Uuid, now: Instant) {
        if let Some(next) = self.0.get_mut(&id) {
            next.tries = next.tries.saturating_add(1);
            next.at = now + pause(next.why, next.tries);
        }
    }

    /// Someone else works on a key, and tells when it is left: until then there is nothing to look at.
    fn put_off(&mut self, id: Uuid, now: Instant) {
        if let Some(next) = self.0.get_mut(&id) {
            next.at = now + pause(next.why, next.tries);
        }
    }

    /// How long until the next one's time comes.
    fn next(&mut self, keys: &[AwsKeyEntry], now: Instant) -> Duration {
        self.keep(keys, now);
        let next = self.0.values().map(|next| next.at.saturating_duration_since(now)).min();
        next.unwrap_or(LONGEST_PAUSE)
    }

    fn keep(&mut self, keys: &[AwsKeyEntry], now: Instant) {
        let wanted: HashMap<Uuid, Why> = keys.iter().filter_map(|key| Some((key.id, why(key)?))).collect();
        // One that is there for another reason than before begins anew.
        self.0.retain(|id, next| wanted.get(id) == Some(&next.why));
        for (id, why) in wanted {
            self.0.entry(id).or_insert_with(|| Next { why, at: now + pause(why, 0), tries: 0 });
        }
    }
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
        Why::Doing | Why::Moving => growing.min(LONGEST_PAUSE),
        Why::Dying(at_ns) => (Duration::from_nanos(at_ns.saturating_sub(now_ns())) + LONGEST_PAUSE).min(LONGEST_OF_DYING),
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Someone may take its deletion back, by other ways than ours.
const LONGEST_OF_DYING: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::aws_keys::Place,
        store::entry::{AwsKeyKind, ForAws, KeyInAws},
    };

    fn key(id: u128, doing: Option<KeyStep>, state: &str) -> AwsKeyEntry {
        let place = Place { kms: Uuid::nil(), region: "us-east-1" };
        let told = KeyInAws { state: state.into(), ..KeyInAws::default() };
        AwsKeyEntry { doing, told: Some(told), ..AwsKeyEntry::new(Uuid::from_u128(id), place, AwsKeyKind::Native, ForAws::default()) }
    }

    #[test]
    fn only_keys_on_which_something_is_left_or_moves_are_looked_at() {
        let gone = AwsKeyEntry { gone: true, ..key(1, None, "PendingDeletion") };
        assert_eq!((why(&key(1, None, "Enabled")), why(&gone)), (None, None));
        assert_eq!(why(&key(1, Some(KeyStep::Change), "Enabled")), Some(Why::Doing));
        assert_eq!(why(&key(1, None, "Creating")), Some(Why::Moving));
        assert_eq!(why(&key(1, None, "PendingDeletion")), Some(Why::Dying(0)));
    }

    #[test]
    fn what_fails_is_tried_again_later_each_time_and_what_is_done_is_forgotten() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let left = [key(1, Some(KeyStep::Change), "Enabled")];
        assert!(pace.due(&left, start).is_empty());
        let mut at = start;
        let mut waits = Vec::new();
        for _ in 0..10 {
            let wait = pace.next(&left, at);
            at += wait;
            assert_eq!(pace.due(&left, at), [left[0].id]);
            pace.tried(left[0].id, at);
            waits.push(wait);
        }
        assert_eq!((waits[0], waits[1], waits[9]), (SHORTEST_PAUSE, SHORTEST_PAUSE * 2, LONGEST_PAUSE));
        pace.put_off(left[0].id, at);
        assert!(pace.due(&left, at).is_empty() && pace.next(&left, at) == LONGEST_PAUSE, "one that someone works on is no reason to hurry");
        assert_eq!(pace.next(&[key(1, None, "Enabled")], at), LONGEST_PAUSE);
        assert!(pace.0.is_empty());
    }
}
